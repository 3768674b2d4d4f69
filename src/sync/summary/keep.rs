//! The kept summary and how it moves.

use super::{bounds, whole_slices};
use crate::sync::index::Index;
use crate::sync::lattice::Lattice;
use crate::sync::sketch::{Key, MAX_CELLS, Sketch};
use crate::types::{SyncId, TimeRange, Timestamp};

/// The sums of the ids of one index in one span: about 400 KB. The span's ends are ids while it
/// moves, so that a step is bounded whatever the times of the ids are, and whole slices once it is
/// there.
#[derive(Clone, Debug)]
pub struct Kept {
    pub(super) lower: SyncId,
    pub(super) upper: SyncId,
    pub(super) lattice: Lattice,
    pub(super) sketch: Sketch,
}

impl Default for Kept {
    fn default() -> Self {
        Kept::new()
    }
}

impl Kept {
    /// Of an empty span.
    pub fn new() -> Kept {
        let nowhere = SyncId::floor(Timestamp(0));
        Kept {
            lower: nowhere,
            upper: nowhere,
            lattice: Lattice::default(),
            sketch: Sketch::new(MAX_CELLS),
        }
    }

    /// Moves the coverage towards the whole slices in `to`, touching at most so many ids (one at
    /// least); true once it is there. `index` must hold what the summary was told of.
    pub fn advance(&mut self, index: &Index, to: TimeRange, max_ids: usize) -> bool {
        let (lower, upper) = bounds(whole_slices(to));
        if (self.lower, self.upper) == (lower, upper) {
            return true;
        }
        let (first, last) = (self.lower.max(lower), self.upper.min(upper));
        let stay = if first < last { count(index, &first, &last) } else { 0 };
        let leave = count(index, &self.lower, &self.upper).saturating_sub(stay);
        if first >= last || leave > stay {
            // Cheaper anew than by taking out.
            self.reset(lower);
        }
        let mut left = max_ids.max(1);
        if self.lower < lower {
            let end = up_to(index, &self.lower, lower, left);
            left -= self.sum(index, (self.lower, end), true);
            self.lower = end;
        }
        if self.upper > upper {
            let start = down_to(index, &self.upper, upper, left);
            left -= self.sum(index, (start, self.upper), true);
            self.upper = start;
        }
        if self.lower > lower {
            let start = down_to(index, &self.lower, lower, left);
            left -= self.sum(index, (start, self.lower), false);
            self.lower = start;
        }
        if self.upper < upper {
            let end = up_to(index, &self.upper, upper, left);
            self.sum(index, (self.upper, end), false);
            self.upper = end;
        }
        (self.lower, self.upper) == (lower, upper)
    }

    /// To be called before all ids below `bound` are removed from the index, in place of
    /// [`Kept::removed`] for each: the coverage no longer has them.
    pub fn before_prune(&mut self, index: &Index, bound: &SyncId) {
        if *bound <= self.lower {
            return;
        }
        let end = self.upper.min(*bound);
        let leave = count(index, &self.lower, &end);
        if end == self.upper || leave > count(index, &end, &self.upper) {
            self.reset(end);
        } else {
            self.sum(index, (self.lower, end), true);
            self.lower = end;
        }
    }

    /// The times of which it has all ids; what it has at the edges beside them while it moves is
    /// not said. Empty where there is no such time.
    pub fn coverage(&self) -> TimeRange {
        let SyncId { timestamp, hash } = self.lower;
        let whole = hash == SyncId::floor(timestamp).hash;
        let start = if whole { timestamp } else { Timestamp(timestamp.nanos().saturating_add(1)) };
        let end = self.upper.timestamp.max(start);
        TimeRange::new(start, end).unwrap_or(TimeRange::ALL)
    }

    /// An id was added to the index that it did not hold. Nothing where it is not covered.
    pub fn inserted(&mut self, id: &SyncId) {
        if self.covers(id) {
            self.lattice.add(&id.hash);
            self.sketch.add(&Key::plain(id));
        }
    }

    /// An id was removed from the index that it held. Nothing where it is not covered.
    pub fn removed(&mut self, id: &SyncId) {
        if self.covers(id) {
            self.lattice.take(&id.hash);
            self.sketch.remove(&Key::plain(id));
        }
    }

    /// The memory that it takes, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.sketch.heap_bytes() + size_of::<[u16; 1024]>()
    }

    fn covers(&self, id: &SyncId) -> bool {
        self.lower <= *id && *id < self.upper
    }

    /// Empty, at some place.
    fn reset(&mut self, at: SyncId) {
        (self.lower, self.upper) = (at, at);
        self.lattice = Lattice::default();
        self.sketch.clear();
    }

    /// Adds the ids of a span or takes them out, and tells how many.
    fn sum(&mut self, index: &Index, (lower, upper): (SyncId, SyncId), remove: bool) -> usize {
        let ids = index.range(&lower, &upper);
        let count = ids.len();
        for id in ids {
            if remove {
                self.lattice.take(&id.hash);
                self.sketch.remove(&Key::plain(&id));
            } else {
                self.lattice.add(&id.hash);
                self.sketch.add(&Key::plain(&id));
            }
        }
        count
    }
}

/// How many ids of `[lower, upper)` there are.
fn count(index: &Index, lower: &SyncId, upper: &SyncId) -> usize {
    index.rank(upper).saturating_sub(index.rank(lower))
}

/// The furthest bound between `from` and `to`, above it, with at most `most` ids before it.
fn up_to(index: &Index, from: &SyncId, to: SyncId, most: usize) -> SyncId {
    match index.select(index.rank(from).saturating_add(most)) {
        Some(id) => id.min(to),
        None => to,
    }
}

/// As [`up_to`], downwards.
fn down_to(index: &Index, from: &SyncId, to: SyncId, most: usize) -> SyncId {
    match index.rank(from).checked_sub(most).and_then(|rank| index.select(rank)) {
        // With nothing left to take there may be none at or above `from`.
        Some(id) => id.max(to).min(*from),
        None if most == 0 => *from,
        None => to,
    }
}
