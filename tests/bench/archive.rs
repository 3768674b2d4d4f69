//! The archive: puts, pages, presence, retention, opening, size.
//!
//! What must hold: ours and theirs take turns within one run, on the same messages, so that what
//! else the machine does falls on both; each figure is the median of its rounds. Pages, presence,
//! retention and opening are measured on files of 1,000,000 messages of 1 KiB (`FULL=1`:
//! 10,000,000), which are made once and kept under `target/`.

pub(crate) mod contenders;
pub(crate) mod files;
pub(crate) mod opening;
pub(crate) mod pages;
pub(crate) mod puts;
pub(crate) mod retention;

use std::path::Path;
use std::time::Instant;

use wakustore::archive::{Archive, ArchiveConfig, Durability, SqliteBackend, SqliteConfig};
use wakustore::types::{ContentTopic, PubsubTopic, StoredMessage, Timestamp, WakuMessage};

const HOUR: i64 = 3_600_000_000_000;
const NOW: i64 = 1_763_900_000_000_000_000;

/// Past all messages, also those that are put beside the large sets.
fn clock() -> Timestamp {
    Timestamp(NOW + HOUR)
}

fn config() -> ArchiveConfig {
    ArchiveConfig::new(clock)
}

fn open_with(path: &Path, durability: Durability, config: ArchiveConfig) -> Archive {
    let sqlite = SqliteConfig { durability, ..SqliteConfig::new(path) };
    Archive::open(SqliteBackend::open(sqlite).unwrap(), config).unwrap()
}

fn open(path: &Path, durability: Durability) -> Archive {
    open_with(path, durability, config())
}

/// Larger sets.
fn full() -> bool {
    std::env::var_os("FULL").is_some()
}

/// Message `i` of `n`, without what names it: 1 KiB, spread over an hour; each 1,000th on a rare
/// content topic, each 1,000th on a rare pubsub topic, the rest on 100 content topics of one
/// pubsub topic.
fn plain(i: usize, n: usize) -> (PubsubTopic, WakuMessage) {
    let mut payload = vec![0; 1024];
    let mut x = i as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for chunk in payload.chunks_mut(8) {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk.copy_from_slice(&x.to_le_bytes());
    }
    let topic = if i % 1000 == 7 { "rare".into() } else { format!("t{}", i % 100) };
    let topic = ContentTopic::new(format!("/bench/1/{topic}/proto")).unwrap();
    let pubsub = PubsubTopic::of_shard(1, u32::from(i % 1000 == 11));
    let at = NOW - HOUR + (i as i64) * (HOUR / n as i64);
    (pubsub, WakuMessage::new(payload, topic, Timestamp(at)))
}

fn message(i: usize, n: usize) -> StoredMessage {
    let (pubsub, message) = plain(i, n);
    StoredMessage::new(pubsub, message)
}

fn messages(from: usize, count: usize, n: usize) -> Vec<StoredMessage> {
    (from..from + count).map(|i| message(i, n)).collect()
}

/// How long it takes, in seconds.
fn seconds<T>(call: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(call());
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Two calls that take turns: the median time of each, in microseconds.
fn turns<A, B>(
    rounds: usize,
    mut ours: impl FnMut(usize) -> A,
    mut theirs: impl FnMut(usize) -> B,
) -> (f64, f64) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        a.push(seconds(|| ours(round)) * 1e6);
        b.push(seconds(|| theirs(round)) * 1e6);
    }
    (median(a), median(b))
}
