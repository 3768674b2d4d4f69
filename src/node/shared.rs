//! What the node's handles and tasks share: the way to the swarm, to sync, and to the events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use libp2p::swarm::StreamProtocol;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::address::{Address, PeerName};
use super::book::Speaks;
use super::event::Hub;
use super::keeping::KnownPeer;
use super::measured::Measured;
use super::metadata::Answer;
use super::peers::Waiter;
use super::relay::Wish;
use super::relay_intake::Judged;
use super::stream::Stream;
use super::streams::Opened;
use super::sync_input::Input;
use super::tasks::Tasks;
use crate::archive::Archive;
use crate::engine::{AddressGroup, Coverage};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::PubsubTopic;

/// What the swarm's task is asked to do.
pub(super) enum Command {
    /// Connect to this address.
    Dial { address: Address, waiter: Waiter },
    /// Be connected to this peer: it is already, or an address of it is known.
    Reach { peer: PeerId, waiter: Waiter },
    /// Open a stream to a connected peer.
    Open { peer: PeerId, protocol: StreamProtocol, opened: Opened },
    /// End all connections to a peer.
    Disconnect { peer: PeerId, done: oneshot::Sender<()> },
    /// End all connections to a peer, and take none from it for a while.
    SendAway { peer: PeerId },
    /// Somebody found a peer, and says where it is and what it speaks.
    Learn { peer: PeerId, at: Vec<Multiaddr>, speaks: Speaks },
    /// What is in the book of peers.
    Book { found: oneshot::Sender<Vec<KnownPeer>> },
    /// The host says that the network is another, or back.
    NetworkChanged,
    /// Where a peer is, as the resolver found.
    Placed { peer: PeerId, group: AddressGroup },
    /// Enough was waited for what a peer says of itself.
    Waited { peer: PeerId },
    /// Something about relay.
    Relay { topic: PubsubTopic, wish: Wish, done: oneshot::Sender<Result<()>> },
    /// Which connected peers are subscribed to a topic.
    RelayPeers { topic: PubsubTopic, found: oneshot::Sender<Vec<String>> },
    /// What is to become of messages that came over relay.
    Judged(Vec<Judged>),
    /// What metadata said of a peer, whoever asked whom.
    Metadata { peer: PeerId, answer: Answer },
}

/// What handles and tasks share. Keeps nothing running by itself.
pub(super) struct Shared {
    pub(super) peer_id: PeerId,
    pub(super) archive: Archive,
    pub(super) tasks: Arc<Tasks>,
    pub(super) hub: Arc<Hub>,
    pub(super) commands: mpsc::Sender<Command>,
    /// The way to the sync task; closed where the node does not sync.
    pub(super) sync: mpsc::UnboundedSender<Input>,
    /// Whether the node takes part in relay.
    pub(super) relays: bool,
    pub(super) request_timeout: Duration,
    pub(super) addresses: RwLock<Vec<Multiaddr>>,
    /// The peers that were taken in, and their names.
    pub(super) peers: RwLock<BTreeMap<PeerId, String>>,
    /// Those of them that speak Store.
    pub(super) store: RwLock<BTreeSet<PeerId>>,
    /// How well they answer.
    pub(super) measured: Measured,
    /// Whether a peer is connected, or was until a moment ago.
    pub(super) online: AtomicBool,
    /// Store requests on their way.
    pub(super) asking: Semaphore,
    /// What the engine said last.
    pub(super) coverage: RwLock<Vec<Coverage>>,
}

/// The node is no more.
pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Shutdown, "the node was stopped")
}

impl Shared {
    /// Runs something to its end, to the node's end, or to the end of the time allowed.
    pub(super) async fn in_time<T>(
        &self,
        what: &str,
        doing: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            () = self.tasks.cancelled() => Err(stopped()),
            done = tokio::time::timeout(self.request_timeout, doing) => match done {
                // What breaks because the node stops says so.
                Ok(Err(_)) if self.tasks.is_cancelled() => Err(stopped()),
                Ok(done) => done,
                Err(_) => {
                    let limit = self.request_timeout;
                    bail!(TimedOut, "{what} took longer than the {limit:?} allowed")
                }
            },
        }
    }

    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<T>) -> Result<T> {
        self.commands.send(command).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| match self.tasks.is_cancelled() {
            true => stopped(),
            false => Error::new(ErrorKind::StreamClosed, "the connection went away"),
        })
    }

    /// Connects to an address.
    pub(super) async fn dial(&self, address: Address) -> Result<PeerId> {
        let (waiter, answer) = oneshot::channel();
        self.ask(Command::Dial { address, waiter }, answer).await?
    }

    /// Connects to a peer, where it is not connected.
    pub(super) async fn reach(&self, peer: PeerName) -> Result<PeerId> {
        match peer {
            PeerName::At(address) => self.dial(address).await,
            PeerName::Id(peer) => {
                let (waiter, answer) = oneshot::channel();
                self.ask(Command::Reach { peer, waiter }, answer).await?
            }
        }
    }

    /// Opens a stream to a connected peer.
    pub(super) async fn open(&self, peer: PeerId, protocol: &'static str) -> Result<Stream> {
        let (opened, answer) = oneshot::channel();
        let protocol = StreamProtocol::new(protocol);
        self.ask(Command::Open { peer, protocol, opened }, answer).await?
    }

    /// Has relay do something.
    pub(super) async fn relay(&self, topic: PubsubTopic, wish: Wish) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.ask(Command::Relay { topic, wish, done }, answer).await?
    }

    /// The connected peers that are subscribed to a topic.
    pub(super) async fn relay_peers(&self, topic: PubsubTopic) -> Result<Vec<String>> {
        let (found, answer) = oneshot::channel();
        self.ask(Command::RelayPeers { topic, found }, answer).await
    }

    /// Ends all connections to a peer and waits until they are gone.
    pub(super) async fn disconnect(&self, peer: PeerId) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.ask(Command::Disconnect { peer, done }, answer).await
    }

    /// Ends all connections to a peer, which may not come back at once.
    pub(super) async fn send_away(&self, peer: PeerId) {
        // It fails only where the node stops.
        let _ = self.commands.send(Command::SendAway { peer }).await;
    }

    /// Takes a peer that discovery found into the book, to be dialled where peers of its kind are
    /// wanted. `at` may end in `/p2p/…`; what this node cannot dial, or what can only be meant for
    /// another network, is left out; what is known of the peer already is kept.
    pub(super) async fn learn(&self, peer: PeerId, at: Vec<Multiaddr>, speaks: Speaks) {
        // It fails only where the node stops.
        let _ = self.commands.send(Command::Learn { peer, at, speaks }).await;
    }

    /// What is in the book of peers.
    pub(super) async fn known_peers(&self) -> Result<Vec<KnownPeer>> {
        let (found, answer) = oneshot::channel();
        self.ask(Command::Book { found }, answer).await
    }

    /// The connected peers that speak Store.
    pub(super) fn store_peers(&self) -> Vec<PeerId> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// The names of the peers that were taken in.
    pub(super) fn peer_names(&self) -> Vec<String> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
