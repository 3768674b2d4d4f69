//! Peers that break, stall or stretch reconciliation: it costs them, bounded memory and bounded time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::time::Duration;

use sim::solo::{BAD, Solo, at, fingerprint, payload};
use sim::{content, key, message, now, quiet, shard, with};
use wakustore::engine::SyncProtocol;
use wakustore::engine::{Engine, EngineConfig, Now, Output, SyncOptions};
use wakustore::types::{MessageHash, SyncId, TimeRange};
use wakustore::wire::reconciliation::{Range, RangeData, Scope};
use wakustore::{Error, ErrorKind};

#[test]
fn malformed_frames_end_the_session_and_cost_the_peer() {
    let good = fingerprint(1).encode();
    let mut backwards = fingerprint(1);
    backwards.ranges.push(Range { upper: SyncId::floor(at(1800)), data: RangeData::Skip });
    let frames: [&[u8]; 4] = [&good[..good.len() - 1], &[0xff; 40], &[0, 0, 0x80], b"garbage"];
    for bad in frames {
        for initiator in [true, false] {
            let mut solo = Solo::new(quiet(), &[message(1, 60.0)]);
            let session = if initiator { solo.begin() } else { solo.accept().unwrap() };
            solo.frame(session, bad.to_vec());
            let error = solo.error(session);
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Malformed | ErrorKind::Truncated | ErrorKind::FrameTooLarge
                ),
                "{error:?} for {bad:?}"
            );
            assert!(error.message().contains("reconciliation frame"), "{error}");
            assert_eq!(solo.node.penalties, BAD);
            assert!(solo.closed(session));
            solo.assert_released();
        }
    }
}

/// The same ranges behind `cluster`, `n_shards` and the shards.
#[test]
fn the_shards_dialect_is_told_and_costs_the_peer_nothing() {
    let ours = fingerprint(1).encode();
    for header in [&[16, 2, 3, 5][..], &[1, 0], &[1, 8, 0, 1, 2, 3, 4, 5, 6, 7]] {
        for initiator in [true, false] {
            let mut solo = Solo::new(quiet(), &[message(1, 60.0)]);
            let session = if initiator { solo.begin() } else { solo.accept().unwrap() };
            solo.frame(session, [header, &ours[2..]].concat());
            let error = solo.error(session);
            assert_eq!(error.kind(), ErrorKind::ProtocolUnsupported, "{error}");
            assert!(error.message().contains("shards dialect"), "{error}");
            assert!(solo.node.penalties.is_empty(), "{:?}", solo.node.penalties);
            solo.assert_released();
        }
    }
}

#[test]
fn frames_beyond_the_bound_are_not_read() {
    let mut solo = Solo::new(EngineConfig { max_frame: 1000, ..quiet() }, &[]);
    let session = solo.begin();
    solo.frame(session, vec![0; 1001]);
    let error = solo.error(session);
    assert_eq!(error.kind(), ErrorKind::FrameTooLarge);
    assert!(error.message().contains("1000") && error.message().contains("1001"), "{error}");
    assert_eq!(solo.node.penalties, BAD);
    solo.assert_released();
}

#[test]
fn a_frame_out_of_turn_ends_the_session() {
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.accept().unwrap();
    // A window that must be loaded first: the answer is still to come when the second frame does.
    let old = payload(20_000, 20, RangeData::Fingerprint(MessageHash([1; 32]))).encode();
    let now = now(solo.elapsed, 0);
    solo.node.engine.reconciliation_frame(now, session, old.clone().into());
    solo.node.engine.reconciliation_frame(now, session, old.into());
    solo.wait(Duration::ZERO);
    solo.call(|_, _| ());
    assert_eq!(solo.error(session).kind(), ErrorKind::SyncProtocol);
    assert_eq!(solo.node.penalties, BAD);
    solo.assert_released();
}

#[test]
fn a_peer_that_never_settles_is_given_up() {
    let held: Vec<_> = (0..2000).map(|n| message(n, 60.0 + n as f64)).collect();
    let mut solo = Solo::new(EngineConfig { max_rounds: 10, ..quiet() }, &held);
    let session = solo.begin();
    for round in 0..=10 {
        assert!(!solo.is_over(session), "round {round}");
        solo.frame(session, fingerprint(round).encode());
    }
    let error = solo.error(session);
    assert_eq!(error.kind(), ErrorKind::SyncProtocol);
    assert!(error.message().contains("11 frames"), "{error}");
    assert_eq!(solo.report(session).figures.frames, 1 + 10 + 11);
    solo.assert_released();
}

#[test]
fn topics_may_not_change_in_the_middle() {
    let held: Vec<_> = (0..2000).map(|n| message(n, 60.0 + n as f64)).collect();
    let mut solo = Solo::new(quiet(), &held);
    let session = solo.begin();
    solo.frame(session, fingerprint(1).encode());
    let mut other = fingerprint(2);
    other.scope.pubsub_topics = vec![shard(3)];
    solo.frame(session, other.encode());
    assert_eq!(solo.error(session).kind(), ErrorKind::SyncProtocol);
    solo.assert_released();
}

#[test]
fn a_scope_of_too_many_topics_is_refused() {
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.accept().unwrap();
    let mut many = fingerprint(1);
    many.scope.content_topics = (0..101).map(|n| content(&n.to_string())).collect();
    solo.frame(session, many.encode());
    assert_eq!(solo.error(session).kind(), ErrorKind::SyncScope);
    assert!(solo.error(session).message().contains("100"));
    solo.assert_released();
}

#[test]
fn scopes_that_do_not_meet_are_answered_by_the_empty_payload() {
    let scope = Scope { pubsub_topics: vec![shard(1)], content_topics: Vec::new() };
    let config = EngineConfig { scope, ..quiet() };
    let mut other = fingerprint(1);
    other.scope.pubsub_topics = vec![shard(2)];
    for initiator in [true, false] {
        let mut solo = Solo::new(config.clone(), &[with(1, 60.0, shard(1), content("a"), 10)]);
        let session = if initiator { solo.begin() } else { solo.accept().unwrap() };
        solo.sent.clear();
        solo.frame(session, other.encode());
        let empty =
            |o: &Output| matches!(o, Output::SendReconciliation { frame, .. } if frame.is_empty());
        assert!(empty(&solo.sent[0]) && solo.closed(session), "{:?}", solo.sent);
        let report = solo.report(session);
        assert_eq!((report.figures.missing, report.figures.surplus), (0, 0));
        let kind = report.error.as_ref().map(Error::kind);
        assert_eq!(kind, initiator.then_some(ErrorKind::SyncScope));
        solo.assert_released();
    }
}

#[test]
fn either_empty_form_ends_reconciliation() {
    for frame in [&[][..], &[0][..]] {
        let mut solo = Solo::new(quiet(), &[message(1, 60.0)]);
        let session = solo.begin();
        solo.frame(session, frame.to_vec());
        let report = solo.report(session);
        assert_eq!((&report.error, report.figures.frames), (&None, 2));
        assert_eq!(report.figures.reconciliation_bytes_in, 1 + frame.len() as u64);
        assert!(solo.closed(session));
        // What comes after that is nobody's.
        solo.frame(session, fingerprint(1).encode());
        solo.call(|e, now| e.reconciliation_closed(now, session, None));
        solo.assert_released();
    }
}

#[test]
fn a_stream_that_closes_half_way_is_an_error() {
    for error in [None, Some(Error::new(ErrorKind::StreamClosed, "reset"))] {
        let mut solo = Solo::new(quiet(), &[message(1, 60.0)]);
        let session = solo.begin();
        solo.call(|e, now| e.reconciliation_closed(now, session, error.clone()));
        assert_eq!(solo.error(session).kind(), ErrorKind::StreamClosed);
        solo.assert_released();
    }
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.begin();
    let error = Error::new(ErrorKind::ProtocolUnsupported, "no");
    solo.call(|e, now| e.reconciliation_failed(now, session, error));
    assert_eq!(solo.error(session).kind(), ErrorKind::ProtocolUnsupported);
    assert!(!solo.closed(session), "there is no stream to close");
    solo.assert_released();
}

#[test]
fn a_peer_that_does_not_answer_times_out() {
    for initiator in [true, false] {
        let mut solo = Solo::new(quiet(), &[message(1, 60.0)]);
        let session = if initiator { solo.begin() } else { solo.accept().unwrap() };
        solo.wait(Duration::from_millis(29_999));
        assert!(!solo.is_over(session));
        solo.wait(Duration::from_millis(1));
        assert_eq!(solo.error(session).kind(), ErrorKind::TimedOut);
        assert_eq!(solo.report(session).duration, Duration::from_secs(30));
        assert!(solo.closed(session) && solo.node.penalties.is_empty());
        solo.assert_released();
    }
}

#[test]
fn no_session_lasts_longer_than_allowed() {
    let config = EngineConfig { max_duration: Duration::from_secs(60), ..quiet() };
    let held: Vec<_> = (0..2000).map(|n| message(n, 60.0 + n as f64)).collect();
    let mut solo = Solo::new(config, &held);
    let session = solo.begin();
    for n in 0..3 {
        solo.frame(session, fingerprint(n).encode());
        solo.wait(Duration::from_secs(20));
    }
    assert_eq!(solo.error(session).kind(), ErrorKind::TimedOut);
    assert_eq!(solo.report(session).duration, Duration::from_secs(60));
    solo.assert_released();
}

#[test]
fn sessions_are_bounded_in_all_and_with_one_peer() {
    let mut solo = Solo::new(EngineConfig { max_sessions: 4, ..quiet() }, &[message(1, 60.0)]);
    let first = solo.begin();
    let sync = |e: &mut Engine, now: Now, peer: usize| {
        e.sync(now, key(peer), SyncOptions::default()).map_err(|e| e.kind())
    };
    assert_eq!(solo.call(|e, now| sync(e, now, 7)), Err(ErrorKind::SyncBusy));
    // One by the peer beside ours is fine; another takes the place of the one before.
    let inbound = solo.accept().unwrap();
    let again = solo.accept().unwrap();
    assert_eq!(solo.error(inbound).kind(), ErrorKind::StreamClosed);
    assert!(!solo.is_over(again) && !solo.is_over(first));
    for peer in [8, 9] {
        solo.call(|e, now| e.reconciliation_accepted(now, key(peer), SyncProtocol::V1)).unwrap();
    }
    let refused = solo.call(|e, now| e.reconciliation_accepted(now, key(10), SyncProtocol::V1));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::SyncBusy);
    assert_eq!(solo.call(|e, now| sync(e, now, 11)), Err(ErrorKind::SyncBusy));
    assert_eq!(solo.node.engine.usage().sessions, 4);
    solo.wait(Duration::from_secs(31));
    assert_eq!(solo.node.engine.usage().sessions, 0);
    solo.call(|e, now| sync(e, now, 7)).unwrap();
}

#[test]
fn inbound_sessions_leave_room_for_our_own() {
    let mut solo = Solo::new(EngineConfig { max_sessions: 8, ..quiet() }, &[]);
    let accepted = (20..40).filter(|n| {
        solo.call(|e, now| e.reconciliation_accepted(now, key(*n), SyncProtocol::V1)).is_ok()
    });
    assert_eq!(accepted.count(), 6);
    solo.begin();
    let mut solo = Solo::new(EngineConfig { max_sessions: 1, ..quiet() }, &[]);
    solo.accept().unwrap();
}

#[test]
fn windows_are_checked() {
    let mut solo = Solo::new(quiet(), &[]);
    let mut sync = |from: i64, to: i64| {
        let window = Some(TimeRange::new(at(from), at(to)).unwrap());
        let options = SyncOptions { window, ..SyncOptions::default() };
        solo.call(|e, now| e.sync(now, key(7), options)).map_err(|e| e.kind())
    };
    assert_eq!(sync(-1, -100), Err(ErrorKind::InvalidArgument), "in the future");
    assert_eq!(sync(100, 100), Err(ErrorKind::InvalidArgument), "empty");
    let session = sync(100, -10_000).unwrap();
    solo.frame(session, vec![0]);
    let window = solo.report(session).window;
    assert_eq!(window, TimeRange::new(at(100), at(-20)).unwrap(), "it ends where messages do");
    let session = solo.begin();
    solo.frame(session, vec![0]);
    let window = solo.report(session).window;
    assert_eq!(window, TimeRange::new(at(3620), at(20)).unwrap(), "an hour, ending the margin ago");
}

#[test]
fn a_responder_serves_no_more_than_has_been() {
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.accept().unwrap();
    let wide = payload(3600, -100_000, RangeData::Fingerprint(MessageHash([1; 32])));
    solo.frame(session, wide.encode());
    solo.call(|e, now| e.cancel(now, session));
    assert_eq!(solo.report(session).window, TimeRange::new(at(3600), at(-20)).unwrap());
    solo.assert_released();
}
