//! Trees by content topic, beside the horizon's trees by pubsub topic: kept where the configuration
//! or a peer asks for them, so that a sync scoped by content topics runs without loading.
//!
//! What must hold: from its `covered` on, a tree holds every id of its content topic (and of the
//! node's own scope) that the archive has committed and told of. Peers make content topics up, so
//! that trees and ids are bounded: what is not configured goes when it was not used for a while, or
//! when there are too many, the least recently used first. What a running session compares never
//! goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::walk::Walk;
use super::{EngineConfig, LoadId};
use crate::archive::{IndexEntry, IndexQuery};
use crate::sync::index::Index;
use crate::types::{ContentTopic, PubsubTopic, SyncId, TimeRange, Timestamp};
use crate::wire::reconciliation::Scope;

/// Pubsub topics with an index of their own, of one content topic, beside those that the node's own
/// scope names. Autosharding files a content topic under one.
const MAX_PUBSUB_TOPICS: usize = 8;
/// For how long a tree is kept unused where there is no heartbeat.
const UNUSED: Duration = Duration::from_secs(600);

/// The ids of one content topic.
#[derive(Debug, Default)]
struct Tree {
    topics: BTreeMap<PubsubTopic, Index>,
    /// Ids of pubsub topics for which there was no index left.
    others: Index,
    ids: usize,
    covered: Option<Timestamp>,
    used: Duration,
}

impl Tree {
    fn insert(&mut self, pubsub: &PubsubTopic, id: SyncId, max_topics: usize) -> bool {
        let full = self.topics.len() >= max_topics;
        let index = match self.topics.get_mut(pubsub) {
            Some(index) => index,
            None if full => &mut self.others,
            None => self.topics.entry(pubsub.clone()).or_default(),
        };
        let new = index.insert(id);
        self.ids += usize::from(new);
        new
    }

    fn covers(&self, start: Timestamp, pubsub_topics: &[PubsubTopic]) -> bool {
        let named = |t| self.topics.contains_key(t) || self.others.is_empty();
        self.covered.is_some_and(|covered| start >= covered) && pubsub_topics.iter().all(named)
    }
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct ContentTrees {
    scope: Scope,
    kept: BTreeSet<ContentTopic>,
    trees: BTreeMap<ContentTopic, Tree>,
    max_trees: usize,
    max_ids: usize,
    /// How long a tree is kept that nobody uses.
    unused: Duration,
    /// The walk under way, and whose ids it brings.
    walk: Option<(Walk, BTreeSet<ContentTopic>)>,
    /// For the next walk.
    queued: BTreeSet<ContentTopic>,
    /// Too large to be kept, until then.
    refused: BTreeMap<ContentTopic, Duration>,
}

impl ContentTrees {
    /// With the configured trees, to be loaded first.
    pub(super) fn new(config: &EngineConfig) -> Self {
        let own = &config.scope.content_topics;
        let admitted = |t: &&ContentTopic| own.is_empty() || own.contains(t);
        let kept: BTreeSet<_> = config.content_trees.iter().filter(admitted).cloned().collect();
        ContentTrees {
            scope: config.scope.clone(),
            trees: kept.iter().map(|topic| (topic.clone(), Tree::default())).collect(),
            queued: kept.clone(),
            kept,
            max_trees: config.max_content_trees,
            max_ids: config.max_content_ids,
            unused: config.heartbeat.map_or(UNUSED, |d| d * 2),
            walk: None,
            refused: BTreeMap::new(),
        }
    }

    /// How many ids they hold.
    pub(super) fn len(&self) -> usize {
        self.trees.values().map(|tree| tree.ids).sum()
    }

    /// Takes an id of the horizon.
    pub(super) fn insert(&mut self, pubsub: &PubsubTopic, content: &ContentTopic, id: SyncId) {
        let max_topics = MAX_PUBSUB_TOPICS.max(self.scope.pubsub_topics.len());
        if let Some(tree) = self.trees.get_mut(content) {
            tree.insert(pubsub, id, max_topics);
        }
    }

    /// An id that the archive does not hold any more.
    pub(super) fn remove(&mut self, id: &SyncId) {
        for tree in self.trees.values_mut() {
            let mut indexes = tree.topics.values_mut().chain([&mut tree.others]);
            if indexes.any(|index| index.remove(id)) {
                tree.ids -= 1;
                return;
            }
        }
    }

    /// What is older goes.
    pub(super) fn raise(&mut self, low: Timestamp) {
        let bound = SyncId::floor(low);
        for tree in self.trees.values_mut() {
            tree.covered = tree.covered.map(|c| c.max(low));
            for index in tree.topics.values_mut().chain([&mut tree.others]) {
                tree.ids -= index.prune_before(&bound);
            }
            tree.topics.retain(|_, index| !index.is_empty());
        }
    }

    /// Walks over all of them again.
    pub(super) fn reload(&mut self) {
        self.queued.extend(self.trees.keys().cloned());
    }

    /// Whether a session over this window and scope can run on them.
    pub(super) fn covers(&self, window: &TimeRange, scope: &Scope) -> bool {
        let covers = |topic| {
            let tree = self.trees.get(topic);
            tree.is_some_and(|tree| tree.covers(window.start(), &scope.pubsub_topics))
        };
        !scope.content_topics.is_empty() && scope.content_topics.iter().all(covers)
    }

    /// The indexes of a scope that [`ContentTrees::covers`] said yes to.
    pub(super) fn indexes(&self, scope: &Scope) -> Vec<&Index> {
        let named: BTreeSet<&ContentTopic> = scope.content_topics.iter().collect();
        let pubsub: BTreeSet<&PubsubTopic> = scope.pubsub_topics.iter().collect();
        let mut indexes = Vec::new();
        for tree in named.into_iter().filter_map(|topic| self.trees.get(topic)) {
            if pubsub.is_empty() {
                indexes.extend(tree.topics.values().chain([&tree.others]));
            } else {
                indexes.extend(pubsub.iter().filter_map(|topic| tree.topics.get(*topic)));
            }
        }
        indexes
    }

    /// Asks for the trees of a scope; false where they cannot be had. `in_use` is what sessions
    /// compare.
    pub(super) fn ask(
        &mut self,
        scope: &Scope,
        now: Duration,
        in_use: &BTreeSet<ContentTopic>,
    ) -> bool {
        let asked: BTreeSet<&ContentTopic> = scope.content_topics.iter().collect();
        if asked.is_empty() || asked.iter().any(|topic| self.refused.contains_key(*topic)) {
            return false;
        }
        // Loaded, and yet of no use: there are too many pubsub topics.
        let of_no_use = |tree: &Tree| {
            tree.covered.is_some() && !tree.covers(Timestamp::MAX, &scope.pubsub_topics)
        };
        if asked.iter().filter_map(|topic| self.trees.get(*topic)).any(of_no_use) {
            return false;
        }
        let new = asked.iter().filter(|topic| !self.trees.contains_key(**topic)).count();
        let others = |topic: &ContentTopic| in_use.contains(topic) || asked.contains(topic);
        while self.len_unkept() + new > self.max_trees {
            if new > self.max_trees || !self.drop_one(others) {
                return false;
            }
        }
        for topic in asked {
            let tree = self.trees.entry(topic.clone()).or_insert_with(|| {
                self.queued.insert(topic.clone());
                Tree::default()
            });
            tree.used = now;
        }
        true
    }

    /// The step that is due, if any.
    pub(super) fn step(
        &mut self,
        now: Duration,
        low: Timestamp,
        load: LoadId,
    ) -> Option<IndexQuery> {
        if self.walk.is_none() && !self.queued.is_empty() {
            let topics = std::mem::take(&mut self.queued);
            let walk = self.walk_over(low, &topics);
            self.walk = Some((walk, topics));
        }
        self.walk.as_mut()?.0.step(now, load)
    }

    fn walk_over(&self, low: Timestamp, topics: &BTreeSet<ContentTopic>) -> Walk {
        let time = TimeRange::new(low, Timestamp::MAX).unwrap_or(TimeRange::ALL);
        let content_topics = topics.iter().cloned().collect();
        Walk::new(time, &Scope { content_topics, ..self.scope.clone() })
    }

    /// Whether this step is of the walk under way.
    pub(super) fn awaits(&self, load: LoadId) -> bool {
        self.walk.as_ref().is_some_and(|(walk, _)| walk.awaits(load))
    }

    /// When a step that failed is tried again.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.walk.as_ref().and_then(|(walk, _)| walk.backoff.deadline())
    }

    /// The step under way brought these, or failed; `low` is where the horizon begins by now.
    pub(super) fn loaded(
        &mut self,
        now: Duration,
        low: Timestamp,
        entries: crate::Result<Vec<IndexEntry>>,
    ) {
        let Some((mut walk, topics)) = self.walk.take() else { return };
        let advanced = entries.and_then(|entries| {
            for entry in entries.iter().filter(|e| e.id.timestamp >= low) {
                self.insert(&entry.pubsub_topic, &entry.content_topic, entry.id);
            }
            walk.advance(&entries)
        });
        match advanced {
            Ok(true) => {
                let start = walk.time().start().max(low);
                for topic in topics {
                    // What was missed meanwhile is still to be walked over.
                    let again = self.queued.contains(&topic);
                    let Some(tree) = self.trees.get_mut(&topic).filter(|_| !again) else {
                        continue;
                    };
                    tree.covered = Some(tree.covered.map_or(start, |c| c.min(start)).max(low));
                }
                return;
            }
            Ok(false) => {}
            Err(_) => {
                // Begun anew after a pause, as the horizon's own.
                let mut anew = self.walk_over(low, &topics);
                anew.backoff = std::mem::take(&mut walk.backoff);
                anew.failed(now);
                walk = anew;
            }
        }
        self.walk = Some((walk, topics));
    }

    /// Brings them back within their bounds, and lets go of what nobody has used for long.
    pub(super) fn tend(&mut self, now: Duration, in_use: &BTreeSet<ContentTopic>) {
        for (topic, tree) in &mut self.trees {
            if in_use.contains(topic) {
                tree.used = now;
            }
        }
        let old = |(topic, tree): (&ContentTopic, &Tree)| {
            (now >= tree.used + self.unused).then(|| topic.clone())
        };
        let old: Vec<ContentTopic> = self.unkept().filter_map(old).collect();
        old.iter().for_each(|topic| self.forget(topic));
        self.refused.retain(|_, until| now < *until);
        while self.ids_unkept() > self.max_ids {
            if self.drop_one(|topic| in_use.contains(topic)) {
                continue;
            }
            // All that is left is compared, or waited for. What is still being loaded is too much:
            // sessions that wait for it load what they need for themselves.
            let loading = self.unkept().filter(|(_, tree)| tree.covered.is_none());
            let largest = loading.max_by_key(|(_, tree)| tree.ids);
            let Some(topic) = largest.map(|(topic, _)| topic.clone()) else { return };
            self.forget(&topic);
            self.refuse(topic, now);
        }
    }

    /// Does not try this one again for a while.
    fn refuse(&mut self, topic: ContentTopic, now: Duration) {
        if self.refused.len() >= self.max_trees {
            let first = self.refused.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(topic, _)| topic.clone()) {
                self.refused.remove(&first);
            }
        }
        self.refused.insert(topic, now + self.unused);
    }

    /// Lets go of a tree. Should it be asked for again, it is walked over from the start.
    fn forget(&mut self, topic: &ContentTopic) {
        self.trees.remove(topic);
        self.queued.remove(topic);
        if let Some((_, topics)) = &mut self.walk {
            topics.remove(topic);
            if topics.is_empty() {
                // Its step under way is nobody's then.
                self.walk = None;
            }
        }
    }

    /// Whether something is beyond its bound or its time.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        let old = |(_, tree): (&ContentTopic, &Tree)| now >= tree.used + self.unused;
        self.ids_unkept() > self.max_ids || self.unkept().any(old)
    }

    /// Those that were not configured.
    fn unkept(&self) -> impl Iterator<Item = (&ContentTopic, &Tree)> {
        self.trees.iter().filter(|(topic, _)| !self.kept.contains(*topic))
    }

    fn len_unkept(&self) -> usize {
        self.trees.len() - self.kept.len()
    }

    fn ids_unkept(&self) -> usize {
        self.unkept().map(|(_, tree)| tree.ids).sum()
    }

    /// Lets go of the least recently used tree that may go; false where there is none.
    fn drop_one(&mut self, stays: impl Fn(&ContentTopic) -> bool) -> bool {
        let may_go = self.unkept().filter(|(topic, _)| !stays(topic));
        let Some(topic) = may_go.min_by_key(|(_, tree)| tree.used).map(|(topic, _)| topic.clone())
        else {
            return false;
        };
        self.forget(&topic);
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::types::MessageHash;

    fn content(n: u32) -> ContentTopic {
        ContentTopic::new(format!("/app/1/{n}/proto")).unwrap()
    }

    fn entry(topic: u32, shard: u32, t: i64) -> IndexEntry {
        let mut hash = [topic as u8; 32];
        hash[..8].copy_from_slice(&t.to_be_bytes());
        IndexEntry {
            id: SyncId::new(Timestamp(t), MessageHash(hash)),
            pubsub_topic: PubsubTopic::of_shard(1, shard),
            content_topic: content(topic),
        }
    }

    fn scope(topics: &[u32], shards: &[u32]) -> Scope {
        Scope {
            content_topics: topics.iter().map(|n| content(*n)).collect(),
            pubsub_topics: shards.iter().map(|n| PubsubTopic::of_shard(1, *n)).collect(),
        }
    }

    fn trees(max_content_trees: usize, max_content_ids: usize) -> ContentTrees {
        let config = EngineConfig { max_content_trees, max_content_ids, ..EngineConfig::default() };
        ContentTrees::new(&config)
    }

    const LOW: Timestamp = Timestamp(1000);
    const LOAD: LoadId = LoadId(1);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn window(start: i64) -> TimeRange {
        TimeRange::new(Timestamp(start), Timestamp(1_000_000)).unwrap()
    }

    fn none() -> BTreeSet<ContentTopic> {
        BTreeSet::new()
    }

    fn count(trees: &ContentTrees, scope: &Scope) -> usize {
        trees.indexes(scope).iter().map(|index| index.len()).sum()
    }

    /// Asks and loads.
    fn load(trees: &mut ContentTrees, topics: &[u32], entries: Vec<IndexEntry>, now: u64) {
        assert!(trees.ask(&scope(topics, &[]), at(now), &none()));
        assert!(trees.step(at(now), LOW, LOAD).is_some() && trees.awaits(LOAD));
        trees.loaded(at(now), LOW, Ok(entries));
    }

    #[test]
    fn one_walk_brings_what_was_asked_for_and_the_feed_goes_on() {
        let mut t = trees(10, 100);
        assert!(t.step(at(0), LOW, LOAD).is_none(), "nobody asked");
        assert!(t.ask(&scope(&[1, 2], &[]), at(0), &none()));
        let query = t.step(at(0), LOW, LOAD).unwrap();
        assert_eq!((query.time.start(), query.content_topics), (LOW, vec![content(1), content(2)]));
        let fed = entry(1, 0, 5000);
        t.insert(&fed.pubsub_topic, &fed.content_topic, fed.id);
        assert!(!t.covers(&window(1000), &scope(&[1], &[])), "not yet");
        // Fed and loaded counts once; what has grown too old is not taken.
        t.loaded(at(0), LOW, Ok(vec![entry(1, 0, 999), entry(1, 7, 2000), entry(2, 0, 3000), fed]));
        assert!(t.covers(&window(1000), &scope(&[1, 2], &[0, 7, 9])));
        assert!(
            !t.covers(&window(999), &scope(&[1], &[]))
                && !t.covers(&window(1000), &scope(&[3], &[]))
        );
        assert_eq!(
            (t.len(), count(&t, &scope(&[1], &[])), count(&t, &scope(&[1, 1, 2], &[0]))),
            (3, 2, 2)
        );
        t.insert(&PubsubTopic::of_shard(1, 0), &content(2), entry(2, 0, 6000).id);
        t.insert(&PubsubTopic::of_shard(1, 0), &content(3), entry(3, 0, 6000).id);
        assert_eq!(t.len(), 4, "the third was not asked for");
        t.remove(&entry(2, 0, 6000).id);
        t.remove(&entry(2, 0, 6000).id);
        t.raise(Timestamp(2500));
        assert_eq!(t.len(), 2);
        assert!(
            t.covers(&window(2500), &scope(&[2], &[]))
                && !t.covers(&window(2499), &scope(&[2], &[]))
        );
    }

    #[test]
    fn a_walk_that_fails_begins_anew_and_what_was_missed_is_walked_over_again() {
        let mut t = trees(10, 100);
        assert!(t.ask(&scope(&[1], &[]), at(0), &none()));
        t.step(at(0), LOW, LOAD).unwrap();
        t.loaded(at(0), LOW, Err(Error::new(ErrorKind::Busy, "busy")));
        assert!(t.step(at(0), LOW, LOAD).is_none(), "after a pause");
        let later = t.deadline().unwrap();
        t.step(later, LOW, LOAD).unwrap();
        t.reload();
        t.loaded(later, LOW, Ok(vec![entry(1, 0, 2000)]));
        assert!(!t.covers(&window(1000), &scope(&[1], &[])), "something was missed meanwhile");
        t.step(later, LOW, LOAD).unwrap();
        t.loaded(later, LOW, Ok(vec![entry(1, 0, 2000), entry(1, 0, 2001)]));
        assert!(t.covers(&window(1000), &scope(&[1], &[])));
        assert_eq!((t.len(), t.deadline()), (2, None));
    }

    #[test]
    fn what_was_dropped_in_the_middle_of_its_walk_is_walked_over_from_the_start() {
        let mut t = trees(10, 100);
        assert!(t.ask(&scope(&[1, 2], &[]), at(0), &none()));
        t.step(at(0), LOW, LOAD).unwrap();
        t.tend(at(599), &BTreeSet::from([content(2)]));
        t.tend(at(600), &none());
        assert!(t.ask(&scope(&[1], &[]), at(600), &none()));
        t.loaded(at(600), LOW, Ok(vec![entry(1, 0, 2000), entry(2, 0, 2000)]));
        assert!(t.covers(&window(1000), &scope(&[2], &[])));
        assert!(!t.covers(&window(1000), &scope(&[1], &[])), "half of it may be missing");
        assert_eq!(t.step(at(600), LOW, LoadId(2)).unwrap().content_topics, [content(1)]);
    }

    #[test]
    fn the_least_recently_used_go_where_there_are_too_many() {
        let mut t = trees(3, 100);
        for n in 1..=3 {
            load(&mut t, &[n], vec![entry(n, 0, 2000)], n.into());
        }
        assert!(t.ask(&scope(&[1], &[]), at(4), &none()), "used again");
        load(&mut t, &[4], Vec::new(), 5);
        let held: Vec<_> = (1..=4).filter(|n| t.trees.contains_key(&content(*n))).collect();
        assert_eq!(held, [1, 3, 4]);
        let all = BTreeSet::from([1, 3, 4].map(content));
        assert!(!t.ask(&scope(&[5], &[]), at(6), &all), "all are in use");
        assert!(!t.ask(&scope(&[5, 6, 7, 8], &[]), at(6), &none()), "more than fit");
        assert_eq!(t.trees.len(), 3);
        assert!(!trees(0, 100).ask(&scope(&[1], &[]), at(0), &none()), "not wanted at all");
    }

    #[test]
    fn ids_are_bounded_and_what_is_too_large_is_not_tried_again_at_once() {
        let mut t = trees(10, 100);
        let many = |topic, n: i64| (0..n).map(|i| entry(topic, 0, 2000 + i)).collect::<Vec<_>>();
        load(&mut t, &[1], many(1, 60), 1);
        load(&mut t, &[2], many(2, 30), 2);
        assert!(!t.is_over(at(2)));
        load(&mut t, &[3], many(3, 50), 3);
        assert!(t.is_over(at(3)));
        t.tend(at(3), &none());
        assert_eq!((t.len(), t.trees.contains_key(&content(1))), (80, false));
        // One that alone is too large, while a session waits for it and another uses the rest.
        let in_use = BTreeSet::from([2, 3, 4].map(content));
        assert!(t.ask(&scope(&[4], &[]), at(4), &in_use));
        t.step(at(4), LOW, LOAD).unwrap();
        t.loaded(at(4), LOW, Ok(many(4, super::super::walk::STEP as i64)));
        t.tend(at(4), &in_use);
        assert_eq!((t.len(), t.walk.is_none()), (80, true));
        assert!(!t.ask(&scope(&[4], &[]), at(5), &none()));
        t.tend(at(4 + 600), &in_use);
        assert!(t.ask(&scope(&[4], &[]), at(605), &none()), "things may have changed");
    }

    #[test]
    fn configured_ones_stay_and_others_go_unused() {
        let config = EngineConfig {
            content_trees: vec![content(1), content(9)],
            scope: scope(&[1, 2], &[]),
            max_content_ids: 10,
            heartbeat: Some(at(300)),
            ..EngineConfig::default()
        };
        let mut t = ContentTrees::new(&config);
        // What is not of the node's scope is never compared.
        assert_eq!(t.step(at(0), LOW, LOAD).unwrap().content_topics, [content(1)]);
        t.loaded(at(0), LOW, Ok((0..50).map(|i| entry(1, 0, 2000 + i)).collect()));
        load(&mut t, &[2], vec![entry(2, 0, 2000)], 10);
        assert!(!t.is_over(at(609)) && t.is_over(at(610)));
        t.tend(at(610), &BTreeSet::from([content(2)]));
        assert_eq!(t.len(), 51, "in use");
        t.tend(at(1210), &none());
        assert_eq!((t.len(), t.trees.len()), (50, 1));
    }

    #[test]
    fn pubsub_topics_of_one_content_topic_are_bounded() {
        let mut t = trees(10, 1000);
        load(&mut t, &[1], (0..20).map(|n| entry(1, n, 2000 + i64::from(n))).collect(), 0);
        assert_eq!(t.trees[&content(1)].topics.len(), MAX_PUBSUB_TOPICS);
        assert!(
            t.covers(&window(1000), &scope(&[1], &[]))
                && t.covers(&window(1000), &scope(&[1], &[3]))
        );
        assert_eq!(count(&t, &scope(&[1], &[])), 20);
        assert!(!t.covers(&window(1000), &scope(&[1], &[15])));
        assert!(!t.ask(&scope(&[1], &[15]), at(1), &none()), "waiting would not help");
        assert!(t.ask(&scope(&[1], &[3]), at(1), &none()));
    }
}
