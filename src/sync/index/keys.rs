//! A sorted run of ids, times and hashes in arrays of their own.
//!
//! Both the leaves and the separators of inner nodes are such runs. A search touches the times
//! alone, eight to a cache line, and looks at hashes only between ids of one timestamp. Hashes
//! stay where they were put, and a byte for each id tells where: an insert in the middle moves
//! times and bytes, but not the hashes, which mostly are in no cache. Always: all three arrays
//! have one length, the bytes are a permutation of the hashes' places, and the ids ascend strictly
//! (of separators, all but the first).

use crate::types::{MessageHash, SyncId, Timestamp};

use super::Fingerprint;

/// How much an array grows by. Doubling would leave half of many leaves unused.
const STEP: usize = 16;

/// How many of some ascending times are below `t`.
///
/// Mostly the times are in no cache. Halving would wait for one line of memory after another; this
/// asks for all lines at once, by their first times, and then looks through one of them.
fn count_below(times: &[i64], t: i64) -> usize {
    const LINE: usize = 8;
    let lines: usize = times.iter().step_by(LINE).map(|x| usize::from(*x < t)).sum();
    let start = lines.saturating_sub(1) * LINE;
    let line = times.get(start..).unwrap_or_default();
    start + line.iter().take(LINE).map(|x| usize::from(*x < t)).sum::<usize>()
}

/// A sorted run of ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    times: Vec<i64>,
    /// Where each id's hash is.
    places: Vec<u8>,
    hashes: Vec<MessageHash>,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<SyncId> {
        Some(SyncId::new(Timestamp(*self.times.get(at)?), *self.hash(at)?))
    }

    fn hash(&self, at: usize) -> Option<&MessageHash> {
        self.hashes.get(usize::from(*self.places.get(at)?))
    }

    /// The hashes of the ids from `start` to before `end`, in order.
    fn hashes(&self, start: usize, end: usize) -> impl ExactSizeIterator<Item = &MessageHash> {
        let places = self.places.get(start..end).unwrap_or_default();
        places.iter().map(|place| &self.hashes[usize::from(*place)])
    }

    /// How many are below `id`.
    pub(super) fn below(&self, id: &SyncId) -> usize {
        self.below_from(0, id)
    }

    /// As [`Self::below`], where those before `from` are known to be.
    fn below_from(&self, from: usize, id: &SyncId) -> usize {
        let t = id.timestamp.nanos();
        let times = self.times.get(from..).unwrap_or_default();
        let start = count_below(times, t);
        if id.hash == MessageHash::ZERO || times.get(start) != Some(&t) {
            return from + start;
        }
        let end = start + times[start..].partition_point(|&x| x == t);
        let places = &self.places[from + start..from + end];
        from + start + places.partition_point(|&place| self.hashes[usize::from(place)] < id.hash)
    }

    /// Where `id` is, or where it would go.
    pub(super) fn find(&self, id: &SyncId) -> Result<usize, usize> {
        let at = self.below(id);
        if self.get(at) == Some(*id) { Ok(at) } else { Err(at) }
    }

    /// As separators: which child `id` belongs to. The first separator is not looked at; each
    /// other is the lowest id that its child may hold.
    pub(super) fn child_of(&self, id: &SyncId) -> usize {
        let at = self.below_from(1, id);
        if self.get(at) == Some(*id) { at } else { at - 1 }
    }

    pub(super) fn insert(&mut self, at: usize, id: SyncId) {
        if self.times.len() == self.times.capacity() {
            self.times.reserve_exact(STEP);
            self.places.reserve_exact(STEP);
            self.hashes.reserve_exact(STEP);
        }
        self.times.insert(at, id.timestamp.nanos());
        // No node holds more than a byte can tell.
        self.places.insert(at, self.hashes.len() as u8);
        self.hashes.push(id.hash);
    }

    /// Puts ids, all of which are above, behind.
    pub(super) fn extend(&mut self, ids: &[SyncId]) {
        self.times.reserve_exact(ids.len());
        self.places.reserve_exact(ids.len());
        self.hashes.reserve_exact(ids.len());
        self.times.extend(ids.iter().map(|id| id.timestamp.nanos()));
        let first = self.hashes.len();
        // No node holds more than a byte can tell.
        self.places.extend((first..first + ids.len()).map(|place| place as u8));
        self.hashes.extend(ids.iter().map(|id| id.hash));
    }

    pub(super) fn set(&mut self, at: usize, id: SyncId) {
        if let (Some(time), Some(place)) = (self.times.get_mut(at), self.places.get(at)) {
            *time = id.timestamp.nanos();
            self.hashes[usize::from(*place)] = id.hash;
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.times.remove(at);
        let place = self.places.remove(at);
        self.hashes.swap_remove(usize::from(place));
        // The last hash is now where the removed one was.
        let last = self.hashes.len() as u8;
        if let Some(moved) = self.places.iter_mut().find(|place| **place == last) {
            *moved = place;
        }
    }

    pub(super) fn remove_first(&mut self, count: usize) {
        if count > 0 {
            *self = self.part(count, self.len());
        }
    }

    /// Takes away all from `at` on.
    pub(super) fn split_off(&mut self, at: usize) -> Keys {
        let right = self.part(at, self.len());
        *self = self.part(0, at);
        right
    }

    /// A run of those from `start` to before `end`, with room for some more.
    fn part(&self, start: usize, end: usize) -> Keys {
        let room = (end - start + 1).next_multiple_of(STEP);
        let mut part = Keys {
            times: Vec::with_capacity(room),
            places: Vec::with_capacity(room),
            hashes: Vec::with_capacity(room),
        };
        part.times.extend_from_slice(&self.times[start..end]);
        part.places.extend(0..(end - start) as u8);
        part.hashes.extend(self.hashes(start, end));
        part
    }

    /// Puts `right`, all of which is above, behind.
    pub(super) fn append(&mut self, right: Keys) {
        let before = self.hashes.len() as u8;
        self.times.reserve_exact(right.len());
        self.places.reserve_exact(right.len());
        self.hashes.reserve_exact(right.len());
        self.times.extend_from_slice(&right.times);
        self.places.extend(right.places.iter().map(|place| before + place));
        self.hashes.extend_from_slice(&right.hashes);
    }

    /// Count and XOR of the ids from `start` to before `end`.
    pub(super) fn sum(&self, start: usize, end: usize) -> Fingerprint {
        let hashes = self.hashes(start, end);
        let mut sum = Fingerprint { count: hashes.len(), xor: MessageHash::ZERO };
        for hash in hashes {
            sum.mix(hash);
        }
        sum
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.times.capacity() * size_of::<i64>()
            + self.places.capacity()
            + self.hashes.capacity() * size_of::<MessageHash>()
    }
}
