//! What a driver tells of the log of its changes: the words between drivers and the change feed.
//!
//! A log is one sequence of changes that all who write to a file or a database share. What must
//! hold: nothing is ever added to it at or before a position that a driver has given out. Where
//! commits can overtake each other (in PostgreSQL a number is drawn before the commit, and a slow
//! transaction may commit a low number late) a driver ends its log at a *horizon* that nothing
//! open can still fall behind, and tells of its own commits ahead of it ([`Commit::settled`]).

use super::{FeedItem, Position};
use crate::types::SyncId;

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A message was stored, and is still held.
    Stored(FeedItem),
    /// A message was taken down.
    Removed(FeedItem),
    /// Retention removed all messages up to this id, with it.
    Expired(SyncId),
}

/// A change at its place in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logged {
    /// Its place: after it, this change was told. Ascending in a log; several of one commit may
    /// share none.
    pub at: Position,
    /// It was told ahead by this archive itself: the driver said so with a [`Commit`] at this
    /// place that was not settled. (Not of an earlier opening, nor of another process.)
    pub own: bool,
    /// What changed.
    pub change: Change,
}

/// A part of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// In the order of the log. Messages that were stored in this part and are held no more are
    /// left out; what removed them is told.
    pub entries: Vec<Logged>,
    /// Where this part ends: not before the place of the last entry.
    pub next: Position,
    /// Whether there was more at that time.
    pub more: bool,
}

/// Where a driver's last commit lies in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Commit {
    /// What others committed before it ends here.
    pub before: Position,
    /// The commit itself ends here; equal to `before` where nothing changed.
    pub at: Position,
    /// Nothing can come into the log before it any more. Then it is all that lies between `before`
    /// and `at`.
    pub settled: bool,
}
