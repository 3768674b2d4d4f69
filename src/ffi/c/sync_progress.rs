//! A sync that runs: how far it is, and giving it up.

use super::error::wks_error;
use super::events::wks_event;
use super::guard;
use super::memory::Record;
use super::node::wks_node;
use super::status::wks_status;
use crate::engine::SyncProgress;
use crate::error::bail;
use crate::node::NodeEvent;

/// How far a sync is. The caller allocates it and sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_sync_progress {
    /// `sizeof(wks_sync_progress)`.
    pub struct_size: usize,
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
    /// Ranges that were found equal or were compared id by id.
    pub ranges_settled: u64,
    /// Our ids in those ranges.
    pub ids_compared: u64,
    /// Messages of the peer's that the archive, or the host's validator, refused for good, now or
    /// earlier.
    pub refused: u64,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_sync_progress {
    const NAME: &'static str = "wks_sync_progress";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl From<&SyncProgress> for wks_sync_progress {
    fn from(progress: &SyncProgress) -> Self {
        wks_sync_progress {
            struct_size: size_of::<wks_sync_progress>(),
            missing: progress.missing,
            surplus: progress.surplus,
            received: progress.received,
            sent: progress.sent,
            dropped: progress.dropped,
            unsendable: progress.unsendable,
            frames: progress.frames,
            reconciliation_bytes_out: progress.reconciliation_bytes_out,
            reconciliation_bytes_in: progress.reconciliation_bytes_in,
            transfer_bytes_out: progress.transfer_bytes_out,
            transfer_bytes_in: progress.transfer_bytes_in,
            ranges_settled: progress.ranges_settled,
            ids_compared: progress.ids_compared,
            refused: progress.refused,
        }
    }
}

/// How far the sync is that an event of kind `WKS_EVENT_SYNC_PROGRESS` tells of. Set
/// `progress->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `progress` is the caller's.
/// Errors: `WKS_ERR_NO_RESULT` for an event of another kind, `WKS_ERR_HANDLE`,
/// `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_event_progress(
    event: wks_event,
    progress: *mut wks_sync_progress,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, progress, |call| match &*call.get(event)? {
        NodeEvent::SyncProgress { progress, .. } => Ok(progress.into()),
        _ => bail!(NoResult, "only an event of a sync that goes on tells how far it is"),
    })
}

/// Gives a sync up, whoever began it, by its number. Its end, `WKS_ERR_CANCELLED`, is told as an
/// event. Nothing happens where it has ended, or never was.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_cancel_sync(
    node: wks_node,
    session: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(node)?.node()?.cancel_sync(session);
        Ok(())
    })
}
