//! What goes on around the nodes of the soak: a publisher, apps that ask, peers that come and go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use wakustore::archive::{Archive, MemoryBackend};
use wakustore::engine::SyncOptions;
use wakustore::node::Node;
use wakustore::types::{
    ContentTopic, Direction, Filter, MessageHash, PubsubTopic, Query, Timestamp, WakuMessage,
};

use crate::node::{archive_config, config};
use crate::{CLUSTER, clock};

/// Messages a second.
const RATE: u64 = 40;
/// The longest that anything here waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was done, for the report.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) published: AtomicU64,
    pub(crate) pages: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) came: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// What was published of late, with its time.
    pub(crate) newest: Mutex<VecDeque<(Timestamp, MessageHash)>>,
}

fn content(n: u64) -> ContentTopic {
    ContentTopic::new(format!("/soak/1/topic-{}/proto", n % 20)).unwrap()
}

pub(crate) async fn node(relayed: &[u32], kept: Duration) -> Node {
    let archive = Archive::open(MemoryBackend::default(), archive_config(kept)).unwrap();
    Node::start(config(relayed, kept), archive).await.unwrap()
}

/// Publishes at an even rate, on both shards in turn.
pub(crate) async fn publish(done: Arc<Done>, publisher: Node, kept: Duration) {
    let mut ticks = interval(Duration::from_secs(1) / RATE as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0u64.. {
        ticks.tick().await;
        let mut payload = vec![n as u8; 100 + (n as usize * 131) % 2000];
        payload[..8].copy_from_slice(&n.to_be_bytes());
        let at = clock();
        let message = WakuMessage::new(payload, content(n), at);
        let topic = PubsubTopic::of_shard(CLUSTER, (n % 2) as u32);
        match publisher.publish(topic, message).await {
            Ok(hash) => {
                done.published.fetch_add(1, Ordering::Relaxed);
                let mut newest = done.newest.lock().unwrap();
                newest.push_back((at, hash));
                let oldest = at.saturating_sub(kept);
                while newest.front().is_some_and(|(at, _)| *at < oldest) {
                    newest.pop_front();
                }
            }
            Err(_) => {
                done.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Asks for pages of every kind, of one node after the other.
pub(crate) async fn ask(done: Arc<Done>, addresses: Vec<String>, kept: Duration) {
    let client = node(&[], kept).await;
    for n in 0u64.. {
        sleep(Duration::from_millis(40)).await;
        let peer = &addresses[n as usize % addresses.len()];
        let query = match n % 4 {
            0 => Query { limit: 100, direction: Direction::Backward, ..Query::default() },
            1 => {
                let filter = Filter { content_topics: vec![content(n)], ..Filter::default() };
                Query { filter, limit: 50, ..Query::default() }
            }
            2 => Query { include_data: false, limit: 100, ..Query::default() },
            _ => {
                let hashes: Vec<_> =
                    done.newest.lock().unwrap().iter().take(50).map(|(_, h)| *h).collect();
                Query { filter: Filter { hashes, ..Filter::default() }, ..Query::default() }
            }
        };
        match timeout(PATIENCE, client.store_query(peer, query)).await {
            Ok(Ok(_)) => done.pages.fetch_add(1, Ordering::Relaxed),
            _ => done.failed.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// Peers that come, ask, sync and go: in order, or all of a sudden.
pub(crate) async fn come_and_go(done: Arc<Done>, addresses: Vec<String>, kept: Duration) {
    for n in 0usize.. {
        let peer = node(&[], kept).await;
        let to = &addresses[n % addresses.len()];
        let visit = async {
            peer.dial(to).await?;
            peer.store_query(to, Query::default()).await?;
            peer.sync(to, SyncOptions::default()).await
        };
        match timeout(PATIENCE, visit).await {
            Ok(Ok(_)) => done.syncs.fetch_add(1, Ordering::Relaxed),
            _ => done.failed.fetch_add(1, Ordering::Relaxed),
        };
        done.came.fetch_add(1, Ordering::Relaxed);
        if n % 2 == 0 {
            peer.stop().await;
        }
        drop(peer);
        sleep(Duration::from_secs(1)).await;
    }
}
