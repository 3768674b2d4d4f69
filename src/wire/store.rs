//! Store v3 messages, `/vac/waku/store-query/3.0.0` (13/WAKU2-STORE), as they are on the wire.

use bytes::Bytes;

use crate::error::Result;
use crate::types::WakuMessage;

/// Protocol id.
pub const PROTOCOL: &str = "/vac/waku/store-query/3.0.0";

/// StoreQueryRequest, field by field; presence is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Request {
    pub request_id: String,
    pub include_data: bool,
    pub pubsub_topic: Option<String>,
    pub content_topics: Vec<String>,
    pub time_start: Option<i64>,
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
}

impl Request {
    /// The bytes without the length prefix.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// From bytes without the length prefix.
    pub fn decode(_bytes: &[u8]) -> Result<Self> {
        todo!()
    }
}

impl Response {
    /// The bytes without the length prefix.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// From bytes without the length prefix.
    pub fn decode(_bytes: &[u8]) -> Result<Self> {
        todo!()
    }
}
