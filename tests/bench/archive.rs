//! The archive: puts, pages, presence, size.

use std::path::Path;
use std::time::Instant;

use futures::future::join_all;
use wakustore::archive::{Archive, ArchiveConfig, Durability, SqliteBackend, SqliteConfig};
use wakustore::types::{
    ContentTopic, Direction, Filter, MessageHash, Origin, PubsubTopic, Query, StoredMessage,
    Timestamp, WakuMessage,
};

use crate::contenders::{Bare, Deployed};
use crate::report::{figure, median_us, versus};

const HOUR: i64 = 3_600_000_000_000;
const NOW: i64 = 1_763_900_000_000_000_000;

fn clock() -> Timestamp {
    Timestamp(NOW)
}

fn open(path: &Path, durability: Durability) -> Archive {
    let config = SqliteConfig { durability, ..SqliteConfig::new(path) };
    Archive::open(SqliteBackend::open(config).unwrap(), ArchiveConfig::new(clock)).unwrap()
}

/// Message `i` of `n`: 1 KiB, spread over an hour; each 1,000th on a rare content topic, each
/// 1,000th on a rare pubsub topic, the rest on 100 content topics of one pubsub topic.
fn message(i: usize, n: usize) -> StoredMessage {
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
    StoredMessage::new(pubsub, WakuMessage::new(payload, topic, Timestamp(at)))
}

fn messages(from: usize, count: usize, n: usize) -> Vec<StoredMessage> {
    (from..from + count).map(|i| message(i, n)).collect()
}

fn put_all(archive: &Archive, batches: &[Vec<StoredMessage>]) -> f64 {
    let start = Instant::now();
    for batch in batches {
        archive.put(batch.clone(), Origin::Import).wait().unwrap();
    }
    start.elapsed().as_secs_f64()
}

/// 64 tasks, each with one message on its way at a time.
fn put_by_tasks(archive: &Archive, messages: &[StoredMessage]) -> f64 {
    let start = Instant::now();
    let share = messages.len().div_ceil(64);
    let tasks = messages.chunks(share).map(|own| async move {
        for m in own {
            archive.put(vec![m.clone()], Origin::Import).await.unwrap();
        }
    });
    futures::executor::block_on(join_all(tasks));
    start.elapsed().as_secs_f64()
}

fn puts(dir: &Path, count: usize) {
    let all = messages(0, count, count);
    let batches: Vec<Vec<StoredMessage>> = all.chunks(1000).map(<[_]>::to_vec).collect();
    let rate = |seconds: f64| count as f64 / seconds;

    let bare_file = dir.join("bare.db");
    open(&bare_file, Durability::Normal).close();
    let bare = Bare::open(&bare_file);
    let start = Instant::now();
    batches.iter().for_each(|b| bare.put(b));
    let bare = rate(start.elapsed().as_secs_f64());

    // A commit a message is slow; a tenth is enough to tell its rate.
    let deployed = Deployed::open(&dir.join("deployed-put.db"), true);
    let start = Instant::now();
    all.iter().take(count / 10).for_each(|m| deployed.put(m));
    let deployed = rate(start.elapsed().as_secs_f64()) / 10.0;

    for (durability, contender, theirs) in
        [(Durability::Normal, "bare", bare), (Durability::Full, "deployed", deployed)]
    {
        let archive = open(&dir.join(format!("batch-{contender}.db")), durability);
        let ours = rate(put_all(&archive, &batches));
        versus("archive.put.batch1000", ours, "messages/s", contender, theirs);
        archive.close();
        let archive = open(&dir.join(format!("tasks-{contender}.db")), durability);
        let ours = rate(put_by_tasks(&archive, &all));
        versus("archive.put.tasks64", ours, "messages/s", contender, theirs);
        archive.close();
    }
}

fn page(archive: &Archive, filter: Filter, cursor: Option<MessageHash>) -> usize {
    let query =
        Query { filter, cursor, direction: Direction::Forward, limit: 100, include_data: true };
    archive.query(query).wait().unwrap().entries.len()
}

fn topics(names: impl Iterator<Item = String>) -> Filter {
    let topic = |name: String| ContentTopic::new(format!("/bench/1/{name}/proto")).unwrap();
    Filter { content_topics: names.map(topic).collect(), ..Filter::default() }
}

/// Fills an archive and gives hashes spread over it.
fn filled(archive: &Archive, count: usize) -> Vec<MessageHash> {
    let mut hashes = Vec::new();
    for from in (0..count).step_by(1000) {
        let batch = messages(from, 1000.min(count - from), count);
        hashes.extend(batch.iter().map(|m| m.hash));
        archive.put(batch, Origin::Import).wait().unwrap();
    }
    hashes
}

fn pages(dir: &Path, count: usize) {
    let (file, theirs_file) = (dir.join("pages.db"), dir.join("deployed.db"));
    let archive = open(&file, Durability::Full);
    let hashes = filled(&archive, count);
    let deployed = Deployed::open(&theirs_file, true);
    for from in (0..count).step_by(1000) {
        deployed.fill(&messages(from, 1000.min(count - from), count));
    }

    let first = median_us(200, |_| page(&archive, Filter::default(), None));
    let theirs = median_us(50, |_| deployed.first_page());
    versus("archive.page.first", first, "us", "deployed", theirs);

    let deep = |i: usize| Some(hashes[count / 2 + i * 97 % (count / 4)]);
    let ours = median_us(200, |i| page(&archive, Filter::default(), deep(i)));
    let theirs = median_us(50, |i| deployed.page_after(&deep(i).unwrap()));
    versus("archive.page.deep", ours, "us", "deployed", theirs);

    let some = |i: usize| -> Vec<MessageHash> {
        (0..100).map(|j| hashes[(i * 7919 + j * 104_729) % count]).collect()
    };
    let by = |i| Filter { hashes: some(i), ..Filter::default() };
    let ours = median_us(200, |i| page(&archive, by(i), None));
    let theirs = median_us(50, |i| deployed.by_hashes(&some(i)));
    versus("archive.page.hashes", ours, "us", "deployed", theirs);

    let rare = || topics(["rare".to_string()].into_iter());
    let ours = median_us(200, |_| page(&archive, rare(), None));
    versus("archive.page.topic", ours, "us", "archive.page.first", first);
    for n in [10, 100] {
        let many = || topics((0..n).map(|i| format!("t{i}")));
        let ours = median_us(100, |_| page(&archive, many(), None));
        versus(&format!("archive.page.topics{n}"), ours, "us", "archive.page.first", first);
    }
    let pubsub = || Filter { pubsub_topic: Some(PubsubTopic::of_shard(1, 1)), ..Filter::default() };
    let ours = median_us(200, |_| page(&archive, pubsub(), None));
    versus("archive.page.pubsub_rare", ours, "us", "archive.page.first", first);

    // Half of them held, in no order.
    let asked: Vec<MessageHash> = (0..100_000u64)
        .map(|i| match i % 2 {
            0 => hashes[(i as usize).wrapping_mul(7919) % count],
            _ => message(count + i as usize, count).hash,
        })
        .collect();
    let ours = median_us(3, |_| archive.missing(asked.clone()).wait().unwrap().len());
    let theirs = median_us(3, |_| deployed.missing(&asked));
    versus("archive.missing.100000", ours, "us", "deployed", theirs);

    archive.close();
    drop(deployed);
    let size = |path: &Path| std::fs::metadata(path).unwrap().len() as f64 / count as f64;
    let (ours, theirs) = (size(&file), size(&theirs_file));
    versus("archive.bytes_per_message", ours, "bytes", "deployed", theirs);

    let start = Instant::now();
    let archive = open(&file, Durability::Full);
    page(&archive, Filter::default(), None);
    figure("archive.open_to_first_page_ms", start.elapsed().as_secs_f64() * 1e3, "ms");
}

fn growth(dir: &Path, small: usize, large: usize) {
    let deep = |count: usize| {
        let archive = open(&dir.join(format!("growth-{count}.db")), Durability::Normal);
        let hashes = filled(&archive, count);
        median_us(200, |i| page(&archive, Filter::default(), Some(hashes[count / 2 + i * 97])))
    };
    let (few, many) = (deep(small), deep(large));
    versus("archive.page.deep.growth", many, "us", &format!("n{small}"), few);
}

pub(crate) fn run() {
    let full = std::env::var_os("FULL").is_some();
    let dir = tempfile::tempdir().unwrap();
    puts(dir.path(), if full { 300_000 } else { 50_000 });
    pages(dir.path(), if full { 1_000_000 } else { 200_000 });
    growth(dir.path(), if full { 100_000 } else { 40_000 }, if full { 1_000_000 } else { 400_000 });
}
