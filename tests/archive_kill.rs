//! A process that is killed while it writes, while it keeps house, while it opens what the one
//! before it left: what was acknowledged is there, what was taken down stays down, a put is there
//! whole or not at all, and the file is sound.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_faults;
mod archive_support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use archive_faults::seed::Seed;
use archive_faults::told::{Ended, KEPT, THREADS, Told, tell, write};
use archive_support::*;
use wakustore::archive::{
    Archive, ArchiveConfig, Durability, Retention, SqliteBackend, SqliteConfig,
};
use wakustore::types::{Origin, Query};

/// Where the child writes, and from what seed; it is a child because these are set.
const CHILD: &str = "WAKUSTORE_TEST_KILLED_CHILD";
const CHILD_SEED: &str = "WAKUSTORE_TEST_KILLED_CHILD_SEED";
const SEED: &str = "WAKUSTORE_KILL_SEED";
const KILLS: u64 = 200;

fn open(path: &Path, durability: Durability, retention: Retention) -> Archive {
    let config_of = SqliteConfig { durability, ..SqliteConfig::new(path) };
    let config = ArchiveConfig { retention, ..config() };
    Archive::open(SqliteBackend::open(config_of).unwrap(), config).unwrap()
}

/// Puts, takes down, checkpoints and keeps house for as long as it lives, and tells what it is about
/// to do and what was acknowledged.
fn write_until_killed(path: &Path) {
    let mut seed = Seed::new(std::env::var(CHILD_SEED).unwrap().parse().unwrap());
    let durability = if seed.percent(50) { Durability::Full } else { Durability::Normal };
    let retention = Retention { max_messages: Some(KEPT), ..Retention::default() };
    let archive = open(path, durability, retention);
    tell("opened", 0, &[]);
    let run = seed.next();
    // Later children write later messages, so that retention takes the earlier ones', as it does when
    // a child begins with what is beyond its bound.
    let begin = archive.stats().wait().unwrap().newest.map_or(0, |newest| newest.nanos() + 1);
    std::thread::scope(|scope| {
        for t in 0..THREADS {
            let (archive, seed) = (archive.clone(), seed.split());
            scope.spawn(move || write(&archive, t, begin, run, seed, i64::MAX));
        }
        // As another process on the same file would.
        scope.spawn(move || {
            let other = rusqlite::Connection::open(path).unwrap();
            other.busy_timeout(Duration::from_millis(50)).unwrap();
            loop {
                let how = *seed.pick(&["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
                let sql = format!("PRAGMA wal_checkpoint({how})");
                // What is busy now is not to be waited for.
                let _ = other.query_row(&sql, [], |_| Ok(()));
                std::thread::sleep(Duration::from_micros(seed.below(8_000)));
            }
        });
    });
}

/// Begins a child; what it says goes to the channel, line by line.
fn begin(path: &Path, errors: &Path, seed: u64) -> (Ended, mpsc::Receiver<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_was_acknowledged_survives_a_kill", "--nocapture"])
        .env(CHILD, path)
        .env(CHILD_SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(errors).unwrap())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (lines, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            // Nobody listens any more where the test has failed.
            if line.is_ok_and(|line| lines.send(line).is_err()) {
                return;
            }
        }
    });
    (Ended(child), told)
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_until_killed(path.as_ref());
    }
    let (_, mut seed) = Seed::of_test(SEED);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let errors = dir.path().join("errors");
    let mut told = Told::default();
    for round in 0..KILLS {
        let (mut child, lines) = begin(&path, &errors, seed.next());
        let patience = Duration::from_secs(60);
        // Some are killed while they begin: opening, recovering the WAL, making the first tables.
        if seed.percent(75) {
            loop {
                let line = lines.recv_timeout(patience).unwrap_or_else(|e| {
                    let errors = std::fs::read_to_string(&errors).unwrap();
                    panic!("round {round}: the child says nothing ({e}): {errors}")
                });
                told.line(&line);
                if line.starts_with("opened ") {
                    break;
                }
            }
        }
        // In some rounds another process, this one, has the archive open too, and writes.
        let beside = seed.percent(20).then(|| open(&path, Durability::Full, Retention::default()));
        if let Some(archive) = &beside {
            let newest = archive.stats().wait().unwrap().newest.map_or(0, |newest| newest.nanos());
            let batch: Vec<_> =
                (0..5).map(|c| message(7, c, newest + 5, &round.to_string())).collect();
            let hashes: Vec<_> = batch.iter().map(|m| m.hash).collect();
            archive.put(batch, Origin::Import).wait().unwrap();
            told.times.extend(hashes.iter().map(|hash| (*hash, newest + 5)));
            told.acknowledged.extend(hashes.iter().copied());
            told.puts.push(hashes);
        }
        std::thread::sleep(Duration::from_micros(seed.below(50_000)));
        // SIGKILL, wherever it is just now.
        child.0.kill().unwrap();
        let status = child.0.wait().unwrap();
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        assert!(killed, "round {round}: {}", std::fs::read_to_string(&errors).unwrap());
        for line in lines {
            told.line(&line);
        }
        if let Some(archive) = beside {
            archive.query(Query::default()).wait().unwrap();
            archive.close();
        }
        if seed.percent(50) && path.exists() {
            // Elsewhere, so that the next child finds the WAL as the last one left it.
            let copy = tempfile::tempdir().unwrap();
            for name in ["archive.db", "archive.db-wal"] {
                if dir.path().join(name).exists() {
                    std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
                }
            }
            check(&told, &copy.path().join("archive.db"), round);
        } else {
            check(&told, &path, round);
        }
    }
    println!(
        "{} messages acknowledged in {} puts, {} taken down",
        told.acknowledged.len(),
        told.puts.len(),
        told.down.len()
    );
    assert!(told.acknowledged.len() > 5_000 && told.down.len() > 50, "hardly anything was written");
}

fn check(told: &Told, path: &Path, round: u64) {
    // Whoever was killed first may have left less than an archive: that is begun anew.
    open(path, Durability::Full, Retention::default()).close();
    let held = told.check(path);
    if round.is_multiple_of(20) {
        println!("round {round}: {held} held");
    }
}
