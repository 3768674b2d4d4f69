//! Whether a session that ended leaves both sides with the same, and what coverage learns of it.
//!
//! What must hold: agreement is claimed only of a comparison that came to its end and left nothing
//! over; coverage learns of agreement only where all was compared that this node serves.

use super::horizon::same_scope;
use super::session::Session;
use super::{Agreement, Engine, SyncDirection, SyncProtocol};
use crate::types::TimeRange;

impl Engine {
    /// A session has ended, with all that it brought in the archive.
    pub(super) fn note_end(&mut self, s: &mut Session) {
        if let Some(difference) = &mut s.difference {
            difference.missing.sort_unstable();
            difference.surplus.sort_unstable();
        }
        let left_over = left_over(s);
        if s.agreement == Agreement::None && s.protocol == SyncProtocol::V1 && !left_over {
            s.agreement = weakly(s);
        }
        if left_over {
            s.agreement = Agreement::None;
        }
        let info = self.peers.get(&s.peer).filter(|p| p.connected).map(|p| p.info);
        s.group = info.map_or(s.group, |info| info.group);
        let whole = same_scope(&s.scope, &self.config.scope);
        if left_over || (s.agreement != Agreement::None && whole) {
            // Of what lies below the retention floor nothing is asked for, so nothing is known.
            let end = s.window.end();
            let kept = TimeRange::new(s.window.start().max(self.floor).min(end), end);
            let span = if left_over { s.window } else { kept.unwrap_or(s.window) };
            self.agreements.note(span, s.group, s.agreement, self.now.wall);
            self.presence.changed();
        }
    }
}

/// Whether differences were found, or told of, that are still there.
fn left_over(s: &Session) -> bool {
    let missing = if s.takes() { s.left + s.unstored } else { s.figures.missing };
    let sent = if s.sends() { s.figures.sent } else { 0 };
    missing > 0 || s.figures.surplus > sent || s.figures.unsendable > 0
}

/// What 1.0.0 can tell. A push passes over what the peer alone holds, and of spans that the peer
/// was asked to send whole nobody can tell that all came but the peer, by closing its stream.
fn weakly(s: &Session) -> Agreement {
    let unheard = s.spans_granted && !s.peer_closed_transfer;
    let passed_over = s.direction == SyncDirection::Push && s.difference.is_none();
    let whole = s.compared && s.error.is_none() && !passed_over;
    if whole && !unheard && !s.window.is_empty() { Agreement::Weak } else { Agreement::None }
}
