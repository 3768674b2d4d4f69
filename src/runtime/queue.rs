//! A completion queue: the ends of ops, for a host that picks them up on a thread of its own.
//!
//! Its descriptor is readable while it holds something. Its length is bounded by the ops that are
//! attached to it, one entry each.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex};

use super::signal::Signal;
use super::{Op, Runtime, lock};
use crate::error::{Result, bail};

/// One op that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The op, by the number that the host knows it by.
    pub op: u64,
    /// What the host attached with it.
    pub user: u64,
}

/// Called on the dispatcher's thread when something comes into an empty queue.
pub type WakeHook = Box<dyn Fn() + Send + Sync>;

/// The queue.
pub struct Queue {
    runtime: Arc<Runtime>,
    signal: Signal,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<(Op, Completion)>,
    wake: Option<Arc<WakeHook>>,
    closed: bool,
}

impl Queue {
    /// An empty one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Resources`] where the system gives no descriptor.
    pub fn new(runtime: &Arc<Runtime>) -> Result<Arc<Queue>> {
        Ok(Arc::new(Queue {
            runtime: Arc::clone(runtime),
            signal: Signal::new()?,
            state: Mutex::default(),
        }))
    }

    /// The descriptor that is readable while [`Queue::poll`] has something to give. It stays the
    /// queue's own: for poll, select and their kin alone.
    pub fn fd(&self) -> RawFd {
        self.signal.fd().as_raw_fd()
    }

    /// Takes up to `max` ends, the oldest first. Ops that were let go meanwhile are left out.
    pub fn poll(&self, max: usize) -> Vec<Completion> {
        let mut out = Vec::new();
        let mut gone = Vec::new();
        let mut state = lock(&self.state);
        let before = !state.ready.is_empty();
        while out.len() < max {
            let Some((op, completion)) = state.ready.pop_front() else { break };
            if !op.is_abandoned() {
                out.push(completion);
            }
            // The last reference may drop a result, which may take its time.
            gone.push(op);
        }
        if before && state.ready.is_empty() {
            self.signal.lower();
        }
        drop(state);
        out
    }

    /// Has `hook` called when something comes into the empty queue; at once where something is in
    /// it. `None` takes the one before away: it will not be called again (a call that the
    /// dispatcher has taken up goes on).
    ///
    /// # Errors
    /// As for [`super::Dispatcher::start`]; [`crate::ErrorKind::Shutdown`] where the queue is closed.
    pub fn set_wake(self: &Arc<Self>, hook: Option<WakeHook>) -> Result<()> {
        if hook.is_some() {
            self.runtime.dispatcher().start()?;
        }
        let mut state = lock(&self.state);
        if state.closed {
            drop(state);
            drop(hook);
            bail!(Shutdown, "the queue is closed");
        }
        let before = std::mem::replace(&mut state.wake, hook.map(Arc::new));
        let now = state.wake.is_some() && !state.ready.is_empty();
        drop(state);
        drop(before);
        if now {
            self.post_wake();
        }
        Ok(())
    }

    /// Refuses where its runtime was shut down, and with it the dispatcher of its hook.
    pub(super) fn check_open(&self) -> Result<()> {
        if !self.runtime.is_open() {
            bail!(Shutdown, "the queue is of before a shutdown: make another one");
        }
        Ok(())
    }

    /// Forgets its entries and takes no more. The ops go on.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let ready = std::mem::take(&mut state.ready);
        let wake = state.wake.take();
        if !ready.is_empty() {
            self.signal.lower();
        }
        drop(state);
        drop((ready, wake));
    }

    /// Takes the end of an op in.
    pub(super) fn push(self: &Arc<Self>, op: Op, completion: Completion) {
        let mut state = lock(&self.state);
        if state.closed {
            drop(state);
            drop(op);
            return;
        }
        state.ready.push_back((op, completion));
        let first = state.ready.len() == 1;
        if first {
            self.signal.raise();
        }
        let wake = first && state.wake.is_some();
        drop(state);
        if wake {
            self.post_wake();
        }
    }

    fn post_wake(self: &Arc<Self>) {
        let queue = Arc::clone(self);
        self.runtime.dispatcher().post(Box::new(move || {
            let hook = lock(&queue.state).wake.clone();
            if let Some(hook) = hook {
                hook();
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::runtime::shutdown::tests::serial;

    fn never(runtime: &Arc<Runtime>) -> Op {
        Op::start(runtime, std::future::pending::<Result<()>>()).unwrap()
    }

    #[test]
    fn gives_the_ends_in_order_but_not_of_what_was_let_go() {
        let _serial = serial();
        let runtime = Runtime::current().unwrap();
        let queue = Queue::new(&runtime).unwrap();
        let ops: Vec<Op> = (0..6).map(|_| never(&runtime)).collect();
        for (i, op) in (0..).zip(&ops) {
            op.attach_queue(&queue, Completion { op: i, user: i * 10 }).unwrap();
        }
        assert_eq!(queue.poll(10), []);
        ops[4].abandon();
        for i in [3, 1, 2, 5] {
            ops[i].cancel();
        }
        ops[2].abandon();
        let seen = queue.poll(2);
        assert_eq!(seen, [Completion { op: 3, user: 30 }, Completion { op: 1, user: 10 }]);
        assert_eq!(queue.poll(2), [Completion { op: 5, user: 50 }]);
        let done = Op::ended::<()>(&runtime, Err(Error::new(ErrorKind::Dial, "")));
        done.attach_queue(&queue, Completion { op: 9, user: 0 }).unwrap();
        let twice = done.attach_queue(&queue, Completion { op: 9, user: 0 }).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::InvalidArgument);
        assert_eq!(queue.poll(2), [Completion { op: 9, user: 0 }]);
        queue.close();
        ops[0].cancel();
        assert_eq!(queue.poll(2), []);
    }

    #[test]
    fn an_op_that_is_let_go_takes_its_result_along() {
        let _serial = serial();
        let runtime = Runtime::current().unwrap();
        let queue = Queue::new(&runtime).unwrap();
        let held = Arc::new(());
        let op = Op::ended(&runtime, Ok(Arc::clone(&held)));
        op.attach_queue(&queue, Completion { op: 1, user: 0 }).unwrap();
        assert_eq!(Arc::strong_count(&held), 2);
        op.abandon();
        assert_eq!(Arc::strong_count(&held), 1, "though the queue was not polled");
        assert_eq!(op.take::<Arc<()>>().err().map(|e| e.kind()), Some(ErrorKind::NoResult));
        assert_eq!(queue.poll(1), []);
    }

    #[test]
    fn one_that_outlived_a_shutdown_takes_nothing() {
        let _serial = serial();
        let runtime = Runtime::current().unwrap();
        let queue = Queue::new(&runtime).unwrap();
        queue.set_wake(Some(Box::new(|| {}))).unwrap();
        crate::runtime::shutdown(Duration::from_secs(10)).unwrap();
        for of in [&runtime, &Runtime::current().unwrap()] {
            let op = Op::ended(of, Ok(()));
            let e = op.attach_queue(&queue, Completion { op: 1, user: 0 }).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Shutdown);
            assert_eq!(queue.poll(1), []);
            // The op is as it was: another queue may have it.
            let other = Queue::new(&Runtime::current().unwrap()).unwrap();
            op.attach_queue(&other, Completion { op: 2, user: 0 }).unwrap();
            assert_eq!(other.poll(1), [Completion { op: 2, user: 0 }]);
        }
    }

    #[test]
    fn wakes_once_for_each_time_it_was_empty() {
        let _serial = serial();
        let runtime = Runtime::current().unwrap();
        let queue = Queue::new(&runtime).unwrap();
        let (tx, rx) = mpsc::channel();
        let here = Arc::clone(&queue);
        let hook = move || tx.send(here.poll(10).len()).unwrap();
        for _ in 0..3 {
            let op = never(&runtime);
            op.attach_queue(&queue, Completion { op: 1, user: 0 }).unwrap();
            op.cancel();
        }
        queue.set_wake(Some(Box::new(hook))).unwrap();
        assert_eq!(rx.recv_timeout(Duration::from_secs(10)), Ok(3), "at once, with what is there");
        let op = never(&runtime);
        op.attach_queue(&queue, Completion { op: 1, user: 0 }).unwrap();
        op.cancel();
        assert_eq!(rx.recv_timeout(Duration::from_secs(10)), Ok(1));
        queue.close();
        assert!(rx.recv_timeout(Duration::from_secs(10)).is_err(), "the hook is dropped");
        let e = queue.set_wake(Some(Box::new(|| {}))).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Shutdown);
    }
}
