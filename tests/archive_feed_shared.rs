//! The change feed of a file that several processes write to: each is told what the others stored
//! and removed, once, with its origin; also when one of them is killed.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use archive_support::*;
use wakustore::archive::{
    Archive, ArchiveConfig, Feed, FeedEvent, Position, Retention, SqliteBackend, SqliteConfig,
};
use wakustore::types::{MessageHash, Origin, StoredMessage, SyncId};

const LONG: Duration = Duration::from_secs(60);
const CHILD: &str = "WAKUSTORE_TEST_FEEDING_CHILD";
const MARK: &str = "done: ";

fn open_with(path: &Path, config: ArchiveConfig) -> Archive {
    Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config).unwrap()
}

fn open(path: &Path) -> Archive {
    open_with(path, config())
}

fn by_child(child: usize, i: usize) -> StoredMessage {
    message(child as u32, (i % 3) as u32, i as i64, &format!("{child}"))
}

/// What the child is told on its standard input, a line each; it answers each.
fn obey(path: &Path) {
    let mut archive = open(path);
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse::<usize>().unwrap();
        match words[0] {
            // put <child> <from> <to>: one commit each.
            "put" => {
                let origin = if number(1) % 2 == 0 { Origin::Sync } else { Origin::Resume };
                for i in number(2)..number(3) {
                    archive.put(vec![by_child(number(1), i)], origin).wait().unwrap();
                }
            }
            // bulk <child> <from> <to>: one put.
            "bulk" => {
                let all = (number(2)..number(3)).map(|i| by_child(number(1), i)).collect();
                archive.put(all, Origin::Import).wait().unwrap();
            }
            "down" => {
                let hashes = words[1..].iter().map(|hash| hash.parse().unwrap()).collect();
                archive.take_down(hashes).wait().unwrap();
            }
            // keep <count>: retention, until no more than that are held.
            "keep" => {
                archive.close();
                let max_messages = Some(number(1) as u64);
                let retention = Retention { max_messages, ..Retention::default() };
                archive = open_with(path, ArchiveConfig { retention, ..config() });
                while archive.stats().wait().unwrap().messages > number(1) as u64 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                archive.close();
                archive = open(path);
            }
            other => panic!("{other}"),
        }
        // One write; print! would be kept back by the test harness.
        std::io::stdout().lock().write_all(format!("{MARK}{line}\n").as_bytes()).unwrap();
    }
}

struct Other {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Other {
    fn new(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "another_process", "--nocapture"])
            .env(CHILD, path)
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
        loop {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the child has ended");
            if line.contains(MARK) {
                return;
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side of the other tests; by itself it does nothing.
#[test]
fn another_process() {
    if let Some(path) = std::env::var_os(CHILD) {
        obey(path.as_ref());
    }
}

/// Events until all of these are stored; how often each was told, and its origin.
#[derive(Default)]
struct Told {
    stored: BTreeMap<MessageHash, (usize, Origin)>,
    removed: Vec<MessageHash>,
    expired: Vec<SyncId>,
    order: Vec<SyncId>,
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

    fn until(&mut self, feed: &mut Feed, enough: impl Fn(&Told) -> bool) {
        let begin = Instant::now();
        while !enough(self) {
            assert!(begin.elapsed() < LONG, "{} stored", self.stored.len());
            self.take(feed.wait(LONG).unwrap().unwrap());
        }
    }
}

#[test]
fn everybody_is_told_what_anybody_stores_once_and_in_the_same_order() {
    const EACH: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let archive = open(&path);
    let beside = open(&path);
    let mut feed = archive.subscribe_from(Position::START, 100_000).wait().unwrap();
    let mut other_feed = beside.subscribe_from(Position::START, 100_000).wait().unwrap();
    let mut children = [Other::new(&path), Other::new(&path)];
    let mut told = Told::default();
    for (c, child) in children.iter_mut().enumerate() {
        child.tell(&format!("put {c} 0 {EACH}"));
    }
    // Meanwhile it stores messages itself: those are in its own feed when they are acknowledged.
    for i in 0..EACH {
        let m = by_child(2, i);
        archive.put(vec![m.clone()], Origin::Import).wait().unwrap();
        while let Some(event) = feed.try_next() {
            told.take(event);
        }
        assert!(told.stored.contains_key(&m.hash), "acknowledged, and not told: {i}");
    }
    children.iter_mut().for_each(Other::done);
    told.until(&mut feed, |told| told.stored.len() == 3 * EACH);
    let mut others = Told::default();
    others.until(&mut other_feed, |told| told.stored.len() == 3 * EACH);
    for told in [&told, &others] {
        for (child, origin) in [(0, Origin::Sync), (1, Origin::Resume), (2, Origin::Import)] {
            for i in 0..EACH {
                let seen = told.stored.get(&by_child(child, i).hash);
                assert_eq!(seen, Some(&(1, origin)), "{child} {i}");
            }
        }
    }
    assert!(told.order == others.order, "all see one order");
    // It is the order of the log.
    let mut again = archive.subscribe_from(Position::START, 64).wait().unwrap();
    let mut later = Told::default();
    later.until(&mut again, |told| told.stored.len() == 3 * EACH);
    assert!(told.order == later.order);
    assert_eq!(feed.try_next(), None);
    assert_eq!(feed.position(), Some(archive.position().wait().unwrap()));
}

#[test]
fn what_another_process_removes_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let archive = open(&path);
    let mut child = Other::new(&path);
    child.tell("bulk 0 0 1000");
    child.done();
    let mut feed = archive.subscribe_from(Position::START, 100_000).wait().unwrap();
    let mut told = Told::default();
    told.until(&mut feed, |told| told.stored.len() == 1_000);
    let down = [by_child(0, 998).hash, by_child(0, 999).hash];
    child.tell(&format!("down {} {}", down[0], down[1]));
    child.done();
    told.until(&mut feed, |told| told.removed.len() == 2);
    assert_eq!(told.removed, down);
    child.tell("keep 100");
    child.done();
    // Of 998 the 898 oldest are gone.
    let last = by_child(0, 897).sync_id();
    told.until(&mut feed, |told| told.expired.last() == Some(&last));
    assert!(told.expired.is_sorted());
    assert_eq!(archive.floor().nanos(), 898, "and is not taken in again here either");
    child.tell("put 0 1000 1003");
    child.done();
    told.until(&mut feed, |told| told.stored.len() == 1_003);
    assert!(told.stored.values().all(|(times, _)| *times == 1));
    // A whole archive in one go is more than it takes at once: it lags, and goes on.
    let mut slow = archive.subscribe_from(feed.position().unwrap(), 10).wait().unwrap();
    child.tell("bulk 1 5000 9000");
    child.done();
    told.until(&mut feed, |told| told.stored.len() == 5_003);
    let mut caught_up = 0;
    while caught_up < 4_000 {
        match slow.wait(LONG).unwrap().unwrap() {
            FeedEvent::Stored(items) => caught_up += items.len(),
            FeedEvent::Lagged { from, .. } => {
                slow = archive.subscribe_from(from.unwrap(), 10).wait().unwrap();
            }
            FeedEvent::Expired(_) => {}
            FeedEvent::Removed(items) => panic!("{items:?}"),
        }
    }
}

#[test]
fn what_a_process_had_stored_when_it_was_killed_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let archive = open(&path);
    let mut position = archive.position().wait().unwrap();
    let mut told = Told::default();
    for round in 0..6 {
        // In turns: somebody listens while it is killed, or asks afterwards.
        let mut feed =
            (round % 2 == 0).then(|| archive.subscribe_from(position, 100_000).wait().unwrap());
        let mut child = Other::new(&path);
        child.tell(&format!("put {round} 0 {}", 10 + round));
        child.done();
        child.tell(&format!("put {round} 1000 1000000"));
        if let Some(feed) = &mut feed {
            told.until(feed, |told| told.stored.contains_key(&by_child(round, 1_003).hash));
        } else {
            while !archive.missing(vec![by_child(round, 1_003).hash]).wait().unwrap().is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        drop(child);
        import(&archive, vec![by_child(99, round)]);
        let last = by_child(99, round).hash;
        let mut feed =
            feed.unwrap_or_else(|| archive.subscribe_from(position, 100_000).wait().unwrap());
        told.until(&mut feed, |told| told.stored.contains_key(&last));
        position = feed.position().unwrap();
        let held = archive.stats().wait().unwrap().messages;
        assert_eq!(told.stored.len() as u64, held, "round {round}");
        assert!(told.stored.values().all(|(times, _)| *times == 1), "round {round}");
    }
}
