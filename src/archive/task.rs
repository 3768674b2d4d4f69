//! Long work on an archive: how far it is, and how it is given up.
//!
//! What must hold: whoever waits is answered, also when the archive is closed or the work panics;
//! closing an archive cancels its work and waits for it, so that no thread outlives the archive.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use super::pending::Pending;
use super::suspend::suspended;
use crate::error::{Result, bail};

/// The most works of one archive that run at the same time.
const MAX_TASKS: usize = 4;

/// How far a work is. The unit is the work's own: pages, messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// Of so much, as far as is known; 0 before anything is.
    pub total: u64,
}

/// Looks at a work from outside, and cancels it. Cloning it gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    /// It was, because the archive is suspended.
    suspended: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Control {
    /// For a work that has not begun.
    pub fn new() -> Self {
        Control::default()
    }

    /// How far the work is.
    pub fn progress(&self) -> Progress {
        Progress {
            done: self.0.done.load(Ordering::Relaxed),
            total: self.0.total.load(Ordering::Relaxed),
        }
    }

    /// Asks the work to end soon, with [`crate::ErrorKind::Cancelled`]. A second call is fine, and
    /// so is one after the end.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Whether it was cancelled because the archive is suspended.
    pub(super) fn is_suspended(&self) -> bool {
        self.0.suspended.load(Ordering::Acquire)
    }

    /// An error once it was cancelled: to be asked between steps.
    pub(super) fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            bail!(Cancelled, "the work was cancelled");
        }
        Ok(())
    }

    /// Tells how far the work is; 0 where the total is not known. For who does the work.
    pub fn set(&self, done: u64, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
        self.0.done.store(done, Ordering::Relaxed);
    }
}

/// A work that goes on, and its result: a future, or something to wait for. Dropping it cancels
/// the work.
#[must_use = "a work that nobody waits for is cancelled"]
pub struct Task<T> {
    control: Control,
    pending: Option<Pending<T>>,
}

impl<T> Task<T> {
    pub(super) fn new(control: Control, pending: Pending<T>) -> Self {
        Task { control, pending: Some(pending) }
    }

    /// A handle that looks at the work and can cancel it, also while somebody waits here.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// How far the work is.
    pub fn progress(&self) -> Progress {
        self.control.progress()
    }

    /// Asks the work to end soon; then the result is [`crate::ErrorKind::Cancelled`], unless it
    /// had ended before.
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// Blocks this thread until the work has ended. Not for async code: await it there.
    ///
    /// # Errors
    /// The work's; [`crate::ErrorKind::ArchiveClosed`], [`crate::ErrorKind::WouldDeadlock`] as for
    /// [`Pending::wait`].
    pub fn wait(mut self) -> Result<T> {
        match self.pending.take() {
            Some(pending) => pending.wait(),
            None => bail!(NoResult, "the work's result was taken"),
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(pending) = &mut self.pending else {
            return Poll::Ready((|| bail!(NoResult, "the work's result was taken"))());
        };
        let polled = Pin::new(pending).poll(cx);
        if polled.is_ready() {
            self.pending = None;
        }
        polled
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.control.cancel();
    }
}

/// The works of one archive that run.
#[derive(Default)]
pub(super) struct Tasks {
    state: Mutex<Running>,
    ended: Condvar,
}

#[derive(Default)]
struct Running {
    count: usize,
    closed: bool,
    suspended: bool,
    controls: Vec<Weak<State>>,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a work in, until what this gives is dropped.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Busy`], [`crate::ErrorKind::ArchiveClosed`].
    pub(super) fn begin(self: &Arc<Self>, control: &Control) -> Result<Begun> {
        let mut running = self.lock();
        if running.closed {
            bail!(ArchiveClosed, "the archive was closed");
        }
        if running.suspended {
            return Err(suspended());
        }
        if running.count >= MAX_TASKS {
            bail!(Busy, "{MAX_TASKS} backups and the like run on this archive: try again later");
        }
        running.count += 1;
        running.controls.retain(|control| control.strong_count() > 0);
        running.controls.push(Arc::downgrade(&control.0));
        Ok(Begun(self.clone()))
    }

    /// Takes nothing in any more, and cancels what runs.
    pub(super) fn close(&self) {
        let mut running = self.lock();
        running.closed = true;
        for control in running.controls.drain(..).filter_map(|control| control.upgrade()) {
            control.cancelled.store(true, Ordering::Release);
        }
    }

    /// Takes nothing in until [`Tasks::resume`], and cancels what runs.
    pub(super) fn suspend(&self) {
        let mut running = self.lock();
        running.suspended = true;
        for control in running.controls.iter().filter_map(Weak::upgrade) {
            control.suspended.store(true, Ordering::Release);
            control.cancelled.store(true, Ordering::Release);
        }
    }

    /// Takes works in again.
    pub(super) fn resume(&self) {
        self.lock().suspended = false;
    }

    /// Blocks until nothing runs. After [`Tasks::close`] and [`Tasks::suspend`] that is soon.
    pub(super) fn wait(&self) {
        let mut running = self.lock();
        while running.count > 0 {
            running = self.ended.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A work that runs, for as long as this lives.
pub(super) struct Begun(Arc<Tasks>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.lock().count -= 1;
        self.0.ended.notify_all();
    }
}
