//! What a phone asks of a node: a sync within its means, and to let go of everything for a while.

use std::time::Duration;

use super::call::{call, guarded};
use super::error::{Failure, Result};
use super::node::Node;
use super::options::SyncDirection;
use super::query::time_range;
use crate::engine;
use crate::node;

/// What one sync within a time and a number of bytes may take. What is absent is as the library has
/// it.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct SyncOnceOptions {
    /// With whom, each by its peer id or an address: the first that can be reached, and another
    /// where it fails. With none named: a peer that is connected, or else one that was dialled
    /// before.
    #[uniffi(default = [])]
    pub peers: Vec<String>,
    /// Where the span to sync starts, in Unix nanoseconds. Without one it is what is due: the window
    /// of a sync before now, and what was missed before that.
    #[uniffi(default = None)]
    pub window_start: Option<i64>,
    /// Where the span ends.
    #[uniffi(default = None)]
    pub window_end: Option<i64>,
    /// Which way messages go; both where absent.
    #[uniffi(default = None)]
    pub direction: Option<SyncDirection>,
    /// When it is over, at the latest; after 25 seconds where absent.
    #[uniffi(default = None)]
    pub deadline: Option<Duration>,
    /// The most bytes, both ways, of Sync and Store. What was asked of a Store peer before is still
    /// read: up to two hundred messages.
    #[uniffi(default = None)]
    pub byte_budget: Option<u64>,
}

/// Why a sync within a time and a number of bytes has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum SyncOnceEnd {
    /// Nothing is lacking.
    Complete = 0,
    /// The time was over.
    Deadline = 1,
    /// The bytes were used up.
    Budget = 2,
    /// No peer was left that had not failed.
    Peers = 3,
}

/// A span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Record)]
pub struct TimeSpan {
    /// Where it starts, in Unix nanoseconds.
    pub start: i64,
    /// Where it ends; this moment is not in it.
    pub end: i64,
}

/// What came of a sync within a time and a number of bytes.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct SyncOnceReport {
    /// Why it ended.
    pub end: SyncOnceEnd,
    /// What was to be synced, from the first moment to the last.
    pub window: TimeSpan,
    /// What is left of it, ascending: the next call goes on there.
    pub lacking: Vec<TimeSpan>,
    /// Messages that a peer is known to have, and that are not here.
    pub outstanding: u64,
    /// Messages that came and were stored (new ones only).
    pub received: u64,
    /// Messages that were sent.
    pub sent: u64,
    /// Bytes of Sync and Store that came, whoever they were for.
    pub bytes_in: u64,
    /// Bytes of Sync and Store that went.
    pub bytes_out: u64,
    /// How long it took.
    pub duration: Duration,
    /// Why the last peer that failed did.
    pub failure: Option<Failure>,
}

impl SyncOnceOptions {
    fn checked(self) -> crate::Result<node::SyncOnceOptions> {
        let usual = node::SyncOnceOptions::default();
        let window = match (self.window_start, self.window_end) {
            (None, None) => None,
            (start, end) => Some(time_range(start, end)?),
        };
        Ok(node::SyncOnceOptions {
            peers: self.peers,
            window,
            direction: match self.direction {
                None | Some(SyncDirection::Both) => engine::SyncDirection::Both,
                Some(SyncDirection::Pull) => engine::SyncDirection::Pull,
                Some(SyncDirection::Push) => engine::SyncDirection::Push,
            },
            deadline: self.deadline.unwrap_or(usual.deadline),
            byte_budget: self.byte_budget,
        })
    }
}

impl From<crate::types::TimeRange> for TimeSpan {
    fn from(span: crate::types::TimeRange) -> Self {
        TimeSpan { start: span.start().nanos(), end: span.end().nanos() }
    }
}

impl From<node::SyncOnceReport> for SyncOnceReport {
    fn from(report: node::SyncOnceReport) -> Self {
        SyncOnceReport {
            end: match report.end {
                node::SyncOnceEnd::Complete => SyncOnceEnd::Complete,
                node::SyncOnceEnd::Deadline => SyncOnceEnd::Deadline,
                node::SyncOnceEnd::Budget => SyncOnceEnd::Budget,
                node::SyncOnceEnd::Peers => SyncOnceEnd::Peers,
            },
            window: report.window.into(),
            lacking: report.lacking.into_iter().map(TimeSpan::from).collect(),
            outstanding: report.outstanding,
            received: report.received,
            sent: report.sent,
            bytes_in: report.bytes_in,
            bytes_out: report.bytes_out,
            duration: report.duration,
            failure: report.error.map(Failure::from),
        }
    }
}

#[uniffi::export]
impl Node {
    /// Syncs what is due, within a time and a number of bytes, and returns when the time is over at
    /// the latest: for the seconds that a phone gives its apps in the background. Wherever it stops,
    /// all that came is stored, and the next call goes on from there. Giving up on the call ends it.
    ///
    /// Fails with `SyncBusy` while another of these runs, `PeerUnknown`, `Suspended`,
    /// `InvalidArgument`, `Unsupported`, and, where no peer could be synced with at all, as `sync`.
    #[uniffi::method(default(options = None))]
    pub async fn sync_once(&self, options: Option<SyncOnceOptions>) -> Result<SyncOnceReport> {
        guarded(async move {
            let node = self.node()?;
            let options = options.map(SyncOnceOptions::checked).transpose()?.unwrap_or_default();
            call(async move { node.sync_once(options).await.map(SyncOnceReport::from) }).await
        })
        .await
    }

    /// Lets go of what a system takes badly in an app that it freezes: ends syncs (what came is
    /// stored), closes all connections and sockets, keeps the node's state, and suspends its
    /// archive. What is under way ends with `Suspended`, and so does whatever is asked before
    /// `resume`. No timer runs meanwhile. A second time is fine.
    pub async fn suspend(&self) -> Result<()> {
        guarded(async move {
            let node = self.node()?;
            call(async move { node.suspend().await }).await
        })
        .await
    }

    /// Comes back: opens the archive, listens at the same addresses where they are free, and dials
    /// again the peers that it had dialled. A heartbeat that was missed, or many, come as one. Where
    /// it fails the node stays suspended.
    ///
    /// Fails with `Listen`, and as the archive's opening.
    pub async fn resume(&self) -> Result<()> {
        guarded(async move {
            let node = self.node()?;
            call(async move { node.resume().await }).await
        })
        .await
    }
}
