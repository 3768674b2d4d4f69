//! Which peers the node dials by itself: those that are configured, and out of the book as many that
//! speak Store, sync and relay as are wanted. A state machine: told what happened and when, drained
//! of what is to be done.
//!
//! What must hold: dials are bounded at once and in time, so that a book full of dead addresses is
//! no flood; peers of another cluster, peers that were sent away and peers that the app
//! disconnected are not dialled; and only peers that the node reached itself count towards what is
//! wanted, since anybody can come and say that it speaks Store.

mod choosing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use super::NodeEvent;
use super::address::Address;
use super::book::{Book, Speaks};
use super::book_bytes;
use super::online::Online;
use super::peer_config::{PeerConfig, TARGET};
use super::places::Rank;
use super::redial::{Jitter, Redial};

/// How long a peer of another cluster is not dialled, nor an address that is our own.
const ELSEWHERE: Duration = Duration::from_secs(3600);
/// Dials out of the book that may begin in a burst; and how long it takes to earn one more.
const BURST: f64 = 8.0;
const EARNED: Duration = Duration::from_secs(2);
/// How often costs are looked at while anybody is connected.
pub(super) const REVIEW: Duration = Duration::from_secs(60);
/// The least time between two writings of the book.
pub(super) const SAVE_EVERY: Duration = Duration::from_secs(30);
/// A bar that only the app lifts.
const FOR_GOOD: Duration = Duration::MAX;

/// The time, as it is passed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Moment {
    /// Since the start.
    pub(super) elapsed: Duration,
    /// Unix seconds.
    pub(super) wall: u64,
}

/// Who is dialled.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Aim {
    Peer(PeerId),
    /// Whoever is there: a configured address that names nobody.
    At(Multiaddr),
}

/// Why a dial failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The peer was not found at these addresses.
    NotThere(Vec<Multiaddr>),
    /// It is this node.
    Own,
    /// It did not come to a dial.
    NotDialled,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Dial, the best address first.
    Dial { aim: Aim, at: Vec<Multiaddr> },
    /// End the connections to a peer: it is of no use, or another is of more.
    Close(PeerId),
    /// What is known of a peer before it comes.
    Know(PeerId, Option<Rank>),
    /// What was learned of a peer that is there, and what it costs in milliseconds.
    Settle(PeerId, Rank, u32),
    /// Tell the app.
    Tell(NodeEvent),
}

/// A peer that is connected.
#[derive(Debug, Default)]
struct There {
    /// Where the node dialled it.
    dialled: Option<Multiaddr>,
    /// It was this that dialled it.
    kept: bool,
    /// It is of our cluster.
    ours: bool,
    speaks: Option<Speaks>,
    /// Where it says it is, of what can be true.
    told: Vec<Multiaddr>,
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Keeper {
    /// The configured, and who was found there.
    configured: BTreeMap<Aim, Option<PeerId>>,
    /// How many of each kind are wanted, as the app said.
    wanted: [Option<u32>; 3],
    /// Whether the node has somewhere to begin.
    seeded: bool,
    relays: bool,
    book: Book,
    redial: Redial<Aim>,
    online: Online,
    there: BTreeMap<PeerId, There>,
    /// Those of which a rank was told before they came.
    known: BTreeSet<PeerId>,
    jitter: Jitter,
    /// Dials out of the book that may begin, and as of when.
    earned: (f64, Duration),
    choose_at: Option<Duration>,
    review_at: Duration,
    saved_at: Option<Duration>,
    acts: VecDeque<Act>,
    /// Nothing is to be done for now.
    paused: bool,
}

const KINDS: [fn(&Speaks) -> bool; 3] = [|s| s.store, |s| s.sync, |s| s.relay];

fn serves(speaks: &Speaks) -> bool {
    speaks.store || speaks.sync
}

impl Keeper {
    /// `relays`: whether this node does. `seed` feeds the jitter.
    pub(super) fn new(
        config: &PeerConfig,
        bootstrap: Vec<Address>,
        relays: bool,
        mut book: Book,
        seed: u64,
        now: Moment,
    ) -> Self {
        let mut configured = BTreeMap::new();
        for Address { at, peer } in bootstrap {
            match peer {
                Some(peer) => {
                    book.configured(peer, &at);
                    configured.insert(Aim::Peer(peer), Some(peer));
                }
                None => _ = configured.insert(Aim::At(at), None),
            }
        }
        book.prune(now.wall);
        let mut keeper = Keeper {
            seeded: !configured.is_empty(),
            configured,
            wanted: [config.store_peers, config.sync_peers, config.relay_peers],
            relays,
            book,
            redial: Redial::new(config.redial_min, config.redial_max),
            online: Online::new(config.offline_grace),
            there: BTreeMap::new(),
            known: BTreeSet::new(),
            jitter: Jitter::new(seed),
            earned: (BURST, now.elapsed),
            choose_at: None,
            review_at: now.elapsed + REVIEW,
            saved_at: None,
            acts: VecDeque::new(),
            paused: false,
        };
        keeper.go_again(now);
        keeper
    }

    /// From now on nobody is dialled and nothing told, until [`Keeper::go_again`]; what happens is
    /// taken note of.
    pub(super) fn pause(&mut self, now: Moment) {
        self.paused = true;
        self.go_on(now);
    }

    /// Goes on as at the beginning: the swarm is told anew whom it is to know, and whoever waited is
    /// due soon.
    pub(super) fn go_again(&mut self, now: Moment) {
        self.paused = false;
        self.known.clear();
        let configured = self.configured.values().flatten().copied();
        let all: BTreeSet<PeerId> = self.book.iter().map(|(p, _)| *p).chain(configured).collect();
        for peer in all {
            self.know(peer);
        }
        self.network_changed(now);
    }

    /// What is to be done next.
    pub(super) fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// When [`Keeper::tick`] is due.
    pub(super) fn deadline(&self) -> Option<Duration> {
        if self.paused {
            return None;
        }
        let save = self.book.is_changed().then(|| self.save_due());
        let review = (!self.there.is_empty()).then_some(self.review_at);
        [self.choose_at, save, review, self.online.deadline()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Moment) {
        if now.elapsed >= self.review_at {
            self.review_at = now.elapsed + REVIEW;
            self.review(now);
        }
        self.go_on(now);
    }

    pub(super) fn is_online(&self) -> bool {
        self.online.is_online() && !self.paused
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    pub(super) fn is_there(&self, peer: &PeerId) -> bool {
        self.there.get(peer).is_some_and(|there| there.ours)
    }

    fn save_due(&self) -> Duration {
        self.saved_at.map_or(Duration::ZERO, |at| at + SAVE_EVERY)
    }

    /// The book in bytes, where it changed and it is time to write it.
    pub(super) fn save(&mut self, now: Moment) -> Option<Vec<u8>> {
        if now.elapsed < self.save_due() || !self.book.take_changed() {
            return None;
        }
        self.saved_at = Some(now.elapsed);
        Some(book_bytes::encode(&self.book))
    }

    /// The book in bytes at the node's end, where it changed.
    pub(super) fn end(&mut self, now: Moment) -> Option<Vec<u8>> {
        for (peer, _) in self.there.iter().filter(|(_, there)| there.ours) {
            self.book.seen(peer, now.wall);
        }
        self.book.take_changed().then(|| book_bytes::encode(&self.book))
    }

    /// A connection stands: dialled there, perhaps by this.
    pub(super) fn connected(
        &mut self,
        now: Moment,
        peer: PeerId,
        dialled: Option<Multiaddr>,
        aim: Option<&Aim>,
    ) {
        if let Some(at) = &dialled {
            let aim_at = Aim::At(at.clone());
            if let Some(found) = self.configured.get_mut(&aim_at) {
                *found = Some(peer);
                self.redial.connected(aim_at, now.elapsed);
            }
            if aim.is_none() {
                self.unbar(peer);
                self.online.want(now.elapsed);
            }
        }
        let there = self.there.entry(peer).or_default();
        there.kept |= aim.is_some();
        if dialled.is_some() {
            there.dialled = dialled;
        }
        if let Some(Aim::Peer(aimed)) = aim
            && *aimed != peer
        {
            self.redial.failed(&Aim::Peer(*aimed), now.elapsed, &mut self.jitter);
        }
        self.redial.connected(Aim::Peer(peer), now.elapsed);
        self.know(peer);
        self.go_on(now);
    }

    /// A peer that is there is of our cluster, or does not say.
    pub(super) fn taken(&mut self, now: Moment, peer: PeerId) {
        let first = self.there.values().all(|there| !there.ours);
        let Some(there) = self.there.get_mut(&peer) else { return };
        there.ours = true;
        if first {
            self.redial.reached_one(now.elapsed, &mut self.jitter);
        }
        self.note(now, peer);
        self.go_on(now);
    }

    /// A peer is of another cluster, and goes.
    pub(super) fn foreign(&mut self, now: Moment, peer: PeerId) {
        self.strike_out(peer, now.elapsed.saturating_add(ELSEWHERE));
        self.go_on(now);
    }

    /// A peer was sent away for its conduct, for so long.
    pub(super) fn banned(&mut self, now: Moment, peer: PeerId, away: Duration) {
        self.strike_out(peer, now.elapsed.saturating_add(away));
        self.go_on(now);
    }

    /// The app ends the connections to a peer: it is not to come back by our doing until the app
    /// dials it.
    pub(super) fn let_go(&mut self, now: Moment, peer: PeerId) {
        for aim in self.aims_of(peer) {
            // One that is barred for what it is or did may be tried again in time.
            if !self.redial.is_barred(&aim, now.elapsed) {
                self.redial.bar(aim, FOR_GOOD);
            }
        }
        self.go_on(now);
    }

    /// The app asks for a peer that is there: it is the app's from now on.
    pub(super) fn asked(&mut self, now: Moment, peer: PeerId) {
        if let Some(there) = self.there.get_mut(&peer) {
            there.kept = false;
        }
        self.unbar(peer);
        self.online.want(now.elapsed);
        self.go_on(now);
    }

    /// A peer that is there says what it speaks and where it is.
    pub(super) fn identified(
        &mut self,
        now: Moment,
        peer: PeerId,
        speaks: Speaks,
        told: Vec<Multiaddr>,
    ) {
        let Some(there) = self.there.get_mut(&peer) else { return };
        (there.speaks, there.told) = (Some(speaks), told);
        self.note(now, peer);
        self.settle(peer);
        let useless = !KINDS.iter().zip(self.targets()).any(|(kind, n)| n > 0 && kind(&speaks));
        let kept = self.there.get(&peer).is_some_and(|there| there.kept);
        if kept && useless && !self.is_configured(&peer) {
            self.acts.push_back(Act::Close(peer));
        }
        self.go_on(now);
    }

    /// A peer that is there did not say in time what it speaks.
    pub(super) fn waited(&mut self, now: Moment, peer: PeerId) {
        if self.there.get(&peer).is_some_and(|there| there.speaks.is_none()) {
            self.identified(now, peer, Speaks::default(), Vec::new());
        }
    }

    /// The last connection to a peer is gone.
    pub(super) fn disconnected(&mut self, now: Moment, peer: PeerId) {
        let Some(there) = self.there.remove(&peer) else { return };
        if there.ours {
            self.book.seen(&peer, now.wall);
        }
        for aim in self.aims_of(peer) {
            self.redial.disconnected(&aim, now.elapsed, &mut self.jitter);
        }
        if self.book.get(&peer).is_none() && !self.is_configured(&peer) {
            self.redial.forget(&Aim::Peer(peer));
        }
        self.go_on(now);
    }

    /// A dial of this failed.
    pub(super) fn dial_failed(&mut self, now: Moment, aim: &Aim, fault: Fault) {
        self.redial.failed(aim, now.elapsed, &mut self.jitter);
        match (aim, fault) {
            (_, Fault::Own) => self.redial.bar(aim.clone(), now.elapsed.saturating_add(ELSEWHERE)),
            (Aim::Peer(peer), Fault::NotThere(at)) => {
                at.iter().for_each(|at| self.book.failed(peer, at));
                self.know(*peer);
            }
            (Aim::Peer(peer), Fault::NotDialled) if self.there.contains_key(peer) => {
                self.redial.connected(aim.clone(), now.elapsed);
            }
            _ => {}
        }
        self.go_on(now);
    }

    /// Discovery found a peer. The addresses are such as can be dialled from here.
    pub(super) fn learn(&mut self, now: Moment, peer: PeerId, at: &[Multiaddr], speaks: Speaks) {
        self.book.told(peer, at, now.wall);
        self.book.may_speak(&peer, speaks);
        self.seeded = true;
        self.go_on(now);
    }

    /// What asking a peer that is there was measured to cost, in milliseconds.
    pub(super) fn measured(&mut self, peer: PeerId, cost: u32) {
        self.book.cost(&peer, cost);
        self.settle(peer);
    }

    /// The host says that the network is another, or back.
    pub(super) fn network_changed(&mut self, now: Moment) {
        self.redial.network_changed(now.elapsed, &mut self.jitter);
        self.earned = (BURST, now.elapsed);
        self.go_on(now);
    }

    /// The peers that are there, and whether they are of our cluster.
    pub(super) fn present(&self) -> impl Iterator<Item = &PeerId> {
        self.there.iter().filter(|(_, there)| there.ours).map(|(peer, _)| peer)
    }

    fn is_configured(&self, peer: &PeerId) -> bool {
        self.configured.values().any(|found| found.as_ref() == Some(peer))
    }

    /// All that a peer is dialled as.
    fn aims_of(&self, peer: PeerId) -> Vec<Aim> {
        let found = self.configured.iter().filter(|(_, found)| **found == Some(peer));
        let mut aims: Vec<Aim> = found.map(|(aim, _)| aim.clone()).collect();
        if !aims.contains(&Aim::Peer(peer)) {
            aims.push(Aim::Peer(peer));
        }
        aims
    }

    fn unbar(&mut self, peer: PeerId) {
        for aim in self.aims_of(peer) {
            self.redial.unbar(&aim);
        }
    }

    fn strike_out(&mut self, peer: PeerId, until: Duration) {
        if let Some(there) = self.there.get_mut(&peer) {
            there.ours = false;
        }
        self.book.remove(&peer);
        for aim in self.aims_of(peer) {
            self.redial.bar(aim, until);
        }
        self.know(peer);
    }

    /// How many of each kind are wanted now.
    fn targets(&self) -> [u32; 3] {
        let mut targets = self.wanted.map(|n| n.unwrap_or(if self.seeded { TARGET } else { 0 }));
        if !self.relays {
            targets[2] = 0;
        }
        targets
    }

    fn rank(&self, peer: &PeerId) -> Option<Rank> {
        if self.is_configured(peer) {
            return Some(Rank::Kept);
        }
        let serves = self.book.get(peer).is_some_and(|entry| serves(&entry.speaks));
        (serves && self.book.was_reached(peer)).then_some(Rank::Proven)
    }

    /// Tells what is known of a peer, here or not.
    fn know(&mut self, peer: PeerId) {
        let rank = self.rank(&peer);
        let news = match rank {
            Some(_) => self.known.insert(peer) || rank == Some(Rank::Kept),
            None => self.known.remove(&peer),
        };
        if news {
            self.acts.push_back(Act::Know(peer, rank));
        }
    }

    /// Tells of how much use a peer is that has said what it speaks.
    fn settle(&mut self, peer: PeerId) {
        let Some(speaks) = self.there.get(&peer).and_then(|there| there.speaks) else { return };
        let said = if serves(&speaks) { Rank::Claims } else { Rank::Stranger };
        let rank = self.rank(&peer).map_or(said, |known| known.max(said));
        let cost = self.book.get(&peer).map_or(0, |entry| entry.cost);
        self.acts.push_back(Act::Settle(peer, rank, cost));
    }

    /// Writes down what is known of a peer of our cluster.
    fn note(&mut self, now: Moment, peer: PeerId) {
        let Some(There { dialled, ours: true, speaks, told, .. }) = self.there.get(&peer) else {
            return;
        };
        if let Some(at) = dialled {
            self.book.reached(peer, at, now.wall);
        }
        if let Some(speaks) = speaks {
            if serves(speaks) || (self.relays && speaks.relay) {
                self.book.told(peer, told, now.wall);
            }
            self.book.speaks(&peer, *speaks, now.wall);
        }
        self.know(peer);
    }

    /// After whatever happened: dials, and tells whether the node is online.
    fn go_on(&mut self, now: Moment) {
        self.choose_at = None;
        if self.paused {
            return;
        }
        self.dial_configured(now);
        self.dial_wanted(now);
        if self.seeded || self.targets().iter().any(|n| *n > 0) {
            self.online.want(now.elapsed);
        }
        let connected = self.there.values().any(|there| there.ours);
        self.online.observe(now.elapsed, connected);
        if let Some(online) = self.online.poll(now.elapsed) {
            let event = if online { NodeEvent::Online } else { NodeEvent::Offline };
            self.acts.push_back(Act::Tell(event));
        }
    }
}

#[cfg(test)]
mod tests;
