//! `wks_query`: what is asked of an archive or a store peer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bytes::wks_bytes;
use super::error::wks_error;
use super::guard;
use super::handle::{Handle, handle};
use super::memory::{borrow, borrow_hashes};
use super::status::wks_status;
use crate::archive::{MAX_CONTENT_TOPICS, MAX_HASHES};
use crate::error::{Result, bail};
use crate::types::{
    ContentTopic, Direction, MessageHash, PubsubTopic, Query, TimeRange, Timestamp,
};

/// A query. A new one asks for all messages, forward, 20 a page, with their data. A call copies it:
/// it can be changed and used again, and freed at any time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_query {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_query, 6, QueryObject);

/// A query that is being put together.
pub(super) struct QueryObject(Mutex<Query>);

impl QueryObject {
    /// As it is now.
    pub(super) fn query(&self) -> Query {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Query> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which way to walk: a `WKS_DIRECTION_…`.
pub type wks_direction = i32;
/// Oldest first.
pub const WKS_DIRECTION_FORWARD: wks_direction = 0;
/// Newest first. The entries of each page are in forward order all the same.
pub const WKS_DIRECTION_BACKWARD: wks_direction = 1;

/// A flag of the header.
pub(super) fn flag(value: u8, name: &str) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => bail!(InvalidArgument, "{name} is {value}, neither 0 nor 1"),
    }
}

/// Makes a query for everything.
///
/// Threads: any. Blocks: no. Owns: the query is the caller's, to free with `wks_query_free`.
/// Errors: `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_new(query: *mut wks_query, error: *mut wks_error) -> wks_status {
    guard::give(error, query, |_| wks_query::publish(QueryObject(Mutex::default())))
}

/// Only messages that were published on this topic; empty for any.
///
/// Threads: any. Blocks: no. Owns: nothing; the topic is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_set_pubsub_topic(
    query: wks_query,
    pubsub_topic: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let topic = borrow(pubsub_topic, "pubsub_topic")?;
        let topic = if topic.is_empty() { None } else { Some(PubsubTopic::from_utf8(topic)?) };
        call.get(query)?.lock().filter.pubsub_topic = topic;
        Ok(())
    })
}

/// Only messages that are filed under this topic, or under another one that was added; 100 at the
/// most.
///
/// Threads: any. Blocks: no. Owns: nothing; the topic is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC`,
/// `WKS_ERR_INVALID_ARGUMENT` for too many.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_add_content_topic(
    query: wks_query,
    content_topic: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let topic = ContentTopic::from_utf8(borrow(content_topic, "content_topic")?)?;
        let query = call.get(query)?;
        let mut query = query.lock();
        if query.filter.content_topics.len() >= MAX_CONTENT_TOPICS {
            bail!(InvalidArgument, "a query has at most {MAX_CONTENT_TOPICS} content topics");
        }
        query.filter.content_topics.push(topic);
        Ok(())
    })
}

/// Only messages of the half-open span from `start` to before `end`, in Unix nanoseconds.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_TIME_RANGE` where it ends before it starts.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_set_time(
    query: wks_query,
    start: i64,
    end: i64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let span = TimeRange::new(Timestamp(start), Timestamp(end))?;
        call.get(query)?.lock().filter.time = span;
        Ok(())
    })
}

/// Only messages of these hashes, 32 bytes each, one after the other; 1,000 at the most, none for
/// any. No other filter may be set beside them.
///
/// Threads: any. Blocks: no. Owns: nothing; the hashes are copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_HASH` for a length that is
/// not a multiple of 32, `WKS_ERR_INVALID_ARGUMENT` for too many.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_set_hashes(
    query: wks_query,
    hashes: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let query = call.get(query)?;
        if hashes.len > MAX_HASHES * 32 {
            bail!(InvalidArgument, "a query has at most {MAX_HASHES} hashes");
        }
        let hashes = borrow_hashes(hashes, "hashes")?;
        query.lock().filter.hashes = hashes;
        Ok(())
    })
}

/// Go on after (forward) or before (backward) the message of this hash; empty to begin at the
/// beginning.
///
/// Threads: any. Blocks: no. Owns: nothing; the hash is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_HASH` unless it is 32 bytes
/// or none.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_set_cursor(
    query: wks_query,
    cursor: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let cursor = borrow(cursor, "cursor")?;
        let cursor = if cursor.is_empty() { None } else { Some(MessageHash::from_slice(cursor)?) };
        call.get(query)?.lock().cursor = cursor;
        Ok(())
    })
}

/// Which way to walk: `WKS_DIRECTION_FORWARD` or `WKS_DIRECTION_BACKWARD`.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_set_direction(
    query: wks_query,
    direction: wks_direction,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let direction = match direction {
            WKS_DIRECTION_FORWARD => Direction::Forward,
            WKS_DIRECTION_BACKWARD => Direction::Backward,
            other => bail!(InvalidArgument, "{other} is no direction"),
        };
        call.get(query)?.lock().direction = direction;
        Ok(())
    })
}

/// The most entries of a page, 1 to 100. (What is out of that is refused by the call that uses the
/// query.)
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_set_limit(
    query: wks_query,
    limit: usize,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(query)?.lock().limit = limit;
        Ok(())
    })
}

/// Whole messages (1), or hashes alone (0).
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_set_include_data(
    query: wks_query,
    include_data: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let include = flag(include_data, "include_data")?;
        call.get(query)?.lock().include_data = include;
        Ok(())
    })
}

/// Frees a query. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_query_free(query: wks_query) {
    guard::free(query, |_| {})
}
