//! What an archive has done and how it is, for those who watch it: plain counters, and the trouble
//! that it is in.
//!
//! What must hold: counting is an atomic addition; the one lock here is taken when something goes
//! wrong and when it is well again, and by who looks. Whoever observes is called under no lock, on
//! the archive's own threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::PutOutcome;
use super::distribution::{Distribution, Spread};
use super::worker::quietly;
use crate::error::{Error, ErrorKind, Result};
use crate::types::{Origin, Page};

/// Whether an archive can do its work, as far as its last attempts have shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum ArchiveState {
    /// It reads, and the last commit went well, or there was none yet.
    #[default]
    Writable,
    /// It was opened read-only.
    ReadOnly,
    /// The last commit found no space on the disk. Reads go on.
    DiskFull,
    /// Its database cannot be reached; it is tried again by itself.
    Unavailable,
    /// The last commit failed of something else.
    Failing,
    /// It was closed.
    Closed,
}

impl ArchiveState {
    /// All of them.
    pub const ALL: [ArchiveState; 6] = [
        ArchiveState::Writable,
        ArchiveState::ReadOnly,
        ArchiveState::DiskFull,
        ArchiveState::Unavailable,
        ArchiveState::Failing,
        ArchiveState::Closed,
    ];

    /// A word for it: `writable`, `read_only`, `disk_full`, `unavailable`, `failing`, `closed`.
    pub fn name(self) -> &'static str {
        match self {
            ArchiveState::Writable => "writable",
            ArchiveState::ReadOnly => "read_only",
            ArchiveState::DiskFull => "disk_full",
            ArchiveState::Unavailable => "unavailable",
            ArchiveState::Failing => "failing",
            ArchiveState::Closed => "closed",
        }
    }
}

/// Why messages were refused: by the rules, the retention, a takedown, or the host's validator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Older than what is taken in.
    TooOld,
    /// Too far in the future.
    InFuture,
    /// Without a timestamp.
    NoTimestamp,
    /// Ephemeral.
    Ephemeral,
    /// Its payload or its meta field is too large.
    TooLarge,
    /// The validator refused it.
    Validator,
    /// The validator could not tell.
    Unknown,
    /// It was taken down.
    TakenDown,
    /// Anything else.
    Other,
}

impl Refusal {
    /// All of them, in the order of [`ArchiveUsage::refused`].
    pub const ALL: [Refusal; 9] = [
        Refusal::TooOld,
        Refusal::InFuture,
        Refusal::NoTimestamp,
        Refusal::Ephemeral,
        Refusal::TooLarge,
        Refusal::Validator,
        Refusal::Unknown,
        Refusal::TakenDown,
        Refusal::Other,
    ];

    /// A word for it, as in `too_old`.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::TooOld => "too_old",
            Refusal::InFuture => "in_future",
            Refusal::NoTimestamp => "no_timestamp",
            Refusal::Ephemeral => "ephemeral",
            Refusal::TooLarge => "too_large",
            Refusal::Validator => "validator",
            Refusal::Unknown => "unknown",
            Refusal::TakenDown => "taken_down",
            Refusal::Other => "other",
        }
    }

    fn of(e: &Error) -> Self {
        match e.kind() {
            ErrorKind::TimestampTooOld => Refusal::TooOld,
            ErrorKind::TimestampInFuture => Refusal::InFuture,
            ErrorKind::NoTimestamp => Refusal::NoTimestamp,
            ErrorKind::Ephemeral => Refusal::Ephemeral,
            ErrorKind::MessageTooLarge | ErrorKind::MetaTooLarge => Refusal::TooLarge,
            ErrorKind::ValidatorRefused => Refusal::Validator,
            ErrorKind::Busy => Refusal::Unknown,
            ErrorKind::TakenDown => Refusal::TakenDown,
            _ => Refusal::Other,
        }
    }
}

/// What an archive has done since it was opened, and what waits for it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ArchiveUsage {
    /// Whether it can do its work.
    pub state: ArchiveState,
    /// What is wrong, where something is.
    pub trouble: Option<Error>,
    /// Messages that were stored, by origin: live, sync, resume, import.
    pub stored: [u64; 4],
    /// Messages that were put and there already.
    pub duplicates: u64,
    /// Messages that were refused, in the order of [`Refusal::ALL`].
    pub refused: [u64; 9],
    /// Messages whose commit failed.
    pub failed: u64,
    /// Puts that were turned away since too much waits ([`ErrorKind::Busy`]).
    pub busy: u64,
    /// Queries (pages) that were asked for.
    pub queries: u64,
    /// Queries that failed since their cursor names no message that is held.
    pub unknown_cursors: u64,
    /// Queries that failed of anything else.
    pub failed_queries: u64,
    /// Messages that retention removed. (Where a database removes whole spans of time, what was in
    /// them is not counted.)
    pub expired: u64,
    /// Messages that were taken down.
    pub taken_down: u64,
    /// Steps of retention that failed.
    pub failed_retention: u64,
    /// How long puts took from the call to the answer, in nanoseconds: each that came to a commit.
    pub put_times: Spread,
    /// How long queries took from the call to the answer, in nanoseconds.
    pub query_times: Spread,
    /// Puts that wait for their commit.
    pub waiting_puts: usize,
    /// What their messages count for in bytes, those that are being committed with them.
    pub waiting_bytes: usize,
    /// Questions that wait for a reader.
    pub waiting_reads: usize,
    /// Removals that wait for the writer.
    pub waiting_removals: usize,
}

/// Something that an operator would want in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ArchiveNotice {
    /// The archive has come into trouble, or into another.
    Trouble {
        /// What it is now.
        state: ArchiveState,
        /// Why.
        error: Error,
    },
    /// The trouble is over.
    Recovered {
        /// What it was.
        from: ArchiveState,
    },
    /// A step of retention removed so many messages.
    Expired {
        /// How many.
        messages: u64,
    },
    /// A step of retention failed.
    RetentionFailed(Error),
    /// So many messages were taken down.
    TakenDown {
        /// How many were held.
        messages: u64,
    },
}

/// Who is told of an archive's notices. Called on the archive's threads, which wait for it.
pub type ArchiveObserver = Arc<dyn Fn(&ArchiveNotice) + Send + Sync>;

/// Something is wrong, until it is not.
#[derive(Default)]
struct Trouble {
    there: AtomicBool,
    what: Mutex<Option<Error>>,
}

impl Trouble {
    /// True where it was not known, or of another kind.
    fn set(&self, e: &Error) -> bool {
        let mut what = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        self.there.store(true, Ordering::Release);
        let kind = what.replace(e.clone()).map(|before| before.kind());
        kind != Some(e.kind())
    }

    fn clear(&self) -> Option<Error> {
        if !self.there.load(Ordering::Acquire) {
            return None;
        }
        let mut what = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        self.there.store(false, Ordering::Release);
        what.take()
    }

    fn get(&self) -> Option<Error> {
        if !self.there.load(Ordering::Acquire) {
            return None;
        }
        self.what.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The archive's own end.
pub(super) struct Counters {
    stored: [AtomicU64; 4],
    duplicates: AtomicU64,
    refused: [AtomicU64; 9],
    failed: AtomicU64,
    busy: AtomicU64,
    queries: AtomicU64,
    unknown_cursors: AtomicU64,
    failed_queries: AtomicU64,
    expired: AtomicU64,
    taken_down: AtomicU64,
    failed_retention: AtomicU64,
    pub(super) put_times: Distribution,
    pub(super) query_times: Distribution,
    /// Of the last commit.
    writing: Trouble,
    /// The database is away from the writer, and from a reader.
    away: [Trouble; 2],
    observer: Mutex<Option<ArchiveObserver>>,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            stored: Default::default(),
            duplicates: AtomicU64::default(),
            refused: Default::default(),
            failed: AtomicU64::default(),
            busy: AtomicU64::default(),
            queries: AtomicU64::default(),
            unknown_cursors: AtomicU64::default(),
            failed_queries: AtomicU64::default(),
            expired: AtomicU64::default(),
            taken_down: AtomicU64::default(),
            failed_retention: AtomicU64::default(),
            put_times: Distribution::new(Distribution::TIMES),
            query_times: Distribution::new(Distribution::TIMES),
            writing: Trouble::default(),
            away: Default::default(),
            observer: Mutex::default(),
        }
    }
}

fn add(counter: &AtomicU64, n: u64) {
    if n > 0 {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

fn state_of(e: &Error) -> ArchiveState {
    match e.kind() {
        ErrorKind::DiskFull => ArchiveState::DiskFull,
        ErrorKind::ArchiveUnavailable => ArchiveState::Unavailable,
        ErrorKind::ArchiveReadOnly => ArchiveState::ReadOnly,
        ErrorKind::ArchiveClosed => ArchiveState::Closed,
        _ => ArchiveState::Failing,
    }
}

impl Counters {
    /// What became of a put's messages.
    pub(super) fn came(&self, outcomes: &[PutOutcome], origin: Origin) {
        let (mut stored, mut duplicates) = (0, 0);
        for outcome in outcomes {
            match outcome {
                PutOutcome::Stored => stored += 1,
                PutOutcome::Duplicate => duplicates += 1,
                PutOutcome::Refused(e) => {
                    if let Some(counter) = self.refused.get(Refusal::of(e) as usize) {
                        add(counter, 1);
                    }
                }
            }
        }
        if let Some(counter) = self.stored.get(origin as usize) {
            add(counter, stored);
        }
        add(&self.duplicates, duplicates);
    }

    /// The commit of a put failed, and with it all that the rules had let pass.
    pub(super) fn failed(&self, outcomes: &[PutOutcome]) {
        let passed = outcomes.iter().filter(|o| !matches!(o, PutOutcome::Refused(_)));
        add(&self.failed, passed.count() as u64);
    }

    pub(super) fn busy(&self) {
        add(&self.busy, 1);
    }

    pub(super) fn asked(&self) {
        add(&self.queries, 1);
    }

    pub(super) fn answered(&self, page: &Result<Page>) {
        match page {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::CursorNotFound => add(&self.unknown_cursors, 1),
            Err(_) => add(&self.failed_queries, 1),
        }
    }

    pub(super) fn expired(&self, step: &Result<usize>) {
        match step {
            Ok(0) => {}
            Ok(n) => {
                add(&self.expired, *n as u64);
                self.tell(&ArchiveNotice::Expired { messages: *n as u64 });
            }
            Err(e) => {
                add(&self.failed_retention, 1);
                self.tell(&ArchiveNotice::RetentionFailed(e.clone()));
            }
        }
    }

    pub(super) fn taken_down(&self, removed: &Result<usize>) {
        if let Ok(n) = removed
            && *n > 0
        {
            add(&self.taken_down, *n as u64);
            self.tell(&ArchiveNotice::TakenDown { messages: *n as u64 });
        }
    }

    /// How an attempt to commit something ended.
    pub(super) fn committed<T>(&self, result: &Result<T>) {
        match result {
            Ok(_) => {
                if let Some(e) = self.writing.clear() {
                    self.tell(&ArchiveNotice::Recovered { from: state_of(&e) });
                }
            }
            // It says something of the messages, not of the archive.
            Err(e) if matches!(e.kind(), ErrorKind::TakenDown | ErrorKind::TimestampTooOld) => {}
            // That is told by `reached`.
            Err(e) if e.kind() == ErrorKind::ArchiveUnavailable => {}
            Err(e) => {
                if self.writing.set(e) {
                    let notice = ArchiveNotice::Trouble { state: state_of(e), error: e.clone() };
                    self.tell(&notice);
                }
            }
        }
    }

    /// A driver was asked something: whether its database can be reached.
    pub(super) fn reached<T>(&self, writes: bool, result: &Result<T>) {
        let away = &self.away[usize::from(writes)];
        match result {
            Err(e) if e.kind() == ErrorKind::ArchiveUnavailable => {
                if away.set(e) {
                    let state = ArchiveState::Unavailable;
                    self.tell(&ArchiveNotice::Trouble { state, error: e.clone() });
                }
            }
            // Not reached, or not known to be.
            Err(e) if matches!(e.kind(), ErrorKind::Poisoned | ErrorKind::Internal) => {}
            _ => {
                if away.clear().is_some() {
                    self.tell(&ArchiveNotice::Recovered { from: ArchiveState::Unavailable });
                }
            }
        }
    }

    /// Has an observer told from now on, unless there is one.
    pub(super) fn observe(&self, observer: ArchiveObserver) -> bool {
        let mut place = self.observer.lock().unwrap_or_else(PoisonError::into_inner);
        let free = place.is_none();
        if free {
            *place = Some(observer);
        }
        free
    }

    fn tell(&self, notice: &ArchiveNotice) {
        let observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(observer) = observer {
            quietly(|| observer(notice));
        }
    }

    /// The state and the trouble, but for what the queue and the backend know.
    pub(super) fn state(&self) -> (ArchiveState, Option<Error>) {
        let [from_reader, from_writer] = &self.away;
        let trouble =
            from_writer.get().or_else(|| self.writing.get()).or_else(|| from_reader.get());
        let state = trouble.as_ref().map_or(ArchiveState::Writable, state_of);
        (state, trouble)
    }

    /// All of it, with nothing that waits.
    pub(super) fn read(&self) -> ArchiveUsage {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (state, trouble) = self.state();
        ArchiveUsage {
            state,
            trouble,
            stored: self.stored.each_ref().map(get),
            duplicates: get(&self.duplicates),
            refused: self.refused.each_ref().map(get),
            failed: get(&self.failed),
            busy: get(&self.busy),
            queries: get(&self.queries),
            unknown_cursors: get(&self.unknown_cursors),
            failed_queries: get(&self.failed_queries),
            expired: get(&self.expired),
            taken_down: get(&self.taken_down),
            failed_retention: get(&self.failed_retention),
            put_times: self.put_times.read(),
            query_times: self.query_times.read(),
            waiting_puts: 0,
            waiting_bytes: 0,
            waiting_reads: 0,
            waiting_removals: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn error<T>(kind: ErrorKind) -> Result<T> {
        Err(Error::new(kind, "on purpose"))
    }

    #[test]
    fn trouble_is_told_once_and_is_over_once() {
        let counters = Counters::default();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let observer: ArchiveObserver =
            Arc::new(move |notice| heard.lock().unwrap().push(notice.clone()));
        assert!(counters.observe(observer.clone()));
        assert!(!counters.observe(observer), "there is one");
        for _ in 0..3 {
            counters.committed::<()>(&error(ErrorKind::DiskFull));
        }
        assert_eq!(counters.state().0, ArchiveState::DiskFull);
        counters.committed::<()>(&error(ErrorKind::TakenDown));
        assert_eq!(counters.state().0, ArchiveState::DiskFull);
        // Away from the writer: that is what an operator must know first.
        counters.reached::<()>(true, &error(ErrorKind::ArchiveUnavailable));
        counters.reached(false, &Ok(()));
        assert_eq!(counters.state().0, ArchiveState::Unavailable);
        counters.reached(true, &Ok(()));
        assert_eq!(counters.state().0, ArchiveState::DiskFull);
        counters.committed(&Ok(()));
        counters.committed(&Ok(()));
        assert_eq!(counters.state(), (ArchiveState::Writable, None));
        let states: Vec<_> = (told.lock().unwrap().iter())
            .map(|notice| match notice {
                ArchiveNotice::Trouble { state, .. } => (true, *state),
                ArchiveNotice::Recovered { from } => (false, *from),
                other => panic!("{other:?}"),
            })
            .collect();
        use ArchiveState::{DiskFull, Unavailable};
        let want = [(true, DiskFull), (true, Unavailable), (false, Unavailable), (false, DiskFull)];
        assert_eq!(states, want);
    }

    #[test]
    fn each_refusal_has_its_place() {
        let counters = Counters::default();
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place);
        }
        let refused = |kind| PutOutcome::Refused(Error::new(kind, ""));
        let outcomes = [
            PutOutcome::Stored,
            PutOutcome::Duplicate,
            PutOutcome::Stored,
            refused(ErrorKind::TimestampTooOld),
            refused(ErrorKind::ValidatorRefused),
            refused(ErrorKind::InvalidTopic),
        ];
        counters.came(&outcomes, Origin::Resume);
        counters.failed(&outcomes);
        let usage = counters.read();
        assert_eq!((usage.stored, usage.duplicates, usage.failed), ([0, 0, 2, 0], 1, 3));
        assert_eq!(usage.refused, [1, 0, 0, 0, 0, 1, 0, 0, 1]);
    }
}
