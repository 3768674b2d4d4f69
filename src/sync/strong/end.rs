//! What is known goes over, and the explicit end: each side tells that it sent all, and which set
//! it had; then each tells whether what it knows of the other's set is that.

use super::{Machine, Phase, broken};
use crate::error::{Result, bail};
use crate::sync::sketch::Key;
use crate::types::{MessageHash, SyncId, Timestamp};
use crate::wire::strong::{Done, Frame, MAX_IDS, Sent, Unsent, Verdict};

impl Machine {
    /// The comparison is over. In a dry run the ids follow at once, and the end.
    pub(super) fn moving(&mut self) -> Vec<Frame> {
        self.phase = Phase::Moving;
        self.told_end = false;
        self.their_end = None;
        self.our_verdict = None;
        self.their_verdict = None;
        if !self.options.dry_run {
            return Vec::new();
        }
        let mut frames = Vec::new();
        match &self.keys {
            Some((ours, _)) => {
                let end = |id: &SyncId| {
                    let mut end = [0; 26];
                    end.copy_from_slice(&id.hash.0[6..]);
                    end
                };
                frames.push(Frame::Rest(ours.iter().map(end).collect()));
            }
            // By plain ranges both have heard all ids already.
            None if self.salt.is_none() => {}
            None => {
                let mut ids = std::mem::take(&mut self.surplus);
                ids.sort_unstable();
                ids.dedup();
                frames.extend(ids.chunks(MAX_IDS).map(|ids| Frame::Have(ids.to_vec())));
            }
        }
        frames.push(self.end(0, Vec::new(), 0));
        frames
    }

    /// Of a dry run: the ends of the hashes of which we know the keys.
    pub(super) fn rest_came(&mut self, rest: &[[u8; 26]]) -> Result<Vec<Frame>> {
        let keys = match &mut self.keys {
            Some((_, keys)) if keys.len() == rest.len() => std::mem::take(keys),
            _ => bail!(SyncProtocol, "{} ends of hashes came that were not awaited", rest.len()),
        };
        for (key, rest) in keys.iter().zip(rest) {
            let Some(time) = self.time_of(key) else {
                return Err(broken("a key lies outside of the window"));
            };
            let mut hash = MessageHash::ZERO;
            hash.0[..6].copy_from_slice(&key.prefix());
            hash.0[6..].copy_from_slice(rest);
            self.theirs.add(&hash);
            self.findings.named.push(SyncId::new(time, hash));
        }
        Ok(Vec::new())
    }

    /// The time that a plain key tells, within the window.
    pub(super) fn time_of(&self, key: &Key) -> Option<Timestamp> {
        let start = self.window.start().nanos();
        let later = key.time_low().wrapping_sub(start as u64) % (1 << 48);
        let time = Timestamp(start.checked_add_unsigned(later)?);
        self.window.contains(time).then_some(time)
    }

    /// Of a dry run: ids that the peer alone has, some of which we know.
    pub(super) fn ids_came(&mut self, ids: &[SyncId]) -> Result<Vec<Frame>> {
        if !self.options.dry_run || self.their_end.is_some() {
            bail!(SyncProtocol, "{} ids came that were not awaited", ids.len());
        }
        for id in ids {
            match self.came(id, true) {
                Came::Awaited => self.findings.named.push(*id),
                Came::InSpan => self.findings.missing.push(*id),
                Came::Unknown => {}
            }
        }
        Ok(Vec::new())
    }

    /// A message of this id came from the peer, or (with `by_peer` false) by another way. True
    /// where its key was awaited: it is to be taken now.
    pub fn arrived(&mut self, id: &SyncId, by_peer: bool) -> bool {
        self.came(id, by_peer) == Came::Awaited
    }

    fn came(&mut self, id: &SyncId, by_peer: bool) -> Came {
        if !self.window.contains(id.timestamp) {
            return Came::Unknown;
        }
        let salted = || {
            let salt = self.salt.as_ref()?;
            Some(SyncId::new(id.timestamp, salt.hash(&id.hash)))
        };
        let awaited = if !self.expected.is_empty() {
            self.expected.remove(&Key::plain(id))
        } else if !self.salted.is_empty() {
            salted().is_some_and(|salted| self.salted.remove(&salted))
        } else {
            false
        };
        if awaited {
            self.named += 1;
            self.theirs.add(&id.hash);
            return Came::Awaited;
        }
        let room = self.came.len() < self.options.max_differences;
        if by_peer && room && self.spans.contains(id) && self.came.insert(id.hash) {
            self.theirs.add(&id.hash);
            return Came::InSpan;
        }
        Came::Unknown
    }

    /// All that was to be sent is written: so many messages; those that were not sent; and how
    /// many more than can be named.
    pub fn end(&mut self, count: u64, mut unsent: Vec<Unsent>, mut beyond: u64) -> Frame {
        unsent.sort_unstable();
        unsent.dedup();
        beyond += unsent.len().saturating_sub(MAX_IDS) as u64;
        unsent.truncate(MAX_IDS);
        self.told_end = true;
        self.left_over |= beyond > 0 || unsent.iter().any(|unsent| !unsent.gone);
        Frame::Sent(Sent { digest: self.digest, count, unsent, beyond })
    }

    /// Whether [`Machine::end`] was told in this comparison.
    pub fn told_end(&self) -> bool {
        self.told_end
    }

    /// The peer has sent all.
    pub(super) fn end_told(&mut self, sent: Sent) -> Result<Vec<Frame>> {
        if self.their_end.is_some() {
            bail!(SyncProtocol, "the peer told twice that it sent all");
        }
        for unsent in &sent.unsent {
            self.came(&unsent.id, true);
            self.findings.unsent.push(unsent.id);
            self.left_over |= !unsent.gone;
        }
        self.incomplete |= sent.beyond > 0;
        if self.options.dry_run {
            self.incomplete |= !self.salted.is_empty();
            self.incomplete |= self.keys.as_ref().is_some_and(|(_, keys)| !keys.is_empty());
        }
        self.told_keys = false;
        self.their_end = Some(sent);
        Ok(Vec::new())
    }

    /// Whether the peer told that it has sent all.
    pub fn is_told_end(&self) -> bool {
        self.their_end.is_some()
    }

    /// Whether all that the peer sends has come, where so many of the ids that were named are
    /// still to come. Of spans only the peer's count tells.
    pub fn has_all(&self, outstanding: usize) -> bool {
        let Some(end) = &self.their_end else { return false };
        if !self.options.takes {
            return true;
        }
        let sent = end.count.saturating_add(end.unsent.len() as u64);
        let came = (self.named + self.came.len()).saturating_sub(outstanding) as u64;
        outstanding == 0 && self.awaited() == 0 && (self.spans.is_empty() || came >= sent)
    }

    /// Our verdict: all that was awaited came, or does not come any more (`lost`). `unstored` is
    /// how many messages could not be kept.
    pub fn verdict(&mut self, unstored: u64, lost: bool) -> Frame {
        let knows = self.options.takes || self.options.dry_run || self.missing == 0;
        let verdict = match &self.their_end {
            Some(end) if knows && !lost && !self.incomplete => {
                if self.theirs.digest() == end.digest { Verdict::Equal } else { Verdict::Other }
            }
            _ => Verdict::Unknown,
        };
        self.our_verdict = Some((verdict, unstored));
        self.conclude();
        Frame::Done(Done { verdict, unstored })
    }

    /// Whether [`Machine::verdict`] was told in this comparison.
    pub fn told_verdict(&self) -> bool {
        self.our_verdict.is_some()
    }

    pub(super) fn verdict_came(&mut self, done: Done) -> Result<Vec<Frame>> {
        if self.their_verdict.is_some() || !self.told_end {
            bail!(SyncProtocol, "the peer told a verdict before it could have one, or twice");
        }
        self.their_verdict = Some((done.verdict, done.unstored));
        self.conclude();
        Ok(Vec::new())
    }

    /// Once both know both verdicts, they both know how it goes on.
    fn conclude(&mut self) {
        let (Some(ours), Some(theirs)) = (self.our_verdict, self.their_verdict) else { return };
        let other = ours.0 == Verdict::Other || theirs.0 == Verdict::Other;
        self.phase = if other && self.salt.is_none() { Phase::Again } else { Phase::Over };
    }

    /// Asks for the second comparison, where it is ours to ask for; `half` is our half of a salt.
    pub fn ask_again(&mut self, half: [u8; 16]) -> Option<Frame> {
        let asks = self.initiator && matches!(self.phase, Phase::Again) && self.asked.is_none();
        asks.then(|| {
            self.asked = Some(half);
            Frame::Again(half)
        })
    }

    /// Whether a second comparison is due and has not been asked for.
    pub fn is_second(&self) -> bool {
        matches!(self.phase, Phase::Again) && self.asked.is_none()
    }

    /// Whether both sides hold the same now: all that differed was sent and kept, and both sets
    /// had the digests that were told.
    pub fn agrees(&self) -> bool {
        let equal = Some((Verdict::Equal, 0));
        let both = self.our_verdict == equal && self.their_verdict == equal;
        self.is_over() && both && !self.left_over
    }
}

/// What an id that came was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Its key was awaited.
    Awaited,
    /// It lies in a granted span, and is new.
    InSpan,
    /// Neither.
    Unknown,
}
