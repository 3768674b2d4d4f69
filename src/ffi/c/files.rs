//! What is done with an archive's file that is not open: made of a backup, checked, salvaged.

use super::archive_options::wks_archive_options;
use super::bytes::wks_bytes;
use super::error::wks_error;
use super::findings::{FindingsObject, wks_findings};
use super::guard::{self, Call};
use super::op::{block, publish, start_watched, take, take_record, wks_op};
use super::query::flag;
use super::status::wks_status;
use super::tools::{path_of, wks_backup};
use crate::archive::{Control, SqliteBackend};
use crate::error::Result;
use crate::ffi::work;
use crate::runtime::{Op, Runtime};

/// An op over work that blocks: it tells how far that is, and its cancel ends it soon.
pub(super) fn working<O: Send + 'static>(
    body: impl FnOnce(&Control) -> Result<O> + Send + 'static,
) -> Result<Op> {
    let control = Control::new();
    start_watched(&Runtime::current()?, control.clone(), work::blocking(control, body))
}

fn restore(call: &mut Call, from: wks_bytes, to: wks_archive_options, replace: u8) -> Result<Op> {
    let (from, replace) = (path_of(from, "from")?, flag(replace, "replace")?);
    let to = call.get(to)?.options().sqlite;
    working(move |control| {
        SqliteBackend::restore(&from, &to, replace, control).map(wks_backup::from)
    })
}

fn salvage(call: &mut Call, from: wks_archive_options, to: wks_archive_options) -> Result<Op> {
    let from = call.get(from)?.options().sqlite;
    let to = call.get(to)?.options().sqlite;
    working(move |control| SqliteBackend::salvage(&from, &to, control).map(FindingsObject::from))
}

fn verify(call: &mut Call, file: wks_archive_options) -> Result<Op> {
    let file = call.get(file)?.options().sqlite;
    working(move |control| SqliteBackend::verify(&file, control).map(FindingsObject::from))
}

/// Makes an archive of a backup: copies it to the path of `to`, checks the copy's structure,
/// recomputes every hash in it, and only then gives it its name. An archive that is there is
/// replaced only where `replace` is 1, and only when nobody has it open. A backup that is encrypted
/// is with the key of `to`. Set `report->struct_size` first.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is there. Owns: `from` is lent for the
/// call.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` where a file is there and `replace` is 0,
/// `WKS_ERR_ARCHIVE_CORRUPT` where the backup is something else or not sound,
/// `WKS_ERR_ARCHIVE_LOCKED` where the archive that is there is in use, and as `wks_archive_open`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_restore(
    from: wks_bytes,
    to: wks_archive_options,
    replace: u8,
    report: *mut wks_backup,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, report, |call| take_record(&block(|| restore(call, from, to, replace))?))
}

/// Starts to make an archive of a backup: take the report with `wks_op_take_backup`.
/// `wks_op_progress` tells how many pages are done; cancelling leaves what was there.
///
/// Threads: any. Blocks: no. Owns: `from` is lent for the call; the operation is the caller's, to
/// free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_archive_restore`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_restore_async(
    from: wks_bytes,
    to: wks_archive_options,
    replace: u8,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(restore(call, from, to, replace)))
}

/// Reads what can be read of a file that may be damaged into a new archive, row by row, and tells
/// what could not be brought over. A message comes over where its content gives its hash. Nothing is
/// written to `from`. The new archive's key may be another: this also encrypts an archive that is
/// not, and the other way round.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is done. Owns: the report is the
/// caller's, to free with `wks_findings_free`.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` where there is a file at the path of `to`,
/// `WKS_ERR_ARCHIVE_CORRUPT` where nothing at all can be read of `from`, and as `wks_archive_open`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_salvage(
    from: wks_archive_options,
    to: wks_archive_options,
    findings: *mut wks_findings,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, findings, |call| take(&block(|| salvage(call, from, to))?))
}

/// Starts to salvage a file: take the report with `wks_op_take_findings`. `wks_op_progress` tells how
/// many messages came over; a cancel leaves no new archive.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_salvage`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_salvage_async(
    from: wks_archive_options,
    to: wks_archive_options,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(salvage(call, from, to)))
}

/// Checks a file as `wks_archive_verify` checks an open archive, also one that is too damaged to be
/// opened. Nothing is written.
///
/// Threads: any but the dispatcher's. Blocks: yes, until all is checked. Owns: the report is the
/// caller's, to free with `wks_findings_free`.
/// Errors: `WKS_ERR_ARCHIVE_CORRUPT` where nothing at all can be read of it,
/// `WKS_ERR_ARCHIVE_READ_ONLY` where it is of an earlier version and must be opened once first, and
/// as `wks_archive_open`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_verify_file(
    file: wks_archive_options,
    findings: *mut wks_findings,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, findings, |call| take(&block(|| verify(call, file))?))
}

/// Starts to check a file: take the report with `wks_op_take_findings`. `wks_op_progress` tells how
/// many messages were looked at.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_verify_file`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_verify_file_async(
    file: wks_archive_options,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(verify(call, file)))
}
