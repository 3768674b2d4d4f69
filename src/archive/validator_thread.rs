//! A host's validator on a thread of its own, with a limit of time: for code that nobody here can
//! vouch for, a callback into another language above all.
//!
//! What must hold: the archive's writer never waits for the host beyond the limit, whatever the
//! host does; the validator is called by one thread, one batch after the other; nothing is called
//! valid that it did not call valid in time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::validator::{Validator, Validity};
use super::worker;
use crate::types::{Origin, StoredMessage};

/// A [`Validator`] that calls another one on a thread of its own, which starts with the first batch
/// and ends with this.
///
/// Where the other does not answer in time, the batch is [`Validity::Unknown`]: each message is
/// refused with [`crate::ErrorKind::Busy`], and may be put again. The call itself cannot be taken
/// back. Until it has returned, further batches are answered in the same way, at once.
///
/// It may serve several archives; the other validator still sees one batch at a time.
pub struct ValidatorThread {
    inner: Arc<dyn Validator>,
    limit: Option<Duration>,
    lane: Mutex<Lane>,
}

/// What a batch came to: the answers, or the panic.
type Answer = thread::Result<Vec<Validity>>;

/// One batch. It holds the validator, so that an idle thread holds nothing of the host's.
struct Job {
    inner: Arc<dyn Validator>,
    batch: Vec<StoredMessage>,
    origin: Origin,
    reply: SyncSender<Answer>,
}

#[derive(Default)]
struct Lane {
    thread: Option<(Sender<Job>, JoinHandle<()>)>,
    /// The answer of a call that took too long, until it comes.
    overdue: Option<Receiver<Answer>>,
}

impl ValidatorThread {
    /// Has `inner` called on a thread, and waits for each batch no longer than `limit`; without
    /// one, for as long as it takes.
    pub fn new(inner: Arc<dyn Validator>, limit: Option<Duration>) -> Self {
        ValidatorThread { inner, limit, lane: Mutex::default() }
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batch's answers, or why there are none.
    fn ask(&self, batch: &[StoredMessage], origin: Origin) -> Result<Answer, String> {
        // Held while the validator is waited for: that is what makes others take their turn.
        let mut lane = self.lane();
        if lane.is_overdue() {
            return Err("the validator is still busy with an earlier batch".to_owned());
        }
        let (reply, answer) = mpsc::sync_channel(1);
        let inner = Arc::clone(&self.inner);
        lane.send(Job { inner, batch: batch.to_vec(), origin, reply })?;
        let answered = match self.limit {
            None => answer.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(limit) => answer.recv_timeout(limit),
        };
        answered.map_err(|e| match (e, self.limit) {
            (RecvTimeoutError::Timeout, Some(limit)) => {
                lane.overdue = Some(answer);
                format!("the validator did not answer within {limit:?}")
            }
            _ => "the validator's thread has ended".to_owned(),
        })
    }
}

impl Validator for ValidatorThread {
    fn validate(&self, batch: &[StoredMessage], origin: Origin) -> Vec<Validity> {
        match self.ask(batch, origin) {
            Ok(Ok(answers)) => answers,
            // The archive knows what to do with a panic.
            Ok(Err(panic)) => resume_unwind(panic),
            Err(why) => vec![Validity::Unknown(why); batch.len()],
        }
    }
}

impl Lane {
    fn is_overdue(&mut self) -> bool {
        let Some(answer) = &self.overdue else { return false };
        if matches!(answer.try_recv(), Err(TryRecvError::Empty)) {
            return true;
        }
        self.overdue = None;
        false
    }

    fn send(&mut self, job: Job) -> Result<(), String> {
        if self.thread.is_none() {
            let (jobs, to_do) = channel();
            let thread = thread::Builder::new()
                .name("wks-validator".into())
                .spawn(move || work(&to_do))
                .map_err(|e| format!("no thread for the validator: {e}"))?;
            self.thread = Some((jobs, thread));
        }
        match &self.thread {
            Some((jobs, _)) if jobs.send(job).is_ok() => Ok(()),
            _ => Err("the validator's thread has ended".to_owned()),
        }
    }
}

/// The body of the thread.
fn work(jobs: &Receiver<Job>) {
    // The host's code is called here: it must not wait for the archive, which waits for it.
    worker::join_archive_threads();
    for Job { inner, batch, origin, reply } in jobs {
        let answer = catch_unwind(AssertUnwindSafe(|| inner.validate(&batch, origin)));
        // Before the answer: whoever has it may count on nothing being in use any more. The last
        // to let go runs the host's code.
        worker::quietly(|| drop((inner, batch)));
        // Nobody listens where this comes too late and the archive is gone.
        let _ = reply.send(answer);
    }
}

impl Drop for ValidatorThread {
    /// Waits for the thread, which is idle, but for one that is overdue: that one is left behind,
    /// and lets go of the validator when it returns.
    fn drop(&mut self) {
        let mut lane = self.lane();
        let overdue = lane.is_overdue();
        let Some((jobs, thread)) = lane.thread.take() else { return };
        drop(jobs);
        if !overdue && thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}
