//! A whole Waku node over libp2p: sockets, streams, peers and their limits. Drives the engine.
//!
//! Everything here runs on the tokio runtime that calls [`Node::start`]. Addresses are
//! multiaddresses as text; peers are named by a peer id (`12D3…`) that is connected or was dialled
//! before, or by an address, which is dialled where need be.
//!
//! One task owns the swarm (`swarm`), one the engine (`sync_host`); every stream that is served runs
//! in a task of its own. Handles send commands. All tasks are of one set (`tasks`), which a stop
//! joins.

mod address;
mod archive_feed;
mod bans;
mod behaviour;
mod book;
mod book_bytes;
mod clock_watch;
mod conduct;
mod config;
mod dials;
mod discovery;
mod event;
mod facts;
mod frame;
mod history;
mod identity;
mod keeper;
mod keeping;
mod keys;
mod listeners;
mod measured;
mod metadata;
mod metrics;
mod muxer;
mod named;
mod names;
mod no_signal;
mod notices;
mod online;
mod patience;
mod peer_config;
mod peers;
mod places;
mod publish;
mod rate;
mod redial;
mod relay;
mod relay_intake;
mod room;
mod scope;
mod shared;
mod start;
mod state;
mod store_client;
mod store_fetch;
mod store_service;
mod stream;
mod streams;
mod suspend;
mod swarm;
mod sync_host;
mod sync_input;
mod sync_once;
mod sync_outputs;
mod sync_streams;
mod tasks;
mod tls;
mod traffic;
mod transport;
mod whole_file;

pub use book::Speaks;
pub use config::{Identity, NodeConfig};
pub use discovery::{Capabilities, Discovered, DiscoveredPeer, Discovery, discover};
pub use event::{Events, NodeEvent, SyncStarted};
pub use history::{History, HistoryOptions};
pub use keeping::KnownPeer;
pub use metrics::{Health, LastSync, QueueDepths, archive_metrics};
pub use notices::log_archive;
pub use peer_config::PeerConfig;
pub use rate::RateLimit;
pub use store_fetch::{CrossCheck, Fetched, MAX_FETCH, PeerCheck};
pub use sync_once::{SyncOnceEnd, SyncOnceOptions, SyncOnceReport};
pub use tls::TlsFiles;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use libp2p::PeerId;
use libp2p::multiaddr::Protocol;
use tokio::sync::oneshot;

use self::address::{PeerName, parse, parse_peer};
use self::relay::Wish;
use self::shared::{Command, Shared, stopped, suspended};
use self::sync_input::{Demand, Input};
use crate::archive::Archive;
use crate::engine::{Coverage, SessionId, SyncOptions, SyncReport};
use crate::error::{Result, bail};
use crate::types::{MessageHash, Page, PubsubTopic, Query, WakuMessage};

/// A running node. Clones are handles to the same one. When the last is dropped the node stops by
/// itself, in the background; [`Node::stop`] waits for it.
#[derive(Clone)]
pub struct Node(Arc<Handle>);

/// What all clones share, and no task of the node holds.
struct Handle {
    shared: Arc<Shared>,
    syncs: bool,
    tickets: AtomicU64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.tasks.cancel();
    }
}

/// A sync's report, with the peer as the node's users know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSyncReport {
    /// The session's number, as in [`SyncStarted::session`].
    pub session: u64,
    /// With whom.
    pub peer_id: String,
    /// What came of it.
    pub report: SyncReport,
}

impl Node {
    /// Starts a node over this archive and listens.
    ///
    /// # Errors
    /// [`crate::ErrorKind::KeyFile`], [`crate::ErrorKind::Address`], [`crate::ErrorKind::Listen`];
    /// [`crate::ErrorKind::InvalidArgument`] for a configuration with which no node can run.
    pub async fn start(config: NodeConfig, archive: Archive) -> Result<Node> {
        let syncs = config.sync;
        let shared = start::start(config, archive).await?;
        Ok(Node(Arc::new(Handle { shared, syncs, tickets: AtomicU64::new(0) })))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// The peer id, `12D3…`.
    pub fn peer_id(&self) -> String {
        self.shared().peer_id.to_string()
    }

    /// The archive under it.
    pub fn archive(&self) -> &Archive {
        &self.shared().archive
    }

    /// Where it listens now, in the order of the configuration, each address ending in
    /// `/p2p/{peer id}`. None once it has stopped.
    pub fn addresses(&self) -> Vec<String> {
        let own = Protocol::P2p(self.shared().peer_id);
        let all = self.shared().addresses.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|at| at.clone().with(own.clone()).to_string()).collect()
    }

    /// Connects to an address that ends in `/p2p/{peer id}` (or, without it, to whoever answers)
    /// and gives the peer id. Fine where it is connected already. Waits until metadata has told
    /// which cluster the peer belongs to; one that does not speak metadata is fine.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Address`] for what is no address or none that this node can dial,
    /// [`crate::ErrorKind::Dial`], [`crate::ErrorKind::TimedOut`],
    /// [`crate::ErrorKind::OtherCluster`], [`crate::ErrorKind::Shutdown`].
    pub async fn dial(&self, address: &str) -> Result<String> {
        let address = parse(address)?;
        let shared = self.shared();
        let peer = shared.in_time("the dial", shared.dial(address)).await?;
        Ok(peer.to_string())
    }

    /// Ends all connections to a peer. Fine where there are none. The node does not dial it again by
    /// itself until [`Node::dial`] did.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Address`] for what names no peer, [`crate::ErrorKind::TimedOut`],
    /// [`crate::ErrorKind::Shutdown`].
    pub async fn disconnect(&self, peer: &str) -> Result<()> {
        let peer = match parse_peer(peer)? {
            PeerName::Id(peer) => peer,
            PeerName::At(address) => match address.peer {
                Some(peer) => peer,
                None => bail!(Address, "{peer:?} does not end in /p2p/ and a peer id"),
            },
        };
        let shared = self.shared();
        shared.in_time("the disconnection", shared.disconnect(peer)).await
    }

    /// The peers that are connected now, in no particular order, without those of which metadata
    /// has not spoken yet.
    pub fn peers(&self) -> Vec<String> {
        self.shared().peer_names()
    }

    /// Whether a peer is connected, or was until less than the grace of
    /// [`PeerConfig::offline_grace`] ago. Changes are told as [`NodeEvent::Online`] and
    /// [`NodeEvent::Offline`].
    pub fn online(&self) -> bool {
        self.shared().online.load(Ordering::Relaxed)
    }

    /// Tells the node that the network is another, or back: whoever is to be dialled again is
    /// dialled soon, and not after the wait that earlier failures brought about. For a host that
    /// is told so by its system. It waits for nothing, and does nothing once the node has stopped.
    pub fn network_changed(&self) {
        let shared = self.shared().clone();
        self.shared().tasks.spawn(async move {
            let _ = shared.commands.send(Command::NetworkChanged).await;
        });
    }

    /// Tells the node of a peer that the host found, by a discovery of its own: where it is, in
    /// addresses that all end in its `/p2p/{peer id}`, and what it is said to speak. It goes into
    /// the book and is dialled where peers of its kind are wanted. Addresses that lead into a
    /// private network or to this machine are taken only where the node itself listens nowhere
    /// else. It waits for nothing, and does nothing once the node has stopped.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Address`] for what is no address, names no peer, or another than the
    /// first.
    pub fn learn(&self, addresses: &[String], speaks: Speaks) -> Result<()> {
        let mut found = None;
        let mut at = Vec::new();
        for text in addresses {
            let address = parse(text)?;
            match (address.peer, found) {
                (Some(peer), None) => found = Some(peer),
                (Some(peer), Some(first)) if peer == first => {}
                _ => bail!(Address, "{text:?} does not end in /p2p/ and the one peer's id"),
            }
            at.push(address.at);
        }
        let Some(peer) = found else { bail!(Address, "a peer without an address") };
        let shared = self.shared().clone();
        self.shared().tasks.spawn(async move { shared.learn(peer, at, speaks).await });
        Ok(())
    }

    /// The peers of the book: configured, reached, or told of by discovery; at most 1,000, in no
    /// particular order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shutdown`].
    pub async fn known_peers(&self) -> Result<Vec<KnownPeer>> {
        self.shared().known_peers().await
    }

    /// One page from a store peer.
    ///
    /// # Errors
    /// [`crate::ErrorKind::PeerUnknown`] and those of [`Node::dial`];
    /// [`crate::ErrorKind::ProtocolUnsupported`], [`crate::ErrorKind::StreamClosed`]; those of
    /// [`crate::store::client::decode`].
    pub async fn store_query(&self, peer: &str, query: Query) -> Result<Page> {
        store_client::query(self.shared(), parse_peer(peer)?, query).await
    }

    /// A walk through a store peer's history; nothing is asked until the first page is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Address`] for what names no peer; where the query cannot be asked.
    pub fn history(&self, peer: &str, query: Query) -> Result<History> {
        let peers = [peer.to_owned()];
        History::new(self.shared().clone(), &peers, query, &HistoryOptions::default())
    }

    /// A walk through the history of several store peers: one is asked for as long as it answers,
    /// the best by what was measured of them first, and another goes on where it fails. With no
    /// peers named it is any connected one that speaks Store.
    ///
    /// # Errors
    /// As for [`Node::history`]; [`crate::ErrorKind::InvalidArgument`] for a span of zero, or so
    /// short that the query's time has more than 100,000 of them.
    pub fn history_of(
        &self,
        peers: &[String],
        query: Query,
        options: &HistoryOptions,
    ) -> Result<History> {
        History::new(self.shared().clone(), peers, query, options)
    }

    /// Those of the hashes that a store peer holds, in the order asked for, each once; at most a
    /// million in one call, split into requests of 100.
    ///
    /// # Errors
    /// Those of [`Node::store_query`].
    pub async fn presence(&self, peer: &str, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        store_fetch::presence(self.shared(), peer, hashes).await
    }

    /// The messages of these hashes, from the first of the peers that holds them; with no peers
    /// named, of the connected ones that speak Store. At most a million hashes in one call; all of
    /// what is found is in memory at once. Nothing is stored.
    ///
    /// # Errors
    /// Those of [`Node::store_query`], where no peer answered for a part of the hashes;
    /// [`crate::ErrorKind::PeerUnknown`] where there is nobody to ask.
    pub async fn fetch(&self, peers: &[String], hashes: &[MessageHash]) -> Result<Fetched> {
        store_fetch::fetch(self.shared(), peers, hashes).await
    }

    /// Asks several store peers for the hashes of a query, puts their answers together, and says
    /// what each of them left out: so one server that hides messages is found out by the others.
    /// At most `max` hashes of each peer are taken. A peer that fails is told of in the answer.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for fewer than two peers, or a query that cannot be
    /// asked; [`crate::ErrorKind::Address`].
    pub async fn cross_check(
        &self,
        peers: &[String],
        query: Query,
        max: usize,
    ) -> Result<CrossCheck> {
        store_fetch::cross_check(self.shared(), peers, query, max).await
    }

    /// Syncs with a peer now and waits for the end. Dropping the future cancels the sync. A
    /// session that broke down is an error here; what it brought until then is stored. All that it
    /// stored has been told as events when this returns.
    ///
    /// # Errors
    /// Those of [`Node::store_query`] on the way to the peer; [`crate::ErrorKind::Unsupported`]
    /// where this node does not sync, [`crate::ErrorKind::SyncBusy`], and whatever ended the
    /// session.
    pub async fn sync(&self, peer: &str, options: SyncOptions) -> Result<NodeSyncReport> {
        let name = parse_peer(peer)?;
        if !self.0.syncs {
            bail!(Unsupported, "this node was started without sync");
        }
        let shared = self.shared();
        let peer = shared.in_time("the dial", shared.reach(name)).await?;
        let report = self.begin_sync(peer, options)?.await?;
        match &report.report.error {
            Some(e) => Err(e.clone()),
            None => Ok(report),
        }
    }

    /// Begins a sync with a connected peer; gives its report, also where it broke down. Dropping the
    /// future cancels it.
    fn begin_sync(
        &self,
        peer: PeerId,
        options: SyncOptions,
    ) -> Result<impl Future<Output = Result<NodeSyncReport>> + Send> {
        let shared = self.shared();
        let ticket = self.0.tickets.fetch_add(1, Ordering::Relaxed);
        let (report, reported) = oneshot::channel();
        let input = Input::Sync(Demand { peer, options, ticket, report });
        shared.sync.send(input).map_err(|_| stopped())?;
        let cancel = CancelSync { shared, ticket };
        Ok(async move {
            // All of it, and not the reference in it alone: it is to be dropped with the future.
            let cancel = cancel;
            let shared = cancel.shared;
            tokio::select! {
                biased;
                reported = reported => reported.map_err(|_| stopped())?,
                () = shared.tasks.cancelled() => Err(stopped()),
                () = shared.tasks.suspended() => Err(suspended()),
            }
        })
    }

    /// Gives a sync up, whoever began it; its end, cancelled, is told as an event. Nothing happens
    /// where it has ended, or never was.
    pub fn cancel_sync(&self, session: u64) {
        // It fails where nothing can be under way: the node does not sync, or was stopped.
        let _ = self.shared().sync.send(Input::CancelSession { session: SessionId(session) });
    }

    /// With how many peers this node agrees over which spans of time: spans that do not overlap, in
    /// ascending order, bounded in number. Those of the last run too, where the configuration
    /// names a file for the state.
    pub fn coverage(&self) -> Vec<Coverage> {
        self.shared().coverage.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes part in a pubsub topic over relay: what comes is stored and passed on. Fine a second
    /// time.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] where the node does not relay,
    /// [`crate::ErrorKind::Shutdown`].
    pub async fn subscribe(&self, topic: PubsubTopic) -> Result<()> {
        self.shared().relay(topic, Wish::Subscribe).await
    }

    /// Takes no part in a pubsub topic any more. Fine where it did not.
    ///
    /// # Errors
    /// As for [`Node::subscribe`].
    pub async fn unsubscribe(&self, topic: PubsubTopic) -> Result<()> {
        self.shared().relay(topic, Wish::Unsubscribe).await
    }

    /// Stores a message (unless it is ephemeral) and sends it over relay. It need not be subscribed
    /// to the topic. Where nobody took it ([`crate::ErrorKind::NoRelayPeers`]) it stays stored, and
    /// syncs will bring it to others; the same message may be published again.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoRelayPeers`]; [`crate::ErrorKind::Unsupported`] where the node does not
    /// relay; what the archive refuses it for, and then it was not sent;
    /// [`crate::ErrorKind::Shutdown`].
    pub async fn publish(&self, topic: PubsubTopic, message: WakuMessage) -> Result<MessageHash> {
        publish::publish(self.shared(), topic, message).await
    }

    /// The connected peers that are subscribed to a pubsub topic over relay.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shutdown`].
    pub async fn relay_peers(&self, topic: PubsubTopic) -> Result<Vec<String>> {
        self.shared().relay_peers(topic).await
    }

    /// From now on, what happens. A bounded queue; a slow reader is told that it lagged.
    pub fn events(&self) -> Events {
        self.shared().hub.subscribe()
    }

    /// The node's metrics and its archive's, in OpenMetrics' text form (as Prometheus reads it),
    /// which ends in `# EOF`: to be served as
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`. It asks the node's tasks and the
    /// archive and waits two seconds for them at the most; what none tells by then is left out. Of a
    /// node that was stopped it tells what it has counted. docs/OBSERVING.md lists them.
    pub async fn metrics(&self) -> String {
        metrics::of_node(self.shared()).await
    }

    /// How the node is: whether it syncs, how far it is behind, how its archive is, what waits. It
    /// waits as [`Node::metrics`] does; what is not told by then is 0, or `None`.
    pub async fn health(&self) -> Health {
        metrics::health(self.shared()).await
    }

    /// Ends all sessions and connections and waits for the tasks to end. Fine a second time. The
    /// archive stays open.
    pub async fn stop(&self) {
        self.shared().tasks.join().await;
        tracing::debug!(peer = %self.shared().peer_id, "the node has stopped");
    }
}

/// Gives a sync up when its caller does; where it has ended, nothing happens.
struct CancelSync<'a> {
    shared: &'a Shared,
    ticket: u64,
}

impl Drop for CancelSync<'_> {
    fn drop(&mut self) {
        let _ = self.shared.sync.send(Input::Cancel { ticket: self.ticket });
    }
}
