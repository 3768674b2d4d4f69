//! A node whose clock is off is told so by its peers, and one liar tells it nothing.
#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::time::Duration;

use node_support::*;
use wakustore::archive::{Archive, ArchiveConfig, MemoryBackend, Rules};
use wakustore::engine::{EngineConfig, SyncOptions};
use wakustore::node::{Events, Node, NodeConfig, NodeEvent};
use wakustore::types::{Timestamp, WakuMessage};

const FIVE: Duration = Duration::from_secs(300);

fn archive(clock: fn() -> Timestamp) -> Archive {
    let rules = Rules { check_live_age: false, ..Rules::default() };
    let config = ArchiveConfig { rules, ..ArchiveConfig::new(clock) };
    Archive::open(MemoryBackend::default(), config).unwrap()
}

fn late() -> Timestamp {
    clock().saturating_sub(FIVE)
}

fn early() -> Timestamp {
    clock().saturating_add(FIVE)
}

async fn relay(clock: fn() -> Timestamp, engine: EngineConfig) -> Node {
    let config = NodeConfig { relay: true, engine, ..config() };
    Node::start(config, archive(clock)).await.unwrap()
}

/// One message of each content topic.
async fn publish(node: &Node, clock: fn() -> Timestamp, n: u64) {
    for topic in 0..4 {
        let payload = [node.peer_id().as_bytes(), &n.to_be_bytes(), &[topic as u8]].concat();
        let message = WakuMessage::new(payload, content(topic), clock());
        // It fails while nobody is subscribed yet.
        let _ = node.publish(shard(0), message).await;
    }
}

async fn skew(events: &mut Events) -> (i64, u32) {
    event(events, |e| match e {
        NodeEvent::ClockSkew { offset_ms, peers } => Some((offset_ms, peers)),
        _ => None,
    })
    .await
}

/// Whatever the machine does in between, it is minutes and not hours.
fn assert_five_minutes(offset_ms: i64) {
    assert!((240_000..=310_000).contains(&offset_ms), "{offset_ms} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_what_comes_over_relay() {
    let node = relay(late, config().engine).await;
    let mut events = node.events();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let peer = relay(clock, config().engine).await;
        soon(node.dial(&address(&peer))).await.unwrap();
        peers.push(peer);
    }
    let told = tokio::spawn(async move { (skew(&mut events).await, events) });
    for n in 0.. {
        if told.is_finished() {
            break;
        }
        assert!(n < 600, "nothing is told");
        for peer in &peers {
            publish(peer, clock, n).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ((offset_ms, groups), mut events) = told.await.unwrap();
    assert_five_minutes(offset_ms);
    assert_eq!(groups, 3);
    // Once.
    for n in 1000..1030 {
        for peer in &peers {
            publish(peer, clock, n).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while let Some(event) = events.try_next() {
        assert!(!matches!(event, NodeEvent::ClockSkew { .. }), "{event:?}");
    }
    for node in peers.iter().chain([&node]) {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_syncs_that_peers_begin() {
    let node = relay(early, config().engine).await;
    let mut events = node.events();
    let mut peers = Vec::new();
    for strong in [true, false, true] {
        let peer = relay(clock, EngineConfig { strong, ..config().engine }).await;
        soon(node.dial(&address(&peer))).await.unwrap();
        // It is known to them by the time that they sync.
        let id = node.peer_id();
        peers.push((peer, id));
    }
    let told = tokio::spawn(async move { skew(&mut events).await });
    for n in 0.. {
        if told.is_finished() {
            break;
        }
        assert!(n < 100, "nothing is told");
        for (peer, id) in &peers {
            soon(peer.sync(id, SyncOptions::default())).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (offset_ms, groups) = told.await.unwrap();
    assert_five_minutes(-offset_ms);
    assert_eq!(groups, 3);
    for node in peers.iter().map(|(peer, _)| peer).chain([&node]) {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_clock_is_off_tells_nothing_to_others() {
    let node = relay(clock, config().engine).await;
    let mut events = node.events();
    let liar = relay(early, config().engine).await;
    let mut peers = Vec::new();
    for _ in 0..3 {
        let peer = relay(clock, config().engine).await;
        soon(node.dial(&address(&peer))).await.unwrap();
        peers.push(peer);
    }
    soon(node.dial(&address(&liar))).await.unwrap();
    // Until much of what is honest has come; and for each of that as much that is not.
    let mut stored = 0;
    for n in 0..600 {
        for peer in &peers {
            publish(peer, clock, n).await;
        }
        publish(&liar, early, n).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        while let Some(event) = events.try_next() {
            assert!(!matches!(event, NodeEvent::ClockSkew { .. }), "{event:?}");
            stored += u32::from(matches!(event, NodeEvent::MessageStored(_)));
        }
        if stored > 200 {
            break;
        }
    }
    assert!(stored > 200, "{stored}");
    for node in peers.iter().chain([&node, &liar]) {
        node.stop().await;
    }
}
