//! The ids of the last while, a tree a pubsub topic, kept up from the archive's feed.
//!
//! What must hold: from `covered` on, the trees hold every id of the node's own scope that the
//! archive has committed and told of; below `low` they take nothing. The number of trees and of
//! ids is bounded: topics beyond the bound share one tree, and ids beyond it push out the oldest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::horizon_content::ContentTrees;
use super::summaries::Summaries;
use super::walk::Walk;
use super::{EngineConfig, Now};
use crate::archive::IndexEntry;
use crate::sync::index::Index;
use crate::sync::reconcile::View;
use crate::types::{ContentTopic, PubsubTopic, SyncId, TimeRange, Timestamp};
use crate::wire::reconciliation::Scope;

/// Pubsub topics with a tree of their own, beside those that the node's own scope names. A peer
/// may make topics up, and a fingerprint over all topics asks each tree.
pub(super) const MAX_TOPICS: usize = 64;
/// The time between two prunings.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Horizon {
    scope: Scope,
    span: Duration,
    /// Nothing below it is kept by the archive.
    retained: Timestamp,
    max_ids: usize,
    pub(super) topics: BTreeMap<PubsubTopic, Index>,
    /// Ids of the topics for which there was no tree left.
    pub(super) others: Index,
    /// What is kept of the trees.
    pub(super) summaries: Summaries,
    /// Some of the same ids, by content topic.
    pub(super) content: ContentTrees,
    ids: usize,
    low: Timestamp,
    covered: Option<Timestamp>,
    /// Where time alone would put `low`; going back far tells that the clock was turned back.
    target: Timestamp,
    /// The walk under way.
    pub(super) walk: Option<Walk>,
    /// What its last step brought, until [`Horizon::digest`].
    brought: Vec<IndexEntry>,
    /// Something was missed since the walk began.
    again: bool,
    prune_at: Duration,
}

impl Horizon {
    /// Empty, with the walk that will fill it.
    pub(super) fn new(config: &EngineConfig, now: Now) -> Self {
        let span = config.horizon.max(config.window + config.margin + 2 * PRUNE_EVERY);
        let low = floor(now.wall.saturating_sub(span));
        let mut horizon = Horizon {
            scope: config.scope.clone(),
            span,
            retained: Timestamp(0),
            max_ids: config.max_index.max(1),
            topics: BTreeMap::new(),
            others: Index::new(),
            summaries: Summaries::default(),
            content: ContentTrees::new(config),
            ids: 0,
            low,
            covered: None,
            target: low,
            walk: None,
            brought: Vec::new(),
            again: false,
            prune_at: now.elapsed + PRUNE_EVERY,
        };
        horizon.reload();
        horizon
    }

    /// Where it begins: below this it takes nothing.
    pub(super) fn low(&self) -> Timestamp {
        self.low
    }

    /// Whether it was loaded once.
    pub(super) fn is_ready(&self) -> bool {
        self.covered.is_some()
    }

    /// How many ids it holds.
    pub(super) fn len(&self) -> usize {
        self.ids
    }

    /// Walks over the archive (again): what the feed left out is found there. What is held stays,
    /// so that sessions go on meanwhile.
    pub(super) fn reload(&mut self) {
        self.content.reload();
        if self.walk.is_some() {
            self.again = true;
            return;
        }
        let time = TimeRange::new(self.low, Timestamp::MAX).unwrap_or(TimeRange::ALL);
        self.walk = Some(Walk::new(time, &self.scope));
    }

    /// The step under way brought these. They are put in by [`Horizon::digest`], while the archive
    /// reads on; the last of a walk at once.
    pub(super) fn loaded(&mut self, entries: Vec<IndexEntry>) -> crate::Result<()> {
        self.digest();
        let Some(mut walk) = self.walk.take() else { return Ok(()) };
        let advanced = walk.advance(&entries);
        self.brought = entries;
        let ended = match advanced {
            Ok(ended) => ended,
            Err(error) => {
                // Begun anew after a pause: the place it had reached is worth nothing.
                let mut anew = Walk::new(walk.time(), &self.scope);
                anew.backoff = walk.backoff;
                self.walk = Some(anew);
                return Err(error);
            }
        };
        if !ended {
            self.walk = Some(walk);
            return Ok(());
        }
        self.digest();
        if std::mem::take(&mut self.again) {
            self.reload();
        } else {
            let start = walk.time().start().max(self.low);
            self.covered = Some(self.covered.map_or(start, |c| c.min(start)).max(self.low));
        }
        Ok(())
    }

    /// Puts in what the walk's last step brought: ids that ascend, tree by tree.
    pub(super) fn digest(&mut self) {
        let entries = std::mem::take(&mut self.brought);
        let mut by_topic: Vec<(&PubsubTopic, Vec<SyncId>)> = Vec::new();
        let mut places: BTreeMap<&PubsubTopic, usize> = BTreeMap::new();
        for IndexEntry { id, pubsub_topic, content_topic } in &entries {
            if id.timestamp < self.low || !admits(&self.scope, pubsub_topic, content_topic) {
                continue;
            }
            self.content.insert(pubsub_topic, content_topic, *id);
            // Mostly the topics are few, and one topic is one text in memory.
            let is_one = |(topic, _): &(&PubsubTopic, _)| {
                std::ptr::eq::<str>(topic.as_str(), pubsub_topic.as_str())
            };
            let place = by_topic.iter().take(16).position(is_one).unwrap_or_else(|| {
                *places.entry(pubsub_topic).or_insert_with(|| {
                    by_topic.push((pubsub_topic, Vec::new()));
                    by_topic.len() - 1
                })
            });
            if let Some((_, ids)) = by_topic.get_mut(place) {
                ids.push(*id);
            }
        }
        for (topic, ids) in by_topic {
            let (own, index) = self.tree_of(topic);
            let new = index.append(&ids);
            self.ids += new;
            if new > 0 {
                self.summaries.forget(own.then_some(topic));
            }
        }
        if self.ids > self.max_ids {
            self.trim();
        }
    }

    /// The tree for ids of a topic, and whether it is the topic's own.
    fn tree_of(&mut self, topic: &PubsubTopic) -> (bool, &mut Index) {
        let full = self.topics.len() >= MAX_TOPICS.max(self.scope.pubsub_topics.len());
        if full && !self.topics.contains_key(topic) {
            return (false, &mut self.others);
        }
        (true, self.topics.entry(topic.clone()).or_default())
    }

    /// Takes an id, if it is in scope and not too old; what is there already counts once. True
    /// where it was not there.
    pub(super) fn insert(
        &mut self,
        pubsub: &PubsubTopic,
        content: &ContentTopic,
        id: SyncId,
    ) -> bool {
        if id.timestamp < self.low || !admits(&self.scope, pubsub, content) {
            return false;
        }
        self.content.insert(pubsub, content, id);
        let (own, index) = self.tree_of(pubsub);
        let new = index.insert(id);
        if new {
            self.summaries.inserted(own.then_some(pubsub), &id);
            self.ids += 1;
        }
        if self.ids > self.max_ids {
            self.trim();
        }
        new
    }

    /// An id that the archive turned out not to hold any more.
    /// True where it was there.
    pub(super) fn remove(&mut self, id: &SyncId) -> bool {
        self.digest();
        self.content.remove(id);
        let trees = self.topics.iter_mut().map(|(t, index)| (Some(t), index));
        for (topic, index) in trees.chain([(None, &mut self.others)]) {
            if index.remove(id) {
                self.ids -= 1;
                self.summaries.removed(topic, id);
                return true;
            }
        }
        false
    }

    /// Whether the id is there.
    pub(super) fn contains(&self, pubsub: &PubsubTopic, id: &SyncId) -> bool {
        self.topics.get(pubsub).is_some_and(|index| index.contains(id)) || self.others.contains(id)
    }

    /// Whether a session over this window and scope can run on these trees.
    pub(super) fn covers(&self, window: &TimeRange, scope: &Scope) -> bool {
        let named = |t| self.topics.contains_key(t) || self.others.is_empty();
        self.reaches(window)
            && if self.is_of_own_content(scope) {
                scope.pubsub_topics.iter().all(named)
            } else {
                self.content.covers(window, scope)
            }
    }

    /// Whether it covers this window, of its own scope.
    pub(super) fn reaches(&self, window: &TimeRange) -> bool {
        self.covered.is_some_and(|c| window.start() >= c)
    }

    /// Whether a scope's content topics are those of the node's own.
    pub(super) fn is_of_own_content(&self, scope: &Scope) -> bool {
        same(&scope.content_topics, &self.scope.content_topics)
    }

    /// The trees of a scope that [`Horizon::covers`] said yes to.
    pub(super) fn view(&self, scope: &Scope) -> View<'_> {
        if !self.is_of_own_content(scope) {
            return View(self.content.indexes(scope));
        }
        if scope.pubsub_topics.is_empty() {
            return View(self.topics.values().chain([&self.others]).collect());
        }
        let mut topics: Vec<&PubsubTopic> = scope.pubsub_topics.iter().collect();
        topics.sort_unstable();
        topics.dedup();
        View(topics.into_iter().filter_map(|t| self.topics.get(t)).collect())
    }

    /// When [`Horizon::prune`] is due.
    pub(super) fn deadline(&self) -> Duration {
        self.prune_at
    }

    /// Lets go of what has grown too old, but for what a running session compares (`keep` on).
    pub(super) fn prune(&mut self, now: Now, keep: Option<Timestamp>) {
        self.prune_at = now.elapsed + PRUNE_EVERY;
        let target = floor(now.wall.saturating_sub(self.span)).max(self.retained);
        let went_back = target < self.target.saturating_sub(PRUNE_EVERY);
        self.target = target;
        if went_back && target < self.low {
            // What was pruned by a clock that ran ahead is of use again.
            self.low = target;
            self.reload();
            return;
        }
        self.raise(keep.map_or(target, |k| target.min(k)).max(self.retained));
    }

    /// The archive keeps nothing below this. Where it came down, what it keeps again is loaded.
    pub(super) fn set_floor(&mut self, now: Now, retained: Timestamp, keep: Option<Timestamp>) {
        self.retained = retained;
        self.prune(now, keep);
    }

    fn raise(&mut self, low: Timestamp) {
        if low <= self.low {
            return;
        }
        self.low = low;
        self.covered = self.covered.map(|c| c.max(low));
        self.content.raise(low);
        let bound = SyncId::floor(low);
        let trees = self.topics.iter_mut().map(|(t, index)| (Some(t), index));
        for (topic, index) in trees.chain([(None, &mut self.others)]) {
            self.summaries.before_prune(topic, index, &bound);
            self.ids -= index.prune_before(&bound);
        }
        // A tree that emptied may belong to a topic that a peer made up.
        self.topics.retain(|_, index| !index.is_empty());
    }

    /// Makes room by a tenth: raises `low` to where at most nine tenths of the bound are left.
    fn trim(&mut self) {
        let surplus = self.ids - self.max_ids / 10 * 9;
        let below = |t: i64| -> usize {
            let bound = SyncId::floor(Timestamp(t));
            self.topics.values().chain([&self.others]).map(|index| index.rank(&bound)).sum()
        };
        let (mut lo, mut hi) = (self.low.nanos(), i64::MAX);
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            if below(mid) >= surplus { hi = mid } else { lo = mid + 1 }
        }
        self.raise(Timestamp(lo));
    }
}

/// The wire's integers have no sign, so nothing before 1970 can be compared.
pub(super) fn floor(t: Timestamp) -> Timestamp {
    t.max(Timestamp(0))
}

/// Whether a scope takes a message of these topics.
pub(super) fn admits(scope: &Scope, pubsub: &PubsubTopic, content: &ContentTopic) -> bool {
    (scope.pubsub_topics.is_empty() || scope.pubsub_topics.contains(pubsub))
        && (scope.content_topics.is_empty() || scope.content_topics.contains(content))
}

/// Whether two lists name the same topics, in whatever order.
fn same<T: Ord>(a: &[T], b: &[T]) -> bool {
    // The lists may be long and a stranger's: no quadratic work.
    a == b || a.iter().collect::<BTreeSet<_>>() == b.iter().collect::<BTreeSet<_>>()
}

/// Whether two scopes name the same topics.
pub(super) fn same_scope(a: &Scope, b: &Scope) -> bool {
    same(&a.pubsub_topics, &b.pubsub_topics) && same(&a.content_topics, &b.content_topics)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::types::MessageHash;

    const WALL: i64 = 1_760_000_000_000_000_000;

    fn at(seconds_ago: i64) -> Timestamp {
        Timestamp(WALL - seconds_ago * 1_000_000_000)
    }

    fn id(n: u32, seconds_ago: i64) -> SyncId {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        SyncId::new(at(seconds_ago), MessageHash(hash))
    }

    fn content() -> ContentTopic {
        ContentTopic::new("/a/1/b/proto").unwrap()
    }

    fn loaded(config: &EngineConfig) -> Horizon {
        let mut horizon = Horizon::new(config, Now { elapsed: Duration::ZERO, wall: at(0) });
        assert!(!horizon.is_ready());
        horizon.loaded(Vec::new()).unwrap();
        assert!(horizon.is_ready() && horizon.walk.is_none());
        horizon
    }

    fn window(from: i64, to: i64) -> TimeRange {
        TimeRange::new(at(from), at(to)).unwrap()
    }

    #[test]
    fn topics_beyond_the_bound_share_a_tree() {
        let mut h = loaded(&EngineConfig::default());
        let topics: Vec<_> = (0..1100).map(|n| PubsubTopic::of_shard(1, n)).collect();
        for (n, topic) in topics.iter().enumerate() {
            h.insert(topic, &content(), id(n as u32, 60));
        }
        assert_eq!(
            (h.len(), h.topics.len(), h.others.len()),
            (1100, MAX_TOPICS, 1100 - MAX_TOPICS)
        );
        let named = |n: usize| Scope { pubsub_topics: vec![topics[n].clone()], ..Scope::default() };
        let count = |scope: &Scope| h.view(scope).0.iter().map(|i| i.len()).sum::<usize>();
        assert!(h.covers(&window(3600, 20), &Scope::default()));
        assert_eq!(count(&Scope::default()), 1100, "all topics are all topics");
        assert!(h.covers(&window(3600, 20), &named(0)));
        assert_eq!(count(&named(0)), 1);
        assert!(!h.covers(&window(3600, 20), &named(1099)), "not without loading");
        assert!(h.contains(&topics[1099], &id(1099, 60)));
        h.remove(&id(1099, 60));
        h.remove(&id(1099, 60));
        assert_eq!((h.len(), h.others.len()), (1099, 1099 - MAX_TOPICS));
    }

    #[test]
    fn it_covers_what_was_loaded_and_not_pruned() {
        let mut h = loaded(&EngineConfig::default());
        let all = Scope::default();
        assert!(h.covers(&window(7200, 0), &all) && !h.covers(&window(7201, 0), &all));
        let later = Now { elapsed: Duration::from_secs(600), wall: at(-600) };
        h.prune(later, Some(at(7000)));
        assert!(h.covers(&window(7000, 0), &all), "a session that runs keeps its window");
        assert!(!h.covers(&window(7001, 0), &all));
        h.prune(later, None);
        assert!(!h.covers(&window(7000, 0), &all) && h.covers(&window(6600, 0), &all));
    }

    #[test]
    fn what_is_out_of_scope_or_too_old_is_not_held() {
        let (mine, other) = (PubsubTopic::of_shard(1, 1), PubsubTopic::of_shard(1, 2));
        let other_content = ContentTopic::new("/a/1/c/proto").unwrap();
        let scope = Scope { pubsub_topics: vec![mine.clone()], content_topics: vec![content()] };
        let mut h = loaded(&EngineConfig { scope: scope.clone(), ..EngineConfig::default() });
        h.insert(&mine, &content(), id(1, 7201));
        h.insert(&other, &content(), id(2, 60));
        h.insert(&mine, &other_content, id(3, 60));
        assert_eq!(h.len(), 0);
        h.insert(&mine, &content(), id(4, 7200));
        assert_eq!(h.len(), 1);
        assert!(h.covers(&window(60, 0), &scope));
        let wider = Scope { content_topics: Vec::new(), ..scope };
        assert!(!h.covers(&window(60, 0), &wider));
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let mut h = loaded(&EngineConfig { max_index: 100, ..EngineConfig::default() });
        for n in 0..1000_u32 {
            h.insert(&PubsubTopic::of_shard(1, n % 3), &content(), id(n, i64::from(1000 - n)));
            assert!(h.len() <= 100);
        }
        assert!(h.len() >= 90);
        assert!(h.covers(&window(90, 0), &Scope::default()));
        assert!(!h.covers(&window(200, 0), &Scope::default()));
        // All at one time: there is no older one to let go of.
        for n in 0..200 {
            h.insert(&PubsubTopic::of_shard(1, 1), &content(), id(5000 + n, 0));
            assert!(h.len() <= 101);
        }
    }

    #[test]
    fn a_scope_is_a_set() {
        let topic = |n| PubsubTopic::of_shard(1, n);
        assert!(same(&[topic(1), topic(2)], &[topic(2), topic(1), topic(2)]));
        assert!(!same(&[topic(1)], &[topic(1), topic(2)]));
    }
}
