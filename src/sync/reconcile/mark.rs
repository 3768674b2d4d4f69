//! How the side that begins says that it wants to be told of everything.
//!
//! A range's single difference is seen in its fingerprint by the side that holds it, which then
//! tells it at once. Only, a side that was begun with cannot know whether the other wants that: it
//! may be pushing, or just looking. So a session that asks begins its first payload with a
//! nanosecond of skip before the window. To a deployed peer, as to any, that says nothing.

use super::Differences;
use crate::types::{SyncId, Timestamp};
use crate::wire::reconciliation::{Payload, Range, RangeData};

/// The first payload of a session, marked where that wants to be told of what it lacks.
#[must_use]
pub fn mark(mut first: Payload, found: &Differences) -> Payload {
    if found.searches && found.asks && !first.ranges.is_empty() && first.lower > Timestamp(0) {
        let upper = SyncId::floor(first.lower);
        first.ranges.insert(0, Range { upper, data: RangeData::Skip });
        first.lower = Timestamp(first.lower.nanos() - 1);
    }
    first
}

/// Whether a first payload is marked.
pub(super) fn is_marked(first: &Payload) -> bool {
    first.ranges.first().is_some_and(|range| {
        let length = range.upper.timestamp.nanos().checked_sub(first.lower.nanos());
        matches!(range.data, RangeData::Skip) && length == Some(1)
    })
}
