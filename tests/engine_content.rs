//! Syncs scoped by content topics: the first loads trees by content topic, those that follow run on
//! them, and what cannot be held is loaded for the session alone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sim::{World, content, quiet, shard, with};
use wakustore::archive::FeedEvent;
use wakustore::engine::{EngineConfig, SyncOptions};
use wakustore::types::{MessageHash, StoredMessage};
use wakustore::wire::reconciliation::Scope;

/// Messages of three content topics, in two shards, over most of the hour.
fn messages(first: u64, count: u64) -> Vec<StoredMessage> {
    (first..first + count)
        .map(|n| {
            let topic = content(["a", "b", "c"][n as usize % 3]);
            with(n, 100.0 + (n % 3000) as f64, shard(n as u32 % 2), topic, 20)
        })
        .collect()
}

fn narrow(topics: &[&str]) -> EngineConfig {
    let content_topics = topics.iter().map(|t| content(t)).collect();
    let scope = Scope { content_topics, ..Scope::default() };
    EngineConfig { scope, ..quiet() }
}

fn set<'a>(messages: impl IntoIterator<Item = &'a StoredMessage>) -> BTreeSet<MessageHash> {
    messages.into_iter().map(|m| m.hash).collect()
}

fn of<'a>(messages: &'a [StoredMessage], topics: &[&str]) -> Vec<&'a StoredMessage> {
    let named: Vec<_> = topics.iter().map(|t| content(t)).collect();
    messages.iter().filter(|m| named.contains(&m.message.content_topic)).collect()
}

/// A node with this scope, and one that holds `theirs` and compares everything.
fn world(topics: &[&str], all: EngineConfig, theirs: &[StoredMessage]) -> World {
    World::pair_with(9, narrow(topics), all, &[], theirs)
}

fn sync(world: &mut World, from: usize) {
    let (ours, theirs) = world.sync_to_end(from, 1 - from, SyncOptions::default());
    assert_eq!((ours.error, theirs.error), (None, None));
    assert!(world.nodes.iter().all(|n| n.penalties.is_empty()));
}

#[test]
fn only_the_first_sync_of_a_content_topic_loads() {
    for from in [0, 1] {
        let held = messages(0, 900);
        let mut world = world(&["a", "b"], quiet(), &held);
        let loads = world.nodes[1].loads;
        sync(&mut world, from);
        assert_eq!(world.nodes[1].loads, loads + 1, "one walk for both topics");
        assert!(world.hashes(0) == set(of(&held, &["a", "b"])), "begun by {from}");
        // What comes to either side later is in the trees by the feed.
        let (more, ours) = (messages(1000, 90), messages(2000, 60));
        world.put(1, more.clone());
        world.put(0, ours.clone());
        world.run_for(Duration::from_secs(1));
        sync(&mut world, 1 - from);
        sync(&mut world, from);
        assert_eq!(world.nodes[1].loads, loads + 1);
        let mut expected = set(of(&held, &["a", "b"]));
        expected.extend(set(of(&more, &["a", "b"])));
        expected.extend(set(&ours));
        assert!(world.hashes(0) == expected);
        let mut expected = set(held.iter().chain(&more));
        expected.extend(set(of(&ours, &["a", "b"])));
        assert!(world.hashes(1) == expected);
        world.assert_released();
    }
}

#[test]
fn configured_topics_are_there_before_anyone_asks() {
    let held = messages(0, 300);
    let config = EngineConfig { content_trees: vec![content("a"), content("b")], ..quiet() };
    let mut world = world(&["b"], config, &held);
    let loads = world.nodes[1].loads;
    assert_eq!(loads, 2, "the index, and the trees of both topics");
    sync(&mut world, 0);
    world.run_for(Duration::from_secs(3 * 3600));
    sync(&mut world, 0);
    assert_eq!(world.nodes[1].loads, loads);
    assert!(world.hashes(0) == set(of(&held, &["b"])));
}

#[test]
fn trees_that_nobody_uses_go() {
    let held = messages(0, 300);
    let heartbeat = Some(Duration::from_secs(100));
    let mut world = world(&["a"], EngineConfig { heartbeat, ..quiet() }, &held);
    // Of the two the other is never heard of again: a heartbeat of its own would use the tree.
    sync(&mut world, 0);
    let with_tree = world.usages()[1].index_ids;
    assert_eq!(with_tree, 300 + 100);
    world.cut(0, 1);
    world.run_for(Duration::from_secs(190));
    assert_eq!(world.usages()[1].index_ids, with_tree);
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.usages()[1].index_ids, 300);
}

#[test]
fn what_cannot_be_held_is_loaded_for_the_session() {
    let held = messages(0, 900);
    for config in [
        EngineConfig { max_content_trees: 1, ..quiet() },
        EngineConfig { max_content_ids: 200, ..quiet() },
    ] {
        let mut world = world(&["a", "b"], config, &held);
        let loads = world.nodes[1].loads;
        sync(&mut world, 0);
        let first = world.nodes[1].loads;
        assert!(first > loads);
        assert!(world.hashes(0) == set(of(&held, &["a", "b"])));
        assert!(world.usages()[1].index_ids <= 900 + 200);
        sync(&mut world, 0);
        assert!(world.nodes[1].loads > first);
        world.assert_released();
    }
}

#[test]
fn a_lagging_feed_makes_the_trees_load_again() {
    let held = messages(0, 90);
    let mut world = world(&["a"], quiet(), &held);
    sync(&mut world, 0);
    // Stored, and the feed had to leave it out.
    let missed = messages(300, 30);
    world.nodes[1].fill(&missed);
    world.call(1, |e, now| e.fed(now, FeedEvent::Lagged { missed: 30, from: None }));
    world.run_for(Duration::from_secs(1));
    sync(&mut world, 0);
    let mut expected = set(of(&held, &["a"]));
    expected.extend(set(of(&missed, &["a"])));
    assert!(world.hashes(0) == expected);
    // And what is removed leaves them.
    let items = of(&missed, &["a"]).into_iter().map(|m| wakustore::archive::FeedItem {
        id: m.sync_id(),
        pubsub_topic: m.pubsub_topic.clone(),
        content_topic: m.message.content_topic.clone(),
        origin: wakustore::types::Origin::Live,
    });
    let items: Arc<[_]> = items.collect();
    world.call(1, |e, now| e.fed(now, FeedEvent::Removed(items)));
    let usage = world.usages()[1];
    assert_eq!(
        usage.index_ids,
        (120 - 10) + 30,
        "ten of a hundred and twenty, and of the tree's forty"
    );
}

#[test]
fn an_archive_that_fails_meanwhile_is_asked_again() {
    let held = messages(0, 300);
    let mut world = world(&["c"], quiet(), &held);
    world.nodes[1].load_faults.extend([Some(wakustore::ErrorKind::Busy); 3]);
    sync(&mut world, 0);
    assert!(world.hashes(0) == set(of(&held, &["c"])));
    world.assert_released();
}
