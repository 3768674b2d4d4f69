//! The in-memory driver: no file, no dependency; the model that the other drivers are tested against.
//!
//! Everything is in one ordered map, and a filter is a scan over the part of it that lies within
//! the time range: meant for windows of some ten thousand messages, not for a history.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use super::feed::FeedItem;
use super::memory_log::Log;
use super::report::{FindingKind, TopicKind, TopicQuery, TopicStats, VerifyReport};
use super::task::Control;
use super::{
    Backend, Changes, Commit, Driver, Figures, IndexEntry, IndexQuery, Position, Removal, Stats,
};
use crate::error::{Result, bail};
use crate::types::{
    ContentTopic, Direction, Entry, MessageHash, Origin, Page, Query, StoredMessage, SyncId,
    TimeRange, Timestamp, message_hash,
};

/// Messages whose hash is recomputed while nobody puts.
const VERIFY_STEP: usize = 256;

/// A backend that keeps everything in memory and forgets it when closed.
#[derive(Default)]
pub struct MemoryBackend(Arc<RwLock<State>>);

/// Every hash of `times` is in `messages` under that time and in `origins`, with its place in the
/// log, and the other way round.
#[derive(Default)]
struct State {
    messages: BTreeMap<SyncId, StoredMessage>,
    origins: HashMap<MessageHash, (Origin, u64)>,
    log: Log,
    taken_down: BTreeSet<MessageHash>,
    floor: Option<Timestamp>,
    times: HashMap<MessageHash, Timestamp>,
}

impl Backend for MemoryBackend {
    fn writer(&self) -> Result<Box<dyn Driver>> {
        Ok(Box::new(Memory(self.0.clone(), None)))
    }
    fn reader(&self) -> Result<Option<Box<dyn Driver>>> {
        Ok(Some(Box::new(Memory(self.0.clone(), None))))
    }
}

/// A driver, and its last commit; all of them share the state.
struct Memory(Arc<RwLock<State>>, Option<Commit>);

impl Memory {
    fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Driver for Memory {
    fn put(&mut self, batch: &[(StoredMessage, Origin)]) -> Result<Vec<bool>> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = state.log.position();
        let new = batch.iter().map(|(message, origin)| state.insert(message, *origin)).collect();
        self.1 = Some(state.log.commit(before));
        Ok(new)
    }

    fn query(&mut self, query: &Query) -> Result<Page> {
        self.read(|state| state.page(query))
    }

    fn get(&mut self, hashes: &[MessageHash]) -> Result<Vec<StoredMessage>> {
        let mut seen = HashSet::new();
        Ok(self.read(|state| {
            let new = hashes.iter().filter(|&&hash| seen.insert(hash));
            new.filter_map(|hash| state.get(hash)).cloned().collect()
        }))
    }

    fn missing(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        let mut seen = HashSet::new();
        Ok(self.read(|state| {
            let known = |hash: &&MessageHash| {
                state.times.contains_key(hash) || state.taken_down.contains(hash)
            };
            let missing = hashes.iter().filter(|hash| !known(hash));
            missing.copied().filter(|&hash| seen.insert(hash)).collect()
        }))
    }

    fn index(&mut self, query: &IndexQuery) -> Result<Vec<IndexEntry>> {
        let of_interest = |m: &&StoredMessage| {
            (query.pubsub_topics.is_empty() || query.pubsub_topics.contains(&m.pubsub_topic))
                && matches_content(&query.content_topics, m)
        };
        let entry = |m: &StoredMessage| IndexEntry {
            id: m.sync_id(),
            pubsub_topic: m.pubsub_topic.clone(),
            content_topic: m.message.content_topic.clone(),
        };
        Ok(self.read(|state| {
            let (lower, upper) = bounds(&query.time, query.after, Direction::Forward);
            state.range(lower, upper).filter(of_interest).take(query.limit).map(entry).collect()
        }))
    }

    fn remove(&mut self, removal: &Removal) -> Result<Vec<FeedItem>> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = state.log.position();
        let removed: Vec<FeedItem> = match removal {
            Removal::Oldest { before, limit } => {
                let old = state.messages.range(..SyncId::floor(*before)).take(*limit);
                let old: Vec<MessageHash> = old.map(|(id, _)| id.hash).collect();
                let removed: Vec<FeedItem> =
                    old.iter().filter_map(|hash| state.take(hash)).collect();
                if let Some(last) = removed.last().map(|item| item.id) {
                    let above = Timestamp(last.timestamp.nanos().saturating_add(1));
                    state.floor = state.floor.max(Some(above));
                    state.log.expired(last);
                }
                removed
            }
            Removal::Hashes(hashes) => {
                state.taken_down.extend(hashes);
                let removed: Vec<FeedItem> =
                    hashes.iter().filter_map(|hash| state.take(hash)).collect();
                removed.iter().for_each(|item| state.log.removed(item.clone()));
                removed
            }
        };
        self.1 = Some(state.log.commit(before));
        Ok(removed)
    }

    fn position(&mut self) -> Result<Position> {
        Ok(self.read(|state| state.log.position()))
    }

    fn changes(&mut self, after: Position, limit: usize) -> Result<Changes> {
        self.read(|state| {
            let item = |id: &SyncId| {
                let (origin, _) = state.origins.get(&id.hash)?;
                Some(FeedItem::new(state.messages.get(id)?, *origin))
            };
            state.log.changes(after, limit, item)
        })
    }

    fn last_commit(&mut self) -> Option<Commit> {
        self.1
    }

    fn taken_down(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        let down = |state: &State| {
            hashes.iter().filter(|hash| state.taken_down.contains(*hash)).copied().collect()
        };
        Ok(self.read(down))
    }

    fn figures(&mut self) -> Result<Figures> {
        Ok(self.read(|state| Figures {
            messages: state.messages.len() as u64,
            oldest: state.messages.keys().next().map(|id| id.timestamp),
            used_bytes: 0,
            floor: state.floor.unwrap_or(Timestamp(i64::MIN)),
            goes_with: None,
        }))
    }

    fn topic_stats(&mut self, query: &TopicQuery) -> Result<Vec<TopicStats>> {
        Ok(self.read(|state| state.topic_stats(query)))
    }

    fn tombstones(&mut self, after: Option<MessageHash>, limit: usize) -> Result<Vec<MessageHash>> {
        let lower = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = |state: &State| {
            state.taken_down.range((lower, Bound::Unbounded)).take(limit).copied().collect()
        };
        Ok(self.read(page))
    }

    fn reinstate(&mut self, hashes: &[MessageHash]) -> Result<u64> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Ok(hashes.iter().filter(|hash| state.taken_down.remove(*hash)).count() as u64)
    }

    fn verify(&mut self, control: &Control) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let mut lower = Bound::Unbounded;
        loop {
            control.check()?;
            let last = self.read(|state| {
                let mut last = None;
                for (id, m) in state.messages.range((lower, Bound::Unbounded)).take(VERIFY_STEP) {
                    if message_hash(&m.pubsub_topic, &m.message) != id.hash {
                        let what = "the content gives another hash";
                        report.findings.add(FindingKind::HashMismatch, Some(id.hash), what);
                    }
                    report.messages += 1;
                    last = Some(*id);
                }
                control.set(report.messages, state.messages.len() as u64);
                last
            });
            match last {
                Some(last) => lower = Bound::Excluded(last),
                None => return Ok(report),
            }
        }
    }

    fn stats(&mut self) -> Result<Stats> {
        Ok(self.read(|state| Stats {
            messages: state.messages.len() as u64,
            oldest: state.messages.keys().next().map(|id| id.timestamp),
            newest: state.messages.keys().next_back().map(|id| id.timestamp),
            bytes_on_disk: 0,
        }))
    }
}

impl State {
    /// A scan, as everything here.
    fn topic_stats(&self, query: &TopicQuery) -> Vec<TopicStats> {
        let mut topics: BTreeMap<&str, TopicStats> = BTreeMap::new();
        for m in self.messages.values() {
            let name = match query.kind {
                TopicKind::Pubsub => m.pubsub_topic.as_str(),
                TopicKind::Content => m.message.content_topic.as_str(),
            };
            if query.after.as_deref().is_some_and(|after| name <= after) {
                continue;
            }
            let topic = topics.entry(name).or_insert_with(|| TopicStats {
                name: name.to_owned(),
                messages: 0,
                bytes: 0,
                oldest: Some(m.timestamp()),
                newest: None,
            });
            let fields = [&m.message.meta, &m.message.rate_limit_proof];
            let optional = fields.into_iter().flatten().map(|field| field.len());
            topic.messages += 1;
            topic.bytes += (m.message.payload.len() + optional.sum::<usize>()) as u64;
            // They come in order of time.
            topic.newest = Some(m.timestamp());
        }
        topics.into_values().take(query.limit).collect()
    }

    fn insert(&mut self, message: &StoredMessage, origin: Origin) -> bool {
        let id = message.sync_id();
        if self.times.contains_key(&id.hash) {
            return false;
        }
        self.times.insert(id.hash, id.timestamp);
        let place = self.log.stored(id);
        self.origins.insert(id.hash, (origin, place));
        self.messages.insert(id, message.clone());
        true
    }

    fn take(&mut self, hash: &MessageHash) -> Option<FeedItem> {
        let timestamp = self.times.remove(hash)?;
        let message = self.messages.remove(&SyncId::new(timestamp, *hash))?;
        let (origin, place) = self.origins.remove(hash)?;
        self.log.forget(place);
        Some(FeedItem::new(&message, origin))
    }

    fn get(&self, hash: &MessageHash) -> Option<&StoredMessage> {
        self.messages.get(&SyncId::new(*self.times.get(hash)?, *hash))
    }

    /// The messages between two bounds in order; none where the bounds cross.
    fn range(
        &self,
        lower: Bound<SyncId>,
        upper: Bound<SyncId>,
    ) -> impl DoubleEndedIterator<Item = &StoredMessage> {
        let id = |bound: &Bound<SyncId>| match bound {
            Bound::Included(id) | Bound::Excluded(id) => Some(*id),
            Bound::Unbounded => None,
        };
        let crossed = id(&lower).zip(id(&upper)).is_some_and(|(lower, upper)| lower >= upper);
        let range = (!crossed).then(|| self.messages.range((lower, upper)));
        range.into_iter().flatten().map(|(_, message)| message)
    }

    fn page(&self, query: &Query) -> Result<Page> {
        let cursor = match query.cursor {
            None => None,
            Some(hash) => match self.times.get(&hash) {
                Some(time) => Some(SyncId::new(*time, hash)),
                None => bail!(CursorNotFound, "the archive holds no message {hash}"),
            },
        };
        let filter = &query.filter;
        let hashes: HashSet<&MessageHash> = filter.hashes.iter().collect();
        let matches = |m: &&StoredMessage| {
            filter.pubsub_topic.as_ref().is_none_or(|topic| *topic == m.pubsub_topic)
                && matches_content(&filter.content_topics, m)
                && (hashes.is_empty() || hashes.contains(&m.hash))
        };
        let (lower, upper) = bounds(&filter.time, cursor, query.direction);
        let found = self.range(lower, upper).filter(matches);
        // One more than asked for tells whether there are more.
        let mut found: Vec<_> = match query.direction {
            Direction::Forward => found.take(query.limit + 1).collect(),
            Direction::Backward => found.rev().take(query.limit + 1).collect(),
        };
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let cursor = found.last().filter(|_| more).map(|m| m.hash);
        if query.direction == Direction::Backward {
            found.reverse();
        }
        let data = |m: &StoredMessage| (m.pubsub_topic.clone(), m.message.clone());
        let entry =
            |m: &StoredMessage| Entry { hash: m.hash, data: query.include_data.then(|| data(m)) };
        Ok(Page { entries: found.into_iter().map(entry).collect(), cursor })
    }
}

fn matches_content(topics: &[ContentTopic], m: &StoredMessage) -> bool {
    topics.is_empty() || topics.contains(&m.message.content_topic)
}

/// The bounds of a time range, cut at a cursor, which is not within them itself.
fn bounds(
    time: &TimeRange,
    cursor: Option<SyncId>,
    direction: Direction,
) -> (Bound<SyncId>, Bound<SyncId>) {
    let start = SyncId::floor(time.start());
    let end = SyncId::floor(time.end());
    match (cursor, direction) {
        (Some(cursor), Direction::Forward) if cursor >= start => {
            (Bound::Excluded(cursor), Bound::Excluded(end))
        }
        (Some(cursor), Direction::Backward) if cursor < end => {
            (Bound::Included(start), Bound::Excluded(cursor))
        }
        _ => (Bound::Included(start), Bound::Excluded(end)),
    }
}
