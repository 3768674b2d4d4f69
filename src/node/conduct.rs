//! What peers did that honest peers do not do, and when that is enough.
//!
//! Penalties fade, so that a peer with a rare fault stays; and they are remembered when it leaves,
//! so that coming again wipes nothing out.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::PeerId;
use tokio::time::Instant;

/// Penalties after which a peer is sent away.
pub(super) const MAX_PENALTIES: u32 = 10;
/// How long it takes until one of them is forgotten.
const FADES: Duration = Duration::from_secs(180);
/// Peers with penalties that are kept in mind; of more those go that were penalised longest ago.
const MAX_PEERS: usize = 1024;

struct Record {
    penalties: u32,
    /// When the last was forgotten, or, before that, when the first was counted.
    fading: Instant,
    last: Instant,
}

impl Record {
    fn fade(&mut self, now: Instant) {
        let periods = now.saturating_duration_since(self.fading).as_secs() / FADES.as_secs();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.penalties = self.penalties.saturating_sub(periods);
        self.fading += FADES.checked_mul(periods).unwrap_or_default();
    }
}

/// See the head of the file.
#[derive(Default)]
pub(super) struct Conduct(HashMap<PeerId, Record>);

impl Conduct {
    /// Counts one more. Whether that is enough to send the peer away; then the count begins anew.
    pub(super) fn penalise(&mut self, peer: PeerId) -> bool {
        let now = Instant::now();
        if !self.0.contains_key(&peer) && self.0.len() >= MAX_PEERS {
            self.make_room(now);
        }
        let new = Record { penalties: 0, fading: now, last: now };
        let record = self.0.entry(peer).or_insert(new);
        record.fade(now);
        if record.penalties == 0 {
            record.fading = now;
        }
        record.penalties += 1;
        record.last = now;
        let enough = record.penalties >= MAX_PENALTIES;
        if enough {
            self.0.remove(&peer);
        }
        enough
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, record| {
            record.fade(now);
            record.penalties > 0
        });
        if self.0.len() >= MAX_PEERS
            && let Some(oldest) = self.0.iter().min_by_key(|(_, r)| r.last).map(|(peer, _)| *peer)
        {
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_in_a_row_are_enough_and_rare_ones_never() {
        let (mut conduct, peer) = (Conduct::default(), PeerId::random());
        for round in 0..2 {
            let counted = (0..MAX_PENALTIES).map(|_| conduct.penalise(peer)).collect::<Vec<_>>();
            let at = counted.iter().position(|enough| *enough);
            assert_eq!(at, Some(MAX_PENALTIES as usize - 1), "round {round}");
        }
        for _ in 0..1000 {
            assert!(!conduct.penalise(peer));
            tokio::time::advance(FADES).await;
        }
        // Nine, then nothing for five periods: four are left, and five more are not enough.
        (1..MAX_PENALTIES).for_each(|_| assert!(!conduct.penalise(peer)));
        tokio::time::advance(FADES * 5).await;
        (0..5).for_each(|_| assert!(!conduct.penalise(peer)));
        assert!(conduct.penalise(peer));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let mut conduct = Conduct::default();
        let first = PeerId::random();
        (1..MAX_PENALTIES).for_each(|_| assert!(!conduct.penalise(first)));
        for _ in 0..MAX_PEERS + 10 {
            tokio::time::advance(Duration::from_millis(1)).await;
            conduct.penalise(PeerId::random());
        }
        assert_eq!(conduct.0.len(), MAX_PEERS);
        assert!(!conduct.penalise(first), "it was forgotten");
        // What has faded goes before what has not.
        tokio::time::advance(FADES).await;
        conduct.penalise(PeerId::random());
        assert_eq!(conduct.0.len(), 1);
    }
}
