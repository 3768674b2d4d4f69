//! Whom the keeper dials, and in which order; and who gives way to a better one.

use std::time::Duration;

use libp2p::PeerId;

use super::{Act, Aim, BURST, EARNED, FOR_GOOD, KINDS, Keeper, Moment, There};
use crate::node::book::Speaks;

/// A peer out of the book that costs more than this, in milliseconds, gives way to one that is taken
/// to cost half as much.
const DEAR: u32 = 2000;

impl Keeper {
    /// Whether a peer that is there, or a dial, counts towards what is wanted of a kind.
    fn counts(&self, peer: &PeerId, there: &There, kind: fn(&Speaks) -> bool) -> bool {
        let reached = there.dialled.is_some() || self.book.was_reached(peer);
        let speaks = there.speaks.or_else(|| self.book.get(peer).map(|entry| entry.speaks));
        reached && speaks.is_some_and(|speaks| kind(&speaks))
    }

    fn have(&self, kind: fn(&Speaks) -> bool) -> usize {
        let there = self.there.iter().filter(|(peer, t)| self.counts(peer, t, kind)).count();
        let may = |aim: &&Aim| match aim {
            Aim::Peer(peer) => self.book.get(peer).is_some_and(|entry| kind(&entry.speaks)),
            Aim::At(_) => false,
        };
        there + self.redial.dialling().filter(may).count()
    }

    fn later(&mut self, at: Duration) {
        if at != FOR_GOOD {
            self.choose_at = Some(self.choose_at.map_or(at, |first| first.min(at)));
        }
    }

    pub(super) fn dial_configured(&mut self, now: Moment) {
        let away = |found: &Option<PeerId>| found.is_none_or(|p| !self.there.contains_key(&p));
        let away: Vec<Aim> =
            self.configured.iter().filter(|(_, f)| away(f)).map(|(a, _)| a.clone()).collect();
        for aim in away {
            match self.redial.due(&aim) {
                Some(due) if due > now.elapsed => self.later(due),
                Some(_) if self.redial.room() > 0 => self.dial(aim),
                // Whatever ends is told, and this is asked again.
                _ => {}
            }
        }
    }

    pub(super) fn dial_wanted(&mut self, now: Moment) {
        let (left, since) = self.earned;
        let came = now.elapsed.saturating_sub(since).as_secs_f64() / EARNED.as_secs_f64();
        self.earned = ((left + came).min(BURST), now.elapsed);
        for (kind, target) in KINDS.into_iter().zip(self.targets()) {
            let mut need = (target as usize).saturating_sub(self.have(kind));
            if need == 0 {
                continue;
            }
            for peer in self.candidates(now, kind) {
                if need == 0 || self.redial.room() == 0 {
                    break;
                }
                if self.earned.0 < 1.0 {
                    let rest = EARNED.mul_f64(1.0 - self.earned.0);
                    self.later(now.elapsed + rest + Duration::from_millis(1));
                    break;
                }
                self.earned.0 -= 1.0;
                need -= 1;
                self.dial(Aim::Peer(peer));
            }
        }
    }

    /// Those of the book that may be dialled now and speak a kind, the best first.
    fn candidates(&mut self, now: Moment, kind: fn(&Speaks) -> bool) -> Vec<PeerId> {
        let mut ready = Vec::new();
        let mut next: Option<Duration> = None;
        for (peer, entry) in self.book.iter() {
            if !kind(&entry.speaks) || self.there.contains_key(peer) {
                continue;
            }
            match self.redial.due(&Aim::Peer(*peer)) {
                Some(due) if due <= now.elapsed => {
                    // Among equals by chance, so that not all nodes go to the same.
                    ready.push((entry.order(), (self.jitter.next() * 1e6) as u32, *peer));
                }
                Some(due) => next = Some(next.map_or(due, |first| first.min(due))),
                None => {}
            }
        }
        if let Some(next) = next {
            self.later(next);
        }
        ready.sort();
        ready.into_iter().map(|(_, _, peer)| peer).collect()
    }

    fn dial(&mut self, aim: Aim) {
        let at = match &aim {
            Aim::Peer(peer) => self.book.addresses(peer),
            Aim::At(at) => vec![at.clone()],
        };
        self.redial.begin(aim.clone());
        self.acts.push_back(Act::Dial { aim, at });
    }

    /// From time to time: forgets what is old, and lets the dearest go for one that may be better.
    pub(super) fn review(&mut self, now: Moment) {
        self.book.prune(now.wall);
        for peer in self.known.iter().copied().collect::<Vec<_>>() {
            if self.rank(&peer).is_none() {
                self.know(peer);
            }
        }
        let targets = self.targets();
        let ours = |(peer, there): &(&PeerId, &There)| {
            there.kept && there.ours && !self.is_configured(peer)
        };
        let cost = |peer: &PeerId| self.book.get(peer).map_or(0, |entry| entry.cost);
        let dearest = self.there.iter().filter(ours).map(|(peer, _)| (cost(peer), *peer)).max();
        let Some((cost, peer)) = dearest.filter(|(cost, _)| *cost > DEAR) else { return };
        let speaks = self.book.get(&peer).map(|entry| entry.speaks).unwrap_or_default();
        for (kind, _) in KINDS.into_iter().zip(targets).filter(|(k, n)| *n > 0 && k(&speaks)) {
            let better = self
                .candidates(now, kind)
                .into_iter()
                .any(|other| self.book.get(&other).is_some_and(|entry| entry.cost() <= cost / 2));
            if better {
                return self.acts.push_back(Act::Close(peer));
            }
        }
    }
}
