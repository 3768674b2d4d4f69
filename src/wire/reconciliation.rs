//! `/vac/waku/reconciliation/1.0.0`, the topics dialect: range payloads.

use crate::error::Result;
use crate::types::{ContentTopic, MessageHash, PubsubTopic, SyncId};

/// Protocol id.
pub const PROTOCOL: &str = "/vac/waku/reconciliation/1.0.0";

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

/// One frame. Without ranges it is the empty payload.
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
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// From bytes without the length prefix; no bytes at all are the empty payload too.
    pub fn decode(_bytes: &[u8]) -> Result<Self> {
        todo!()
    }
}
