//! Reconciliation 1.0.0 in the shards dialect, between engines and with a deployed node of it, and
//! what comes of it where the two sides speak different dialects.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;
mod sync_common;

use std::collections::BTreeSet;

use sim::solo::{BAD, Solo, at, fingerprint};
use sim::{Random, START, World, content, hour, quiet, shard, with};
use sync_common::{Deployed, Side};
use wakustore::ErrorKind;
use wakustore::engine::{Dialect, EngineConfig, Output, SyncOptions};
use wakustore::types::{ContentTopic, MessageHash, PubsubTopic, StoredMessage, TimeRange};
use wakustore::wire::reconciliation::{Payload, Scope, Shards};

/// The cluster of the simulation's messages.
const CLUSTER: u32 = 16;

fn scope(shards: &[u32]) -> Scope {
    Scope { pubsub_topics: shards.iter().map(|n| shard(*n)).collect(), content_topics: Vec::new() }
}

/// A node of the shards dialect.
fn of_shards(shards: &[u32]) -> EngineConfig {
    EngineConfig { dialect: Dialect::Shards, cluster_id: CLUSTER, scope: scope(shards), ..quiet() }
}

/// Thirty messages in each of three shards, of two content topics.
fn three_shards(first: u64) -> Vec<StoredMessage> {
    (0..90)
        .map(|n| {
            let topic = content(if n % 2 == 0 { "a" } else { "b" });
            with(first + n, 100.0 + n as f64, shard(n as u32 % 3), topic, 20)
        })
        .collect()
}

fn set<'a>(messages: impl IntoIterator<Item = &'a StoredMessage>) -> BTreeSet<MessageHash> {
    messages.into_iter().map(|m| m.hash).collect()
}

/// Syncs two nodes with messages of their own, and checks that of both what `shared` says is now
/// with both, and nothing else.
fn shares(
    config_a: EngineConfig,
    config_b: EngineConfig,
    shared: impl Fn(&PubsubTopic, &ContentTopic) -> bool,
) {
    let (a, b) = (three_shards(0), three_shards(1000));
    for from in [0, 1] {
        let mut world = World::pair_with(3, config_a.clone(), config_b.clone(), &a, &b);
        let (ours, theirs) = world.sync_to_end(from, 1 - from, SyncOptions::default());
        assert_eq!((ours.error, theirs.error), (None, None));
        for (node, own, other) in [(0, &a, &b), (1, &b, &a)] {
            let gained = other.iter().filter(|m| shared(&m.pubsub_topic, &m.message.content_topic));
            let expected = set(own.iter().chain(gained));
            assert!(world.hashes(node) == expected, "node {node}, begun by {from}");
        }
        assert!(world.nodes.iter().all(|n| n.penalties.is_empty()));
        world.assert_released();
    }
}

#[test]
fn two_nodes_of_the_shards_dialect_come_to_hold_the_same() {
    shares(of_shards(&[]), of_shards(&[]), |_, _| true);
    shares(of_shards(&[0, 1, 2]), of_shards(&[]), |_, _| true);
    shares(of_shards(&[2, 0]), of_shards(&[1, 2]), |topic, _| *topic == shard(2));
}

#[test]
fn what_the_dialect_cannot_say_is_filtered_here() {
    let topic = content("a");
    let mut narrow = of_shards(&[0, 1]);
    narrow.scope.content_topics = vec![topic.clone()];
    // The other side compares both content topics, and is given no more than what it lacks of one.
    let (a, b) = (three_shards(0), three_shards(1000));
    let mut world = World::pair_with(3, narrow.clone(), of_shards(&[0, 1]), &a, &b);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.error, theirs.error), (None, None));
    let of_scope =
        |m: &&StoredMessage| m.pubsub_topic != shard(2) && m.message.content_topic == topic;
    assert!(world.hashes(0) == set(a.iter().chain(b.iter().filter(of_scope))));
    assert!(world.hashes(1) == set(b.iter().chain(a.iter().filter(of_scope))));
    assert!(world.nodes.iter().all(|n| n.penalties.is_empty()));
    shares(narrow.clone(), narrow, |pubsub, content| *pubsub != shard(2) && *content == topic);
}

#[test]
fn the_first_frame_says_cluster_and_shards() {
    let mut solo = Solo::new(of_shards(&[5, 3]), &[with(1, 60.0, shard(3), content("a"), 10)]);
    let session = solo.begin();
    let (shards, payload) = Payload::decode_with_shards(&frame(&solo)).unwrap();
    assert_eq!(shards, Some(Shards { cluster: CLUSTER, shards: vec![5, 3] }));
    // The window, and a nanosecond of skip before it: what it lacks is to be told.
    assert_eq!((payload.lower.0 + 1, payload.ranges.len()), (at(3620).0, 2));
    assert_eq!(frame(&solo)[..4], [16, 2, 5, 3]);
    solo.frame(session, vec![0]);
    assert_eq!(solo.report(session).error, None);
}

/// The last reconciliation frame that was sent.
fn frame(solo: &Solo) -> Vec<u8> {
    let frames = solo.sent.iter().filter_map(|output| match output {
        Output::SendReconciliation { frame, .. } => Some(frame.to_vec()),
        _ => None,
    });
    frames.last().expect("a frame was sent")
}

#[test]
fn a_peer_of_another_cluster_or_other_shards_gets_an_empty_frame() {
    let ours = of_shards(&[1, 2]);
    let other = |cluster, shards: &[u32]| Shards { cluster, shards: shards.to_vec() };
    for header in [other(17, &[1, 2]), other(17, &[]), other(CLUSTER, &[3])] {
        for initiator in [true, false] {
            let mut solo = Solo::new(ours.clone(), &[with(1, 60.0, shard(1), content("a"), 10)]);
            let session = if initiator { solo.begin() } else { solo.accept().unwrap() };
            solo.frame(session, fingerprint(1).encode_with_shards(&header));
            assert!(frame(&solo).is_empty(), "{header:?}");
            assert!(solo.closed(session));
            let kind = solo.report(session).error.as_ref().map(|e| e.kind());
            assert_eq!(kind, initiator.then_some(ErrorKind::SyncScope));
            assert!(solo.node.penalties.is_empty());
            solo.assert_released();
        }
    }
}

#[test]
fn neither_cluster_nor_shards_may_change_in_the_middle() {
    let held: Vec<_> =
        (0..2000).map(|n| with(n, 60.0 + n as f64, shard(1), content("a"), 9)).collect();
    let first = Shards { cluster: CLUSTER, shards: vec![1] };
    for other in
        [Shards { cluster: 17, ..first.clone() }, Shards { shards: vec![2], ..first.clone() }]
    {
        let mut solo = Solo::new(of_shards(&[1, 2]), &held);
        let session = solo.begin();
        solo.frame(session, fingerprint(1).encode_with_shards(&first));
        solo.frame(session, fingerprint(2).encode_with_shards(&other));
        assert_eq!(solo.error(session).kind(), ErrorKind::SyncProtocol);
        solo.assert_released();
    }
}

#[test]
fn a_scope_that_cannot_be_said_is_not_synced_over_this_wire() {
    let named = PubsubTopic::new("/waku/2/default-waku/proto").unwrap();
    let mut config = of_shards(&[]);
    config.scope.pubsub_topics = vec![named.clone()];
    let mut solo = Solo::new(config, &[with(1, 60.0, named, content("a"), 10)]);
    let session = solo.begin();
    assert_eq!(solo.error(session).kind(), ErrorKind::SyncScope);
    assert!(solo.sent.is_empty(), "{:?}", solo.sent);
    let session = solo.accept().unwrap();
    let header = Shards { cluster: CLUSTER, shards: Vec::new() };
    solo.frame(session, fingerprint(1).encode_with_shards(&header));
    assert_eq!((frame(&solo), &solo.report(session).error), (Vec::new(), &None));
    solo.assert_released();
}

/// Frames of the topics dialect at a node of the shards dialect; the other way round is in
/// engine_reconciling.rs.
#[test]
fn the_topics_dialect_is_told_and_costs_the_peer_nothing() {
    let mut named = fingerprint(1);
    named.scope = scope(&[1, 2]);
    let mut by_content = fingerprint(1);
    by_content.scope.content_topics = vec![content("a")];
    for topics in [fingerprint(1), named, by_content] {
        for initiator in [true, false] {
            let mut solo = Solo::new(of_shards(&[1]), &[with(1, 60.0, shard(1), content("a"), 9)]);
            let session = if initiator { solo.begin() } else { solo.accept().unwrap() };
            solo.sent.clear();
            solo.frame(session, topics.encode());
            let error = solo.error(session);
            assert_eq!(error.kind(), ErrorKind::ProtocolUnsupported, "{error}");
            assert!(error.message().contains("topics dialect"), "{error}");
            assert!(solo.node.penalties.is_empty(), "{:?}", solo.node.penalties);
            // No empty payload: that would say that both agree.
            assert!(!solo.sent.iter().any(|o| matches!(o, Output::SendReconciliation { .. })));
            solo.assert_released();
        }
    }
    let mut solo = Solo::new(of_shards(&[1]), &[]);
    let session = solo.begin();
    solo.frame(session, vec![0xff; 40]);
    assert_eq!((solo.error(session).kind(), &solo.node.penalties[..]), (ErrorKind::Malformed, BAD));
}

#[test]
fn engines_of_different_dialects_part_without_blame() {
    let messages = three_shards(0);
    let of_topics = EngineConfig { scope: scope(&[0, 1]), ..quiet() };
    let anything = quiet();
    for topics in [of_topics, anything] {
        for from in [0, 1] {
            let mut world = World::pair_with(5, topics.clone(), of_shards(&[0, 1]), &messages, &[]);
            let (ours, theirs) = world.sync_to_end(from, 1 - from, SyncOptions::default());
            // Whoever reads the other's first frame names the reason; the other sees a stream end.
            assert_eq!(theirs.error.unwrap().kind(), ErrorKind::ProtocolUnsupported);
            assert_eq!(ours.error.unwrap().kind(), ErrorKind::StreamClosed);
            assert!(world.nodes.iter().all(|n| n.penalties.is_empty()));
            assert!(world.hashes(1).is_empty());
            world.assert_released();
        }
    }
}

/// A node of v0.36: the deployed algorithm, behind the header of the shards dialect.
#[test]
fn a_deployed_node_of_the_shards_dialect() {
    let header = Shards { cluster: CLUSTER, shards: vec![0] };
    let window = TimeRange::new(at(3620), at(20)).unwrap();
    for (seed, missing) in [(1, 0), (2, 7), (3, 400)] {
        let all = hour(&mut Random(seed), 2000);
        let (ours, theirs) = (&all[missing..], &all[..all.len() - missing]);
        for initiator in [true, false] {
            let mut solo = Solo::new(of_shards(&[0]), ours);
            let ids = theirs.iter().map(|m| m.sync_id()).collect();
            let mut peer = Deployed::new(&ids, window);
            let mut session = None;
            let mut next = if initiator {
                session = Some(solo.begin());
                let (told, payload) = Payload::decode_with_shards(&frame(&solo)).unwrap();
                assert_eq!(told.unwrap(), header);
                peer.answer(&payload)
            } else {
                Some(peer.begin())
            };
            let session = session.unwrap_or_else(|| solo.accept().unwrap());
            while let Some(payload) = next {
                solo.sent.clear();
                solo.frame(session, payload.encode_with_shards(&header));
                if payload.ranges.is_empty() {
                    break;
                }
                let sent = solo.sent.iter().any(|o| matches!(o, Output::SendReconciliation { .. }));
                assert!(sent, "our turn");
                next = peer.answer(&Payload::decode_with_shards(&frame(&solo)).unwrap().1);
            }
            solo.call(|e, now| e.cancel(now, session));
            let figures = solo.report(session).figures;
            assert_eq!((figures.missing, figures.surplus), (missing as u64, missing as u64));
            let sends: BTreeSet<_> = peer.to_send.iter().copied().collect();
            assert!(sends == set(&all[..missing]));
            let expects: BTreeSet<_> = peer.to_receive.iter().copied().collect();
            assert!(expects == set(&all[all.len() - missing..]));
            assert!(solo.node.penalties.is_empty());
            assert!(START > window.end());
        }
    }
}
