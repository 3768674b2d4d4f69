//! What the engine decides, carried out; and told to whoever reads the node's events.
//!
//! What must hold: a sync's beginning is told before its progress, and its end after all that it
//! stored (`event` sees to that); of each session exactly one end is told.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::event::{Ended, NodeEvent, SyncStarted};
use super::sync_host::{Answer, SyncHost};
use super::{NodeSyncReport, store_client, sync_streams};
use crate::engine::{Misbehaviour, Output, PeerKey, QueryId, SessionId, SyncProtocol, SyncReport};
use crate::error::{Error, ErrorKind};
use crate::types::Query;
use crate::wire::{reconciliation, strong};

/// Whether a sync that ended so ended by the peer's doing.
fn is_the_peers(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TimedOut
            | ErrorKind::SyncProtocol
            | ErrorKind::Malformed
            | ErrorKind::Truncated
            | ErrorKind::FrameTooLarge
            | ErrorKind::StoreBadResponse
            | ErrorKind::StoreUnavailable
    )
}

impl SyncHost {
    pub(super) fn carry_out(&mut self) {
        self.tell_beginnings();
        loop {
            while let Some(output) = self.engine.poll_output() {
                self.carry_out_one(output);
            }
            if !self.take_frames() {
                return;
            }
        }
    }

    /// Gives the engine the frames that have come and that it has room for, and lets readers read
    /// on; false where there was nothing to give.
    fn take_frames(&mut self) -> bool {
        let now = self.now();
        let mut gave = false;
        for (key, peer) in &mut self.peers {
            while self.engine.transfer_ready(*key) {
                let Some(brought) = peer.waiting.first_mut() else { break };
                match brought.frames.next() {
                    Some(frame) => {
                        self.engine.transfer_frame(now, *key, frame);
                        gave = true;
                    }
                    None => {
                        let _ = peer.waiting.remove(0).go_on.send(());
                    }
                }
            }
        }
        gave
    }

    /// Tells of sessions that have begun, once it is known what they compare.
    fn tell_beginnings(&mut self) {
        for id in self.engine.begun_after(self.newest) {
            self.newest = id;
            let key = self.engine.running(id).map(|s| s.peer);
            if let Some(peer) = key.and_then(|key| self.peers.get(&key)).map(|p| p.id) {
                self.session(id, peer);
            }
        }
        for (id, session) in self.sessions.iter_mut().filter(|(_, s)| !s.told) {
            let Some(running) = self.engine.running(*id) else { continue };
            let Some(window) = running.window else { continue };
            session.told = true;
            self.shared.hub.send(NodeEvent::SyncStarted(SyncStarted {
                session: id.0,
                peer_id: session.peer.to_string(),
                initiator: running.initiator,
                reason: running.reason,
                window,
                protocol: running.protocol,
            }));
        }
    }

    fn carry_out_one(&mut self, output: Output) {
        match output {
            Output::OpenReconciliation { session, peer, protocol } => {
                self.open_reconciliation(session, peer, protocol);
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
            Output::Missing { missing, hashes } => {
                let answer = self.shared.archive.missing(hashes);
                self.answers.push(Box::pin(async move { Answer::Missing(missing, answer.await) }));
            }
            Output::QueryStore { query, peer, request } => self.query(query, peer, *request),
            Output::SaveState => {
                self.publish_coverage();
                self.save_state();
            }
            Output::Penalise { peer, what } => self.penalise(peer, what),
            Output::Progress { session, progress } => {
                let known = self.sessions.get(&session).filter(|s| s.told).map(|s| s.peer);
                if let Some(peer_id) = known.map(|peer| peer.to_string()) {
                    let session = session.0;
                    self.shared.hub.send(NodeEvent::SyncProgress { session, peer_id, progress });
                }
            }
            Output::Finished { session, report } => self.finished(session, *report),
        }
    }

    fn open_reconciliation(&mut self, session: SessionId, peer: PeerKey, speak: SyncProtocol) {
        let Some(id) = self.peers.get(&peer).map(|p| p.id) else { return };
        let protocol = match speak {
            SyncProtocol::V1 => reconciliation::PROTOCOL,
            SyncProtocol::Strong => strong::PROTOCOL,
            SyncProtocol::Store => {
                let what = "Store has no reconciliation stream";
                let error = Error::new(ErrorKind::ProtocolUnsupported, what);
                return self.engine.reconciliation_failed(self.now(), session, error);
            }
        };
        let (frames, to_send) = mpsc::unbounded_channel();
        self.session(session, id).frames = Some(frames);
        self.shared.tasks.spawn(sync_streams::open_reconciliation(
            self.shared.clone(),
            session,
            id,
            protocol,
            to_send,
            self.max_frame(speak),
        ));
    }

    fn query(&mut self, query: QueryId, peer: PeerKey, request: Query) {
        let Some(peer) = self.peers.get(&peer).map(|p| p.id) else {
            let error = Error::new(ErrorKind::StreamClosed, "the peer has disconnected");
            return self.engine.store_answered(self.now(), query, Err(error));
        };
        let (shared, queries) = (self.shared.clone(), self.queries.clone());
        self.answers.push(Box::pin(async move {
            let page = match queries.acquire().await {
                Ok(_permit) => store_client::ask(&shared, peer, request).await,
                Err(_) => Err(super::shared::stopped()),
            };
            Answer::Page(query, page)
        }));
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

    pub(super) fn penalise(&mut self, key: PeerKey, what: Misbehaviour) {
        let Some(id) = self.peers.get(&key).map(|p| p.id) else { return };
        tracing::debug!(peer = %id, ?what, "penalised");
        if self.conduct.penalise(id) {
            tracing::info!(peer = %id, "sent away for its conduct");
            let shared = self.shared.clone();
            self.shared.tasks.spawn(async move { shared.send_away(id).await });
        }
    }

    fn finished(&mut self, id: SessionId, report: SyncReport) {
        let session = self.sessions.remove(&id);
        let known = || self.peers.get(&report.peer).map(|p| p.id);
        let Some(peer) = session.as_ref().map(|s| s.peer).or_else(known) else { return };
        tracing::info!(
            %peer,
            initiator = report.initiator,
            protocol = ?report.protocol,
            reason = ?report.reason,
            agreement = ?report.agreement,
            received = report.figures.received,
            sent = report.figures.sent,
            error = report.error.as_ref().map(tracing::field::display),
            "a sync has ended"
        );
        let report = NodeSyncReport { session: id.0, peer_id: peer.to_string(), report };
        let mut caller = None;
        if let Some(mut session) = session {
            if let (Some(give_up), true) = (session.give_up.take(), report.report.error.is_some()) {
                let _ = give_up.send(());
            }
            caller = session.caller.map(|(_, caller)| caller);
        }
        // A peer that breaks syncs down is not the one to keep.
        if report.report.error.as_ref().is_some_and(|e| is_the_peers(e.kind())) {
            self.shared.measured.failed(peer);
        }
        self.publish_coverage();
        // It fails only where the node stops, and then nobody waits.
        let _ = self.ended.send(Ended { report, caller });
    }
}
