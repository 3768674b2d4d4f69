//! What a session may bring: ids that were announced, spans that were granted, within window,
//! scope and quota.

use crate::types::{StoredMessage, SyncId, TimeRange};
use crate::wire::reconciliation::Scope;

/// What to do with a message that a peer sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Store it.
    Take,
    /// It may be announced yet: keep it in the bounded buffer.
    Early,
    /// Honest peers do this: drop it without penalty (a duplicate, out of scope or window).
    Drop,
    /// Honest peers do not: drop it, and it costs the peer (beyond quota).
    Penalise,
}

/// The grants of one session.
#[derive(Debug)]
pub struct Grants {}

impl Grants {
    /// Nothing granted yet; at most `max_messages` and `max_bytes` will ever be taken.
    pub fn new(_w: TimeRange, _scope: Scope, _max_messages: usize, _max_bytes: usize) -> Self {
        todo!()
    }
    /// This id was found missing.
    pub fn expect(&mut self, _id: SyncId) {
        todo!()
    }
    /// All of this span was asked for.
    pub fn grant(&mut self, _lower: SyncId, _upper: SyncId) {
        todo!()
    }
    /// Nothing more will be announced: from now on nothing is early.
    pub fn seal(&mut self) {
        todo!()
    }
    /// Judges a message; what is taken is counted and no longer outstanding. `size` is of its
    /// frame, in bytes.
    pub fn judge(&mut self, _message: &StoredMessage, _size: usize) -> Verdict {
        todo!()
    }
    /// This id came another way: it is no longer outstanding. False where it was not.
    pub fn forget(&mut self, _id: &SyncId) -> bool {
        todo!()
    }
    /// Announced and not yet here.
    pub fn outstanding(&self) -> usize {
        todo!()
    }
}
