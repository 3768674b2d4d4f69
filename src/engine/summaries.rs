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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::archive::IndexEntry;
    use crate::engine::EngineConfig;
    use crate::sync::summary::lattice_of;
    use crate::types::{ContentTopic, MessageHash};

    const START: Timestamp = Timestamp(1_760_000_000_000_000_000);

    fn id(n: u32) -> SyncId {
        let mut hash = [7; 32];
        hash[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
        let ago = Duration::from_millis(u64::from(n.wrapping_mul(0x85eb_ca6b) % 3_700_000));
        SyncId::new(START.saturating_sub(ago), MessageHash(hash))
    }

    fn now(seconds: u64) -> Now {
        let elapsed = Duration::from_secs(seconds);
        Now { elapsed, wall: START.saturating_add(elapsed) }
    }

    /// As a host does, until all is there for now.
    fn keep_up(horizon: &mut Horizon, config: &EngineConfig, mut now: Now) -> usize {
        let mut steps = 0;
        loop {
            horizon.keep_up(now, config.window, config.margin, true);
            steps += 1;
            let next = horizon.summaries.deadline();
            assert!(next > now.elapsed);
            if next > now.elapsed + PAUSE {
                return steps;
            }
            now.elapsed = next;
        }
    }

    fn check(horizon: &Horizon, config: &EngineConfig, now: Now) -> usize {
        let window = default_window(now.wall, config.window, config.margin);
        let trees = horizon.trees(&Scope::default());
        for (index, kept) in &trees.0 {
            let plain = lattice_of(None, index, window);
            assert_eq!(lattice_of(*kept, index, window), plain);
            assert!(kept.is_none_or(|kept| kept.coverage() == window));
        }
        trees.0.iter().filter(|(_, kept)| kept.is_some()).count()
    }

    #[test]
    fn what_is_kept_is_true_through_all_changes() {
        let config = EngineConfig::default();
        let mut horizon = Horizon::new(&config, now(0));
        let content = ContentTopic::new("/a/1/b/proto").unwrap();
        let (large, small) = (PubsubTopic::of_shard(1, 1), PubsubTopic::of_shard(1, 2));
        let entry = |n: u32| IndexEntry {
            id: id(n),
            pubsub_topic: large.clone(),
            content_topic: content.clone(),
        };
        let mut entries: Vec<IndexEntry> = (0..6000).map(entry).collect();
        entries.sort_by_key(|e| e.id);
        horizon.loaded(entries).unwrap();
        assert!(keep_up(&mut horizon, &config, now(1)) >= 2, "a step is bounded");
        assert_eq!(check(&horizon, &config, now(1)), 1);
        for n in 6000..6100 {
            horizon.insert(&large, &content, id(n));
            horizon.insert(&small, &content, id(n + 1000));
            horizon.remove(&id(n - 3000));
        }
        assert_eq!(check(&horizon, &config, now(1)), 1);
        // A walk that finds more, as after a lag of the feed.
        horizon.reload();
        horizon.loaded(vec![entry(9000)]).unwrap();
        check_without(&horizon, &config, now(1));
        keep_up(&mut horizon, &config, now(2));
        // Time goes on, and what is old goes.
        for seconds in [9, 18, 300, 400] {
            keep_up(&mut horizon, &config, now(seconds));
            horizon.prune(now(seconds), None);
            assert_eq!(check(&horizon, &config, now(seconds)), 1);
        }
        horizon.prune(now(5000), None);
        let trees = horizon.trees(&Scope::default());
        let window = default_window(now(400).wall, config.window, config.margin);
        for (index, kept) in &trees.0 {
            assert_eq!(lattice_of(*kept, index, window), lattice_of(None, index, window));
        }
        // Too few are left for a summary to be of use.
        keep_up(&mut horizon, &config, now(5000));
        assert_eq!(check(&horizon, &config, now(5000)), 0);
        horizon.keep_up(now(9999), config.window, config.margin, false);
        assert_eq!(horizon.summaries.deadline(), Duration::ZERO);
    }

    /// What is kept may be gone, but never wrong.
    fn check_without(horizon: &Horizon, config: &EngineConfig, now: Now) {
        let window = default_window(now.wall, config.window, config.margin);
        for (index, kept) in &horizon.trees(&Scope::default()).0 {
            assert_eq!(lattice_of(*kept, index, window), lattice_of(None, index, window));
        }
    }

    #[test]
    fn a_window_of_its_own_is_made_of_whole_slices() {
        let (window, margin) = (Duration::from_secs(3600), Duration::from_secs(20));
        for seconds in 0..40 {
            let wall = now(seconds).wall;
            let span = default_window(wall, window, margin);
            let long = span.end().nanos() - span.start().nanos();
            assert_eq!((span.start().nanos() % SLICE, span.end().nanos() % SLICE), (0, 0));
            assert!(span.end() <= wall.saturating_sub(margin));
            assert!(span.end().nanos() + SLICE > wall.saturating_sub(margin).nanos());
            assert!((0..SLICE).contains(&(long - 3_600_000_000_000)));
        }
    }
}
