//! Sketches: cells are subtracted and decoded, and the keys that come out are looked up.
//!
//! Whoever decodes tells the keys of both sides. Keys that are nobody's (made up, or the work of
//! messages chosen to collide) are no reason to fail: ranges take over.

use super::first::{FIRST_CELLS, FIRST_COUNTS};
use super::{Key, Machine, Phase, Trees, broken, from_wire, to_wire};
use crate::error::{Result, bail};
use crate::sync::sketch::{Cell, cells_for, estimate_counts};
use crate::types::SyncId;
use crate::wire::strong::{Cells, Differs, Found, Frame, Name};

/// From so many differences on a round costs less than cells that were not needed.
const MANY: usize = 3000;
/// Cells that are decoded at a time.
const AT_ONCE: usize = 512;

impl Machine {
    /// The initiator has the responder's first answer.
    pub(super) fn differed(&mut self, trees: &Trees<'_>, differs: &Differs) -> Result<Vec<Frame>> {
        self.peer = differs.limits;
        self.their_count = differs.cells.total;
        if let Some((_, digest)) = &differs.rescoped
            && (self.count, self.digest) == (self.their_count, *digest)
        {
            self.agree()?;
            return Ok(vec![Frame::Agree]);
        }
        self.theirs = self.set.clone();
        let first = &differs.cells;
        if first.from != 0 || first.cells.len() > FIRST_CELLS || differs.counts.len() > FIRST_COUNTS
        {
            return Err(broken("the first answer has more cells than a first answer has"));
        }
        if first.cells.is_empty() || self.count == 0 || !self.is_keyed() {
            return self.begin_ranges(trees);
        }
        let (len, counted) = (first.cells.len(), first.cells.len() + differs.counts.len());
        let ours = self.our_cells(trees, 0, counted);
        let mut difference = ours.clone();
        difference.iter_mut().zip(&first.cells).for_each(|(a, b)| a.take(&from_wire(b)));
        if self.decoder.push(difference.get(..len).unwrap_or_default()) {
            return self.decoded(trees);
        }
        let differing = self.guess(&difference, len, &differs.counts);
        let max = self.max_cells();
        if differing > max {
            return self.begin_ranges(trees);
        }
        // The guess is off by a tenth, mostly. Where a fifth more is little, it saves a round; where
        // it is much, it is cheaper to ask for what is wanting.
        let reserve = if differing <= MANY { differing / 5 } else { 0 };
        let wanted = cells_for(differing.saturating_add(reserve)).min(max);
        self.phase = Phase::Sketched(wanted);
        self.send_cells(trees, 0, wanted)
    }

    /// How many differ, from the counts of the first cells of the difference. Of those beyond
    /// `len` only the low eight bits of the peer's are known: the difference of both is taken to
    /// be the one nearest to its mean.
    fn guess(&self, difference: &[Cell], len: usize, low: &[u8]) -> usize {
        // The peer's count may be any number.
        let more = i128::from(self.count) - i128::from(self.their_count);
        let counts = difference.iter().enumerate().map(|(at, cell)| {
            let Some(theirs) = at.checked_sub(len).and_then(|at| low.get(at)) else {
                return (at, cell.count);
            };
            let mean = i64::try_from(more * 2 / (at as i128 + 2)).unwrap_or(0);
            // Ours has been left as it was.
            let off = (cell.count as u8).wrapping_sub(*theirs).wrapping_sub(mean as u8);
            (at, mean.wrapping_add(i64::from(off as i8)))
        });
        estimate_counts(counts)
    }

    fn send_cells(&self, trees: &Trees<'_>, from: usize, to: usize) -> Result<Vec<Frame>> {
        let cells = to_wire(&self.our_cells(trees, from, to));
        Ok(vec![Frame::Cells(Cells { total: self.count, from, cells })])
    }

    /// The responder wants more cells.
    pub(super) fn more(&mut self, trees: &Trees<'_>, sent: usize, to: usize) -> Result<Vec<Frame>> {
        if to <= sent || to > self.max_cells() {
            bail!(SyncProtocol, "the peer wants cells up to {to}, after {sent} of them");
        }
        if !self.drift.is_whole() {
            return self.begin_ranges(trees);
        }
        self.phase = Phase::Sketched(to);
        self.send_cells(trees, sent, to)
    }

    /// The responder has cells of the initiator.
    pub(super) fn cells_came(&mut self, trees: &Trees<'_>, theirs: &Cells) -> Result<Vec<Frame>> {
        let (from, to) = (self.decoder.len(), theirs.from + theirs.cells.len());
        if theirs.from != from || to <= from || to > self.max_cells() {
            bail!(SyncProtocol, "cells {} to {to} came, after {from} of them", theirs.from);
        }
        self.their_count = theirs.total;
        if !self.is_keyed() {
            return self.begin_ranges(trees);
        }
        let mut difference = self.our_cells(trees, from, to);
        difference.iter_mut().zip(&theirs.cells).for_each(|(a, b)| a.take(&from_wire(b)));
        for cells in difference.chunks(AT_ONCE) {
            if self.decoder.push(cells) {
                return self.decoded(trees);
            }
        }
        let max = self.max_cells();
        if self.decoder.is_broken() || to == max {
            return self.begin_ranges(trees);
        }
        // Of few a half more, so that the next round decides it; of many a little.
        let more = if to <= 2 * MANY { to / 2 } else { to / 16 };
        Ok(vec![Frame::More((to + more.max(128)).min(max))])
    }

    /// The sketch was decoded here: tells the peer.
    fn decoded(&mut self, trees: &Trees<'_>) -> Result<Vec<Frame>> {
        let (mut ours, mut theirs) =
            (self.decoder.local().to_vec(), self.decoder.remote().to_vec());
        ours.sort_unstable();
        theirs.sort_unstable();
        let Some(surplus) = self.look_up(trees, &ours) else {
            return self.begin_ranges(trees);
        };
        let found = Found {
            lacks: self.names(trees, &theirs),
            offers: ours.iter().map(|key| key.0).collect(),
        };
        self.told_keys = true;
        let mut frames = vec![Frame::Found(found)];
        frames.extend(self.know(surplus, theirs));
        Ok(frames)
    }

    /// The peer decoded.
    pub(super) fn keys_came(&mut self, trees: &Trees<'_>, found: &Found) -> Result<Vec<Frame>> {
        if found.lacks.len() + found.offers.len() > self.max_cells() {
            return Err(broken("more keys came than cells were exchanged"));
        }
        let keys = |keys: &[[u8; 12]]| keys.iter().map(|key| Key(*key)).collect::<Vec<_>>();
        let Some(surplus) = self.named(trees, &found.lacks) else {
            return self.begin_ranges(trees);
        };
        Ok(self.know(surplus, keys(&found.offers)))
    }

    /// Our ids of some keys; `None` where one is no key of ours.
    fn look_up(&self, trees: &Trees<'_>, keys: &[Key]) -> Option<Vec<SyncId>> {
        if !self.drift.is_whole() {
            return None;
        }
        let gone = self.drift.gone();
        let find = |key| trees.find(self.window, key).or_else(|| gone.get(key).copied());
        keys.iter().map(find).collect()
    }

    /// Names for keys of the peer's, which are in order. Of the ids that the peer has at a time we
    /// know all: ours, without those that the peer lacks, which are left in, and these.
    fn names(&self, trees: &Trees<'_>, keys: &[Key]) -> Vec<Name> {
        let mut names = Vec::with_capacity(keys.len());
        for same in keys.chunk_by(|a, b| a.time_low() == b.time_low()) {
            let alone = |key: &Key| {
                same.len() == 1 && self.time_of(key).is_some_and(|t| trees.at(t).next().is_none())
            };
            names.extend(same.iter().map(|key| Name {
                time: key.time_low(),
                prefix: (!alone(key)).then(|| key.prefix()),
            }));
        }
        names
    }

    /// Our ids of some names; `None` where one is no name of ours.
    fn named(&self, trees: &Trees<'_>, names: &[Name]) -> Option<Vec<SyncId>> {
        let gone = self.drift.gone();
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            let mut key = Key::default();
            key.0[..6].copy_from_slice(&name.time.to_be_bytes()[2..]);
            match name.prefix {
                Some(prefix) => key.0[6..].copy_from_slice(&prefix),
                None => {
                    let time = self.time_of(&key)?;
                    let there = trees.at(time).filter(|id| !self.drift.has_inserted(id));
                    let gone = gone.values().copied().filter(|id| id.timestamp == time);
                    let mut all = there.chain(gone);
                    key = Key::plain(&all.next()?);
                    if all.next().is_some() {
                        return None;
                    }
                }
            }
            keys.push(key);
        }
        self.look_up(trees, &keys)
    }

    /// What differs is known: by id what we have, by key what the peer has.
    fn know(&mut self, surplus: Vec<SyncId>, theirs: Vec<Key>) -> Vec<Frame> {
        surplus.iter().for_each(|id| self.theirs.take(&id.hash));
        self.findings.missing_keys += theirs.len();
        self.missing = theirs.len();
        self.named = 0;
        if self.options.takes {
            self.expected = theirs.iter().copied().collect();
            // What came by another way since the set was fixed: from the peer it may have come
            // already, before its key did.
            let came: Vec<SyncId> = self.drift.came().copied().collect();
            for id in came {
                self.arrived(&id, false);
            }
        }
        self.findings.surplus.extend(&surplus);
        self.left_over |= !self.options.gives && !surplus.is_empty();
        self.left_over |= !self.options.takes && !theirs.is_empty();
        self.keys = self.options.dry_run.then_some((surplus, theirs));
        self.moving()
    }
}
