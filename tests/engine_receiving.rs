//! Messages of peers that lie, flood or stall: nothing is stored but what was asked for, and what
//! waits is bounded.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::time::Duration;

use bytes::Bytes;
use sim::solo::{BAD, Solo, UNSOLICITED, at, fingerprint, items, payload};
use sim::{content, key, message, now, quiet, shard, with};
use wakustore::engine::{EngineConfig, Misbehaviour, Now, Output, SyncDirection, SyncOptions};
use wakustore::sync::reconcile::Tuning;
use wakustore::types::{MessageHash, StoredMessage, SyncId};
use wakustore::wire::reconciliation::{Payload, Range, RangeData};
use wakustore::wire::transfer;
use wakustore::{Error, ErrorKind};

#[test]
fn messages_outside_of_any_session_are_not_stored_and_cost_the_peer() {
    let mut solo = Solo::new(quiet(), &[]);
    for n in 0..10 {
        solo.message(&message(n, 60.0));
    }
    assert_eq!(solo.node.penalties, &[], "a session may begin yet");
    assert!(solo.node.engine.usage().early_bytes > 0);
    solo.wait(Duration::from_secs(10));
    assert_eq!(solo.node.penalties, UNSOLICITED, "once for all of them");
    assert!(solo.node.hashes().is_empty() && solo.node.stores.is_empty());
    solo.assert_released();
}

#[test]
fn a_flood_of_messages_without_a_session_is_bounded() {
    let config = EngineConfig { max_in_flight: 1 << 20, ..quiet() };
    let mut solo = Solo::new(config, &[]);
    let mut most = 0;
    for n in 0..3000 {
        let frame = with(n, 60.0, shard(0), content("a"), 1000);
        solo.message(&frame);
        most = most.max(solo.node.engine.usage().early_bytes);
    }
    assert!(most > 100_000 && most <= transfer::MAX_FRAME, "{most}");
    assert!(!solo.node.penalties.is_empty());
    assert!(
        solo.node.engine.transfer_ready(key(7)),
        "what is too much is dropped, not left unread"
    );
    solo.assert_released();
}

#[test]
fn messages_that_come_just_before_the_session_are_taken() {
    let m = message(1, 60.0);
    let mut solo = Solo::new(quiet(), &[]);
    solo.message(&m);
    solo.wait(Duration::from_secs(5));
    let session = solo.announced(&[&m]);
    assert_eq!((solo.report(session).figures.received, solo.report(session).outstanding), (1, 0));
    assert!(solo.node.penalties.is_empty());
    solo.assert_released();
}

#[test]
fn early_messages_are_bounded_and_reading_waits_for_the_announcement() {
    let config = EngineConfig { max_in_flight: 10_000, ..quiet() };
    let held: Vec<_> = (10_000..12_000).map(|n| message(n, 60.0)).collect();
    let mut solo = Solo::new(config, &held);
    let all: Vec<_> = (0..300).map(|n| message(n, 60.0)).collect();
    let session = solo.accept().unwrap();
    let mut came = 0;
    while solo.node.engine.transfer_ready(key(7)) {
        solo.message(&all[came]);
        came += 1;
    }
    let early = solo.node.engine.usage().early_bytes;
    assert!((10_000..10_200).contains(&early), "{early}");
    // A host that reads on all the same fills no memory.
    for m in &all[came..] {
        solo.message(m);
    }
    assert_eq!(solo.node.engine.usage().early_bytes, early);
    let refs: Vec<&StoredMessage> = all.iter().collect();
    solo.frame(session, items(&refs, true).encode());
    assert!(solo.node.engine.transfer_ready(key(7)));
    assert_eq!(solo.node.hashes().len(), 2000 + came);
    for m in &all[came..] {
        solo.message(m);
    }
    solo.wait(Duration::from_secs(60));
    let report = solo.report(session);
    assert_eq!((report.figures.received, report.outstanding), (300, 0));
    assert!(solo.node.penalties.is_empty());
}

#[test]
fn what_was_early_and_never_announced_is_dropped_when_reconciliation_ends() {
    let (wanted, stray) = (message(1, 60.0), message(2, 60.0));
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.accept().unwrap();
    solo.frame(session, fingerprint(1).encode());
    solo.message(&stray);
    solo.message(&wanted);
    assert!(solo.node.engine.usage().early_bytes > 0 && solo.node.stores.is_empty());
    solo.frame(session, items(&[&wanted], true).encode());
    let report = solo.report(session);
    assert_eq!((report.figures.received, report.figures.dropped), (1, 1));
    assert_eq!(solo.node.engine.usage().early_bytes, 0);
    assert!(solo.node.penalties.is_empty());
    // The same where the peer has the last word.
    let session = solo.accept().unwrap();
    solo.frame(session, fingerprint(1).encode());
    solo.message(&stray);
    solo.frame(session, vec![0]);
    assert_eq!(solo.node.engine.usage().early_bytes, 0);
    assert_eq!(solo.report(session).figures.dropped, 1);
    solo.assert_released();
}

#[test]
fn an_altered_message_is_not_stored() {
    let m = message(1, 60.0);
    let mut altered = m.clone();
    altered.message.payload = Bytes::from_static(b"another payload");
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.announced(&[&m]);
    solo.message(&altered);
    assert!(!solo.is_over(session), "the true one may come yet");
    solo.wait(Duration::from_secs(10));
    let report = solo.report(session);
    assert_eq!((report.figures.received, report.figures.dropped), (0, 1));
    assert_eq!((report.outstanding, &report.error), (1, &None));
    assert!(solo.node.hashes().is_empty());
    assert!(solo.node.penalties.is_empty(), "a single one may have reached it meanwhile");
    solo.assert_released();
}

#[test]
fn the_grace_period_counts_from_the_last_message_and_late_ones_are_still_stored() {
    let all: Vec<_> = (0..3).map(|n| message(n, 60.0)).collect();
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.announced(&[&all[0], &all[1], &all[2]]);
    solo.wait(Duration::from_secs(8));
    solo.message(&all[0]);
    solo.wait(Duration::from_millis(9_999));
    assert!(!solo.is_over(session));
    solo.wait(Duration::from_millis(1));
    let report = solo.report(session);
    assert_eq!((report.figures.received, report.outstanding, &report.error), (1, 2, &None));
    solo.wait(Duration::from_secs(9));
    solo.message(&all[1]);
    assert_eq!(solo.node.hashes().len(), 2, "late, but granted");
    solo.wait(Duration::from_secs(11));
    solo.message(&all[2]);
    assert_eq!(solo.node.hashes().len(), 2, "too late");
    solo.wait(Duration::from_secs(20));
    assert!(solo.node.penalties.is_empty(), "deployed peers know no grace periods");
    solo.assert_released();

    // Long after the last session it is nobody's message.
    solo.wait(Duration::from_secs(700));
    solo.message(&all[2]);
    solo.wait(Duration::from_secs(20));
    assert_eq!(solo.node.penalties, UNSOLICITED);
}

#[test]
fn duplicates_and_what_lies_out_of_the_window_are_dropped_without_penalty() {
    let (held, wanted, other) = (message(1, 60.0), message(2, 60.0), message(3, 60.0));
    let outside = message(4, 3700.0);
    let mut solo = Solo::new(quiet(), std::slice::from_ref(&held));
    let session = solo.announced(&[&held, &wanted, &other]);
    for m in [&held, &wanted, &wanted, &outside] {
        solo.message(m);
    }
    solo.wait(Duration::from_secs(15));
    let report = solo.report(session);
    assert_eq!((report.figures.received, report.figures.dropped, report.outstanding), (1, 3, 1));
    let size = |m: &StoredMessage| transfer::encode(&m.pubsub_topic, &m.message).len() as u64 + 1;
    let bytes = size(&held) + 2 * size(&wanted) + size(&outside);
    assert_eq!(report.figures.transfer_bytes_in, bytes);
    assert!(solo.node.penalties.is_empty());
    solo.assert_released();
}

#[test]
fn much_that_was_not_asked_for_costs_the_peer_once_a_session() {
    let wanted = message(1, 60.0);
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.announced(&[&wanted]);
    for n in 100..163 {
        solo.message(&message(n, 60.0));
    }
    assert!(solo.node.penalties.is_empty(), "some are no fault of the peer's");
    for n in 200..300 {
        solo.message(&message(n, 60.0));
    }
    solo.message(&wanted);
    assert_eq!(solo.node.penalties, UNSOLICITED);
    let report = solo.report(session);
    assert_eq!((report.figures.received, report.figures.dropped), (1, 163));
    assert_eq!(solo.node.hashes().len(), 1);
    // While another session with the peer may still announce it, it is early, not unasked for.
    let first = solo.announced(&[&message(2, 60.0)]);
    let second = solo.begin();
    solo.message(&message(20, 60.0));
    assert_eq!(solo.node.penalties.len(), 1);
    solo.frame(second, items(&[&message(20, 60.0)], true).encode());
    assert!(solo.node.hashes().contains(&message(20, 60.0).hash));
    assert!(!solo.is_over(first));
    solo.assert_released();
}

#[test]
fn the_end_of_a_granted_span_is_the_end_of_the_peers_stream() {
    // Nothing is held in the first half hour, and much at the end: the peer may push what it holds
    // of a part of the first, as listing it first would take too much.
    let held: Vec<_> = (1000..1100).map(|n| message(n, 60.0)).collect();
    let tuning = Tuning { max_answer: 10, ..quiet().tuning };
    let config = EngineConfig { tuning, ..quiet() };
    let of_tenth = |from: i64, to: i64| {
        let mut tenth = payload(3600, from, RangeData::Skip);
        let data = RangeData::Fingerprint(MessageHash([1; 32]));
        tenth.ranges.push(Range { upper: SyncId::floor(at(to)), data });
        tenth.ranges.push(Range { upper: SyncId::floor(at(20)), data: RangeData::Skip });
        tenth.encode()
    };
    let granted = |solo: &mut Solo, from: i64, to: i64| {
        let session = solo.accept().unwrap();
        solo.sent.clear();
        solo.frame(session, of_tenth(from, to));
        let sent = solo.sent.iter().find_map(|o| match o {
            Output::SendReconciliation { frame, .. } => Payload::decode(frame).ok(),
            _ => None,
        });
        let all = RangeData::ItemSet { ids: Vec::new(), reconciled: true };
        assert_eq!(sent.unwrap().ranges.last().unwrap().data, all, "we asked for all of it");
        solo.frame(session, vec![0]);
        session
    };
    let close = |solo: &mut Solo| solo.call(|e, now| e.transfer_closed(now, key(7)));
    let mut solo = Solo::new(config, &held);
    let session = granted(&mut solo, 3500, 3000);
    for n in 0..5 {
        solo.message(&message(n, 3200.0));
    }
    assert!(!solo.is_over(session), "there may be more");
    close(&mut solo);
    let figures = solo.report(session).figures;
    assert_eq!((figures.missing, figures.received), (5, 5));
    assert_eq!(solo.report(session).duration, Duration::ZERO);

    // A peer that never closes its streams: the grace period ends it.
    let session = granted(&mut solo, 3000, 2500);
    solo.message(&message(10, 2700.0));
    solo.wait(Duration::from_secs(10));
    assert_eq!((solo.report(session).figures.received, solo.report(session).outstanding), (1, 0));
    // That stream closes only now; the next session does not take it for its own.
    let session = granted(&mut solo, 2500, 2000);
    close(&mut solo);
    assert!(!solo.is_over(session));
    solo.message(&message(11, 2200.0));
    close(&mut solo);
    assert_eq!(solo.report(session).figures.received, 1);
    solo.assert_released();
}

#[test]
fn quotas_hold_and_what_is_beyond_them_is_told_and_costs_the_peer_nothing() {
    let all: Vec<_> = (0..50).map(|n| message(n, 60.0)).collect();
    let refs: Vec<&StoredMessage> = all.iter().collect();
    let size = transfer::encode(&all[0].pubsub_topic, &all[0].message).len() + 1;
    let (messages, bytes) = (quiet().max_messages, quiet().max_bytes);
    for (max_messages, max_bytes) in [(20, bytes), (messages, 20 * size)] {
        let mut solo = Solo::new(EngineConfig { max_messages, max_bytes, ..quiet() }, &[]);
        // The peer is asked for all, so that each of them is within a grant.
        let session = solo.accept().unwrap();
        solo.frame(session, fingerprint(9).encode());
        if !solo.is_over(session) {
            let more = items(&refs, true).encode();
            solo.frame(session, more);
        }
        for m in &all {
            solo.message(m);
        }
        solo.wait(Duration::from_secs(30));
        assert_eq!(solo.node.hashes().len(), 20, "{max_messages} messages, {max_bytes} bytes");
        let report = solo.report(session);
        assert_eq!((report.figures.received, report.outstanding), (20, 30));
        // It sent what it was asked for; that we set a limit is not its fault.
        assert!(solo.node.penalties.is_empty(), "{:?}", solo.node.penalties);
        solo.assert_released();
    }
}

/// An empty content topic is legal on the wire, and a deployed peer may hold such a message.
#[test]
fn a_message_of_a_topic_that_is_not_taken_bars_nobodys_way() {
    let m = message(1, 60.0);
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.announced(&[&m]);
    // pubsub_topic "/a", message { payload "x", content_topic "" }
    let odd: &[u8] = &[0x0a, 2, b'/', b'a', 0x12, 5, 0x0a, 1, b'x', 0x12, 0];
    assert_eq!(transfer::decode(odd).unwrap_err().kind(), ErrorKind::InvalidTopic);
    solo.call(|e, now| e.transfer_frame(now, key(7), Bytes::from_static(odd)));
    solo.message(&m);
    solo.wait(Duration::from_secs(30));
    let report = solo.report(session);
    assert_eq!((&report.error, report.figures.received, report.figures.dropped), (&None, 1, 1));
    assert!(solo.node.penalties.is_empty(), "{:?}", solo.node.penalties);
    solo.assert_released();
}

#[test]
fn a_garbled_transfer_frame_ends_the_sessions_with_the_peer() {
    let m = message(1, 60.0);
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.announced(&[&m]);
    solo.call(|e, now| e.transfer_frame(now, key(7), Bytes::from_static(b"\xff\xff\xff")));
    assert_eq!(solo.node.penalties, BAD);
    assert!(solo.error(session).message().contains("transfer frame"));
    solo.message(&m);
    assert!(solo.node.hashes().is_empty(), "its grants went with the session");
    solo.call(|e, now| {
        e.transfer_frame(now, key(7), vec![0; transfer::MAX_FRAME + 1].into());
    });
    assert_eq!(solo.node.penalties.len(), 2);
    solo.assert_released();
}

#[test]
fn what_the_archive_refuses_costs_the_peer() {
    // The margin lets the window reach as far ahead as a message may lie, so the archive's rule is
    // what stops this one.
    let future = message(1, -19.0);
    let mut solo = Solo::new(quiet(), &[]);
    solo.elapsed = Duration::from_secs(5);
    let session = solo.accept().unwrap();
    let ids = vec![future.sync_id()];
    let frame = payload(3600, -20, RangeData::ItemSet { ids, reconciled: true }).encode();
    let before = now(solo.elapsed, 0);
    solo.node.engine.reconciliation_frame(before, session, frame.into());
    // The clock is set back before the message comes.
    let earlier = Now { elapsed: solo.elapsed, wall: at(30) };
    let m = transfer::encode(&future.pubsub_topic, &future.message);
    solo.node.engine.transfer_frame(earlier, key(7), m.into());
    solo.node.drain(earlier);
    assert_eq!(solo.node.penalties, &[(key(7), Misbehaviour::BadMessage)]);
    let report = solo.report(session);
    assert_eq!((report.figures.received, report.figures.dropped, report.outstanding), (0, 1, 1));
    assert!(solo.node.hashes().is_empty());
}

#[test]
fn a_peer_that_takes_nothing_times_out() {
    let held: Vec<_> = (0..100).map(|n| message(n, 60.0)).collect();
    let mut solo = Solo::new(quiet(), &held);
    let session = solo.accept().unwrap();
    solo.frame(session, items(&[], true).encode());
    let sent: usize = solo
        .sent
        .iter()
        .map(|o| if let Output::SendTransfer { frames, .. } = o { frames.len() } else { 0 })
        .sum();
    assert!(sent > 0);
    solo.call(|e, now| e.transfer_sent(now, session, 10));
    solo.wait(Duration::from_secs(20));
    solo.call(|e, now| e.transfer_sent(now, session, 10));
    solo.wait(Duration::from_secs(29));
    assert!(!solo.is_over(session));
    solo.wait(Duration::from_secs(1));
    assert_eq!(solo.error(session).kind(), ErrorKind::TimedOut);
    assert_eq!(solo.report(session).figures.sent, 20);
    let closes = |o: &&Output| matches!(o, Output::CloseTransfer { .. });
    assert_eq!(solo.sent.iter().filter(closes).count(), 1);
    solo.assert_released();
}

#[test]
fn a_broken_outgoing_stream_still_lets_messages_in() {
    let (ours, theirs) = (message(1, 60.0), message(2, 60.0));
    let mut solo = Solo::new(quiet(), &[ours]);
    let session = solo.announced(&[&theirs]);
    let broke = Error::new(ErrorKind::ProtocolUnsupported, "no such protocol");
    solo.call(|e, now| e.transfer_failed(now, session, broke));
    assert!(!solo.is_over(session));
    solo.message(&theirs);
    let report = solo.report(session);
    assert_eq!((report.figures.received, report.figures.sent), (1, 0));
    assert_eq!(solo.error(session).kind(), ErrorKind::ProtocolUnsupported);
    solo.assert_released();
}

#[test]
fn nothing_goes_out_that_was_not_found_missing() {
    let held: Vec<_> = (0..20).map(|n| message(n, 60.0 + n as f64)).collect();
    let mut solo = Solo::new(quiet(), &held);
    let options = SyncOptions { direction: SyncDirection::Pull, ..SyncOptions::default() };
    let session = solo.call(|e, now| e.sync(now, key(7), options)).unwrap();
    solo.frame(session, items(&[], true).encode());
    assert!(solo.node.fetches.is_empty());
    assert_eq!(solo.report(session).figures.surplus, 20);
    assert!(!solo.sent.iter().any(|o| matches!(o, Output::SendTransfer { .. })));
    solo.assert_released();
}
