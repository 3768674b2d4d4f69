//! What an engine, and one sync, can be told.

use std::time::Duration;

use super::SyncProtocol;
use crate::sync::reconcile::Tuning;
use crate::types::{ContentTopic, TimeRange};
pub use crate::wire::reconciliation::Dialect;
use crate::wire::reconciliation::Scope;

/// How an engine runs.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// What this node compares; empty lists mean all that it holds.
    pub scope: Scope,
    /// How far back a sync goes, by default. The network's default is one hour.
    pub window: Duration,
    /// How long before now a window ends: messages younger than this may still be on their way.
    pub margin: Duration,
    /// How far back the index reaches, at least; a sync of an older span loads that span.
    pub horizon: Duration,
    /// The time between two syncs with a peer chosen at random, jittered by a tenth; `None` for
    /// syncs on demand alone.
    pub heartbeat: Option<Duration>,
    /// How the ranges are split.
    pub tuning: Tuning,
    /// Sessions at once, in all; inbound ones take at most three quarters of them (but always one
    /// may), so that peers cannot keep this node from syncing. With one peer at most one runs that
    /// we began and one that it began: both may begin at once, and both then come to their end.
    pub max_sessions: usize,
    /// The longest that a session may wait for the peer.
    pub idle_timeout: Duration,
    /// The longest that a session may take, from first to last.
    pub max_duration: Duration,
    /// The most reconciliation frames that a peer may send in one session. Deployed nodes need
    /// about four; where an answer would grow beyond [`Tuning::max_answer`] there are more.
    pub max_rounds: u32,
    /// The largest reconciliation frame that is taken, in bytes without its length prefix. The
    /// host bounds its reads by it. Deployed nodes list up to a hundred ids for each difference,
    /// so a window of a million messages that differs widely makes frames of some 20 MiB.
    pub max_frame: usize,
    /// The most ids that the index holds, some 60 bytes of memory each. Beyond it the oldest go,
    /// and a sync that reaches below what is left loads its span.
    pub max_index: usize,
    /// The most ids that sessions hold, all together, which load a span for themselves (older than
    /// the horizon, or by content topics).
    pub max_loaded: usize,
    /// How long after the end of reconciliation an announced message may still come, counted from
    /// the last one that came.
    pub grace: Duration,
    /// The most messages that one session may bring.
    pub max_messages: usize,
    /// The most bytes that one session may bring.
    pub max_bytes: usize,
    /// How much may wait between the archive and a peer's socket, each way, in bytes.
    pub max_in_flight: usize,
    /// How many peers each heartbeat syncs with.
    pub heartbeat_peers: usize,
    /// Whether a sync is begun by itself with the first peers that come at start, and with a peer
    /// that comes again after it was gone.
    pub sync_on_connect: bool,
    /// The least time between two syncs that one peer's coming begins.
    pub sync_again: Duration,
    /// Whether the gap since the node was last online is filled at start.
    pub resume: bool,
    /// The longest gap that is filled at start; what is older is left to syncs on demand.
    pub resume_limit: Duration,
    /// Whether wakustore's own protocol is spoken with peers that have it, rather than 1.0.0.
    pub strong: bool,
    /// Which form of the 1.0.0 header is written and read.
    pub dialect: Dialect,
    /// The cluster that is told in the shards dialect, unless the scope names shards and none of
    /// this cluster; then it is theirs. A node sets it to its own.
    pub cluster_id: u32,
    /// Content topics of which the ids of the horizon are always held apart, so that a sync scoped
    /// by them compares at once. Of others that is done when a peer or an app first asks for them.
    pub content_trees: Vec<ContentTopic>,
    /// The most content topics that are held apart beside those; the least recently used go first,
    /// and what was not used for two heartbeats.
    pub max_content_trees: usize,
    /// The most ids of them, some 60 bytes of memory each, beside those of the index.
    pub max_content_ids: usize,
    /// Ids that the archive or the host's validator refused, which are not asked for again; of
    /// more the oldest are forgotten.
    pub max_refused: usize,
    /// What sessions that have ended may still bring is remembered for a grace period; so many ids
    /// of it, over all peers. Of more the oldest session's go.
    pub max_ended: usize,
    /// How many ids a minute are loaded because one peer compares what the index does not cover
    /// (an older window, content topics). Beyond it no such load is begun until enough time has
    /// passed.
    pub peer_loads: usize,
    /// The same, for all peers together.
    pub all_loads: usize,
}

/// Which way messages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum SyncDirection {
    /// Both ways.
    #[default]
    Both,
    /// Only to us.
    Pull,
    /// Only to the peer.
    Push,
}

/// One sync on demand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncOptions {
    /// The span to compare; by default the last window, ending the margin before now.
    pub window: Option<TimeRange>,
    /// Which way messages go.
    pub direction: SyncDirection,
    /// Only compare: no message travels, and the report names the ids that differ. (Over Store what
    /// we lack is fetched, as hashes tell no time, and let go; what the peer lacks is not told.)
    pub dry_run: bool,
    /// How to compare; by default the best that the peer speaks.
    pub protocol: Option<SyncProtocol>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            scope: Scope::default(),
            window: Duration::from_secs(3600),
            margin: Duration::from_secs(20),
            horizon: Duration::from_secs(2 * 3600),
            heartbeat: Some(Duration::from_secs(300)),
            tuning: Tuning { fan_out: 32, max_item_set: 64, max_answer: 1024 * 1024 },
            max_sessions: 16,
            idle_timeout: Duration::from_secs(30),
            max_duration: Duration::from_secs(1800),
            max_rounds: 256,
            max_frame: 32 * 1024 * 1024,
            max_index: 4_000_000,
            max_loaded: 1_000_000,
            grace: Duration::from_secs(10),
            max_messages: 1_000_000,
            max_bytes: 4 * 1024 * 1024 * 1024,
            max_in_flight: 4 * 1024 * 1024,
            heartbeat_peers: 1,
            sync_on_connect: true,
            sync_again: Duration::from_secs(60),
            resume: true,
            resume_limit: Duration::from_secs(6 * 3600),
            strong: true,
            dialect: Dialect::Topics,
            cluster_id: 0,
            content_trees: Vec::new(),
            max_content_trees: 256,
            max_content_ids: 1_000_000,
            max_refused: 65_536,
            max_ended: 262_144,
            peer_loads: 250_000,
            all_loads: 1_000_000,
        }
    }
}
