//! The asking side.

use bytes::Bytes;

use crate::error::Result;
use crate::types::{Page, Query};

/// The longest response that is read, in bytes: 100 messages of 150 KiB and their envelopes.
pub const MAX_RESPONSE: usize = 16 * 1024 * 1024;

/// The request's bytes, without length prefix. `request_id` should be random.
///
/// # Errors
/// Where the query is not one that a service node takes.
pub fn encode(_request_id: &str, _query: &Query) -> Result<Bytes> {
    todo!()
}

/// Checks a response (without length prefix) against the request: its id, its status, its count,
/// and that every message has the hash it is listed under and matches the filter.
///
/// # Errors
/// By kind: the peer's status, or what is wrong with the answer.
pub fn decode(_request_id: &str, _query: &Query, _frame: &[u8]) -> Result<Page> {
    todo!()
}
