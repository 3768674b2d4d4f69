//! The archive that everybody uses: a handle to the threads that own the drivers.
//!
//! No call here blocks but [`Archive::open`] and [`Archive::close`]; the answers come as
//! [`Pending`]. What must hold: a put is acknowledged after its own commit; whatever was asked is
//! answered; the threads end with the last handle, on whichever thread that goes.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::feeds::Feeds;
use super::pump::Join;
use super::queue::{Put, Queue, Remove};
use super::retention::{Floor, Keeper, Retention, check_floor};
use super::usage::{ArchiveObserver, ArchiveState, ArchiveUsage, Counters};
use super::worker::{self, Desk, Shared, answer, on_archive_thread};
use super::{
    Backend, Driver, Feed, IndexEntry, IndexQuery, Pending, Position, PutOutcome, Rules, Stats,
    Validator,
};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{MessageHash, Origin, Page, Query, StoredMessage, Timestamp};

/// The most threads that read.
const MAX_READERS: usize = 64;
/// The most messages that are taken down in one commit.
pub(super) const MAX_TAKE_DOWN: usize = 100_000;
/// See [`ArchiveConfig::look_every`].
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What a message counts for in the queue beside its bytes, so that empty ones are bounded too.
const MESSAGE_OVERHEAD: usize = 256;

/// How an archive is run, apart from where it is.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// What may be stored.
    pub rules: Rules,
    /// Threads that read beside the writer, at most 64. With 0, and where the backend has no
    /// readers, the writer's thread reads too.
    pub readers: usize,
    /// The clock, in Unix nanoseconds. Passed in so that tests can turn it.
    pub clock: fn() -> Timestamp,
    /// How many bytes of messages may wait to be committed; a put beyond that is answered with
    /// [`crate::ErrorKind::Busy`]. A put that finds nothing waiting is taken whatever its size.
    pub max_queued_bytes: usize,
    /// What is kept; by default everything.
    pub retention: Retention,
    /// The host's own validation, which sees each batch before it is committed.
    pub validator: Option<Arc<dyn Validator>>,
    /// How often is looked for what others wrote to the same file or database, while anybody is
    /// subscribed to the change feed. `None` where nobody else writes while this is open: then an
    /// idle archive wakes up for nothing. (What others wrote all the same is told before the next
    /// commit of this one.)
    pub look_every: Option<Duration>,
}

impl ArchiveConfig {
    /// The usual settings, with this clock: the default rules, 2 readers, 64 MiB of messages that
    /// may wait, no validator, a look for what others wrote each 250 ms.
    pub fn new(clock: fn() -> Timestamp) -> Self {
        ArchiveConfig {
            rules: Rules::default(),
            readers: 2,
            clock,
            max_queued_bytes: 64 * 1024 * 1024,
            retention: Retention::default(),
            validator: None,
            look_every: Some(LOOK_EVERY),
        }
    }
}

/// An open archive. Cloning it gives another handle to the same one; the last to go, or
/// [`Archive::close`], commits what was accepted and joins the threads.
#[derive(Clone)]
pub struct Archive(pub(super) Arc<Handle>);

pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) backend: Arc<dyn Backend>,
    config: ArchiveConfig,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Archive {
    /// Opens an archive on this backend. Blocks while the backend opens.
    ///
    /// # Errors
    /// The backend's; [`crate::ErrorKind::InvalidArgument`] for more than 64 readers;
    /// [`crate::ErrorKind::ArchiveOpen`] where a thread cannot be started.
    pub fn open(backend: impl Backend, mut config: ArchiveConfig) -> Result<Self> {
        if config.readers > MAX_READERS {
            bail!(
                InvalidArgument,
                "an archive has at most {MAX_READERS} readers, not {}",
                config.readers
            );
        }
        let backend: Arc<dyn Backend> = Arc::new(backend);
        if backend.is_read_only() {
            config.retention = Retention::default();
        }
        let counters = Arc::new(Counters::default());
        // Where it can be, the first driver is one that reads: the writer's is opened by its thread
        // while the first question is being answered.
        let mut first = None;
        if config.readers > 0 && backend.reads_first() {
            first = backend.reader()?;
        }
        let floor = Floor::default();
        // What was removed before is known before anything is taken in.
        let raise = |driver: &mut dyn Driver| -> Result<()> {
            floor.raise(driver.floor()?);
            Ok(())
        };
        let vacant = |writes| Desk::vacant(backend.clone(), writes, counters.clone());
        let writer = match &mut first {
            Some(reader) => {
                raise(reader.as_mut())?;
                vacant(true)
            }
            None => {
                let mut writer =
                    Desk::new(backend.writer()?, backend.clone(), true, counters.clone());
                writer.run(raise)?;
                if config.readers > 0 {
                    first = backend.reader()?;
                }
                writer
            }
        };
        let mut readers = Vec::new();
        if let Some(first) = first {
            // The others are opened when more than one are needed.
            readers.extend((1..config.readers).map(|_| vacant(false)));
            readers.push(Desk::new(first, backend.clone(), false, counters.clone()));
        }

        let queue = Queue::new(config.max_queued_bytes);
        let keeper = Keeper::new(config.retention, config.clock);
        let (validator, look_every) = (config.validator.clone(), config.look_every);
        let shared = Arc::new(Shared {
            queue,
            feeds: Feeds::default(),
            floor,
            validator,
            tasks: Arc::default(),
            counters,
        });
        // From here on an early return drops the handle, which ends the threads begun so far.
        let archive = Archive(Arc::new(Handle {
            shared: shared.clone(),
            backend,
            config,
            threads: Mutex::default(),
        }));
        let threads = readers.len();
        readers.into_iter().for_each(|desk| shared.queue.give_back(desk));
        archive.start("wks-archive-w".into(), move || {
            worker::write(&shared, writer, threads, keeper, look_every)
        })?;
        Ok(archive)
    }

    pub(super) fn start(&self, name: String, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new().name(name).spawn(body).map_err(|e| {
            Error::new(ErrorKind::ArchiveOpen, format!("cannot start a thread of the archive: {e}"))
        })?;
        let mut threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Stores messages. They are hashed by [`StoredMessage::new`]; one outcome each, in order. Of
    /// equal messages in one put the first is stored and the others are duplicates.
    ///
    /// The put is acknowledged after its commit, which it may share with others. Where the commit
    /// fails, nothing of the put is stored.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Busy`] where too much waits to be committed,
    /// [`crate::ErrorKind::DiskFull`], [`crate::ErrorKind::ArchiveIo`] and the like where the
    /// commit fails; [`crate::ErrorKind::Internal`] where the validator does not answer for each
    /// message. What the rules or the validator refuse is an outcome, not an error.
    pub fn put(&self, messages: Vec<StoredMessage>, o: Origin) -> Pending<Vec<PutOutcome>> {
        if let Err(e) = self.check_writable() {
            return Pending::ready(Err(e));
        }
        let since = Instant::now();
        let now = self.now();
        let floor = self.floor();
        let mut passed = Vec::with_capacity(messages.len());
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut bytes = 0usize;
        for message in messages {
            let rules = &self.0.config.rules;
            let checked = rules.check_message(&message, o, now);
            match checked.and_then(|()| check_floor(&message, floor)) {
                Ok(()) => {
                    bytes = bytes.saturating_add(queued_size(&message));
                    passed.push(message);
                    // Until the commit tells otherwise.
                    outcomes.push(PutOutcome::Stored);
                }
                Err(e) => outcomes.push(PutOutcome::Refused(e)),
            }
        }
        if passed.is_empty() {
            self.0.shared.counters.came(&outcomes, o);
            return Pending::ready(self.0.shared.queue.check_open().map(|()| outcomes));
        }
        let (reply, pending) = Pending::new();
        match self.0.shared.queue.push_put(Put {
            messages: passed,
            origin: o,
            outcomes,
            bytes,
            since,
            reply,
        }) {
            Ok(()) => pending,
            Err(e) => {
                if e.kind() == ErrorKind::Busy {
                    self.0.shared.counters.busy();
                }
                Pending::ready(Err(e))
            }
        }
    }

    /// One page.
    ///
    /// # Errors
    /// Those of [`Rules::check_query`]; [`crate::ErrorKind::CursorNotFound`];
    /// [`crate::ErrorKind::Busy`] where too many questions wait.
    pub fn query(&self, query: Query) -> Pending<Page> {
        if let Err(e) = self.0.config.rules.check_query(&query) {
            return Pending::ready(Err(e));
        }
        let (begun, counters) = (Instant::now(), self.0.shared.counters.clone());
        counters.asked();
        self.ask(move |driver| {
            let page = driver.query(&query);
            counters.query_times.took(begun.elapsed());
            counters.answered(&page);
            page
        })
    }

    /// Those of the messages that are held, in the order asked for, each once.
    pub fn get(&self, hashes: Vec<MessageHash>) -> Pending<Vec<StoredMessage>> {
        self.ask(move |driver| driver.get(&hashes))
    }

    /// Those of the hashes that are neither held nor taken down, in the order asked for, each once.
    /// Any number of them.
    pub fn missing(&self, hashes: Vec<MessageHash>) -> Pending<Vec<MessageHash>> {
        self.ask(move |driver| driver.missing(&hashes))
    }

    /// One step of a walk over what sync needs.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for a limit of 0, with which a walk would not get on.
    pub fn index(&self, query: IndexQuery) -> Pending<Vec<IndexEntry>> {
        if query.limit == 0 {
            let e = Error::new(ErrorKind::InvalidArgument, "the limit of a step is at least 1");
            return Pending::ready(Err(e));
        }
        self.ask(move |driver| driver.index(&query))
    }

    /// Figures.
    pub fn stats(&self) -> Pending<Stats> {
        self.ask(|driver| driver.stats())
    }

    /// From now on, what is committed. `capacity` is in messages, at least 1 (0 counts as 1).
    /// A put's messages are in the feed by the time it is acknowledged.
    ///
    /// What others commit on the same file or database is told too, within
    /// [`ArchiveConfig::look_every`];
    /// whose commit falls into the moment of this call may be missed: where none may be, ask for
    /// the [`Archive::position`] and subscribe from there.
    pub fn subscribe(&self, capacity: usize) -> Feed {
        let shared = &self.0.shared;
        let (feed, is_first) = shared.feeds.subscribe(Arc::downgrade(shared), capacity);
        if is_first {
            shared.queue.nudge();
        }
        feed
    }

    /// Everything after a position, each change once: first what lies behind, as fast as it is
    /// taken out of the feed, then what is committed, without a gap or a double between the two.
    /// `capacity` as in [`Archive::subscribe`].
    ///
    /// From [`Position::START`] it begins with all messages that are held, in the order in which
    /// they were stored. Messages that were stored after the position and removed before they were
    /// read are not told as stored; what removed them is told.
    ///
    /// # Errors
    /// [`crate::ErrorKind::PositionGone`] where the position is too old (the log of removals is
    /// bounded) or of another archive: then read the archive anew, from [`Position::START`] or by
    /// [`Archive::index`]. [`crate::ErrorKind::Unsupported`] where the backend keeps no log;
    /// [`crate::ErrorKind::Busy`]; those of a question.
    pub fn subscribe_from(&self, from: Position, capacity: usize) -> Pending<Feed> {
        let (reply, pending) = Pending::new();
        match self.0.shared.queue.push_join(Join { from, capacity, reply }) {
            Ok(()) => pending,
            Err(e) => Pending::ready(Err(e)),
        }
    }

    /// Where the change feed stands: [`Archive::subscribe_from`] there tells of everything that is
    /// committed after this answer. (What was committed shortly before it may be told too where
    /// several write to one database, but not with SQLite.)
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] where the backend keeps no log; those of a question.
    pub fn position(&self) -> Pending<Position> {
        self.ask(|driver| driver.position())
    }

    /// Takes messages down: those that are held are removed, all at once, and none of these is
    /// ever taken in again, from wherever it comes ([`crate::ErrorKind::TakenDown`]); and
    /// [`Archive::missing`] does not name them. Gives how many were held. A tombstone of some 50
    /// bytes stays for each hash.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for more than 100,000 hashes;
    /// [`crate::ErrorKind::Busy`] where too many removals wait; those of a put.
    pub fn take_down(&self, hashes: Vec<MessageHash>) -> Pending<u64> {
        if hashes.len() > MAX_TAKE_DOWN {
            let what = format!("at most {MAX_TAKE_DOWN} messages are taken down in one call");
            return Pending::ready(Err(Error::new(ErrorKind::InvalidArgument, what)));
        }
        self.remove(hashes, false)
    }

    /// Takes down, or lifts the tombstones.
    pub(super) fn remove(&self, hashes: Vec<MessageHash>, lift: bool) -> Pending<u64> {
        let (reply, pending) = Pending::new();
        let pushed = self.check_writable();
        match pushed.and_then(|()| self.0.shared.queue.push_removal(Remove { hashes, lift, reply }))
        {
            Ok(()) => pending,
            Err(e) => Pending::ready(Err(e)),
        }
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        if self.0.backend.is_read_only() {
            bail!(ArchiveReadOnly, "the archive was opened read-only");
        }
        Ok(())
    }

    /// The lowest timestamp that is kept and taken in: what is older was removed by retention, or
    /// will be. [`Timestamp`]'s lowest where nothing bounds it.
    pub fn floor(&self) -> Timestamp {
        self.0.shared.floor.get(&self.0.config.retention, self.now())
    }

    /// Whether a host's validator sees what is put.
    pub fn has_validator(&self) -> bool {
        self.0.config.validator.is_some()
    }

    /// What it has done since it was opened, and what waits for it. Cheap, and asks no driver.
    pub fn usage(&self) -> ArchiveUsage {
        let shared = &self.0.shared;
        let mut usage = shared.counters.read();
        let waiting = shared.queue.waiting();
        (usage.waiting_puts, usage.waiting_bytes) = (waiting.0, waiting.1);
        (usage.waiting_reads, usage.waiting_removals) = (waiting.2, waiting.3);
        if shared.queue.check_open().is_err() {
            (usage.state, usage.trouble) = (ArchiveState::Closed, None);
        } else if usage.state == ArchiveState::Writable && self.0.backend.is_read_only() {
            usage.state = ArchiveState::ReadOnly;
        }
        usage
    }

    /// Has this told what an operator would want in a log, from now on and for as long as the
    /// archive is open. It is called on the archive's threads, under no lock, and they wait for
    /// it; a panic in it ends there. Only the first observer counts: whether it is this one.
    pub fn observe(&self, observer: ArchiveObserver) -> bool {
        self.0.shared.counters.observe(observer)
    }

    /// The archive's clock.
    pub fn now(&self) -> Timestamp {
        (self.0.config.clock)()
    }

    /// Commits what was accepted, ends the feeds and joins the threads. Blocks, in each of several
    /// threads that call it, until all is done. A second call is fine; any other call after it
    /// gives [`crate::ErrorKind::ArchiveClosed`], and so do questions that no reader had taken up.
    ///
    /// On one of an archive's own threads (in a waker) it does not wait: the threads end by
    /// themselves, after the same work.
    pub fn close(&self) {
        self.0.close();
    }

    pub(super) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Driver) -> Result<T> + Send + 'static,
    ) -> Pending<T> {
        let (reply, pending) = Pending::new();
        let read = Box::new(move |desk: &mut Desk| answer(reply, desk.run(question)));
        pending.to(&self.0.shared, read)
    }
}

impl Handle {
    fn close(&self) {
        self.shared.queue.close();
        self.shared.tasks.close();
        if on_archive_thread() {
            return;
        }
        // Whoever comes second waits here for the first.
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// What a message counts for while it waits.
fn queued_size(m: &StoredMessage) -> usize {
    let optional = |field: &Option<bytes::Bytes>| field.as_ref().map_or(0, |bytes| bytes.len());
    let fields = optional(&m.message.meta) + optional(&m.message.rate_limit_proof);
    MESSAGE_OVERHEAD + m.message.payload.len() + fields
}
