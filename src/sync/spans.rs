//! A set of half-open spans of ids, neighbours joined.
//!
//! Always: no span is empty, and no two touch.

use std::collections::BTreeMap;

use crate::types::SyncId;

/// The spans, by lower bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(BTreeMap<SyncId, SyncId>);

impl Spans {
    /// Adds `[lower, upper)`.
    pub(super) fn insert(&mut self, mut lower: SyncId, mut upper: SyncId) {
        if upper <= lower {
            return;
        }
        if let Some((&a, &b)) = self.0.range(..=lower).next_back()
            && b >= lower
        {
            lower = a;
            upper = upper.max(b);
        }
        while let Some((&a, &b)) = self.0.range(lower..=upper).next() {
            self.0.remove(&a);
            upper = upper.max(b);
        }
        self.0.insert(lower, upper);
    }

    /// What of `[lower, upper)` is in no span, in order.
    pub(super) fn gaps(&self, lower: SyncId, upper: SyncId) -> Vec<(SyncId, SyncId)> {
        let mut gaps = Vec::new();
        let mut from = match self.0.range(..=lower).next_back() {
            Some((_, &b)) => lower.max(b),
            None => lower,
        };
        if from < upper {
            for (&a, &b) in self.0.range(from..upper) {
                if from < a {
                    gaps.push((from, a));
                }
                from = b;
            }
        }
        if from < upper {
            gaps.push((from, upper));
        }
        gaps
    }

    /// Whether a span holds the id.
    pub(super) fn contains(&self, id: &SyncId) -> bool {
        self.0.range(..=*id).next_back().is_some_and(|(_, upper)| id < upper)
    }

    /// Makes one span of all.
    pub(super) fn join(&mut self) {
        let lower = self.0.keys().next().copied();
        let upper = self.0.values().next_back().copied();
        if let (Some(lower), Some(upper)) = (lower, upper) {
            self.0 = BTreeMap::from([(lower, upper)]);
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::types::Timestamp;

    fn at(t: i64) -> SyncId {
        SyncId::floor(Timestamp(t))
    }

    proptest! {
        #[test]
        fn equals_a_set_of_points(
            spans in prop::collection::vec((0i64..60, 0i64..20), 0..20),
            lower in 0i64..80,
            length in 0i64..40,
        ) {
            let mut set = Spans::default();
            let mut points = [false; 100];
            for (a, n) in spans {
                set.insert(at(a), at(a + n));
                points[a as usize..(a + n) as usize].fill(true);
            }
            for (t, &inside) in points.iter().enumerate() {
                prop_assert_eq!(set.contains(&at(t as i64)), inside);
            }
            let runs = points.windows(2).filter(|w| !w[0] && w[1]).count();
            prop_assert_eq!(set.len(), runs + usize::from(points[0]));
            let gaps = set.gaps(at(lower), at(lower + length));
            prop_assert!(gaps.iter().all(|(a, b)| a < b));
            prop_assert!(gaps.windows(2).all(|w| w[0].1 < w[1].0));
            for t in 0..100 {
                let in_gap = gaps.iter().any(|(a, b)| *a <= at(t) && at(t) < *b);
                let wanted = (lower..lower + length).contains(&t) && !points[t as usize];
                prop_assert_eq!(in_gap, wanted);
            }
        }
    }
}
