//! Peers that lie, stall, flood or cut corners: it costs them, bounded memory and bounded time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::time::Duration;

use bytes::Bytes;
use sim::{Node, START, content, key, message, now, quiet, shard, with};
use wakustore::engine::{
    Engine, EngineConfig, Misbehaviour, Now, Output, SessionId, SyncDirection, SyncOptions,
    SyncReport,
};
use wakustore::sync::reconcile::Tuning;
use wakustore::types::{MessageHash, StoredMessage, SyncId, TimeRange, Timestamp};
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope};
use wakustore::wire::transfer;
use wakustore::{Error, ErrorKind, Result};

/// One engine, and a peer (number 7) that does as the test says. The archive answers at once.
struct Solo {
    node: Node,
    elapsed: Duration,
    sent: Vec<Output>,
}

impl Solo {
    fn new(config: EngineConfig, held: &[StoredMessage]) -> Self {
        let mut node = Node::new(config, 1, Duration::ZERO);
        node.fill(held);
        let mut solo = Solo { node, elapsed: Duration::ZERO, sent: Vec::new() };
        solo.call(|e, now| e.peer_connected(now, key(7), true));
        assert!(solo.node.engine.is_ready());
        solo
    }

    fn call<T>(&mut self, f: impl FnOnce(&mut Engine, Now) -> T) -> T {
        let now = now(self.elapsed, 0);
        let result = f(&mut self.node.engine, now);
        self.sent.extend(self.node.drain(now));
        result
    }

    /// Lets time pass, deadline by deadline.
    fn wait(&mut self, d: Duration) {
        let end = self.elapsed + d;
        while let Some(at) = self.node.engine.next_deadline().filter(|at| *at <= end) {
            assert!(at >= self.elapsed, "a deadline that has passed stays due");
            self.elapsed = at;
            self.call(|e, now| e.tick(now));
        }
        self.elapsed = end;
    }

    fn begin(&mut self) -> SessionId {
        self.call(|e, now| e.sync(now, key(7), SyncOptions::default())).unwrap()
    }

    fn accept(&mut self) -> Result<SessionId> {
        self.call(|e, now| e.reconciliation_accepted(now, key(7)))
    }

    fn frame(&mut self, session: SessionId, frame: impl Into<Bytes>) {
        let frame = frame.into();
        self.call(|e, now| e.reconciliation_frame(now, session, frame));
    }

    fn message(&mut self, m: &StoredMessage) {
        let frame = transfer::encode(&m.pubsub_topic, &m.message);
        self.call(|e, now| e.transfer_frame(now, key(7), frame.into()));
    }

    /// A session in which the peer announced these, and reconciliation is settled.
    fn announced(&mut self, messages: &[&StoredMessage]) -> SessionId {
        let session = self.accept().unwrap();
        self.frame(session, items(messages, true).encode());
        assert!(self.closed(session), "settled by our empty answer");
        session
    }

    fn closed(&self, id: SessionId) -> bool {
        let closes =
            |o: &Output| matches!(o, Output::CloseReconciliation { session } if *session == id);
        self.sent.iter().filter(|o| closes(o)).count() == 1
    }

    fn report(&self, session: SessionId) -> &SyncReport {
        self.node.report(session)
    }

    fn error(&self, session: SessionId) -> Error {
        self.report(session).error.clone().expect("the session ended with an error")
    }

    fn is_over(&self, session: SessionId) -> bool {
        self.node.finished.iter().any(|(id, _)| *id == session)
    }

    fn assert_released(&mut self) {
        self.wait(Duration::from_secs(60));
        let u = self.node.engine.usage();
        let left = (u.sessions, u.fetches, u.stores, u.ended, u.early_bytes, u.waiting_bytes);
        assert_eq!((left, u.peers, u.loaded_ids), ((0, 0, 0, 0, 0, 0), 1, 0));
    }
}

fn at(seconds_ago: i64) -> Timestamp {
    Timestamp(START.nanos() - seconds_ago * 1_000_000_000)
}

fn payload(from: i64, to: i64, data: RangeData) -> Payload {
    let ranges = vec![Range { upper: SyncId::floor(at(to)), data }];
    Payload { scope: Scope::default(), lower: at(from), ranges }
}

fn items(messages: &[&StoredMessage], reconciled: bool) -> Payload {
    let mut ids: Vec<SyncId> = messages.iter().map(|m| m.sync_id()).collect();
    ids.sort_unstable();
    payload(3600, 20, RangeData::ItemSet { ids, reconciled })
}

fn fingerprint(n: u8) -> Payload {
    payload(3600, 20, RangeData::Fingerprint(MessageHash([n; 32])))
}

const BAD: &[(sim::PeerKey, Misbehaviour)] = &[(sim::PeerKey(7), Misbehaviour::BadFrame)];
const UNSOLICITED: &[(sim::PeerKey, Misbehaviour)] =
    &[(sim::PeerKey(7), Misbehaviour::Unsolicited)];

// --- reconciliation ---

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
        let empty = |o: &Output| matches!(o, Output::SendReconciliation { frame, .. } if frame.as_ref() == [0]);
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

// --- transfer ---

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
    assert_eq!(solo.node.penalties, UNSOLICITED, "nothing that was announced differs from it");
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
fn what_was_not_asked_for_costs_the_peer_once_a_session() {
    let wanted = message(1, 60.0);
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.announced(&[&wanted]);
    for n in 10..15 {
        solo.message(&message(n, 60.0));
    }
    solo.message(&wanted);
    assert_eq!(solo.node.penalties, UNSOLICITED);
    let report = solo.report(session);
    assert_eq!((report.figures.received, report.figures.dropped), (1, 5));
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
fn quotas_hold_and_going_on_beyond_them_costs_the_peer_once() {
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
        assert_eq!(solo.report(session).figures.received, 20);
        assert!(solo.node.penalties.len() <= 1, "{:?}", solo.node.penalties);
        solo.assert_released();
    }
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
    let options = SyncOptions { direction: SyncDirection::Pull, window: None };
    let session = solo.call(|e, now| e.sync(now, key(7), options)).unwrap();
    solo.frame(session, items(&[], true).encode());
    assert!(solo.node.fetches.is_empty());
    assert_eq!(solo.report(session).figures.surplus, 20);
    assert!(!solo.sent.iter().any(|o| matches!(o, Output::SendTransfer { .. })));
    solo.assert_released();
}

// --- limits ---

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
        solo.call(|e, now| e.reconciliation_accepted(now, key(peer))).unwrap();
    }
    let refused = solo.call(|e, now| e.reconciliation_accepted(now, key(10)));
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
    let accepted =
        (20..40).filter(|n| solo.call(|e, now| e.reconciliation_accepted(now, key(*n))).is_ok());
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
