//! What the sync task is told, by handles, streams and the swarm.

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::oneshot;

use super::NodeSyncReport;
use super::facts::Facts;
use super::peers::StreamPermit;
use super::stream::Stream;
use super::sync_streams::ReadOn;
use super::traffic::Reading;
use crate::engine::{SessionId, SyncOptions, SyncProtocol};
use crate::error::{Error, Result};
use crate::types::TimeRange;

/// Where a sync's report goes, of one that broke down too.
pub(super) type Report = oneshot::Sender<Result<NodeSyncReport>>;

/// A sync on demand; `ticket` names it in [`Input::Cancel`].
pub(super) struct Demand {
    pub(super) peer: PeerId,
    pub(super) options: SyncOptions,
    pub(super) ticket: u64,
    pub(super) report: Report,
}

/// Unbounded as a queue, since all that send here are bounded: a reader has one frame, or 32 KiB of
/// them, under way and tells of its progress by the 64 KiB, and streams, peers and callers are limited where they
/// come from.
pub(super) enum Input {
    /// A peer's first connection stands. Between this and [`Input::Disconnected`], and then alone,
    /// what it does counts.
    Present {
        peer: PeerId,
    },
    /// It was taken in, and this is known of it; or more has become known since.
    Connected {
        peer: PeerId,
        facts: Facts,
    },
    Disconnected {
        peer: PeerId,
    },
    Sync(Demand),
    Cancel {
        ticket: u64,
    },
    /// Ends all syncs; tells when what they brought is stored. Until [`Input::Resume`] nothing is
    /// begun.
    Suspend {
        done: oneshot::Sender<()>,
    },
    /// Cuts short all syncs with a peer, with everything stored that was read; tells when they have
    /// ended.
    WindDown {
        peer: PeerId,
        done: oneshot::Sender<()>,
    },
    /// Which spans are yet to be compared.
    Due {
        told: oneshot::Sender<Vec<TimeRange>>,
    },
    /// All may go on.
    Resume,
    /// Gives up a session by its number.
    CancelSession {
        session: SessionId,
    },
    /// A peer opened a reconciliation stream.
    Reconcile {
        peer: PeerId,
        protocol: SyncProtocol,
        stream: Stream,
        permit: StreamPermit,
    },
    OpenFailed {
        session: SessionId,
        error: Error,
    },
    ReconciliationFrame {
        session: SessionId,
        frame: Bytes,
        go_on: ReadOn,
    },
    /// So much of the next frame has come.
    ReconciliationProgress {
        session: SessionId,
        bytes: usize,
    },
    ReconciliationClosed {
        session: SessionId,
        error: Option<Error>,
    },
    /// Frames that came together, at least one.
    TransferFrames {
        peer: PeerId,
        frames: Vec<Bytes>,
        reading: Reading,
        go_on: ReadOn,
    },
    TransferClosed {
        peer: PeerId,
    },
    TransferSent {
        session: SessionId,
        frames: usize,
    },
    TransferFailed {
        session: SessionId,
        error: Error,
    },
    /// A frame that cannot even be read.
    BadFrame {
        peer: PeerId,
    },
}

impl Input {
    pub(super) fn begins_a_sync(&self) -> bool {
        matches!(self, Input::Sync(_) | Input::Reconcile { .. })
    }
}
