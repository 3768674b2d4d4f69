//! The log of changes of the in-memory driver: the model of what the others keep in tables.
//!
//! What must hold: numbers are never given out twice; a message that is held has its place, one
//! that is not has none; the places of removals are bounded, and what falls out raises `trimmed`.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};

use super::{Change, Changes, Commit, FeedItem, Logged, Position};
use crate::error::{Result, bail};
use crate::types::SyncId;

/// Removals that are remembered.
const MAX_REMOVALS: usize = 100_000;

enum Place {
    /// What is told of it, the driver knows.
    Stored(SyncId),
    Gone(Change),
}

/// The log.
pub(super) struct Log {
    archive: u64,
    /// The last number that was given out.
    last: u64,
    /// The last number of a removal that is not remembered.
    trimmed: u64,
    places: BTreeMap<u64, Place>,
    /// The numbers of removals, and of some that are not in `places` any more.
    removals: VecDeque<u64>,
    /// The newest of retention's.
    expired: Option<(u64, SyncId)>,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            // Unlike that of any other archive.
            archive: RandomState::new().build_hasher().finish() | 1,
            last: 0,
            trimmed: 0,
            places: BTreeMap::new(),
            removals: VecDeque::new(),
            expired: None,
        }
    }
}

impl Log {
    pub(super) fn position(&self) -> Position {
        Position::new(self.archive, self.last, 0)
    }

    /// What was committed after `before`.
    pub(super) fn commit(&self, before: Position) -> Commit {
        Commit { before, at: self.position(), settled: true }
    }

    /// A message was stored: its place.
    pub(super) fn stored(&mut self, id: SyncId) -> u64 {
        self.last += 1;
        self.places.insert(self.last, Place::Stored(id));
        self.last
    }

    /// A message that was stored at this place is held no more.
    pub(super) fn forget(&mut self, place: u64) {
        self.places.remove(&place);
    }

    pub(super) fn removed(&mut self, item: FeedItem) {
        self.gone(Change::Removed(item));
    }

    pub(super) fn expired(&mut self, up_to: SyncId) {
        // Whoever is told of the later one need not be told of an earlier one that it covers.
        if let Some((place, former)) = self.expired
            && former <= up_to
        {
            self.places.remove(&place);
        }
        self.gone(Change::Expired(up_to));
        self.expired = Some((self.last, up_to));
    }

    fn gone(&mut self, change: Change) {
        self.last += 1;
        self.places.insert(self.last, Place::Gone(change));
        self.removals.push_back(self.last);
        while self.removals.len() > MAX_REMOVALS {
            if let Some(oldest) = self.removals.pop_front()
                && self.places.remove(&oldest).is_some()
            {
                self.trimmed = oldest;
            }
        }
    }

    /// The log after a position. `item` tells of a message that is held.
    pub(super) fn changes(
        &self,
        after: Position,
        limit: usize,
        item: impl Fn(&SyncId) -> Option<FeedItem>,
    ) -> Result<Changes> {
        // Who begins at the start is told of nothing that is gone by then.
        let (from, as_of) = match after {
            Position::START => (0, self.last),
            after => (after.major(), after.minor()),
        };
        if after != Position::START && after.archive() != self.archive {
            bail!(PositionGone, "the position is of another archive");
        }
        if from.max(as_of) > self.last || from.max(as_of) < self.trimmed {
            bail!(PositionGone, "the log of changes does not reach to the position");
        }
        let at =
            |place: u64| Position::new(self.archive, place, if place < as_of { as_of } else { 0 });
        let mut entries = Vec::new();
        let mut next = from;
        for (&place, what) in self.places.range(from + 1..) {
            if entries.len() >= limit.max(1) {
                return Ok(Changes { entries, next: at(next), more: true });
            }
            next = place;
            let change = match what {
                Place::Stored(id) => item(id).map(Change::Stored),
                Place::Gone(change) => (place > as_of).then(|| change.clone()),
            };
            entries.extend(change.map(|change| Logged { at: at(place), own: false, change }));
        }
        Ok(Changes { entries, next: at(self.last), more: false })
    }
}
