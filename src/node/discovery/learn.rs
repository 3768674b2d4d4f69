//! What becomes of peers that were found.

use std::hash::{BuildHasher, RandomState};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;

use super::Record;
use crate::node::address::{Address, PeerName};
use crate::node::shared::Shared;

/// Dials of found peers on their way at once.
const AT_ONCE: usize = 4;
/// Connections from which on nobody is dialled only because he was found.
const ENOUGH: usize = 8;

/// Takes peers that were found, the most welcome first, and dials them until there are enough. Waits
/// for the dials.
pub(super) async fn give(shared: &Shared, mut found: Vec<Record>) {
    let connected = shared.peers.read().unwrap_or_else(PoisonError::into_inner).clone();
    found.retain(|record| !connected.contains_key(&record.peer));
    // Those that are dialled, and those that were reached.
    let taken = &AtomicUsize::new(connected.len());
    futures::stream::iter(found)
        .for_each_concurrent(AT_ONCE, |record| async move {
            if taken.load(Ordering::Relaxed).max(shared.peer_names().len()) >= ENOUGH {
                return;
            }
            taken.fetch_add(1, Ordering::Relaxed);
            for at in record.addresses {
                let name = PeerName::At(Address { at, peer: Some(record.peer) });
                match shared.in_time("the dial", shared.reach(name)).await {
                    Ok(_) => return,
                    Err(e) => tracing::debug!(peer = %record.peer, "found, not reached: {e}"),
                }
            }
            taken.fetch_sub(1, Ordering::Relaxed);
        })
        .await;
}

/// The most welcome first, and those of one kind in an order of chance, so that not everybody dials
/// the same ones.
pub(super) fn sort(records: &mut [Record]) {
    let chance = RandomState::new();
    records.sort_by_cached_key(|record| {
        let kind = record.capabilities.map_or(1, |said| match said.store || said.sync {
            true => 0,
            false => 2,
        });
        (kind, chance.hash_one(record.peer))
    });
}
