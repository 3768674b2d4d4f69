//! Ranges, as in reconciliation 1.0.0: where sketches do not do, and for the second comparison,
//! which runs over hashes under a salt.
//!
//! In a second comparison the ranges speak of other hashes than the index has, with the same
//! times. What is found is looked up again by time; what the peer has is known when it comes.

use super::{Findings, Machine, Phase, Trees, differences};
use crate::error::{Result, bail};
use crate::sync::index::Index;
use crate::sync::reconcile::{Tuning, View, initiate, respond};
use crate::sync::sketch::Salt;
use crate::sync::spans::Spans;
use crate::types::{MessageHash, SyncId, Timestamp};
use crate::wire::reconciliation::{Payload, Scope};
use crate::wire::strong::Frame;

impl Machine {
    /// Compares by ranges from here on; it is our turn.
    pub(super) fn begin_ranges(&mut self, trees: &Trees<'_>) -> Result<Vec<Frame>> {
        // Whoever told keys does not know yet that they were of no use.
        self.stale = matches!(self.phase, Phase::Differed | Phase::Sketched(_));
        self.compare_anew();
        let scope = Scope::default();
        let payload = match self.salt {
            Some(_) => {
                let view = View(vec![&self.salted_index]);
                initiate(&view, self.window, &scope, &self.options.tuning)
            }
            None => initiate(&trees.view(), self.window, &scope, &self.options.tuning),
        };
        let mut frames = Vec::new();
        let settled = payload.ranges.is_empty();
        frames.push(Frame::Ranges(payload));
        if settled {
            frames.extend(self.settled());
        }
        Ok(frames)
    }

    /// Forgets what was found.
    fn compare_anew(&mut self) {
        self.phase = Phase::Ranging;
        self.theirs = self.set.clone();
        self.expected.clear();
        self.salted.clear();
        self.keys = None;
        self.told_keys = false;
        self.found = differences(&self.options);
        self.spans = Spans::default();
        self.came.clear();
        self.named = 0;
        self.missing = 0;
        self.surplus.clear();
        self.incomplete = false;
        self.left_over = false;
        self.findings = Findings { anew: true, ..Findings::default() };
    }

    /// The peer's ranges.
    pub(super) fn ranges_came(
        &mut self,
        trees: &Trees<'_>,
        payload: &Payload,
    ) -> Result<Vec<Frame>> {
        if !matches!(self.phase, Phase::Ranging) {
            self.compare_anew();
        }
        self.stale = false;
        let most = self.peer.max_frame.min(self.options.limits.max_frame) / 2;
        let max_answer = self.options.tuning.max_answer.min(most);
        let tuning = Tuning { max_answer, ..self.options.tuning.clone() };
        let (scope, found) = (Scope::default(), &mut self.found);
        let reply = match self.salt {
            Some(_) => {
                let view = View(vec![&self.salted_index]);
                respond(&view, payload, self.window, &scope, &tuning, found)?
            }
            None => respond(&trees.view(), payload, self.window, &scope, &tuning, found)?,
        };
        self.absorb(trees);
        let mut frames = Vec::new();
        let goes_on = reply.as_ref().is_some_and(|reply| !reply.ranges.is_empty());
        frames.extend(reply.map(Frame::Ranges));
        if !goes_on {
            frames.extend(self.settled());
        }
        Ok(frames)
    }

    fn settled(&mut self) -> Vec<Frame> {
        self.found = differences(&self.options);
        self.salted_index = Index::new();
        self.moving()
    }

    /// Takes over what the last ranges told.
    fn absorb(&mut self, trees: &Trees<'_>) {
        let local = std::mem::take(&mut self.found.local_only);
        let remote = std::mem::take(&mut self.found.remote_only);
        let granted = std::mem::take(&mut self.found.granted);
        let ours = std::mem::take(&mut self.found.local_beyond);
        let theirs = std::mem::take(&mut self.found.remote_beyond);
        self.incomplete |= ours + theirs > 0;
        self.left_over |= ours + theirs > 0;
        self.findings.beyond.0 += ours;
        self.findings.beyond.1 += theirs;
        self.missing += remote.len() + theirs + granted.len();
        let local = match &self.salt {
            Some(salt) => {
                let real = unsalted(trees, salt, &local);
                // Removed since, while ranges were exchanged.
                self.incomplete |= real.len() != local.len();
                real
            }
            None => local,
        };
        local.iter().for_each(|id| self.theirs.take(&id.hash));
        self.left_over |= !self.options.gives && !local.is_empty();
        let more = !remote.is_empty() || !granted.is_empty();
        self.left_over |= more && !self.options.takes;
        if self.options.dry_run {
            self.surplus.extend(&local);
        }
        self.findings.surplus.extend(local);
        if self.salt.is_some() {
            self.findings.missing_keys += remote.len();
            if self.options.takes || self.options.dry_run {
                self.salted.extend(remote);
            }
        } else {
            remote.iter().for_each(|id| self.theirs.add(&id.hash));
            self.named += remote.len();
            self.findings.missing.extend(remote);
        }
        granted.iter().for_each(|(lower, upper)| self.spans.insert(*lower, *upper));
        self.findings.granted.extend(granted);
    }

    /// Both sides begin the second comparison. `half` is ours, `theirs` the peer's.
    pub(super) fn again(
        &mut self,
        trees: &Trees<'_>,
        theirs: [u8; 16],
        half: [u8; 16],
    ) -> Result<Vec<Frame>> {
        let salt = match (self.initiator, self.asked) {
            (true, Some(ours)) => Salt::new(&ours, &theirs),
            (false, _) => Salt::new(&theirs, &half),
            (true, None) => bail!(SyncProtocol, "a second comparison was not asked for"),
        };
        self.fix(trees);
        let (lower, upper) = (self.window.start(), self.window.end());
        let ids = trees.view().range(&SyncId::floor(lower), &SyncId::floor(upper));
        self.salted_index = ids.map(|id| SyncId::new(id.timestamp, salt.hash(&id.hash))).collect();
        self.salt = Some(salt);
        if self.initiator {
            return self.begin_ranges(trees);
        }
        self.compare_anew();
        Ok(vec![Frame::Again(half)])
    }
}

/// Our ids of some salted ones.
fn unsalted(trees: &Trees<'_>, salt: &Salt, salted: &[SyncId]) -> Vec<SyncId> {
    let mut wanted = salted.to_vec();
    wanted.sort_unstable();
    let view = trees.view();
    let mut real = Vec::with_capacity(wanted.len());
    for group in wanted.chunk_by(|a, b| a.timestamp == b.timestamp) {
        let Some(first) = group.first() else { continue };
        let t = first.timestamp;
        let after = SyncId::floor(Timestamp(t.nanos().saturating_add(1)));
        let is_wanted =
            |hash: &MessageHash| group.binary_search(&SyncId::new(t, salt.hash(hash))).is_ok();
        real.extend(view.range(&SyncId::floor(t), &after).filter(|id| is_wanted(&id.hash)));
    }
    real
}
