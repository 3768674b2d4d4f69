//! The library's log, line by line, to a function of the host's.

use std::ffi::c_void;
use std::sync::Arc;

use super::bytes::wks_bytes;
use super::error::wks_error;
use super::guard;
use super::memory::borrow_str;
use super::status::wks_status;
use super::user::{UserData, wks_drop};
use crate::ffi::logs::{self, Line, Sink};

/// How grave a line is: a `WKS_LOG_…`.
pub type wks_log_level = i32;
/// Something is lost or does not work.
pub const WKS_LOG_ERROR: wks_log_level = 1;
/// Something that should not be, and that the library goes on with.
pub const WKS_LOG_WARN: wks_log_level = 2;
/// What an operator wants to know.
pub const WKS_LOG_INFO: wks_log_level = 3;
/// What helps to find out why.
pub const WKS_LOG_DEBUG: wks_log_level = 4;
/// All there is.
pub const WKS_LOG_TRACE: wks_log_level = 5;

/// A line of the log. The library allocates it and sets `struct_size`: fields behind that are not
/// there.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_log_line {
    /// The size of the struct as the library knows it.
    pub struct_size: usize,
    /// When, in Unix nanoseconds.
    pub time: i64,
    /// Lines that were left out before this one, since the function was too slow.
    pub dropped: u64,
    /// A `WKS_LOG_…`.
    pub level: wks_log_level,
    /// Of what, as `wakustore::node::swarm`.
    pub target: wks_bytes,
    /// One line of text, without a new line at its end: what happened, then `name=value` fields.
    pub message: wks_bytes,
}

/// Called with each line, on a thread of the library's that is there for it: neither a worker nor
/// the dispatcher's, one line at a time. The line and its texts are lent for the call. It may call
/// everything but what blocks and `wks_shutdown`, which give `WKS_ERR_WOULD_DEADLOCK`, and must not
/// throw. The library does not wait for it: of what it is too slow for, lines are left out.
pub type wks_log = Option<unsafe extern "C" fn(line: *const wks_log_line, user: *mut c_void)>;

/// The host's function and its data.
struct HostLog {
    log: unsafe extern "C" fn(line: *const wks_log_line, user: *mut c_void),
    user: UserData,
}

impl Sink for HostLog {
    fn line(&self, line: &Line) {
        let told = wks_log_line {
            struct_size: size_of::<wks_log_line>(),
            time: line.time,
            dropped: line.dropped,
            level: level(line.level),
            target: wks_bytes::lend(line.target.as_bytes()),
            message: wks_bytes::lend(line.message.as_bytes()),
        };
        // SAFETY: a function of the host's, called with what the host gave for it, by one thread at
        // a time; the line and `user` live longer than the call.
        unsafe { (self.log)(&raw const told, self.user.ptr()) }
    }
}

fn level(level: tracing::Level) -> wks_log_level {
    match level {
        tracing::Level::ERROR => WKS_LOG_ERROR,
        tracing::Level::WARN => WKS_LOG_WARN,
        tracing::Level::INFO => WKS_LOG_INFO,
        tracing::Level::DEBUG => WKS_LOG_DEBUG,
        tracing::Level::TRACE => WKS_LOG_TRACE,
    }
}

/// Has `log` called with the library's log, in place of the function before; a null `log` ends it.
/// There is one for the whole process, whichever archives and nodes there are, and at first none:
/// then nothing is logged anywhere. It stays over a shutdown, which hands out what waits; once the
/// process exits, and in the child of a fork, it is not called.
///
/// `filter` is a level (`off`, `error`, `warn`, `info`, `debug`, `trace`), for the library's own
/// lines, or several parts with commas between them, of which each may name the beginning of a
/// target: `info,wakustore::node=debug,libp2p_swarm=warn`. The longest beginning counts. Lines hold
/// no payloads, keys or passwords; those of libraries under this one, which are told where they are
/// named, are their own.
///
/// Threads: any. Blocks: no. Owns: the filter is lent for the call; takes `user`, which is used by
/// one thread at a time; `drop` is called for it exactly once: when it is replaced or ended, and
/// not while `log` runs, which may be at its end on the library's thread; or where this call fails.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` for a filter that is none, `WKS_ERR_NULL_POINTER`,
/// `WKS_ERR_UNSUPPORTED` where a Rust program has set a subscriber of its own, `WKS_ERR_FORKED`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_log_set(
    filter: wks_bytes,
    log: wks_log,
    user: *mut c_void,
    drop: wks_drop,
    error: *mut wks_error,
) -> wks_status {
    guard::register(error, user, drop, |_, user| {
        let filter = borrow_str(filter, "filter")?;
        let sink = log.map(|log| Arc::new(HostLog { log, user }) as Arc<dyn Sink>);
        logs::set(filter, sink)
    })
}
