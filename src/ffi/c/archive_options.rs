//! `wks_archive_options`: where an archive is and how it is run.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bytes::wks_bytes;
use super::clock;
use super::error::wks_error;
use super::guard;
use super::handle::{Handle, handle};
use super::memory::borrow_str;
use super::query::flag;
use super::status::wks_status;
use crate::archive::{ArchiveConfig, Durability, SqliteConfig};
use crate::error::bail;

/// Where an archive is and how it is run. A call copies it: it can be changed and used again, and
/// freed at any time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_archive_options {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_archive_options, 4, OptionsObject);

/// Options that are being put together.
pub(super) struct OptionsObject(Mutex<Options>);

/// What they hold.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) sqlite: SqliteConfig,
    pub(super) archive: ArchiveConfig,
}

impl OptionsObject {
    /// As they are now.
    pub(super) fn options(&self) -> Options {
        self.lock().clone()
    }

    /// To change them. What is replaced and may call the host is dropped after.
    pub(super) fn lock(&self) -> MutexGuard<'_, Options> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a commit survives: a `WKS_DURABILITY_…`.
pub type wks_durability = i32;
/// An acknowledged message survives a power loss. The default.
pub const WKS_DURABILITY_FULL: wks_durability = 0;
/// It survives a crash of the process; a power loss may take the last commits, never the file.
pub const WKS_DURABILITY_NORMAL: wks_durability = 1;

/// Makes options for an archive in memory, with all else as the library has it.
///
/// Threads: any. Blocks: no. Owns: the options are the caller's, to free with
/// `wks_archive_options_free`.
/// Errors: `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_new(
    options: *mut wks_archive_options,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, options, |_| {
        wks_archive_options::publish(OptionsObject(Mutex::new(Options {
            sqlite: SqliteConfig::new(PathBuf::from(":memory:")),
            archive: ArchiveConfig::new(clock::now),
        })))
    })
}

/// The file, UTF-8, taken literally; or `:memory:`. It is created with mode 0600 where there is
/// none. What begins with `postgres://` or `postgresql://` is the URL of a PostgreSQL database
/// instead (docs/POSTGRES.md); its durability is the server's.
///
/// Threads: any. Blocks: no. Owns: nothing; the path is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is empty,
/// not UTF-8 or has a NUL in it.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_path(
    options: wks_archive_options,
    path: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let path = borrow_str(path, "path")?;
        if path.is_empty() || path.contains('\0') {
            bail!(InvalidArgument, "the path is empty or has a NUL in it");
        }
        call.get(options)?.lock().sqlite.path = PathBuf::from(path);
        Ok(())
    })
}

/// What a commit survives: `WKS_DURABILITY_FULL` or `WKS_DURABILITY_NORMAL`.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_durability(
    options: wks_archive_options,
    durability: wks_durability,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let durability = match durability {
            WKS_DURABILITY_FULL => Durability::Full,
            WKS_DURABILITY_NORMAL => Durability::Normal,
            other => bail!(InvalidArgument, "{other} is no durability"),
        };
        call.get(options)?.lock().sqlite.durability = durability;
        Ok(())
    })
}

/// Threads that read beside the one that writes, up to 64. (What is out of that is refused by the
/// call that opens the archive.)
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_readers(
    options: wks_archive_options,
    readers: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().archive.readers = usize::try_from(readers).unwrap_or(usize::MAX);
        Ok(())
    })
}

/// How far a live message's timestamp may lie from the clock, both ways, and how far any message's
/// may lie ahead of it, in milliseconds. 20,000 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_clock_tolerance(
    options: wks_archive_options,
    tolerance_ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let tolerance = Duration::from_millis(tolerance_ms);
        call.get(options)?.lock().archive.rules.clock_tolerance = tolerance;
        Ok(())
    })
}

/// Whether a live message that is too old is refused (1, the default) or not (0), for a host that
/// feeds old messages in as live. One that is of the future is refused in any case.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_check_live_age(
    options: wks_archive_options,
    check: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let check = flag(check, "check")?;
        call.get(options)?.lock().archive.rules.check_live_age = check;
        Ok(())
    })
}

/// How many bytes of messages may wait to be committed; puts beyond it end with `WKS_ERR_BUSY`.
/// 64 MiB by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_set_max_queued_bytes(
    options: wks_archive_options,
    bytes: usize,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().archive.max_queued_bytes = bytes;
        Ok(())
    })
}

/// Frees options. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_options_free(options: wks_archive_options) {
    guard::free(options, |_| {})
}
