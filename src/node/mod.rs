//! A whole Waku node over libp2p: sockets, streams, peers and their limits. Drives the engine.
//!
//! Everything here runs on the tokio runtime that calls [`Node::start`]. Addresses are
//! multiaddresses as text; peers are named by a peer id (`12D3…`) that is connected or was dialled
//! before, or by an address that ends in `/p2p/{peer id}`.

mod config;
mod event;
mod history;

pub use config::{Identity, NodeConfig};
pub use event::{Events, NodeEvent};
pub use history::History;

use crate::archive::Archive;
use crate::engine::{SyncOptions, SyncReport};
use crate::error::Result;
use crate::types::{Page, Query};

/// A running node. Clones are handles to the same one.
#[derive(Clone)]
pub struct Node {}

/// A sync's report, with the peer as the node's users know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSyncReport {
    /// With whom.
    pub peer_id: String,
    /// What came of it.
    pub report: SyncReport,
}

impl Node {
    /// Starts a node over this archive and listens.
    ///
    /// # Errors
    /// [`crate::ErrorKind::KeyFile`], [`crate::ErrorKind::Address`], [`crate::ErrorKind::Listen`].
    pub async fn start(_config: NodeConfig, _archive: Archive) -> Result<Node> {
        todo!()
    }
    /// The peer id, `12D3…`.
    pub fn peer_id(&self) -> String {
        todo!()
    }
    /// The archive under it.
    pub fn archive(&self) -> &Archive {
        todo!()
    }
    /// Where it listens now, each address ending in `/p2p/{peer id}`.
    pub fn addresses(&self) -> Vec<String> {
        todo!()
    }
    /// Connects to an address that ends in `/p2p/{peer id}` (or, without it, to whoever answers)
    /// and gives the peer id. Fine where it is connected already.
    pub async fn dial(&self, _address: &str) -> Result<String> {
        todo!()
    }
    /// Ends all connections to a peer.
    pub async fn disconnect(&self, _peer: &str) -> Result<()> {
        todo!()
    }
    /// The peers that are connected now.
    pub fn peers(&self) -> Vec<String> {
        todo!()
    }
    /// One page from a store peer.
    pub async fn store_query(&self, _peer: &str, _query: Query) -> Result<Page> {
        todo!()
    }
    /// A walk through a store peer's history; nothing is asked until the first page is.
    pub fn history(&self, _peer: &str, _query: Query) -> Result<History> {
        todo!()
    }
    /// Syncs with a peer now and waits for the end. Dropping the future cancels the sync. A
    /// session that broke down is an error here; what it brought until then is stored.
    pub async fn sync(&self, _peer: &str, _options: SyncOptions) -> Result<NodeSyncReport> {
        todo!()
    }
    /// From now on, what happens. A bounded queue; a slow reader is told that it lagged.
    pub fn events(&self) -> Events {
        todo!()
    }
    /// Ends all sessions and connections and waits for the tasks to end. Fine a second time. The
    /// archive stays open.
    pub async fn stop(&self) {
        todo!()
    }
}
