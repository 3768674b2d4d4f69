//! How far a session is, from the payloads alone: which ranges either side still asks about.
//!
//! A range that one side sent and the other did not come back to is settled: it was found equal,
//! or compared id by id.

use crate::types::{MessageHash, SyncId, TimeRange, Timestamp};
use crate::wire::reconciliation::{Payload, RangeData};

use super::View;

/// See the head of the file. Holds one payload's bounds.
#[derive(Clone, Debug, Default)]
pub struct Settling {
    open: Vec<(Timestamp, Timestamp)>,
    ranges: u64,
}

impl Settling {
    /// Another payload was sent, or received and found in order.
    pub fn step(&mut self, payload: &Payload) {
        let mut lower = payload.lower;
        let mut next = Vec::new();
        for range in &payload.ranges {
            // Within one timestamp all is taken as one.
            let upper = match range.upper.hash {
                MessageHash::ZERO => range.upper.timestamp,
                _ => Timestamp(range.upper.timestamp.nanos().saturating_add(1)),
            };
            if !matches!(range.data, RangeData::Skip) && lower < upper {
                next.push((lower, upper));
            }
            lower = range.upper.timestamp;
        }
        let mut at = next.iter().peekable();
        for (lower, upper) in &self.open {
            while at.next_if(|(_, end)| end <= lower).is_some() {}
            let asked_again = at.peek().is_some_and(|(start, _)| start < upper);
            self.ranges += u64::from(!asked_again);
        }
        self.open = next;
    }

    /// Nothing is asked about any more.
    pub fn end(&mut self) {
        self.ranges += self.open.len() as u64;
        self.open = Vec::new();
    }

    /// Ranges settled so far.
    pub fn ranges(&self) -> u64 {
        self.ranges
    }

    /// How many of our ids lie in the ranges that are asked about.
    pub fn open_ids(&self, view: &View<'_>) -> u64 {
        let bounds: Vec<SyncId> =
            self.open.iter().flat_map(|(a, b)| [SyncId::floor(*a), SyncId::floor(*b)]).collect();
        // Those of a payload with bounds within one timestamp may go back by one.
        if !bounds.is_sorted() {
            return 0;
        }
        let below = view.below_each(&bounds);
        below.chunks_exact(2).map(|pair| pair[1].count.saturating_sub(pair[0].count) as u64).sum()
    }
}

impl View<'_> {
    /// How many ids of a window there are to compare.
    pub fn count(&self, window: TimeRange) -> usize {
        let start = window.start().max(Timestamp(0));
        self.fingerprint(&SyncId::floor(start), &SyncId::floor(window.end().max(start))).count
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::wire::reconciliation::{Range, Scope};

    fn payload(lower: i64, ranges: &[(i64, bool)]) -> Payload {
        let range = |(upper, open): &(i64, bool)| Range {
            upper: SyncId::floor(Timestamp(*upper)),
            data: if *open {
                RangeData::Fingerprint(MessageHash([1; 32]))
            } else {
                RangeData::Skip
            },
        };
        let ranges = ranges.iter().map(range).collect();
        Payload { scope: Scope::default(), lower: Timestamp(lower), ranges }
    }

    #[test]
    fn what_nobody_comes_back_to_is_settled() {
        let mut s = Settling::default();
        s.step(&payload(0, &[(100, true)]));
        assert_eq!(s.ranges(), 0);
        s.step(&payload(0, &[(10, true), (20, true), (30, true), (100, true)]));
        assert_eq!(s.ranges(), 0, "it was split");
        s.step(&payload(10, &[(15, true), (20, false), (40, true), (90, true)]));
        assert_eq!(s.ranges(), 1, "the first of four: {s:?}");
        s.step(&payload(60, &[(70, true)]));
        assert_eq!(s.ranges(), 3, "all but the last");
    }

    #[test]
    fn at_the_end_all_is_settled() {
        let mut s = Settling::default();
        s.step(&payload(0, &[(10, true), (20, false), (30, true)]));
        s.step(&payload(25, &[(30, true)]));
        assert_eq!(s.ranges(), 1);
        s.end();
        s.end();
        assert_eq!(s.ranges(), 2);
    }
}
