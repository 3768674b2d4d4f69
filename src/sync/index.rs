//! The ordered set of ids with the count and XOR of any range in O(log n).

use crate::types::{MessageHash, SyncId};

/// Count and XOR of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fingerprint {
    /// How many ids.
    pub count: usize,
    /// The XOR of their hashes.
    pub xor: MessageHash,
}

/// An ordered set of ids. All ranges are half-open, by bounds that need not be members.
#[derive(Clone, Debug, Default)]
pub struct Index {}

impl Index {
    /// An empty set.
    pub fn new() -> Self {
        todo!()
    }
    /// Adds an id; false where it was there.
    pub fn insert(&mut self, _id: SyncId) -> bool {
        todo!()
    }
    /// Removes an id; false where it was not there.
    pub fn remove(&mut self, _id: &SyncId) -> bool {
        todo!()
    }
    /// Removes all ids below the bound and tells how many.
    pub fn prune_before(&mut self, _bound: &SyncId) -> usize {
        todo!()
    }
    /// How many ids.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Count and XOR of `[lower, upper)`.
    pub fn fingerprint(&self, _lower: &SyncId, _upper: &SyncId) -> Fingerprint {
        todo!()
    }
    /// How many ids are below the bound.
    pub fn rank(&self, _bound: &SyncId) -> usize {
        todo!()
    }
    /// The id with so many below it.
    pub fn select(&self, _rank: usize) -> Option<SyncId> {
        todo!()
    }
    /// The ids of `[lower, upper)` in order.
    pub fn range(&self, _lower: &SyncId, _upper: &SyncId) -> impl Iterator<Item = SyncId> + '_ {
        std::iter::empty()
    }
    /// Whether it is there.
    pub fn contains(&self, _id: &SyncId) -> bool {
        todo!()
    }
}
