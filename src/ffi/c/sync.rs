//! A sync on demand: what it is told, and what it tells.

use std::mem::offset_of;

use super::bytes::wks_bytes;
use super::error::wks_error;
use super::guard;
use super::handle::handle;
use super::memory::{Record, read_record};
use super::query::flag;
use super::status::wks_status;
use super::sync_terms::{
    agreement_number, begun_number, protocol_asked, protocol_number, wks_sync_agreement,
    wks_sync_begun, wks_sync_protocol,
};
use crate::engine::{SyncDirection, SyncOptions};
use crate::error::{Result, bail};
use crate::node::NodeSyncReport;
use crate::types::{TimeRange, Timestamp};

/// Which way the messages of a sync go: a `WKS_SYNC_…`.
pub type wks_sync_direction = i32;
/// Both ways.
pub const WKS_SYNC_BOTH: wks_sync_direction = 0;
/// Only to us.
pub const WKS_SYNC_PULL: wks_sync_direction = 1;
/// Only to the peer.
pub const WKS_SYNC_PUSH: wks_sync_direction = 2;

/// What one sync is told. Zero it, set `struct_size` and what is to be other than usual.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_sync_options {
    /// `sizeof(wks_sync_options)`.
    pub struct_size: usize,
    /// The beginning of the span to compare, in Unix nanoseconds.
    pub window_start: i64,
    /// The first moment after it.
    pub window_end: i64,
    /// 1 where the span above counts; 0 for the node's window before now.
    pub has_window: u8,
    /// Which way messages go.
    pub direction: wks_sync_direction,
    /// How to compare: a `WKS_PROTOCOL_…`.
    pub protocol: wks_sync_protocol,
    /// 1 to compare only: no message travels, and the report names the ids that differ (see
    /// `wks_report_difference`). 0 for a sync.
    pub dry_run: u8,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_sync_options {
    const NAME: &'static str = "wks_sync_options";
    const FIRST_SIZE: usize = offset_of!(Self, protocol);
}

pub(super) fn direction_of(direction: wks_sync_direction) -> Result<SyncDirection> {
    Ok(match direction {
        WKS_SYNC_BOTH => SyncDirection::Both,
        WKS_SYNC_PULL => SyncDirection::Pull,
        WKS_SYNC_PUSH => SyncDirection::Push,
        other => bail!(InvalidArgument, "{other} is no direction of a sync"),
    })
}

/// What a caller asks for; null asks for nothing special.
pub(super) fn read_options(at: *const wks_sync_options) -> Result<SyncOptions> {
    if at.is_null() {
        return Ok(SyncOptions::default());
    }
    let options = read_record(at)?;
    let span = |start, end| TimeRange::new(Timestamp(start), Timestamp(end));
    let window = match flag(options.has_window, "has_window")? {
        true => Some(span(options.window_start, options.window_end)?),
        false => None,
    };
    let direction = direction_of(options.direction)?;
    let protocol = protocol_asked(options.protocol)?;
    Ok(SyncOptions { window, direction, dry_run: flag(options.dry_run, "dry_run")?, protocol })
}

/// What a sync tells of itself at its end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_report {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_report, 15, NodeSyncReport);

/// The figures of a sync. The caller allocates it and sets `struct_size`; what it points to is the
/// report's, and lives until `wks_report_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_sync_figures {
    /// `sizeof(wks_sync_figures)`.
    pub struct_size: usize,
    /// With whom: a peer id.
    pub peer_id: wks_bytes,
    /// Why it broke down, for people; empty where it did not.
    pub reason: wks_bytes,
    /// Why it broke down: a `wks_status`; `WKS_OK` where it did not.
    pub status: i32,
    /// Whether we began it.
    pub initiator: u8,
    /// The beginning of the span that was compared, in Unix nanoseconds.
    pub window_start: i64,
    /// The first moment after it.
    pub window_end: i64,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
    /// Messages that the peer has and we lacked.
    pub missing: u64,
    /// Messages that we have and the peer lacked.
    pub surplus: u64,
    /// Messages that came and were stored; new ones only.
    pub received: u64,
    /// Messages that were written to the peer's socket.
    pub sent: u64,
    /// Messages that came and were not stored: not asked for, refused, or duplicates.
    pub dropped: u64,
    /// Messages that could not be sent: gone meanwhile, or too large for the peer's frames.
    pub unsendable: u64,
    /// Messages that the peer announced and that are not here at the end.
    pub outstanding: u64,
    /// Frames of reconciliation, both ways; two make a round trip.
    pub frames: u64,
    /// Bytes of reconciliation that we sent.
    pub reconciliation_bytes_out: u64,
    /// Bytes of reconciliation that came.
    pub reconciliation_bytes_in: u64,
    /// Bytes of messages that we sent.
    pub transfer_bytes_out: u64,
    /// Bytes of messages that came.
    pub transfer_bytes_in: u64,
    /// The sync's number, as events tell it.
    pub session: u64,
    /// Ranges that were found equal or were compared id by id. (Over Store: slices of time that
    /// were listed to their end.)
    pub ranges_settled: u64,
    /// Our ids in those ranges. (Over Store: the ids that the peer listed.)
    pub ids_compared: u64,
    /// Messages of the peer's that the archive, or the host's validator, refused for good, now or
    /// earlier.
    pub refused: u64,
    /// How it compared: a `WKS_PROTOCOL_…`.
    pub protocol: wks_sync_protocol,
    /// Why it was begun: a `WKS_BEGUN_…`.
    pub begun: wks_sync_begun,
    /// Whether both sides hold the same now: a `WKS_AGREEMENT_…`.
    pub agreement: wks_sync_agreement,
    /// 1 for a dry run: `wks_report_difference` tells what differs.
    pub has_difference: u8,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_sync_figures {
    const NAME: &'static str = "wks_sync_figures";
    const FIRST_SIZE: usize = offset_of!(Self, session);
}

impl wks_sync_figures {
    fn lend(report: &NodeSyncReport) -> Self {
        let (of, figures) = (&report.report, &report.report.figures);
        let reason = of.error.as_ref().map_or("", |e| e.message());
        let status = of.error.as_ref().map_or(wks_status::WKS_OK, |e| e.kind().into());
        wks_sync_figures {
            struct_size: size_of::<wks_sync_figures>(),
            peer_id: wks_bytes::lend(report.peer_id.as_bytes()),
            reason: wks_bytes::lend(reason.as_bytes()),
            status: status as i32,
            initiator: of.initiator.into(),
            window_start: of.window.start().nanos(),
            window_end: of.window.end().nanos(),
            duration_ns: u64::try_from(of.duration.as_nanos()).unwrap_or(u64::MAX),
            missing: figures.missing,
            surplus: figures.surplus,
            received: figures.received,
            sent: figures.sent,
            dropped: figures.dropped,
            unsendable: figures.unsendable,
            outstanding: of.outstanding,
            frames: figures.frames,
            reconciliation_bytes_out: figures.reconciliation_bytes_out,
            reconciliation_bytes_in: figures.reconciliation_bytes_in,
            transfer_bytes_out: figures.transfer_bytes_out,
            transfer_bytes_in: figures.transfer_bytes_in,
            session: report.session,
            ranges_settled: figures.ranges_settled,
            ids_compared: figures.ids_compared,
            refused: figures.refused,
            protocol: protocol_number(of.protocol),
            begun: begun_number(of.reason),
            agreement: agreement_number(of.agreement),
            has_difference: of.difference.is_some().into(),
        }
    }
}

/// The figures of a sync. Set `figures->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `figures` is the caller's; what it points to is the report's,
/// and lives until `wks_report_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_report_figures(
    report: wks_report,
    figures: *mut wks_sync_figures,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, figures, |call| Ok(wks_sync_figures::lend(&*call.get(report)?)))
}

/// Frees a report and all that its figures point to. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_report_free(report: wks_report) {
    guard::free(report, |_| {})
}
