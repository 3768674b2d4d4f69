//! Removing: retention by age, count and size; messages that are taken down; and what the feed,
//! the floor and the file say of it. On every backend.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, Feed, FeedEvent, MemoryBackend, PutOutcome, Retention,
};
use wakustore::types::{MessageHash, Origin, Query, StoredMessage, Timestamp};

const LONG: Duration = Duration::from_secs(30);

fn put(archive: &Archive, messages: &[StoredMessage]) -> Vec<PutOutcome> {
    archive.put(messages.to_vec(), Origin::Import).wait().unwrap()
}

fn hashes(messages: &[StoredMessage]) -> Vec<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

/// Waits until the feed has told of so many removals, and gives them in order.
fn removals(feed: &mut Feed, count: usize) -> Vec<MessageHash> {
    let mut removed = Vec::new();
    while removed.len() < count {
        match feed.wait(LONG).unwrap().unwrap() {
            FeedEvent::Removed(items) => removed.extend(items.iter().map(|item| item.id.hash)),
            FeedEvent::Stored(_) => {}
            other => panic!("{other:?}"),
        }
    }
    removed
}

fn held(archive: &Archive) -> BTreeSet<MessageHash> {
    let mut query = Query { limit: 100, ..Query::default() };
    let mut held = BTreeSet::new();
    loop {
        let page = match archive.query(query.clone()).wait() {
            // Retention goes on, and the walk begins anew.
            Err(e) if e.kind() == ErrorKind::CursorNotFound => {
                (query.cursor, held) = (None, BTreeSet::new());
                continue;
            }
            page => page.unwrap(),
        };
        held.extend(page.entries.iter().map(|e| e.hash));
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return held,
        }
    }
}

fn with(retention: Retention) -> ArchiveConfig {
    ArchiveConfig { retention, ..config() }
}

#[test]
fn the_oldest_go_beyond_a_count_and_stay_away() {
    for Opened { name, archive, dir: _dir } in
        every_backend(&with(Retention { max_messages: Some(500), ..Retention::default() }))
    {
        let mut feed = archive.subscribe(100_000);
        let all = many(1_200, 100);
        put(&archive, &all);
        assert_eq!(removals(&mut feed, 700), hashes(&all[..700]), "{name}: the oldest, in order");
        assert_eq!(held(&archive), hashes(&all[700..]).into_iter().collect(), "{name}");
        assert_eq!(archive.stats().wait().unwrap().messages, 500, "{name}");
        assert_eq!(archive.floor(), Timestamp(all[699].timestamp().nanos() + 1), "{name}");
        let again = put(&archive, &all[..10]);
        let refused = |o: &PutOutcome| matches!(o, PutOutcome::Refused(e) if e.kind() == ErrorKind::TimestampTooOld);
        assert!(again.iter().all(refused), "{name}: {again:?}");
    }
}

#[test]
fn what_has_grown_too_old_goes_as_the_clock_moves_on() {
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    let second = 1_000_000_000;
    let base = NOW.nanos();
    CLOCK.store(base, Ordering::SeqCst);
    let retention = Retention { max_age: Some(Duration::from_secs(3600)), ..Retention::default() };
    let config =
        ArchiveConfig { clock: || Timestamp(CLOCK.load(Ordering::SeqCst)), ..with(retention) };
    for Opened { name, archive, dir: _dir } in every_backend(&config) {
        CLOCK.store(base, Ordering::SeqCst);
        let mut feed = archive.subscribe(100_000);
        let old = message(0, 0, base - 3599 * second, "nearly too old");
        let new = message(0, 0, base, "new");
        let expired = message(0, 0, base - 3601 * second, "too old already");
        let outcomes = put(&archive, &[old.clone(), new.clone(), expired]);
        assert_eq!(outcomes[..2], [PutOutcome::Stored, PutOutcome::Stored], "{name}");
        assert!(matches!(outcomes[2], PutOutcome::Refused(_)), "{name}");
        CLOCK.store(base + 2 * second, Ordering::SeqCst);
        // A put makes the archive look soon; without one it would within the hour.
        put(&archive, &[message(0, 0, base + second, "wakes it")]);
        assert_eq!(removals(&mut feed, 1), [old.hash], "{name}");
        assert!(held(&archive).contains(&new.hash), "{name}");
        assert_eq!(archive.floor(), Timestamp(base - 3598 * second), "{name}");
    }
}

#[test]
fn what_is_taken_down_stays_down() {
    for Opened { name, archive, dir: _dir } in every_backend(&config()) {
        let all = many(30, 100);
        put(&archive, &all[..20]);
        let mut feed = archive.subscribe(1000);
        // Ten that are held, one of them named twice, and ten that never came.
        let mut down = hashes(&all[10..]);
        down.push(down[0]);
        assert_eq!(archive.take_down(down.clone()).wait().unwrap(), 10, "{name}");
        assert_eq!(archive.take_down(down.clone()).wait().unwrap(), 0, "{name}");
        let told: BTreeSet<_> = removals(&mut feed, 10).into_iter().collect();
        assert_eq!(told, hashes(&all[10..20]).into_iter().collect(), "{name}");
        let outcomes = put(&archive, &all);
        for (i, outcome) in outcomes.iter().enumerate() {
            let refused =
                matches!(outcome, PutOutcome::Refused(e) if e.kind() == ErrorKind::TakenDown);
            assert!(if i < 10 { *outcome == PutOutcome::Duplicate } else { refused }, "{name} {i}");
        }
        assert_eq!(held(&archive), hashes(&all[..10]).into_iter().collect(), "{name}");
        assert_eq!(archive.missing(hashes(&all)).wait().unwrap(), [], "{name}: not to be fetched");
        assert_eq!(archive.floor(), Timestamp(i64::MIN), "{name}: no retention, no floor");
        let many = vec![MessageHash::ZERO; 100_001];
        let refused = archive.take_down(many).wait().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{name}");
    }
}

#[test]
fn a_cursor_that_retention_removed_is_an_error_of_its_own() {
    for Opened { name, archive, dir: _dir } in
        every_backend(&with(Retention { max_messages: Some(100), ..Retention::default() }))
    {
        let mut feed = archive.subscribe(100_000);
        let all = many(300, 50);
        put(&archive, &all[..100]);
        let page = archive.query(Query { limit: 10, ..Query::default() }).wait().unwrap();
        put(&archive, &all[100..]);
        removals(&mut feed, 200);
        let query = Query { limit: 10, cursor: page.cursor, ..Query::default() };
        let gone = archive.query(query).wait().unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::CursorNotFound, "{name}");
    }
}

#[test]
fn an_archive_without_retention_keeps_all() {
    let archive = Archive::open(MemoryBackend::default(), config()).unwrap();
    let all = many(1000, 10);
    put(&archive, &all);
    assert_eq!(archive.floor(), Timestamp(i64::MIN));
    assert_eq!(held(&archive).len(), 1000);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::time::Instant;

    use super::*;
    use wakustore::archive::{SqliteBackend, SqliteConfig};

    fn open(path: &std::path::Path, config: ArchiveConfig) -> Archive {
        Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config).unwrap()
    }

    #[test]
    fn floor_and_tombstones_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive.db");
        let all = many(400, 100);
        let keeps = with(Retention { max_messages: Some(100), ..Retention::default() });
        let archive = open(&path, keeps);
        let mut feed = archive.subscribe(100_000);
        put(&archive, &all);
        removals(&mut feed, 300);
        archive.take_down(vec![all[350].hash]).wait().unwrap();
        archive.close();
        // Opened by one that keeps everything: what was removed is still not asked for.
        let archive = open(&path, config());
        assert_eq!(archive.floor(), Timestamp(all[299].timestamp().nanos() + 1));
        let outcomes = put(&archive, &all);
        let kinds: BTreeSet<ErrorKind> = outcomes
            .iter()
            .filter_map(|o| if let PutOutcome::Refused(e) = o { Some(e.kind()) } else { None })
            .collect();
        assert_eq!(kinds, [ErrorKind::TimestampTooOld, ErrorKind::TakenDown].into());
        assert_eq!(held(&archive).len(), 99);
    }

    #[test]
    fn beyond_a_size_the_file_shrinks_while_puts_and_reads_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive.db");
        let all = many(30_000, 1024);
        let archive = open(&path, config());
        for batch in all.chunks(1000) {
            put(&archive, batch);
        }
        archive.close();
        let before = std::fs::metadata(&path).unwrap().len();
        let max = before / 3;
        let archive = open(&path, with(Retention { max_bytes: Some(max), ..Retention::default() }));
        let begin = Instant::now();
        let mut extra = 0;
        while std::fs::metadata(&path).unwrap().len() > max * 3 / 2 {
            assert!(begin.elapsed() < Duration::from_secs(120), "the file does not shrink");
            extra += 1;
            let m = message(0, 0, NOW.nanos(), &format!("while it goes on {extra}"));
            assert_eq!(put(&archive, &[m]), [PutOutcome::Stored]);
            archive.query(Query { limit: 10, ..Query::default() }).wait().unwrap();
        }
        let held = held(&archive);
        assert!(held.len() < 15_000 && held.len() > 5_000, "{}", held.len());
        let kept = hashes(&all[30_000 - 5_000..]);
        assert!(kept.iter().all(|hash| held.contains(hash)), "the newest are all there");
    }

    #[test]
    fn a_file_of_the_first_schema_is_brought_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive.db");
        let all = many(50, 100);
        let archive = open(&path, config());
        put(&archive, &all);
        archive.close();
        drop(archive);
        // What the second version and those after it added, taken away again.
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute_batch(
            "DROP TABLE removed; DROP TABLE expired; ALTER TABLE figures DROP COLUMN feed;
             ALTER TABLE figures DROP COLUMN seq; ALTER TABLE figures DROP COLUMN trimmed;
             DROP INDEX channel_by_pubsub; ALTER TABLE channel DROP COLUMN messages;
             ALTER TABLE channel DROP COLUMN bytes;
             DROP TABLE tombstone; ALTER TABLE figures DROP COLUMN tombstones;
             ALTER TABLE figures DROP COLUMN floor; PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(conn);
        let archive = open(&path, config());
        assert_eq!(held(&archive).len(), 50);
        assert!(archive.verify().wait().unwrap().is_sound(), "also the figures by channel");
        assert_eq!(archive.take_down(hashes(&all[..5])).wait().unwrap(), 5);
        assert_eq!(held(&archive).len(), 45);
    }
}
