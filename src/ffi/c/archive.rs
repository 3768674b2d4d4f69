//! `wks_archive`: an open archive.

use std::sync::Arc;

use super::archive_options::{Options, wks_archive_options};
use super::bytes::{HashesObject, wks_bytes, wks_hashes};
use super::error::wks_error;
use super::guard::{self, Call};
use super::handle::{Output, handle};
use super::memory::{Record, borrow_hashes};
use super::message::{
    OutcomesObject, copy_messages, origin_of, wks_message, wks_origin, wks_outcomes,
};
use super::op::{self, block, publish, take, wks_op};
use super::page::wks_page;
use super::query::wks_query;
use super::status::wks_status;
use crate::archive::{Archive, Pending, Stats};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::ffi::place;
use crate::runtime::{self, Op, Registration, Runtime, Stage};
use crate::types::{Entry, Page, StoredMessage, Timestamp};

/// An open archive. Any number of threads may use it at once.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_archive {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_archive, 5, Arc<ArchiveObject>);

/// An archive that a shutdown closes.
pub(super) struct ArchiveObject {
    /// There until the object is dropped.
    open: Option<(Archive, Registration)>,
    runtime: Arc<Runtime>,
}

impl ArchiveObject {
    fn open(runtime: Arc<Runtime>, options: Options) -> Result<Arc<Self>> {
        let archive = place::open(options.sqlite, options.archive)?;
        let closing = archive.clone();
        let closer = runtime.on_shutdown(Stage::Storage, || async move { closing.close() })?;
        Ok(Arc::new(ArchiveObject { open: Some((archive, closer)), runtime }))
    }

    /// The archive, unless its runtime was shut down.
    ///
    /// # Errors
    /// [`ErrorKind::Shutdown`].
    pub(super) fn archive(&self) -> Result<&Archive> {
        self.runtime.check_open()?;
        match &self.open {
            Some((archive, _)) => Ok(archive),
            None => bail!(ArchiveClosed, "the archive was let go"),
        }
    }

    /// The runtime that its ops run on.
    pub(super) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// An op that gives what becomes of an answer.
    pub(super) fn ask<T: Send + 'static, O: Send + 'static>(
        &self,
        pending: Pending<T>,
        then: impl FnOnce(T) -> Result<O> + Send + 'static,
    ) -> Result<Op> {
        op::start(&self.runtime, async move { then(pending.await?) })
    }
}

impl Drop for ArchiveObject {
    /// The last to let go of an archive joins its threads: not on a worker.
    fn drop(&mut self) {
        runtime::drop_blocking(self.open.take());
    }
}

/// Figures of an archive. The caller allocates it and sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_stats {
    /// `sizeof(wks_stats)`.
    pub struct_size: usize,
    /// Messages held.
    pub messages: u64,
    /// Bytes on disk; 0 for an archive in memory.
    pub bytes_on_disk: u64,
    /// Timestamp of the oldest message, in Unix nanoseconds; 0 where there is none.
    pub oldest: i64,
    /// Timestamp of the newest message, in Unix nanoseconds; 0 where there is none.
    pub newest: i64,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_stats {
    const NAME: &'static str = "wks_stats";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl From<Stats> for wks_stats {
    fn from(stats: Stats) -> Self {
        wks_stats {
            struct_size: size_of::<wks_stats>(),
            messages: stats.messages,
            bytes_on_disk: stats.bytes_on_disk,
            oldest: stats.oldest.map_or(0, Timestamp::nanos),
            newest: stats.newest.map_or(0, Timestamp::nanos),
        }
    }
}

// What each pair of calls starts; the first of a pair gives the op out, the second waits for it.

fn open(call: &mut Call, options: wks_archive_options) -> Result<Op> {
    let options = call.get(options)?.options();
    let runtime = Runtime::current()?;
    let opening = Arc::clone(&runtime);
    op::start(&runtime, runtime::blocking(move || ArchiveObject::open(opening, options)))
}

fn put(
    call: &mut Call,
    archive: wks_archive,
    messages: *const wks_message,
    count: usize,
    origin: wks_origin,
) -> Result<Op> {
    let object = call.get(archive)?;
    let origin = origin_of(origin)?;
    let messages = copy_messages(messages, count)?;
    let hashes = messages.iter().map(|m| m.hash).collect();
    let pending = object.archive()?.put(messages, origin);
    object.ask(pending, |outcomes| OutcomesObject::new(hashes, outcomes))
}

fn query(call: &mut Call, archive: wks_archive, query: wks_query) -> Result<Op> {
    let object = call.get(archive)?;
    let query = call.get(query)?.query();
    object.ask(object.archive()?.query(query), Ok)
}

fn get(call: &mut Call, archive: wks_archive, hashes: wks_bytes) -> Result<Op> {
    let object = call.get(archive)?;
    let hashes = borrow_hashes(hashes, "hashes")?;
    object.ask(object.archive()?.get(hashes), |messages| {
        let entry =
            |m: StoredMessage| Entry { hash: m.hash, data: Some((m.pubsub_topic, m.message)) };
        Ok(Page { entries: messages.into_iter().map(entry).collect(), cursor: None })
    })
}

fn missing(call: &mut Call, archive: wks_archive, hashes: wks_bytes) -> Result<Op> {
    let object = call.get(archive)?;
    let hashes = borrow_hashes(hashes, "hashes")?;
    object.ask(object.archive()?.missing(hashes), |missing| Ok(HashesObject::new(missing)))
}

fn stats(call: &mut Call, archive: wks_archive) -> Result<Op> {
    let object = call.get(archive)?;
    object.ask(object.archive()?.stats(), |stats| Ok(wks_stats::from(stats)))
}

fn close(call: &mut Call, archive: wks_archive) -> Result<Op> {
    let object = call.get(archive)?;
    let closing = object.archive()?.clone();
    let work = runtime::blocking(move || {
        closing.close();
        Ok(())
    });
    op::start(object.runtime(), work)
}

/// Opens an archive, or creates it. Starts the library's threads where they do not run.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is open. Owns: the archive is the
/// caller's, to free with `wks_archive_free`.
/// Errors: `WKS_ERR_ARCHIVE_OPEN`, `WKS_ERR_ARCHIVE_CORRUPT`, `WKS_ERR_SCHEMA_TOO_NEW`,
/// `WKS_ERR_ARCHIVE_LOCKED`, `WKS_ERR_ARCHIVE_READ_ONLY`, `WKS_ERR_DISK_FULL`,
/// `WKS_ERR_ARCHIVE_UNAVAILABLE` where a database cannot be reached,
/// `WKS_ERR_INVALID_ARGUMENT` for options that cannot be, `WKS_ERR_WOULD_DEADLOCK` from a callback,
/// `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_open(
    options: wks_archive_options,
    archive: *mut wks_archive,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, archive, |call| take(&block(|| open(call, options))?))
}

/// Starts to open an archive: take it with `wks_op_take_archive`.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the
/// operation's are those of `wks_archive_open`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_open_async(
    options: wks_archive_options,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(open(call, options)))
}

/// Stores messages in one commit, and tells what became of each. It is acknowledged after its
/// commit. A message that the rules refuse does not hinder the others. Where `outcomes` is null,
/// the first refusal is the call's error (the others are stored all the same).
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is committed. Owns: the messages are
/// lent for the call; the outcomes are the caller's, to free with `wks_outcomes_free`.
/// Errors: `WKS_ERR_INVALID_TOPIC`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`, flag or origin, `WKS_ERR_UNSUPPORTED` for fields of a newer header,
/// `WKS_ERR_BUSY`, `WKS_ERR_DISK_FULL`, `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_READ_ONLY`,
/// `WKS_ERR_ARCHIVE_CLOSED` (with each of these nothing is stored); without `outcomes` the refusals
/// from `WKS_ERR_MESSAGE_TOO_LARGE` to `WKS_ERR_TIMESTAMP_TOO_OLD`; `WKS_ERR_WOULD_DEADLOCK`,
/// `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_put(
    archive: wks_archive,
    messages: *const wks_message,
    count: usize,
    origin: wks_origin,
    outcomes: *mut wks_outcomes,
    error: *mut wks_error,
) -> wks_status {
    guard::offer(error, outcomes, |call| {
        let op = block(|| put(call, archive, messages, count, origin))?;
        if outcomes.is_null() {
            let done = op.take::<Option<OutcomesObject>>()?;
            done.map_or(Ok(()), |o| o.first_refusal()).map(|()| wks_outcomes::NOTHING)
        } else {
            take(&op)
        }
    })
}

/// Starts to store messages: take what became of them with `wks_op_take_outcomes`. Cancelling does
/// not take the messages back.
///
/// Threads: any. Blocks: no. Owns: the messages are lent for the call; the operation is the
/// caller's, to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_put`; the operation's
/// are the others.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_put_async(
    archive: wks_archive,
    messages: *const wks_message,
    count: usize,
    origin: wks_origin,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(put(call, archive, messages, count, origin)))
}

/// Reads one page of what matches a query.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is read. Owns: the page is the
/// caller's, to free with `wks_page_free`.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` for a limit that is not 1 to 100 or hashes beside other
/// filters, `WKS_ERR_CURSOR_NOT_FOUND`, `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_CORRUPT`,
/// `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_BUSY`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
/// `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_query(
    archive: wks_archive,
    what: wks_query,
    page: *mut wks_page,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, page, |call| take(&block(|| query(call, archive, what))?))
}

/// Starts to read one page: take it with `wks_op_take_page`.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_query`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_query_async(
    archive: wks_archive,
    what: wks_query,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(query(call, archive, what)))
}

/// Reads those of the messages that are held, in the order asked for, each once, as a page without
/// a cursor. `hashes` are 32 bytes each, one after the other.
///
/// Threads: any but the dispatcher's. Blocks: yes, until they are read. Owns: the hashes are lent
/// for the call; the page is the caller's, to free with `wks_page_free`.
/// Errors: `WKS_ERR_INVALID_HASH` for a length that is not a multiple of 32; and as
/// `wks_archive_query`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_get(
    archive: wks_archive,
    hashes: wks_bytes,
    page: *mut wks_page,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, page, |call| take(&block(|| get(call, archive, hashes))?))
}

/// Starts to read messages by their hashes: take them with `wks_op_take_page`.
///
/// Threads: any. Blocks: no. Owns: the hashes are lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_get`; the operation's
/// are the others.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_get_async(
    archive: wks_archive,
    hashes: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(get(call, archive, hashes)))
}

/// Tells which of these messages are not held, in the order asked for, each once. `hashes` are 32
/// bytes each, one after the other, any number of them.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is known. Owns: the hashes are lent for
/// the call; the answer is the caller's, to free with `wks_hashes_free`.
/// Errors: as `wks_archive_get`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_missing(
    archive: wks_archive,
    hashes: wks_bytes,
    lacking: *mut wks_hashes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, lacking, |call| take(&block(|| missing(call, archive, hashes))?))
}

/// Starts to find out which messages are not held: take the answer with `wks_op_take_hashes`.
///
/// Threads: any. Blocks: no. Owns: the hashes are lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_get`; the operation's
/// are the others.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_missing_async(
    archive: wks_archive,
    hashes: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(missing(call, archive, hashes)))
}

/// Figures of the archive. Set `figures->struct_size` first.
///
/// Threads: any but the dispatcher's. Blocks: yes, until they are known. Owns: nothing.
/// Errors: `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_stats(
    archive: wks_archive,
    figures: *mut wks_stats,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, figures, |call| {
        let op = block(|| stats(call, archive))?;
        let nothing = || Error::new(ErrorKind::Internal, "the archive gave no figures");
        op.take::<Option<wks_stats>>()?.ok_or_else(nothing)
    })
}

/// Starts to find figures: take them with `wks_op_take_stats`.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_stats`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_stats_async(
    archive: wks_archive,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(stats(call, archive)))
}

/// Commits what was accepted and closes the archive, also under a node that uses it: every other
/// call, and a read that waits, then gives `WKS_ERR_ARCHIVE_CLOSED`. A second time is fine. The
/// handle still has to be freed.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is closed. Owns: nothing.
/// Errors: `WKS_ERR_WOULD_DEADLOCK` from a callback, `WKS_ERR_SHUTDOWN` after a shutdown (which
/// closed it), `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_close(archive: wks_archive, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| block(|| close(call, archive))?.status())
}

/// Starts to close an archive. The operation has no result: its status tells.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_close_async(
    archive: wks_archive,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(close(call, archive)))
}

/// Frees an archive's handle. The last to let go of an archive (a node over it, and a walk through
/// its history, hold it too) closes it: puts that were accepted are committed, reads that wait end
/// with `WKS_ERR_ARCHIVE_CLOSED`. The null handle is fine.
///
/// Threads: any. Blocks: where it closes the archive, until what was accepted is committed. Owns:
/// takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_free(archive: wks_archive) {
    guard::free(archive, |_| {})
}
