//! Two nodes of ours find exactly what differs, whatever they hold and however each splits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sync_common;

use proptest::prelude::*;
use sync_common::*;
use wakustore::sync::reconcile::Tuning;
use wakustore::types::{MessageHash, SyncId, TimeRange, Timestamp};

const NOW: i64 = 1_760_000_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

fn tuning(fan_out: usize, max_item_set: usize, max_answer: usize) -> Tuning {
    Tuning { fan_out, max_item_set, max_answer }
}

fn usual() -> Tuning {
    tuning(16, 64, 1 << 20)
}

fn hour() -> TimeRange {
    window(NOW - HOUR, NOW)
}

/// Both find what differs within both windows: all of it, once, and nothing else.
fn exact(
    a: (&Set, usize, TimeRange, Tuning),
    b: (&Set, usize, TimeRange, Tuning),
    most: usize,
) -> Cost {
    let both = a.2.intersect(&b.2);
    let (held_a, held_b) = (inside(a.0, both), inside(b.0, both));
    let mut one = Ours::new(a.0, a.1, a.2, a.3);
    let mut two = Ours::new(b.0, b.1, b.2, b.3);
    let cost = run(&mut one, &mut two, most);
    settled(&one, &held_a, &held_b);
    settled(&two, &held_b, &held_a);
    cost
}

/// What this side found, where what was granted counts as found.
fn settled(side: &Ours, held: &Set, other: &Set) {
    let (local, mut remote) = side.outcome();
    assert!(local == minus(held, other), "what the peer lacks");
    for (lower, upper) in &side.found.granted {
        let all: Set = other.range(*lower..*upper).copied().collect();
        assert!(remote.is_disjoint(&all));
        assert!(all.is_disjoint(held));
        remote.extend(all);
    }
    assert!(remote == minus(other, held), "what we lack");
    assert_eq!((side.found.local_beyond, side.found.remote_beyond), (0, 0));
}

/// Times as they may fall: spread, in a few bursts, dense, or all at once.
fn times(rng: &mut Noise, kind: u64) -> i64 {
    match kind {
        0 => NOW - HOUR + rng.below(HOUR as u64) as i64,
        1 => NOW - 1 - (rng.below(7) * 400_000_000_000) as i64,
        2 => NOW - 1 - rng.below(4000) as i64,
        3 => NOW - HOUR / 2,
        _ => NOW - HOUR - HOUR / 8 + rng.below(HOUR as u64 + HOUR as u64 / 4) as i64,
    }
}

#[test]
fn random_sets_of_all_kinds() {
    for seed in 0..120 {
        let rng = &mut Noise::new(seed);
        let size = [0, 1, 3, 60, 700, 5000][rng.below(6) as usize];
        let (only_a, only_b) = (rng.below(8), rng.below(8));
        let kinds = [rng.below(5), rng.below(5)];
        let (mut a, mut b) = (Set::new(), Set::new());
        for i in 0..size {
            let kind = kinds[(i % 2) as usize];
            let id = {
                let t = times(rng, kind);
                rng.id(t)
            };
            match rng.below(64) {
                x if x < only_a * only_a => {
                    a.insert(id);
                }
                x if x < only_a * only_a + only_b => {
                    b.insert(id);
                }
                _ => {
                    a.insert(id);
                    b.insert(id);
                }
            }
        }
        let side = |rng: &mut Noise| {
            let tuning = tuning(
                [0, 2, 3, 8, 16, 64][rng.below(6) as usize],
                [0, 1, 16, 64, 300][rng.below(5) as usize],
                1 << 20,
            );
            let start = NOW - HOUR + (rng.below(3) * 1_000_000_000) as i64;
            (1 + rng.below(4) as usize, window(start, NOW - (rng.below(3) * 7) as i64), tuning)
        };
        let (p, q) = (side(rng), side(rng));
        // A split takes a range to half, or to what one timestamp holds, at each side's turn.
        let most = 8 + 2 * (size as usize + 1).ilog2() as usize;
        exact((&a, p.0, p.1, p.2), (&b, q.0, q.1, q.2), most);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Few timestamps, small parts, hardly any budget: every corner of splitting and putting off.
    #[test]
    fn any_small_sets(
        ids in prop::collection::vec((0i64..40, 0u8..6), 0..250),
        a in (0usize..6, 0usize..6, 0usize..3000, 1usize..4, 0i64..6, 34i64..44),
        b in (0usize..6, 0usize..6, 0usize..3000, 1usize..4, 0i64..6, 34i64..44),
        spread in prop_oneof![Just(1i64), Just(3), Just(1_000_000_007)],
        seed in any::<u64>(),
    ) {
        let rng = &mut Noise::new(seed);
        let (mut held_a, mut held_b) = (Set::new(), Set::new());
        for (t, who) in ids {
            let id = rng.id(1_000_000 + t * spread);
            if who != 0 { held_a.insert(id); }
            if who != 1 { held_b.insert(id); }
        }
        let within = |from: i64, to: i64| window(1_000_000 + from * spread, 1_000_000 + to * spread);
        exact(
            (&held_a, a.3, within(a.4, a.5), tuning(a.0, a.1, a.2)),
            (&held_b, b.3, within(b.4, b.5), tuning(b.0, b.1, b.2)),
            900,
        );
    }
}

#[test]
fn nothing_differs() {
    let rng = &mut Noise::new(1);
    let ids: Set = (0..5000)
        .map(|_| {
            let t = times(rng, 0);
            rng.id(t)
        })
        .collect();
    let cost = exact((&ids, 1, hour(), usual()), (&ids, 3, hour(), usual()), 2);
    // Topics, lower bound, a nanosecond of skip, upper bound, kind, fingerprint; then the empty one.
    assert_eq!((cost.frames, cost.bytes), (2, 2 + 9 + 2 + 6 + 1 + 32 + 1));
    let none = Set::new();
    assert_eq!(exact((&none, 1, hour(), usual()), (&none, 1, hour(), usual()), 2).frames, 2);
    // An empty window compares nothing, and says so.
    let empty = window(NOW, NOW);
    let mut one = Ours::new(&ids, 1, empty, usual());
    assert!(one.begin().ranges.is_empty());
}

#[test]
fn one_side_is_empty() {
    let rng = &mut Noise::new(2);
    let ids: Set = (0..20_000)
        .map(|_| {
            let t = times(rng, 0);
            rng.id(t)
        })
        .collect();
    let none = Set::new();
    for small in [usual(), tuning(16, 64, 4096)] {
        let most = 8 + 4 * (20_000 * 37 / small.max_answer);
        exact((&ids, 2, hour(), small.clone()), (&none, 1, hour(), usual()), most);
        exact((&none, 1, hour(), usual()), (&ids, 2, hour(), small.clone()), most);
        exact((&none, 1, hour(), small.clone()), (&ids, 2, hour(), small), most);
    }
}

#[test]
fn disjoint_sets() {
    let rng = &mut Noise::new(3);
    let mut ids = || -> Set {
        (0..3000)
            .map(|_| {
                let t = times(rng, 0);
                rng.id(t)
            })
            .collect()
    };
    let (a, b) = (ids(), ids());
    exact((&a, 1, hour(), usual()), (&b, 2, hour(), usual()), 12);
}

/// A thousand ids with one timestamp, of which the other side lacks one, among others or alone.
#[test]
fn bursts_of_one_timestamp() {
    for (seed, others) in [(4, 0), (5, 10), (6, 3000)] {
        for step in [1, 1_000] {
            let rng = &mut Noise::new(seed);
            let burst = NOW - HOUR / 3;
            let mut a: Set = (0..1000).map(|_| rng.id(burst)).collect();
            a.extend((0..others).map(|i| rng.id(burst + (i - others / 2) * step)));
            let mut b = a.clone();
            let lost = *b.iter().filter(|id| id.timestamp.0 == burst).nth(500).unwrap();
            b.remove(&lost);
            for (x, y) in [(&a, &b), (&b, &a)] {
                exact((x, 1, hour(), usual()), (y, 1, hour(), usual()), 14);
                exact((x, 3, hour(), tuning(2, 1, 1000)), (y, 2, hour(), usual()), 200);
            }
        }
    }
}

/// The answer stays within its budget but for what it must settle (a part of a range, or all ids
/// of one timestamp), and most of each answer takes the session further.
#[test]
fn answers_keep_to_their_budget() {
    let rng = &mut Noise::new(7);
    let (mut a, mut b) = (Set::new(), Set::new());
    for i in 0..12_000 {
        let id = {
            let t = times(rng, 0);
            rng.id(t)
        };
        if i % 10 != 0 {
            a.insert(id);
        }
        if i % 10 != 1 {
            b.insert(id);
        }
    }
    let whole = exact((&a, 1, hour(), usual()), (&b, 2, hour(), usual()), 9);
    for budget in [4_000, 20_000, 100_000] {
        let small = tuning(16, 64, budget);
        let most = 16 + 2 * whole.bytes / budget;
        let cost = exact((&a, 1, hour(), small.clone()), (&b, 2, hour(), small), most);
        assert!(cost.largest <= budget + 64, "{} of {budget}", cost.largest);
        assert!(cost.bytes <= 2 * whole.bytes, "{cost:?} for a budget of {budget}");
    }
}

/// A peer lists while the ids come in at the same time: what is here by now is not missing.
#[test]
fn the_sets_may_change_on_the_way() {
    let rng = &mut Noise::new(8);
    let ids: Set = (0..4000)
        .map(|_| {
            let t = times(rng, 0);
            rng.id(t)
        })
        .collect();
    let lost: Vec<SyncId> = ids.iter().step_by(40).copied().collect();
    let mut b = ids.clone();
    b.retain(|id| !lost.contains(id));
    let mut one = Ours::new(&ids, 1, hour(), usual());
    let mut two = Ours::new(&b, 1, hour(), usual());
    let mut payload = one.begin();
    for frame in 0..20 {
        // Half of what is missing comes by relay, in the middle of it.
        if frame == 3 {
            for id in lost.iter().step_by(2) {
                two.trees[0].insert(*id);
            }
        }
        let side = if frame % 2 == 0 { &mut two } else { &mut one };
        match side.answer(&payload) {
            Some(answer) if !answer.ranges.is_empty() => payload = answer,
            _ => break,
        }
        assert!(frame < 19);
    }
    let (local, remote) = one.outcome();
    assert!(local.iter().all(|id| lost.contains(id)) && remote.is_empty());
    let (extra, found) = two.outcome();
    assert!(extra.is_empty());
    for id in &lost {
        assert!(found.contains(id) || two.trees[0].contains(id));
    }
}

/// A range in which we hold nothing while our own ids around it are dense is asked for as a whole,
/// unannounced: its list would not fit a frame.
#[test]
fn a_dense_gap_is_granted() {
    let rng = &mut Noise::new(9);
    let b: Set = (0..20_000)
        .map(|_| {
            let t = times(rng, 0);
            rng.id(t)
        })
        .collect();
    let a: Set = b.iter().filter(|id| id.timestamp.0 % HOUR < HOUR / 2).copied().collect();
    let gap: Set = minus(&b, &a);
    let mut one = Ours::new(&a, 1, hour(), tuning(16, 64, 8 * 1024));
    let mut two = Ours::new(&b, 1, hour(), usual());
    run(&mut one, &mut two, 40);
    settled(&one, &a, &b);
    settled(&two, &b, &a);
    assert!(!one.found.granted.is_empty());
    let granted: usize =
        one.found.granted.iter().map(|(lower, upper)| gap.range(*lower..*upper).count()).sum();
    assert!(granted > gap.len() / 2);
}

#[test]
fn the_last_moment_there_is() {
    let id = |t: i64, h: u8| SyncId::new(Timestamp(t), MessageHash([h; 32]));
    let a: Set = (1..200).map(|h| id(i64::MAX - 1, h)).chain([id(-5, 1), id(0, 9)]).collect();
    let b: Set =
        (100..250).map(|h| id(i64::MAX - 1, h)).chain([id(-5, 2), id(i64::MAX, 1)]).collect();
    let mut one = Ours::new(&a, 1, TimeRange::ALL, usual());
    let mut two = Ours::new(&b, 1, TimeRange::ALL, usual());
    run(&mut one, &mut two, 12);
    // The wire knows no time before 1970, and no range reaches beyond the last moment.
    let all = window(0, i64::MAX);
    settled(&one, &inside(&a, all), &inside(&b, all));
    settled(&two, &inside(&b, all), &inside(&a, all));
}
