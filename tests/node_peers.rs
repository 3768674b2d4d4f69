//! What a node remembers of its peers and of its own archive while it syncs: a peer that was sent
//! away is not let in again, one that left and comes again is synced with, and what retention has
//! removed is not fetched back.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::StreamProtocol;
use node_support::*;
use wakustore::archive::{Archive, ArchiveConfig, MemoryBackend, Retention, Rules};
use wakustore::engine::{EngineConfig, SyncOptions, SyncReason};
use wakustore::node::{Node, NodeConfig, NodeEvent};
use wakustore::store::client;
use wakustore::types::Query;
use wakustore::wire;

/// An archive that keeps so many messages at the most.
fn keeping(max_messages: u64) -> Archive {
    let rules = Rules { check_live_age: false, ..Rules::default() };
    let retention = Retention { max_messages: Some(max_messages), ..Retention::default() };
    let config = ArchiveConfig { rules, retention, ..ArchiveConfig::new(clock) };
    Archive::open(MemoryBackend::default(), config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_removed_is_not_fetched_back() {
    let (a, b) = (in_memory(), keeping(200));
    // One a second, so that the floor that is told is not behind by much.
    let begin = clock().saturating_sub(Duration::from_secs(1800));
    let at = |n: usize| begin.saturating_add(Duration::from_secs(n as u64));
    let all: Vec<_> = (0..500).map(|n| message_at(n, 64, at(n))).collect();
    put(&a, all.clone()).await;
    // The newest is the peer's alone.
    put(&b, all[..499].to_vec()).await;
    soon(async {
        while b.stats().await.unwrap().messages > 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (left, right) = (node(&a).await, node(&b).await);
    for received in [1, 0] {
        let report = soon(right.sync(&address(&left), SyncOptions::default())).await.unwrap();
        assert!(report.report.window.start() > at(290), "{report:?}");
        assert_eq!(report.report.figures.received, received, "{report:?}");
    }
    // And what the other one pushes of it is not taken either.
    let report = soon(left.sync(&right.peer_id(), SyncOptions::default())).await;
    assert!(report.is_err() || report.unwrap().report.figures.sent == 0);
    let oldest = b.stats().await.unwrap().oldest.unwrap();
    assert!(oldest >= at(298), "{oldest:?} came back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_was_sent_away_is_not_let_in_again() {
    let node = node(&in_memory()).await;
    let mut events = node.events();
    let mut peer = RawPeer::connect(&node, Muxer::Yamux).await;
    let to = node.peer_id().parse().unwrap();
    for _ in 0..30 {
        let protocol = StreamProtocol::new(wire::transfer::PROTOCOL);
        let Ok(mut stream) = peer.control.open_stream(to, protocol).await else { break };
        let _ = stream.write_all(&framed(b"\xff\xff\xff not a message")).await;
        let _ = stream.close().await;
        let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    }
    let id = peer.id.to_string();
    let gone = |e| matches!(e, NodeEvent::PeerDisconnected { peer_id } if peer_id == id);
    event(&mut events, |e| gone(e).then_some(())).await;
    let seed = peer.seed;
    drop(peer);
    let mut again = RawPeer::connect_as(&node, Muxer::Yamux, seed, |_| {}).await;
    assert!(!is_served(&mut again, &node).await, "as if nothing had been");
    let mut other = RawPeer::connect(&node, Muxer::Yamux).await;
    assert!(is_served(&mut other, &node).await);
}

/// Whether a store query of this peer is answered.
async fn is_served(peer: &mut RawPeer, node: &Node) -> bool {
    let protocol = StreamProtocol::new(wire::store::PROTOCOL);
    let to = node.peer_id().parse().unwrap();
    let Ok(mut stream) = soon(peer.control.open_stream(to, protocol)).await else { return false };
    let request = client::encode("again", &Query::default()).unwrap();
    let mut answer = Vec::new();
    let asked = stream.write_all(&framed(&request)).await.is_ok() && stream.flush().await.is_ok();
    asked && soon(stream.read_to_end(&mut answer)).await.is_ok() && !answer.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_left_and_comes_again_is_synced_with_again() {
    let (a, b) = (in_memory(), in_memory());
    let engine =
        EngineConfig { sync_on_connect: true, sync_again: Duration::ZERO, ..config().engine };
    let left = Node::start(NodeConfig { engine, ..config() }, b.clone()).await.unwrap();
    let right = node(&a).await;
    let mut events = left.events();
    for round in 0..3 {
        put(&a, (round * 20..(round + 1) * 20).map(|n| message(n, 64)).collect()).await;
        soon(right.dial(&address(&left))).await.unwrap();
        let report = finished(&mut events).await.report;
        assert_eq!(report.reason, SyncReason::Connected, "{report:?}");
        assert_eq!(report.figures.received, 20, "round {round}: {report:?}");
        soon(right.disconnect(&left.peer_id())).await.unwrap();
        let id = right.peer_id();
        let gone = |e| matches!(e, NodeEvent::PeerDisconnected { peer_id } if peer_id == id);
        event(&mut events, |e| gone(e).then_some(())).await;
    }
    assert_same(&a, &b).await;
}
