//! Peers that vanish, archives that fail: nothing hangs, nothing is lost, nothing is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::time::Duration;

use sim::{Random, World, hour, key, quiet};
use wakustore::ErrorKind;
use wakustore::engine::{EngineConfig, SyncOptions};
use wakustore::types::{StoredMessage, TimeRange, Timestamp};

/// A pair of nodes of which each lacks 40 of 120 messages, with little room in flight so that
/// there are many steps.
fn pair(seed: u64) -> (World, Vec<StoredMessage>) {
    let all = hour(&mut Random(seed), 120);
    let config = EngineConfig { max_in_flight: 1500, ..quiet() };
    (World::pair_with(seed, config.clone(), config, &all[..80], &all[40..]), all)
}

fn assert_converged(world: &mut World, all: &[StoredMessage]) {
    assert_eq!((world.hashes(0).len(), world.hashes(1).len()), (all.len(), all.len()));
}

#[test]
fn a_peer_may_vanish_at_every_step() {
    let mut cuts = 0;
    for after in 0.. {
        let (mut world, all) = pair(11);
        let session = world.sync(0, 1, SyncOptions::default());
        for _ in 0..after {
            world.step();
        }
        let over = world.usages().iter().all(|u| u.sessions == 0);
        world.cut(0, 1);
        world.settle();
        assert!(world.nodes.iter().all(|n| n.finished.len() <= 1), "once, after {after}");
        let report = world.nodes[0].report(session);
        let kind = report.error.as_ref().map(|e| e.kind());
        assert!(kind.is_none_or(|k| k == ErrorKind::StreamClosed), "after {after}: {report:?}");
        let received = report.figures.received;
        assert_eq!(world.hashes(0).len() as u64, 80 + received, "what came is stored");
        world.assert_released();
        cuts += usize::from(kind.is_some());

        world.connect(0, 1);
        let (again, _) = world.sync_to_end(1, 0, SyncOptions::default());
        assert_eq!(again.error, None, "after {after}");
        assert_converged(&mut world, &all);
        world.assert_released();
        if over {
            break;
        }
    }
    assert!(cuts > 100, "{cuts} sessions were cut short");
}

#[test]
fn a_session_may_be_cancelled_at_every_step() {
    for after in (0..).step_by(3) {
        let (mut world, all) = pair(12);
        let session = world.sync(0, 1, SyncOptions::default());
        for _ in 0..after {
            world.step();
        }
        let over = world.nodes[0].finished.iter().any(|(id, _)| *id == session);
        world.call(0, |e, now| e.cancel(now, session));
        world.call(0, |e, now| e.cancel(now, session));
        world.settle();
        let error = world.nodes[0].report(session).error.clone();
        assert_eq!(error.map(|e| e.kind()), (!over).then_some(ErrorKind::Cancelled));
        assert!(world.nodes.iter().all(|n| n.penalties.is_empty()), "late messages cost nothing");
        world.sync_to_end(0, 1, SyncOptions::default());
        assert_converged(&mut world, &all);
        world.assert_released();
        if over {
            break;
        }
    }
}

#[test]
fn an_archive_that_is_busy_for_a_while_only_delays() {
    for node in 0..2 {
        let (mut world, all) = pair(13);
        for faults in 1..4 {
            let busy = vec![Some(ErrorKind::Busy); faults];
            world.nodes[node].fetch_faults.extend(busy.clone());
            world.nodes[node].fetch_faults.push_back(None);
            world.nodes[node].store_faults.extend(busy);
            world.nodes[node].store_faults.push_back(None);
        }
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_eq!((ours.error, theirs.error), (None, None));
        assert_eq!((ours.figures.received, theirs.figures.received), (40, 40));
        assert!(
            world.nodes[node].fetch_faults.is_empty() && world.nodes[node].store_faults.is_empty()
        );
        assert_converged(&mut world, &all);
        world.assert_released();
    }
}

#[test]
fn an_archive_that_stays_busy_ends_the_session() {
    for reads in [true, false] {
        let (mut world, all) = pair(14);
        let faults = vec![Some(ErrorKind::Busy); 1000];
        if reads {
            world.nodes[0].fetch_faults.extend(faults);
        } else {
            world.nodes[0].store_faults.extend(faults);
        }
        let (ours, _) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_eq!(ours.error.unwrap().kind(), ErrorKind::Busy);
        assert!(ours.duration < Duration::from_secs(70), "{:?}", ours.duration);
        world.nodes[0].fetch_faults.clear();
        world.nodes[0].store_faults.clear();
        world.assert_released();
        world.sync_to_end(0, 1, SyncOptions::default());
        assert_converged(&mut world, &all);
    }
}

#[test]
fn a_full_disk_ends_the_session_and_the_next_one_makes_up_for_it() {
    for at in 0..4 {
        let (mut world, all) = pair(15);
        world.nodes[0].store_faults.extend(vec![None; at]);
        world.nodes[0].store_faults.extend(vec![Some(ErrorKind::DiskFull); 50]);
        let (ours, _) = world.sync_to_end(0, 1, SyncOptions::default());
        let error = ours.error.unwrap();
        assert_eq!(error.kind(), ErrorKind::DiskFull);
        assert!(error.message().contains("storing messages"), "{error}");
        assert_eq!(world.hashes(0).len() as u64, 80 + ours.figures.received);
        assert!(ours.outstanding > 0);
        world.nodes[0].store_faults.clear();
        world.assert_released();
        let (again, _) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_eq!((again.error, again.outstanding), (None, 0));
        assert_converged(&mut world, &all);
    }
}

#[test]
fn an_archive_that_cannot_be_read_ends_the_session() {
    let (mut world, all) = pair(16);
    world.nodes[1].fetch_faults.push_back(Some(ErrorKind::ArchiveIo));
    let (_, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!(theirs.error.unwrap().kind(), ErrorKind::ArchiveIo);
    world.sync_to_end(0, 1, SyncOptions::default());
    assert_converged(&mut world, &all);
    world.assert_released();
}

#[test]
fn a_slow_archive_holds_the_peer_back_instead_of_filling_memory() {
    let all: Vec<StoredMessage> = (0..2000)
        .map(|n| sim::with(n, 60.0 + n as f64, sim::shard(0), sim::content("a"), 2000))
        .collect();
    let config = EngineConfig { max_in_flight: 50_000, ..quiet() };
    let mut world = World::pair_with(1, config.clone(), config, &[], &all);
    world.nodes[0].archive_delay = Duration::from_millis(500);
    let session = world.sync(0, 1, SyncOptions::default());
    let mut most = 0;
    while world.nodes[0].engine.usage().sessions > 0 {
        world.step();
        most = most.max(world.nodes[0].engine.usage().waiting_bytes);
    }
    let report = world.nodes[0].report(session);
    assert_eq!((&report.error, report.figures.received), (&None, 2000));
    assert!(most > 40_000 && most < 50_000 + 2 * 2100, "{most} bytes waited at once");
    world.assert_released();
}

#[test]
fn the_index_is_loaded_again_until_it_stands_and_syncs_wait() {
    let all = hour(&mut Random(3), 200);
    let mut world = World::new(3);
    world.add(quiet(), &all);
    world.add(quiet(), &[]);
    world.nodes[0].load_faults.extend(vec![Some(ErrorKind::ArchiveIo); 4]);
    world.connect(0, 1);
    assert!(!world.nodes[0].engine.is_ready());
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.error, theirs.figures.received), (None, 200));
    assert!(world.nodes[0].engine.is_ready() && world.nodes[0].loads == 5);

    // As responder: the first frame waits.
    let mut world = World::new(3);
    world.add(quiet(), &all);
    world.settle();
    world.add(quiet(), &[]);
    world.nodes[1].load_faults.extend(vec![Some(ErrorKind::Busy); 4]);
    world.connect(0, 1);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.error, theirs.figures.received), (None, 200));

    // For ever: the sync ends with an error that says why.
    let mut world = World::new(3);
    world.add(quiet(), &all);
    world.add(quiet(), &[]);
    world.nodes[0].load_faults.extend(vec![Some(ErrorKind::ArchiveIo); 1000]);
    world.connect(0, 1);
    let session = world.sync(0, 1, SyncOptions::default());
    world.settle();
    let error = world.nodes[0].report(session).error.clone().unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.message().contains("index"), "{error}");
}

#[test]
fn a_load_for_a_session_may_fail() {
    let all: Vec<_> = (0..100).map(|n| sim::message(n, 4.0 * 3600.0)).collect();
    let window = TimeRange::new(Timestamp(0), Timestamp(sim::START.nanos())).unwrap();
    let options = SyncOptions { window: Some(window), ..SyncOptions::default() };
    let mut world = World::pair(1, &all, &[]);
    world.nodes[0].load_faults.push_back(Some(ErrorKind::Busy));
    let (ours, theirs) = world.sync_to_end(0, 1, options.clone());
    assert_eq!((ours.error, theirs.figures.received), (None, 100));

    let mut world = World::pair(1, &all, &[]);
    world.nodes[0].load_faults.push_back(Some(ErrorKind::ArchiveIo));
    let session = world.sync(0, 1, options);
    world.settle();
    assert_eq!(world.nodes[0].report(session).error.clone().unwrap().kind(), ErrorKind::ArchiveIo);
    assert!(world.nodes[1].finished.is_empty(), "no stream was opened");
    world.assert_released();
}

#[test]
fn messages_that_the_archive_no_longer_holds_are_told_and_forgotten() {
    let all = hour(&mut Random(6), 100);
    let mut world = World::pair(1, &all, &[]);
    world.nodes[0].deleted = all[..10].iter().map(|m| m.hash).collect();
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.figures.sent, ours.figures.unsendable), (90, 10));
    assert_eq!((ours.error, theirs.error), (None, None));
    assert_eq!(theirs.figures.received, 90);
    let (again, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((again.figures.frames, theirs.outstanding), (2, 0), "the index has let them go");
    world.assert_released();
}

#[test]
fn a_peer_that_cannot_be_reached_is_an_error() {
    let mut world = World::new(1);
    world.add(quiet(), &[]);
    let session = world.sync(0, 0, SyncOptions::default());
    world.settle();
    let error = world.nodes[0].report(session).error.clone().unwrap();
    assert_eq!(error.kind(), ErrorKind::PeerUnknown);
    world.assert_released();
    assert_eq!(world.nodes[0].engine.usage().peers, 0);
    assert!(world.nodes[0].engine.transfer_ready(key(5)));
}
