//! The sums of the last window, kept for the largest trees of the horizon, so that a session of
//! wakustore's own protocol reads no ids where nothing differs.
//!
//! What must hold: each change of a tree is told to what is kept of it; the coverage follows the
//! clock a few ids at a time, so that no call takes long; and the number of trees with a summary
//! (some 400 KB each) is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Now;
use super::horizon::Horizon;
use crate::sync::index::Index;
use crate::sync::strong::Trees;
use crate::sync::summary::{Kept, SLICE, whole_slices};
use crate::types::{PubsubTopic, SyncId, TimeRange, Timestamp};
use crate::wire::reconciliation::Scope;

/// Trees with a summary.
const MAX_KEPT: usize = 8;
/// Trees with fewer ids in the window need none: reading them takes a few milliseconds.
const MIN_IDS: usize = 4096;
/// Ids that one step touches.
const STEP: usize = 4096;
/// The pause between two steps, in which other things are done.
const PAUSE: Duration = Duration::from_millis(5);
/// Where no tree is large it is looked again after this time.
const IDLE: Duration = Duration::from_secs(60);

/// What is kept, by topic; by none for the tree that topics share.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    kept: BTreeMap<Option<PubsubTopic>, Kept>,
    at: Option<Duration>,
}

impl Summaries {
    pub(super) fn inserted(&mut self, topic: Option<&PubsubTopic>, id: &SyncId) {
        if let Some(kept) = self.of(topic) {
            kept.inserted(id);
        }
    }

    pub(super) fn removed(&mut self, topic: Option<&PubsubTopic>, id: &SyncId) {
        if let Some(kept) = self.of(topic) {
            kept.removed(id);
        }
    }

    /// All ids below the bound are about to be removed from a tree.
    pub(super) fn before_prune(
        &mut self,
        topic: Option<&PubsubTopic>,
        index: &Index,
        bound: &SyncId,
    ) {
        if let Some(kept) = self.of(topic) {
            kept.before_prune(index, bound);
        }
    }

    /// A tree has changed in some other way: what is kept of it is made anew.
    pub(super) fn forget(&mut self, topic: Option<&PubsubTopic>) {
        if !self.kept.is_empty() {
            self.kept.remove(&topic.cloned());
        }
    }

    fn of(&mut self, topic: Option<&PubsubTopic>) -> Option<&mut Kept> {
        // Mostly there are none, and then no name is copied.
        if self.kept.is_empty() {
            return None;
        }
        self.kept.get_mut(&topic.cloned())
    }

    /// When [`Horizon::keep_up`] is due.
    pub(super) fn deadline(&self) -> Duration {
        self.at.unwrap_or_default()
    }
}

impl Horizon {
    /// The trees of a scope that [`Horizon::covers`] said yes to, with what is kept of them.
    pub(super) fn trees(&self, scope: &Scope) -> Trees<'_> {
        if !self.is_of_own_content(scope) {
            let indexes = self.content.indexes(scope);
            return Trees(indexes.into_iter().map(|index| (index, None)).collect());
        }
        let kept = &self.summaries.kept;
        let all = self.topics.iter().map(|(t, index)| (Some(t), index));
        let all = all.chain([(None, &self.others)]);
        let named = &scope.pubsub_topics;
        // A scope that names topics is covered only where the shared tree holds none of them.
        let mut wanted: Vec<&PubsubTopic> = named.iter().collect();
        wanted.sort_unstable();
        let wants = |t: &Option<&PubsubTopic>| {
            named.is_empty() || t.is_some_and(|t| wanted.binary_search(&t).is_ok())
        };
        let with = |(t, index): (Option<&PubsubTopic>, _)| (index, kept.get(&t.cloned()));
        Trees(all.filter(|(t, _)| wants(t)).map(with).collect())
    }

    /// Moves what is kept a step further towards the window that ends at the last whole slice
    /// before `margin` ago; lets go of it where it is not `wanted`.
    pub(super) fn keep_up(&mut self, now: Now, window: Duration, margin: Duration, wanted: bool) {
        if !wanted {
            self.summaries = Summaries::default();
            return;
        }
        if self.summaries.at.is_some_and(|at| at > now.elapsed) {
            return;
        }
        if !self.is_ready() {
            self.summaries.at = Some(now.elapsed + PAUSE * 20);
            return;
        }
        let span = default_window(now.wall, window, margin);
        let (from, to) = (SyncId::floor(span.start()), SyncId::floor(span.end()));
        let mut large: Vec<(usize, Option<PubsubTopic>)> = self
            .topics
            .iter()
            .map(|(t, index)| (Some(t), index))
            .chain([(None, &self.others)])
            .map(|(t, index)| (index.rank(&to).saturating_sub(index.rank(&from)), t))
            .filter(|(count, _)| *count >= MIN_IDS)
            .map(|(count, t)| (count, t.cloned()))
            .collect();
        large.sort_unstable_by(|a, b| b.cmp(a));
        large.truncate(MAX_KEPT);
        self.summaries.kept.retain(|topic, _| large.iter().any(|(_, t)| t == topic));
        let mut there = true;
        for (_, topic) in large {
            let index = match &topic {
                Some(topic) => self.topics.get(topic),
                None => Some(&self.others),
            };
            let kept = self.summaries.kept.entry(topic).or_default();
            if there && let Some(index) = index {
                there = kept.advance(index, span, STEP);
            }
        }
        let pause = match (there, self.summaries.kept.is_empty()) {
            (false, _) => PAUSE,
            (true, true) => IDLE,
            // When the next slice is whole.
            (true, false) => {
                let end = now.wall.saturating_sub(margin).nanos();
                let left = SLICE - end.rem_euclid(SLICE);
                Duration::from_nanos(left.unsigned_abs()) + PAUSE
            }
        };
        self.summaries.at = Some(now.elapsed + pause);
    }
}

/// The window of a sync that nobody named one for: whole slices, ending `margin` ago or up to a
/// slice before, and not shorter than `window`.
pub(super) fn default_window(now: Timestamp, window: Duration, margin: Duration) -> TimeRange {
    let end = now.saturating_sub(margin);
    let end = Timestamp(end.nanos() - end.nanos().rem_euclid(SLICE)).max(Timestamp(0));
    let start = end.saturating_sub(window);
    let start = Timestamp(start.nanos() - start.nanos().rem_euclid(SLICE)).max(Timestamp(0));
    TimeRange::new(start, end).map_or(TimeRange::ALL, whole_slices)
}
