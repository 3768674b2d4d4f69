//! A range that differs: listed where it is small, else split by count.
//!
//! The parts tile the range; where it is split there are two or more, each with local ids of its
//! own, so that each has fewer than the whole. That makes splitting come to an end.

use crate::sabotage::{self, Bug};
use crate::sync::index::Fingerprint;
use crate::types::{SyncId, Timestamp};
use crate::wire::reconciliation::RangeData;

use super::View;
use super::answer::Part;
use super::plan::Plan;

/// Parts that a deployed node splits into, by time. A range of fewer nanoseconds, with more ids
/// than it lists, it cannot split: it leaves it out of its answer, and the range after it then
/// seems to begin sooner. So what is that short is listed to it, whatever it holds.
const DEPLOYED_PARTS: i64 = 8;

/// Up to so many ids are read once and split in memory; of more, each part is asked of the tree.
const SMALL: usize = 1024;

/// Our ids of a range as an item set.
pub(super) fn list(view: &View<'_>, lower: Timestamp, upper: Timestamp) -> Part {
    let ids = view.range(&SyncId::floor(lower), &SyncId::floor(upper)).collect();
    Part { lower, upper, data: RangeData::ItemSet { ids, reconciled: false } }
}

/// Our fingerprint of a range.
pub(super) fn fingerprint(view: &View<'_>, lower: Timestamp, upper: Timestamp) -> Part {
    let sum = view.fingerprint(&SyncId::floor(lower), &SyncId::floor(upper));
    Part { lower, upper, data: RangeData::Fingerprint(sum.xor) }
}

/// A range that is left for a later payload: by its fingerprint, or listed where it is too short for
/// a deployed node to split.
pub(super) fn put_off(view: &View<'_>, lower: Timestamp, upper: Timestamp) -> Part {
    if is_short(lower, upper) {
        return list(view, lower, upper);
    }
    fingerprint(view, lower, upper)
}

/// What a range is answered with that differs and holds `count` of our ids, at least one.
pub(super) fn answer(
    view: &View<'_>,
    lower: Timestamp,
    upper: Timestamp,
    count: usize,
    plan: &Plan,
) -> Vec<Part> {
    if count <= plan.max_item_set || is_short(lower, upper) {
        return vec![list(view, lower, upper)];
    }
    let fan_out = plan.fan_out(count);
    // More parts than the root of the count would cost more than they save: a fingerprint is about
    // as long as an id.
    let parts = fan_out.min(count.isqrt().max(2));
    let listed = (plan.max_item_set / fan_out).max(1);
    let (from, to) = (SyncId::floor(lower), SyncId::floor(upper));
    if count <= SMALL {
        let ids: Vec<SyncId> = view.range(&from, &to).collect();
        return split_small(&ids, lower, upper, parts, listed);
    }
    let Some((first, last)) = view.ends(&from, &to) else { return Vec::new() };
    let after = |t: Timestamp| Some(view.ends(&just_after(t)?, &to)?.0);
    let mut bounds = bounds(&view.cuts(&from, &to, parts), first, last, after);
    if bounds.is_empty() {
        return vec![list(view, lower, upper)];
    }
    bounds.insert(0, lower);
    bounds.push(upper);
    let ends: Vec<SyncId> = bounds.iter().map(|t| SyncId::floor(*t)).collect();
    let below = view.below_each(&ends);
    bounds
        .windows(2)
        .zip(below.windows(2))
        .map(|(bounds, below)| {
            let (a, b) = (bounds[0], bounds[1]);
            let mut sum = below[1];
            sum.take(&below[0]);
            if sum.count <= listed || is_short(a, b) {
                return list(view, a, b);
            }
            Part { lower: a, upper: b, data: RangeData::Fingerprint(sum.xor) }
        })
        .collect()
}

/// As [`answer`], but nothing is listed that the peer can list: a fingerprint stands for it, the
/// very one that was received at the least. The peer must then split the range, or list it.
pub(super) fn unlisted(
    view: &View<'_>,
    lower: Timestamp,
    upper: Timestamp,
    count: usize,
    plan: &Plan,
) -> Vec<Part> {
    if count == 0 {
        let part = if is_short(lower, upper) { list } else { fingerprint };
        return vec![part(view, lower, upper)];
    }
    let mut parts = answer(view, lower, upper, count, plan);
    for part in &mut parts {
        if let RangeData::ItemSet { ids, .. } = &part.data
            && !is_short(part.lower, part.upper)
        {
            part.data = RangeData::Fingerprint(Fingerprint::of(ids.iter().map(|id| &id.hash)).xor);
        }
    }
    parts
}

/// As [`answer`], for a range whose ids are at hand.
fn split_small(
    ids: &[SyncId],
    lower: Timestamp,
    upper: Timestamp,
    parts: usize,
    listed: usize,
) -> Vec<Part> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Vec::new() };
    let cuts: Vec<Timestamp> =
        (1..parts).filter_map(|i| ids.get(ids.len() * i / parts)).map(|id| id.timestamp).collect();
    let after =
        |t: Timestamp| ids.get(ids.partition_point(|id| id.timestamp <= t)).map(|id| id.timestamp);
    let mut bounds = bounds(&cuts, first.timestamp, last.timestamp, after);
    if bounds.is_empty() {
        let data = RangeData::ItemSet { ids: ids.to_vec(), reconciled: false };
        return vec![Part { lower, upper, data }];
    }
    let mut rest = ids;
    bounds.push(upper);
    let mut from = lower;
    bounds
        .into_iter()
        .map(|to| {
            let inclusive = sabotage::is(Bug::InclusiveUpperBound);
            let inside = |id: &SyncId| id.timestamp < to || (inclusive && id.timestamp == to);
            let (here, behind) = rest.split_at(rest.partition_point(inside));
            rest = behind;
            let data = if here.len() <= listed || is_short(from, to) {
                RangeData::ItemSet { ids: here.to_vec(), reconciled: false }
            } else {
                RangeData::Fingerprint(Fingerprint::of(here.iter().map(|id| &id.hash)).xor)
            };
            let part = Part { lower: from, upper: to, data };
            from = to;
            part
        })
        .collect()
}

fn is_short(lower: Timestamp, upper: Timestamp) -> bool {
    upper.nanos().saturating_sub(lower.nanos()) < DEPLOYED_PARTS
}

/// The lowest bound above all ids of this timestamp.
fn just_after(t: Timestamp) -> Option<SyncId> {
    Some(SyncId::floor(Timestamp(t.nanos().checked_add(1)?)))
}

/// The bounds between the parts, from the timestamps that cut the range, of which some may be the
/// same. Each bound is the timestamp of an id and above the first one, so that no part is empty. A
/// timestamp that more than one cut fell on becomes a part of its own. There is no bound only
/// where all ids share one timestamp.
fn bounds(
    cuts: &[Timestamp],
    first: Timestamp,
    last: Timestamp,
    after: impl Fn(Timestamp) -> Option<Timestamp>,
) -> Vec<Timestamp> {
    let mut bounds = Vec::with_capacity(2 * cuts.len());
    for run in cuts.chunk_by(|a, b| a == b) {
        let t = run[0];
        if t > first {
            bounds.push(t);
        }
        if t == first || run.len() > 1 {
            bounds.extend(after(t));
        }
    }
    bounds.sort_unstable();
    bounds.dedup();
    if bounds.is_empty() && first < last {
        bounds.push(last);
    }
    bounds
}
