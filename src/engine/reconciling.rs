//! Reconciliation: frames in, frames out, and what they tell handed to sending and to the grants.
//!
//! What must hold: frames alternate; whoever sends or receives an empty (or all-skip) payload is
//! done and closes the stream; the scope and the window are fixed by the first exchange.

use bytes::Bytes;

use super::deployed;
use super::dialect::Frame;
use super::horizon::{MAX_TOPICS, same_scope};
use super::refused::Refused;
use super::session::{Session, Source, State};
use super::walk::Walk;
use super::{Engine, LoadId, Misbehaviour, Output, SessionId, SyncProtocol, framed};
use crate::archive::{IndexEntry, MAX_CONTENT_TOPICS};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::sync::grants::Grants;
use crate::sync::index::Index;
use crate::sync::reconcile::{self, Differences, View};
use crate::types::{MessageHash, SyncId, TimeRange, Timestamp};
use crate::wire::reconciliation::{Payload, RangeData, Scope};

/// The largest first frame of a session: what it asks for may have to be loaded, and until then
/// the frame is held. An honest one says of a window that it is there, by a range or a few.
const MAX_FIRST_FRAME: usize = 1024 * 1024;
/// So many bytes of a frame at least come in any idle time, of a peer that is there.
const MIN_PROGRESS: usize = 16 * 1024;

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
            if s.told.is_none() && s.protocol == SyncProtocol::V1 {
                let Some(scope) = self.spoken.scope() else {
                    let what = "no topic of the scope is a shard of the cluster, and the shards \
                                dialect can say no other";
                    self.fail(id, Error::new(ErrorKind::SyncScope, what));
                    return;
                };
                s.scope = scope.clone();
            }
            if pending.is_some() || self.cut_to_index(id) {
                self.choose_source(id, pending);
            }
        }
    }

    /// Takes the engine's index where it covers window and scope, waits for its trees by content
    /// topic where those can be had, or begins to load.
    pub(super) fn choose_source(&mut self, id: SessionId, pending: Option<Payload>) {
        let gathers = self.gathers_content(id);
        let Some(s) = self.sessions.get_mut(&id) else { return };
        if gathers {
            s.state = State::WaitsForIndex(pending);
            return;
        }
        s.moved = self.now.elapsed;
        if s.window.is_empty() || self.horizon.covers(&s.window, &s.scope) {
            s.source = Source::Horizon;
            self.proceed(id, pending);
        } else if (pending.is_some() || self.is_strangers(id)) && !self.may_load(id) {
            // An empty payload would say that both sides hold the same: closed without an answer.
            let what = "too much was loaded for peers in the last minute: try again later";
            self.fail(id, Error::new(ErrorKind::SyncBusy, what));
        } else if let Some(s) = self.sessions.get_mut(&id) {
            s.source = Source::Own(Index::new());
            s.state = State::Loads(Box::new(Walk::new(s.window, &s.scope)), pending);
        }
    }

    /// Whether a peer began it, by our own protocol.
    fn is_strangers(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|s| !s.initiator && s.strong.is_some())
    }

    /// Whether ids may be loaded because of what the session's peer asked.
    fn may_load(&mut self, id: SessionId) -> bool {
        let Some(peer) = self.sessions.get(&id).and_then(|s| self.peers.get_mut(&s.peer)) else {
            return false;
        };
        let now = self.now.elapsed;
        let of_peer = peer.loads.may_load(self.config.peer_loads, now);
        self.loads.may_load(self.config.all_loads, now) && of_peer
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
        if let Ok(entries) = &entries
            && (pending.is_some() || (!s.initiator && s.strong.is_some()))
        {
            self.loads.loaded(entries.len());
            if let Some(peer) = self.peers.get_mut(&s.peer) {
                peer.loads.loaded(entries.len());
            }
        }
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
            None if self.sessions.get(&id).is_some_and(|s| s.strong.is_some()) => {
                self.strong_ready(id);
            }
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
        let Some(own) = self.spoken.scope() else { return };
        let scope = deployed::told(own, s);
        let payload = reconcile::initiate(&view, s.window, &scope, &self.config.tuning);
        s.window_ids = view.count(s.window) as u64;
        s.settling.step(&payload);
        // To a deployed peer it would say nothing.
        let payload = if s.deployed { payload } else { reconcile::mark(payload, &s.found) };
        s.stream_open = true;
        let protocol = s.protocol;
        self.outputs.push_back(Output::OpenReconciliation { session: id, peer: s.peer, protocol });
        self.send(id, &payload);
    }

    /// Sends a payload; an empty one is the last of the session.
    fn send(&mut self, id: SessionId, payload: &Payload) {
        self.send_frame(id, Bytes::from(self.spoken.encode(payload)));
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
        s.frame_bytes = 0;
        self.outputs.push_back(Output::SendReconciliation { session: id, frame });
    }

    /// So many bytes of the peer's next frame have come.
    pub(super) fn frame_grows(&mut self, id: SessionId, bytes: usize) {
        if let Some(s) = self.sessions.get_mut(&id)
            && matches!(s.state, State::Awaits)
            && bytes >= s.frame_bytes.saturating_add(MIN_PROGRESS)
        {
            (s.frame_bytes, s.moved) = (bytes, self.now.elapsed);
        }
    }

    /// A frame from the peer.
    pub(super) fn frame_came(&mut self, id: SessionId, frame: &[u8]) {
        if self.sessions.get(&id).is_some_and(|s| s.strong.is_some()) {
            self.strong_frame(id, frame);
            return;
        }
        let Some(s) = self.sessions.get_mut(&id).filter(|s| s.reconciles()) else { return };
        s.figures.frames += 1;
        s.figures.reconciliation_bytes_in += framed(frame.len());
        s.rounds += 1;
        let rounds = s.rounds;
        let max_first = MAX_FIRST_FRAME.min(self.config.max_frame);
        if !s.initiator && s.told.is_none() && frame.len() > max_first {
            let len = frame.len();
            let what = format!("a first frame is {len} bytes long, at most {max_first} are taken");
            self.fail(id, Error::new(ErrorKind::FrameTooLarge, what));
            return;
        }
        let payload = if !matches!(s.state, State::Awaits) {
            Err(Error::new(ErrorKind::SyncProtocol, "a frame came while it was our turn to answer"))
        } else if frame.len() > self.config.max_frame {
            let (len, max) = (frame.len(), self.config.max_frame);
            let what = format!("a frame is {len} bytes long, at most {max} are allowed");
            Err(Error::new(ErrorKind::FrameTooLarge, what))
        } else {
            self.spoken.read(frame)
        };
        match payload {
            Err(error) => self.bad_frame(id, error),
            Ok(Frame::OtherDialect(what)) => {
                self.fail(id, Error::new(ErrorKind::ProtocolUnsupported, what));
            }
            Ok(Frame::Payload(payload)) if payload.ranges.is_empty() => {
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
            Ok(Frame::OtherCluster(theirs)) => {
                self.no_scope(id, format!("the peer belongs to cluster {theirs}"));
            }
            Ok(Frame::Payload(payload)) => self.payload_came(id, payload),
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
        let own = self.spoken.scope();
        let Some(scope) = own.and_then(|own| reconcile::meet(own, &payload.scope)) else {
            let what = "the peer serves none of the topics that were to be compared";
            self.no_scope(id, what.to_owned());
            return;
        };
        let Some(s) = self.sessions.get_mut(&id) else { return };
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
            self.cut_to_index(id);
        }
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let grants =
            Grants::new(s.window, scope.clone(), self.config.max_messages, self.config.max_bytes);
        s.grants = Some(grants);
        let as_before = s.initiator && same_scope(&scope, &s.scope);
        s.scope = scope;
        s.moved = self.now.elapsed;
        if as_before {
            self.answer(id, &payload);
        } else if self.horizon.is_ready() {
            self.choose_source(id, Some(payload));
        } else {
            s.state = State::WaitsForIndex(Some(payload));
        }
    }

    /// There is nothing that both sides could compare, and the wire's way to say so is a frame
    /// without a byte, which is not the one that says that both hold the same. To a responder it is
    /// no failure.
    fn no_scope(&mut self, id: SessionId, what: String) {
        let Some(s) = self.sessions.get(&id) else { return };
        if s.told.is_some() {
            let what = "the peer changed its topics in the middle of the session";
            self.fail(id, Error::new(ErrorKind::SyncProtocol, what));
            return;
        }
        let initiator = s.initiator;
        self.send_frame(id, Bytes::new());
        self.settle(id);
        if initiator {
            self.fail(id, Error::new(ErrorKind::SyncScope, what));
        }
    }

    fn answer(&mut self, id: SessionId, payload: &Payload) {
        let Some(own) = self.spoken.scope() else { return };
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let view = match &s.source {
            Source::Horizon => self.horizon.view(&s.scope),
            Source::Own(index) => View(vec![index]),
        };
        let scope = deployed::told(own, s);
        let tuning = &self.config.tuning;
        match reconcile::respond(&view, payload, s.window, &scope, tuning, &mut s.found) {
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
                absorb(s, &self.refused, self.floor, self.config.max_refused);
                if let (Some(reply), Some(grants)) = (&reply, &mut s.grants) {
                    list(reply, grants);
                }
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
        if self.fall_back(id, error.as_ref()) {
            return;
        }
        let Some(s) = self.sessions.get_mut(&id) else { return };
        s.stream_open = false;
        if s.reconciles() || s.strong.is_some() {
            let what = "the peer closed the stream before reconciliation was settled";
            let error = error.unwrap_or_else(|| Error::new(ErrorKind::StreamClosed, what));
            self.fail(id, error);
        }
    }
}

/// Bounds what the archive is asked to load: of a peer's own topics only so many.
pub(super) fn check_size(scope: &Scope, own: &Scope) -> Result<()> {
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
fn absorb(s: &mut Session, refused: &Refused, floor: Timestamp, max_refused: usize) {
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
    let mut announced = std::mem::take(&mut s.found.remote_only);
    announced.retain(|id| {
        let refused = refused.contains(&id.hash);
        if refused {
            s.refused(id.hash, max_refused);
        }
        !refused && id.timestamp >= floor
    });
    let Some(grants) = &mut s.grants else { return };
    let before = grants.outstanding();
    for id in announced {
        grants.expect(id);
    }
    grants.expect_unnamed(std::mem::take(&mut s.found.remote_beyond));
    s.figures.missing += grants.outstanding().saturating_sub(before) as u64;
    for (lower, upper) in s.found.granted.drain(..) {
        grants.grant(lower, upper);
        s.spans_granted |= takes;
    }
}

/// Tells the grants of which spans the peer now has our list, as the last word on them.
fn list(reply: &Payload, grants: &mut Grants) {
    let mut lower = SyncId::floor(reply.lower);
    for range in &reply.ranges {
        if matches!(range.data, RangeData::ItemSet { reconciled: true, .. }) {
            grants.list(lower, range.upper);
        }
        lower = range.upper;
    }
}

/// The time that a payload's ranges span, without what is skipped before them.
fn span(payload: &Payload) -> TimeRange {
    let skipped = payload.ranges.iter().take_while(|range| range.data == RangeData::Skip).last();
    let lower = skipped.map_or(payload.lower, |range| range.upper.timestamp);
    let end = payload.ranges.last().map_or(payload.lower, |range| match range.upper.hash {
        MessageHash::ZERO => range.upper.timestamp,
        _ => Timestamp(range.upper.timestamp.nanos().saturating_add(1)),
    });
    TimeRange::new(lower, end).unwrap_or(TimeRange::new(lower, lower).unwrap_or(TimeRange::ALL))
}
