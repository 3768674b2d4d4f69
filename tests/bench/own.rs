//! wakustore's own protocol, both sides, each frame written and read: from an index whose sums are
//! kept, as a node has them that has a peer of this kind (what keeping them costs is charged to the
//! figures of one insert), to the moment at which each side knows what to send.
//!
//! A session here is all that a session is: machines made anew, the sums read, frames encoded and
//! decoded, keys looked up. Bytes are with the length prefix of each frame.

use wakustore::engine::EngineConfig;
use wakustore::sync::index::Index;
use wakustore::sync::sketch::MAX_CELLS;
use wakustore::sync::strong::{Findings, Machine, Options, Trees};
use wakustore::sync::summary::{Kept, SLICE};
use wakustore::types::{SyncId, TimeRange, Timestamp};
use wakustore::wire::reconciliation::Scope;
use wakustore::wire::strong::{Frame, Limits};
use wakustore::wire::varint;

use crate::rivals::{Measured, best, differences};
use crate::sets::{HOUR, NOW, Sides};

/// The hour in whole slices, as a node chooses its windows.
pub(crate) fn window() -> TimeRange {
    let start = (NOW - HOUR).div_euclid(SLICE) * SLICE;
    let end = NOW.div_euclid(SLICE) * SLICE + SLICE;
    TimeRange::new(Timestamp(start), Timestamp(end)).unwrap()
}

/// What one side has at hand when a session begins.
pub(crate) struct Stock {
    pub(crate) index: Index,
    pub(crate) kept: Kept,
}

impl Stock {
    pub(crate) fn new(ids: &[SyncId]) -> Self {
        let index: Index = ids.iter().copied().collect();
        let mut kept = Kept::new();
        while !kept.advance(&index, window(), usize::MAX) {}
        Stock { index, kept }
    }

    fn trees(&self) -> Trees<'_> {
        Trees(vec![(&self.index, Some(&self.kept))])
    }
}

/// One side of one session.
pub(crate) struct End<'a> {
    stock: &'a Stock,
    machine: Machine,
    found: Findings,
}

impl<'a> End<'a> {
    pub(crate) fn new(stock: &'a Stock, initiator: bool, dry_run: bool) -> Self {
        let config = EngineConfig::default();
        let options = Options {
            limits: Limits { max_frame: config.max_frame, max_cells: MAX_CELLS },
            takes: !dry_run,
            gives: !dry_run,
            dry_run,
            tuning: config.tuning,
            max_differences: config.max_messages * 2,
        };
        End { stock, machine: Machine::new(initiator, options), found: Findings::default() }
    }

    pub(crate) fn open(&mut self) -> Vec<u8> {
        self.machine.open(&self.stock.trees(), window(), &Scope::default()).encode()
    }

    /// What is answered to a frame.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let trees = self.stock.trees();
        let answers = match Frame::decode(bytes).unwrap() {
            Frame::Open(open) => vec![self.machine.opened(&trees, &open, None).unwrap()],
            frame => self.machine.receive(&trees, frame, [0; 16]).unwrap(),
        };
        let more = self.machine.take_findings();
        if more.anew {
            self.found = Findings::default();
        }
        self.found.surplus.extend(more.surplus);
        self.found.missing.extend(more.missing);
        self.found.named.extend(more.named);
        self.found.granted.extend(more.granted);
        self.found.missing_keys += more.missing_keys;
        answers.iter().map(Frame::encode).collect()
    }

    /// Whether it knows what to send.
    pub(crate) fn knows(&self) -> bool {
        self.machine.is_moving() || self.machine.is_over()
    }

    /// Of a dry run: the verdict, once it is due.
    fn verdict(&mut self) -> Option<Vec<u8>> {
        let machine = &mut self.machine;
        let due = machine.is_moving()
            && machine.is_told_end()
            && !machine.told_verdict()
            && machine.has_all(0);
        due.then(|| machine.verdict(0, false).encode())
    }

    /// Whether it names all that it alone holds, `local` of them; `remote` the other side does.
    /// Of spans that were granted nothing is named.
    pub(crate) fn assert_found(&self, local: usize, remote: usize) {
        let found = &self.found;
        assert!(found.surplus.len() == local, "{} of {local}", found.surplus.len());
        let named = found.missing.len() + found.missing_keys;
        assert!(named == remote || !found.granted.is_empty(), "{named} of {remote}");
    }
}

/// Bytes, frames and the largest of them.
type Cost = (usize, usize, usize);

/// A session; of a dry run, up to its end.
fn exchange(ends: &mut [End<'_>; 2], dry_run: bool) -> Cost {
    let (mut bytes, mut frames, mut largest) = (0, 0, 0);
    let mut queue = std::collections::VecDeque::from([(1, ends[0].open())]);
    loop {
        let Some((to, frame)) = queue.pop_front() else {
            for (at, end) in ends.iter_mut().enumerate() {
                queue.extend(end.verdict().map(|frame| (1 - at, frame)));
            }
            assert!(!queue.is_empty(), "it stands still");
            continue;
        };
        let whole = frame.len() + varint::encoded_len(frame.len() as u64);
        (bytes, frames, largest) = (bytes + whole, frames + 1, largest.max(frame.len()));
        let answers = ends[to].hear(&frame);
        queue.extend(answers.into_iter().map(|frame| (1 - to, frame)));
        let done = |end: &End<'_>| if dry_run { end.machine.is_over() } else { end.knows() };
        if ends.iter().all(done) {
            // Nobody needs what is still on its way, but it is on its way.
            for (_, frame) in queue {
                bytes += frame.len() + varint::encoded_len(frame.len() as u64);
                frames += 1;
            }
            return (bytes, frames, largest);
        }
    }
}

/// Both sides ours, with what they keep; until each knows what to send.
pub(crate) fn own(stocks: &[Stock; 2], sides: &Sides) -> Measured {
    let differ = differences(sides);
    best(|| {
        let mut ends = [End::new(&stocks[0], true, false), End::new(&stocks[1], false, false)];
        let (bytes, frames, largest) = exchange(&mut ends, false);
        ends[0].assert_found(differ.0, differ.1);
        ends[1].assert_found(differ.1, differ.0);
        (bytes, frames.div_ceil(2), largest)
    })
}

/// A dry run, to its end: both sides know every differing hash.
pub(crate) fn told(stocks: &[Stock; 2], sides: &Sides) -> Measured {
    let (a, b) = differences(sides);
    best(|| {
        let mut ends = [End::new(&stocks[0], true, true), End::new(&stocks[1], false, true)];
        let (bytes, frames, largest) = exchange(&mut ends, true);
        for end in &ends {
            let found = &end.found;
            assert_eq!(found.surplus.len() + found.missing.len() + found.named.len(), a + b);
        }
        (bytes, frames.div_ceil(2), largest)
    })
}
