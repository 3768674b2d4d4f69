//! What waits for the archive's threads: puts for the writer, questions for the readers.
//!
//! Both are bounded. A caller is never blocked: what does not fit is answered at once. After
//! [`Queue::close`] nothing is taken in, and the puts that were accepted are still handed out.
//!
//! The drivers that read lie here too, at their desks, while none of them is in use: a reader's
//! thread takes one with each question, and so does whoever blocks for an answer anyway, which
//! spares the way to another thread and back. Waking a thread is a call of the system's: none is
//! woken that is not asleep, and the writer not before there is what it sleeps for.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::PutOutcome;
use super::pending::Reply;
use super::pump::Join;
use super::suspend::{Turn, suspended};
use super::worker::{Desk, quietly};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{MessageHash, Origin, StoredMessage};

/// The most questions that wait for a reader.
pub(super) const MAX_QUEUED_READS: usize = 1_024;
/// A group of puts is closed once it holds so many messages, or so many bytes. A single put may be
/// larger; it is then a group of its own.
const MAX_GROUP_MESSAGES: usize = 4_096;
const MAX_GROUP_BYTES: usize = 8 * 1024 * 1024;
/// The most calls for removals that wait for the writer.
const MAX_QUEUED_REMOVALS: usize = 64;
/// The longest that a group is waited for.
const MAX_PATIENCE: Duration = Duration::from_millis(1);
/// The most subscribers from a position on that wait for the writer.
const MAX_QUEUED_JOINS: usize = 1_024;
/// Questions that the writer answers between two groups, where it has to read too.
const READS_BETWEEN_GROUPS: usize = 32;

/// One put that waits for its commit.
pub(super) struct Put {
    /// What passed the rules.
    pub(super) messages: Vec<StoredMessage>,
    pub(super) origin: Origin,
    /// One for each message of the put; those that passed are to be filled in.
    pub(super) outcomes: Vec<PutOutcome>,
    /// What `messages` count for in the queue.
    pub(super) bytes: usize,
    /// When it came.
    pub(super) since: Instant,
    pub(super) reply: Reply<Vec<PutOutcome>>,
}

/// Messages that are to be taken down, or are to be no more.
pub(super) struct Remove {
    pub(super) hashes: Vec<MessageHash>,
    /// Lifts their tombstones instead.
    pub(super) lift: bool,
    pub(super) reply: Reply<u64>,
}

/// A question: it asks the driver at the desk and answers.
pub(super) type Read = Box<dyn FnOnce(&mut Desk) + Send>;

/// A question that waits.
struct Waiting {
    read: Read,
    /// A subscriber's: it waits for the resumption of a suspended archive too.
    of_feed: bool,
}

/// Those whose puts were just committed together: mostly they come again, all at once.
#[derive(Clone, Copy)]
pub(super) struct Company {
    pub(super) puts: usize,
    /// How long to wait for them.
    pub(super) patience: Duration,
}

impl Company {
    /// `puts` were committed together, which took so long. Waiting for them is worth a part of
    /// that: what is committed together is written, and made durable, once.
    pub(super) fn of(puts: usize, took: Duration) -> Option<Self> {
        let patience = (took / 2).min(MAX_PATIENCE);
        (puts > 1).then_some(Company { puts, patience })
    }
}

/// What the writer does next.
pub(super) struct Work {
    /// Subscribers to be taken in, before anything else.
    pub(super) joins: Vec<Join>,
    /// To be committed together; may be empty.
    pub(super) puts: Vec<Put>,
    /// To be taken down, after the puts.
    pub(super) removals: Vec<Remove>,
    /// To be answered; empty unless the writer reads too.
    pub(super) reads: Vec<Read>,
    /// To suspend or to resume, when all that was accepted before is done.
    pub(super) turn: Option<Turn>,
}

pub(super) struct Queue {
    state: Mutex<State>,
    for_writer: Condvar,
    for_readers: Condvar,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    puts: VecDeque<Put>,
    removals: VecDeque<Remove>,
    reads: VecDeque<Waiting>,
    turns: VecDeque<Turn>,
    /// Nothing is taken in but what follows something earlier.
    suspended: bool,
    /// The writer is asleep until so many puts are there.
    writer_wants: Option<usize>,
    /// Reader threads that are asleep.
    asleep: usize,
    /// Desks that nobody uses.
    idle: Vec<Desk>,
    /// Desks that somebody uses.
    lent: usize,
    joins: Vec<Join>,
    /// The writer is to look up once, even with nothing to do.
    nudged: bool,
    /// Of the puts that wait and of the group that is being committed.
    bytes: usize,
    closed: bool,
    /// Reader threads; without any the writer reads.
    readers: usize,
}

impl Queue {
    pub(super) fn new(max_bytes: usize) -> Self {
        Queue {
            state: Mutex::default(),
            for_writer: Condvar::new(),
            for_readers: Condvar::new(),
            max_bytes,
        }
    }

    /// What waits: puts, their bytes, questions, removals.
    pub(super) fn waiting(&self) -> (usize, usize, usize, usize) {
        let state = self.lock();
        (state.puts.len(), state.bytes, state.reads.len(), state.removals.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a put in. One that finds nothing waiting is taken whatever its size.
    pub(super) fn push_put(&self, put: Put) -> Result<()> {
        let mut state = self.lock();
        state.check_open()?;
        let bytes = state.bytes.saturating_add(put.bytes);
        if state.bytes > 0 && bytes > self.max_bytes {
            bail!(
                Busy,
                "{} bytes of messages wait to be committed, at most {} may: try again later",
                state.bytes,
                self.max_bytes
            );
        }
        state.bytes = bytes;
        state.puts.push_back(put);
        let wake = state.writer_wants.is_some_and(|puts| state.puts.len() >= puts);
        if wake {
            state.writer_wants = None;
        }
        drop(state);
        if wake {
            self.for_writer.notify_all();
        }
        Ok(())
    }

    /// Takes a question in.
    pub(super) fn push_read(&self, read: Read) -> Result<()> {
        let state = self.lock();
        state.check_open()?;
        if state.reads.len() >= MAX_QUEUED_READS {
            bail!(
                Busy,
                "{MAX_QUEUED_READS} questions wait for the archive already: try again later"
            );
        }
        self.take_in(state, Waiting { read, of_feed: false });
        Ok(())
    }

    fn take_in(&self, mut state: MutexGuard<'_, State>, waiting: Waiting) {
        state.reads.push_back(waiting);
        let wake = match (state.readers, state.asleep) {
            (0, _) => Some(&self.for_writer),
            (_, 0) => None,
            _ => Some(&self.for_readers),
        };
        drop(state);
        if let Some(wake) = wake {
            wake.notify_one();
        }
    }

    /// A desk for a question that did not wait here, if one is idle and no question waits for it;
    /// [`Queue::give_back`] is to follow.
    pub(super) fn lend(&self) -> Result<Option<Desk>> {
        let mut state = self.lock();
        state.check_open()?;
        if !state.reads.is_empty() {
            return Ok(None);
        }
        Ok(state.lend())
    }

    /// A desk comes back, or is new.
    pub(super) fn give_back(&self, desk: Desk) {
        let mut state = self.lock();
        state.idle.push(desk);
        state.lent = state.lent.saturating_sub(1);
        let (more, closed) =
            (!state.reads.is_empty() && state.asleep > 0, state.closed || state.suspended);
        drop(state);
        if more {
            self.for_readers.notify_one();
        }
        if closed {
            self.for_writer.notify_all();
        }
    }

    /// Takes in a question that follows another, of which each subscriber has one at the most.
    pub(super) fn push_read_on(&self, read: Read) -> Result<()> {
        let state = self.lock();
        state.check_not_closed()?;
        self.take_in(state, Waiting { read, of_feed: true });
        Ok(())
    }

    /// Takes a subscriber from a position on in.
    pub(super) fn push_join(&self, join: Join) -> Result<()> {
        let mut state = self.lock();
        state.check_open()?;
        if state.joins.len() >= MAX_QUEUED_JOINS {
            bail!(Busy, "{MAX_QUEUED_JOINS} subscribers wait for the archive: try again later");
        }
        state.joins.push(join);
        drop(state);
        self.for_writer.notify_all();
        Ok(())
    }

    /// Has the writer look up, where it sleeps.
    pub(super) fn nudge(&self) {
        self.lock().nudged = true;
        self.for_writer.notify_all();
    }

    pub(super) fn check_open(&self) -> Result<()> {
        self.lock().check_open()
    }

    /// Takes a removal in.
    pub(super) fn push_removal(&self, removal: Remove) -> Result<()> {
        let mut state = self.lock();
        state.check_open()?;
        if state.removals.len() >= MAX_QUEUED_REMOVALS {
            bail!(Busy, "{MAX_QUEUED_REMOVALS} removals wait for the archive: try again later");
        }
        state.removals.push_back(removal);
        drop(state);
        self.for_writer.notify_all();
        Ok(())
    }

    /// What the writer does next; blocks until there is something, or for as long as its patience
    /// lasts. `None` at the end. Where `company` is expected, a group is held open for it a little.
    pub(super) fn next_work(
        &self,
        reads_too: bool,
        patience: Option<Duration>,
        company: Option<Company>,
    ) -> Option<Work> {
        let until = patience.map(|patience| Instant::now() + patience);
        let mut state = self.lock();
        if let Some(company) = company {
            state = self.gather(state, reads_too, company);
        }
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let work =
                !state.puts.is_empty() || !state.removals.is_empty() || !state.joins.is_empty();
            let waits =
                work || !state.turns.is_empty() && !state.closed || state.nudged && !state.closed;
            let reads_too = reads_too && !state.suspended;
            // Once it is closed, housekeeping keeps nobody waiting.
            let idle = left.is_some_and(|left| left.is_zero()) && !state.closed;
            if waits || idle || (reads_too && !state.reads.is_empty()) {
                state.nudged = false;
                let joins = std::mem::take(&mut state.joins);
                let puts = state.take_group();
                let removals = state.removals.drain(..).collect();
                let count = if reads_too { READS_BETWEEN_GROUPS } else { 0 };
                let count = count.min(state.reads.len());
                let reads = state.reads.drain(..count).map(|waits| waits.read).collect();
                let turn = if work { None } else { state.turns.pop_front() };
                return Some(Work { joins, puts, removals, reads, turn });
            }
            if state.closed {
                return None;
            }
            state.writer_wants = Some(1);
            state = match left {
                Some(left) => {
                    let waited = self.for_writer.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.for_writer.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.writer_wants = None;
        }
    }

    /// Waits until as many puts are there as were committed together, or for as long as that is
    /// worth; nothing else is kept waiting.
    fn gather<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        reads_too: bool,
        company: Company,
    ) -> MutexGuard<'a, State> {
        let until = Instant::now() + company.patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let alone = state.removals.is_empty()
                && state.joins.is_empty()
                && !state.nudged
                && (!reads_too || state.reads.is_empty());
            if state.puts.len() >= company.puts || !alone || state.closed || left.is_zero() {
                return state;
            }
            state.writer_wants = Some(company.puts);
            let waited = self.for_writer.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.writer_wants = None;
        }
    }

    /// The next question for a reader, with the desk to ask it at; blocks until there is one.
    /// `None` at the end. [`Queue::give_back`] is to follow.
    pub(super) fn next_read(&self) -> Option<(Read, Desk)> {
        let mut state = self.lock();
        loop {
            if !state.reads.is_empty()
                && let Some(desk) = state.lend()
            {
                return state.reads.pop_front().map(|waits| (waits.read, desk));
            }
            if state.closed {
                return None;
            }
            state.asleep += 1;
            state = self.for_readers.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep -= 1;
        }
    }

    /// So many bytes no longer wait to be committed.
    pub(super) fn committed(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// A reader thread begins.
    pub(super) fn add_reader(&self) {
        self.lock().readers += 1;
    }

    /// A reader thread is gone.
    pub(super) fn remove_reader(&self) {
        self.lock().readers -= 1;
        self.for_writer.notify_all();
    }

    /// Blocks until no reader thread is left and no desk is in use, and gives the desks. After
    /// [`Queue::close`] they all come to that.
    pub(super) fn wait_for_readers(&self) -> Vec<Desk> {
        let mut state = self.lock();
        while state.readers > 0 || state.lent > 0 {
            state = self.for_writer.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut state.idle)
    }

    /// Takes nothing in any more. Puts that wait are still committed; questions are given up,
    /// which answers them with [`ErrorKind::ArchiveClosed`].
    pub(super) fn close(&self) {
        let (reads, joins, turns) = {
            let mut state = self.lock();
            state.closed = true;
            let (reads, joins) =
                (std::mem::take(&mut state.reads), std::mem::take(&mut state.joins));
            (reads, joins, std::mem::take(&mut state.turns))
        };
        self.for_writer.notify_all();
        self.for_readers.notify_all();
        for read in reads {
            quietly(|| drop(read.read));
        }
        for join in joins {
            quietly(|| drop(join));
        }
        for turn in turns {
            quietly(|| drop(turn));
        }
    }

    /// Takes nothing in any more, and has the writer suspend once all that was accepted is done.
    /// Gives the questions that wait, but those of subscribers, and the subscribers-to-be: to be
    /// told so.
    pub(super) fn suspend(&self, turn: Turn) -> Result<(Vec<Read>, Vec<Join>)> {
        let mut state = self.lock();
        state.check_not_closed()?;
        state.suspended = true;
        state.turns.push_back(turn);
        let (kept, given_up): (_, VecDeque<Waiting>) =
            std::mem::take(&mut state.reads).into_iter().partition(|waits| waits.of_feed);
        state.reads = kept;
        let joins = std::mem::take(&mut state.joins);
        drop(state);
        self.for_writer.notify_all();
        Ok((given_up.into_iter().map(|waits| waits.read).collect(), joins))
    }

    /// Has the writer resume.
    pub(super) fn resume(&self, turn: Turn) -> Result<()> {
        let mut state = self.lock();
        state.check_not_closed()?;
        state.turns.push_back(turn);
        drop(state);
        self.for_writer.notify_all();
        Ok(())
    }

    /// Takes things in again, unless it is to be suspended once more.
    pub(super) fn resumed(&self) {
        let mut state = self.lock();
        state.suspended = state.turns.iter().any(|turn| matches!(turn, Turn::Suspend(_)));
        drop(state);
        self.for_readers.notify_all();
        self.for_writer.notify_all();
    }

    /// Takes all desks, once none is in use. The queue is suspended.
    pub(super) fn take_desks(&self) -> Vec<Desk> {
        let mut state = self.lock();
        while state.lent > 0 {
            state = self.for_writer.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut state.idle)
    }

    /// Puts them back.
    pub(super) fn put_desks(&self, desks: Vec<Desk>) {
        self.lock().idle = desks;
    }
}

impl State {
    fn check_not_closed(&self) -> Result<()> {
        if self.closed {
            return Err(Error::new(ErrorKind::ArchiveClosed, "the archive was closed"));
        }
        Ok(())
    }

    fn check_open(&self) -> Result<()> {
        self.check_not_closed()?;
        if self.suspended {
            return Err(suspended());
        }
        Ok(())
    }

    fn lend(&mut self) -> Option<Desk> {
        if self.suspended {
            return None;
        }
        let desk = self.idle.pop()?;
        self.lent += 1;
        Some(desk)
    }

    fn take_group(&mut self) -> Vec<Put> {
        let (mut messages, mut bytes) = (0, 0);
        let fits = |put: &&Put| {
            messages += put.messages.len();
            bytes += put.bytes;
            messages <= MAX_GROUP_MESSAGES && bytes <= MAX_GROUP_BYTES
        };
        if self.puts.is_empty() {
            return Vec::new();
        }
        let count = self.puts.iter().take_while(fits).count();
        let count = count.max(1).min(self.puts.len());
        self.puts.drain(..count).collect()
    }
}
