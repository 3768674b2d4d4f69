//! The libp2p behaviour that hands streams of our protocols out and in.
//!
//! Why not the `libp2p-stream` crate: its one-place queue drops streams that come in a burst, it
//! opens one stream after the other, and it keeps a sender of every connection that there ever was.
//! Here a stream that comes is an event of the swarm, which applies the connection's backpressure
//! to it, and nothing outlives its connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot as futures_oneshot;
use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, StreamProtocol, StreamUpgradeError, SubstreamProtocol,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use tokio::sync::oneshot;

use super::stream::{Over, Stream};
use super::tasks::Tasks;
use crate::error::{Error, ErrorKind, Result};

/// How long the two sides may take to agree on a stream's protocol.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Where an opened stream goes.
pub(super) type Opened = oneshot::Sender<Result<Stream>>;

/// A stream that a peer opened.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) peer: PeerId,
    pub(super) protocol: StreamProtocol,
    pub(super) stream: Stream,
}

/// The behaviour.
pub(super) struct Streams {
    accepted: Arc<[StreamProtocol]>,
    tasks: Arc<Tasks>,
    events: VecDeque<ToSwarm<Incoming, Open>>,
}

/// What a connection is told: open a stream.
pub(super) struct Open {
    protocol: StreamProtocol,
    opened: Opened,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Open({})", self.protocol)
    }
}

impl Streams {
    /// Accepts streams of these protocols.
    pub(super) fn new(accepted: Vec<StreamProtocol>, tasks: Arc<Tasks>) -> Self {
        Streams { accepted: accepted.into(), tasks, events: VecDeque::new() }
    }

    fn handler(&self, dialled: bool) -> Handler {
        let (open, over) = futures_oneshot::channel();
        Handler {
            accepted: self.accepted.clone(),
            tasks: self.tasks.clone(),
            _open: open,
            over: over.shared(),
            dialled,
            to_open: VecDeque::new(),
            came: VecDeque::new(),
        }
    }

    /// Opens a stream on a connection to this peer, which must be connected. Where the connection
    /// goes away meanwhile, `opened` is dropped.
    pub(super) fn open(&mut self, peer: PeerId, protocol: StreamProtocol, opened: Opened) {
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::Any,
            event: Open { protocol, opened },
        });
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Incoming;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(false))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(true))
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        (protocol, stream): THandlerOutEvent<Self>,
    ) {
        self.events.push_back(ToSwarm::GenerateEvent(Incoming { peer, protocol, stream }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Incoming, THandlerInEvent<Self>>> {
        // No waker: every push happens under the swarm's own poll, or before it is polled again.
        match self.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => Poll::Pending,
        }
    }
}

/// One connection's part.
pub(super) struct Handler {
    accepted: Arc<[StreamProtocol]>,
    tasks: Arc<Tasks>,
    /// Dropped with the connection, which its streams learn by `over`.
    _open: futures_oneshot::Sender<Infallible>,
    over: Over,
    /// Whether we dialled: then the connection is kept for as long as the peer answers.
    dialled: bool,
    to_open: VecDeque<Open>,
    came: VecDeque<(StreamProtocol, Stream)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = (StreamProtocol, Stream);
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Open;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(Upgrade(self.accepted.clone()), ()).with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        self.dialled || !self.to_open.is_empty() || !self.came.is_empty()
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Upgrade, Open, Self::ToBehaviour>> {
        // No waker: both queues grow only in calls after which the connection polls again.
        if let Some(came) = self.came.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(came));
        }
        while let Some(open) = self.to_open.pop_front() {
            if open.opened.is_closed() {
                continue;
            }
            let upgrade = Upgrade([open.protocol.clone()].into());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(upgrade, open).with_timeout(NEGOTIATION_TIMEOUT),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, open: Open) {
        self.to_open.push_back(open);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), Open>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => {
                let stream = Stream::new(stream, self.tasks.clone(), self.over.clone());
                self.came.push_back((protocol, stream));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: open,
            }) => {
                // Where nobody waits for it any more, it closes itself.
                let stream = Stream::new(stream, self.tasks.clone(), self.over.clone());
                let _ = open.opened.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: open, error }) => {
                let error = explain(&open.protocol, error);
                let _ = open.opened.send(Err(error));
            }
            _ => {}
        }
    }
}

fn explain(protocol: &StreamProtocol, error: StreamUpgradeError<Infallible>) -> Error {
    match error {
        StreamUpgradeError::NegotiationFailed => Error::new(
            ErrorKind::ProtocolUnsupported,
            format!("the peer does not speak {protocol}"),
        ),
        StreamUpgradeError::Timeout => Error::new(
            ErrorKind::TimedOut,
            format!("the peer did not agree on a stream of {protocol} in time"),
        ),
        StreamUpgradeError::Io(e) => Error::new(
            ErrorKind::StreamClosed,
            format!("a stream of {protocol} could not be opened: {e}"),
        ),
        StreamUpgradeError::Apply(never) => match never {},
    }
}

/// Agrees on a protocol and leaves the stream as it is.
pub(super) struct Upgrade(Arc<[StreamProtocol]>);

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        Vec::from(&*self.0).into_iter()
    }
}

impl InboundUpgrade<libp2p::Stream> for Upgrade {
    type Output = (libp2p::Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: libp2p::Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<libp2p::Stream> for Upgrade {
    type Output = (libp2p::Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: libp2p::Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
