//! One session: reconciliation and transfer in one hand.
//!
//! What must hold: a session is in exactly one [`State`]; whatever it waits for has a deadline, so
//! that it always ends; and it ends once.

use std::collections::HashSet;
use std::time::Duration;

use super::over_store::OverStore;
use super::sending::Sending;
use super::strong::Strong;
use super::walk::Walk;
use super::{
    AddressGroup, Agreement, EngineConfig, Now, PeerKey, SyncDifference, SyncDirection,
    SyncProgress, SyncProtocol, SyncReason,
};
use crate::error::{Error, ErrorKind};
use crate::sync::grants::Grants;
use crate::sync::index::Index;
use crate::sync::reconcile::{Differences, Settling};
use crate::types::{MessageHash, Origin, TimeRange};
use crate::wire::reconciliation::{Payload, Scope};

/// The least time between two tellings of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// So many messages that were not asked for cost a peer nothing, and a quarter more of those that
/// were.
const UNASKED: u64 = 64;

/// Where a session is.
#[derive(Debug)]
pub(super) enum State {
    /// The engine's index does not stand yet. A responder may hold its first frame.
    WaitsForIndex(Option<Payload>),
    /// Loads ids of its own. `None` for an initiator that has not begun.
    Loads(Box<Walk>, Option<Payload>),
    /// It is the peer's turn.
    Awaits,
    /// The peer is asked by Store queries: all of the session, or the part of it that is too old
    /// for what came before.
    Store,
    /// Reconciliation is over; transfer goes on.
    Settled,
    /// It has ended but for what is with the archive.
    Ends,
}

/// Which ids are compared.
#[derive(Debug)]
pub(super) enum Source {
    /// Those of the engine's index.
    Horizon,
    /// Those loaded for this session.
    Own(Index),
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) peer: PeerKey,
    pub(super) initiator: bool,
    pub(super) direction: SyncDirection,
    /// The peer is a deployed node: see `deployed`.
    pub(super) deployed: bool,
    pub(super) protocol: SyncProtocol,
    pub(super) reason: SyncReason,
    pub(super) agreement: Agreement,
    /// Where the peer was when it began.
    pub(super) group: AddressGroup,
    /// Both sides' ids were compared to the end.
    pub(super) compared: bool,
    /// How far it is.
    pub(super) settling: Settling,
    /// Our ids in its window.
    pub(super) window_ids: u64,
    /// Of a session of wakustore's own protocol.
    pub(super) strong: Option<Box<Strong>>,
    /// Of a dry run.
    pub(super) difference: Option<SyncDifference>,
    pub(super) window: TimeRange,
    /// What both sides compare, once that is known; until then our own scope.
    pub(super) scope: Scope,
    /// The scope as the peer told it.
    pub(super) told: Option<Scope>,
    pub(super) source: Source,
    pub(super) state: State,
    /// The differences that were found, and which spans are settled.
    pub(super) found: Differences,
    /// What it may bring, once the scope is known.
    pub(super) grants: Option<Grants>,
    /// Spans were granted, of which nobody can tell how much will come.
    pub(super) spans_granted: bool,
    /// Something came for it by transfer.
    pub(super) got_messages: bool,
    /// The peer closed its transfer stream: nothing more comes of the granted spans.
    pub(super) peer_closed_transfer: bool,
    /// Messages within window and scope that were never asked for.
    unasked: u64,
    pub(super) sending: Sending,
    /// What is to be had by Store queries, now or after the rest.
    pub(super) over: Option<Box<OverStore>>,
    /// Messages that wait for the archive.
    pub(super) pending_store: usize,
    /// Messages that were asked for and came, but were not stored.
    pub(super) unstored: u64,
    /// Messages that were announced and had not come when it ended.
    pub(super) left: u64,
    /// Of what was refused for good: the messages that the peer announced or sent.
    pub(super) refused: HashSet<MessageHash>,
    pub(super) rounds: u32,
    /// Of the frame that is coming, the bytes for which the deadline was last moved.
    pub(super) frame_bytes: usize,
    /// The host holds a reconciliation stream for it.
    pub(super) stream_open: bool,
    pub(super) started: Duration,
    /// When the state last changed, or the archive's or the peer's part in it went on.
    pub(super) moved: Duration,
    /// When something last came by transfer, or was stored.
    pub(super) last_arrival: Duration,
    pub(super) figures: SyncProgress,
    told_figures: SyncProgress,
    told_at: Duration,
    /// What went wrong; the first thing that did.
    pub(super) error: Option<Error>,
}

impl Session {
    pub(super) fn new(
        peer: PeerKey,
        initiator: bool,
        direction: SyncDirection,
        window: TimeRange,
        config: &EngineConfig,
        now: Now,
    ) -> Self {
        let found = Differences::new(config.max_messages.saturating_mul(2));
        Session {
            peer,
            initiator,
            direction,
            deployed: false,
            protocol: SyncProtocol::V1,
            reason: if initiator { SyncReason::Demand } else { SyncReason::Remote },
            agreement: Agreement::None,
            group: AddressGroup::default(),
            compared: false,
            settling: Settling::default(),
            window_ids: 0,
            strong: None,
            difference: None,
            window,
            scope: config.scope.clone(),
            told: None,
            source: Source::Horizon,
            state: State::WaitsForIndex(None),
            // Those of one side alone may be as many as the quota.
            found: if initiator { found.searching() } else { found },
            grants: None,
            spans_granted: false,
            got_messages: false,
            peer_closed_transfer: false,
            unasked: 0,
            sending: Sending::new(config.max_in_flight, now.elapsed),
            over: None,
            pending_store: 0,
            unstored: 0,
            left: 0,
            refused: HashSet::new(),
            rounds: 0,
            frame_bytes: 0,
            stream_open: false,
            started: now.elapsed,
            moved: now.elapsed,
            last_arrival: now.elapsed,
            figures: SyncProgress::default(),
            told_figures: SyncProgress::default(),
            told_at: now.elapsed,
            error: None,
        }
    }

    /// Whether messages are taken.
    pub(super) fn takes(&self) -> bool {
        self.direction != SyncDirection::Push && self.difference.is_none()
    }

    /// Whether messages are sent.
    pub(super) fn sends(&self) -> bool {
        self.direction != SyncDirection::Pull && self.difference.is_none()
    }

    /// Makes it one that only compares.
    pub(super) fn run_dry(&mut self, max_messages: usize) {
        self.difference = Some(SyncDifference::default());
        self.found = Differences::new(max_messages).telling(false, false);
    }

    /// A message came that was never asked for; true, once, where there have been too many. Some
    /// are no fault: what reaches an honest peer while the session runs, it finds missing here in
    /// our last list and sends, though it had not announced it in its own.
    pub(super) fn unasked(&mut self) -> bool {
        self.unasked += 1;
        self.unasked == UNASKED + self.figures.missing / 4
    }

    /// The peer announced or sent a message that is refused for good. Each counts once.
    pub(super) fn refused(&mut self, hash: MessageHash, max: usize) {
        if self.refused.len() < max {
            self.refused.insert(hash);
            self.figures.refused = self.refused.len() as u64;
        }
    }

    /// Whether it is over but for what is with the archive.
    pub(super) fn ends(&self) -> bool {
        matches!(self.state, State::Ends)
    }

    /// Whether reconciliation may still announce something.
    pub(super) fn reconciles(&self) -> bool {
        !matches!(self.state, State::Store | State::Settled | State::Ends)
    }

    /// How many ids it loaded for itself.
    pub(super) fn loaded_ids(&self) -> usize {
        match &self.source {
            Source::Own(index) => index.len(),
            Source::Horizon => 0,
        }
    }

    /// Announced, and neither here nor taken another way.
    pub(super) fn outstanding(&self) -> u64 {
        let awaited = self.strong.as_ref().map_or(0, |strong| strong.machine.awaited());
        (self.grants.as_ref().map_or(0, Grants::outstanding) + awaited) as u64
    }

    /// Whether the peer may still send something.
    pub(super) fn awaits_messages(&self) -> bool {
        self.takes()
            && (self.outstanding() > 0 || (self.spans_granted && !self.peer_closed_transfer))
    }

    /// When it is to be looked after at the latest.
    pub(super) fn deadline(&self, config: &EngineConfig) -> Option<Duration> {
        if self.ends() {
            return None;
        }
        let mut at = self.started + config.max_duration;
        let mut by = |d: Option<Duration>| at = at.min(d.unwrap_or(at));
        by(self.sending.backoff.deadline());
        by(self.sending.stalled_since().map(|d| d + config.idle_timeout));
        match &self.state {
            State::Loads(walk, _) => {
                by(walk.backoff.deadline());
                by(Some(self.moved + config.idle_timeout));
            }
            State::WaitsForIndex(_) | State::Awaits => by(Some(self.moved + config.idle_timeout)),
            State::Settled if self.strong.is_some() => by(self.strong_deadline(config)),
            State::Store => {
                let over = self.over.as_ref();
                by(over.and_then(|over| over.deadline()));
                by(over.filter(|o| o.is_waiting()).map(|_| self.moved + config.idle_timeout));
            }
            State::Settled if self.pending_store == 0 && self.sending.is_done() => {
                by(Some(self.grace_ends(config)));
            }
            State::Settled | State::Ends => {}
        }
        Some(at)
    }

    /// Until when announced messages are waited for.
    pub(super) fn grace_ends(&self, config: &EngineConfig) -> Duration {
        self.moved.max(self.last_arrival) + config.grace
    }

    /// What has taken too long, if anything has.
    pub(super) fn timed_out(&self, now: Duration, config: &EngineConfig) -> Option<Error> {
        let idle = config.idle_timeout;
        let late = |what: &str, d: Duration| {
            Some(Error::new(ErrorKind::TimedOut, format!("{what} within {} s", d.as_secs_f32())))
        };
        if self.ends() {
            return None;
        }
        if now >= self.started + config.max_duration {
            return late("the sync did not come to its end", config.max_duration);
        }
        if self.sending.stalled_since().is_some_and(|d| now >= d + idle) {
            return late("the peer took no message", idle);
        }
        let moved = now < self.moved + idle;
        match &self.state {
            State::WaitsForIndex(_) if !moved => late("the index was not loaded", idle),
            State::Loads(..) if !moved => late("the archive gave no ids", idle),
            State::Awaits if !moved => late("the peer did not answer a reconciliation frame", idle),
            State::Settled if self.strong_timed_out(now, config) => {
                late("the peer did not come to its end", idle)
            }
            State::Store if !moved && self.over.as_ref().is_some_and(|o| o.is_waiting()) => {
                late("the peer did not answer a Store query", idle)
            }
            _ => None,
        }
    }

    /// What its messages are stored as.
    pub(super) fn origin(&self) -> Origin {
        match self.reason {
            SyncReason::Resume => Origin::Resume,
            _ => Origin::Sync,
        }
    }

    /// Whether the figures may be told.
    pub(super) fn may_tell(&self, now: Duration) -> bool {
        now >= self.told_at + PROGRESS_EVERY
    }

    /// The figures, where they changed and were not told just now.
    pub(super) fn progress(&mut self, now: Duration) -> Option<SyncProgress> {
        if self.figures == self.told_figures || !self.may_tell(now) {
            return None;
        }
        (self.told_figures, self.told_at) = (self.figures, now);
        Some(self.figures)
    }
}
