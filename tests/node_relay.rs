//! Relay: what is published on one node is stored by those that it reaches, over others where need
//! be; what is no message, or what the validator refuses, goes no further.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::gossipsub::{
    self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode, Version,
};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, SwarmBuilder};
use node_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{Archive, ArchiveConfig, MemoryBackend, Rules, Validator, Validity};
use wakustore::node::{Node, NodeConfig, NodeEvent};
use wakustore::types::{Origin, StoredMessage, WakuMessage};
use wakustore::wire;

async fn relaying(archive: &Archive) -> Node {
    Node::start(NodeConfig { relay: true, ..config() }, archive.clone()).await.unwrap()
}

/// Until these know of so many peers each that are subscribed to the first shard.
async fn meshed(nodes: &[(&Node, usize)]) {
    soon(async {
        for (node, count) in nodes {
            while node.relay_peers(shard(0)).await.unwrap().len() < *count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    })
    .await;
}

/// Until an archive holds so many.
async fn holds(archive: &Archive, count: u64) {
    let mut feed = archive.subscribe(1000);
    soon(async {
        while archive.stats().await.unwrap().messages < count {
            feed.next().await;
        }
    })
    .await;
}

fn fresh(n: usize) -> WakuMessage {
    WakuMessage::new(format!("payload {n}"), content(n % 4), clock())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_stored_by_all_over_others_too() {
    let archives = [in_memory(), in_memory(), in_memory()];
    let [a, b, c] =
        [relaying(&archives[0]).await, relaying(&archives[1]).await, relaying(&archives[2]).await];
    // A chain: the ends hear of each other through the middle alone.
    soon(a.dial(&address(&b))).await.unwrap();
    soon(c.dial(&address(&b))).await.unwrap();
    meshed(&[(&a, 1), (&b, 2), (&c, 1)]).await;
    let mut events = c.events();
    let mut sent = Vec::new();
    for n in 0..50 {
        sent.push(soon(a.publish(shard(0), fresh(n))).await.unwrap());
    }
    for archive in &archives {
        holds(archive, 50).await;
        assert_same(archive, &archives[0]).await;
    }
    let origin = event(&mut events, |e| match e {
        NodeEvent::MessageStored(item) => Some((item.origin, item.pubsub_topic)),
        _ => None,
    })
    .await;
    assert_eq!(origin, (Origin::Live, shard(0)));
    assert!(hashes(&archives[2]).await.iter().all(|hash| sent.contains(hash)));
    // The other way, an ephemeral one is not stored by anybody, and the one after it is.
    let ephemeral = WakuMessage { ephemeral: Some(true), ..fresh(50) };
    soon(c.publish(shard(0), ephemeral)).await.unwrap();
    soon(c.publish(shard(0), fresh(51))).await.unwrap();
    holds(&archives[0], 51).await;
    assert_eq!(archives[1].stats().await.unwrap().messages, 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_joined_and_left() {
    let (left, right) = (in_memory(), in_memory());
    let (a, b) = (relaying(&left).await, relaying(&right).await);
    soon(a.dial(&address(&b))).await.unwrap();
    meshed(&[(&a, 1), (&b, 1)]).await;
    // Nobody is in this one: it is stored here, and said.
    let error = soon(a.publish(shard(7), fresh(1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRelayPeers, "{error:?}");
    assert_eq!(left.stats().await.unwrap().messages, 1);
    soon(b.subscribe(shard(7))).await.unwrap();
    soon(async {
        while a.relay_peers(shard(7)).await.unwrap() != [b.peer_id()] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    soon(a.publish(shard(7), fresh(2))).await.unwrap();
    holds(&right, 1).await;
    soon(b.unsubscribe(shard(7))).await.unwrap();
    soon(async {
        while !a.relay_peers(shard(7)).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let error = soon(a.publish(shard(7), fresh(3))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRelayPeers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_published_is_not_sent() {
    let archive = in_memory();
    let node = relaying(&archive).await;
    let untimed = WakuMessage { timestamp: None, ..fresh(1) };
    let large = WakuMessage { payload: vec![0; 150 * 1024].into(), ..fresh(1) };
    for (message, kind) in [(untimed, ErrorKind::NoTimestamp), (large, ErrorKind::MessageTooLarge)]
    {
        let error = soon(node.publish(shard(0), message)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
    let client = Node::start(config(), in_memory()).await.unwrap();
    for error in [
        soon(client.publish(shard(0), fresh(1))).await.unwrap_err(),
        soon(client.subscribe(shard(0))).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    }
}

/// Refuses what says that it is bad.
struct NoBad;

impl Validator for NoBad {
    fn validate(&self, batch: &[StoredMessage], _: Origin) -> Vec<Validity> {
        let bad = |m: &StoredMessage| m.message.payload.starts_with(b"bad");
        let judge = |m| if bad(m) { Validity::Invalid("bad".into()) } else { Validity::Valid };
        batch.iter().map(judge).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_validator_refuses_goes_no_further() {
    let rules = Rules { check_live_age: false, ..Rules::default() };
    let validator: Option<Arc<dyn Validator>> = Some(Arc::new(NoBad));
    let strict = ArchiveConfig { rules, validator, ..ArchiveConfig::new(clock) };
    let middle = Archive::open(MemoryBackend::default(), strict).unwrap();
    let (first, last) = (in_memory(), in_memory());
    let (a, b, c) = (relaying(&first).await, relaying(&middle).await, relaying(&last).await);
    soon(a.dial(&address(&b))).await.unwrap();
    soon(c.dial(&address(&b))).await.unwrap();
    meshed(&[(&a, 1), (&b, 2), (&c, 1)]).await;
    for n in 0..10 {
        let payload = if n % 2 == 0 { format!("bad {n}") } else { format!("good {n}") };
        let message = WakuMessage::new(payload, content(0), clock());
        soon(a.publish(shard(0), message)).await.unwrap();
    }
    holds(&last, 5).await;
    assert_eq!(middle.stats().await.unwrap().messages, 5);
    assert_same(&middle, &last).await;
    assert_eq!(first.stats().await.unwrap().messages, 10);
}

/// A gossipsub of the other side's own, as a stranger would set it up, that sends what is no message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_is_not_passed_on() {
    let archive = in_memory();
    let node = relaying(&archive).await;
    let other = relaying(&in_memory()).await;
    soon(other.dial(&address(&node))).await.unwrap();
    let id = |message: &gossipsub::Message| MessageId::new(&message.data);
    let gossip = gossipsub::ConfigBuilder::default()
        .protocol_id(wire::RELAY_PROTOCOL, Version::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .max_transmit_size(1 << 20)
        .message_id_fn(id)
        .build()
        .unwrap();
    let gossip: gossipsub::Behaviour =
        gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, gossip).unwrap();
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(Default::default(), libp2p::noise::Config::new, libp2p::yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| gossip)
        .unwrap()
        .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    let at: Multiaddr = address(&node).parse().unwrap();
    swarm.dial(at).unwrap();
    let topic = IdentTopic::new(shard(0).as_str());
    let (mut told, mut sent) = (false, false);
    soon(async {
        while !(sent && archive.stats().await.unwrap().messages == 1) {
            match tokio::time::timeout(Duration::from_millis(50), swarm.select_next_some()).await {
                Ok(SwarmEvent::Behaviour(gossipsub::Event::Subscribed { .. })) => told = true,
                Ok(_) => {}
                Err(_) if told && !sent => {
                    for bad in [&b"\xff\xff no message"[..], b"", &[8; 151 * 1024]] {
                        let _ = swarm.behaviour_mut().publish(topic.clone(), bad);
                    }
                    let good = wire::message::encode(&fresh(1));
                    swarm.behaviour_mut().publish(topic.clone(), good).unwrap();
                    sent = true;
                }
                Err(_) => {}
            }
        }
    })
    .await;
    holds(other.archive(), 1).await;
    assert_eq!(other.archive().stats().await.unwrap().messages, 1);
}
