//! Who agreed with this node on which spans of time.
//!
//! What must hold: nothing is claimed that was not agreed. Of each group the latest comparison
//! over a moment counts. The number of spans, of groups in each, and the age of all are bounded:
//! where there are too many spans, those of the older half are joined, each to what all of the
//! joined span agreed on, least loss first; so what is recent stays exact.

use std::collections::BTreeMap;
use std::time::Duration;

use super::report::Coverage;
use super::{AddressGroup, Agreement};
use crate::types::{TimeRange, Timestamp};

/// Spans that are kept: at a heartbeat of five minutes, the last day to the heartbeat, and what is
/// older as well as it goes.
pub(super) const MAX_SPANS: usize = 512;
/// Groups that are kept of one span.
pub(super) const MAX_GROUPS: usize = 32;
/// How far back anything is kept: four weeks.
const MAX_AGE: Duration = Duration::from_secs(4 * 7 * 24 * 3600);

/// What a group said of a span.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Voice {
    /// Agreed strongly.
    pub(super) strong: bool,
    /// When that comparison ended.
    pub(super) at: Timestamp,
}

/// The groups that agree on one span.
pub(super) type Voices = BTreeMap<AddressGroup, Voice>;

/// A span on which somebody agrees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) voices: Voices,
}

/// See the head of the file. Always: the spans ascend, do not overlap, and none is empty or
/// without a voice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Agreements {
    spans: Vec<Span>,
    max_spans: usize,
    max_groups: usize,
}

impl Default for Agreements {
    fn default() -> Self {
        Agreements { spans: Vec::new(), max_spans: MAX_SPANS, max_groups: MAX_GROUPS }
    }
}

impl Agreements {
    /// A comparison with a peer of this group ended at `now`. An agreement on what lies in the
    /// future says nothing: what is yet to come cannot have been compared.
    pub(super) fn note(
        &mut self,
        range: TimeRange,
        group: AddressGroup,
        agreement: Agreement,
        now: Timestamp,
    ) {
        self.cut(now);
        let (start, end) = (range.start(), range.end().min(now));
        if start >= end {
            return;
        }
        self.split(start);
        self.split(end);
        if agreement == Agreement::None {
            for span in self.within(start, end) {
                span.voices.remove(&group);
            }
        } else {
            self.fill(start, end);
            let (max, voice) =
                (self.max_groups, Voice { strong: agreement == Agreement::Strong, at: now });
            for span in self.within(start, end) {
                span.voices.insert(group, voice);
                while span.voices.len() > max {
                    let others = span.voices.iter().filter(|(g, _)| **g != group);
                    let Some(least) = others.min_by_key(|(_, v)| **v).map(|(g, _)| *g) else {
                        break;
                    };
                    span.voices.remove(&least);
                }
            }
        }
        self.spans.retain(|span| !span.voices.is_empty());
        self.join();
        self.bound();
    }

    /// What is agreed on, as of `now`.
    pub(super) fn told(&self, now: Timestamp) -> Vec<Coverage> {
        let told = |span: &Span| {
            let range = TimeRange::new(span.start, span.end.min(now)).ok()?;
            let voices = || span.voices.values();
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            (!range.is_empty()).then(|| Coverage {
                span: range,
                peers: count(span.voices.len()),
                strong: count(voices().filter(|v| v.strong).count()),
                compared_at: voices().map(|v| v.at).max().unwrap_or(now).min(now),
            })
        };
        self.spans.iter().filter_map(told).collect()
    }

    /// The spans, ascending.
    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// From spans that ascend, do not overlap, and are not empty; `None` where they are not so, or
    /// are more than are kept.
    pub(super) fn of(spans: Vec<Span>) -> Option<Self> {
        let agreements = Agreements { spans, ..Agreements::default() };
        let proper = |s: &Span| s.start < s.end && (1..=MAX_GROUPS).contains(&s.voices.len());
        let ordered = agreements.spans.is_sorted_by(|a, b| a.end <= b.start);
        let holds =
            ordered && agreements.spans.len() <= MAX_SPANS && agreements.spans.iter().all(proper);
        holds.then_some(agreements)
    }

    /// Lets go of what is too old, and of what a clock that ran ahead has put in the future.
    fn cut(&mut self, now: Timestamp) {
        let oldest = now.saturating_sub(MAX_AGE);
        for span in &mut self.spans {
            (span.start, span.end) = (span.start.max(oldest), span.end.min(now));
        }
        self.spans.retain(|span| span.start < span.end);
    }

    /// Makes a boundary at `t`, where a span goes over it.
    fn split(&mut self, t: Timestamp) {
        let i = self.spans.partition_point(|span| span.end <= t);
        if let Some(span) = self.spans.get_mut(i).filter(|span| span.start < t) {
            let mut left = span.clone();
            (left.end, span.start) = (t, t);
            self.spans.insert(i, left);
        }
    }

    /// The spans between two boundaries.
    fn within(&mut self, start: Timestamp, end: Timestamp) -> impl Iterator<Item = &mut Span> {
        self.spans.iter_mut().filter(move |span| start <= span.start && span.end <= end)
    }

    /// Puts spans without a voice where there are none between two boundaries.
    fn fill(&mut self, start: Timestamp, end: Timestamp) {
        let mut at = start;
        let mut gaps = Vec::new();
        let mut gap = |from: Timestamp, to: Timestamp| {
            if from < to {
                gaps.push(Span { start: from, end: to, voices: Voices::new() });
            }
        };
        for span in self.spans.iter().filter(|s| start <= s.start && s.end <= end) {
            gap(at, span.start);
            at = span.end;
        }
        gap(at, end);
        self.spans.extend(gaps);
        self.spans.sort_unstable_by_key(|span| span.start);
    }

    /// Joins neighbours that say the same.
    fn join(&mut self) {
        self.spans.dedup_by(|next, span| {
            let same = span.end == next.start && span.voices == next.voices;
            if same {
                span.end = next.end;
            }
            same
        });
    }

    fn bound(&mut self) {
        while self.spans.len() > self.max_spans {
            let older = (self.spans.len() / 2).max(1);
            let neighbours = self.spans.windows(2).take(older).enumerate();
            let joined = neighbours.filter_map(|(i, pair)| Some((joining(pair)?, i, true)));
            let whole = self.spans.iter().take(older).enumerate();
            let dropped = whole.map(|(i, span)| (lost(span, &Voices::new()), i, false));
            let Some((_, i, join)) = joined.chain(dropped).min_by_key(|(loss, i, _)| (*loss, *i))
            else {
                return;
            };
            let gone = self.spans.remove(i);
            if let Some(span) = self.spans.get_mut(i).filter(|_| join) {
                (span.start, span.voices) = (gone.start, common(&gone, span));
            }
            self.join();
        }
    }
}

/// What both of two neighbours say, the weaker and the earlier of each group.
fn common(a: &Span, b: &Span) -> Voices {
    let both = |(group, x): (&AddressGroup, &Voice)| {
        let y = b.voices.get(group)?;
        Some((*group, Voice { strong: x.strong && y.strong, at: x.at.min(y.at) }))
    };
    a.voices.iter().filter_map(both).collect()
}

/// How much goes where these two are joined; `None` where a gap lies between them, or nothing is
/// common to them.
fn joining(pair: &[Span]) -> Option<u128> {
    let [a, b] = pair else { return None };
    let common = a.voices.keys().any(|group| b.voices.contains_key(group));
    (a.end == b.start && common).then(|| lost(a, &b.voices).saturating_add(lost(b, &a.voices)))
}

/// How much agreement goes where a span is left with these voices alone: nanoseconds by group.
fn lost(span: &Span, left: &Voices) -> u128 {
    let gone = span.voices.keys().filter(|group| !left.contains_key(group)).count();
    u128::from(span.end.nanos().abs_diff(span.start.nanos())) * gone as u128
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    /// Long before the present of the tests, and within four weeks of it.
    const BASE: i64 = 1_760_000_000_000_000_000;
    const SLOTS: usize = 40;

    fn t(slot: usize) -> Timestamp {
        Timestamp(BASE + slot as i64)
    }

    fn range(start: usize, end: usize) -> TimeRange {
        TimeRange::new(t(start), t(end)).unwrap()
    }

    /// One moment after another, group by group.
    type Model = Vec<Voices>;

    fn of_slots(agreements: &Agreements) -> Model {
        let at = |slot| agreements.spans.iter().find(|s| s.start <= t(slot) && t(slot) < s.end);
        (0..SLOTS).map(|slot| at(slot).map(|s| s.voices.clone()).unwrap_or_default()).collect()
    }

    fn check(agreements: &Agreements) {
        let spans = &agreements.spans;
        assert!(spans.len() <= agreements.max_spans);
        assert!(spans.iter().all(|s| s.start < s.end && !s.voices.is_empty()));
        assert!(spans.iter().all(|s| s.voices.len() <= agreements.max_groups));
        assert!(spans.is_sorted_by(|a, b| a.end <= b.start));
        let same = |w: &[Span]| w[0].end == w[1].start && w[0].voices == w[1].voices;
        assert!(!spans.windows(2).any(same));
    }

    #[derive(Clone, Debug)]
    struct Step {
        start: usize,
        end: usize,
        group: u64,
        agreement: Agreement,
        now: usize,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let kind = prop_oneof![
            Just(Agreement::None),
            Just(Agreement::Weak),
            Just(Agreement::Weak),
            Just(Agreement::Strong)
        ];
        // Now and then the clock is turned back into what was agreed on.
        let now = prop_oneof![9 => SLOTS..2 * SLOTS, 1 => 0..SLOTS];
        let step = (0..SLOTS, 0..SLOTS, 0u64..5, kind, now).prop_map(
            |(start, length, group, agreement, now)| {
                let end = (start + length).min(SLOTS);
                Step { start, end, group, agreement, now }
            },
        );
        prop::collection::vec(step, 0..60)
    }

    fn apply(model: &mut Model, step: &Step) {
        let group = AddressGroup(step.group);
        for (slot, voices) in model.iter_mut().enumerate() {
            if slot >= step.now {
                voices.clear();
            } else if (step.start..step.end).contains(&slot) {
                match step.agreement {
                    Agreement::None => voices.remove(&group),
                    kind => {
                        let strong = kind == Agreement::Strong;
                        voices.insert(group, Voice { strong, at: t(step.now) })
                    }
                };
            }
        }
    }

    fn note(agreements: &mut Agreements, s: &Step) {
        agreements.note(range(s.start, s.end), AddressGroup(s.group), s.agreement, t(s.now));
        check(agreements);
    }

    proptest! {
        #[test]
        fn equals_a_table_of_moments(steps in steps()) {
            let mut agreements = Agreements::default();
            let mut model: Model = vec![Voices::new(); SLOTS];
            for step in &steps {
                note(&mut agreements, step);
                apply(&mut model, step);
                prop_assert_eq!(&of_slots(&agreements), &model);
            }
        }

        #[test]
        fn bounded_it_claims_less_and_never_more(steps in steps(), max_spans in 1usize..8, max_groups in 1usize..4) {
            let mut agreements = Agreements { max_spans, max_groups, ..Agreements::default() };
            let mut model: Model = vec![Voices::new(); SLOTS];
            for step in &steps {
                note(&mut agreements, step);
                apply(&mut model, step);
                for (kept, all) in of_slots(&agreements).iter().zip(&model) {
                    for (group, voice) in kept {
                        let true_voice = all.get(group);
                        prop_assert!(true_voice.is_some_and(|v| v.strong >= voice.strong && v.at >= voice.at));
                    }
                }
            }
        }
    }

    #[test]
    fn the_old_end_is_coarsened_and_what_is_recent_stays_exact() {
        const MINUTE: i64 = 60_000_000_000;
        let mut agreements = Agreements::default();
        // Eight days of heartbeats of one of four groups in turn, an hour each.
        let beats = 8 * 24 * 12;
        for beat in 0..beats {
            let now = Timestamp(BASE + beat * 5 * MINUTE);
            let window = TimeRange::new(Timestamp(now.0 - 60 * MINUTE), now).unwrap();
            agreements.note(window, AddressGroup(beat as u64 % 4), Agreement::Weak, now);
        }
        check(&agreements);
        let now = Timestamp(BASE + beats * 5 * MINUTE);
        let told = agreements.told(now);
        assert!(told.len() <= MAX_SPANS && told.len() > MAX_SPANS / 2);
        let at = |ago: i64| {
            let t = Timestamp(now.0 - ago * MINUTE);
            told.iter().find(|c| c.span.contains(t)).map(|c| c.peers)
        };
        for minutes in [30, 120, 600, 20 * 60, 3 * 24 * 60, 7 * 24 * 60] {
            assert_eq!(at(minutes), Some(4), "{minutes} minutes ago");
        }
    }

    #[test]
    fn what_is_weeks_old_goes_and_the_oldest_weakest_group_gives_way() {
        let mut agreements = Agreements::default();
        let now = t(SLOTS);
        for group in 0..100 {
            let kind = if group == 0 { Agreement::Strong } else { Agreement::Weak };
            let at = Timestamp(now.0 + group as i64);
            agreements.note(range(0, SLOTS), AddressGroup(group), kind, at);
        }
        let kept: Vec<u64> = agreements.spans[0].voices.keys().map(|g| g.0).collect();
        assert_eq!(kept[..2], [0, 69], "the strong one, and the last of the others");
        assert_eq!(agreements.told(now)[0].strong, 1);
        let later = now.saturating_add(MAX_AGE);
        let recent = TimeRange::new(Timestamp(later.0 - 10), later).unwrap();
        agreements.note(recent, AddressGroup(1), Agreement::Weak, later);
        assert_eq!(agreements.told(later).len(), 1);
    }

    #[test]
    fn what_a_clock_that_ran_ahead_agreed_on_is_not_told() {
        let mut agreements = Agreements::default();
        let now = t(SLOTS);
        let ahead = now.saturating_add(Duration::from_secs(3600));
        agreements.note(range(0, SLOTS), AddressGroup(1), Agreement::Weak, now);
        let of_future = TimeRange::new(now, ahead).unwrap();
        agreements.note(of_future, AddressGroup(2), Agreement::Weak, ahead);
        assert_eq!(agreements.told(ahead).len(), 2);
        let told = agreements.told(now);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].span, told[0].compared_at), (range(0, SLOTS), now));
        agreements.note(range(0, 1), AddressGroup(3), Agreement::Weak, now);
        assert_eq!(agreements.spans.last().unwrap().end, now, "gone, once the clock is right");
    }
}
