//! When this node was online, that is, had a peer to sync with; and when its state is to be saved.
//!
//! What must hold: [`Presence::last_online`] stands still while the node is online, so that
//! whoever fills the gap can ask at any time; what is saved moves on, at least each minute; and
//! the host is asked to save at most once in five seconds.

use std::time::Duration;

use super::{Engine, Now, Output};
use crate::types::Timestamp;

/// The least time between two savings.
const SAVE_AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// The most time between two savings while online.
const SAVE_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// Whether it is online now.
    online: bool,
    /// The end of the last time online before this one.
    last: Option<Timestamp>,
    /// Something is to be saved.
    changed: bool,
    saved_at: Option<Duration>,
}

impl Presence {
    /// Takes what an earlier run saved. A time of the future tells of a clock that was turned
    /// back since, and means nothing more than now.
    pub(super) fn restore(&mut self, now: Now, last: Option<Timestamp>) {
        self.last = last.map(|t| t.min(now.wall));
    }

    /// Whether there is a peer to sync with, as of now.
    pub(super) fn observe(&mut self, now: Now, online: bool) {
        if self.online == online {
            return;
        }
        self.online = online;
        self.changed = true;
        if !online {
            self.last = Some(now.wall);
        }
    }

    /// Whether it is online now.
    pub(super) fn is_online(&self) -> bool {
        self.online
    }

    /// The end of the last time online before the present one.
    pub(super) fn last_online(&self) -> Option<Timestamp> {
        self.last
    }

    /// What is to be saved: now, while online.
    pub(super) fn to_save(&self, now: Now) -> Option<Timestamp> {
        if self.online { Some(now.wall) } else { self.last }
    }

    /// Something else changed that is saved along.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// Whether it is time to save; says so once.
    pub(super) fn save(&mut self, now: Duration) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        if due {
            (self.changed, self.saved_at) = (false, Some(now));
        }
        due
    }

    /// When [`Presence::save`] is due.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let after = match (self.changed, self.online) {
            (true, _) => SAVE_AT_MOST_EVERY,
            (false, true) => SAVE_AT_LEAST_EVERY,
            (false, false) => return None,
        };
        Some(self.saved_at.map_or(Duration::ZERO, |at| at + after))
    }
}

impl Engine {
    /// Takes note of who is there, and has the state saved where that is due.
    pub(super) fn keep_presence(&mut self) {
        let online = self.peers.values().any(|p| p.connected && p.info.syncs());
        self.presence.observe(self.now, online);
        if self.presence.save(self.now.elapsed) {
            self.outputs.push_back(Output::SaveState);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        let wall = Timestamp(1_760_000_000_000_000_000);
        let elapsed = Duration::from_secs(seconds);
        Now { elapsed, wall: wall.saturating_add(elapsed) }
    }

    #[test]
    fn last_online_stands_still_while_online_and_what_is_saved_moves() {
        let mut p = Presence::default();
        assert_eq!((p.last_online(), p.to_save(at(0))), (None, None));
        p.observe(at(10), true);
        p.observe(at(20), true);
        assert_eq!((p.last_online(), p.to_save(at(30))), (None, Some(at(30).wall)));
        p.observe(at(40), false);
        p.observe(at(50), false);
        assert_eq!((p.last_online(), p.to_save(at(60))), (Some(at(40).wall), Some(at(40).wall)));
        p.observe(at(70), true);
        assert_eq!((p.last_online(), p.to_save(at(80))), (Some(at(40).wall), Some(at(80).wall)));
    }

    #[test]
    fn a_time_of_the_future_means_now() {
        let mut p = Presence::default();
        p.restore(at(10), Some(at(500).wall));
        assert_eq!(p.last_online(), Some(at(10).wall));
        p.restore(at(10), Some(at(5).wall));
        assert_eq!(p.last_online(), Some(at(5).wall));
    }

    #[test]
    fn saved_each_minute_while_online_and_at_most_every_five_seconds() {
        let mut p = Presence::default();
        assert!(!p.save(Duration::from_secs(100)) && p.deadline().is_none());
        let mut saved = Vec::new();
        for t in 100..400 {
            // It flaps every second for a while, then stays online, then is gone.
            p.observe(at(t), if t < 120 { t % 2 == 0 } else { t < 350 });
            if p.save(at(t).elapsed) {
                saved.push(t);
            }
        }
        assert_eq!(saved, [100, 105, 110, 115, 120, 180, 240, 300, 350]);
        assert_eq!(p.deadline(), None, "offline, and all is saved");
    }
}
