//! The end, in order: no more intake, the ops cancelled, nodes stopped, archives flushed and
//! closed, threads joined, callbacks drained.

use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{Runtime, Stage, lock, on_dispatcher, panics, process};
use crate::error::{Result, bail};

/// One at a time; a second call waits for the first, and finds nothing to do.
static SHUTDOWN: Mutex<()> = Mutex::new(());

/// Whether a shutdown is under way, or just about to return.
pub(super) fn is_locked() -> bool {
    matches!(SHUTDOWN.try_lock(), Err(TryLockError::WouldBlock))
}

/// Stops the runtime and all that runs on it. Fine where nothing runs (as in the child of a process
/// that has one), and a second time. The next use of the library starts it again.
///
/// `timeout` bounds the waits for peers, tasks and callbacks, in all; archives are always flushed
/// to the end.
///
/// # Errors
/// [`crate::ErrorKind::WouldDeadlock`] on the dispatcher's thread or inside of a tokio runtime,
/// with nothing done. [`crate::ErrorKind::TimedOut`] where something did not end in time: it is
/// left behind, all else is done.
pub fn shutdown(timeout: Duration) -> Result<()> {
    if process::is_elsewhere() {
        return Ok(());
    }
    if on_dispatcher() {
        bail!(WouldDeadlock, "a callback cannot shut the library down: it would wait for itself");
    }
    if tokio::runtime::Handle::try_current().is_ok() {
        bail!(WouldDeadlock, "an async task cannot shut the library down: use a plain thread");
    }
    let _one = lock(&SHUTDOWN);
    let Some(runtime) = Runtime::running() else { return Ok(()) };
    let deadline = Instant::now() + timeout.min(MAX_WAIT);
    let left = close(&runtime, deadline);
    let drained = runtime.dispatcher().drain(deadline.max(Instant::now() + MIN_WAIT));
    runtime.forget();
    if left > 0 {
        bail!(TimedOut, "{left} tasks or nodes did not end within {timeout:?}");
    }
    if !drained {
        bail!(TimedOut, "a callback did not return within {timeout:?}");
    }
    Ok(())
}

/// The shutdown of a process that exits without one: the same, but no callback and no drop
/// function runs any more, for the host they belong to may be gone; and nothing starts again.
pub fn shutdown_at_exit(timeout: Duration) {
    if process::is_elsewhere() {
        return;
    }
    Runtime::forbid_restart();
    let Some(runtime) = Runtime::running() else { return };
    runtime.dispatcher().mute();
    let _one = lock(&SHUTDOWN);
    close(&runtime, Instant::now() + timeout.min(MAX_WAIT));
    runtime.forget();
}

/// A year stands for ever: times beyond that would not add up.
const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);
/// What even a timeout of zero grants: threads that have nothing to do need a moment to end.
const MIN_WAIT: Duration = Duration::from_millis(100);

/// All but the callbacks. Tells how much was left behind.
fn close(runtime: &Arc<Runtime>, deadline: Instant) -> usize {
    runtime.abort_all();
    let mut left = runtime.wait_idle(deadline.max(Instant::now() + MIN_WAIT));

    let nodes: Vec<_> = runtime
        .closers()
        .take(Stage::Network)
        .into_iter()
        .filter_map(|closer| panics::catch(closer).ok())
        .map(panics::catch_async)
        .collect();
    if !nodes.is_empty() {
        let rest = deadline.max(Instant::now() + MIN_WAIT) - Instant::now();
        let stop = async { tokio::time::timeout(rest, join_all(nodes)).await.is_err() };
        left += usize::from(runtime.handle().block_on(stop));
    }

    for closer in runtime.closers().take(Stage::Storage) {
        if let Ok(closing) = panics::catch(closer) {
            let _ = futures::executor::block_on(panics::catch_async(closing));
        }
    }
    runtime.join_workers(deadline.max(Instant::now() + MIN_WAIT));
    left
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::MutexGuard;
    use std::sync::mpsc;

    use super::*;
    use crate::error::ErrorKind;
    use crate::runtime::{Op, spawn};

    static SERIAL: Mutex<()> = Mutex::new(());

    /// The runtime is one for the process: tests that use it go one by one.
    pub(crate) fn serial() -> MutexGuard<'static, ()> {
        lock(&SERIAL)
    }

    const SECONDS: Duration = Duration::from_secs(10);

    #[test]
    fn closes_in_order_and_starts_again() {
        let _serial = serial();
        shutdown(Duration::MAX).unwrap();
        let (tx, rx) = mpsc::channel();
        let runtime = Runtime::current().unwrap();
        let says = |what: &'static str| {
            let tx = tx.clone();
            move || async move { tx.send(what).unwrap() }
        };
        let _s = runtime.on_shutdown(Stage::Storage, says("storage")).unwrap();
        let _n = runtime.on_shutdown(Stage::Network, says("network")).unwrap();
        drop(runtime.on_shutdown(Stage::Network, says("taken back")).unwrap());
        let _boom = runtime.on_shutdown(Stage::Network, || async { panics::tests::blow_up() });
        let op = Op::start(&runtime, std::future::pending::<Result<()>>()).unwrap();
        let cancelled = tx.clone();
        op.attach_callback(Box::new(move || cancelled.send("callback").unwrap())).unwrap();

        shutdown(Duration::MAX).unwrap();
        shutdown(SECONDS).unwrap();
        let mut order: Vec<_> = rx.try_iter().collect();
        assert!(order.contains(&"callback"), "drained before the shutdown returns");
        order.retain(|o| *o != "callback");
        assert_eq!(order, ["network", "storage"]);
        assert_eq!(op.status().unwrap_err().kind(), ErrorKind::Cancelled);
        let late = Op::start(&runtime, async { Ok(()) });
        assert_eq!(late.err().map(|e| e.kind()), Some(ErrorKind::Shutdown));

        assert_eq!(futures::executor::block_on(spawn(async { 1 })), Ok(1), "started again");
        let again = Runtime::current().unwrap();
        assert!(!Arc::ptr_eq(&runtime, &again));
        shutdown(SECONDS).unwrap();
    }

    #[test]
    fn refuses_where_it_would_wait_for_itself() {
        let _serial = serial();
        let inside = spawn(async { shutdown(SECONDS).unwrap_err().kind() });
        assert_eq!(futures::executor::block_on(inside), Ok(ErrorKind::WouldDeadlock));

        let (tx, rx) = mpsc::channel();
        let runtime = Runtime::current().unwrap();
        let op = Op::ended(&runtime, Ok(()));
        op.attach_callback(Box::new(move || tx.send(shutdown(SECONDS)).unwrap())).unwrap();
        let answer = rx.recv_timeout(SECONDS).unwrap();
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::WouldDeadlock);
        shutdown(SECONDS).unwrap();
    }

    #[test]
    fn what_does_not_end_is_named_and_left() {
        let _serial = serial();
        shutdown(SECONDS).unwrap();
        let runtime = Runtime::current().unwrap();
        let _n = runtime.on_shutdown(Stage::Network, std::future::pending::<()>).unwrap();
        let (tx, rx) = mpsc::channel();
        let _s = runtime.on_shutdown(Stage::Storage, move || async move { tx.send(()).unwrap() });
        let e = shutdown(Duration::from_millis(50)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TimedOut);
        assert_eq!(rx.try_recv(), Ok(()), "storage is closed all the same");
        shutdown(SECONDS).unwrap();
    }
}
