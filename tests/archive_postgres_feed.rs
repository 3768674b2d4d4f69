//! The change feed on a PostgreSQL database that many write to: slow transactions in between,
//! several archives and processes, killed processes and connections, a server that crashes. What
//! must hold: who follows is told of each message once, and of all.
#![cfg(all(feature = "postgres", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use archive_support::cluster::{Cluster, Database};
use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{Archive, ArchiveConfig, Feed, FeedEvent, Position, Retention};
use wakustore::types::{MessageHash, Origin, StoredMessage, SyncId};

const LONG: Duration = Duration::from_secs(120);
const ROOM: usize = 1_000_000;
const CHILD: &str = "WAKUSTORE_TEST_POSTGRES_CHILD";
const MARK: &str = "done: ";

fn open(url: &str) -> Archive {
    postgres(url, few_partitions(), &config())
}

/// Of one second, which is one partition.
fn of(whose: usize, i: usize) -> StoredMessage {
    message(0, (i % 3) as u32, NOW.nanos() + i as i64, &format!("{whose}"))
}

fn from(archive: &Archive, position: Position, capacity: usize) -> Feed {
    archive.subscribe_from(position, capacity).wait().unwrap()
}

/// What a subscriber was told.
#[derive(Default)]
struct Told {
    stored: BTreeMap<MessageHash, (usize, Origin)>,
    order: Vec<SyncId>,
    removed: Vec<MessageHash>,
    expired: Vec<SyncId>,
}

impl Told {
    fn take(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Stored(items) => {
                for item in items.iter() {
                    self.stored.entry(item.id.hash).or_insert((0, item.origin)).0 += 1;
                    self.order.push(item.id);
                }
            }
            FeedEvent::Removed(items) => {
                self.removed.extend(items.iter().map(|item| item.id.hash));
            }
            FeedEvent::Expired(id) => self.expired.push(id),
            FeedEvent::Lagged { .. } => panic!("{event:?}"),
        }
    }

    fn take_all(&mut self, feed: &mut Feed) {
        while let Some(event) = feed.try_next() {
            self.take(event);
        }
    }

    fn until(&mut self, feed: &mut Feed, what: &str, enough: impl Fn(&Told) -> bool) {
        let begin = Instant::now();
        while !enough(self) {
            assert!(begin.elapsed() < LONG, "{what}: {} stored", self.stored.len());
            self.take(feed.wait(LONG).unwrap().unwrap());
        }
    }

    fn has(&self, m: &StoredMessage) -> bool {
        self.stored.contains_key(&m.hash)
    }

    /// Exactly what the database holds, each once.
    fn is_all_of(&self, database: &Database, what: &str) {
        let rows = database.client().query("SELECT hash FROM wakustore.message", &[]).unwrap();
        let held: Vec<MessageHash> =
            rows.iter().map(|row| MessageHash::from_slice(row.get(0)).unwrap()).collect();
        let twice = self.stored.values().filter(|(times, _)| *times != 1).count();
        assert_eq!(twice, 0, "{what}: told more than once");
        let missed = held.iter().filter(|hash| !self.stored.contains_key(*hash)).count();
        assert_eq!(missed, 0, "{what}: of {} held, told {}", held.len(), self.stored.len());
        assert_eq!(self.stored.len(), held.len(), "{what}");
    }
}

/// A transaction of another node that has drawn its number and stored a message, and is not
/// through. (A message of the first topic must be there.)
struct Slow {
    client: postgres::Client,
    xid: u64,
}

impl Slow {
    fn begin(database: &Database, m: &StoredMessage) -> Slow {
        let mut client = database.client();
        client.batch_execute("BEGIN").unwrap();
        let hash = &m.hash.as_bytes()[..];
        let payload = &m.message.payload[..];
        let row = client
            .query_one(
                "WITH c AS (SELECT id, pubsub FROM wakustore.channel ORDER BY id LIMIT 1)
                 INSERT INTO wakustore.message(
                     timestamp, hash, channel, pubsub, writer, place, origin, payload)
                 SELECT $1, $2, c.id, c.pubsub, 0, 1, 1, $3 FROM c
                 RETURNING xid::text::int8",
                &[&m.timestamp().nanos(), &hash, &payload],
            )
            .unwrap();
        let xid = row.get::<_, i64>(0).unsigned_abs();
        Slow { client, xid }
    }

    fn commit(mut self) {
        // At the end: nobody is to wait for the row.
        self.client
            .batch_execute(
                "INSERT INTO wakustore.partition_count AS c (cell, slot, messages)
                 SELECT cell, 99, 1 FROM wakustore.partition_count ORDER BY cell LIMIT 1
                 ON CONFLICT (cell, slot) DO UPDATE SET messages = c.messages + 1,
                     last_xid = greatest(c.last_xid, excluded.last_xid);
                 COMMIT",
            )
            .unwrap();
    }
}

#[test]
fn a_slow_transaction_is_waited_for_and_holds_up_no_archive_of_its_own_news() {
    let database = Cluster::shared().database();
    let (a, b) = (open(&database.url), open(&database.url));
    let first = of(0, 0);
    import(&a, vec![first.clone()]);
    let mut at_a = from(&a, Position::START, ROOM);
    let mut at_b = from(&b, Position::START, ROOM);
    let (mut told_a, mut told_b) = (Told::default(), Told::default());
    told_b.until(&mut at_b, "the first", |told| told.has(&first));
    told_a.until(&mut at_a, "the first", |told| told.has(&first));
    let slow = Slow::begin(&database, &of(9, 0));
    for i in 1..20 {
        import(&a, vec![of(0, i)]);
        told_a.take_all(&mut at_a);
        assert!(told_a.has(&of(0, i)), "acknowledged, and not told: {i}");
    }
    // They are there, and yet not told: what the slow one stores comes before them.
    assert!(b.missing((1..20).map(|i| of(0, i).hash).collect()).wait().unwrap().is_empty());
    for node in [&a, &b] {
        assert!(node.position().wait().unwrap().major() <= slow.xid, "beyond what is open");
    }
    let mut late = Told::default();
    late.take_all(&mut from(&b, Position::START, ROOM));
    assert_eq!(late.order, [first.sync_id()]);
    slow.commit();
    let last = of(1, 0);
    import(&b, vec![last.clone()]);
    for (told, feed) in [(&mut told_a, &mut at_a), (&mut told_b, &mut at_b)] {
        told.until(feed, "after it", |told| told.stored.len() == 22);
        told.is_all_of(&database, "after it");
    }
    let in_log: Vec<SyncId> =
        told_b.order.iter().copied().filter(|id| *id != last.sync_id()).collect();
    let mut want = vec![first.sync_id(), of(9, 0).sync_id()];
    want.extend((1..20).map(|i| of(0, i).sync_id()));
    assert_eq!(in_log, want, "in the order of the numbers");
    assert_eq!(told_b.stored[&of(9, 0).hash].1, Origin::Sync);
}

/// What a child does that is told so on its standard input; it answers each line.
fn obey(url: &str) {
    let archive = open(url);
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<usize> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let [whose, begin, end] = words[..] else { panic!("{line}") };
        for i in begin..end {
            archive.put(vec![of(whose, i)], Origin::Resume).wait().unwrap();
        }
        // One write; print! would be kept back by the test harness.
        std::io::stdout().lock().write_all(format!("{MARK}{line}\n").as_bytes()).unwrap();
    }
}

#[test]
fn another_process() {
    if let Ok(url) = std::env::var(CHILD) {
        obey(&url);
    }
}

struct Other {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Other {
    fn new(database: &Database) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "another_process", "--nocapture"])
            .env(CHILD, &database.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Other { child, stdin, stdout }
    }

    fn tell(&mut self, what: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{what}\n").as_bytes()).unwrap();
    }

    fn done(&mut self) {
        let mut line = String::new();
        while !line.contains(MARK) {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the child has ended");
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn everybody_is_told_once_whoever_writes_and_however_slowly() {
    const EACH: usize = 150;
    let database = Cluster::shared().database();
    // One only watches: what it is told comes all from the log.
    let nodes: Vec<Archive> = (0..3).map(|_| open(&database.url)).collect();
    let watcher = &nodes[2];
    import(&nodes[0], vec![of(0, 0)]);
    let mut children: Vec<Other> = (0..2).map(|_| Other::new(&database)).collect();
    let ended = AtomicBool::new(false);
    let last = of(50, 0);
    thread::scope(|scope| {
        // Slow ones: some commit late, some never.
        let slow: Vec<_> = (0..3u64)
            .map(|s| {
                let (database, ended) = (&database, &ended);
                scope.spawn(move || {
                    let mut count = 0;
                    while !ended.load(Ordering::SeqCst) {
                        let slow = Slow::begin(database, &of(10 + s as usize, count));
                        thread::sleep(Duration::from_millis((count as u64 * 37 + s * 51) % 220));
                        if !(count + s as usize).is_multiple_of(4) {
                            slow.commit();
                        }
                        count += 1;
                    }
                })
            })
            .collect();
        // Who follows, live and from a place on, on every node, from various moments.
        let follow = |archive: &Archive, capacity: usize, hops: bool| {
            let (archive, last) = (archive.clone(), last.hash);
            scope.spawn(move || {
                let mut told = Told::default();
                let mut feed = from(&archive, Position::START, capacity);
                let mut since = 0;
                while !told.stored.contains_key(&last) {
                    told.take(feed.wait(LONG).unwrap().unwrap());
                    since += 1;
                    if hops && since % 5 == 0 {
                        feed = from(&archive, feed.position().unwrap(), capacity);
                    }
                }
                told
            })
        };
        let mut followers: Vec<_> = nodes.iter().map(|node| follow(node, ROOM, false)).collect();
        followers.push(follow(watcher, ROOM, true));
        for (c, child) in children.iter_mut().enumerate() {
            child.tell(&format!("{} 0 {EACH}", 2 + c));
        }
        let writers: Vec<_> = nodes[..2]
            .iter()
            .enumerate()
            .map(|(n, node)| {
                scope.spawn(move || {
                    let mut live = node.subscribe(ROOM);
                    let mut told = Told::default();
                    for i in 1..EACH {
                        // Its own, and what both put.
                        import(node, vec![of(n, i), of(20, i)]);
                        told.take_all(&mut live);
                        assert!(told.has(&of(n, i)), "acknowledged, and not told");
                    }
                })
            })
            .collect();
        // Those who come while all that goes on.
        for capacity in [ROOM, ROOM - 1, ROOM - 2] {
            thread::sleep(Duration::from_millis(100));
            followers.extend(nodes.iter().map(|node| follow(node, capacity, false)));
            followers.push(follow(watcher, capacity, true));
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        children.iter_mut().for_each(Other::done);
        ended.store(true, Ordering::SeqCst);
        slow.into_iter().for_each(|slow| slow.join().unwrap());
        // A node that writes would tell its own ahead: so by a child, of which all hear alike.
        children[0].tell("50 0 1");
        children[0].done();
        let mut order = None;
        for (i, follower) in followers.into_iter().enumerate() {
            let told = follower.join().unwrap();
            told.is_all_of(&database, &format!("follower {i}"));
            let stored = told.stored.len();
            assert!(stored > 5 * (EACH - 1), "{stored}");
            // On the node that watches all see one order.
            if i >= 2 && (i == 2 || i == 3 || (i - 4) % 4 >= 2) {
                assert!(*order.get_or_insert(told.order.clone()) == told.order, "follower {i}");
            }
        }
    });
}

#[test]
fn what_a_process_had_stored_when_it_was_killed_is_told() {
    let database = Cluster::shared().database();
    let archive = open(&database.url);
    import(&archive, vec![of(0, 0)]);
    let mut told = Told::default();
    let mut feed = from(&archive, Position::START, ROOM);
    for round in 1..6 {
        let mut child = Other::new(&database);
        child.tell(&format!("{round} 0 1000000"));
        told.until(&mut feed, "live", |told| told.has(&of(round, 5 * round)));
        drop(child);
        // Its connection ends by itself, and with that what it had not committed. What is told
        // after this is all that it stored.
        let text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND backend_xid IS NOT NULL";
        let begin = Instant::now();
        while database.client().query_one(text, &[]).unwrap().get::<_, i64>(0) > 0 {
            assert!(begin.elapsed() < LONG);
            thread::sleep(Duration::from_millis(10));
        }
        let held = archive.stats().wait().unwrap().messages as usize;
        told.until(&mut feed, "all of it", |told| told.stored.len() == held);
        told.is_all_of(&database, &format!("round {round}"));
    }
    // Somebody who begins now is told the same in the same order, but for what was told ahead.
    let mut again = Told::default();
    again.until(&mut from(&archive, Position::START, 50), "again", |again| {
        again.stored.len() == told.stored.len()
    });
    assert!(again.order == told.order);
}

#[test]
fn a_crash_that_takes_numbers_back_takes_no_message_from_who_follows() {
    let cluster = Cluster::of_its_own(&["autovacuum = off"]);
    let database = cluster.database();
    let archive = open(&database.url);
    import(&archive, vec![of(0, 0)]);
    let next = |database: &Database| -> i64 {
        let text = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8";
        database.client().query_one(text, &[]).unwrap().get(0)
    };
    let mut taken_back = 0;
    let mut expected = vec![of(0, 0)];
    let mut live = from(&archive, Position::START, ROOM);
    let mut told = Told::default();
    for round in 1..4 {
        // Transactions that leave nothing behind: rolled back, and of messages that are there.
        let mut client = database.client();
        for _ in 0..20 {
            client.batch_execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK").unwrap();
            import(&archive, vec![of(0, 0)]);
        }
        told.until(&mut live, "before", |told| told.stored.len() == expected.len());
        let position = archive.position().wait().unwrap();
        let before = next(&database);
        cluster.order("crash");
        cluster.order("start");
        let after = next(&database);
        taken_back += (before - after).max(0);
        let m = of(round, 1);
        let begin = Instant::now();
        while let Err(e) = archive.put(vec![m.clone()], Origin::Import).wait() {
            assert_eq!(e.kind(), ErrorKind::ArchiveUnavailable, "{e}");
            assert!(begin.elapsed() < LONG, "it does not reconnect");
            thread::sleep(Duration::from_millis(20));
        }
        expected.push(m.clone());
        // By another opening, and so from the log alone.
        let other = open(&database.url);
        let mut late = Told::default();
        late.until(&mut from(&other, position, ROOM), "after", |told| told.has(&m));
        assert_eq!(late.order, [m.sync_id()], "round {round}");
        told.until(&mut live, "live", |told| told.has(&m));
        other.close();
    }
    assert!(taken_back > 0, "no number was ever taken back: this tested nothing");
    import(&archive, vec![of(9, 9)]);
    told.until(&mut live, "the end", |told| told.has(&of(9, 9)));
    told.is_all_of(&database, "live");
}

#[test]
fn killed_connections_cost_no_follower_anything() {
    let cluster = Cluster::of_its_own(&["autovacuum = off"]);
    let database = cluster.database();
    let (a, b) = (open(&database.url), open(&database.url));
    import(&a, vec![of(0, 0)]);
    let mut feeds: Vec<(Told, Feed)> =
        [&a, &b].map(|node| (Told::default(), from(node, Position::START, ROOM))).into();
    let ended = AtomicBool::new(false);
    let mut acknowledged = 0;
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut admin = cluster.client("postgres");
            let (mut killed, mut i) = (0, 0u64);
            while !ended.load(Ordering::SeqCst) {
                let text = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                            WHERE datname = $1 AND backend_type = 'client backend'
                                AND ($2 OR backend_xid IS NOT NULL)";
                let row = admin.query_one(text, &[&database.name(), &(i % 4 == 0)]).unwrap();
                killed += row.get::<_, i64>(0);
                i += 1;
                thread::sleep(Duration::from_millis(i * 7 % 23));
            }
            killed
        });
        for i in 1..250 {
            for (n, node) in [&a, &b].into_iter().enumerate() {
                let m = of(n, i);
                let begin = Instant::now();
                loop {
                    match node.put(vec![m.clone()], Origin::Import).wait() {
                        Ok(_) => break,
                        Err(e) => assert_eq!(e.kind(), ErrorKind::ArchiveUnavailable, "{e}"),
                    }
                    assert!(begin.elapsed() < LONG, "it does not reconnect");
                }
                acknowledged += 1;
            }
        }
        ended.store(true, Ordering::SeqCst);
        assert!(killer.join().unwrap() > 20, "hardly anything was killed");
    });
    assert_eq!(a.stats().wait().unwrap().messages, acknowledged + 1);
    for (i, (told, feed)) in feeds.iter_mut().enumerate() {
        told.until(feed, "the end", |told| told.stored.len() as u64 == acknowledged + 1);
        told.is_all_of(&database, &format!("feed {i}"));
    }
}

#[test]
fn what_one_node_removes_the_others_are_told_also_later() {
    let database = Cluster::shared().database();
    let (a, b) = (open(&database.url), open(&database.url));
    let all: Vec<StoredMessage> = (0..600).map(|i| of(0, i)).collect();
    import(&a, all.clone());
    let mut told = Told::default();
    let mut feed = from(&b, Position::START, ROOM);
    told.until(&mut feed, "all", |told| told.stored.len() == 600);
    let position = feed.position().unwrap();
    let down = vec![all[500].hash, all[550].hash];
    assert_eq!(a.take_down(down.clone()).wait().unwrap(), 2);
    told.until(&mut feed, "down", |told| told.removed.len() == 2);
    assert_eq!(told.removed, down);
    a.close();
    let retention = Retention { max_messages: Some(100), ..Retention::default() };
    let keeper =
        postgres(&database.url, few_partitions(), &ArchiveConfig { retention, ..config() });
    // 100 of 598 are left: up to the 498th all went.
    let bound = all[497].sync_id();
    told.until(&mut feed, "expired", |told| told.expired.last() == Some(&bound));
    assert!(told.expired.is_sorted());
    assert_eq!(b.floor().nanos(), bound.timestamp.nanos() + 1, "nor taken in here again");
    assert_eq!(told.removed, down, "and not message by message");
    // Who comes back later, even to another opening, is told the same, the bounds as one.
    keeper.close();
    let later = open(&database.url);
    let mut since = Told::default();
    let mut feed = from(&later, Position::from_bytes(&position.to_bytes()).unwrap(), ROOM);
    since.until(&mut feed, "later", |told| told.expired.last() == Some(&bound));
    assert_eq!((&since.removed, since.expired.len(), since.stored.len()), (&down, 1, 0));
    // And from the start nothing is told of what nobody there knows.
    let mut whole = Told::default();
    let mut feed = from(&later, Position::START, ROOM);
    whole.until(&mut feed, "whole", |told| told.stored.len() == 100);
    whole.take_all(&mut feed);
    assert!(whole.removed.is_empty() && whole.expired.is_empty());
    whole.is_all_of(&database, "whole");
}

#[test]
fn a_position_of_another_database_is_none_of_this() {
    let (one, two) = (Cluster::shared().database(), Cluster::shared().database());
    let (a, b) = (open(&one.url), open(&two.url));
    import(&a, vec![of(0, 0)]);
    import(&b, vec![of(0, 0)]);
    let gone = |archive: &Archive, position: Position| {
        archive.subscribe_from(position, 10).wait().err().map(|e| e.kind())
    };
    let position = a.position().wait().unwrap();
    assert_eq!(gone(&a, position), None);
    assert_eq!(gone(&b, position), Some(ErrorKind::PositionGone));
    // As after a failover to a server that had not all of it.
    let ahead = Position::new(position.archive(), position.major() + 1_000_000, 0);
    assert_eq!(gone(&a, ahead), Some(ErrorKind::PositionGone));
    // A log of another server, as a restored dump has it, is told as such.
    let text = "UPDATE wakustore.partition_count SET last_xid = '4611686018427387904'";
    one.client().batch_execute(text).unwrap();
    let e = a.position().wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt);
    assert!(e.message().contains("restored"), "{e}");
}
