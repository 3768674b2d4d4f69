//! `/vac/waku/transfer/1.0.0`: one message a frame.
//!
//! Deployed nodes write the pubsub topic as field 1 and the message as field 2; the published
//! document has them the other way round. A pubsub topic starts with `/`, which no WakuMessage
//! does: its first byte is the key of one of its fields, and `/` would be field 5 of a kind that
//! protobuf does not have.

use bytes::{Buf, Bytes};
use prost::Message;

use super::message::{from_proto, to_proto};
use super::proto::{self, transfer::v1 as pb};
use super::varint;
use crate::error::{Result, bail};
use crate::types::{PubsubTopic, WakuMessage};

/// Protocol id.
pub const PROTOCOL: &str = "/vac/waku/transfer/1.0.0";
/// What deployed peers read: frames up to this, envelope included. A larger one ends their stream.
pub const MAX_DEPLOYED_FRAME: usize = 150 * 1024;
/// What we read: room for the largest message and its envelope.
pub const MAX_FRAME: usize = MAX_DEPLOYED_FRAME + 4 * 1024;

/// Encodes with pubsub_topic = 1 and message = 2, as deployed.
pub fn encode(pubsub_topic: &PubsubTopic, message: &WakuMessage) -> Vec<u8> {
    let message = to_proto(message);
    let inner = message.encoded_len();
    let mut out = Vec::with_capacity(envelope_len(pubsub_topic.len(), inner));
    out.push(TOPIC_KEY);
    varint::write(pubsub_topic.len() as u64, &mut out);
    out.extend_from_slice(pubsub_topic.as_bytes());
    out.push(MESSAGE_KEY);
    varint::write(inner as u64, &mut out);
    message.encode_raw(&mut out);
    out
}

/// The length of [`encode`]'s result, without encoding: to tell what [`MAX_DEPLOYED_FRAME`] lets
/// through.
pub fn encoded_len(pubsub_topic: &PubsubTopic, message: &WakuMessage) -> usize {
    envelope_len(pubsub_topic.len(), to_proto(message).encoded_len())
}

/// The keys of fields 1 and 2, both length-delimited.
const TOPIC_KEY: u8 = 0x0a;
const MESSAGE_KEY: u8 = 0x12;

fn envelope_len(topic: usize, message: usize) -> usize {
    let field = |len: usize| 1 + varint::encoded_len(len as u64) + len;
    field(topic) + field(message)
}

/// Decodes either order of the two fields; the message is copied out of `bytes`.
///
/// # Errors
/// [`crate::ErrorKind::Malformed`]; [`crate::ErrorKind::InvalidTopic`] where one of the topics
/// is absent, empty or too long.
pub fn decode(bytes: &[u8]) -> Result<(PubsubTopic, WakuMessage)> {
    // The two fields are copied as a whole, so that the message may share that copy.
    decode_buf(bytes)
}

/// As [`decode`], without a copy: the message shares `bytes`, and keeps all of it in memory.
///
/// # Errors
/// As for [`decode`].
pub fn decode_shared(bytes: Bytes) -> Result<(PubsubTopic, WakuMessage)> {
    decode_buf(bytes)
}

fn decode_buf(bytes: impl Buf) -> Result<(PubsubTopic, WakuMessage)> {
    let envelope: pb::WakuMessageAndTopic = proto::decode("transfer frame", bytes)?;
    let (topic, message) = match (envelope.first, envelope.second) {
        (Some(first), Some(second)) if first.starts_with(b"/") => (first, second),
        (Some(first), Some(second)) if second.starts_with(b"/") => (second, first),
        (Some(_), Some(_)) => {
            bail!(Malformed, "transfer frame: neither field is a pubsub topic")
        }
        _ => bail!(Malformed, "transfer frame: topic or message is missing"),
    };
    let topic = PubsubTopic::from_utf8(&topic).map_err(|e| e.context("transfer frame"))?;
    let message = proto::decode("transfer frame", message)?;
    Ok((topic, from_proto(message).map_err(|e| e.context("transfer frame"))?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ErrorKind;
    use crate::types::{ContentTopic, Timestamp};

    fn sample() -> (PubsubTopic, WakuMessage) {
        let topic = PubsubTopic::of_shard(1, 2);
        (topic, WakuMessage::new("hello", ContentTopic::new("/a/1/b/c").unwrap(), Timestamp(9)))
    }

    #[test]
    fn both_orders_of_the_fields_are_read() {
        let (topic, message) = sample();
        let deployed = encode(&topic, &message);
        assert_eq!(deployed[..3], [0x0a, topic.len() as u8, b'/']);
        assert_eq!(encoded_len(&topic, &message), deployed.len());
        let inner = super::super::message::encode(&message);
        let published =
            [&[0x0a, inner.len() as u8][..], &inner, &[0x12, topic.len() as u8], topic.as_bytes()]
                .concat();
        for bytes in [deployed, published] {
            assert_eq!(decode(&bytes).unwrap(), (topic.clone(), message.clone()));
            assert_eq!(decode_shared(bytes.into()).unwrap(), (topic.clone(), message.clone()));
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let (topic, message) = sample();
        let whole = encode(&topic, &message);
        let topic_alone = &whole[..2 + topic.len()];
        let message_alone = &whole[2 + topic.len()..];
        for bad in [&b""[..], topic_alone, message_alone, &[0x0a, 0, 0x12, 0], &whole[..9]] {
            assert_eq!(decode(bad).unwrap_err().kind(), ErrorKind::Malformed);
        }
        // A message without a content topic.
        let bad = [topic_alone, &[0x12, 3, 0x0a, 1, b'x']].concat();
        assert_eq!(decode(&bad).unwrap_err().kind(), ErrorKind::InvalidTopic);
    }
}
