//! With a deployed peer, either side beginning: the same outcome on both sides.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sync_common;

use sync_common::*;
use wakustore::sync::reconcile::Tuning;
use wakustore::types::{MessageHash, TimeRange};

const NOW: i64 = 1_760_000_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

fn hour() -> TimeRange {
    window(NOW - HOUR, NOW)
}

fn tuning(fan_out: usize, max_item_set: usize) -> Tuning {
    Tuning { fan_out, max_item_set, max_answer: 1 << 20 }
}

fn hashes(ids: &Set) -> std::collections::BTreeSet<MessageHash> {
    ids.iter().map(|id| id.hash).collect()
}

/// Both ways; whatever lies outside of the window is on neither side's list.
fn agree(a: &Set, b: &Set, tuning: &Tuning, most: usize) {
    for we_begin in [true, false] {
        let mut ours = Ours::new(a, 2, hour(), tuning.clone());
        let mut theirs = Deployed::new(b, hour());
        if we_begin {
            run(&mut ours, &mut theirs, most);
        } else {
            run(&mut theirs, &mut ours, most);
        }
        let (held, other) = (inside(a, hour()), inside(b, hour()));
        let (local, mut remote) = ours.outcome();
        assert!(local == minus(&held, &other), "what the peer lacks");
        for (lower, upper) in &ours.found.granted {
            remote.extend(other.range(*lower..*upper).copied());
        }
        assert!(remote == minus(&other, &held), "what we lack");
        // It sends each message that we lack, once, and expects nothing that we do not send. (What
        // we send of a range in which it holds nothing, it does not expect by name.)
        let sends: std::collections::BTreeSet<_> = theirs.to_send.iter().copied().collect();
        assert_eq!(sends.len(), theirs.to_send.len(), "it sends a message twice");
        assert!(sends == hashes(&minus(&other, &held)), "what it sends");
        let expects: std::collections::BTreeSet<_> = theirs.to_receive.iter().copied().collect();
        assert!(expects.is_subset(&hashes(&local)), "what it expects");
        assert_eq!(theirs.vanished, 0, "a range that it cannot split was sent to it");
    }
}

#[test]
fn spread_over_the_hour() {
    for seed in 0..40 {
        let rng = &mut Noise::new(seed);
        let size = [0, 5, 90, 300, 4000][rng.below(5) as usize];
        let (mut a, mut b) = (Set::new(), Set::new());
        let odds = [1, 20, 400][rng.below(3) as usize];
        for _ in 0..size {
            // Some of it lies before the window, and some behind.
            let t = NOW - HOUR - HOUR / 20 + rng.below(HOUR as u64 * 11 / 10) as i64;
            let id = rng.id(t);
            let who = rng.below(2 * odds);
            if who != 0 {
                a.insert(id);
            }
            if who != 1 {
                b.insert(id);
            }
        }
        let tuning = tuning([2, 8, 16][rng.below(3) as usize], [4, 64, 200][rng.below(3) as usize]);
        agree(&a, &b, &tuning, 24);
    }
}

#[test]
fn one_side_is_empty() {
    let rng = &mut Noise::new(50);
    let some: Set = (0..6000).map(|i| rng.id(NOW - HOUR + i * (HOUR / 6000))).collect();
    agree(&some, &Set::new(), &tuning(16, 64), 12);
    agree(&Set::new(), &some, &tuning(16, 64), 12);
    // The newest and the oldest tenth are missing: wholly before or after all that it holds.
    let ids: Vec<_> = some.iter().copied().collect();
    for part in [&ids[..5400], &ids[600..]] {
        let part: Set = part.iter().copied().collect();
        agree(&some, &part, &tuning(16, 64), 12);
        agree(&part, &some, &tuning(16, 64), 12);
    }
}

/// More ids with one timestamp than it can split: a thousand of them, of which one is missing.
#[test]
fn bursts_of_one_timestamp() {
    for (seed, others, step) in
        [(60, 0, 1), (61, 40, 1), (62, 40, 1_000), (63, 4000, 1), (64, 4000, 800_000_000)]
    {
        let rng = &mut Noise::new(seed);
        let burst = NOW - HOUR / 3;
        let mut whole: Set = (0..1000).map(|_| rng.id(burst)).collect();
        whole.extend((0..others).map(|i| rng.id(burst + (i - others / 2) * step)));
        let mut part = whole.clone();
        let lost = *part.iter().filter(|id| id.timestamp.0 == burst).nth(500).unwrap();
        part.remove(&lost);
        agree(&whole, &part, &tuning(16, 64), 30);
        agree(&part, &whole, &tuning(16, 64), 30);
        agree(&part, &whole, &tuning(2, 1), 60);
    }
}

/// Ids at the very bounds that either side splits at.
#[test]
fn ids_at_the_bounds() {
    let rng = &mut Noise::new(70);
    let (mut a, mut b) = (Set::new(), Set::new());
    for i in 0..=4096 {
        // The eighths of the window and of each part of it, and of their parts, fall on these.
        for _ in 0..2 {
            let id = rng.id(NOW - HOUR + i * (HOUR / 4096));
            let who = rng.below(60);
            if who != 0 {
                a.insert(id);
            }
            if who != 1 {
                b.insert(id);
            }
        }
    }
    agree(&a, &b, &tuning(16, 64), 16);
    agree(&a, &b, &tuning(8, 8), 20);
}

/// Should a peer take all ids with the upper bound's timestamp into a range, they stand in two
/// ranges of its. What we find is right all the same, and it comes to an end.
#[test]
fn inclusive_by_time() {
    for seed in 80..100 {
        let rng = &mut Noise::new(seed);
        let (mut a, mut b) = (Set::new(), Set::new());
        for _ in 0..3000 {
            let id = {
                let t = NOW - HOUR + rng.below(2000) as i64 * (HOUR / 2000);
                rng.id(t)
            };
            let who = rng.below(200);
            if who != 0 {
                a.insert(id);
            }
            if who != 1 {
                b.insert(id);
            }
        }
        for we_begin in [true, false] {
            let mut ours = Ours::new(&a, 1, hour(), tuning(16, 64));
            let mut theirs = Deployed::new(&b, hour());
            theirs.by_time = true;
            if we_begin {
                run(&mut ours, &mut theirs, 40);
            } else {
                run(&mut theirs, &mut ours, 40);
            }
            let (held, other) = (inside(&a, hour()), inside(&b, hour()));
            let (local, remote) = ours.outcome();
            assert!(local == minus(&held, &other), "what the peer lacks");
            assert!(remote == minus(&other, &held), "what we lack");
            let sends: std::collections::BTreeSet<_> = theirs.to_send.iter().copied().collect();
            assert!(sends.is_superset(&hashes(&minus(&other, &held))), "what it sends");
        }
    }
}

/// Its clock and ours differ, and so do the windows: what both cover is found.
#[test]
fn windows_that_overlap() {
    let rng = &mut Noise::new(110);
    let (mut a, mut b) = (Set::new(), Set::new());
    for _ in 0..4000 {
        let t = NOW - HOUR - HOUR / 10 + rng.below(HOUR as u64 * 6 / 5) as i64;
        let id = rng.id(t);
        let who = rng.below(80);
        if who != 0 {
            a.insert(id);
        }
        if who != 1 {
            b.insert(id);
        }
    }
    for shift in [-90_000_000_000, -1, 1, 90_000_000_000] {
        let mut ours = Ours::new(&a, 1, hour(), tuning(16, 64));
        let theirs_window = window(NOW - HOUR + shift, NOW + shift);
        let mut theirs = Deployed::new(&b, theirs_window);
        run(&mut theirs, &mut ours, 16);
        let both = hour().intersect(&theirs_window);
        let (held, other) = (inside(&a, both), inside(&b, both));
        let (local, remote) = ours.outcome();
        assert!(local == minus(&held, &other));
        assert!(remote == minus(&other, &held));
    }
}
