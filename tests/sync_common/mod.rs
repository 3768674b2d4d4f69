//! Two sides that reconcile over real bytes: our engine's layer, and a plain rendering of the
//! deployed node's algorithm.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeSet;

use wakustore::sync::index::Index;
use wakustore::sync::reconcile::{Differences, Tuning, View, initiate, mark, respond};
use wakustore::types::{MessageHash, SyncId, TimeRange, Timestamp};
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope};

pub type Set = BTreeSet<SyncId>;

/// What both sides of a session can do.
pub trait Side {
    fn begin(&mut self) -> Payload;
    fn answer(&mut self, payload: &Payload) -> Option<Payload>;
}

/// Our side: the ids spread over some trees.
pub struct Ours {
    pub trees: Vec<Index>,
    pub window: TimeRange,
    pub tuning: Tuning,
    pub found: Differences,
}

impl Ours {
    pub fn new(ids: &Set, trees: usize, window: TimeRange, tuning: Tuning) -> Self {
        let mut indexes = vec![Index::new(); trees.max(1)];
        for id in ids {
            indexes[id.hash.0[5] as usize % trees.max(1)].insert(*id);
        }
        Ours { trees: indexes, window, tuning, found: Differences::default() }
    }

    fn view(&self) -> View<'_> {
        View(self.trees.iter().collect())
    }

    /// The lists, which must hold nothing twice.
    pub fn outcome(&self) -> (Set, Set) {
        let set = |list: &[SyncId]| {
            let set: Set = list.iter().copied().collect();
            assert_eq!(set.len(), list.len(), "a difference was reported twice");
            set
        };
        (set(&self.found.local_only), set(&self.found.remote_only))
    }
}

impl Side for Ours {
    fn begin(&mut self) -> Payload {
        self.found = std::mem::take(&mut self.found).searching();
        let first = initiate(&self.view(), self.window, &Scope::default(), &self.tuning);
        mark(first, &self.found)
    }

    fn answer(&mut self, payload: &Payload) -> Option<Payload> {
        let mut found = std::mem::take(&mut self.found);
        let answer = respond(
            &self.view(),
            payload,
            self.window,
            &Scope::default(),
            &self.tuning,
            &mut found,
        );
        self.found = found;
        let answer = answer.unwrap();
        if let Some(payload) = &answer {
            legal(payload);
        }
        answer
    }
}

/// What a payload of ours must be, so that deployed peers read it as meant.
fn legal(payload: &Payload) {
    assert_eq!(payload.clone().as_read(), *payload, "a bound that the wire cannot say");
    let mut lower = payload.lower;
    let mut skipped = true;
    for Range { upper, data } in &payload.ranges {
        assert_eq!(upper.hash, MessageHash::ZERO);
        assert!(lower < upper.timestamp, "an empty range");
        match data {
            RangeData::Skip => assert!(!skipped, "a skip at the start or behind another"),
            RangeData::Fingerprint(_) => {}
            RangeData::ItemSet { ids, .. } => {
                assert!(ids.is_sorted_by(|a, b| a < b));
                assert!(
                    ids.iter().all(|id| lower <= id.timestamp && id.timestamp < upper.timestamp)
                );
            }
        }
        skipped = matches!(data, RangeData::Skip);
        lower = upper.timestamp;
    }
    assert!(payload.ranges.is_empty() || !skipped, "a skip at the end");
}

/// The deployed node: a sorted vector, XOR by scanning ranges whose upper bound is in them, eight
/// equal parts of time, at most a hundred ids to a list.
pub struct Deployed {
    ids: Vec<SyncId>,
    window: TimeRange,
    /// Takes all of the upper bound's timestamp into a range, not just ids up to the bound.
    pub by_time: bool,
    pub to_send: Vec<MessageHash>,
    pub to_receive: Vec<MessageHash>,
    pub vanished: usize,
}

type Bounds = (SyncId, SyncId);

impl Deployed {
    pub fn new(ids: &Set, window: TimeRange) -> Self {
        Deployed::of(ids.iter().copied().collect(), window)
    }

    /// From ids in order.
    pub fn of(ids: Vec<SyncId>, window: TimeRange) -> Self {
        Deployed {
            ids,
            window,
            by_time: false,
            to_send: Vec::new(),
            to_receive: Vec::new(),
            vanished: 0,
        }
    }

    /// `None` where the range lies wholly before or after all ids.
    fn find(&self, (lower, upper): Bounds) -> Option<&[SyncId]> {
        let start = self.ids.partition_point(|id| *id < lower);
        let end = self.ids.partition_point(|id| {
            *id <= upper || (self.by_time && id.timestamp == upper.timestamp)
        });
        (end >= 1 && start < self.ids.len()).then(|| self.ids.get(start..end).unwrap_or_default())
    }

    fn xor(ids: &[SyncId]) -> MessageHash {
        let mut xor = MessageHash::ZERO;
        for id in ids {
            for (a, b) in xor.0.iter_mut().zip(id.hash.0) {
                *a ^= b;
            }
        }
        xor
    }

    fn parts((lower, upper): Bounds) -> Vec<Bounds> {
        let (lower, upper) = (lower.timestamp.0, upper.timestamp.0);
        let length = upper - lower;
        if length < 8 {
            return Vec::new();
        }
        let mut at = lower;
        (0..8)
            .map(|i| {
                let from = at;
                at += length / 8 + i64::from(i < length % 8);
                (SyncId::floor(Timestamp(from)), SyncId::floor(Timestamp(at)))
            })
            .collect()
    }

    fn summary(&self, bounds: Bounds, out: &mut Vec<(Bounds, RangeData)>) -> bool {
        let data = match self.find(bounds) {
            None => RangeData::ItemSet { ids: Vec::new(), reconciled: true },
            Some(ids) if ids.len() <= 100 => {
                RangeData::ItemSet { ids: ids.to_vec(), reconciled: false }
            }
            Some(_) => return false,
        };
        out.push((bounds, data));
        true
    }

    fn range(&mut self, bounds: Bounds, data: &RangeData, out: &mut Vec<(Bounds, RangeData)>) {
        match data {
            RangeData::Skip => out.push((bounds, RangeData::Skip)),
            RangeData::Fingerprint(theirs) => {
                if Self::xor(self.find(bounds).unwrap_or_default()) == *theirs {
                    out.push((bounds, RangeData::Skip));
                } else if !self.summary(bounds, out) {
                    let parts = Self::parts(bounds);
                    self.vanished += usize::from(parts.is_empty());
                    for part in parts {
                        if !self.summary(part, out) {
                            let xor = Self::xor(self.find(part).unwrap_or_default());
                            out.push((part, RangeData::Fingerprint(xor)));
                        }
                    }
                }
            }
            RangeData::ItemSet { ids: theirs, reconciled } => {
                let Some(ours) = self.find(bounds).map(<[SyncId]>::to_vec) else {
                    let data = if *reconciled {
                        RangeData::Skip
                    } else {
                        RangeData::ItemSet { ids: Vec::new(), reconciled: true }
                    };
                    out.push((bounds, data));
                    return;
                };
                let has = |list: &[SyncId], id: &SyncId| list.binary_search(id).is_ok();
                self.to_send.extend(ours.iter().filter(|id| !has(theirs, id)).map(|id| id.hash));
                let missing = theirs.iter().filter(|id| !has(&ours, id));
                self.to_receive.extend(missing.map(|id| id.hash));
                let data = if *reconciled {
                    RangeData::Skip
                } else {
                    RangeData::ItemSet { ids: ours, reconciled: true }
                };
                out.push((bounds, data));
            }
        }
    }

    /// Its encoder: bounds as differences of time, whatever is missing in between.
    fn write(mut ranges: Vec<(Bounds, RangeData)>) -> Payload {
        if ranges.iter().all(|(_, data)| matches!(data, RangeData::Skip)) {
            return Payload::default();
        }
        let mut merged: Vec<(Bounds, RangeData)> = Vec::new();
        for (bounds, data) in ranges.drain(..) {
            match merged.last_mut() {
                Some((last, RangeData::Skip)) if matches!(data, RangeData::Skip) => {
                    last.1 = bounds.1;
                }
                _ => merged.push((bounds, data)),
            }
        }
        Payload {
            scope: Scope::default(),
            lower: merged[0].0.0.timestamp,
            ranges: merged
                .into_iter()
                .map(|(bounds, data)| Range { upper: bounds.1, data })
                .collect(),
        }
    }
}

impl Side for Deployed {
    fn begin(&mut self) -> Payload {
        let lower = SyncId::floor(self.window.start());
        let upper = SyncId::new(self.window.end(), MessageHash::MAX);
        let data = RangeData::Fingerprint(Self::xor(self.find((lower, upper)).unwrap_or_default()));
        Self::write(vec![((lower, upper), data)])
    }

    fn answer(&mut self, payload: &Payload) -> Option<Payload> {
        if payload.ranges.iter().all(|range| matches!(range.data, RangeData::Skip)) {
            return None;
        }
        let mut out = Vec::new();
        let mut lower = payload.lower;
        for Range { upper, data } in &payload.ranges {
            // Its decoder takes every lower bound's hash as zero.
            self.range((SyncId::floor(lower), *upper), data, &mut out);
            lower = upper.timestamp;
        }
        Some(Self::write(out))
    }
}

/// What a session took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub frames: usize,
    pub bytes: usize,
    pub largest: usize,
}

/// Lets one side begin and carries bytes to and fro until one is done.
pub fn run(begins: &mut dyn Side, other: &mut dyn Side, most: usize) -> Cost {
    let mut cost = Cost::default();
    let mut payload = begins.begin();
    let mut turn = false;
    loop {
        let bytes = payload.encode();
        cost.frames += 1;
        cost.bytes += bytes.len();
        cost.largest = cost.largest.max(bytes.len());
        assert!(cost.frames <= most, "no end after {most} frames");
        turn = !turn;
        let read = Payload::decode(&bytes).unwrap();
        let receiver: &mut dyn Side = if turn { &mut *other } else { &mut *begins };
        match receiver.answer(&read) {
            Some(answer) => payload = answer,
            None => return cost,
        }
        if payload.ranges.is_empty() {
            // The side that sends it is done, and so is the one that reads it.
            let read = Payload::decode(&payload.encode()).unwrap();
            let receiver: &mut dyn Side = if turn { &mut *begins } else { &mut *other };
            assert!(receiver.answer(&read).is_none());
            cost.frames += 1;
            cost.bytes += 1;
            return cost;
        }
    }
}

/// Numbers that look random and are the same each time.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn id(&mut self, t: i64) -> SyncId {
        let mut hash = [0; 32];
        for chunk in hash.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes());
        }
        SyncId::new(Timestamp(t), MessageHash(hash))
    }
}

pub fn window(start: i64, end: i64) -> TimeRange {
    TimeRange::new(Timestamp(start), Timestamp(end)).unwrap()
}

pub fn inside(ids: &Set, window: TimeRange) -> Set {
    ids.iter().filter(|id| window.contains(id.timestamp)).copied().collect()
}

pub fn minus(a: &Set, b: &Set) -> Set {
    a.difference(b).copied().collect()
}
