//! What a dry run found: the ids that differ, lent by the report.

use super::bytes::nth;
use super::error::wks_error;
use super::guard;
use super::memory::Record;
use super::status::wks_status;
use super::sync::wks_report;
use crate::error::{Result, bail};
use crate::node::NodeSyncReport;
use crate::types::SyncId;

/// Which of the ids that differ: a `WKS_DIFFERENCE_…`.
pub type wks_difference_side = i32;
/// The peer has them and we lack them.
pub const WKS_DIFFERENCE_MISSING: wks_difference_side = 0;
/// We have them and the peer lacks them.
pub const WKS_DIFFERENCE_SURPLUS: wks_difference_side = 1;

/// What names a message in a sync. The caller allocates it and sets `struct_size`; what it points to
/// is the report's, and lives until `wks_report_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_sync_id {
    /// `sizeof(wks_sync_id)`.
    pub struct_size: usize,
    /// The message's hash, 32 bytes.
    pub hash: *const u8,
    /// When it was sent, in Unix nanoseconds.
    pub timestamp: i64,
}

// SAFETY: `repr(C)`, the size first, a number and a pointer.
unsafe impl Record for wks_sync_id {
    const NAME: &'static str = "wks_sync_id";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl wks_sync_id {
    fn lend(id: &SyncId) -> Self {
        wks_sync_id {
            struct_size: size_of::<wks_sync_id>(),
            hash: id.hash.0.as_ptr(),
            timestamp: id.timestamp.nanos(),
        }
    }
}

/// The ids of one side, in ascending order.
fn side_of(report: &NodeSyncReport, side: wks_difference_side) -> Result<&[SyncId]> {
    let Some(difference) = &report.report.difference else {
        bail!(NoResult, "only the report of a dry run names what differs");
    };
    match side {
        WKS_DIFFERENCE_MISSING => Ok(&difference.missing),
        WKS_DIFFERENCE_SURPLUS => Ok(&difference.surplus),
        other => bail!(InvalidArgument, "{other} is no side of a difference"),
    }
}

/// How many ids of a side a dry run found to differ.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_NO_RESULT` for the report of another sync, `WKS_ERR_INVALID_ARGUMENT` for what is
/// no side, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_report_difference_count(
    report: wks_report,
    side: wks_difference_side,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, count, |call| Ok(side_of(&*call.get(report)?, side)?.len()))
}

/// Id `index` of a side of what differs, counted from 0, by timestamp and then hash. Set
/// `id->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `id` is the caller's; what it points to is the report's, and
/// lives until `wks_report_free`.
/// Errors: `WKS_ERR_NO_RESULT` for the report of another sync, `WKS_ERR_HANDLE`,
/// `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for what is no side, an index beyond the end or
/// a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_report_difference(
    report: wks_report,
    side: wks_difference_side,
    index: usize,
    id: *mut wks_sync_id,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, id, |call| {
        Ok(wks_sync_id::lend(nth(side_of(&*call.get(report)?, side)?, index, "id")?))
    })
}

/// The first ids of a side of what differs, up to `capacity` of them, in one call; how many goes to
/// `count`. Set `struct_size` of the first of `ids`.
///
/// Threads: any. Blocks: no. Owns: `ids` is the caller's; what they point to is the report's, and
/// lives until `wks_report_free`.
/// Errors: `WKS_ERR_NO_RESULT` for the report of another sync, `WKS_ERR_HANDLE`,
/// `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for what is no side or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_report_differences(
    report: wks_report,
    side: wks_difference_side,
    ids: *mut wks_sync_id,
    capacity: usize,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::fill_many(error, ids, capacity, count, |call, capacity| {
        let report = call.get(report)?;
        Ok(side_of(&report, side)?.iter().take(capacity).map(wks_sync_id::lend).collect())
    })
}
