//! `wks_op`: one asynchronous operation.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use super::archive::{wks_archive, wks_stats};
use super::bytes::{wks_buffer, wks_hashes};
use super::error::wks_error;
use super::events::wks_event;
use super::guard::{self, Call};
use super::handle::{Handle, handle};
use super::memory::Record;
use super::message::wks_outcomes;
use super::node::wks_node;
use super::page::wks_page;
use super::queue::wks_queue;
use super::status::wks_status;
use super::sync::wks_report;
use super::user::wks_drop;
use crate::archive::{Control, Progress};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::runtime::{self, Completion, Op, Runtime};

/// An operation that was started. It ends exactly once: with its result, an error, or
/// `WKS_ERR_CANCELLED`. Wait for it, or attach it to a queue or a callback; then take its result
/// with the function of the result's type; then free it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_op {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_op, 2, Op);

/// Waits without limit, where a timeout is asked for.
pub const WKS_FOREVER: u64 = u64::MAX;

/// Called once when an operation has ended, on the library's dispatcher thread: one thread, one
/// callback after the other. It may call everything but what blocks and `wks_shutdown`, and should
/// return soon; it must not throw.
pub type wks_callback = Option<unsafe extern "C" fn(op: wks_op, user: *mut c_void)>;

/// Starts an op whose result is an object, for [`take`].
pub(super) fn start<O: Send + 'static>(
    runtime: &Arc<Runtime>,
    work: impl Future<Output = Result<O>> + Send + 'static,
) -> Result<Op> {
    Op::start(runtime, async move { work.await.map(Some) })
}

/// [`start`] for long work that tells how far it is.
pub(super) fn start_watched<O: Send + 'static>(
    runtime: &Arc<Runtime>,
    control: Control,
    work: impl Future<Output = Result<O>> + Send + 'static,
) -> Result<Op> {
    let op = start(runtime, work)?;
    op.measure(move || {
        let Progress { done, total } = control.progress();
        (done, total)
    });
    Ok(op)
}

/// Starts an op and gives its handle out.
pub(super) fn publish(op: Result<Op>) -> Result<wks_op> {
    wks_op::publish(op?)
}

/// Takes an op's object and gives its handle out; the null handle for the end of a stream.
pub(super) fn take<H: Handle>(op: &Op) -> Result<H> {
    match op.take::<Option<H::Object>>()? {
        Some(object) => H::publish(object),
        None => Ok(H::NOTHING),
    }
}

/// Takes an op's figures.
pub(super) fn take_record<R: Record + Send + 'static>(op: &Op) -> Result<R> {
    let nothing = || Error::new(ErrorKind::Internal, "the operation gave no figures");
    op.take::<Option<R>>()?.ok_or_else(nothing)
}

/// Takes an op's number.
pub(super) fn take_number(op: &Op) -> Result<u64> {
    let nothing = || Error::new(ErrorKind::Internal, "the operation gave no number");
    op.take::<Option<u64>>()?.ok_or_else(nothing)
}

/// Starts an op and waits for it: what the blocking twins do. From a callback nothing is started.
pub(super) fn block(start: impl FnOnce() -> Result<Op>) -> Result<Op> {
    if runtime::on_dispatcher() {
        bail!(WouldDeadlock, "a callback cannot block: use the form of this call that gives an op");
    }
    let op = start()?;
    op.wait(None)?;
    Ok(op)
}

pub(super) fn take_from<H: Handle>(call: &mut Call, op: wks_op) -> Result<H> {
    take(&*call.get(op)?)
}

/// Waits until the operation has ended, well or not; `wks_op_status` tells which. `WKS_FOREVER`
/// waits without limit.
///
/// Threads: any but the dispatcher's. Blocks: yes, up to `timeout_ms` milliseconds. Owns: nothing.
/// Errors: `WKS_ERR_TIMED_OUT` where it has not ended by then (it goes on),
/// `WKS_ERR_WOULD_DEADLOCK` from a callback, `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_wait(op: wks_op, timeout_ms: u64, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| {
        let limit = (timeout_ms != WKS_FOREVER).then(|| Duration::from_millis(timeout_ms));
        call.get(op)?.wait(limit)
    })
}

/// How the operation ended: `WKS_OK` where its result is there, or was taken.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: the operation's own, `WKS_ERR_NOT_READY` where it has not ended, `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_status(op: wks_op, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| call.get(op)?.status())
}

/// Ends the operation with `WKS_ERR_CANCELLED`, unless it has ended. Any number of times. A put
/// that was accepted is committed all the same.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_cancel(op: wks_op, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| {
        call.get(op)?.cancel();
        Ok(())
    })
}

/// How far an operation is. The caller allocates it and sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_progress {
    /// `sizeof(wks_progress)`.
    pub struct_size: usize,
    /// So much is done, in a unit of the operation's own: pages, messages.
    pub done: u64,
    /// Of so much, as far as is known; 0 before anything is.
    pub total: u64,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_progress {
    const NAME: &'static str = "wks_progress";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// How far the operation is: a backup, a check and the like. Of all others both numbers are 0. Set
/// `progress->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_progress(
    op: wks_op,
    progress: *mut wks_progress,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, progress, |call| {
        let (done, total) = call.get(op)?.progress();
        Ok(wks_progress { struct_size: size_of::<wks_progress>(), done, total })
    })
}

/// Has `callback` called with `user` once the operation has ended; at once where it has. Only one
/// callback or queue, once, for each operation.
///
/// Threads: any. Blocks: no. Owns: takes `user`; `drop` is called for it exactly once: after the
/// callback, or where the operation is freed before, or where a shutdown gave up waiting for it, or
/// where this call fails.
/// Errors: `WKS_ERR_NULL_POINTER`, `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` where something is
/// attached already, `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_set_callback(
    op: wks_op,
    callback: wks_callback,
    user: *mut c_void,
    drop: wks_drop,
    error: *mut wks_error,
) -> wks_status {
    guard::register(error, user, drop, |call, user| {
        let Some(callback) = callback else {
            bail!(NullPointer, "the callback is null");
        };
        call.get(op)?.attach_callback(Box::new(move || {
            // SAFETY: a function of the host's, called with what the host gave for it; `user` is
            // dropped after.
            unsafe { callback(op, user.ptr()) }
        }))
    })
}

/// Has `queue` told once the operation has ended, with `user` beside it; at once where it has. Only
/// one callback or queue, once, for each operation.
///
/// Threads: any. Blocks: no. Owns: `user` stays the caller's; the library only hands it back.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` where something is attached already,
/// `WKS_ERR_SHUTDOWN` where the queue was made before a shutdown: its wake function is not called
/// any more. Make another queue; the operation can be attached to that.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_set_queue(
    op: wks_op,
    queue: wks_queue,
    user: *mut c_void,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let (object, queue) = (call.get(op)?, call.get(queue)?);
        object.attach_queue(&queue, Completion { op: op.id, user: user.expose_provenance() as u64 })
    })
}

/// Takes a page: of a query, a get, or the next of a history (the null handle at its end).
///
/// Threads: any. Blocks: no. Owns: the page is the caller's, to free with `wks_page_free`.
/// Errors: the operation's own, `WKS_ERR_NOT_READY`, `WKS_ERR_NO_RESULT` where the result is of
/// another type or was taken, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_page(
    op: wks_op,
    page: *mut wks_page,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, page, |call| take_from(call, op))
}

/// Takes what became of the messages of a put.
///
/// Threads: any. Blocks: no. Owns: the outcomes are the caller's, to free with
/// `wks_outcomes_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_outcomes(
    op: wks_op,
    outcomes: *mut wks_outcomes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, outcomes, |call| take_from(call, op))
}

/// Takes a list of hashes.
///
/// Threads: any. Blocks: no. Owns: the list is the caller's, to free with `wks_hashes_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_hashes(
    op: wks_op,
    hashes: *mut wks_hashes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, hashes, |call| take_from(call, op))
}

/// Takes bytes, or a text: a store response, a peer id.
///
/// Threads: any. Blocks: no. Owns: the buffer is the caller's, to free with `wks_buffer_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_buffer(
    op: wks_op,
    buffer: *mut wks_buffer,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, buffer, |call| take_from(call, op))
}

/// Takes an archive that was opened.
///
/// Threads: any. Blocks: no. Owns: the archive is the caller's, to free with `wks_archive_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_archive(
    op: wks_op,
    archive: *mut wks_archive,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, archive, |call| take_from(call, op))
}

/// Takes an archive's figures. Set `struct_size` first.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: as `wks_op_take_page`, and `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_stats(
    op: wks_op,
    stats: *mut wks_stats,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, stats, |call| take_record(&*call.get(op)?))
}

/// Takes a node that was started.
///
/// Threads: any. Blocks: no. Owns: the node is the caller's, to free with `wks_node_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_node(
    op: wks_op,
    node: *mut wks_node,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, node, |call| take_from(call, op))
}

/// Takes the report of a sync.
///
/// Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_report_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_report(
    op: wks_op,
    report: *mut wks_report,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, report, |call| take_from(call, op))
}

/// Takes a node's event; the null handle once the node has stopped.
///
/// Threads: any. Blocks: no. Owns: the event is the caller's, to free with `wks_event_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_event(
    op: wks_op,
    event: *mut wks_event,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, event, |call| take_from(call, op))
}

/// Frees an operation, and with it a result that was not taken. One that has not ended is
/// cancelled. A callback that the dispatcher has not taken up by then never begins (its `drop` is
/// called here); one that runs, or is just about to, goes on, and its `drop` is called after: what
/// `user` points to is safe to free only once `drop` was called. A queue does not tell of the
/// operation any more. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_free(op: wks_op) {
    guard::free(op, Op::abandon)
}
