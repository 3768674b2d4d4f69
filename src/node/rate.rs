//! How often peers may ask: a bucket of tokens for each peer, and one for all of them.
//!
//! What must hold: a request that is refused costs its peer nothing more; what is remembered of
//! peers is bounded, and a peer that is forgotten has been quiet for long enough to have its full
//! allowance anyway, unless there are more peers than are remembered.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::PeerId;
use tokio::time::Instant;

/// Peers that are remembered at once.
const MAX_PEERS: usize = 4096;

/// So many requests in so long a time. All of them may come at once; after that they come back
/// evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests, at least 1.
    pub requests: u32,
    /// In which time, more than zero.
    pub per: Duration,
}

/// What is left of an allowance.
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(limit: &RateLimit, now: Instant) -> Self {
        Bucket { tokens: f64::from(limit.requests), at: now }
    }

    fn fill(&mut self, limit: &RateLimit, now: Instant) {
        let most = f64::from(limit.requests);
        let came = now.saturating_duration_since(self.at).as_secs_f64() / limit.per.as_secs_f64();
        self.tokens = (self.tokens + came * most).min(most);
        self.at = now;
    }
}

/// See the head of the file.
pub(super) struct Rates {
    in_all: Option<(RateLimit, Bucket)>,
    of_peer: Option<RateLimit>,
    peers: HashMap<PeerId, Bucket>,
}

impl Rates {
    pub(super) fn new(in_all: Option<RateLimit>, of_peer: Option<RateLimit>) -> Self {
        let now = Instant::now();
        let in_all = in_all.map(|limit| (limit, Bucket::full(&limit, now)));
        Rates { in_all, of_peer, peers: HashMap::new() }
    }

    /// Whether this peer may have a request answered now; then it is counted.
    pub(super) fn admit(&mut self, peer: PeerId) -> bool {
        let now = Instant::now();
        let own = self.of_peer.map(|limit| self.bucket(peer, limit, now));
        // Asked first: a peer beyond its own allowance takes nothing of the others'.
        if own.as_ref().is_some_and(|own| own.tokens < 1.0) {
            return false;
        }
        if let Some((limit, all)) = &mut self.in_all {
            all.fill(limit, now);
            if all.tokens < 1.0 {
                return false;
            }
            all.tokens -= 1.0;
        }
        if let Some(own) = self.peers.get_mut(&peer) {
            own.tokens -= 1.0;
        }
        true
    }

    fn bucket(&mut self, peer: PeerId, limit: RateLimit, now: Instant) -> &Bucket {
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_PEERS {
            self.make_room(&limit, now);
        }
        let own = self.peers.entry(peer).or_insert_with(|| Bucket::full(&limit, now));
        own.fill(&limit, now);
        own
    }

    /// Forgets those that have their full allowance; where all are busy, the one that was quiet for
    /// longest.
    fn make_room(&mut self, limit: &RateLimit, now: Instant) {
        self.peers.retain(|_, own| now.saturating_duration_since(own.at) < limit.per);
        if self.peers.len() >= MAX_PEERS
            && let Some(oldest) = self.peers.iter().min_by_key(|(_, b)| b.at).map(|(peer, _)| *peer)
        {
            self.peers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u32, secs: u64) -> Option<RateLimit> {
        Some(RateLimit { requests, per: Duration::from_secs(secs) })
    }

    fn admitted(rates: &mut Rates, peer: PeerId, asked: usize) -> usize {
        (0..asked).filter(|_| rates.admit(peer)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_is_used_up_and_comes_back_evenly() {
        let mut rates = Rates::new(None, limit(10, 5));
        let (one, two) = (PeerId::random(), PeerId::random());
        assert_eq!(admitted(&mut rates, one, 15), 10);
        assert_eq!(admitted(&mut rates, two, 15), 10, "each has its own");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(admitted(&mut rates, one, 15), 2);
        tokio::time::advance(Duration::from_secs(500)).await;
        assert_eq!(admitted(&mut rates, one, 15), 10, "and no more than all of it");
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_beyond_its_own_takes_nothing_of_all() {
        let mut rates = Rates::new(limit(15, 10), limit(10, 10));
        let (one, two) = (PeerId::random(), PeerId::random());
        assert_eq!(admitted(&mut rates, one, 100), 10);
        assert_eq!(admitted(&mut rates, two, 100), 5);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(admitted(&mut rates, two, 100), 3);
        let mut free = Rates::new(None, None);
        assert_eq!((admitted(&mut free, one, 1000), free.peers.len()), (1000, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let mut rates = Rates::new(None, limit(2, 10));
        let first = PeerId::random();
        assert_eq!(admitted(&mut rates, first, 3), 2);
        for _ in 0..MAX_PEERS + 5 {
            tokio::time::advance(Duration::from_micros(1)).await;
            assert!(rates.admit(PeerId::random()));
        }
        assert_eq!(rates.peers.len(), MAX_PEERS);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(rates.admit(first));
        assert_eq!(rates.peers.len(), 1);
    }
}
