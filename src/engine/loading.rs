//! How much peers may make the archive read: ids that are loaded because of what a peer asked
//! (a window older than the index, content topics) are paid for from a bucket that fills again.
//!
//! What must hold: in any span of time no more is loaded for a peer, and for all of them together,
//! than a bucket holds and what flowed in meanwhile, but for one step of each walk under way.

use std::time::Duration;

/// The time in which an empty bucket fills.
const FILLS_IN: Duration = Duration::from_secs(60);
/// What a step costs at least: the archive works also where it finds little.
const LEAST: usize = 100;

/// Tokens, one an id.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// What is missing to a full one; beyond `max` where a step took more than there was.
    spent: usize,
    at: Duration,
}

impl Bucket {
    /// A full one.
    pub(super) fn new() -> Self {
        Bucket { spent: 0, at: Duration::ZERO }
    }

    /// Whether another step may be made, of a bucket that holds `max`.
    pub(super) fn may_load(&mut self, max: usize, now: Duration) -> bool {
        self.refill(max, now);
        self.spent < max
    }

    /// A step brought so many ids.
    pub(super) fn loaded(&mut self, ids: usize) {
        self.spent = self.spent.saturating_add(ids.max(LEAST));
    }

    fn refill(&mut self, max: usize, now: Duration) {
        let passed = now.saturating_sub(self.at).as_millis();
        let flowed = max as u128 * passed / FILLS_IN.as_millis();
        // Less than a whole token stays in the time that is not yet counted.
        if flowed > 0 || self.spent == 0 {
            self.spent = self.spent.saturating_sub(usize::try_from(flowed).unwrap_or(usize::MAX));
            self.at = now;
        }
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Bucket::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn what_is_spent_flows_back_within_a_minute() {
        let mut b = Bucket::new();
        assert!(b.may_load(6000, s(100)));
        b.loaded(5999);
        assert!(b.may_load(6000, s(100)));
        b.loaded(10_001);
        assert!(!b.may_load(6000, s(100)), "10,000 are owed");
        assert!(!b.may_load(6000, s(199)) && b.may_load(6000, s(201)));
        // Looked at often it fills no slower.
        let mut b = Bucket::new();
        b.loaded(60_000);
        let mut at = Duration::ZERO;
        while !b.may_load(60_000, at) {
            at += Duration::from_micros(300);
        }
        assert!(at < Duration::from_millis(5), "{at:?}");
    }

    #[test]
    fn an_empty_answer_costs_too_and_no_credit_piles_up() {
        let mut b = Bucket::new();
        assert!(b.may_load(1000, s(10_000)));
        for _ in 0..10 {
            b.loaded(0);
        }
        assert!(!b.may_load(1000, s(10_000)) && b.may_load(1000, s(10_001)));
        assert!(!Bucket::new().may_load(0, s(1)), "none at all");
    }
}
