//! Resume: the gap since a node was last online is filled once peers are there, in windows, newest
//! first, whatever peers do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::collections::BTreeSet;
use std::time::Duration;

use sim::store::{deployed, store_only};
use sim::{START, World, message, quiet};
use wakustore::engine::{
    Engine, EngineConfig, PeerInfo, SyncOptions, SyncProtocol, SyncReason, SyncReport,
};
use wakustore::types::{MessageHash, Origin, Page, StoredMessage, Timestamp};
use wakustore::{Error, ErrorKind};

const HOUR: u64 = 3600;

/// Node 0 resumes; the others have what they have.
fn config() -> EngineConfig {
    EngineConfig { resume: true, ..quiet() }
}

/// A world in which node 0 was online until `START`, and has been off for so many hours, while
/// these were sent. They are at all the others (nodes 1 and up).
fn off_for(hours: u64, others: usize, per_hour: u64) -> (World, Vec<StoredMessage>) {
    off_with(config(), hours, others, per_hour)
}

fn off_with(
    config: EngineConfig,
    hours: u64,
    others: usize,
    per_hour: u64,
) -> (World, Vec<StoredMessage>) {
    let mut w = World::new(hours);
    w.add(config, &[]);
    for _ in 0..others {
        w.add(quiet(), &[]);
    }
    w.settle();
    for other in 1..=others {
        w.connect_as(0, other, store_only(), PeerInfo::default());
        w.cut(0, other);
    }
    let step = 3600.0 / per_hour as f64;
    let sent: Vec<_> = (0..hours * per_hour).map(|n| message(n, -1.0 - n as f64 * step)).collect();
    for other in 1..=others {
        w.put(other, sent.clone());
    }
    w.run_for(Duration::from_secs(hours * HOUR + 60));
    (w, sent)
}

fn hashes(messages: &[StoredMessage]) -> BTreeSet<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

fn assert_has(w: &mut World, sent: &[StoredMessage]) {
    let (held, sent) = (w.hashes(0), hashes(sent));
    assert!(held == sent, "{} of {}: {:?}", held.len(), sent.len(), resumed(w));
}

fn resumed(w: &World) -> Vec<&SyncReport> {
    let of = |r: &&SyncReport| r.reason == SyncReason::Resume;
    w.nodes[0].finished.iter().map(|(_, r)| r).filter(of).collect()
}

fn step_until(w: &mut World, done: impl Fn(&World) -> bool) {
    for _ in 0..100_000 {
        if done(w) {
            return;
        }
        w.step();
    }
    panic!("it does not come to this: {:?}, {:?}", w.usages(), resumed(w));
}

/// Stops node 0 and starts it again, with the archive and the state that it had.
fn restart(w: &mut World, config: EngineConfig) {
    let peers: Vec<usize> = w.nodes[0].connected.iter().map(|p| p.0 as usize).collect();
    let state = w.nodes[0].engine.state();
    for peer in peers {
        w.cut(0, peer);
    }
    // What is under way was asked by the one that is gone.
    let now = w.now(0);
    w.nodes[0].engine = Engine::new(config, 99, now);
    w.call(0, |e, now| e.restore(now, &state)).unwrap();
    w.nodes[0].finished.clear();
}

#[test]
fn a_first_start_has_no_gap() {
    let mut w = World::new(1);
    w.add(config(), &[]);
    w.add(config(), &[message(1, 7200.0)]);
    w.settle();
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    w.run_for(Duration::from_secs(60));
    assert!(w.nodes[0].finished.is_empty() && w.nodes[0].engine.unfilled().is_empty());
}

#[test]
fn hours_off_are_filled_over_store_in_windows_newest_first() {
    let (mut w, sent) = off_for(4, 1, 300);
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    w.settle();
    assert_has(&mut w, &sent);
    let reports = resumed(&w);
    assert_eq!(reports.len(), 5, "four hours, the margin before them and the minute after");
    assert!(reports.windows(2).all(|r| r[1].window.end() == r[0].window.start()));
    assert!(reports.iter().all(|r| r.error.is_none() && r.protocol == SyncProtocol::Store));
    let (start, margin) = (reports[4].window.start(), quiet().margin);
    assert!(start.nanos().abs_diff(START.saturating_sub(margin).nanos()) < 10_000_000);
    assert!(w.nodes[0].origins.iter().all(|o| *o == Origin::Resume));
    assert!(w.nodes[0].engine.unfilled().is_empty());
    w.assert_released();
}

#[test]
fn it_works_with_a_peer_that_reconciles_for_hours_beyond_the_horizon() {
    let (mut w, sent) = off_for(5, 1, 200);
    w.connect(0, 1);
    w.settle();
    assert_has(&mut w, &sent);
    assert!(resumed(&w).iter().all(|r| r.protocol == SyncProtocol::V1 && r.error.is_none()));
    assert!(w.nodes[0].origins.iter().all(|o| *o == Origin::Resume));
    assert!(w.nodes[0].engine.unfilled().is_empty());
    assert!(w.nodes[1].store.asked.is_empty());
}

#[test]
fn of_a_deployed_peer_the_last_hour_is_reconciled_and_the_rest_comes_over_store() {
    let (mut w, sent) = off_for(3, 1, 200);
    w.connect_as(0, 1, deployed(), PeerInfo::reconciling());
    w.settle();
    assert_has(&mut w, &sent);
    let protocols: Vec<_> = resumed(&w).iter().map(|r| r.protocol).collect();
    assert_eq!(protocols[0], SyncProtocol::V1);
    assert!(protocols.len() >= 4 && protocols[1..].iter().all(|p| *p == SyncProtocol::Store));
    let hour_ago = w.now(0).wall.saturating_sub(Duration::from_secs(HOUR + 10));
    assert!(resumed(&w)[0].window.start() >= hour_ago);
    assert!(w.nodes[0].engine.unfilled().is_empty());
}

#[test]
fn of_a_deployed_peer_without_store_only_its_hour_is_had_and_the_rest_waits_for_another() {
    let (mut w, sent) = off_for(3, 2, 200);
    w.connect_as(0, 1, PeerInfo { store: false, ..deployed() }, PeerInfo::reconciling());
    w.run_for(Duration::from_secs(30));
    let unfilled = w.nodes[0].engine.unfilled();
    assert_eq!((resumed(&w).len(), unfilled.len()), (1, 1), "{:?}", resumed(&w));
    w.connect_as(0, 2, store_only(), PeerInfo::default());
    w.settle();
    assert_has(&mut w, &sent);
    assert!(w.nodes[0].engine.unfilled().is_empty());
}

#[test]
fn the_limit_holds_and_may_be_days() {
    for (limit, hours) in [(2, 2), (48, 12)] {
        let config = EngineConfig { resume_limit: Duration::from_secs(limit * HOUR), ..config() };
        let (mut w, sent) = off_with(config, 12, 1, 60);
        let now = w.now(0).wall;
        w.connect_as(0, 1, store_only(), PeerInfo::default());
        w.settle();
        let start = now.saturating_sub(Duration::from_secs(hours * HOUR + 60));
        let expected: Vec<_> = sent.iter().filter(|m| m.timestamp() >= start).cloned().collect();
        let got = w.hashes(0).len();
        assert!(got.abs_diff(expected.len()) <= 2, "{got} of {}", expected.len());
        assert!(w.nodes[0].engine.unfilled().is_empty());
    }
}

#[test]
fn without_resume_nothing_is_begun() {
    let (mut w, _) = off_with(EngineConfig { resume: false, ..config() }, 2, 1, 60);
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    w.run_for(Duration::from_secs(600));
    assert!(w.nodes[0].finished.is_empty());
}

#[test]
fn another_peer_takes_over_from_one_that_fails() {
    let (mut w, sent) = off_for(4, 3, 100);
    for bad in [1, 2] {
        let mut served = 0;
        w.nodes[bad].store.lie = Some(Box::new(move |_, page| {
            served += 1;
            match served > 5 {
                true => Err(Error::new(ErrorKind::ArchiveIo, "broken")),
                false => page,
            }
        }));
    }
    for other in 1..=3 {
        w.connect_as(0, other, store_only(), PeerInfo::default());
    }
    w.run_for(Duration::from_secs(60));
    assert_has(&mut w, &sent);
    assert!(w.nodes[0].engine.unfilled().is_empty());
    let failed = resumed(&w).iter().filter(|r| r.error.is_some()).count();
    assert!((1..=4).contains(&failed), "{failed}");
}

#[test]
fn a_peer_that_goes_in_the_middle_is_followed_by_the_next_that_comes() {
    let (mut w, sent) = off_for(4, 2, 300);
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    step_until(&mut w, |w| resumed(w).len() >= 2);
    for _ in 0..5 {
        w.step();
    }
    w.cut(0, 1);
    assert!(!w.nodes[0].engine.unfilled().is_empty());
    w.run_for(Duration::from_secs(3));
    w.connect_as(0, 2, store_only(), PeerInfo::default());
    w.settle();
    assert_has(&mut w, &sent);
    assert!(w.nodes[0].engine.unfilled().is_empty());
}

#[test]
fn a_window_that_always_fails_keeps_no_other_from_being_filled() {
    let (mut w, sent) = off_for(4, 1, 100);
    let bad = Timestamp(START.nanos() + 3 * 3600 * 1_000_000_000 + 1_800_000_000_000);
    w.nodes[1].store.lie = Some(Box::new(move |query, page| {
        match !query.include_data && query.filter.time.contains(bad) {
            true => Err(Error::new(ErrorKind::ArchiveIo, "broken")),
            false => page,
        }
    }));
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    w.run_for(Duration::from_secs(2 * HOUR));
    let unfilled = w.nodes[0].engine.unfilled();
    assert!(unfilled.len() == 1 && unfilled[0].contains(bad), "{unfilled:?}");
    assert!(w.hashes(0).len() >= 300);
    let tries = resumed(&w).iter().filter(|r| r.error.is_some()).count();
    assert!((5..40).contains(&tries), "{tries} in two hours");
    w.nodes[1].store.lie = None;
    w.run_for(Duration::from_secs(HOUR));
    assert_has(&mut w, &sent);
    assert!(w.nodes[0].engine.unfilled().is_empty());
}

#[test]
fn what_peers_have_let_go_of_is_not_asked_for_for_ever() {
    let (mut w, sent) = off_for(2, 2, 100);
    for peer in [1, 2] {
        let gone = sent[50].hash;
        w.nodes[peer].store.lie = Some(Box::new(move |query, page| {
            let mut page: Page = page?;
            page.entries.retain(|e| !query.include_data || e.hash != gone);
            Ok(page)
        }));
        w.connect_as(0, peer, store_only(), PeerInfo::default());
    }
    w.run_for(Duration::from_secs(300));
    assert_eq!(w.hashes(0).len(), sent.len() - 1);
    assert!(w.nodes[0].engine.unfilled().is_empty());
    assert!(resumed(&w).len() < 8);
}

#[test]
fn a_window_that_holds_too_much_is_made_shorter() {
    let config = EngineConfig { max_messages: 400, ..config() };
    let (mut w, sent) = off_with(config, 2, 1, 1_000);
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    w.run_for(Duration::from_secs(2 * HOUR));
    assert_has(&mut w, &sent);
    assert!(w.nodes[0].engine.unfilled().is_empty());
}

#[test]
fn any_sync_of_ours_fills_what_it_covers() {
    let (mut w, sent) = off_with(config(), 2, 2, 100);
    // The only peer fails, but for a sync that was asked for.
    w.nodes[1].store.silent = true;
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    w.run_for(Duration::from_secs(1));
    w.connect_as(0, 2, PeerInfo::default(), PeerInfo::default());
    w.connect(0, 2);
    let span = w.nodes[0].engine.unfilled()[0];
    let options = SyncOptions { window: Some(span), ..SyncOptions::default() };
    w.sync(0, 2, options);
    w.run_for(Duration::from_secs(20));
    assert_has(&mut w, &sent);
    assert!(w.nodes[0].engine.unfilled().is_empty());
}

#[test]
fn a_restart_in_the_middle_goes_on_and_does_not_do_again_what_is_done() {
    let (mut w, sent) = off_for(5, 1, 200);
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    step_until(&mut w, |w| resumed(w).len() >= 2);
    let unfilled = w.nodes[0].engine.unfilled();
    assert!(!unfilled.is_empty());
    restart(&mut w, config());
    assert_eq!(w.nodes[0].engine.unfilled(), unfilled);
    w.run_for(Duration::from_secs(30));
    w.nodes[1].store.asked.clear();
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    w.settle();
    assert_has(&mut w, &sent);
    assert!(w.nodes[0].engine.unfilled().is_empty());
    let done = unfilled.last().unwrap().end();
    let again = w.nodes[1].store.asked.iter().filter(|q| !q.include_data).filter(|q| {
        q.filter.time.start() > done
            && q.filter.time.end() <= w.now(0).wall.saturating_sub(Duration::from_secs(60))
    });
    assert_eq!(again.count(), 0, "what was filled is not listed again");
}

#[test]
fn a_restart_at_each_step_loses_nothing() {
    for at in 0..60 {
        let (mut w, sent) = off_for(3, 1, 120);
        w.connect_as(0, 1, store_only(), PeerInfo::default());
        for _ in 0..at {
            w.step();
        }
        restart(&mut w, config());
        w.run_for(Duration::from_secs(5));
        w.connect_as(0, 1, store_only(), PeerInfo::default());
        w.settle();
        assert_has(&mut w, &sent);
        assert!(w.nodes[0].engine.unfilled().is_empty(), "step {at}");
    }
}

#[test]
fn a_clock_that_was_turned_back_makes_no_gap_of_the_future() {
    let (mut w, _) = off_for(3, 1, 60);
    w.nodes[0].skew = -10 * 3600 * 1_000_000_000;
    w.connect_as(0, 1, store_only(), PeerInfo::default());
    w.run_for(Duration::from_secs(60));
    assert!(w.nodes[0].finished.is_empty() && w.nodes[0].engine.unfilled().is_empty());
}
