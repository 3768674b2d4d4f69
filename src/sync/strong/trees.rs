//! The trees of one session's scope with what is kept of them, taken together.

use std::ops::Range;

use crate::sync::index::Index;
use crate::sync::lattice::Lattice;
use crate::sync::reconcile::View;
use crate::sync::sketch::{Cell, Key};
use crate::sync::summary::{Kept, cells_of, find, lattice_of};
use crate::types::{MessageHash, SyncId, TimeRange, Timestamp};

/// The trees of one session's scope, which have no id in common, each with its kept summary where
/// it has one.
#[derive(Debug, Default)]
pub struct Trees<'a>(pub Vec<(&'a Index, Option<&'a Kept>)>);

impl<'a> Trees<'a> {
    /// Count and lattice hash of a window.
    pub(super) fn summary(&self, window: TimeRange) -> (u64, Lattice) {
        let mut sum = (0, Lattice::default());
        for (index, kept) in &self.0 {
            let (count, lattice) = lattice_of(*kept, index, window);
            sum.0 += count;
            sum.1.add_all(&lattice);
        }
        sum
    }

    /// Cells of a window.
    pub(super) fn cells(&self, window: TimeRange, cells: Range<usize>) -> Vec<Cell> {
        let mut sums = vec![Cell::default(); cells.len()];
        for (index, kept) in &self.0 {
            let more = cells_of(*kept, index, window, cells.clone());
            for (sum, cell) in sums.iter_mut().zip(&more) {
                sum.add(cell);
            }
        }
        sums
    }

    /// The id of a key.
    pub(super) fn find(&self, window: TimeRange, key: &Key) -> Option<SyncId> {
        self.0.iter().find_map(|(index, _)| find(index, window, key))
    }

    /// The ids of one time.
    pub(super) fn at(&self, time: Timestamp) -> impl Iterator<Item = SyncId> + use<'a> {
        let (lower, upper) = (SyncId::floor(time), SyncId::new(time, MessageHash::MAX));
        let in_one = move |index: &'a Index| {
            let last = index.contains(&upper).then_some(upper);
            index.range(&lower, &upper).chain(last)
        };
        let trees: Vec<&'a Index> = self.0.iter().map(|(index, _)| *index).collect();
        trees.into_iter().flat_map(in_one)
    }

    /// For ranges.
    pub(super) fn view(&self) -> View<'a> {
        View(self.0.iter().map(|(index, _)| *index).collect())
    }
}
