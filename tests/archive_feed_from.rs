//! The change feed from a position on: what lies behind, the seam to what is live, and positions
//! that nobody can go on from. On every backend.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use archive_support::*;
use proptest::prelude::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, Feed, FeedEvent, FeedItem, MemoryBackend, Position, Retention,
};
use wakustore::types::{MessageHash, Origin, Query, StoredMessage, SyncId};

const LONG: Duration = Duration::from_secs(60);
/// So many removals are logged, by every driver.
const LOGGED_REMOVALS: usize = 100_000;

/// One test at a time: on PostgreSQL the log ends before whatever is open on the same server, also in
/// the database of another test.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a backend tells of its archive's own commits ahead of the log: then who goes on from a
/// position may be told again of what is ahead of it.
fn tells_ahead(name: &str) -> bool {
    name.starts_with("postgresql")
}

/// Waits until a subscriber that was told everything has its position at the end of the log.
fn reaches_the_end(feed: &Feed, archive: &Archive, name: &str) {
    let begin = Instant::now();
    while feed.position() != Some(archive.position().wait().unwrap()) {
        assert!(tells_ahead(name) && begin.elapsed() < LONG, "{name}: {:?}", feed.position());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ids(messages: &[StoredMessage]) -> Vec<SyncId> {
    messages.iter().map(StoredMessage::sync_id).collect()
}

fn from(archive: &Archive, position: Position, capacity: usize) -> Feed {
    archive.subscribe_from(position, capacity).wait().unwrap()
}

/// Waits for so many stored messages, in order.
fn stored(feed: &mut Feed, count: usize) -> Vec<FeedItem> {
    let mut items = Vec::new();
    while items.len() < count {
        match feed.wait(LONG).unwrap() {
            Some(FeedEvent::Stored(new)) => items.extend(new.iter().cloned()),
            other => panic!("{other:?} after {} of {count}", items.len()),
        }
    }
    items
}

#[test]
fn it_tells_what_came_after_the_position_and_then_what_comes() {
    let _alone = alone();
    for Opened { name, archive, dir: _dir } in every_backend(&config()) {
        let all = many(400, 20);
        let origins = [Origin::Import, Origin::Sync, Origin::Resume, Origin::Live];
        let put = |of: usize| {
            let batch = all[of * 100..][..100].to_vec();
            archive.put(batch, origins[of]).wait().unwrap();
        };
        put(0);
        let kept = archive.position().wait().unwrap().to_bytes();
        put(1);
        put(2);
        // With room for all, and with room for one at a time.
        for capacity in [1_000, 150, 7, 0] {
            let position = Position::from_bytes(&kept).unwrap();
            let mut feed = from(&archive, position, capacity);
            let told = stored(&mut feed, 200);
            let want = all[100..300].iter();
            assert_eq!(
                told.iter().map(|item| item.id).collect::<Vec<_>>(),
                want.map(StoredMessage::sync_id).collect::<Vec<_>>(),
                "{name} {capacity}"
            );
            let of = |item: &FeedItem| (item.origin, item.pubsub_topic.clone());
            let want = all[100..300].iter().enumerate();
            let want = want.map(|(i, m)| (origins[1 + i / 100], m.pubsub_topic.clone()));
            assert!(told.iter().map(of).eq(want), "{name} {capacity}");
            assert_eq!(feed.try_next(), None, "{name} {capacity}");
            assert_eq!(feed.position(), Some(archive.position().wait().unwrap()), "{name}");
        }
        let mut whole = from(&archive, Position::START, 64);
        let mut live = archive.subscribe(1_000);
        assert_eq!(stored(&mut whole, 300).len(), 300);
        put(3);
        let whole = stored(&mut whole, 100);
        assert_eq!(stored(&mut live, 100), whole, "{name}");
        assert!(whole.iter().all(|item| item.origin == Origin::Live));
        reaches_the_end(&live, &archive, name);
    }
}

#[test]
fn each_event_can_be_gone_on_from() {
    let _alone = alone();
    for Opened { name, archive, dir: _dir } in every_backend(&config()) {
        let all = many(60, 20);
        let mut live = archive.subscribe(1_000);
        for batch in all.chunks(3) {
            import(&archive, batch.to_vec());
        }
        // All of them handed out, of some commits and of parts of the log.
        let mut behind = from(&archive, Position::START, 5);
        for (feed, what) in [(&mut live, "live"), (&mut behind, "behind")] {
            if what == "live" && tells_ahead(name) {
                continue;
            }
            let mut count = 0;
            while count < all.len() {
                let Some(FeedEvent::Stored(items)) = feed.wait(LONG).unwrap() else {
                    panic!("{name} {what}")
                };
                count += items.len();
                let mut rest = from(&archive, feed.position().unwrap(), 1_000);
                let rest = stored(&mut rest, all.len() - count);
                let rest: Vec<_> = rest.iter().map(|item| item.id).collect();
                assert_eq!(rest, ids(&all[count..]), "{name} {what}");
            }
        }
    }
}

#[test]
fn a_slow_subscriber_goes_on_where_it_lagged_and_has_all() {
    let _alone = alone();
    for Opened { name, archive, dir: _dir } in every_backend(&config()) {
        let all = many(500, 20);
        let mut feed = archive.subscribe(8);
        let mut told = Vec::new();
        let mut lags = 0;
        for (i, batch) in all.chunks(5).enumerate() {
            import(&archive, batch.to_vec());
            if i % 7 != 0 {
                continue;
            }
            // It looks now and then, and goes on at once where something is missing.
            while let Some(event) = feed.try_next() {
                match event {
                    FeedEvent::Stored(items) => told.extend(items.iter().map(|item| item.id)),
                    FeedEvent::Lagged { missed, from: Some(position) } => {
                        assert!(missed > 0 && feed.position() == Some(position), "{name}");
                        feed = from(&archive, position, 8);
                        lags += 1;
                    }
                    other => panic!("{name}: {other:?}"),
                }
            }
        }
        archive.put(vec![message(0, 0, NOW.nanos(), "last")], Origin::Live).wait().unwrap();
        let last = message(0, 0, NOW.nanos(), "last").sync_id();
        while told.last() != Some(&last) {
            match feed.wait(LONG).unwrap().unwrap() {
                FeedEvent::Stored(items) => told.extend(items.iter().map(|item| item.id)),
                FeedEvent::Lagged { from: Some(position), .. } => {
                    feed = from(&archive, position, 8);
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(lags > 0, "{name}: it never lagged");
        if tells_ahead(name) {
            told.sort_unstable();
            told.dedup();
        }
        assert_eq!(told[..all.len()], ids(&all), "{name}");
    }
}

#[test]
fn each_message_comes_once_whatever_is_put_while_a_subscriber_comes_in() {
    let _alone = alone();
    const WRITERS: usize = 6;
    for Opened { name, archive, dir: _dir } in every_backend(&config()) {
        let all = many(6_000, 20);
        let mut want = ids(&all);
        want.sort_unstable();
        // By this the readers know where the end is.
        let last = message(0, 0, NOW.nanos(), "the last");
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|w| {
                    let (archive, all) = (&archive, &all);
                    scope.spawn(move || {
                        let own = all.iter().skip(w).step_by(WRITERS).cloned();
                        for (i, m) in own.enumerate() {
                            let put = archive.put(vec![m], Origin::Sync);
                            // Some wait for the commit and some let groups grow.
                            if i % (w + 1) == 0 {
                                put.wait().unwrap();
                            }
                        }
                    })
                })
                .collect();
            let readers: Vec<_> = [1, 3, 20, 300, 100_000]
                .into_iter()
                .cycle()
                .take(15)
                .map(|capacity| {
                    let mut told = Vec::new();
                    let mut feed = from(&archive, Position::START, capacity);
                    let archive = &archive;
                    let last = last.hash;
                    scope.spawn(move || {
                        loop {
                            match feed.wait(LONG).unwrap().unwrap() {
                                FeedEvent::Stored(items) => {
                                    told.extend(items.iter().map(|item| item.id));
                                    if told.pop_if(|id| id.hash == last).is_some() {
                                        return told;
                                    }
                                    // Now and then it goes away and comes back.
                                    if told.len() % 5 == 0 {
                                        feed = from(archive, feed.position().unwrap(), capacity);
                                    }
                                }
                                FeedEvent::Lagged { from: position, .. } => {
                                    feed = from(archive, position.unwrap(), capacity);
                                }
                                other => panic!("{other:?}"),
                            }
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            import(&archive, vec![last.clone()]);
            for (i, reader) in readers.into_iter().enumerate() {
                let mut told = reader.join().unwrap();
                told.sort_unstable();
                if tells_ahead(name) {
                    told.dedup();
                }
                assert!(told == want, "{name}, reader {i}: {} of {}", told.len(), want.len());
            }
        });
    }
}

#[test]
fn removals_are_told_and_no_number_is_given_out_twice() {
    let _alone = alone();
    for Opened { name, archive, dir: _dir } in every_backend(&config()) {
        let all = many(10, 20);
        import(&archive, all[..5].to_vec());
        let position = archive.position().wait().unwrap();
        // The newest goes, whose number must not be the next one's; and one that nobody was told of.
        import(&archive, all[5..6].to_vec());
        archive.take_down(vec![all[4].hash, all[5].hash]).wait().unwrap();
        let after = archive.position().wait().unwrap();
        assert!(after > position, "{name}");
        import(&archive, all[6..7].to_vec());
        let mut feed = from(&archive, position, 100);
        let removed = match feed.wait(LONG).unwrap() {
            Some(FeedEvent::Removed(items)) => items,
            other => panic!("{name}: {other:?}"),
        };
        let removed: Vec<_> = removed.iter().map(|item| (item.id, item.origin)).collect();
        let want = ids(&all[4..6]).into_iter().map(|id| (id, Origin::Import));
        assert_eq!(removed, want.collect::<Vec<_>>(), "{name}");
        assert_eq!(stored(&mut feed, 1)[0].id, all[6].sync_id(), "{name}");
        assert_eq!(feed.try_next(), None, "{name}");
        let mut feed = from(&archive, after, 100);
        assert_eq!(stored(&mut feed, 1)[0].id, all[6].sync_id(), "{name}");
        assert_eq!(feed.try_next(), None, "{name}");
    }
}

#[test]
fn what_retention_removed_is_told_as_a_bound() {
    let _alone = alone();
    let config = ArchiveConfig {
        retention: Retention { max_messages: Some(100), ..Retention::default() },
        ..config()
    };
    for Opened { name, archive, dir: _dir } in every_backend(&config) {
        let all = many(1_000, 20);
        import(&archive, all[..50].to_vec());
        let position = archive.position().wait().unwrap();
        let mut live = archive.subscribe(100_000);
        import(&archive, all[50..].to_vec());
        let mut removed = Vec::new();
        while removed.len() < 900 {
            if let FeedEvent::Removed(items) = live.wait(LONG).unwrap().unwrap() {
                removed.extend(items.iter().map(|item| item.id));
            }
        }
        assert_eq!(removed, ids(&all[..900]), "{name}");
        let mut feed = from(&archive, position, 1_000);
        let told = stored(&mut feed, 100);
        assert_eq!(told.iter().map(|i| i.id).collect::<Vec<_>>(), ids(&all[900..]), "{name}");
        let bound = feed.wait(LONG).unwrap();
        assert_eq!(bound, Some(FeedEvent::Expired(all[899].sync_id())), "{name}: one of them all");
        assert_eq!(feed.try_next(), None, "{name}");
    }
}

#[test]
fn a_position_of_elsewhere_or_of_too_long_ago_is_an_error_of_its_own() {
    let _alone = alone();
    let all: Vec<_> = (0..LOGGED_REMOVALS as i64 + 300)
        .map(|i| message(0, 0, NOW.nanos() - 1_000_000 + i, ""))
        .collect();
    for Opened { name, archive, dir: _dir } in every_backend(&config()) {
        let gone = |position: Position| {
            archive.subscribe_from(position, 10).wait().err().map(|e| e.kind())
        };
        let empty = archive.position().wait().unwrap();
        let other = Archive::open(MemoryBackend::default(), config()).unwrap();
        let elsewhere = other.position().wait().unwrap();
        assert_eq!(gone(elsewhere), Some(ErrorKind::PositionGone), "{name}");
        let ahead = Position::new(empty.archive(), empty.major() + 1, 0);
        assert_eq!(gone(ahead), Some(ErrorKind::PositionGone), "{name}");
        if name == "sqlite file" || name == "postgresql, cut" {
            // The same as the other, and slower.
            continue;
        }
        import(&archive, all.clone());
        let old = archive.position().wait().unwrap();
        // A subscriber from the start that has come half way is not touched by what is forgotten:
        // it was never told what had gone before it began.
        let hashes: Vec<_> = all.iter().map(|m| m.hash).collect();
        let (first, second) = hashes.split_at(250);
        archive.take_down(first.to_vec()).wait().unwrap();
        let younger = archive.position().wait().unwrap();
        let mut rest = first.len();
        for batch in second[..LOGGED_REMOVALS - 200].chunks(60_000) {
            archive.take_down(batch.to_vec()).wait().unwrap();
            rest += batch.len();
        }
        assert_eq!(gone(old), Some(ErrorKind::PositionGone), "{name}");
        assert_eq!(gone(empty), Some(ErrorKind::PositionGone), "{name}");
        assert_eq!(gone(younger), None, "{name}");
        let mut feed = from(&archive, Position::START, 20);
        let mut told = Vec::new();
        while told.len() < all.len() - rest {
            let Some(FeedEvent::Stored(items)) = feed.wait(LONG).unwrap() else { panic!("{name}") };
            told.extend(items.iter().map(|item| item.id));
            let position = feed.position().unwrap();
            assert_eq!(gone(position), None, "{name}: after {} of {rest}", told.len());
        }
        assert_eq!(told, ids(&all[rest..]), "{name}");
        assert_eq!(feed.try_next(), None, "{name}");
    }
}

/// What somebody knows of an archive who has only the feed.
#[derive(Default)]
struct Follower {
    held: BTreeSet<SyncId>,
    /// How often each was told as stored.
    told: BTreeMap<MessageHash, usize>,
    position: Position,
}

impl Follower {
    fn take(&mut self, event: FeedEvent, again: bool) {
        match event {
            FeedEvent::Stored(items) => {
                for item in items.iter() {
                    assert!(self.held.insert(item.id) || again, "told twice");
                    *self.told.entry(item.id.hash).or_default() += 1;
                }
            }
            FeedEvent::Removed(items) => {
                for item in items.iter() {
                    self.held.remove(&item.id);
                }
            }
            FeedEvent::Expired(up_to) => self.held.retain(|id| *id > up_to),
            FeedEvent::Lagged { from, .. } => {
                // Between two events it may have moved on over what is nothing to tell of.
                assert!(from >= Some(self.position), "{from:?} is before {:?}", self.position);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>),
    TakeDown(Vec<u8>),
    /// A follower takes so many events, of a subscription that goes on if `bool`, or of a new one.
    Follow(usize, usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<(Step, usize)>> {
    let step = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..12).prop_map(Step::Put),
        2 => prop::collection::vec(any::<u8>(), 1..6).prop_map(Step::TakeDown),
        4 => (0..3usize, 0..6usize, any::<bool>()).prop_map(|(f, n, same)| Step::Follow(f, n, same)),
    ];
    prop::collection::vec((step, 1..9usize), 1..60)
}

fn held(archive: &Archive) -> BTreeSet<MessageHash> {
    let page = archive.query(Query { limit: 100, ..Query::default() }).wait().unwrap();
    let mut held: BTreeSet<_> = page.entries.iter().map(|e| e.hash).collect();
    let mut cursor = page.cursor;
    while cursor.is_some() {
        let page = archive.query(Query { limit: 100, cursor, ..Query::default() }).wait().unwrap();
        held.extend(page.entries.iter().map(|e| e.hash));
        cursor = page.cursor;
    }
    held
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(feature = "postgres") { 20 } else { 60 }, ..ProptestConfig::default() })]

    /// Followers that come and go, of small and large queues, know in the end what the archive
    /// holds, and were told of nothing twice.
    #[test]
    fn who_follows_knows_what_is_held(steps in steps()) {
        let pool: Vec<_> = (0..=255).map(|i| message(0, i % 3, i.into(), "")).collect();
        let pick = |which: &[u8]| -> Vec<StoredMessage> {
            which.iter().map(|i| pool[usize::from(*i)].clone()).collect()
        };
        let _alone = alone();
        for Opened { name, archive, dir: _dir } in every_backend(&config()) {
            let mut followers: [(Follower, Option<Feed>); 3] = Default::default();
            for (step, capacity) in &steps {
                match step {
                    Step::Put(which) => drop(import(&archive, pick(which))),
                    Step::TakeDown(which) => {
                        let hashes = pick(which).iter().map(|m| m.hash).collect();
                        archive.take_down(hashes).wait().unwrap();
                    }
                    Step::Follow(which, events, same) => {
                        let (follower, feed) = &mut followers[*which];
                        let mut open = match feed.take().filter(|_| *same) {
                            Some(feed) => feed,
                            None => from(&archive, follower.position, *capacity),
                        };
                        for _ in 0..*events {
                            let Some(event) = open.try_next() else { break };
                            let lagged = matches!(event, FeedEvent::Lagged { .. });
                            follower.take(event, tells_ahead(name));
                            follower.position = open.position().unwrap();
                            if lagged {
                                open = from(&archive, follower.position, *capacity);
                            }
                        }
                        *feed = Some(open);
                    }
                }
            }
            let held = held(&archive);
            let end = archive.position().wait().unwrap();
            for (mut follower, feed) in followers {
                drop(feed);
                let mut feed = from(&archive, follower.position, 1_000);
                while let Some(event) = feed.try_next() {
                    follower.take(event, tells_ahead(name));
                }
                let last = feed.position();
                prop_assert_eq!(last, Some(end), "{}", name);
                let known: BTreeSet<_> = follower.held.iter().map(|id| id.hash).collect();
                prop_assert_eq!(&known, &held, "{}", name);
                let once = follower.told.values().all(|times| *times == 1);
                prop_assert!(once || tells_ahead(name), "{}", name);
            }
        }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use wakustore::archive::{SqliteBackend, SqliteConfig};

    fn open(path: &std::path::Path) -> Archive {
        Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config()).unwrap()
    }

    #[test]
    fn a_position_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive.db");
        let all = many(40, 20);
        let mut position = Position::START;
        let mut told = Vec::new();
        for (i, batch) in all.chunks(4).enumerate() {
            let archive = open(&path);
            import(&archive, batch.to_vec());
            // Whatever is the newest when it is closed is gone, every other time.
            if i % 2 == 1 {
                archive.take_down(vec![batch[3].hash]).wait().unwrap();
            }
            archive.close();
            if i % 3 != 2 {
                continue;
            }
            let archive = open(&path);
            let mut feed = from(&archive, position, 1_000);
            while let Some(event) = feed.try_next() {
                if let FeedEvent::Stored(items) = event {
                    told.extend(items.iter().map(|item| item.id));
                }
            }
            position = Position::from_bytes(&feed.position().unwrap().to_bytes()).unwrap();
        }
        let archive = open(&path);
        let mut feed = from(&archive, position, 1_000);
        while let Some(event) = feed.try_next() {
            if let FeedEvent::Stored(items) = event {
                told.extend(items.iter().map(|item| item.id));
            }
        }
        let gone = |i: &usize| i / 4 % 2 == 1 && i % 4 == 3;
        let want: Vec<_> = (0..40).filter(|i| !gone(i)).map(|i| all[i].sync_id()).collect();
        assert_eq!(told, want);
    }

    #[test]
    fn a_file_of_the_second_schema_has_a_feed_from_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive.db");
        let all = many(50, 20);
        let archive = open(&path);
        import(&archive, all[..40].to_vec());
        archive.take_down(vec![all[3].hash]).wait().unwrap();
        archive.close();
        drop(archive);
        // What the third version added, taken away again.
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute_batch(
            "DROP INDEX channel_by_pubsub; ALTER TABLE channel DROP COLUMN messages;
             ALTER TABLE channel DROP COLUMN bytes; DROP TABLE removed; DROP TABLE expired; ALTER TABLE figures DROP COLUMN feed;
             ALTER TABLE figures DROP COLUMN seq; ALTER TABLE figures DROP COLUMN trimmed;
             PRAGMA user_version = 2;",
        )
        .unwrap();
        drop(conn);
        let archive = open(&path);
        let position = archive.position().wait().unwrap();
        assert_ne!(position.archive(), 0);
        import(&archive, all[40..].to_vec());
        let want: Vec<_> = ids(&all).into_iter().filter(|id| *id != all[3].sync_id()).collect();
        let mut feed = from(&archive, Position::START, 16);
        let told: Vec<_> = stored(&mut feed, 49).iter().map(|item| item.id).collect();
        assert_eq!(told, want);
        let mut feed = from(&archive, position, 16);
        let told: Vec<_> = stored(&mut feed, 10).iter().map(|item| item.id).collect();
        assert_eq!(told, ids(&all[40..]));
        assert_eq!(archive.stats().wait().unwrap().messages, 49);
        assert_eq!(archive.floor(), wakustore::types::Timestamp(i64::MIN));
    }
}
