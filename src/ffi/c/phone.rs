//! What a phone asks of a node: a sync within its means, and to let go of everything for a while.

use std::time::Duration;

use super::archive::wks_archive;
use super::archive_options::wks_archive_options;
use super::bytes::{nth, wks_bytes};
use super::error::wks_error;
use super::guard::{self, Call};
use super::handle::handle;
use super::memory::{Record, read_record};
use super::node::{with_node, wks_node};
use super::op::{block, publish, take, take_from, wks_op};
use super::query::flag;
use super::status::wks_status;
use super::sync::{direction_of, wks_sync_direction};
use super::walk::names;
use crate::error::Result;
use crate::node::{SyncOnceEnd, SyncOnceOptions, SyncOnceReport};
use crate::runtime::Op;
use crate::types::{TimeRange, Timestamp};

/// How often is looked for what others wrote to the same file or database, while anybody is
/// subscribed to changes, in milliseconds: 250 by default. 0 where nobody else writes while the
/// archive is open: then an idle archive wakes up for nothing.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_look_every(
    options: wks_archive_options,
    every_ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let every = (every_ms > 0).then(|| Duration::from_millis(every_ms));
        call.get(options)?.lock().archive.look_every = every;
        Ok(())
    })
}

/// What a `wks_node_sync_once` may take. Zero it, set `struct_size` and what is to be other than
/// usual.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_once_options {
    /// `sizeof(wks_once_options)`.
    pub struct_size: usize,
    /// The beginning of the span to sync, in Unix nanoseconds.
    pub window_start: i64,
    /// The first moment after it.
    pub window_end: i64,
    /// When it is over, at the latest, in milliseconds from now; 0 for 25 seconds.
    pub deadline_ms: u64,
    /// The most bytes, both ways, of Sync and Store; 0 for no limit. What was asked of a Store peer
    /// before is still read: up to two hundred messages.
    pub byte_budget: u64,
    /// Which way messages go.
    pub direction: wks_sync_direction,
    /// 1 where the span above counts; 0 for what is due: the node's window before now, and what it
    /// missed before that.
    pub has_window: u8,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_once_options {
    const NAME: &'static str = "wks_once_options";
    const FIRST_SIZE: usize = size_of::<Self>();
}

fn read_options(peers: Vec<String>, at: *const wks_once_options) -> Result<SyncOnceOptions> {
    let usual = SyncOnceOptions { peers, ..SyncOnceOptions::default() };
    if at.is_null() {
        return Ok(usual);
    }
    let asked = read_record(at)?;
    let window = match flag(asked.has_window, "has_window")? {
        true => Some(TimeRange::new(Timestamp(asked.window_start), Timestamp(asked.window_end))?),
        false => None,
    };
    let deadline = match asked.deadline_ms {
        0 => usual.deadline,
        ms => Duration::from_millis(ms),
    };
    let byte_budget = (asked.byte_budget > 0).then_some(asked.byte_budget);
    let direction = direction_of(asked.direction)?;
    Ok(SyncOnceOptions { window, direction, deadline, byte_budget, ..usual })
}

/// Why a `wks_node_sync_once` has ended: a `WKS_ONCE_…`.
pub type wks_once_end = i32;
/// Nothing is lacking.
pub const WKS_ONCE_COMPLETE: wks_once_end = 0;
/// The time was over.
pub const WKS_ONCE_DEADLINE: wks_once_end = 1;
/// The bytes were used up.
pub const WKS_ONCE_BUDGET: wks_once_end = 2;
/// No peer was left that had not failed.
pub const WKS_ONCE_PEERS: wks_once_end = 3;

/// What came of a `wks_node_sync_once`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_once_report {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_once_report, 40, SyncOnceReport);

/// The figures of a `wks_node_sync_once`. The caller allocates it and sets `struct_size`; what it
/// points to is the report's, and lives until `wks_once_report_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_once_figures {
    /// `sizeof(wks_once_figures)`.
    pub struct_size: usize,
    /// Why the last peer that failed did, for people; empty where none did.
    pub reason: wks_bytes,
    /// The first moment of what was to be synced, in Unix nanoseconds.
    pub window_start: i64,
    /// The first moment after it.
    pub window_end: i64,
    /// Spans that are left of it: `wks_once_report_lacking`.
    pub lacking: usize,
    /// Messages that a peer is known to have, and that are not here.
    pub outstanding: u64,
    /// Messages that came and were stored; new ones only.
    pub received: u64,
    /// Messages that were sent.
    pub sent: u64,
    /// Bytes of Sync and Store that came, whoever they were for.
    pub bytes_in: u64,
    /// Bytes of Sync and Store that went.
    pub bytes_out: u64,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
    /// Why it ended.
    pub end: wks_once_end,
    /// Why the last peer that failed did: a `wks_status`; `WKS_OK` where none did.
    pub status: i32,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_once_figures {
    const NAME: &'static str = "wks_once_figures";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl wks_once_figures {
    fn lend(report: &SyncOnceReport) -> Self {
        let reason = report.error.as_ref().map_or("", |e| e.message());
        let status = report.error.as_ref().map_or(wks_status::WKS_OK, |e| e.kind().into());
        wks_once_figures {
            struct_size: size_of::<wks_once_figures>(),
            reason: wks_bytes::lend(reason.as_bytes()),
            window_start: report.window.start().nanos(),
            window_end: report.window.end().nanos(),
            lacking: report.lacking.len(),
            outstanding: report.outstanding,
            received: report.received,
            sent: report.sent,
            bytes_in: report.bytes_in,
            bytes_out: report.bytes_out,
            duration_ns: u64::try_from(report.duration.as_nanos()).unwrap_or(u64::MAX),
            end: match report.end {
                SyncOnceEnd::Complete => WKS_ONCE_COMPLETE,
                SyncOnceEnd::Deadline => WKS_ONCE_DEADLINE,
                SyncOnceEnd::Budget => WKS_ONCE_BUDGET,
                SyncOnceEnd::Peers => WKS_ONCE_PEERS,
            },
            status: status as i32,
        }
    }
}

/// A span of time. The caller allocates it and sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_span {
    /// `sizeof(wks_span)`.
    pub struct_size: usize,
    /// The beginning, in Unix nanoseconds.
    pub start: i64,
    /// The first moment after it.
    pub end: i64,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_span {
    const NAME: &'static str = "wks_span";
    const FIRST_SIZE: usize = size_of::<Self>();
}

fn sync_once(
    call: &mut Call,
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    options: *const wks_once_options,
) -> Result<Op> {
    let options = read_options(names(peers, count)?, options)?;
    with_node(call, node, |o| async move { o.node()?.sync_once(options).await })
}

fn suspend_node(call: &mut Call, node: wks_node) -> Result<Op> {
    with_node(call, node, |o| async move { o.node()?.suspend().await })
}

fn resume_node(call: &mut Call, node: wks_node) -> Result<Op> {
    with_node(call, node, |o| async move { o.node()?.resume().await })
}

fn suspend_archive(call: &mut Call, archive: wks_archive) -> Result<Op> {
    let object = call.get(archive)?;
    let pending = object.archive()?.suspend();
    object.ask(pending, Ok)
}

fn resume_archive(call: &mut Call, archive: wks_archive) -> Result<Op> {
    let object = call.get(archive)?;
    let pending = object.archive()?.resume();
    object.ask(pending, Ok)
}

/// Syncs what is due, within a time and a number of bytes, and returns when the time is over at the
/// latest: for the seconds that a phone gives its apps in the background. Wherever it stops, all that
/// came is stored, and the next call goes on from there. With the first of the `count` peers that can
/// be reached, each a peer id or an address, and another where it fails; with none, a peer that is
/// connected, or else one that was dialled before. `options` may be null.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the end. Owns: peers and options are lent
/// for the call; the report is the caller's, to free with `wks_once_report_free`. `report` may be null.
/// Errors: `WKS_ERR_SYNC_BUSY` while another of these runs, `WKS_ERR_PEER_UNKNOWN` where there is
/// nobody to sync with; of the last peer, where none could be synced with at all, those of
/// `wks_node_sync`; `WKS_ERR_UNSUPPORTED` where the node has Sync off or for fields of a newer
/// header, `WKS_ERR_INVALID_TIME_RANGE`, `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SUSPENDED`,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_sync_once(
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    options: *const wks_once_options,
    report: *mut wks_once_report,
    error: *mut wks_error,
) -> wks_status {
    guard::offer(error, report, |call| {
        let op = block(|| sync_once(call, node, peers, count, options))?;
        if report.is_null() { op.status().map(|()| wks_once_report { id: 0 }) } else { take(&op) }
    })
}

/// Begins a sync within a time and a number of bytes: take its report with
/// `wks_op_take_once_report`. A cancel ends it, with what came stored.
///
/// Threads: any. Blocks: no. Owns: peers and options are lent for the call; the operation is the
/// caller's, to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_node_sync_once`; the
/// operation's are the others.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_sync_once_async(
    node: wks_node,
    peers: *const wks_bytes,
    count: usize,
    options: *const wks_once_options,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(sync_once(call, node, peers, count, options)))
}

/// Takes the report of a sync within a time and a number of bytes.
///
/// Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_once_report_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_once_report(
    op: wks_op,
    report: *mut wks_once_report,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, report, |call| take_from(call, op))
}

/// The figures. Set `figures->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `figures` is the caller's; what it points to is the report's, and
/// lives until `wks_once_report_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_once_report_figures(
    report: wks_once_report,
    figures: *mut wks_once_figures,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, figures, |call| Ok(wks_once_figures::lend(&*call.get(report)?)))
}

/// Span `index` of what is left, counted from 0, ascending. Set `span->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `span` is the caller's.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
/// the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_once_report_lacking(
    report: wks_once_report,
    index: usize,
    span: *mut wks_span,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, span, |call| {
        let report = call.get(report)?;
        let lacking = nth(&report.lacking, index, "span")?;
        Ok(wks_span {
            struct_size: size_of::<wks_span>(),
            start: lacking.start().nanos(),
            end: lacking.end().nanos(),
        })
    })
}

/// Frees a report and all that its figures point to. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_once_report_free(report: wks_once_report) {
    guard::free(report, |_| {})
}

/// Lets go of what a system takes badly in an app that it freezes: ends syncs (what came is stored),
/// closes all connections and sockets, keeps the node's state, and suspends its archive. What is
/// under way ends with `WKS_ERR_SUSPENDED`, and so does whatever is asked before `wks_node_resume`. No
/// timer runs meanwhile. A second time is fine.
///
/// Threads: any but the dispatcher's. Blocks: yes, four seconds at the most. Owns: nothing.
/// Errors: `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
/// `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_suspend(node: wks_node, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| block(|| suspend_node(call, node))?.status())
}

/// Begins to suspend a node. The operation has no result: its status tells.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_node_suspend`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_suspend_async(
    node: wks_node,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(suspend_node(call, node)))
}

/// Comes back: opens the archive, listens at the same addresses where they are free, and dials again
/// the peers that it had dialled. A heartbeat that was missed, or many, come as one. Where it fails
/// the node stays suspended. Fine where it is not suspended.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it listens. Owns: nothing.
/// Errors: `WKS_ERR_LISTEN`, those of `wks_archive_open` for the archive,
/// `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
/// `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_resume(node: wks_node, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| block(|| resume_node(call, node))?.status())
}

/// Begins to resume a node. The operation has no result: its status tells.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_node_resume`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_resume_async(
    node: wks_node,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(resume_node(call, node)))
}

/// Lets go of the file or database: commits what was accepted, and closes all connections, so that no
/// lock is held and no file is open. Until `wks_archive_resume` whatever is asked ends with
/// `WKS_ERR_SUSPENDED`; subscribers stay. What is in memory alone is kept. A second time is fine.
///
/// Threads: any but the dispatcher's. Blocks: yes, until what was accepted is committed. Owns: nothing.
/// Errors: `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
/// `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_suspend(archive: wks_archive, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| block(|| suspend_archive(call, archive))?.status())
}

/// Begins to suspend an archive. The operation has no result: its status tells.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_suspend`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_suspend_async(
    archive: wks_archive,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(suspend_archive(call, archive)))
}

/// Opens the file or database again. Subscribers hear what others wrote meanwhile. Where it fails the
/// archive stays suspended. Fine where it is not suspended.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is open. Owns: nothing.
/// Errors: those of `wks_archive_open` for its file or database, `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
/// `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_resume(archive: wks_archive, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| block(|| resume_archive(call, archive))?.status())
}

/// Begins to resume an archive. The operation has no result: its status tells.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_resume`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_resume_async(
    archive: wks_archive,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(resume_archive(call, archive)))
}
