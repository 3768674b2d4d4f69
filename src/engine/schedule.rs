//! When syncs begin by themselves: at heartbeats, and with peers that come.
//!
//! What must hold: whatever peers do, coming and going among it, begins few syncs in a given time
//! ([`BURST`] at once, then one each [`TOKEN_EVERY`], and the heartbeats); what is remembered of
//! them is bounded; and which peer is chosen stays a matter of chance, so that nobody can bring it
//! about that it alone is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::protocol::choose_protocol;
use super::session::Session;
use super::{
    AddressGroup, Engine, EngineConfig, PeerInfo, PeerKey, SyncOptions, SyncReason, SyncReport,
};
use crate::error::ErrorKind;

/// A node without peers for so long has come back when the next one comes.
const OFFLINE: Duration = Duration::from_secs(30);
/// A peer that comes is synced with after about so long, if it is still there.
const SETTLES: Duration = Duration::from_millis(500);
/// And at the most so much later, at random: of two nodes that meet one begins, mostly.
const SPREAD_MILLIS: usize = 2000;
/// How long peers may take to come back to a host that was suspended.
const COME_BACK: Duration = Duration::from_secs(5);
/// What cannot begin now is looked at again after this.
const LATER: Duration = Duration::from_secs(5);
/// So many syncs may begin at once because peers came.
const BURST: u32 = 4;
/// And then one more each time that this has passed.
const TOKEN_EVERY: Duration = Duration::from_secs(15);
/// Peers that came and wait; the heartbeat finds the others.
const MAX_ARRIVALS: usize = 8;
/// Times that another peer is tried where a sync with one that came failed.
const RETRIES: u32 = 3;
/// Peers and groups that are remembered.
const MAX_KNOWN: usize = 1024;
/// The odds of a group that was not compared with lately, to one of any other.
const PREFERENCE: usize = 4;

/// A peer that came and is to be synced with.
#[derive(Debug)]
struct Arrival {
    due: Duration,
    /// It is one of the first that came.
    first: bool,
}

/// When something last happened, of at most [`MAX_KNOWN`]; the oldest go.
#[derive(Debug)]
struct Lately<K>(BTreeMap<K, Duration>);

impl<K: Ord + Copy> Lately<K> {
    fn put(&mut self, key: K, at: Duration) {
        self.0.insert(key, at);
        if self.0.len() > MAX_KNOWN
            && let Some(oldest) = self.0.iter().min_by_key(|(_, at)| **at).map(|(key, _)| *key)
        {
            self.0.remove(&oldest);
        }
    }

    fn at(&self, key: &K) -> Option<Duration> {
        self.0.get(key).copied()
    }
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) heartbeat_at: Option<Duration>,
    /// Peers that are there and can be synced with.
    able: BTreeSet<PeerKey>,
    arrivals: BTreeMap<PeerKey, Arrival>,
    /// When peers left.
    gone: Lately<PeerKey>,
    /// The least time between two syncs that one peer's coming begins.
    again: Duration,
    /// When a sync began because a peer came.
    begun: Lately<PeerKey>,
    /// When a comparison with a group last came to its end.
    compared: Lately<AddressGroup>,
    /// How many of those that come next are synced with, whoever they are.
    first: usize,
    retries: u32,
    /// Since when there is no peer; at first, none was there ever.
    alone_since: Option<Duration>,
    tokens: u32,
    /// When the number of tokens last changed by time.
    tokens_at: Duration,
}

impl Schedule {
    pub(super) fn new(
        heartbeat_at: Option<Duration>,
        config: &EngineConfig,
        now: Duration,
    ) -> Self {
        Schedule {
            heartbeat_at,
            able: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            gone: Lately(BTreeMap::new()),
            again: config.sync_again,
            begun: Lately(BTreeMap::new()),
            compared: Lately(BTreeMap::new()),
            first: config.heartbeat_peers.max(1),
            retries: RETRIES,
            alone_since: None,
            tokens: BURST,
            tokens_at: now,
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let arrival = self.arrivals.values().map(|a| a.due).min();
        self.heartbeat_at.into_iter().chain(arrival).min()
    }

    /// Takes a token; where there is none, tells when the next one comes.
    fn token(&mut self, now: Duration) -> Result<(), Duration> {
        while self.tokens < BURST && now >= self.tokens_at + TOKEN_EVERY {
            self.tokens += 1;
            self.tokens_at += TOKEN_EVERY;
        }
        if self.tokens == BURST {
            self.tokens_at = now;
        }
        if self.tokens == 0 {
            return Err(self.tokens_at + TOKEN_EVERY);
        }
        self.tokens -= 1;
        Ok(())
    }

    fn wait_for(&mut self, key: PeerKey, mut due: Duration, first: bool) {
        if let Some(begun) = self.begun.at(&key) {
            due = due.max(begun + self.again);
        }
        if self.arrivals.len() < MAX_ARRIVALS {
            self.arrivals.insert(key, Arrival { due, first });
        }
    }
}

impl Engine {
    /// The host was suspended and goes on: its peers come back in the next seconds. The heartbeats
    /// that were missed come as one, and not before that.
    pub fn resumed(&mut self, now: super::Now) {
        self.at(now);
        let earliest = self.now.elapsed + COME_BACK;
        if let Some(at) = &mut self.schedule.heartbeat_at {
            *at = earliest.max(*at);
        }
        self.pump();
    }

    fn is_able(&self, info: &PeerInfo) -> bool {
        choose_protocol(info, &SyncOptions::default(), &self.config).is_some()
    }

    /// About when a peer that comes now is synced with.
    fn soon(&mut self) -> Duration {
        let spread = u64::try_from(self.rng.below(SPREAD_MILLIS)).unwrap_or(0);
        self.now.elapsed + SETTLES + Duration::from_millis(spread)
    }

    /// A peer is there, or more is known of it.
    pub(super) fn peer_came(&mut self, key: PeerKey) {
        let info = self.peers.get(&key).filter(|p| p.connected).map(|p| p.info);
        if !self.config.sync_on_connect {
            return;
        }
        if !info.is_some_and(|info| self.is_able(&info)) {
            self.peer_left(key);
            return;
        }
        if !self.schedule.able.insert(key) {
            return;
        }
        let now = self.now.elapsed;
        if self.schedule.alone_since.take().is_some_and(|at| now >= at + OFFLINE) {
            self.schedule.first = self.config.heartbeat_peers.max(1);
            self.schedule.retries = RETRIES;
        }
        let back = self.schedule.gone.0.remove(&key).is_some();
        let first = self.schedule.first > 0;
        if first || back {
            self.schedule.first -= usize::from(first);
            let due = self.soon();
            self.schedule.wait_for(key, due, first);
        }
    }

    /// A peer is gone, or cannot be synced with any more.
    pub(super) fn peer_left(&mut self, key: PeerKey) {
        let s = &mut self.schedule;
        if !s.able.remove(&key) {
            return;
        }
        s.gone.put(key, self.now.elapsed);
        if s.arrivals.remove(&key).is_some_and(|a| a.first) {
            s.first += 1;
        }
        if s.able.is_empty() {
            s.alone_since = Some(self.now.elapsed);
        }
    }

    /// A session has ended.
    pub(super) fn session_over(&mut self, report: &SyncReport, group: AddressGroup) {
        let now = self.now.elapsed;
        match &report.error {
            None => {
                self.schedule.compared.put(group, now);
                // Whoever began it: what the window holds was compared.
                let start = self.now.wall.saturating_sub(self.config.window);
                if report.window.start() <= start && report.difference.is_none() {
                    self.schedule.arrivals.remove(&report.peer);
                }
            }
            Some(e) if report.reason == SyncReason::Connected => {
                if e.kind() != ErrorKind::Cancelled && self.schedule.retries > 0 {
                    self.schedule.retries -= 1;
                    self.try_another(report.peer);
                }
            }
            Some(_) => {}
        }
    }

    /// Another peer than this one, where there is one.
    fn try_another(&mut self, than: PeerKey) {
        let s = &self.schedule;
        let fresh = |key: &&PeerKey| **key != than && !s.arrivals.contains_key(*key);
        let others: Vec<PeerKey> = s.able.iter().filter(fresh).copied().collect();
        let chosen = others.get(self.rng.below(others.len())).copied();
        let due = self.soon();
        match chosen.or(self.schedule.able.get(&than).copied()) {
            Some(key) => self.schedule.wait_for(key, due, true),
            None => self.schedule.first += 1,
        }
    }

    /// Begins what is due.
    pub(super) fn keep_schedule(&mut self) {
        let now = self.now.elapsed;
        let due = |(key, a): (&PeerKey, &Arrival)| (a.due <= now).then_some(*key);
        let due: Vec<PeerKey> = self.schedule.arrivals.iter().filter_map(due).collect();
        for key in due {
            let again = self.greet(key);
            match (again, self.schedule.arrivals.get_mut(&key)) {
                (Some(at), Some(arrival)) => arrival.due = at,
                _ => {
                    self.schedule.arrivals.remove(&key);
                }
            }
        }
        if self.schedule.heartbeat_at.is_some_and(|at| at <= now) {
            self.beat();
        }
    }

    /// Begins a sync with a peer that came, or tells when to try again.
    fn greet(&mut self, key: PeerKey) -> Option<Duration> {
        let now = self.now.elapsed;
        if !self.horizon.is_ready() || self.is_busy_with(key) {
            return Some(now + LATER);
        }
        if let Err(at) = self.schedule.token(now) {
            return Some(at);
        }
        match self.begin_outbound(key, SyncOptions::default(), SyncReason::Connected) {
            Ok(_) => {
                self.schedule.begun.put(key, now);
                None
            }
            Err(e) if e.kind() == ErrorKind::SyncBusy => Some(now + LATER),
            // The clock stands before 1970: a heartbeat may find it put right.
            Err(_) => None,
        }
    }

    /// Whether a sync with this peer would be beside another that compares, or is ours.
    fn is_busy_with(&self, key: PeerKey) -> bool {
        let with = |s: &&Session| s.peer == key && !s.ends();
        self.sessions.values().filter(with).any(|s| s.initiator || s.reconciles())
    }

    /// Syncs with some of the peers that can, chosen at random: first a group, the more likely
    /// where it was not compared with lately, then one of its peers. So many peers in one place
    /// are not asked the more often for being many.
    fn beat(&mut self) {
        let now = self.now.elapsed;
        self.schedule.heartbeat_at = self.config.heartbeat.map(|d| now + self.rng.jitter(d));
        let lately = now.checked_sub(self.config.heartbeat.unwrap_or_default() * 2);
        let mut groups: BTreeMap<AddressGroup, Vec<PeerKey>> = BTreeMap::new();
        for (key, peer) in &self.peers {
            if peer.connected && self.is_able(&peer.info) && !self.is_busy_with(*key) {
                groups.entry(peer.info.group).or_default().push(*key);
            }
        }
        let mut asked = BTreeSet::new();
        for _ in 0..self.config.heartbeat_peers.max(1) {
            let odds = |group: &AddressGroup| {
                let fresh = asked.contains(group) || self.schedule.compared.at(group) > lately;
                if fresh { 1 } else { PREFERENCE }
            };
            let weights: Vec<(AddressGroup, usize)> =
                groups.keys().map(|group| (*group, odds(group))).collect();
            let mut at = self.rng.below(weights.iter().map(|(_, odds)| odds).sum());
            let chosen = weights.iter().find(|(_, odds)| match at.checked_sub(*odds) {
                Some(rest) => {
                    at = rest;
                    false
                }
                None => true,
            });
            let Some((group, _)) = chosen else { return };
            asked.insert(*group);
            let Some(peers) = groups.get_mut(group).filter(|peers| !peers.is_empty()) else {
                return;
            };
            let peer = peers.swap_remove(self.rng.below(peers.len()));
            if peers.is_empty() {
                groups.remove(group);
            }
            // Too many syncs run, or the clock stands before 1970: the next beat comes.
            let _ = self.begin_outbound(peer, SyncOptions::default(), SyncReason::Heartbeat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_few_and_come_back_with_time() {
        let mut s = Schedule::new(None, &EngineConfig::default(), Duration::ZERO);
        let mut taken = Vec::new();
        for t in 1000..1100 {
            if s.token(Duration::from_secs(t)).is_ok() {
                taken.push(t);
            }
        }
        assert_eq!(taken, [1000, 1001, 1002, 1003, 1015, 1030, 1045, 1060, 1075, 1090]);
        assert_eq!(s.token(Duration::from_secs(1100)), Err(Duration::from_secs(1105)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_go() {
        let mut lately = Lately(BTreeMap::new());
        for n in 0..3 * MAX_KNOWN as u64 {
            lately.put(PeerKey(n), Duration::from_secs(n));
        }
        assert_eq!(lately.0.len(), MAX_KNOWN);
        assert_eq!(lately.at(&PeerKey(2 * MAX_KNOWN as u64 - 1)), None);
        assert!(lately.at(&PeerKey(2 * MAX_KNOWN as u64)).is_some());
    }
}
