//! A node and an archive seen from outside: metrics and health.

use std::time::Duration;

use super::archive::Archive;
use super::call::{call, guarded};
use super::error::{Failure, Result};
use super::node::Node;
use super::sync::Agreement;
use crate::{archive, node};

/// Whether an archive can do its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum ArchiveState {
    /// It reads, and the last commit went well, or there was none yet.
    Writable = 0,
    /// It was opened read-only.
    ReadOnly = 1,
    /// The last commit found no space on the disk. Reads go on.
    DiskFull = 2,
    /// Its database cannot be reached; it is tried again by itself.
    Unavailable = 3,
    /// The last commit failed of something else.
    Failing = 4,
    /// It was closed.
    Closed = 5,
}

impl From<archive::ArchiveState> for ArchiveState {
    fn from(state: archive::ArchiveState) -> Self {
        match state {
            archive::ArchiveState::Writable => ArchiveState::Writable,
            archive::ArchiveState::ReadOnly => ArchiveState::ReadOnly,
            archive::ArchiveState::DiskFull => ArchiveState::DiskFull,
            archive::ArchiveState::Unavailable => ArchiveState::Unavailable,
            archive::ArchiveState::Failing => ArchiveState::Failing,
            archive::ArchiveState::Closed => ArchiveState::Closed,
        }
    }
}

/// A sync that ended well.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct LastSync {
    /// When it ended, in Unix nanoseconds.
    pub at: i64,
    /// With whom.
    pub peer_id: String,
    /// Whether both sides held the same then.
    pub agreement: Agreement,
    /// Messages that it brought.
    pub received: u64,
    /// Messages that it sent.
    pub sent: u64,
    /// Messages that the peer announced and that were not here at its end.
    pub outstanding: u64,
}

/// What waits, and for what. All are bounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Record)]
pub struct QueueDepths {
    /// Puts that wait for their commit.
    pub archive_puts: u64,
    /// What their messages count for, in bytes.
    pub archive_put_bytes: u64,
    /// Questions that wait for a reader of the archive.
    pub archive_reads: u64,
    /// Commands that wait for the task of the connections.
    pub commands: u64,
    /// Streams that peers have open to the node.
    pub streams: u64,
    /// Store requests of peers that are being answered.
    pub store_answering: u64,
    /// Store requests of the node's own on their way.
    pub store_asking: u64,
    /// Bytes of messages that came over relay and wait for the archive.
    pub relay_bytes: u64,
    /// Bytes of messages that came by syncs and wait for the archive.
    pub sync_bytes: u64,
}

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct Health {
    /// Whether the node runs; false once it was stopped.
    pub running: bool,
    /// Peers that are connected.
    pub peers: u64,
    /// Of them, those that speak Store.
    pub store_peers: u64,
    /// Of them, those that speak reconciliation 1.0.0.
    pub reconciliation_peers: u64,
    /// Of them, those that speak wakustore's own sync protocol.
    pub strong_peers: u64,
    /// Of them, those that take part in relay.
    pub relay_peers: u64,
    /// Syncs that run now.
    pub syncs: u64,
    /// Whether the sync index stands; until then syncs wait. False too for a node that does not
    /// sync.
    pub sync_ready: bool,
    /// The last sync that ended well, in this run.
    pub last_sync: Option<LastSync>,
    /// The timestamp of the newest message that is stored, in Unix nanoseconds.
    pub newest: Option<i64>,
    /// The timestamp of the oldest.
    pub oldest: Option<i64>,
    /// How many messages are stored; absent where the archive did not tell in time.
    pub messages: Option<u64>,
    /// Up to where some peer agrees with this node on what there is, in Unix nanoseconds.
    pub agreed_until: Option<i64>,
    /// How far that lies behind now; absent where nobody agrees yet.
    pub behind: Option<Duration>,
    /// Spans of time for which the node was not online and that no sync has filled yet.
    pub gaps: u64,
    /// How long they are together.
    pub gap: Duration,
    /// Where the first of them begins, in Unix nanoseconds.
    pub gap_start: Option<i64>,
    /// Whether the archive can do its work.
    pub archive: ArchiveState,
    /// What is wrong with it, where something is.
    pub archive_failure: Option<Failure>,
    /// What waits.
    pub queues: QueueDepths,
}

impl From<node::Health> for Health {
    fn from(h: node::Health) -> Self {
        let last_sync = h.last_sync.map(|last| LastSync {
            at: last.at.nanos(),
            peer_id: last.peer_id,
            agreement: last.agreement.into(),
            received: last.received,
            sent: last.sent,
            outstanding: last.outstanding,
        });
        Health {
            running: h.running,
            peers: h.peers,
            store_peers: h.store_peers,
            reconciliation_peers: h.reconciliation_peers,
            strong_peers: h.strong_peers,
            relay_peers: h.relay_peers,
            syncs: h.syncs,
            sync_ready: h.sync_ready,
            last_sync,
            newest: h.newest.map(|at| at.nanos()),
            oldest: h.oldest.map(|at| at.nanos()),
            messages: h.messages,
            agreed_until: h.agreed_until.map(|at| at.nanos()),
            behind: h.behind,
            gaps: h.gaps,
            gap: h.gap,
            gap_start: h.gap_start.map(|at| at.nanos()),
            archive: h.archive.into(),
            archive_failure: h.archive_error.map(Failure::from),
            queues: QueueDepths {
                archive_puts: h.queues.archive_puts,
                archive_put_bytes: h.queues.archive_put_bytes,
                archive_reads: h.queues.archive_reads,
                commands: h.queues.commands,
                streams: h.queues.streams,
                store_answering: h.queues.store_answering,
                store_asking: h.queues.store_asking,
                relay_bytes: h.queues.relay_bytes,
                sync_bytes: h.queues.sync_bytes,
            },
        }
    }
}

#[uniffi::export]
impl Node {
    /// The node's metrics and its archive's, in OpenMetrics' text form, which ends in `# EOF`: to be
    /// served as `application/openmetrics-text; version=1.0.0; charset=utf-8`. What is not told
    /// within two seconds is left out.
    pub async fn metrics(&self) -> Result<String> {
        guarded(async move {
            let node = self.node()?;
            call(async move { Ok(node.metrics().await) }).await
        })
        .await
    }

    /// How the node is: whether it syncs, how far it is behind, how its archive is, what waits.
    pub async fn health(&self) -> Result<Health> {
        guarded(async move {
            let node = self.node()?;
            call(async move { Ok(node.health().await.into()) }).await
        })
        .await
    }
}

#[uniffi::export]
impl Archive {
    /// The metrics of an archive that is used without a node, as `Node.metrics` gives them.
    pub async fn metrics(&self) -> Result<String> {
        guarded(async move {
            let archive = self.open_archive()?;
            call(async move { Ok(node::archive_metrics(archive.archive()).await) }).await
        })
        .await
    }
}
