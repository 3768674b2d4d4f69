//! `/vac/waku/reconciliation/1.0.0`: range payloads.
//!
//! A payload is a header (the sender's topics; in the shards dialect, which has a file of its own,
//! its cluster and shards), the first lower bound's timestamp, and ranges that
//! adjoin: each says its upper bound, which is the next one's lower bound. All integers are minimal
//! unsigned LEB128. Reading and writing live in two files of their own.
//!
//! What the wire cannot say, and what a sender therefore must not mean:
//! - A bound's hash travels only where its timestamp equals the previous bound's; elsewhere the
//!   receiver takes it as zero. Use [`SyncId::floor`] there.
//! - Even then only the bytes up to and including the first that differs from the previous bound's
//!   hash travel, and the rest reads as zero. [`Payload::as_read`] tells what a receiver will see.
//! - A time before 1970 cannot be written. Clamp what is compared to start at 0 or later.

mod read;
mod shards;
mod write;

pub use shards::{Dialect, Shards};

use crate::types::{ContentTopic, MessageHash, PubsubTopic, SyncId};

/// Protocol id.
pub const PROTOCOL: &str = "/vac/waku/reconciliation/1.0.0";
/// The most topics, of each kind, in a header that is read.
pub const MAX_TOPICS: usize = 4096;
/// The most ranges of a payload that is read. A million ids that differ everywhere are some
/// hundred thousand ranges; beyond this the ranges cost far more memory than wire.
pub const MAX_RANGES: usize = 256 * 1024;

/// What a side compares: empty lists mean all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    /// Its pubsub topics.
    pub pubsub_topics: Vec<PubsubTopic>,
    /// Its content topics.
    pub content_topics: Vec<ContentTopic>,
}

/// What is said of a range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RangeData {
    /// Settled.
    Skip,
    /// The XOR of all hashes in it.
    Fingerprint(MessageHash),
    /// All ids in it, in order.
    ItemSet {
        /// The ids.
        ids: Vec<SyncId>,
        /// Whether the sender has the receiver's ids of this range already.
        reconciled: bool,
    },
}

/// One range of a payload; its lower bound is the upper bound of the one before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first id that is not in it.
    pub upper: SyncId,
    /// What is said of it.
    pub data: RangeData,
}

/// One frame. Without ranges it is the empty payload, which carries no scope either.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payload {
    /// The sender's own full scope.
    pub scope: Scope,
    /// The lower bound of the first range; its hash is zero on the wire.
    pub lower: SyncIdFloor,
    /// The ranges, ascending and adjoining.
    pub ranges: Vec<Range>,
}

/// The timestamp of a payload's first lower bound.
pub type SyncIdFloor = crate::types::Timestamp;

impl Payload {
    /// The bytes without the length prefix; the empty payload is the single byte 00.
    ///
    /// The bounds must ascend, and the ids of each item set too. Ids and bounds before 1970 cannot
    /// be written: such a bound is raised to 0, such an id is left out.
    pub fn encode(&self) -> Vec<u8> {
        write::payload(self)
    }

    /// From bytes without the length prefix; no bytes at all are the empty payload too.
    ///
    /// What a payload that is read holds: bounds never descend (two may be equal: deployed encoders
    /// shorten bounds of one timestamp to the same bytes). The ids of an item set strictly ascend.
    /// Their *timestamps* lie between those of their range's bounds, both included: deployed nodes
    /// take every lower bound's hash as zero and the upper bound as inclusive, so an id may stand
    /// in two neighbouring item sets or beyond its bound's hash. Whoever needs ids strictly of
    /// the range must compare them with the bounds.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Truncated`]; [`crate::ErrorKind::FrameTooLarge`] where a count is
    /// beyond [`MAX_TOPICS`] or [`MAX_RANGES`]; [`crate::ErrorKind::InvalidTopic`];
    /// [`crate::ErrorKind::Malformed`] for everything else, ids that are not in order among it.
    pub fn decode(bytes: &[u8]) -> crate::Result<Self> {
        read::payload(bytes)
    }

    /// The same payload with its bounds as they are read from [`Payload::encode`]'s bytes: each
    /// bound's hash zero, or shortened where two bounds share a timestamp. A fingerprint holds on
    /// both sides only if it is of a range between such bounds.
    #[must_use]
    pub fn as_read(mut self) -> Self {
        let mut previous = SyncId::floor(write::writable(self.lower));
        self.lower = previous.timestamp;
        for range in &mut self.ranges {
            let whole = range.upper;
            range.upper = write::shortened(&previous, &whole);
            previous = whole;
        }
        self
    }
}

#[cfg(test)]
mod tests;
