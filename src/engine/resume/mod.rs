//! Resume: what was sent while this node was not online is fetched once peers are there, window by
//! window, newest first, with whatever peer can serve the window and from another where one fails.
//!
//! What is filled is remembered with the node's state, so that a restart goes on where it was. Any
//! sync of ours counts that covers part of the gap, not only those that were begun for it.
//!
//! What must hold: one session at a time; what fails is tried again after a pause, with others
//! first, and neither a peer nor a window that always fails keeps the rest from being filled.

mod gap;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use self::gap::Gap;
use super::deployed::INDEXED;
use super::horizon::{floor, same_scope};
use super::protocol::choose_protocol;
use super::session::Session;
use super::{Engine, Now, PeerInfo, PeerKey, SessionId, SyncOptions, SyncProtocol, SyncReason};
use crate::error::{Error, ErrorKind};
use crate::types::{TimeRange, Timestamp};

/// The longest window of one session.
const WINDOW: Duration = Duration::from_secs(3600);
/// The shortest, where longer ones hold too much.
const LEAST_WINDOW: Duration = Duration::from_secs(60);
/// The shortest part of a window that is compared by itself because a deployed peer's index has
/// that part alone.
const LEAST_PART: Duration = Duration::from_secs(300);
/// The pause after a peer's first failure; it doubles with each, up to the longest.
const PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(600);
/// Failures with one window before older ones have their turn.
const MAX_FAILURES: u32 = 4;
/// Sessions that came to their end and left something over, before their window counts as filled:
/// what two peers have let go of, or what the archive refuses, will not come from a third either.
const MAX_SHORT: u32 = 2;

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Resume {
    pub(super) gap: Gap,
    /// The gap before the present time online was taken in.
    noted: bool,
    /// The session under way, and its window.
    session: Option<(SessionId, TimeRange)>,
    /// Windows from here on had their turn.
    below: Option<Timestamp>,
    /// How many sessions failed since one filled something or the turn went on.
    failures: u32,
    /// How many left something over.
    short: u32,
    /// Halvings of the window.
    halved: u32,
    /// Peers that failed: how often, and not before when they are asked again.
    failed: BTreeMap<PeerKey, (u32, Duration)>,
    /// No session could be begun: when to try again.
    retry_at: Option<Duration>,
}

impl Resume {
    /// Takes in what an earlier run left over.
    pub(super) fn restore(&mut self, now: Now, mut gap: Gap, limit: Duration) {
        gap.clip(now.wall.saturating_sub(limit));
        if let Ok(to_come) = TimeRange::new(now.wall, Timestamp::MAX) {
            // Of a clock that was turned back since.
            gap.fill(&to_come);
        }
        self.gap = gap;
    }

    fn window(&mut self) -> Option<TimeRange> {
        let length = (WINDOW / (1 << self.halved.min(8))).max(LEAST_WINDOW);
        let below = self.below.unwrap_or(Timestamp::MAX);
        self.gap.newest(below, length).or_else(|| {
            // All had their turn: from the top again.
            self.below = None;
            self.gap.newest(Timestamp::MAX, length)
        })
    }

    fn peer_failed(&mut self, peer: PeerKey, now: Duration) {
        let (count, until) = self.failed.entry(peer).or_default();
        *until = now + (PAUSE * (1 << (*count).min(8))).min(MAX_PAUSE);
        *count += 1;
    }

    fn next_turn(&mut self, window: &TimeRange) {
        self.below = Some(window.start());
        (self.failures, self.short) = (0, 0);
    }
}

impl Engine {
    /// The spans that this node has still to fill: for which it was not online, ascending.
    pub fn unfilled(&self) -> Vec<TimeRange> {
        self.resume.gap.spans().to_vec()
    }

    /// The spans that this node has yet to compare, as it stands: the window that a sync has by
    /// default, and before it what is still to be filled. Ascending, and apart from each other.
    pub fn due(&mut self, now: Now) -> Vec<TimeRange> {
        self.at(now);
        let mut due = self.resume.gap.clone();
        if self.config.resume && !self.resume.noted {
            // The gap that will be noted when the first peer comes.
            let start = self.last_online().map(|last| last.saturating_sub(self.config.margin));
            let limit = self.now.wall.saturating_sub(self.config.resume_limit);
            let end = floor(self.now.wall.saturating_sub(self.config.margin));
            if let Some(Ok(span)) = start.map(|start| TimeRange::new(floor(start.max(limit)), end))
            {
                due.add(span);
            }
        }
        // It fails where the clock stands before 1970, and then nothing can be compared.
        if let Ok(window) = self.window(None, false) {
            due.add(window);
        }
        due.spans().to_vec()
    }

    /// Takes note of a new gap, and begins the next session where one is due.
    pub(super) fn drive_resume(&mut self) {
        if !self.config.resume {
            return;
        }
        self.note_gap();
        if self.resume.gap.spans().first().is_some_and(|span| span.start() < self.floor) {
            self.resume.gap.clip(self.floor);
        }
        let now = self.now.elapsed;
        if self.resume.gap.is_empty() {
            self.resume.failed.clear();
            return;
        }
        let waits = self.resume.retry_at.is_some_and(|at| at > now);
        if waits || self.resume.session.is_some() {
            return;
        }
        self.resume.retry_at = None;
        let Some(window) = self.resume.window() else { return };
        let Some((peer, options)) = self.resume_peer(window) else { return };
        let asked = options.window.unwrap_or(window);
        match self.begin_outbound(peer, options, SyncReason::Resume) {
            Ok(id) => {
                self.resume.session = Some((id, asked));
                self.pump_session(id);
            }
            // Too many sessions, or a clock that was turned back.
            Err(_) => self.resume.retry_at = Some(now + PAUSE),
        }
    }

    fn note_gap(&mut self) {
        let online = self.presence.is_online();
        if std::mem::replace(&mut self.resume.noted, online) || !online {
            return;
        }
        let last = self.last_online();
        let (now, margin) = (self.now.wall, self.config.margin);
        // A moment without peers is made good by the next sync, whose window goes back further.
        let Some(last) = last.filter(|last| now > last.saturating_add(margin)) else { return };
        let start = last.saturating_sub(margin).max(now.saturating_sub(self.config.resume_limit));
        if let Ok(span) = TimeRange::new(floor(start), floor(now.saturating_sub(margin))) {
            self.resume.gap.add(span);
            self.presence.changed();
        }
    }

    /// A peer that can serve the window, or its newest part: of those that failed least, one at
    /// random.
    fn resume_peer(&mut self, window: TimeRange) -> Option<(PeerKey, SyncOptions)> {
        let now = self.now.elapsed;
        let busy = |key: PeerKey| {
            let ours = |s: &Session| s.peer == key && s.initiator && !s.ends();
            self.sessions.values().any(ours)
        };
        let mut able: Vec<(u32, PeerKey, SyncOptions)> = Vec::new();
        for (key, peer) in &self.peers {
            let (failures, until) = self.resume.failed.get(key).copied().unwrap_or_default();
            if peer.connected
                && until <= now
                && let Some(options) = self.resume_options(&peer.info, window)
                && !busy(*key)
            {
                able.push((failures, *key, options));
            }
        }
        let least = able.iter().map(|(failures, ..)| *failures).min()?;
        able.retain(|(failures, ..)| *failures == least);
        let chosen = self.rng.below(able.len());
        able.into_iter().nth(chosen).map(|(_, key, options)| (key, options))
    }

    /// How the window, or its newest part, is to be had of such a peer. A deployed node's index
    /// covers its last hour alone; what is older it has in its Store.
    fn resume_options(&self, info: &PeerInfo, window: TimeRange) -> Option<SyncOptions> {
        let indexed = floor(self.now.wall.saturating_sub(INDEXED));
        let mut options = SyncOptions { window: Some(window), ..SyncOptions::default() };
        let strong = info.strong && self.config.strong;
        if info.deployed && !strong && window.start() < indexed {
            if info.reconciles && window.end() > indexed.saturating_add(LEAST_PART) {
                options.window = TimeRange::new(indexed, window.end()).ok();
            } else {
                options.protocol = Some(SyncProtocol::Store);
            }
        }
        choose_protocol(info, &options, &self.config).map(|_| options)
    }

    /// A session has ended: what it covered is filled, if it is one that can have filled it.
    pub(super) fn resume_session_ended(&mut self, id: SessionId, s: &Session) {
        let whole = s.initiator
            && s.takes()
            && s.difference.is_none()
            && same_scope(&s.scope, &self.config.scope);
        let filled = whole && s.error.is_none() && s.left + s.unstored == 0;
        if filled && self.resume.gap.fill(&s.reported_window()) {
            self.presence.changed();
        }
        let Some((_, window)) = self.resume.session.filter(|(session, _)| *session == id) else {
            return;
        };
        self.resume.session = None;
        let now = self.now.elapsed;
        let cancelled = s.error.as_ref().is_some_and(|e| e.kind() == ErrorKind::Cancelled);
        if filled {
            self.resume.failed.remove(&s.peer);
            (self.resume.failures, self.resume.short, self.resume.halved) = (0, 0, 0);
        } else if cancelled {
            // Whoever cancels a session that was begun by itself wants none of this now.
            self.resume.retry_at = Some(now + MAX_PAUSE);
        } else {
            self.resume.peer_failed(s.peer, now);
            self.resume.failures += 1;
            self.resume.short += u32::from(whole && s.error.is_none());
            if s.error.as_ref().is_some_and(holds_too_much) {
                self.resume.halved += 1;
            }
            if self.resume.short >= MAX_SHORT {
                self.resume.gap.fill(&window);
                self.presence.changed();
                self.resume.next_turn(&window);
            } else if self.resume.failures >= MAX_FAILURES {
                self.resume.next_turn(&window);
            }
        }
        let peers = &self.peers;
        self.resume.failed.retain(|key, _| peers.contains_key(key));
    }

    /// When something is to be tried again.
    pub(super) fn resume_deadline(&self) -> Option<Duration> {
        let resume = &self.resume;
        if !self.config.resume || resume.gap.is_empty() || resume.session.is_some() {
            return None;
        }
        let connected = |key: &PeerKey| self.peers.get(key).is_some_and(|p| p.connected);
        let peers = resume.failed.iter().filter(|(key, _)| connected(key)).map(|(_, f)| f.1);
        peers.chain(resume.retry_at).filter(|at| *at > self.now.elapsed).min()
    }
}

/// Whether a session ended because its window holds more than one may bring.
fn holds_too_much(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidArgument
}
