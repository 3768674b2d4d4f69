//! Two engines and more, over links with latency, come to hold the same messages.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::collections::BTreeSet;
use std::time::Duration;

use sim::{Random, START, World, content, hour, message, quiet, shard, with};
use wakustore::ErrorKind;
use wakustore::engine::{EngineConfig, SyncDirection, SyncOptions};
use wakustore::types::{MessageHash, StoredMessage, TimeRange, Timestamp};
use wakustore::wire::reconciliation::Scope;

fn set(messages: &[StoredMessage]) -> BTreeSet<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

fn assert_equal(world: &mut World, expected: &BTreeSet<MessageHash>) {
    for node in 0..world.nodes.len() {
        let held = world.hashes(node);
        let (lacks, more) = (expected.difference(&held).count(), held.difference(expected).count());
        assert_eq!((lacks, more), (0, 0), "node {node} lacks, and has more than it should");
    }
}

fn last_hours(hours: i64) -> TimeRange {
    let start = Timestamp(START.nanos() - hours * 3_600_000_000_000);
    TimeRange::new(start, START).unwrap()
}

#[test]
fn random_halves_converge_and_the_figures_are_exact() {
    for seed in 0..10 {
        let mut random = Random(seed);
        let all = hour(&mut random, 3000);
        let mut parts: [Vec<StoredMessage>; 2] = Default::default();
        let mut both = 0;
        for m in &all {
            match random.below(3) {
                0 => parts[0].push(m.clone()),
                1 => parts[1].push(m.clone()),
                _ => {
                    both += 1;
                    parts[0].push(m.clone());
                    parts[1].push(m.clone());
                }
            }
        }
        let mut world = World::pair(seed, &parts[0], &parts[1]);
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_equal(&mut world, &set(&all));
        assert_eq!((ours.error, ours.outstanding), (None, 0), "seed {seed}");
        assert_eq!((theirs.error, theirs.outstanding), (None, 0), "seed {seed}");
        assert!(ours.initiator && !theirs.initiator);
        let (a, b) = (ours.figures, theirs.figures);
        let (a_only, b_only) = (parts[0].len() as u64 - both, parts[1].len() as u64 - both);
        assert_eq!((a.missing, a.received, b.surplus, b.sent), (b_only, b_only, b_only, b_only));
        assert_eq!((b.missing, b.received, a.surplus, a.sent), (a_only, a_only, a_only, a_only));
        assert_eq!((a.dropped, a.unsendable, b.dropped, b.unsendable), (0, 0, 0, 0));
        assert_eq!(a.frames, b.frames);
        assert_eq!(a.reconciliation_bytes_out, b.reconciliation_bytes_in);
        assert_eq!(b.reconciliation_bytes_out, a.reconciliation_bytes_in);
        assert_eq!(a.transfer_bytes_out, b.transfer_bytes_in);
        assert_eq!(b.transfer_bytes_out, a.transfer_bytes_in);
        assert!(a.transfer_bytes_out > a.sent * 40 && a.reconciliation_bytes_out > 0);
        world.assert_released();
    }
}

#[test]
fn one_side_empty_and_the_other_with_20_000() {
    let all = hour(&mut Random(1), 20_000);
    for empty_begins in [true, false] {
        let mut world = World::pair(2, &[], &all);
        let (from, to) = if empty_begins { (0, 1) } else { (1, 0) };
        let (ours, theirs) = world.sync_to_end(from, to, SyncOptions::default());
        assert_equal(&mut world, &set(&all));
        let empty = if empty_begins { &ours } else { &theirs };
        assert_eq!((empty.figures.received, empty.figures.missing), (20_000, 20_000));
        assert_eq!((ours.error, theirs.error), (None, None));
        assert!(world.nodes[1].fetches.iter().all(|n| *n <= 256));
        assert!(world.nodes[0].stores.iter().all(|n| *n <= 1024));
        assert!(
            world.nodes[0].stores.len() < 5_000,
            "batches fill: {}",
            world.nodes[0].stores.len()
        );
        world.assert_released();
    }
}

#[test]
fn bursts_of_a_thousand_with_one_timestamp_get_across() {
    let burst: Vec<_> = (0..1000).map(|n| message(n, 600.0)).collect();
    let other: Vec<_> = (5000..6000).map(|n| message(n, 600.0)).collect();
    let spread = hour(&mut Random(3), 500);
    let a: Vec<_> = burst[..700].iter().chain(&spread).cloned().collect();
    let b: Vec<_> = burst[300..].iter().chain(&other).chain(&spread[..400]).cloned().collect();
    let mut world = World::pair(4, &a, &b);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.error, theirs.error), (None, None));
    let all = set(&[a, b].concat());
    assert_equal(&mut world, &all);
    world.assert_released();
}

#[test]
fn equal_sets_take_one_round_trip_and_no_message() {
    let all = hour(&mut Random(5), 5000);
    let mut world = World::pair(6, &all, &all);
    let began = world.elapsed;
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    for report in [&ours, &theirs] {
        assert_eq!(report.figures.frames, 2);
        assert_eq!(
            (report.figures.missing, report.figures.surplus, report.figures.sent),
            (0, 0, 0)
        );
        assert_eq!((&report.error, report.outstanding), (&None, 0));
    }
    assert!(ours.figures.reconciliation_bytes_in <= 2, "the answer is the empty payload");
    assert!(ours.duration < Duration::from_millis(100), "{:?}", ours.duration);
    assert!(world.elapsed - began < Duration::from_millis(200), "nothing waits for a grace period");
    assert!(world.nodes.iter().all(|n| n.fetches.is_empty() && n.stores.is_empty()));
    world.assert_released();
}

#[test]
fn two_empty_nodes_agree() {
    let mut world = World::pair(1, &[], &[]);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.error, theirs.error), (None, None));
    world.assert_released();
}

#[test]
fn messages_that_overtake_their_announcement_are_taken() {
    for seed in 0..5 {
        let all = hour(&mut Random(seed), 2000);
        let mut world = World::pair(seed, &all[..1200], &all[800..]);
        world.announce_late = Duration::from_millis(400);
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_equal(&mut world, &set(&all));
        assert_eq!((ours.error, theirs.error), (None, None));
        assert_eq!((ours.figures.dropped, theirs.figures.dropped), (0, 0));
        assert_eq!((ours.figures.received, theirs.figures.received), (800, 800));
        assert!(world.nodes.iter().all(|n| n.penalties.is_empty()));
        world.assert_released();
    }
}

#[test]
fn both_begin_at_once_and_both_end_well() {
    for seed in 0..10 {
        let all = hour(&mut Random(seed), 600);
        let mut world = World::pair(seed, &all[..400], &all[200..]);
        let a = world.sync(0, 1, SyncOptions::default());
        let b = world.sync(1, 0, SyncOptions::default());
        world.settle();
        assert_equal(&mut world, &set(&all));
        let reports = [world.nodes[0].report(a), world.nodes[1].report(b)];
        assert!(reports.iter().all(|r| r.error.is_none() && r.outstanding == 0), "{reports:?}");
        assert!(world.nodes.iter().all(|n| n.finished.len() == 2 && n.penalties.is_empty()));
        let stored = |n: usize| -> u64 {
            world.nodes[n].finished.iter().map(|(_, r)| r.figures.received).sum()
        };
        assert_eq!((stored(0), stored(1)), (200, 200), "each new message is counted once");
        world.assert_released();
    }
}

#[test]
fn directions_are_kept() {
    let all = hour(&mut Random(8), 300);
    for direction in [SyncDirection::Pull, SyncDirection::Push] {
        let mut world = World::pair(9, &all[..200], &all[100..]);
        let options = SyncOptions { direction, ..SyncOptions::default() };
        let (ours, theirs) = world.sync_to_end(0, 1, options);
        let (a, b) = match direction {
            SyncDirection::Pull => (set(&all), set(&all[100..])),
            _ => (set(&all[..200]), set(&all)),
        };
        assert_eq!((world.hashes(0), world.hashes(1)), (a, b), "{direction:?}");
        assert_eq!((ours.error, ours.outstanding), (None, 0), "what is not wanted is not awaited");
        assert_eq!((ours.figures.missing, ours.figures.surplus), (100, 100));
        let (received, sent) = (ours.figures.received, ours.figures.sent);
        match direction {
            SyncDirection::Pull => {
                assert_eq!((received, sent), (100, 0));
                // What it was told of all the same it waits for, to the end of its grace period.
                assert_eq!(theirs.error, None);
            }
            // The peer is not told what we lack, and sends nothing in vain.
            _ => assert_eq!((received, sent, ours.figures.dropped), (0, 100, 0)),
        }
        assert!(world.nodes.iter().all(|n| n.penalties.is_empty()));
        world.assert_released();
    }
}

#[test]
fn a_scope_of_content_topics_moves_only_those() {
    let make =
        |n: u64, name: &str| with(n, 60.0 + n as f64, shard(n as u32 % 3), content(name), 40);
    let a: Vec<_> = (0..300).map(|n| make(n, "mine")).collect();
    let b: Vec<_> = (300..900).map(|n| make(n, ["mine", "other"][n as usize % 2])).collect();
    let scope =
        Scope { pubsub_topics: vec![shard(0), shard(1)], content_topics: vec![content("mine")] };
    let config = EngineConfig { scope: scope.clone(), ..quiet() };
    let inside = |m: &&StoredMessage| {
        scope.pubsub_topics.contains(&m.pubsub_topic) && m.message.content_topic == content("mine")
    };
    for scoped_begins in [true, false] {
        let mut world = World::pair_with(1, config.clone(), quiet(), &a, &b);
        let (from, to) = if scoped_begins { (0, 1) } else { (1, 0) };
        let loads = world.nodes[1].loads;
        let (ours, theirs) = world.sync_to_end(from, to, SyncOptions::default());
        assert_eq!((ours.error, theirs.error), (None, None));
        assert!(world.nodes[1].loads > loads, "the one without the scope loaded what it needs");
        let from_b: Vec<_> = b.iter().filter(inside).cloned().collect();
        let from_a: Vec<_> = a.iter().filter(inside).cloned().collect();
        assert_eq!(world.hashes(0), set(&[a.clone(), from_b].concat()));
        assert_eq!(world.hashes(1), set(&[b.clone(), from_a].concat()));
        world.assert_released();
    }
}

#[test]
fn scopes_of_pubsub_topics_meet_in_their_intersection() {
    let make = |n: u64| with(n, 60.0 + n as f64, shard(n as u32 % 3), content("a"), 40);
    let (a, b): (Vec<_>, Vec<_>) = ((0..300).map(make).collect(), (300..600).map(make).collect());
    let scope = |shards: &[u32]| EngineConfig {
        scope: Scope {
            pubsub_topics: shards.iter().map(|n| shard(*n)).collect(),
            content_topics: Vec::new(),
        },
        ..quiet()
    };
    let mut world = World::pair_with(1, scope(&[0, 1]), scope(&[1, 2]), &a, &b);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.error, theirs.error), (None, None));
    assert_eq!((ours.figures.received, theirs.figures.received), (100, 100));
    assert_eq!(world.hashes(0).len(), 400);

    let mut world = World::pair_with(1, scope(&[0]), scope(&[2]), &a, &b);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.figures.received, theirs.figures.received), (0, 0));
    assert_eq!((ours.error, theirs.error), (None, None), "an empty answer is not an error");
    assert_eq!((ours.figures.missing, theirs.figures.surplus), (0, 0));
    world.assert_released();
}

#[test]
fn a_window_older_than_the_horizon_is_loaded_for_the_session() {
    let old = |n: u64| message(n, 3.0 * 3600.0 + n as f64);
    let (a, b): (Vec<_>, Vec<_>) = ((0..900).map(old).collect(), (300..1200).map(old).collect());
    let mut world = World::pair(1, &a, &b);
    assert!(world.usages().iter().all(|u| u.index_ids == 0), "too old for the index");
    let options = SyncOptions { window: Some(last_hours(5)), ..SyncOptions::default() };
    let (ours, theirs) = world.sync_to_end(0, 1, options.clone());
    assert_eq!((ours.error, theirs.error), (None, None));
    assert_eq!(ours.window, last_hours(5));
    assert_eq!(theirs.window, last_hours(5), "the responder reads it from the payload");
    assert_equal(&mut world, &set(&[a.clone(), b.clone()].concat()));
    world.assert_released();

    // The bound on what sessions load, on either side.
    for small in [0, 1] {
        let config = |node| EngineConfig {
            max_loaded: if node == small { 500 } else { 1_000_000 },
            ..quiet()
        };
        let mut world = World::pair_with(1, config(0), config(1), &a, &b);
        let (ours, theirs) = world.sync_to_end_or_alone(0, 1, options.clone());
        let error = if small == 0 { ours.error } else { theirs.unwrap().error }.unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("500"), "the error names the bound: {error}");
        world.assert_released();
    }
}

#[test]
fn what_the_feed_tells_during_a_session_disturbs_nothing() {
    for seed in 0..10 {
        let all = hour(&mut Random(seed), 1500);
        let mut world = World::pair(seed, &all[..900], &all[300..1200]);
        let session = world.sync(0, 1, SyncOptions::default());
        let mut late = all[1200..].iter().cloned();
        while world.nodes[0].engine.usage().sessions > 0 {
            world.step();
            if let Some(m) = late.next() {
                world.put(seed as usize % 2, vec![m]);
            }
        }
        world.settle();
        assert_eq!(world.nodes[0].report(session).error, None);
        let rest: Vec<_> = late.collect();
        world.put(0, rest);
        world.settle();
        world.sync_to_end(1, 0, SyncOptions::default());
        assert_equal(&mut world, &set(&all));
        world.assert_released();
    }
}

#[test]
fn a_message_that_comes_from_elsewhere_is_not_waited_for() {
    let all = hour(&mut Random(4), 50);
    let mut world = World::pair(5, &[], &all);
    // The sender never reads anything, so nothing comes from there.
    world.nodes[1].archive_delay = Duration::from_secs(5);
    let session = world.sync(0, 1, SyncOptions::default());
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.nodes[0].engine.usage().sessions, 1);
    world.put(0, all.clone());
    world.run_for(Duration::from_secs(1));
    let done = world.nodes[0].finished.iter().any(|(id, _)| *id == session);
    let granted = !done;
    world.settle();
    let report = world.nodes[0].report(session);
    assert_eq!((&report.error, report.outstanding), (&None, 0));
    assert_eq!(report.figures.received, 0, "they were stored by another way");
    assert!(done || granted);
    world.assert_released();
}

#[test]
fn large_messages_go_up_to_what_a_deployed_peer_reads() {
    let sizes = [150 * 1024 - 200, 150 * 1024 - 20, 100_000, 8];
    let all: Vec<_> = sizes
        .iter()
        .enumerate()
        .map(|(n, size)| with(n as u64, 100.0 + n as f64, shard(0), content("a"), *size))
        .collect();
    let mut world = World::pair(1, &all, &[]);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.figures.sent, ours.figures.unsendable), (3, 1));
    assert_eq!(world.hashes(1).len(), 3);
    assert_eq!((ours.error, theirs.error), (None, None));
    assert!(theirs.outstanding <= 1);
    world.assert_released();
}

#[test]
fn progress_is_told_a_few_times_a_second() {
    let all = hour(&mut Random(1), 4000);
    let mut world = World::pair(1, &[], &all);
    world.latency = Duration::from_millis(300);
    world.nodes[0].archive_delay = Duration::from_millis(150);
    let (ours, _) = world.sync_to_end(0, 1, SyncOptions::default());
    let told = &world.nodes[0].progress;
    assert!(told.len() >= 3, "{}", told.len());
    assert!(told.len() as u128 <= ours.duration.as_millis() / 250 + 1, "{}", told.len());
    assert!(told.windows(2).all(|w| w[0].1.received <= w[1].1.received));
}

#[test]
fn a_chain_and_a_mesh_converge_by_heartbeats() {
    for mesh in [false, true] {
        let config =
            EngineConfig { heartbeat: Some(Duration::from_secs(30)), ..EngineConfig::default() };
        let mut world = World::new(7);
        let all = hour(&mut Random(7), 500);
        for n in 0..5 {
            world.add(config.clone(), &all[n * 100..(n + 1) * 100]);
        }
        for a in 0..5 {
            for b in a + 1..5 {
                if mesh || b == a + 1 {
                    world.connect(a, b);
                }
            }
        }
        world.run_for(Duration::from_secs(30 * 15));
        assert_equal(&mut world, &set(&all));
        assert!(world.nodes.iter().all(|n| n.penalties.is_empty()));
        let failed = world.nodes.iter().flat_map(|n| &n.finished).find(|(_, r)| r.error.is_some());
        assert_eq!(failed, None);
    }
}
