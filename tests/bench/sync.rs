//! Sync: processor time of both sides, bytes both ways and rounds, beside the deployed node's
//! algorithm (`scan`) and the `negentropy` crate.
//!
//! `sync.*` is wakustore's own protocol, `sync.v1.*` the deployed wire (1.0.0) with ours on both
//! sides. What the contenders take is checked against what they are known to take: a contender that
//! is weaker than it was would make ours look better.

use wakustore::engine::EngineConfig;
use wakustore::sync::reconcile::Tuning;

use crate::own::{Stock, own, told};
use crate::report::{figure, versus};
use crate::rivals::{Measured, mixed, negentropy, scan, v1};
use crate::sets::{Sides, bursts, empty, gap, halves};

/// Rounds and bytes.
type Known = (usize, usize);

/// What the contenders took at a million ids: differences, then negentropy and scan.
const KNOWN: [(usize, Known, Known); 4] = [
    (0, (1, 384), (1, 51)),
    (10, (3, 20_637), (4, 186_252)),
    (1_000, (3, 1_409_261), (4, 15_754_676)),
    (10_000, (3, 10_706_516), (4, 66_011_911)),
];

/// A contender must take the known rounds exactly and the known bytes within three hundredths.
fn check(name: &str, d: usize, took: Measured, (rounds, bytes): Known) {
    let off = took.bytes as f64 / bytes as f64 - 1.0;
    let told = format!(
        "{name} at n=1000000 d={d}: {} rounds (known {rounds}), {} bytes (known {bytes}, {:+.1} %)",
        took.rounds,
        took.bytes,
        off * 100.0
    );
    let as_known = took.rounds == rounds && off.abs() <= 0.03;
    assert!(as_known, "{told}: this is not the contender that the goals speak of");
    println!("# {told}: as known");
}

fn beside(group: &str, of: &str, ours: Measured, contender: &str, theirs: Measured) {
    let name = |what: &str| format!("{group}.{what}.{of}");
    versus(&name("bytes"), ours.bytes as f64, "bytes", contender, theirs.bytes as f64);
    versus(&name("cpu_ms"), ours.cpu_ms, "ms", contender, theirs.cpu_ms);
    versus(&name("rounds"), ours.rounds as f64, "rounds", contender, theirs.rounds as f64);
}

fn one(of: &str, sides: &Sides) -> (Measured, Measured) {
    let tuning = EngineConfig::default().tuning;
    let (by_scan, by_negentropy) = (scan(sides), negentropy(sides));
    let by_v1 = v1(sides, &tuning);
    let stocks = [Stock::new(&sides.a), Stock::new(&sides.b)];
    let by_own = own(&stocks, sides);
    let dry = told(&stocks, sides);
    for (contender, theirs) in [("negentropy", by_negentropy), ("scan", by_scan)] {
        beside("sync", of, by_own, contender, theirs);
    }
    for (contender, theirs) in [("negentropy", by_negentropy), ("scan", by_scan)] {
        let (ours, theirs) = (dry.bytes as f64, theirs.bytes as f64);
        versus(&format!("sync.told_bytes.{of}"), ours, "bytes", contender, theirs);
    }
    for (contender, theirs) in [("scan", by_scan), ("negentropy", by_negentropy)] {
        beside("sync.v1", of, by_v1, contender, theirs);
    }
    figure(&format!("sync.v1.largest_frame.{of}"), by_v1.largest as f64, "bytes");
    (by_scan, by_negentropy)
}

/// Differences spread over the hour, half a side.
pub(crate) fn spread(n: usize) {
    for (d, of_negentropy, of_scan) in KNOWN {
        let sides = halves(n, d, 7);
        let of = format!("n{n}.d{d}");
        let (by_scan, by_negentropy) = one(&of, &sides);
        if n == 1_000_000 {
            check("negentropy", d, by_negentropy, of_negentropy);
            check("scan", d, by_scan, of_scan);
        }
        if d == 1_000 {
            let (by_ours, by_theirs) = mixed(&sides, &EngineConfig::default().tuning);
            figure(&format!("sync.v1.bytes_ours_begins_with_scan.{of}"), by_ours as f64, "bytes");
            figure(&format!("sync.v1.bytes_scan_begins_with_ours.{of}"), by_theirs as f64, "bytes");
        }
    }
}

/// Differences of other shapes; they have no goals.
pub(crate) fn shapes(n: usize) {
    for (shape, sides) in [("gap", gap(n)), ("empty", empty(n)), ("bursts", bursts(n))] {
        one(&format!("n{n}.{shape}"), &sides);
    }
}

pub(crate) fn run() {
    for n in [10_000, 100_000, 1_000_000] {
        spread(n);
    }
    shapes(100_000);
}

/// Not of `make bench`: bytes, rounds and time over sizes and differences, for some fixed tunings
/// and the one in use (`cargo bench -- tuning`).
pub(crate) fn tuning() {
    let usual = EngineConfig::default().tuning;
    let fixed = |fan_out, max_item_set| Tuning { fan_out, max_item_set, ..usual.clone() };
    let tunings = [
        ("usual", usual.clone()),
        ("8/64", fixed(8, 64)),
        ("32/64", fixed(32, 64)),
        ("64/64", fixed(64, 64)),
    ];
    for n in [1_000, 10_000, 100_000, 1_000_000] {
        for d in [1, 10, 100, 1_000, 10_000].into_iter().filter(|d| d <= &n) {
            let sides = halves(n, d, 7);
            let mut line = format!("n={n:<8} d={d:<6}");
            for (name, tuning) in &tunings {
                let took = v1(&sides, tuning);
                let (ours, theirs) = mixed(&sides, tuning);
                line += &format!(
                    " | {name}: {} B {} r {:.2} ms, mixed {ours} {theirs}",
                    took.bytes, took.rounds, took.cpu_ms
                );
            }
            println!("{line}");
        }
    }
}
