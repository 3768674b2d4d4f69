//! What becomes of peers that were found.

use std::hash::{BuildHasher, RandomState};

use futures::StreamExt;

use super::Record;
use crate::node::address::{Address, PeerName};
use crate::node::shared::Shared;

/// Dials of found peers on their way at once.
const AT_ONCE: usize = 4;

impl Shared {
    /// Takes peers that were found, the most welcome first, and dials them until this many are
    /// connected in all. Waits for the dials.
    pub(in crate::node) async fn learn(&self, found: Vec<Record>, max_peers: usize) {
        futures::stream::iter(found)
            .for_each_concurrent(AT_ONCE, |record| async move {
                for at in record.addresses {
                    if self.peer_names().len() >= max_peers {
                        return;
                    }
                    let name = PeerName::At(Address { at, peer: Some(record.peer) });
                    match self.in_time("the dial", self.reach(name)).await {
                        Ok(_) => return,
                        Err(e) => tracing::debug!(peer = %record.peer, "found, not reached: {e}"),
                    }
                }
            })
            .await;
    }
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
