//! The archive's threads: one writer that commits puts in groups, and readers beside it.
//!
//! What must hold: every question and every put is answered, whatever the driver does; a panic in
//! a driver ends with an error for those who waited on it and a fresh driver in its place; wakers,
//! which are other people's code, cannot take a thread down.

use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::driver::Removal;
use super::feed::FeedItem;
use super::feeds::Feeds;
use super::pending::Reply;
use super::pump::{Did, Pump};
use super::queue::{Company, Put, Queue, Read, Remove};
use super::retention::{Floor, Keeper, check_floor};
use super::suspend;
use super::task::Tasks;
use super::usage::Counters;
use super::{Backend, Driver, PutOutcome, Validator, validator};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{MessageHash, Origin, StoredMessage, Timestamp};

/// How often a put looks again at what another process has removed meanwhile.
const PUT_ATTEMPTS: usize = 4;

thread_local! {
    static ON_ARCHIVE_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// This thread belongs to an archive from now on.
pub(super) fn is_archive_thread() {
    ON_ARCHIVE_THREAD.set(true);
}

/// Whether this thread belongs to an archive. Waiting for an archive here could wait for itself.
pub(super) fn on_archive_thread() -> bool {
    ON_ARCHIVE_THREAD.get()
}

/// From now on this thread counts as one of an archive.
pub(super) fn join_archive_threads() {
    ON_ARCHIVE_THREAD.set(true);
}

/// Runs other people's code; a panic in it ends here.
pub(super) fn quietly(f: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(f));
}

/// Answers; whoever waits is woken on this thread.
pub(super) fn answer<T>(reply: Reply<T>, result: Result<T>) {
    quietly(|| drop(reply.send(result)));
}

/// What the archive's handles and threads share.
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) feeds: Feeds,
    pub(super) floor: Floor,
    pub(super) validator: Option<Arc<dyn Validator>>,
    pub(super) tasks: Arc<Tasks>,
    pub(super) counters: Arc<Counters>,
}

/// A driver and what to do when it panics.
pub(super) struct Desk {
    driver: Seat,
    backend: Arc<dyn Backend>,
    writes: bool,
    counters: Arc<Counters>,
    /// Of how many drivers this is.
    generation: u64,
}

/// Whether there is a driver.
enum Seat {
    Taken(Box<dyn Driver>),
    /// It is opened when it is needed.
    Vacant,
    /// One that panicked could not be replaced.
    Poisoned(Error),
    /// The archive is suspended.
    Suspended,
}

impl Desk {
    pub(super) fn new(
        driver: Box<dyn Driver>,
        backend: Arc<dyn Backend>,
        writes: bool,
        counters: Arc<Counters>,
    ) -> Self {
        Desk { driver: Seat::Taken(driver), backend, writes, counters, generation: 0 }
    }

    /// One whose driver is opened when it is needed.
    pub(super) fn vacant(backend: Arc<dyn Backend>, writes: bool, counters: Arc<Counters>) -> Self {
        Desk { driver: Seat::Vacant, backend, writes, counters, generation: 0 }
    }

    /// A number that no earlier driver at this desk had.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Asks the driver.
    ///
    /// # Errors
    /// The driver's; [`ErrorKind::Internal`] where it panicked, [`ErrorKind::Poisoned`] where one
    /// did before and there is no other; the backend's where it is opened only now.
    pub(super) fn run<T>(&mut self, f: impl FnOnce(&mut dyn Driver) -> Result<T>) -> Result<T> {
        self.fill()?;
        let driver = match &mut self.driver {
            Seat::Taken(driver) => driver.as_mut(),
            Seat::Poisoned(e) => return Err(e.clone()),
            Seat::Suspended => return Err(suspend::suspended()),
            Seat::Vacant => bail!(Internal, "the archive's driver was not opened"),
        };
        let result = catch_unwind(AssertUnwindSafe(|| f(driver))).unwrap_or_else(|_| {
            self.replace();
            bail!(Internal, "the archive's driver panicked")
        });
        self.counters.reached(self.writes, &result);
        result
    }

    /// Opens the driver, where that was left until now. What fails is tried again the next time.
    pub(super) fn fill(&mut self) -> Result<()> {
        if matches!(self.driver, Seat::Vacant) {
            self.driver = Seat::Taken(self.open()?);
        }
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Driver>> {
        let open = || {
            if self.writes { self.backend.writer().map(Some) } else { self.backend.reader() }
        };
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(Some(driver))) => Ok(driver),
            Ok(Ok(None)) => bail!(Internal, "the archive's backend has no more readers"),
            Ok(Err(e)) => Err(e),
            Err(_) => bail!(Internal, "the archive's backend panicked"),
        }
    }

    /// The old driver goes first: it may hold locks that the new one needs.
    fn replace(&mut self) {
        self.generation += 1;
        let poisoned = Error::new(ErrorKind::Poisoned, "the archive's driver panicked earlier");
        let old = std::mem::replace(&mut self.driver, Seat::Poisoned(poisoned.clone()));
        quietly(|| drop(old));
        self.driver = match self.open() {
            Ok(driver) => Seat::Taken(driver),
            Err(e) => Seat::Poisoned(Error::new(
                ErrorKind::Poisoned,
                format!("{poisoned}, and it cannot be opened again: {e}"),
            )),
        };
    }

    pub(super) fn close(self) {
        if let Seat::Taken(mut driver) = self.driver {
            quietly(move || driver.close());
        }
    }

    /// Whether its driver may be closed and opened anew.
    pub(super) fn reopens(&self) -> bool {
        self.backend.reopens()
    }

    /// One without a driver: whoever asks is told that the archive is suspended.
    pub(super) fn without_driver(backend: Arc<dyn Backend>, counters: Arc<Counters>) -> Self {
        Desk { driver: Seat::Suspended, backend, writes: false, generation: 0, counters }
    }

    /// Closes the driver, until [`Desk::come_back`].
    pub(super) fn let_go(&mut self) {
        self.generation += 1;
        if let Seat::Taken(mut driver) = std::mem::replace(&mut self.driver, Seat::Suspended) {
            quietly(move || driver.close());
        }
    }

    /// Opens a driver where there is none.
    ///
    /// # Errors
    /// The backend's.
    pub(super) fn come_back(&mut self) -> Result<()> {
        if !matches!(self.driver, Seat::Taken(_)) {
            self.generation += 1;
            self.driver = Seat::Taken(self.open()?);
        }
        Ok(())
    }
}

/// Starts the threads that read, as far as that is possible: they have the questions that nobody
/// blocks for.
fn start_readers(shared: &Arc<Shared>, count: usize) -> Vec<JoinHandle<()>> {
    let start = |i| {
        let of_thread = shared.clone();
        shared.queue.add_reader();
        let thread = Builder::new().name(format!("wks-archive-r{i}"));
        let started = thread.spawn(move || read(&of_thread));
        if started.is_err() {
            shared.queue.remove_reader();
        }
        started.ok()
    };
    (0..count).map_while(start).collect()
}

/// The body of the writer's thread, which starts those that read. Without any it reads too.
pub(super) fn write(
    shared: &Arc<Shared>,
    mut desk: Desk,
    readers: usize,
    mut keeper: Keeper,
    look_every: Option<Duration>,
) {
    join_archive_threads();
    let readers = start_readers(shared, readers);
    let reads_too = readers.is_empty();
    // Where it fails now, each put tries again, and is told why.
    let _ = desk.fill();
    let mut pump = Pump::new(look_every);
    let (mut company, mut suspended) = (None, false);
    let patience = |keeper: &Keeper, pump: &Pump| {
        keeper.patience().into_iter().chain(pump.patience(shared)).min()
    };
    loop {
        // A suspended archive wakes up for nothing but its resumption.
        let patience = if suspended { None } else { patience(&keeper, &pump) };
        let Some(work) = shared.queue.next_work(reads_too, patience, company.take()) else { break };
        if let Some(turn) = work.turn {
            suspended = suspend::take_turn(shared, &mut desk, turn, suspended);
            if !suspended {
                pump.look_again();
            }
        }
        if suspended {
            continue;
        }
        pump.begin(shared, &mut desk);
        for join in work.joins {
            quietly(|| pump.join(shared, &mut desk, join));
        }
        if !work.puts.is_empty() {
            let (puts, begin) = (work.puts.len(), Instant::now());
            let messages = work.puts.iter().map(|put| put.messages.len()).sum();
            quietly(|| commit(shared, &mut desk, &mut pump, work.puts));
            company = Company::of(puts, begin.elapsed());
            keeper.put_came(messages);
        }
        for removal in work.removals {
            quietly(|| take_down(shared, &mut desk, &mut pump, removal));
        }
        quietly(|| keep(shared, &mut desk, &mut pump, &mut keeper));
        pump.look(shared, &mut desk);
        for read in work.reads {
            quietly(|| read(&mut desk));
        }
    }
    shared.feeds.end();
    // The writer's driver closes last.
    shared.queue.wait_for_readers().into_iter().for_each(Desk::close);
    shared.tasks.wait();
    desk.close();
    for reader in readers {
        let _ = reader.join();
    }
}

/// The body of a reader's thread.
pub(super) fn read(shared: &Shared) {
    join_archive_threads();
    while let Some((read, mut desk)) = shared.queue.next_read() {
        quietly(|| read(&mut desk));
        shared.queue.give_back(desk);
    }
    shared.queue.remove_reader();
}

/// Asks a question on this thread, which would only wait for its answer, if a driver is free for
/// it, and has it wait for a reader if not. (While it runs, the other threads have theirs.)
pub(super) fn read_here(shared: &Shared, read: Read) -> Result<()> {
    let Some(mut desk) = shared.queue.lend()? else {
        return shared.queue.push_read(read);
    };
    quietly(|| read(&mut desk));
    shared.queue.give_back(desk);
    Ok(())
}

/// Takes messages down, tells the feeds, then who asked.
fn take_down(shared: &Shared, desk: &mut Desk, pump: &mut Pump, removal: Remove) {
    let Remove { hashes, lift, reply } = removal;
    if lift {
        return answer(reply, desk.run(|driver| driver.reinstate(&hashes)));
    }
    let removed = remove(shared, desk, pump, &Removal::Hashes(hashes));
    shared.counters.taken_down(&removed);
    answer(reply, removed.map(|n| n as u64));
}

/// One step of retention, if one is due.
fn keep(shared: &Shared, desk: &mut Desk, pump: &mut Pump, keeper: &mut Keeper) {
    if !keeper.is_due() {
        return;
    }
    let figures = desk.run(|driver| driver.figures());
    if let Ok(figures) = &figures {
        shared.floor.raise(figures.floor);
    }
    if let Some(step) = keeper.plan(&figures) {
        let begin = Instant::now();
        let removed = remove(shared, desk, pump, &step);
        shared.counters.expired(&removed);
        keeper.stepped(&removed, begin.elapsed());
    }
}

fn remove(shared: &Shared, desk: &mut Desk, pump: &mut Pump, removal: &Removal) -> Result<usize> {
    let removed = desk.run(|driver| driver.remove(removal));
    shared.counters.committed(&removed);
    let removed = removed?;
    let count = removed.len();
    if matches!(removal, Removal::Oldest { .. })
        && let Some(last) = removed.iter().map(|item| item.id.timestamp).max()
    {
        shared.floor.raise(Timestamp(last.nanos().saturating_add(1)));
    }
    pump.committed(shared, desk, Did::Remove, || removed);
    Ok(count)
}

/// Asks the host's validator about each put, and answers those that come to nothing by that.
fn validated(shared: &Shared, puts: Vec<Put>) -> Vec<Put> {
    let Some(validator) = &shared.validator else { return puts };
    let mut valid = Vec::with_capacity(puts.len());
    for mut put in puts {
        match validator::check(validator.as_ref(), &mut put) {
            Ok(()) if !put.messages.is_empty() => valid.push(put),
            end => {
                shared.queue.committed(put.bytes);
                shared.counters.came(&put.outcomes, put.origin);
                answer(put.reply, end.map(|()| put.outcomes));
            }
        }
    }
    valid
}

/// Commits puts together, tells the feeds, then those who wait.
fn commit(shared: &Shared, desk: &mut Desk, pump: &mut Pump, puts: Vec<Put>) {
    let mut puts = validated(shared, puts);
    if puts.is_empty() {
        return;
    }
    let (batch, result) = put(shared, desk, &mut puts);
    shared.counters.committed(&result);
    if let Ok(new) = &result {
        pump.committed(shared, desk, Did::Store, || {
            let stored = batch.iter().zip(new).filter(|(_, new)| **new);
            stored.map(|((message, origin), _)| FeedItem::new(message, *origin)).collect()
        });
    }
    drop(batch);
    shared.queue.committed(puts.iter().map(|put| put.bytes).sum());
    match result {
        Ok(new) => {
            let mut new = new.into_iter();
            for mut put in puts {
                let passed = |o: &&mut PutOutcome| !matches!(o, PutOutcome::Refused(_));
                for outcome in put.outcomes.iter_mut().filter(passed) {
                    if new.next() != Some(true) {
                        *outcome = PutOutcome::Duplicate;
                    }
                }
                shared.counters.came(&put.outcomes, put.origin);
                shared.counters.put_times.took(put.since.elapsed());
                answer(put.reply, Ok(put.outcomes));
            }
            // Nobody waits for upkeep; what is wrong with it, the next put will tell.
            let _ = desk.run(|driver| {
                driver.after_put();
                Ok(())
            });
        }
        Err(e) => {
            for put in puts {
                shared.counters.failed(&put.outcomes);
                shared.counters.put_times.took(put.since.elapsed());
                answer(put.reply, Err(e.clone()));
            }
        }
    }
}

type Batch = Vec<(StoredMessage, Origin)>;

/// Puts what was not removed before. Another process on the same backend may remove something
/// between our looking and our commit: then the driver refuses, and we look again.
fn put(shared: &Shared, desk: &mut Desk, puts: &mut [Put]) -> (Batch, Result<Vec<bool>>) {
    let mut attempts = 0;
    loop {
        attempts += 1;
        refuse_removed(shared, desk, puts);
        let mut batch = Vec::with_capacity(puts.iter().map(|put| put.messages.len()).sum());
        for put in puts.iter_mut() {
            let origin = put.origin;
            batch.extend(put.messages.drain(..).map(|message| (message, origin)));
        }
        let result = desk.run(|driver| {
            let new = driver.put(&batch)?;
            if new.len() != batch.len() {
                bail!(Internal, "the driver told of {} messages, not {}", new.len(), batch.len());
            }
            Ok(new)
        });
        let removed =
            |e: &Error| matches!(e.kind(), ErrorKind::TakenDown | ErrorKind::TimestampTooOld);
        if attempts >= PUT_ATTEMPTS || !result.as_ref().is_err_and(removed) {
            return (batch, result);
        }
        if let Ok(figures) = desk.run(|driver| driver.figures()) {
            shared.floor.raise(figures.floor);
        }
        let mut batch = batch.into_iter().map(|(message, _)| message);
        for put in puts.iter_mut() {
            let refused = |o: &&PutOutcome| matches!(o, PutOutcome::Refused(_));
            let passed = put.outcomes.len() - put.outcomes.iter().filter(refused).count();
            put.messages.extend(batch.by_ref().take(passed));
        }
    }
}

/// What was taken down stays down, and what lies below the floor now, whatever it was when the put
/// came, stays away. (Where the driver cannot tell, the put will fail of the same.)
fn refuse_removed(shared: &Shared, desk: &mut Desk, puts: &mut [Put]) {
    let hashes: Vec<MessageHash> =
        puts.iter().flat_map(|put| put.messages.iter().map(|m| m.hash)).collect();
    let down = desk.run(|driver| driver.taken_down(&hashes)).unwrap_or_default();
    let floor = shared.floor.of_removed();
    if down.is_empty() && floor == Timestamp(i64::MIN) {
        return;
    }
    let down: HashSet<MessageHash> = down.into_iter().collect();
    for put in puts {
        let mut messages = std::mem::take(&mut put.messages).into_iter();
        for outcome in &mut put.outcomes {
            if matches!(outcome, PutOutcome::Refused(_)) {
                continue;
            }
            let Some(message) = messages.next() else { break };
            if down.contains(&message.hash) {
                let what = format!("message {:?} was taken down", message.hash);
                *outcome = PutOutcome::Refused(Error::new(ErrorKind::TakenDown, what));
            } else if let Err(e) = check_floor(&message, floor) {
                *outcome = PutOutcome::Refused(e);
            } else {
                put.messages.push(message);
            }
        }
    }
}
