//! The change feed over a backend where commits can overtake each other: what is told ahead of the
//! log's horizon, what the log tells later, and that nobody is woken for nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive_support::*;
use proptest::prelude::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, Backend, Change, Changes, Commit, Driver, Feed, FeedEvent, FeedItem, IndexEntry,
    IndexQuery, Logged, Position, Stats,
};
use wakustore::error::{Error, Result};
use wakustore::types::{MessageHash, Origin, Page, Query, StoredMessage};

const LONG: Duration = Duration::from_secs(30);
const ARCHIVE: u64 = 77;

/// A database whose transactions draw their number when they begin, as PostgreSQL's do. Those of
/// the archive's own driver commit at once; the others' when the test says so.
#[derive(Clone, Default)]
struct Database(Arc<Mutex<Tables>>, Arc<AtomicUsize>);

#[derive(Default)]
struct Tables {
    last: u64,
    open: BTreeSet<u64>,
    /// By transaction and place in it; with whether it is the archive's own.
    log: BTreeMap<(u64, u64), (FeedItem, bool)>,
    hashes: HashSet<MessageHash>,
    /// The next question for changes fails.
    fails: bool,
}

impl Tables {
    /// Nothing that is still open is at or below this.
    fn horizon(&self) -> u64 {
        self.open.first().map_or(self.last, |open| open - 1)
    }

    fn write(&mut self, number: u64, own: bool, messages: &[(StoredMessage, Origin)]) -> Vec<bool> {
        let mut new = Vec::new();
        for (i, (m, origin)) in messages.iter().enumerate() {
            new.push(self.hashes.insert(m.hash));
            if new[i] {
                self.log.insert((number, i as u64), (FeedItem::new(m, *origin), own));
            }
        }
        new
    }
}

impl Database {
    fn begin(&self) -> u64 {
        let mut tables = self.0.lock().unwrap();
        tables.last += 1;
        let number = tables.last;
        tables.open.insert(number);
        number
    }

    fn commit(&self, number: u64, m: &StoredMessage) {
        let mut tables = self.0.lock().unwrap();
        tables.open.remove(&number);
        tables.write(number, false, &[(m.clone(), Origin::Sync)]);
    }
}

struct OneDriver(Database, Option<Commit>);

impl Backend for Database {
    fn writer(&self) -> Result<Box<dyn Driver>> {
        Ok(Box::new(OneDriver(self.clone(), None)))
    }

    fn reader(&self) -> Result<Option<Box<dyn Driver>>> {
        self.writer().map(Some)
    }
}

impl Driver for OneDriver {
    fn put(&mut self, batch: &[(StoredMessage, Origin)]) -> Result<Vec<bool>> {
        let mut tables = self.0.0.lock().unwrap();
        let before = Position::new(ARCHIVE, tables.last, u64::MAX);
        tables.last += 1;
        let number = tables.last;
        let at = Position::new(ARCHIVE, number, u64::MAX);
        self.1 = Some(Commit { before, at, settled: false });
        Ok(tables.write(number, true, batch))
    }

    fn position(&mut self) -> Result<Position> {
        Ok(Position::new(ARCHIVE, self.0.0.lock().unwrap().horizon(), u64::MAX))
    }

    fn changes(&mut self, after: Position, limit: usize) -> Result<Changes> {
        let mut tables = self.0.0.lock().unwrap();
        if std::mem::take(&mut tables.fails) {
            return Err(Error::new(ErrorKind::ArchiveIo, "as the test wants it"));
        }
        let end = Position::new(ARCHIVE, tables.horizon(), u64::MAX);
        let all = tables.log.iter().map(|(&(number, place), (item, own))| Logged {
            at: Position::new(ARCHIVE, number, place),
            own: *own,
            change: Change::Stored(item.clone()),
        });
        let mut entries: Vec<_> = all.filter(|e| e.at > after && e.at <= end).collect();
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = if more { entries[limit - 1].at } else { end.max(after) };
        Ok(Changes { entries, next, more })
    }

    fn last_commit(&mut self) -> Option<Commit> {
        self.1
    }

    fn foreign_mark(&mut self) -> Result<Option<u64>> {
        self.0.1.fetch_add(1, Ordering::SeqCst);
        Ok(Some(self.0.0.lock().unwrap().horizon()))
    }

    fn query(&mut self, _: &Query) -> Result<Page> {
        unreachable!()
    }
    fn get(&mut self, _: &[MessageHash]) -> Result<Vec<StoredMessage>> {
        unreachable!()
    }
    fn missing(&mut self, _: &[MessageHash]) -> Result<Vec<MessageHash>> {
        unreachable!()
    }
    fn index(&mut self, _: &IndexQuery) -> Result<Vec<IndexEntry>> {
        unreachable!()
    }
    fn stats(&mut self) -> Result<Stats> {
        Ok(Stats::default())
    }
}

fn message_of(i: usize) -> StoredMessage {
    message(0, 0, i as i64, "")
}

fn open() -> (Database, Archive) {
    let database = Database::default();
    let archive = Archive::open(database.clone(), config()).unwrap();
    (database, archive)
}

fn times(event: &FeedEvent) -> Vec<i64> {
    match event {
        FeedEvent::Stored(items) => items.iter().map(|item| item.id.timestamp.nanos()).collect(),
        other => panic!("{other:?}"),
    }
}

fn wait(feed: &mut Feed, count: usize) -> Vec<i64> {
    let mut told = Vec::new();
    while told.len() < count {
        told.extend(times(&feed.wait(LONG).unwrap().unwrap()));
    }
    told
}

fn put(archive: &Archive, i: usize) {
    archive.put(vec![message_of(i)], Origin::Import).wait().unwrap();
}

#[test]
fn a_slow_transaction_holds_nobody_up_and_is_not_passed_over() {
    let (database, archive) = open();
    let start = archive.position().wait().unwrap();
    let mut live = archive.subscribe_from(start, 100).wait().unwrap();
    let slow = database.begin();
    put(&archive, 1);
    put(&archive, 2);
    // By the time that it is acknowledged, ahead of the horizon.
    assert_eq!(live.try_next().map(|e| times(&e)), Some(vec![1]));
    assert_eq!(live.try_next().map(|e| times(&e)), Some(vec![2]));
    assert_eq!(live.position(), Some(start), "the log has not come so far");
    // One that comes now is told of both, once the horizon has passed them.
    let mut late = archive.subscribe_from(start, 100).wait().unwrap();
    put(&archive, 3);
    assert_eq!(wait(&mut late, 1), [3]);
    database.commit(slow, &message_of(0));
    assert_eq!(wait(&mut late, 3), [0, 1, 2]);
    assert_eq!(wait(&mut live, 2), [3, 0]);
    let end = archive.position().wait().unwrap();
    let last = database.begin();
    database.commit(last, &message_of(4));
    assert_eq!(wait(&mut live, 1), [4]);
    assert_eq!(wait(&mut late, 1), [4]);
    assert!(live.position() > Some(end) && live.position() == late.position());
}

#[test]
fn what_was_stored_ahead_with_nobody_there_is_in_the_log() {
    let (database, archive) = open();
    let slow = database.begin();
    put(&archive, 1);
    let mut feed = archive.subscribe_from(Position::START, 100).wait().unwrap();
    put(&archive, 2);
    database.commit(slow, &message_of(0));
    assert_eq!(wait(&mut feed, 3), [2, 0, 1]);
}

#[test]
fn what_could_not_be_read_is_read_later() {
    let (database, archive) = open();
    let mut live = archive.subscribe_from(Position::START, 100).wait().unwrap();
    database.0.lock().unwrap().fails = true;
    let number = database.begin();
    database.commit(number, &message_of(0));
    assert_eq!(wait(&mut live, 1), [0]);
    // And who comes in just then has an error for an answer.
    database.0.lock().unwrap().fails = true;
    let e = archive.subscribe_from(Position::START, 100).wait().err().unwrap();
    assert_eq!(e.kind(), ErrorKind::ArchiveIo);
}

#[test]
fn with_nobody_subscribed_nothing_is_looked_at() {
    let (database, archive) = open();
    for i in 0..50 {
        put(&archive, i);
    }
    let feed = archive.subscribe(1_000);
    put(&archive, 50);
    drop(feed);
    put(&archive, 51);
    let looks = database.1.load(Ordering::SeqCst);
    assert!(looks >= 1, "it was followed once");
    for i in 52..300 {
        put(&archive, i);
    }
    assert_eq!(database.1.load(Ordering::SeqCst), looks);
}

#[derive(Clone, Debug)]
enum Step {
    Put,
    Begin,
    /// The transaction that was begun so many before the last one, of those that are open.
    Commit(usize),
    Subscribe(usize),
    Take(usize),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Whenever somebody comes in, with whatever open: each message once.
    #[test]
    fn each_message_comes_once(
        steps in prop::collection::vec(
            prop_oneof![
                4 => Just(Step::Put),
                2 => Just(Step::Begin),
                2 => (0..5usize).prop_map(Step::Commit),
                1 => (1..20usize).prop_map(Step::Subscribe),
                1 => any::<usize>().prop_map(Step::Take),
            ],
            1..80,
        )
    ) {
        let (database, archive) = open();
        let mut feeds: Vec<(Feed, Vec<i64>)> = Vec::new();
        let mut open: Vec<u64> = Vec::new();
        let mut count = 0;
        for step in &steps {
            match step {
                Step::Put => {
                    put(&archive, count);
                    count += 1;
                }
                Step::Begin => open.push(database.begin()),
                Step::Commit(which) => {
                    if let Some(at) = open.len().checked_sub(1 + which) {
                        database.commit(open.remove(at), &message_of(count));
                        count += 1;
                    }
                }
                Step::Subscribe(capacity) => {
                    // Large enough once it is live; small parts of the log.
                    let capacity = if count > 20 { 1_000 } else { 100 * capacity };
                    let feed = archive.subscribe_from(Position::START, capacity).wait().unwrap();
                    feeds.push((feed, Vec::new()));
                }
                Step::Take(which) => {
                    let which = which.checked_rem(feeds.len());
                    if let Some((feed, told)) = which.map(|which| &mut feeds[which])
                        && let Some(event) = feed.try_next()
                    {
                        told.extend(times(&event));
                    }
                }
            }
        }
        for number in open {
            database.commit(number, &message_of(count));
            count += 1;
        }
        for (feed, told) in &mut feeds {
            let rest = count - told.len();
            told.extend(wait(feed, rest));
            told.sort_unstable();
            let want: Vec<i64> = (0..count as i64).collect();
            prop_assert_eq!(&*told, &want);
        }
    }
}
