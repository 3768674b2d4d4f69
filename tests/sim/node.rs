//! One node of the simulation: an engine over an archive in memory that can fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use wakustore::archive::{
    Backend, Driver, FeedEvent, FeedItem, IndexEntry, IndexQuery, MemoryBackend, PutOutcome, Rules,
};
use wakustore::engine::{
    Engine, EngineConfig, FetchId, LoadId, Misbehaviour, MissingId, Now, Output, PeerKey,
    SessionId, StoreId, SyncProgress, SyncReport,
};
use wakustore::types::{MessageHash, Origin, Page, Query, StoredMessage, TimeRange, Timestamp};
use wakustore::{Error, ErrorKind, Result};

use super::messages::START;
use super::store::StorePeer;

/// What an archive was asked.
pub enum Question {
    Load(LoadId, IndexQuery),
    Fetch(FetchId, Vec<MessageHash>),
    Store(StoreId, Vec<StoredMessage>),
    Missing(MissingId, Vec<MessageHash>),
}

pub struct Node {
    pub engine: Engine,
    driver: Box<dyn Driver>,
    rules: Rules,
    pub archive_delay: Duration,
    pub feed_delay: Duration,
    /// The next answers to each kind of question: an error, or `None` for the true one.
    pub load_faults: VecDeque<Option<ErrorKind>>,
    pub fetch_faults: VecDeque<Option<ErrorKind>>,
    pub store_faults: VecDeque<Option<ErrorKind>>,
    pub missing_faults: VecDeque<Option<ErrorKind>>,
    /// How it serves Store.
    pub store: StorePeer,
    /// Messages that retention has deleted between the index and the question for them.
    pub deleted: BTreeSet<MessageHash>,
    /// Sizes of the questions, in messages or ids.
    pub fetches: Vec<usize>,
    pub stores: Vec<usize>,
    pub lookups: Vec<usize>,
    /// What the batches were stored as.
    pub origins: Vec<Origin>,
    pub loads: usize,
    pub finished: Vec<(SessionId, SyncReport)>,
    pub progress: Vec<(SessionId, SyncProgress)>,
    pub penalties: Vec<(PeerKey, Misbehaviour)>,
    /// How often the engine asked for its state to be saved.
    pub saves: usize,
    /// What it was when that last happened.
    pub saved: Vec<u8>,
    /// Transfer frames that the socket holds while the engine is not ready for more.
    pub inbox: BTreeMap<usize, VecDeque<Option<Bytes>>>,
    pub connected: BTreeSet<PeerKey>,
    /// How far its wall clock is off.
    pub skew: i64,
}

fn fault<T>(
    faults: &mut VecDeque<Option<ErrorKind>>,
    answer: impl FnOnce() -> Result<T>,
) -> Result<T> {
    match faults.pop_front().flatten() {
        Some(kind) => Err(Error::new(kind, "made to fail")),
        None => answer(),
    }
}

impl Node {
    pub fn new(config: EngineConfig, seed: u64, elapsed: Duration) -> Self {
        Node {
            engine: Engine::new(config, seed, now(elapsed, 0)),
            driver: MemoryBackend::default().writer().unwrap(),
            rules: Rules::default(),
            archive_delay: Duration::from_millis(1),
            feed_delay: Duration::from_millis(1),
            load_faults: VecDeque::new(),
            fetch_faults: VecDeque::new(),
            store_faults: VecDeque::new(),
            missing_faults: VecDeque::new(),
            store: StorePeer::default(),
            deleted: BTreeSet::new(),
            fetches: Vec::new(),
            stores: Vec::new(),
            lookups: Vec::new(),
            origins: Vec::new(),
            loads: 0,
            finished: Vec::new(),
            progress: Vec::new(),
            penalties: Vec::new(),
            saves: 0,
            saved: Vec::new(),
            inbox: BTreeMap::new(),
            connected: BTreeSet::new(),
            skew: 0,
        }
    }

    /// Takes the place of its engine and of all that hung on it, and keeps archive and clock; gives
    /// what its sessions had reported.
    pub fn restarted(&mut self, new: Node) -> Vec<SyncReport> {
        let old = std::mem::replace(self, new);
        (self.driver, self.rules, self.skew) = (old.driver, old.rules, old.skew);
        (self.archive_delay, self.feed_delay) = (old.archive_delay, old.feed_delay);
        (self.penalties, self.deleted) = (old.penalties, old.deleted);
        self.saved = old.saved;
        old.finished.into_iter().map(|(_, report)| report).collect()
    }

    /// All messages that are held.
    pub fn ids(&mut self) -> Vec<IndexEntry> {
        self.walk(TimeRange::ALL)
    }

    /// Puts messages there without telling the engine: as if before it started.
    pub fn fill(&mut self, messages: &[StoredMessage]) {
        let batch: Vec<_> = messages.iter().map(|m| (m.clone(), Origin::Import)).collect();
        self.driver.put(&batch).unwrap();
    }

    /// Puts messages there and gives what the feed tells of them.
    pub fn put(&mut self, messages: Vec<StoredMessage>, origin: Origin) -> Option<FeedEvent> {
        let batch: Vec<_> = messages.into_iter().map(|m| (m, origin)).collect();
        let new = self.driver.put(&batch).unwrap();
        let items: Vec<FeedItem> = batch
            .iter()
            .zip(new)
            .filter(|(_, new)| *new)
            .map(|((m, origin), _)| FeedItem {
                id: m.sync_id(),
                pubsub_topic: m.pubsub_topic.clone(),
                content_topic: m.message.content_topic.clone(),
                origin: *origin,
            })
            .collect();
        (!items.is_empty()).then(|| FeedEvent::Stored(items.into()))
    }

    pub fn hashes(&mut self) -> BTreeSet<MessageHash> {
        self.walk(TimeRange::ALL).into_iter().map(|e| e.id.hash).collect()
    }

    /// A page, as the archive gives it to Store.
    pub fn page(&mut self, query: &Query) -> Result<Page> {
        self.driver.query(query)
    }

    /// Lets go of a message, as retention does.
    pub fn forget(&mut self, hash: MessageHash) {
        let held = self.walk(TimeRange::ALL).into_iter().map(|e| e.id.hash);
        let kept: Vec<_> = held.filter(|h| *h != hash).collect();
        let kept = self.driver.get(&kept).unwrap();
        self.driver = MemoryBackend::default().writer().unwrap();
        self.fill(&kept);
    }

    fn walk(&mut self, time: TimeRange) -> Vec<IndexEntry> {
        let query = IndexQuery {
            time,
            pubsub_topics: Vec::new(),
            content_topics: Vec::new(),
            after: None,
            limit: usize::MAX,
        };
        self.driver.index(&query).unwrap()
    }

    /// Answers a question, and gives what the feed then tells.
    pub fn answer(&mut self, question: Question, now: Now) -> Option<FeedEvent> {
        match question {
            Question::Load(load, query) => {
                self.loads += 1;
                let entries = fault(&mut self.load_faults, || self.driver.index(&query));
                self.engine.loaded(now, load, entries);
                None
            }
            Question::Fetch(fetch, hashes) => {
                self.fetches.push(hashes.len());
                let held: Vec<_> =
                    hashes.into_iter().filter(|h| !self.deleted.contains(h)).collect();
                let messages = fault(&mut self.fetch_faults, || self.driver.get(&held));
                self.engine.fetched(now, fetch, messages);
                None
            }
            Question::Missing(missing, hashes) => {
                self.lookups.push(hashes.len());
                let lacking = fault(&mut self.missing_faults, || self.driver.missing(&hashes));
                self.engine.missing(now, missing, lacking);
                None
            }
            Question::Store(store, messages) => {
                self.stores.push(messages.len());
                let mut event = None;
                let mut faults = std::mem::take(&mut self.store_faults);
                let outcomes = fault(&mut faults, || {
                    let (outcomes, fed) = self.store(messages, now.wall);
                    event = fed;
                    Ok(outcomes)
                });
                self.store_faults = faults;
                self.engine.stored(now, store, outcomes);
                event
            }
        }
    }

    fn store(
        &mut self,
        messages: Vec<StoredMessage>,
        wall: Timestamp,
    ) -> (Vec<PutOutcome>, Option<FeedEvent>) {
        let mut outcomes = Vec::new();
        let mut items = Vec::new();
        for m in messages {
            outcomes.push(match self.rules.check_message(&m, Origin::Sync, wall) {
                Err(error) => PutOutcome::Refused(error),
                Ok(()) => match self.put(vec![m], Origin::Sync) {
                    None => PutOutcome::Duplicate,
                    Some(FeedEvent::Stored(new)) => {
                        items.extend(new.iter().cloned());
                        PutOutcome::Stored
                    }
                    Some(_) => unreachable!(),
                },
            });
        }
        (outcomes, (!items.is_empty()).then(|| FeedEvent::Stored(items.into())))
    }

    /// Takes outputs of the engine: answers the archive's at once, and gives the network's.
    pub fn drain(&mut self, now: Now) -> Vec<Output> {
        let mut network = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match self.keep(output) {
                Kept::Ask(question) => {
                    if let Some(event) = self.answer(question, now) {
                        self.engine.fed(now, event);
                    }
                }
                Kept::Network(output) => network.push(output),
                Kept::Noted => {}
            }
        }
        network
    }

    /// Sorts an output by who carries it out.
    pub fn keep(&mut self, output: Output) -> Kept {
        match output {
            Output::Load { load, query } => Kept::Ask(Question::Load(load, query)),
            Output::Fetch { fetch, hashes } => Kept::Ask(Question::Fetch(fetch, hashes)),
            Output::Missing { missing, hashes } => Kept::Ask(Question::Missing(missing, hashes)),
            Output::Store { store, origin, messages } => {
                self.origins.push(origin);
                Kept::Ask(Question::Store(store, messages))
            }
            Output::Penalise { peer, what } => {
                self.penalties.push((peer, what));
                Kept::Noted
            }
            Output::SaveState => {
                self.saves += 1;
                self.saved = self.engine.state();
                Kept::Noted
            }
            Output::Progress { session, progress } => {
                self.progress.push((session, progress));
                Kept::Noted
            }
            Output::Finished { session, report } => {
                assert!(
                    self.finished.iter().all(|(other, _)| *other != session),
                    "{session:?} finished twice"
                );
                self.finished.push((session, *report));
                Kept::Noted
            }
            output => Kept::Network(output),
        }
    }

    pub fn report(&self, session: SessionId) -> &SyncReport {
        let found = self.finished.iter().find(|(id, _)| *id == session);
        &found.unwrap_or_else(|| panic!("{session:?} has not finished")).1
    }
}

/// Who carries an output out.
pub enum Kept {
    Ask(Question),
    Network(Output),
    Noted,
}

/// The time, as a node sees it.
pub fn now(elapsed: Duration, skew: i64) -> Now {
    Now { elapsed, wall: Timestamp(START.saturating_add(elapsed).nanos() + skew) }
}
