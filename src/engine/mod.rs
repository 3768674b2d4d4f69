//! What ties archive, store and sync together, and is still pure: no sockets, no threads, no clock.
//!
//! The host (our `node`, a foreign libp2p switch, or a simulation) calls methods with what
//! happened and the time, then drains [`Engine::poll_output`] and carries each [`Output`] out,
//! and calls [`Engine::tick`] no later than [`Engine::next_deadline`]. The host does the I/O, the
//! engine decides. Frames are without their length prefix.
//!
//! What must hold: every session ends with exactly one [`Output::Finished`], whatever peers and
//! archive do; and everything that a peer can make grow has a bound.

mod agreement;
mod config;
mod content;
mod coverage;
mod deployed;
mod dialect;
mod floor;
mod horizon;
mod horizon_content;
mod lifecycle;
mod loading;
mod output;
mod over_store;
mod peer;
mod peer_info;
mod presence;
mod protocol;
mod receiving;
mod reconciling;
mod refused;
mod report;
mod resume;
mod rng;
mod running;
mod schedule;
mod secret;
mod sending;
mod session;
mod state;
mod strong;
mod summaries;
mod walk;

pub use config::{Dialect, EngineConfig, SyncDirection, SyncOptions};
pub use output::{
    FetchId, LoadId, Misbehaviour, MissingId, Output, PeerKey, QueryId, SessionId, StoreId,
};
pub use peer_info::{AddressGroup, PeerInfo};
pub use report::{
    Agreement, Coverage, EngineUsage, SyncDifference, SyncProgress, SyncProtocol, SyncReason,
    SyncReport,
};
#[cfg(feature = "node")]
pub(crate) use resume::Gap;
pub use running::RunningSync;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use self::coverage::Agreements;
use self::dialect::Spoken;
use self::horizon::Horizon;
use self::loading::Bucket;
use self::peer::{Batch, Peer};
use self::presence::Presence;
use self::refused::Refused;
use self::resume::Resume;
use self::rng::Rng;
use self::schedule::Schedule;
use self::secret::Secret;
use self::session::{Session, Source};
use crate::archive::{FeedEvent, IndexEntry, PutOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::sabotage::{self, Bug};
use crate::types::{MessageHash, Page, StoredMessage, Timestamp};
use crate::wire::varint;

/// The time, as the host's clocks tell it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Since some fixed moment; never goes back.
    pub elapsed: Duration,
    /// Unix time; may jump.
    pub wall: Timestamp,
}

/// The engine of one node.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    spoken: Spoken,
    rng: Rng,
    secret: Secret,
    now: Now,
    /// The last number given to a session, or to a question to the archive.
    last_id: u64,
    outputs: VecDeque<Output>,
    horizon: Horizon,
    sessions: BTreeMap<SessionId, Session>,
    peers: BTreeMap<PeerKey, Peer>,
    fetches: BTreeMap<FetchId, SessionId>,
    stores: BTreeMap<StoreId, (PeerKey, Batch)>,
    /// Store queries that peers have not answered.
    queries: BTreeMap<QueryId, SessionId>,
    schedule: Schedule,
    presence: Presence,
    agreements: Agreements,
    resume: Resume,
    refused: Refused,
    /// Of all peers together.
    loads: Bucket,
    /// Below it nothing is asked for or taken.
    floor: Timestamp,
}

impl Engine {
    /// An engine without an index: it asks for one with [`Output::Load`] at once. `seed` feeds its
    /// choices (which peer, how much jitter).
    pub fn new(mut config: EngineConfig, seed: u64, now: Now) -> Self {
        config.max_in_flight = config.max_in_flight.max(1);
        let mut rng = Rng::new(seed);
        let heartbeat_at = config.heartbeat.map(|d| now.elapsed + rng.jitter(d));
        let mut engine = Engine {
            horizon: Horizon::new(&config, now),
            schedule: Schedule::new(heartbeat_at, &config, now.elapsed),
            spoken: Spoken::new(&config),
            refused: Refused::new(config.max_refused),
            loads: Bucket::new(),
            floor: Timestamp(0),
            config,
            rng,
            secret: Secret::of_seed(seed),
            now,
            last_id: 0,
            outputs: VecDeque::new(),
            sessions: BTreeMap::new(),
            peers: BTreeMap::new(),
            fetches: BTreeMap::new(),
            stores: BTreeMap::new(),
            queries: BTreeMap::new(),
            presence: Presence::default(),
            agreements: Agreements::default(),
            resume: Resume::default(),
        };
        engine.pump();
        engine
    }

    /// Mixes 32 bytes of the system's randomness in. Salts, by which two nodes compare once more
    /// where a first comparison was misled, are drawn from it: without it a peer that knows the
    /// seed could guess them. Call it once, right after [`Engine::new`]; a simulation leaves it out.
    pub fn reseed(&mut self, fresh: &[u8; 32]) {
        self.secret.reseed(fresh);
    }

    // --- what the archive says ---

    /// Answers [`Output::Load`]: one step of the walk; fewer entries than the limit end it.
    pub fn loaded(&mut self, now: Now, load: LoadId, entries: Result<Vec<IndexEntry>>) {
        self.at(now);
        if self.horizon.walk.as_ref().is_some_and(|w| w.awaits(load)) {
            // Whatever is wrong with the archive, the walk is tried again later: without an index
            // there is no sync, and syncs that wait time out by themselves.
            let done = entries.and_then(|entries| self.horizon.loaded(entries));
            if let (Err(_), Some(walk)) = (done, self.horizon.walk.as_mut()) {
                walk.failed(now.elapsed);
            }
        } else if self.horizon.content.awaits(load) {
            self.content_loaded(entries);
        } else {
            self.session_loaded(load, entries);
        }
        self.pump();
    }

    /// What the archive committed, from its feed. (Subscribe first, then start the engine: what
    /// is both loaded and fed counts once. A lag makes the engine load again.)
    pub fn fed(&mut self, now: Now, event: FeedEvent) {
        self.at(now);
        match event {
            FeedEvent::Lagged { .. } if sabotage::is(Bug::GapIgnored) => {}
            FeedEvent::Lagged { .. } => self.horizon.reload(),
            // What retention removed is below its floor, which takes it out of the index.
            FeedEvent::Expired(id) => {
                let above = Timestamp(id.timestamp.nanos().saturating_add(1));
                if above > self.floor {
                    self.set_floor(now, above);
                }
            }
            FeedEvent::Removed(items) => {
                for item in items.iter() {
                    let removed = self.horizon.remove(&item.id);
                    for session in self.sessions.values_mut() {
                        let removed = match &mut session.source {
                            Source::Own(index) => index.remove(&item.id),
                            Source::Horizon => removed,
                        };
                        if removed {
                            session.index_lost(item);
                        }
                    }
                }
            }
            FeedEvent::Stored(items) => {
                for item in items.iter() {
                    let (pubsub, content) = (&item.pubsub_topic, &item.content_topic);
                    let new = self.horizon.insert(pubsub, content, item.id);
                    self.refused.remove(&item.id.hash);
                    for session in self.sessions.values_mut() {
                        if let Source::Own(index) = &mut session.source
                            && session.window.contains(item.id.timestamp)
                            && horizon::admits(
                                &session.scope,
                                &item.pubsub_topic,
                                &item.content_topic,
                            )
                        {
                            if index.insert(item.id) {
                                session.index_got(item);
                            }
                        } else if new && matches!(session.source, Source::Horizon) {
                            session.index_got(item);
                        }
                        if let Some(strong) = &mut session.strong {
                            strong.machine.arrived(&item.id, false);
                        }
                        if let Some(grants) = &mut session.grants {
                            grants.forget(&item.id);
                        }
                    }
                }
            }
        }
        self.pump();
    }

    /// Answers [`Output::Fetch`].
    pub fn fetched(&mut self, now: Now, fetch: FetchId, messages: Result<Vec<StoredMessage>>) {
        self.at(now);
        self.session_fetched(fetch, messages);
        self.pump();
    }

    /// Answers [`Output::Store`].
    pub fn stored(&mut self, now: Now, store: StoreId, outcomes: Result<Vec<PutOutcome>>) {
        self.at(now);
        self.batch_stored(store, outcomes);
        self.pump();
    }

    /// Answers [`Output::Missing`]: those of the hashes that the archive lacks.
    pub fn missing(&mut self, now: Now, missing: MissingId, hashes: Result<Vec<MessageHash>>) {
        self.at(now);
        self.looked_up(missing, hashes);
        self.pump();
    }

    // --- what the peers do ---

    /// Answers [`Output::QueryStore`].
    pub fn store_answered(&mut self, now: Now, query: QueryId, page: Result<Page>) {
        self.at(now);
        self.page_came(query, page);
        self.pump();
    }

    /// A peer is there, and this is what it speaks. Call it again where more becomes known later.
    pub fn peer_connected(&mut self, now: Now, peer: PeerKey, info: PeerInfo) {
        self.at(now);
        let entry = self.peers.entry(peer).or_default();
        (entry.connected, entry.info) = (true, info);
        self.peer_came(peer);
        self.pump();
    }

    /// It is gone; its sessions end.
    pub fn peer_disconnected(&mut self, now: Now, peer: PeerKey) {
        self.at(now);
        self.peer_gone(peer);
        self.pump();
    }

    /// A sync on demand. The session's end comes as [`Output::Finished`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::SyncBusy`] where one with this peer runs that we began, or too many do;
    /// [`crate::ErrorKind::InvalidArgument`] for a window that lies in the future or is empty.
    pub fn sync(&mut self, now: Now, peer: PeerKey, options: SyncOptions) -> Result<SessionId> {
        self.at(now);
        let session = self.begin_outbound(peer, options, SyncReason::Demand)?;
        self.pump();
        Ok(session)
    }

    /// Gives a session up; [`Output::Finished`] with a cancelled report follows, once the archive
    /// has answered for what it was already given. Nothing happens where it has ended.
    pub fn cancel(&mut self, now: Now, session: SessionId) {
        self.at(now);
        self.fail(session, Error::new(ErrorKind::Cancelled, "the sync was cancelled"));
        self.pump();
    }

    /// Gives a session up as soon as that wastes nothing: one that asks by Store asks nothing more,
    /// and ends when what was asked for has come and is stored; any other ends as by
    /// [`Engine::cancel`]. Nothing happens where it has ended.
    pub fn wind_down(&mut self, now: Now, session: SessionId) {
        self.at(now);
        if !self.wind_down_over_store(session) {
            self.fail(session, Error::new(ErrorKind::Cancelled, "the sync was cut short"));
        }
        self.pump();
    }

    /// A peer opened a reconciliation stream. On an error the host resets the stream.
    ///
    /// # Errors
    /// [`crate::ErrorKind::SyncBusy`] where the peer already reconciles with us on another stream,
    /// or too many sessions run.
    pub fn reconciliation_accepted(
        &mut self,
        now: Now,
        peer: PeerKey,
        protocol: SyncProtocol,
    ) -> Result<SessionId> {
        self.at(now);
        let session = match protocol {
            SyncProtocol::Strong => self.begin_inbound_strong(peer),
            SyncProtocol::V1 | SyncProtocol::Store => self.begin_inbound(peer),
        };
        self.pump();
        session
    }

    /// [`Output::OpenReconciliation`] could not be carried out.
    pub fn reconciliation_failed(&mut self, now: Now, session: SessionId, error: Error) {
        self.at(now);
        self.stream_ended(session, Some(error));
        self.pump();
    }

    /// A frame came on the session's stream.
    pub fn reconciliation_frame(&mut self, now: Now, session: SessionId, frame: Bytes) {
        self.at(now);
        self.frame_came(session, &frame);
        self.pump();
    }

    /// So many bytes of the next frame have come on the session's stream: call it now and then while
    /// a long frame comes, so that a slow line is told from a silent peer. At least 16 KiB more
    /// within each [`EngineConfig::idle_timeout`] keep the session.
    pub fn reconciliation_progress(&mut self, now: Now, session: SessionId, bytes_so_far: usize) {
        self.at(now);
        self.frame_grows(session, bytes_so_far);
        self.pump();
    }

    /// The peer closed the session's stream (`None`) or it broke.
    pub fn reconciliation_closed(&mut self, now: Now, session: SessionId, error: Option<Error>) {
        self.at(now);
        self.stream_ended(session, error);
        self.pump();
    }

    /// Whether the host should go on reading the peer's transfer streams. False while too much of
    /// what came waits for the archive or to be announced; ask again after any other call.
    pub fn transfer_ready(&self, peer: PeerKey) -> bool {
        self.has_room(peer)
    }

    /// A frame came on one of the peer's transfer streams. While its message waits it keeps the
    /// buffer that `frame` shares.
    pub fn transfer_frame(&mut self, now: Now, peer: PeerKey, frame: Bytes) {
        self.at(now);
        self.message_came(peer, frame);
        self.pump();
    }

    /// The peer ended one of its transfer streams.
    pub fn transfer_closed(&mut self, now: Now, peer: PeerKey) {
        self.at(now);
        self.transfer_ended(peer);
        self.pump();
    }

    /// So many frames of [`Output::SendTransfer`] have been written to the socket.
    pub fn transfer_sent(&mut self, now: Now, session: SessionId, frames: usize) {
        self.at(now);
        if let Some(s) = self.sessions.get_mut(&session) {
            for size in s.sending.sent(now.elapsed, frames) {
                s.figures.sent += 1;
                s.figures.transfer_bytes_out += framed(size);
            }
        }
        self.pump();
    }

    /// The session's outgoing transfer stream could not be opened, or broke. What the peer sends
    /// is still taken; the report then names this error.
    pub fn transfer_failed(&mut self, now: Now, session: SessionId, error: Error) {
        self.at(now);
        if let Some(s) = self.sessions.get_mut(&session) {
            s.sending.broke();
            s.error.get_or_insert(error.context("sending messages"));
        }
        self.pump();
    }

    // --- what the host drains ---

    /// Lets deadlines pass.
    pub fn tick(&mut self, now: Now) {
        self.at(now);
        self.pass_deadlines();
        self.pump();
    }

    /// When [`Engine::tick`] is due at the latest, in [`Now::elapsed`].
    pub fn next_deadline(&self) -> Option<Duration> {
        self.earliest_deadline()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() {
            // Now, as the archive has its next question already.
            self.horizon.digest();
        }
        next
    }

    /// Whether the index stands. Until then syncs wait.
    pub fn is_ready(&self) -> bool {
        self.horizon.is_ready()
    }

    /// How much it holds right now.
    pub fn usage(&self) -> EngineUsage {
        EngineUsage {
            sessions: self.sessions.len(),
            peers: self.peers.len(),
            fetches: self.fetches.len(),
            stores: self.stores.len(),
            queries: self.queries.len(),
            ended: self.peers.values().map(|p| p.ended.len()).sum(),
            early_bytes: self.peers.values().map(|p| p.early_bytes).sum(),
            waiting_bytes: self.peers.values().map(Peer::waiting_bytes).sum(),
            index_ids: self.horizon.len() + self.horizon.content.len(),
            loaded_ids: self.sessions.values().map(Session::loaded_ids).sum(),
        }
    }

    /// When this node was last online (had a peer to sync with) before it came online this time,
    /// in this run or, by [`Engine::restore`], in an earlier one. It stands still while the node
    /// is online. `None` where that was never.
    pub fn last_online(&self) -> Option<Timestamp> {
        self.presence.last_online()
    }

    /// With how many peers this node agrees over which spans of time: spans that do not overlap, in
    /// ascending order, bounded in number.
    pub fn coverage(&self) -> Vec<Coverage> {
        self.agreements.told(self.now.wall)
    }

    /// The node's own state (last online, coverage), to be kept apart from the messages: at most
    /// a few hundred KiB.
    pub fn state(&self) -> Vec<u8> {
        self.encode_state()
    }

    /// Takes what [`Engine::state`] gave before the node was last stopped. Call it once, before
    /// anything else.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Malformed`] where it is no such state: the engine then goes on without.
    pub fn restore(&mut self, now: Now, state: &[u8]) -> Result<()> {
        self.at(now);
        let restored = self.restore_state(now, state);
        self.pump();
        restored
    }

    // --- shared by the parts ---

    fn at(&mut self, now: Now) {
        self.now = Now { elapsed: now.elapsed.max(self.now.elapsed), wall: now.wall };
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn sessions_of(&self, peer: PeerKey) -> Vec<SessionId> {
        self.peers.get(&peer).map(|p| p.sessions.clone()).unwrap_or_default()
    }
}

/// The size of a frame with its length prefix.
fn framed(len: usize) -> u64 {
    (varint::encoded_len(len as u64) + len) as u64
}
