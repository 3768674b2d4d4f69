//! The incoming half of transfer: messages are hashed again, judged by the sessions with their
//! peer, kept for a while where they may be announced yet, and given to the archive in batches.
//!
//! What must hold: nothing is stored but what a session of that peer was granted; what waits is
//! bounded, and [`Engine::transfer_ready`] says so before it is full.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::peer::{EarlyMessage, Taken};
use super::refused::is_final;
use super::session::{Session, State};
use super::strong::Strong;
use super::{Engine, FetchId, Misbehaviour, PeerKey, SessionId, StoreId, framed};
use crate::archive::PutOutcome;
use crate::error::{Error, ErrorKind, Result};
use crate::sabotage::{self, Bug};
use crate::sync::grants::Verdict;
use crate::types::{Origin, StoredMessage};
use crate::wire::transfer;

/// What becomes of a message.
enum Fate {
    /// It is to be stored; the session that it counts in, and whether it was announced to it.
    Take(Option<SessionId>, bool),
    /// A session that runs may yet announce it.
    Early,
    /// No session with the peer runs.
    NoSession,
    /// It is of no use.
    Drop,
}

impl Engine {
    /// A frame came on a transfer stream.
    pub(super) fn message_came(&mut self, peer: PeerKey, frame: Bytes) {
        let len = frame.len();
        self.peers.entry(peer).or_default();
        let decoded = if len > transfer::MAX_FRAME {
            let max = transfer::MAX_FRAME;
            let what = format!("a frame is {len} bytes long, at most {max} are allowed");
            Err(Error::new(ErrorKind::FrameTooLarge, what))
        } else {
            transfer::decode_shared(frame)
        };
        match decoded {
            Ok((topic, message)) => {
                let message = StoredMessage::new(topic, message);
                let size = usize::try_from(framed(len)).unwrap_or(usize::MAX);
                let early = EarlyMessage { message, size, came: self.now.elapsed };
                self.settle_message(peer, early);
            }
            // The wire allows topics that we do not take (empty ones, very long ones): an honest
            // peer may hold such a message, and it must not bar the way for the others.
            Err(error) if error.kind() == ErrorKind::InvalidTopic => {
                let size = usize::try_from(framed(len)).unwrap_or(usize::MAX);
                self.drop_message(peer, size);
            }
            Err(error) => {
                self.penalise(peer, Misbehaviour::BadFrame);
                for id in self.sessions_of(peer) {
                    self.fail(id, error.clone().context("a transfer frame of the peer"));
                }
            }
        }
    }

    /// Judges the early messages of a peer again: something was announced, or will not be.
    pub(super) fn judge_early(&mut self, peer: PeerKey) {
        let early = self.peers.get_mut(&peer).map(|p| p.drain_early()).unwrap_or_default();
        for message in early {
            self.settle_message(peer, message);
        }
    }

    /// Whether a session with the peer may still announce something.
    pub(super) fn may_announce(&self, peer: PeerKey) -> bool {
        let Some(peer) = self.peers.get(&peer) else { return false };
        peer.sessions
            .iter()
            .any(|id| self.sessions.get(id).is_some_and(|s| s.takes() && s.reconciles()))
    }

    /// Whether a peer's transfer streams should be read on.
    pub(super) fn has_room(&self, key: PeerKey) -> bool {
        let Some(peer) = self.peers.get(&key) else { return true };
        let max = self.config.max_in_flight;
        // Without a session that reconciles, what is too much is dropped, so reading goes on.
        peer.waiting_bytes() < max && (peer.early_bytes < max || !self.may_announce(key))
    }

    fn settle_message(&mut self, key: PeerKey, early: EarlyMessage) {
        let fate = self.judge(key, &early);
        let max = self.config.max_in_flight;
        let Some(peer) = self.peers.get_mut(&key) else { return };
        match fate {
            Fate::Take(session, announced) => {
                let mut origin = Origin::Sync;
                if let Some(s) = session.and_then(|id| self.sessions.get_mut(&id)) {
                    s.pending_store += 1;
                    s.figures.transfer_bytes_in += early.size as u64;
                    origin = s.origin();
                }
                let EarlyMessage { message, size, .. } = early;
                peer.take(Taken { message, size, session, announced, origin });
            }
            // A host that asks `transfer_ready` overshoots by one frame at the most.
            Fate::Early if peer.early_bytes < max => peer.keep_early(early),
            Fate::NoSession => self.keep_without_session(key, early),
            Fate::Early | Fate::Drop => self.drop_message(key, early.size),
        }
    }

    /// Counts a message that is of no use, in the session that it most likely belongs to.
    fn drop_message(&mut self, key: PeerKey, size: usize) {
        let Some(peer) = self.peers.get(&key) else { return };
        let running = |id: &&SessionId| self.sessions.get(id).is_some_and(|s| !s.ends());
        if let Some(id) = peer.sessions.iter().find(running).copied()
            && let Some(s) = self.sessions.get_mut(&id)
        {
            s.figures.dropped += 1;
            s.figures.transfer_bytes_in += size as u64;
        }
    }

    /// Keeps a message for a session that may begin yet: little a peer, and little in all.
    fn keep_without_session(&mut self, key: PeerKey, early: EarlyMessage) {
        let max = self.config.max_in_flight;
        let others = self.peers.values().filter(|p| p.sessions.is_empty());
        let in_all: usize = others.map(|p| p.early_bytes).sum();
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let of_peer = peer.early_bytes + early.size;
        if of_peer <= (max / 8).max(transfer::MAX_FRAME) && in_all + early.size <= max {
            peer.keep_early(early);
        } else if self.is_stranger(key) {
            self.penalise(key, Misbehaviour::Unsolicited);
        }
    }

    /// The peer ended a transfer stream. Streams do not say which session they are of, and to end a
    /// session that still gets messages would lose them; so each close is taken for that of a
    /// session that has ended, while there may be such. Where several sessions run, nothing ends
    /// until as many streams have closed: the grace period ends them before that.
    pub(super) fn transfer_ended(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if peer.unclosed > 0 {
            peer.unclosed -= 1;
            return;
        }
        let open = |s: &Session| !s.ends() && !s.peer_closed_transfer;
        let running = peer.sessions.iter().filter(|id| self.sessions.get(id).is_some_and(open));
        peer.closes += 1;
        if peer.closes < running.count() {
            return;
        }
        peer.closes = 0;
        for id in &peer.sessions {
            if let Some(s) = self.sessions.get_mut(id) {
                s.peer_closed_transfer = true;
            }
        }
    }

    /// Asks every session with the peer, so that what one takes is not waited for by another. Only
    /// what all of them hold against it costs the peer.
    fn judge(&mut self, key: PeerKey, early: &EarlyMessage) -> Fate {
        let now = self.now.elapsed;
        let (message, size) = (&early.message, early.size);
        let Some(peer) = self.peers.get_mut(&key) else { return Fate::Drop };
        // The archive would find the duplicate too, but nobody need wait for it to.
        let refused = self.refused.contains(&message.hash);
        let held = refused
            || message.timestamp() < self.floor
            || self.horizon.contains(&message.pubsub_topic, &message.sync_id());
        let mut taken = None;
        let (mut running, mut may_come, mut harmless) = (None, false, held);
        for id in &peer.sessions {
            // What is asked for by Store queries does not come this way.
            let by_transfer = |s: &&mut Session| !s.ends() && !matches!(s.state, State::Store);
            let Some(s) = self.sessions.get_mut(id).filter(by_transfer) else { continue };
            running.get_or_insert(*id);
            let awaited = |x: &mut Box<Strong>| x.machine.arrived(&message.sync_id(), true);
            let awaited = s.strong.as_mut().is_some_and(awaited);
            if awaited && let Some(grants) = &mut s.grants {
                grants.expect(message.sync_id());
            }
            if held {
                s.grants.as_mut().map(|grants| grants.forget(&message.sync_id()));
                if refused {
                    s.refused(message.hash, self.config.max_refused);
                }
                continue;
            }
            match verdict(s, message, size) {
                Judged::Taken { announced } => {
                    (s.last_arrival, s.got_messages) = (now, true);
                    taken.get_or_insert(Fate::Take(Some(*id), announced));
                }
                Judged::Early => may_come = true,
                Judged::Harmless => harmless = true,
                Judged::Unasked => {}
            }
        }
        for ended in &mut peer.ended {
            match ended.grants.judge(message, size) {
                Verdict::Take if !held => {
                    ended.until = (now + self.config.grace).min(ended.at_most);
                    taken.get_or_insert(Fate::Take(None, true));
                }
                Verdict::Penalise => {}
                Verdict::Take | Verdict::Early | Verdict::Drop | Verdict::Full => harmless = true,
            }
        }
        match (taken, running) {
            (Some(fate), _) => fate,
            (None, Some(_)) if may_come => Fate::Early,
            (None, None) if !harmless => Fate::NoSession,
            (None, Some(id)) if !harmless => {
                if self.sessions.get_mut(&id).is_some_and(Session::unasked) {
                    self.penalise(key, Misbehaviour::Unsolicited);
                }
                Fate::Drop
            }
            _ => Fate::Drop,
        }
    }

    /// Lets early messages go that nobody announced in time.
    pub(super) fn expire_early(&mut self) {
        let now = self.now.elapsed;
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            if self.may_announce(key) {
                continue;
            }
            let stranger = self.is_stranger(key);
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            let mut expired = false;
            while peer.early.front().is_some_and(|e| e.came + self.config.grace <= now) {
                if let Some(early) = peer.early.pop_front() {
                    peer.early_bytes -= early.size;
                    expired = true;
                }
            }
            if expired && stranger {
                self.penalise(key, Misbehaviour::Unsolicited);
            }
        }
    }

    // --- the archive's answers ---

    /// The archive answered for a batch.
    pub(super) fn batch_stored(&mut self, store: StoreId, outcomes: Result<Vec<PutOutcome>>) {
        let Some((key, batch)) = self.stores.remove(&store) else { return };
        let now = self.now.elapsed;
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.batch_ended(batch.bytes);
        let (asked, told) = (batch.items.len(), outcomes.as_ref().map_or(0, Vec::len));
        match outcomes {
            Ok(outcomes) if told == asked => {
                peer.backoff.worked();
                let mut bad = false;
                for (taken, outcome) in batch.items.iter().zip(outcomes) {
                    bad |= matches!(&outcome, PutOutcome::Refused(e) if is_bad(e.kind()));
                    let refused = matches!(&outcome, PutOutcome::Refused(e) if is_final(e.kind()));
                    let StoredMessage { hash, .. } = taken.message;
                    if refused {
                        self.refused.insert(hash, taken.message.timestamp());
                    }
                    let max = self.config.max_refused;
                    self.count(taken, |s| {
                        counted(s, taken.announced, &outcome);
                        if refused {
                            s.refused(hash, max);
                        }
                    });
                }
                if bad {
                    self.penalise(key, Misbehaviour::BadMessage);
                }
            }
            Ok(_) => {
                let what = format!("the archive told of {told} messages of a batch of {asked}");
                self.not_stored(batch.items, &Error::new(ErrorKind::Internal, what));
            }
            Err(error) if error.kind() == ErrorKind::Busy => {
                let failing_for = peer.backoff.failed(now);
                if !sabotage::is(Bug::BusyLosesBatch) {
                    peer.put_back(batch);
                }
                if failing_for >= self.config.idle_timeout {
                    peer.backoff.worked();
                    let items = peer.drop_incoming();
                    self.not_stored(items, &error);
                }
            }
            Err(error) => self.not_stored(batch.items, &error),
        }
    }

    /// Changes the figures of the session that a message came in, if it still runs.
    fn count(&mut self, taken: &Taken, change: impl FnOnce(&mut Session)) {
        let now = self.now.elapsed;
        if let Some(s) = taken.session.and_then(|id| self.sessions.get_mut(&id)) {
            s.pending_store -= 1;
            s.last_arrival = now;
            change(s);
        }
    }

    /// What the archive failed to store is lost to this session, not to the node: its ids stay
    /// missing, and the next sync finds them.
    fn not_stored(&mut self, items: impl IntoIterator<Item = Taken>, error: &Error) {
        let mut failed = BTreeSet::new();
        for taken in items {
            self.count(&taken, |s| {
                s.unstored += 1;
                s.figures.dropped += 1;
            });
            failed.extend(taken.session);
        }
        for id in failed {
            self.fail(id, error.clone().context("storing messages"));
        }
    }

    /// The archive answered a question for messages to be sent.
    pub(super) fn session_fetched(&mut self, fetch: FetchId, found: Result<Vec<StoredMessage>>) {
        let Some(id) = self.fetches.remove(&fetch) else { return };
        let Some(s) = self.sessions.get_mut(&id).filter(|s| s.sending.awaits(fetch)) else {
            return;
        };
        match found {
            Ok(messages) => {
                let outcome = s.sending.fetched(messages);
                s.figures.unsendable += (outcome.too_large.len() + outcome.gone.len()) as u64;
                if let Some(strong) = &mut s.strong {
                    strong.not_sent(&outcome.gone, &outcome.too_large);
                }
                for id in &outcome.gone {
                    self.horizon.remove(id);
                }
            }
            Err(error) => {
                let failing_for = s.sending.fetch_failed(self.now.elapsed);
                let busy = error.kind() == ErrorKind::Busy;
                if !busy || failing_for >= self.config.idle_timeout {
                    self.fail(id, error.context("reading the messages to send"));
                }
            }
        }
    }
}

/// What one session says of a message.
enum Judged {
    /// It is to be stored.
    Taken { announced: bool },
    /// It may yet be announced.
    Early,
    /// Of no use, and no fault of the peer's.
    Harmless,
    /// Never asked for, or of another time than was announced.
    Unasked,
}

fn verdict(s: &mut Session, message: &StoredMessage, size: usize) -> Judged {
    if !s.takes() {
        return Judged::Harmless;
    }
    let Some(grants) = &mut s.grants else { return Judged::Early };
    let before = grants.outstanding();
    match grants.judge(message, size) {
        Verdict::Take => {
            let announced = grants.outstanding() < before;
            // Of a granted span only what comes tells how much was missing.
            s.figures.missing += u64::from(!announced);
            Judged::Taken { announced }
        }
        Verdict::Early => Judged::Early,
        Verdict::Drop => Judged::Harmless,
        Verdict::Full => {
            s.unstored += 1;
            Judged::Harmless
        }
        Verdict::Penalise => Judged::Unasked,
    }
}

fn counted(s: &mut Session, announced: bool, outcome: &PutOutcome) {
    match outcome {
        PutOutcome::Stored => s.figures.received += 1,
        PutOutcome::Duplicate => {
            s.figures.dropped += 1;
            s.figures.missing -= u64::from(!announced && s.figures.missing > 0);
        }
        PutOutcome::Refused(e) => {
            s.figures.dropped += 1;
            // What is refused for good is not left over: nothing can be done about it.
            s.unstored += u64::from(!is_final(e.kind()));
        }
    }
}

/// Whether a refusal tells that no honest node could have held the message.
fn is_bad(kind: ErrorKind) -> bool {
    use ErrorKind::{Ephemeral, MessageTooLarge, MetaTooLarge, NoTimestamp, TimestampInFuture};
    matches!(kind, Ephemeral | MessageTooLarge | MetaTooLarge | NoTimestamp | TimestampInFuture)
}
