//! A hash of a set that adds up over disjoint sets: LtHash16 with 1,024 sums.
//!
//! Bellare and Micciancio's construction as in Lewi, Kim, Maykov and Weis, "Securing update
//! propagation with homomorphic hashing" (2019): each element is expanded to 1,024 numbers of 16
//! bits, and the numbers of all elements are added mod 2^16, place by place.
//!
//! The expansion: the element is a message hash, which SHA-256 has made of the message, and the
//! key stream of ChaCha8 under that key (counter and nonce 0) is its 2,048 bytes, as little-endian
//! numbers. SHA-256 followed by the stream stands for the random oracle with a long output that
//! the construction asks for; no one can choose a key, only try messages. Eight rounds are more
//! than any attack known on ChaCha reaches.
//!
//! To make two sets of one hash is to find a short non-trivial combination of such vectors that is
//! zero mod 2^16 in 1,024 dimensions (short integer solutions), for which more than 2^200 steps are
//! claimed. The generalised birthday attack, which breaks XORs and sums of 256 bits, finds 2^k
//! elements with a given sum of b bits in about 2^(k + b/(k+1)) steps; the best k makes that
//! 2^(2√b): 2^32 for 256 bits, but 2^256 for the 16,384 bits here. A set has each element once; 2^16 times the same one would vanish,
//! so whoever adds must not add twice. XOR of hashes (the index's fingerprints) has no such
//! strength.

use std::fmt;

use chacha20::rand_core::SeedableRng;
use chacha20::rand_core::block::Generator;
use chacha20::variants::Legacy;
use chacha20::{ChaChaCore, R8};
use sha2::{Digest, Sha256};

use crate::types::MessageHash;

/// How many sums.
const SUMS: usize = 1024;
/// How many the stream gives at a time: 64 words of two.
const STEP: usize = 128;

/// The hash of a set: 2 KiB on the heap.
#[derive(Clone, PartialEq, Eq)]
pub struct Lattice {
    sums: Box<[u16; SUMS]>,
}

impl Default for Lattice {
    /// Of the empty set.
    fn default() -> Self {
        Lattice { sums: Box::new([0; SUMS]) }
    }
}

impl fmt::Debug for Lattice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.digest();
        write!(f, "Lattice({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

impl Lattice {
    /// Adds an element, which must not be in the set yet.
    pub fn add(&mut self, hash: &MessageHash) {
        self.each(hash, u16::wrapping_add);
    }

    /// Takes an element out, which must be in the set.
    pub fn take(&mut self, hash: &MessageHash) {
        self.each(hash, u16::wrapping_sub);
    }

    fn each(&mut self, hash: &MessageHash, sum: impl Fn(u16, u16) -> u16) {
        let mut stream = ChaChaCore::<R8, Legacy>::from_seed(hash.0);
        let mut words = [0; STEP / 2];
        for sums in self.sums.as_chunks_mut::<STEP>().0 {
            stream.generate(&mut words);
            for ([a, b], word) in sums.as_chunks_mut::<2>().0.iter_mut().zip(&words) {
                *a = sum(*a, *word as u16);
                *b = sum(*b, (*word >> 16) as u16);
            }
        }
    }

    /// Adds a set that it has nothing in common with.
    pub fn add_all(&mut self, other: &Lattice) {
        for (a, b) in self.sums.iter_mut().zip(other.sums.iter()) {
            *a = a.wrapping_add(*b);
        }
    }

    /// Takes a part of the set out.
    pub fn take_all(&mut self, other: &Lattice) {
        for (a, b) in self.sums.iter_mut().zip(other.sums.iter()) {
            *a = a.wrapping_sub(*b);
        }
    }

    /// SHA-256 of the sums, little-endian: what goes over the wire.
    pub fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; SUMS * 2];
        for (to, sum) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(self.sums.iter()) {
            *to = sum.to_le_bytes();
        }
        Sha256::digest(bytes).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u8) -> MessageHash {
        MessageHash(Sha256::digest([n]).into())
    }

    fn of(hashes: impl IntoIterator<Item = u8>) -> Lattice {
        let mut lattice = Lattice::default();
        hashes.into_iter().for_each(|n| lattice.add(&hash(n)));
        lattice
    }

    /// What the other side computes too. The values were computed by another implementation.
    #[test]
    fn digests_are_fixed() {
        let hex = |lattice: &Lattice| data_encoding::HEXLOWER.encode(&lattice.digest());
        assert_eq!(
            hex(&of([])),
            "e5a00aa9991ac8a5ee3109844d84a55583bd20572ad3ffcd42792f3c36b183ad"
        );
        assert_eq!(
            hex(&of(0..3)),
            "75f4954d63ce6e0e7df9f609d9c25833e643b0bba63961ee3e2f1ab9d74f08e6"
        );
    }

    #[test]
    fn sums_add_up_and_come_apart_in_any_order() {
        let whole = of(0..100);
        assert_eq!(of((0..100).rev()), whole);
        let (a, b) = (of(0..37), of(37..100));
        let mut sum = b.clone();
        sum.add_all(&a);
        assert_eq!(sum, whole);
        sum.take_all(&b);
        assert_eq!(sum, a);
        (0..37).for_each(|n| sum.take(&hash(n)));
        assert_eq!(sum, Lattice::default());
    }

    #[test]
    fn one_element_more_less_or_other_is_another_hash() {
        let whole = of(0..100).digest();
        for n in 0..100 {
            assert_ne!(of((0..100).filter(|other| *other != n)).digest(), whole);
            assert_ne!(of((0..100).map(|m| if m == n { 200 } else { m })).digest(), whole);
        }
        // An XOR would not see it.
        assert_ne!(of([1, 1]), Lattice::default());
    }
}
