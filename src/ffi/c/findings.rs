//! `wks_findings`: what a check of an archive found, or a salvage lost.

use super::bytes::{nth, wks_bytes};
use super::error::wks_error;
use super::guard;
use super::handle::handle;
use super::memory::Record;
use super::op::{take, wks_op};
use super::status::wks_status;
use crate::archive::{FindingKind, Findings, SalvageReport, VerifyReport};

/// What does not fit, after a check or a salvage.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_findings {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_findings, 23, FindingsObject);

/// The report of either.
pub(super) struct FindingsObject {
    messages: u64,
    tombstones: u64,
    findings: Findings,
}

impl From<VerifyReport> for FindingsObject {
    fn from(report: VerifyReport) -> Self {
        FindingsObject { messages: report.messages, tombstones: 0, findings: report.findings }
    }
}

impl From<SalvageReport> for FindingsObject {
    fn from(report: SalvageReport) -> Self {
        let SalvageReport { messages, tombstones, lost } = report;
        FindingsObject { messages, tombstones, findings: lost }
    }
}

/// What a check or a salvage counted. The caller allocates it and sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_findings_info {
    /// `sizeof(wks_findings_info)`.
    pub struct_size: usize,
    /// Messages whose hash was recomputed, or that are in the new archive.
    pub messages: u64,
    /// Of a salvage: the tombstones that are in the new archive.
    pub tombstones: u64,
    /// All that does not fit, or was lost; 0 for an archive that is sound.
    pub count: u64,
    /// How many of these are listed: the first 1,000 at the most.
    pub listed: usize,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_findings_info {
    const NAME: &'static str = "wks_findings_info";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// What is wrong: a `WKS_FINDING_…`. Ignore those that you do not know.
pub type wks_finding_kind = i32;
/// The message's content does not give the hash that it is filed under.
pub const WKS_FINDING_HASH_MISMATCH: wks_finding_kind = 1;
/// A message, or a range of rows, cannot be read.
pub const WKS_FINDING_UNREADABLE: wks_finding_kind = 2;
/// The content is no message: an empty topic, a field of the wrong type.
pub const WKS_FINDING_INVALID: wks_finding_kind = 3;
/// The file's structure, or an index, is damaged.
pub const WKS_FINDING_STRUCTURE: wks_finding_kind = 4;
/// A figure that is kept is not what is counted.
pub const WKS_FINDING_FIGURE: wks_finding_kind = 5;

/// One thing that does not fit. The caller allocates it and sets `struct_size`; what it points to is
/// the report's, and lives until `wks_findings_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_finding {
    /// `sizeof(wks_finding)`.
    pub struct_size: usize,
    /// What kind of thing.
    pub kind: wks_finding_kind,
    /// The message that it is about, 32 bytes; null where that cannot be told.
    pub hash: *const u8,
    /// In words, without content of messages.
    pub detail: wks_bytes,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_finding {
    const NAME: &'static str = "wks_finding";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// Takes the report of a check or a salvage.
///
/// Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_findings_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_findings(
    op: wks_op,
    findings: *mut wks_findings,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, findings, |call| take(&*call.get(op)?))
}

/// What was counted. Set `info->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `info` is the caller's.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_findings_read(
    findings: wks_findings,
    info: *mut wks_findings_info,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, info, |call| {
        let report = call.get(findings)?;
        Ok(wks_findings_info {
            struct_size: size_of::<wks_findings_info>(),
            messages: report.messages,
            tombstones: report.tombstones,
            count: report.findings.count,
            listed: report.findings.first.len(),
        })
    })
}

/// Finding `index` of those that are listed, counted from 0. Set `finding->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `finding` is the caller's; what it points to is the report's, and
/// lives until `wks_findings_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
/// the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_findings_get(
    findings: wks_findings,
    index: usize,
    finding: *mut wks_finding,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, finding, |call| {
        let report = call.get(findings)?;
        let found = nth(&report.findings.first, index, "finding")?;
        Ok(wks_finding {
            struct_size: size_of::<wks_finding>(),
            kind: match found.kind {
                FindingKind::HashMismatch => WKS_FINDING_HASH_MISMATCH,
                FindingKind::Unreadable => WKS_FINDING_UNREADABLE,
                FindingKind::Invalid => WKS_FINDING_INVALID,
                FindingKind::Structure => WKS_FINDING_STRUCTURE,
                FindingKind::Figure => WKS_FINDING_FIGURE,
            },
            hash: found.hash.as_ref().map_or(std::ptr::null(), |h| h.0.as_ptr()),
            detail: wks_bytes::lend(found.detail.as_bytes()),
        })
    })
}

/// Frees a report. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_findings_free(findings: wks_findings) {
    guard::free(findings, |_| {})
}
