//! What is read from the tree: sums, ranks and ranges, each by walks from the root.

use super::Fingerprint;
use super::keys::Keys;
use super::tree::{Child, Tree, sum_of};
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

/// As [`before`], of a leaf's ids.
fn before_in(leaf: &Keys, at: usize, total: &Fingerprint) -> Fingerprint {
    if at <= leaf.len() / 2 {
        return leaf.sum(0, at);
    }
    let mut sum = *total;
    sum.take(&leaf.sum(at, leaf.len()));
    sum
}

impl Tree {
    /// Count and XOR of `[lower, upper)`: what is below the upper bound without what is below the
    /// lower one. Both walks go down together, so that one need not wait for the other's memory,
    /// and where they are still in one node only what lies between them is added up.
    pub(super) fn between(&self, lower: &SyncId, upper: &SyncId) -> Fingerprint {
        if upper <= lower {
            return Fingerprint::default();
        }
        let root = Child { sum: self.sum, node: self.root };
        let (mut low, mut high) = (root, root);
        let mut sum = Fingerprint::default();
        let mut below = Fingerprint::default();
        for _ in 0..self.height {
            let (left, right) = (self.inner(low.node), self.inner(high.node));
            let (a, b) = (left.child_of(lower), right.child_of(upper));
            if low.node == high.node {
                sum.add(&sum_of(&left.children[a..b]));
            } else {
                below.add(&before(&left.children, a, &low.sum));
                sum.add(&before(&right.children, b, &high.sum));
            }
            (low, high) = (left.children[a], right.children[b]);
        }
        let (left, right) = (self.leaf(low.node), self.leaf(high.node));
        let (a, b) = (left.below(lower), right.below(upper));
        if low.node == high.node {
            sum.add(&left.sum(a, b));
        } else {
            below.add(&before_in(left, a, &low.sum));
            sum.add(&before_in(right, b, &high.sum));
        }
        sum.take(&below);
        sum
    }

    /// Count and XOR of what is below each of some bounds, which must not descend: one walk over
    /// the tree, in which no node is seen twice.
    pub(super) fn below_each(&self, bounds: &[SyncId]) -> Vec<Fingerprint> {
        let mut sums = Vec::with_capacity(bounds.len());
        let root = Child { sum: self.sum, node: self.root };
        self.below_each_in(self.height, root, Fingerprint::default(), bounds, &mut sums);
        sums
    }

    /// The part of the walk in a subtree, before which `sum` lies.
    fn below_each_in(
        &self,
        level: usize,
        Child { sum: total, node }: Child,
        mut sum: Fingerprint,
        mut bounds: &[SyncId],
        sums: &mut Vec<Fingerprint>,
    ) {
        if level == 0 {
            let leaf = self.leaf(node);
            let mut at = 0;
            for (i, bound) in bounds.iter().enumerate() {
                let next = leaf.below(bound).max(at);
                let only = i == 0 && next > leaf.len() / 2;
                sum.add(&if only { before_in(leaf, next, &total) } else { leaf.sum(at, next) });
                at = next;
                sums.push(sum);
            }
            return;
        }
        let inner = self.inner(node);
        let mut at = 0;
        while let Some(first) = bounds.first() {
            let next = inner.child_of(first).max(at);
            sum.add(&if at == 0 {
                before(&inner.children, next, &total)
            } else {
                sum_of(&inner.children[at..next])
            });
            at = next;
            let here = match inner.keys.get(next + 1) {
                Some(end) => bounds.partition_point(|bound| *bound < end).max(1),
                None => bounds.len(),
            };
            let (inside, rest) = bounds.split_at(here);
            self.below_each_in(level - 1, inner.children[next], sum, inside, sums);
            bounds = rest;
        }
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
