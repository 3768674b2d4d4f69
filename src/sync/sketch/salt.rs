//! Keys and hashes under a salt that a session's sides made together.
//!
//! Who chooses messages before the session cannot know the salt, and so cannot choose what
//! collides or cancels under it.

use std::hash::Hasher;

use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher24};

use super::Key;
use crate::types::MessageHash;

/// Two salts of 16 bytes, one of each side, made into one.
#[derive(Clone, Debug)]
pub struct Salt {
    keyed: SipHasher24,
    /// SHA-256 after its first block: 32 bytes that say what this is for, and both salts.
    block: Sha256,
}

/// What the hash of a salted id is for: half a block of SHA-256.
const HASH_USE: &[u8; 32] = b"wakustore/sync/1.0.0 salted hash";
const KEY_USE: &[u8; 32] = b"wakustore/sync/1.0.0 salted keys";

impl Salt {
    /// From the salt of the side that began the session and that of the other.
    pub fn new(initiator: &[u8; 16], responder: &[u8; 16]) -> Salt {
        let both = |what: &[u8; 32]| {
            let mut block = Sha256::new();
            block.update(what);
            block.update(initiator);
            block.update(responder);
            block
        };
        let mut key = [0; 16];
        key.copy_from_slice(&both(KEY_USE).finalize()[..16]);
        Salt { keyed: SipHasher24::new_with_key(&key), block: both(HASH_USE) }
    }

    /// A message's key: the first 96 bits of SipHash-2-4-128 of its hash.
    pub fn key(&self, hash: &MessageHash) -> Key {
        let mut keyed = self.keyed;
        keyed.write(hash.as_bytes());
        let mut key = [0; 12];
        key.copy_from_slice(&keyed.finish128().as_bytes()[..12]);
        Key(key)
    }

    /// A hash to stand for a message's own: SHA-256 of a use, both salts and the hash. As long as
    /// the salts were not known when messages were made, no set of these can have been prepared.
    pub fn hash(&self, hash: &MessageHash) -> MessageHash {
        MessageHash(self.block.clone().chain_update(hash.as_bytes()).finalize().into())
    }
}
