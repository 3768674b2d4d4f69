//! WakuMessage (14/WAKU2-MESSAGE).
//!
//! Payload and content topic are written even where they are empty, since deployed decoders refuse
//! a message without them; every other field is written exactly where it is present.

use bytes::{Buf, Bytes};
use prost::Message;

use super::proto::{self, message::v1 as pb};
use crate::error::Result;
use crate::types::{ContentTopic, Timestamp, WakuMessage};

/// Encodes; payload and content_topic are always written, an absent optional field never.
pub fn encode(message: &WakuMessage) -> Vec<u8> {
    to_proto(message).encode_to_vec()
}

/// The length of [`encode`]'s result, without encoding.
pub fn encoded_len(message: &WakuMessage) -> usize {
    to_proto(message).encoded_len()
}

/// Decodes; the fields are copied out of `bytes`. An absent payload is an empty one.
///
/// # Errors
/// [`crate::ErrorKind::Malformed`]; [`crate::ErrorKind::InvalidTopic`] where the content topic is
/// absent, empty or too long.
pub fn decode(bytes: &[u8]) -> Result<WakuMessage> {
    decode_buf(bytes)
}

/// As [`decode`], without a copy: the fields share `bytes`, and keep all of it in memory.
///
/// # Errors
/// As for [`decode`].
pub fn decode_shared(bytes: Bytes) -> Result<WakuMessage> {
    decode_buf(bytes)
}

fn decode_buf(bytes: impl Buf) -> Result<WakuMessage> {
    from_proto(proto::decode("WakuMessage", bytes)?).map_err(|e| e.context("WakuMessage"))
}

pub(super) fn to_proto(message: &WakuMessage) -> pb::WakuMessage {
    pb::WakuMessage {
        payload: Some(message.payload.clone()),
        content_topic: Some(message.content_topic.as_str().to_owned()),
        version: message.version,
        timestamp: message.timestamp.map(Timestamp::nanos),
        meta: message.meta.clone(),
        rate_limit_proof: message.rate_limit_proof.clone(),
        ephemeral: message.ephemeral,
    }
}

pub(super) fn from_proto(message: pb::WakuMessage) -> Result<WakuMessage> {
    Ok(WakuMessage {
        payload: message.payload.unwrap_or_default(),
        content_topic: ContentTopic::new(message.content_topic.unwrap_or_default())?,
        version: message.version,
        timestamp: message.timestamp.map(Timestamp),
        meta: message.meta,
        rate_limit_proof: message.rate_limit_proof,
        ephemeral: message.ephemeral,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn an_empty_payload_is_written_and_absent_fields_are_not() {
        let mut message = WakuMessage::new("", ContentTopic::new("/a").unwrap(), Timestamp(-1));
        message.timestamp = None;
        assert_eq!(encode(&message), [0x0a, 0, 0x12, 2, b'/', b'a']);
        assert_eq!(encoded_len(&message), 6);
        message.timestamp = Some(Timestamp(-1));
        assert_eq!(encode(&message)[6..], [0x50, 1]);
    }

    #[test]
    fn an_omitted_payload_is_empty_and_an_omitted_topic_is_refused() {
        assert!(decode(&[0x12, 1, b'x']).unwrap().payload.is_empty());
        for bad in [&[0x0a, 1, b'x'][..], &[0x0a, 1, b'x', 0x12, 0]] {
            assert_eq!(decode(bad).unwrap_err().kind(), ErrorKind::InvalidTopic);
        }
        for bad in [&[0x0a, 9][..], &[0x12, 2, 0xff, 0xfe], &[0x08, 1], &[0x00, 1]] {
            assert_eq!(decode(bad).unwrap_err().kind(), ErrorKind::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn shared_fields_are_not_copied() {
        let mut message =
            WakuMessage::new(vec![7; 1000], ContentTopic::new("/a").unwrap(), Timestamp(1));
        message.meta = Some(Bytes::new());
        let bytes = Bytes::from(encode(&message));
        let within = bytes.as_ptr_range();
        let read = decode_shared(bytes.clone()).unwrap();
        assert_eq!(read, message);
        assert!(within.contains(&read.payload.as_ptr()));
        assert!(!within.contains(&decode(&bytes).unwrap().payload.as_ptr()));
    }
}
