//! The ordered set of ids with the count and XOR of any range in O(log n).
//!
//! A B+tree in which each inner node knows count and XOR of each child. Count and XOR of a range
//! are those below its upper bound without those below its lower one, so two walks down answer for
//! any range, and splitting a range by count is a walk too. About 43 to 62 bytes an id, of which
//! 40 are the id.

mod fingerprint;
mod keys;
mod read;
#[cfg(test)]
mod tests;
mod tree;

pub use fingerprint::Fingerprint;
pub use read::Ids;

use crate::types::SyncId;

use tree::Tree;

/// An ordered set of ids. All ranges are half-open, by bounds that need not be members.
#[derive(Clone, Debug, Default)]
pub struct Index {
    tree: Tree,
}

impl Index {
    /// An empty set.
    pub fn new() -> Self {
        Index::default()
    }

    /// Adds an id; false where it was there. Fastest where ids come in order.
    pub fn insert(&mut self, id: SyncId) -> bool {
        self.tree.insert(&id)
    }

    /// Adds ids and tells how many were new. Those that ascend above all that is there go in leaf by
    /// leaf, which is several times faster than one by one.
    pub fn append(&mut self, ids: &[SyncId]) -> usize {
        self.tree.append(ids)
    }

    /// Removes an id; false where it was not there.
    pub fn remove(&mut self, id: &SyncId) -> bool {
        self.tree.remove(id)
    }

    /// Removes all ids below the bound and tells how many.
    pub fn prune_before(&mut self, bound: &SyncId) -> usize {
        self.tree.prune(bound).count
    }

    /// How many ids.
    pub fn len(&self) -> usize {
        self.tree.sum.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Count and XOR of `[lower, upper)`; of nothing where `upper` is not above `lower`.
    pub fn fingerprint(&self, lower: &SyncId, upper: &SyncId) -> Fingerprint {
        self.tree.between(lower, upper)
    }

    /// Count and XOR of the ids below each of some bounds, which must not descend. For many ranges
    /// this is much faster than asking for each: no part of the tree is visited twice.
    pub fn below_each(&self, bounds: &[SyncId]) -> Vec<Fingerprint> {
        self.tree.below_each(bounds)
    }

    /// How many ids are below the bound.
    pub fn rank(&self, bound: &SyncId) -> usize {
        self.tree.rank(bound)
    }

    /// The id with so many below it.
    pub fn select(&self, rank: usize) -> Option<SyncId> {
        self.tree.select(rank)
    }

    /// The ids of some ranks, which must not descend; those that there are, in one walk.
    pub fn select_each(&self, ranks: &[usize]) -> Vec<SyncId> {
        self.tree.select_each(ranks)
    }

    /// The ids of `[lower, upper)` in order.
    pub fn range(&self, lower: &SyncId, upper: &SyncId) -> Ids<'_> {
        self.tree.range(lower, upper)
    }

    /// Whether it is there.
    pub fn contains(&self, id: &SyncId) -> bool {
        self.tree.contains(id)
    }

    /// The memory that it takes, in bytes, without what the allocator adds.
    pub fn heap_bytes(&self) -> usize {
        self.tree.heap_bytes()
    }
}

impl Extend<SyncId> for Index {
    fn extend<T: IntoIterator<Item = SyncId>>(&mut self, ids: T) {
        let mut ids = ids.into_iter().peekable();
        while ids.peek().is_some() {
            let some: Vec<SyncId> = ids.by_ref().take(1024).collect();
            self.append(&some);
        }
    }
}

impl FromIterator<SyncId> for Index {
    /// From ids in any order; from sorted ones it is built in one pass, with full nodes.
    fn from_iter<T: IntoIterator<Item = SyncId>>(ids: T) -> Self {
        let mut index = Index::new();
        index.extend(ids);
        index
    }
}
