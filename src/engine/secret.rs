//! Random bytes that a peer must not be able to guess: salts.
//!
//! SHA-256 of a secret and a counter. Without [`super::Engine::reseed`] the secret follows from the
//! engine's seed, as a simulation wants it.

use sha2::{Digest, Sha256};

/// See the head of the file.
pub(super) struct Secret {
    key: [u8; 32],
    drawn: u64,
}

impl Secret {
    /// From the seed alone.
    pub(super) fn of_seed(seed: u64) -> Self {
        let digest =
            Sha256::new().chain_update(b"wakustore engine").chain_update(seed.to_be_bytes());
        Secret { key: digest.finalize().into(), drawn: 0 }
    }

    /// Mixes fresh randomness in; what was known of the secret before is worth nothing then.
    pub(super) fn reseed(&mut self, fresh: &[u8; 32]) {
        let digest = Sha256::new().chain_update(b"reseeded").chain_update(self.key);
        self.key = digest.chain_update(fresh).finalize().into();
    }

    /// The next sixteen bytes.
    pub(super) fn draw(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let digest = Sha256::new().chain_update(b"drawn").chain_update(self.key);
        let digest = digest.chain_update(self.drawn.to_be_bytes()).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_and_follow_from_the_seed_until_reseeded() {
        let (mut a, mut b) = (Secret::of_seed(1), Secret::of_seed(1));
        let first = a.draw();
        assert_eq!(first, b.draw());
        assert_ne!(first, a.draw());
        assert_ne!(first, Secret::of_seed(2).draw());
        let mut c = Secret::of_seed(1);
        c.reseed(&[7; 32]);
        assert_ne!(first, c.draw());
    }
}
