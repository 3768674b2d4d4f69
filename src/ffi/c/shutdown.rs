//! The end of all that runs.

use std::time::Duration;

use super::error::wks_error;
use super::guard;
use super::status::wks_status;
use crate::ffi::logs;
use crate::runtime;

/// Shuts the library down: takes no more work, ends every operation with `WKS_ERR_CANCELLED`, stops
/// the nodes, commits and closes the archives, joins the threads and lets the last callbacks run.
/// A second time is fine. Handles still have to be freed; those of archives and nodes give
/// `WKS_ERR_SHUTDOWN` from here on. The next call that opens something starts the library again.
///
/// `timeout_ms` bounds the waits for peers, tasks and callbacks (`WKS_FOREVER` does not); archives
/// are always closed to the end.
///
/// A process that exits without it does the same by itself, but for the callbacks and drop
/// functions, which do not run any more then.
///
/// Threads: any but the dispatcher's. Blocks: yes. Owns: nothing.
/// Errors: `WKS_ERR_WOULD_DEADLOCK` from a callback, with nothing done; `WKS_ERR_TIMED_OUT` where
/// something did not end in time: it is left behind, all else is done.
#[unsafe(no_mangle)]
pub extern "C" fn wks_shutdown(timeout_ms: u64, error: *mut wks_error) -> wks_status {
    guard::run(error, |_| {
        let timeout = Duration::from_millis(timeout_ms);
        let ended = runtime::shutdown(timeout);
        logs::drain(timeout);
        ended
    })
}
