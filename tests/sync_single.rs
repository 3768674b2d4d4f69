//! A range with one difference: whoever holds it sees it in the peer's fingerprint, and no list is
//! needed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sync_common;

use sync_common::*;
use wakustore::engine::EngineConfig;
use wakustore::types::SyncId;
use wakustore::wire::reconciliation::{Payload, RangeData};

const NOW: i64 = 1_760_000_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// Ids over the hour, a few to each timestamp.
fn ids(n: i64, each: i64) -> Set {
    let rng = &mut Noise::new(3);
    (0..n).map(|i| rng.id(NOW - HOUR + i / each * (HOUR / n) * each)).collect()
}

fn side(ids: &Set, trees: usize) -> Ours {
    Ours::new(ids, trees, window(NOW - HOUR, NOW), EngineConfig::default().tuning)
}

/// Wraps a side and counts ids in lists that wait for an answer.
struct Watched(Ours, usize);

impl Side for Watched {
    fn begin(&mut self) -> Payload {
        self.0.begin()
    }

    fn answer(&mut self, payload: &Payload) -> Option<Payload> {
        let answer = self.0.answer(payload);
        for range in answer.iter().flat_map(|payload| &payload.ranges) {
            if let RangeData::ItemSet { ids, reconciled: false } = &range.data {
                self.1 += ids.len();
            }
        }
        answer
    }
}

#[test]
fn one_difference_costs_no_list() {
    for (n, each) in [(2_000, 1), (2_000, 3), (100_000, 1)] {
        let whole = ids(n, each);
        for at in [0, 17, n as usize / 2, n as usize - 1] {
            let lost: SyncId = *whole.iter().nth(at).unwrap();
            let mut part = whole.clone();
            part.remove(&lost);
            for (first, second) in [(&whole, &part), (&part, &whole)] {
                let (mut a, mut b) = (Watched(side(first, 2), 0), Watched(side(second, 1), 0));
                let cost = run(&mut a, &mut b, 8);
                assert!(cost.bytes < 4_000, "{} bytes", cost.bytes);
                assert_eq!(a.1 + b.1, 0, "nothing was listed");
                let (only_a, only_b) = (minus(first, second), minus(second, first));
                assert_eq!(a.0.outcome(), (only_a.clone(), only_b.clone()));
                assert_eq!(b.0.outcome(), (only_b, only_a));
            }
        }
    }
}

/// Spread differences, of which most stand alone in some range by and by.
#[test]
fn spread_differences_cost_a_few_hundred_bytes_each() {
    let rng = &mut Noise::new(9);
    let (mut a, mut b) = (Set::new(), Set::new());
    let (n, d) = (100_000, 500);
    for i in 0..n {
        let id = {
            let t = NOW - HOUR + rng.below(HOUR as u64) as i64;
            rng.id(t)
        };
        let differs = i % (n / d) == 0;
        if !differs || i % 2 == 0 && i % (2 * n / d) == 0 {
            a.insert(id);
        }
        if !differs || i % (2 * n / d) != 0 {
            b.insert(id);
        }
    }
    let (mut first, mut second) = (side(&a, 1), side(&b, 1));
    let cost = run(&mut first, &mut second, 20);
    assert_eq!(first.outcome(), (minus(&a, &b), minus(&b, &a)));
    assert_eq!(second.outcome(), (minus(&b, &a), minus(&a, &b)));
    assert!(cost.bytes < d * 320, "{} bytes for {d} differences", cost.bytes);
}
