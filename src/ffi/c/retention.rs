//! What an archive keeps: the options of retention, the floor, and takedowns.

use std::time::Duration;

use super::archive::wks_archive;
use super::archive_options::wks_archive_options;
use super::bytes::wks_bytes;
use super::error::wks_error;
use super::guard::{self, Call};
use super::memory::borrow_hashes;
use super::op::{block, publish, wks_op};
use super::status::wks_status;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::runtime::Op;

/// Takes a bound of retention away.
pub const WKS_UNBOUNDED: u64 = u64::MAX;

/// A bound: one of 0 would keep nothing, which nobody means.
fn bound(number: u64, what: &str) -> Result<Option<u64>> {
    match number {
        0 => bail!(InvalidArgument, "{what} is 0, which would keep nothing"),
        WKS_UNBOUNDED => Ok(None),
        bound => Ok(Some(bound)),
    }
}

/// Messages older than this, by their timestamp, are removed in small steps, and none is taken in.
/// `WKS_UNBOUNDED`, the default, keeps them whatever their age. Of the bounds that are set, each
/// holds.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for 0.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_max_age(
    options: wks_archive_options,
    age_ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let age = bound(age_ms, "age_ms")?.map(Duration::from_millis);
        call.get(options)?.lock().archive.retention.max_age = age;
        Ok(())
    })
}

/// Beyond so many messages the oldest are removed, in small steps. `WKS_UNBOUNDED` is the default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for 0.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_max_messages(
    options: wks_archive_options,
    messages: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let messages = bound(messages, "messages")?;
        call.get(options)?.lock().archive.retention.max_messages = messages;
        Ok(())
    })
}

/// Beyond so many bytes on disk the oldest messages are removed, in small steps: of the file as far
/// as it is in use. Space that was freed is given back to the system in small steps, and until then
/// used again. `WKS_UNBOUNDED` is the default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for 0.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_max_bytes(
    options: wks_archive_options,
    bytes: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let bytes = bound(bytes, "bytes")?;
        call.get(options)?.lock().archive.retention.max_bytes = bytes;
        Ok(())
    })
}

/// The lowest timestamp that is kept and taken in, in Unix nanoseconds: what is older was removed
/// by retention, or will be. The lowest number there is where nothing bounds it.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_floor(
    archive: wks_archive,
    floor: *mut i64,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, floor, |call| Ok(call.get(archive)?.archive()?.floor().nanos()))
}

fn take_down(call: &mut Call, archive: wks_archive, hashes: wks_bytes) -> Result<Op> {
    let object = call.get(archive)?;
    let hashes = borrow_hashes(hashes, "hashes")?;
    object.ask(object.archive()?.take_down(hashes), Ok)
}

fn take_number(op: &Op) -> Result<u64> {
    let nothing = || Error::new(ErrorKind::Internal, "the operation gave no number");
    op.take::<Option<u64>>()?.ok_or_else(nothing)
}

/// Takes messages down: those that are held are removed, all in one commit, and none of these is
/// ever taken in again, from wherever it comes (`WKS_ERR_TAKEN_DOWN`), nor asked for by a sync or
/// named by `wks_archive_missing`. `hashes` are 32 bytes each, one after the other, at most 100,000
/// of them; `held` tells how many of them were held, and may be null. A note of some 50 bytes stays
/// for each.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is committed. Owns: the hashes are lent
/// for the call.
/// Errors: `WKS_ERR_INVALID_HASH` for a length that is not a multiple of 32,
/// `WKS_ERR_INVALID_ARGUMENT` for too many, `WKS_ERR_BUSY`, `WKS_ERR_DISK_FULL`,
/// `WKS_ERR_ARCHIVE_IO`, `WKS_ERR_ARCHIVE_READ_ONLY`, `WKS_ERR_ARCHIVE_CLOSED`,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_take_down(
    archive: wks_archive,
    hashes: wks_bytes,
    held: *mut u64,
    error: *mut wks_error,
) -> wks_status {
    guard::offer(error, held, |call| take_number(&block(|| take_down(call, archive, hashes))?))
}

/// Starts to take messages down: take how many were held with `wks_op_take_number`. Cancelling does
/// not take it back.
///
/// Threads: any. Blocks: no. Owns: the hashes are lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_archive_take_down`; the
/// operation's are the others.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_take_down_async(
    archive: wks_archive,
    hashes: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(take_down(call, archive, hashes)))
}

/// Takes a number: how many messages were taken down.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_number(
    op: wks_op,
    number: *mut u64,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, number, |call| take_number(&*call.get(op)?))
}
