//! Whether the node is online: whether a peer is connected, or was until a moment ago.
//!
//! What must hold: going and coming again within the grace is not told; offline is told only where
//! somebody is wanted, once, and online only where offline was told or nothing was yet. It reads no
//! clock.

use std::time::Duration;

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Online {
    grace: Duration,
    /// Peers are looked for: a node that only waits for clients is not offline without them.
    wanting: bool,
    connected: bool,
    /// When the last peer went, or the node began.
    since: Duration,
    online: bool,
    told: Option<bool>,
}

impl Online {
    pub(super) fn new(grace: Duration) -> Self {
        let since = Duration::ZERO;
        Online { grace, wanting: false, connected: false, since, online: false, told: None }
    }

    /// Peers are looked for from now on; they have the grace to be found.
    pub(super) fn want(&mut self, now: Duration) {
        if !self.wanting {
            self.since = self.since.max(now);
        }
        self.wanting = true;
    }

    /// Whether any peer is connected, as of now.
    pub(super) fn observe(&mut self, now: Duration, connected: bool) {
        if self.connected && !connected {
            self.since = now;
        }
        self.connected = connected;
    }

    pub(super) fn is_online(&self) -> bool {
        self.online
    }

    /// What is to be told now: `true` is online.
    pub(super) fn poll(&mut self, now: Duration) -> Option<bool> {
        if self.connected {
            self.online = true;
        } else if now >= self.over() {
            self.online = false;
        }
        let tell = match self.online {
            true => self.told != Some(true),
            false => now >= self.over() && self.wanting && self.told != Some(false),
        };
        if tell {
            self.told = Some(self.online);
        }
        tell.then_some(self.online)
    }

    fn over(&self) -> Duration {
        self.since.saturating_add(self.grace)
    }

    /// When [`Online::poll`] has something new to say by itself.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let waits = self.online || (self.wanting && self.told != Some(false));
        (!self.connected && waits).then(|| self.over())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn going_and_coming_is_told_after_the_grace() {
        let mut online = Online::new(S(10));
        online.want(S(0));
        assert_eq!((online.poll(S(0)), online.deadline()), (None, Some(S(10))));
        assert_eq!(online.poll(S(9)), None);
        assert_eq!((online.poll(S(10)), online.poll(S(11))), (Some(false), None));
        assert_eq!(online.deadline(), None);
        online.observe(S(20), true);
        assert_eq!((online.poll(S(20)), online.poll(S(20))), (Some(true), None));
        assert_eq!(online.deadline(), None);
        // Away for less than the grace.
        online.observe(S(30), false);
        assert_eq!((online.poll(S(39)), online.is_online()), (None, true));
        online.observe(S(39), true);
        assert_eq!(online.poll(S(100)), None);
        // And for longer.
        online.observe(S(100), false);
        assert_eq!(online.deadline(), Some(S(110)));
        assert_eq!((online.poll(S(110)), online.is_online()), (Some(false), false));
    }

    #[test]
    fn who_wants_nobody_is_not_told_that_nobody_is_there() {
        let mut online = Online::new(S(10));
        assert_eq!((online.poll(S(50)), online.deadline()), (None, None));
        online.observe(S(60), true);
        assert_eq!(online.poll(S(60)), Some(true));
        online.observe(S(61), false);
        assert_eq!((online.deadline(), online.poll(S(71))), (Some(S(71)), None));
        assert!(!online.is_online() && online.deadline().is_none());
        // A client comes: nothing is new. Then somebody is wanted, and nobody there.
        online.observe(S(80), true);
        assert_eq!(online.poll(S(80)), None);
        online.observe(S(81), false);
        online.want(S(85));
        assert_eq!((online.poll(S(94)), online.poll(S(95))), (None, Some(false)));
    }
}
