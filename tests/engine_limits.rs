//! What is refused, what is no longer kept, what a deployed peer cannot compare, and the bounds on
//! all that a peer can make grow.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::time::Duration;

use sim::solo::{Solo, at, items, payload};
use sim::{content, key, message, quiet, shard, with};
use wakustore::ErrorKind;
use wakustore::engine::{EngineConfig, Output, PeerInfo, SyncOptions};
use wakustore::sync::reconcile::Tuning;
use wakustore::types::{MessageHash, StoredMessage, SyncId, TimeRange, Timestamp};
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// One that the archive's rules refuse for good.
fn bad(n: u64) -> StoredMessage {
    let mut m = message(n, 60.0);
    m.message.meta = Some(vec![n as u8; 65].into());
    StoredMessage::new(m.pubsub_topic, m.message)
}

fn sent(solo: &Solo) -> Vec<Payload> {
    let frame = |o: &Output| match o {
        Output::SendReconciliation { frame, .. } => Some(Payload::decode(frame).unwrap()),
        _ => None,
    };
    solo.sent.iter().filter_map(frame).collect()
}

fn deployed(config: EngineConfig, held: &[StoredMessage]) -> Solo {
    let mut solo = Solo::new(config, held);
    let info = PeerInfo { deployed: true, ..PeerInfo::reconciling() };
    solo.call(|e, now| e.peer_connected(now, key(7), info));
    solo
}

#[test]
fn what_was_refused_for_good_is_not_waited_for_again() {
    let (refused, good) = (bad(1), message(2, 60.0));
    let mut solo = Solo::new(quiet(), &[]);
    let first = solo.announced(&[&refused, &good]);
    solo.message(&refused);
    solo.message(&good);
    let report = solo.report(first);
    assert_eq!((report.figures.refused, report.figures.received, report.outstanding), (1, 1, 0));
    let penalties = solo.node.penalties.len();
    // Announced again, and pushed again: no fault of the peer's, and nobody waits for it.
    let second = solo.announced(&[&refused, &good]);
    assert!(solo.is_over(second), "nothing is awaited");
    assert_eq!(solo.report(second).figures.missing, 0);
    let third = solo.announced(&[&refused, &good, &message(3, 60.0)]);
    for _ in 0..200 {
        solo.message(&refused);
    }
    assert!(!solo.is_over(third), "the other one may come yet");
    solo.message(&message(3, 60.0));
    let report = solo.report(third);
    assert_eq!((report.figures.refused, report.figures.received, report.outstanding), (1, 1, 0));
    assert_eq!(solo.node.penalties.len(), penalties);
    solo.assert_released();
}

#[test]
fn refused_ids_are_bounded_and_the_oldest_are_asked_for_again() {
    let all: Vec<_> = (0..5).map(bad).collect();
    let mut solo = Solo::new(EngineConfig { max_refused: 3, ..quiet() }, &[]);
    let refs: Vec<&StoredMessage> = all.iter().collect();
    solo.announced(&refs);
    for m in &all {
        solo.message(m);
    }
    let again = solo.announced(&refs);
    solo.wait(secs(30));
    let report = solo.report(again);
    assert_eq!((report.figures.missing, report.figures.refused), (2, 3));
    assert_eq!(report.outstanding, 2);
    solo.assert_released();
}

#[test]
fn nothing_below_the_floor_is_asked_for_compared_or_taken() {
    let (old, new) = (message(1, 1800.0), message(2, 60.0));
    let mut solo = Solo::new(quiet(), &[message(9, 1700.0)]);
    let ids = solo.node.engine.usage().index_ids;
    solo.call(|e, now| e.set_floor(now, at(600)));
    assert_eq!(solo.node.engine.usage().index_ids, ids - 1, "the index lets go of it");
    let session = solo.begin();
    // With a nanosecond of skip before it, which says that what is missing here is to be told.
    assert_eq!(sent(&solo)[0].lower, Timestamp(at(600).0 - 1));
    solo.frame(session, vec![0]);
    assert_eq!(solo.report(session).window, TimeRange::new(at(600), at(20)).unwrap());
    // As responder: what the peer announces of it is not waited for, what it pushes is dropped.
    let session = solo.announced(&[&old, &new]);
    for _ in 0..200 {
        solo.message(&old);
    }
    solo.message(&new);
    let report = solo.report(session);
    assert_eq!((report.figures.missing, report.figures.received, report.outstanding), (1, 1, 0));
    assert!(!solo.node.hashes().contains(&old.hash) && solo.node.penalties.is_empty());
    // A window that lies below it altogether.
    let window = TimeRange::new(at(3000), at(2000)).ok();
    let options = SyncOptions { window, ..SyncOptions::default() };
    let e = solo.call(|e, now| e.sync(now, key(7), options)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
    solo.assert_released();
}

#[test]
fn a_floor_that_rises_ends_the_waiting_for_what_lies_below() {
    let (old, new) = (message(1, 1800.0), message(2, 60.0));
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.announced(&[&old, &new]);
    solo.message(&new);
    assert!(!solo.is_over(session));
    solo.call(|e, now| e.set_floor(now, at(600)));
    assert_eq!(solo.report(session).outstanding, 0, "at once, not after the grace period");
    solo.assert_released();
}

#[test]
fn with_a_deployed_peer_its_last_hour_is_compared() {
    let span = |from, to| TimeRange::new(at(from), at(to)).unwrap();
    let options = |from, to| SyncOptions { window: Some(span(from, to)), ..SyncOptions::default() };
    let mut solo = deployed(quiet(), &[message(1, 60.0), message(2, 5000.0)]);
    let session = solo.call(|e, now| e.sync(now, key(7), options(7000, 20))).unwrap();
    assert_eq!(sent(&solo)[0].lower, at(3600));
    solo.frame(session, vec![0]);
    assert_eq!(solo.report(session).window, span(3600, 20));
    // Where it lists nothing of an older span, nothing of that is pushed.
    let session = solo.accept().unwrap();
    let data = RangeData::ItemSet { ids: Vec::new(), reconciled: true };
    solo.frame(session, payload(7000, 20, data).encode());
    assert_eq!(solo.node.fetches, [1]);
    solo.call(|e, now| e.transfer_sent(now, session, 1));
    assert_eq!(solo.report(session).window, span(3600, 20));
    // What is wholly older is not for this protocol.
    let session = solo.call(|e, now| e.sync(now, key(7), options(7000, 4000))).unwrap();
    assert_eq!(solo.error(session).kind(), ErrorKind::InvalidArgument);
    assert!(solo.error(session).message().contains("Store"));
    solo.assert_released();
}

#[test]
fn a_deployed_peer_is_told_no_content_topics_and_our_own_scope_still_holds() {
    let scope = Scope { pubsub_topics: vec![shard(0)], content_topics: vec![content("a")] };
    let config = EngineConfig { scope: scope.clone(), ..quiet() };
    let foreign = with(2, 60.0, shard(0), content("b"), 40);
    let ours = message(3, 60.0);
    for initiator in [true, false] {
        let mut solo = deployed(config.clone(), &[message(1, 60.0)]);
        let session = if initiator { solo.begin() } else { solo.accept().unwrap() };
        solo.frame(session, items(&[&foreign, &ours], false).encode());
        for frame in sent(&solo).iter().filter(|p| !p.ranges.is_empty()) {
            assert_eq!(frame.scope.pubsub_topics, scope.pubsub_topics);
            assert!(frame.scope.content_topics.is_empty());
        }
        solo.frame(session, vec![0]);
        solo.message(&foreign);
        solo.message(&ours);
        let held = solo.node.hashes();
        assert!(held.contains(&ours.hash) && !held.contains(&foreign.hash));
        assert!(solo.node.penalties.is_empty());
    }
    // Any other peer is told.
    let mut solo = Solo::new(config, &[message(1, 60.0)]);
    solo.begin();
    assert_eq!(sent(&solo)[0].scope, scope);
}

#[test]
fn a_long_frame_that_comes_slowly_keeps_its_session_and_a_trickle_does_not() {
    let mut solo = Solo::new(quiet(), &[message(1, 60.0)]);
    let session = solo.begin();
    for n in 1..=20 {
        solo.wait(secs(29));
        let bytes = n * 16 * 1024;
        solo.call(|e, now| e.reconciliation_progress(now, session, bytes));
        assert!(!solo.is_over(session), "after {n}");
    }
    for n in 0..2 {
        solo.wait(secs(20));
        let bytes = 20 * 16 * 1024 + 16_383 - n;
        solo.call(|e, now| e.reconciliation_progress(now, session, bytes));
    }
    assert_eq!(solo.error(session).kind(), ErrorKind::TimedOut);
    // And never for longer than a session may take.
    let mut solo = Solo::new(EngineConfig { max_duration: secs(100), ..quiet() }, &[]);
    let session = solo.begin();
    for n in 1..=6 {
        solo.wait(secs(20));
        solo.call(|e, now| e.reconciliation_progress(now, session, n << 20));
    }
    assert_eq!(solo.report(session).duration, secs(100));
    assert_eq!(solo.error(session).kind(), ErrorKind::TimedOut);
}

#[test]
fn what_is_loaded_for_peers_is_limited_a_peer_and_in_all() {
    let old: Vec<_> = (0..300).map(|n| message(n, 20_000.0 + n as f64)).collect();
    let ask = |solo: &mut Solo| {
        let session = solo.accept().unwrap();
        let data = RangeData::Fingerprint(MessageHash([1; 32]));
        solo.frame(session, payload(30_000, 20, data).encode());
        let refused = solo.is_over(session);
        if refused {
            let error = solo.error(session);
            assert!(error.kind() == ErrorKind::SyncBusy && error.message().contains("loaded"));
        }
        solo.call(|e, now| e.cancel(now, session));
        refused
    };
    let of_peer = EngineConfig { peer_loads: 600, ..quiet() };
    let of_all = EngineConfig { all_loads: 600, ..quiet() };
    for config in [of_peer, of_all] {
        let mut solo = Solo::new(config, &old);
        solo.sent.clear();
        assert!(!ask(&mut solo) && !ask(&mut solo), "600 ids");
        let loads = solo.node.loads;
        assert!(ask(&mut solo), "and no more");
        assert_eq!(solo.node.loads, loads, "the archive was not asked");
        assert!(solo.node.penalties.is_empty());
        // Our own syncs of an old span are not held up by it.
        let window = TimeRange::new(at(30_000), at(20)).ok();
        let options = SyncOptions { window, ..SyncOptions::default() };
        let session = solo.call(|e, now| e.sync(now, key(7), options)).unwrap();
        assert!(!solo.is_over(session) && solo.node.loads > loads);
        solo.call(|e, now| e.cancel(now, session));
        solo.wait(secs(61));
        assert!(!ask(&mut solo));
        solo.assert_released();
    }
}

#[test]
fn ids_that_sessions_load_are_bounded() {
    let old: Vec<_> = (0..300).map(|n| message(n, 20_000.0 + n as f64)).collect();
    let mut solo = Solo::new(EngineConfig { max_loaded: 299, ..quiet() }, &old);
    let window = TimeRange::new(at(30_000), at(20)).ok();
    let options = SyncOptions { window, ..SyncOptions::default() };
    let session = solo.call(|e, now| e.sync(now, key(7), options)).unwrap();
    assert!(solo.error(session).message().contains("299"));
    solo.assert_released();
}

#[test]
fn a_first_frame_that_would_have_to_be_held_is_small() {
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.accept().unwrap();
    solo.frame(session, vec![0; 1024 * 1024 + 1]);
    assert_eq!(solo.error(session).kind(), ErrorKind::FrameTooLarge);
    assert!(solo.node.penalties.is_empty());
    solo.assert_released();
}

#[test]
fn what_ended_sessions_may_bring_is_bounded_over_all_peers() {
    let mut solo = Solo::new(EngineConfig { max_ended: 25, ..quiet() }, &[]);
    let all: Vec<_> = (0..40).map(|n| message(n, 60.0)).collect();
    for part in all.chunks(10) {
        let refs: Vec<&StoredMessage> = part.iter().collect();
        let session = solo.announced(&refs);
        solo.call(|e, now| e.cancel(now, session));
        solo.wait(secs(1));
    }
    assert_eq!(solo.node.engine.usage().ended, 2, "of 10 ids each");
    for m in &all {
        solo.message(m);
    }
    let held = solo.node.hashes();
    let late: Vec<bool> = all.iter().map(|m| held.contains(&m.hash)).collect();
    assert!(late[..20].iter().all(|taken| !taken) && late[20..].iter().all(|taken| *taken));
    assert!(solo.node.penalties.is_empty());
    solo.assert_released();
}

/// Two sessions with spans granted run, and the peer closes the stream of one of them.
#[test]
fn a_close_that_may_be_of_either_session_ends_none() {
    let held: Vec<_> = (1000..1100).map(|n| message(n, 60.0)).collect();
    let tuning = Tuning { max_answer: 10, ..quiet().tuning };
    let mut solo = Solo::new(EngineConfig { tuning, ..quiet() }, &held);
    let frame = |from: i64, to: i64| {
        let mut tenth = payload(3600, from, RangeData::Skip);
        let data = RangeData::Fingerprint(MessageHash([1; 32]));
        tenth.ranges.push(Range { upper: SyncId::floor(at(to)), data });
        tenth.ranges.push(Range { upper: SyncId::floor(at(20)), data: RangeData::Skip });
        tenth.encode()
    };
    let theirs = solo.accept().unwrap();
    solo.frame(theirs, frame(3500, 3000));
    solo.frame(theirs, vec![0]);
    let ours = solo.begin();
    solo.frame(ours, frame(3000, 2500));
    solo.frame(ours, vec![0]);
    let close = |solo: &mut Solo| solo.call(|e, now| e.transfer_closed(now, key(7)));
    solo.message(&message(1, 3200.0));
    close(&mut solo);
    assert!(!solo.is_over(theirs) && !solo.is_over(ours), "which one nobody can tell");
    solo.message(&message(2, 2700.0));
    close(&mut solo);
    assert!(solo.is_over(theirs) && solo.is_over(ours), "both streams have closed");
    // Late ones are stored all the same.
    solo.message(&message(3, 2700.0));
    let held = solo.node.hashes();
    assert!((1..4).all(|n| {
        let ago = if n == 1 { 3200.0 } else { 2700.0 };
        held.contains(&message(n, ago).hash)
    }));
    assert!(solo.node.penalties.is_empty());
    solo.assert_released();
}
