//! The nodes of the tree and how they split, merge and go.
//!
//! Nodes live in two arenas and name each other by number; a freed slot is empty, owns no memory,
//! and is used again. Always:
//! - all leaves are at one depth, `height` inner nodes below the root;
//! - each child's count and XOR, as its parent has them, are those of the ids below it;
//! - a separator (but for a node's first, which says nothing) is above all ids of the children
//!   before it and not above any of its own child's;
//! - no node but a root leaf is empty, an inner root has two children or more, and only nodes at
//!   the left or right edge may be less than a quarter full: appending leaves full nodes behind,
//!   and pruning cuts along the left edge.

use super::Fingerprint;
use super::keys::Keys;
use crate::types::SyncId;

/// The most ids of a leaf.
pub(super) const LEAF: usize = 64;
/// The most children of an inner node.
pub(super) const INNER: usize = 32;
// While two are joined a node holds more; its places are bytes.
const _: () = assert!(LEAF * 2 <= 256 && INNER * 2 <= 256);

/// What a parent knows of a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    pub(super) sum: Fingerprint,
    pub(super) node: u32,
}

/// An inner node: a separator for each child.
#[derive(Clone, Debug, Default)]
pub(super) struct Inner {
    pub(super) keys: Keys,
    pub(super) children: Vec<Child>,
}

impl Inner {
    /// Which child `id` belongs to.
    pub(super) fn child_of(&self, id: &SyncId) -> usize {
        self.keys.child_of(id)
    }

    fn sum(&self) -> Fingerprint {
        sum_of(&self.children)
    }

    fn insert(&mut self, at: usize, separator: SyncId, child: Child) {
        self.keys.insert(at, separator);
        if self.children.len() == self.children.capacity() {
            self.children.reserve_exact(8);
        }
        self.children.insert(at, child);
    }

    fn split_off(&mut self, at: usize) -> Inner {
        Inner { keys: self.keys.split_off(at), children: self.children.split_off(at) }
    }

    fn append(&mut self, right: Inner) {
        self.keys.append(right.keys);
        self.children.extend(right.children);
    }

    fn remove(&mut self, at: usize) {
        self.keys.remove(at);
        self.children.remove(at);
    }

    fn remove_first(&mut self, count: usize) {
        self.keys.remove_first(count);
        self.children.drain(..count);
    }
}

pub(super) fn sum_of(children: &[Child]) -> Fingerprint {
    let mut sum = Fingerprint::default();
    for child in children {
        sum.add(&child.sum);
    }
    sum
}

/// Slots by number; freed ones are used again.
#[derive(Clone, Debug)]
pub(super) struct Arena<T> {
    pub(super) slots: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T: Default> Arena<T> {
    fn add(&mut self, node: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self.slots[id as usize] = node;
            return id;
        }
        // 2^32 nodes are more than any address space of today holds.
        let id = self.slots.len() as u32;
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(self.slots.len() / 8 + 8);
        }
        self.slots.push(node);
        id
    }

    fn take(&mut self, id: u32) -> T {
        self.free.push(id);
        std::mem::take(&mut self.slots[id as usize])
    }

    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}

/// What came of putting an id into a subtree.
enum Inserted {
    Duplicate,
    Fits,
    /// It had to split: its new right neighbour, and that one's separator.
    Split(SyncId, Child),
}

/// The tree, without what is read from it.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) leaves: Arena<Keys>,
    pub(super) inners: Arena<Inner>,
    pub(super) root: u32,
    pub(super) height: usize,
    pub(super) sum: Fingerprint,
}

impl Default for Tree {
    fn default() -> Self {
        let mut leaves = Arena::default();
        let root = leaves.add(Keys::default());
        Tree { leaves, inners: Arena::default(), root, height: 0, sum: Fingerprint::default() }
    }
}

impl Tree {
    pub(super) fn leaf(&self, node: u32) -> &Keys {
        &self.leaves.slots[node as usize]
    }

    pub(super) fn inner(&self, node: u32) -> &Inner {
        &self.inners.slots[node as usize]
    }

    fn inner_mut(&mut self, node: u32) -> &mut Inner {
        &mut self.inners.slots[node as usize]
    }

    /// Entries of a node at a level; leaves are at level 0.
    fn len_at(&self, level: usize, node: u32) -> usize {
        if level == 0 { self.leaf(node).len() } else { self.inner(node).children.len() }
    }

    pub(super) fn insert(&mut self, id: &SyncId) -> bool {
        match self.insert_at(self.height, self.root, id, true) {
            Inserted::Duplicate => return false,
            Inserted::Fits => self.sum.add_id(&id.hash),
            Inserted::Split(separator, right) => {
                self.sum.add_id(&id.hash);
                let mut sum = self.sum;
                sum.take(&right.sum);
                let mut root = Inner::default();
                // The first separator is never looked at.
                root.insert(0, separator, Child { sum, node: self.root });
                root.insert(1, separator, right);
                self.root = self.inners.add(root);
                self.height += 1;
            }
        }
        true
    }

    /// `last` where nothing of the tree is to the right of this subtree: there a full node is left
    /// full and a new one begun, for ids mostly come in the order of time.
    fn insert_at(&mut self, level: usize, node: u32, id: &SyncId, last: bool) -> Inserted {
        if level == 0 {
            return self.insert_leaf(node, id, last);
        }
        let inner = self.inner(node);
        let at = inner.child_of(id);
        let last = last && at + 1 == inner.children.len();
        let child = inner.children[at].node;
        let (separator, new) = match self.insert_at(level - 1, child, id, last) {
            Inserted::Duplicate => return Inserted::Duplicate,
            Inserted::Fits => {
                self.inner_mut(node).children[at].sum.add_id(&id.hash);
                return Inserted::Fits;
            }
            Inserted::Split(separator, new) => (separator, new),
        };
        let inner = self.inner_mut(node);
        let sum = &mut inner.children[at].sum;
        sum.add_id(&id.hash);
        sum.take(&new.sum);
        if inner.children.len() < INNER {
            inner.insert(at + 1, separator, new);
            return Inserted::Fits;
        }
        let mut right = if last { Inner::default() } else { inner.split_off(INNER / 2) };
        match (at + 1).checked_sub(inner.children.len()) {
            Some(at) if last || at > 0 => right.insert(at, separator, new),
            _ => inner.insert(at + 1, separator, new),
        }
        let separator = right.keys.get(0).unwrap_or(separator);
        let sum = right.sum();
        Inserted::Split(separator, Child { sum, node: self.inners.add(right) })
    }

    fn insert_leaf(&mut self, node: u32, id: &SyncId, last: bool) -> Inserted {
        let leaf = &mut self.leaves.slots[node as usize];
        let Err(at) = leaf.find(id) else { return Inserted::Duplicate };
        if leaf.len() < LEAF {
            leaf.insert(at, *id);
            return Inserted::Fits;
        }
        let at_end = last && at == leaf.len();
        let mut right = if at_end { Keys::default() } else { leaf.split_off(LEAF / 2) };
        match at.checked_sub(leaf.len()) {
            Some(at) if at_end || at > 0 => right.insert(at, *id),
            _ => leaf.insert(at, *id),
        }
        let separator = right.get(0).unwrap_or(*id);
        let sum = right.sum(0, right.len());
        Inserted::Split(separator, Child { sum, node: self.leaves.add(right) })
    }

    /// Adds ids, of which those that ascend above all that is there go in leaf by leaf; tells how
    /// many were new.
    pub(super) fn append(&mut self, mut ids: &[SyncId]) -> usize {
        let before = self.sum.count;
        while let [first, rest @ ..] = ids {
            let (leaf, path) = self.last_leaf();
            let room = LEAF - self.leaf(leaf).len();
            let last = self.leaf(leaf).len().checked_sub(1).and_then(|at| self.leaf(leaf).get(at));
            if room == 0 || last.is_some_and(|last| last >= *first) {
                self.insert(first);
                ids = rest;
                continue;
            }
            let ascend = ids.windows(2).take(room - 1).take_while(|w| w[0] < w[1]).count() + 1;
            let (here, behind) = ids.split_at(ascend);
            let keys = &mut self.leaves.slots[leaf as usize];
            let start = keys.len();
            keys.extend(here);
            let sum = keys.sum(start, keys.len());
            self.sum.add(&sum);
            for node in path {
                if let Some(child) = self.inner_mut(node).children.last_mut() {
                    child.sum.add(&sum);
                }
            }
            ids = behind;
        }
        self.sum.count - before
    }

    /// The rightmost leaf, and the inner nodes above it.
    fn last_leaf(&self) -> (u32, Vec<u32>) {
        let mut path = Vec::with_capacity(self.height);
        let mut node = self.root;
        for _ in 0..self.height {
            path.push(node);
            node = self.inner(node).children.last().map_or(node, |child| child.node);
        }
        (node, path)
    }

    pub(super) fn remove(&mut self, id: &SyncId) -> bool {
        if !self.remove_at(self.height, self.root, id) {
            return false;
        }
        self.sum.take_id(&id.hash);
        self.lower_root();
        true
    }

    fn remove_at(&mut self, level: usize, node: u32, id: &SyncId) -> bool {
        if level == 0 {
            let leaf = &mut self.leaves.slots[node as usize];
            let found = leaf.find(id);
            if let Ok(at) = found {
                leaf.remove(at);
            }
            return found.is_ok();
        }
        let inner = self.inner(node);
        let at = inner.child_of(id);
        let child = inner.children[at].node;
        if !self.remove_at(level - 1, child, id) {
            return false;
        }
        self.inner_mut(node).children[at].sum.take_id(&id.hash);
        self.tend(level, node, at);
        true
    }

    /// Removes all ids below the bound.
    pub(super) fn prune(&mut self, bound: &SyncId) -> Fingerprint {
        let gone = self.prune_at(self.height, self.root, bound);
        self.sum.take(&gone);
        self.lower_root();
        gone
    }

    fn prune_at(&mut self, level: usize, node: u32, bound: &SyncId) -> Fingerprint {
        if level == 0 {
            let leaf = &mut self.leaves.slots[node as usize];
            let at = leaf.below(bound);
            let gone = leaf.sum(0, at);
            leaf.remove_first(at);
            return gone;
        }
        let at = self.inner(node).child_of(bound);
        let whole: Vec<Child> = self.inner(node).children[..at].to_vec();
        let mut gone = sum_of(&whole);
        for child in whole {
            self.free(level - 1, child.node);
        }
        self.inner_mut(node).remove_first(at);
        let child = self.inner(node).children[0].node;
        let part = self.prune_at(level - 1, child, bound);
        self.inner_mut(node).children[0].sum.take(&part);
        self.tend(level, node, 0);
        gone.add(&part);
        gone
    }

    fn free(&mut self, level: usize, node: u32) {
        if level == 0 {
            self.leaves.take(node);
            return;
        }
        for child in self.inners.take(node).children {
            self.free(level - 1, child.node);
        }
    }

    /// After the child at `at` lost ids: drops it where it is empty, and joins or evens it out
    /// with a neighbour where it is less than a quarter full.
    fn tend(&mut self, level: usize, node: u32, at: usize) {
        let child = self.inner(node).children[at].node;
        let most = if level == 1 { LEAF } else { INNER };
        let len = self.len_at(level - 1, child);
        if len == 0 {
            self.free(level - 1, child);
            self.inner_mut(node).remove(at);
            return;
        }
        if len >= most / 4 || self.inner(node).children.len() < 2 {
            return;
        }
        let at = at.saturating_sub(1);
        let inner = self.inner(node);
        let (left, right) = (inner.children[at], inner.children[at + 1]);
        let Some(border) = inner.keys.get(at + 1) else { return };
        let together = self.len_at(level - 1, left.node) + self.len_at(level - 1, right.node);
        let keep = (together > most).then_some(together / 2);
        let rest = if level == 1 {
            self.join_leaves(left.node, right.node, keep)
        } else {
            self.join_inners(left.node, right.node, border, keep)
        };
        let inner = self.inner_mut(node);
        inner.children[at].sum.add(&right.sum);
        match rest {
            None => inner.remove(at + 1),
            Some((border, rest)) => {
                inner.children[at].sum.take(&rest.sum);
                inner.keys.set(at + 1, border);
                inner.children[at + 1] = rest;
            }
        }
    }

    /// Moves all of a leaf into its left neighbour; where that shall keep only so many, the others
    /// go to a leaf of their own, which is returned with its separator.
    fn join_leaves(
        &mut self,
        left: u32,
        right: u32,
        keep: Option<usize>,
    ) -> Option<(SyncId, Child)> {
        let moved = self.leaves.take(right);
        let leaf = &mut self.leaves.slots[left as usize];
        leaf.append(moved);
        let rest = leaf.split_off(keep?);
        let border = rest.get(0)?;
        let sum = rest.sum(0, rest.len());
        Some((border, Child { sum, node: self.leaves.add(rest) }))
    }

    /// As [`Self::join_leaves`]; `border` is the separator between the two.
    fn join_inners(
        &mut self,
        left: u32,
        right: u32,
        border: SyncId,
        keep: Option<usize>,
    ) -> Option<(SyncId, Child)> {
        let mut moved = self.inners.take(right);
        moved.keys.set(0, border);
        let inner = &mut self.inners.slots[left as usize];
        inner.append(moved);
        let rest = inner.split_off(keep?);
        let border = rest.keys.get(0)?;
        let sum = rest.sum();
        Some((border, Child { sum, node: self.inners.add(rest) }))
    }

    /// A root with one child is not needed; one without any becomes an empty leaf.
    fn lower_root(&mut self) {
        while self.height > 0 && self.inner(self.root).children.len() < 2 {
            let old = self.inners.take(self.root);
            match old.children.first() {
                Some(child) => {
                    self.root = child.node;
                    self.height -= 1;
                }
                None => {
                    self.root = self.leaves.add(Keys::default());
                    self.height = 0;
                }
            }
        }
    }
}
