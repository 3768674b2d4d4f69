//! A peer that keeps to no rules: it cannot make us panic, report twice, grow without bound, or
//! go on for ever.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sync_common;

use proptest::prelude::*;
use sync_common::*;
use wakustore::ErrorKind;
use wakustore::sync::index::Index;
use wakustore::sync::reconcile::{Differences, MAX_ROUNDS, Tuning, View, initiate, respond};
use wakustore::types::{ContentTopic, MessageHash, PubsubTopic, SyncId, Timestamp};
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope};

fn tuning() -> Tuning {
    Tuning { fan_out: 4, max_item_set: 4, max_answer: 2000 }
}

fn held(n: i64) -> Set {
    let rng = &mut Noise::new(1);
    (0..n).map(|i| rng.id(i * 10)).collect()
}

fn list(ids: Vec<SyncId>, reconciled: bool) -> RangeData {
    RangeData::ItemSet { ids, reconciled }
}

fn payload(lower: i64, ranges: Vec<(i64, RangeData)>) -> Payload {
    Payload {
        scope: Scope::default(),
        lower: Timestamp(lower),
        ranges: ranges
            .into_iter()
            .map(|(upper, data)| Range { upper: SyncId::floor(Timestamp(upper)), data })
            .collect(),
    }
}

#[derive(Clone, Debug)]
enum Said {
    Skip,
    Fingerprint(u8),
    /// Which of our own ids, which strange ones, and whether marked reconciled.
    List(Vec<(u16, bool)>, bool),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        Just(Said::Skip),
        any::<u8>().prop_map(Said::Fingerprint),
        (prop::collection::vec((0u16..120, any::<bool>()), 0..12), any::<bool>())
            .prop_map(|(ids, reconciled)| Said::List(ids, reconciled)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_said(
        frames in prop::collection::vec(
            (0i64..400, prop::collection::vec((0i64..300, 0u8..4, said()), 1..12)), 1..12),
        start in 0i64..400,
        end in 400i64..1300,
    ) {
        let ids = held(100);
        let mine: Vec<SyncId> = ids.iter().copied().collect();
        let mut ours = Ours::new(&ids, 2, window(start, end), tuning());
        for (lower, ranges) in frames {
            let mut at = SyncId::floor(Timestamp(lower));
            let mut payload = payload(lower, Vec::new());
            for (length, hash, said) in ranges {
                // Bounds within one timestamp too, and empty ranges.
                let mut upper = SyncId::floor(Timestamp(at.timestamp.0 + length));
                upper.hash.0[0] = if length < 30 { hash * 60 } else { 0 };
                upper = upper.max(at);
                let data = match said {
                    Said::Skip => RangeData::Skip,
                    Said::Fingerprint(x) => RangeData::Fingerprint(MessageHash([x; 32])),
                    Said::List(chosen, reconciled) => list(
                        chosen.into_iter().map(|(i, strange)| {
                            let id = mine[usize::from(i) % mine.len()];
                            if strange {
                                SyncId::new(Timestamp(i64::from(i) * 9), MessageHash([i as u8; 32]))
                            } else {
                                id
                            }
                        }).collect(),
                        reconciled,
                    ),
                };
                payload.ranges.push(Range { upper, data });
                at = upper;
            }
            ours.answer(&payload);
            // The lists hold nothing twice, nothing that is not so, and nothing out of the window.
            let (local, remote) = ours.outcome();
            prop_assert!(local.is_subset(&inside(&ids, window(start, end))));
            prop_assert!(remote.is_disjoint(&ids));
            prop_assert_eq!(&inside(&remote, window(start, end)), &remote);
        }
    }
}

#[test]
fn what_is_told_again_is_heard_once() {
    let ids = held(1000);
    let mut ours = Ours::new(&ids, 1, window(0, 10_000), tuning());
    let strange = SyncId::new(Timestamp(77), MessageHash([7; 32]));
    for upper in [400, 3000, 10_000, 10_000, 20_000] {
        for reconciled in [false, true] {
            ours.answer(&payload(0, vec![(upper, list(vec![strange], reconciled))]));
        }
    }
    let (local, remote) = ours.outcome();
    assert_eq!((local.len(), remote.len()), (1000, 1));
}

#[test]
fn differences_are_limited() {
    let ids = held(1000);
    let mut ours = Ours::new(&ids, 1, window(0, 10_000), tuning());
    ours.found = Differences::new(300);
    ours.answer(&payload(0, vec![(5_000, list(Vec::new(), true))]));
    ours.answer(&payload(5_000, vec![(10_000, list(Vec::new(), true))]));
    assert_eq!((ours.found.local_only.len(), ours.found.local_beyond), (300, 700));
}

/// A few bytes that ask for everything get one budget's worth, and the rest by and by.
#[test]
fn amplification_is_bounded() {
    let ids = held(5000);
    let mut ours = Ours::new(&ids, 1, window(0, 50_000), tuning());
    let ask = payload(0, vec![(50_000, list(Vec::new(), false))]);
    for _ in 0..3 {
        let answer = ours.answer(&ask).unwrap();
        assert!(answer.encode().len() <= tuning().max_answer + 64);
    }
    // Ten thousand ranges, all different: one range of ours is told in full, the others joined.
    let many = (1..10_000).map(|i| (i * 5, RangeData::Fingerprint(MessageHash([9; 32])))).collect();
    let answer = ours.answer(&payload(0, many)).unwrap();
    assert!(answer.encode().len() <= tuning().max_answer + 64);
    assert_eq!(answer.ranges.last().map(|r| r.upper.timestamp), Some(Timestamp(49_995)));
}

#[test]
fn no_session_goes_on_for_ever() {
    let ids = held(10);
    let index: Index = ids.iter().copied().collect();
    let view = View(vec![&index]);
    let mut found = Differences::default();
    let never = payload(0, vec![(100, RangeData::Fingerprint(MessageHash([1; 32])))]);
    let mut answer =
        || respond(&view, &never, window(0, 100), &Scope::default(), &tuning(), &mut found);
    for _ in 0..MAX_ROUNDS {
        answer().unwrap();
    }
    assert_eq!(answer().unwrap_err().kind(), ErrorKind::SyncProtocol);
}

#[test]
fn ranges_that_descend_are_refused() {
    let index = Index::new();
    let bad = payload(50, vec![(40, RangeData::Fingerprint(MessageHash([1; 32])))]);
    let e = respond(
        &View(vec![&index]),
        &bad,
        window(0, 100),
        &Scope::default(),
        &tuning(),
        &mut Differences::default(),
    )
    .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::SyncProtocol);
}

#[test]
fn ends_and_scopes() {
    let ids = held(10);
    let index: Index = ids.iter().copied().collect();
    let view = View(vec![&index]);
    let scope = |topic: &str| Scope {
        pubsub_topics: vec![PubsubTopic::new(topic).unwrap()],
        content_topics: vec![ContentTopic::new("/a/1/b/proto").unwrap()],
    };
    let mine = scope("a");
    let whole = window(0, 1000);
    let first = initiate(&view, whole, &mine, &tuning());
    assert_eq!(first.scope, mine);
    let answer = |payload: &Payload, scope: &Scope| {
        let found = &mut Differences::default();
        respond(&view, payload, whole, scope, &tuning(), found).unwrap()
    };
    // Empty or all skip: done. No common topic: the empty payload. Else our own full scope.
    assert_eq!(answer(&Payload::default(), &mine), None);
    assert_eq!(answer(&payload(0, vec![(9, RangeData::Skip), (12, RangeData::Skip)]), &mine), None);
    assert_eq!(answer(&first, &scope("b")).unwrap().ranges, []);
    assert_eq!(answer(&first, &mine).unwrap().ranges, []);
    let other = payload(0, vec![(50, RangeData::Fingerprint(MessageHash([1; 32])))]);
    let told = answer(&other, &mine).unwrap();
    assert_eq!((&told.scope, told.ranges.is_empty()), (&mine, false));
}

/// Bounds within one timestamp, which nothing deployed writes: the whole timestamp is compared.
#[test]
fn bounds_within_a_timestamp() {
    let rng = &mut Noise::new(5);
    let ids: Set = (0..100).map(|i| rng.id(100.min(i * 2))).collect();
    let index: Index = ids.iter().copied().collect();
    let view = View(vec![&index]);
    let bound = |t: i64, h: u8| {
        let mut hash = MessageHash::ZERO;
        hash.0[0] = h;
        SyncId::new(Timestamp(t), hash)
    };
    let xor = |a: SyncId, b: SyncId| RangeData::Fingerprint(index.fingerprint(&a, &b).xor);
    let mut bounds = vec![bound(100, 0), bound(100, 90), bound(100, 200), bound(101, 0)];
    let mut told = Payload { lower: Timestamp(100), ..Payload::default() };
    for pair in bounds.windows(2) {
        told.ranges.push(Range { upper: pair[1], data: xor(pair[0], pair[1]) });
    }
    let answer = |told: &Payload| {
        let found = &mut Differences::default();
        let scope = Scope::default();
        let tuning = Tuning { fan_out: 4, max_item_set: 8, max_answer: 100_000 };
        respond(&view, told, window(0, 1000), &scope, &tuning, found).unwrap()
    };
    assert_eq!(answer(&told).unwrap().ranges, []);
    told.ranges[1].data = RangeData::Fingerprint(MessageHash([1; 32]));
    let full = answer(&told).unwrap();
    assert_eq!((full.lower, full.ranges.len()), (Timestamp(100), 1));
    assert_eq!(full.ranges[0].upper, bound(101, 0));
    assert!(
        matches!(&full.ranges[0].data, RangeData::ItemSet { ids, reconciled: false } if ids.len() == 50)
    );
    // The payload may end at such a bound, too.
    told.ranges.truncate(2);
    bounds.clear();
    assert_eq!(answer(&told).unwrap().ranges[0].upper, bound(101, 0));
}
