//! The first payload, and the answer to each.
//!
//! # Why a session ends
//!
//! Take the leftmost range that is open, that is neither skip nor left out. Whoever receives it
//! does one of three things, whatever the budget: settles it (where the two fingerprints differ by
//! the hash of one id of ours, by telling that id alone); lists it, upon which the other side
//! settles it, or settles its left part where the whole does not fit; or splits it into parts that
//! each hold fewer of its own ids. So with each payload either the left border of what is open
//! moves right past an id, or the leftmost range loses ids of one side. Ids are finite. Ranges
//! further right may be put off, and even be joined again, but never the leftmost one. With a
//! deployed peer, which splits by time, the same holds of the time that the leftmost range spans.
//! A peer that keeps to no rules is stopped by [`super::MAX_ROUNDS`].

use std::borrow::Cow;

use crate::error::{Result, bail};
use crate::sync::index::Fingerprint;
use crate::types::{MessageHash, SyncId, TimeRange, Timestamp};
use crate::wire::reconciliation::{MAX_RANGES, Payload, Range, RangeData, Scope};

use super::answer::{Answer, FINGERPRINT_BYTES, Part, varint_len};
use super::differences::Side;
use super::mark::is_marked;
use super::plan::Plan;
use super::{Differences, Tuning, View, meet, split};

/// About the bytes of a listed id: a small difference of time, and the hash.
const ID_BYTES: u128 = 37;

/// A peer is asked to list, rather than to push unannounced, where the list is expected to stay
/// within so many answers of ours.
const LISTED_ANSWERS: u128 = 8;

/// The first payload of a session: one fingerprint of the window, or the empty payload where the
/// window is empty. The wire knows no times before 1970; what is older is not compared.
pub fn initiate(view: &View<'_>, window: TimeRange, scope: &Scope, _tuning: &Tuning) -> Payload {
    let mut answer = Answer::default();
    let (lower, upper) = clip(window);
    if lower < upper {
        answer.push(split::fingerprint(view, lower, upper));
    }
    answer.into_payload(scope)
}

/// What a payload is answered with, or `None` where the session is done (the payload was empty or
/// all skip). An answer that is all skip comes as the empty payload: send it, then the session is
/// done too. So does the answer to a scope that does not meet ours. Spans outside of `window` are
/// answered with skip.
///
/// What skips say before the first and behind the last open range is left out; where an item set
/// is answered, only those stretches are listed that hold a difference.
///
/// # Errors
/// [`crate::ErrorKind::SyncProtocol`] where the ranges do not ascend, or after
/// [`super::MAX_ROUNDS`] payloads in one session.
pub fn respond(
    view: &View<'_>,
    received: &Payload,
    window: TimeRange,
    scope: &Scope,
    tuning: &Tuning,
    found: &mut Differences,
) -> Result<Option<Payload>> {
    if received.ranges.iter().all(|range| matches!(range.data, RangeData::Skip)) {
        return Ok(None);
    }
    found.searches |= found.rounds() == 0 && is_marked(received);
    found.begin_round()?;
    let mut answer = Answer::default();
    if meet(scope, &received.scope).is_some() {
        let tasks = examine(view, received, clip(window), found)?;
        let differ = tasks.iter().filter(|task| task.apart.is_some()).count();
        let plan = Plan::new(received, differ, tuning, found);
        let mut expected = Expected::new(view, clip(window), tuning);
        carry_out(view, &tasks, (tuning, &plan), found, &mut expected, &mut answer);
    }
    Ok(Some(answer.into_payload(scope)))
}

/// The part of a window that the wire can name.
fn clip(window: TimeRange) -> (Timestamp, Timestamp) {
    (window.start().max(Timestamp(0)), window.end())
}

/// A range that must be answered by more than skip. Not empty, and within the window.
struct Task<'a> {
    lower: Timestamp,
    upper: Timestamp,
    /// How many of our ids it holds, where that is known already.
    count: Option<usize>,
    /// Where the peer told its fingerprint: the XOR of all hashes that one side alone holds.
    apart: Option<MessageHash>,
    /// The peer's ids of it, where it listed them and waits for ours.
    listed: Option<Cow<'a, [SyncId]>>,
}

/// Count and XOR of our ids of each fingerprint's range, in order; all in one walk.
///
/// # Errors
/// Where the ranges do not ascend.
fn sums(view: &View<'_>, received: &Payload) -> Result<Vec<Fingerprint>> {
    let mut bounds: Vec<SyncId> = Vec::new();
    let mut ranges = Vec::new();
    let mut lower = SyncId::floor(received.lower);
    for Range { upper, data } in &received.ranges {
        if *upper < lower {
            bail!(SyncProtocol, "a range ends at {upper:?}, before it starts at {lower:?}");
        }
        if let RangeData::Fingerprint(_) = data {
            if bounds.last() != Some(&lower) {
                bounds.push(lower);
            }
            ranges.push(bounds.len());
            bounds.push(*upper);
        }
        lower = *upper;
    }
    let below = view.below_each(&bounds);
    let between = |at: usize| {
        let mut sum = *below.get(at)?;
        sum.take(below.get(at - 1)?);
        Some(sum)
    };
    Ok(ranges.into_iter().filter_map(between).collect())
}

/// Looks at each range, notes the differences, and tells what is left to answer.
fn examine<'a>(
    view: &View<'_>,
    received: &'a Payload,
    (start, end): (Timestamp, Timestamp),
    found: &mut Differences,
) -> Result<Vec<Task<'a>>> {
    let window = (SyncId::floor(start), SyncId::floor(end));
    let mut sums = sums(view, received)?.into_iter();
    let mut tasks = Vec::new();
    let mut lower = SyncId::floor(received.lower);
    // Bounds within one timestamp are legal, though nothing deployed writes them, and ours may not
    // be such: ranges that meet at one are answered together, between the next proper bounds.
    for group in received.ranges.chunk_by(|range, _| range.upper.hash != MessageHash::ZERO) {
        let from = lower;
        let mut open = false;
        let mut count = None;
        let mut apart = None;
        let mut listed = None;
        for Range { upper, data } in group {
            let (a, b) = (lower.max(window.0), upper.min(&window.1));
            let inside = a < *b;
            match data {
                RangeData::Skip => {}
                RangeData::Fingerprint(theirs) => {
                    let sum = sums.next().unwrap_or_default();
                    open |= inside && sum.xor != *theirs;
                    count = Some(sum.count);
                    apart = Some(xor(&sum.xor, theirs));
                }
                RangeData::ItemSet { ids, reconciled } if inside => {
                    let ids = within(ids, a, *b);
                    found.compare(view, a, *b, &ids);
                    if !reconciled {
                        open = true;
                        listed = Some(ids);
                    }
                }
                RangeData::ItemSet { .. } => {}
            }
            lower = *upper;
        }
        let to = if lower.hash == MessageHash::ZERO {
            lower.timestamp
        } else {
            Timestamp(lower.timestamp.nanos().saturating_add(1))
        };
        let (a, b) = (from.timestamp.max(start), to.min(end));
        if open && a < b {
            let whole = SyncId::floor(a) == from && SyncId::floor(b) == lower;
            let single = group.len() == 1;
            tasks.push(Task {
                lower: a,
                upper: b,
                count: count.filter(|_| single && whole),
                apart: apart.filter(|_| single && whole),
                listed: listed.filter(|_| single),
            });
        }
    }
    Ok(tasks)
}

fn xor(a: &MessageHash, b: &MessageHash) -> MessageHash {
    MessageHash(std::array::from_fn(|i| a.0[i] ^ b.0[i]))
}

/// The ids between two bounds, ascending. Honest peers send them so; others are put in order.
fn within(ids: &[SyncId], lower: SyncId, upper: SyncId) -> Cow<'_, [SyncId]> {
    if ids.is_sorted_by(|a, b| a < b) {
        let start = ids.partition_point(|id| *id < lower);
        let end = ids.partition_point(|id| *id < upper);
        return Cow::Borrowed(ids.get(start..end).unwrap_or_default());
    }
    let mut ids: Vec<SyncId> =
        ids.iter().copied().filter(|id| lower <= *id && *id < upper).collect();
    ids.sort_unstable();
    ids.dedup();
    Cow::Owned(ids)
}

/// Answers each task in full while the budget lasts, and the others by their fingerprint. Where
/// even that is too much, all that are left become one range.
///
/// A quarter of the budget, at the most, is kept for those fingerprints: most of an answer must
/// take the session further.
fn carry_out(
    view: &View<'_>,
    tasks: &[Task<'_>],
    (tuning, plan): (&Tuning, &Plan),
    found: &mut Differences,
    expected: &mut Expected<'_>,
    answer: &mut Answer,
) {
    for (i, task) in tasks.iter().enumerate() {
        let first = answer.is_empty();
        let later = tasks.len() - i - 1;
        let left = tuning.max_answer.saturating_sub(answer.bytes());
        let room = MAX_RANGES.saturating_sub(answer.ranges() + 2 * later);
        if !first && (left < FINGERPRINT_BYTES * (1 + later.min(1)) || room < 2) {
            let upper = tasks.last().map_or(task.upper, |last| last.upper);
            answer.push(split::put_off(view, task.lower, upper));
            return;
        }
        let kept = (later * FINGERPRINT_BYTES).min(tuning.max_answer / 4);
        let budget = left.saturating_sub(kept.max(FINGERPRINT_BYTES));
        let put_off = || vec![split::put_off(view, task.lower, task.upper)];
        let mut parts = match &task.listed {
            Some(theirs) => reply(view, task, theirs, found, answer, budget),
            None if !first && budget == 0 => put_off(),
            None => differ(view, task, plan, found, expected),
        };
        if !first && (answer.cost(&parts) > budget || 2 * parts.len() > room) {
            parts = put_off();
        }
        for part in parts {
            answer.push(part);
        }
    }
}

/// Answers a fingerprint that is not ours.
fn differ(
    view: &View<'_>,
    task: &Task<'_>,
    plan: &Plan,
    found: &mut Differences,
    expected: &mut Expected<'_>,
) -> Vec<Part> {
    let (lower, upper) = (SyncId::floor(task.lower), SyncId::floor(task.upper));
    let count = task.count.unwrap_or_else(|| view.fingerprint(&lower, &upper).count);
    if found.searches
        && found.asks
        && found.announces
        && let Some(apart) = &task.apart
        && count <= plan.searched
        && let Some(id) = view.find(&lower, &upper, apart)
        && let Some(part) = single(view, id, found)
    {
        return vec![part];
    }
    match (count, found.asks) {
        (0, false) if found.announces => return Vec::new(),
        (_, false) => return split::unlisted(view, task.lower, task.upper, count, plan),
        (0, true) => {}
        (_, true) => return split::answer(view, task.lower, task.upper, count, plan),
    }
    let reconciled = expected.is_too_much(task.lower, task.upper) && found.grant(lower, upper);
    let data = RangeData::ItemSet { ids: Vec::new(), reconciled };
    vec![Part { lower: task.lower, upper: task.upper, data }]
}

/// Settles a range whose fingerprints are apart by the hash of an id of ours: that is the one
/// difference in it. (Or many that XOR to just that; then they stay hidden from this session, as
/// hashes chosen to XOR to zero do.) The peer is told the id as one that it lacks: all ids of its
/// timestamp, marked reconciled, for those beside it are on both sides.
fn single(view: &View<'_>, id: SyncId, found: &mut Differences) -> Option<Part> {
    let (lower, upper) = (id.timestamp, Timestamp(id.timestamp.nanos().checked_add(1)?));
    let (from, to) = (SyncId::floor(lower), SyncId::floor(upper));
    let ids: Vec<SyncId> = view.range(&from, &to).collect();
    let theirs: Vec<SyncId> = ids.iter().filter(|other| **other != id).copied().collect();
    found.compare(view, from, to, &theirs);
    Some(Part { lower, upper, data: RangeData::ItemSet { ids, reconciled: true } })
}

/// Answers a list of the peer with ours, marked reconciled; but of all that is common to both
/// sides nothing is said, for the peer need not hear it again.
///
/// What does not fit the budget is put off by a fingerprint of the rest. The first timestamp that
/// differs is always listed where this begins the answer.
///
/// A side of which the peer is to be told nothing is written as if both held the same of it.
fn reply(
    view: &View<'_>,
    task: &Task<'_>,
    theirs: &[SyncId],
    found: &Differences,
    answer: &Answer,
    budget: usize,
) -> Vec<Part> {
    let budget = budget.saturating_sub(FINGERPRINT_BYTES);
    let mut stretches = Stretches::default();
    let mut spent = 0;
    let both = view.merge(SyncId::floor(task.lower), SyncId::floor(task.upper), theirs);
    let mut both = both.peekable();
    while let Some((id, side)) = both.next() {
        let t = id.timestamp;
        // All ids of one timestamp belong together.
        let mut ours = Vec::new();
        let mut differs = false;
        let mut take = |id: SyncId, side: Side| {
            let (told, held) = match side {
                Side::Both => (false, true),
                Side::Local => (found.announces, found.announces),
                Side::Remote => (found.asks, !found.asks),
            };
            differs |= told;
            if held {
                ours.push(id);
            }
        };
        take(id, side);
        while let Some((id, side)) = both.next_if(|(id, _)| id.timestamp == t) {
            take(id, side);
        }
        if !differs {
            stretches.open = false;
            continue;
        }
        // A stretch begins with two bounds, two types, a count and a mark, at the most.
        let begin = if stretches.open { 0 } else { FINGERPRINT_BYTES };
        let gap = varint_len(stretches.last.nanos(), t);
        spent += begin + ours.len() * 33 + gap + varint_len(0, t);
        let full = spent > budget || stretches.parts.len() >= MAX_RANGES / 4;
        if full && !(answer.is_empty() && stretches.parts.is_empty()) {
            let mut parts = stretches.parts;
            parts.push(split::put_off(view, t, task.upper));
            return parts;
        }
        stretches.add(t, ours);
    }
    stretches.parts
}

/// Stretches of ids in which each timestamp differs.
struct Stretches {
    parts: Vec<Part>,
    /// Whether the last part goes on.
    open: bool,
    last: Timestamp,
}

impl Default for Stretches {
    fn default() -> Self {
        Stretches { parts: Vec::new(), open: false, last: Timestamp(0) }
    }
}

impl Stretches {
    /// A timestamp that differs, with our ids of it.
    fn add(&mut self, t: Timestamp, ours: Vec<SyncId>) {
        let upper = Timestamp(t.nanos().saturating_add(1));
        self.last = t;
        if self.open
            && let Some(Part { upper: end, data: RangeData::ItemSet { ids, .. }, .. }) =
                self.parts.last_mut()
        {
            *end = upper;
            ids.extend(ours);
            return;
        }
        let data = RangeData::ItemSet { ids: ours, reconciled: true };
        self.parts.push(Part { lower: t, upper, data });
        self.open = true;
    }
}

/// Guesses how much a peer would list of ranges in which we hold nothing, by how dense our own ids
/// are, so that an answer of it stays within what a node reads as one frame.
struct Expected<'a> {
    view: &'a View<'a>,
    window: (Timestamp, Timestamp),
    held: Option<usize>,
    left: u128,
}

impl<'a> Expected<'a> {
    fn new(view: &'a View<'a>, window: (Timestamp, Timestamp), tuning: &Tuning) -> Self {
        let left = tuning.max_answer as u128 * LISTED_ANSWERS;
        Expected { view, window, held: None, left }
    }

    /// Whether the list of this range is too much, after those that were asked for before it.
    fn is_too_much(&mut self, lower: Timestamp, upper: Timestamp) -> bool {
        let (start, end) = self.window;
        let view = self.view;
        let held = *self.held.get_or_insert_with(|| {
            view.fingerprint(&SyncId::floor(start), &SyncId::floor(end)).count
        });
        let span = |a: Timestamp, b: Timestamp| u128::from(b.nanos().abs_diff(a.nanos()));
        let ids = held as u128 * span(lower, upper) / span(start, end).max(1);
        match self.left.checked_sub(ids * ID_BYTES) {
            Some(left) => {
                self.left = left;
                false
            }
            None => true,
        }
    }
}
