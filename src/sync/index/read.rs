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

    /// The place of the id of this rank.
    fn seek(&self, mut rank: usize) -> Option<Place<'_>> {
        if rank >= self.sum.count {
            return None;
        }
        let mut node = self.root;
        let mut parent = None;
        for _ in 0..self.height {
            let inner = self.inner(node);
            let at = child_at(&inner.children, 0, &mut rank)?;
            node = inner.children[at].node;
            parent = Some((inner, at));
        }
        Some(Place { parent, leaf: self.leaf(node), at: rank })
    }

    pub(super) fn select(&self, rank: usize) -> Option<SyncId> {
        let place = self.seek(rank)?;
        place.leaf.get(place.at)
    }

    /// The ids of some ranks, which must not descend; those that there are.
    pub(super) fn select_each(&self, ranks: &[usize]) -> Vec<SyncId> {
        let mut ids = Vec::with_capacity(ranks.len());
        self.select_each_in(self.height, self.root, 0, ranks, &mut ids);
        ids
    }

    /// The part of the walk in a subtree, before which so many ids lie.
    fn select_each_in(
        &self,
        level: usize,
        node: u32,
        mut before: usize,
        mut ranks: &[usize],
        ids: &mut Vec<SyncId>,
    ) {
        if level == 0 {
            let leaf = self.leaf(node);
            ids.extend(ranks.iter().filter_map(|rank| leaf.get(rank - before)));
            return;
        }
        let children = &self.inner(node).children;
        let mut at = 0;
        while let Some(first) = ranks.first() {
            let mut rank = first - before;
            let Some(next) = child_at(children, at, &mut rank) else { return };
            before = first - rank;
            let end = before + children[next].sum.count;
            let (here, rest) = ranks.split_at(ranks.partition_point(|rank| *rank < end));
            self.select_each_in(level - 1, children[next].node, before, here, ids);
            (at, ranks) = (next, rest);
        }
    }

    /// The ids of `[lower, upper)`, found by one walk down for both bounds.
    pub(super) fn range(&self, lower: &SyncId, upper: &SyncId) -> Ids<'_> {
        let (mut low, mut high) = (self.root, self.root);
        // Before the lower bound, and before the upper one, but for what is before both.
        let (mut below, mut count) = (0, 0);
        let mut parent = None;
        let counts = |children: &[Child]| children.iter().map(|c| c.sum.count).sum::<usize>();
        let upper = upper.max(lower);
        for _ in 0..self.height {
            let (left, right) = (self.inner(low), self.inner(high));
            let (a, b) = (left.child_of(lower), right.child_of(upper));
            if low == high {
                count += counts(&left.children[a..b]);
            } else {
                below += counts(&left.children[..a]);
                count += counts(&right.children[..b]);
            }
            parent = Some((left, a));
            (low, high) = (left.children[a].node, right.children[b].node);
        }
        let (leaf, last) = (self.leaf(low), self.leaf(high));
        let at = leaf.below(lower);
        let left = count + last.below(upper) - (below + at);
        Ids { tree: self, place: Place { parent, leaf, at }, left }
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

/// Which child holds the id of a rank that counts from the child at `from`; the rank is then
/// within that child.
fn child_at(children: &[Child], from: usize, rank: &mut usize) -> Option<usize> {
    let here = children.get(from..)?.iter().position(|child| {
        let here = *rank < child.sum.count;
        if !here {
            *rank -= child.sum.count;
        }
        here
    })?;
    Some(from + here)
}

/// Where an id is: its leaf, where in it, and which child of its parent the leaf is.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    parent: Option<(&'a Inner, usize)>,
    leaf: &'a Keys,
    at: usize,
}

/// The ids of a range of an [`super::Index`], in order.
#[derive(Clone, Debug)]
pub struct Ids<'a> {
    tree: &'a Tree,
    place: Place<'a>,
    left: usize,
}

impl<'a> Ids<'a> {
    /// Goes to the next leaf. The parent knows it, but for its last child, after which the walk
    /// begins anew from the last id that was seen.
    #[cold]
    fn next_leaf(&mut self) -> Option<()> {
        if let Some((parent, at)) = self.place.parent
            && let Some(child) = parent.children.get(at + 1)
        {
            let leaf = self.tree.leaf(child.node);
            self.place = Place { parent: Some((parent, at + 1)), leaf, at: 0 };
            return Some(());
        }
        let last = self.place.leaf.get(self.place.leaf.len().checked_sub(1)?)?;
        self.place = self.tree.seek(self.tree.rank(&last) + 1)?;
        Some(())
    }
}

impl Iterator for Ids<'_> {
    type Item = SyncId;

    fn next(&mut self) -> Option<SyncId> {
        if self.left == 0 {
            return None;
        }
        let id = match self.place.leaf.get(self.place.at) {
            Some(id) => id,
            None => {
                self.next_leaf()?;
                self.place.leaf.get(self.place.at)?
            }
        };
        self.place.at += 1;
        self.left -= 1;
        Some(id)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Ids<'_> {}
