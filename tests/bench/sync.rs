//! Sync on the deployed wire (1.0.0): bytes, rounds and CPU of a session beside the deployed node's
//! algorithm (`scan`), and the index beside the deployed node's sorted vector.

use std::time::Instant;

use wakustore::engine::EngineConfig;
use wakustore::sync::index::Index;
use wakustore::types::{SyncId, Timestamp};

use crate::report::{figure, median_us, versus};
use crate::sync_common::{Cost, Deployed, Noise, Ours, Set, Side, run as session, window};

const NOW: i64 = 1_763_900_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// `n` ids over an hour that both hold, and `d` that one holds, half on each side.
fn sides(n: usize, d: usize) -> (Set, Set) {
    let rng = &mut Noise::new(7);
    let mut id = || {
        let at = NOW - HOUR + (rng.below(HOUR as u64) as i64);
        rng.id(at)
    };
    let both: Set = (0..n).map(|_| id()).collect();
    let (mut a, mut b) = (both.clone(), both);
    for i in 0..d {
        let of = if i % 2 == 0 { &mut a } else { &mut b };
        of.insert(id());
    }
    (a, b)
}

/// The least of three times, in milliseconds, and what the session took.
fn time(mut sides: impl FnMut() -> (Box<dyn Side>, Box<dyn Side>)) -> (f64, Cost) {
    let mut best = (f64::MAX, Cost::default());
    for _ in 0..3 {
        let (mut first, mut second) = sides();
        let start = Instant::now();
        let cost = session(&mut *first, &mut *second, 100);
        best = (best.0.min(start.elapsed().as_secs_f64() * 1e3), cost);
    }
    best
}

fn wire(n: usize) {
    let hour = window(NOW - HOUR, NOW);
    let tuning = EngineConfig::default().tuning;
    for d in [0, 10, 1_000, 10_000] {
        let (a, b) = sides(n, d);
        let ours = |ids: &Set| Box::new(Ours::new(ids, 1, hour, tuning.clone())) as Box<dyn Side>;
        let scan = |ids: &Set| Box::new(Deployed::new(ids, hour)) as Box<dyn Side>;
        let (our_ms, our_cost) = time(|| (ours(&a), ours(&b)));
        let (their_ms, their_cost) = time(|| (scan(&a), scan(&b)));
        let name = |what: &str| format!("sync.v1.{what}.n{n}.d{d}");
        let (bytes, theirs) = (our_cost.bytes as f64, their_cost.bytes as f64);
        versus(&name("bytes"), bytes, "bytes", "scan", theirs);
        versus(&name("cpu_ms"), our_ms, "ms", "scan", their_ms);
        let rounds = |cost: Cost| cost.frames.div_ceil(2) as f64;
        versus(&name("rounds"), rounds(our_cost), "rounds", "scan", rounds(their_cost));
        if d == 1_000 {
            let (_, mixed) = time(|| (ours(&a), scan(&b)));
            figure(&name("bytes_ours_begins_with_scan"), mixed.bytes as f64, "bytes");
            let (_, mixed) = time(|| (scan(&a), ours(&b)));
            figure(&name("bytes_scan_begins_with_ours"), mixed.bytes as f64, "bytes");
        }
    }
}

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

fn index(n: usize) {
    let rng = &mut Noise::new(3);
    let ids: Vec<SyncId> = {
        let set: Set = (0..n)
            .map(|_| {
                let at = NOW - HOUR + (rng.below(HOUR as u64) as i64);
                rng.id(at)
            })
            .collect();
        set.into_iter().collect()
    };
    let start = Instant::now();
    let mut tree: Index = ids.iter().copied().collect();
    figure(&format!("sync.index.build_ms.n{n}"), start.elapsed().as_secs_f64() * 1e3, "ms");
    let mut vectors = Vectors(ids.clone(), vec![1; n], vec![2; n]);

    // Anywhere in the hour, and in the last 20 s of it.
    for (name, span, ours, theirs) in
        [("insert_ns", HOUR, 100_000, 200), ("insert_end_ns", 20_000_000_000, 100_000, 20_000)]
    {
        let mut batch = |count: usize| -> Vec<SyncId> {
            (0..count)
                .map(|_| {
                    let at = NOW - span + (rng.below(span as u64) as i64);
                    rng.id(at)
                })
                .collect()
        };
        let each_ns =
            |start: Instant, count: usize| start.elapsed().as_secs_f64() * 1e9 / count as f64;
        let more = batch(ours);
        let start = Instant::now();
        more.iter().for_each(|id| {
            tree.insert(*id);
        });
        let tree_ns = each_ns(start, ours);
        let more = batch(theirs);
        let start = Instant::now();
        more.into_iter().for_each(|id| vectors.insert(id));
        let vector_ns = each_ns(start, theirs);
        versus(&format!("sync.index.{name}.n{n}"), tree_ns, "ns", "scan", vector_ns);
    }

    let bounds: Vec<(SyncId, SyncId)> = (0..1000)
        .map(|_| {
            let (a, b) = (rng.below(HOUR as u64) as i64, rng.below(HOUR as u64) as i64);
            let floor = |t: i64| SyncId::floor(Timestamp(NOW - HOUR + t));
            (floor(a.min(b)), floor(a.max(b)))
        })
        .collect();
    // The first byte of each sum, so that none is left out.
    let all = |of: &dyn Fn(&(SyncId, SyncId)) -> u8| {
        let sums = || bounds.iter().fold(0u8, |sum, range| sum.wrapping_add(of(range)));
        median_us(5, |_| sums()) * 1e3 / bounds.len() as f64
    };
    let ours = all(&|(a, b)| tree.fingerprint(a, b).xor.0[0]);
    let theirs = all(&|(a, b)| vectors.fingerprint(*a, *b)[0]);
    versus(&format!("sync.index.fingerprint_ns.n{n}"), ours, "ns", "scan", theirs);
    let bytes = tree.heap_bytes() as f64 / tree.len() as f64;
    figure("sync.index.bytes_per_id", bytes, "bytes");
}

pub(crate) fn run() {
    index(1_000_000);
    wire(1_000_000);
}
