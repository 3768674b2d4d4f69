//! What is read from the tree: sums, ranks and ranges, each by walks from the root.

use super::Fingerprint;
use super::keys::Keys;
use super::tree::{Child, Inner, Tree, sum_of};
use crate::types::SyncId;

/// Count and XOR of the first `at` of some children that sum up to `total`, from the shorter side.
fn before(children: &[Child], at: usize, total: &Fingerprint) -> Fingerprint {
    let (left, right) = children.split_at(at.min(children.len()));
    if left.len() <= right.len() {
        return sum_of(left);
    }
    let mut sum = *total;
    sum.take(&sum_of(right));
    sum
}

impl Tree {
    /// Count and XOR of the ids below the bound in a subtree of this sum.
    fn prefix(
        &self,
        mut level: usize,
        mut node: u32,
        bound: &SyncId,
        mut total: Fingerprint,
    ) -> Fingerprint {
        let mut sum = Fingerprint::default();
        while level > 0 {
            let inner = self.inner(node);
            let at = inner.child_of(bound);
            sum.add(&before(&inner.children, at, &total));
            Child { sum: total, node } = inner.children[at];
            level -= 1;
        }
        let leaf = self.leaf(node);
        let at = leaf.below(bound);
        if at <= leaf.len() / 2 {
            sum.add(&leaf.sum(0, at));
        } else {
            sum.add(&total);
            sum.take(&leaf.sum(at, leaf.len()));
        }
        sum
    }

    /// Count and XOR of `[lower, upper)`: one walk as far as the bounds stay together, then one
    /// for each.
    pub(super) fn between(&self, lower: &SyncId, upper: &SyncId) -> Fingerprint {
        if upper <= lower {
            return Fingerprint::default();
        }
        let (mut level, mut node) = (self.height, self.root);
        while level > 0 {
            let inner: &Inner = self.inner(node);
            let (a, b) = (inner.child_of(lower), inner.child_of(upper));
            let (first, last) = (inner.children[a], inner.children[b]);
            level -= 1;
            if a == b {
                node = first.node;
                continue;
            }
            // Whatever starts in the first child, less what is below; all between; what is below
            // the upper bound in the last.
            let mut sum = sum_of(&inner.children[a..b]);
            sum.take(&self.prefix(level, first.node, lower, first.sum));
            sum.add(&self.prefix(level, last.node, upper, last.sum));
            return sum;
        }
        let leaf = self.leaf(node);
        leaf.sum(leaf.below(lower), leaf.below(upper))
    }

    pub(super) fn rank(&self, bound: &SyncId) -> usize {
        let (mut level, mut node, mut rank) = (self.height, self.root, 0);
        while level > 0 {
            let inner = self.inner(node);
            let at = inner.child_of(bound);
            rank += inner.children[..at].iter().map(|c| c.sum.count).sum::<usize>();
            node = inner.children[at].node;
            level -= 1;
        }
        rank + self.leaf(node).below(bound)
    }

    pub(super) fn contains(&self, id: &SyncId) -> bool {
        let (mut level, mut node) = (self.height, self.root);
        while level > 0 {
            let inner = self.inner(node);
            node = inner.children[inner.child_of(id)].node;
            level -= 1;
        }
        self.leaf(node).find(id).is_ok()
    }

    /// The leaf that holds the id of this rank, and where in it.
    pub(super) fn seek(&self, mut rank: usize) -> Option<(&Keys, usize)> {
        if rank >= self.sum.count {
            return None;
        }
        let (mut level, mut node) = (self.height, self.root);
        while level > 0 {
            let child = self.inner(node).children.iter().find(|child| {
                let here = rank < child.sum.count;
                if !here {
                    rank -= child.sum.count;
                }
                here
            })?;
            node = child.node;
            level -= 1;
        }
        Some((self.leaf(node), rank))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let leaves: usize = self.leaves.slots.iter().map(Keys::heap_bytes).sum();
        let inners: usize = self
            .inners
            .slots
            .iter()
            .map(|i| i.keys.heap_bytes() + i.children.capacity() * size_of::<Child>())
            .sum();
        leaves + inners + self.leaves.heap_bytes() + self.inners.heap_bytes()
    }
}

/// The ids of a range of an [`super::Index`], in order.
#[derive(Clone, Debug)]
pub struct Ids<'a> {
    tree: &'a Tree,
    leaf: Option<&'a Keys>,
    at: usize,
    rank: usize,
    end: usize,
}

impl<'a> Ids<'a> {
    /// From one rank to before another.
    pub(super) fn new(tree: &'a Tree, rank: usize, end: usize) -> Self {
        Ids { tree, leaf: None, at: 0, rank, end: end.max(rank) }
    }
}

impl Iterator for Ids<'_> {
    type Item = SyncId;

    fn next(&mut self) -> Option<SyncId> {
        if self.rank >= self.end {
            return None;
        }
        let id = match self.leaf.and_then(|leaf| leaf.get(self.at)) {
            Some(id) => id,
            None => {
                let (leaf, at) = self.tree.seek(self.rank)?;
                (self.leaf, self.at) = (Some(leaf), at);
                leaf.get(at)?
            }
        };
        self.at += 1;
        self.rank += 1;
        Some(id)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.rank;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Ids<'_> {}
