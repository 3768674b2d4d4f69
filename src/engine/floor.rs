//! The retention floor: what lies below it the archive has deleted, or will soon.
//!
//! What must hold: nothing below it is asked for, compared or taken, so that sync and retention do
//! not work against each other; and that a peer still has it is no fault of the peer's.

use super::horizon::floor;
use super::session::{Session, Source};
use super::{Engine, Now};
use crate::error::Result;
use crate::types::{TimeRange, Timestamp};

impl Engine {
    /// The archive keeps nothing below this time (any more). Call it as retention goes on; until
    /// the first call everything may be kept.
    pub fn set_floor(&mut self, now: Now, retained: Timestamp) {
        self.at(now);
        self.floor = floor(retained);
        self.refused.forget_below(self.floor);
        for session in self.sessions.values_mut() {
            if let Some(grants) = &mut session.grants {
                grants.forget_below(self.floor);
            }
        }
        for ended in self.peers.values_mut().flat_map(|peer| &mut peer.ended) {
            ended.grants.forget_below(self.floor);
        }
        let keep = self.compared_from();
        self.horizon.set_floor(self.now, self.floor, keep);
        self.pump();
    }

    /// From the first time that may be kept, and that the wire can say, to the last that a message
    /// may have by now.
    pub(super) fn comparable(&self) -> Result<TimeRange> {
        let end = floor(self.now.wall.saturating_add(self.config.margin));
        TimeRange::new(self.floor.min(end), end)
    }

    /// The earliest time that a session compares on the engine's own index.
    pub(super) fn compared_from(&self) -> Option<Timestamp> {
        let compares = |s: &Session| s.reconciles() || (s.strong.is_some() && !s.ends());
        let compared = |s: &&Session| compares(s) && matches!(s.source, Source::Horizon);
        self.sessions.values().filter(compared).map(|s| s.window.start()).min()
    }
}
