//! What may be stored and asked: the rules that hold for every backend.

use std::time::Duration;

use crate::error::Result;
use crate::types::{Origin, Query, StoredMessage, Timestamp};

/// The most content topics in one query.
pub const MAX_CONTENT_TOPICS: usize = 100;
/// The most hashes in one query.
pub const MAX_HASHES: usize = 1_000;

/// The rules of an archive, as its owner set them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How far a live message's timestamp may lie from our clock, both ways; and how far any
    /// message's may lie ahead of it.
    pub clock_tolerance: Duration,
    /// Whether the lower bound holds for live messages. A host that feeds old messages in as live
    /// (a demo, a test) turns it off; the upper bound always holds.
    pub check_live_age: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { clock_tolerance: Duration::from_secs(20), check_live_age: true }
    }
}

impl Rules {
    /// Whether this message may be stored at `now`.
    ///
    /// # Errors
    /// By kind, what speaks against it.
    pub fn check_message(&self, _m: &StoredMessage, _o: Origin, _now: Timestamp) -> Result<()> {
        todo!()
    }

    /// Whether this query may be asked.
    ///
    /// # Errors
    /// By kind, what speaks against it.
    pub fn check_query(&self, _query: &Query) -> Result<()> {
        todo!()
    }
}
