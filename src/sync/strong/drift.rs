//! What has changed in the index since a set was fixed: a few ids, as what is compared lies some
//! time back.

use std::collections::BTreeSet;

use super::{ByKey, Key};
use crate::sync::sketch::{Cell, Sketch};
use crate::types::SyncId;

/// The most changes that are noted. Beyond them the set cannot be told by sketches any more, and
/// ranges take over.
pub const MAX_DRIFT: usize = 8192;

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Drift {
    inserted: BTreeSet<SyncId>,
    removed: BTreeSet<SyncId>,
    overflowed: bool,
}

impl Drift {
    pub(super) fn inserted(&mut self, id: SyncId) {
        if !self.removed.remove(&id) && self.has_room() {
            self.inserted.insert(id);
        }
    }

    pub(super) fn removed(&mut self, id: SyncId) {
        if !self.inserted.remove(&id) && self.has_room() {
            self.removed.insert(id);
        }
    }

    fn has_room(&mut self) -> bool {
        self.overflowed |= self.inserted.len() + self.removed.len() >= MAX_DRIFT;
        !self.overflowed
    }

    /// Whether it knows all that has changed.
    pub(super) fn is_whole(&self) -> bool {
        !self.overflowed
    }

    /// Makes the cells of the set as it is now, which begin with number `from`, those of the set
    /// as it was fixed.
    pub(super) fn take_from(&self, cells: &mut [Cell], from: usize) {
        let range = from..from + cells.len();
        if !self.inserted.is_empty() {
            let more = Sketch::cells_from(self.inserted.iter().map(Key::plain), range.clone());
            cells.iter_mut().zip(&more).for_each(|(cell, more)| cell.take(more));
        }
        if !self.removed.is_empty() {
            let gone = Sketch::cells_from(self.removed.iter().map(Key::plain), range);
            cells.iter_mut().zip(&gone).for_each(|(cell, gone)| cell.add(gone));
        }
    }

    /// Whether this one was not there then.
    pub(super) fn has_inserted(&self, id: &SyncId) -> bool {
        self.inserted.contains(id)
    }

    /// The ids that were not there then.
    pub(super) fn came(&self) -> impl Iterator<Item = &SyncId> {
        self.inserted.iter()
    }

    /// The ids that are no longer there, by their keys.
    pub(super) fn gone(&self) -> ByKey {
        self.removed.iter().map(|id| (Key::plain(id), *id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{MessageHash, Timestamp};

    fn id(n: u32) -> SyncId {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        SyncId::new(Timestamp(i64::from(n)), MessageHash(hash))
    }

    #[test]
    fn cells_are_those_of_the_set_as_it_was() {
        let cells = |ids: std::ops::Range<u32>| {
            Sketch::cells_from(ids.map(|n| Key::plain(&id(n))), 20..120)
        };
        let mut drift = Drift::default();
        (0..10).for_each(|n| drift.removed(id(n)));
        (100..130).for_each(|n| drift.inserted(id(n)));
        let mut now = cells(10..130);
        drift.take_from(&mut now, 20);
        assert_eq!(now, cells(0..100));
        assert_eq!(drift.gone().len(), 10);
    }

    #[test]
    fn it_is_bounded_and_says_so() {
        let mut drift = Drift::default();
        for _ in 0..3 {
            drift.inserted(id(1));
            drift.removed(id(1));
        }
        assert_eq!((drift.inserted.len(), drift.removed.len()), (0, 0));
        for n in 0..2 * MAX_DRIFT as u32 {
            drift.inserted(id(n));
        }
        assert_eq!((drift.inserted.len(), drift.is_whole()), (MAX_DRIFT, false));
    }
}
