//! The service side: a request's bytes to a query, the archive's page to a response's bytes.
//!
//! Every request gets an answer, whatever its bytes; nothing here fails, logs or waits. What holds:
//! a page never takes more than [`super::client::MAX_RESPONSE`] bytes, and a cursor that is not one
//! is an error, never the first page.

use bytes::Bytes;

use super::client::MAX_RESPONSE;
use super::{MAX_REQUEST_ID, status};
use crate::archive::{MAX_CONTENT_TOPICS, MAX_HASHES};
use crate::error::{Error, Result, bail};
use crate::types::{
    ContentTopic, Direction, Entry, Filter, MAX_PAGE_SIZE, MessageHash, Page, PubsubTopic, Query,
    TimeRange, Timestamp,
};
use crate::wire::store::{KeyValue, Request, Response, UNKNOWN_REQUEST_ID};

/// The longest request that is read, in bytes.
pub const MAX_REQUEST: usize = 1024 * 1024;
/// The least that a page may be bounded by, in bytes: the largest message fits, and what is around
/// it.
pub const MIN_PAGE_BYTES: usize = 256 * 1024;
/// The entries of a page where the request names no limit, or names 0.
pub const DEFAULT_PAGE_SIZE: usize = 20;

/// What to do about a request.
#[derive(Debug)]
pub enum Step {
    /// Send this; the archive is not needed.
    Reply(Bytes),
    /// Ask the archive, then call [`Asked::answer`].
    Query(Query, Asked),
}

/// A request that waits for the archive.
#[derive(Debug)]
pub struct Asked {
    request_id: String,
    direction: Direction,
    include_data: bool,
}

/// Reads a request (without its length prefix).
///
/// A request that is not one is answered with 400. A stream that a peer closes without any frame is
/// no request: there is nothing to call this with and nothing to answer. (A frame of no bytes gets
/// a 400 like any other request that asks for nothing.)
///
/// Taken as deployed nodes take it: a limit above 100 is cut to 100, none or 0 means 20; a pubsub
/// topic without content topics, and the other way round, is answered; `time_end` is inclusive, a
/// time_end before time_start matches nothing; a pubsub topic beside hashes is ignored. Content
/// topics or times beside hashes are a 400, as 13/WAKU2-STORE has it.
pub fn begin(frame: &[u8]) -> Step {
    let request = match read(frame) {
        Ok(request) => request,
        Err(e) => {
            let known = Request::peek_request_id(frame).filter(|id| id.len() <= MAX_REQUEST_ID);
            let (code, text) = status::of_error(&e);
            return Step::Reply(refusal(known.unwrap_or(UNKNOWN_REQUEST_ID), code, text));
        }
    };
    match query(&request) {
        Ok(query) => {
            let asked = Asked {
                request_id: request.request_id,
                direction: query.direction,
                include_data: query.include_data,
            };
            Step::Query(query, asked)
        }
        Err(e) => {
            let (code, text) = status::of_error(&e);
            Step::Reply(refusal(&request.request_id, code, text))
        }
    }
}

/// The answer to a request that is not even looked at, for one of the load limits (429).
pub fn too_many_requests() -> Bytes {
    refusal(UNKNOWN_REQUEST_ID, status::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS".to_owned())
}

/// The status code that a peer is told for an error of the archive.
pub fn status_of(e: &Error) -> u32 {
    status::of_error(e).0
}

impl Asked {
    /// The response's bytes (without length prefix) to what the archive said.
    ///
    /// A page that would not fit [`super::client::MAX_RESPONSE`] is cut at the end that the walk
    /// is heading for, and its cursor set accordingly.
    pub fn answer(self, page: Result<Page>) -> Bytes {
        self.answer_within(MAX_RESPONSE, page)
    }

    /// As [`Asked::answer`], for a page of at most so many bytes, which are at least
    /// [`MIN_PAGE_BYTES`] and at most [`super::client::MAX_RESPONSE`].
    pub fn answer_within(self, max_bytes: usize, page: Result<Page>) -> Bytes {
        let max_bytes = max_bytes.clamp(MIN_PAGE_BYTES, MAX_RESPONSE);
        let page = match page {
            Ok(page) => page,
            Err(e) => {
                let (code, text) = status::of_error(&e);
                return refusal(&self.request_id, code, text);
            }
        };
        let mut response = Response {
            request_id: self.request_id,
            status_code: status::OK,
            status_desc: "OK".to_owned(),
            messages: page.entries.into_iter().map(|e| key_value(e, self.include_data)).collect(),
            pagination_cursor: page.cursor.map(cursor_bytes),
        };
        if !fit(&mut response, self.direction, max_bytes) {
            let text = "BAD_RESPONSE: a message does not fit a response".to_owned();
            return refusal(&response.request_id, status::BAD_RESPONSE, text);
        }
        response.encode().into()
    }
}

fn read(frame: &[u8]) -> Result<Request> {
    if frame.is_empty() {
        bail!(StoreBadRequest, "the request is empty");
    }
    if frame.len() > MAX_REQUEST {
        bail!(FrameTooLarge, "the request is {} bytes long, not {MAX_REQUEST}", frame.len());
    }
    let request = Request::decode(frame)?;
    if request.request_id.len() > MAX_REQUEST_ID {
        bail!(StoreBadRequest, "the request_id is longer than {MAX_REQUEST_ID} bytes");
    }
    Ok(request)
}

fn query(request: &Request) -> Result<Query> {
    Ok(Query {
        filter: filter(request)?,
        cursor: request.pagination_cursor.as_deref().map(cursor).transpose()?,
        direction: match request.pagination_forward {
            true => Direction::Forward,
            false => Direction::Backward,
        },
        limit: match request.pagination_limit {
            None | Some(0) => DEFAULT_PAGE_SIZE,
            Some(n) => usize::try_from(n).unwrap_or(MAX_PAGE_SIZE).min(MAX_PAGE_SIZE),
        },
        include_data: request.include_data,
    })
}

fn cursor(bytes: &[u8]) -> Result<MessageHash> {
    match MessageHash::from_slice(bytes) {
        Err(e) => bail!(InvalidHash, "{}: {e}", status::CURSOR_NOT_FOUND),
        Ok(MessageHash::ZERO) => bail!(CursorNotFound, "the cursor is all zero"),
        Ok(hash) => Ok(hash),
    }
}

fn filter(request: &Request) -> Result<Filter> {
    if request.message_hashes.is_empty() {
        return content_filter(request);
    }
    if !request.content_topics.is_empty()
        || request.time_start.is_some()
        || request.time_end.is_some()
    {
        bail!(StoreBadRequest, "message hashes exclude content topics and times");
    }
    let count = request.message_hashes.len();
    if count > MAX_HASHES {
        bail!(StoreBadRequest, "{count} message hashes, at most {MAX_HASHES} are answered");
    }
    let hashes = request.message_hashes.iter().map(|hash| MessageHash::from_slice(hash));
    Ok(Filter { hashes: hashes.collect::<Result<_>>()?, ..Filter::default() })
}

fn content_filter(request: &Request) -> Result<Filter> {
    let count = request.content_topics.len();
    if count > MAX_CONTENT_TOPICS {
        bail!(StoreBadRequest, "{count} content topics, at most {MAX_CONTENT_TOPICS} are answered");
    }
    Ok(Filter {
        pubsub_topic: request.pubsub_topic.as_deref().map(PubsubTopic::new).transpose()?,
        content_topics: request
            .content_topics
            .iter()
            .map(ContentTopic::new)
            .collect::<Result<_>>()?,
        time: time(request.time_start, request.time_end)?,
        hashes: Vec::new(),
    })
}

/// The wire's inclusive end to a half-open one. A message of the very last nanosecond cannot be in
/// a half-open span; there is none.
fn time(start: Option<i64>, end: Option<i64>) -> Result<TimeRange> {
    let start = start.map_or(Timestamp::MIN, Timestamp);
    let end = end.map_or(Timestamp::MAX, |end| Timestamp(end.saturating_add(1)));
    TimeRange::new(start, end.max(start))
}

fn refusal(request_id: &str, status_code: u32, status_desc: String) -> Bytes {
    let request_id = request_id.to_owned();
    Response { request_id, status_code, status_desc, ..Response::default() }.encode().into()
}

fn key_value(entry: Entry, include_data: bool) -> KeyValue {
    let message_hash = Some(cursor_bytes(entry.hash));
    match entry.data.filter(|_| include_data) {
        None => KeyValue { message_hash, ..KeyValue::default() },
        Some((topic, message)) => KeyValue {
            message_hash,
            message: Some(message),
            pubsub_topic: Some(topic.as_str().to_owned()),
            unreadable: None,
        },
    }
}

fn cursor_bytes(hash: MessageHash) -> Bytes {
    Bytes::copy_from_slice(&hash.0)
}

/// Leaves out what does not fit, and says so by the cursor. False where not even one entry fits.
fn fit(response: &mut Response, direction: Direction, max_bytes: usize) -> bool {
    // Everything but the entries: the id, a status of a few bytes, and a cursor.
    let envelope = response.request_id.len() + 128;
    let room = max_bytes.saturating_sub(envelope);
    let messages = &mut response.messages;
    let mut used = 0;
    let mut fits = |entry: &KeyValue| {
        used += entry.encoded_len();
        used <= room
    };
    let all = messages.len();
    let kept = match direction {
        Direction::Forward => messages.iter().take_while(|&m| fits(m)).count(),
        Direction::Backward => messages.iter().rev().take_while(|&m| fits(m)).count(),
    };
    if kept == all {
        return true;
    }
    let last = match direction {
        Direction::Forward => {
            messages.truncate(kept);
            messages.last()
        }
        Direction::Backward => {
            messages.drain(..all - kept);
            messages.first()
        }
    };
    response.pagination_cursor = last.and_then(|m| m.message_hash.clone());
    kept > 0
}
