//! The library's log, line by line, to an interface that the host implements.
//!
//! Once the process exits it is neither called nor let go of: the interpreter or machine that it
//! belongs to may be gone.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use super::call::guard;
use super::error::Result;
use crate::ffi::logs::{self, Line, Sink};
use crate::ffi::process;
use crate::runtime;

/// How grave a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum LogLevel {
    /// Something is lost or does not work.
    Error = 1,
    /// Something that should not be, and that the library goes on with.
    Warn = 2,
    /// What an operator wants to know.
    Info = 3,
    /// What helps to find out why.
    Debug = 4,
    /// All there is.
    Trace = 5,
}

/// A line of the log.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct LogLine {
    /// When, in Unix nanoseconds.
    pub time: i64,
    /// How grave.
    pub level: LogLevel,
    /// Of what, as `wakustore::node::swarm`.
    pub target: String,
    /// One line of text: what happened, then `name=value` fields.
    pub message: String,
    /// Lines that were left out before this one, since the logger was too slow.
    pub dropped: u64,
}

/// A host's log. Give it to `set_logger`.
#[uniffi::export(with_foreign)]
pub trait Logger: Send + Sync {
    /// Takes a line. It is called on a thread of the library's that is there for it, one line at a
    /// time. It must not wait for any other call of the library. What it throws is ignored.
    fn log(&self, line: LogLine) -> Result<()>;
}

/// Has a logger called with the library's log, in place of the one before; without one, nothing is
/// logged, as at first. There is one for the whole process, whichever archives and nodes there are.
///
/// The filter is a level (`off`, `error`, `warn`, `info`, `debug`, `trace`), for the library's own
/// lines, or several parts with commas between them, of which each may name the beginning of a
/// target: `info,wakustore::node=debug,libp2p_swarm=warn`. Lines hold no payloads, keys or
/// passwords; those of libraries under this one, which are told where they are named, are their own.
///
/// Fails with `InvalidArgument` for a filter that is none.
#[uniffi::export(default(logger = None))]
pub fn set_logger(filter: String, logger: Option<Arc<dyn Logger>>) -> Result<()> {
    guard(|| {
        process::watch_forks();
        let sink =
            logger.map(|logger| Arc::new(Foreign(ManuallyDrop::new(logger))) as Arc<dyn Sink>);
        Ok(logs::set(&filter, sink)?)
    })
}

/// The host's logger as the library sees it.
struct Foreign(ManuallyDrop<Arc<dyn Logger>>);

impl Sink for Foreign {
    fn line(&self, line: &Line) {
        // What it throws has nowhere to go: a line about it would be its own next line.
        let _ = self.0.log(LogLine {
            time: line.time,
            level: level(line.level),
            target: line.target.clone(),
            message: line.message.clone(),
            dropped: line.dropped,
        });
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if !runtime::is_exiting() {
            // SAFETY: taken here once, and not used after.
            drop(unsafe { ManuallyDrop::take(&mut self.0) });
        }
    }
}

fn level(level: tracing::Level) -> LogLevel {
    match level {
        tracing::Level::ERROR => LogLevel::Error,
        tracing::Level::WARN => LogLevel::Warn,
        tracing::Level::INFO => LogLevel::Info,
        tracing::Level::DEBUG => LogLevel::Debug,
        tracing::Level::TRACE => LogLevel::Trace,
    }
}
