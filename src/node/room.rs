//! The libp2p behaviour that holds the bounds of connections, by the rule in `places`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::task::{Context, Poll};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};

use super::places::{Full, Limits, Places, Rank};
use super::scope;

/// See the head of the file.
pub(super) struct Room {
    places: Places,
    closing: VecDeque<(PeerId, ConnectionId)>,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are {} {} already, which is the most allowed", self.limit, self.what)
    }
}

impl std::error::Error for Full {}

impl Room {
    pub(super) fn new(limits: Limits) -> Self {
        Room { places: Places::new(limits), closing: VecDeque::new() }
    }

    /// See [`Places::know`].
    pub(super) fn know(&mut self, peer: PeerId, rank: Option<Rank>) {
        self.places.know(peer, rank);
    }

    /// See [`Places::settle`].
    pub(super) fn settle(&mut self, peer: PeerId, rank: Rank, cost: u32) {
        let gone = self.places.settle(peer, rank, cost);
        self.close(gone);
    }

    fn close(&mut self, gone: impl IntoIterator<Item = (PeerId, ConnectionId)>) {
        for (peer, connection) in gone {
            tracing::info!(%peer, "gives its place to others");
            self.closing.push_back((peer, connection));
        }
    }

    fn admit(&mut self, peer: PeerId, incoming: bool) -> Result<(), ConnectionDenied> {
        let gone = self.places.admit(&peer, incoming).map_err(ConnectionDenied::new)?;
        self.close(gone);
        Ok(())
    }
}

impl NetworkBehaviour for Room {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(peer, true).map(|()| dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(peer, false).map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(e) => {
                let network = scope::network(e.endpoint.get_remote_address());
                let incoming = e.endpoint.is_listener();
                let gone = self.places.add(e.connection_id, e.peer_id, incoming, network);
                self.close(gone);
            }
            FromSwarm::ConnectionClosed(e) => self.places.remove(&e.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        // No waker: every push happens under the swarm's own poll, or before it is polled again.
        match self.closing.pop_front() {
            Some((peer_id, connection)) => Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            }),
            None => Poll::Pending,
        }
    }
}
