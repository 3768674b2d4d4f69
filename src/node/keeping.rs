//! What the swarm's task tells the keeper of peers, and does for it.

use std::collections::HashMap;
use std::num::NonZeroU8;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId, identify};
use tokio::time::Instant;

use super::book::{MAX_PLACES, Speaks, Trust};
use super::dials::without_peer;
use super::keeper::{Act, Aim, Fault, Keeper, Moment};
use super::scope::{self, Scope};
use super::shared::Shared;
use super::state::States;
use super::swarm::SwarmTask;
use super::{address, bans};
use crate::wire::{RELAY_PROTOCOL, reconciliation, store, strong};

/// Addresses of one peer that are dialled at once.
const AT_ONCE: NonZeroU8 = NonZeroU8::MIN.saturating_add(1);

/// A peer of the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPeer {
    /// Who.
    pub peer_id: String,
    /// Where it was reached, or is said to be, the best first; at most four.
    pub addresses: Vec<String>,
    /// It speaks Store, as it said last, or as discovery says.
    pub store: bool,
    /// It syncs.
    pub sync: bool,
    /// It relays.
    pub relay: bool,
    /// This node reached it, in this run or an earlier one.
    pub reached: bool,
    /// It was configured as a bootstrap peer.
    pub configured: bool,
    /// It is connected now.
    pub connected: bool,
}

/// The keeper, and what stands between it and the swarm.
pub(super) struct Keeping {
    keeper: Keeper,
    /// The dials of the keeper that are under way.
    aims: HashMap<ConnectionId, Aim>,
    /// From where peers that are there were seen to come first.
    seen_at: HashMap<PeerId, Multiaddr>,
    started: Instant,
    /// Where the book is kept, if it is.
    states: Option<States>,
    /// When costs were looked at.
    looked: Instant,
}

/// The time as the keeper is told it, `started` ago being its beginning.
pub(super) fn moment(shared: &Shared, started: Instant) -> Moment {
    let wall = u64::try_from(shared.archive.now().nanos() / 1_000_000_000).unwrap_or(0);
    Moment { elapsed: started.elapsed(), wall }
}

impl Keeping {
    pub(super) fn new(keeper: Keeper, started: Instant, states: Option<States>) -> Self {
        let (aims, seen_at) = (HashMap::new(), HashMap::new());
        Keeping { keeper, aims, seen_at, started, states, looked: started }
    }

    /// Where a peer is, the best address.
    pub(super) fn address(&self, peer: &PeerId) -> Option<Multiaddr> {
        self.keeper.book().addresses(peer).into_iter().next()
    }

    /// When the keeper is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.keeper.deadline().map(|at| self.started + at)
    }

    /// What is in the book.
    pub(super) fn known(&self) -> Vec<KnownPeer> {
        let book = self.keeper.book();
        let known = book.iter().map(|(peer, entry)| KnownPeer {
            peer_id: peer.to_string(),
            addresses: book.addresses(peer).iter().map(ToString::to_string).collect(),
            store: entry.speaks.store,
            sync: entry.speaks.sync,
            relay: entry.speaks.relay,
            reached: book.was_reached(peer),
            configured: entry.trust() == Trust::Configured,
            connected: self.keeper.is_there(peer),
        });
        known.collect()
    }
}

fn speaks(info: &identify::Info) -> Speaks {
    let speaks = |protocol: &str| info.protocols.iter().any(|p| p.as_ref() == protocol);
    Speaks {
        store: speaks(store::PROTOCOL),
        sync: speaks(reconciliation::PROTOCOL) || speaks(strong::PROTOCOL),
        relay: speaks(RELAY_PROTOCOL),
    }
}

/// Those of the addresses that a peer tells of itself which can be true and of use: public ones, and
/// nearer ones where it is seen to come from that very host, and this node lives as near.
fn plausible(told: &[Multiaddr], seen_at: &Multiaddr, nearest: Scope) -> Vec<Multiaddr> {
    let host = |at: &Multiaddr| match at.iter().next() {
        Some(Protocol::Ip4(ip)) => Some(std::net::IpAddr::V4(ip)),
        Some(Protocol::Ip6(ip)) => Some(ip.to_canonical()),
        _ => None,
    };
    let told = told.iter().map(without_peer).filter(|at| match scope::of(at) {
        Some(Scope::Public) => address::is_usable(at),
        Some(near) => {
            near >= nearest
                && host(at).is_some_and(|ip| host(seen_at) == Some(ip.to_canonical()))
                && address::is_usable(at)
        }
        None => false,
    });
    told.take(MAX_PLACES).collect()
}

impl SwarmTask {
    fn keep(&mut self, tell: impl FnOnce(&mut Keeper, Moment)) {
        let now = moment(&self.shared, self.state.keeping.started);
        tell(&mut self.state.keeping.keeper, now);
        self.keep_on();
    }

    /// Does what the keeper says.
    pub(super) fn keep_on(&mut self) {
        // Whoever is told of it finds it so.
        let online = self.state.keeping.keeper.is_online();
        self.shared.online.store(online, Ordering::Relaxed);
        while let Some(act) = self.state.keeping.keeper.poll() {
            match act {
                Act::Dial { aim, at } => self.keep_dial(aim, at),
                Act::Close(peer) => {
                    tracing::debug!(%peer, "of no use, or another is of more");
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
                Act::Know(peer, rank) => self.swarm.behaviour_mut().room.know(peer, rank),
                Act::Settle(peer, rank, cost) => {
                    self.swarm.behaviour_mut().room.settle(peer, rank, cost);
                }
                Act::Tell(event) => {
                    tracing::info!("{event:?}");
                    self.shared.hub.send(event);
                }
            }
        }
        let keeping = &mut self.state.keeping;
        let now = moment(&self.shared, keeping.started);
        if let Some(book) = keeping.keeper.save(now)
            && let Some(states) = &keeping.states
        {
            states.send_replace(Some(book));
        }
    }

    fn keep_dial(&mut self, aim: Aim, at: Vec<Multiaddr>) {
        let options = match (&aim, at.into_iter()) {
            (Aim::Peer(peer), at) => DialOpts::peer_id(*peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .override_dial_concurrency_factor(AT_ONCE)
                .addresses(at.collect())
                .build(),
            (Aim::At(at), _) => DialOpts::unknown_peer_id().address(at.clone()).build(),
        };
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => _ = self.state.keeping.aims.insert(id, aim),
            Err(e) => {
                let now = moment(&self.shared, self.state.keeping.started);
                self.state.keeping.keeper.dial_failed(now, &aim, fault(&e));
            }
        }
    }

    /// The keeper's time has come.
    pub(super) fn keep_tick(&mut self) {
        self.keep_costs();
        self.keep(|keeper, now| keeper.tick(now));
    }

    /// What asking peers costs, from time to time.
    fn keep_costs(&mut self) {
        let keeping = &mut self.state.keeping;
        if keeping.looked.elapsed() < super::keeper::REVIEW {
            return;
        }
        keeping.looked = Instant::now();
        for peer in keeping.keeper.present().copied().collect::<Vec<_>>() {
            if let Some(cost) = self.shared.measured.known(&peer) {
                keeping.keeper.measured(peer, cost);
            }
        }
    }

    pub(super) fn keep_connected(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        let aim = self.state.keeping.aims.remove(&connection);
        let seen_at = || endpoint.get_remote_address().clone();
        self.state.keeping.seen_at.entry(peer).or_insert_with(seen_at);
        let dialled = endpoint.is_dialer() && !endpoint.is_relayed();
        let dialled = dialled.then(|| without_peer(endpoint.get_remote_address()));
        if let (Some(at), Some(_)) = (&dialled, &aim) {
            self.state.known.insert(peer, at.clone());
        }
        self.keep(|keeper, now| keeper.connected(now, peer, dialled, aim.as_ref()));
    }

    pub(super) fn keep_taken(&mut self, peer: PeerId, ours: bool) {
        self.keep(|keeper, now| match ours {
            true => keeper.taken(now, peer),
            false => keeper.foreign(now, peer),
        });
    }

    pub(super) fn keep_identified(&mut self, peer: PeerId, info: &identify::Info) {
        let nearest = self.nearest();
        let seen_at = self.state.keeping.seen_at.get(&peer);
        let told = seen_at.map(|at| plausible(&info.listen_addrs, at, nearest)).unwrap_or_default();
        let speaks = speaks(info);
        self.keep(|keeper, now| keeper.identified(now, peer, speaks, told));
    }

    pub(super) fn keep_waited(&mut self, peer: PeerId) {
        self.keep(|keeper, now| keeper.waited(now, peer));
    }

    pub(super) fn keep_disconnected(&mut self, peer: PeerId) {
        self.state.keeping.seen_at.remove(&peer);
        if let Some(cost) = self.shared.measured.known(&peer) {
            self.state.keeping.keeper.measured(peer, cost);
        }
        self.keep(|keeper, now| keeper.disconnected(now, peer));
    }

    pub(super) fn keep_dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        if let Some(aim) = self.state.keeping.aims.remove(&connection) {
            tracing::debug!(?aim, "a dial failed: {error}");
            self.keep(|keeper, now| keeper.dial_failed(now, &aim, fault(error)));
        }
    }

    /// The app asks for a connection that stands already.
    pub(super) fn keep_asked(&mut self, peer: PeerId) {
        self.keep(|keeper, now| keeper.asked(now, peer));
    }

    pub(super) fn keep_let_go(&mut self, peer: PeerId) {
        self.keep(|keeper, now| keeper.let_go(now, peer));
    }

    pub(super) fn keep_banned(&mut self, peer: PeerId) {
        self.keep(|keeper, now| keeper.banned(now, peer, bans::AWAY));
    }

    pub(super) fn keep_network_changed(&mut self) {
        self.keep(|keeper, now| keeper.network_changed(now));
    }

    /// What discovery found: of the addresses those that can be dialled, and that reach as far as
    /// this node does.
    pub(super) fn keep_learned(&mut self, peer: PeerId, at: &[Multiaddr], speaks: Speaks) {
        if peer == self.shared.peer_id {
            return;
        }
        let nearest = self.nearest();
        let of_use = |at: &Multiaddr| {
            scope::of(at).is_some_and(|scope| scope >= nearest) && address::is_usable(at)
        };
        let at: Vec<Multiaddr> = at.iter().map(without_peer).filter(of_use).collect();
        self.keep(|keeper, now| keeper.learn(now, peer, &at, speaks));
    }

    fn nearest(&self) -> Scope {
        scope::taken_by(&self.shared.addresses.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The node is suspended: nobody is dialled, nothing is told, and no time runs. Before its
    /// connections go.
    #[expect(dead_code, reason = "for a node that can be suspended")]
    pub(super) fn keep_suspended(&mut self) {
        self.keep(|keeper, now| keeper.pause(now));
        let keeping = &mut self.state.keeping;
        let now = moment(&self.shared, keeping.started);
        for (_, aim) in keeping.aims.drain() {
            keeping.keeper.dial_failed(now, &aim, Fault::NotDialled);
        }
    }

    /// It is back, perhaps with a swarm that knows nobody. Once it listens.
    #[expect(dead_code, reason = "for a node that can be suspended")]
    pub(super) fn keep_resumed(&mut self) {
        self.keep(|keeper, now| keeper.go_again(now));
    }

    /// The node stops: the book is written for the last time.
    pub(super) fn keep_end(&mut self) {
        let keeping = &mut self.state.keeping;
        let now = moment(&self.shared, keeping.started);
        if let Some(book) = keeping.keeper.end(now)
            && let Some(states) = &keeping.states
        {
            states.send_replace(Some(book));
        }
        keeping.states = None;
        self.shared.online.store(false, Ordering::Relaxed);
    }
}

fn fault(error: &DialError) -> Fault {
    match error {
        DialError::LocalPeerId { .. } => Fault::Own,
        DialError::WrongPeerId { address, .. } => Fault::NotThere(vec![without_peer(address)]),
        DialError::Transport(tries) => {
            Fault::NotThere(tries.iter().map(|(at, _)| without_peer(at)).collect())
        }
        _ => Fault::NotDialled,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn all(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn strangers_are_not_believed_about_our_own_network() {
        let told = all(&[
            "/ip4/127.0.0.1/tcp/5432",
            "/ip4/192.168.1.1/tcp/80",
            "/ip4/8.8.8.8/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
            "/dns4/node.example.org/tcp/443/wss",
            "/dns4/localhost/tcp/1",
            "/ip4/9.9.9.9/tcp/1/p2p-circuit",
        ]);
        let from = |seen: &str, nearest| plausible(&told, &seen.parse().unwrap(), nearest);
        let public = all(&["/ip4/8.8.8.8/tcp/1", "/dns4/node.example.org/tcp/443/wss"]);
        assert_eq!(from("/ip4/8.8.8.8/tcp/50000", Scope::Loopback), public);
        assert_eq!(from("/ip4/127.0.0.1/tcp/50000", Scope::Private), public);
        // Who comes from there, and where this node lives as near.
        let near = from("/ip4/192.168.1.1/tcp/50000", Scope::Private);
        assert_eq!(near[0], told[1]);
        let here = from("/ip4/127.0.0.1/tcp/50000", Scope::Loopback);
        assert_eq!((here.len(), &here[0]), (3, &told[0]));
        let many: Vec<Multiaddr> =
            (0..99).map(|n| format!("/ip4/8.8.8.{n}/tcp/1").parse().unwrap()).collect();
        let bounded = plausible(&many, &many[0], Scope::Public);
        assert_eq!(bounded.len(), MAX_PLACES);
    }
}
