//! The trees of one session's scope, taken together.

use std::iter::Peekable;

use crate::sync::index::{Fingerprint, Ids, Index};
use crate::types::{MessageHash, SyncId, Timestamp};

use super::differences::Side;

/// The trees of one session's scope, taken together: one index a pubsub topic, or one index that
/// was loaded for this session alone. Fingerprints over disjoint sets add up.
pub struct View<'a>(pub Vec<&'a Index>);

impl<'a> View<'a> {
    /// Count and XOR of `[lower, upper)`.
    pub fn fingerprint(&self, lower: &SyncId, upper: &SyncId) -> Fingerprint {
        let mut sum = Fingerprint::default();
        for index in &self.0 {
            sum.add(&index.fingerprint(lower, upper));
        }
        sum
    }

    /// Count and XOR of what is below each of some bounds, which must not descend.
    pub(super) fn below_each(&self, bounds: &[SyncId]) -> Vec<Fingerprint> {
        let mut sums = vec![Fingerprint::default(); bounds.len()];
        for index in &self.0 {
            for (sum, more) in sums.iter_mut().zip(index.below_each(bounds)) {
                sum.add(&more);
            }
        }
        sums
    }

    /// The ids of `[lower, upper)` in order.
    pub fn range(&self, lower: &SyncId, upper: &SyncId) -> Merged<'a> {
        let heads = self.0.iter().map(|index| index.range(lower, upper).peekable());
        Merged(heads.filter_map(|mut ids| ids.peek().is_some().then_some(ids)).collect())
    }

    /// Our id of this hash in `[lower, upper)`. It looks at each id: for short ranges.
    pub(super) fn find(
        &self,
        lower: &SyncId,
        upper: &SyncId,
        hash: &MessageHash,
    ) -> Option<SyncId> {
        self.0.iter().find_map(|index| index.range(lower, upper).find(|id| id.hash == *hash))
    }

    /// The lowest and the highest timestamp in `[lower, upper)`.
    pub(super) fn ends(&self, lower: &SyncId, upper: &SyncId) -> Option<(Timestamp, Timestamp)> {
        let mut ends: Option<(Timestamp, Timestamp)> = None;
        for index in &self.0 {
            let (start, end) = (index.rank(lower), index.rank(upper));
            if start >= end {
                continue;
            }
            let (Some(first), Some(last)) = (index.select(start), index.select(end - 1)) else {
                continue;
            };
            let (a, b) = ends.unwrap_or((first.timestamp, last.timestamp));
            ends = Some((a.min(first.timestamp), b.max(last.timestamp)));
        }
        ends
    }

    /// Timestamps of ids that cut `[lower, upper)` into about `parts` parts of equal count, in
    /// order. A timestamp that fills more than a part comes more than once.
    ///
    /// Of one tree the cuts are exact. Of several, each gives twice as many cuts of its own, and a
    /// sweep over all of them adds up what lies between; it is off by half a part at the most.
    pub(super) fn cuts(&self, lower: &SyncId, upper: &SyncId, parts: usize) -> Vec<Timestamp> {
        let mut total = 0;
        let spans: Vec<(&Index, usize, usize)> = self
            .0
            .iter()
            .map(|index| {
                let start = index.rank(lower);
                let count = index.rank(upper).saturating_sub(start);
                total += count;
                (*index, start, count)
            })
            .filter(|(_, _, count)| *count > 0)
            .collect();
        if let [(index, start, count)] = spans.as_slice() {
            let ranks: Vec<usize> =
                (1..parts).map(|part| start + part_of(*count, part, parts)).collect();
            return index.select_each(&ranks).iter().map(|id| id.timestamp).collect();
        }
        let mut points = Vec::new();
        for (index, start, count) in spans {
            let n = count.min(2 * parts);
            let ranks: Vec<usize> = (0..n).map(|i| start + part_of(count, i, n)).collect();
            let ids = index.select_each(&ranks);
            let ends = ranks.iter().skip(1).copied().chain(std::iter::once(start + count));
            let weights = ranks.iter().zip(ends).map(|(here, next)| next - here);
            points.extend(ids.iter().map(|id| id.timestamp).zip(weights));
        }
        points.sort_unstable();
        let mut cuts = Vec::new();
        let mut below = 0;
        for (time, weight) in points {
            while cuts.len() + 1 < parts && below >= part_of(total, cuts.len() + 1, parts) {
                cuts.push(time);
            }
            below += weight;
        }
        cuts
    }

    /// Our ids of `[lower, upper)` and the peer's, in one order, each with who holds it.
    pub(super) fn merge<'b>(
        &self,
        lower: SyncId,
        upper: SyncId,
        theirs: &'b [SyncId],
    ) -> Both<'a, 'b> {
        Both { ours: self.range(&lower, &upper).peekable(), theirs }
    }
}

/// `count · part / parts`, which may be more than a `usize` holds on the way.
fn part_of(count: usize, part: usize, parts: usize) -> usize {
    usize::try_from(count as u128 * part as u128 / parts as u128).unwrap_or(count)
}

/// The ids of several trees in one order.
#[derive(Clone, Debug)]
pub struct Merged<'a>(Vec<Peekable<Ids<'a>>>);

impl Iterator for Merged<'_> {
    type Item = SyncId;

    fn next(&mut self) -> Option<SyncId> {
        if let [ids] = self.0.as_mut_slice() {
            return ids.next();
        }
        let heads = self.0.iter_mut().enumerate();
        let (_, at) = heads.filter_map(|(at, ids)| Some((*ids.peek()?, at))).min()?;
        self.0.get_mut(at)?.next()
    }
}

/// See [`View::merge`].
pub(super) struct Both<'a, 'b> {
    ours: Peekable<Merged<'a>>,
    theirs: &'b [SyncId],
}

impl Iterator for Both<'_, '_> {
    type Item = (SyncId, Side);

    fn next(&mut self) -> Option<(SyncId, Side)> {
        let (id, side) = match (self.ours.peek(), self.theirs.first()) {
            (Some(a), Some(b)) if a == b => (*a, Side::Both),
            (Some(a), Some(b)) if b < a => (*b, Side::Remote),
            (Some(a), _) => (*a, Side::Local),
            (None, Some(b)) => (*b, Side::Remote),
            (None, None) => return None,
        };
        if side != Side::Remote {
            self.ours.next();
        }
        if side != Side::Local {
            self.theirs = self.theirs.get(1..).unwrap_or_default();
        }
        Some((id, side))
    }
}
