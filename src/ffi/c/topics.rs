//! `wks_topics`: figures of an archive by topic.

use super::archive::wks_archive;
use super::bytes::{nth, wks_bytes};
use super::error::wks_error;
use super::guard::{self, Call};
use super::handle::handle;
use super::memory::{Record, borrow_str};
use super::op::{block, publish, take, wks_op};
use super::status::wks_status;
use crate::archive::{TopicKind, TopicQuery, TopicStats};
use crate::error::{Result, bail};
use crate::runtime::Op;
use crate::types::Timestamp;

/// Which kind of topic: a `WKS_TOPIC_…`.
pub type wks_topic_kind = i32;
/// By where messages are published.
pub const WKS_TOPIC_PUBSUB: wks_topic_kind = 0;
/// By what messages are filed under.
pub const WKS_TOPIC_CONTENT: wks_topic_kind = 1;

/// One page of figures by topic.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_topics {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_topics, 22, Vec<TopicStats>);

/// What an archive holds of one topic. The caller allocates it and sets `struct_size`; what it
/// points to is the page's, and lives until `wks_topics_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_topic_stats {
    /// `sizeof(wks_topic_stats)`.
    pub struct_size: usize,
    /// The topic.
    pub name: wks_bytes,
    /// Messages held; 0 where all that there were have been removed.
    pub messages: u64,
    /// Bytes of their payloads, metas and rate-limit proofs. On disk a message takes some 300 bytes
    /// more.
    pub bytes: u64,
    /// Timestamp of the oldest, in Unix nanoseconds; 0 where there is none.
    pub oldest: i64,
    /// Timestamp of the newest, in Unix nanoseconds; 0 where there is none.
    pub newest: i64,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_topic_stats {
    const NAME: &'static str = "wks_topic_stats";
    const FIRST_SIZE: usize = size_of::<Self>();
}

fn topic_stats(
    call: &mut Call,
    archive: wks_archive,
    kind: wks_topic_kind,
    after: wks_bytes,
    limit: usize,
) -> Result<Op> {
    let object = call.get(archive)?;
    let kind = match kind {
        WKS_TOPIC_PUBSUB => TopicKind::Pubsub,
        WKS_TOPIC_CONTENT => TopicKind::Content,
        other => bail!(InvalidArgument, "{other} is no kind of topic"),
    };
    let after = borrow_str(after, "after")?;
    let after = (!after.is_empty()).then(|| after.to_owned());
    object.ask(object.archive()?.topic_stats(TopicQuery { kind, after, limit }), Ok)
}

/// One page of figures by topic, in the order of the topics' names as bytes: those after `after`
/// (empty for the first page; the last name of a page for the next), `limit` of them, 1 to 1,000. A
/// page with fewer is the last. Topics whose messages have all been removed may be among them. The
/// cost is by topics, not by messages.
///
/// Threads: any but the dispatcher's. Blocks: yes, until they are known. Owns: the page is the
/// caller's, to free with `wks_topics_free`.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` for a kind or a limit that is none, `WKS_ERR_ARCHIVE_IO`,
/// `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_UNSUPPORTED` where the archive keeps no such figures,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_topic_stats(
    archive: wks_archive,
    kind: wks_topic_kind,
    after: wks_bytes,
    limit: usize,
    topics: *mut wks_topics,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, topics, |call| {
        take(&block(|| topic_stats(call, archive, kind, after, limit))?)
    })
}

/// Starts to find figures by topic: take them with `wks_op_take_topics`.
///
/// Threads: any. Blocks: no. Owns: `after` is lent for the call; the operation is the caller's, to
/// free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_archive_topic_stats`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_topic_stats_async(
    archive: wks_archive,
    kind: wks_topic_kind,
    after: wks_bytes,
    limit: usize,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(topic_stats(call, archive, kind, after, limit)))
}

/// Takes figures by topic.
///
/// Threads: any. Blocks: no. Owns: the page is the caller's, to free with `wks_topics_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_topics(
    op: wks_op,
    topics: *mut wks_topics,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, topics, |call| take(&*call.get(op)?))
}

/// How many topics a page has.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_topics_count(
    topics: wks_topics,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, count, |call| Ok(call.get(topics)?.len()))
}

/// Figures of topic `index`, counted from 0. Set `figures->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `figures` is the caller's; what it points to is the page's, and
/// lives until `wks_topics_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
/// the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_topics_get(
    topics: wks_topics,
    index: usize,
    figures: *mut wks_topic_stats,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, figures, |call| {
        let topics = call.get(topics)?;
        let topic = nth(&topics, index, "topic")?;
        Ok(wks_topic_stats {
            struct_size: size_of::<wks_topic_stats>(),
            name: wks_bytes::lend(topic.name.as_bytes()),
            messages: topic.messages,
            bytes: topic.bytes,
            oldest: topic.oldest.map_or(0, Timestamp::nanos),
            newest: topic.newest.map_or(0, Timestamp::nanos),
        })
    })
}

/// Frees a page of figures. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_topics_free(topics: wks_topics) {
    guard::free(topics, |_| {})
}
