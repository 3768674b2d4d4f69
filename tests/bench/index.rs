//! The index: one insert into it, a fingerprint of it, what it takes in memory, and how long it takes
//! to stand at start. With it go the sums that a session of wakustore's own protocol compares: an
//! insert is charged with keeping them.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use wakustore::archive::{Archive, ArchiveConfig, Durability, SqliteBackend, SqliteConfig};
use wakustore::engine::{Engine, EngineConfig, Now, Output};
use wakustore::sync::index::Index;
use wakustore::sync::summary::{Kept, whole_slices};
use wakustore::types::{
    ContentTopic, Origin, PubsubTopic, StoredMessage, SyncId, TimeRange, Timestamp, WakuMessage,
};

use crate::own;
use crate::report::{cpu, figure, versus};
use crate::sets::{HOUR, NOW, spread};
use crate::sync_common::Noise;

/// The deployed node's index: a sorted vector of ids, and two arrays of topics beside it.
struct Vectors(Vec<SyncId>, Vec<u64>, Vec<u64>);

impl Vectors {
    fn insert(&mut self, id: SyncId) {
        let at = self.0.partition_point(|other| *other < id);
        self.0.insert(at, id);
        self.1.insert(at, 1);
        self.2.insert(at, 2);
    }

    fn fingerprint(&self, lower: SyncId, upper: SyncId) -> [u8; 32] {
        let start = self.0.partition_point(|id| *id < lower);
        let end = self.0.partition_point(|id| *id < upper);
        let mut xor = [0; 32];
        for id in &self.0[start..end] {
            for (a, b) in xor.iter_mut().zip(id.hash.0) {
                *a ^= b;
            }
        }
        xor
    }
}

const MARGIN: i64 = 20_000_000_000;

/// The window that a node compares by default at this time.
fn window_at(now: i64) -> TimeRange {
    let config = EngineConfig::default();
    let end = Timestamp(now).saturating_sub(config.margin);
    whole_slices(TimeRange::new(end.saturating_sub(config.window), end).unwrap())
}

fn in_memory(n: usize) {
    let rng = &mut Noise::new(3);
    let ids = spread(n, rng);
    let start = cpu();
    let mut tree: Index = ids.iter().copied().collect();
    figure(&format!("sync.index.build_sorted_ms.n{n}"), (cpu() - start).as_secs_f64() * 1e3, "ms");
    let mut vectors = Vectors(ids, vec![1; n], vec![2; n]);
    let mut kept = Kept::new();
    let start = cpu();
    while !kept.advance(&tree, own::window(), usize::MAX) {}
    figure(&format!("sync.index.build_sums_ms.n{n}"), (cpu() - start).as_secs_f64() * 1e3, "ms");

    let each_ns = |took: Duration, count: usize| took.as_secs_f64() * 1e9 / count as f64;
    let mut batch = |count: usize, from: i64, span: i64| -> Vec<SyncId> {
        (0..count)
            .map(|_| {
                let at = from + (rng.below(span as u64) as i64);
                rng.id(at)
            })
            .collect()
    };

    // Anywhere in the hour, which is where the sums are kept.
    let more = batch(100_000, NOW - HOUR, HOUR);
    let start = cpu();
    for id in &more {
        tree.insert(*id);
        kept.inserted(id);
    }
    let ours = each_ns(cpu() - start, more.len());
    let more = batch(200, NOW - HOUR, HOUR);
    let start = cpu();
    more.iter().for_each(|id| vectors.insert(*id));
    let theirs = each_ns(cpu() - start, more.len());
    versus(&format!("sync.index.insert_ns.n{n}"), ours, "ns", "scan", theirs);

    // In the last 20 s.
    let more = batch(20_000, NOW - MARGIN, MARGIN);
    let start = cpu();
    for id in &more {
        tree.insert(*id);
        kept.inserted(id);
    }
    let ours = each_ns(cpu() - start, more.len());
    let start = cpu();
    more.iter().for_each(|id| vectors.insert(*id));
    let theirs = each_ns(cpu() - start, more.len());
    versus(&format!("sync.index.insert_end_ns.n{n}"), ours, "ns", "scan", theirs);
    // An hour later they leave the sums again, which is charged to nobody's insert (a vector's ids
    // have to go too).
    let start = cpu();
    more.iter().for_each(|id| kept.removed(id));
    figure(&format!("sync.index.leave_ns.n{n}"), each_ns(cpu() - start, more.len()), "ns");
    more.iter().for_each(|id| kept.inserted(id));

    // As messages come, a million an hour for six minutes: into the last 20 s, and every 20 s the
    // sums move on, so that as much leaves them as has come. (Fewer ids lie behind one than in the
    // burst above, so a vector moves less.)
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    let (each, rounds) = (n / 180, 18);
    for now in (2..2 + rounds).map(|round| NOW + round * MARGIN) {
        let more = batch(each, now - MARGIN, MARGIN);
        let start = cpu();
        for id in &more {
            tree.insert(*id);
            kept.inserted(id);
        }
        while !kept.advance(&tree, window_at(now), 4096) {}
        ours += cpu() - start;
        let start = cpu();
        more.into_iter().for_each(|id| vectors.insert(id));
        theirs += cpu() - start;
    }
    let (ours, theirs) = (each_ns(ours, each * 18), each_ns(theirs, each * 18));
    versus(&format!("sync.index.insert_paced_ns.n{n}"), ours, "ns", "scan", theirs);

    let bounds: Vec<(SyncId, SyncId)> = (0..1000)
        .map(|_| {
            let (a, b) = (rng.below(HOUR as u64) as i64, rng.below(HOUR as u64) as i64);
            let floor = |t: i64| SyncId::floor(Timestamp(NOW - HOUR + t));
            (floor(a.min(b)), floor(a.max(b)))
        })
        .collect();
    // The first byte of each sum, so that none is left out.
    let all = |of: &dyn Fn(&(SyncId, SyncId)) -> u8| {
        let times = (0..5).map(|_| {
            let start = cpu();
            let sum = bounds.iter().fold(0u8, |sum, range| sum.wrapping_add(of(range)));
            std::hint::black_box(sum);
            cpu() - start
        });
        each_ns(times.min().unwrap_or_default(), bounds.len())
    };
    let ours = all(&|(a, b)| tree.fingerprint(a, b).xor.0[0]);
    let theirs = all(&|(a, b)| vectors.fingerprint(*a, *b)[0]);
    versus(&format!("sync.index.fingerprint_ns.n{n}"), ours, "ns", "scan", theirs);
    let bytes = (tree.heap_bytes() + kept.heap_bytes()) as f64 / tree.len() as f64;
    figure("sync.index.bytes_per_id", bytes, "bytes");
}

/// Small messages over the hour, on eight shards and a hundred content topics. (A walk over the ids
/// reads no payload.)
fn fill(archive: &Archive, n: usize) {
    for from in (0..n).step_by(1000) {
        let message = |i: usize| {
            let at = NOW - HOUR + i as i64 * (HOUR / n as i64);
            let topic = ContentTopic::new(format!("/bench/1/t{}/proto", i % 100)).unwrap();
            let message = WakuMessage::new(vec![7; 16], topic, Timestamp(at));
            StoredMessage::new(PubsubTopic::of_shard(1, i as u32 % 8), message)
        };
        let batch = (from..n.min(from + 1000)).map(message).collect();
        archive.put(batch, Origin::Import).wait().unwrap();
    }
}

fn open(path: &Path) -> Archive {
    let config = SqliteConfig { durability: Durability::Normal, ..SqliteConfig::new(path) };
    let config_of_archive = ArchiveConfig::new(|| Timestamp(NOW));
    Archive::open(SqliteBackend::open(config).unwrap(), config_of_archive).unwrap()
}

/// An engine over this archive, until its index stands; how long that took, in milliseconds.
fn stands(archive: &Archive, n: usize) -> f64 {
    let start = Instant::now();
    let now = Now { elapsed: Duration::ZERO, wall: Timestamp(NOW) };
    let mut engine = Engine::new(EngineConfig::default(), 1, now);
    while !engine.is_ready() {
        let Some(Output::Load { load, query }) = engine.poll_output() else {
            panic!("a step of the walk is due");
        };
        let step = archive.index(query);
        // As a host does: what the engine has to do goes on beside the archive's thread.
        assert!(engine.poll_output().is_none());
        engine.loaded(now, load, step.wait());
    }
    assert_eq!(engine.usage().index_ids, n);
    start.elapsed().as_secs_f64() * 1e3
}

/// The same rows on bare rusqlite: what an index needs of each, and nothing made of it.
fn bare_read(path: &Path, n: usize) -> f64 {
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA cache_size=-8192;").unwrap();
    let start = Instant::now();
    let mut statement = db
        .prepare("SELECT timestamp, hash, channel FROM message ORDER BY timestamp, hash")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    let (mut count, mut sum) = (0, 0i64);
    while let Some(row) = rows.next().unwrap() {
        let hash = row.get_ref(1).unwrap().as_blob().unwrap();
        sum ^= row.get::<_, i64>(0).unwrap() ^ row.get::<_, i64>(2).unwrap() ^ i64::from(hash[31]);
        count += 1;
    }
    std::hint::black_box(sum);
    assert_eq!(count, n);
    start.elapsed().as_secs_f64() * 1e3
}

fn at_start(n: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.db");
    let archive = open(&path);
    fill(&archive, n);
    archive.close();
    let (mut ours, mut bare) = (f64::MAX, f64::MAX);
    for _ in 0..7 {
        bare = bare.min(bare_read(&path, n));
        let archive = open(&path);
        ours = ours.min(stands(&archive, n));
        archive.close();
    }
    versus(&format!("sync.index.build_ms.n{n}"), ours, "ms", "bare read", bare);
}

pub(crate) fn run(n: usize) {
    in_memory(n);
    at_start(n);
}
