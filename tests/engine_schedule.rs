//! When an engine begins syncs by itself: at start, after a reconnection, at heartbeats; and that
//! nobody can make it begin many.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::collections::BTreeMap;
use std::time::Duration;

use sim::{Random, World, hour, key, message, quiet};
use wakustore::engine::{
    AddressGroup, EngineConfig, PeerInfo, SyncOptions, SyncReason, SyncReport,
};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Syncs with peers that come, and nothing else by itself.
fn greeting() -> EngineConfig {
    EngineConfig { sync_on_connect: true, ..quiet() }
}

fn beating(peers: usize) -> EngineConfig {
    EngineConfig { heartbeat: Some(seconds(300)), heartbeat_peers: peers, ..quiet() }
}

/// The reports of what a node began, so far.
fn begun(world: &World, node: usize) -> Vec<&SyncReport> {
    world.nodes[node].finished.iter().map(|(_, r)| r).filter(|r| r.initiator).collect()
}

fn in_group(world: &mut World, node: usize, peer: usize, group: u64) {
    let info = PeerInfo { group: AddressGroup(group), ..PeerInfo::reconciling() };
    world.call(node, |e, now| e.peer_connected(now, key(peer), info));
}

#[test]
fn a_node_started_beside_a_running_one_holds_all_at_once() {
    let all = hour(&mut Random(1), 2000);
    let mut world = World::new(1);
    world.add(greeting(), &all);
    world.run_for(seconds(500));
    world.add(greeting(), &[]);
    world.connect(0, 1);
    world.run_for(seconds(10));
    let first = message(1 << 40, -480.0);
    world.put(0, vec![first]);
    // What is older than the window by now is for resume.
    assert!(world.hashes(1).len() > 1600, "{}", world.hashes(1).len());
    let by_both: Vec<_> = (0..2).flat_map(|n| begun(&world, n)).collect();
    assert!(!by_both.is_empty() && by_both.len() <= 2);
    assert!(by_both.iter().all(|r| r.reason == SyncReason::Connected && r.error.is_none()));
    world.assert_released();
}

#[test]
fn the_node_that_was_greeted_first_mostly_does_not_greet_back() {
    let mut syncs = 0;
    for seed in 0..60 {
        let mut world = World::pair_with(seed, greeting(), greeting(), &[], &[]);
        world.run_for(seconds(20));
        let n = begun(&world, 0).len() + begun(&world, 1).len();
        assert!((1..=2).contains(&n));
        syncs += n;
    }
    assert!(syncs < 70, "{syncs} syncs where 60 nodes met");
}

#[test]
fn only_the_first_that_come_are_greeted_at_start() {
    for (heartbeat_peers, expected) in [(1, 1), (3, 3)] {
        let mut world = World::new(3);
        world.add(EngineConfig { heartbeat_peers, ..greeting() }, &[]);
        for peer in 1..=10 {
            world.add(quiet(), &[]);
            world.connect(0, peer);
        }
        world.run_for(seconds(120));
        assert_eq!(begun(&world, 0).len(), expected);
    }
}

#[test]
fn one_that_turns_out_bad_is_made_up_for_by_another() {
    let mut world = World::new(4);
    world.add(greeting(), &[]);
    // The first to come never answers.
    world.call(0, |e, now| e.peer_connected(now, key(1), PeerInfo::reconciling()));
    world.add(quiet(), &[]);
    world.add(quiet(), &hour(&mut Random(4), 100));
    world.connect(0, 2);
    world.run_for(seconds(60));
    let outcome: Vec<_> =
        begun(&world, 0).iter().map(|r| (r.peer, r.error.is_none(), r.reason)).collect();
    let connected = SyncReason::Connected;
    assert_eq!(outcome, [(key(1), false, connected), (key(2), true, connected)]);
    assert_eq!(world.hashes(0).len(), 100);
}

#[test]
fn a_node_that_was_off_for_an_hour_catches_up_when_its_peer_is_back() {
    let mut world = World::pair_with(5, greeting(), quiet(), &[], &[]);
    world.run_for(seconds(30));
    assert_eq!(begun(&world, 0).len(), 1);
    world.cut(0, 1);
    for minute in 0..60 {
        world.put(1, vec![message(minute, -(world.elapsed.as_secs_f64()) + 1.0)]);
        world.run_for(seconds(60));
    }
    assert_eq!((world.hashes(0).len(), world.hashes(1).len()), (0, 60));
    world.connect(0, 1);
    world.run_for(seconds(10));
    assert_eq!(begun(&world, 0).len(), 2);
    // All but what the margin leaves to the next one, and what is as old as the window.
    assert!(world.hashes(0).len() >= 58, "{}", world.hashes(0).len());
}

#[test]
fn after_a_while_without_peers_a_stranger_is_greeted_too() {
    let mut world = World::new(6);
    world.add(greeting(), &[]);
    for _ in 1..=3 {
        world.add(quiet(), &[]);
    }
    world.connect(0, 1);
    world.run_for(seconds(30));
    world.cut(0, 1);
    world.run_for(seconds(10));
    world.connect(0, 2);
    world.run_for(seconds(30));
    assert_eq!(begun(&world, 0).len(), 1, "ten seconds are nothing");
    world.cut(0, 2);
    world.run_for(seconds(31));
    world.connect(0, 3);
    world.run_for(seconds(30));
    let peers: Vec<_> = begun(&world, 0).iter().map(|r| r.peer).collect();
    assert_eq!(peers, [key(1), key(3)]);
}

#[test]
fn a_peer_that_flaps_makes_one_sync_a_minute_at_the_most() {
    let mut world = World::pair_with(7, greeting(), quiet(), &[], &[]);
    for n in 0..200 {
        world.run_for(Duration::from_millis(3000));
        world.cut(0, 1);
        world.run_for(Duration::from_millis(if n % 2 == 0 { 10 } else { 900 }));
        world.connect(0, 1);
    }
    let minutes = world.elapsed.as_secs() as usize / 60;
    let n = begun(&world, 0).len();
    assert!((minutes / 2..=minutes + 1).contains(&n), "{n} syncs in {minutes} minutes");
    // Once it stays, it is synced with.
    world.run_for(seconds(70));
    let last = *begun(&world, 0).last().unwrap();
    assert_eq!(last.error, None);
    world.assert_released();
}

/// A host may give one peer another number each time it comes, and strangers may come in droves.
#[test]
fn a_drove_of_peers_makes_no_storm() {
    let mut world = World::new(8);
    world.add(EngineConfig { heartbeat_peers: 1000, ..greeting() }, &[]);
    let mut held = Vec::new();
    for peer in 0..600_u64 {
        let new = wakustore::engine::PeerKey(1000 + peer);
        world.call(0, |e, now| e.peer_connected(now, new, PeerInfo::reconciling()));
        held.push(new);
        if held.len() > 40 {
            let left = held.remove(0);
            world.call(0, |e, now| e.peer_disconnected(now, left));
        }
        world.run_for(seconds(1));
    }
    let n = begun(&world, 0).len();
    assert!((10..=4 + 600 / 15).contains(&n), "{n} syncs in ten minutes");
}

#[test]
fn nothing_is_begun_twice_with_one_peer() {
    let all = hour(&mut Random(9), 3000);
    let config = EngineConfig { heartbeat: Some(seconds(2)), heartbeat_peers: 4, ..greeting() };
    let mut world = World::pair_with(9, config.clone(), config, &all[..2000], &all[1000..]);
    world.latency = Duration::from_millis(900);
    for _ in 0..200 {
        world.run_for(Duration::from_millis(250));
        // One that each of the two began, at the most.
        assert!(world.usages().iter().all(|u| u.sessions <= 2), "{:?}", world.usages());
        // On demand it is refused, and what runs is not disturbed.
        let running = world.usages()[0].sessions == 2;
        let asked = world.call(0, |e, now| e.sync(now, key(1), SyncOptions::default()));
        assert!(!(running && asked.is_ok()));
    }
    world.run_for(seconds(30));
    assert!(world.nodes.iter().flat_map(|n| &n.finished).all(|(_, r)| r.error.is_none()));
    assert_eq!((world.hashes(0).len(), world.hashes(1).len()), (3000, 3000));
}

/// How often each peer was synced with, at heartbeats alone.
fn beats(world: &mut World, rounds: u64) -> BTreeMap<u64, usize> {
    world.run_for(seconds(300 * rounds));
    let mut times = BTreeMap::new();
    for report in begun(world, 0) {
        assert_eq!((report.reason, &report.error), (SyncReason::Heartbeat, &None));
        *times.entry(report.peer.0).or_default() += 1;
    }
    times
}

#[test]
fn ten_peers_are_chosen_about_as_often_each() {
    let mut world = World::new(10);
    world.add(beating(1), &[]);
    for peer in 1..=10 {
        world.add(quiet(), &[]);
        world.connect(0, peer);
    }
    let times = beats(&mut world, 1000);
    // A thousand draws of ten: 100 each, and a deviation of 9.5.
    assert_eq!(times.len(), 10);
    assert!(times.values().all(|n| (60..140).contains(n)), "{times:?}");
}

#[test]
fn a_heartbeat_of_several_peers_asks_different_ones() {
    for (heartbeat_peers, expected) in [(3, 3), (20, 6), (0, 1)] {
        let mut world = World::new(11);
        world.add(beating(heartbeat_peers), &[]);
        for peer in 1..=6 {
            world.add(quiet(), &[]);
            world.connect(0, peer);
        }
        world.run_for(seconds(340));
        let mut peers: Vec<_> = begun(&world, 0).iter().map(|r| r.peer).collect();
        peers.sort_unstable();
        peers.dedup();
        assert_eq!((peers.len(), begun(&world, 0).len()), (expected, expected));
    }
}

#[test]
fn a_crowd_in_one_place_is_not_asked_the_more_often() {
    let mut world = World::new(12);
    world.add(beating(1), &[]);
    for peer in 1..=12 {
        world.add(quiet(), &[]);
        world.connect(0, peer);
        in_group(&mut world, 0, peer, if peer <= 10 { 1 } else { peer as u64 });
    }
    let times = beats(&mut world, 600);
    // Three groups, and no lasting order among them.
    let crowd: usize = (1..=10).filter_map(|peer| times.get(&peer)).sum();
    for n in [crowd, times[&11], times[&12]] {
        assert!((150..250).contains(&n), "{times:?}");
    }
}

#[test]
fn groups_that_were_not_compared_with_lately_come_first_mostly() {
    let mut world = World::new(13);
    world.add(beating(1), &[]);
    for peer in 1..=4 {
        world.add(quiet(), &[]);
        world.connect(0, peer);
        in_group(&mut world, 0, peer, peer as u64);
    }
    world.run_for(seconds(300 * 500));
    let order: Vec<_> = begun(&world, 0).iter().map(|r| r.peer).collect();
    let again = order.windows(2).filter(|w| w[0] == w[1]).count();
    // By chance alone it would be a quarter; never would mean that it can be foretold.
    assert!((15..90).contains(&again), "{again} of {}", order.len());
}

#[test]
fn the_clock_on_the_wall_moves_no_deadline() {
    let mut world = World::new(14);
    world.add(beating(1), &[]);
    world.add(quiet(), &[]);
    world.connect(0, 1);
    let day = 24 * 3600 * 1_000_000_000_i64;
    for skew in [0, 30 * day, -30 * day, 0] {
        world.nodes[0].skew = skew;
        let before = begun(&world, 0).len();
        world.run_for(seconds(3000));
        let n = begun(&world, 0).len() - before;
        assert!((9..=11).contains(&n), "{n} heartbeats with the clock off by {skew}");
    }
    assert!(begun(&world, 0).iter().all(|r| r.error.is_none()));
}

#[test]
fn a_peer_that_speaks_nothing_is_left_alone_until_it_does() {
    let mut world = World::new(15);
    world.add(EngineConfig { sync_on_connect: true, ..beating(1) }, &[]);
    world.add(quiet(), &[]);
    world.connect(0, 1);
    world.call(0, |e, now| e.peer_connected(now, key(1), PeerInfo::default()));
    world.run_for(seconds(1000));
    assert!(begun(&world, 0).is_empty());
    world.call(0, |e, now| e.peer_connected(now, key(1), PeerInfo::reconciling()));
    world.run_for(seconds(5));
    assert_eq!(begun(&world, 0).len(), 1);
}
