//! Messages that the archive, or the host's validator, refused for good: peers go on announcing
//! and pushing them, and they are neither asked for nor waited for again.
//!
//! What must hold: bounded in number, the oldest forgotten first; and nothing is on the list that
//! the archive might take at another time.

use std::collections::{BTreeMap, HashMap};

use crate::error::ErrorKind;
use crate::types::{MessageHash, Timestamp};

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Refused {
    max: usize,
    /// With the place in `order`.
    ids: HashMap<MessageHash, u64>,
    order: BTreeMap<u64, (MessageHash, Timestamp)>,
    next: u64,
}

impl Refused {
    /// Empty; at most `max` will be kept.
    pub(super) fn new(max: usize) -> Self {
        Refused { max, ids: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    /// Takes one in; where there are too many, the one that was refused longest ago goes.
    pub(super) fn insert(&mut self, hash: MessageHash, at: Timestamp) {
        self.remove(&hash);
        self.ids.insert(hash, self.next);
        self.order.insert(self.next, (hash, at));
        self.next += 1;
        while self.ids.len() > self.max
            && let Some((_, (oldest, _))) = self.order.pop_first()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Whether it was refused.
    pub(super) fn contains(&self, hash: &MessageHash) -> bool {
        self.ids.contains_key(hash)
    }

    /// It was stored after all: the owner put it in, or changed the rules.
    pub(super) fn remove(&mut self, hash: &MessageHash) {
        if let Some(place) = self.ids.remove(hash) {
            self.order.remove(&place);
        }
    }

    /// What is older than this is not asked for anyway.
    pub(super) fn forget_below(&mut self, floor: Timestamp) {
        self.order.retain(|_, (_, at)| *at >= floor);
        let order = &self.order;
        self.ids.retain(|_, place| order.contains_key(place));
    }
}

/// Whether a refusal stands for ever: for the same bytes the answer will be the same. (A message of
/// the future may be taken once its time has come, a validator may be ready later. An error that is
/// not known to be for good is not.)
pub(super) fn is_final(kind: ErrorKind) -> bool {
    use ErrorKind::{
        Ephemeral, InvalidTopic, MessageTooLarge, MetaTooLarge, NoTimestamp, TakenDown,
        TimestampTooOld, ValidatorRefused,
    };
    matches!(
        kind,
        Ephemeral
            | InvalidTopic
            | MessageTooLarge
            | MetaTooLarge
            | NoTimestamp
            | TakenDown
            | TimestampTooOld
            | ValidatorRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u8) -> MessageHash {
        MessageHash([n; 32])
    }

    #[test]
    fn the_oldest_refusals_are_forgotten() {
        let mut refused = Refused::new(3);
        for n in 0..3 {
            refused.insert(hash(n), Timestamp(i64::from(n)));
        }
        // Refused again: it is the newest now.
        refused.insert(hash(0), Timestamp(0));
        refused.insert(hash(3), Timestamp(3));
        let held: Vec<u8> = (0..4).filter(|n| refused.contains(&hash(*n))).collect();
        assert_eq!((held, refused.ids.len()), (vec![0, 2, 3], 3));
        refused.remove(&hash(2));
        refused.insert(hash(4), Timestamp(4));
        assert!(refused.contains(&hash(0)) && refused.contains(&hash(4)) && refused.ids.len() == 3);
        refused.forget_below(Timestamp(3));
        assert_eq!((refused.ids.len(), refused.order.len()), (2, 2));
        assert!(!refused.contains(&hash(0)));
        let mut none = Refused::new(0);
        none.insert(hash(1), Timestamp(1));
        assert_eq!((none.ids.len(), none.order.len()), (0, 0));
    }

    #[test]
    fn what_may_be_taken_later_is_not_final() {
        assert!(is_final(ErrorKind::ValidatorRefused) && is_final(ErrorKind::MetaTooLarge));
        for kind in [ErrorKind::Busy, ErrorKind::Internal, ErrorKind::TimestampInFuture] {
            assert!(!is_final(kind));
        }
    }
}
