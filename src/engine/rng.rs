//! The engine's choices: which peer, how much jitter. Seeded, so that a simulation replays; nothing
//! that must be secret depends on it.

use std::time::Duration;

/// SplitMix64.
#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..n`, or 0 where there is none. The bias of the remainder does not matter here.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u64;
        usize::try_from(self.next() % n).unwrap_or(0)
    }

    /// `d`, a tenth more or less at the most.
    pub(super) fn jitter(&mut self, d: Duration) -> Duration {
        let per_mille = u32::try_from(900 + self.next() % 201).unwrap_or(1000);
        d / 1000 * per_mille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth_and_moves() {
        let (mut rng, d) = (Rng::new(7), Duration::from_secs(300));
        let drawn: Vec<_> = (0..1000).map(|_| rng.jitter(d)).collect();
        assert!(drawn.iter().all(|j| (d * 9 / 10..=d * 11 / 10).contains(j)));
        assert!(
            drawn.iter().any(|j| *j < d * 92 / 100) && drawn.iter().any(|j| *j > d * 108 / 100)
        );
    }

    #[test]
    fn choices_stay_in_range_and_reach_all() {
        let mut rng = Rng::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[rng.below(5)] = true;
        }
        assert_eq!((seen, rng.below(0)), ([true; 5], 0));
    }
}
