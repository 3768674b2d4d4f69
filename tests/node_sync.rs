//! Two nodes sync over real sockets: what differs gets across, both sides tell of it, and nothing
//! hangs when one goes away.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::time::Duration;

use node_support::*;
use wakustore::ErrorKind;
use wakustore::archive::Archive;
use wakustore::engine::{EngineConfig, SyncDirection, SyncOptions, SyncProtocol};
use wakustore::node::{Node, NodeConfig};
use wakustore::types::{StoredMessage, TimeRange, Timestamp};

/// A mixed lot of messages: most about 1 KiB, some large, and 300 with one timestamp.
fn lot() -> Vec<StoredMessage> {
    let mut all: Vec<_> = (0..1500).map(|n| message(n, 8 + (n * 37) % 2000)).collect();
    let burst = message(700, 8).timestamp();
    all.extend((0..300).map(|n| message_at(10_000 + n, 50, burst)));
    // What still fits a deployed peer's frame, and a little less than half of it.
    all.extend([(20_000, 153_000), (20_001, 70_000)].map(|(n, size)| message(n % 1000, size)));
    all
}

fn missing_every(n: usize, k: usize, all: &[StoredMessage]) -> Vec<StoredMessage> {
    all.iter().enumerate().filter(|(i, _)| i % n != k).map(|(_, m)| m.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_gets_across() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (on_disk(&dir.path().join("a.db")), on_disk(&dir.path().join("b.db")));
    let all = lot();
    put(&a, missing_every(10, 3, &all)).await;
    put(&b, missing_every(7, 2, &all)).await;
    let (left, right) = (node(&a).await, node(&b).await);
    let mut events = right.events();
    let lacked = |n: usize, k: usize, m: usize, l: usize| {
        (0..all.len()).filter(|i| i % n == k && i % m != l).count() as u64
    };
    let (a_lacks, b_lacks) = (lacked(10, 3, 7, 2), lacked(7, 2, 10, 3));

    let report = soon(left.sync(&address(&right), SyncOptions::default())).await.unwrap();
    assert_eq!(report.peer_id, right.peer_id());
    let figures = report.report.figures;
    assert!(report.report.initiator);
    assert_eq!((figures.missing, figures.received), (a_lacks, a_lacks), "{figures:?}");
    assert_eq!((figures.surplus, figures.sent), (b_lacks, b_lacks), "{figures:?}");
    assert_eq!((figures.unsendable, report.report.outstanding), (0, 0));

    let theirs = finished(&mut events).await;
    assert_eq!(theirs.peer_id, left.peer_id());
    assert!(!theirs.report.initiator && theirs.report.error.is_none(), "{theirs:?}");
    assert_eq!(theirs.report.figures.received, b_lacks);
    assert_eq!(theirs.report.figures.transfer_bytes_in, figures.transfer_bytes_out);
    assert_eq!(theirs.report.figures.reconciliation_bytes_in, figures.reconciliation_bytes_out);

    let held = hashes(&a).await;
    // But for those that both lacked.
    let both = (0..all.len()).filter(|i| i % 10 == 3 && i % 7 == 2).count();
    assert_eq!(held.len(), all.len() - both);
    assert_same(&a, &b).await;

    // Nothing is left to do, and one frame each way tells so.
    let again = soon(right.sync(&left.peer_id(), SyncOptions::default())).await.unwrap();
    let figures = again.report.figures;
    assert_eq!((figures.missing, figures.surplus, figures.frames), (0, 0, 2), "{figures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_node_gets_all_and_one_way_is_one_way() {
    let (a, b) = (in_memory(), in_memory());
    let all: Vec<_> = (0..400).map(|n| message(n, 300)).collect();
    put(&a, all[..300].to_vec()).await;
    put(&b, all[350..].to_vec()).await;
    let (left, right) = (node(&a).await, node(&b).await);
    let mut events = right.events();
    let push = SyncOptions { direction: SyncDirection::Push, ..SyncOptions::default() };
    let report = soon(left.sync(&address(&right), push)).await.unwrap();
    assert_eq!((report.report.figures.sent, report.report.figures.received), (300, 0));
    // Sent is written to the socket; the other side tells when all is stored.
    assert_eq!(finished(&mut events).await.report.figures.received, 300);
    assert_eq!((hashes(&a).await.len(), hashes(&b).await.len()), (300, 350));
    let pull = SyncOptions { direction: SyncDirection::Pull, ..SyncOptions::default() };
    let report = soon(left.sync(&right.peer_id(), pull)).await.unwrap();
    assert_eq!((report.report.figures.sent, report.report.figures.received), (0, 50));
    assert_same(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_too_large_for_the_frame_is_reported() {
    let (a, b) = (in_memory(), in_memory());
    // The largest message there may be does not fit the frame, with its envelope.
    let largest = (150_000..154_000)
        .rev()
        .map(|size| message(1, size))
        .find(|m| wakustore::wire::message::encoded_len(&m.message) <= 150 * 1024)
        .unwrap();
    put(&a, vec![largest, message(2, 100)]).await;
    let (left, right) = (node(&a).await, node(&b).await);
    let mut events = right.events();
    let deployed = SyncOptions { protocol: Some(SyncProtocol::V1), ..SyncOptions::default() };
    let report = soon(left.sync(&address(&right), deployed)).await.unwrap();
    let figures = report.report.figures;
    assert_eq!((figures.surplus, figures.sent, figures.unsendable), (2, 1, 1), "{figures:?}");
    assert_eq!(finished(&mut events).await.report.figures.received, 1);
    assert_eq!(hashes(&b).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_stored_while_it_runs_are_synced_later() {
    let (a, b) = (in_memory(), in_memory());
    let (left, right) = (node(&a).await, node(&b).await);
    let mut events = right.events();
    for round in 0..5 {
        put(&a, (0..50).map(|n| message(round * 100 + n, 64)).collect()).await;
        let report = soon(left.sync(&address(&right), SyncOptions::default())).await.unwrap();
        assert_eq!(report.report.figures.sent, 50);
        assert_eq!(finished(&mut events).await.report.figures.received, 50);
    }
    assert_same(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_window_is_loaded_for_the_session() {
    let (a, b) = (in_memory(), in_memory());
    let old = clock().saturating_sub(Duration::from_secs(36 * 3600));
    let at = |n: usize| old.saturating_add(Duration::from_secs(n as u64));
    put(&a, (0..200).map(|n| message_at(n, 64, at(n))).collect()).await;
    let (left, right) = (node(&a).await, node(&b).await);
    let report = soon(right.sync(&address(&left), SyncOptions::default())).await.unwrap();
    assert_eq!(report.report.figures.received, 0, "not within the usual window");
    let window = Some(TimeRange::new(old, at(150)).unwrap());
    let options = SyncOptions { window, ..SyncOptions::default() };
    let report = soon(right.sync(&address(&left), options)).await.unwrap();
    assert_eq!(report.report.figures.received, 150);
    assert_eq!(hashes(&b).await, hashes(&a).await[..150]);
}

/// Two nodes with so much to sync that one can go away half way.
async fn long_sync() -> (Node, Node, Archive) {
    let (a, b) = (in_memory(), in_memory());
    for part in 0..20 {
        put(&a, (0..50).map(|n| message(part * 50 + n, 100_000)).collect()).await;
    }
    (node(&a).await, node(&b).await, b)
}

/// Waits until some messages are across, and not all.
async fn under_way(receiver: &Archive) {
    soon(async {
        while receiver.stats().await.unwrap().messages < 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_stopped_midway_is_an_error_and_no_hang() {
    let (left, right, received) = long_sync().await;
    let mut events = left.events();
    let to = address(&right);
    let sync = tokio::spawn({
        let left = left.clone();
        async move { left.sync(&to, SyncOptions::default()).await }
    });
    under_way(&received).await;
    soon(right.stop()).await;
    let error = soon(sync).await.unwrap().unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Shutdown, "{error:?}");
    let report = finished(&mut events).await;
    assert_eq!(report.report.error, Some(error));
    assert!(received.stats().await.unwrap().messages < 1000, "it was midway");

    // A new node on the same archive gets the rest.
    let right = node(&received).await;
    let mut events = right.events();
    soon(left.sync(&address(&right), SyncOptions::default())).await.unwrap();
    finished(&mut events).await;
    assert_same(&received, left.archive()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ourselves_midway_is_told_to_the_caller() {
    let (left, right, received) = long_sync().await;
    let mut events = left.events();
    let to = address(&left);
    let sync = tokio::spawn({
        let right = right.clone();
        async move { right.sync(&to, SyncOptions::default()).await }
    });
    under_way(&received).await;
    soon(right.stop()).await;
    let error = soon(sync).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shutdown, "{error:?}");
    assert!(finished(&mut events).await.report.error.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_sync_is_cancelled() {
    let (left, right, received) = long_sync().await;
    let mut events = left.events();
    let to = address(&right);
    let sync = tokio::spawn({
        let left = left.clone();
        async move { left.sync(&to, SyncOptions::default()).await }
    });
    under_way(&received).await;
    sync.abort();
    let report = finished(&mut events).await;
    assert_eq!(report.report.error.map(|e| e.kind()), Some(ErrorKind::Cancelled));
    // And another may begin.
    let mut events = right.events();
    soon(left.sync(&right.peer_id(), SyncOptions::default())).await.unwrap();
    // The session that was cut off ends there by itself, in its time.
    while received.stats().await.unwrap().messages < 1000 {
        finished(&mut events).await;
    }
    assert_same(&received, left.archive()).await;
}

#[tokio::test]
async fn what_cannot_sync_is_told() {
    let nothing = NodeConfig { sync: false, serve_store: false, ..config() };
    let without = Node::start(nothing, in_memory()).await.unwrap();
    let with = node(&in_memory()).await;
    let error = soon(without.sync(&address(&with), SyncOptions::default())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = soon(with.sync(&address(&without), SyncOptions::default())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProtocolUnsupported, "{error:?}");
    let future = clock().saturating_add(Duration::from_secs(3600));
    let window = Some(TimeRange::new(future, Timestamp::MAX).unwrap());
    let options = SyncOptions { window, ..SyncOptions::default() };
    let error = soon(with.sync(&address(&without), options)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heartbeat_syncs_by_itself() {
    let (a, b) = (in_memory(), in_memory());
    put(&a, (0..100).map(|n| message(n, 64)).collect()).await;
    let heartbeat = Some(Duration::from_millis(300));
    let engine = EngineConfig { heartbeat, ..EngineConfig::default() };
    let left = Node::start(NodeConfig { engine, ..config() }, a.clone()).await.unwrap();
    let right = node(&b).await;
    let mut events = right.events();
    soon(right.dial(&address(&left))).await.unwrap();
    let report = finished(&mut events).await;
    assert_eq!((report.report.initiator, report.report.figures.received), (false, 100));
    assert_same(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_sync_with_one_at_once() {
    let hub = in_memory();
    put(&hub, (0..300).map(|n| message(n, 500)).collect()).await;
    let centre = node(&hub).await;
    let archives: Vec<Archive> = (0..6).map(|_| in_memory()).collect();
    for (i, archive) in archives.iter().enumerate() {
        put(archive, (0..20).map(|n| message(1000 + i * 20 + n, 500)).collect()).await;
    }
    let nodes = futures::future::join_all(archives.iter().map(node)).await;
    let to = address(&centre);
    let mut events = centre.events();
    for _ in 0..2 {
        let syncs = nodes.iter().map(|n| n.sync(&to, SyncOptions::default()));
        for report in soon(futures::future::join_all(syncs)).await {
            report.unwrap();
        }
        for _ in &nodes {
            finished(&mut events).await;
        }
    }
    let held = hashes(&hub).await;
    assert_eq!(held.len(), 420);
    for archive in &archives {
        assert_same(archive, &hub).await;
    }
}
