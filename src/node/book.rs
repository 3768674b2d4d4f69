//! The peer book: where peers were reached, or are said to be, and what they speak.
//!
//! What must hold: it is bounded in peers, in addresses of each, in what others may put in from one
//! network, and in age; what was reached is never pushed out by what was only told; and configured
//! peers stay. It reads no clock: times are Unix seconds, passed in.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId};

use super::scope;
use crate::engine::AddressGroup;

/// Peers in the book.
pub(super) const MAX_PEERS: usize = 1000;
/// Those of them that were never reached.
pub(super) const MAX_TOLD: usize = 500;
/// Those of them that are said to be in one network.
pub(super) const MAX_TOLD_OF_NETWORK: usize = 32;
/// Addresses of one peer.
pub(super) const MAX_PLACES: usize = 4;
/// The longest address that is kept, in bytes.
pub(super) const MAX_ADDRESS: usize = 256;
/// A peer of which nothing was heard for so long is struck out: thirty days.
pub(super) const MAX_AGE: u64 = 30 * 24 * 3600;
/// An address that was only told is struck out after so many failures in a row.
const MAX_FAILURES: u8 = 5;
/// What asking a peer is taken to cost that was never asked, in milliseconds.
const UNKNOWN_COST: u32 = 300;

/// What a peer speaks, of what others look for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Speaks {
    /// It answers Store v3.
    pub store: bool,
    /// It reconciles, by 1.0.0 or by this library's own protocol.
    pub sync: bool,
    /// It relays.
    pub relay: bool,
}

/// What speaks for an address, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Trust {
    /// Somebody said so: the peer itself, or discovery.
    Told,
    /// The peer was reached there.
    Reached,
    /// The operator said so.
    Configured,
}

/// One address of a peer, without `/p2p/…`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) at: Multiaddr,
    pub(super) trust: Trust,
    /// When it was last reached, or told. 0: never yet.
    pub(super) when: u64,
    /// Dials in a row that failed.
    pub(super) failures: u8,
}

/// One peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Entry {
    pub(super) places: Vec<Place>,
    pub(super) speaks: Speaks,
    /// When it was last heard of.
    pub(super) seen: u64,
    /// What asking it was measured to cost, in milliseconds. 0: it was not asked.
    pub(super) cost: u32,
}

impl Entry {
    /// The best that speaks for any of its addresses.
    pub(super) fn trust(&self) -> Trust {
        self.places.iter().map(|place| place.trust).max().unwrap_or(Trust::Told)
    }

    /// What asking it is taken to cost, in milliseconds.
    pub(super) fn cost(&self) -> u32 {
        if self.cost == 0 { UNKNOWN_COST } else { self.cost }
    }

    /// The order in which peers are dialled, the first first.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let failures = self.places.iter().map(|place| place.failures).min().unwrap_or(0);
        (Reverse(self.trust().min(Trust::Reached)), failures, self.cost())
    }

    /// Its addresses, the best first.
    fn addresses(&self) -> Vec<Multiaddr> {
        let mut places: Vec<&Place> = self.places.iter().collect();
        places.sort_by_key(|p| (Reverse(p.trust), p.failures, Reverse(p.when)));
        places.into_iter().map(|place| place.at.clone()).collect()
    }

    fn network(&self) -> Option<AddressGroup> {
        self.places.first().map(|place| scope::network(&place.at))
    }

    fn place(&mut self, at: &Multiaddr) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.at == *at)
    }

    /// Puts an address in, where it is worth more than what is there; whether it was.
    fn put(&mut self, new: Place) -> bool {
        if let Some(place) = self.place(&new.at) {
            place.trust = place.trust.max(new.trust);
            place.when = place.when.max(new.when);
            if new.trust == Trust::Reached {
                place.failures = 0;
            }
            return true;
        }
        if self.places.len() >= MAX_PLACES {
            let worth = |p: &Place| (p.trust, Reverse(p.failures), p.when);
            let least = self.places.iter().enumerate().min_by_key(|(_, p)| worth(p));
            match least.map(|(n, p)| (n, worth(p))) {
                Some((n, least)) if least < worth(&new) => self.places.swap_remove(n),
                _ => return false,
            };
        }
        self.places.push(new);
        true
    }
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<PeerId, Entry>,
    /// Something is not in the file yet.
    changed: bool,
}

impl Book {
    /// A book of these peers, as they were kept.
    pub(super) fn of(entries: BTreeMap<PeerId, Entry>) -> Self {
        Book { entries, changed: false }
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Entry> {
        self.entries.get(peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Entry)> {
        self.entries.iter()
    }

    /// Where to dial a peer, the best address first.
    pub(super) fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        self.entries.get(peer).map(Entry::addresses).unwrap_or_default()
    }

    /// Whether the peer was reached, ever, at an address that is kept.
    pub(super) fn was_reached(&self, peer: &PeerId) -> bool {
        let reached = |place: &Place| place.trust != Trust::Told && place.when > 0;
        self.entries.get(peer).is_some_and(|entry| entry.places.iter().any(reached))
    }

    /// Whether something changed since the last call that said so.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// The operator names a peer and where it is.
    pub(super) fn configured(&mut self, peer: PeerId, at: &Multiaddr) {
        let entry = self.entries.entry(peer).or_default();
        let (trust, when) = (Trust::Configured, 0);
        entry.put(Place { at: at.clone(), trust, when, failures: 0 });
        self.shrink(peer);
    }

    /// A dial of ours reached a peer.
    pub(super) fn reached(&mut self, peer: PeerId, at: &Multiaddr, now: u64) {
        if at.len() > MAX_ADDRESS {
            return;
        }
        let entry = self.entries.entry(peer).or_default();
        entry.put(Place { at: at.clone(), trust: Trust::Reached, when: now, failures: 0 });
        entry.seen = now;
        self.changed = true;
        self.shrink(peer);
    }

    /// Somebody says where a peer is. (Whether such an address can be of use is for the caller to
    /// judge.)
    pub(super) fn told(&mut self, peer: PeerId, at: &[Multiaddr], now: u64) {
        let at = at.iter().filter(|at| at.len() <= MAX_ADDRESS).take(MAX_PLACES);
        let at: Vec<&Multiaddr> = at.collect();
        let Some(first) = at.first() else { return };
        if !self.entries.contains_key(&peer) && !self.make_room_for_told(first) {
            return;
        }
        let entry = self.entries.entry(peer).or_default();
        for at in at {
            entry.put(Place { at: at.clone(), trust: Trust::Told, when: now, failures: 0 });
        }
        entry.seen = now;
        self.changed = true;
        self.shrink(peer);
    }

    /// A peer that is in the book is there, and speaks this.
    pub(super) fn speaks(&mut self, peer: &PeerId, speaks: Speaks, now: u64) {
        if let Some(entry) = self.entries.get_mut(peer) {
            (entry.speaks, entry.seen) = (speaks, now);
            self.changed = true;
        }
    }

    /// A peer that is in the book is said to speak this too.
    pub(super) fn may_speak(&mut self, peer: &PeerId, also: Speaks) {
        if let Some(entry) = self.entries.get_mut(peer) {
            let Speaks { store, sync, relay } = &mut entry.speaks;
            *store |= also.store;
            *sync |= also.sync;
            *relay |= also.relay;
        }
    }

    /// A peer that is in the book was there until now.
    pub(super) fn seen(&mut self, peer: &PeerId, now: u64) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.seen = now;
            self.changed = true;
        }
    }

    /// What asking a peer costs, in milliseconds.
    pub(super) fn cost(&mut self, peer: &PeerId, cost: u32) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.cost = cost.max(1);
            self.changed = true;
        }
    }

    /// A dial of ours did not find the peer there.
    pub(super) fn failed(&mut self, peer: &PeerId, at: &Multiaddr) {
        let Some(entry) = self.entries.get_mut(peer) else { return };
        let Some(place) = entry.place(at) else { return };
        place.failures = place.failures.saturating_add(1);
        entry.places.retain(|p| p.trust != Trust::Told || p.failures < MAX_FAILURES);
        if entry.places.is_empty() {
            self.entries.remove(peer);
        }
        self.changed = true;
    }

    /// Strikes a peer out: it belongs elsewhere, or behaved badly. What the operator said stays.
    pub(super) fn remove(&mut self, peer: &PeerId) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.places.retain(|place| place.trust == Trust::Configured);
            for place in &mut entry.places {
                place.when = 0;
            }
            if entry.places.is_empty() {
                self.entries.remove(peer);
            }
            self.changed = true;
        }
    }

    /// Strikes out what is too old.
    pub(super) fn prune(&mut self, now: u64) {
        let before = self.entries.len();
        self.entries.retain(|_, entry| {
            // A time of the future tells of a clock that was turned back since.
            entry.seen = entry.seen.min(now);
            entry.trust() == Trust::Configured || now - entry.seen <= MAX_AGE
        });
        self.changed |= self.entries.len() != before;
    }

    /// Makes room for one more that was never reached; whether there is some.
    fn make_room_for_told(&mut self, at: &Multiaddr) -> bool {
        let network = Some(scope::network(at));
        let told = || self.entries.iter().filter(|(_, entry)| entry.trust() == Trust::Told);
        if told().filter(|(_, entry)| entry.network() == network).count() >= MAX_TOLD_OF_NETWORK {
            return false;
        }
        let all = told().count();
        if all < MAX_TOLD && self.entries.len() < MAX_PEERS {
            return true;
        }
        // The one that failed most and was heard of longest ago goes.
        let worst = told().min_by_key(|(_, e)| (Reverse(e.order()), e.seen)).map(|(peer, _)| *peer);
        worst.is_some_and(|peer| self.entries.remove(&peer).is_some())
    }

    /// Keeps the number in bounds after `new` came: of the rest the least trusted goes that was
    /// heard of longest ago.
    fn shrink(&mut self, new: PeerId) {
        while self.entries.len() > MAX_PEERS {
            let others = self.entries.iter().filter(|(peer, _)| **peer != new);
            let goes = others.min_by_key(|(_, entry)| (entry.trust(), entry.seen));
            let Some(peer) = goes.map(|(peer, _)| *peer) else { return };
            self.entries.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn at(n: u32) -> Multiaddr {
        let [a, b, c, d] = (0x0800_0000 + n).to_be_bytes();
        format!("/ip4/{a}.{b}.{c}.{d}/tcp/1").parse().unwrap()
    }

    /// In a network of its own.
    fn far(n: u32) -> Multiaddr {
        at(n << 16)
    }

    #[test]
    fn what_was_reached_is_dialled_before_what_was_told() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        book.told(peer, &[at(1), at(2)], NOW);
        book.reached(peer, &at(3), NOW - 100);
        assert_eq!(book.addresses(&peer), [at(3), at(1), at(2)]);
        assert!(book.was_reached(&peer));
        book.failed(&peer, &at(1));
        assert_eq!(book.addresses(&peer), [at(3), at(2), at(1)]);
        // The more so what the operator said.
        book.configured(peer, &at(4));
        assert_eq!(book.addresses(&peer)[0], at(4));
        // Of more than four the least goes: told, failed, old.
        book.reached(peer, &at(5), NOW);
        assert_eq!(book.addresses(&peer), [at(4), at(5), at(3), at(2)]);
        book.told(peer, &[at(6)], NOW - 1);
        assert!(!book.addresses(&peer).contains(&at(6)));
    }

    #[test]
    fn told_addresses_that_fail_are_struck_out_and_reached_ones_stay() {
        let (mut book, [told, reached]) = (Book::default(), [(); 2].map(|()| PeerId::random()));
        book.told(told, &[at(1)], NOW);
        book.reached(reached, &at(2), NOW);
        for _ in 0..MAX_FAILURES {
            assert!(book.get(&told).is_some());
            book.failed(&told, &at(1));
            book.failed(&reached, &at(2));
        }
        assert!(book.get(&told).is_none() && book.get(&reached).is_some());
        // Heard of for the last time a month ago.
        book.prune(NOW + MAX_AGE);
        assert!(book.get(&reached).is_some());
        book.prune(NOW + MAX_AGE + 1);
        assert!(book.get(&reached).is_none() && book.take_changed() && !book.take_changed());
    }

    #[test]
    fn what_others_tell_is_bounded_and_pushes_nothing_reached_out() {
        let mut book = Book::default();
        let reached: Vec<PeerId> = (0..MAX_PEERS - 10).map(|_| PeerId::random()).collect();
        for peer in &reached {
            book.reached(*peer, &at(1), NOW - 1000);
        }
        for n in 0..100 {
            book.told(PeerId::random(), &[far(n)], NOW);
        }
        assert_eq!(book.entries.len(), MAX_PEERS);
        assert!(reached.iter().all(|peer| book.was_reached(peer)));
        // Of those that were reached the one goes that was heard of longest ago, after the told.
        book.seen(&reached[0], NOW - 2000);
        for n in 0..11 {
            book.reached(PeerId::random(), &at(n), NOW);
        }
        assert_eq!(book.entries.len(), MAX_PEERS);
        assert!(!book.was_reached(&reached[0]) && book.was_reached(&reached[1]));
    }

    #[test]
    fn one_network_can_tell_of_few() {
        let mut book = Book::default();
        for n in 0..1000 {
            book.told(PeerId::random(), &[at(n)], NOW);
        }
        assert_eq!(book.entries.len(), MAX_TOLD_OF_NETWORK);
        for n in 1..1000 {
            book.told(PeerId::random(), &[far(n)], NOW);
        }
        assert_eq!(book.entries.len(), MAX_TOLD);
        let long: Multiaddr = format!("/dns4/{}.org/tcp/1", "a".repeat(300)).parse().unwrap();
        let peer = PeerId::random();
        book.told(peer, std::slice::from_ref(&long), NOW);
        book.reached(peer, &long, NOW);
        assert!(book.get(&peer).is_none());
        book.told(peer, &(0..100).map(far).collect::<Vec<_>>(), NOW);
        assert_eq!(book.addresses(&peer).len(), MAX_PLACES);
    }

    #[test]
    fn who_is_struck_out_stays_where_the_operator_named_it() {
        let (mut book, [ours, theirs]) = (Book::default(), [(); 2].map(|()| PeerId::random()));
        book.configured(ours, &at(1));
        for peer in [ours, theirs] {
            book.reached(peer, &at(2), NOW);
            book.remove(&peer);
        }
        assert_eq!((book.addresses(&ours), book.addresses(&theirs)), (vec![at(1)], vec![]));
        assert!(!book.was_reached(&ours));
        book.prune(NOW + 10 * MAX_AGE);
        assert!(book.get(&ours).is_some());
    }
}
