//! Others on the archive's file: processes that open it, readers that are busy, readers that stay.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use archive_support::*;
use wakustore::Result;
use wakustore::archive::{Archive, Durability, SqliteBackend, SqliteConfig};
use wakustore::types::Origin;

const MIB: u64 = 1024 * 1024;

/// Set in a child process that opens what it is told to.
const CHILD: &str = "WAKUSTORE_TEST_OPENING_CHILD";
const MARK: &str = "opened: ";

fn try_open(path: &Path) -> Result<Archive> {
    // What a power loss takes is not the matter here.
    let config_of = SqliteConfig { durability: Durability::Normal, ..SqliteConfig::new(path) };
    Archive::open(SqliteBackend::open(config_of)?, config())
}

fn wal_length(path: &Path) -> u64 {
    let wal = format!("{}-wal", path.display());
    fs::metadata(wal).map_or(0, |file| file.len())
}

/// The WAL is cut to 32 MiB when it begins anew, and it does so in the commit after the one that
/// went beyond; a commit is of 2 MiB here. The rest is for readers that were not scheduled in the
/// time that a checkpoint waits, twice in a row.
const BOUND: u64 = (32 + 2 * 8 + 3 * 2) * MIB;
/// All of this would be in the WAL if it did not begin anew.
const VOLUME: u64 = 128 * MIB;

/// Two readers that relieve each other, so that there is no moment without one. Each stays for two
/// commits, which no checkpoint can then carry over entirely, or for a moment without any: that is
/// how long somebody who wants the readers out must wait.
fn read_without_a_pause(path: &Path, commits: &AtomicUsize, done: &AtomicBool) {
    let readers = [(); 2].map(|()| rusqlite::Connection::open(path).unwrap());
    let begin = |reader: &rusqlite::Connection| {
        reader.execute_batch("BEGIN").unwrap();
        reader.query_row("SELECT messages FROM figures", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    begin(&readers[0]);
    for i in 1.. {
        let (since, seen) = (Instant::now(), commits.load(Ordering::SeqCst));
        while commits.load(Ordering::SeqCst) < seen + 2 && since.elapsed().as_millis() < 20 {
            std::thread::sleep(Duration::from_millis(1));
        }
        if done.load(Ordering::SeqCst) {
            return;
        }
        begin(&readers[i % 2]);
        readers[(i + 1) % 2].execute_batch("COMMIT").unwrap();
    }
}

#[test]
fn busy_readers_do_not_make_the_wal_grow() {
    const SIZE: usize = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let archive = try_open(&path).unwrap();
    let messages = many((VOLUME as usize).div_ceil(SIZE), SIZE);
    let groups = messages.chunks(2 * MIB as usize / SIZE);
    let (commits, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut longest = 0;
    std::thread::scope(|scope| {
        for (i, group) in groups.enumerate() {
            if i == 1 {
                scope.spawn(|| read_without_a_pause(&path, &commits, &done));
            }
            // Not `import`: the readers must be told to end before anything is asserted.
            if archive.put(group.to_vec(), Origin::Import).wait().is_err() {
                break;
            }
            longest = longest.max(wal_length(&path));
            commits.fetch_add(1, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
    println!("the WAL was {} KiB at most", longest / 1024);
    assert!(longest <= BOUND, "the WAL grew to {} MiB", longest / MIB);
    assert_eq!(archive.stats().wait().unwrap().messages, messages.len() as u64);
}

/// Opens the archives that stdin names, line by line, and tells what came of it.
fn open_what_is_named() {
    for path in std::io::stdin().lines() {
        let told = match try_open(path.unwrap().as_ref()) {
            Ok(_) => format!("{MARK}ok\n"),
            Err(e) => format!("{MARK}{e:?}\n"),
        };
        // One write; print! would be kept back by the test harness.
        std::io::stdout().lock().write_all(told.as_bytes()).unwrap();
    }
}

/// A child that is gone with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processes_that_open_a_fresh_file_together() {
    if std::env::var_os(CHILD).is_some() {
        return open_what_is_named();
    }
    let mut children: Vec<_> = (0..6)
        .map(|_| {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "processes_that_open_a_fresh_file_together", "--nocapture"])
                .env(CHILD, "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let stdin = child.stdin.take().unwrap();
            let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
            (Ended(child), stdin, stdout)
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = dir.path().join(format!("{round}.db"));
        let line = format!("{}\n", path.display());
        for (_, stdin, _) in &mut children {
            stdin.write_all(line.as_bytes()).unwrap();
        }
        for (i, (_, _, stdout)) in children.iter_mut().enumerate() {
            let told = stdout
                .map(|line| line.unwrap())
                .find_map(|line| line.split_once(MARK).map(|(_, told)| told.to_owned()));
            assert_eq!(told.as_deref(), Some("ok"), "round {round}, process {i}");
        }
        assert_eq!(try_open(&path).unwrap().stats().wait().unwrap().messages, 0);
    }
}

#[test]
fn closing_waits_for_no_foreign_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let archive = try_open(&path).unwrap();
    import(&archive, many(100, 1_000));
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("BEGIN").unwrap();
    let count = || -> i64 {
        foreign.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(), 100);
    import(&archive, many(1_000, 1_000));
    let accepted: Vec<_> = (0..20)
        .map(|i| archive.put(vec![message(0, 0, i, "accepted last")], Origin::Import))
        .collect();
    // A connection waits five seconds for a lock; of three, one after the other, this is less than
    // what one of them would take.
    let begin = Instant::now();
    archive.close();
    let took = begin.elapsed();
    for put in accepted {
        put.wait().unwrap();
    }
    assert_eq!(count(), 100, "the foreign reader is still where it was");
    foreign.execute_batch("COMMIT").unwrap();
    drop(foreign);
    assert!(took < Duration::from_secs(4), "closing took {took:?}");
    let archive = try_open(&path).unwrap();
    let stats = archive.stats().wait().unwrap();
    let held: Vec<_> = many(1_000, 1_000).iter().map(|m| m.hash).collect();
    assert_eq!(archive.missing(held).wait().unwrap(), []);
    assert!(stats.messages >= 1_020, "{stats:?}");
}
