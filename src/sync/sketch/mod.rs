//! Sketches of sets: from the difference of two, the keys that only one side has can be read.
//!
//! A rateless invertible Bloom table (Yang, Gilad, Alizadeh: "Practical Rateless Set
//! Reconciliation", SIGCOMM 2024). A set is told as an endless row of cells; each key is summed
//! into the first and then into ever sparser ones (see `places`). All sums are linear: sketches of
//! disjoint sets add up, and what two sets share vanishes from the difference of their cells. From
//! 1.35 to 1.7 cells for each differing key the difference can be taken apart ([`Decoder`]).
//!
//! Always: a cell is the sum of exactly the keys that `Places` puts there, so that the first
//! cells of a long sketch are those of a short one; nothing here depends on the machine (the one
//! use of floating point is of operations that IEEE 754 defines to the last bit), for the other
//! side must come to the same cells.
//!
//! Whoever chooses keys can make a sketch fail to decode, and with plain keys hide keys from it
//! that collide. What decides whether two sets are equal is the [lattice](super::lattice) hash.

mod decode;
mod estimate;
mod places;
mod salt;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use estimate::{
    at_most, cells_for, cells_for_guess, estimate, estimate_counts, estimate_with, low_counts,
};
pub use salt::Salt;

use std::borrow::Borrow;
use std::ops::Range;

use crate::types::SyncId;
use places::{Places, mix};

/// The cells that a kept summary has, and the most that a session asks for.
pub const MAX_CELLS: usize = 16_384;

/// What stands for a message in a sketch: 96 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Key(pub [u8; 12]);

impl Key {
    /// The plain key: the low 48 bits of the timestamp in nanoseconds, big-endian, then the first
    /// six bytes of the hash. Where a window is shorter than 2^48 ns (78 hours), its time is told
    /// by the key, and an ordered set of ids can find the id of a key.
    pub fn plain(id: &SyncId) -> Key {
        let time = (id.timestamp.nanos() as u64) << 16;
        let hash = id.hash.as_bytes();
        let mut key = [0; 12];
        key[..6].copy_from_slice(&time.to_be_bytes()[..6]);
        key[6..].copy_from_slice(&hash[..6]);
        Key(key)
    }

    /// Of a plain key: the low 48 bits of the timestamp.
    pub fn time_low(&self) -> u64 {
        let mut time = [0; 8];
        time[2..].copy_from_slice(&self.0[..6]);
        u64::from_be_bytes(time)
    }

    /// Of a plain key: the first six bytes of the hash.
    pub fn prefix(&self) -> [u8; 6] {
        let mut prefix = [0; 6];
        prefix.copy_from_slice(&self.0[6..]);
        prefix
    }

    /// Its first eight bytes and its last four as numbers.
    fn parts(&self) -> (u64, u32) {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes(rest))
    }

    fn xor(&mut self, other: &Key) {
        let ((a, b), (c, d)) = (self.parts(), other.parts());
        self.0[..8].copy_from_slice(&(a ^ c).to_le_bytes());
        self.0[8..].copy_from_slice(&(b ^ d).to_le_bytes());
    }
}

/// The sum of some keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    /// The XOR of the keys.
    pub key: Key,
    /// The XOR of the keys' checks, which no XOR of keys foretells.
    pub check: u32,
    /// How many keys; in a difference, how many more ours has than theirs. It wraps.
    pub count: i64,
}

impl Cell {
    /// Of one key.
    pub fn of(key: &Key) -> Cell {
        Cell { key: *key, check: mix(key).1, count: 1 }
    }

    /// Adds the keys of another.
    pub fn add(&mut self, other: &Cell) {
        self.key.xor(&other.key);
        self.check ^= other.check;
        self.count = self.count.wrapping_add(other.count);
    }

    /// Takes the keys of another out.
    pub fn take(&mut self, other: &Cell) {
        self.key.xor(&other.key);
        self.check ^= other.check;
        self.count = self.count.wrapping_sub(other.count);
    }

    /// Whether it is the sum of nothing.
    pub fn is_zero(&self) -> bool {
        *self == Cell::default()
    }

    /// Whether it is the sum of one key, or, negative, the difference of none and one.
    fn is_pure(&self) -> bool {
        (self.count == 1 || self.count == -1) && mix(&self.key).1 == self.check
    }
}

/// Adds one key's cell, whose count may be negative, to those of the cells from number `from` on
/// that are its.
fn spread(cell: &Cell, from: usize, cells: &mut [Cell]) {
    for at in Places::of(&cell.key) {
        let Some(at) = at.checked_sub(from) else { continue };
        let Some(sum) = cells.get_mut(at) else { return };
        sum.add(cell);
    }
}

/// The first cells of a set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sketch {
    cells: Vec<Cell>,
}

impl Sketch {
    /// Of no key, so many cells long (24 bytes each).
    pub fn new(len: usize) -> Sketch {
        Sketch { cells: vec![Cell::default(); len] }
    }

    /// Adds a key.
    pub fn add(&mut self, key: &Key) {
        spread(&Cell::of(key), 0, &mut self.cells);
    }

    /// Takes a key out that was added.
    pub fn remove(&mut self, key: &Key) {
        spread(&Cell { count: -1, ..Cell::of(key) }, 0, &mut self.cells);
    }

    /// Takes all keys out.
    pub fn clear(&mut self) {
        self.cells.fill(Cell::default());
    }

    /// The cells, in order.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Adds all keys of another. Afterwards it is as long as the shorter of both.
    pub fn add_all(&mut self, other: &Sketch) {
        self.cells.truncate(other.cells.len());
        for (sum, cell) in self.cells.iter_mut().zip(&other.cells) {
            sum.add(cell);
        }
    }

    /// Takes all keys of another out. Afterwards it is as long as the shorter of both.
    pub fn take_all(&mut self, other: &Sketch) {
        self.cells.truncate(other.cells.len());
        for (sum, cell) in self.cells.iter_mut().zip(&other.cells) {
            sum.take(cell);
        }
    }

    /// Cells `cells` of the endless row of these keys.
    pub fn cells_from<K: Borrow<Key>>(
        keys: impl IntoIterator<Item = K>,
        cells: Range<usize>,
    ) -> Vec<Cell> {
        let mut sums = vec![Cell::default(); cells.len()];
        for key in keys {
            spread(&Cell::of(key.borrow()), cells.start, &mut sums);
        }
        sums
    }

    /// Adds (or, with `remove`, takes out) keys to cells that begin with number `from`.
    pub(in crate::sync) fn spread_all(
        keys: impl IntoIterator<Item = Key>,
        remove: bool,
        from: usize,
        cells: &mut [Cell],
    ) {
        let count = if remove { -1 } else { 1 };
        for key in keys {
            spread(&Cell { count, ..Cell::of(&key) }, from, cells);
        }
    }

    /// The memory that it takes, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }
}
