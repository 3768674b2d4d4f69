//! Two processes sync over real sockets. The second is this test's own program, run again with an
//! environment variable that makes one of its tests be the other node.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use node_support::*;
use wakustore::engine::SyncOptions;
use wakustore::types::{MessageHash, Query, StoredMessage, Timestamp};

/// The other node's file, and the time of the first message; set for the other process alone.
const FILE: &str = "WAKUSTORE_TEST_FILE";
const BASE: &str = "WAKUSTORE_TEST_BASE";

fn all(base: i64) -> Vec<StoredMessage> {
    (0..2000)
        .map(|n| {
            let at = Timestamp(base + n as i64 * 500_000_000);
            message_at(n, 20 + (n * 131) % 3000, at)
        })
        .collect()
}

fn but_every(nth: usize, all: &[StoredMessage]) -> Vec<StoredMessage> {
    all.iter().enumerate().filter(|(n, _)| n % nth != 0).map(|(_, m)| m.clone()).collect()
}

/// The other process: all but every ninth message. Runs until its standard input closes.
#[test]
fn other_process() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let base = std::env::var(BASE).unwrap().parse().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let archive = on_disk(Path::new(&path));
        put(&archive, but_every(9, &all(base))).await;
        let node = node(&archive).await;
        println!("\naddress {}", address(&node));
        let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        closed.await.unwrap().unwrap();
        node.stop().await;
        archive.close();
    });
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("here.db"), dir.path().join("there.db"));
    let base = (clock().nanos() / 1_000_000_000 - 1800) * 1_000_000_000;
    let mut other = Process(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "other_process", "--nocapture", "--test-threads=1"])
            .env(FILE, &there)
            .env(BASE, base.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(other.0.stdout.take().unwrap()).lines();
    let found = tokio::task::spawn_blocking(move || {
        let peer = lines.find_map(|line| line.unwrap().strip_prefix("address ").map(str::to_owned));
        (peer, lines)
    });
    // The pipe is kept open: the other one has a last word to say at its end.
    let (peer, _lines) = soon(found).await.unwrap();
    let peer = peer.expect("the other process listens");

    let archive = on_disk(&here);
    let all = all(base);
    put(&archive, but_every(5, &all)).await;
    let node = node(&archive).await;
    // What the other one has, read page by page before the sync.
    let mut history = node.history(&peer, Query { limit: 100, ..Query::default() }).unwrap();
    let mut read = 0;
    while let Some(page) = soon(history.next()).await.unwrap() {
        read += page.entries.len();
    }
    assert_eq!(read, but_every(9, &all).len());

    let report = soon(node.sync(&peer, SyncOptions::default())).await.unwrap().report;
    let lacked =
        |n: usize, m: usize| (0..all.len()).filter(|i| i % n == 0 && i % m != 0).count() as u64;
    assert_eq!((report.figures.missing, report.figures.received), (lacked(5, 9), lacked(5, 9)));
    assert_eq!((report.figures.surplus, report.figures.sent), (lacked(9, 5), lacked(9, 5)));
    node.stop().await;
    archive.close();

    // The other one stores what came, stops in order, and leaves a sound file.
    drop(other.0.stdin.take());
    let ended = tokio::task::spawn_blocking(move || other.0.wait().unwrap());
    assert!(soon(ended).await.unwrap().success());
    let held: Vec<Vec<MessageHash>> =
        [hashes(&on_disk(&here)).await, hashes(&on_disk(&there)).await].into();
    assert_eq!(held[0].len(), all.len() - all.len().div_ceil(45));
    assert!(held[0] == held[1], "{} here, {} there", held[0].len(), held[1].len());
}
