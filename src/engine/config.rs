//! What an engine, and one sync, can be told.

use std::time::Duration;

use crate::sync::reconcile::Tuning;
use crate::types::TimeRange;
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
    /// Sessions at once, in all. One a peer at the most, by either side.
    pub max_sessions: usize,
    /// The longest that a session may wait for the peer.
    pub idle_timeout: Duration,
    /// How long after the end of reconciliation an announced message may still come, counted from
    /// the last one that came.
    pub grace: Duration,
    /// The most messages that one session may bring.
    pub max_messages: usize,
    /// The most bytes that one session may bring.
    pub max_bytes: usize,
    /// How much may wait between the archive and a peer's socket, each way, in bytes.
    pub max_in_flight: usize,
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
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            scope: Scope::default(),
            window: Duration::from_secs(3600),
            margin: Duration::from_secs(20),
            horizon: Duration::from_secs(2 * 3600),
            heartbeat: Some(Duration::from_secs(300)),
            tuning: Tuning { fan_out: 16, max_item_set: 64, max_answer: 1024 * 1024 },
            max_sessions: 16,
            idle_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(10),
            max_messages: 1_000_000,
            max_bytes: 4 * 1024 * 1024 * 1024,
            max_in_flight: 4 * 1024 * 1024,
        }
    }
}
