//! Count and XOR of a set of ids: what two nodes compare.

use crate::types::MessageHash;

/// Count and XOR of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fingerprint {
    /// How many ids.
    pub count: usize,
    /// The XOR of their hashes.
    pub xor: MessageHash,
}

impl Fingerprint {
    /// XORs a hash in (or out, which is the same) and leaves the count.
    pub(super) fn mix(&mut self, hash: &MessageHash) {
        for (a, b) in self.xor.0.iter_mut().zip(&hash.0) {
            *a ^= b;
        }
    }

    /// With one id more.
    pub(super) fn add_id(&mut self, hash: &MessageHash) {
        self.count += 1;
        self.mix(hash);
    }

    /// With one of its ids less.
    pub(super) fn take_id(&mut self, hash: &MessageHash) {
        self.count = self.count.saturating_sub(1);
        self.mix(hash);
    }

    /// With all of a set that it has nothing in common with.
    pub(in crate::sync) fn add(&mut self, other: &Fingerprint) {
        self.count += other.count;
        self.mix(&other.xor);
    }

    /// Without a part of it.
    pub(super) fn take(&mut self, part: &Fingerprint) {
        self.count = self.count.saturating_sub(part.count);
        self.mix(&part.xor);
    }

    /// Of these hashes.
    pub(in crate::sync) fn of<'a>(hashes: impl IntoIterator<Item = &'a MessageHash>) -> Self {
        let mut sum = Fingerprint::default();
        for hash in hashes {
            sum.add_id(hash);
        }
        sum
    }
}
