//! One node of the soak, a process of its own: it does what nodes do, and tells what it is asked.

use std::path::Path;
use std::time::Duration;

use wakustore::archive::{Archive, ArchiveConfig, Retention, SqliteBackend, SqliteConfig};
use wakustore::engine::EngineConfig;
use wakustore::node::{Node, NodeConfig, NodeEvent, NodeSyncReport};
use wakustore::types::{Filter, PubsubTopic, Query, TimeRange, Timestamp};
use wakustore::wire::reconciliation::Scope;

use crate::child_support::{say, told};
use crate::{CLUSTER, clock};

/// The time between two syncs that a node begins.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

/// How a node of the soak is configured: it takes these shards over relay, and all over sync.
pub(crate) fn config(relayed: &[u32], kept: Duration) -> NodeConfig {
    let topics = [0, 1].map(|shard| PubsubTopic::of_shard(CLUSTER, shard));
    NodeConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        cluster_id: CLUSTER,
        shards: relayed.to_vec(),
        relay: !relayed.is_empty(),
        engine: EngineConfig {
            scope: Scope { pubsub_topics: topics.into(), content_topics: Vec::new() },
            // Well above where retention stands, also when it begins at a slice's boundary: a window
            // below a peer's floor is refused whole.
            window: kept / 2,
            horizon: kept * 2,
            margin: Duration::from_secs(2),
            heartbeat: Some(HEARTBEAT),
            heartbeat_peers: 2,
            sync_again: Duration::from_secs(5),
            ..EngineConfig::default()
        },
        ..NodeConfig::default()
    }
}

/// What is kept, by age.
pub(crate) fn archive_config(kept: Duration) -> ArchiveConfig {
    let retention = Retention { max_age: Some(kept), ..Retention::default() };
    ArchiveConfig { retention, ..ArchiveConfig::new(clock) }
}

/// How many messages of this span are held, and the XOR of their hashes' beginnings.
pub(crate) async fn held(archive: &Archive, time: TimeRange) -> (usize, u64) {
    let filter = Filter { time, ..Filter::default() };
    let mut query = Query { filter, limit: 100, include_data: false, ..Query::default() };
    let (mut count, mut sum) = (0, 0);
    // Retention may take the cursor's message away between two pages.
    while let Ok(page) = archive.query(query.clone()).await {
        for entry in &page.entries {
            count += 1;
            sum ^= u64::from_be_bytes(*entry.hash.0.first_chunk().unwrap());
        }
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return (count, sum),
        }
    }
    (0, 0)
}

/// Runs until its standard input closes.
pub(crate) fn run(path: &Path, relayed: &[u32], kept: Duration) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let backend = SqliteBackend::open(SqliteConfig::new(path)).unwrap();
        let archive = Archive::open(backend, archive_config(kept)).unwrap();
        let node = Node::start(config(relayed, kept), archive.clone()).await.unwrap();
        say(&format!("address {}", node.addresses()[0]));
        // With peers that come and go some are cut off. Why goes to standard error.
        let mut events = node.events();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let telling = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let NodeEvent::SyncFinished(NodeSyncReport { report, .. }) = event {
                    let figures = &report.figures;
                    let (missing, received) = (figures.missing, figures.received);
                    let (reason, error) = (report.reason, &report.error);
                    if std::env::var_os("SOAK_SYNCS").is_some() || error.is_some() {
                        eprintln!("{name}: {reason:?} {missing} {received} {error:?}");
                    }
                }
            }
        });
        while let Some(line) = told().await {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["tasks"] => {
                    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
                    say(&format!("tasks {tasks}"));
                }
                ["messages"] => {
                    say(&format!("messages {}", archive.stats().await.unwrap().messages));
                }
                ["dial", peer] => {
                    node.dial(peer).await.unwrap();
                    say("dial");
                }
                ["part"] => {
                    for peer in node.peers() {
                        node.disconnect(&peer).await.unwrap();
                    }
                    say("part");
                }
                ["held", start, end] => {
                    let [start, end] = [start, end].map(|at| Timestamp(at.parse().unwrap()));
                    let (count, sum) = held(&archive, TimeRange::new(start, end).unwrap()).await;
                    say(&format!("held {count} {sum:x}"));
                }
                _ => panic!("{line:?}"),
            }
        }
        node.stop().await;
        telling.await.unwrap();
        archive.close();
    });
}
