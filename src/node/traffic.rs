//! The bytes of sync and of Store as they go over streams, both ways, with whomever; and holding on
//! where there have been enough.
//!
//! What libp2p adds (its agreement on a protocol, encryption, multiplexing) is not in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::engine::SyncProgress;
use crate::wire::{reconciliation, store, strong, transfer};

/// Whether a protocol's bytes are counted.
pub(super) fn counts(protocol: &str) -> bool {
    [reconciliation::PROTOCOL, strong::PROTOCOL, transfer::PROTOCOL, store::PROTOCOL]
        .contains(&protocol)
}

/// What has gone over streams, and what syncs made of it, since the node's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counted {
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Messages that syncs stored.
    pub(super) received: u64,
    /// Messages that syncs sent.
    pub(super) sent: u64,
}

impl Counted {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_in.saturating_add(self.bytes_out)
    }

    pub(super) fn since(&self, before: &Counted) -> Counted {
        Counted {
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
            received: self.received.saturating_sub(before.received),
            sent: self.sent.saturating_sub(before.sent),
        }
    }
}

/// See the head of the file.
pub(super) struct Traffic {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// Of all bytes, both ways: where they are enough.
    limit: AtomicU64,
    state: watch::Sender<State>,
    /// Readers that may have read something which is not handed over yet.
    reading: watch::Sender<usize>,
}

/// Somebody reads, or has read, until this is dropped.
pub(super) struct Reading(Arc<Traffic>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.reading.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct State {
    /// The limit was reached.
    enough: bool,
    /// Nothing more is to be read of what peers send unasked.
    held: bool,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic {
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            state: watch::Sender::default(),
            reading: watch::Sender::default(),
        }
    }
}

impl Traffic {
    pub(super) fn came(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        self.look();
    }

    pub(super) fn went(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        self.look();
    }

    /// A sync has ended.
    pub(super) fn ended(&self, figures: &SyncProgress) {
        self.received.fetch_add(figures.received, Ordering::Relaxed);
        self.sent.fetch_add(figures.sent, Ordering::Relaxed);
    }

    pub(super) fn counted(&self) -> Counted {
        Counted {
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }

    fn look(&self) {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == u64::MAX || self.counted().bytes() < limit {
            return;
        }
        // No more is read from here on, whoever hears of it when.
        self.change(|state| (state.enough, state.held) = (true, true));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let before = *state;
            change(state);
            *state != before
        });
    }

    /// After so many bytes more than now it is enough; at once, where they are 0.
    pub(super) fn limit(&self, more: Option<u64>) {
        let at = more.map_or(u64::MAX, |more| self.counted().bytes().saturating_add(more));
        self.limit.store(at, Ordering::Relaxed);
        self.look();
    }

    /// Resolves once it is enough.
    pub(super) async fn enough(&self) {
        // It fails only where the node is gone.
        let _ = self.state.subscribe().wait_for(|state| state.enough).await;
    }

    /// From now on, and until [`Traffic::release`], transfer streams are not read on: what a peer
    /// sends waits in its own buffers.
    pub(super) fn hold(&self) {
        self.change(|state| state.held = true);
    }

    /// All goes on, without a limit.
    pub(super) fn release(&self) {
        self.limit.store(u64::MAX, Ordering::Relaxed);
        self.change(|state| *state = State::default());
    }

    /// Resolves once it is not held: then one may read, until [`Traffic::held`] resolves.
    pub(super) async fn may_read(self: &Arc<Self>) -> Reading {
        let mut state = self.state.subscribe();
        loop {
            let _ = state.wait_for(|state| !state.held).await;
            self.reading.send_modify(|count| *count += 1);
            let reading = Reading(self.clone());
            // It may have been held in between.
            if !self.state.borrow().held {
                return reading;
            }
        }
    }

    /// Resolves once it is held.
    pub(super) async fn held(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.held).await;
    }

    /// Whether it is held now.
    pub(super) fn is_held(&self) -> bool {
        self.state.borrow().held
    }

    /// Resolves once nobody reads and all that was read is handed over.
    pub(super) async fn quiet(&self) {
        let _ = self.reading.subscribe().wait_for(|count| *count == 0).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use futures::FutureExt;

    use super::*;

    #[test]
    fn bytes_are_counted_and_a_limit_holds_readers_until_it_is_lifted() {
        let traffic = Arc::new(Traffic::default());
        let held = || traffic.may_read().now_or_never().is_none();
        traffic.came(10);
        traffic.went(5);
        let before = traffic.counted();
        traffic.limit(Some(100));
        traffic.came(99);
        assert!(traffic.enough().now_or_never().is_none() && !held());
        let reading = traffic.may_read().now_or_never();
        traffic.went(1);
        assert!(traffic.enough().now_or_never().is_some() && held());
        assert!(traffic.quiet().now_or_never().is_none());
        drop(reading);
        assert!(traffic.quiet().now_or_never().is_some());
        let since = traffic.counted().since(&before);
        assert_eq!((since.bytes_in, since.bytes_out, since.bytes()), (99, 1, 100));
        traffic.release();
        traffic.came(1_000);
        assert!(traffic.enough().now_or_never().is_none() && !held());
        traffic.hold();
        assert!(held() && traffic.enough().now_or_never().is_none());
        assert!(traffic.held().now_or_never().is_some());
    }
}
