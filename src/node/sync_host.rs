//! The task that owns the engine: it brings it what happened, and carries out what it decides.
//!
//! What must hold: this task never waits for a peer or for the archive. Streams run in tasks of
//! their own, the archive's answers come back as futures, and a frame's reader waits for its turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::NodeSyncReport;
use super::event::NodeEvent;
use super::peers::StreamPermit;
use super::shared::Shared;
use super::stream::Stream;
use super::sync_streams::{self, ReadOn};
use super::tasks::CancelOnDrop;
use crate::archive::{Feed, IndexEntry, PutOutcome};
use crate::engine::{
    Engine, FetchId, LoadId, Misbehaviour, Now, Output, PeerInfo, PeerKey, SessionId, StoreId,
    SyncOptions, SyncProtocol, SyncReport,
};
use crate::error::{Error, ErrorKind, Result};
use crate::types::StoredMessage;

/// What a peer may do that honest peers do not, before its connections are closed. Counted for as
/// long as it stays connected.
const MAX_PENALTIES: u32 = 10;

/// Where a sync's report goes.
pub(super) type Report = oneshot::Sender<Result<NodeSyncReport>>;

/// What the task is told. Unbounded as a queue, since all that send here are bounded: a reader has
/// one frame under way, and streams, peers and callers are limited where they come from.
pub(super) enum Input {
    /// A peer's first connection stands. Between this and [`Input::Disconnected`], and then alone,
    /// what it does counts.
    Present {
        peer: PeerId,
    },
    /// It was taken in; or what it speaks has become known since.
    Connected {
        peer: PeerId,
        reconciles: bool,
    },
    Disconnected {
        peer: PeerId,
    },
    /// A sync on demand; `ticket` names it in [`Input::Cancel`].
    Sync {
        peer: PeerId,
        options: SyncOptions,
        ticket: u64,
        report: Report,
    },
    Cancel {
        ticket: u64,
    },
    /// Gives up a session by its number.
    CancelSession {
        session: SessionId,
    },
    /// A peer opened a reconciliation stream.
    Reconcile {
        peer: PeerId,
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
    ReconciliationClosed {
        session: SessionId,
        error: Option<Error>,
    },
    TransferFrame {
        peer: PeerId,
        frame: Bytes,
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
    fn begins_a_sync(&self) -> bool {
        matches!(self, Input::Sync { .. } | Input::Reconcile { .. })
    }
}

/// What the archive answered.
enum Answer {
    Loaded(LoadId, Result<Vec<IndexEntry>>),
    Fetched(FetchId, Result<Vec<StoredMessage>>),
    Stored(StoreId, Result<Vec<PutOutcome>>),
}

/// What is kept of a session.
struct Session {
    peer: PeerId,
    /// To its reconciliation stream; dropped, it closes.
    frames: Option<mpsc::UnboundedSender<Bytes>>,
    /// To its outgoing transfer stream; dropped, it closes once all is written.
    transfer: Option<mpsc::UnboundedSender<Vec<Bytes>>>,
    /// Ends that stream at once.
    give_up: Option<oneshot::Sender<()>>,
    /// Who waits for it.
    caller: Option<(u64, Report)>,
}

/// A peer as the engine knows it.
struct Known {
    id: PeerId,
    connected: bool,
    penalties: u32,
    /// Readers that wait until the engine has room for more from this peer.
    waiting: Vec<ReadOn>,
}

/// The task.
pub(super) struct SyncHost {
    engine: Engine,
    shared: Arc<Shared>,
    max_frame: usize,
    started: Instant,
    keys: HashMap<PeerId, PeerKey>,
    peers: HashMap<PeerKey, Known>,
    next_key: u64,
    sessions: HashMap<SessionId, Session>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl SyncHost {
    /// A host for an engine of this configuration. `seed` feeds the engine's choices.
    pub(super) fn new(config: crate::engine::EngineConfig, seed: u64, shared: Arc<Shared>) -> Self {
        let now = Now { elapsed: Duration::ZERO, wall: shared.archive.now() };
        SyncHost {
            max_frame: config.max_frame,
            engine: Engine::new(config, seed, now),
            shared,
            started: Instant::now(),
            keys: HashMap::new(),
            peers: HashMap::new(),
            next_key: 0,
            sessions: HashMap::new(),
            answers: FuturesUnordered::new(),
        }
    }

    /// Runs until it is dropped. `feed` was subscribed before the engine was made.
    pub(super) async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>, mut feed: Feed) {
        let _ending = CancelOnDrop(self.shared.tasks.clone());
        let mut feeding = true;
        loop {
            self.carry_out();
            let deadline = self.engine.next_deadline().map(|d| self.started + d);
            tokio::select! {
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
                () = sleep_until(deadline) => self.engine.tick(self.now()),
            }
        }
    }

    fn now(&self) -> Now {
        Now { elapsed: self.started.elapsed(), wall: self.shared.archive.now() }
    }

    fn answered(&mut self, answer: Answer) {
        let now = self.now();
        match answer {
            Answer::Loaded(id, entries) => self.engine.loaded(now, id, entries),
            Answer::Fetched(id, messages) => self.engine.fetched(now, id, messages),
            Answer::Stored(id, outcomes) => self.engine.stored(now, id, outcomes),
        }
    }

    fn present(&mut self, id: PeerId) {
        self.next_key += 1;
        let key = PeerKey(self.next_key);
        let known = Known { id, connected: false, penalties: 0, waiting: Vec::new() };
        self.keys.insert(id, key);
        self.peers.insert(key, known);
    }

    fn connected(&mut self, key: PeerKey, reconciles: bool) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.connected = true;
            let info = PeerInfo { reconciles, ..PeerInfo::default() };
            self.engine.peer_connected(self.now(), key, info);
        }
    }

    /// The key of a peer that acts, or is to act. One of which nothing was told to the engine yet
    /// is told of now; `None` for one that has gone.
    fn acting(&mut self, id: PeerId) -> Option<PeerKey> {
        let key = *self.keys.get(&id)?;
        if !self.peers.get(&key)?.connected {
            self.connected(key, true);
        }
        Some(key)
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Present { peer } => self.present(peer),
            Input::Connected { peer, reconciles } => {
                if let Some(key) = self.keys.get(&peer) {
                    self.connected(*key, reconciles);
                }
            }
            Input::Disconnected { peer } => self.disconnected(peer),
            Input::Sync { peer, options, ticket, report } => {
                // The caller may have gone while this waited in the queue.
                if report.is_closed() {
                    return;
                }
                let Some(key) = self.acting(peer) else {
                    let gone = "the peer disconnected before the sync began";
                    let _ = report.send(Err(Error::new(ErrorKind::StreamClosed, gone)));
                    return;
                };
                match self.engine.sync(now, key, options) {
                    Ok(session) => {
                        self.session(session, peer).caller = Some((ticket, report));
                    }
                    Err(e) => {
                        let _ = report.send(Err(e));
                    }
                }
            }
            Input::Cancel { ticket } => {
                let wanted = |s: &Session| s.caller.as_ref().is_some_and(|(t, _)| *t == ticket);
                let found = self.sessions.iter().find(|(_, s)| wanted(s)).map(|(id, _)| *id);
                if let Some(session) = found {
                    self.engine.cancel(now, session);
                }
            }
            Input::CancelSession { session } => self.engine.cancel(now, session),
            Input::Reconcile { peer, stream, permit } => self.accept(peer, stream, permit),
            Input::OpenFailed { session, error } => {
                self.engine.reconciliation_failed(now, session, error);
            }
            Input::ReconciliationFrame { session, frame, go_on } => {
                if self.sessions.contains_key(&session) {
                    self.engine.reconciliation_frame(now, session, frame);
                    let _ = go_on.send(());
                }
            }
            Input::ReconciliationClosed { session, error } => {
                self.engine.reconciliation_closed(now, session, error);
            }
            Input::TransferFrame { peer, frame, go_on } => {
                // Of a peer that has gone nothing is taken: its streams are no more.
                let Some(key) = self.acting(peer) else { return };
                self.engine.transfer_frame(now, key, frame);
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.waiting.push(go_on);
                }
            }
            Input::TransferClosed { peer } => {
                if let Some(key) = self.keys.get(&peer) {
                    self.engine.transfer_closed(now, *key);
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
                    self.penalise(*key, Misbehaviour::BadFrame);
                }
            }
        }
    }

    fn disconnected(&mut self, id: PeerId) {
        let Some(key) = self.keys.remove(&id) else { return };
        self.engine.peer_disconnected(self.now(), key);
        // What the engine says of it for the last time is carried out while its name is known.
        self.carry_out();
        self.peers.remove(&key);
    }

    fn accept(&mut self, peer: PeerId, stream: Stream, permit: StreamPermit) {
        let Some(key) = self.acting(peer) else { return };
        match self.engine.reconciliation_accepted(self.now(), key, SyncProtocol::V1) {
            Ok(session) => {
                let (frames, to_send) = mpsc::unbounded_channel();
                self.session(session, peer).frames = Some(frames);
                self.shared.tasks.spawn(sync_streams::reconcile(
                    session,
                    stream,
                    to_send,
                    self.shared.sync.clone(),
                    self.max_frame,
                    Some(permit),
                ));
            }
            // The guard in the stream closes it; the peer sees that nothing was answered.
            Err(e) => tracing::debug!(%peer, "a sync was refused: {e}"),
        }
    }

    fn session(&mut self, id: SessionId, peer: PeerId) -> &mut Session {
        self.sessions.entry(id).or_insert_with(|| Session {
            peer,
            frames: None,
            transfer: None,
            give_up: None,
            caller: None,
        })
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.carry_out_one(output);
        }
        for (key, peer) in &mut self.peers {
            if !peer.waiting.is_empty() && self.engine.transfer_ready(*key) {
                for reader in peer.waiting.drain(..) {
                    let _ = reader.send(());
                }
            }
        }
    }

    fn carry_out_one(&mut self, output: Output) {
        match output {
            Output::OpenReconciliation { session, peer, protocol: _ } => {
                let Some(id) = self.peers.get(&peer).map(|p| p.id) else { return };
                let (frames, to_send) = mpsc::unbounded_channel();
                self.session(session, id).frames = Some(frames);
                let shared = self.shared.clone();
                self.shared.tasks.spawn(sync_streams::open_reconciliation(
                    shared,
                    session,
                    id,
                    to_send,
                    self.max_frame,
                ));
            }
            Output::SendReconciliation { session, frame } => {
                let frames = self.sessions.get(&session).and_then(|s| s.frames.as_ref());
                if let Some(frames) = frames {
                    // Where the stream is gone, its task says so by itself.
                    let _ = frames.send(frame);
                }
            }
            Output::CloseReconciliation { session } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.frames = None;
                }
            }
            Output::SendTransfer { session, peer, frames } => {
                self.send_transfer(session, peer, frames);
            }
            Output::CloseTransfer { session } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.transfer = None;
                }
            }
            Output::Fetch { fetch, hashes } => {
                let answer = self.shared.archive.get(hashes);
                self.answers.push(Box::pin(async move { Answer::Fetched(fetch, answer.await) }));
            }
            Output::Store { store, origin, messages } => {
                let answer = self.shared.archive.put(messages, origin);
                self.answers.push(Box::pin(async move { Answer::Stored(store, answer.await) }));
            }
            Output::Load { load, query } => {
                let answer = self.shared.archive.index(query);
                self.answers.push(Box::pin(async move { Answer::Loaded(load, answer.await) }));
            }
            Output::QueryStore { .. } | Output::Missing { .. } | Output::SaveState => {}
            Output::Penalise { peer, what } => self.penalise(peer, what),
            Output::Progress { session, progress } => {
                let known = self.sessions.get(&session).map(|s| s.peer);
                if let Some(peer_id) = known.map(|peer| peer.to_string()) {
                    let session = session.0;
                    self.shared.hub.send(NodeEvent::SyncProgress { session, peer_id, progress });
                }
            }
            Output::Finished { session, report } => self.finished(session, *report),
        }
    }

    fn send_transfer(&mut self, session: SessionId, peer: PeerKey, frames: Vec<Bytes>) {
        let Some(id) = self.peers.get(&peer).map(|p| p.id) else { return };
        let shared = self.shared.clone();
        let state = self.session(session, id);
        let sender = state.transfer.get_or_insert_with(|| {
            let (sender, to_send) = mpsc::unbounded_channel();
            let (give_up, given_up) = oneshot::channel();
            state.give_up = Some(give_up);
            let sending = sync_streams::send(shared.clone(), session, id, to_send, given_up);
            shared.tasks.spawn(sending);
            sender
        });
        let _ = sender.send(frames);
    }

    fn penalise(&mut self, key: PeerKey, what: Misbehaviour) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.penalties += 1;
        tracing::debug!(peer = %peer.id, ?what, count = peer.penalties, "penalised");
        if peer.penalties == MAX_PENALTIES {
            let (shared, id) = (self.shared.clone(), peer.id);
            tracing::info!(peer = %id, "sent away for its conduct");
            self.shared.tasks.spawn(async move {
                let _ = shared.disconnect(id).await;
            });
        }
    }

    fn finished(&mut self, id: SessionId, report: SyncReport) {
        let session = self.sessions.remove(&id);
        let known = || self.peers.get(&report.peer).map(|p| p.id);
        let Some(peer) = session.as_ref().map(|s| s.peer).or_else(known) else { return };
        tracing::info!(
            %peer,
            initiator = report.initiator,
            received = report.figures.received,
            sent = report.figures.sent,
            error = report.error.as_ref().map(tracing::field::display),
            "a sync has ended"
        );
        let report = NodeSyncReport { session: id.0, peer_id: peer.to_string(), report };
        if let Some(mut session) = session {
            if let (Some(give_up), true) = (session.give_up.take(), report.report.error.is_some()) {
                let _ = give_up.send(());
            }
            if let Some((_, caller)) = session.caller {
                let _ = caller.send(match &report.report.error {
                    Some(e) => Err(e.clone()),
                    None => Ok(report.clone()),
                });
            }
        }
        self.shared.hub.send(NodeEvent::SyncFinished(report));
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
