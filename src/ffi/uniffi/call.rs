//! How a call gets from a foreign executor to the library's runtime, and what an exported object
//! holds.
//!
//! What must hold: no work runs on the caller's thread; an object of a runtime that was shut down
//! answers `Shutdown`; in the child of a `fork` every object answers `Forked`, and letting go of
//! it touches nothing, because the threads it would talk to are not there.

use std::future::{Future, poll_fn};
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::error::Result;
use crate::error::bail;
use crate::ffi::{logs, process};
use crate::runtime::{self, Runtime};

/// How long a shutdown waits for what has to end, where it is not told.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The runtime of this process, started where none runs.
///
/// # Errors
/// [`crate::ErrorKind::Forked`] in the child of a process that used the library,
/// [`crate::ErrorKind::Shutdown`] while the process exits.
pub(super) fn enter() -> crate::Result<Arc<Runtime>> {
    process::watch_forks();
    Runtime::current()
}

/// What every exported function's body is in: a panic becomes `Internal`, and prints nothing.
///
/// # Errors
/// Those of the work, and [`crate::ErrorKind::Internal`].
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    runtime::silence();
    runtime::catch(work)?
}

/// [`guard`] for an asynchronous function: for each poll of it.
///
/// # Errors
/// As [`guard`].
pub(super) async fn guarded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    runtime::silence();
    poll_fn(move |cx| match runtime::catch(|| work.as_mut().poll(cx)) {
        Ok(poll) => poll,
        Err(panic) => Poll::Ready(Err(panic.into())),
    })
    .await
}

/// Runs `work` on the library's runtime and waits for it. Dropping the wait aborts the work.
///
/// # Errors
/// Those of the work, and as [`enter`].
pub(super) async fn call<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = crate::Result<T>> + Send + 'static,
{
    enter()?;
    Ok(runtime::run(work).await?)
}

/// [`call`] for what blocks. Work that has begun runs to its end.
///
/// # Errors
/// Those of the work, and as [`enter`].
pub(super) async fn call_blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> crate::Result<T> + Send + 'static,
{
    enter()?;
    Ok(runtime::blocking(work).await?)
}

/// Stops all that runs.
///
/// # Errors
/// [`crate::ErrorKind::WouldDeadlock`], [`crate::ErrorKind::TimedOut`].
pub(super) fn shutdown(timeout: Option<Duration>) -> Result<()> {
    let timeout = timeout.unwrap_or(SHUTDOWN_TIMEOUT);
    let ended = runtime::shutdown(timeout);
    logs::drain(timeout);
    Ok(ended?)
}

/// Stops all that runs, and lets nothing start again.
pub(super) fn shutdown_at_exit() {
    runtime::silence();
    let _ = runtime::catch(logs::silence);
    let _ = runtime::catch(|| runtime::shutdown_at_exit(SHUTDOWN_TIMEOUT));
}

/// What an exported object holds, bound to the process and the runtime that it was made in.
pub(super) struct Guarded<T> {
    value: ManuallyDrop<T>,
    runtime: ManuallyDrop<Arc<Runtime>>,
    process: u32,
}

impl<T> Guarded<T> {
    /// An object of this runtime.
    pub(super) fn new(runtime: Arc<Runtime>, value: T) -> Self {
        Guarded {
            value: ManuallyDrop::new(value),
            runtime: ManuallyDrop::new(runtime),
            process: std::process::id(),
        }
    }

    /// What it holds.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Forked`], [`crate::ErrorKind::Shutdown`].
    pub(super) fn get(&self) -> crate::Result<&T> {
        if self.process != std::process::id() {
            bail!(Forked, "the object was made before the fork, and this is the child");
        }
        self.runtime.check_open()?;
        Ok(&self.value)
    }

    /// The runtime it belongs to, for what is made from it.
    pub(super) fn runtime(&self) -> Arc<Runtime> {
        Arc::clone(&self.runtime)
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // SAFETY: taken here once, and not used after.
            let held = unsafe {
                (ManuallyDrop::take(&mut self.value), ManuallyDrop::take(&mut self.runtime))
            };
            let _ = runtime::catch(move || drop(held));
        }
    }
}
