//! Two processes with one archive, both of which write, keep house and take down: nothing that
//! either was told is stored is lost, and what one of them removed the other does not bring back.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_faults;
mod archive_support;

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use archive_faults::ledger::read_sound;
use archive_faults::seed::Seed;
use archive_faults::told::{Ended, KEPT, THREADS, Told, tell, write};
use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, Backend, FeedEvent, PutOutcome, Removal, Retention, SqliteBackend,
    SqliteConfig,
};
use wakustore::types::{Origin, StoredMessage, Timestamp};

/// Set in a child: where its archive is.
const CHILD: &str = "WAKUSTORE_TEST_SECOND_PROCESS";
const CHILD_SEED: &str = "WAKUSTORE_TEST_SECOND_PROCESS_SEED";
const SEED: &str = "WAKUSTORE_TWO_SEED";
const LONG: Duration = Duration::from_secs(60);

fn open(path: &Path, retention: Retention) -> Archive {
    let config = ArchiveConfig { retention, ..config() };
    Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config).unwrap()
}

fn at_most(messages: u64) -> Retention {
    Retention { max_messages: Some(messages), ..Retention::default() }
}

struct Second {
    _child: Ended,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

/// Another process that runs the same test as a child.
fn second(test: &str, path: &Path, seed: u64) -> Second {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, path)
        .env(CHILD_SEED, seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    Second { _child: Ended(child), stdin, stdout }
}

/// Where this process is a child, what it is to open.
fn child() -> Option<(PathBuf, Seed)> {
    let path = std::env::var_os(CHILD)?.into();
    Some((path, Seed::new(std::env::var(CHILD_SEED).unwrap().parse().unwrap())))
}

#[test]
fn both_write_and_both_keep_house() {
    if let Some((path, mut seed)) = child() {
        let archive = open(&path, at_most(KEPT));
        let run = seed.next();
        std::thread::scope(|scope| {
            for t in 0..THREADS {
                let (archive, seed) = (archive.clone(), seed.split());
                scope.spawn(move || write(&archive, t, 0, run, seed, 60));
            }
        });
        archive.close();
        return tell("done", 0, &[]);
    }
    let (_, mut seed) = Seed::of_test(SEED);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let mut told = Told::default();
    // The second time they begin with more than is to be kept.
    for _ in 0..2 {
        let children =
            [(); 2].map(|()| second("both_write_and_both_keep_house", &path, seed.next()));
        let lines = children.map(|Second { _child, stdin, stdout }| {
            std::thread::spawn(move || {
                let lines: Vec<String> = stdout.map(|line| line.unwrap()).collect();
                drop((_child, stdin));
                lines
            })
        });
        for lines in lines {
            let lines = lines.join().unwrap();
            assert!(lines.iter().any(|line| line.starts_with("done ")), "a child failed");
            lines.iter().for_each(|line| told.line(line));
        }
    }
    told.check(&path);
    assert!(told.acknowledged.len() as u64 > KEPT, "{} acknowledged", told.acknowledged.len());
}

/// Puts a message for each line, `time payload`, and tells what came of it.
fn put_what_is_said(path: &Path) {
    let archive = open(path, Retention::default());
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (time, payload) = line.split_once(' ').unwrap();
        let m = message(0, 0, time.parse().unwrap(), payload);
        let told = match &import(&archive, vec![m])[0] {
            PutOutcome::Refused(e) => format!("outcome {}\n", e.kind().name()),
            other => format!("outcome {other:?}\n"),
        };
        std::io::stdout().lock().write_all(told.as_bytes()).unwrap();
    }
}

#[test]
fn what_one_removes_the_other_does_not_bring_back() {
    if let Some((path, _)) = child() {
        return put_what_is_said(&path);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let archive = open(&path, at_most(10));
    let mut other = second("what_one_removes_the_other_does_not_bring_back", &path, 0);
    let mut other_puts = |time: i64, payload: &str| -> String {
        other.stdin.write_all(format!("{time} {payload}\n").as_bytes()).unwrap();
        let mut lines = other.stdout.by_ref().map(|line| line.unwrap());
        lines
            .find_map(|line| line.split_once("outcome ").map(|(_, told)| told.to_owned()))
            .expect("the other process answers")
    };
    assert_eq!(other_puts(100, "one"), "Stored");
    let one = message(0, 0, 100, "one");
    assert_eq!(archive.get(vec![one.hash]).wait().unwrap(), std::slice::from_ref(&one));
    assert_eq!(archive.take_down(vec![one.hash]).wait().unwrap(), 1);
    assert_eq!(other_puts(100, "one"), "TakenDown");
    // Retention here; the other has none, and was opened when there was no floor.
    let mut feed = archive.subscribe(1_000);
    let later: Vec<_> = (0..30).map(|i| message(0, 1, 200 + i, "later")).collect();
    import(&archive, later);
    let mut removed = 0;
    while removed < 20 {
        match feed.wait(LONG).unwrap().unwrap() {
            FeedEvent::Removed(items) => removed += items.len(),
            FeedEvent::Stored(_) => {}
            lagged => panic!("{lagged:?}"),
        }
    }
    assert_eq!(archive.floor(), Timestamp(220));
    assert_eq!(other_puts(219, "of a time that was removed"), "TimestampTooOld");
    assert_eq!(other_puts(220, "of a time that is kept"), "Stored");
    archive.close();
    drop(other);
    let found = read_sound(&path);
    assert_eq!((found.held.len(), found.down.len(), found.floor), (11, 1, Some(220)));
}

/// Between a look and a commit another process may remove: the driver looks again, under the lock.
#[test]
fn a_driver_puts_nothing_that_was_removed_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let backends = [(); 2].map(|()| SqliteBackend::open(SqliteConfig::new(&path)).unwrap());
    let [mut a, mut b] = backends.each_ref().map(|backend| backend.writer().unwrap());
    let of = |m: &StoredMessage| (m.clone(), Origin::Import);
    let (old, new, down) =
        (message(0, 0, 5, "old"), message(0, 0, 9, "new"), message(0, 0, 9, "taken down"));
    assert_eq!(a.put(&[of(&old)]).unwrap(), [true]);
    assert_eq!(a.remove(&Removal::Hashes(vec![down.hash])).unwrap(), []);
    let e = b.put(&[of(&new), of(&down)]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TakenDown, "{e:?}");
    let removed = a.remove(&Removal::Oldest { before: Timestamp::MAX, limit: 1 }).unwrap();
    assert_eq!(removed.len(), 1);
    let e = b.put(&[of(&new), of(&old)]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TimestampTooOld, "{e:?}");
    assert_eq!(b.figures().unwrap().messages, 0, "nothing of a batch that was refused");
    assert_eq!(b.put(&[of(&new)]).unwrap(), [true]);
}
