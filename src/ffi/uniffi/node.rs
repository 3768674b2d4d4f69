//! A whole node: the archive on the network.

use std::sync::Arc;
use std::time::Duration;

use super::archive::{Archive, Open};
use super::call::{Guarded, call, enter, guard, guarded};
use super::error::{Failure, Result};
use super::message::Origin;
use super::options::{NodeOptions, SyncOptions};
use super::query::{Page, Query};
use super::stream::{History, NodeEvents};
use super::sync::{Agreement, Coverage, Progress, SyncDifference, SyncProtocol, SyncReason};
use crate::node;
use crate::runtime::{Registration, Stage};

/// What came of a sync.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct SyncReport {
    /// With whom.
    pub peer_id: String,
    /// Whether we began it.
    pub initiator: bool,
    /// Where the span that was compared starts, in Unix nanoseconds.
    pub window_start: i64,
    /// Where it ends; this moment is not in it.
    pub window_end: i64,
    /// From first to last.
    pub duration: Duration,
    /// Messages that the peer has and we lacked.
    pub missing: u64,
    /// Messages that we have and the peer lacked.
    pub surplus: u64,
    /// Messages that came and were stored (new ones only).
    pub received: u64,
    /// Messages that were written to the peer's socket.
    pub sent: u64,
    /// Messages that came and were not stored: not asked for, refused, or duplicates.
    pub dropped: u64,
    /// Messages that were gone when they were to be sent, or that are too large for the deployed
    /// transfer frame.
    pub unsendable: u64,
    /// Announced by the peer and not here at the end.
    pub outstanding: u64,
    /// Frames of reconciliation, both ways; two make a round trip.
    pub frames: u64,
    /// Bytes of reconciliation frames that we sent.
    pub reconciliation_bytes_out: u64,
    /// Bytes of reconciliation frames that came.
    pub reconciliation_bytes_in: u64,
    /// Bytes of transfer frames that we sent.
    pub transfer_bytes_out: u64,
    /// Bytes of transfer frames that came.
    pub transfer_bytes_in: u64,
    /// Why it did not come to its end, where it did not. What was received by then is stored.
    pub failure: Option<Failure>,
    /// The sync's number, as events tell it.
    pub session: u64,
    /// How it compared.
    pub protocol: SyncProtocol,
    /// Why it was begun.
    pub reason: SyncReason,
    /// Whether both sides hold the same now.
    pub agreement: Agreement,
    /// Ranges that were found equal or were compared id by id. (Over Store: slices of time that
    /// were listed to their end.)
    pub ranges_settled: u64,
    /// Our ids in those ranges. (Over Store: the ids that the peer listed.)
    pub ids_compared: u64,
    /// Messages of the peer's that our archive, or the host's validator, refused for good, now or
    /// earlier.
    pub refused: u64,
    /// Of a dry run, what differs.
    pub difference: Option<SyncDifference>,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Enum)]
pub enum NodeEvent {
    /// A peer's first connection stands.
    PeerConnected {
        /// Who.
        peer_id: String,
    },
    /// Its last connection is gone.
    PeerDisconnected {
        /// Who.
        peer_id: String,
    },
    /// A message was stored by the archive, whoever put it there.
    MessageStored {
        /// The message hash, 32 bytes.
        hash: Vec<u8>,
        /// Its timestamp, in Unix nanoseconds.
        timestamp: i64,
        /// Where it was published.
        pubsub_topic: String,
        /// What it is filed under.
        content_topic: String,
        /// Where it came from.
        origin: Origin,
    },
    /// A sync has begun, by either side, and what it compares is known.
    SyncStarted {
        /// Its number, which no other sync of this node has while it runs: for `cancel_sync`.
        session: u64,
        /// With whom.
        peer_id: String,
        /// Whether we began it.
        initiator: bool,
        /// Why.
        reason: SyncReason,
        /// Where the span that is compared starts, in Unix nanoseconds.
        window_start: i64,
        /// Where it ends; this moment is not in it.
        window_end: i64,
        /// How it begins to compare; its report tells how it did in the end.
        protocol: SyncProtocol,
    },
    /// A sync goes on; at most a few times a second for each.
    SyncProgress {
        /// Which one.
        session: u64,
        /// With whom.
        peer_id: String,
        /// How far it is.
        progress: Progress,
    },
    /// A sync has ended, begun by either side.
    SyncFinished {
        /// What came of it.
        report: SyncReport,
    },
    /// The reader was too slow.
    Lagged {
        /// So many events were left out here.
        missed: u64,
    },
}

/// A running node: it serves the archive's history, fetches that of others, and syncs. Addresses
/// are multiaddresses; a peer is named by its peer id (`12D3…`) where it is connected or was
/// dialled before, or by an address that ends in `/p2p/{peer id}`. May be used from any thread.
#[derive(uniffi::Object)]
pub struct Node(Guarded<Running>);

struct Running {
    node: node::Node,
    /// Kept open, and closed by a shutdown, for as long as the node is there.
    archive: Arc<Open>,
    _closer: Registration,
}

impl Node {
    /// Another handle to the node under it.
    pub(super) fn node(&self) -> Result<node::Node> {
        Ok(self.0.get()?.node.clone())
    }

    /// What its calls run on.
    pub(super) fn runtime(&self) -> Arc<crate::runtime::Runtime> {
        self.0.runtime()
    }
}

#[uniffi::export]
impl Node {
    /// Starts a node over this archive and listens.
    ///
    /// Fails with `InvalidArgument`, `InvalidTopic`, `KeyFile`, `Address`, `Listen`.
    #[uniffi::constructor(default(options = None))]
    pub async fn start(archive: Arc<Archive>, options: Option<NodeOptions>) -> Result<Arc<Self>> {
        guarded(async move {
            let config = options.map(NodeOptions::checked).transpose()?.unwrap_or_default();
            let archive = archive.open_archive()?;
            let runtime = enter()?;
            let running = Arc::clone(&runtime);
            call(async move {
                let node = node::Node::start(config, archive.archive().clone()).await?;
                let stopping = node.clone();
                let closer =
                    running.on_shutdown(Stage::Network, || async move { stopping.stop().await });
                match closer {
                    Ok(_closer) => Ok(Running { node, archive, _closer }),
                    Err(e) => {
                        node.stop().await;
                        Err(e)
                    }
                }
            })
            .await
            .map(|running| Arc::new(Node(Guarded::new(runtime, running))))
        })
        .await
    }

    /// The peer id, `12D3…`.
    pub fn peer_id(&self) -> Result<String> {
        guard(|| Ok(self.0.get()?.node.peer_id()))
    }

    /// The archive under it.
    pub fn archive(&self) -> Result<Arc<Archive>> {
        guard(|| {
            let open = Arc::clone(&self.0.get()?.archive);
            Ok(Arc::new(Archive::of(self.0.runtime(), open)))
        })
    }

    /// Where it listens now, each address ending in `/p2p/{peer id}`.
    pub fn addresses(&self) -> Result<Vec<String>> {
        guard(|| Ok(self.0.get()?.node.addresses()))
    }

    /// The peers that are connected now.
    pub fn peers(&self) -> Result<Vec<String>> {
        guard(|| Ok(self.0.get()?.node.peers()))
    }

    /// Connects to an address and gives the peer id. Fine where it is connected already.
    ///
    /// Fails with `Address`, `Dial`, `OtherCluster`, `TimedOut`.
    pub async fn dial(&self, address: String) -> Result<String> {
        guarded(async move {
            let node = self.node()?;
            call(async move { node.dial(&address).await }).await
        })
        .await
    }

    /// Ends all connections to a peer.
    ///
    /// Fails with `Address`, `PeerUnknown`.
    pub async fn disconnect(&self, peer: String) -> Result<()> {
        guarded(async move {
            let node = self.node()?;
            call(async move { node.disconnect(&peer).await }).await
        })
        .await
    }

    /// One page from a store peer.
    ///
    /// Fails as the archive's `query`, and with `PeerUnknown`, `Dial`, `ProtocolUnsupported`,
    /// `StreamClosed`, `TimedOut`, and the kinds from `StoreBadRequest` to `StoreUnavailable`.
    pub async fn store_query(&self, peer: String, query: Query) -> Result<Page> {
        guarded(async move {
            let node = self.node()?;
            let query = query.checked()?;
            call(async move { node.store_query(&peer, query).await.map(Page::from) }).await
        })
        .await
    }

    /// A walk through a store peer's history, page by page; nothing is asked until the first page
    /// is.
    ///
    /// Fails as the query is wrong, or with `Address`.
    pub fn history(&self, peer: String, query: Query) -> Result<Arc<History>> {
        guard(|| {
            let history = self.0.get()?.node.history(&peer, query.checked()?)?;
            Ok(Arc::new(History::of_peer(self.0.runtime(), history)))
        })
    }

    /// Syncs with a peer now and waits for the end. A session that broke down is an error; what
    /// it brought until then is stored. Giving up on the call cancels the session.
    ///
    /// Fails with `InvalidArgument`, `PeerUnknown`, `Dial`, `ProtocolUnsupported`,
    /// `SyncProtocol`, `SyncScope`, `SyncBusy`, `StreamClosed`, `TimedOut`.
    #[uniffi::method(default(options = None))]
    pub async fn sync(&self, peer: String, options: Option<SyncOptions>) -> Result<SyncReport> {
        guarded(async move {
            let node = self.node()?;
            let options = options.map(SyncOptions::checked).transpose()?.unwrap_or_default();
            call(async move { node.sync(&peer, options).await.map(SyncReport::from) }).await
        })
        .await
    }

    /// Gives a sync up, whoever began it, by its number; its end, `Cancelled`, is told as an event.
    /// Nothing happens where it has ended, or never was.
    pub fn cancel_sync(&self, session: u64) -> Result<()> {
        guard(|| {
            self.0.get()?.node.cancel_sync(session);
            Ok(())
        })
    }

    /// With how many peers this node agrees over which spans of time: spans that do not overlap, in
    /// ascending order. Those of the last run too, where the node keeps its state in a file.
    pub fn coverage(&self) -> Result<Vec<Coverage>> {
        guard(|| Ok(self.0.get()?.node.coverage().into_iter().map(Coverage::from).collect()))
    }

    /// From now on, what happens. A bounded queue; a slow reader is told that it lagged.
    pub fn events(&self) -> Result<Arc<NodeEvents>> {
        guard(|| Ok(Arc::new(NodeEvents::of(self.0.runtime(), self.0.get()?.node.events()))))
    }

    /// Ends all sessions and connections. Fine a second time. The archive stays open. (Letting go
    /// of the object stops the node too, without waiting.)
    pub async fn stop(&self) -> Result<()> {
        guarded(async move {
            let node = self.node()?;
            call(async move {
                node.stop().await;
                Ok(())
            })
            .await
        })
        .await
    }
}

impl From<node::NodeSyncReport> for SyncReport {
    fn from(r: node::NodeSyncReport) -> Self {
        let figures = r.report.figures;
        SyncReport {
            peer_id: r.peer_id,
            initiator: r.report.initiator,
            window_start: r.report.window.start().nanos(),
            window_end: r.report.window.end().nanos(),
            duration: r.report.duration,
            missing: figures.missing,
            surplus: figures.surplus,
            received: figures.received,
            sent: figures.sent,
            dropped: figures.dropped,
            unsendable: figures.unsendable,
            outstanding: r.report.outstanding,
            frames: figures.frames,
            reconciliation_bytes_out: figures.reconciliation_bytes_out,
            reconciliation_bytes_in: figures.reconciliation_bytes_in,
            transfer_bytes_out: figures.transfer_bytes_out,
            transfer_bytes_in: figures.transfer_bytes_in,
            failure: r.report.error.map(Failure::from),
            session: r.session,
            protocol: r.report.protocol.into(),
            reason: r.report.reason.into(),
            agreement: r.report.agreement.into(),
            ranges_settled: figures.ranges_settled,
            ids_compared: figures.ids_compared,
            refused: figures.refused,
            difference: r.report.difference.map(SyncDifference::from),
        }
    }
}

impl From<node::NodeEvent> for NodeEvent {
    fn from(event: node::NodeEvent) -> Self {
        match event {
            node::NodeEvent::PeerConnected { peer_id } => NodeEvent::PeerConnected { peer_id },
            node::NodeEvent::PeerDisconnected { peer_id } => {
                NodeEvent::PeerDisconnected { peer_id }
            }
            node::NodeEvent::MessageStored(item) => NodeEvent::MessageStored {
                hash: item.id.hash.0.to_vec(),
                timestamp: item.id.timestamp.nanos(),
                pubsub_topic: item.pubsub_topic.as_str().to_owned(),
                content_topic: item.content_topic.as_str().to_owned(),
                origin: item.origin.into(),
            },
            node::NodeEvent::SyncStarted(started) => NodeEvent::SyncStarted {
                session: started.session,
                peer_id: started.peer_id,
                initiator: started.initiator,
                reason: started.reason.into(),
                window_start: started.window.start().nanos(),
                window_end: started.window.end().nanos(),
                protocol: started.protocol.into(),
            },
            node::NodeEvent::SyncProgress { session, peer_id, progress } => {
                NodeEvent::SyncProgress { session, peer_id, progress: progress.into() }
            }
            node::NodeEvent::SyncFinished(report) => {
                NodeEvent::SyncFinished { report: report.into() }
            }
            node::NodeEvent::Lagged(missed) => NodeEvent::Lagged { missed },
        }
    }
}
