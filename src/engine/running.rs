//! What a session is while it runs, for a host that tells of it.

use std::ops::Bound;

use super::{Engine, PeerKey, SessionId, SyncProtocol, SyncReason};
use crate::types::TimeRange;

/// A session that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunningSync {
    /// With whom.
    pub peer: PeerKey,
    /// Whether we began it.
    pub initiator: bool,
    /// Why it was begun.
    pub reason: SyncReason,
    /// The span that is compared; `None` until the peer that began it has said so.
    pub window: Option<TimeRange>,
    /// How it compares, as far as that is known by now.
    pub protocol: SyncProtocol,
}

impl Engine {
    /// The sessions that run and were begun after this one, in the order of their beginning.
    pub fn begun_after(&self, session: SessionId) -> Vec<SessionId> {
        let after = (Bound::Excluded(session), Bound::Unbounded);
        self.sessions.range(after).map(|(id, _)| *id).collect()
    }

    /// Whether a session is over but for what is with the archive or was asked for already, or has
    /// ended.
    pub fn is_ending(&self, session: SessionId) -> bool {
        self.sessions
            .get(&session)
            .is_none_or(|s| s.ends() || s.over.as_ref().is_some_and(|over| over.winds_down()))
    }

    /// A session as it is now; `None` where it has ended.
    pub fn running(&self, session: SessionId) -> Option<RunningSync> {
        self.sessions.get(&session).map(|s| RunningSync {
            peer: s.peer,
            initiator: s.initiator,
            reason: s.reason,
            window: Some(s.window).filter(|w| !w.is_empty()),
            protocol: s.protocol,
        })
    }
}
