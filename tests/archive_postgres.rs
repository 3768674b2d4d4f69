//! The PostgreSQL driver on a real server: several nodes on one database, partitions, retention,
//! versions of the schema. (What every backend does is in archive_conformance.)
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use archive_support::cluster::{Cluster, Database};
use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, FeedEvent, Partitions, PostgresBackend, PostgresConfig, PutOutcome,
    Retention, Rules, TopicKind, TopicQuery,
};
use wakustore::types::{Direction, MessageHash, Query, StoredMessage, Timestamp};

const LONG: Duration = Duration::from_secs(60);

fn database() -> Database {
    Cluster::shared().database()
}

fn open(database: &Database, config: &ArchiveConfig) -> Archive {
    postgres(&database.url, few_partitions(), config)
}

fn with(retention: Retention) -> ArchiveConfig {
    ArchiveConfig { retention, ..config() }
}

fn hashes(messages: &[StoredMessage]) -> Vec<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

/// The tables of partitions, and those that were taken out.
fn tables(database: &Database) -> BTreeSet<String> {
    let text = "SELECT relname::text FROM pg_class WHERE relnamespace = 'wakustore'::regnamespace
                AND relkind = 'r' AND (relname LIKE 'message\\_%' OR relname LIKE 'gone\\_%')";
    database.client().query(text, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

fn count(database: &Database) -> i64 {
    let text = "SELECT count(*) FROM wakustore.message";
    database.client().query_one(text, &[]).unwrap().get(0)
}

/// Waits until something holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LONG, "not within {LONG:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nodes_on_one_database_see_each_others_messages() {
    let database = database();
    let (a, b) = (open(&database, &config()), open(&database, &config()));
    // In partitions and topics that the other has never heard of.
    for i in 0..20 {
        let (here, there) = if i % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let time = NOW.nanos() - i64::from(i) * 3_000_000_000;
        let m = message(i, i, time, "one of many");
        assert_eq!(import(here, vec![m.clone()]), [PutOutcome::Stored]);
        assert_eq!(there.get(vec![m.hash]).wait().unwrap(), vec![m.clone()]);
        assert_eq!(import(there, vec![m.clone()]), [PutOutcome::Duplicate]);
    }
    let query = Query { limit: 100, direction: Direction::Backward, ..Query::default() };
    let page = a.query(query.clone()).wait().unwrap();
    assert_eq!(page.entries.len(), 20);
    assert_eq!(b.query(query).wait().unwrap(), page);
    // What one takes down the other neither asks for nor takes in.
    let down = page.entries[3].hash;
    assert_eq!(a.take_down(vec![down, unknown_hash(1)]).wait().unwrap(), 1);
    assert_eq!(
        b.missing(vec![down, unknown_hash(1), unknown_hash(2)]).wait().unwrap(),
        [unknown_hash(2)]
    );
    let (_, m) = page.entries[3].data.clone().unwrap();
    let again = import(&b, vec![StoredMessage::new(page.entries[3].data.clone().unwrap().0, m)]);
    assert!(matches!(&again[..], [PutOutcome::Refused(e)] if e.kind() == ErrorKind::TakenDown));
    assert_eq!(b.stats().wait().unwrap().messages, 19);
    assert_eq!(b.tombstones(None, 10).wait().unwrap().len(), 2);
    assert_eq!(b.reinstate(vec![down, unknown_hash(3)]).wait().unwrap(), 1);
    assert_eq!(a.missing(vec![down, unknown_hash(1)]).wait().unwrap(), [down]);
}

#[test]
fn nodes_that_put_the_same_store_each_message_once() {
    let database = database();
    let nodes: Vec<Archive> = (0..4).map(|_| open(&database, &config())).collect();
    let begin = Barrier::new(nodes.len());
    let size = |round: u32| if round.is_multiple_of(2) { 50 } else { 150 };
    let all: u32 = (0..15).map(size).sum();
    let stored: usize = thread::scope(|scope| {
        let of_node = |(n, archive): (usize, &Archive)| {
            let (archive, begin) = (archive.clone(), &begin);
            scope.spawn(move || {
                begin.wait();
                let mut stored = 0;
                for round in 0..15u32 {
                    // Each in an order of its own, over several partitions and new topics.
                    // So many that they are copied in, every other time.
                    let mut batch: Vec<StoredMessage> = (0..size(round))
                        .map(|i| {
                            let time = NOW.nanos() - i64::from(i % 7) * 1_000_000_000;
                            message(i % 5, round, time, &format!("{round} {i}"))
                        })
                        .collect();
                    batch.rotate_left(n * 17 % 50);
                    if n % 2 == 1 {
                        batch.reverse();
                    }
                    let outcomes = import(&archive, batch);
                    stored += outcomes.iter().filter(|o| **o == PutOutcome::Stored).count();
                }
                stored
            })
        };
        let threads: Vec<_> = nodes.iter().enumerate().map(of_node).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(stored, all as usize);
    assert_eq!(count(&database), i64::from(all));
    assert_eq!(
        nodes[0].stats().wait().unwrap().messages,
        u64::from(all),
        "the kept counts are exact"
    );
}

#[test]
fn hostile_times_make_few_tables() {
    let database = database();
    let rules = Rules { clock_tolerance: Duration::MAX, check_live_age: false };
    let archive = open(&database, &ArchiveConfig { rules, ..config() });
    let step = i64::MAX / 500;
    let mut all: Vec<_> = (-500..=500).map(|i: i64| message(0, 0, i * step, "far")).collect();
    all.push(message(0, 0, i64::MIN, "the first"));
    all.push(message(0, 0, i64::MAX, "the last"));
    assert!(import(&archive, all.clone()).iter().all(|o| *o == PutOutcome::Stored));
    assert!(tables(&database).len() <= 3, "{:?}", tables(&database));
    assert_eq!(archive.get(hashes(&all)).wait().unwrap(), all);
    let stats = archive.stats().wait().unwrap();
    assert_eq!((stats.oldest, stats.newest), (Some(Timestamp::MIN), Some(Timestamp::MAX)));
}

#[test]
fn the_next_partition_is_made_ahead() {
    let database = database();
    let archive = open(&database, &config());
    import(&archive, vec![message(0, 0, NOW.nanos(), "now")]);
    eventually("a partition without messages", || tables(&database).len() == 2);
    assert_eq!(archive.stats().wait().unwrap().messages, 1);
}

#[test]
fn whole_partitions_go_for_their_age_and_are_told_of() {
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    const SECOND: i64 = 1_000_000_000;
    let base = NOW.nanos();
    CLOCK.store(base, Ordering::SeqCst);
    let retention = Retention { max_age: Some(Duration::from_secs(100)), ..Retention::default() };
    let config =
        ArchiveConfig { clock: || Timestamp(CLOCK.load(Ordering::SeqCst)), ..with(retention) };
    let database = database();
    let archive = open(&database, &config);
    let other = open(&database, &ArchiveConfig { retention: Retention::default(), ..config });
    let mut feed = archive.subscribe(1_000_000);
    // More than is told of at once in the first second, some in the second.
    let many = |count: i64, from: i64| -> Vec<StoredMessage> {
        (0..count).map(|i| message(0, (i % 9) as u32, from + i, &i.to_string())).collect()
    };
    let (first, second) = (many(12_000, base - 99 * SECOND), many(50, base - 98 * SECOND));
    let last = message(1, 1, base, "stays");
    import(&archive, [first.clone(), second.clone(), vec![last.clone()]].concat());
    let before = tables(&database);
    assert_eq!(other.stats().wait().unwrap().messages, 12_051);
    // The first second has not gone by altogether.
    CLOCK.store(base + SECOND + SECOND / 2, Ordering::SeqCst);
    import(&archive, vec![message(1, 1, base + SECOND, "wakes it")]);
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(archive.stats().wait().unwrap().messages, 12_052);
    // Now the first two have.
    CLOCK.store(base + 3 * SECOND, Ordering::SeqCst);
    import(&archive, vec![message(1, 1, base + 2 * SECOND, "wakes it again")]);
    let mut removed = Vec::new();
    while removed.len() < 12_050 {
        match feed.wait(LONG).unwrap().unwrap() {
            FeedEvent::Removed(items) => {
                assert!(items.len() <= 5_000, "in bounded steps");
                removed.extend(items.iter().map(|item| item.id.hash));
            }
            FeedEvent::Stored(_) => {}
            FeedEvent::Lagged { missed, .. } => panic!("lagged by {missed}"),
            FeedEvent::Expired(id) => panic!("the log told of {id:?}"),
        }
    }
    assert_eq!(removed, hashes(&[first.clone(), second].concat()), "each once, in order");
    eventually("the tables are gone", || {
        let now = tables(&database);
        before.difference(&now).count() == 2 && !now.iter().any(|t| t.starts_with("gone"))
    });
    assert_eq!(other.stats().wait().unwrap().messages, 3, "another node sees it at once");
    let query = TopicQuery { kind: TopicKind::Content, after: None, limit: 100 };
    let topics = other.topic_stats(query).wait().unwrap();
    assert_eq!(topics.iter().map(|topic| topic.messages).sum::<u64>(), 3, "{topics:?}");
    assert!(other.verify().wait().unwrap().is_sound());
    let asked = vec![first[0].hash, last.hash];
    assert_eq!(other.missing(asked).wait().unwrap(), [first[0].hash]);
    // The floor outlives the archive.
    archive.close();
    other.close();
    let floor = open(&database, &self::config()).floor();
    assert_eq!(floor, Timestamp(base - 97 * SECOND));
}

#[test]
fn of_several_nodes_one_keeps_house() {
    let database = database();
    let keeps = with(Retention { max_messages: Some(1_000), ..Retention::default() });
    let nodes: Vec<Archive> = (0..3).map(|_| open(&database, &keeps)).collect();
    let all = many(3_000, 64);
    for (i, batch) in all.chunks(100).enumerate() {
        import(&nodes[i % 3], batch.to_vec());
    }
    eventually("a thousand are left", || count(&database) == 1_000);
    // Whoever had the lease, each message was removed once, and not one too many.
    let text = "SELECT count(*), count(DISTINCT hash) FROM wakustore.removal WHERE kind = 1";
    let row = database.client().query_one(text, &[]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2_000, 2_000));
    let newest = &all[2_000..];
    assert_eq!(nodes[0].missing(hashes(newest)).wait().unwrap(), []);
    assert_eq!(nodes[1].stats().wait().unwrap().messages, 1_000);
    // The lease is let go with the archive that had it.
    let keeper = "SELECT keeper FROM wakustore.archive";
    assert!(database.client().query_one(keeper, &[]).unwrap().get::<_, Option<i32>>(0).is_some());
    nodes.iter().for_each(Archive::close);
    assert!(database.client().query_one(keeper, &[]).unwrap().get::<_, Option<i32>>(0).is_none());
}

#[test]
fn a_later_schema_is_used_where_it_allows_it() {
    let database = database();
    let archive = open(&database, &config());
    let m = message(0, 0, 1, "of the first version");
    import(&archive, vec![m.clone()]);
    // The next version adds a column and a table: it may still be read and written.
    database
        .client()
        .batch_execute(
            "ALTER TABLE wakustore.message ADD COLUMN extra int8 NOT NULL DEFAULT 7;
             ALTER TABLE wakustore.archive ADD COLUMN more text NOT NULL DEFAULT 'x';
             CREATE TABLE wakustore.other(id int4);
             UPDATE wakustore.archive SET version = 3;",
        )
        .unwrap();
    let later = open(&database, &config());
    for archive in [&archive, &later] {
        let time = NOW.nanos() - (count(&database) + 1) * 10_000_000_000;
        let new = message(1, 1, time, "in a partition made by the former version");
        assert_eq!(import(archive, vec![new.clone()]), [PutOutcome::Stored]);
        assert_eq!(archive.get(vec![m.hash, new.hash]).wait().unwrap(), [m.clone(), new]);
    }
    drop(later);
    // The one after that cannot be written by us, and then not even be read.
    let refused = |set: &str| {
        let text = format!("UPDATE wakustore.archive SET version = 4, {set}");
        database.client().batch_execute(&text).unwrap();
        let e = PostgresBackend::open(PostgresConfig::new(&database.url)).err().unwrap();
        assert_eq!(e.kind(), ErrorKind::SchemaTooNew, "{e}");
        e
    };
    assert!(refused("min_writer = 4").message().contains('4'));
    refused("min_writer = 1, min_reader = 4");
    // And one that has it open is told too.
    let e = archive.query(Query::default()).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::SchemaTooNew);
}

#[test]
fn large_puts_tell_new_from_known() {
    let database = database();
    let archive = open(&database, &config());
    let all = many(1_000, 16);
    let tell = |messages: &[StoredMessage]| {
        let outcomes = import(&archive, messages.to_vec());
        outcomes.into_iter().map(|o| o == PutOutcome::Stored).collect::<Vec<bool>>()
    };
    assert_eq!(tell(&all[..200]), [true; 200]);
    // Half of them are there: what was copied of the others is not left behind.
    assert_eq!(tell(&all[100..300]), [[false; 100], [true; 100]].concat());
    // Those that come twice in one put are stored once; and so on, until it copies again.
    for part in all[300..].chunks(35) {
        let twice = [part, part].concat();
        let expected = [vec![true; part.len()], vec![false; part.len()]].concat();
        assert_eq!(tell(&twice), expected);
    }
    assert_eq!(tell(&all), [false; 1_000]);
    assert_eq!(count(&database), 1_000);
    assert_eq!(archive.stats().wait().unwrap().messages, 1_000);
    assert!(archive.verify().wait().unwrap().is_sound());
}

#[test]
fn many_open_a_new_database_at_once() {
    let database = database();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| open(&database, &config()))).collect();
        for (i, thread) in threads.into_iter().enumerate() {
            let archive = thread.join().unwrap();
            import(&archive, vec![message(0, 0, 1, &i.to_string())]);
        }
    });
    assert_eq!(count(&database), 6);
}

#[test]
fn partitions_are_those_that_the_database_was_made_with() {
    let database = database();
    let archive = open(&database, &config());
    let m = message(0, 0, NOW.nanos(), "by seconds");
    import(&archive, vec![m.clone()]);
    eventually("the next partition is made", || tables(&database).len() == 2);
    let tables_before = tables(&database);
    let other = postgres(&database.url, Partitions::default(), &config());
    assert_eq!(import(&other, vec![m]), [PutOutcome::Duplicate]);
    assert_eq!(tables(&database), tables_before);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let cluster = Cluster::shared();
    let kind = |url: &str| {
        let config =
            PostgresConfig { connect_timeout: Duration::from_secs(2), ..PostgresConfig::new(url) };
        let e = PostgresBackend::open(config).err().unwrap();
        assert!(!format!("{e} {e:?}").contains("s3cret"), "{e}");
        (e.kind(), e.message().to_owned())
    };
    let (no_database, text) = kind(&cluster.url("no_such_database"));
    assert_eq!(no_database, ErrorKind::ArchiveOpen);
    assert!(text.contains("no_such_database"), "{text}");
    let nobody = cluster.url("postgres").replace("postgres@", "nobody_here:s3cret@");
    assert_eq!(kind(&nobody).0, ErrorKind::ArchiveOpen);
    assert_eq!(kind("postgres://u:s3cret@127.0.0.1:1/d").0, ErrorKind::ArchiveUnavailable);
    assert_eq!(kind("postgres://u:s3cret@/d?host=/nonexistent").0, ErrorKind::ArchiveUnavailable);
    assert_eq!(kind("postgres://u:s3cret@h/d?sslmode=perhaps").0, ErrorKind::ArchiveOpen);
    assert!(!format!("{:?}", PostgresConfig::new("postgres://u:s3cret@h/d")).contains("s3cret"));
    // A user who may only read makes no schema.
    let database = database();
    let role = format!("reader_{}", database.name());
    database.client().batch_execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    let reader = database.url.replace("postgres@", &format!("{role}@"));
    assert_eq!(kind(&reader).0, ErrorKind::ArchiveReadOnly);
}

#[test]
fn it_works_inside_a_runtime_of_the_host() {
    let database = database();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let archive = open(&database, &config());
        let m = message(0, 0, 1, "from async code");
        archive.put(vec![m.clone()], wakustore::types::Origin::Import).await.unwrap();
        assert_eq!(archive.get(vec![m.hash]).await.unwrap(), [m]);
        drop(archive);
        // A backend that no archive was opened on.
        drop(PostgresBackend::open(PostgresConfig::new(&database.url)).unwrap());
    });
}
