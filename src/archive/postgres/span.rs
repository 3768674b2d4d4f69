//! What is walked over: ids between two bounds, one way or the other.

use crate::types::{Direction, SyncId, TimeRange, Timestamp};

/// A place before, at or after ids. As bytes a longer hash sorts behind its prefix, here and in
/// PostgreSQL: no bytes are below every hash, and a 33rd byte is just above one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Bound {
    pub(super) time: i64,
    pub(super) hash: Vec<u8>,
}

impl Bound {
    fn floor(time: Timestamp) -> Self {
        Bound { time: time.nanos(), hash: Vec::new() }
    }

    fn at(id: SyncId) -> Self {
        Bound { time: id.timestamp.nanos(), hash: id.hash.as_bytes().to_vec() }
    }

    fn after(id: SyncId) -> Self {
        let mut bound = Bound::at(id);
        bound.hash.push(0);
        bound
    }
}

/// From `lower`, which is in it, to `upper`, which is not.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) lower: Bound,
    pub(super) upper: Bound,
    pub(super) direction: Direction,
}

impl Span {
    /// A time range, cut at a cursor, which is not in it itself.
    pub(super) fn new(time: &TimeRange, cursor: Option<SyncId>, direction: Direction) -> Self {
        let (lower, upper) = (Bound::floor(time.start()), Bound::floor(time.end()));
        let mut span = Span { lower, upper, direction };
        match (cursor, direction) {
            (None, _) => {}
            (Some(id), Direction::Forward) => span.lower = span.lower.max(Bound::after(id)),
            (Some(id), Direction::Backward) => span.upper = span.upper.min(Bound::at(id)),
        }
        span
    }

    /// Whether nothing can be in it.
    pub(super) fn is_empty(&self) -> bool {
        self.lower >= self.upper
    }

    /// Whether `id` lies in it.
    pub(super) fn contains(&self, id: SyncId) -> bool {
        (&self.lower..&self.upper).contains(&&Bound::at(id))
    }

    /// Sorts in the order of the walk.
    pub(super) fn sort<T>(&self, items: &mut [T], id: impl Fn(&T) -> SyncId) {
        match self.direction {
            Direction::Forward => items.sort_unstable_by_key(id),
            Direction::Backward => items.sort_unstable_by_key(|item| std::cmp::Reverse(id(item))),
        }
    }
}
