//! What is read: the sums of any window, from a kept summary where that is less work.

use std::ops::Range;

use super::{Kept, bounds};
use crate::sync::index::Index;
use crate::sync::lattice::Lattice;
use crate::sync::sketch::{Cell, Key, Sketch};
use crate::types::{MessageHash, SyncId, TimeRange, Timestamp};

type Span = (SyncId, SyncId);

/// How a window differs from what is kept.
struct Difference {
    add: [Span; 2],
    take: [Span; 2],
}

/// How to come from the kept summary to a window that holds `total` ids; `None` where it touches
/// fewer ids to begin from nothing.
fn difference(kept: &Kept, index: &Index, (lower, upper): Span, total: u64) -> Option<Difference> {
    if kept.upper <= lower || upper <= kept.lower {
        return None;
    }
    // Spans that end before they begin hold nothing.
    let add = [(lower, kept.lower), (kept.upper, upper)];
    let take = [(kept.lower, lower), (upper, kept.upper)];
    let touched: u64 = add.iter().chain(&take).map(|(a, b)| count(index, a, b)).sum();
    (touched < total).then_some(Difference { add, take })
}

fn count(index: &Index, lower: &SyncId, upper: &SyncId) -> u64 {
    if upper <= lower { 0 } else { (index.rank(upper) - index.rank(lower)) as u64 }
}

/// Count and lattice hash of the ids of a window. With a kept summary of the same index only the
/// ids are touched (half a microsecond each) that one has and the other has not.
pub fn lattice_of(kept: Option<&Kept>, index: &Index, range: TimeRange) -> (u64, Lattice) {
    let (lower, upper) = bounds(range);
    let total = count(index, &lower, &upper);
    let from = kept.and_then(|kept| Some((kept, difference(kept, index, (lower, upper), total)?)));
    let Some((kept, Difference { add, take })) = from else {
        let mut lattice = Lattice::default();
        index.range(&lower, &upper).for_each(|id| lattice.add(&id.hash));
        return (total, lattice);
    };
    let mut lattice = kept.lattice.clone();
    for (a, b) in add {
        index.range(&a, &b).for_each(|id| lattice.add(&id.hash));
    }
    for (a, b) in take {
        index.range(&a, &b).for_each(|id| lattice.take(&id.hash));
    }
    (total, lattice)
}

/// Cells `cells` of the endless row of the plain keys of a window; as [`lattice_of`], with a kept
/// summary as long as it has so many.
pub fn cells_of(
    kept: Option<&Kept>,
    index: &Index,
    range: TimeRange,
    cells: Range<usize>,
) -> Vec<Cell> {
    let (lower, upper) = bounds(range);
    let total = count(index, &lower, &upper);
    let keys = |(a, b): Span| index.range(&a, &b).map(|id| Key::plain(&id));
    let from = kept.and_then(|kept| {
        let sums = kept.sketch.cells().get(cells.clone())?;
        Some((sums, difference(kept, index, (lower, upper), total)?))
    });
    let Some((sums, Difference { add, take })) = from else {
        return Sketch::cells_from(keys((lower, upper)), cells);
    };
    let mut sums = sums.to_vec();
    for span in add {
        Sketch::spread_all(keys(span), false, cells.start, &mut sums);
    }
    for span in take {
        Sketch::spread_all(keys(span), true, cells.start, &mut sums);
    }
    sums
}

/// The id of a window whose plain key this is; where there are two, which no honest peers' ids
/// bring about, the first. The window must be shorter than 2^48 ns (78 hours); of a longer one
/// only its first 78 hours are looked through.
pub fn find(index: &Index, range: TimeRange, key: &Key) -> Option<SyncId> {
    const TIMES: u64 = 1 << 48;
    let start = range.start().nanos();
    let later = key.time_low().wrapping_sub(start as u64) % TIMES;
    let time = Timestamp(start.checked_add_unsigned(later)?);
    if !range.contains(time) {
        return None;
    }
    let (mut low, mut high) = (MessageHash::ZERO, MessageHash::MAX);
    low.0[..6].copy_from_slice(&key.prefix());
    high.0[..6].copy_from_slice(&key.prefix());
    let first = index.range(&SyncId::new(time, low), &SyncId::new(time, high)).next();
    first.or_else(|| Some(SyncId::new(time, high)).filter(|id| index.contains(id)))
}
