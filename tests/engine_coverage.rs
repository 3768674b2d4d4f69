//! With whom a node agrees over which spans of time, and what of that outlives a restart.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::time::Duration;

use sim::{Random, START, World, content, hour, key, message, now, quiet, shard, with};
use wakustore::ErrorKind;
use wakustore::engine::{
    AddressGroup, Agreement, Coverage, Engine, EngineConfig, Output, PeerInfo, SyncDirection,
    SyncOptions,
};
use wakustore::types::{TimeRange, Timestamp};
use wakustore::wire::reconciliation::Scope;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// How many agree on what was so long ago, and how many strongly.
fn agreeing(world: &World, node: usize, ago: Duration) -> (u32, u32) {
    let t = world.now(node).wall.saturating_sub(ago);
    let coverage = world.nodes[node].engine.coverage();
    coverage.iter().find(|c| c.span.contains(t)).map_or((0, 0), |c| (c.peers, c.strong))
}

fn in_group(world: &mut World, node: usize, peer: usize, group: u64) {
    let info = PeerInfo { group: AddressGroup(group), ..PeerInfo::reconciling() };
    world.call(node, |e, now| e.peer_connected(now, key(peer), info));
}

/// A node with so many peers that hold the same, each in a group of its own.
fn star(seed: u64, peers: usize) -> World {
    let all = hour(&mut Random(seed), 300);
    let mut world = World::new(seed);
    world.add(quiet(), &all);
    for peer in 1..=peers {
        world.add(quiet(), &all);
        world.connect(0, peer);
        in_group(&mut world, 0, peer, peer as u64);
    }
    world.settle();
    world
}

fn span_of(from_ago: i64, to_ago: i64) -> TimeRange {
    let ago = |s: i64| Timestamp(START.nanos() - s * 1_000_000_000);
    TimeRange::new(ago(from_ago), ago(to_ago)).unwrap()
}

fn over(from_ago: i64, to_ago: i64) -> SyncOptions {
    SyncOptions { window: Some(span_of(from_ago, to_ago)), ..SyncOptions::default() }
}

#[test]
fn distinct_groups_are_counted_over_the_spans_that_they_agreed_on() {
    let mut world = star(1, 4);
    // The fourth lives beside the third.
    in_group(&mut world, 0, 4, 3);
    for (peer, from, to) in [(1, 3000, 1000), (2, 2000, 500), (3, 2000, 500), (4, 1500, 500)] {
        let (ours, theirs) = world.sync_to_end(0, peer, over(from, to));
        assert_eq!((ours.agreement, theirs.agreement), (Agreement::Weak, Agreement::Weak));
    }
    let coverage = world.nodes[0].engine.coverage();
    let told: Vec<_> = coverage.iter().map(|c| (c.span, c.peers, c.strong)).collect();
    // Where the fourth spoke last, its group's comparison is a later one.
    let expected = [
        (span_of(3000, 2000), 1, 0),
        (span_of(2000, 1500), 3, 0),
        (span_of(1500, 1000), 3, 0),
        (span_of(1000, 500), 2, 0),
    ];
    assert_eq!(told, expected);
    let Coverage { compared_at, .. } = coverage[3];
    assert!(compared_at > START && compared_at <= world.now(0).wall);
    assert!(coverage[2].compared_at > coverage[1].compared_at);
    // Those that were asked know as much of us.
    assert_eq!(world.nodes[1].engine.coverage()[0].span, span_of(3000, 1000));
}

#[test]
fn what_is_repaired_agrees_and_what_is_left_over_does_not() {
    let all = hour(&mut Random(2), 400);
    let mut world = World::pair(2, &all[..300], &all[100..]);
    let one_way = |direction| SyncOptions { direction, ..SyncOptions::default() };
    let minute = seconds(1800);
    let (ours, _) = world.sync_to_end(0, 1, one_way(SyncDirection::Pull));
    assert_eq!((ours.agreement, agreeing(&world, 0, minute)), (Agreement::None, (0, 0)));
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.agreement, theirs.agreement), (Agreement::Weak, Agreement::Weak));
    assert_eq!((agreeing(&world, 0, minute), agreeing(&world, 1, minute)), ((1, 0), (1, 0)));
    // A later comparison that leaves something over takes it back.
    world.nodes[1].put(vec![message(1 << 50, 1000.0)], wakustore::types::Origin::Live);
    let event = wakustore::archive::FeedEvent::Lagged { missed: 1, from: None };
    world.call(1, |e, now| e.fed(now, event));
    world.run_for(seconds(1));
    let dry = SyncOptions { dry_run: true, ..SyncOptions::default() };
    let (ours, _) = world.sync_to_end(0, 1, dry.clone());
    assert_eq!(ours.difference.unwrap().missing.len(), 1);
    assert_eq!(agreeing(&world, 0, minute), (0, 0));
    // And the next one gives it again; so does one that only compares.
    world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!(agreeing(&world, 0, minute), (1, 0));
    let (ours, _) = world.sync_to_end(0, 1, dry);
    assert_eq!((ours.agreement, agreeing(&world, 0, minute)), (Agreement::Weak, (1, 0)));
}

#[test]
fn what_the_quota_or_the_frame_left_out_is_no_agreement() {
    let all = hour(&mut Random(3), 400);
    let config = EngineConfig { max_messages: 50, ..quiet() };
    let mut world = World::pair_with(3, config, quiet(), &all[..200], &all);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert!(ours.outstanding > 0);
    assert_eq!(ours.agreement, Agreement::None);
    assert_eq!(agreeing(&world, 0, seconds(600)), (0, 0));
    assert_eq!(theirs.agreement, Agreement::Weak, "it sent all, as far as it can tell");
    let large = with(1, 60.0, shard(0), content("a"), 150 * 1024 - 10);
    let mut world = World::pair(4, &[large], &[]);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!(ours.figures.unsendable, 1);
    assert_eq!((ours.agreement, theirs.agreement), (Agreement::None, Agreement::None));
}

#[test]
fn a_sync_that_broke_says_nothing() {
    let mut world = star(5, 1);
    let session = world.sync(0, 1, SyncOptions::default());
    world.call(0, |e, now| e.cancel(now, session));
    world.settle();
    assert_eq!(world.nodes[0].engine.coverage(), []);
    // Nor does it take back what is known.
    world.sync_to_end(0, 1, SyncOptions::default());
    let session = world.sync(0, 1, SyncOptions::default());
    world.call(0, |e, now| e.cancel(now, session));
    world.settle();
    assert_eq!(agreeing(&world, 0, seconds(600)), (1, 0));
}

#[test]
fn of_a_narrower_scope_nothing_is_claimed_for_the_whole() {
    let all: Vec<_> =
        (0..60).map(|n| with(n, 60.0 + n as f64, shard(n as u32 % 2), content("a"), 10)).collect();
    let narrow = EngineConfig {
        scope: Scope { pubsub_topics: vec![shard(0)], content_topics: Vec::new() },
        ..quiet()
    };
    let mut world = World::pair_with(6, quiet(), narrow, &all, &all);
    let (ours, theirs) = world.sync_to_end(1, 0, SyncOptions::default());
    assert_eq!((ours.agreement, theirs.agreement), (Agreement::Weak, Agreement::Weak));
    assert_eq!(agreeing(&world, 1, seconds(60)), (1, 0), "all that it serves");
    assert_eq!(agreeing(&world, 0, seconds(60)), (0, 0), "half of what this one serves");
    // Where scopes do not meet, nothing was compared at all.
    let scope = |n| EngineConfig {
        scope: Scope { pubsub_topics: vec![shard(n)], content_topics: Vec::new() },
        ..quiet()
    };
    let mut world = World::pair_with(7, scope(1), scope(2), &[], &[]);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.agreement, theirs.agreement), (Agreement::None, Agreement::None));
    assert!(world.nodes.iter().all(|n| n.engine.coverage().is_empty()));
}

#[test]
fn heartbeats_of_a_day_are_covered_without_a_gap_and_bounded() {
    let mut world = star(8, 3);
    let config = EngineConfig { heartbeat: Some(seconds(300)), ..quiet() };
    let node = world.add(config, &[]);
    for peer in 1..=3 {
        world.connect(node, peer);
        in_group(&mut world, node, peer, peer as u64);
    }
    world.run_for(seconds(24 * 3600));
    let coverage = world.nodes[node].engine.coverage();
    assert!(coverage.len() < 512);
    assert!(coverage.windows(2).all(|w| w[0].span.end() == w[1].span.start()));
    for hours in 1..23 {
        assert!(agreeing(&world, node, seconds(hours * 3600)).0 >= 1, "{hours} hours ago");
    }
    assert!(world.nodes[node].engine.state().len() < 64 * 1024);
}

#[test]
fn a_clock_that_jumps_leaves_coverage_true() {
    let mut world = star(9, 2);
    world.sync_to_end(0, 1, SyncOptions::default());
    let told = world.nodes[0].engine.coverage();
    // Ahead by a day, and agreed on what has not come yet.
    let day = 24 * 3600 * 1_000_000_000;
    world.nodes[0].skew = day;
    world.nodes[2].skew = day;
    let (ours, _) = world.sync_to_end(0, 2, SyncOptions::default());
    assert_eq!(ours.agreement, Agreement::Weak);
    assert!(agreeing(&world, 0, seconds(60)).0 > 0);
    // Put right: nothing of the future is told, and what was true is so still.
    world.nodes[0].skew = 0;
    world.call(0, |e, now| e.tick(now));
    assert_eq!(world.nodes[0].engine.coverage(), told);
    // Back by a year: all that is known lies ahead. Then right again.
    world.nodes[0].skew = -365 * day;
    world.call(0, |e, now| e.tick(now));
    assert_eq!(world.nodes[0].engine.coverage(), []);
    world.nodes[0].skew = 0;
    world.call(0, |e, now| e.tick(now));
    assert_eq!(world.nodes[0].engine.coverage(), told);
}

#[test]
fn nothing_is_claimed_below_the_retention_floor() {
    let mut world = star(13, 1);
    let session = world.sync(0, 1, SyncOptions::default());
    let kept_from = span_of(1800, 0).start();
    world.call(0, |e, now| e.set_floor(now, kept_from));
    world.settle();
    assert_eq!(world.nodes[0].report(session).agreement, Agreement::Weak);
    let coverage = world.nodes[0].engine.coverage();
    assert_eq!(coverage[0].span.start(), kept_from);
    assert_eq!(agreeing(&world, 0, seconds(900)), (1, 0));
}

// --- the state ---

#[test]
fn the_state_outlives_a_restart() {
    let mut world = star(10, 3);
    for peer in 1..=3 {
        world.sync_to_end(0, peer, SyncOptions::default());
    }
    world.run_for(seconds(90));
    let online_at = world.now(0).wall;
    world.call(0, |e, now| e.tick(now));
    assert_eq!(world.nodes[0].engine.last_online(), None, "this is its first time");
    let state = world.nodes[0].engine.state();
    let told = world.nodes[0].engine.coverage();
    assert_eq!(told.iter().map(|c| c.peers).max(), Some(3));

    let later = now(world.elapsed + seconds(3600), 0);
    let mut engine = Engine::new(quiet(), 1, later);
    engine.restore(later, &state).unwrap();
    assert_eq!((engine.coverage(), engine.last_online()), (told, Some(online_at)));
    assert_eq!(engine.state(), state, "nothing has happened since");
    // Online again, the time before stands still, and what is saved moves.
    engine.peer_connected(later, key(1), PeerInfo::reconciling());
    assert_eq!(engine.last_online(), Some(online_at));
    assert_ne!(engine.state(), state);
    // With the clock turned back before it, it was just now at the latest.
    let before = now(Duration::ZERO, -1_000_000_000_000);
    let mut engine = Engine::new(quiet(), 1, before);
    engine.restore(before, &state).unwrap();
    assert_eq!(engine.last_online(), Some(before.wall));
}

#[test]
fn garbage_is_refused_and_the_engine_goes_on() {
    let mut world = star(11, 1);
    world.sync_to_end(0, 1, SyncOptions::default());
    let state = world.nodes[0].engine.state();
    let told = world.nodes[0].engine.coverage();
    let mut other_version = state.clone();
    other_version[4] += 1;
    let cut = &state[..state.len() - 1];
    let long = vec![7; 10_000_000];
    for garbage in [&[][..], &[0; 40], cut, &other_version, &long] {
        let refused = world.call(0, |e, now| e.restore(now, garbage)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Malformed, "{refused}");
        assert_eq!(world.nodes[0].engine.coverage(), told, "what there was stays");
    }
    let (ours, _) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!(ours.error, None);
}

#[test]
fn saved_when_something_changed_and_each_minute_while_online() {
    let mut world = World::pair(12, &[], &[]);
    let saves = |world: &World| world.nodes[0].saves;
    assert_eq!(saves(&world), 1, "online");
    world.run_for(seconds(600));
    assert_eq!(saves(&world), 11);
    // Changes come together.
    for _ in 0..100 {
        world.sync_to_end(0, 1, SyncOptions::default());
        world.run_for(Duration::from_millis(200));
    }
    let n = saves(&world) - 11;
    let most = 2 + (world.elapsed.as_secs() - 600) as usize / 5;
    assert!((2..=most).contains(&n), "{n} of at most {most}");
    world.cut(0, 1);
    world.run_for(seconds(10));
    let n = saves(&world);
    world.run_for(seconds(3600));
    assert_eq!(saves(&world), n, "offline and all is saved");
    let gone_since = world.nodes[0].engine.last_online().unwrap();
    let offline = world.now(0).wall.nanos() - gone_since.nanos();
    assert_eq!(offline, 3610 * 1_000_000_000);
}

#[test]
fn an_engine_asks_for_nothing_to_be_saved_that_is_as_it_was() {
    let start = now(Duration::ZERO, 0);
    let mut engine = Engine::new(quiet(), 1, start);
    engine.tick(now(seconds(7200), 0));
    let saves = std::iter::from_fn(|| engine.poll_output())
        .filter(|o| matches!(o, Output::SaveState))
        .count();
    assert_eq!(saves, 0);
}
