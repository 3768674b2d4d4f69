//! wakustore's own sync protocol: the state machine of one session, either side.
//!
//! # How a session goes
//!
//! The initiator tells window, scope, count and digest of its set ([`Machine::open`]). The
//! responder agrees, or tells how its set differs: the first cells of its sketch. The initiator
//! decodes them, or sends as many cells of its own as the difference seems to need, and the
//! responder decodes those; who decodes tells the keys of both sides. Where a sketch does not do
//! (too many differences, one side empty, a window too long for keys, keys that do not come out),
//! ranges as in reconciliation 1.0.0 take its place. Then messages go by the transfer protocol, and
//! at the end each side tells the digest of the set that it had, and whether what it came to know
//! of the other's set has the other's digest. Where it has not, something stayed hidden, and both
//! compare once more by hashes under a salt that neither side made alone.
//!
//! # What must hold
//!
//! - The digest of a lattice hash (see [`super::lattice`]) decides whether two sets are the same;
//!   sketches and ranges only find what differs. So input that was chosen to collide or cancel
//!   costs bytes and never hides a message, and the second comparison cannot have been prepared
//!   for.
//! - A set is fixed when its digest is told. What changes in the index while the sketch is being
//!   exchanged is noted as a bounded drift and taken out; while ranges are exchanged it is not,
//!   and then the second comparison sees to it.
//! - Comparing, the sides take turns; all lists and cells are within the limits of both.

mod compare;
mod drift;
mod end;
mod first;
mod ranges;
#[cfg(test)]
mod tests;
mod trees;

use std::collections::{HashMap, HashSet};

pub use drift::MAX_DRIFT;
pub use trees::Trees;

use self::drift::Drift;
use super::index::Index;
use super::lattice::Lattice;
use super::reconcile::{Differences, Tuning};
use super::sketch::{Decoder, Key, Salt};
use super::spans::Spans;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{MessageHash, SyncId, TimeRange, Timestamp};
use crate::wire::strong::{Cell, Frame, Limits, Sent, Verdict};

/// What a session may do.
#[derive(Clone, Debug)]
pub struct Options {
    /// What this node takes.
    pub limits: Limits,
    /// Messages that the peer alone has are wanted.
    pub takes: bool,
    /// Messages that we alone have are sent.
    pub gives: bool,
    /// Only compare.
    pub dry_run: bool,
    /// How ranges are split.
    pub tuning: Tuning,
    /// The most differences that ranges may find.
    pub max_differences: usize,
}

/// What was found since it was last asked for.
#[derive(Debug, Default)]
pub struct Findings {
    /// Ids that we alone have.
    pub surplus: Vec<SyncId>,
    /// Ids that the peer alone has, where the whole id is known.
    pub missing: Vec<SyncId>,
    /// The same, of those that were told as keys before.
    pub named: Vec<SyncId>,
    /// How many more the peer alone has, of which the id is known when they come.
    pub missing_keys: usize,
    /// How many more differences there were than may be found.
    pub beyond: (usize, usize),
    /// Spans of which the peer will send whatever it has.
    pub granted: Vec<(SyncId, SyncId)>,
    /// Ids that the peer will not send after all.
    pub unsent: Vec<SyncId>,
    /// What was found so far does not hold: the comparison began anew.
    pub anew: bool,
}

/// Where a session is.
#[derive(Debug)]
enum Phase {
    /// The initiator has not begun, or the responder has heard nothing.
    Idle,
    /// The initiator waits for the answer to its first frame.
    Opened,
    /// The responder told that it differs, or asked for more cells.
    Differed,
    /// The initiator sent so many cells.
    Sketched(usize),
    /// It is the peer's turn with ranges.
    Ranging,
    /// What differs is known; messages go.
    Moving,
    /// The initiator asked for a second comparison, or the responder is about to be asked.
    Again,
    /// The end, by which both sides know.
    Over,
}

/// See the head of the file.
#[derive(Debug)]
pub struct Machine {
    initiator: bool,
    options: Options,
    /// What the peer takes; ours until it is told.
    peer: Limits,
    window: TimeRange,
    phase: Phase,
    /// Our set, as it is compared.
    count: u64,
    digest: [u8; 32],
    set: Lattice,
    /// What we know of the peer's set.
    theirs: Lattice,
    their_count: u64,
    drift: Drift,
    decoder: Decoder,
    /// Keys that the peer alone has and of which the id has not come.
    expected: HashSet<Key>,
    /// Of a second comparison: the salted ids that the peer alone has.
    salted: HashSet<SyncId>,
    /// The keys of either side alone, in order, as a decoded sketch told them: of a dry run.
    keys: Option<(Vec<SyncId>, Vec<Key>)>,
    /// We told the keys, and the peer may find that they are not its own.
    told_keys: bool,
    /// Of ranges.
    found: Differences,
    spans: Spans,
    /// What came of granted spans.
    came: HashSet<MessageHash>,
    /// Ids of the peer's that are or were known one by one.
    named: usize,
    /// How much the peer alone has, at least; 0 only where that is nothing.
    missing: usize,
    /// Of a dry run by ranges: what we alone have, to be told.
    surplus: Vec<SyncId>,
    findings: Findings,
    /// The peer told keys that are not ours; what it says for them is not heard.
    stale: bool,
    /// A second comparison runs.
    salt: Option<Salt>,
    /// The half of it that we asked with.
    asked: Option<[u8; 16]>,
    salted_index: Index,
    /// More was found than may be, or the peer could not send: our verdict would say nothing.
    incomplete: bool,
    their_end: Option<Sent>,
    told_end: bool,
    our_verdict: Option<(Verdict, u64)>,
    their_verdict: Option<(Verdict, u64)>,
    /// Ids that stay at one side: too large, or of the direction that was not wanted.
    left_over: bool,
}

impl Machine {
    /// For a session of ours (or, with `initiator` false, of the peer's) in which nothing has
    /// happened yet.
    pub fn new(initiator: bool, options: Options) -> Machine {
        let peer = options.limits;
        Machine {
            initiator,
            peer,
            window: TimeRange::new(Timestamp(0), Timestamp(0)).unwrap_or(TimeRange::ALL),
            phase: Phase::Idle,
            count: 0,
            digest: [0; 32],
            set: Lattice::default(),
            theirs: Lattice::default(),
            their_count: 0,
            drift: Drift::default(),
            decoder: Decoder::new(),
            expected: HashSet::new(),
            salted: HashSet::new(),
            keys: None,
            told_keys: false,
            found: differences(&options),
            options,
            spans: Spans::default(),
            came: HashSet::new(),
            named: 0,
            missing: 0,
            surplus: Vec::new(),
            findings: Findings::default(),
            stale: false,
            salt: None,
            asked: None,
            salted_index: Index::new(),
            incomplete: false,
            their_end: None,
            told_end: false,
            our_verdict: None,
            their_verdict: None,
            left_over: false,
        }
    }

    /// Whether the messages go (or, in a dry run, the ids), and the comparison is over for now.
    pub fn is_moving(&self) -> bool {
        matches!(self.phase, Phase::Moving)
    }

    /// Whether the session has come to its end.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether the responder has answered nothing yet, so that it may refuse.
    pub fn may_refuse(&self) -> bool {
        !self.initiator && matches!(self.phase, Phase::Idle)
    }

    /// Whether the initiator's first frame has not been answered yet.
    pub fn is_opening(&self) -> bool {
        self.initiator && matches!(self.phase, Phase::Idle | Phase::Opened)
    }

    /// How many ids our set has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What was found since.
    pub fn take_findings(&mut self) -> Findings {
        std::mem::take(&mut self.findings)
    }

    /// How many ids the peer alone has, of which only a key is known.
    pub fn awaited(&self) -> usize {
        self.expected.len() + self.salted.len()
    }

    /// A frame of the peer's, after the first ([`Machine::opened`]) and but for a [`Frame::Refuse`]:
    /// what is answered at once. `half` is our half of a salt, which must be secret until now.
    ///
    /// # Errors
    /// [`ErrorKind::SyncProtocol`] where it is out of turn or beyond the limits.
    pub fn receive(
        &mut self,
        trees: &Trees<'_>,
        frame: Frame,
        half: [u8; 16],
    ) -> Result<Vec<Frame>> {
        match (frame, &self.phase) {
            (Frame::Agree, Phase::Opened) => self.agree(),
            (Frame::Agree, Phase::Differed) => self.agree(),
            (Frame::Differs(differs), Phase::Opened) => self.differed(trees, &differs),
            (Frame::Cells(cells), Phase::Differed) => self.cells_came(trees, &cells),
            (Frame::More(to), Phase::Sketched(sent)) => {
                let sent = *sent;
                self.more(trees, sent, to)
            }
            (Frame::Found(found), Phase::Differed | Phase::Sketched(_)) => {
                self.keys_came(trees, &found)
            }
            (
                Frame::Ranges(payload),
                Phase::Differed | Phase::Sketched(_) | Phase::Ranging | Phase::Moving,
            ) if !self.is_moving() || std::mem::take(&mut self.told_keys) => {
                self.ranges_came(trees, &payload)
            }
            (Frame::Rest(_) | Frame::Have(_) | Frame::Sent(_), Phase::Ranging) if self.stale => {
                Ok(Vec::new())
            }
            (Frame::Rest(rest), Phase::Moving) => self.rest_came(&rest),
            (Frame::Have(ids), Phase::Moving) => self.ids_came(&ids),
            (Frame::Sent(sent), Phase::Moving) => self.end_told(sent),
            (Frame::Done(done), Phase::Moving) => self.verdict_came(done),
            (Frame::Again(theirs), Phase::Again) => self.again(trees, theirs, half),
            (frame, phase) => {
                bail!(SyncProtocol, "{} came out of turn, in {phase:?}", name(&frame))
            }
        }
    }

    fn agree(&mut self) -> Result<Vec<Frame>> {
        self.our_verdict = Some((Verdict::Equal, 0));
        self.their_verdict = Some((Verdict::Equal, 0));
        self.phase = Phase::Over;
        Ok(Vec::new())
    }

    /// The set that is compared: count and sums are fixed from here on.
    fn fix(&mut self, trees: &Trees<'_>) {
        let (count, set) = trees.summary(self.window);
        self.digest = set.digest();
        (self.count, self.set) = (count, set);
        self.drift = Drift::default();
    }

    /// An id was added to the index; only what is of the session's scope.
    pub fn inserted(&mut self, id: &SyncId) {
        if self.is_comparing() && self.window.contains(id.timestamp) {
            self.drift.inserted(*id);
        }
    }

    /// An id was removed from the index; only what is of the session's scope.
    pub fn removed(&mut self, id: &SyncId) {
        if self.is_comparing() && self.window.contains(id.timestamp) {
            self.drift.removed(*id);
        }
    }

    /// Whether changes of the index matter.
    fn is_comparing(&self) -> bool {
        matches!(self.phase, Phase::Opened | Phase::Differed | Phase::Sketched(_))
    }
}

/// For the ranges of a session. In a dry run all is listed, and nothing granted.
fn differences(options: &Options) -> Differences {
    let found = Differences::new(options.max_differences);
    if options.dry_run { found.without_grants() } else { found }
}

/// The kind of a frame, for errors.
fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::Open(_) => "the first frame",
        Frame::Refuse(_) => "a refusal",
        Frame::Agree => "an agreement",
        Frame::Differs(_) => "a first answer",
        Frame::Cells(_) => "cells",
        Frame::More(_) => "a wish for cells",
        Frame::Found(_) => "keys",
        Frame::Ranges(_) => "ranges",
        Frame::Rest(_) | Frame::Have(_) => "ids",
        Frame::Sent(_) => "an end of sending",
        Frame::Done(_) => "a verdict",
        Frame::Again(_) => "a second comparison",
    }
}

/// Cells as the wire has them.
fn to_wire(cells: &[super::sketch::Cell]) -> Vec<Cell> {
    cells.iter().map(|c| Cell { key: c.key.0, check: c.check, count: c.count }).collect()
}

fn from_wire(cell: &Cell) -> super::sketch::Cell {
    super::sketch::Cell { key: Key(cell.key), check: cell.check, count: cell.count }
}

fn broken(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::SyncProtocol, what)
}

/// Ids by a key, for finding what was removed.
type ByKey = HashMap<Key, SyncId>;
