//! Takes the difference of two sets' cells apart into its keys.
//!
//! A cell that is the sum of one key gives that key, which is then taken out of all its cells, and
//! so others become sums of one. Always: at most one key for each cell, and none twice, so that
//! whatever cells a peer makes up, the work and the memory are within a factor of their number.

use std::collections::HashSet;

use super::places::Places;
use super::{Cell, Key};

/// A key that was found, and which of the cells to come it is in.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// As it is in the difference: 1 or -1 of it.
    cell: Cell,
    places: Places,
}

impl Found {
    /// Takes the key out of its cells among those up to the end; `touched` hears of each.
    fn take_from(&mut self, cells: &mut [Cell], mut touched: impl FnMut(usize, bool, &Cell)) {
        while let Some(sum) = cells.get_mut(self.places.peek()) {
            let was_zero = sum.is_zero();
            sum.take(&self.cell);
            touched(self.places.peek(), was_zero, sum);
            self.places.advance();
        }
    }
}

/// The cells of a difference, ours without theirs, and what could be read from them.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    cells: Vec<Cell>,
    /// How many of the cells are not zero.
    open: usize,
    found: Vec<Found>,
    seen: HashSet<Key>,
    local: Vec<Key>,
    remote: Vec<Key>,
    broken: bool,
}

impl Decoder {
    /// Without cells.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Appends the cells that come next in the row, ours without theirs, and decodes what can be.
    /// True once all is decoded. Each call looks at all keys found so far: a few hundred cells a
    /// call are better than one.
    pub fn push(&mut self, cells: &[Cell]) -> bool {
        if self.broken {
            return false;
        }
        let start = self.cells.len();
        self.cells.extend_from_slice(cells);
        for found in &mut self.found {
            found.take_from(&mut self.cells, |_, _, _| {});
        }
        let new = self.cells.iter().enumerate().skip(start);
        let mut pure = Vec::new();
        for (at, cell) in new {
            self.open += usize::from(!cell.is_zero());
            if cell.is_pure() {
                pure.push(at);
            }
        }
        self.peel(pure);
        self.is_done()
    }

    /// Takes out keys as long as some cell is the sum of one.
    fn peel(&mut self, mut pure: Vec<usize>) {
        while let Some(at) = pure.pop() {
            // It may have changed since.
            let Some(cell) = self.cells.get(at).filter(|cell| cell.is_pure()).copied() else {
                continue;
            };
            // No honest difference holds a key twice, or more keys than can be told apart.
            if self.found.len() == self.cells.len() || !self.seen.insert(cell.key) {
                self.broken = true;
                return;
            }
            if cell.count == 1 { &mut self.local } else { &mut self.remote }.push(cell.key);
            let mut found = Found { cell, places: Places::of(&cell.key) };
            let open = &mut self.open;
            found.take_from(&mut self.cells, |at, was_zero, sum| {
                let is_zero = sum.is_zero();
                *open = *open + usize::from(was_zero) - usize::from(is_zero);
                if sum.is_pure() {
                    pure.push(at);
                }
            });
            self.found.push(found);
        }
    }

    /// The keys that only ours has, as far as found.
    pub fn local(&self) -> &[Key] {
        &self.local
    }

    /// The keys that only theirs has, as far as found.
    pub fn remote(&self) -> &[Key] {
        &self.remote
    }

    /// Whether all that the cells hold is decoded. Without a cell nothing is known.
    pub fn is_done(&self) -> bool {
        !self.broken && !self.cells.is_empty() && self.open == 0
    }

    /// Whether no cell to come can help: these were not the cells of two sets' difference, or of
    /// sets with two ids of one key.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// How many cells it was given.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether it was given none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}
