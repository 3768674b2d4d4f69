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

    /// How many ranges it has.
    pub(super) fn ranges(&self) -> usize {
        self.ranges.len()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::types::MessageHash;

    fn data() -> impl Strategy<Value = RangeData> {
        prop_oneof![
            Just(RangeData::Fingerprint(MessageHash([7; 32]))),
            (0usize..300, any::<bool>()).prop_map(|(n, reconciled)| RangeData::ItemSet {
                ids: vec![SyncId::floor(Timestamp(0)); n],
                reconciled
            }),
        ]
    }

    proptest! {
        #[test]
        fn costs_are_those_of_the_bytes(
            parts in prop::collection::vec((0i64..1 << 40, 1i64..1 << 40, data()), 1..8),
            lower in 0i64..1 << 62,
        ) {
            let mut answer = Answer::default();
            let mut at = lower;
            let mut list = Vec::new();
            for (gap, length, mut data) in parts {
                let (lower, upper) = (Timestamp(at + gap / 2 * (gap & 1)), at + gap + length);
                if let RangeData::ItemSet { ids, .. } = &mut data {
                    let step = (upper - lower.0) / (ids.len() as i64 + 1);
                    for (i, id) in ids.iter_mut().enumerate() {
                        *id = SyncId::new(
                            Timestamp(lower.0 + step * i as i64),
                            MessageHash([i as u8; 32]),
                        );
                    }
                    ids.dedup();
                }
                list.push(Part { lower, upper: Timestamp(upper), data });
                at = upper;
            }
            let whole = answer.cost(&list);
            for part in list {
                answer.push(part);
            }
            let bytes = answer.bytes();
            prop_assert_eq!(bytes, whole);
            let payload = answer.into_payload(&Scope::default());
            // Two bytes say that both lists of topics are empty.
            prop_assert_eq!(payload.encode().len(), bytes + 2);
            prop_assert_eq!(payload.clone().as_read(), payload);
        }
    }
}
