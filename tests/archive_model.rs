//! Any history against a plain model in memory: puts, duplicates, takedowns, retention, closing and
//! opening, and after each step all that can be asked. On every backend.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::BTreeSet;

use archive_support::*;
use proptest::prelude::*;
use wakustore::archive::{Backend, Driver, IndexQuery, MemoryBackend, Removal};
use wakustore::types::{
    Direction, Filter, MessageHash, Origin, Query, StoredMessage, TimeRange, Timestamp,
};

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(u32, u32, i64, u8)>),
    TakeDown(Vec<u8>),
    Oldest { before: Option<i64>, limit: usize },
    Reopen,
}

#[derive(Clone, Debug)]
struct Question {
    pubsub_topic: Option<u32>,
    content_topics: Vec<u32>,
    time: Option<(i64, i64)>,
    hashes: Vec<u8>,
    cursor: Option<u8>,
    forward: bool,
    limit: usize,
}

fn step() -> impl Strategy<Value = Step> {
    let message = (0u32..3, 0u32..5, 0i64..40, 0u8..4);
    prop_oneof![
        6 => proptest::collection::vec(message, 1..16).prop_map(Step::Put),
        2 => proptest::collection::vec(any::<u8>(), 1..5).prop_map(Step::TakeDown),
        2 => (proptest::option::of(0i64..40), 1usize..12)
            .prop_map(|(before, limit)| Step::Oldest { before, limit }),
        1 => Just(Step::Reopen),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    (
        proptest::option::of(0u32..4),
        proptest::collection::vec(0u32..6, 0..4),
        proptest::option::of((0i64..40, 0i64..20)),
        proptest::collection::vec(any::<u8>(), 0..4),
        proptest::option::of(any::<u8>()),
        any::<bool>(),
        1usize..20,
    )
        .prop_map(|(pubsub_topic, content_topics, time, hashes, cursor, forward, limit)| {
            Question { pubsub_topic, content_topics, time, hashes, cursor, forward, limit }
        })
}

/// What an archive must hold.
#[derive(Default)]
struct Model {
    held: Vec<StoredMessage>,
    /// All that ever came, so that what is gone is asked for too.
    ever: Vec<MessageHash>,
    down: BTreeSet<MessageHash>,
    floor: i64,
}

impl Model {
    fn holds(&self, hash: &MessageHash) -> bool {
        self.held.iter().any(|m| m.hash == *hash)
    }

    fn pick(&self, i: u8) -> MessageHash {
        let at = usize::from(i) % (self.ever.len() + 2);
        self.ever.get(at).copied().unwrap_or(unknown_hash(i))
    }
}

/// A backend under test; opened again it must be the same.
struct Place {
    name: &'static str,
    backend: Box<dyn Backend>,
    writer: Box<dyn Driver>,
    reopen: Option<Box<dyn Fn() -> Box<dyn Backend>>>,
}

impl Place {
    fn new(name: &'static str, open: impl Fn() -> Box<dyn Backend> + 'static, stays: bool) -> Self {
        let backend = open();
        let writer = backend.writer().unwrap();
        let reopen: Box<dyn Fn() -> Box<dyn Backend>> = Box::new(open);
        Place { name, backend, writer, reopen: stays.then_some(reopen) }
    }

    fn reopen(&mut self) {
        if let Some(open) = &self.reopen {
            self.writer.close();
            self.writer = Box::new(Gone);
            self.backend = open();
            self.writer = self.backend.writer().unwrap();
        }
    }
}

/// Where a driver was, so that the old one is gone before the new one comes.
struct Gone;

impl Driver for Gone {
    fn put(&mut self, _: &[(StoredMessage, Origin)]) -> wakustore::Result<Vec<bool>> {
        unreachable!()
    }
    fn query(&mut self, _: &Query) -> wakustore::Result<wakustore::types::Page> {
        unreachable!()
    }
    fn get(&mut self, _: &[MessageHash]) -> wakustore::Result<Vec<StoredMessage>> {
        unreachable!()
    }
    fn missing(&mut self, _: &[MessageHash]) -> wakustore::Result<Vec<MessageHash>> {
        unreachable!()
    }
    fn index(&mut self, _: &IndexQuery) -> wakustore::Result<Vec<wakustore::archive::IndexEntry>> {
        unreachable!()
    }
    fn stats(&mut self) -> wakustore::Result<wakustore::archive::Stats> {
        unreachable!()
    }
}

fn take(place: &mut Place, model: &mut Model, step: &Step) {
    let name = place.name;
    let writer = &mut place.writer;
    match step {
        Step::Put(messages) => {
            // What the archive's rules keep from a driver: what is down, and what is below the floor.
            let batch: Vec<_> = messages
                .iter()
                .map(|(p, c, time, payload)| {
                    message(*p, *c, model.floor.max(0) + time, &payload.to_string())
                })
                .filter(|m| !model.down.contains(&m.hash))
                .collect();
            let mut want = Vec::new();
            for m in &batch {
                want.push(!model.holds(&m.hash));
                if !model.holds(&m.hash) {
                    model.held.push(m.clone());
                    model.ever.push(m.hash);
                }
            }
            let batch: Vec<_> = batch.into_iter().map(|m| (m, Origin::Sync)).collect();
            assert_eq!(writer.put(&batch).unwrap(), want, "{name}");
        }
        Step::TakeDown(picks) => {
            let hashes: Vec<_> = picks.iter().map(|i| model.pick(*i)).collect();
            let want: BTreeSet<_> =
                hashes.iter().filter(|hash| model.holds(hash)).copied().collect();
            let removed = writer.remove(&Removal::Hashes(hashes.clone())).unwrap();
            assert_eq!(removed.len(), want.len(), "{name}");
            let removed: BTreeSet<_> = removed.iter().map(|item| item.id.hash).collect();
            assert_eq!(removed, want, "{name}");
            model.held.retain(|m| !want.contains(&m.hash));
            model.down.extend(hashes);
        }
        Step::Oldest { before, limit } => {
            let before = before.map_or(Timestamp::MAX, |time| Timestamp(model.floor.max(0) + time));
            model.held.sort_by_key(StoredMessage::sync_id);
            let old = model.held.iter().take_while(|m| m.timestamp() < before).take(*limit);
            let old: Vec<_> = old.map(|m| (m.sync_id(), m.pubsub_topic.clone())).collect();
            let removed = writer.remove(&Removal::Oldest { before, limit: *limit }).unwrap();
            assert!(removed.iter().all(|item| item.origin == Origin::Sync), "{name}");
            let removed: Vec<_> =
                removed.into_iter().map(|item| (item.id, item.pubsub_topic)).collect();
            assert_eq!(removed, old, "{name}");
            model.held.drain(..old.len());
            if let Some((last, _)) = old.last() {
                model.floor = model.floor.max(last.timestamp.nanos() + 1);
            }
        }
        Step::Reopen => place.reopen(),
    }
}

/// Asks everything, of the writer and of a reader.
fn ask(place: &mut Place, model: &Model, question: &Question) {
    let name = place.name;
    let mut reader = place.backend.reader().unwrap();
    for driver in reader.iter_mut().chain([&mut place.writer]) {
        let topics = |topics: &[u32]| topics.iter().copied().map(content).collect::<Vec<_>>();
        let base = model.floor.max(0);
        let filter = Filter {
            pubsub_topic: question.pubsub_topic.map(pubsub),
            content_topics: topics(&question.content_topics),
            time: question.time.map_or(TimeRange::ALL, |(start, length)| {
                let start = base + start;
                TimeRange::new(Timestamp(start), Timestamp(start + length)).unwrap()
            }),
            hashes: question.hashes.iter().map(|i| model.pick(*i)).collect(),
        };
        let index = IndexQuery {
            time: filter.time,
            pubsub_topics: filter.pubsub_topic.clone().into_iter().collect(),
            content_topics: filter.content_topics.clone(),
            after: model.held.first().filter(|_| question.forward).map(StoredMessage::sync_id),
            limit: question.limit,
        };
        assert_eq!(driver.index(&index).unwrap(), model_index(&model.held, &index), "{name}");
        // The rules let hashes come alone only.
        let filter = if filter.hashes.is_empty() {
            filter
        } else {
            Filter { hashes: filter.hashes, ..Filter::default() }
        };
        let query = Query {
            filter,
            cursor: question.cursor.map(|i| model.pick(i)),
            direction: if question.forward { Direction::Forward } else { Direction::Backward },
            limit: question.limit,
            include_data: !question.limit.is_multiple_of(3),
        };
        let answer = driver.query(&query).map_err(|e| e.kind());
        assert_eq!(answer, model_page(&model.held, &query), "{name}: {query:?}");

        let mut asked = model.ever.clone();
        asked.extend(model.down.iter().copied());
        asked.push(unknown_hash(255));
        let got: BTreeSet<_> = driver.get(&asked).unwrap().iter().map(|m| m.hash).collect();
        assert_eq!(got, model.held.iter().map(|m| m.hash).collect(), "{name}");
        let mut seen = BTreeSet::new();
        let known = |hash: &MessageHash| model.holds(hash) || model.down.contains(hash);
        let missing: Vec<_> =
            asked.iter().filter(|hash| !known(hash) && seen.insert(**hash)).copied().collect();
        assert_eq!(driver.missing(&asked).unwrap(), missing, "{name}");
        let mut down = driver.taken_down(&asked).unwrap();
        down.sort_unstable();
        down.dedup();
        assert!(down.iter().eq(&model.down), "{name}");
        let figures = driver.figures().unwrap();
        assert_eq!(figures.messages, model.held.len() as u64, "{name}");
        let floor = if model.floor == 0 { i64::MIN } else { model.floor };
        assert_eq!(figures.floor, Timestamp(floor), "{name}");
        let times = || model.held.iter().map(StoredMessage::timestamp);
        assert_eq!(figures.oldest, times().min(), "{name}");
        let stats = driver.stats().unwrap();
        assert_eq!(stats.messages, figures.messages, "{name}");
        assert_eq!((stats.oldest, stats.newest), (times().min(), times().max()), "{name}");
    }
}

/// Fresh places, and the directory that goes with them.
fn places() -> (Vec<Place>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    #[cfg_attr(not(feature = "sqlite"), allow(unused_mut))]
    let mut places = vec![Place::new("memory", || Box::new(MemoryBackend::default()), false)];
    #[cfg(feature = "sqlite")]
    {
        use wakustore::archive::{Durability, SqliteBackend, SqliteConfig};
        let open = |path: std::path::PathBuf| -> Box<dyn Backend> {
            // What a power loss takes is not the matter here.
            let durability = Durability::Normal;
            Box::new(
                SqliteBackend::open(SqliteConfig { durability, ..SqliteConfig::new(path) })
                    .unwrap(),
            )
        };
        let path = dir.path().join("archive.db");
        places.push(Place::new("sqlite file", move || open(path.clone()), true));
        places.push(Place::new("sqlite :memory:", move || open(":memory:".into()), false));
    }
    (places, dir)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_history_is_the_model(steps in proptest::collection::vec((step(), question()), 1..40)) {
        let (places, _dir) = places();
        for mut place in places {
            let mut model = Model::default();
            for (step, question) in &steps {
                take(&mut place, &mut model, step);
                ask(&mut place, &model, question);
            }
        }
    }
}

/// Where the archive looks again, the driver says why.
#[cfg(feature = "sqlite")]
#[test]
fn a_put_below_the_floor_is_refused_by_name() {
    use wakustore::ErrorKind;
    let (mut places, _dir) = places();
    for place in places.iter_mut().filter(|place| place.name != "memory") {
        let put = |place: &mut Place, time| {
            let m = message(0, 0, time, "one");
            place.writer.put(&[(m, Origin::Import)]).map_err(|e| e.kind())
        };
        assert_eq!(put(place, 7), Ok(vec![true]));
        let oldest = Removal::Oldest { before: Timestamp::MAX, limit: 1 };
        assert_eq!(place.writer.remove(&oldest).unwrap().len(), 1);
        place.reopen();
        assert_eq!(put(place, 7), Err(ErrorKind::TimestampTooOld), "{}", place.name);
        assert_eq!(put(place, 8), Ok(vec![true]), "{}", place.name);
    }
}
