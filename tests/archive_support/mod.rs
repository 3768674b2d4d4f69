//! What the archive's tests share: messages, backends to run on, and a model that is a plain list.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, unreachable_pub)]

#[cfg(feature = "postgres")]
pub mod cluster;

use bytes::Bytes;
use tempfile::TempDir;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, IndexEntry, IndexQuery, MemoryBackend, PutOutcome,
};
use wakustore::types::{
    ContentTopic, Direction, Entry, MessageHash, Origin, Page, PubsubTopic, Query, StoredMessage,
    Timestamp, WakuMessage,
};

/// What the tests' clock shows.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

pub fn clock() -> Timestamp {
    NOW
}

pub fn config() -> ArchiveConfig {
    ArchiveConfig::new(clock)
}

pub fn pubsub(i: u32) -> PubsubTopic {
    PubsubTopic::of_shard(9, i)
}

pub fn content(i: u32) -> ContentTopic {
    ContentTopic::new(format!("/archive/1/topic-{i}/proto")).unwrap()
}

/// A message that its payload alone makes different from others.
pub fn message(pubsub_topic: u32, content_topic: u32, time: i64, payload: &str) -> StoredMessage {
    let message = WakuMessage::new(payload.to_owned(), content(content_topic), Timestamp(time));
    StoredMessage::new(pubsub(pubsub_topic), message)
}

/// Messages with payloads of `size` bytes, `times` apart, from just before now.
pub fn many(count: usize, size: usize) -> Vec<StoredMessage> {
    (0..count)
        .map(|i| {
            let mut payload = vec![0; size.max(8)];
            payload[..8].copy_from_slice(&(i as u64).to_le_bytes());
            let time = Timestamp(NOW.0 - (count as i64) + i as i64);
            let m = WakuMessage::new(Bytes::from(payload), content((i % 10) as u32), time);
            StoredMessage::new(pubsub((i % 8) as u32), m)
        })
        .collect()
}

/// An archive, and what goes with it.
pub struct Opened {
    pub name: &'static str,
    pub archive: Archive,
    pub dir: Option<Keeps>,
}

/// What an archive lies in, and is removed with it.
pub enum Keeps {
    Dir(TempDir),
    #[cfg(feature = "postgres")]
    Database(cluster::Database),
}

/// A fresh archive on each backend that this build has.
pub fn every_backend(config: &ArchiveConfig) -> Vec<Opened> {
    let mut all = local_backends(config);
    #[cfg(feature = "postgres")]
    for (name, partitions) in [("postgresql", few_partitions()), ("postgresql, cut", partitions())]
    {
        let database = cluster::Cluster::shared().database();
        let archive = postgres(&database.url, partitions, config);
        all.push(Opened { name, archive, dir: Some(Keeps::Database(database)) });
    }
    #[cfg(not(feature = "postgres"))]
    let _ = &mut all;
    all
}

/// Those that need no server: all but PostgreSQL.
pub fn local_backends(config: &ArchiveConfig) -> Vec<Opened> {
    let memory = Archive::open(MemoryBackend::default(), config.clone()).unwrap();
    #[cfg_attr(not(feature = "sqlite"), allow(unused_mut))]
    let mut all = vec![Opened { name: "memory", archive: memory, dir: None }];
    #[cfg(feature = "sqlite")]
    {
        use wakustore::archive::{SqliteBackend, SqliteConfig};
        let open = |path: &std::path::Path| {
            let backend = SqliteBackend::open(SqliteConfig::new(path)).unwrap();
            Archive::open(backend, config.clone()).unwrap()
        };
        let dir = tempfile::tempdir().unwrap();
        let archive = open(&dir.path().join("archive.db"));
        all.push(Opened { name: "sqlite file", archive, dir: Some(Keeps::Dir(dir)) });
        let archive = open(":memory:".as_ref());
        all.push(Opened { name: "sqlite :memory:", archive, dir: None });
    }
    all
}

/// An archive in a PostgreSQL database.
#[cfg(feature = "postgres")]
pub fn postgres(
    url: &str,
    partitions: wakustore::archive::Partitions,
    config: &ArchiveConfig,
) -> Archive {
    use wakustore::archive::{PostgresBackend, PostgresConfig};
    let place = PostgresConfig { partitions, ..PostgresConfig::new(url) };
    Archive::open(PostgresBackend::open(place).unwrap(), config.clone()).unwrap()
}

/// Seconds around [`NOW`], for what goes by the clock.
#[cfg(feature = "postgres")]
pub fn few_partitions() -> wakustore::archive::Partitions {
    let second = std::time::Duration::from_secs(1);
    let (start, end) = (NOW.saturating_sub(4_000 * second), NOW.saturating_add(900 * second));
    wakustore::archive::Partitions { start, end, width: second }
}

/// So that even a few messages of the tests, which are of the first nanoseconds, lie in many.
#[cfg(feature = "postgres")]
pub fn partitions() -> wakustore::archive::Partitions {
    let width = std::time::Duration::from_nanos(7);
    wakustore::archive::Partitions { start: Timestamp(3), end: Timestamp(1_000), width }
}

/// Stores messages as an import and tells what became of them.
pub fn import(archive: &Archive, messages: Vec<StoredMessage>) -> Vec<PutOutcome> {
    archive.put(messages, Origin::Import).wait().unwrap()
}

/// What an archive of these messages must answer. Straight from the definitions, and slow.
pub fn model_page(held: &[StoredMessage], query: &Query) -> Result<Page, ErrorKind> {
    let filter = &query.filter;
    let mut matching: Vec<&StoredMessage> = held
        .iter()
        .filter(|m| filter.pubsub_topic.as_ref().is_none_or(|t| *t == m.pubsub_topic))
        .filter(|m| {
            filter.content_topics.is_empty()
                || filter.content_topics.contains(&m.message.content_topic)
        })
        .filter(|m| filter.time.contains(m.timestamp()))
        .filter(|m| filter.hashes.is_empty() || filter.hashes.contains(&m.hash))
        .collect();
    matching.sort_by_key(|m| m.sync_id());
    if query.direction == Direction::Backward {
        matching.reverse();
    }
    if let Some(cursor) = query.cursor {
        let cursor = held.iter().find(|m| m.hash == cursor);
        let cursor = cursor.ok_or(ErrorKind::CursorNotFound)?.sync_id();
        matching.retain(|m| match query.direction {
            Direction::Forward => m.sync_id() > cursor,
            Direction::Backward => m.sync_id() < cursor,
        });
    }
    let more = matching.len() > query.limit;
    matching.truncate(query.limit);
    let cursor = if more { matching.last().map(|m| m.hash) } else { None };
    if query.direction == Direction::Backward {
        matching.reverse();
    }
    let data = |m: &StoredMessage| (m.pubsub_topic.clone(), m.message.clone());
    let entries = matching
        .into_iter()
        .map(|m| Entry { hash: m.hash, data: query.include_data.then(|| data(m)) })
        .collect();
    Ok(Page { entries, cursor })
}

/// What an archive of these messages must answer.
pub fn model_index(held: &[StoredMessage], query: &IndexQuery) -> Vec<IndexEntry> {
    let mut found: Vec<IndexEntry> = held
        .iter()
        .map(|m| IndexEntry {
            id: m.sync_id(),
            pubsub_topic: m.pubsub_topic.clone(),
            content_topic: m.message.content_topic.clone(),
        })
        .filter(|e| query.time.contains(e.id.timestamp))
        .filter(|e| query.pubsub_topics.is_empty() || query.pubsub_topics.contains(&e.pubsub_topic))
        .filter(|e| {
            query.content_topics.is_empty() || query.content_topics.contains(&e.content_topic)
        })
        .filter(|e| query.after.is_none_or(|after| e.id > after))
        .collect();
    found.sort_by_key(|e| e.id);
    found.truncate(query.limit);
    found
}

/// A hash that no message has.
pub fn unknown_hash(i: u8) -> MessageHash {
    let mut bytes = [0xee; 32];
    bytes[0] = i;
    MessageHash(bytes)
}
