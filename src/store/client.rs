//! The asking side: a query to a request's bytes, a response's bytes to a checked page.
//!
//! Nothing of a response is believed: it must be the answer to this request, every message must
//! hash to what it is listed under and match the filter, and the page must be in order.

use std::collections::HashSet;

use bytes::Bytes;

use super::{MAX_REQUEST_ID, status};
use crate::archive::MAX_HASHES;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{
    Direction, Entry, Filter, MAX_PAGE_SIZE, MessageHash, Page, PubsubTopic, Query, SyncId,
    TimeRange, Timestamp, WakuMessage, message_hash,
};
use crate::wire::store::{KeyValue, Request, Response, UNKNOWN_REQUEST_ID};

/// The longest response that is read, in bytes: 100 messages of 150 KiB and their envelopes.
pub const MAX_RESPONSE: usize = 16 * 1024 * 1024;
/// The most content topics in one request: deployed nodes refuse more.
pub const MAX_CONTENT_TOPICS: usize = 10;

/// The request's bytes, without length prefix. `request_id` should be random.
///
/// What the filter names is sent as it is: with a pubsub topic alone, or content topics alone, it
/// is a request that the specification calls invalid and that deployed nodes answer.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] where the query is not one that a service node takes: a limit
/// outside of 1 to [`MAX_PAGE_SIZE`], more than [`MAX_CONTENT_TOPICS`] content topics or
/// [`MAX_HASHES`] hashes, hashes beside anything else, a cursor that is zero, a request_id longer
/// than [`MAX_REQUEST_ID`].
pub fn encode(request_id: &str, query: &Query) -> Result<Bytes> {
    check(request_id, query)?;
    let filter = &query.filter;
    let (time_start, time_end) = wire_time(&filter.time);
    let bytes_of = |hash: &MessageHash| Bytes::copy_from_slice(&hash.0);
    let request = Request {
        request_id: request_id.to_owned(),
        include_data: query.include_data,
        pubsub_topic: filter.pubsub_topic.as_ref().map(|t| t.as_str().to_owned()),
        content_topics: filter.content_topics.iter().map(|t| t.as_str().to_owned()).collect(),
        time_start,
        time_end,
        message_hashes: filter.hashes.iter().map(bytes_of).collect(),
        pagination_cursor: query.cursor.as_ref().map(bytes_of),
        pagination_forward: query.direction == Direction::Forward,
        pagination_limit: Some(query.limit as u64),
    };
    Ok(request.encode().into())
}

/// Checks a response (without length prefix) against the request: its id, its status, its count,
/// and that every message has the hash it is listed under and matches the filter.
///
/// The page's messages are copied out of `frame`. An entry has no data where hashes alone were
/// asked for (whatever was sent), and where the peer holds a message under a topic that we do not
/// take (empty, or too long): one such message must not bar the way to those behind it.
///
/// # Errors
/// By kind, the peer's status: [`ErrorKind::CursorNotFound`], [`ErrorKind::StoreBadRequest`],
/// [`ErrorKind::StoreTooManyRequests`], [`ErrorKind::StoreUnavailable`]; or what is wrong with the
/// answer: [`ErrorKind::StoreBadResponse`] where it does not answer this request, and
/// [`ErrorKind::Malformed`], [`ErrorKind::Truncated`] or [`ErrorKind::FrameTooLarge`] where its
/// bytes are no response.
pub fn decode(request_id: &str, query: &Query, frame: &[u8]) -> Result<Page> {
    check_size(frame)?;
    page(request_id, query, Response::decode(frame)?)
}

/// As [`decode`], without a copy: the page's messages share `frame`, and each that is kept keeps
/// all of it in memory.
///
/// # Errors
/// As for [`decode`].
pub fn decode_shared(request_id: &str, query: &Query, frame: Bytes) -> Result<Page> {
    check_size(&frame)?;
    page(request_id, query, Response::decode_shared(frame)?)
}

fn check(request_id: &str, query: &Query) -> Result<()> {
    let Filter { pubsub_topic, content_topics, time, hashes } = &query.filter;
    if request_id.len() > MAX_REQUEST_ID {
        bail!(InvalidArgument, "a request_id has at most {MAX_REQUEST_ID} bytes");
    }
    if !(1..=MAX_PAGE_SIZE).contains(&query.limit) {
        bail!(InvalidArgument, "a page has 1 to {MAX_PAGE_SIZE} entries, not {}", query.limit);
    }
    if content_topics.len() > MAX_CONTENT_TOPICS {
        bail!(
            InvalidArgument,
            "{} content topics, a store peer takes at most {MAX_CONTENT_TOPICS} in a request",
            content_topics.len()
        );
    }
    if hashes.len() > MAX_HASHES {
        bail!(InvalidArgument, "{} hashes, at most {MAX_HASHES} are allowed", hashes.len());
    }
    let others = pubsub_topic.is_some() || !content_topics.is_empty() || *time != TimeRange::ALL;
    if !hashes.is_empty() && others {
        bail!(InvalidArgument, "hashes exclude topics and times");
    }
    if query.cursor == Some(MessageHash::ZERO) {
        bail!(InvalidArgument, "a cursor that is all zero names no message");
    }
    Ok(())
}

/// Half-open to inclusive. An end at the end of time is no end; an empty span ends before it
/// starts, which matches nothing on deployed nodes either.
fn wire_time(time: &TimeRange) -> (Option<i64>, Option<i64>) {
    let (start, end) = (time.start(), time.end());
    if end == Timestamp::MIN {
        return (Some(i64::MIN + 1), Some(i64::MIN));
    }
    (
        (start != Timestamp::MIN).then_some(start.nanos()),
        (end != Timestamp::MAX || time.is_empty()).then_some(end.nanos() - 1),
    )
}

fn check_size(frame: &[u8]) -> Result<()> {
    if frame.len() > MAX_RESPONSE {
        bail!(FrameTooLarge, "a response is {} bytes long, not {MAX_RESPONSE}", frame.len());
    }
    Ok(())
}

fn page(request_id: &str, query: &Query, response: Response) -> Result<Page> {
    let error = status::to_error(response.status_code, &response.status_desc);
    // A peer that refuses a request unread does not know its id.
    let anonymous = error.is_some() && matches!(&*response.request_id, UNKNOWN_REQUEST_ID | "");
    if response.request_id != request_id && !anonymous {
        bail!(StoreBadResponse, "the response is to another request");
    }
    if let Some(error) = error {
        return Err(error);
    }
    if response.messages.len() > query.limit {
        let count = response.messages.len();
        bail!(StoreBadResponse, "the page has {count} entries, {} were asked for", query.limit);
    }
    let wanted: Option<HashSet<&MessageHash>> =
        (!query.filter.hashes.is_empty()).then(|| query.filter.hashes.iter().collect());
    let mut seen = HashSet::new();
    let mut previous: Option<SyncId> = None;
    let mut entries = Vec::with_capacity(response.messages.len());
    for (i, listed) in response.messages.into_iter().enumerate() {
        let entry = entry(query, listed).map_err(|e| e.context(format_args!("entry {i}")))?;
        if wanted.as_ref().is_some_and(|wanted| !wanted.contains(&entry.hash)) {
            bail!(StoreBadResponse, "entry {i} was not asked for: {}", entry.hash);
        }
        if !seen.insert(entry.hash) || query.cursor == Some(entry.hash) {
            bail!(StoreBadResponse, "entry {i} comes a second time: {}", entry.hash);
        }
        if let Some(id) = entry.sync_id() {
            if previous.is_some_and(|previous| previous >= id) {
                bail!(StoreBadResponse, "entry {i} is not in forward order: {}", entry.hash);
            }
            previous = Some(id);
        }
        entries.push(entry);
    }
    // An empty cursor is a plain encoder's way to say that there is none.
    let cursor = response.pagination_cursor.filter(|cursor| !cursor.is_empty());
    let cursor = cursor.map(|cursor| hash(&cursor)).transpose().map_err(|e| e.context("cursor"))?;
    Ok(Page { entries, cursor })
}

fn hash(bytes: &[u8]) -> Result<MessageHash> {
    match MessageHash::from_slice(bytes) {
        Err(e) => bail!(StoreBadResponse, "{e}"),
        Ok(MessageHash::ZERO) => bail!(StoreBadResponse, "a message hash is all zero"),
        Ok(hash) => Ok(hash),
    }
}

fn entry(query: &Query, listed: KeyValue) -> Result<Entry> {
    let Some(bytes) = listed.message_hash else {
        bail!(StoreBadResponse, "there is no message hash");
    };
    let hash = hash(&bytes)?;
    if !query.include_data {
        return Ok(Entry { hash, data: None });
    }
    let filter = &query.filter;
    if let Some(e) = &listed.unreadable {
        return without_data(hash, e, filter.content_topics.is_empty());
    }
    let (Some(message), Some(topic)) = (listed.message, listed.pubsub_topic) else {
        bail!(StoreBadResponse, "message or pubsub topic is missing: {hash}");
    };
    let topic = match PubsubTopic::new(topic) {
        Ok(topic) => topic,
        Err(e) => return without_data(hash, &e, filter.pubsub_topic.is_none()),
    };
    if message_hash(&topic, &message) != hash {
        bail!(StoreBadResponse, "the message is not the one it is listed as: {hash}");
    }
    if !matches(filter, &topic, &message) {
        bail!(StoreBadResponse, "the message does not match the filter: {hash}");
    }
    Ok(Entry { hash, data: Some((topic, message)) })
}

/// For a message under a topic that we do not take; where the filter names topics, which we do
/// take, it cannot be one of them.
fn without_data(hash: MessageHash, why: &Error, any_topic: bool) -> Result<Entry> {
    if !any_topic {
        let text = format!("the message does not match the filter: {hash}: {why}");
        return Err(Error::new(ErrorKind::StoreBadResponse, text));
    }
    Ok(Entry { hash, data: None })
}

fn matches(filter: &Filter, topic: &PubsubTopic, message: &WakuMessage) -> bool {
    let time = message.timestamp.unwrap_or_default();
    // The end of time is sent as no end at all.
    let before_end = time < filter.time.end() || filter.time.end() == Timestamp::MAX;
    filter.pubsub_topic.as_ref().is_none_or(|wanted| wanted == topic)
        && (filter.content_topics.is_empty()
            || filter.content_topics.contains(&message.content_topic))
        && filter.time.start() <= time
        && before_end
}
