//! A process that is killed while it writes: every message that was acknowledged is there.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use archive_support::*;
use wakustore::archive::{Archive, SqliteBackend, SqliteConfig};
use wakustore::types::{MessageHash, Origin, Query};

/// Where the child writes; it is a child because this is set.
const CHILD: &str = "WAKUSTORE_TEST_KILLED_CHILD";
const MARK: &str = "acknowledged ";

fn open(path: &Path) -> Archive {
    Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config()).unwrap()
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Puts for as long as it lives, and tells of each message that was acknowledged.
fn write_until_killed(path: &Path) -> ! {
    let archive = open(path);
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let archive = archive.clone();
            std::thread::spawn(move || {
                let run = random();
                for i in 0i64.. {
                    let payload = format!("{run}-{i:0500}");
                    let batch: Vec<_> = (0..=t)
                        .map(|c| message(t, c, i * 1_000 + i64::from(c), &payload))
                        .collect();
                    let hashes: Vec<_> = batch.iter().map(|m| m.hash).collect();
                    archive.put(batch, Origin::Import).wait().unwrap();
                    let lines: String =
                        hashes.iter().map(|hash| format!("{MARK}{hash}\n")).collect();
                    // One write; print! would be kept back by the test harness.
                    std::io::stdout().lock().write_all(lines.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    unreachable!("the threads do not end")
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(path) = std::env::var_os(CHILD) {
        write_until_killed(path.as_ref());
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let mut acknowledged: Vec<MessageHash> = Vec::new();
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_was_acknowledged_survives_a_kill", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let told = std::thread::spawn(move || {
            let mut told = Vec::new();
            for line in BufReader::new(stdout).lines() {
                let line = line.unwrap();
                if let Some(hash) = line.strip_prefix(MARK) {
                    // The last line may be cut.
                    told.extend(hash.parse::<MessageHash>());
                }
            }
            told
        });
        // In every other round another process has the archive open, and reads.
        let beside = (round % 2 == 1).then(|| open(&path));
        let delay = Duration::from_millis(50 + random() % 350);
        std::thread::sleep(delay);
        if let Some(beside) = &beside {
            beside.query(Query::default()).wait().unwrap();
        }
        // SIGKILL, wherever it is just now.
        child.kill().unwrap();
        child.wait().unwrap();
        let told = told.join().unwrap();
        if let Some(beside) = beside {
            assert_eq!(beside.missing(told.clone()).wait().unwrap(), [], "round {round}");
        }
        let before = acknowledged.len();
        acknowledged.extend(told);
        println!("round {round}: {} acknowledged in {delay:?}", acknowledged.len() - before);

        let archive = open(&path);
        assert_eq!(archive.missing(acknowledged.clone()).wait().unwrap(), [], "round {round}");
        let stats = archive.stats().wait().unwrap();
        assert!(stats.messages >= acknowledged.len() as u64);
        archive.close();
        let raw = rusqlite::Connection::open(&path).unwrap();
        let check: String = raw.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
        assert_eq!(check, "ok");
        let count: u64 = raw
            .query_row("SELECT count(*) FROM message", [], |r| r.get::<_, i64>(0))
            .unwrap() as u64;
        assert_eq!(count, stats.messages, "the figure is the count");
    }
    assert!(acknowledged.len() > 1_000, "only {} were acknowledged at all", acknowledged.len());
}
