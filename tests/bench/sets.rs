//! Two sides to compare: sorted ids over an hour, with differences of one shape or another.

use wakustore::types::SyncId;

use crate::sync_common::Noise;

pub(crate) const NOW: i64 = 1_763_900_000_000_000_000;
pub(crate) const HOUR: i64 = 3_600_000_000_000;

/// Two sides, each sorted.
pub(crate) struct Sides {
    pub(crate) a: Vec<SyncId>,
    pub(crate) b: Vec<SyncId>,
}

/// `n` ids over the hour, sorted.
pub(crate) fn spread(n: usize, rng: &mut Noise) -> Vec<SyncId> {
    let mut ids: Vec<SyncId> = (0..n)
        .map(|_| {
            let at = NOW - HOUR + (rng.below(HOUR as u64) as i64);
            rng.id(at)
        })
        .collect();
    ids.sort_unstable();
    ids
}

fn merged(mut ids: Vec<SyncId>, more: Vec<SyncId>) -> Vec<SyncId> {
    ids.extend(more);
    ids.sort_unstable();
    ids
}

/// `n` ids on both sides, and `d` that one holds, spread over the hour, half on each side.
pub(crate) fn halves(n: usize, d: usize, seed: u64) -> Sides {
    let rng = &mut Noise::new(seed);
    let both = spread(n, rng);
    let (mine, theirs) = (spread(d.div_ceil(2), rng), spread(d / 2, rng));
    Sides { a: merged(both.clone(), mine), b: merged(both, theirs) }
}

/// One side lacks the newest tenth.
pub(crate) fn gap(n: usize) -> Sides {
    let a = spread(n, &mut Noise::new(11));
    let b = a[..n - n / 10].to_vec();
    Sides { a, b }
}

/// One side holds nothing.
pub(crate) fn empty(n: usize) -> Sides {
    Sides { a: spread(n, &mut Noise::new(12)), b: Vec::new() }
}

/// A hundred bursts of as many ids as make up a tenth of all, each within a millisecond; of each
/// burst every side lacks another hundredth.
pub(crate) fn bursts(n: usize) -> Sides {
    let rng = &mut Noise::new(13);
    let mut sides = [spread(n - n / 10, rng), Vec::new()];
    sides[1] = sides[0].clone();
    for _ in 0..100 {
        let at = NOW - HOUR + (rng.below(HOUR as u64) as i64);
        for i in 0..n / 1000 {
            let id = {
                let t = at + rng.below(1_000_000) as i64;
                rng.id(t)
            };
            for (side, ids) in sides.iter_mut().enumerate() {
                if i % 100 != side {
                    ids.push(id);
                }
            }
        }
    }
    let [mut a, mut b] = sides;
    a.sort_unstable();
    b.sort_unstable();
    Sides { a, b }
}
