//! The system's clock: layers above `node` have theirs passed in, and this is who passes it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::types::Timestamp;

/// Unix time in nanoseconds.
pub(super) fn now() -> Timestamp {
    let nanos = |d: std::time::Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    Timestamp(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    })
}
