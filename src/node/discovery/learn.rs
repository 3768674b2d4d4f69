//! What becomes of peers that were found: they go into the book of peers, out of which the node dials
//! as many as it wants of each kind.

use std::hash::{BuildHasher, RandomState};

use super::Record;
use crate::node::book::Speaks;
use crate::node::shared::Shared;

/// Gives peers that were found to the book, the most welcome first.
pub(super) async fn give(shared: &Shared, found: Vec<Record>) {
    for record in found {
        let said = record.capabilities.unwrap_or_default();
        let speaks = Speaks { store: said.store, sync: said.sync, relay: said.relay };
        shared.learn(record.peer, record.addresses, speaks).await;
    }
}

/// The most welcome first, and those of one kind in an order of chance, so that not everybody keeps
/// the same ones where not all have room.
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
