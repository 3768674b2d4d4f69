//! The node that is asked, as a process of its own.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wakustore::archive::{Archive, ArchiveConfig, SqliteBackend, SqliteConfig};
use wakustore::engine::EngineConfig;
use wakustore::node::{Node, NodeConfig};
use wakustore::store::{client, server};
use wakustore::types::{
    ContentTopic, Filter, Origin, PubsubTopic, Query, StoredMessage, TimeRange, Timestamp,
    WakuMessage,
};

use crate::child_support::{say, told};

pub(crate) const MESSAGES: usize = 30_000;
pub(crate) const SIZE: usize = 512;
pub(crate) const CLUSTER: u32 = 1;
/// The time of the first message; they are a second apart.
const FIRST: i64 = 1_700_000_000_000_000_000;
const APART: i64 = 1_000_000_000;

pub(crate) fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(now.as_nanos()).unwrap())
}

pub(crate) fn archive(path: &Path) -> Archive {
    let backend = SqliteBackend::open(SqliteConfig::new(path)).unwrap();
    Archive::open(backend, ArchiveConfig::new(clock)).unwrap()
}

pub(crate) fn fill(path: &Path) {
    let archive = archive(path);
    let topic = ContentTopic::new("/bench/1/pages/proto").unwrap();
    let message = |n: usize| {
        let mut payload = vec![n as u8; SIZE];
        payload[..8].copy_from_slice(&n.to_be_bytes());
        let at = Timestamp(FIRST + n as i64 * APART);
        let message = WakuMessage::new(payload, topic.clone(), at);
        StoredMessage::new(PubsubTopic::of_shard(CLUSTER, 0), message)
    };
    for batch in (0..MESSAGES).collect::<Vec<_>>().chunks(1000) {
        let batch = batch.iter().map(|n| message(*n)).collect();
        archive.put(batch, Origin::Import).wait().unwrap();
    }
    archive.close();
}

/// A page from anywhere in the archive.
pub(crate) fn query(n: usize) -> Query {
    let at = n.wrapping_mul(7919) % (MESSAGES - 100);
    let time = TimeRange::new(Timestamp(FIRST + at as i64 * APART), Timestamp::MAX).unwrap();
    Query { filter: Filter { time, ..Filter::default() }, limit: 100, ..Query::default() }
}

pub(crate) fn config(relay: bool) -> NodeConfig {
    NodeConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        cluster_id: CLUSTER,
        shards: vec![0],
        relay,
        engine: EngineConfig {
            heartbeat: None,
            sync_on_connect: false,
            resume: false,
            ..EngineConfig::default()
        },
        ..NodeConfig::default()
    }
}

/// The sizes of a request and its response, as `sizes` was answered.
pub(crate) fn sizes(told: &str) -> (usize, usize) {
    let (asked, answered) = told.split_once(' ').unwrap();
    (asked.parse().unwrap(), answered.parse().unwrap())
}

async fn frame_sizes(archive: &Archive) -> (usize, usize) {
    let request = client::encode(&"0".repeat(32), &query(1)).unwrap();
    let server::Step::Query(query, asked) = server::begin(&request) else { panic!("no query") };
    let response = asked.answer(archive.query(query).await);
    (request.len(), response.len())
}

/// The archive alone: the same queries, in the median, in microseconds.
async fn archive_alone(archive: &Archive) -> f64 {
    let mut times = Vec::new();
    for n in 0..1000 {
        let begun = Instant::now();
        let page = archive.query(query(n)).await.unwrap();
        times.push(begun.elapsed());
        assert_eq!(page.entries.len(), 100);
    }
    times.sort_unstable();
    times[times.len() / 2].max(Duration::ZERO).as_secs_f64() * 1e6
}

/// Runs until its standard input closes.
pub(crate) fn run(path: &Path, relay: bool) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let archive = archive(path);
        let node = Node::start(config(relay), archive.clone()).await.unwrap();
        say(&format!("address {}", node.addresses()[0]));
        while let Some(line) = told().await {
            match line.as_str() {
                "messages" => {
                    say(&format!("messages {}", archive.stats().await.unwrap().messages));
                }
                "sizes" => {
                    let (asked, answered) = frame_sizes(&archive).await;
                    say(&format!("sizes {asked} {answered}"));
                }
                "archive" => say(&format!("archive {}", archive_alone(&archive).await)),
                _ => panic!("{line:?}"),
            }
        }
        node.stop().await;
        archive.close();
    });
}
