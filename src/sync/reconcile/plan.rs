//! How to take a session further, from what the last payload tells of the differences at hand.
//!
//! Of the fingerprints that came, the part that differs tells how many differences a range holds
//! about: where `k` of `K` differ they are `λ = -ln(1 - k/K)` a range, if they are spread, and
//! `λ·K/k` in one that differs. A range that is thought to hold many is split wide; one that is
//! thought to hold one or two is split in a few parts, for of two nodes of ours the one that holds
//! a single difference sees it in the fingerprint itself (see [`super::respond`]) and needs no list.
//!
//! A deployed peer sees nothing in a fingerprint: it lists up to a hundred ids, or splits by time
//! into eight parts, by which it is known. For it what remains of a range should be short, so it is
//! split wide to the end.

use super::{Differences, Tuning};
use crate::wire::reconciliation::{Payload, RangeData};

/// Ranges of more ids are not searched for a single difference; nor, where there are thought to be
/// more than so many differences in a range, those of more than the second count.
const SEARCHED: usize = 4096;
const MANY: f64 = 3.0;
const SEARCHED_OF_MANY: usize = 256;
/// Parts for each difference that a range is thought to hold.
const PARTS_EACH: f64 = 2.5;
/// Ids for each difference up to which a list is shorter than splitting on, and at least.
const LISTED_EACH: f64 = 3.5;
const LISTED: usize = 4;

/// What is done with ranges that differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    fan_out: usize,
    wide: usize,
    /// Ranges of at most so many ids are searched for a single difference.
    pub(super) searched: usize,
    /// Ranges of at most so many ids are listed.
    pub(super) max_item_set: usize,
}

impl Plan {
    /// From a payload, of whose fingerprints so many differ from ours.
    pub(super) fn new(
        received: &Payload,
        differ: usize,
        tuning: &Tuning,
        found: &mut Differences,
    ) -> Self {
        let wide = tuning.fan_out.max(2);
        let max_item_set = tuning.max_item_set;
        let usual = Plan { fan_out: wide, wide, searched: SEARCHED, max_item_set };
        if found.peer_splits_by_time || splits_by_time(received) {
            found.peer_splits_by_time = true;
            return usual;
        }
        let is_fingerprint = |data: &RangeData| matches!(data, RangeData::Fingerprint(_));
        let came = received.ranges.iter().filter(|range| is_fingerprint(&range.data)).count();
        if differ == 0 || came < 4 {
            return Plan { max_item_set: LISTED.min(tuning.max_item_set), ..usual };
        }
        // Where all differ there are as many as that would still be likely with, or more.
        let equal = (came.saturating_sub(differ) as f64).max(0.5);
        let each = (came as f64 / equal).ln() * came as f64 / differ as f64;
        let fan_out = ((each * PARTS_EACH).ceil() as usize).clamp(2, wide);
        let listed = ((each * LISTED_EACH) as usize).max(LISTED).min(tuning.max_item_set);
        let searched = if each > MANY { SEARCHED_OF_MANY } else { SEARCHED };
        Plan { fan_out, wide, searched, max_item_set: listed }
    }

    /// Into how many parts a range of so many of our ids is split.
    pub(super) fn fan_out(&self, count: usize) -> usize {
        // What is too long to be searched is to become short enough at once.
        self.fan_out.max(count.div_ceil(SEARCHED)).min(self.wide)
    }
}

/// Whether the payload has two ranges of equal length side by side, as only a node that splits by
/// time makes them: lengths in nanoseconds of parts of equal count are never equal by chance.
fn splits_by_time(received: &Payload) -> bool {
    let mut lower = received.lower;
    let mut last = None;
    for range in &received.ranges {
        let length = range.upper.timestamp.nanos().abs_diff(lower.nanos());
        lower = range.upper.timestamp;
        let says = !matches!(range.data, RangeData::Skip);
        if says && length > 8 && last.is_some_and(|last: u64| last.abs_diff(length) <= 1) {
            return true;
        }
        last = says.then_some(length);
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::types::{MessageHash, SyncId, Timestamp};
    use crate::wire::reconciliation::Range;

    fn payload(lengths: &[i64]) -> Payload {
        let mut at = 0;
        let ranges = lengths.iter().map(|length| {
            at += length.abs();
            let data = RangeData::Fingerprint(MessageHash::ZERO);
            let data = if *length < 0 { RangeData::Skip } else { data };
            Range { upper: SyncId::floor(Timestamp(at)), data }
        });
        Payload { ranges: ranges.collect(), ..Payload::default() }
    }

    fn plan(came: i64, differ: usize) -> Plan {
        let lengths: Vec<i64> = (0..came).map(|i| 1000 + 7 * i).collect();
        let tuning = Tuning { fan_out: 16, max_item_set: 64, max_answer: 1 << 20 };
        Plan::new(&payload(&lengths), differ, &tuning, &mut Differences::default())
    }

    #[test]
    fn many_differences_are_split_wide_and_few_narrow() {
        assert_eq!(plan(1, 1).fan_out(1000), 16, "nothing is known yet");
        assert_eq!(plan(256, 250).fan_out(1000), 10);
        assert_eq!((plan(256, 128).fan_out(1000), plan(256, 5).fan_out(1000)), (4, 3));
        assert_eq!(plan(256, 5).fan_out(30_000), 8, "to be searched next time");
        assert_eq!(plan(256, 5).fan_out(3_000_000), 16);
        assert_eq!((plan(256, 5).max_item_set, plan(256, 256).max_item_set), (4, 21));
    }

    #[test]
    fn a_peer_that_splits_by_time_is_known_from_then_on() {
        let tuning = Tuning { fan_out: 16, max_item_set: 64, max_answer: 1 << 20 };
        let found = &mut Differences::default();
        for (lengths, by_time) in [
            (&[100, 200, 300][..], false),
            (&[100, -100, 100], false),
            (&[5, 5], false),
            (&[7, -300, 300, 301, -9], true),
            (&[100, 200, 300], true),
        ] {
            Plan::new(&payload(lengths), 1, &tuning, found);
            assert_eq!(found.peer_splits_by_time, by_time, "{lengths:?}");
        }
    }
}
