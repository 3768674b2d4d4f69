//! Messages, and the hash that names them.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{ContentTopic, MessageHash, PubsubTopic, SyncId, Timestamp};

/// The network's largest message, in bytes of its encoding.
pub const MAX_MESSAGE_SIZE: usize = 150 * 1024;
/// The longest meta field, in bytes.
pub const MAX_META_SIZE: usize = 64;

/// 14/WAKU2-MESSAGE. Absent and empty are told apart where the wire tells them apart.
#[derive(Clone, PartialEq, Eq)]
pub struct WakuMessage {
    /// What the app sends.
    pub payload: Bytes,
    /// What the app files it under.
    pub content_topic: ContentTopic,
    /// The kind of payload encryption; absent means 0.
    pub version: Option<u32>,
    /// When it was sent. A message without one is relayed but never stored.
    pub timestamp: Option<Timestamp>,
    /// At most [`MAX_META_SIZE`] bytes for the app's protocol; part of the hash.
    pub meta: Option<Bytes>,
    /// Kept as it came: without it the message can no longer be validated.
    pub rate_limit_proof: Option<Bytes>,
    /// Not to be stored where true.
    pub ephemeral: Option<bool>,
}

impl WakuMessage {
    /// A message with payload, content topic and timestamp, and nothing else.
    pub fn new(
        payload: impl Into<Bytes>,
        content_topic: ContentTopic,
        timestamp: Timestamp,
    ) -> Self {
        WakuMessage {
            payload: payload.into(),
            content_topic,
            version: None,
            timestamp: Some(timestamp),
            meta: None,
            rate_limit_proof: None,
            ephemeral: None,
        }
    }
}

/// The payload stays out: what is printed may end in a log.
impl std::fmt::Debug for WakuMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WakuMessage")
            .field("content_topic", &self.content_topic)
            .field("timestamp", &self.timestamp)
            .field("payload_len", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// The deterministic hash of 14/WAKU2-MESSAGE: SHA-256 over pubsub topic, payload, content topic,
/// meta (absent adds nothing) and the timestamp as eight big-endian bytes (absent counts as 0).
pub fn message_hash(pubsub_topic: &PubsubTopic, message: &WakuMessage) -> MessageHash {
    let mut sha = Sha256::new();
    sha.update(pubsub_topic.as_bytes());
    sha.update(&message.payload);
    sha.update(message.content_topic.as_bytes());
    if let Some(meta) = &message.meta {
        sha.update(meta);
    }
    sha.update(message.timestamp.unwrap_or_default().nanos().to_be_bytes());
    MessageHash(sha.finalize().into())
}

/// A message with what names it: what the archive holds and hands out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredMessage {
    /// [`message_hash`] of the other two.
    pub hash: MessageHash,
    /// Where it was published.
    pub pubsub_topic: PubsubTopic,
    /// The message itself.
    pub message: WakuMessage,
}

impl StoredMessage {
    /// Computes the hash.
    pub fn new(pubsub_topic: PubsubTopic, message: WakuMessage) -> Self {
        StoredMessage { hash: message_hash(&pubsub_topic, &message), pubsub_topic, message }
    }

    /// The message's timestamp, with an absent one as 0.
    pub fn timestamp(&self) -> Timestamp {
        self.message.timestamp.unwrap_or_default()
    }

    /// Its place in the order of everything.
    pub fn sync_id(&self) -> SyncId {
        SyncId::new(self.timestamp(), self.hash)
    }
}

/// Where a message came from; the rules of what may be stored depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Origin {
    /// Relay, or the host, as it happened.
    Live = 0,
    /// Transfer after a reconciliation.
    Sync = 1,
    /// A Store query for a gap.
    Resume = 2,
    /// Another archive.
    Import = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(payload: &[u8], meta: Option<&'static [u8]>) -> String {
        let message = WakuMessage {
            meta: meta.map(Bytes::from_static),
            ..WakuMessage::new(
                payload.to_vec(),
                ContentTopic::new("/waku/2/default-content/proto").unwrap(),
                Timestamp(0x1757_89bf_a23f_8400),
            )
        };
        message_hash(&PubsubTopic::new("/waku/2/default-waku/proto").unwrap(), &message).to_hex()
    }

    #[test]
    fn specification_vectors() {
        const PAYLOAD: &[u8] = &[1, 2, 3, 4, 0x54, 0x45, 0x53, 0x54, 5, 6, 7, 8];
        const META: &[u8] = b"super-secret";
        const LONG: [u8; 64] = {
            let mut m = [0; 64];
            let mut i = 0;
            while i < 64 {
                m[i] = i as u8;
                i += 1;
            }
            m
        };
        for (payload, meta, want) in [
            (
                PAYLOAD,
                Some(META),
                "64cce733fed134e83da02b02c6f689814872b1a0ac97ea56b76095c3c72bfe05",
            ),
            (
                PAYLOAD,
                Some(&LONG[..]),
                "7158b6498753313368b9af8f6e0a0a05104f68f972981da42a43bc53fb0c1b27",
            ),
            (PAYLOAD, None, "a2554498b31f5bcdfcbf7fa58ad1c2d45f0254f3f8110a85588ec3cf10720fd8"),
            (&[], Some(META), "483ea950cb63f9b9d6926b262bb36194d3f40a0463ce8446228350bd44e96de4"),
        ] {
            assert_eq!(hash_of(payload, meta), want);
        }
    }
}
