//! Work on the runtime that one future waits for, from any executor.
//!
//! The UniFFI layer's way in: its futures are polled by foreign executors, so the work itself must
//! run here, and must end when the foreign future is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use super::{Runtime, panics};
use crate::error::{Error, ErrorKind, Result};

/// A task on the runtime. Await it, from any executor; dropping it aborts the work.
#[must_use = "dropping a task aborts its work"]
pub struct Task<T>(State<T>);

enum State<T> {
    Running(JoinHandle<Result<T>>),
    NotStarted(Error),
}

/// Runs a future on the runtime, which is started where it does not run.
///
/// The task gives what the future gives; [`ErrorKind::Internal`] where it panics;
/// [`ErrorKind::Cancelled`] where a shutdown ends it; [`ErrorKind::Shutdown`] or
/// [`ErrorKind::Resources`] where it cannot be started.
pub fn spawn<T, F>(future: F) -> Task<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let started = Runtime::current().and_then(|r| r.track(panics::catch_async(future)));
    Task(match started {
        Ok(handle) => State::Running(handle),
        Err(error) => State::NotStarted(error),
    })
}

/// Runs a future on the runtime and waits for it; dropping the wait aborts the work.
///
/// # Errors
/// Those of the future, and those of [`spawn`].
pub async fn run<T, F>(future: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    spawn(future).await?
}

/// Runs a closure that blocks on a thread for that, and waits for it. Dropping the wait gives up
/// on the answer; a closure that has begun runs to its end.
///
/// # Errors
/// Those of the closure; [`ErrorKind::Internal`] where it panics; [`ErrorKind::Shutdown`] or
/// [`ErrorKind::Resources`] where it cannot be started.
pub async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let runtime = Runtime::current()?;
    runtime.check_open()?;
    let task = runtime.handle().spawn_blocking(move || panics::catch(work));
    match task.await {
        Ok(result) => result?,
        Err(_) => Err(ended()),
    }
}

/// Drops a value whose drop may block: here, or, on a worker of the runtime, on a thread for that.
pub fn drop_blocking<T: Send + 'static>(value: T) {
    match tokio::runtime::Handle::try_current() {
        Ok(worker) => drop(worker.spawn_blocking(move || drop(value))),
        Err(_) => drop(value),
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Cancelled, "the library was shut down meanwhile")
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        match &mut self.0 {
            State::NotStarted(error) => Poll::Ready(Err(error.clone())),
            State::Running(handle) => Pin::new(handle).poll(cx).map(|joined| match joined {
                Ok(result) => result,
                // The future itself cannot panic out of the task: that is caught inside.
                Err(_) => Err(ended()),
            }),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let State::Running(handle) = &self.0 {
            handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::error::bail;

    #[test]
    fn a_panic_is_an_error() {
        let _serial = super::super::shutdown::tests::serial();
        panics::silence();
        let e = futures::executor::block_on(spawn(async { panics::tests::blow_up() })).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Internal);
        assert!(e.message().contains("runtime/panics.rs"), "{e}");
        let e = futures::executor::block_on(blocking(|| {
            panics::tests::blow_up();
            Ok(())
        }))
        .unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Internal);
    }

    #[test]
    fn errors_and_values_pass() {
        let _serial = super::super::shutdown::tests::serial();
        assert_eq!(futures::executor::block_on(run(async { Ok(7) })), Ok(7));
        let e = futures::executor::block_on(run(async {
            if true {
                bail!(Dial, "refused");
            }
            Ok(())
        }));
        assert_eq!(e.unwrap_err().kind(), ErrorKind::Dial);
    }

    #[test]
    fn dropping_a_task_ends_its_work() {
        let _serial = super::super::shutdown::tests::serial();
        let (began, has_begun) = mpsc::channel();
        let (held, gone) = mpsc::channel::<()>();
        let task = spawn(async move {
            began.send(()).unwrap();
            let _held = held;
            std::future::pending::<()>().await;
        });
        has_begun.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(task);
        // Disconnected, and not timed out: the future was dropped.
        assert_eq!(
            gone.recv_timeout(Duration::from_secs(10)),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }
}
