//! What an engine does by itself as time passes: heartbeats, and the upkeep of its index.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::collections::BTreeSet;
use std::time::Duration;

use sim::{Random, World, hour, key, message, quiet};
use wakustore::archive::FeedEvent;
use wakustore::engine::PeerInfo;
use wakustore::engine::{EngineConfig, SyncOptions};
use wakustore::types::{TimeRange, Timestamp};

fn beating(seconds: u64) -> EngineConfig {
    EngineConfig { heartbeat: Some(Duration::from_secs(seconds)), ..quiet() }
}

#[test]
fn a_heartbeat_syncs_with_one_random_peer_at_a_time() {
    let mut world = World::new(5);
    world.add(beating(300), &[]);
    for peer in 1..=4 {
        world.add(quiet(), &[]);
        world.connect(0, peer);
    }
    // One that does not reconcile, and one that left.
    world.add(quiet(), &[]);
    world.call(0, |e, now| e.peer_connected(now, key(5), PeerInfo::default()));
    world.cut(0, 4);
    let mut beats = Vec::new();
    let mut peers = BTreeSet::new();
    for _ in 0..40 * 300 {
        world.run_for(Duration::from_secs(1));
        for (_, report) in world.nodes[0].finished.drain(..) {
            assert!(report.initiator && report.error.is_none());
            assert_eq!(
                report.window.end().nanos() - report.window.start().nanos(),
                3600 * 1_000_000_000
            );
            beats.push(world.elapsed);
            peers.insert(report.peer.0);
        }
    }
    assert!((36..=44).contains(&beats.len()), "{}", beats.len());
    let gaps: Vec<u64> = beats.windows(2).map(|w| (w[1] - w[0]).as_secs()).collect();
    assert!(gaps.iter().all(|g| (269..=331).contains(g)), "{gaps:?}");
    assert!(gaps.iter().collect::<BTreeSet<_>>().len() > 10, "jittered: {gaps:?}");
    assert_eq!(peers, BTreeSet::from([1, 2, 3]));
}

#[test]
fn without_a_peer_or_a_heartbeat_nothing_happens() {
    let mut world = World::new(5);
    world.add(beating(300), &[]);
    world.add(quiet(), &[]);
    world.run_for(Duration::from_secs(3000));
    assert!(world.nodes.iter().all(|n| n.finished.is_empty()));
    assert_eq!(world.nodes[0].loads, 1, "the index is kept up from the feed alone");
    world.assert_released();
}

#[test]
fn the_index_forgets_what_grows_old_and_the_next_window_is_right() {
    let all = hour(&mut Random(9), 1000);
    let mut world = World::pair(1, &all, &all);
    assert_eq!(world.nodes[0].engine.usage().index_ids, 1000);
    world.run_for(Duration::from_secs(90 * 60));
    let half = world.nodes[0].engine.usage().index_ids;
    assert!((200..800).contains(&half), "{half}");
    world.run_for(Duration::from_secs(60 * 60));
    assert_eq!(world.nodes[0].engine.usage().index_ids, 0);
    let (ours, _) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.error, ours.figures.frames), (None, 2));
}

#[test]
fn what_is_both_loaded_and_fed_counts_once() {
    let all = hour(&mut Random(2), 400);
    let mut world = World::new(2);
    world.add(quiet(), &all[..300]);
    // While the first step of the walk is under way the feed tells of some that it will bring.
    let event = world.nodes[0].put(all[200..].to_vec(), wakustore::types::Origin::Live).unwrap();
    world.call(0, |e, now| e.fed(now, event.clone()));
    world.call(0, |e, now| e.fed(now, event));
    world.settle();
    assert_eq!(world.nodes[0].engine.usage().index_ids, 400);
}

#[test]
fn many_ids_are_loaded_step_by_step() {
    let all = hour(&mut Random(3), 25_000);
    let mut world = World::new(3);
    world.add(quiet(), &all);
    world.settle();
    assert_eq!((world.nodes[0].loads, world.nodes[0].engine.usage().index_ids), (3, 25_000));
}

#[test]
fn a_feed_that_lagged_makes_the_engine_load_again() {
    let all = hour(&mut Random(4), 600);
    let mut world = World::pair(4, &all[..200], &all);
    world.nodes[0].fill(&all[200..400]);
    world.call(0, |e, now| e.fed(now, FeedEvent::Lagged { missed: 200, from: None }));
    // Once more, while that walk is under way: what it has passed already may be missing.
    world.nodes[0].fill(&all[400..600]);
    world.call(0, |e, now| e.fed(now, FeedEvent::Lagged { missed: 200, from: None }));
    assert!(world.nodes[0].engine.is_ready(), "syncs go on meanwhile");
    world.run_for(Duration::from_secs(1));
    assert_eq!((world.nodes[0].loads, world.nodes[0].engine.usage().index_ids), (3, 600));
    let (ours, _) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.figures.frames, ours.figures.missing), (2, 0));
}

#[test]
fn a_clock_that_jumps_ahead_and_back_loses_nothing_for_long() {
    let all = hour(&mut Random(6), 300);
    let mut world = World::pair(6, &all, &all);
    world.nodes[0].skew = 6 * 3600 * 1_000_000_000;
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.nodes[0].engine.usage().index_ids, 0);
    world.nodes[0].skew = 0;
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.nodes[0].engine.usage().index_ids, 300, "loaded again");
    let loads = world.nodes[0].loads;
    let (ours, _) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.error, ours.figures.missing), (None, 0));
    assert_eq!(world.nodes[0].loads, loads, "the session runs on the index");
}

#[test]
fn the_index_is_bounded_and_a_sync_below_it_loads_its_span() {
    let all: Vec<_> = (0..2000).map(|n| message(n, 30.0 + n as f64)).collect();
    let config = EngineConfig { max_index: 1000, ..quiet() };
    let mut world = World::pair_with(8, config, quiet(), &all, &all[..1990]);
    let held = world.nodes[0].engine.usage().index_ids;
    assert!((900..=1000).contains(&held), "{held}");
    let loads = world.nodes[0].loads;
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.error, ours.figures.missing, theirs.figures.received), (None, 0, 10));
    assert!(world.nodes[0].loads > loads);
    // What the index still holds is synced on it alone.
    let loads = world.nodes[0].loads;
    let start = Timestamp(sim::START.nanos() - 500 * 1_000_000_000);
    let window = TimeRange::new(start, sim::START).unwrap();
    let options = SyncOptions { window: Some(window), ..SyncOptions::default() };
    world.sync_to_end(0, 1, options);
    assert_eq!(world.nodes[0].loads, loads);
    world.assert_released();
}

#[test]
fn two_nodes_with_clocks_apart_still_converge() {
    for skew in [-15, 15] {
        let all = hour(&mut Random(7), 500);
        let mut world = World::pair(7, &all[..300], &all[200..]);
        world.nodes[1].skew = skew * 1_000_000_000;
        world.sync_to_end(0, 1, SyncOptions::default());
        let (ours, _) = world.sync_to_end(1, 0, SyncOptions::default());
        assert_eq!(ours.error, None);
        assert_eq!((world.hashes(0).len(), world.hashes(1).len()), (500, 500));
        world.assert_released();
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let all = hour(&mut Random(seed), 800);
        let mut world = World::pair_with(seed, beating(60), beating(60), &all[..500], &all[300..]);
        world.run_for(Duration::from_secs(600));
        let reports = world.nodes.iter().flat_map(|n| n.finished.clone()).collect::<Vec<_>>();
        (world.steps, reports)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
