//! Store v3 messages, `/vac/waku/store-query/3.0.0` (13/WAKU2-STORE), as they are on the wire.
//!
//! The fields that deployed decoders demand are always written, zero or not. What deployed
//! encoders omit where it is zero reads as zero; an absent pagination_forward reads as backward,
//! as the specification says.

use bytes::{Buf, Bytes};
use prost::Message;

use super::message;
use super::proto::{self, store::v3 as pb};
use crate::error::{Error, Result, bail};
use crate::types::WakuMessage;

/// Protocol id.
pub const PROTOCOL: &str = "/vac/waku/store-query/3.0.0";
/// The most content topics, and the most hashes, of a request that is decoded at all. What is
/// answered is for the `store` layer to say.
pub const MAX_REQUEST_ENTRIES: usize = 4096;
/// The most messages of a response that is decoded at all; deployed nodes send 100.
pub const MAX_RESPONSE_ENTRIES: usize = 1024;

/// The request_id of an answer to a request whose own is not known.
pub const UNKNOWN_REQUEST_ID: &str = "N/A";

/// StoreQueryRequest, field by field; presence is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Request {
    pub request_id: String,
    pub include_data: bool,
    pub pubsub_topic: Option<String>,
    pub content_topics: Vec<String>,
    /// Unix nanoseconds, inclusive.
    pub time_start: Option<i64>,
    /// Unix nanoseconds; inclusive as deployed.
    pub time_end: Option<i64>,
    pub message_hashes: Vec<Bytes>,
    pub pagination_cursor: Option<Bytes>,
    pub pagination_forward: bool,
    pub pagination_limit: Option<u64>,
}

/// StoreQueryResponse, field by field.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Response {
    pub request_id: String,
    pub status_code: u32,
    pub status_desc: String,
    pub messages: Vec<KeyValue>,
    pub pagination_cursor: Option<Bytes>,
}

/// WakuMessageKeyValue.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct KeyValue {
    pub message_hash: Option<Bytes>,
    pub message: Option<WakuMessage>,
    pub pubsub_topic: Option<String>,
    /// Why there is no `message` though the entry holds one: its content topic is not one that we
    /// take. Such a message in a peer's history must not cost the whole page. Never written.
    pub unreadable: Option<Error>,
}

impl Request {
    /// The bytes without the length prefix.
    pub fn encode(&self) -> Vec<u8> {
        pb::StoreQueryRequest {
            request_id: Some(self.request_id.clone()),
            include_data: Some(self.include_data),
            pubsub_topic: self.pubsub_topic.clone(),
            content_topics: self.content_topics.clone(),
            time_start: self.time_start,
            time_end: self.time_end,
            message_hashes: self.message_hashes.clone(),
            pagination_cursor: self.pagination_cursor.clone(),
            pagination_forward: Some(self.pagination_forward),
            pagination_limit: self.pagination_limit,
        }
        .encode_to_vec()
    }

    /// From bytes without the length prefix.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Malformed`], [`crate::ErrorKind::Truncated`];
    /// [`crate::ErrorKind::FrameTooLarge`] beyond [`MAX_REQUEST_ENTRIES`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "store request";
        proto::bound(WHAT, bytes, 11, MAX_REQUEST_ENTRIES)?;
        proto::bound(WHAT, bytes, 20, MAX_REQUEST_ENTRIES)?;
        let read: pb::StoreQueryRequest = proto::decode(WHAT, bytes)?;
        Ok(Request {
            request_id: read.request_id.unwrap_or_default(),
            include_data: read.include_data.unwrap_or_default(),
            pubsub_topic: read.pubsub_topic,
            content_topics: read.content_topics,
            time_start: read.time_start,
            time_end: read.time_end,
            message_hashes: read.message_hashes,
            pagination_cursor: read.pagination_cursor,
            pagination_forward: read.pagination_forward.unwrap_or_default(),
            pagination_limit: read.pagination_limit,
        })
    }

    /// The request_id of bytes that [`Request::decode`] refuses, where that much can be read.
    pub fn peek_request_id(bytes: &[u8]) -> Option<&str> {
        proto::find_string(bytes, 1)
    }
}

impl Response {
    /// The bytes without the length prefix.
    pub fn encode(&self) -> Vec<u8> {
        pb::StoreQueryResponse {
            request_id: Some(self.request_id.clone()),
            status_code: Some(self.status_code),
            status_desc: Some(self.status_desc.clone()),
            messages: self.messages.iter().map(KeyValue::to_proto).collect(),
            pagination_cursor: self.pagination_cursor.clone(),
        }
        .encode_to_vec()
    }

    /// From bytes without the length prefix; the messages are copied out of `bytes`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Malformed`] (also where there is no status_code),
    /// [`crate::ErrorKind::Truncated`]; [`crate::ErrorKind::FrameTooLarge`] beyond
    /// [`MAX_RESPONSE_ENTRIES`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        Self::bound(bytes)?;
        Self::decode_buf(bytes)
    }

    /// As [`Response::decode`], without a copy: the messages share `bytes`, and each keeps all of
    /// it in memory. For what is used at once, or kept as a whole page.
    ///
    /// # Errors
    /// As for [`Response::decode`].
    pub fn decode_shared(bytes: Bytes) -> Result<Self> {
        Self::bound(&bytes)?;
        Self::decode_buf(bytes)
    }

    fn bound(bytes: &[u8]) -> Result<()> {
        proto::bound("store response", bytes, 20, MAX_RESPONSE_ENTRIES)
    }

    fn decode_buf(bytes: impl Buf) -> Result<Self> {
        let read: pb::StoreQueryResponse = proto::decode("store response", bytes)?;
        let Some(status_code) = read.status_code else {
            bail!(Malformed, "store response: there is no status_code");
        };
        Ok(Response {
            request_id: read.request_id.unwrap_or_default(),
            status_code,
            status_desc: read.status_desc.unwrap_or_default(),
            messages: read.messages.into_iter().map(KeyValue::from_proto).collect(),
            pagination_cursor: read.pagination_cursor,
        })
    }
}

impl KeyValue {
    /// How many bytes this entry adds to a response.
    pub fn encoded_len(&self) -> usize {
        let len = self.to_proto().encoded_len();
        2 + prost::length_delimiter_len(len) + len
    }

    fn to_proto(&self) -> pb::WakuMessageKeyValue {
        pb::WakuMessageKeyValue {
            message_hash: self.message_hash.clone(),
            message: self.message.as_ref().map(message::to_proto),
            pubsub_topic: self.pubsub_topic.clone(),
        }
    }

    fn from_proto(read: pb::WakuMessageKeyValue) -> Self {
        let (message, unreadable) = match read.message.map(message::from_proto) {
            None => (None, None),
            Some(Ok(message)) => (Some(message), None),
            Some(Err(e)) => (None, Some(e)),
        };
        let (message_hash, pubsub_topic) = (read.message_hash, read.pubsub_topic);
        KeyValue { message_hash, message, pubsub_topic, unreadable }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn what_deployed_decoders_demand_is_always_written() {
        assert_eq!(Request::default().encode(), [0x0a, 0, 0x10, 0, 0xa0, 3, 0]);
        assert_eq!(Response::default().encode(), [0x0a, 0, 0x50, 0, 0x5a, 0]);
    }

    #[test]
    fn what_deployed_encoders_omit_reads_as_zero() {
        let read = Request::decode(&[0x10, 1]).unwrap();
        assert_eq!(read, Request { include_data: true, ..Request::default() });
        assert!(!read.pagination_forward);
        let read = Response::decode(&[0x50, 0xc8, 1]).unwrap();
        assert_eq!(read, Response { status_code: 200, ..Response::default() });
        let e = Response::decode(&[0x0a, 1, b'x']).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Malformed);
    }

    #[test]
    fn a_message_of_an_unknown_kind_of_topic_costs_no_page() {
        let entry = [0xa2, 1, 5, 0x12, 3, 0x0a, 1, b'x'];
        let read = Response::decode(&[&[0x50, 0xc8, 1][..], &entry].concat()).unwrap();
        assert_eq!(read.messages.len(), 1);
        assert_eq!(read.messages[0].message, None);
        let e = read.messages[0].unreadable.as_ref().unwrap();
        assert_eq!(e.kind(), ErrorKind::InvalidTopic);
    }

    #[test]
    fn counts_are_bounded_before_anything_is_reserved() {
        let topics = [0x5a, 0].repeat(MAX_REQUEST_ENTRIES + 1);
        let hashes = [0xa2, 1, 0].repeat(MAX_REQUEST_ENTRIES + 1);
        for bytes in [topics, hashes] {
            let e = Request::decode(&bytes).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::FrameTooLarge);
        }
        let bytes = [0xa2, 1, 0].repeat(MAX_RESPONSE_ENTRIES + 1);
        for e in [Response::decode(&bytes), Response::decode_shared(bytes.clone().into())] {
            assert_eq!(e.unwrap_err().kind(), ErrorKind::FrameTooLarge);
        }
    }

    #[test]
    fn an_entry_knows_its_length() {
        let entry = KeyValue { message_hash: Some(vec![1; 200].into()), ..KeyValue::default() };
        let with = Response { messages: vec![entry.clone()], ..Response::default() };
        let diff = with.encode().len() - Response::default().encode().len();
        assert_eq!(entry.encoded_len(), diff);
    }
}
