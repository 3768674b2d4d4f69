//! `wks_changes`: an archive's change feed, pulled commit by commit.

use std::sync::Arc;

use super::archive::wks_archive;
use super::bytes::{nth, wks_bytes};
use super::error::wks_error;
use super::guard::{self, Call};
use super::handle::{Handle, handle};
use super::memory::Record;
use super::message::{number_of, wks_origin};
use super::op::{block, publish, take, wks_op};
use super::status::wks_status;
use crate::archive::{Feed, FeedEvent, FeedItem};
use crate::error::{Result, bail};
use crate::runtime::{Op, Pull, Runtime, Source};

/// A subscription to what an archive commits, from the moment it was made: what is stored, from
/// wherever it comes, and what is removed. A bounded queue: a reader that is too slow is told how
/// much it missed. It does not keep the archive open.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_changes {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_changes, 20, ChangesObject);

/// A subscription and the runtime that its ops run on.
pub(super) struct ChangesObject {
    pull: Pull<Stream>,
    runtime: Arc<Runtime>,
}

struct Stream(Feed);

impl Source for Stream {
    type Item = Option<FeedEvent>;

    async fn next(&mut self) -> Result<Option<FeedEvent>> {
        Ok(self.0.next().await)
    }
}

/// One change.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_change {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_change, 21, FeedEvent);

/// What a change is: a `WKS_CHANGE_…`. Ignore those that you do not know.
pub type wks_change_kind = i32;
/// Messages were stored, in one commit; those that were there already are not among them.
pub const WKS_CHANGE_STORED: wks_change_kind = 1;
/// Messages were removed in one commit, by retention or taken down.
pub const WKS_CHANGE_REMOVED: wks_change_kind = 2;
/// The reader was too slow: `lagged` messages, stored or removed, were left out here.
pub const WKS_CHANGE_LAGGED: wks_change_kind = 3;

/// What a change tells. The caller allocates it and sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_change_info {
    /// `sizeof(wks_change_info)`.
    pub struct_size: usize,
    /// What it is.
    pub kind: wks_change_kind,
    /// How many messages were stored or removed: for `wks_change_item`.
    pub count: usize,
    /// How many messages were left out.
    pub lagged: u64,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_change_info {
    const NAME: &'static str = "wks_change_info";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// One message that was stored or removed. The caller allocates it and sets `struct_size`; what it
/// points to is the change's, and lives until `wks_change_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_change_message {
    /// `sizeof(wks_change_message)`.
    pub struct_size: usize,
    /// The message's hash, 32 bytes.
    pub hash: *const u8,
    /// When it was sent, in Unix nanoseconds.
    pub timestamp: i64,
    /// Where it was published.
    pub pubsub_topic: wks_bytes,
    /// What it is filed under.
    pub content_topic: wks_bytes,
    /// Where it came from, also where it was removed.
    pub origin: wks_origin,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_change_message {
    const NAME: &'static str = "wks_change_message";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl wks_change_message {
    fn lend(item: &FeedItem) -> Self {
        wks_change_message {
            struct_size: size_of::<Self>(),
            hash: item.id.hash.0.as_ptr(),
            timestamp: item.id.timestamp.nanos(),
            pubsub_topic: wks_bytes::lend(item.pubsub_topic.as_bytes()),
            content_topic: wks_bytes::lend(item.content_topic.as_bytes()),
            origin: number_of(item.origin),
        }
    }
}

fn items(change: &FeedEvent) -> &[FeedItem] {
    match change {
        FeedEvent::Stored(items) | FeedEvent::Removed(items) => items,
        FeedEvent::Lagged(_) => &[],
    }
}

fn next(call: &mut Call, changes: wks_changes) -> Result<Op> {
    let object = call.get(changes)?;
    object.pull.next(&object.runtime)
}

/// Subscribes to what the archive commits from now on. Up to `capacity` messages wait for the
/// reader, and always one commit, however large it is; what is beyond that it is told to have
/// missed. A put's messages are there by the time it is acknowledged.
///
/// Threads: any. Blocks: no. Owns: the subscription is the caller's, to free with
/// `wks_changes_free`.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` for a capacity of 0, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
/// `WKS_ERR_NULL_POINTER`. (That of an archive that was closed has ended already.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_subscribe(
    archive: wks_archive,
    capacity: usize,
    changes: *mut wks_changes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, changes, |call| {
        let object = call.get(archive)?;
        if capacity == 0 {
            bail!(InvalidArgument, "a subscription has room for at least one message");
        }
        let feed = object.archive()?.subscribe(capacity);
        let runtime = Arc::clone(object.runtime());
        wks_changes::publish(ChangesObject { pull: Pull::new(Stream(feed)), runtime })
    })
}

/// Waits for the next change; the null handle once the archive is closed and all were given.
///
/// Threads: any but the dispatcher's. Blocks: yes, until something is committed. Owns: the change
/// is the caller's, to free with `wks_change_free`.
/// Errors: `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_changes_next(
    changes: wks_changes,
    change: *mut wks_change,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, change, |call| take(&block(|| next(call, changes))?))
}

/// Starts to wait for the next change: take it with `wks_op_take_change`. A cancel loses no change:
/// the next call gives it.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_changes_next_async(
    changes: wks_changes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(next(call, changes)))
}

/// Takes a change; the null handle at the end of the feed.
///
/// Threads: any. Blocks: no. Owns: the change is the caller's, to free with `wks_change_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_change(
    op: wks_op,
    change: *mut wks_change,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, change, |call| take(&*call.get(op)?))
}

/// Ends a subscription. Changes that it gave stay. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_changes_free(changes: wks_changes) {
    guard::free(changes, |_| {})
}

/// What a change tells. Set `info->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_change_read(
    change: wks_change,
    info: *mut wks_change_info,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, info, |call| {
        let change = call.get(change)?;
        let (kind, lagged) = match &*change {
            FeedEvent::Stored(_) => (WKS_CHANGE_STORED, 0),
            FeedEvent::Removed(_) => (WKS_CHANGE_REMOVED, 0),
            FeedEvent::Lagged(missed) => (WKS_CHANGE_LAGGED, *missed),
        };
        let count = items(&change).len();
        Ok(wks_change_info { struct_size: size_of::<wks_change_info>(), kind, count, lagged })
    })
}

/// Message `index` of a change, counted from 0. Set `message->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `message` is the caller's; what it points to is the change's,
/// and lives until `wks_change_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
/// beyond the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_change_get(
    change: wks_change,
    index: usize,
    message: *mut wks_change_message,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, message, |call| {
        Ok(wks_change_message::lend(nth(items(&*call.get(change)?), index, "message")?))
    })
}

/// The first messages of a change, up to `capacity` of them, in one call; how many goes to `count`.
/// Set `struct_size` of the first of `messages`.
///
/// Threads: any. Blocks: no. Owns: `messages` is the caller's; what they point to is the change's,
/// and lives until `wks_change_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_change_messages(
    change: wks_change,
    messages: *mut wks_change_message,
    capacity: usize,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::fill_many(error, messages, capacity, count, |call, capacity| {
        let change = call.get(change)?;
        Ok(items(&change).iter().take(capacity).map(wks_change_message::lend).collect())
    })
}

/// Frees a change and all that its messages point to. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_change_free(change: wks_change) {
    guard::free(change, |_| {})
}
