//! `wks_node_options`: which syncs a node begins by itself, and in which way it compares.

use std::path::PathBuf;
use std::time::Duration;

use super::bytes::wks_bytes;
use super::error::wks_error;
use super::guard;
use super::memory::borrow_str;
use super::node_options::wks_node_options;
use super::query::flag;
use super::status::wks_status;
use crate::error::bail;
use crate::wire::reconciliation::Dialect;

/// Which form of the header of reconciliation 1.0.0 is written and read: a `WKS_DIALECT_…`.
pub type wks_sync_dialect = i32;
/// Pubsub and content topics, as deployed nodes have it since nwaku v0.37. The default.
pub const WKS_DIALECT_TOPICS: wks_sync_dialect = 0;
/// Cluster and shards, as in the published document and in nwaku v0.35 and v0.36.
pub const WKS_DIALECT_SHARDS: wks_sync_dialect = 1;

/// Keeps the node's own state (when it was last online, with whom it agrees over what) in this file,
/// of mode 0600; without it that is forgotten at the end, and a restart fills no gap. The path is
/// UTF-8.
///
/// Threads: any. Blocks: no. Owns: nothing; the path is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where the path is
/// empty, not UTF-8 or has a NUL in it.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_state_file(
    options: wks_node_options,
    path: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let path = borrow_str(path, "path")?;
        if path.is_empty() || path.contains('\0') {
            bail!(InvalidArgument, "the path is empty or has a NUL in it");
        }
        call.get(options)?.lock().state = Some(PathBuf::from(path));
        Ok(())
    })
}

/// With how many peers the node syncs each time that the interval between two syncs is over. 1 by
/// default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_heartbeat_peers(
    options: wks_node_options,
    peers: usize,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.heartbeat_peers = peers;
        Ok(())
    })
}

/// Whether the node begins a sync with the first peers that come at start, and with one that comes
/// again: 1, the default, or 0.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_on_connect(
    options: wks_node_options,
    on: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let on = flag(on, "on")?;
        call.get(options)?.lock().engine.sync_on_connect = on;
        Ok(())
    })
}

/// Whether the gap since the node was last online is filled at start: 1, the default, or 0. Needs a
/// state file.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_resume(
    options: wks_node_options,
    on: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let on = flag(on, "on")?;
        call.get(options)?.lock().engine.resume = on;
        Ok(())
    })
}

/// The longest gap that is filled at start, in milliseconds; what is older is left to syncs on
/// demand. Six hours by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_resume_limit(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.resume_limit = Duration::from_millis(ms);
        Ok(())
    })
}

/// Whether wakustore's own sync protocol is spoken with peers that have it: 1, the default, or 0 for
/// 1.0.0 with all.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_strong(
    options: wks_node_options,
    on: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let on = flag(on, "on")?;
        call.get(options)?.lock().engine.strong = on;
        Ok(())
    })
}

/// Which form of the header of reconciliation 1.0.0 the node writes and reads.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for what is no `WKS_DIALECT_…`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_dialect(
    options: wks_node_options,
    dialect: wks_sync_dialect,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let dialect = match dialect {
            WKS_DIALECT_TOPICS => Dialect::Topics,
            WKS_DIALECT_SHARDS => Dialect::Shards,
            other => bail!(InvalidArgument, "{other} is no dialect of a sync"),
        };
        call.get(options)?.lock().engine.dialect = dialect;
        Ok(())
    })
}
