//! Whether this node's clock disagrees with its peers'.
//!
//! Two things tell of a peer's clock: the windows of the syncs that it begins, which end shortly
//! before its now; and what it passes on over relay, which was mostly sent just before. A peer says
//! what it likes, so one of them means nothing: at least [`MIN_GROUPS`] address groups must say the
//! same, and more than half of all. Messages are their senders' word, not the peer's: of each content
//! topic the last one counts alone, and the middle of several.
//!
//! What must hold: nobody is told twice of the same; a single peer, or a single sender, changes
//! nothing; what is remembered is bounded.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use tokio::time::Instant;

use crate::engine::AddressGroup;
use crate::types::{ContentTopic, Timestamp};

/// Address groups that must say the same.
const MIN_GROUPS: usize = 3;
/// Address groups that are remembered; the stalest go.
const MAX_GROUPS: usize = 64;
/// What is remembered of one.
const MAX_WINDOWS: usize = 8;
const MAX_LIVE: usize = 9;
/// Messages, each of another content topic, that say something of a clock.
const MIN_LIVE: usize = 3;
/// How long anything counts.
const AGE: Duration = Duration::from_secs(900);
/// Between two looks at all of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The network takes nothing that is so far ahead.
const SKEWED: i64 = 20 * SECOND;
/// Clocks that are closer than this agree again.
const AGREES: i64 = 10 * SECOND;
const SECOND: i64 = 1_000_000_000;

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Skew {
    /// By so many nanoseconds their clocks are ahead of ours.
    pub(super) offset: i64,
    /// Address groups that say so.
    pub(super) groups: u32,
}

/// What one group said: each time by how much its clock seems ahead.
#[derive(Default)]
struct Heard {
    windows: VecDeque<(i64, Duration)>,
    /// With the sender.
    live: VecDeque<(u64, i64, Duration)>,
    last: Duration,
}

impl Heard {
    fn estimate(&self, now: Duration) -> Option<i64> {
        let fresh = |at: &Duration| *at + AGE >= now;
        // A sync may be of a time long past, but of none that is yet to come.
        let windows = self.windows.iter().filter(|(_, at)| fresh(at)).map(|(offset, _)| *offset);
        let live: Vec<i64> =
            self.live.iter().filter(|(.., at)| fresh(at)).map(|(_, offset, _)| *offset).collect();
        let enough = live.len() >= MIN_LIVE;
        windows.max().or_else(|| middle(live).filter(|_| enough))
    }
}

/// The middle one; of two the lower.
fn middle(mut all: Vec<i64>) -> Option<i64> {
    all.sort_unstable();
    all.get(all.len().saturating_sub(1) / 2).copied()
}

fn agree(a: i64, b: i64) -> bool {
    let apart = a.abs_diff(b);
    apart <= AGREES.unsigned_abs() + b.unsigned_abs() / 8
}

/// Pure: see the head of the file. Times are since some fixed moment.
#[derive(Default)]
struct Detector {
    groups: BTreeMap<AddressGroup, Heard>,
    told: Option<i64>,
    look_at: Duration,
}

impl Detector {
    fn heard(&mut self, now: Duration, group: AddressGroup) -> &mut Heard {
        if self.groups.len() >= MAX_GROUPS
            && !self.groups.contains_key(&group)
            && let Some(stalest) =
                self.groups.iter().min_by_key(|(_, heard)| heard.last).map(|(group, _)| *group)
        {
            self.groups.remove(&stalest);
        }
        let heard = self.groups.entry(group).or_default();
        heard.last = now;
        heard
    }

    /// A peer of this group began a sync whose window tells that its clock is so far ahead.
    fn window(&mut self, now: Duration, group: AddressGroup, offset: i64) -> Option<Skew> {
        let windows = &mut self.heard(now, group).windows;
        windows.push_back((offset, now));
        if windows.len() > MAX_WINDOWS {
            windows.pop_front();
        }
        self.look(now)
    }

    /// A peer of this group passed on a message that was sent so far ahead of our time.
    fn live(
        &mut self,
        now: Duration,
        group: AddressGroup,
        sender: u64,
        offset: i64,
    ) -> Option<Skew> {
        let live = &mut self.heard(now, group).live;
        live.retain(|(of, ..)| *of != sender);
        live.push_back((sender, offset, now));
        if live.len() > MAX_LIVE {
            live.pop_front();
        }
        self.look(now)
    }

    fn look(&mut self, now: Duration) -> Option<Skew> {
        if now < self.look_at {
            return None;
        }
        self.look_at = now + LOOK_EVERY;
        let all: Vec<i64> = self.groups.values().filter_map(|heard| heard.estimate(now)).collect();
        let offset = middle(all.clone())?;
        let agreeing = all.iter().filter(|estimate| agree(**estimate, offset)).count();
        if agreeing < MIN_GROUPS || agreeing * 2 <= all.len() {
            return None;
        }
        let apart = offset.unsigned_abs();
        let news = match self.told {
            None => apart >= SKEWED.unsigned_abs(),
            Some(_) if apart < AGREES.unsigned_abs() => true,
            Some(told) => !agree(offset, told),
        };
        if !news {
            return None;
        }
        self.told = (apart >= AGREES.unsigned_abs()).then_some(offset);
        Some(Skew { offset, groups: u32::try_from(agreeing).unwrap_or(u32::MAX) })
    }
}

/// The node's own.
pub(super) struct ClockWatch {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the peers that are connected, as many as there may be.
    places: HashMap<PeerId, AddressGroup>,
    detector: Detector,
}

impl ClockWatch {
    pub(super) fn new() -> Self {
        ClockWatch { begun: Instant::now(), state: Mutex::default() }
    }

    /// It is known where a peer is.
    pub(super) fn placed(&self, peer: PeerId, group: AddressGroup) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).places.insert(peer, group);
    }

    /// A peer is gone; what was heard of its group stays.
    pub(super) fn left(&self, peer: &PeerId) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).places.remove(peer);
    }

    /// A peer passed on a message of this time, at this time of ours. What is to be told, if anything
    /// is.
    pub(super) fn live(
        &self,
        peer: &PeerId,
        topic: &ContentTopic,
        sent: Timestamp,
        now: Timestamp,
    ) -> Option<Skew> {
        let mut hasher = DefaultHasher::new();
        topic.as_bytes().hash(&mut hasher);
        let offset = sent.nanos().saturating_sub(now.nanos());
        self.with(peer, |detector, at, group| detector.live(at, group, hasher.finish(), offset))
    }

    /// A peer began a sync at a moment that was this one by its clock, at this time of ours.
    pub(super) fn window(&self, peer: &PeerId, theirs: Timestamp, now: Timestamp) -> Option<Skew> {
        let offset = theirs.nanos().saturating_sub(now.nanos());
        self.with(peer, |detector, at, group| detector.window(at, group, offset))
    }

    fn with(
        &self,
        peer: &PeerId,
        tell: impl FnOnce(&mut Detector, Duration, AddressGroup) -> Option<Skew>,
    ) -> Option<Skew> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let group = state.places.get(peer).copied()?;
        tell(&mut state.detector, self.begun.elapsed(), group)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const MINUTE: i64 = 60 * SECOND;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn group(n: u64) -> AddressGroup {
        AddressGroup(n)
    }

    /// Each of these groups begins a sync; what is told in the end.
    fn windows(d: &mut Detector, from: u64, offsets: &[i64]) -> Vec<Skew> {
        let all = offsets.iter().enumerate();
        all.filter_map(|(n, offset)| d.window(at(from + 2 * n as u64), group(n as u64), *offset))
            .collect()
    }

    #[test]
    fn three_that_say_the_same_are_believed_and_told_of_once() {
        let mut d = Detector::default();
        let five = 5 * MINUTE;
        let told = windows(&mut d, 0, &[five, five + 3 * SECOND, five - 4 * SECOND]);
        assert_eq!(told, [Skew { offset: five, groups: 3 }]);
        assert_eq!(windows(&mut d, 20, &[five, five, five + SECOND, five]), []);
        // It is put right, and that is told once as well.
        let told = windows(&mut d, 2000, &[SECOND, -SECOND, 0, 0]);
        assert_eq!(told.len(), 1);
        assert!(told[0].offset.abs() <= SECOND);
        assert_eq!(windows(&mut d, 2020, &[0, 0, 0, 0]), []);
        // The other way.
        let told = windows(&mut d, 4000, &[-MINUTE, -MINUTE, -MINUTE]);
        assert_eq!(told, [Skew { offset: -MINUTE, groups: 3 }]);
        // Further away: news.
        let told = windows(&mut d, 6000, &[-9 * MINUTE, -9 * MINUTE, -9 * MINUTE]);
        assert_eq!(told, [Skew { offset: -9 * MINUTE, groups: 3 }]);
    }

    #[test]
    fn liars_and_too_few_change_nothing() {
        let mut d = Detector::default();
        assert_eq!(windows(&mut d, 0, &[5 * MINUTE, 5 * MINUTE]), []);
        // One address many times is one.
        for n in 0..100 {
            assert_eq!(d.window(at(10 + n), group(1), 5 * MINUTE), None);
        }
        // Two who lie in the same way, beside three who do not.
        let mut d = Detector::default();
        assert_eq!(windows(&mut d, 0, &[MINUTE * 9, 0, SECOND, MINUTE * 9, -SECOND]), []);
        // All say something else: none is believed.
        let mut d = Detector::default();
        assert_eq!(windows(&mut d, 0, &[MINUTE, 10 * MINUTE, -5 * MINUTE, 0, 60 * MINUTE]), []);
        // Clocks are never quite the same.
        let mut d = Detector::default();
        assert_eq!(windows(&mut d, 0, &[15 * SECOND; 6]), []);
    }

    #[test]
    fn a_sync_of_the_past_is_no_clock_that_is_behind() {
        let mut d = Detector::default();
        for n in 0..4 {
            d.window(at(n), group(n), 0);
        }
        for n in 0..40 {
            let hour = 60 * MINUTE * (1 + n as i64 / 4);
            if n < 4 * (MAX_WINDOWS as u64 - 1) {
                assert_eq!(d.window(at(10 + 2 * n), group(n % 4), -hour), None);
            }
        }
    }

    #[test]
    fn of_messages_the_middle_of_several_senders_counts() {
        let mut d = Detector::default();
        let mut told = Vec::new();
        for n in 0..12u64 {
            // Four groups; one sender of four lies.
            let offset = if n / 4 == 0 { 60 * MINUTE } else { -SECOND };
            told.extend(d.live(at(2 * n), group(n % 4), n / 4, offset));
        }
        assert_eq!(told, []);
        // The liar again and again: it is one.
        for n in 0..200 {
            told.extend(d.live(at(100 + n), group(n % 4), 0, 60 * MINUTE));
        }
        assert_eq!(told, []);
        // All of them.
        for n in 0..16u64 {
            told.extend(d.live(at(400 + 2 * n), group(n % 4), n / 4, 3 * MINUTE - SECOND));
        }
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].offset, 3 * MINUTE - SECOND);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_ages() {
        let mut d = Detector::default();
        for n in 0..10_000u64 {
            d.live(at(n), group(n % 500), n, 0);
            d.window(at(n), group(n % 500), 0);
        }
        assert_eq!(d.groups.len(), MAX_GROUPS);
        let heard = d.groups.values().map(|h| (h.live.len(), h.windows.len()));
        assert!(heard.into_iter().all(|(live, w)| live <= MAX_LIVE && w <= MAX_WINDOWS));
        // Long ago counts no more.
        let mut d = Detector::default();
        assert_eq!(windows(&mut d, 0, &[MINUTE, MINUTE]), []);
        assert_eq!(d.window(at(AGE.as_secs() * 2), group(9), MINUTE), None);
    }
}
