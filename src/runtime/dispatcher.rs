//! The one thread that runs host callbacks, in order.
//!
//! It starts with the first callback that is registered. It is never a worker of the runtime, so
//! a callback may take its time; and it knows itself, so that what would wait for it from inside a
//! callback is refused instead.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::{lock, panics};
use crate::error::{Error, ErrorKind, Result, bail};

thread_local! {
    static HERE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a dispatcher's thread, or one that runs a host's code by [`as_callback`]: whether
/// the caller is a callback.
pub fn on_dispatcher() -> bool {
    HERE.with(Cell::get)
}

/// Runs a host's code on a thread that is not the dispatcher's (an archive's, which waits for it).
/// The same holds for it as for a callback: what would wait is refused.
pub fn as_callback<T>(hosts: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            HERE.with(|h| h.set(self.0));
        }
    }
    let _back = Back(HERE.with(|h| h.replace(true)));
    hosts()
}

/// One callback.
pub type Job = Box<dyn FnOnce() + Send>;

/// A queue of callbacks and the thread that runs them. Its length is bounded by what can post: one
/// job an op, one a queue.
pub struct Dispatcher(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    thread: Thread,
    /// No more jobs are taken; those that wait are run.
    closing: bool,
    /// Jobs are not run any more.
    mute: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    NotStarted,
    Running,
    Ended,
}

impl Dispatcher {
    pub(super) fn new() -> Self {
        Dispatcher(Arc::new(Shared {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                thread: Thread::NotStarted,
                closing: false,
                mute: false,
            }),
            changed: Condvar::new(),
        }))
    }

    /// Starts the thread, so that a later [`Dispatcher::post`] cannot fail for want of it.
    ///
    /// # Errors
    /// [`ErrorKind::Resources`] where the system gives no thread, [`ErrorKind::Shutdown`] after a
    /// shutdown.
    pub fn start(&self) -> Result<()> {
        let mut state = lock(&self.0.state);
        if state.closing {
            bail!(Shutdown, "the library was shut down: no callback can be registered");
        }
        if state.thread == Thread::NotStarted {
            let shared = Arc::clone(&self.0);
            std::thread::Builder::new()
                .name("wks-dispatcher".into())
                .spawn(move || shared.work())
                .map_err(|e| {
                    Error::new(ErrorKind::Resources, format!("no thread for callbacks: {e}"))
                })?;
            state.thread = Thread::Running;
        }
        Ok(())
    }

    /// Has a job run after all that were posted before, and tells that it took it. Call
    /// [`Dispatcher::start`] first. Where the dispatcher has ended already, the job is dropped;
    /// where it is muted, the job is taken, and neither run nor dropped.
    pub fn post(&self, job: Job) -> bool {
        let mut state = lock(&self.0.state);
        if state.mute {
            std::mem::forget(job);
            return true;
        }
        if state.thread == Thread::Running {
            state.jobs.push_back(job);
            drop(state);
            self.0.changed.notify_all();
            return true;
        }
        // Dropping a job calls out to the host.
        drop(state);
        drop(job);
        false
    }

    /// Runs what waits and ends the thread; tells whether that was done by `deadline`. Muted
    /// meanwhile, it waits no more.
    pub(super) fn drain(&self, deadline: Instant) -> bool {
        let mut state = lock(&self.0.state);
        state.closing = true;
        self.0.changed.notify_all();
        let left = deadline.saturating_duration_since(Instant::now());
        let (state, _) = self
            .0
            .changed
            .wait_timeout_while(state, left, |s| s.thread == Thread::Running && !s.mute)
            .unwrap_or_else(PoisonError::into_inner);
        state.thread != Thread::Running
    }

    /// From now on runs and drops no job: the host is being torn down. One that runs goes on.
    pub(super) fn mute(&self) {
        let mut state = lock(&self.0.state);
        state.closing = true;
        state.mute = true;
        std::mem::take(&mut state.jobs).into_iter().for_each(std::mem::forget);
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        HERE.with(|h| h.set(true));
        let mut state = lock(&self.state);
        loop {
            if state.mute {
                std::mem::take(&mut state.jobs).into_iter().for_each(std::mem::forget);
            }
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A callback that is ours and panics must not take the others with it.
                let _ = panics::catch(job);
                state = lock(&self.state);
            } else if state.closing {
                break;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        state.thread = Thread::Ended;
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn runs_in_order_on_its_own_thread_and_drains() {
        let d = Dispatcher::new();
        d.start().unwrap();
        let (tx, rx) = mpsc::channel();
        for i in 0..100 {
            let tx = tx.clone();
            assert!(d.post(Box::new(move || tx.send((i, on_dispatcher())).unwrap())));
        }
        assert!(d.drain(soon()));
        assert_eq!(
            rx.try_iter().collect::<Vec<_>>(),
            (0..100).map(|i| (i, true)).collect::<Vec<_>>()
        );
        assert!(!on_dispatcher());
        assert_eq!(d.start().unwrap_err().kind(), ErrorKind::Shutdown);
        assert!(!d.post(Box::new(move || tx.send((0, true)).unwrap())));
        assert!(rx.recv().is_err(), "a job after the end is dropped");
    }

    #[test]
    fn a_panic_is_not_the_end() {
        panics::silence();
        let d = Dispatcher::new();
        d.start().unwrap();
        d.post(Box::new(panics::tests::blow_up));
        let (tx, rx) = mpsc::channel();
        d.post(Box::new(move || tx.send(1).unwrap()));
        assert_eq!(rx.recv_timeout(Duration::from_secs(10)), Ok(1));
        assert!(d.drain(soon()));
    }

    #[test]
    fn muted_it_runs_nothing() {
        let d = Dispatcher::new();
        d.start().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let (tx, rx) = mpsc::channel();
        d.post(Box::new(move || wait.recv().unwrap()));
        d.post(Box::new(move || tx.send(1).unwrap()));
        d.mute();
        assert!(!d.drain(soon()), "it does not wait for a callback that does not return");
        go.send(()).unwrap();
        while lock(&d.0.state).thread == Thread::Running {
            std::thread::yield_now();
        }
        assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Empty), "neither run nor dropped");
    }
}
