//! The PostgreSQL driver while its server stops, crashes, is replaced, or the connection breaks in
//! the middle of a commit. What must hold: no acknowledged message is lost, what is told of each
//! is true, it reconnects by itself, and while the database is away nobody waits for it.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use archive_support::cluster::Cluster;
use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveNotice, ArchiveState, FeedEvent, PostgresBackend, PostgresConfig, PutOutcome,
};
use wakustore::types::{Origin, Query, StoredMessage};

const LONG: Duration = Duration::from_secs(60);
/// Durability is under test here.
const DURABLE: &[&str] = &["fsync = on"];

fn put(archive: &Archive, m: &StoredMessage) -> Result<PutOutcome, ErrorKind> {
    let outcomes = archive.put(vec![m.clone()], Origin::Import).wait();
    outcomes.map(|mut all| all.remove(0)).map_err(|e| e.kind())
}

/// Puts a message again and again until it is taken.
fn put_in_the_end(archive: &Archive, m: &StoredMessage) -> PutOutcome {
    let begin = Instant::now();
    loop {
        match put(archive, m) {
            Ok(outcome) => return outcome,
            Err(kind) => assert_eq!(kind, ErrorKind::ArchiveUnavailable),
        }
        assert!(begin.elapsed() < LONG, "it does not reconnect");
        thread::sleep(Duration::from_millis(10));
    }
}

/// All of them of one second, which is one partition.
fn one(i: usize) -> StoredMessage {
    message(0, (i % 5) as u32, NOW.nanos() + i as i64, &format!("message {i}"))
}

#[test]
fn the_server_stops_crashes_and_comes_back() {
    let cluster = Cluster::of_its_own(DURABLE);
    let database = cluster.database();
    let archive = postgres(&database.url, few_partitions(), &config());
    let (told, heard) = std::sync::mpsc::channel();
    archive.observe(Arc::new(move |notice| told.send(notice.clone()).unwrap()));
    let mut acknowledged = Vec::new();
    for (round, end) in ["stop", "crash", "crash"].into_iter().enumerate() {
        for i in 0..30 {
            let m = one(round * 100 + i);
            assert_eq!(put_in_the_end(&archive, &m), PutOutcome::Stored);
            acknowledged.push(m);
        }
        archive.query(Query::default()).wait().unwrap();
        cluster.order(end);
        // Once it is known that it is away, everybody is told at once.
        assert_eq!(put(&archive, &one(round * 100 + 50)), Err(ErrorKind::ArchiveUnavailable));
        let begin = Instant::now();
        for _ in 0..200 {
            let e = archive.query(Query::default()).wait().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::ArchiveUnavailable, "{e}");
            assert_eq!(archive.stats().wait().unwrap_err().kind(), ErrorKind::ArchiveUnavailable);
            assert!(put(&archive, &one(round * 100 + 51)).is_err());
        }
        assert!(begin.elapsed() < LONG / 2, "600 answers took {:?}", begin.elapsed());
        assert_eq!(archive.usage().state, ArchiveState::Unavailable);
        cluster.order("start");
        let m = one(round * 100 + 52);
        assert_eq!(put_in_the_end(&archive, &m), PutOutcome::Stored);
        acknowledged.push(m);
        let hashes: Vec<_> = acknowledged.iter().map(|m| m.hash).collect();
        assert!(archive.get(hashes).wait().unwrap() == acknowledged, "after {end}");
        let messages = archive.stats().wait().unwrap().messages;
        assert_eq!(
            messages,
            acknowledged.len() as u64,
            "what was answered with an error is not in"
        );
        // Readers and the writer have it again; each said so, once.
        assert_eq!(archive.usage().state, ArchiveState::Writable, "after {end}");
        let (mut lost, mut found) = (0, 0);
        for notice in heard.try_iter() {
            match notice {
                ArchiveNotice::Trouble { state: ArchiveState::Unavailable, .. } => lost += 1,
                ArchiveNotice::Recovered { from: ArchiveState::Unavailable } => found += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(lost, found, "after {end}");
        assert!((1..=4).contains(&lost), "{lost} times after {end}");
    }
}

#[test]
fn connections_are_killed_while_messages_are_put() {
    let cluster = Cluster::of_its_own(DURABLE);
    let database = cluster.database();
    let archive = postgres(&database.url, few_partitions(), &config());
    let (name, ended) = (database.name().to_owned(), Arc::new(AtomicBool::new(false)));
    let killer = {
        let ended = ended.clone();
        let mut client = cluster.client("postgres");
        thread::spawn(move || {
            let mut killed = 0;
            // Now and then long enough for a new connection to be made and used.
            for pause in [5, 20, 80, 320].into_iter().cycle() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let text = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                            WHERE datname = $1";
                killed += client.query_one(text, &[&name]).unwrap().get::<_, i64>(0);
                thread::sleep(Duration::from_millis(pause));
            }
            killed
        })
    };
    let mut feed = archive.subscribe(1_000_000);
    let mut acknowledged = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(8) {
        let m = one(acknowledged.len());
        // New each time: nobody else puts it, so that it is never a duplicate, unless what was
        // answered with an error is in after all.
        let mut failed = false;
        loop {
            match put(&archive, &m) {
                Ok(PutOutcome::Stored) => break,
                Ok(PutOutcome::Duplicate) if failed => break,
                Ok(other) => panic!("{other:?}"),
                Err(kind) => {
                    assert_eq!(kind, ErrorKind::ArchiveUnavailable);
                    failed = true;
                }
            }
            assert!(begin.elapsed() < LONG);
            thread::sleep(Duration::from_millis(2));
        }
        acknowledged.push(m);
        let _ = archive.query(Query::default()).wait();
    }
    ended.store(true, Ordering::SeqCst);
    let killed = killer.join().unwrap();
    assert!(killed > 20, "{killed} connections were killed");
    assert_eq!(put_in_the_end(&archive, &message(1, 1, 1, "the last")), PutOutcome::Stored);
    let hashes: Vec<_> = acknowledged.iter().map(|m| m.hash).collect();
    assert!(archive.get(hashes).wait().unwrap() == acknowledged);
    let messages = archive.stats().wait().unwrap().messages;
    assert_eq!(messages, acknowledged.len() as u64 + 1, "the kept counts are exact");
    archive.close();
    let mut told = 0;
    while let Some(FeedEvent::Stored(items)) = feed.try_next() {
        told += items.len();
    }
    assert!(told <= messages as usize && told > 0);
}

/// Waits for the partition that is made ahead, after the first put: then no transaction is on its
/// way but those of the test.
fn wait_for_next_partition(database: &cluster::Database) {
    let mut client = database.client();
    let begin = Instant::now();
    let text = "SELECT count(*) FROM wakustore.partition";
    while client.query_one(text, &[]).unwrap().get::<_, i64>(0) < 2 {
        assert!(begin.elapsed() < LONG, "no partition is made ahead");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A way to the server's socket that can break at a commit.
struct Relay {
    dir: tempfile::TempDir,
    /// What happens at the next COMMIT: see [`Break`].
    armed: Arc<AtomicU32>,
}

/// Where the connection breaks at a commit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Break {
    /// The server never hears of it.
    Before = 1,
    /// It is done, and nobody hears of that.
    After = 2,
    /// As `After`, and the new connection breaks in the same way.
    AfterTwice = 3,
}

impl Relay {
    fn to(server: PathBuf) -> Relay {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        let armed = Arc::new(AtomicU32::new(0));
        let of_relay = armed.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, UnixStream::connect(&server)) else {
                    break;
                };
                relay(client, server, of_relay.clone());
            }
        });
        Relay { dir, armed }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@/{database}?host={}", self.dir.path().display())
    }
}

fn relay(client: UnixStream, server: UnixStream, armed: Arc<AtomicU32>) {
    let silent = Arc::new(AtomicBool::new(false));
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut from_server, mut to_client) = (server, client);
    let of_client = silent.clone();
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from_client.read(&mut bytes) {
            let commits = bytes[..n].windows(6).any(|w| w == b"COMMIT");
            if commits && armed.load(Ordering::SeqCst) > 0 {
                let how = armed.load(Ordering::SeqCst);
                armed.store(if how == Break::AfterTwice as u32 { 2 } else { 0 }, Ordering::SeqCst);
                if how == Break::Before as u32 {
                    break;
                }
                // The answer goes nowhere; when it has come the commit is done.
                of_client.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = from_client.shutdown(Shutdown::Both);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from_server.read(&mut bytes) {
            if silent.load(Ordering::SeqCst) || to_client.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
        let _ = from_server.shutdown(Shutdown::Both);
    });
}

fn socket(cluster: &Cluster) -> PathBuf {
    Path::new(&cluster.dir).join(".s.PGSQL.5432")
}

#[test]
fn a_connection_breaks_in_the_middle_of_a_commit() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let relay = Relay::to(socket(cluster));
    let url = relay.url(database.name());
    let archive = postgres(&url, few_partitions(), &config());
    let mut feed = archive.subscribe(1_000);
    // Its partition and topics are there: from here on a put is one transaction.
    assert_eq!(put(&archive, &one(0)), Ok(PutOutcome::Stored));
    let known = one(0);
    wait_for_next_partition(&database);
    for (i, how) in
        [Break::Before, Break::After, Break::AfterTwice, Break::After].iter().enumerate()
    {
        let batch = vec![one(100 * i + 5), known.clone(), one(100 * i + 10), one(100 * i + 5)];
        relay.armed.store(*how as u32, Ordering::SeqCst);
        let outcomes = archive.put(batch.clone(), Origin::Import).wait().unwrap();
        use PutOutcome::{Duplicate, Stored};
        assert_eq!(outcomes, [Stored, Duplicate, Stored, Duplicate], "{how:?}");
        assert_eq!(relay.armed.load(Ordering::SeqCst), 0, "{how:?}: it did break");
        let found = archive.get(vec![batch[0].hash, batch[2].hash]).wait().unwrap();
        assert_eq!(found, [batch[0].clone(), batch[2].clone()], "{how:?}");
    }
    assert_eq!(archive.stats().wait().unwrap().messages, 9);
    // Removals too.
    for (i, how) in [Break::Before, Break::After, Break::AfterTwice].iter().enumerate() {
        relay.armed.store(*how as u32, Ordering::SeqCst);
        let down = vec![one(100 * i + 5).hash];
        assert_eq!(archive.take_down(down.clone()).wait().unwrap(), 1, "{how:?}");
        assert_eq!(archive.missing(down).wait().unwrap(), []);
    }
    assert_eq!(archive.stats().wait().unwrap().messages, 6);
    archive.close();
    let (mut stored, mut removed) = (0, 0);
    while let Some(event) = feed.try_next() {
        match event {
            FeedEvent::Stored(items) => stored += items.len(),
            FeedEvent::Removed(items) => removed += items.len(),
            FeedEvent::Lagged { missed, .. } => panic!("lagged by {missed}"),
            FeedEvent::Expired(id) => panic!("the log told of {id:?}"),
        }
    }
    assert_eq!((stored, removed), (9, 3), "the feed tells of each once");
}

#[test]
fn a_commit_whose_end_cannot_be_found_out_is_an_error() {
    let cluster = Cluster::of_its_own(&[]);
    let database = cluster.database();
    let relay = Relay::to(socket(cluster));
    let place = PostgresConfig {
        settle_timeout: Duration::from_millis(500),
        partitions: few_partitions(),
        ..PostgresConfig::new(relay.url(database.name()))
    };
    let archive = Archive::open(PostgresBackend::open(place).unwrap(), config()).unwrap();
    assert_eq!(put(&archive, &one(0)), Ok(PutOutcome::Stored));
    wait_for_next_partition(&database);
    // Nobody hears of the commit, and then there is no server any more.
    relay.armed.store(Break::After as u32, Ordering::SeqCst);
    cluster
        .client("postgres")
        .batch_execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name()))
        .unwrap();
    let e = archive.put(vec![one(1)], Origin::Import).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveUnavailable);
    assert!(e.message().contains("not known"), "{e}");
    cluster
        .client("postgres")
        .batch_execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", database.name()))
        .unwrap();
    assert_eq!(put_in_the_end(&archive, &one(1)), PutOutcome::Duplicate, "it was in");
}

#[test]
fn the_database_is_renamed_and_comes_back() {
    let cluster = Cluster::of_its_own(&[]);
    let database = cluster.database();
    let archive = postgres(&database.url, few_partitions(), &config());
    assert_eq!(put(&archive, &one(0)), Ok(PutOutcome::Stored));
    archive.query(Query::default()).wait().unwrap();
    let mut admin = cluster.client("postgres");
    let mut rename = |from: &str, to: &str| {
        // A connection that is just being made keeps a database from being renamed.
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        let begin = Instant::now();
        loop {
            admin.query(kill, &[&from]).unwrap();
            match admin.batch_execute(&format!("ALTER DATABASE {from} RENAME TO {to}")) {
                Ok(()) => break,
                Err(e) => assert!(begin.elapsed() < LONG, "{e}"),
            }
        }
    };
    rename(database.name(), "elsewhere");
    assert_eq!(put(&archive, &one(1)), Err(ErrorKind::ArchiveUnavailable));
    let e = archive.query(Query::default()).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveUnavailable, "{e}");
    rename("elsewhere", database.name());
    assert_eq!(put_in_the_end(&archive, &one(1)), PutOutcome::Stored);
    assert_eq!(archive.get(vec![one(0).hash, one(1).hash]).wait().unwrap(), [one(0), one(1)]);
}
