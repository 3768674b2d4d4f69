//! Reconciliation: frames in, frames out, and what they tell handed to sending and to the grants.
//!
//! What must hold: frames alternate; whoever sends or receives an empty (or all-skip) payload is
//! done and closes the stream; the scope and the window are fixed by the first exchange.

use bytes::Bytes;

use super::horizon::{MAX_TOPICS, same_scope};
use super::session::{Session, Source, State};
use super::walk::Walk;
use super::{Engine, LoadId, Misbehaviour, Output, SessionId, framed};
use crate::archive::{IndexEntry, MAX_CONTENT_TOPICS};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::sync::grants::Grants;
use crate::sync::index::Index;
use crate::sync::reconcile::{self, Differences, View};
use crate::types::{MessageHash, TimeRange, Timestamp};
use crate::wire::reconciliation::{Payload, Scope};

impl Engine {
    // --- which ids are compared ---

    /// A session that waited for the engine's index goes on once that stands.
    pub(super) fn leave_waiting(&mut self, id: SessionId) {
        if !self.horizon.is_ready() {
            return;
        }
        if let Some(s) = self.sessions.get_mut(&id)
            && let State::WaitsForIndex(pending) = &mut s.state
        {
            let pending = pending.take();
            self.choose_source(id, pending);
        }
    }

    /// Takes the engine's index where it covers window and scope, or begins to load.
    fn choose_source(&mut self, id: SessionId, pending: Option<Payload>) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        s.moved = self.now.elapsed;
        if s.window.is_empty() || self.horizon.covers(&s.window, &s.scope) {
            s.source = Source::Horizon;
            self.proceed(id, pending);
        } else {
            s.source = Source::Own(Index::new());
            s.state = State::Loads(Box::new(Walk::new(s.window, &s.scope)), pending);
        }
    }

    /// A step of a session's own walk has its answer.
    pub(super) fn session_loaded(&mut self, load: LoadId, entries: Result<Vec<IndexEntry>>) {
        let awaits = |s: &Session| matches!(&s.state, State::Loads(walk, _) if walk.awaits(load));
        let Some(id) = self.sessions.iter().find(|(_, s)| awaits(s)).map(|(id, _)| *id) else {
            return;
        };
        let max = self.config.max_loaded;
        let held: usize = self.sessions.values().map(Session::loaded_ids).sum();
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let (State::Loads(walk, pending), Source::Own(index)) = (&mut s.state, &mut s.source)
        else {
            return;
        };
        let advanced = entries.and_then(|entries| {
            if held + entries.len() > max {
                let what = format!(
                    "the window and scope of the sync hold more messages than the {max} that may \
                     be loaded at once, {} of them for this sync: choose a shorter window",
                    index.len()
                );
                return Err(Error::new(ErrorKind::InvalidArgument, what));
            }
            for entry in &entries {
                index.insert(entry.id);
            }
            walk.advance(&entries)
        });
        match advanced {
            Ok(ended) => {
                s.moved = self.now.elapsed;
                if ended {
                    let pending = pending.take();
                    self.proceed(id, pending);
                }
            }
            // The session's own deadline ends this where the archive stays busy.
            Err(error) if error.kind() == ErrorKind::Busy => {
                walk.failed(self.now.elapsed);
            }
            Err(error) => self.fail(id, error.context("loading the ids to compare")),
        }
    }

    fn proceed(&mut self, id: SessionId, pending: Option<Payload>) {
        match pending {
            None => self.open(id),
            Some(payload) => self.answer(id, &payload),
        }
    }

    // --- frames ---

    /// The initiator's first frame.
    fn open(&mut self, id: SessionId) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let view = match &s.source {
            Source::Horizon => self.horizon.view(&s.scope),
            Source::Own(index) => View(vec![index]),
        };
        let payload = reconcile::initiate(&view, s.window, &self.config.scope, &self.config.tuning);
        s.window_ids = view.count(s.window) as u64;
        s.settling.step(&payload);
        s.stream_open = true;
        let protocol = s.protocol;
        self.outputs.push_back(Output::OpenReconciliation { session: id, peer: s.peer, protocol });
        self.send(id, &payload);
    }

    /// Sends a payload; an empty one is the last of the session.
    fn send(&mut self, id: SessionId, payload: &Payload) {
        self.send_frame(id, Bytes::from(payload.encode()));
        if payload.ranges.is_empty() {
            self.settle(id);
        }
    }

    fn send_frame(&mut self, id: SessionId, frame: Bytes) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        s.figures.frames += 1;
        s.figures.reconciliation_bytes_out += framed(frame.len());
        s.state = State::Awaits;
        s.moved = self.now.elapsed;
        self.outputs.push_back(Output::SendReconciliation { session: id, frame });
    }

    /// A frame from the peer.
    pub(super) fn frame_came(&mut self, id: SessionId, frame: &[u8]) {
        let Some(s) = self.sessions.get_mut(&id).filter(|s| s.reconciles()) else { return };
        s.figures.frames += 1;
        s.figures.reconciliation_bytes_in += framed(frame.len());
        s.rounds += 1;
        let rounds = s.rounds;
        let payload = if !matches!(s.state, State::Awaits) {
            Err(Error::new(ErrorKind::SyncProtocol, "a frame came while it was our turn to answer"))
        } else if frame.len() > self.config.max_frame {
            let (len, max) = (frame.len(), self.config.max_frame);
            let what = format!("a frame is {len} bytes long, at most {max} are allowed");
            Err(Error::new(ErrorKind::FrameTooLarge, what))
        } else {
            Payload::decode(frame)
        };
        match payload {
            // An honest peer of an older release; it cannot know that we do not speak as it does.
            Err(_) if Payload::is_of_shards_dialect(frame) => {
                let what =
                    "the peer speaks the shards dialect of reconciliation (nwaku v0.35, v0.36)";
                self.fail(id, Error::new(ErrorKind::ProtocolUnsupported, what));
            }
            Err(error) => self.bad_frame(id, error),
            Ok(payload) if payload.ranges.is_empty() => {
                // Deployed peers say by no byte at all that their scope does not meet ours.
                if !frame.is_empty() {
                    self.all_compared(id);
                }
                self.settle(id);
            }
            Ok(_) if rounds > self.config.max_rounds => {
                let what = format!("reconciliation was not settled after {rounds} frames");
                self.fail(id, Error::new(ErrorKind::SyncProtocol, what));
            }
            Ok(payload) => self.payload_came(id, payload),
        }
    }

    fn bad_frame(&mut self, id: SessionId, error: Error) {
        let Some(s) = self.sessions.get(&id) else { return };
        self.penalise(s.peer, Misbehaviour::BadFrame);
        self.fail(id, error.context("a reconciliation frame of the peer"));
    }

    fn payload_came(&mut self, id: SessionId, payload: Payload) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        match &s.told {
            None => self.first_payload(id, payload),
            Some(told) if same_scope(told, &payload.scope) => self.answer(id, &payload),
            Some(_) => {
                let what = "the peer changed its topics in the middle of the session";
                self.fail(id, Error::new(ErrorKind::SyncProtocol, what));
            }
        }
    }

    /// The peer's first payload fixes the scope, and for a responder the window.
    fn first_payload(&mut self, id: SessionId, payload: Payload) {
        let limits = self.comparable();
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let Some(scope) = reconcile::meet(&self.config.scope, &payload.scope) else {
            // The wire's way to say so, and not the one that says that both hold the same. To a
            // responder it is no failure: nothing was to be compared.
            let initiator = s.initiator;
            self.send_frame(id, Bytes::new());
            self.settle(id);
            if initiator {
                let what = "the peer serves none of the topics that were to be compared";
                self.fail(id, Error::new(ErrorKind::SyncScope, what));
            }
            return;
        };
        if let Err(error) = check_size(&scope, &self.config.scope) {
            self.fail(id, error);
            return;
        }
        s.told = Some(payload.scope.clone());
        if !s.initiator {
            s.window = match limits {
                Ok(limits) => span(&payload).intersect(&limits),
                Err(_) => span(&payload),
            };
        }
        let grants =
            Grants::new(s.window, scope.clone(), self.config.max_messages, self.config.max_bytes);
        s.grants = Some(grants);
        let as_before = s.initiator && same_scope(&scope, &s.scope);
        s.scope = scope;
        if as_before {
            self.answer(id, &payload);
        } else if self.horizon.is_ready() {
            self.choose_source(id, Some(payload));
        } else {
            s.moved = self.now.elapsed;
            s.state = State::WaitsForIndex(Some(payload));
        }
    }

    fn answer(&mut self, id: SessionId, payload: &Payload) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let view = match &s.source {
            Source::Horizon => self.horizon.view(&s.scope),
            Source::Own(index) => View(vec![index]),
        };
        let (scope, tuning) = (&self.config.scope, &self.config.tuning);
        match reconcile::respond(&view, payload, s.window, scope, tuning, &mut s.found) {
            Err(error) => self.bad_frame(id, error),
            Ok(reply) => {
                s.window_ids = view.count(s.window) as u64;
                s.settling.step(payload);
                if let Some(reply) = &reply {
                    s.settling.step(reply);
                }
                if s.may_tell(self.now.elapsed) {
                    let settled = s.window_ids.saturating_sub(s.settling.open_ids(&view));
                    s.figures.ids_compared = s.figures.ids_compared.max(settled);
                }
                s.figures.ranges_settled = s.settling.ranges();
                absorb(s);
                if reply.as_ref().is_none_or(|reply| reply.ranges.is_empty()) {
                    self.all_compared(id);
                }
                let Some(s) = self.sessions.get(&id) else { return };
                let peer = s.peer;
                match reply {
                    Some(reply) => self.send(id, &reply),
                    None => self.settle(id),
                }
                self.judge_early(peer);
            }
        }
    }

    /// Nothing is left to compare.
    fn all_compared(&mut self, id: SessionId) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        s.compared = true;
        s.settling.end();
        s.figures.ranges_settled = s.settling.ranges();
        s.figures.ids_compared = s.figures.ids_compared.max(s.window_ids);
    }

    /// Reconciliation is over, by either side's empty payload.
    fn settle(&mut self, id: SessionId) {
        let Some(s) = self.sessions.get_mut(&id).filter(|s| s.reconciles()) else { return };
        s.state = State::Settled;
        s.moved = self.now.elapsed;
        s.source = Source::Horizon;
        s.found = Differences::default();
        if let Some(grants) = &mut s.grants {
            grants.seal();
        }
        if std::mem::take(&mut s.stream_open) {
            self.outputs.push_back(Output::CloseReconciliation { session: id });
        }
        let peer = s.peer;
        self.judge_early(peer);
    }

    /// The session's stream is gone, or could not be had.
    pub(super) fn stream_ended(&mut self, id: SessionId, error: Option<Error>) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        s.stream_open = false;
        if s.reconciles() {
            let what = "the peer closed the stream before reconciliation was settled";
            let error = error.unwrap_or_else(|| Error::new(ErrorKind::StreamClosed, what));
            self.fail(id, error);
        }
    }
}

/// Bounds what the archive is asked to load: of a peer's own topics only so many.
fn check_size(scope: &Scope, own: &Scope) -> Result<()> {
    let (pubsub, content) = (scope.pubsub_topics.len(), scope.content_topics.len());
    if own.pubsub_topics.is_empty() && pubsub > MAX_TOPICS {
        bail!(
            SyncScope,
            "the peer names {pubsub} pubsub topics, at most {MAX_TOPICS} are compared"
        );
    }
    if own.content_topics.is_empty() && content > MAX_CONTENT_TOPICS {
        bail!(
            SyncScope,
            "the peer names {content} content topics, at most {MAX_CONTENT_TOPICS} are compared"
        );
    }
    Ok(())
}

/// Hands what was found since the last payload to sending and to the grants.
fn absorb(s: &mut Session) {
    let (sends, takes) = (s.sends(), s.takes());
    // The lists alone: what is settled must stay known.
    let local_only = std::mem::take(&mut s.found.local_only);
    let local_beyond = std::mem::take(&mut s.found.local_beyond);
    s.figures.surplus += (local_only.len() + local_beyond) as u64;
    if let Some(difference) = &mut s.difference {
        let beyond = std::mem::take(&mut s.found.remote_beyond);
        s.figures.missing += (s.found.remote_only.len() + beyond) as u64;
        difference.missing.append(&mut s.found.remote_only);
        difference.surplus.extend(local_only);
        return;
    }
    if sends {
        s.sending.queue(local_only);
    }
    let Some(grants) = &mut s.grants else { return };
    let before = grants.outstanding();
    for id in s.found.remote_only.drain(..) {
        grants.expect(id);
    }
    grants.expect_unnamed(std::mem::take(&mut s.found.remote_beyond));
    s.figures.missing += grants.outstanding().saturating_sub(before) as u64;
    for (lower, upper) in s.found.granted.drain(..) {
        grants.grant(lower, upper);
        s.spans_granted |= takes;
    }
}

/// The time that a payload's ranges span.
fn span(payload: &Payload) -> TimeRange {
    let end = payload.ranges.last().map_or(payload.lower, |range| match range.upper.hash {
        MessageHash::ZERO => range.upper.timestamp,
        _ => Timestamp(range.upper.timestamp.nanos().saturating_add(1)),
    });
    TimeRange::new(payload.lower, end)
        .unwrap_or(TimeRange::new(payload.lower, payload.lower).unwrap_or(TimeRange::ALL))
}
