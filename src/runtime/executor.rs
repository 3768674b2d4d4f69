//! The process-wide tokio runtime: started on first use, stopped by [`super::shutdown`], startable
//! again.
//!
//! Every task that host code can wait for is in [`Runtime`]'s list of live tasks from before its
//! first poll until after its future is dropped, so that a shutdown can end all of them and know
//! when they are gone.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::task::{AbortHandle, JoinHandle};

use super::closers::Closers;
use super::{Dispatcher, Registration, Stage, lock, process};
use crate::error::{Error, ErrorKind, Result, bail};

/// Few: the work of this library waits for sockets and disks more than it computes.
const WORKERS: usize = 2;
/// Opening archives and resolving names; both are rare.
const MAX_BLOCKING: usize = 16;

/// The one that runs now, or is being stopped.
static CURRENT: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);
/// Set when the process exits: nothing may start any more.
static EXITED: AtomicBool = AtomicBool::new(false);

/// Whether the process exits: from then on no code of the host is called any more.
pub fn is_exiting() -> bool {
    EXITED.load(Ordering::Acquire)
}

/// Whether a thread is just about to start a runtime, or to take it away.
pub(super) fn is_locked() -> bool {
    matches!(CURRENT.try_lock(), Err(TryLockError::WouldBlock))
}

/// The internal runtime, from its start to its shutdown.
pub struct Runtime {
    handle: tokio::runtime::Handle,
    /// Taken by the shutdown. Only the shutdown drops it: a tokio runtime must not be dropped on
    /// one of its own workers.
    tokio: Mutex<Option<tokio::runtime::Runtime>>,
    live: Arc<Live>,
    closers: Arc<Closers>,
    dispatcher: Dispatcher,
}

/// The tasks that can be waited for.
struct Live {
    state: Mutex<LiveState>,
    emptied: Condvar,
}

struct LiveState {
    /// Whether new ones are taken.
    open: bool,
    next: u64,
    tasks: HashMap<u64, AbortHandle>,
}

impl Runtime {
    /// The runtime; started where none runs.
    ///
    /// # Errors
    /// [`ErrorKind::Shutdown`] while the process exits, [`ErrorKind::Resources`] where the system
    /// gives no threads, [`ErrorKind::Forked`] in the child of a process that has one. (One that
    /// is being stopped is returned, and refuses work itself.)
    pub fn current() -> Result<Arc<Runtime>> {
        process::check()?;
        let mut current = lock(&CURRENT);
        if let Some(runtime) = current.as_ref() {
            return Ok(Arc::clone(runtime));
        }
        if EXITED.load(Ordering::Acquire) {
            bail!(Shutdown, "the process is exiting");
        }
        // Before there are threads: a child of a fork in between must not start where they began.
        process::occupy();
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(MAX_BLOCKING)
            .thread_name("wks-worker")
            .enable_all()
            .build()
            .map_err(|e| {
                process::vacate();
                Error::new(ErrorKind::Resources, format!("the runtime cannot start: {e}"))
            })?;
        let runtime = Arc::new(Runtime {
            handle: tokio.handle().clone(),
            tokio: Mutex::new(Some(tokio)),
            live: Arc::new(Live {
                state: Mutex::new(LiveState { open: true, next: 0, tasks: HashMap::new() }),
                emptied: Condvar::new(),
            }),
            closers: Arc::new(Closers::default()),
            dispatcher: Dispatcher::new(),
        });
        *current = Some(Arc::clone(&runtime));
        Ok(runtime)
    }

    /// The one that runs now, if any does.
    pub(super) fn running() -> Option<Arc<Runtime>> {
        lock(&CURRENT).clone()
    }

    /// After this, the next use starts another one.
    pub(super) fn forget(&self) {
        let mut current = lock(&CURRENT);
        if current.as_ref().is_some_and(|c| std::ptr::eq(Arc::as_ptr(c), self)) {
            *current = None;
            process::vacate();
        }
    }

    /// After this, nothing starts one.
    pub(super) fn forbid_restart() {
        EXITED.store(true, Ordering::Release);
    }

    /// Whether work is still taken.
    pub fn is_open(&self) -> bool {
        lock(&self.live.state).open
    }

    /// The error of a runtime that takes no more work.
    fn closed() -> Error {
        Error::new(ErrorKind::Shutdown, "the library was shut down, or is about to be")
    }

    /// Refuses where a shutdown has begun: for calls that need no task, but whose object went with
    /// the shutdown.
    ///
    /// # Errors
    /// [`ErrorKind::Shutdown`].
    pub fn check_open(&self) -> Result<()> {
        if self.is_open() { Ok(()) } else { Err(Runtime::closed()) }
    }

    /// Starts a task that a shutdown will abort and wait for.
    pub(super) fn track<F>(&self, future: F) -> Result<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut state = lock(&self.live.state);
        if !state.open {
            return Err(Runtime::closed());
        }
        let id = state.next;
        state.next += 1;
        let seat = Seat { live: Arc::clone(&self.live), id };
        // Under the lock, so that a task that is done at once cannot leave before it is listed.
        let task = self.handle.spawn(Tracked { future: Box::pin(future), _seat: seat });
        state.tasks.insert(id, task.abort_handle());
        Ok(task)
    }

    /// Starts work that nobody waits for and that a shutdown does not abort before its
    /// [`Stage::Network`] closers have run: the orderly end of an object that was let go.
    pub fn detach<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if lock(&self.tokio).is_some() {
            drop(self.handle.spawn(future));
        }
    }

    /// Has `closer` called by a shutdown, unless the registration is dropped before.
    ///
    /// # Errors
    /// [`ErrorKind::Shutdown`] where the shutdown has begun.
    pub fn on_shutdown<F, R>(&self, stage: Stage, closer: F) -> Result<Registration>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.closers
            .register(stage, Box::new(move || Box::pin(closer())))
            .ok_or_else(Runtime::closed)
    }

    /// The thread for host callbacks.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    pub(super) fn closers(&self) -> &Closers {
        &self.closers
    }

    pub(super) fn handle(&self) -> &tokio::runtime::Handle {
        &self.handle
    }

    /// Takes no more work and aborts what there is.
    pub(super) fn abort_all(&self) {
        let mut state = lock(&self.live.state);
        state.open = false;
        // Aborting only marks the task, but may drop a future that never ran, whose seat needs
        // the lock: so call outside of it.
        let tasks: Vec<AbortHandle> = state.tasks.values().cloned().collect();
        drop(state);
        for task in tasks {
            task.abort();
        }
    }

    /// Waits until the futures of all tasks are dropped; tells how many were not by `deadline`.
    pub(super) fn wait_idle(&self, deadline: Instant) -> usize {
        let left = deadline.saturating_duration_since(Instant::now());
        let (state, _) = self
            .live
            .emptied
            .wait_timeout_while(lock(&self.live.state), left, |s| !s.tasks.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.tasks.len()
    }

    /// Ends the workers; those that do not end in time are left behind.
    pub(super) fn join_workers(&self, deadline: Instant) {
        let tokio = lock(&self.tokio).take();
        if let Some(tokio) = tokio {
            tokio.shutdown_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// A task's place in the list.
struct Seat {
    live: Arc<Live>,
    id: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = lock(&self.live.state);
        state.tasks.remove(&self.id);
        if state.tasks.is_empty() {
            self.live.emptied.notify_all();
        }
    }
}

/// A future with its seat; the seat goes last, when what the future held is gone.
struct Tracked<F> {
    future: Pin<Box<F>>,
    _seat: Seat,
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.future.as_mut().poll(cx)
    }
}
