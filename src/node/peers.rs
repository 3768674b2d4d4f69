//! What the node knows of each connected peer, and where it dialled peers before.
//!
//! A peer is taken in (told of, served to the engine) once metadata has spoken, or has not: a peer
//! that does not speak metadata stays, one of another cluster is sent away.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use libp2p::{Multiaddr, PeerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::facts::Facts;
use super::patience::Patience;
use crate::error::{Error, Result};

/// Streams that one peer may have open to us at once.
const MAX_STREAMS_PER_PEER: usize = 64;
/// Peers of which the address is kept.
const MAX_KNOWN: usize = 4096;

/// The right to serve one stream: of the peer's share, and of all.
pub(super) type StreamPermit = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Who waits for a dial.
pub(super) type Waiter = oneshot::Sender<Result<PeerId>>;

/// What metadata said of a peer.
pub(super) enum Verdict {
    /// Nothing yet. These wait for it.
    Pending(Vec<Waiter>),
    /// Nothing against it.
    Ours,
    /// It belongs elsewhere, and goes.
    Foreign(Error),
}

/// One connected peer.
pub(super) struct Peer {
    pub(super) verdict: Verdict,
    /// What it is, as far as is known.
    pub(super) facts: Facts,
    /// For the streams that it opens.
    pub(super) streams: Arc<Semaphore>,
    /// For what it does wrong.
    pub(super) patience: Patience,
    /// Who waits for its last connection to go.
    pub(super) leaving: Vec<oneshot::Sender<()>>,
}

impl Peer {
    pub(super) fn new() -> Self {
        Peer {
            verdict: Verdict::Pending(Vec::new()),
            facts: Facts::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS_PER_PEER)),
            patience: Patience::new(),
            leaving: Vec::new(),
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        matches!(self.verdict, Verdict::Ours)
    }

    /// Answers a dial, at once or when the verdict is there.
    pub(super) fn wait(&mut self, id: PeerId, waiter: Waiter) {
        // A dial that nobody waits for any more needs no answer.
        let _ = match &mut self.verdict {
            Verdict::Pending(waiters) => {
                waiters.push(waiter);
                return;
            }
            Verdict::Ours => waiter.send(Ok(id)),
            Verdict::Foreign(error) => waiter.send(Err(error.clone())),
        };
    }

    /// Takes a verdict and tells those who wait. The first counts, but that a peer is foreign counts
    /// whenever it is learned. Whether it was taken.
    pub(super) fn judge(&mut self, id: PeerId, verdict: Result<()>) -> bool {
        let verdict = match (&self.verdict, verdict) {
            (Verdict::Pending(_), Ok(())) => Verdict::Ours,
            (Verdict::Pending(_) | Verdict::Ours, Err(error)) => Verdict::Foreign(error),
            _ => return false,
        };
        if let Verdict::Pending(waiters) = std::mem::replace(&mut self.verdict, verdict) {
            for waiter in waiters {
                self.wait(id, waiter);
            }
        }
        true
    }
}

/// Where peers were reached before: what we dialled, never what they announce (deployed nodes
/// announce addresses at which they cannot be reached).
#[derive(Default)]
pub(super) struct KnownAddresses {
    by_peer: HashMap<PeerId, Multiaddr>,
    order: VecDeque<PeerId>,
}

impl KnownAddresses {
    pub(super) fn insert(&mut self, peer: PeerId, at: Multiaddr) {
        if self.by_peer.insert(peer, at).is_none() {
            self.order.push_back(peer);
            if self.order.len() > MAX_KNOWN
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_peer.remove(&oldest);
            }
        }
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Multiaddr> {
        self.by_peer.get(peer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn everyone_who_waits_hears_the_first_verdict() {
        let id = PeerId::random();
        let mut peer = Peer::new();
        let (early, mut early_answer) = oneshot::channel();
        peer.wait(id, early);
        assert!(early_answer.try_recv().is_err());
        assert!(peer.judge(id, Err(Error::new(ErrorKind::OtherCluster, "cluster 9"))));
        assert!(!peer.judge(id, Ok(())));
        let (late, mut late_answer) = oneshot::channel();
        peer.wait(id, late);
        for answer in [early_answer.try_recv(), late_answer.try_recv()] {
            assert_eq!(answer.unwrap().unwrap_err().kind(), ErrorKind::OtherCluster);
        }
    }

    #[test]
    fn known_addresses_are_bounded() {
        let mut known = KnownAddresses::default();
        let first = PeerId::random();
        known.insert(first, Multiaddr::empty());
        for _ in 0..MAX_KNOWN {
            known.insert(PeerId::random(), Multiaddr::empty());
        }
        assert!(known.get(&first).is_none());
        assert_eq!((known.by_peer.len(), known.order.len()), (MAX_KNOWN, MAX_KNOWN));
    }
}
