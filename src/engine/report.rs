//! What a sync tells of itself.

use std::time::Duration;

use super::PeerKey;
use crate::error::Error;
use crate::types::TimeRange;

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
    /// Frames of reconciliation, both ways; two make a round trip.
    pub frames: u64,
    /// Bytes of reconciliation frames that we sent, with length prefixes.
    pub reconciliation_bytes_out: u64,
    /// Bytes of reconciliation frames that came, with length prefixes.
    pub reconciliation_bytes_in: u64,
    /// Bytes of transfer frames that we sent, with length prefixes.
    pub transfer_bytes_out: u64,
    /// Bytes of transfer frames that came, with length prefixes.
    pub transfer_bytes_in: u64,
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
