//! One asynchronous operation, as a host sees it: it can be waited for, cancelled, attached to a
//! completion queue or a callback, and its result taken once.
//!
//! What must hold: it ends exactly once, whatever the races between its work, a cancel, a shutdown
//! and its owner letting it go; and what it is attached to hears of the end at most once, and never
//! after [`Op::abandon`] has returned (a callback that the dispatcher has taken up goes on).

use std::any::Any;
use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::{Completion, Job, Queue, Runtime, lock, on_dispatcher, panics};
use crate::error::{Error, ErrorKind, Result, bail};

/// What an operation gives; only who started it and who takes it know the type.
pub type Value = Box<dyn Any + Send>;

/// An operation. Clones are the same one.
#[derive(Clone)]
pub struct Op(Arc<Inner>);

/// Tells how far the work is: so much, of so much.
type Gauge = Box<dyn Fn() -> (u64, u64) + Send + Sync>;

struct Inner {
    runtime: Arc<Runtime>,
    gauge: OnceLock<Gauge>,
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    outcome: Outcome,
    sink: Sink,
    work: Option<AbortHandle>,
    abandoned: bool,
}

enum Outcome {
    Pending,
    Ended(Result<Value>),
    Taken,
}

/// Who is told of the end.
enum Sink {
    Nobody,
    Callback(Job),
    Queue(Arc<Queue>, Completion),
    /// There was one, and it was told or taken away. No other can be attached.
    Spent,
}

impl Op {
    /// Starts an operation that gives what `future` gives.
    ///
    /// # Errors
    /// [`ErrorKind::Shutdown`] where the runtime takes no more work.
    pub fn start<T, F>(runtime: &Arc<Runtime>, future: F) -> Result<Op>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Op::start_with(runtime, |completer| async move {
            let result = future.await;
            completer.complete_with(|| result.map(|v| Box::new(v) as Value));
        })
    }

    /// Starts an operation whose work completes it by itself: for results that must not be lost
    /// where a cancel comes in the last moment, see [`Completer::complete_with`].
    ///
    /// # Errors
    /// As for [`Op::start`].
    pub fn start_with<F>(runtime: &Arc<Runtime>, work: impl FnOnce(Completer) -> F) -> Result<Op>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let op = Op::new(runtime, Outcome::Pending);
        let last = Last(op.clone());
        let work = work(Completer(op.clone()));
        let task = runtime.track(async move {
            if let Err(panic) = panics::catch_async(work).await {
                last.0.end_with(|| Err(panic));
            }
            drop(last);
        })?;
        let mut state = lock(&op.0.state);
        if matches!(state.outcome, Outcome::Pending) {
            state.work = Some(task.abort_handle());
        }
        drop(state);
        Ok(op)
    }

    /// An operation that has ended already.
    pub fn ended<T: Send + 'static>(runtime: &Arc<Runtime>, result: Result<T>) -> Op {
        Op::new(runtime, Outcome::Ended(result.map(|v| Box::new(v) as Value)))
    }

    fn new(runtime: &Arc<Runtime>, outcome: Outcome) -> Op {
        Op(Arc::new(Inner {
            runtime: Arc::clone(runtime),
            gauge: OnceLock::new(),
            state: Mutex::new(State { outcome, sink: Sink::Nobody, work: None, abandoned: false }),
            ended: Condvar::new(),
        }))
    }

    /// Has `gauge` tell how far the work is. The first one stays.
    pub fn measure(&self, gauge: impl Fn() -> (u64, u64) + Send + Sync + 'static) {
        let _ = self.0.gauge.set(Box::new(gauge));
    }

    /// How far the work is: so much, of so much; zeros where nothing tells.
    pub fn progress(&self) -> (u64, u64) {
        self.0.gauge.get().map_or((0, 0), |gauge| gauge())
    }

    /// Ends it, if it has not ended; only then is `result` asked for, under the op's lock.
    fn end_with(&self, result: impl FnOnce() -> Result<Value>) {
        let mut state = lock(&self.0.state);
        if !matches!(state.outcome, Outcome::Pending) {
            return;
        }
        state.outcome = Outcome::Ended(result());
        let work = state.work.take();
        let queue = match &state.sink {
            Sink::Queue(..) => match std::mem::replace(&mut state.sink, Sink::Spent) {
                Sink::Queue(queue, completion) => Some((queue, completion)),
                _ => None,
            },
            _ => None,
        };
        let call = matches!(state.sink, Sink::Callback(_));
        drop(state);
        self.0.ended.notify_all();
        drop(work);
        if let Some((queue, completion)) = queue {
            queue.push(self.clone(), completion);
        }
        if call && !self.post_callback() {
            // Work that a shutdown did not wait for: the dispatcher is gone.
            drop(self.take_sink());
        }
    }

    /// The callback stays with the op until the dispatcher comes for it, so that letting the op go
    /// before that takes it away. Tells whether the dispatcher will.
    fn post_callback(&self) -> bool {
        let op = self.clone();
        self.0.runtime.dispatcher().post(Box::new(move || {
            if let Sink::Callback(callback) = op.take_sink() {
                callback();
            }
        }))
    }

    fn take_sink(&self) -> Sink {
        std::mem::replace(&mut lock(&self.0.state).sink, Sink::Spent)
    }

    /// Waits until it has ended, well or not.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] where it has not by then (`None`: without limit);
    /// [`ErrorKind::WouldDeadlock`] from a callback.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        if on_dispatcher() {
            bail!(WouldDeadlock, "a callback cannot wait for an operation: attach it to something");
        }
        let pending = |s: &mut State| matches!(s.outcome, Outcome::Pending);
        let state = lock(&self.0.state);
        let state = match timeout {
            None => self.0.ended.wait_while(state, pending),
            Some(t) => match self.0.ended.wait_timeout_while(state, t, pending) {
                Ok((state, _)) => Ok(state),
                Err(poison) => Ok(poison.into_inner().0),
            },
        }
        .unwrap_or_else(PoisonError::into_inner);
        if matches!(state.outcome, Outcome::Pending) {
            bail!(TimedOut, "the operation has not ended yet; it goes on");
        }
        Ok(())
    }

    /// How it ended.
    ///
    /// # Errors
    /// [`ErrorKind::NotReady`] where it has not; else the operation's own error.
    pub fn status(&self) -> Result<()> {
        match &lock(&self.0.state).outcome {
            Outcome::Pending => Err(not_ready()),
            Outcome::Ended(Err(error)) => Err(error.clone()),
            Outcome::Ended(Ok(_)) | Outcome::Taken => Ok(()),
        }
    }

    /// Ends it as cancelled, unless it has ended. Does not block; any number of times.
    pub fn cancel(&self) {
        let work = lock(&self.0.state).work.take();
        self.end_with(|| Err(cancelled()));
        if let Some(work) = work {
            work.abort();
        }
    }

    /// Takes the result, once.
    ///
    /// # Errors
    /// [`ErrorKind::NotReady`]; the operation's own error (any number of times);
    /// [`ErrorKind::NoResult`] where the result is of another type, and stays, or was taken.
    pub fn take<T: Send + 'static>(&self) -> Result<T> {
        let mut state = lock(&self.0.state);
        match std::mem::replace(&mut state.outcome, Outcome::Taken) {
            Outcome::Ended(Ok(value)) => match value.downcast::<T>() {
                Ok(value) => Ok(*value),
                Err(value) => {
                    state.outcome = Outcome::Ended(Ok(value));
                    bail!(NoResult, "the operation's result is of another type")
                }
            },
            Outcome::Ended(Err(error)) => {
                state.outcome = Outcome::Ended(Err(error.clone()));
                Err(error)
            }
            Outcome::Pending => {
                state.outcome = Outcome::Pending;
                Err(not_ready())
            }
            Outcome::Taken => {
                bail!(NoResult, "the operation's result was taken already")
            }
        }
    }

    /// Has the dispatcher call back once the operation has ended; at once where it has.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] where something was attached before, and as for
    /// [`super::Dispatcher::start`]. The callback is dropped then.
    pub fn attach_callback(&self, callback: Job) -> Result<()> {
        self.0.runtime.dispatcher().start()?;
        self.register(callback)
    }

    fn register(&self, callback: Job) -> Result<()> {
        if self.attach(Sink::Callback(callback))? && !self.post_callback() {
            // A shutdown came in between.
            drop(self.take_sink());
            bail!(Shutdown, "the library was shut down: no callback can be registered");
        }
        Ok(())
    }

    /// Has the queue told once the operation has ended; at once where it has.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] where something was attached before; [`ErrorKind::Shutdown`]
    /// where the queue outlived a shutdown: its wake hook would never be called.
    pub fn attach_queue(&self, queue: &Arc<Queue>, completion: Completion) -> Result<()> {
        queue.check_open()?;
        if self.attach(Sink::Queue(Arc::clone(queue), completion))? {
            let _ = self.take_sink();
            queue.push(self.clone(), completion);
        }
        Ok(())
    }

    /// Tells whether the operation has ended before, so that the caller tells the sink.
    fn attach(&self, sink: Sink) -> Result<bool> {
        let mut state = lock(&self.0.state);
        if !matches!(state.sink, Sink::Nobody) {
            // Dropping a callback calls out to the host.
            drop(state);
            drop(sink);
            bail!(InvalidArgument, "the operation is attached to a callback or a queue already");
        }
        state.sink = sink;
        Ok(!matches!(state.outcome, Outcome::Pending))
    }

    /// Cancels it, cuts it off from what it is attached to (nothing there hears of it after, but
    /// a callback that the dispatcher has taken up goes on) and drops a result that was not taken:
    /// a queue may keep the op itself for long.
    pub fn abandon(&self) {
        let mut state = lock(&self.0.state);
        state.abandoned = true;
        let sink = std::mem::replace(&mut state.sink, Sink::Spent);
        drop(state);
        drop(sink);
        // After this it has ended, with a result or with none.
        self.cancel();
        let mut state = lock(&self.0.state);
        let value = match &state.outcome {
            Outcome::Ended(Ok(_)) => Some(std::mem::replace(&mut state.outcome, Outcome::Taken)),
            _ => None,
        };
        // A result may take its time to go.
        drop(state);
        drop(value);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        lock(&self.0.state).abandoned
    }
}

fn not_ready() -> Error {
    Error::new(ErrorKind::NotReady, "the operation has not ended yet")
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the operation was cancelled")
}

/// The working side of an [`Op`]. Work that ends without completing it ends it as cancelled.
pub struct Completer(Op);

impl Completer {
    /// Ends the operation with what `result` gives. `result` is not called where the operation has
    /// ended before, by a cancel say: what it would have moved out stays where it is. It is called
    /// under the op's lock and must not call out.
    pub fn complete_with(&self, result: impl FnOnce() -> Result<Value>) {
        self.0.end_with(result);
    }
}

/// Goes with the task: an op whose work was aborted has ended all the same.
struct Last(Op);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.end_with(|| Err(cancelled()));
    }
}

#[cfg(test)]
mod tests;
