//! `wks_page`: entries of a history, lent without a copy.

use super::bytes::{nth, wks_bytes};
use super::error::wks_error;
use super::guard;
use super::handle::{Output, handle};
use super::memory::Record;
use super::status::wks_status;
use crate::types::{Entry, Page, Timestamp};

/// One page of messages, in forward order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_page {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_page, 7, Page);

/// One entry of a page. The caller allocates it and sets `struct_size`; what it points to is the
/// page's, and lives until `wks_page_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_entry {
    /// `sizeof(wks_entry)`.
    pub struct_size: usize,
    /// The message's hash, 32 bytes.
    pub hash: *const u8,
    /// Where it was published.
    pub pubsub_topic: wks_bytes,
    /// What it is filed under.
    pub content_topic: wks_bytes,
    /// What the app sent.
    pub payload: wks_bytes,
    /// The app protocol's own, up to 64 bytes.
    pub meta: wks_bytes,
    /// The proof against spam, as it came.
    pub rate_limit_proof: wks_bytes,
    /// When it was sent, in Unix nanoseconds.
    pub timestamp: i64,
    /// The kind of payload encryption.
    pub version: u32,
    /// Whether there is more than the hash: 1 where whole messages were asked for.
    pub has_data: u8,
    /// Whether the message has a timestamp.
    pub has_timestamp: u8,
    /// Whether the message has a version; without one it is 0.
    pub has_version: u8,
    /// Whether the message has a meta field, which may be empty.
    pub has_meta: u8,
    /// Whether the message has a rate limit proof, which may be empty.
    pub has_rate_limit_proof: u8,
    /// Whether the message tells if it is ephemeral.
    pub has_ephemeral: u8,
    /// Whether it is ephemeral.
    pub ephemeral: u8,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_entry {
    const NAME: &'static str = "wks_entry";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl wks_entry {
    /// What it lends lives as long as the entry.
    pub(super) fn lend(entry: &Entry) -> Self {
        let mut out = wks_entry {
            struct_size: size_of::<wks_entry>(),
            hash: entry.hash.0.as_ptr(),
            pubsub_topic: wks_bytes::NOTHING,
            content_topic: wks_bytes::NOTHING,
            payload: wks_bytes::NOTHING,
            meta: wks_bytes::NOTHING,
            rate_limit_proof: wks_bytes::NOTHING,
            timestamp: 0,
            version: 0,
            has_data: 0,
            has_timestamp: 0,
            has_version: 0,
            has_meta: 0,
            has_rate_limit_proof: 0,
            has_ephemeral: 0,
            ephemeral: 0,
        };
        if let Some((topic, message)) = &entry.data {
            let lend = |b: &Option<bytes::Bytes>| {
                b.as_ref().map_or(wks_bytes::NOTHING, |b| wks_bytes::lend(b))
            };
            out.has_data = 1;
            out.pubsub_topic = wks_bytes::lend(topic.as_bytes());
            out.content_topic = wks_bytes::lend(message.content_topic.as_bytes());
            out.payload = wks_bytes::lend(&message.payload);
            out.meta = lend(&message.meta);
            out.has_meta = message.meta.is_some().into();
            out.rate_limit_proof = lend(&message.rate_limit_proof);
            out.has_rate_limit_proof = message.rate_limit_proof.is_some().into();
            out.timestamp = message.timestamp.map_or(0, Timestamp::nanos);
            out.has_timestamp = message.timestamp.is_some().into();
            out.version = message.version.unwrap_or(0);
            out.has_version = message.version.is_some().into();
            out.ephemeral = message.ephemeral.unwrap_or(false).into();
            out.has_ephemeral = message.ephemeral.is_some().into();
        }
        out
    }
}

/// How many entries there are.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_page_count(
    page: wks_page,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, count, |call| Ok(call.get(page)?.entries.len()))
}

/// Where to go on, for `wks_query_set_cursor`: 32 bytes; none where nothing more matches.
///
/// Threads: any. Blocks: no. Owns: the bytes are the page's, and live until `wks_page_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_page_cursor(
    page: wks_page,
    cursor: *mut wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, cursor, |call| {
        let page = call.get(page)?;
        Ok(page.cursor.as_ref().map_or(wks_bytes::NOTHING, |c| wks_bytes::lend(&c.0)))
    })
}

/// Entry `index`, counted from 0. Set `entry->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `entry` is the caller's; what it points to is the page's, and
/// lives until `wks_page_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
/// beyond the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_page_entry(
    page: wks_page,
    index: usize,
    entry: *mut wks_entry,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, entry, |call| {
        Ok(wks_entry::lend(nth(&call.get(page)?.entries, index, "entry")?))
    })
}

/// The first entries, up to `capacity` of them, in one call; how many goes to `count`. Set
/// `struct_size` of the first of `entries`.
///
/// Threads: any. Blocks: no. Owns: `entries` is the caller's; what they point to is the page's, and
/// lives until `wks_page_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_page_entries(
    page: wks_page,
    entries: *mut wks_entry,
    capacity: usize,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::fill_many(error, entries, capacity, count, |call, capacity| {
        Ok(call.get(page)?.entries.iter().take(capacity).map(wks_entry::lend).collect())
    })
}

/// Frees a page and all that its entries point to. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_page_free(page: wks_page) {
    guard::free(page, |_| {})
}
