//! How measured values are spread: counts of atomics between fixed bounds, and the sum.
//!
//! What must hold: observing is two atomic additions, without a lock; what is read is whole enough
//! to be shown (the count is that of the parts, never another).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Values as they come, each counted between two of the bounds.
#[derive(Debug)]
pub struct Distribution {
    bounds: &'static [u64],
    /// One more than the bounds: the last is for what lies above all.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Distribution {
    /// Bounds for times in nanoseconds: from half a millisecond to ten seconds.
    pub const TIMES: &'static [u64] = &[
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        75_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        750_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        7_500_000_000,
        10_000_000_000,
    ];

    /// Nothing yet. The bounds ascend; a value counts for the first that it does not exceed.
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Distribution { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a time, in nanoseconds.
    pub fn took(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What has come until now.
    pub fn read(&self) -> Spread {
        Spread {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

/// What a [`Distribution`] held at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spread {
    /// The bounds, in the unit of the values, ascending.
    pub bounds: &'static [u64],
    /// How many values lay up to each bound and above the one before; one more for those above all.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl Spread {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_for_the_first_bound_that_it_does_not_exceed() {
        let spread = Distribution::new(&[10, 20]);
        [0, 10, 11, 20, 21, 500].into_iter().for_each(|value| spread.observe(value));
        let read = spread.read();
        assert_eq!(read.counts, [2, 2, 2]);
        assert_eq!((read.count(), read.sum), (6, 562));
        let times = Distribution::new(Distribution::TIMES);
        assert!(Distribution::TIMES.is_sorted());
        times.took(Duration::from_millis(3));
        times.took(Duration::MAX);
        let read = times.read();
        assert_eq!((read.counts[3], read.counts.last()), (1, Some(&1)));
    }
}
