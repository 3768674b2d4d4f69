//! How well Store peers answer: their response times, and what they failed at.
//!
//! What must hold: what is remembered is bounded; a failure weighs less as time passes, so that a
//! peer that has recovered is asked again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use tokio::time::Instant;

/// Peers that are remembered; beyond it the one that was asked longest ago goes.
const MAX_PEERS: usize = 1024;
/// What a peer is taken for that was never asked: such as answer faster are preferred, and it is to
/// such as are slow or fail.
const UNKNOWN: Duration = Duration::from_millis(300);
/// What the last answer counts for.
const WEIGHT: f64 = 0.3;
/// A failure counts half after this.
const HALVES: Duration = Duration::from_secs(120);

struct Record {
    seconds: f64,
    failures: f64,
    at: Instant,
}

impl Record {
    fn failures(&self, now: Instant) -> f64 {
        let halvings = now.saturating_duration_since(self.at).as_secs_f64() / HALVES.as_secs_f64();
        self.failures * (-halvings).exp2()
    }
}

/// See the head of the file.
#[derive(Default)]
pub(super) struct Measured(Mutex<HashMap<PeerId, Record>>);

impl Measured {
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It answered, in so long.
    pub(super) fn answered(&self, peer: PeerId, took: Duration) {
        self.note(peer, |record, first| {
            let took = took.as_secs_f64();
            record.seconds =
                if first { took } else { record.seconds + WEIGHT * (took - record.seconds) };
        });
    }

    /// It did not, or not well.
    pub(super) fn failed(&self, peer: PeerId) {
        self.note(peer, |record, _| record.failures += 1.0);
    }

    fn note(&self, peer: PeerId, change: impl FnOnce(&mut Record, bool)) {
        let now = Instant::now();
        let mut all = self.lock();
        if !all.contains_key(&peer)
            && all.len() >= MAX_PEERS
            && let Some(oldest) = all.iter().min_by_key(|(_, r)| r.at).map(|(peer, _)| *peer)
        {
            all.remove(&oldest);
        }
        let first = !all.contains_key(&peer);
        let new = Record { seconds: UNKNOWN.as_secs_f64(), failures: 0.0, at: now };
        let record = all.entry(peer).or_insert(new);
        record.failures = record.failures(now);
        record.at = now;
        change(record, first);
    }

    /// What asking this peer is taken to cost, in milliseconds, where it ever was asked.
    pub(super) fn known(&self, peer: &PeerId) -> Option<u32> {
        let known = self.lock().contains_key(peer);
        known.then(|| (self.cost(peer) * 1000.0).ceil() as u32)
    }

    /// What asking this peer is taken to cost, in seconds: the less the better.
    pub(super) fn cost(&self, peer: &PeerId) -> f64 {
        let all = self.lock();
        let Some(record) = all.get(peer) else { return UNKNOWN.as_secs_f64() };
        record.seconds * (1.0 + 4.0 * record.failures(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_fast_and_faultless_are_preferred_and_faults_fade() {
        let measured = Measured::default();
        let [fast, slow, unknown] = [PeerId::random(), PeerId::random(), PeerId::random()];
        measured.answered(fast, Duration::from_millis(20));
        measured.answered(slow, Duration::from_secs(2));
        assert!(measured.cost(&fast) < measured.cost(&unknown));
        assert!(measured.cost(&unknown) < measured.cost(&slow));
        (0..5).for_each(|_| measured.failed(fast));
        assert!(measured.cost(&fast) > measured.cost(&unknown));
        tokio::time::advance(HALVES * 10).await;
        assert!(measured.cost(&fast) < measured.cost(&unknown));
        // One slow answer does not make a fast peer a slow one.
        measured.answered(fast, Duration::from_millis(300));
        assert!(measured.cost(&fast) < 0.2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let (measured, first) = (Measured::default(), PeerId::random());
        measured.failed(first);
        for _ in 0..MAX_PEERS {
            tokio::time::advance(Duration::from_millis(1)).await;
            measured.failed(PeerId::random());
        }
        assert_eq!(measured.lock().len(), MAX_PEERS);
        assert!(!measured.lock().contains_key(&first));
    }
}
