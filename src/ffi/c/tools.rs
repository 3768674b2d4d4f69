//! What an operator does with an archive that is open: copy it, check it, take messages down by what
//! they are filed under, look at what was taken down and lift it again.

use std::path::PathBuf;

use super::archive::{ArchiveObject, wks_archive};
use super::bytes::{HashesObject, wks_bytes, wks_hashes};
use super::error::wks_error;
use super::findings::{FindingsObject, wks_findings};
use super::guard::{self, Call};
use super::memory::{Record, borrow, borrow_hashes, borrow_str};
use super::op::{block, publish, start_watched, take, take_number, take_record, wks_op};
use super::query::{flag, wks_query};
use super::status::wks_status;
use crate::archive::{BackupReport, Task};
use crate::error::{Result, bail};
use crate::runtime::Op;
use crate::types::MessageHash;

/// What a backup, or a restore, has written. The caller allocates it and sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_backup {
    /// `sizeof(wks_backup)`.
    pub struct_size: usize,
    /// Messages in it.
    pub messages: u64,
    /// The length of the file, in bytes.
    pub bytes: u64,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_backup {
    const NAME: &'static str = "wks_backup";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl From<BackupReport> for wks_backup {
    fn from(report: BackupReport) -> Self {
        let BackupReport { messages, bytes } = report;
        wks_backup { struct_size: size_of::<wks_backup>(), messages, bytes }
    }
}

/// A path that a caller lends.
pub(super) fn path_of(path: wks_bytes, name: &str) -> Result<PathBuf> {
    let path = borrow_str(path, name)?;
    if path.is_empty() || path.contains('\0') {
        bail!(InvalidArgument, "{name} is empty or has a NUL in it");
    }
    Ok(PathBuf::from(path))
}

/// An op over a task of the archive: it tells how far that is, and its cancel is the task's.
fn watch<T: Send + 'static, O: Send + 'static>(
    object: &ArchiveObject,
    task: Task<T>,
    then: impl FnOnce(T) -> O + Send + 'static,
) -> Result<Op> {
    let control = task.control();
    start_watched(object.runtime(), control, async move { task.await.map(then) })
}

fn backup(call: &mut Call, archive: wks_archive, path: wks_bytes, replace: u8) -> Result<Op> {
    let object = call.get(archive)?;
    let (path, replace) = (path_of(path, "path")?, flag(replace, "replace")?);
    watch(&object, object.archive()?.backup(path, replace), wks_backup::from)
}

fn verify(call: &mut Call, archive: wks_archive) -> Result<Op> {
    let object = call.get(archive)?;
    watch(&object, object.archive()?.verify(), FindingsObject::from)
}

fn take_down_matching(call: &mut Call, archive: wks_archive, query: wks_query) -> Result<Op> {
    let object = call.get(archive)?;
    let filter = call.get(query)?.query().filter;
    watch(&object, object.archive()?.take_down_matching(filter), |removed| removed)
}

fn tombstones(call: &mut Call, archive: wks_archive, after: wks_bytes, limit: usize) -> Result<Op> {
    let object = call.get(archive)?;
    let after = borrow(after, "after")?;
    let after = if after.is_empty() { None } else { Some(MessageHash::from_slice(after)?) };
    object.ask(object.archive()?.tombstones(after, limit), |hashes| Ok(HashesObject::new(hashes)))
}

fn reinstate(call: &mut Call, archive: wks_archive, hashes: wks_bytes) -> Result<Op> {
    let object = call.get(archive)?;
    let hashes = borrow_hashes(hashes, "hashes")?;
    object.ask(object.archive()?.reinstate(hashes), Ok)
}

/// Writes a copy of the archive to a new file while puts and queries go on. It is of one moment, at
/// or after this call. The file gets its name when it is whole and on the disk; one that is there
/// stays until then, and is replaced only where `replace` is 1. That of an encrypted archive is
/// encrypted with the same key. `report` may be null; set `report->struct_size` first.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is written. Owns: the path is lent for
/// the call.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` where a file is there and `replace` is 0, or the path is none,
/// `WKS_ERR_ARCHIVE_LOCKED` where the file that is there is an archive in use, `WKS_ERR_DISK_FULL`,
/// `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_BUSY` while four such works run on the archive,
/// `WKS_ERR_UNSUPPORTED` where it makes no backups, `WKS_ERR_ARCHIVE_CLOSED`,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown or a close,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_backup(
    archive: wks_archive,
    path: wks_bytes,
    replace: u8,
    report: *mut wks_backup,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, report, |call| take_record(&block(|| backup(call, archive, path, replace))?))
}

/// Starts a backup: take its report with `wks_op_take_backup`. `wks_op_progress` tells how many pages
/// are copied; cancelling leaves what was there.
///
/// Threads: any. Blocks: no. Owns: the path is lent for the call; the operation is the caller's, to
/// free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_archive_backup`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_backup_async(
    archive: wks_archive,
    path: wks_bytes,
    replace: u8,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(backup(call, archive, path, replace)))
}

/// Takes the report of a backup or a restore. Set `report->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: as `wks_op_take_page`, and `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_backup(
    op: wks_op,
    report: *mut wks_backup,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, report, |call| take_record(&*call.get(op)?))
}

/// Checks all that is held: recomputes each message's hash, then checks the file's structure and the
/// figures that are kept, while puts and queries go on. What is wrong is in the report.
///
/// Threads: any but the dispatcher's. Blocks: yes, until all is checked. Owns: the report is the
/// caller's, to free with `wks_findings_free`.
/// Errors: `WKS_ERR_BUSY` while four such works run on the archive, `WKS_ERR_ARCHIVE_IO`,
/// `WKS_ERR_UNSUPPORTED` where it cannot be checked, `WKS_ERR_ARCHIVE_CLOSED`,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown or a close,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_verify(
    archive: wks_archive,
    findings: *mut wks_findings,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, findings, |call| take(&block(|| verify(call, archive))?))
}

/// Starts to check an archive: take the report with `wks_op_take_findings`. `wks_op_progress` tells
/// how many messages were looked at.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_verify`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_verify_async(
    archive: wks_archive,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(verify(call, archive)))
}

/// Takes down what a query's topics and times match (not its hashes, page or cursor), in small steps
/// beside puts and queries: each message as by `wks_archive_take_down`. What matches and was never
/// held is not kept out. `removed` tells how many went, and may be null.
///
/// Threads: any but the dispatcher's. Blocks: yes, until all are gone. Owns: nothing.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` for a query with hashes, or one that restricts nothing; those
/// of `wks_archive_take_down`. What went until then stays down.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_take_down_matching(
    archive: wks_archive,
    query: wks_query,
    removed: *mut u64,
    error: *mut wks_error,
) -> wks_status {
    guard::offer(error, removed, |call| {
        take_number(&block(|| take_down_matching(call, archive, query))?)
    })
}

/// Starts to take down what matches: take how many went with `wks_op_take_number`.
/// `wks_op_progress` tells how many have; what went before a cancel stays down.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_take_down_matching`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_take_down_matching_async(
    archive: wks_archive,
    query: wks_query,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(take_down_matching(call, archive, query)))
}

/// Hashes that were taken down, in ascending order: those after `after` (32 bytes; empty from the
/// first on), `limit` of them, 1 to 1,000. Fewer are the last.
///
/// Threads: any but the dispatcher's. Blocks: yes, until they are known. Owns: `after` is lent for
/// the call; the list is the caller's, to free with `wks_hashes_free`.
/// Errors: `WKS_ERR_INVALID_HASH`, `WKS_ERR_INVALID_ARGUMENT` for a limit that is none,
/// `WKS_ERR_UNSUPPORTED`, and as `wks_archive_get`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_tombstones(
    archive: wks_archive,
    after: wks_bytes,
    limit: usize,
    hashes: *mut wks_hashes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, hashes, |call| take(&block(|| tombstones(call, archive, after, limit))?))
}

/// Starts to list what was taken down: take it with `wks_op_take_hashes`.
///
/// Threads: any. Blocks: no. Owns: `after` is lent for the call; the operation is the caller's, to
/// free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_archive_tombstones`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_tombstones_async(
    archive: wks_archive,
    after: wks_bytes,
    limit: usize,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(tombstones(call, archive, after, limit)))
}

/// Lifts takedowns: these may be taken in again, from wherever they come. (They are not brought
/// back.) `hashes` are 32 bytes each, at most 100,000 of them; `lifted` tells how many were taken
/// down, and may be null.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is committed. Owns: the hashes are lent
/// for the call.
/// Errors: as `wks_archive_take_down`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_reinstate(
    archive: wks_archive,
    hashes: wks_bytes,
    lifted: *mut u64,
    error: *mut wks_error,
) -> wks_status {
    guard::offer(error, lifted, |call| take_number(&block(|| reinstate(call, archive, hashes))?))
}

/// Starts to lift takedowns: take how many there were with `wks_op_take_number`.
///
/// Threads: any. Blocks: no. Owns: the hashes are lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_archive_reinstate`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_reinstate_async(
    archive: wks_archive,
    hashes: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(reinstate(call, archive, hashes)))
}
