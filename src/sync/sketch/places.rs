//! Which cells a key is summed into.
//!
//! Cell 0, and cell i with a probability of about 2 / (i + 2), independently of all others: the
//! mapping of the rateless table. It is drawn as gaps: after cell i none of the next g is hit with
//! probability ((i + 1.5) / (i + g + 1.5))², so a uniform u in (0, 1] gives a gap of
//! (i + 1.5) (1/√u − 1), rounded to the next whole number above. Both sides must agree to the bit:
//! conversion, product, quotient and root are exact as IEEE 754 has them.

use super::Key;

/// High half of the product, folded with its low half.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

// Digits of pi, e, the golden ratio and the square root of two; the generator's factor is odd.
const PI: u64 = 0x2438_6a88_85a3_08d3;
const E: u64 = 0xb7e1_5162_8aed_2a6b;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const ROOT: u64 = 0x6a09_e667_f3bc_c909;
const FACTOR: u64 = 0xda94_2042_e4dd_58b5;

/// A key's seed of places, and its check.
pub(super) fn mix(key: &Key) -> (u64, u32) {
    let (a, b) = key.parts();
    let x = fold(a ^ PI, u64::from(b) ^ E);
    (fold(x ^ u64::from(b), GOLDEN), (fold(x ^ a, ROOT) >> 32) as u32)
}

/// The probability that a key is in a cell. That of the gap after cell i leaves out cell j where
/// it left out those between says ((j + 0.5) / (j + 1.5))², whatever i was.
pub(super) fn chance(at: usize) -> f64 {
    if at == 0 { 1.0 } else { 1.0 - ((at as f64 + 0.5) / (at as f64 + 1.5)).powi(2) }
}

/// The numbers of a key's cells, ascending, without end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    state: u64,
    next: usize,
}

impl Places {
    pub(super) fn of(key: &Key) -> Places {
        Places { state: mix(key).0, next: 0 }
    }

    /// The number that comes next.
    pub(super) fn peek(&self) -> usize {
        self.next
    }

    pub(super) fn advance(&mut self) {
        self.state = self.state.wrapping_mul(FACTOR);
        // 52 bits, so that the sum is exact, and never zero.
        let u = ((self.state >> 12) + 1) as i64 as f64 * (1.0 / (1u64 << 52) as f64);
        let gap = (self.next as i64 as f64 + 1.5) * (1.0 / u.sqrt() - 1.0);
        // A cast saturates; no table is so long.
        self.next = self.next.saturating_add(gap as i64 as usize + 1);
    }
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.next;
        self.advance();
        Some(at)
    }
}
