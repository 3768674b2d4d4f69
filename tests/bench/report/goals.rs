//! Where each figure is to be: a goal is for the ratio against one contender, or, with no contender
//! named, for the value itself.

/// The name of a figure, its contender, and its bound.
const GOALS: &[(&str, &str, Bound)] = &[
    ("sync.cpu_ms.n1000000.d0", "negentropy", AtMost(1.0 / 200.0)),
    ("sync.cpu_ms.n1000000.d0", "scan", AtMost(1.0 / 200.0)),
    ("sync.bytes.n1000000.d0", "", AtMost(96.0)),
    ("sync.cpu_ms.n1000000.d10", "negentropy", AtMost(1.0 / 20.0)),
    ("sync.cpu_ms.n1000000.d10", "scan", AtMost(1.0 / 20.0)),
    ("sync.bytes.n1000000.d10", "negentropy", AtMost(1.0 / 20.0)),
    ("sync.cpu_ms.n1000000.d1000", "negentropy", AtMost(1.0 / 5.0)),
    ("sync.bytes.n1000000.d1000", "negentropy", AtMost(1.0 / 30.0)),
    ("sync.bytes.n1000000.d1000", "scan", AtMost(1.0 / 300.0)),
    ("sync.rounds.n1000000.d1000", "", AtMost(2.0)),
    ("sync.bytes.n1000000.d10000", "negentropy", AtMost(1.0 / 30.0)),
    ("sync.told_bytes.n1000000.d1000", "negentropy", AtMost(1.0 / 20.0)),
    ("sync.wall_ms.rtt100.n100000.d1000", "negentropy", AtMost(1.0 / 3.0)),
    ("sync.v1.bytes.n1000000.d1000", "scan", AtMost(1.0 / 12.0)),
    ("sync.v1.cpu_ms.n1000000.d1000", "scan", AtMost(1.0 / 2.5)),
    ("sync.index.insert_ns.n1000000", "scan", AtMost(1.0 / 500.0)),
    ("sync.index.insert_end_ns.n1000000", "scan", AtMost(1.0 / 3.0)),
    ("sync.index.fingerprint_ns.n1000000", "scan", AtMost(1.0 / 250.0)),
    ("sync.index.bytes_per_id", "", AtMost(64.0)),
    ("sync.index.build_ms.n1000000", "bare read", AtMost(1.5)),
    ("sync.e2e.seconds", "bare", AtMost(2.0)),
    ("archive.put.tasks64", "bare", AtLeast(0.8)),
    ("archive.put.tasks64", "deployed", AtLeast(4.0)),
    ("archive.put.batch1000", "bare", AtLeast(0.9)),
    ("archive.put.batch1000", "deployed", AtLeast(4.0)),
    ("archive.page.first", "deployed", AtMost(1.0 / 25.0)),
    ("archive.page.deep", "deployed", AtMost(1.0 / 15.0)),
    ("archive.page.hashes", "deployed", AtMost(1.0 / 15.0)),
    ("archive.page.topic", "archive.page.first", AtMost(6.0)),
    ("archive.page.topics10", "archive.page.first", AtMost(10.0)),
    ("archive.page.topics100", "archive.page.first", AtMost(30.0)),
    ("archive.page.pubsub_rare", "archive.page.first", AtMost(6.0)),
    ("archive.page.deep.growth", "n100000", AtMost(2.0)),
    ("archive.missing.100000", "deployed", AtMost(1.0 / 15.0)),
    ("archive.bytes_per_message", "deployed", AtMost(0.36)),
    ("archive.retention.pause", "without", AtMost(2.0)),
    ("archive.open_to_first_page_ms.n1000000", "bare", AtMost(2.0)),
    ("store.page.p50_us", "bare", AtMost(2.0)),
    ("store.page.cpu_us", "1 client", AtMost(1.0)),
];

use Bound::{AtLeast, AtMost};

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn is_met(self, by: f64) -> bool {
        match self {
            AtMost(bound) => by <= bound,
            AtLeast(bound) => by >= bound,
        }
    }
}

/// What is put behind a figure that has a goal, with whether it is met. A goal without a contender
/// is for the value, whatever it stands beside.
pub(crate) fn beside(name: &str, contender: &str, value: f64, ratio: Option<f64>) -> String {
    let of = |against: &str| {
        GOALS.iter().find(|(n, c, _)| *n == name && *c == against).map(|(_, _, bound)| *bound)
    };
    let of_ratio = ratio.and_then(|ratio| Some((of(contender)?, ratio)));
    let Some((bound, measured)) = of_ratio.or_else(|| Some((of("")?, value))) else {
        return String::new();
    };
    let (sign, limit) = match bound {
        AtMost(limit) => ("<=", limit),
        AtLeast(limit) => (">=", limit),
    };
    format!(r#","goal":"{sign} {limit:.4}","met":{}"#, bound.is_met(measured))
}
