//! What a node, and one sync, can be told: records in which what is absent is as the library has
//! it.

use std::path::PathBuf;
use std::time::Duration;

use super::error::Result;
use super::message;
use super::query::time_range;
use super::sync::{SyncDialect, SyncProtocol};
use super::walk::RateLimit;
use crate::engine::{self, EngineConfig};
use crate::error::bail;
use crate::node::{Identity, NodeConfig};
use crate::wire::reconciliation::Scope;

/// How a node runs.
#[derive(Clone, uniffi::Record)]
pub struct NodeOptions {
    /// Where it listens: `/ip4/…/tcp/…`, or `/ip4/…/tcp/…/ws`; port 0 takes a free one.
    #[uniffi(default = [])]
    pub listen: Vec<String>,
    /// The cluster; peers of another are dropped.
    #[uniffi(default = 0)]
    pub cluster_id: u32,
    /// The shards it tells its peers of.
    #[uniffi(default = [])]
    pub shards: Vec<u32>,
    /// The file of its identity key, created (mode 0600) where there is none. Without a file or a
    /// secret it is someone else at every start.
    #[uniffi(default = None)]
    pub identity_file: Option<String>,
    /// The 32 secret bytes of its identity key, instead of a file.
    #[uniffi(default = None)]
    pub identity_secret: Option<Vec<u8>>,
    /// Whether it answers Store requests.
    #[uniffi(default = true)]
    pub serve_store: bool,
    /// Whether it answers and begins syncs.
    #[uniffi(default = true)]
    pub sync: bool,
    /// The pubsub topics that it syncs; all where empty.
    #[uniffi(default = [])]
    pub sync_pubsub_topics: Vec<String>,
    /// The content topics that it syncs; all where empty.
    #[uniffi(default = [])]
    pub sync_content_topics: Vec<String>,
    /// How far back a sync goes; one hour where absent.
    #[uniffi(default = None)]
    pub sync_window: Option<Duration>,
    /// How long before now a sync's window ends; 20 seconds where absent.
    #[uniffi(default = None)]
    pub sync_margin: Option<Duration>,
    /// The time between two syncs with a peer chosen at random; 5 minutes where absent, and zero
    /// for syncs on demand alone.
    #[uniffi(default = None)]
    pub sync_interval: Option<Duration>,
    /// Syncs at once, in all.
    #[uniffi(default = None)]
    pub sync_max_sessions: Option<u32>,
    /// The most messages that one sync may bring.
    #[uniffi(default = None)]
    pub sync_max_messages: Option<u64>,
    /// The most bytes that one sync may bring.
    #[uniffi(default = None)]
    pub sync_max_bytes: Option<u64>,
    /// The longest that a sync may wait for the peer; 30 seconds where absent.
    #[uniffi(default = None)]
    pub sync_idle_timeout: Option<Duration>,
    /// How long after a sync's reconciliation an announced message may still come; 10 seconds
    /// where absent.
    #[uniffi(default = None)]
    pub sync_grace: Option<Duration>,
    /// How far back the index reaches, at least; a sync of an older span loads that span. 2 hours
    /// where absent.
    #[uniffi(default = None)]
    pub sync_horizon: Option<Duration>,
    /// How long a dial, or a store request, may take; 30 seconds where absent.
    #[uniffi(default = None)]
    pub request_timeout: Option<Duration>,
    /// Connections at once, in all.
    #[uniffi(default = None)]
    pub max_connections: Option<u32>,
    /// Connections at once, of one peer.
    #[uniffi(default = None)]
    pub max_connections_per_peer: Option<u32>,
    /// Store requests being answered at once, in all; beyond it the answer is 429.
    #[uniffi(default = None)]
    pub max_store_requests: Option<u32>,
    /// The file in which it keeps its own state (when it was last online, with whom it agrees over
    /// what), of mode 0600. Without it that is forgotten at the end, and a restart fills no gap.
    #[uniffi(default = None)]
    pub state_file: Option<String>,
    /// With how many peers it syncs each time that the interval is over; 1 where absent.
    #[uniffi(default = None)]
    pub sync_heartbeat_peers: Option<u32>,
    /// Whether it begins a sync with the first peers that come at start, and with one that comes
    /// again.
    #[uniffi(default = true)]
    pub sync_on_connect: bool,
    /// Whether the gap since it was last online is filled at start. Needs a state file.
    #[uniffi(default = true)]
    pub resume: bool,
    /// The longest gap that is filled at start; what is older is left to syncs on demand. 6 hours
    /// where absent.
    #[uniffi(default = None)]
    pub resume_limit: Option<Duration>,
    /// Whether wakustore's own sync protocol is spoken with peers that have it.
    #[uniffi(default = true)]
    pub sync_strong: bool,
    /// Which form of the header of reconciliation 1.0.0 is written and read; topics where absent.
    #[uniffi(default = None)]
    pub sync_dialect: Option<SyncDialect>,
    /// Whether it takes part in relay (gossipsub): then it is subscribed to the topics of its shards
    /// from the start, stores what comes and passes it on.
    #[uniffi(default = false)]
    pub relay: bool,
    /// What one page of an answer may take, in bytes, at least 256 KiB; 4 MiB where absent.
    #[uniffi(default = None)]
    pub max_page_bytes: Option<u64>,
    /// How many Store requests are answered in a time, in all; beyond it the answer is 429. No such
    /// limit where absent.
    #[uniffi(default = None)]
    pub store_rate: Option<RateLimit>,
    /// The same of one peer.
    #[uniffi(default = None)]
    pub store_rate_of_peer: Option<RateLimit>,
}

/// Which way messages go in a sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum SyncDirection {
    /// Both ways.
    Both = 0,
    /// Only to us.
    Pull = 1,
    /// Only to the peer.
    Push = 2,
}

/// One sync on demand.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct SyncOptions {
    /// Where the span to compare starts, in Unix nanoseconds. Without both bounds it is the last
    /// window, ending the margin before now.
    #[uniffi(default = None)]
    pub start: Option<i64>,
    /// Where it ends; this moment is not in it.
    #[uniffi(default = None)]
    pub end: Option<i64>,
    /// Which way messages go; both where absent.
    #[uniffi(default = None)]
    pub direction: Option<SyncDirection>,
    /// Only compare: no message travels, and the report names the ids that differ.
    #[uniffi(default = false)]
    pub dry_run: bool,
    /// How to compare; the best that the peer speaks where absent.
    #[uniffi(default = None)]
    pub protocol: Option<SyncProtocol>,
}

impl NodeOptions {
    /// The node's configuration.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`], [`crate::ErrorKind::InvalidTopic`].
    pub(super) fn checked(self) -> Result<NodeConfig> {
        let default = NodeConfig::default();
        let scope = Scope {
            pubsub_topics: message::pubsub_topics(&self.sync_pubsub_topics)?,
            content_topics: message::content_topics(&self.sync_content_topics)?,
        };
        let window = self.sync_window.unwrap_or(default.engine.window);
        let margin = self.sync_margin.unwrap_or(default.engine.margin);
        let horizon = self.sync_horizon.unwrap_or(default.engine.horizon);
        let engine = EngineConfig {
            scope,
            window,
            margin,
            // The index must reach back as far as a window does.
            horizon: horizon.max(window.saturating_add(margin)),
            heartbeat: match self.sync_interval {
                None => default.engine.heartbeat,
                Some(interval) if interval.is_zero() => None,
                Some(interval) => Some(interval),
            },
            max_sessions: size(self.sync_max_sessions, default.engine.max_sessions),
            max_messages: size(self.sync_max_messages, default.engine.max_messages),
            max_bytes: size(self.sync_max_bytes, default.engine.max_bytes),
            idle_timeout: self.sync_idle_timeout.unwrap_or(default.engine.idle_timeout),
            grace: self.sync_grace.unwrap_or(default.engine.grace),
            heartbeat_peers: size(self.sync_heartbeat_peers, default.engine.heartbeat_peers),
            sync_on_connect: self.sync_on_connect,
            resume: self.resume,
            resume_limit: self.resume_limit.unwrap_or(default.engine.resume_limit),
            strong: self.sync_strong,
            dialect: self.sync_dialect.map_or(default.engine.dialect, Into::into),
            ..default.engine
        };
        Ok(NodeConfig {
            identity: identity(self.identity_file, self.identity_secret)?,
            listen: self.listen,
            cluster_id: self.cluster_id,
            shards: self.shards,
            relay: self.relay,
            store_rate: self.store_rate.map(Into::into),
            store_rate_of_peer: self.store_rate_of_peer.map(Into::into),
            max_page_bytes: size(self.max_page_bytes, default.max_page_bytes),
            serve_store: self.serve_store,
            sync: self.sync,
            engine,
            state: self.state_file.map(PathBuf::from),
            request_timeout: self.request_timeout.unwrap_or(default.request_timeout),
            max_connections: self.max_connections.unwrap_or(default.max_connections),
            max_connections_per_peer: self
                .max_connections_per_peer
                .unwrap_or(default.max_connections_per_peer),
            max_store_requests: size(self.max_store_requests, default.max_store_requests),
        })
    }
}

fn identity(file: Option<String>, secret: Option<Vec<u8>>) -> crate::Result<Identity> {
    match (file, secret) {
        (None, None) => Ok(Identity::Ephemeral),
        (Some(file), None) => Ok(Identity::File(PathBuf::from(file))),
        (None, Some(secret)) => match <[u8; 32]>::try_from(secret.as_slice()) {
            Ok(secret) => Ok(Identity::Secret(secret)),
            Err(_) => {
                bail!(
                    InvalidArgument,
                    "identity_secret is 32 bytes long, this one is {}",
                    secret.len()
                )
            }
        },
        (Some(_), Some(_)) => {
            bail!(InvalidArgument, "identity_file and identity_secret exclude each other")
        }
    }
}

impl SyncOptions {
    /// The engine's options.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidTimeRange`], [`crate::ErrorKind::InvalidArgument`] where only
    /// one bound is set.
    pub(super) fn checked(self) -> Result<engine::SyncOptions> {
        let window = match (self.start, self.end) {
            (None, None) => None,
            (Some(_), Some(_)) => Some(time_range(self.start, self.end)?),
            (Some(_), None) => return Err(half_a_window("end")),
            (None, Some(_)) => return Err(half_a_window("start")),
        };
        let direction = match self.direction {
            None | Some(SyncDirection::Both) => engine::SyncDirection::Both,
            Some(SyncDirection::Pull) => engine::SyncDirection::Pull,
            Some(SyncDirection::Push) => engine::SyncDirection::Push,
        };
        let protocol = self.protocol.map(Into::into);
        Ok(engine::SyncOptions { window, direction, dry_run: self.dry_run, protocol })
    }
}

fn half_a_window(lacking: &str) -> super::error::WakuError {
    let reason = format!("a sync's window has a start and an end; {lacking} is not set");
    crate::Error::new(crate::ErrorKind::InvalidArgument, reason).into()
}

fn size<N>(told: Option<N>, default: usize) -> usize
where
    usize: TryFrom<N>,
{
    told.map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX))
}
