//! Peers that were sent away, and may not come back at once.
//!
//! By peer id and not by address: many honest peers share one. A peer may make itself a new id,
//! and then begins with nothing held for or against it. A dial of ours goes through: the app asked
//! for it.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use tokio::time::Instant;

/// How long a peer must stay away.
pub(super) const AWAY: Duration = Duration::from_secs(300);
/// Peers that are kept in mind; of more the oldest may come back.
const MAX_BANS: usize = 1024;

/// See the head of the file.
#[derive(Default)]
pub(super) struct Bans {
    since: HashMap<PeerId, Instant>,
    order: VecDeque<PeerId>,
}

#[derive(Debug)]
struct SentAway;

impl fmt::Display for SentAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was sent away and came back too soon")
    }
}

impl std::error::Error for SentAway {}

impl Bans {
    /// From now on it may not come, for a while.
    pub(super) fn ban(&mut self, peer: PeerId) {
        if self.since.insert(peer, Instant::now()).is_some() {
            self.order.retain(|other| *other != peer);
        }
        self.order.push_back(peer);
        if self.order.len() > MAX_BANS
            && let Some(oldest) = self.order.pop_front()
        {
            self.since.remove(&oldest);
        }
    }

    fn is_banned(&mut self, peer: &PeerId) -> bool {
        let over = |since: &Instant| since.elapsed() >= AWAY;
        while let Some(oldest) = self.order.front()
            && self.since.get(oldest).is_none_or(over)
        {
            self.since.remove(oldest);
            self.order.pop_front();
        }
        self.since.contains_key(peer)
    }
}

impl NetworkBehaviour for Bans {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        match self.is_banned(&peer) {
            true => Err(ConnectionDenied::new(SentAway)),
            false => Ok(dummy::ConnectionHandler),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ban_ends_in_time() {
        let (mut bans, peer) = (Bans::default(), PeerId::random());
        assert!(!bans.is_banned(&peer));
        bans.ban(peer);
        tokio::time::advance(AWAY / 2).await;
        // Sent away once more: its time begins anew.
        bans.ban(peer);
        tokio::time::advance(AWAY - Duration::from_millis(1)).await;
        assert!(bans.is_banned(&peer));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!bans.is_banned(&peer));
        assert!(bans.since.is_empty() && bans.order.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_list_is_bounded() {
        let (mut bans, first) = (Bans::default(), PeerId::random());
        bans.ban(first);
        for _ in 0..MAX_BANS {
            bans.ban(PeerId::random());
        }
        assert!(!bans.is_banned(&first));
        assert_eq!((bans.since.len(), bans.order.len()), (MAX_BANS, MAX_BANS));
    }
}
