//! A tree's summary of a span of time, kept ready: count, lattice hash and the first cells.
//!
//! What a session of wakustore's own protocol compares is linear, so it can be kept up with each
//! insert and moved along with time, a few ids at a time. Always: a [`Kept`] is the sum of exactly
//! the ids that its index holds in its span, provided that it is told of each change; and what
//! [`lattice_of`] and [`cells_of`] return is the same with any kept summary as without one.

mod keep;
mod read;
#[cfg(test)]
mod tests;

pub use keep::Kept;
pub use read::{cells_of, find, lattice_of};

use crate::types::{SyncId, TimeRange, Timestamp};

/// The length of a slice of time in nanoseconds (8.6 s). Coverages begin and end at multiples of
/// it, and so should the windows of sessions, so that what is kept is what is asked for.
pub const SLICE: i64 = 1 << 33;

/// The whole slices inside a range; empty where there is none.
pub fn whole_slices(range: TimeRange) -> TimeRange {
    let floor = |t: i64| t - t.rem_euclid(SLICE);
    let end = floor(range.end().nanos());
    let start = range.start().nanos();
    let up = if start == floor(start) { start } else { floor(start).saturating_add(SLICE) };
    TimeRange::new(Timestamp(up.min(end)), Timestamp(end)).unwrap_or(range)
}

/// The ids of a range as bounds of an index.
fn bounds(range: TimeRange) -> (SyncId, SyncId) {
    (SyncId::floor(range.start()), SyncId::floor(range.end()))
}
