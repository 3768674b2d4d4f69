//! Messages and what names them, as records: the shapes of [`crate::types`] without their
//! invariants, which are checked on the way in.
//!
//! Hashes are bytes, 32 of them; timestamps are Unix nanoseconds.

use super::error::{Failure, Result};
use crate::archive;
use crate::types::{self, ContentTopic, MessageHash, PubsubTopic, Timestamp};

/// A message of the network (14/WAKU2-MESSAGE). Absent and empty are told apart where the wire
/// tells them apart.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Message {
    /// What the app sends.
    pub payload: Vec<u8>,
    /// What the app files it under: `/{application}/{version}/{name}/{encoding}`.
    pub content_topic: String,
    /// When it was sent, in Unix nanoseconds. A message without one is relayed but never stored.
    pub timestamp: Option<i64>,
    /// At most 64 bytes for the app's protocol; part of the hash.
    #[uniffi(default = None)]
    pub meta: Option<Vec<u8>>,
    /// The kind of payload encryption; absent means 0.
    #[uniffi(default = None)]
    pub version: Option<u32>,
    /// Kept as it came: without it the message can no longer be validated.
    #[uniffi(default = None)]
    pub rate_limit_proof: Option<Vec<u8>>,
    /// Not to be stored where true.
    #[uniffi(default = None)]
    pub ephemeral: Option<bool>,
}

/// A message and the topic it was, or is to be, published on.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct TopicMessage {
    /// The topic that it travels on: `/waku/2/rs/{cluster}/{shard}`, or a named one.
    pub pubsub_topic: String,
    /// The message itself.
    pub message: Message,
}

/// A message with what names it: what the archive holds and hands out.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct StoredMessage {
    /// The message hash, 32 bytes.
    pub hash: Vec<u8>,
    /// Where it was published.
    pub pubsub_topic: String,
    /// The message itself.
    pub message: Message,
}

/// Where a message came from; the rules of what may be stored depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum Origin {
    /// Relay, or the host, as it happened: the timestamp must be close to now.
    Live = 0,
    /// Transfer after a reconciliation.
    Sync = 1,
    /// A Store query for a gap.
    Resume = 2,
    /// Another archive.
    Import = 3,
}

/// What became of a message that was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum PutOutcome {
    /// It is new, and committed.
    Stored = 0,
    /// It was there already, and committed. Not an error.
    Duplicate = 1,
    /// The rules refuse it; the rest of its batch is not touched by that.
    Refused = 2,
}

/// What became of one message of a put.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct PutResult {
    /// The message's hash, 32 bytes.
    pub hash: Vec<u8>,
    /// What became of it.
    pub outcome: PutOutcome,
    /// Why it was refused, where it was.
    pub refusal: Option<Failure>,
}

/// The hashes in a list; the error tells which of them is wrong.
///
/// # Errors
/// [`crate::ErrorKind::InvalidHash`] unless each is 32 bytes long.
pub(super) fn hashes(list: &[Vec<u8>]) -> Result<Vec<MessageHash>> {
    let one = |(i, bytes): (usize, &Vec<u8>)| {
        MessageHash::from_slice(bytes).map_err(|e| e.context(format_args!("hash {i} of the list")))
    };
    Ok(list.iter().enumerate().map(one).collect::<crate::Result<_>>()?)
}

/// The bytes of hashes.
pub(super) fn bytes_of(hashes: Vec<MessageHash>) -> Vec<Vec<u8>> {
    hashes.into_iter().map(|h| h.0.to_vec()).collect()
}

/// Content topics, checked.
///
/// # Errors
/// [`crate::ErrorKind::InvalidTopic`].
pub(super) fn content_topics(list: &[String]) -> crate::Result<Vec<ContentTopic>> {
    list.iter().map(ContentTopic::new).collect()
}

/// Pubsub topics, checked.
///
/// # Errors
/// [`crate::ErrorKind::InvalidTopic`].
pub(super) fn pubsub_topics(list: &[String]) -> crate::Result<Vec<PubsubTopic>> {
    list.iter().map(PubsubTopic::new).collect()
}

impl TryFrom<Message> for types::WakuMessage {
    type Error = crate::Error;

    fn try_from(m: Message) -> crate::Result<Self> {
        Ok(types::WakuMessage {
            payload: m.payload.into(),
            content_topic: ContentTopic::new(m.content_topic)?,
            version: m.version,
            timestamp: m.timestamp.map(Timestamp),
            meta: m.meta.map(Into::into),
            rate_limit_proof: m.rate_limit_proof.map(Into::into),
            ephemeral: m.ephemeral,
        })
    }
}

impl From<types::WakuMessage> for Message {
    fn from(m: types::WakuMessage) -> Self {
        Message {
            payload: m.payload.into(),
            content_topic: m.content_topic.as_str().to_owned(),
            timestamp: m.timestamp.map(Timestamp::nanos),
            meta: m.meta.map(Into::into),
            version: m.version,
            rate_limit_proof: m.rate_limit_proof.map(Into::into),
            ephemeral: m.ephemeral,
        }
    }
}

impl TryFrom<TopicMessage> for types::StoredMessage {
    type Error = crate::Error;

    fn try_from(m: TopicMessage) -> crate::Result<Self> {
        Ok(types::StoredMessage::new(PubsubTopic::new(m.pubsub_topic)?, m.message.try_into()?))
    }
}

impl From<types::StoredMessage> for StoredMessage {
    fn from(m: types::StoredMessage) -> Self {
        StoredMessage {
            hash: m.hash.0.to_vec(),
            pubsub_topic: m.pubsub_topic.as_str().to_owned(),
            message: m.message.into(),
        }
    }
}

impl From<Origin> for types::Origin {
    fn from(o: Origin) -> Self {
        match o {
            Origin::Live => types::Origin::Live,
            Origin::Sync => types::Origin::Sync,
            Origin::Resume => types::Origin::Resume,
            Origin::Import => types::Origin::Import,
        }
    }
}

impl From<types::Origin> for Origin {
    fn from(o: types::Origin) -> Self {
        match o {
            types::Origin::Live => Origin::Live,
            types::Origin::Sync => Origin::Sync,
            types::Origin::Resume => Origin::Resume,
            types::Origin::Import => Origin::Import,
        }
    }
}

impl PutResult {
    pub(super) fn new(hash: MessageHash, outcome: archive::PutOutcome) -> Self {
        let (outcome, refusal) = match outcome {
            archive::PutOutcome::Stored => (PutOutcome::Stored, None),
            archive::PutOutcome::Duplicate => (PutOutcome::Duplicate, None),
            archive::PutOutcome::Refused(e) => (PutOutcome::Refused, Some(e.into())),
        };
        PutResult { hash: hash.0.to_vec(), outcome, refusal }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::ffi::uniffi::error::{ErrorKind, WakuError};

    #[test]
    fn every_field_comes_back() {
        let m = Message {
            payload: vec![1, 2],
            content_topic: "/app/1/x/proto".into(),
            timestamp: Some(-7),
            meta: Some(vec![]),
            version: Some(2),
            rate_limit_proof: Some(vec![9]),
            ephemeral: Some(false),
        };
        let crossed = types::WakuMessage::try_from(m.clone()).unwrap();
        assert!(Message::from(crossed) == m);
    }

    #[test]
    fn a_wrong_hash_is_named() {
        let WakuError::Failed { kind, reason } = hashes(&[vec![0; 32], vec![0; 31]]).unwrap_err();
        assert_eq!(kind, ErrorKind::InvalidHash);
        assert!(reason.contains("hash 1") && reason.contains("31"), "{reason}");
    }
}
