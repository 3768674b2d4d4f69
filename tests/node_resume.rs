//! What a node fetches by itself: when a peer comes, and after it was off, over a real restart.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::path::Path;
use std::time::Duration;

use node_support::*;
use wakustore::archive::{Archive, ArchiveConfig, Rules, SqliteBackend, SqliteConfig};
use wakustore::engine::{EngineConfig, SyncReason};
use wakustore::node::{Node, NodeConfig};
use wakustore::types::Timestamp;

const OFF: Duration = Duration::from_secs(3 * 3600);

/// The clock as it was three hours ago.
fn earlier() -> Timestamp {
    clock().saturating_sub(OFF)
}

fn open(path: &Path, clock: fn() -> Timestamp) -> Archive {
    let rules = Rules { check_live_age: false, ..Rules::default() };
    let config = ArchiveConfig { rules, ..ArchiveConfig::new(clock) };
    Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_is_synced_with() {
    let (a, b) = (in_memory(), in_memory());
    put(&a, (0..50).map(|n| message(n, 64)).collect()).await;
    let engine = EngineConfig { sync_on_connect: true, ..config().engine };
    let left = Node::start(NodeConfig { engine, ..config() }, b.clone()).await.unwrap();
    let right = node(&a).await;
    let mut events = left.events();
    // The other one dials: whoever comes is synced with.
    soon(right.dial(&address(&left))).await.unwrap();
    let report = finished(&mut events).await.report;
    assert_eq!((report.reason, report.initiator), (SyncReason::Connected, true), "{report:?}");
    assert_eq!(report.figures.received, 50);
    assert_same(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_while_a_node_was_off_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let (state, path) = (dir.path().join("state"), dir.path().join("b.db"));
    let engine = EngineConfig { resume: true, ..config().engine };
    let keeping = NodeConfig { engine, state: Some(state.clone()), ..config() };
    let a = in_memory();
    let other = node(&a).await;

    // Three hours ago it was online, and it was stopped.
    let b = open(&path, earlier);
    let this = Node::start(keeping.clone(), b.clone()).await.unwrap();
    soon(this.dial(&address(&other))).await.unwrap();
    // Once the engine knows of a peer to sync with, it is online.
    soon(this.sync(&other.peer_id(), Default::default())).await.unwrap();
    soon(this.stop()).await;
    tokio::task::spawn_blocking(move || b.close()).await.unwrap();

    // A message each minute since then, and for an hour before: that was missed otherwise, and is
    // not fetched.
    let begin = earlier().saturating_sub(Duration::from_secs(3600));
    let at = |n: usize| begin.saturating_add(Duration::from_secs(60 * n as u64));
    put(&a, (0..239).map(|n| message_at(n, 64, at(n))).collect()).await;

    let b = open(&path, clock);
    let this = Node::start(keeping, b.clone()).await.unwrap();
    let mut events = this.events();
    soon(this.dial(&address(&other))).await.unwrap();
    let mut received = 0;
    while received < 178 {
        let report = finished(&mut events).await.report;
        assert_eq!(report.reason, SyncReason::Resume, "{report:?}");
        received += report.figures.received;
    }
    let held = hashes(&b).await;
    // A little more on both sides of the gap is compared, and no more.
    assert!((178..=185).contains(&held.len()), "{} messages", held.len());
    assert_eq!(held, hashes(&a).await[239 - held.len()..]);
}
