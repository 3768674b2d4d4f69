//! `wks_changes`: an archive's change feed, pulled commit by commit.

use std::sync::Arc;

use super::archive::wks_archive;
use super::bytes::{nth, wks_bytes};
use super::error::wks_error;
use super::guard::{self, Call};
use super::handle::{Handle, Output, handle};
use super::memory::{Record, borrow};
use super::message::{number_of, wks_origin};
use super::op::{block, publish, take, wks_op};
use super::status::wks_status;
use crate::archive::{Feed, FeedEvent, FeedItem, Position};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::runtime::{Op, Pull, Runtime, Source};

/// A subscription to what is committed, from the moment it was made or from a position on: what is
/// stored, from wherever it comes, and what is removed, by this archive and by others on the same
/// file or database. A bounded queue: a reader that is too slow is told how much it missed, and from
/// where to go on. It does not keep the archive open.
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

impl ChangesObject {
    fn new(runtime: &Arc<Runtime>, feed: Feed) -> Self {
        ChangesObject { pull: Pull::new(Stream(feed)), runtime: Arc::clone(runtime) }
    }
}

struct Stream(Feed);

impl Source for Stream {
    type Item = Option<ChangeObject>;

    async fn next(&mut self) -> Result<Option<ChangeObject>> {
        let Some(event) = self.0.next().await else { return Ok(None) };
        // Now, and not when it is asked for: more may have been handed out by then.
        Ok(Some(ChangeObject { event, position: self.0.position().map(|p| p.to_bytes()) }))
    }
}

/// A place in the change feed of one archive, to keep and to go on from: everything up to it was
/// told. Opaque, but of two positions of one archive the one whose bytes compare as less comes
/// first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_position {
    /// The bytes; all zero for the beginning.
    pub bytes: [u8; 24],
}

impl Output for wks_position {
    const NOTHING: wks_position = wks_position { bytes: [0; Position::LENGTH] };
}

/// One change.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_change {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_change, 21, ChangeObject);

/// A change, and where to go on from after it.
pub(super) struct ChangeObject {
    event: FeedEvent,
    position: Option<[u8; Position::LENGTH]>,
}

/// What a change is: a `WKS_CHANGE_…`. Ignore those that you do not know.
pub type wks_change_kind = i32;
/// Messages were stored; those that were there already are not among them. Of this archive's own
/// commits, while the reader keeps up, one change is one commit.
pub const WKS_CHANGE_STORED: wks_change_kind = 1;
/// Messages were removed, by retention or taken down. Do not mind one that you do not know.
pub const WKS_CHANGE_REMOVED: wks_change_kind = 2;
/// The reader was too slow: `lagged` messages, stored or removed, were left out here (0 where it is
/// not known how many). From `position` a new subscription goes on with nothing left out.
pub const WKS_CHANGE_LAGGED: wks_change_kind = 3;
/// Retention removed all messages up to the one of `timestamp` and `hash`, with it: told so of other
/// archives on the same file or database, and of what lies behind.
pub const WKS_CHANGE_EXPIRED: wks_change_kind = 4;

/// What a change tells; what its kind does not name is zero. The caller allocates it and sets
/// `struct_size`; what it points to is the change's, and lives until `wks_change_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_change_info {
    /// `sizeof(wks_change_info)`.
    pub struct_size: usize,
    /// What it is.
    pub kind: wks_change_kind,
    /// How many messages were stored or removed: for `wks_change_get`.
    pub count: usize,
    /// How many messages were left out.
    pub lagged: u64,
    /// Where `wks_archive_subscribe_from` goes on from after this change: 24 bytes, or none where it
    /// is not known. Keep it after what the change asks for is done.
    pub position: wks_bytes,
    /// The last message that expired, 32 bytes.
    pub hash: *const u8,
    /// When that was sent, in Unix nanoseconds.
    pub timestamp: i64,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
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

impl wks_change_info {
    fn lend(change: &ChangeObject) -> Self {
        let mut out = wks_change_info {
            struct_size: size_of::<wks_change_info>(),
            kind: 0,
            count: items(change).len(),
            lagged: 0,
            position: change.position.as_ref().map_or(wks_bytes::NOTHING, |p| wks_bytes::lend(p)),
            hash: std::ptr::null(),
            timestamp: 0,
        };
        match &change.event {
            FeedEvent::Stored(_) => out.kind = WKS_CHANGE_STORED,
            FeedEvent::Removed(_) => out.kind = WKS_CHANGE_REMOVED,
            FeedEvent::Lagged { missed, .. } => {
                (out.kind, out.lagged) = (WKS_CHANGE_LAGGED, *missed);
            }
            FeedEvent::Expired(last) => {
                out.kind = WKS_CHANGE_EXPIRED;
                (out.hash, out.timestamp) = (last.hash.0.as_ptr(), last.timestamp.nanos());
            }
        }
        out
    }
}

fn items(change: &ChangeObject) -> &[FeedItem] {
    match &change.event {
        FeedEvent::Stored(items) | FeedEvent::Removed(items) => items,
        FeedEvent::Lagged { .. } | FeedEvent::Expired(_) => &[],
    }
}

fn check_capacity(capacity: usize) -> Result<()> {
    if capacity == 0 {
        bail!(InvalidArgument, "a subscription has room for at least one message");
    }
    Ok(())
}

fn next(call: &mut Call, changes: wks_changes) -> Result<Op> {
    let object = call.get(changes)?;
    object.pull.next(&object.runtime)
}

/// Subscribes to what the archive commits from now on. Up to `capacity` messages wait for the
/// reader, and always one commit, however large it is; what is beyond that it is told to have
/// missed. A put's messages are there by the time it is acknowledged; what others commit on the same
/// file or database comes within some 250 ms, and may be missed where it falls into the moment of
/// this call: where none may be, ask for `wks_archive_position` and subscribe from there.
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
        check_capacity(capacity)?;
        let feed = object.archive()?.subscribe(capacity);
        wks_changes::publish(ChangesObject::new(object.runtime(), feed))
    })
}

fn subscribe_from(
    call: &mut Call,
    archive: wks_archive,
    position: wks_bytes,
    capacity: usize,
) -> Result<Op> {
    let object = call.get(archive)?;
    let position = match borrow(position, "position")? {
        [] => Position::START,
        bytes => Position::from_bytes(bytes)?,
    };
    check_capacity(capacity)?;
    let runtime = Arc::clone(object.runtime());
    let feed = object.archive()?.subscribe_from(position, capacity);
    object.ask(feed, move |feed| Ok(ChangesObject::new(&runtime, feed)))
}

fn position(call: &mut Call, archive: wks_archive) -> Result<Op> {
    let object = call.get(archive)?;
    object.ask(object.archive()?.position(), |p| Ok(wks_position { bytes: p.to_bytes() }))
}

fn take_position(op: &Op) -> Result<wks_position> {
    let nothing = || Error::new(ErrorKind::Internal, "the operation gave no position");
    op.take::<Option<wks_position>>()?.ok_or_else(nothing)
}

/// Subscribes to everything after a position, each change once: first what lies behind, as fast as
/// it is read, then what is committed, with no gap or double between the two. An empty `position` is
/// the beginning: from there all messages that are held are told first, in the order in which they
/// were stored. A reader that is behind cannot lag. `capacity` is as for `wks_archive_subscribe`.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the archive has answered. Owns: the
/// position is lent for the call; the subscription is the caller's, to free with
/// `wks_changes_free`.
/// Errors: `WKS_ERR_POSITION_GONE` where the position is too old, or of another archive: then read
/// anew, from the beginning; `WKS_ERR_MALFORMED` for a length that is neither 0 nor 24,
/// `WKS_ERR_INVALID_ARGUMENT` for a capacity of 0, `WKS_ERR_UNSUPPORTED` where the archive keeps no
/// log of its changes, `WKS_ERR_BUSY`, `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_CLOSED`,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_subscribe_from(
    archive: wks_archive,
    position: wks_bytes,
    capacity: usize,
    changes: *mut wks_changes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, changes, |call| {
        take(&block(|| subscribe_from(call, archive, position, capacity))?)
    })
}

/// Starts to subscribe from a position: take the subscription with `wks_op_take_changes`.
///
/// Threads: any. Blocks: no. Owns: the position is lent for the call; the operation is the
/// caller's, to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_subscribe_from`; the
/// operation's are the others.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_subscribe_from_async(
    archive: wks_archive,
    position: wks_bytes,
    capacity: usize,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(subscribe_from(call, archive, position, capacity)))
}

/// Takes a subscription.
///
/// Threads: any. Blocks: no. Owns: the subscription is the caller's, to free with
/// `wks_changes_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_changes(
    op: wks_op,
    changes: *mut wks_changes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, changes, |call| take(&*call.get(op)?))
}

/// Where the change feed stands now: a subscription from there tells of everything that is committed
/// after this.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the archive has answered. Owns: nothing.
/// Errors: `WKS_ERR_UNSUPPORTED` where the archive keeps no log of its changes, `WKS_ERR_BUSY`,
/// `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
/// `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_position(
    archive: wks_archive,
    position: *mut wks_position,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, position, |call| take_position(&block(|| self::position(call, archive))?))
}

/// Starts to ask where the change feed stands: take it with `wks_op_take_position`.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_position`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_position_async(
    archive: wks_archive,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(position(call, archive)))
}

/// Takes a position.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_position(
    op: wks_op,
    position: *mut wks_position,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, position, |call| take_position(&*call.get(op)?))
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
/// Threads: any. Blocks: no. Owns: `info` is the caller's; what it points to is the change's, and
/// lives until `wks_change_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_change_read(
    change: wks_change,
    info: *mut wks_change_info,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, info, |call| Ok(wks_change_info::lend(&*call.get(change)?)))
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
