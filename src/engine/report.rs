//! What a sync tells of itself.

use std::time::Duration;

use super::PeerKey;
use crate::error::Error;
use crate::types::{SyncId, TimeRange, Timestamp};

/// Figures of a session while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SyncProgress {
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
    /// Messages that the archive held when they were announced but not when they were to be sent,
    /// or that are too large for the deployed transfer frame.
    pub unsendable: u64,
    /// Frames of reconciliation, both ways; two make a round trip. (Over Store: queries and
    /// answers.)
    pub frames: u64,
    /// Bytes of reconciliation frames that we sent, with length prefixes. (Over Store: of the
    /// queries, but for their ids.)
    pub reconciliation_bytes_out: u64,
    /// Bytes of reconciliation frames that came, with length prefixes. (Over Store: some 37 for each
    /// hash that was listed.)
    pub reconciliation_bytes_in: u64,
    /// Bytes of transfer frames that we sent, with length prefixes.
    pub transfer_bytes_out: u64,
    /// Bytes of transfer frames that came, with length prefixes. (With a peer that has Store alone,
    /// of the messages that came.)
    pub transfer_bytes_in: u64,
    /// Ranges that were found equal or were compared id by id. (Over Store: slices of time that were
    /// listed to their end.)
    pub ranges_settled: u64,
    /// Our ids in those ranges. (Over Store: the ids that the peer listed.)
    pub ids_compared: u64,
    /// Messages of the peer's that our archive, or the host's validator, refused for good, now or
    /// earlier. They were announced or came; they are not waited for.
    pub refused: u64,
}

/// How a session compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SyncProtocol {
    /// `/vac/waku/reconciliation/1.0.0`.
    #[default]
    V1,
    /// wakustore's own.
    Strong,
    /// Store v3 queries alone.
    Store,
}

/// Why a session was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SyncReason {
    /// The app asked for it.
    #[default]
    Demand,
    /// The heartbeat.
    Heartbeat,
    /// A peer came, at start or again.
    Connected,
    /// To fill the gap since the node was last online.
    Resume,
    /// The peer began it.
    Remote,
}

/// Whether both sides hold the same of what was compared, now that it has ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Agreement {
    /// It ended early, or something was left over.
    #[default]
    None,
    /// Nothing is left over by what 1.0.0 or Store can tell. (Of 1.0.0, chosen hashes can hide
    /// messages from XOR; a Store peer may leave out what it likes.)
    Weak,
    /// Both sides' fingerprints are equal in a construction that chosen hashes cannot blind.
    Strong,
}

/// The ids that differ, as a dry run found them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SyncDifference {
    /// The peer has them and we lack them.
    pub missing: Vec<SyncId>,
    /// We have them and the peer lacks them.
    pub surplus: Vec<SyncId>,
}

/// A span of time, and who agreed with this node on what lies in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coverage {
    /// The span.
    pub span: TimeRange,
    /// Distinct address groups of peers that agreed, in either way.
    pub peers: u32,
    /// Of them, those that agreed strongly.
    pub strong: u32,
    /// When the last comparison that counts here ended.
    pub compared_at: Timestamp,
}

/// What came of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncReport {
    /// With whom.
    pub peer: PeerKey,
    /// Whether we began it.
    pub initiator: bool,
    /// The span that was compared.
    pub window: TimeRange,
    /// The figures at the end.
    pub figures: SyncProgress,
    /// From first to last.
    pub duration: Duration,
    /// Why it did not come to its end, where it did not. What was received by then is stored.
    pub error: Option<Error>,
    /// Announced by the peer and not here at the end.
    pub outstanding: u64,
    /// How it compared.
    pub protocol: SyncProtocol,
    /// Why it was begun.
    pub reason: SyncReason,
    /// Whether both sides hold the same now.
    pub agreement: Agreement,
    /// Of a dry run, what differs.
    pub difference: Option<SyncDifference>,
}

/// How much an engine holds: figures for watching it, and for tests that nothing is left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EngineUsage {
    /// Sessions that have not ended.
    pub sessions: usize,
    /// Peers that are connected, or of which something is left.
    pub peers: usize,
    /// Questions for messages that the archive has not answered.
    pub fetches: usize,
    /// Batches that the archive has not stored.
    pub stores: usize,
    /// Store queries that peers have not answered.
    pub queries: usize,
    /// Sessions that have ended and may still bring something.
    pub ended: usize,
    /// Bytes of messages that came before they were announced.
    pub early_bytes: usize,
    /// Bytes of messages that wait for the archive.
    pub waiting_bytes: usize,
    /// Ids in the index.
    pub index_ids: usize,
    /// Ids that sessions loaded for themselves.
    pub loaded_ids: usize,
}
