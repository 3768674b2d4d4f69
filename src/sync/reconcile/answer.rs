//! An answer as it grows: ranges in order, with the bytes that they will take.
//!
//! Only ranges that say something are put in; whatever lies between two of them is written as one
//! skip, and what lies before the first or behind the last is left out, which says the same.

use crate::types::{SyncId, Timestamp};
use crate::wire::reconciliation::{Payload, Range, RangeData, Scope};

/// The most bytes that a fingerprint takes, with a skip before it: bounds of nine bytes each, two
/// type bytes, 32 bytes; rounded up.
pub(super) const FINGERPRINT_BYTES: usize = 56;

/// One range of an answer. Its bounds lie between timestamps, and it is not empty.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) lower: Timestamp,
    pub(super) upper: Timestamp,
    pub(super) data: RangeData,
}

/// An answer that grows.
#[derive(Debug, Default)]
pub(super) struct Answer {
    lower: Timestamp,
    at: Timestamp,
    ranges: Vec<Range>,
    bytes: usize,
}

impl Answer {
    /// Whether it says nothing yet.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The bytes of what it says, without the header of scopes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes that these parts, which follow in order, would add.
    pub(super) fn cost(&self, parts: &[Part]) -> usize {
        let mut at = (!self.is_empty()).then_some(self.at);
        let mut bytes = 0;
        for part in parts {
            bytes += match at {
                None => varint_len(0, part.lower),
                Some(at) if at < part.lower => varint_len(at.nanos(), part.lower) + 1,
                Some(_) => 0,
            };
            bytes += varint_len(part.lower.nanos(), part.upper) + 1 + data_len(&part.data);
            at = Some(part.upper);
        }
        bytes
    }

    /// Adds a part that lies behind all before.
    pub(super) fn push(&mut self, part: Part) {
        self.bytes += self.cost(std::slice::from_ref(&part));
        if self.is_empty() {
            self.lower = part.lower;
        } else if self.at < part.lower {
            let upper = SyncId::floor(part.lower);
            self.ranges.push(Range { upper, data: RangeData::Skip });
        }
        self.ranges.push(Range { upper: SyncId::floor(part.upper), data: part.data });
        self.at = part.upper;
    }

    /// The payload; the empty one where nothing was said.
    pub(super) fn into_payload(self, scope: &Scope) -> Payload {
        Payload { scope: scope.clone(), lower: self.lower, ranges: self.ranges }
    }
}

fn data_len(data: &RangeData) -> usize {
    match data {
        RangeData::Skip => 0,
        RangeData::Fingerprint(_) => 32,
        RangeData::ItemSet { ids, .. } => list_len(ids) + 1,
    }
}

/// The bytes of a count and the ids behind it.
fn list_len(ids: &[SyncId]) -> usize {
    let mut bytes = varint_len(0, Timestamp(i64::try_from(ids.len()).unwrap_or(i64::MAX)));
    let mut last = 0;
    for id in ids {
        bytes += varint_len(last, id.timestamp) + 32;
        last = id.timestamp.nanos();
    }
    bytes
}

/// The bytes that the difference of two timestamps takes; also of a number, from 0.
pub(super) fn varint_len(from: i64, to: Timestamp) -> usize {
    let difference = to.nanos().wrapping_sub(from) as u64;
    (70 - (difference | 1).leading_zeros() as usize) / 7
}
