//! The small faults of a connected peer: streams beyond its limit, gossip that is no message. Each
//! may be an accident, or that of a peer which is behind; so some of them cost nothing, and a
//! stream of them, without end, ends the connection.
//!
//! What must hold: refusing costs work too, so there is an end to what one peer can have refused.

use std::time::Duration;

use tokio::time::Instant;

/// Faults that are put up with at once.
const MOST: u32 = 256;
/// How long it takes until one of them is forgotten.
const FADES: Duration = Duration::from_millis(50);

/// What is left of the node's patience with one peer.
pub(super) struct Patience {
    faults: u32,
    since: Instant,
}

impl Patience {
    pub(super) fn new() -> Self {
        Patience { faults: 0, since: Instant::now() }
    }

    /// Counts a fault. Whether that is enough to send the peer away.
    pub(super) fn try_it(&mut self) -> bool {
        let now = Instant::now();
        let faded = now.saturating_duration_since(self.since).as_millis() / FADES.as_millis();
        let faded = u32::try_from(faded).unwrap_or(u32::MAX);
        self.faults = self.faults.saturating_sub(faded);
        self.since = match self.faults {
            0 => now,
            _ => self.since + FADES.checked_mul(faded).unwrap_or_default(),
        };
        self.faults += 1;
        self.faults > MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn some_at_once_or_now_and_then_are_fine_and_more_are_not() {
        let mut patience = Patience::new();
        assert!((0..MOST).all(|_| !patience.try_it()));
        assert!(patience.try_it());
        // As fast as they are forgotten, for as long as you like.
        let mut patience = Patience::new();
        for _ in 0..10 * MOST {
            assert!(!patience.try_it());
            tokio::time::advance(FADES).await;
        }
        // Twice as fast: not for long.
        let mut patience = Patience::new();
        let mut counted = 0;
        while !patience.try_it() {
            counted += 1;
            tokio::time::advance(FADES / 2).await;
        }
        assert!((2 * MOST - 2..2 * MOST + 2).contains(&counted), "{counted}");
    }
}
