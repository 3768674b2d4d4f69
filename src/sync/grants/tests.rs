//! Whatever order things come in: what was asked for is taken once, and no more than the quota.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;
use crate::types::{Timestamp, WakuMessage};

const SIZE: usize = 10;

fn message(t: i64, n: u8) -> StoredMessage {
    on("pubsub", "content", t, n)
}

fn on(pubsub: &str, content: &str, t: i64, n: u8) -> StoredMessage {
    let content = ContentTopic::new(content).unwrap();
    let message = WakuMessage::new(vec![n], content, Timestamp(t));
    StoredMessage::new(PubsubTopic::new(pubsub).unwrap(), message)
}

fn grants(max_messages: usize, max_bytes: usize) -> Grants {
    let window = TimeRange::new(Timestamp(0), Timestamp(1000)).unwrap();
    Grants::new(window, Scope::default(), max_messages, max_bytes)
}

fn at(t: i64) -> SyncId {
    SyncId::floor(Timestamp(t))
}

#[test]
fn announced_messages_are_taken_once() {
    let mut g = grants(10, 1000);
    let m = message(5, 1);
    g.expect(m.sync_id());
    g.expect(m.sync_id());
    assert_eq!(g.outstanding(), 1);
    assert_eq!(g.judge(&m, SIZE), Verdict::Take);
    assert_eq!(g.outstanding(), 0);
    assert_eq!(g.judge(&m, SIZE), Verdict::Drop);
    // Announcing it again does not bring it back.
    g.expect(m.sync_id());
    assert_eq!((g.outstanding(), g.judge(&m, SIZE)), (0, Verdict::Drop));
}

#[test]
fn a_wrong_time_is_not_taken() {
    let mut g = grants(10, 1000);
    let m = message(5, 1);
    g.expect(SyncId::new(Timestamp(6), m.hash));
    assert_eq!(g.judge(&m, SIZE), Verdict::Penalise);
    assert_eq!(g.outstanding(), 0);
    // Also where the true time lies outside of the window, and where it came before its name.
    let outside = message(2000, 2);
    g.expect(SyncId::new(Timestamp(7), outside.hash));
    assert_eq!(g.judge(&outside, SIZE), Verdict::Penalise);
    let early = message(8, 3);
    assert_eq!(g.judge(&early, SIZE), Verdict::Early);
    g.expect(SyncId::new(Timestamp(9), early.hash));
    assert_eq!(g.judge(&early, SIZE), Verdict::Penalise);
}

#[test]
fn granted_spans_are_half_open() {
    let mut g = grants(10, 1000);
    g.grant(at(10), at(20));
    g.grant(at(20), at(30));
    for (t, verdict) in [(9, Verdict::Early), (10, Verdict::Take), (29, Verdict::Take)] {
        assert_eq!(g.judge(&message(t, 1), SIZE), verdict);
    }
    assert_eq!(g.judge(&message(30, 1), SIZE), Verdict::Early);
    assert_eq!(g.judge(&message(10, 1), SIZE), Verdict::Drop);
}

#[test]
fn early_messages_wait_for_their_announcement() {
    let mut g = grants(10, 1000);
    let (m, n) = (message(5, 1), message(6, 2));
    assert_eq!(g.judge(&m, SIZE), Verdict::Early);
    assert_eq!(g.judge(&m, SIZE), Verdict::Early);
    assert_eq!(g.judge(&n, SIZE), Verdict::Early);
    g.expect(m.sync_id());
    assert_eq!((g.outstanding(), g.judge(&m, SIZE)), (1, Verdict::Take));
    g.seal();
    // It was early once, so it costs nothing; it is dropped for good.
    assert_eq!(g.judge(&n, SIZE), Verdict::Drop);
    assert_eq!(g.judge(&n, SIZE), Verdict::Drop);
    // What comes only now was never asked for.
    assert_eq!(g.judge(&message(7, 3), SIZE), Verdict::Penalise);
}

#[test]
fn announced_messages_may_be_late() {
    let mut g = grants(10, 1000);
    let m = message(5, 1);
    g.expect(m.sync_id());
    g.grant(at(50), at(60));
    g.seal();
    assert_eq!(g.judge(&m, SIZE), Verdict::Take);
    assert_eq!(g.judge(&message(55, 2), SIZE), Verdict::Take);
}

#[test]
fn window_and_scope_hold_for_what_was_announced_too() {
    let window = TimeRange::new(Timestamp(0), Timestamp(1000)).unwrap();
    let scope = Scope {
        pubsub_topics: ["q", "p"].map(|t| PubsubTopic::new(t).unwrap()).to_vec(),
        content_topics: vec![ContentTopic::new("c").unwrap()],
    };
    let mut g = Grants::new(window, scope, 10, 1000);
    g.grant(at(-5), at(2000));
    let out = [on("r", "c", 1, 1), on("p", "d", 1, 1), on("p", "c", -1, 1), on("p", "c", 1000, 1)];
    for m in out {
        g.expect(m.sync_id());
        assert_eq!((g.judge(&m, SIZE), g.outstanding()), (Verdict::Drop, 0));
    }
    for m in [on("p", "c", 0, 1), on("q", "c", 999, 1)] {
        assert_eq!(g.judge(&m, SIZE), Verdict::Take);
    }
}

#[test]
fn quotas_hold() {
    let mut g = grants(2, 1000);
    g.grant(at(0), at(100));
    for (n, verdict) in [(1, Verdict::Take), (2, Verdict::Take), (3, Verdict::Full)] {
        assert_eq!(g.judge(&message(1, n), SIZE), verdict);
    }
    let mut g = grants(10, 25);
    g.grant(at(0), at(100));
    for (n, size, verdict) in [
        (1, 20, Verdict::Take),
        (2, 6, Verdict::Full),
        (3, usize::MAX, Verdict::Full),
        (4, 5, Verdict::Take),
        (5, 1, Verdict::Full),
    ] {
        assert_eq!(g.judge(&message(1, n), size), verdict);
    }
    // Early ones count against the messages that may still come.
    let mut g = grants(1, 1000);
    assert_eq!(g.judge(&message(1, 1), SIZE), Verdict::Early);
    assert_eq!(g.judge(&message(1, 2), SIZE), Verdict::Penalise);
}

/// What was announced beyond the quota is told apart from what never was, as far as a count can.
#[test]
fn announcements_beyond_the_quota_cost_no_memory() {
    let mut g = grants(2, 1000);
    let all: Vec<_> = (0..5).map(|n| message(1, n)).collect();
    for m in &all {
        g.expect(m.sync_id());
    }
    assert_eq!((g.outstanding(), g.known.len()), (5, 2));
    g.seal();
    for m in &all[2..] {
        assert_eq!(g.judge(m, SIZE), Verdict::Full);
    }
    assert_eq!(g.judge(&message(1, 9), SIZE), Verdict::Penalise);
    for m in &all[..2] {
        assert_eq!(g.judge(m, SIZE), Verdict::Take);
    }
    assert_eq!(g.outstanding(), 0);
}

#[test]
fn what_came_by_another_way_is_a_duplicate() {
    let mut g = grants(10, 1000);
    let m = message(1, 1);
    assert!(!g.forget(&m.sync_id()));
    g.expect(m.sync_id());
    assert!(g.forget(&m.sync_id()));
    g.seal();
    assert_eq!((g.outstanding(), g.judge(&m, SIZE)), (0, Verdict::Drop));
}

proptest! {
    /// Whatever is announced, granted and sent: nothing is taken twice, unasked, or beyond the
    /// quota, and memory stays within it.
    #[test]
    fn any_order(
        steps in prop::collection::vec((0u8..8, 0u8..40, 0i64..1100), 0..200),
        max_messages in 0usize..12,
        max_bytes in 0usize..200,
    ) {
        let mut g = grants(max_messages, max_bytes);
        let mut taken = std::collections::HashSet::new();
        let mut asked = std::collections::HashSet::new();
        let mut spans: Vec<(i64, i64)> = Vec::new();
        for (what, n, t) in steps {
            let m = message(i64::from(n) * 30, n);
            match what {
                0 | 1 => { g.expect(m.sync_id()); asked.insert(m.hash); }
                2 => { g.grant(at(t), at(t + 60)); spans.push((t, t + 60)); }
                3 if n == 0 => g.seal(),
                4 if n < 5 => { g.forget(&m.sync_id()); }
                _ => {
                    let time = m.timestamp().0;
                    let granted = spans.iter().any(|(a, b)| *a <= time && time < *b);
                    match g.judge(&m, SIZE) {
                        Verdict::Take => {
                            prop_assert!(asked.contains(&m.hash) || granted);
                            prop_assert!(time < 1000 && taken.insert(m.hash));
                        }
                        Verdict::Early => prop_assert!(!g.sealed && !granted),
                        Verdict::Drop | Verdict::Full | Verdict::Penalise => {}
                    }
                }
            }
            prop_assert!(taken.len() <= max_messages && taken.len() * SIZE <= max_bytes);
            prop_assert!(g.outstanding() <= asked.len() + g.unnamed);
            let count = |is: fn(&Known) -> bool| g.known.values().filter(|known| is(known)).count();
            prop_assert_eq!(count(|k| matches!(k, Known::Expected(_))), g.expected);
            prop_assert_eq!(count(|k| *k == Known::Early), g.early);
            prop_assert!(g.expected <= max_messages && g.known.len() <= 3 * max_messages);
        }
    }
}

/// An honest peer sends what reached it after it had told its own ids, where our list lacks it.
#[test]
fn what_a_list_invites_costs_nothing_within_the_quota() {
    let mut g = grants(3, 10 * SIZE);
    g.list(at(100), at(200));
    assert_eq!(g.judge(&message(150, 1), SIZE), Verdict::Early, "it may be announced yet");
    g.seal();
    for n in 2..5 {
        assert_eq!(g.judge(&message(150, n), SIZE), Verdict::Drop);
    }
    assert_eq!(g.judge(&message(150, 5), SIZE), Verdict::Penalise, "beyond the quota");
    let mut g = grants(10, 2 * SIZE);
    g.list(at(100), at(200));
    g.seal();
    assert_eq!(g.judge(&message(200, 1), SIZE), Verdict::Penalise, "outside of the list");
    assert_eq!(g.judge(&message(199, 1), 2 * SIZE), Verdict::Drop);
    assert_eq!(g.judge(&message(199, 2), SIZE), Verdict::Penalise, "too many bytes");
}

#[test]
fn listed_spans_are_bounded() {
    let mut g = grants(1000, 1000);
    g.seal();
    for t in 0..MAX_LISTED as i64 + 10 {
        g.list(at(2 * t), at(2 * t + 1));
        assert!(g.listed.len() <= MAX_LISTED);
    }
    assert_eq!(g.judge(&message(501, 1), 1), Verdict::Drop, "a gap, once they were joined");
}
