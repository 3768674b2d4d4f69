//! Moving from nwaku, and back: its archive read into ours, and ours written as one of its.

use std::path::PathBuf;

use super::archive::wks_archive;
use super::bytes::{nth, wks_bytes};
use super::error::wks_error;
use super::files::working;
use super::guard::{self, Call};
use super::handle::handle;
use super::memory::{Record, borrow_str};
use super::op::{block, publish, take, wks_op};
use super::query::wks_query;
use super::status::wks_status;
use super::tools::path_of;
use crate::archive::nwaku::{ExportReport, ImportReport, RefusedRow};
use crate::error::Result;
use crate::ffi::places;
use crate::runtime::Op;
use crate::types::{Filter, Timestamp};

/// What came of an import or an export.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_move {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_move, 24, MoveObject);

/// The report of either, with its position as a text.
pub(super) enum MoveObject {
    In(ImportReport, String),
    Out(ExportReport, String),
}

impl MoveObject {
    fn info(&self) -> wks_move_info {
        let struct_size = size_of::<wks_move_info>();
        match self {
            MoveObject::In(report, position) => wks_move_info {
                struct_size,
                read: report.read,
                written: report.imported,
                duplicates: report.duplicates,
                refused: report.refused,
                rehashed: report.rehashed,
                unhashed: report.unhashed,
                without_proof: 0,
                listed: report.refused_rows.len(),
                complete: u8::from(report.complete),
                position: wks_bytes::lend(position.as_bytes()),
            },
            MoveObject::Out(report, position) => wks_move_info {
                struct_size,
                read: report.written + report.duplicates + report.refused,
                written: report.written,
                duplicates: report.duplicates,
                refused: report.refused,
                rehashed: 0,
                unhashed: 0,
                without_proof: report.without_proof,
                listed: 0,
                complete: u8::from(report.complete),
                position: wks_bytes::lend(position.as_bytes()),
            },
        }
    }

    fn refused(&self) -> &[RefusedRow] {
        match self {
            MoveObject::In(report, _) => &report.refused_rows,
            MoveObject::Out(..) => &[],
        }
    }
}

/// What an import or an export counted. The caller allocates it and sets `struct_size`; what it
/// points to is the report's, and lives until `wks_move_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_move_info {
    /// `sizeof(wks_move_info)`.
    pub struct_size: usize,
    /// Messages, or rows, that were dealt with: the sum of the next three.
    pub read: u64,
    /// Messages that are new where they were moved to.
    pub written: u64,
    /// Messages that were there already.
    pub duplicates: u64,
    /// Of an import, rows that hold no message that may be stored: for `wks_move_refused`. Of an
    /// export, messages that nwaku's database has no way to hold.
    pub refused: u64,
    /// Of an import, messages that the source had under another hash than their own; they are here
    /// under their own.
    pub rehashed: u64,
    /// Of an import, messages for which the source has no hash to compare with.
    pub unhashed: u64,
    /// Of an export, messages with a rate-limit proof, for which nwaku has no place.
    pub without_proof: u64,
    /// How many of the rows that were refused are listed: the first 1,000 at the most.
    pub listed: usize,
    /// Whether the end was reached (1), or the limit (0).
    pub complete: u8,
    /// Where to go on: a text to keep, of use for the same source and target alone. Empty where
    /// nothing was there.
    pub position: wks_bytes,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_move_info {
    const NAME: &'static str = "wks_move_info";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// A row of the source that was not imported. The caller allocates it and sets `struct_size`; what
/// it points to is the report's, and lives until `wks_move_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_refused_row {
    /// `sizeof(wks_refused_row)`.
    pub struct_size: usize,
    /// Its key in the source.
    pub row: wks_bytes,
    /// The source's time of it, in Unix nanoseconds; 0 where it has none.
    pub timestamp: i64,
    /// Why, as a `wks_status`.
    pub status: i32,
    /// Why, in words.
    pub reason: wks_bytes,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_refused_row {
    const NAME: &'static str = "wks_refused_row";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// A name and a position that a caller lends, and a limit where 0 is none.
fn lent(name: wks_bytes, what: &str, from: wks_bytes, limit: u64) -> Result<Lent> {
    let name = path_of(name, what)?;
    let from = borrow_str(from, "from")?;
    Ok((name, (!from.is_empty()).then(|| from.to_owned()), (limit > 0).then_some(limit)))
}

type Lent = (PathBuf, Option<String>, Option<u64>);

fn import(
    call: &mut Call,
    archive: wks_archive,
    source: wks_bytes,
    from: wks_bytes,
    limit: u64,
) -> Result<Op> {
    let object = call.get(archive)?;
    let archive = object.archive()?.clone();
    let (source, from, limit) = lent(source, "source", from, limit)?;
    working(move |control| {
        let report = places::import_nwaku(&archive, &source, from.as_deref(), limit, control)?;
        let position = report.position.as_ref().map_or_else(String::new, ToString::to_string);
        Ok(MoveObject::In(report, position))
    })
}

fn export(
    call: &mut Call,
    archive: wks_archive,
    query: wks_query,
    target: wks_bytes,
    from: wks_bytes,
    limit: u64,
) -> Result<Op> {
    let object = call.get(archive)?;
    let archive = object.archive()?.clone();
    let filter = if query.id == 0 { Filter::default() } else { call.get(query)?.query().filter };
    let (target, from, limit) = lent(target, "target", from, limit)?;
    working(move |control| {
        let from = from.as_deref();
        let report = places::export_nwaku(&archive, &target, filter, from, limit, control)?;
        let position = report.position.as_ref().map_or_else(String::new, places::position_text);
        Ok(MoveObject::Out(report, position))
    })
}

/// Imports the archive of a nwaku (or go-waku): an SQLite file, which is only read, or a
/// `postgres://` database. Each message is hashed anew and goes the way of any message. It begins
/// after `from`, the position of an earlier report (empty: at the beginning), and ends at the end,
/// or after `limit` rows or a few more (0: none): call it again with the report's position to go on.
/// What is there already is a duplicate and nothing worse.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is done. Owns: the texts are lent for
/// the call; the report is the caller's, to free with `wks_move_free`.
/// Errors: `WKS_ERR_ARCHIVE_OPEN` where the source cannot be opened or reached,
/// `WKS_ERR_ARCHIVE_CORRUPT` where its tables are not nwaku's, `WKS_ERR_INVALID_ARGUMENT` for a
/// position that is none of this source, `WKS_ERR_ARCHIVE_IO`, those of `wks_archive_put` that are
/// not of one message,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`. What was committed before stays.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_import_nwaku(
    archive: wks_archive,
    source: wks_bytes,
    from: wks_bytes,
    limit: u64,
    report: *mut wks_move,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, report, |call| take(&block(|| import(call, archive, source, from, limit))?))
}

/// Starts an import: take its report with `wks_op_take_move`. `wks_op_progress` tells how many rows
/// were read. A cancel stops it soon; what was committed stays.
///
/// Threads: any. Blocks: no. Owns: the texts are lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_archive_import_nwaku`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_import_nwaku_async(
    archive: wks_archive,
    source: wks_bytes,
    from: wks_bytes,
    limit: u64,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(import(call, archive, source, from, limit)))
}

/// Writes messages to an archive of nwaku's: an SQLite file, created where there is none, or a
/// `postgres://` database. Those that the query's topics and times match (all where it is null; it
/// has no hashes), after `from` and up to `limit` of them as for `wks_archive_import_nwaku`.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is done. Owns: the texts are lent for
/// the call; the report is the caller's, to free with `wks_move_free`.
/// Errors: `WKS_ERR_ARCHIVE_OPEN` where the target cannot be opened or reached,
/// `WKS_ERR_ARCHIVE_CORRUPT` where its tables are not nwaku's, `WKS_ERR_UNSUPPORTED` where they are
/// of a version that is not written,
/// `WKS_ERR_INVALID_ARGUMENT` for hashes or a position that is none, `WKS_ERR_DISK_FULL`,
/// `WKS_ERR_ARCHIVE_IO`, and as `wks_archive_query`. What was written before stays.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_export_nwaku(
    archive: wks_archive,
    query: wks_query,
    target: wks_bytes,
    from: wks_bytes,
    limit: u64,
    report: *mut wks_move,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, report, |call| {
        take(&block(|| export(call, archive, query, target, from, limit))?)
    })
}

/// Starts an export: take its report with `wks_op_take_move`. `wks_op_progress` tells how many
/// messages were dealt with. A cancel stops it soon; what was written stays.
///
/// Threads: any. Blocks: no. Owns: the texts are lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_archive_export_nwaku`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_export_nwaku_async(
    archive: wks_archive,
    query: wks_query,
    target: wks_bytes,
    from: wks_bytes,
    limit: u64,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(export(call, archive, query, target, from, limit)))
}

/// Takes the report of an import or an export.
///
/// Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_move_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_move(
    op: wks_op,
    report: *mut wks_move,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, report, |call| take(&*call.get(op)?))
}

/// What was counted. Set `info->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `info` is the caller's; what it points to is the report's, and
/// lives until `wks_move_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_move_read(
    report: wks_move,
    info: *mut wks_move_info,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, info, |call| Ok(call.get(report)?.info()))
}

/// Row `index` of those that were refused and are listed, counted from 0. Set `row->struct_size`
/// first.
///
/// Threads: any. Blocks: no. Owns: `row` is the caller's; what it points to is the report's, and
/// lives until `wks_move_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
/// the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_move_refused(
    report: wks_move,
    index: usize,
    row: *mut wks_refused_row,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, row, |call| {
        let report = call.get(report)?;
        let refused = nth(report.refused(), index, "refused row")?;
        Ok(wks_refused_row {
            struct_size: size_of::<wks_refused_row>(),
            row: wks_bytes::lend(refused.row.as_bytes()),
            timestamp: refused.timestamp.map_or(0, Timestamp::nanos),
            status: refused.reason.kind().code(),
            reason: wks_bytes::lend(refused.reason.message().as_bytes()),
        })
    })
}

/// Frees a report. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_move_free(report: wks_move) {
    guard::free(report, |_| {})
}
