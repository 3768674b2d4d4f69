//! What sync is measured against, and ours over the deployed wire: each from its own index, which
//! stands already, to the moment at which both sides are done. Processor time is that of both sides
//! together, the best of several runs.

use std::time::{Duration, Instant};

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use wakustore::sync::index::Index;
use wakustore::sync::reconcile::{Differences, Tuning, View, initiate, mark, respond};
use wakustore::types::{SyncId, TimeRange};
use wakustore::wire::reconciliation::{Payload, Scope};

use crate::report::cpu;
use crate::sets::{HOUR, NOW, Sides};
use crate::sync_common::{Deployed, Side, run as exchange, window};

/// What a session took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) cpu_ms: f64,
    pub(crate) bytes: usize,
    pub(crate) rounds: usize,
    /// The largest frame, in bytes.
    pub(crate) largest: usize,
}

pub(crate) fn hour() -> TimeRange {
    window(NOW - HOUR, NOW)
}

/// Runs sessions until half a second has passed, three at the least; the fastest.
pub(crate) fn best(mut session: impl FnMut() -> (usize, usize, usize)) -> Measured {
    let begin = Instant::now();
    let mut best = f64::MAX;
    let mut runs = 0;
    loop {
        let start = cpu();
        let (bytes, rounds, largest) = session();
        best = best.min((cpu() - start).as_secs_f64() * 1e3);
        runs += 1;
        if runs >= 3 && begin.elapsed() > Duration::from_millis(500) {
            return Measured { cpu_ms: best, bytes, rounds, largest };
        }
    }
}

/// Negentropy's vector storage.
pub(crate) fn vector_of(ids: &[SyncId]) -> NegentropyStorageVector {
    let mut store = NegentropyStorageVector::with_capacity(ids.len());
    for id in ids {
        let time = u64::try_from(id.timestamp.nanos()).unwrap();
        store.insert(time, Id::from_byte_array(id.hash.0)).unwrap();
    }
    store.seal().unwrap();
    store
}

/// The `negentropy` crate: vector storage, no limit to its frames.
pub(crate) fn negentropy(sides: &Sides) -> Measured {
    let (a, b) = (vector_of(&sides.a), vector_of(&sides.b));
    let differ = differences(sides);
    best(|| {
        let mut client = Negentropy::borrowed(&a, 0).unwrap();
        let mut server = Negentropy::borrowed(&b, 0).unwrap();
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let mut frame = client.initiate().unwrap();
        let (mut bytes, mut rounds, mut largest) = (0, 0, 0);
        loop {
            bytes += frame.len();
            largest = largest.max(frame.len());
            let answer = server.reconcile(&frame).unwrap();
            bytes += answer.len();
            largest = largest.max(answer.len());
            rounds += 1;
            match client.reconcile_with_ids(&answer, &mut have, &mut need).unwrap() {
                Some(next) => frame = next,
                None => break,
            }
        }
        assert_eq!((have.len(), need.len()), differ);
        (bytes, rounds, largest)
    })
}

/// The deployed node's algorithm, on its own wire.
pub(crate) fn scan(sides: &Sides) -> Measured {
    let mut a = Deployed::of(sides.a.clone(), hour());
    let mut b = Deployed::of(sides.b.clone(), hour());
    let differ = differences(sides);
    best(|| {
        for side in [&mut a, &mut b] {
            side.to_send.clear();
            side.to_receive.clear();
        }
        let cost = exchange(&mut a, &mut b, 100);
        assert_eq!((a.to_send.len(), b.to_send.len()), differ);
        (cost.bytes, cost.frames.div_ceil(2), cost.largest)
    })
}

/// Our side of the deployed wire.
pub(crate) struct V1 {
    index: Index,
    tuning: Tuning,
    pub(crate) found: Differences,
}

impl V1 {
    pub(crate) fn new(ids: &[SyncId], tuning: &Tuning) -> Self {
        let index = ids.iter().copied().collect();
        V1 { index, tuning: tuning.clone(), found: Differences::default() }
    }
}

impl Side for V1 {
    fn begin(&mut self) -> Payload {
        // As the engine has it.
        self.found = std::mem::take(&mut self.found).searching();
        let first = initiate(&View(vec![&self.index]), hour(), &Scope::default(), &self.tuning);
        mark(first, &self.found)
    }

    fn answer(&mut self, payload: &Payload) -> Option<Payload> {
        let view = View(vec![&self.index]);
        let scope = Scope::default();
        respond(&view, payload, hour(), &scope, &self.tuning, &mut self.found).unwrap()
    }
}

/// Ours on both sides of the deployed wire.
pub(crate) fn v1(sides: &Sides, tuning: &Tuning) -> Measured {
    let mut a = V1::new(&sides.a, tuning);
    let mut b = V1::new(&sides.b, tuning);
    let differ = differences(sides);
    best(|| {
        a.found = Differences::default();
        b.found = Differences::default();
        let cost = exchange(&mut a, &mut b, 1000);
        // Of spans that were granted nothing is named.
        assert!(a.found.local_only.len() == differ.0 || !b.found.granted.is_empty());
        assert!(b.found.local_only.len() == differ.1 || !a.found.granted.is_empty());
        (cost.bytes, cost.frames.div_ceil(2), cost.largest)
    })
}

/// Ours with the deployed algorithm, either beginning: bytes.
pub(crate) fn mixed(sides: &Sides, tuning: &Tuning) -> (usize, usize) {
    let begun_by_ours =
        exchange(&mut V1::new(&sides.a, tuning), &mut Deployed::of(sides.b.clone(), hour()), 1000);
    let begun_by_theirs =
        exchange(&mut Deployed::of(sides.a.clone(), hour()), &mut V1::new(&sides.b, tuning), 1000);
    (begun_by_ours.bytes, begun_by_theirs.bytes)
}

/// How many ids each side alone holds.
pub(crate) fn differences(sides: &Sides) -> (usize, usize) {
    let lacks = |ids: &[SyncId], of: &[SyncId]| {
        of.iter().filter(|id| ids.binary_search(id).is_err()).count()
    };
    (lacks(&sides.b, &sides.a), lacks(&sides.a, &sides.b))
}
