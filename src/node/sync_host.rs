//! The task that owns the engine: it brings it what happened, and carries out what it decides
//! (in `sync_outputs`).
//!
//! What must hold: this task never waits for a peer or for the archive. Streams run in tasks of
//! their own, the archive's and the Store peers' answers come back as futures, and a frame's reader
//! waits for its turn.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::archive_feed::ArchiveFeed;
use super::conduct::Conduct;
use super::event::Ended;
use super::facts::Facts;
use super::keys::Keys;
use super::peers::StreamPermit;
use super::shared::Shared;
use super::state::States;
use super::stream::Stream;
use super::sync_input::{Demand, Input, Report};
use super::sync_streams::{self, ReadOn};
use super::tasks::CancelOnDrop;
use crate::archive::{IndexEntry, PutOutcome};
use crate::engine::{
    Engine, EngineConfig, FetchId, LoadId, Misbehaviour, MissingId, Now, PeerInfo, PeerKey,
    QueryId, SessionId, StoreId, SyncProtocol,
};
use crate::error::{Error, ErrorKind, Result};
use crate::types::{MessageHash, Page, StoredMessage, Timestamp};
use crate::wire::strong;

/// Store queries to peers at once, in all. What waits was asked for by the engine, which bounds it.
const MAX_QUERIES: usize = 8;

/// What the archive, or a Store peer, answered.
pub(super) enum Answer {
    Loaded(LoadId, Result<Vec<IndexEntry>>),
    Fetched(FetchId, Result<Vec<StoredMessage>>),
    Stored(StoreId, Result<Vec<PutOutcome>>),
    Missing(MissingId, Result<Vec<MessageHash>>),
    Page(QueryId, Result<Page>),
}

/// What is kept of a session.
pub(super) struct Session {
    pub(super) peer: PeerId,
    /// To its reconciliation stream; dropped, it closes.
    pub(super) frames: Option<mpsc::UnboundedSender<Bytes>>,
    /// To its outgoing transfer stream; dropped, it closes once all is written.
    pub(super) transfer: Option<mpsc::UnboundedSender<Vec<Bytes>>>,
    /// Ends that stream at once.
    pub(super) give_up: Option<oneshot::Sender<()>>,
    /// Who waits for it.
    pub(super) caller: Option<(u64, Report)>,
    /// Whether its beginning was told.
    pub(super) told: bool,
}

/// A peer as the engine knows it.
pub(super) struct Known {
    pub(super) id: PeerId,
    /// The engine was told of it.
    pub(super) connected: bool,
    /// Once there is nothing to wait for.
    pub(super) facts: Option<Facts>,
    /// Syncs that wait for the facts.
    demands: Vec<Demand>,
    /// What its transfer streams brought and the engine has had no room for yet.
    pub(super) waiting: Vec<Brought>,
}

/// Frames of one transfer stream; its reader waits until the engine has them all and room for more.
pub(super) struct Brought {
    pub(super) frames: std::vec::IntoIter<Bytes>,
    pub(super) go_on: ReadOn,
}

/// What a host is made of.
pub(super) struct Parts {
    pub(super) config: EngineConfig,
    /// Feeds the engine's choices.
    pub(super) seed: u64,
    /// Feeds what no peer may guess.
    pub(super) fresh: [u8; 32],
    pub(super) shared: Arc<Shared>,
    /// Where the ends of syncs are told.
    pub(super) ended: mpsc::UnboundedSender<Ended>,
    /// Where the state is kept, if it is.
    pub(super) states: Option<States>,
}

/// The least that the retention floor moves before the engine is told.
const FLOOR_STEP: Duration = Duration::from_secs(1);

/// The task.
pub(super) struct SyncHost {
    pub(super) engine: Engine,
    pub(super) shared: Arc<Shared>,
    max_frame: usize,
    /// Before its now peers' windows end, too.
    pub(super) margin: Duration,
    /// Where the archive's retention stood when the engine was last told.
    floor: Timestamp,
    started: Instant,
    keys: Keys,
    pub(super) peers: HashMap<PeerKey, Known>,
    pub(super) sessions: HashMap<SessionId, Session>,
    /// The newest session that was seen.
    pub(super) newest: SessionId,
    pub(super) answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    pub(super) queries: Arc<Semaphore>,
    pub(super) conduct: Conduct,
    pub(super) ended: mpsc::UnboundedSender<Ended>,
    pub(super) states: Option<States>,
    /// Nothing is begun, and no time passes.
    suspended: bool,
    /// Who waits for the last session's end.
    suspending: Vec<oneshot::Sender<()>>,
    /// Whose sessions are to end, and who waits for that.
    winding: Vec<(PeerKey, oneshot::Sender<()>)>,
    /// Nobody reads for them any more.
    quiet: bool,
}

impl SyncHost {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { config, seed, fresh, shared, ended, states } = parts;
        let now = Now { elapsed: Duration::ZERO, wall: shared.archive.now() };
        let (max_frame, margin) = (config.max_frame, config.margin);
        let mut engine = Engine::new(config, seed, now);
        engine.reseed(&fresh);
        SyncHost {
            max_frame,
            margin,
            floor: Timestamp(0),
            engine,
            shared,
            started: Instant::now(),
            keys: Keys::default(),
            peers: HashMap::new(),
            sessions: HashMap::new(),
            newest: SessionId(0),
            answers: FuturesUnordered::new(),
            queries: Arc::new(Semaphore::new(MAX_QUERIES)),
            conduct: Conduct::default(),
            ended,
            states,
            suspended: false,
            suspending: Vec::new(),
            winding: Vec::new(),
            quiet: false,
        }
    }

    /// Takes what was kept of an earlier run. Before anything else.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where it is no state of an engine; all goes on without.
    pub(super) fn restore(&mut self, state: &[u8]) -> Result<()> {
        let restored = self.engine.restore(self.now(), state);
        self.publish_coverage();
        restored
    }

    /// Runs until the node stops. `feed` was subscribed before the engine was made.
    pub(super) async fn run(
        mut self,
        mut inputs: mpsc::UnboundedReceiver<Input>,
        mut feed: ArchiveFeed,
    ) {
        let _ending = CancelOnDrop(self.shared.tasks.clone());
        let cancelled = self.shared.tasks.cancelled();
        tokio::pin!(cancelled);
        let mut feeding = true;
        loop {
            self.keep_floor();
            self.carry_out();
            self.tell_suspended();
            if self.wind_down() {
                continue;
            }
            let deadline = self.engine.next_deadline().map(|d| self.started + d);
            let unquiet = !self.winding.is_empty() && !self.quiet;
            let traffic = self.shared.traffic.clone();
            tokio::select! {
                () = &mut cancelled => break,
                input = inputs.recv() => match input {
                    Some(input) => {
                        // A put is told to the feed before it is acknowledged: so what was put
                        // before a sync began is in it.
                        if input.begins_a_sync() {
                            while let Some(event) = feed.try_next() {
                                self.engine.fed(self.now(), event);
                            }
                        }
                        self.take(input);
                    }
                    None => break,
                },
                Some(answer) = self.answers.next() => self.answered(answer),
                event = feed.next(), if feeding => match event {
                    Some(event) => self.engine.fed(self.now(), event),
                    // The archive was closed: nothing more will be stored.
                    None => feeding = false,
                },
                () = traffic.quiet(), if unquiet => self.quiet = true,
                () = sleep_until(deadline), if !self.sleeps() => {
                    self.engine.tick(self.now());
                }
            }
        }
        // Until now it was online.
        self.engine.tick(self.now());
        self.save_state();
    }

    /// Tells the engine what retention has removed: it is neither asked for nor taken. (By age it
    /// moves all the time, which need not be told more than once a second.)
    fn keep_floor(&mut self) {
        let floor = self.shared.archive.floor();
        if floor > self.floor.saturating_add(FLOOR_STEP) {
            self.floor = floor;
            self.engine.set_floor(self.now(), floor);
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { elapsed: self.started.elapsed(), wall: self.shared.archive.now() }
    }

    pub(super) fn save_state(&self) {
        if let Some(states) = &self.states {
            states.send_replace(Some(self.engine.state()));
        }
    }

    pub(super) fn publish_coverage(&self) {
        let coverage = self.engine.coverage();
        *self.shared.coverage.write().unwrap_or_else(PoisonError::into_inner) = coverage;
    }

    fn answered(&mut self, answer: Answer) {
        let now = self.now();
        match answer {
            Answer::Loaded(id, entries) => self.engine.loaded(now, id, entries),
            Answer::Fetched(id, messages) => self.engine.fetched(now, id, messages),
            Answer::Stored(id, outcomes) => self.engine.stored(now, id, outcomes),
            Answer::Missing(id, hashes) => self.engine.missing(now, id, hashes),
            Answer::Page(id, page) => self.engine.store_answered(now, id, page),
        }
    }

    fn present(&mut self, id: PeerId) {
        let key = self.keys.came(id);
        let known =
            Known { id, connected: false, facts: None, demands: Vec::new(), waiting: Vec::new() };
        self.peers.insert(key, known);
    }

    /// All that is waited for is known of a peer, or more than before.
    fn connected(&mut self, id: PeerId, facts: Facts) {
        let Some(key) = self.keys.get(&id) else { return };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        (peer.connected, peer.facts) = (true, Some(facts));
        let demands = std::mem::take(&mut peer.demands);
        self.engine.peer_connected(self.now(), key, facts.info);
        for demand in demands {
            self.sync(demand);
        }
    }

    /// The key of a peer that acts; `None` for one that has gone. The engine must know of one that
    /// acts before all is known of it; what it speaks follows.
    fn acting(&mut self, id: PeerId) -> Option<PeerKey> {
        let now = self.now();
        let key = self.keys.get(&id)?;
        let peer = self.peers.get_mut(&key)?;
        if !peer.connected {
            peer.connected = true;
            self.engine.peer_connected(now, key, PeerInfo::default());
        }
        Some(key)
    }

    fn sync(&mut self, demand: Demand) {
        if self.suspended {
            let _ = demand.report.send(Err(super::shared::suspended()));
            return;
        }
        // The caller may have gone while this waited.
        if demand.report.is_closed() {
            return;
        }
        let now = self.now();
        let peer = self.keys.get(&demand.peer).and_then(|k| Some((k, self.peers.get_mut(&k)?)));
        let Some((key, peer)) = peer else {
            let gone = "the peer disconnected before the sync began";
            let _ = demand.report.send(Err(Error::new(ErrorKind::StreamClosed, gone)));
            return;
        };
        match peer.facts {
            // They come soon: how to sync with it depends on them.
            None => return peer.demands.push(demand),
            // It does not say what it speaks. Whoever asks for a sync with it may know more.
            Some(facts) if !facts.identified => {
                let asked = |protocol| demand.options.protocol == Some(protocol);
                let info = PeerInfo {
                    reconciles: true,
                    strong: asked(SyncProtocol::Strong),
                    store: asked(SyncProtocol::Store),
                    ..facts.info
                };
                self.engine.peer_connected(now, key, info);
            }
            Some(_) => {}
        }
        match self.engine.sync(now, key, demand.options) {
            Ok(session) => {
                self.session(session, demand.peer).caller = Some((demand.ticket, demand.report));
            }
            Err(e) => {
                let _ = demand.report.send(Err(e));
            }
        }
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Present { peer } => self.present(peer),
            Input::Connected { peer, facts } => self.connected(peer, facts),
            Input::Disconnected { peer } => self.disconnected(peer),
            Input::Sync(demand) => self.sync(demand),
            Input::Cancel { ticket } => {
                let wanted = |s: &Session| s.caller.as_ref().is_some_and(|(t, _)| *t == ticket);
                let found = self.sessions.iter().find(|(_, s)| wanted(s)).map(|(id, _)| *id);
                if let Some(session) = found {
                    self.engine.cancel(now, session);
                }
            }
            Input::CancelSession { session } => self.engine.cancel(now, session),
            Input::Suspend { done } => self.suspend(done),
            Input::Resume => self.resume(),
            Input::WindDown { peer, done } => {
                // One that has gone has no sessions: `done` is dropped, which says so.
                if let Some(key) = self.keys.get(&peer) {
                    self.winding.push((key, done));
                    self.quiet = false;
                }
            }
            Input::Due { told } => {
                let _ = told.send(self.engine.due(now));
            }
            Input::Reconcile { peer, protocol, stream, permit } => {
                self.accept(peer, protocol, stream, permit);
            }
            Input::OpenFailed { session, error } => {
                self.engine.reconciliation_failed(now, session, error);
            }
            Input::ReconciliationFrame { session, frame, go_on } => {
                if self.sessions.contains_key(&session) {
                    self.engine.reconciliation_frame(now, session, frame);
                    let _ = go_on.send(());
                }
            }
            Input::ReconciliationProgress { session, bytes } => {
                self.engine.reconciliation_progress(now, session, bytes);
            }
            Input::ReconciliationClosed { session, error } => {
                self.engine.reconciliation_closed(now, session, error);
            }
            Input::TransferFrames { peer, frames, reading: _reading, go_on } => {
                // Of a peer that has gone nothing is taken: its streams are no more.
                let Some(key) = self.acting(peer) else { return };
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.waiting.push(Brought { frames: frames.into_iter(), go_on });
                }
            }
            Input::TransferClosed { peer } => {
                if let Some(key) = self.keys.get(&peer) {
                    self.engine.transfer_closed(now, key);
                }
            }
            Input::TransferSent { session, frames } => {
                self.engine.transfer_sent(now, session, frames);
            }
            Input::TransferFailed { session, error } => {
                self.engine.transfer_failed(now, session, error);
            }
            Input::BadFrame { peer } => {
                if let Some(key) = self.keys.get(&peer) {
                    self.penalise(key, Misbehaviour::BadFrame);
                }
            }
        }
    }

    fn disconnected(&mut self, id: PeerId) {
        let Some(key) = self.keys.left(&id) else { return };
        self.engine.peer_disconnected(self.now(), key);
        // What the engine says of it for the last time is carried out while its name is known.
        self.carry_out();
        let Some(peer) = self.peers.remove(&key) else { return };
        for demand in peer.demands {
            self.sync(demand);
        }
    }

    fn accept(
        &mut self,
        peer: PeerId,
        protocol: SyncProtocol,
        stream: Stream,
        permit: StreamPermit,
    ) {
        let Some(key) = self.acting(peer) else { return };
        match self.engine.reconciliation_accepted(self.now(), key, protocol) {
            Ok(session) => {
                let (frames, to_send) = mpsc::unbounded_channel();
                self.session(session, peer).frames = Some(frames);
                self.shared.tasks.spawn_visit(sync_streams::reconcile(
                    session,
                    stream,
                    to_send,
                    self.shared.sync.clone(),
                    self.max_frame(protocol),
                    Some(permit),
                ));
            }
            // The guard in the stream closes it; the peer sees that nothing was answered.
            Err(e) => tracing::debug!(%peer, "a sync was refused: {e}"),
        }
    }

    fn suspend(&mut self, done: oneshot::Sender<()>) {
        self.suspended = true;
        self.suspending.push(done);
        // What has come is taken first.
        self.carry_out();
        for session in self.engine.begun_after(SessionId(0)) {
            self.engine.cancel(self.now(), session);
        }
    }

    /// Ends the sessions of peers with which they are to end, once the engine has what was read of
    /// them; whether that gave it anything to do.
    fn wind_down(&mut self) -> bool {
        let now = self.now();
        let mut ended = false;
        for (key, done) in std::mem::take(&mut self.winding) {
            let Some(peer) = self.peers.get(&key) else { continue };
            if self.quiet && peer.waiting.is_empty() {
                let with = |id: &SessionId| self.engine.running(*id).is_some_and(|s| s.peer == key);
                let all: Vec<SessionId> =
                    self.engine.begun_after(SessionId(0)).into_iter().filter(with).collect();
                if all.is_empty() && self.engine.usage().stores == 0 {
                    let _ = done.send(());
                    continue;
                }
                for id in all {
                    if !self.engine.is_ending(id) {
                        self.engine.wind_down(now, id);
                        ended = true;
                    }
                }
            }
            if !done.is_closed() {
                self.winding.push((key, done));
            }
        }
        ended
    }

    /// Whether no time passes.
    fn sleeps(&self) -> bool {
        self.suspended && self.suspending.is_empty()
    }

    fn resume(&mut self) {
        self.suspended = false;
        self.engine.resumed(self.now());
    }

    /// Tells who waits for it that all sessions have ended, with what they brought stored.
    fn tell_suspended(&mut self) {
        self.suspending.retain(|done| !done.is_closed());
        if self.suspending.is_empty() {
            return;
        }
        let usage = self.engine.usage();
        let left = usage.sessions + usage.stores + usage.waiting_bytes;
        if left > 0 || self.peers.values().any(|peer| !peer.waiting.is_empty()) {
            return;
        }
        // Until now it was online.
        self.engine.tick(self.now());
        self.save_state();
        for done in self.suspending.drain(..) {
            let _ = done.send(());
        }
    }

    /// The largest frame that is taken on a reconciliation stream.
    pub(super) fn max_frame(&self, protocol: SyncProtocol) -> usize {
        match protocol {
            SyncProtocol::Strong => self.max_frame.max(strong::MIN_MAX_FRAME),
            _ => self.max_frame,
        }
    }

    pub(super) fn session(&mut self, id: SessionId, peer: PeerId) -> &mut Session {
        self.sessions.entry(id).or_insert_with(|| Session {
            peer,
            frames: None,
            transfer: None,
            give_up: None,
            caller: None,
            told: false,
        })
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
