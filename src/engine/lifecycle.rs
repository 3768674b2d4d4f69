//! How sessions begin and end, what happens as time passes, and the pump that turns what is due
//! into outputs.
//!
//! With one peer at most one session runs that we began, and one that it began is in
//! reconciliation: when both begin at once, both go on, and neither waits for the other.

use std::time::Duration;

use super::horizon::floor;
use super::peer::Ended;
use super::protocol::choose_protocol;
use super::session::{Session, Source, State};
use super::summaries::default_window;
use super::{
    Engine, FetchId, LoadId, Misbehaviour, Output, PeerInfo, PeerKey, SessionId, StoreId,
    SyncDirection, SyncOptions, SyncProtocol, SyncReason, SyncReport,
};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::sabotage::{self, Bug};
use crate::types::TimeRange;

/// A peer with which a session ended within this time may send late messages without penalty:
/// deployed nodes send from a queue that knows no sessions.
const RECENT: Duration = Duration::from_secs(600);
/// Inbound sessions of one peer that are still sending after their reconciliation.
const MAX_TAILS: usize = 2;

impl Engine {
    /// Begins a session of ours.
    pub(super) fn begin_outbound(
        &mut self,
        peer: PeerKey,
        options: SyncOptions,
        reason: SyncReason,
    ) -> Result<SessionId> {
        let protocol = self.protocol_with(peer, &options)?;
        let strong = protocol == SyncProtocol::Strong;
        let window = self.window(options.window, strong)?;
        let running = |s: &Session| s.peer == peer && s.initiator && !s.ends();
        if self.sessions.values().any(running) {
            bail!(SyncBusy, "a sync with this peer is running already");
        }
        self.check_room(self.config.max_sessions)?;
        let id = self.begin(peer, true, options.direction, window);
        if let Some(s) = self.sessions.get_mut(&id) {
            (s.protocol, s.reason) = (protocol, reason);
            match options.direction {
                _ if options.dry_run => s.run_dry(self.config.max_messages),
                SyncDirection::Both => {}
                direction => {
                    let (announces, asks) =
                        (direction == SyncDirection::Push, direction == SyncDirection::Pull);
                    s.found = std::mem::take(&mut s.found).telling(announces, asks);
                }
            }
        }
        self.plan_store(id, &options);
        if strong {
            self.begin_strong(id, options.protocol.is_some());
        }
        Ok(id)
    }

    /// How to compare with this peer. Where nothing is known of what it speaks, opening a stream
    /// will tell.
    fn protocol_with(&self, peer: PeerKey, options: &SyncOptions) -> Result<SyncProtocol> {
        let info = self.peers.get(&peer).map(|p| p.info).unwrap_or_default();
        match choose_protocol(&info, options, &self.config) {
            Some(protocol) => Ok(protocol),
            None if !info.syncs() => Ok(options.protocol.unwrap_or_default()),
            None => {
                let what = "the peer speaks no protocol that this sync could be done by";
                Err(Error::new(ErrorKind::ProtocolUnsupported, what))
            }
        }
    }

    /// Begins a session of the peer's. What it left behind of an earlier one gives way: a peer
    /// that opens a stream anew has given up the one before.
    pub(super) fn begin_inbound(&mut self, peer: PeerKey) -> Result<SessionId> {
        let mut tails = 0;
        for id in self.sessions_of(peer) {
            let Some(s) = self.sessions.get(&id).filter(|s| !s.initiator && !s.ends()) else {
                continue;
            };
            if s.reconciles() {
                let what = "the peer began another reconciliation before this one was settled";
                self.fail(id, Error::new(ErrorKind::StreamClosed, what));
            } else if s.sending.is_done() {
                self.end(id);
            } else {
                tails += 1;
            }
            self.pump_session(id);
        }
        if tails >= MAX_TAILS {
            bail!(SyncBusy, "{tails} earlier syncs of this peer are still being sent");
        }
        let inbound = self.sessions.values().filter(|s| !s.initiator).count();
        let max_inbound = (self.config.max_sessions - self.config.max_sessions / 4).max(1);
        if inbound >= max_inbound {
            bail!(SyncBusy, "{inbound} syncs that peers began are running, no more are allowed");
        }
        self.check_room(self.config.max_sessions)?;
        let window = TimeRange::new(self.now.wall, self.now.wall).unwrap_or(TimeRange::ALL);
        let id = self.begin(peer, false, SyncDirection::Both, window);
        if let Some(s) = self.sessions.get_mut(&id) {
            (s.state, s.stream_open) = (State::Awaits, true);
        }
        Ok(id)
    }

    pub(super) fn begin(
        &mut self,
        peer: PeerKey,
        initiator: bool,
        direction: SyncDirection,
        window: TimeRange,
    ) -> SessionId {
        let id = SessionId(self.next_id());
        let mut session = Session::new(peer, initiator, direction, window, &self.config, self.now);
        let entry = self.peers.entry(peer).or_default();
        entry.sessions.push(id);
        session.group = entry.info.group;
        session.deployed = entry.info.deployed;
        self.sessions.insert(id, session);
        id
    }

    fn check_room(&self, max: usize) -> Result<()> {
        if self.sessions.len() >= max.max(1) {
            bail!(SyncBusy, "{} syncs are running, no more are allowed", self.sessions.len());
        }
        Ok(())
    }

    /// The window of a sync of ours, within what the wire can say and the clock allows.
    pub(super) fn window(&self, asked: Option<TimeRange>, strong: bool) -> Result<TimeRange> {
        let now = self.now.wall;
        let window = match asked {
            Some(window) if window.start() > now => {
                bail!(InvalidArgument, "the window {window:?} lies in the future, it is {now} now")
            }
            Some(window) => window.intersect(&self.comparable()?),
            None if strong => default_window(now, self.config.window, self.config.margin)
                .intersect(&self.comparable()?),
            None => {
                let end = floor(now.saturating_sub(self.config.margin));
                TimeRange::new(floor(end.saturating_sub(self.config.window)), end)?
                    .intersect(&self.comparable()?)
            }
        };
        if window.is_empty() {
            bail!(
                InvalidArgument,
                "the window to sync is empty, or nothing of it is kept any more"
            );
        }
        Ok(window)
    }

    /// Ends a session with an error. What it already gave the archive is still waited for.
    pub(super) fn fail(&mut self, id: SessionId, error: Error) {
        if let Some(s) = self.sessions.get_mut(&id).filter(|s| !s.ends()) {
            s.error.get_or_insert(error.clone());
            self.tell_refusal(id, &error);
            self.end(id);
        }
    }

    /// Ends a session: closes its streams, lets go of what it held.
    pub(super) fn end(&mut self, id: SessionId) {
        let Some(s) = self.sessions.get_mut(&id).filter(|s| !s.ends()) else { return };
        // Also where the peer seemed to have closed its stream: that may have been another's.
        let may_come = s.takes() && (s.outstanding() > 0 || s.spans_granted);
        let may_come = may_come && !sabotage::is(Bug::NoGrace);
        s.left = if s.takes() { s.outstanding() } else { 0 };
        s.left += s.over.as_ref().map_or(0, |over| over.outstanding());
        s.state = State::Ends;
        s.source = Source::Horizon;
        s.sending.abandon();
        if s.sending.close() {
            self.outputs.push_back(Output::CloseTransfer { session: id });
        }
        if std::mem::take(&mut s.stream_open) {
            self.outputs.push_back(Output::CloseReconciliation { session: id });
        }
        self.fetches.retain(|_, session| *session != id);
        self.queries.retain(|_, session| *session != id);
        let Some(peer) = self.peers.get_mut(&s.peer) else { return };
        peer.last_session = Some(self.now.elapsed);
        peer.session_ended(s.got_messages && !s.peer_closed_transfer);
        if let Some(mut grants) = s.grants.take()
            && may_come
            && !s.error.as_ref().is_some_and(broke_the_protocol)
        {
            grants.seal();
            let since = self.now.elapsed;
            let (until, at_most) = (since + self.config.grace, since + self.config.grace * 6);
            peer.keep_ended(Ended { grants, since, until, at_most });
            self.trim_ended();
        }
    }

    /// What ended sessions may still bring is bounded over all peers.
    fn trim_ended(&mut self) {
        let kept = |p: &super::Peer| p.ended.iter().map(Ended::weight).sum::<usize>();
        let mut held: usize = self.peers.values().map(kept).sum();
        while held > self.config.max_ended {
            let first = |p: &mut super::Peer| p.ended.front().map(|ended| ended.since);
            let peers = self.peers.values_mut().filter_map(|p| Some((first(p)?, p)));
            let Some((_, peer)) = peers.min_by_key(|(since, _)| *since) else { return };
            held -= peer.ended.pop_front().map_or(0, |ended| ended.weight());
        }
    }

    /// The one place where [`Output::Finished`] is made.
    fn finish(&mut self, id: SessionId) {
        let Some(mut s) = self.sessions.remove(&id) else { return };
        if s.protocol == SyncProtocol::Store {
            s.agreement = s.agreement_over_store();
        }
        self.note_end(&mut s);
        self.resume_session_ended(id, &s);
        if let Some(peer) = self.peers.get_mut(&s.peer) {
            peer.sessions.retain(|other| *other != id);
        }
        let report = SyncReport {
            peer: s.peer,
            initiator: s.initiator,
            window: s.reported_window(),
            figures: s.figures,
            duration: self.now.elapsed.saturating_sub(s.started),
            error: s.error,
            outstanding: s.left + s.unstored,
            protocol: s.protocol,
            reason: s.reason,
            agreement: s.agreement,
            difference: s.difference,
        };
        self.session_over(&report, s.group);
        self.outputs.push_back(Output::Finished { session: id, report: Box::new(report) });
    }

    /// All connections to a peer are gone.
    pub(super) fn peer_gone(&mut self, key: PeerKey) {
        for id in self.sessions_of(key) {
            let Some(s) = self.sessions.get_mut(&id) else { continue };
            // The streams went with the connection: nothing is left to be closed.
            s.stream_open = false;
            let complete = matches!(s.state, State::Settled)
                && s.sending.is_done()
                && !s.awaits_messages()
                && s.over.as_ref().is_none_or(|over| over.is_done());
            s.sending.broke();
            if complete {
                self.end(id);
            } else {
                let what = "the connection to the peer ended before the sync did";
                self.fail(id, Error::new(ErrorKind::StreamClosed, what));
            }
        }
        self.peer_left(key);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.connected = false;
            peer.info = PeerInfo::default();
            (peer.unclosed, peer.closes) = (0, 0);
            peer.ended.clear();
            peer.drain_early();
        }
    }

    /// Tells the host of something that honest peers do not do.
    pub(super) fn penalise(&mut self, peer: PeerKey, what: Misbehaviour) {
        self.outputs.push_back(Output::Penalise { peer, what });
    }

    /// Whether a message of this peer outside of any session can have no honest reason.
    pub(super) fn is_stranger(&self, peer: PeerKey) -> bool {
        self.peers
            .get(&peer)
            .and_then(|p| p.last_session)
            .is_none_or(|at| self.now.elapsed > at + RECENT)
    }

    // --- time ---

    pub(super) fn pass_deadlines(&mut self) {
        let now = self.now.elapsed;
        let wanted = self.keeps_sums();
        self.horizon.keep_up(self.now, self.config.window, self.config.margin, wanted);
        if self.horizon.deadline() <= now {
            let keep = self.compared_from();
            self.horizon.prune(self.now, keep);
        }
        let late: Vec<(SessionId, Error)> = self
            .sessions
            .iter()
            .filter_map(|(id, s)| Some((*id, s.timed_out(now, &self.config)?)))
            .collect();
        for (id, error) in late {
            self.fail(id, error);
        }
        self.expire_early();
        for peer in self.peers.values_mut() {
            peer.ended.retain(|ended| ended.until > now);
        }
        self.keep_schedule();
    }

    pub(super) fn earliest_deadline(&self) -> Option<Duration> {
        let horizon = [
            Some(self.horizon.deadline()),
            self.keeps_sums().then(|| self.horizon.summaries.deadline()),
            self.horizon.walk.as_ref().and_then(|w| w.backoff.deadline()),
            self.horizon.content.deadline(),
            self.schedule.deadline(),
            self.presence.deadline(),
            self.resume_deadline(),
        ];
        let sessions = self.sessions.values().map(|s| s.deadline(&self.config));
        let peers = self.peers.iter().flat_map(|(key, peer)| {
            let early = peer.early.front().map(|e| e.came + self.config.grace);
            let ended = peer.ended.iter().map(|e| e.until).min();
            [peer.backoff.deadline(), ended, early.filter(|_| !self.may_announce(*key))]
        });
        horizon.into_iter().chain(sessions).chain(peers).flatten().min()
    }

    // --- the pump ---

    /// Turns all that is due into outputs. Called at the end of every call from outside.
    pub(super) fn pump(&mut self) {
        let load = LoadId(self.last_id + 1);
        if let Some(walk) = &mut self.horizon.walk
            && let Some(query) = walk.step(self.now.elapsed, load)
        {
            self.last_id = load.0;
            self.outputs.push_back(Output::Load { load, query });
        }
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.pump_session(id);
        }
        self.pump_content();
        self.pump_stores();
        self.peers.retain(|_, peer| !peer.is_idle());
        self.keep_presence();
        self.drive_resume();
    }

    pub(super) fn pump_session(&mut self, id: SessionId) {
        self.leave_waiting(id);
        self.pump_strong(id);
        self.pump_over_store(id);
        let now = self.now.elapsed;
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let next = self.last_id + 1;
        if let State::Loads(walk, _) = &mut s.state
            && let Some(query) = walk.step(now, LoadId(next))
        {
            self.last_id = next;
            self.outputs.push_back(Output::Load { load: LoadId(next), query });
        }
        let next = self.last_id + 1;
        if !s.ends()
            && let Some(hashes) = s.sending.next_fetch(now, FetchId(next))
        {
            self.last_id = next;
            self.fetches.insert(FetchId(next), id);
            self.outputs.push_back(Output::Fetch { fetch: FetchId(next), hashes });
        }
        let frames = s.sending.next_frames(now);
        if !frames.is_empty() {
            self.outputs.push_back(Output::SendTransfer { session: id, peer: s.peer, frames });
        }
        if matches!(s.state, State::Settled | State::Ends)
            && s.strong.is_none()
            && s.sending.is_handed_over()
            && s.sending.close()
        {
            self.outputs.push_back(Output::CloseTransfer { session: id });
        }
        let transferred = matches!(s.state, State::Settled)
            && s.strong.is_none()
            && s.sending.is_done()
            && s.pending_store == 0
            && (!s.awaits_messages()
                || now >= s.grace_ends(&self.config)
                || sabotage::is(Bug::NoGrace));
        let turned = transferred && s.turn_to_store(now);
        let transferred = transferred && !turned;
        if let Some(progress) = s.progress(now).filter(|_| !transferred) {
            self.outputs.push_back(Output::Progress { session: id, progress });
        }
        if turned {
            self.pump_over_store(id);
        } else if transferred {
            self.end(id);
        }
        if self.sessions.get(&id).is_some_and(|s| s.ends() && s.pending_store == 0) {
            self.finish(id);
        }
    }

    fn pump_stores(&mut self) {
        for (key, peer) in &mut self.peers {
            while let Some(batch) = peer.next_batch(self.now.elapsed) {
                self.last_id += 1;
                let store = StoreId(self.last_id);
                let origin = batch.origin;
                let messages = batch.items.iter().map(|taken| taken.message.clone()).collect();
                self.stores.insert(store, (*key, batch));
                self.outputs.push_back(Output::Store { store, origin, messages });
            }
        }
    }
}

/// Whether the error says that the peer did not keep to the protocol.
fn broke_the_protocol(error: &Error) -> bool {
    use ErrorKind::{FrameTooLarge, InvalidTopic, Malformed, SyncProtocol, Truncated};
    matches!(error.kind(), FrameTooLarge | InvalidTopic | Malformed | SyncProtocol | Truncated)
}
