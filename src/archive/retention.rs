//! What an archive keeps: by age, by count and by size on disk, together.
//!
//! Retention removes the oldest messages in small steps, between commits, so that puts and reads
//! wait for one step at the most. What must hold: the floor never falls while the archive is open
//! but with the clock, nothing below it is taken in again, and it is raised in the same commit as
//! the removal that raised it. So a sync does not bring back what retention removed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use super::driver::{Figures, Removal};
use crate::error::{Result, bail};
use crate::types::{StoredMessage, Timestamp};

/// The most messages removed in one step, unless more than that are put.
const STEP: usize = 200;
/// The least, of those that there are.
const LEAST_STEP: usize = 50;
/// The most in any case.
const MOST_STEP: usize = 4_096;
/// A step is to take at most so long: the puts that come meanwhile wait for it.
const STEP_TAKES: Duration = Duration::from_millis(12);
/// The longest rest after a step.
const MOST_REST: Duration = Duration::from_millis(50);
/// The least time between two looks at what is to be removed, while there is nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest that retention by age waits for its next look, and the least while nothing is put.
const IDLE_LOOK: std::ops::RangeInclusive<u64> = 10..=3600;

/// What is kept. Each bound that is set holds; with none, everything is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// Messages older than this, by their timestamp, are removed, and none is taken in.
    pub max_age: Option<Duration>,
    /// Beyond so many messages the oldest are removed.
    pub max_messages: Option<u64>,
    /// Beyond so many bytes the oldest are removed: of the file as far as it is in use. Space that
    /// was freed is given back to the system in small steps, and until then used again.
    pub max_bytes: Option<u64>,
}

impl Retention {
    /// Whether anything is ever removed.
    pub fn is_bounded(&self) -> bool {
        *self != Retention::default()
    }

    /// The lowest timestamp that is kept for its age, at `now`.
    fn age_floor(&self, now: Timestamp) -> Timestamp {
        self.max_age.map_or(Timestamp(i64::MIN), |age| now.saturating_sub(age))
    }

    /// What is to be removed next, if anything: at most so many messages.
    fn step(&self, figures: &Figures, now: Timestamp, most: usize) -> Option<Removal> {
        let age_floor = self.age_floor(now);
        let too_old = |oldest: Timestamp| match figures.goes_with {
            Some(end) => end <= age_floor,
            None => oldest < age_floor,
        };
        if self.max_age.is_some() && figures.oldest.is_some_and(too_old) {
            return Some(Removal::Oldest { before: age_floor, limit: most });
        }
        let surplus = self.max_messages.map_or(0, |max| figures.messages.saturating_sub(max));
        let too_large = self.max_bytes.is_some_and(|max| figures.used_bytes > max);
        let limit = match (surplus, too_large) {
            (0, false) => return None,
            (0, true) => most,
            (surplus, _) => usize::try_from(surplus).unwrap_or(most).min(most),
        };
        figures.oldest.map(|_| Removal::Oldest { before: Timestamp::MAX, limit })
    }
}

/// The lowest timestamp that is taken in and kept, for all threads of an archive to read.
#[derive(Debug)]
pub(super) struct Floor(AtomicI64);

impl Default for Floor {
    fn default() -> Self {
        Floor(AtomicI64::new(i64::MIN))
    }
}

impl Floor {
    /// As of now.
    pub(super) fn get(&self, retention: &Retention, now: Timestamp) -> Timestamp {
        Timestamp(self.0.load(Ordering::Acquire)).max(retention.age_floor(now))
    }

    /// What was removed, whatever the clock says.
    pub(super) fn of_removed(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Acquire))
    }

    pub(super) fn raise(&self, to: Timestamp) {
        self.0.fetch_max(to.nanos(), Ordering::AcqRel);
    }
}

/// Nothing is taken in that retention would remove at once.
pub(super) fn check_floor(m: &StoredMessage, floor: Timestamp) -> Result<()> {
    if m.timestamp() < floor {
        bail!(TimestampTooOld, "message {:?} is older than what the archive keeps", m.hash);
    }
    Ok(())
}

/// The writer's housekeeping.
pub(super) struct Keeper {
    retention: Retention,
    clock: fn() -> Timestamp,
    next: Option<Instant>,
    /// Messages to be removed in the next step, by how long the last ones took.
    step: usize,
    /// Messages put since the last step.
    put: usize,
}

impl Keeper {
    pub(super) fn new(retention: Retention, clock: fn() -> Timestamp) -> Self {
        let next = retention.is_bounded().then(Instant::now);
        Keeper { retention, clock, next, step: STEP, put: 0 }
    }

    /// How long the writer may sleep; `None` for as long as it likes.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.next.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Something was put: what holds by count or size may hold no more.
    pub(super) fn put_came(&mut self, messages: usize) {
        self.put = self.put.saturating_add(messages);
        if let Some(next) = &mut self.next {
            *next = (*next).min(Instant::now() + LOOK_EVERY);
        }
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self) -> bool {
        self.next.is_some_and(|at| at <= Instant::now())
    }

    /// The next step, if there is one; [`Keeper::stepped`] is to follow.
    pub(super) fn plan(&mut self, figures: &Result<Figures>) -> Option<Removal> {
        let now = (self.clock)();
        // What is wrong with the archive its users are told; this is tried again.
        // More than are put, or it would never get done.
        let most = self.step.max(self.put.saturating_mul(2)).min(MOST_STEP);
        let step =
            figures.as_ref().ok().and_then(|figures| self.retention.step(figures, now, most));
        let wait = match figures {
            Ok(figures) if step.is_none() => self.until_next(figures, now),
            _ => Duration::from_secs(*IDLE_LOOK.start()),
        };
        self.next = Some(Instant::now() + wait);
        step
    }

    /// A step removed so many, and took so long: where it removed any, another may follow. Where
    /// puts come, they have the writer's time to themselves for a while.
    pub(super) fn stepped(&mut self, removed: &Result<usize>, took: Duration) {
        let Ok(1..) = removed else { return };
        self.step = match took {
            took if took > STEP_TAKES => (self.step / 2).max(LEAST_STEP),
            took if took < STEP_TAKES / 2 => (self.step * 2).min(STEP),
            _ => self.step,
        };
        let rest = if self.put == 0 { Duration::ZERO } else { (took / 2).min(MOST_REST) };
        self.put = 0;
        self.next = Some(Instant::now() + rest);
    }

    /// When the oldest message will have grown too old; bounded, since clocks are turned.
    fn until_next(&self, figures: &Figures, now: Timestamp) -> Duration {
        let (least, most) = (*IDLE_LOOK.start(), *IDLE_LOOK.end());
        let oldest = figures.oldest.map_or(most, |oldest| {
            let goes = figures.goes_with.unwrap_or(oldest);
            let ahead = goes.nanos().saturating_sub(self.retention.age_floor(now).nanos());
            u64::try_from(ahead / 1_000_000_000 + 1).unwrap_or(0)
        });
        Duration::from_secs(oldest.clamp(least, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(messages: u64, oldest: i64, used_bytes: u64) -> Figures {
        let oldest = (messages > 0).then_some(Timestamp(oldest));
        Figures { messages, oldest, used_bytes, floor: Timestamp(i64::MIN), goes_with: None }
    }

    #[test]
    fn each_bound_asks_for_its_own_and_no_more() {
        let second = Duration::from_secs(1);
        let all =
            Retention { max_age: Some(second), max_messages: Some(10), max_bytes: Some(1000) };
        let now = Timestamp(5_000_000_000);
        let floor = Timestamp(4_000_000_000);
        assert_eq!(all.step(&figures(10, floor.nanos(), 1000), now, STEP), None);
        assert_eq!(
            all.step(&figures(0, 0, 5000), now, STEP),
            None,
            "an empty file may be that large"
        );
        let aged = Removal::Oldest { before: floor, limit: STEP };
        assert_eq!(all.step(&figures(1, floor.nanos() - 1, 0), now, STEP), Some(aged));
        let three = Removal::Oldest { before: Timestamp::MAX, limit: 3 };
        assert_eq!(all.step(&figures(13, floor.nanos(), 0), now, STEP), Some(three));
        let large = Removal::Oldest { before: Timestamp::MAX, limit: STEP };
        assert_eq!(all.step(&figures(5, floor.nanos(), 1001), now, STEP), Some(large));
        assert_eq!(Retention::default().step(&figures(1 << 40, 0, 1 << 50), now, STEP), None);
        // Of a span that goes as a whole nothing goes for its age until all of it is too old; a
        // count is kept to all the same.
        let of_span = |messages, end| Figures {
            goes_with: Some(Timestamp(end)),
            ..figures(messages, floor.nanos() - 9, 0)
        };
        assert_eq!(all.step(&of_span(10, floor.nanos() + 1), now, STEP), None);
        let one = Removal::Oldest { before: Timestamp::MAX, limit: 1 };
        assert_eq!(all.step(&of_span(11, floor.nanos() + 1), now, STEP), Some(one));
        let whole = Removal::Oldest { before: floor, limit: STEP };
        assert_eq!(all.step(&of_span(11, floor.nanos()), now, STEP), Some(whole));
    }

    #[test]
    fn the_floor_follows_the_clock_and_never_falls_below_what_was_removed() {
        let floor = Floor::default();
        let aged = Retention { max_age: Some(Duration::from_secs(1)), ..Retention::default() };
        assert_eq!(floor.get(&aged, Timestamp(3_000_000_000)), Timestamp(2_000_000_000));
        floor.raise(Timestamp(2_500_000_000));
        floor.raise(Timestamp(1));
        assert_eq!(floor.get(&aged, Timestamp(3_000_000_000)), Timestamp(2_500_000_000));
        assert_eq!(floor.get(&Retention::default(), Timestamp(0)), Timestamp(2_500_000_000));
    }
}
