//! The library's log for the host, for both surfaces: a subscriber of `tracing` that puts lines in
//! a bounded queue, and a thread that hands them to the host's function.
//!
//! What must hold: nothing is set up, and nothing costs more than a glance at a number, before a
//! host asks for lines; whoever logs never waits for the host, and what the queue cannot hold is
//! counted; the host is called on the log's own thread under no lock, one line at a time; it is
//! called neither in the child of a fork, nor once the process exits; a shutdown hands out what
//! waits and ends the thread, which starts again with the next line.

mod filter;
mod layer;
mod queue;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use once_cell::sync::OnceCell;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

use self::filter::Filter;
use self::layer::HostLayer;
pub(super) use self::queue::Line;
use self::queue::Queue;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::runtime;

/// How long the end of a process waits for a line that is being told.
const LAST_LINE: Duration = Duration::from_secs(5);

/// The host's function. Called by one thread at a time.
pub(super) trait Sink: Send + Sync {
    /// Takes a line.
    fn line(&self, line: &Line);
}

/// What is wanted now.
static FILTER: RwLock<Filter> = RwLock::new(Filter::off());
static QUEUE: Queue = Queue::new();
/// The process that has set it up; 0 for none.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// One change at a time.
static SETTING: Mutex<()> = Mutex::new(());
static INSTALLED: OnceCell<()> = OnceCell::new();

/// Whether this process is the one that set the log up: a child of it has no thread for lines, and
/// may find the locks taken for ever. Asked before any lock.
fn is_here() -> bool {
    PROCESS.load(Ordering::Acquire) == std::process::id()
}

/// Has lines that the filter lets pass told to `sink` from now on, in place of the one before;
/// without one, none.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for a filter that is none; [`ErrorKind::Unsupported`] where the
/// process has another subscriber of `tracing` (a Rust program that links the library and set its
/// own: it has the lines already); [`ErrorKind::Forked`].
pub(super) fn set(filter: &str, sink: Option<Arc<dyn Sink>>) -> Result<()> {
    let filter = Filter::parse(filter)?;
    if PROCESS.load(Ordering::Acquire) != 0 && !is_here() {
        bail!(Forked, "the log was set up before the fork, and this is the child");
    }
    let before = {
        let _one = SETTING.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = sink.is_some();
        if wanted {
            INSTALLED.get_or_try_init(install)?;
            PROCESS.store(std::process::id(), Ordering::Release);
        }
        let filter = if wanted { filter } else { Filter::off() };
        let before = QUEUE.replace(sink);
        *FILTER.write().unwrap_or_else(PoisonError::into_inner) = filter;
        if INSTALLED.get().is_some() {
            tracing::callsite::rebuild_interest_cache();
        }
        before
    };
    // It may call the host: under no lock.
    drop(before);
    Ok(())
}

fn install() -> Result<()> {
    tracing::subscriber::set_global_default(registry().with(HostLayer)).map_err(|_| {
        let what = "this process has a subscriber of tracing already, which has the lines";
        Error::new(ErrorKind::Unsupported, what)
    })
}

/// Hands out what waits and ends the thread, within this time. At the end of a shutdown.
pub(super) fn drain(timeout: Duration) {
    if is_here() && !runtime::on_dispatcher() {
        QUEUE.drain(timeout);
    }
}

/// No line is told from here on. Waits for one that is being told, so that the host is not called
/// while it goes away. At the exit of the process.
pub(super) fn silence() {
    if is_here() {
        QUEUE.mute(LAST_LINE);
    }
}
