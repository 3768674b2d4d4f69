//! What a node can be told.

use std::path::PathBuf;
use std::time::Duration;

use super::{PeerConfig, RateLimit};
use crate::engine::EngineConfig;

/// The node's identity key: ed25519, or in a file also secp256k1 (as deployed nodes have).
#[derive(Clone, Default)]
pub enum Identity {
    /// A new one for this run.
    #[default]
    Ephemeral,
    /// Kept in this file, in libp2p's protobuf encoding: created whole and with mode 0600 where
    /// there is none. A file that others than its owner may read or write, or that holds no key,
    /// is refused ([`crate::ErrorKind::KeyFile`]).
    File(PathBuf),
    /// The 32 secret bytes.
    Secret([u8; 32]),
}

/// How a node runs.
///
/// Beside what is set here: a peer may have 64 streams open to the node (all of them together 1024);
/// a connection that a peer opened is closed after half an hour without a stream, one that the node
/// dialled is kept while the peer answers pings; and a peer that ten times did what honest peers do
/// not is disconnected, and may not come back for five minutes (one such fault is forgotten every
/// three minutes).
#[derive(Clone)]
pub struct NodeConfig {
    /// Who it is.
    pub identity: Identity,
    /// Where it listens: `/ip4/…/tcp/…`, or `/ip4/…/tcp/…/ws`; port 0 takes a free one. May be empty.
    pub listen: Vec<String>,
    /// The cluster; peers of another are dropped.
    pub cluster_id: u32,
    /// The shards it tells in metadata. Its sync scope is in `engine`.
    pub shards: Vec<u32>,
    /// Whether it takes part in relay (gossipsub): then it is subscribed to the topics of `shards`
    /// from the start, stores what comes and passes it on.
    pub relay: bool,
    /// Whether it answers Store requests.
    pub serve_store: bool,
    /// Whether it answers and begins syncs.
    pub sync: bool,
    /// Sync.
    pub engine: EngineConfig,
    /// Where the node keeps its own state (when it was last online, with whom it agrees over what):
    /// a file of mode 0600, always written whole, a few hundred KiB at most. Without it the state
    /// is forgotten at the end, and a restart fills no gap. A file that cannot be read or holds
    /// something else is moved aside (`.bad` is put behind its name) and the node starts without.
    pub state: Option<PathBuf>,
    /// How long a dial, or a store request with the dial before it, may take.
    pub request_timeout: Duration,
    /// Connections at once, in all. Who gets them is in `peers`.
    pub max_connections: u32,
    /// Connections at once, of one peer.
    pub max_connections_per_peer: u32,
    /// Which peers it keeps connected by itself, and the room for others.
    pub peers: PeerConfig,
    /// Store requests being answered at once, in all, of which one peer may have a quarter; beyond
    /// it the answer is 429. A peer without another request under way is always answered, beyond it
    /// with pages of 256 KiB.
    pub max_store_requests: usize,
    /// Store requests that are answered in a given time, in all; beyond it the answer is 429. By
    /// default there is no such limit.
    pub store_rate: Option<RateLimit>,
    /// The same of one peer. A walk through a long history asks some hundred times a second where
    /// it may; a client that is told 429 should wait.
    pub store_rate_of_peer: Option<RateLimit>,
    /// What one page may take, in bytes, at least 256 KiB: one message of the largest size, and what
    /// is around it. What does not fit comes with the next page.
    pub max_page_bytes: usize,
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig {
            identity: Identity::Ephemeral,
            listen: Vec::new(),
            cluster_id: 0,
            shards: Vec::new(),
            relay: false,
            serve_store: true,
            sync: true,
            engine: EngineConfig::default(),
            state: None,
            request_timeout: Duration::from_secs(30),
            max_connections: 200,
            max_connections_per_peer: 4,
            peers: PeerConfig::default(),
            max_store_requests: 64,
            store_rate: None,
            store_rate_of_peer: None,
            max_page_bytes: 4 * 1024 * 1024,
        }
    }
}
