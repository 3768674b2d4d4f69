//! A message as sync sees it.

use super::{MessageHash, Timestamp};

/// Timestamp and hash of a message; the order of everything: timestamp, then hash as unsigned
/// bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SyncId {
    /// When the message says it was sent.
    pub timestamp: Timestamp,
    /// Which message it is.
    pub hash: MessageHash,
}

impl SyncId {
    /// An id, or a bound between ids.
    pub const fn new(timestamp: Timestamp, hash: MessageHash) -> Self {
        SyncId { timestamp, hash }
    }

    /// The lowest id that a message of time `t` could have: the bound just before them all.
    pub const fn floor(t: Timestamp) -> Self {
        SyncId { timestamp: t, hash: MessageHash::ZERO }
    }
}
