//! Sessions in which messages go one way or none: what is found, and what the other side is told,
//! with a node of ours and with a deployed one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sync_common;

use std::collections::BTreeSet;

use proptest::prelude::*;
use sync_common::*;
use wakustore::sync::reconcile::{Differences, Tuning};
use wakustore::types::{MessageHash, SyncId, TimeRange};

const NOW: i64 = 1_760_000_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

fn hour() -> TimeRange {
    window(NOW - HOUR, NOW)
}

fn hashes(ids: &Set) -> BTreeSet<MessageHash> {
    ids.iter().map(|id| id.hash).collect()
}

fn telling(ids: &Set, tuning: &Tuning, announces: bool, asks: bool) -> Ours {
    let mut ours = Ours::new(ids, 2, hour(), tuning.clone());
    ours.found = Differences::default().telling(announces, asks);
    ours
}

/// Sets that differ: in spread ids, in stretches that one side lacks, in bursts of one timestamp.
fn sets(seed: u64, size: u64, odds: u64, bursts: u64) -> (Set, Set) {
    let rng = &mut Noise::new(seed);
    let (mut a, mut b) = (Set::new(), Set::new());
    let mut give = |rng: &mut Noise, id: SyncId, odds: u64| {
        let who = rng.below(2 * odds);
        if who != 0 {
            a.insert(id);
        }
        if who != 1 {
            b.insert(id);
        }
    };
    for _ in 0..size {
        let t = NOW - HOUR + rng.below(HOUR as u64) as i64;
        let in_stretch = (t / (HOUR / 20)) % 7 == 0;
        let id = rng.id(t);
        give(rng, id, if in_stretch { 1 } else { odds });
    }
    for _ in 0..bursts {
        let t = NOW - HOUR + rng.below(HOUR as u64) as i64;
        for _ in 0..150 {
            let id = rng.id(t);
            give(rng, id, odds);
        }
    }
    (a, b)
}

fn tunings() -> impl Strategy<Value = Tuning> {
    (
        prop_oneof![Just(2usize), Just(8), Just(16)],
        prop_oneof![Just(4usize), Just(64)],
        any::<bool>(),
    )
        .prop_map(|(fan_out, max_item_set, small)| {
            let max_answer = if small { 4096 } else { 1 << 20 };
            Tuning { fan_out, max_item_set, max_answer }
        })
}

/// With room for a burst in one answer: a deployed peer could not take up the rest of it.
fn roomy(tuning: &Tuning) -> Tuning {
    Tuning { max_answer: 1 << 20, ..tuning.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// With our own peer: all is found, the peer learns of nothing, and nothing is granted.
    #[test]
    fn a_dry_run_finds_all_and_tells_nothing(
        seed in any::<u64>(), size in 0u64..3000, odds in prop_oneof![Just(1u64), Just(20), Just(500)],
        bursts in 0u64..3, tuning in tunings(), others in tunings(),
    ) {
        let (a, b) = sets(seed, size, odds, bursts);
        let mut ours = telling(&a, &tuning, false, false);
        let mut theirs = Ours::new(&b, 2, hour(), others);
        run(&mut ours, &mut theirs, 400);
        prop_assert!(ours.outcome() == (minus(&a, &b), minus(&b, &a)));
        prop_assert!(ours.found.granted.is_empty());
        // What is granted by the peer where it holds nothing, it cannot know that nobody sends.
        prop_assert!(theirs.found.local_only.is_empty(), "it would push");
        prop_assert!(theirs.found.remote_only.is_empty(), "it would wait");
    }

    #[test]
    fn a_dry_run_with_a_deployed_peer(
        seed in any::<u64>(), size in 0u64..3000, odds in prop_oneof![Just(1u64), Just(20), Just(500)],
        bursts in 0u64..3, tuning in tunings(),
    ) {
        let (a, b) = sets(seed, size, odds, bursts);
        let mut ours = telling(&a, &roomy(&tuning), false, false);
        let mut theirs = Deployed::new(&b, hour());
        run(&mut ours, &mut theirs, 400);
        prop_assert!(ours.outcome() == (minus(&a, &b), minus(&b, &a)));
        prop_assert_eq!(theirs.vanished, 0);
        // Bursts it cannot split are listed to it, and it sends what it has of them beyond ours.
        if bursts == 0 {
            prop_assert!(theirs.to_send.is_empty(), "it would push {}", theirs.to_send.len());
        }
    }

    #[test]
    fn a_push_announces_all_and_asks_for_nothing(
        seed in any::<u64>(), size in 0u64..3000, odds in prop_oneof![Just(1u64), Just(20), Just(500)],
        bursts in 0u64..3, tuning in tunings(), others in tunings(),
    ) {
        let (a, b) = sets(seed, size, odds, bursts);
        let mut ours = telling(&a, &tuning, true, false);
        let mut theirs = Ours::new(&b, 2, hour(), others);
        run(&mut ours, &mut theirs, 400);
        let (local, _) = ours.outcome();
        prop_assert!(local == minus(&a, &b));
        let (theirs_only, mut expected) = theirs.outcome();
        for (lower, upper) in &theirs.found.granted {
            expected.extend(local.range(*lower..*upper).copied());
        }
        prop_assert!(expected == local, "each that is sent is expected");
        prop_assert!(theirs_only.is_empty(), "it would push {}", theirs_only.len());
        let mut deployed = Deployed::new(&b, hour());
        let mut ours = telling(&a, &roomy(&tuning), true, false);
        run(&mut ours, &mut deployed, 400);
        prop_assert!(ours.outcome().0 == local);
        if bursts == 0 {
            prop_assert!(deployed.to_send.is_empty(), "it would push {}", deployed.to_send.len());
        }
    }

    #[test]
    fn a_pull_gets_all(
        seed in any::<u64>(), size in 0u64..3000, odds in prop_oneof![Just(1u64), Just(20), Just(500)],
        bursts in 0u64..3, tuning in tunings(), others in tunings(),
    ) {
        let (a, b) = sets(seed, size, odds, bursts);
        let mut ours = telling(&a, &tuning, false, true);
        let mut theirs = Ours::new(&b, 2, hour(), others);
        run(&mut ours, &mut theirs, 400);
        prop_assert!(theirs.outcome().0 == minus(&b, &a), "what it sends");
        let mut deployed = Deployed::new(&b, hour());
        run(&mut telling(&a, &roomy(&tuning), false, true), &mut deployed, 400);
        let sends: BTreeSet<MessageHash> = deployed.to_send.iter().copied().collect();
        prop_assert!(sends == hashes(&minus(&b, &a)));
    }
}
