//! A walk over the archive's ids, step by step, and how long to wait before a question that the
//! archive was too busy for is asked again.
//!
//! A walk has at most one step under way; it ends at the first step that is not full.

use std::time::Duration;

use super::LoadId;
use crate::archive::{IndexEntry, IndexQuery};
use crate::error::{Result, bail};
use crate::types::{SyncId, TimeRange};
use crate::wire::reconciliation::Scope;

/// Ids in one step.
pub(super) const STEP: usize = 10_000;

/// Waiting times that double, from a twentieth of a second to two.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    since: Option<Duration>,
    at: Option<Duration>,
}

impl Backoff {
    /// It failed now; gives for how long it has been failing.
    pub(super) fn failed(&mut self, now: Duration) -> Duration {
        let wait = Duration::from_millis(50 << self.failures.min(5)).min(Duration::from_secs(2));
        self.failures = self.failures.saturating_add(1);
        self.at = Some(now + wait);
        now.saturating_sub(*self.since.get_or_insert(now))
    }

    /// It worked.
    pub(super) fn worked(&mut self) {
        *self = Backoff::default();
    }

    /// When to try again, where that lies ahead.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.at
    }

    /// Whether nothing speaks against trying now; the waiting is over then.
    pub(super) fn may_try(&mut self, now: Duration) -> bool {
        let may = self.at.is_none_or(|at| at <= now);
        if may {
            self.at = None;
        }
        may
    }
}

/// One walk.
#[derive(Debug)]
pub(super) struct Walk {
    query: IndexQuery,
    under_way: Option<LoadId>,
    /// For steps that failed.
    pub(super) backoff: Backoff,
}

impl Walk {
    /// Over all ids of this scope and time.
    pub(super) fn new(time: TimeRange, scope: &Scope) -> Self {
        Walk {
            query: IndexQuery {
                time,
                pubsub_topics: scope.pubsub_topics.clone(),
                content_topics: scope.content_topics.clone(),
                after: None,
                limit: STEP,
            },
            under_way: None,
            backoff: Backoff::default(),
        }
    }

    /// What it walks over.
    pub(super) fn time(&self) -> TimeRange {
        self.query.time
    }

    /// Whether this step is its own.
    pub(super) fn awaits(&self, load: LoadId) -> bool {
        self.under_way == Some(load)
    }

    /// Asks for the next step under this number, unless one is under way or it is too early.
    pub(super) fn step(&mut self, now: Duration, load: LoadId) -> Option<IndexQuery> {
        if self.under_way.is_some() || !self.backoff.may_try(now) {
            return None;
        }
        self.under_way = Some(load);
        Some(self.query.clone())
    }

    /// The step under way failed; gives for how long the walk has been failing.
    pub(super) fn failed(&mut self, now: Duration) -> Duration {
        self.under_way = None;
        self.backoff.failed(now)
    }

    /// The step under way brought these; true where they were the last.
    pub(super) fn advance(&mut self, entries: &[IndexEntry]) -> Result<bool> {
        self.under_way = None;
        self.backoff.worked();
        let last: Option<SyncId> = entries.last().map(|e| e.id);
        if last.is_some() && last <= self.query.after {
            bail!(Internal, "the archive's walk over its ids does not advance");
        }
        self.query.after = last.or(self.query.after);
        Ok(entries.len() < self.query.limit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::types::{ContentTopic, MessageHash, PubsubTopic, Timestamp};

    fn entry(t: i64) -> IndexEntry {
        IndexEntry {
            id: SyncId::new(Timestamp(t), MessageHash([1; 32])),
            pubsub_topic: PubsubTopic::of_shard(1, 1),
            content_topic: ContentTopic::new("/a/1/b/proto").unwrap(),
        }
    }

    #[test]
    fn steps_follow_each_other_and_a_stuck_archive_is_an_error() {
        let mut walk = Walk::new(TimeRange::ALL, &Scope::default());
        let now = Duration::ZERO;
        assert_eq!(walk.step(now, LoadId(1)).unwrap().after, None);
        assert!(walk.step(now, LoadId(2)).is_none(), "one step at a time");
        let full: Vec<_> = (0..STEP as i64).map(entry).collect();
        assert!(!walk.advance(&full).unwrap());
        assert_eq!(walk.step(now, LoadId(3)).unwrap().after, full.last().map(|e| e.id));
        assert!(walk.advance(&full).is_err());
    }

    #[test]
    fn waits_double_up_to_two_seconds_and_start_over() {
        let mut b = Backoff::default();
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..8 {
            b.failed(now);
            assert!(!b.may_try(now));
            waits.push((b.deadline().unwrap() - now).as_millis());
            now = b.deadline().unwrap();
            assert!(b.may_try(now));
        }
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 1600, 1600]);
        assert_eq!(b.failed(now), now, "it tells for how long it has been failing");
        b.worked();
        b.failed(now);
        assert_eq!(b.deadline(), Some(now + Duration::from_millis(50)));
    }
}
