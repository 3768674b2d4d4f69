//! What syncs tell: how they compare, how far they are, what differs, and who agrees.

use crate::engine;
use crate::types;
use crate::wire::reconciliation::Dialect;

/// How a sync compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum SyncProtocol {
    /// Reconciliation 1.0.0.
    V1 = 1,
    /// wakustore's own.
    Strong = 2,
    /// Store queries alone.
    Store = 3,
}

/// Why a sync was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum SyncReason {
    /// The app asked for it.
    Demand = 0,
    /// The interval between two syncs was over.
    Heartbeat = 1,
    /// A peer came, at start or again.
    Connected = 2,
    /// To fill the gap since the node was last online.
    Resume = 3,
    /// The peer began it.
    Remote = 4,
}

/// Whether both sides hold the same of what was compared, now that the sync has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum Agreement {
    /// It ended early, or something was left over.
    None = 0,
    /// Nothing is left over by what 1.0.0 or Store can tell.
    Weak = 1,
    /// Both sides' fingerprints are equal, in a construction that chosen hashes cannot blind.
    Strong = 2,
}

/// Which form of the header of reconciliation 1.0.0 is written and read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum SyncDialect {
    /// Pubsub and content topics, as deployed nodes have it since nwaku v0.37.
    Topics = 0,
    /// Cluster and shards, as in the published document and in nwaku v0.35 and v0.36.
    Shards = 1,
}

/// What names a message in a sync.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct SyncId {
    /// When it was sent, in Unix nanoseconds.
    pub timestamp: i64,
    /// The message hash, 32 bytes.
    pub hash: Vec<u8>,
}

/// The ids that differ, as a dry run found them, in ascending order.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct SyncDifference {
    /// The peer has them and we lack them.
    pub missing: Vec<SyncId>,
    /// We have them and the peer lacks them.
    pub surplus: Vec<SyncId>,
}

/// How far a sync is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Record)]
pub struct Progress {
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
    /// Ranges that were found equal or were compared id by id.
    pub ranges_settled: u64,
    /// Our ids in those ranges.
    pub ids_compared: u64,
    /// Messages of the peer's that our archive, or the host's validator, refused for good, now or
    /// earlier.
    pub refused: u64,
}

/// A span of time, and who agreed with this node on what lies in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Record)]
pub struct Coverage {
    /// Where the span starts, in Unix nanoseconds.
    pub start: i64,
    /// Where it ends; this moment is not in it.
    pub end: i64,
    /// Peers that agreed; those of one network count as one.
    pub peers: u32,
    /// Of them, those that agreed strongly.
    pub strong: u32,
    /// When the last comparison that counts here ended, in Unix nanoseconds.
    pub compared_at: i64,
}

impl From<SyncProtocol> for engine::SyncProtocol {
    fn from(protocol: SyncProtocol) -> Self {
        match protocol {
            SyncProtocol::V1 => engine::SyncProtocol::V1,
            SyncProtocol::Strong => engine::SyncProtocol::Strong,
            SyncProtocol::Store => engine::SyncProtocol::Store,
        }
    }
}

impl From<engine::SyncProtocol> for SyncProtocol {
    fn from(protocol: engine::SyncProtocol) -> Self {
        match protocol {
            engine::SyncProtocol::V1 => SyncProtocol::V1,
            engine::SyncProtocol::Strong => SyncProtocol::Strong,
            engine::SyncProtocol::Store => SyncProtocol::Store,
        }
    }
}

impl From<engine::SyncReason> for SyncReason {
    fn from(reason: engine::SyncReason) -> Self {
        match reason {
            engine::SyncReason::Demand => SyncReason::Demand,
            engine::SyncReason::Heartbeat => SyncReason::Heartbeat,
            engine::SyncReason::Connected => SyncReason::Connected,
            engine::SyncReason::Resume => SyncReason::Resume,
            engine::SyncReason::Remote => SyncReason::Remote,
        }
    }
}

impl From<engine::Agreement> for Agreement {
    fn from(agreement: engine::Agreement) -> Self {
        match agreement {
            engine::Agreement::None => Agreement::None,
            engine::Agreement::Weak => Agreement::Weak,
            engine::Agreement::Strong => Agreement::Strong,
        }
    }
}

impl From<SyncDialect> for Dialect {
    fn from(dialect: SyncDialect) -> Self {
        match dialect {
            SyncDialect::Topics => Dialect::Topics,
            SyncDialect::Shards => Dialect::Shards,
        }
    }
}

impl From<types::SyncId> for SyncId {
    fn from(id: types::SyncId) -> Self {
        SyncId { timestamp: id.timestamp.nanos(), hash: id.hash.0.to_vec() }
    }
}

impl From<engine::SyncDifference> for SyncDifference {
    fn from(difference: engine::SyncDifference) -> Self {
        SyncDifference {
            missing: difference.missing.into_iter().map(SyncId::from).collect(),
            surplus: difference.surplus.into_iter().map(SyncId::from).collect(),
        }
    }
}

impl From<engine::SyncProgress> for Progress {
    fn from(progress: engine::SyncProgress) -> Self {
        Progress {
            missing: progress.missing,
            surplus: progress.surplus,
            received: progress.received,
            sent: progress.sent,
            dropped: progress.dropped,
            unsendable: progress.unsendable,
            frames: progress.frames,
            reconciliation_bytes_out: progress.reconciliation_bytes_out,
            reconciliation_bytes_in: progress.reconciliation_bytes_in,
            transfer_bytes_out: progress.transfer_bytes_out,
            transfer_bytes_in: progress.transfer_bytes_in,
            ranges_settled: progress.ranges_settled,
            ids_compared: progress.ids_compared,
            refused: progress.refused,
        }
    }
}

impl From<engine::Coverage> for Coverage {
    fn from(coverage: engine::Coverage) -> Self {
        Coverage {
            start: coverage.span.start().nanos(),
            end: coverage.span.end().nanos(),
            peers: coverage.peers,
            strong: coverage.strong,
            compared_at: coverage.compared_at.nanos(),
        }
    }
}
