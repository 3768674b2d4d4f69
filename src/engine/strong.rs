//! Sessions of wakustore's own protocol: [`crate::sync::strong`] between streams, archive and
//! transfer.
//!
//! What must hold: a session is in [`State::Awaits`] while the peer is to answer and in
//! [`State::Settled`] while messages go; it ends when its machine is over, fails, or takes too
//! long; and where the peer does not speak the protocol the session goes on over 1.0.0.

use std::time::Duration;

use bytes::Bytes;

use super::horizon::{admits, same_scope};
use super::reconciling::check_size;
use super::session::{Session, Source, State};
use super::{
    Agreement, Engine, EngineConfig, Misbehaviour, Output, PeerKey, SessionId, SyncDirection,
    SyncProtocol, framed,
};
use crate::archive::FeedItem;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::sync::grants::Grants;
use crate::sync::reconcile;
use crate::sync::sketch::MAX_CELLS;
use crate::sync::strong::{Machine, Options, Trees};
use crate::types::{SyncId, TimeRange};
use crate::wire::strong::{Frame, Limits, MIN_MAX_FRAME, Open, Reason, Refuse, Unsent};
use crate::wire::transfer;

/// The time between two second comparisons that one peer may make us do: each reads the whole
/// window.
const SECOND_EVERY: Duration = Duration::from_secs(60);

/// What a session of this protocol has beside what every session has.
#[derive(Debug)]
pub(super) struct Strong {
    pub(super) machine: Machine,
    /// It was asked for by name: no other protocol will do.
    named: bool,
    /// The responder's: the first frame, while ids are loaded.
    open: Option<Open>,
    /// The initiator's: the first answer, while ids of another scope are loaded.
    answer: Option<Frame>,
    /// Of this comparison: what was found missing at the peer, and is not sent.
    unsent: Vec<Unsent>,
    beyond: u64,
    /// Messages sent before this comparison.
    sent_before: u64,
    /// Counted of this comparison: ours alone, the peer's alone.
    counted: (u64, u64),
}

impl Strong {
    fn new(s: &Session, config: &EngineConfig, named: bool) -> Box<Self> {
        let options = Options {
            limits: Limits { max_frame: config.max_frame.max(MIN_MAX_FRAME), max_cells: MAX_CELLS },
            takes: s.takes(),
            gives: s.sends(),
            dry_run: s.difference.is_some(),
            tuning: config.tuning.clone(),
            max_differences: config.max_messages.saturating_mul(2),
        };
        Box::new(Strong {
            machine: Machine::new(s.initiator, options),
            named,
            open: None,
            answer: None,
            unsent: Vec::new(),
            beyond: 0,
            sent_before: 0,
            counted: (0, 0),
        })
    }

    /// These were fetched and are not sent.
    pub(super) fn not_sent(&mut self, gone: &[SyncId], too_large: &[SyncId]) {
        let named = |gone| move |id: &SyncId| Unsent { id: *id, gone };
        self.unsent.extend(gone.iter().map(named(true)));
        self.unsent.extend(too_large.iter().map(named(false)));
    }
}

impl Session {
    /// An id was added to the index that it compares.
    pub(super) fn index_got(&mut self, item: &FeedItem) {
        if let Some(strong) = &mut self.strong
            && admits(&self.scope, &item.pubsub_topic, &item.content_topic)
        {
            strong.machine.inserted(&item.id);
        }
    }

    /// An id was removed from the index that it compares.
    pub(super) fn index_lost(&mut self, item: &FeedItem) {
        if let Some(strong) = &mut self.strong
            && admits(&self.scope, &item.pubsub_topic, &item.content_topic)
        {
            strong.machine.removed(&item.id);
        }
    }

    /// Of the own protocol, while messages go: until when the peer may take to say the next thing,
    /// or to send the next message.
    pub(super) fn strong_deadline(&self, config: &EngineConfig) -> Option<Duration> {
        let strong = self.strong.as_ref()?;
        let machine = &strong.machine;
        let ours = !self.sending.is_done() || self.pending_store > 0;
        if !matches!(self.state, State::Settled) || ours {
            return None;
        }
        let gives_up = machine.is_told_end() && !machine.told_verdict();
        let patience = if gives_up { config.grace } else { config.idle_timeout };
        Some(self.moved.max(self.last_arrival) + patience)
    }

    /// Whether the peer has said nothing for too long.
    pub(super) fn strong_timed_out(&self, now: Duration, config: &EngineConfig) -> bool {
        let machine = self.strong.as_ref().map(|strong| &strong.machine);
        let gives_up = machine.is_some_and(|m| m.is_told_end() && !m.told_verdict());
        !gives_up && self.strong_deadline(config).is_some_and(|at| at <= now)
    }
}

impl Engine {
    /// Whether the sums of the index are worth keeping: a peer is there that compares by them.
    pub(super) fn keeps_sums(&self) -> bool {
        self.config.strong && self.peers.values().any(|p| p.connected && p.info.strong)
    }

    // --- beginning ---

    /// Makes a session of ours one of this protocol. A window that nobody named is made of whole
    /// slices, of which the sums are kept.
    pub(super) fn begin_strong(&mut self, id: SessionId, named: bool) {
        if let Some(s) = self.sessions.get_mut(&id) {
            s.protocol = SyncProtocol::Strong;
            s.sending.max_frame = transfer::MAX_FRAME;
            s.strong = Some(Strong::new(s, &self.config, named));
        }
    }

    /// A peer opened a stream of this protocol. Where too many sessions run it is told so.
    pub(super) fn begin_inbound_strong(&mut self, peer: PeerKey) -> Result<SessionId> {
        if !self.config.strong {
            bail!(ProtocolUnsupported, "this node is set not to speak its own sync protocol");
        }
        match self.begin_inbound(peer) {
            Ok(id) => {
                self.begin_strong(id, false);
                Ok(id)
            }
            Err(error) => {
                let now = self.now.wall;
                let window = TimeRange::new(now, now).unwrap_or(TimeRange::ALL);
                let id = self.begin(peer, false, SyncDirection::Both, window);
                self.begin_strong(id, false);
                if let Some(s) = self.sessions.get_mut(&id) {
                    s.stream_open = true;
                }
                self.refuse(id, Reason::Busy, error);
                Ok(id)
            }
        }
    }

    /// Refuses what a peer began, and ends it.
    fn refuse(&mut self, id: SessionId, reason: Reason, error: Error) {
        let detail = error.message().to_string();
        self.send_strong(id, &Frame::Refuse(Refuse { reason, detail }));
        if let Some(s) = self.sessions.get_mut(&id) {
            s.strong = None;
        }
        if reason == Reason::OutOfScope {
            // No failure to us: nothing was to be compared.
            self.end(id);
        } else {
            self.fail(id, error);
        }
    }

    /// A session fails: a peer that waits for its first answer hears why.
    pub(super) fn tell_refusal(&mut self, id: SessionId, error: &Error) {
        let reason = match error.kind() {
            ErrorKind::InvalidArgument => Reason::TooLarge,
            ErrorKind::SyncBusy | ErrorKind::TimedOut | ErrorKind::Busy => Reason::Busy,
            ErrorKind::SyncScope => Reason::OutOfScope,
            _ => return,
        };
        let Some(s) = self.sessions.get(&id) else { return };
        if s.stream_open && s.strong.as_ref().is_some_and(|x| x.machine.may_refuse()) {
            let detail = error.message().to_string();
            self.send_strong(id, &Frame::Refuse(Refuse { reason, detail }));
        }
    }

    /// The ids to compare are there.
    pub(super) fn strong_ready(&mut self, id: SessionId) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let Some(mut strong) = s.strong.take() else { return };
        let trees = match &s.source {
            Source::Horizon => self.horizon.trees(&s.scope),
            Source::Own(index) => Trees(vec![(index, None)]),
        };
        let machine = &mut strong.machine;
        let frame = if let Some(open) = strong.open.take() {
            let rescoped = (!same_scope(&s.scope, &open.scope)).then(|| s.scope.clone());
            machine.opened(&trees, &open, rescoped)
        } else if let Some(answer) = strong.answer.take() {
            machine.rescope(&trees);
            s.strong = Some(strong);
            self.strong_step(id, answer);
            return;
        } else {
            Ok(machine.open(&trees, s.window, &self.config.scope))
        };
        s.strong = Some(strong);
        if s.initiator {
            s.stream_open = true;
            s.grants = Some(grants_of(s, &self.config));
            let (peer, protocol) = (s.peer, s.protocol);
            self.outputs.push_back(Output::OpenReconciliation { session: id, peer, protocol });
        }
        match frame {
            Ok(frame) => self.send_strong(id, &frame),
            Err(error) => self.bad_strong(id, error),
        }
        self.strong_moved(id);
    }

    // --- frames ---

    /// A frame from the peer.
    pub(super) fn strong_frame(&mut self, id: SessionId, frame: &[u8]) {
        let Some(s) = self.sessions.get_mut(&id).filter(|s| !s.ends()) else { return };
        s.figures.frames += 1;
        s.figures.reconciliation_bytes_in += framed(frame.len());
        s.rounds += 1;
        s.frame_bytes = 0;
        let max = self.config.max_frame.max(MIN_MAX_FRAME);
        let decoded = if !matches!(s.state, State::Awaits | State::Settled) {
            Err(Error::new(ErrorKind::SyncProtocol, "a frame came while it was our turn to answer"))
        } else if frame.len() > max {
            let what = format!("a frame is {} bytes long, at most {max} are allowed", frame.len());
            Err(Error::new(ErrorKind::FrameTooLarge, what))
        } else {
            Frame::decode(frame)
        };
        let rounds = s.rounds;
        let unanswered = s.strong.as_ref().is_some_and(|x| x.machine.may_refuse());
        let opening = s.strong.as_ref().is_some_and(|x| x.machine.is_opening());
        match decoded {
            Err(error) if error.kind() == ErrorKind::ProtocolUnsupported && unanswered => {
                self.refuse(id, Reason::Version, error);
            }
            Err(error) => self.bad_strong(id, error),
            Ok(_) if rounds > self.config.max_rounds => {
                let what = format!("the sync was not settled after {rounds} frames");
                self.fail(id, Error::new(ErrorKind::SyncProtocol, what));
            }
            Ok(Frame::Open(open)) if unanswered => self.asked(id, open),
            Ok(Frame::Refuse(refuse)) if opening => self.refused_by_peer(id, &refuse),
            Ok(Frame::Differs(differs)) if opening && differs.rescoped.is_some() => {
                self.rescoped(id, Frame::Differs(differs));
            }
            Ok(Frame::Again(_)) if !self.may_compare_again(id) => {
                let what = "the peer asks for second comparisons too often";
                self.fail(id, Error::new(ErrorKind::SyncBusy, what));
            }
            Ok(frame) => self.strong_step(id, frame),
        }
    }

    fn bad_strong(&mut self, id: SessionId, error: Error) {
        let Some(s) = self.sessions.get(&id) else { return };
        self.penalise(s.peer, Misbehaviour::BadFrame);
        self.fail(id, error.context("a sync frame of the peer"));
    }

    fn refused_by_peer(&mut self, id: SessionId, refuse: &Refuse) {
        let kind = match refuse.reason {
            Reason::Busy => ErrorKind::SyncBusy,
            Reason::TooLarge | Reason::Window => ErrorKind::InvalidArgument,
            Reason::OutOfScope => ErrorKind::SyncScope,
            Reason::Version => ErrorKind::ProtocolUnsupported,
        };
        // The peer's text is a stranger's.
        let detail: String = refuse.detail.chars().filter(|c| !c.is_control()).collect();
        self.fail(id, Error::new(kind, detail).context("the peer refused the sync"));
    }

    /// The responder learns what is to be compared.
    fn asked(&mut self, id: SessionId, open: Open) {
        let Some(scope) = reconcile::meet(&self.config.scope, &open.scope) else {
            let what = "no topic that the peer names is served here";
            self.refuse(id, Reason::OutOfScope, Error::new(ErrorKind::SyncScope, what));
            return;
        };
        if let Err(error) = check_size(&scope, &self.config.scope) {
            self.refuse(id, Reason::TooLarge, error);
            return;
        }
        let kept = self.comparable().is_ok_and(|kept| open.window.start() >= kept.start());
        if open.window.is_empty() || !kept {
            let what = "the window is empty, or reaches below what this node keeps";
            self.refuse(id, Reason::Window, Error::new(ErrorKind::InvalidArgument, what));
            return;
        }
        let Some(s) = self.sessions.get_mut(&id) else { return };
        s.window = open.window;
        s.told = Some(open.scope.clone());
        s.scope = scope;
        s.direction = match (open.takes, open.gives) {
            (true, false) => SyncDirection::Push,
            (false, true) => SyncDirection::Pull,
            _ => SyncDirection::Both,
        };
        if open.dry_run {
            s.run_dry(self.config.max_messages);
        }
        s.strong = Some(Strong::new(s, &self.config, false));
        if let Some(strong) = &mut s.strong {
            strong.open = Some(open);
        }
        s.grants = Some(grants_of(s, &self.config));
        self.strong_source(id);
    }

    /// The initiator learns that a smaller scope is compared.
    fn rescoped(&mut self, id: SessionId, answer: Frame) {
        let Frame::Differs(differs) = &answer else { return };
        let Some((told, _)) = &differs.rescoped else { return };
        let met = reconcile::meet(&self.config.scope, told);
        let Some(scope) = met.filter(|met| same_scope(met, told)) else {
            let what = "the peer compares a scope that is not within ours";
            self.bad_strong(id, Error::new(ErrorKind::SyncProtocol, what));
            return;
        };
        if let Err(error) = check_size(&scope, &self.config.scope) {
            self.fail(id, error);
            return;
        }
        let Some(s) = self.sessions.get_mut(&id) else { return };
        s.scope = scope;
        s.told = Some(told.clone());
        if let Some(strong) = &mut s.strong {
            strong.answer = Some(answer);
        }
        s.grants = Some(grants_of(s, &self.config));
        self.strong_source(id);
    }

    fn strong_source(&mut self, id: SessionId) {
        if self.horizon.is_ready() {
            self.choose_source(id, None);
        } else if let Some(s) = self.sessions.get_mut(&id) {
            s.moved = self.now.elapsed;
            s.state = State::WaitsForIndex(None);
        }
    }

    fn may_compare_again(&mut self, id: SessionId) -> bool {
        let now = self.now.elapsed;
        let Some(s) = self.sessions.get(&id).filter(|s| !s.initiator) else { return true };
        let Some(peer) = self.peers.get_mut(&s.peer) else { return true };
        let may = peer.second_at.is_none_or(|at| now >= at + SECOND_EVERY);
        if may {
            peer.second_at = Some(now);
        }
        may
    }

    /// A frame that the machine takes.
    fn strong_step(&mut self, id: SessionId, frame: Frame) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let Some(mut strong) = s.strong.take() else { return };
        let trees = match &s.source {
            Source::Horizon => self.horizon.trees(&s.scope),
            Source::Own(index) => Trees(vec![(index, None)]),
        };
        let half = match &frame {
            Frame::Again(_) => {
                strong.begin_second(s);
                self.secret.draw()
            }
            _ => [0; 16],
        };
        let answered = strong.machine.receive(&trees, frame, half);
        s.strong = Some(strong);
        s.moved = self.now.elapsed;
        let peer = s.peer;
        match answered {
            Err(error) => self.bad_strong(id, error),
            Ok(frames) => {
                self.absorb_strong(id);
                for frame in frames {
                    self.send_strong(id, &frame);
                }
                self.strong_moved(id);
                self.judge_early(peer);
            }
        }
    }

    fn send_strong(&mut self, id: SessionId, frame: &Frame) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let frame = Bytes::from(frame.encode());
        s.figures.frames += 1;
        s.figures.reconciliation_bytes_out += framed(frame.len());
        s.moved = self.now.elapsed;
        s.frame_bytes = 0;
        self.outputs.push_back(Output::SendReconciliation { session: id, frame });
    }

    /// Brings the session's state in line with its machine's; ends it where that is over.
    fn strong_moved(&mut self, id: SessionId) {
        let Some(s) = self.sessions.get_mut(&id).filter(|s| !s.ends()) else { return };
        let Some(strong) = &s.strong else { return };
        let machine = &strong.machine;
        s.state = if machine.is_moving() { State::Settled } else { State::Awaits };
        if machine.is_moving() || machine.is_over() {
            s.compared = true;
            s.figures.ids_compared = machine.count();
            s.figures.ranges_settled = s.figures.ranges_settled.max(1);
        }
        if machine.is_over() {
            if machine.agrees() {
                s.agreement = Agreement::Strong;
            }
            self.end(id);
        }
    }

    /// Hands what the machine found to sending and to the grants.
    fn absorb_strong(&mut self, id: SessionId) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let (sends, takes) = (s.sends(), s.takes());
        let Some(strong) = &mut s.strong else { return };
        let found = strong.machine.take_findings();
        if found.anew {
            s.figures.surplus -= s.figures.surplus.min(strong.counted.0);
            s.figures.missing -= s.figures.missing.min(strong.counted.1);
            strong.counted = (0, 0);
            if let Some(difference) = &mut s.difference {
                difference.missing.clear();
                difference.surplus.clear();
            }
        }
        let surplus = (found.surplus.len() + found.beyond.0) as u64;
        let mut announced = found.missing;
        let beside = (found.missing_keys + found.beyond.1) as u64;
        strong.counted.0 += surplus;
        strong.counted.1 += announced.len() as u64 + beside;
        strong.beyond += if sends { found.beyond.0 as u64 } else { 0 };
        s.figures.surplus += surplus;
        s.figures.missing += announced.len() as u64 + beside;
        if let Some(difference) = &mut s.difference {
            difference.missing.extend(announced);
            difference.missing.extend(found.named);
            difference.surplus.extend(found.surplus);
            return;
        }
        if sends {
            s.sending.queue(found.surplus);
        }
        if !takes {
            return;
        }
        s.unstored += found.beyond.1 as u64;
        for id in &announced {
            if self.refused.contains(&id.hash) {
                s.refused(id.hash, self.config.max_refused);
            }
        }
        announced.retain(|id| !self.refused.contains(&id.hash) && id.timestamp >= self.floor);
        let Some(grants) = &mut s.grants else { return };
        announced.into_iter().for_each(|id| grants.expect(id));
        for id in &found.unsent {
            grants.forget(id);
        }
        for (lower, upper) in found.granted {
            grants.grant(lower, upper);
            s.spans_granted = true;
        }
    }

    // --- while messages go ---

    /// Says what can be said: that all is written, that all has come.
    pub(super) fn pump_strong(&mut self, id: SessionId) {
        let now = self.now.elapsed;
        let Some(s) = self.sessions.get_mut(&id) else { return };
        if !matches!(s.state, State::Settled | State::Awaits) {
            return;
        }
        let grace = self.config.grace;
        let (takes, broken) = (s.takes(), s.sending.is_broken());
        let outstanding = s.grants.as_ref().map_or(0, Grants::outstanding);
        let idle_since = s.moved.max(s.last_arrival);
        let (stored, unstored) = (s.pending_store == 0, s.unstored);
        let Some(strong) = &mut s.strong else { return };
        let machine = &mut strong.machine;
        let mut frames = Vec::new();
        let moving = machine.is_moving();
        if moving && !machine.told_end() && s.sending.is_done() {
            let count = s.figures.sent.saturating_sub(strong.sent_before);
            let beyond = strong.beyond + u64::from(broken);
            frames.push(machine.end(count, std::mem::take(&mut strong.unsent), beyond));
        }
        let told = machine.told_end() && machine.is_told_end();
        if moving && told && !machine.told_verdict() && stored {
            let all = !takes || machine.has_all(outstanding);
            if all || now >= idle_since + grace {
                frames.push(machine.verdict(unstored, !all));
            }
        }
        let asks = (machine.is_second() && s.initiator)
            .then(|| self.secret.draw())
            .and_then(|half| machine.ask_again(half));
        frames.extend(asks);
        if frames.is_empty() {
            return;
        }
        for frame in frames {
            self.send_strong(id, &frame);
        }
        self.strong_moved(id);
    }

    /// The stream could not be had because the peer does not speak the protocol: true where the
    /// session goes on over 1.0.0.
    pub(super) fn fall_back(&mut self, id: SessionId, error: Option<&Error>) -> bool {
        let unsupported = error.is_some_and(|e| e.kind() == ErrorKind::ProtocolUnsupported);
        let Some(s) = self.sessions.get_mut(&id).filter(|s| !s.ends()) else { return false };
        let Some(strong) = s.strong.as_ref().filter(|x| x.machine.is_opening()) else {
            return false;
        };
        if !unsupported || strong.named {
            return false;
        }
        if let Some(peer) = self.peers.get_mut(&s.peer) {
            peer.info.strong = false;
        }
        s.strong = None;
        s.sending.max_frame = transfer::MAX_DEPLOYED_FRAME;
        s.protocol = SyncProtocol::V1;
        s.grants = None;
        s.stream_open = false;
        // From the beginning: 1.0.0 may have words for a part of the scope alone.
        s.scope = self.config.scope.clone();
        s.told = None;
        s.source = Source::Horizon;
        s.moved = self.now.elapsed;
        s.state = State::WaitsForIndex(None);
        true
    }
}

/// What a session may bring, whose window and scope are known.
fn grants_of(s: &Session, config: &EngineConfig) -> Grants {
    Grants::new(s.window, s.scope.clone(), config.max_messages, config.max_bytes)
}

impl Strong {
    /// The second comparison begins: what the first one counted stays, but for a dry run, which
    /// finds all of it again.
    fn begin_second(&mut self, s: &Session) {
        if s.difference.is_none() {
            self.counted = (0, 0);
        }
        self.sent_before = s.figures.sent;
        self.beyond = 0;
        self.unsent.clear();
    }
}
