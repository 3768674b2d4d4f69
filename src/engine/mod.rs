//! What ties archive, store and sync together, and is still pure: no sockets, no threads, no clock.
//!
//! The host (our `node`, a foreign libp2p switch, or a simulation) calls methods with what
//! happened and the time, then drains [`Engine::poll_output`] and carries each [`Output`] out,
//! and calls [`Engine::tick`] no later than [`Engine::next_deadline`]. The host does the I/O, the
//! engine decides. Frames are without their length prefix.

mod config;
mod output;
mod report;
mod session;

pub use config::{EngineConfig, SyncDirection, SyncOptions};
pub use output::{FetchId, LoadId, Misbehaviour, Output, PeerKey, SessionId, StoreId};
pub use report::{SyncProgress, SyncReport};

use std::time::Duration;

use bytes::Bytes;

use crate::archive::{FeedEvent, IndexEntry, PutOutcome};
use crate::error::{Error, Result};
use crate::types::{StoredMessage, Timestamp};

/// The time, as the host's clocks tell it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Since some fixed moment; never goes back.
    pub elapsed: Duration,
    /// Unix time; may jump.
    pub wall: Timestamp,
}

/// The engine of one node.
pub struct Engine {}

impl Engine {
    /// An engine without an index: it asks for one with [`Output::Load`] at once. `seed` feeds its
    /// choices (which peer, how much jitter).
    pub fn new(_config: EngineConfig, _seed: u64, _now: Now) -> Self {
        todo!()
    }

    // --- what the archive says ---

    /// Answers [`Output::Load`]: one step of the walk; fewer entries than the limit end it.
    pub fn loaded(&mut self, _now: Now, _load: LoadId, _entries: Result<Vec<IndexEntry>>) {
        todo!()
    }
    /// What the archive committed, from its feed. (Subscribe first, then start the engine: what
    /// is both loaded and fed counts once. A lag makes the engine load again.)
    pub fn fed(&mut self, _now: Now, _event: FeedEvent) {
        todo!()
    }
    /// Answers [`Output::Fetch`].
    pub fn fetched(&mut self, _now: Now, _fetch: FetchId, _messages: Result<Vec<StoredMessage>>) {
        todo!()
    }
    /// Answers [`Output::Store`].
    pub fn stored(&mut self, _now: Now, _store: StoreId, _outcomes: Result<Vec<PutOutcome>>) {
        todo!()
    }

    // --- what the peers do ---

    /// A peer is there; `reconciles` tells whether it speaks the reconciliation protocol.
    pub fn peer_connected(&mut self, _now: Now, _peer: PeerKey, _reconciles: bool) {
        todo!()
    }
    /// It is gone; its sessions end.
    pub fn peer_disconnected(&mut self, _now: Now, _peer: PeerKey) {
        todo!()
    }
    /// A sync on demand. The session's end comes as [`Output::Finished`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::SyncBusy`] where one with this peer runs, or too many do;
    /// [`crate::ErrorKind::InvalidArgument`] for a window that lies in the future.
    pub fn sync(&mut self, _n: Now, _peer: PeerKey, _options: SyncOptions) -> Result<SessionId> {
        todo!()
    }
    /// Gives a session up; [`Output::Finished`] with a cancelled report follows.
    pub fn cancel(&mut self, _now: Now, _session: SessionId) {
        todo!()
    }
    /// A peer opened a reconciliation stream. On an error the host resets the stream.
    pub fn reconciliation_accepted(&mut self, _now: Now, _peer: PeerKey) -> Result<SessionId> {
        todo!()
    }
    /// [`Output::OpenReconciliation`] could not be carried out.
    pub fn reconciliation_failed(&mut self, _now: Now, _session: SessionId, _error: Error) {
        todo!()
    }
    /// A frame came on the session's stream.
    pub fn reconciliation_frame(&mut self, _now: Now, _session: SessionId, _frame: Bytes) {
        todo!()
    }
    /// The peer closed the session's stream (`None`) or it broke.
    pub fn reconciliation_closed(&mut self, _n: Now, _session: SessionId, _error: Option<Error>) {
        todo!()
    }
    /// A frame came on one of the peer's transfer streams.
    pub fn transfer_frame(&mut self, _now: Now, _peer: PeerKey, _frame: Bytes) {
        todo!()
    }
    /// The peer ended one of its transfer streams.
    pub fn transfer_closed(&mut self, _now: Now, _peer: PeerKey) {
        todo!()
    }
    /// So many frames of [`Output::SendTransfer`] have been written to the socket.
    pub fn transfer_sent(&mut self, _now: Now, _session: SessionId, _frames: usize) {
        todo!()
    }
    /// The session's outgoing transfer stream could not be opened, or broke.
    pub fn transfer_failed(&mut self, _now: Now, _session: SessionId, _error: Error) {
        todo!()
    }

    // --- what the host drains ---

    /// Lets deadlines pass.
    pub fn tick(&mut self, _now: Now) {
        todo!()
    }
    /// When [`Engine::tick`] is due at the latest, in [`Now::elapsed`].
    pub fn next_deadline(&self) -> Option<Duration> {
        todo!()
    }
    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }
    /// Whether the index stands. Until then syncs wait.
    pub fn is_ready(&self) -> bool {
        todo!()
    }
}
