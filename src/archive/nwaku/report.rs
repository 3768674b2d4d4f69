//! What the caller asks for, and what he is told.

use super::position::Position;
use crate::error::Error;
use crate::types::{ContentTopic, MessageHash, PubsubTopic, SyncId, TimeRange, Timestamp};

/// How an import is run.
#[derive(Clone, PartialEq, Debug)]
pub struct ImportOptions {
    /// Go on after this row: [`ImportReport::position`] of an earlier import that was interrupted.
    pub from: Option<Position>,
    /// Rows in one put, 1 to 10,000. A batch of large messages is cut off earlier, at 8 MiB.
    pub batch: usize,
    /// How many rows each list of the report names at most; all are counted.
    pub max_listed: usize,
}

impl Default for ImportOptions {
    /// From the beginning, in batches of 1,000, with at most 1,000 rows in each list.
    fn default() -> Self {
        ImportOptions { from: None, batch: 1_000, max_listed: 1_000 }
    }
}

/// What an import has done so far. The counts are of this run, and only of rows whose messages
/// are committed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ImportReport {
    /// Rows read: the sum of the next three.
    pub read: u64,
    /// Messages that are new here.
    pub imported: u64,
    /// Messages that were here already, or that the source holds more than once.
    pub duplicates: u64,
    /// Rows that hold no message that may be stored; see [`ImportReport::refused_rows`].
    pub refused: u64,
    /// Of the messages taken in: those that the source had under another hash than their own.
    /// They are here under their own. nwaku filled the hashes of old rows with random bytes.
    pub rehashed: u64,
    /// Of the messages taken in: those for which the source has no hash to compare with.
    pub unhashed: u64,
    /// The first of the rows that were refused, in the order of the source.
    pub refused_rows: Vec<RefusedRow>,
    /// The first of the rows whose hash was another.
    pub rehashed_rows: Vec<RehashedRow>,
    /// The source's time of its first and of its last row as the import began, where it keeps its
    /// rows in order of time: with [`ImportReport::reached`] that tells how far it has come.
    pub span: Option<(Timestamp, Timestamp)>,
    /// The source's time of the last row that was read.
    pub reached: Option<Timestamp>,
    /// Where to go on: all rows up to here are dealt with and committed.
    pub position: Option<Position>,
    /// Whether the end of the source was reached; false where the import was cancelled.
    pub complete: bool,
}

/// A row that was not imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedRow {
    /// Its key in the source, written as in a [`Position`]; cut off at 200 characters.
    pub row: String,
    /// The source's time of it, where there is one.
    pub timestamp: Option<Timestamp>,
    /// Why.
    pub reason: Error,
}

/// A row whose stored hash is not that of its message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RehashedRow {
    /// Its key in the source, written as in a [`Position`]; cut off at 200 characters.
    pub row: String,
    /// The source's time of it, where there is one.
    pub timestamp: Option<Timestamp>,
    /// What the source has for a hash, where that is 32 bytes.
    pub stored: Option<MessageHash>,
    /// The hash that the message has, under which it was taken in.
    pub computed: MessageHash,
}

/// Which messages are exported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportOptions {
    /// Sent in this half-open span.
    pub time: TimeRange,
    /// Only of these pubsub topics; empty means all.
    pub pubsub_topics: Vec<PubsubTopic>,
    /// Only of these content topics; empty means all.
    pub content_topics: Vec<ContentTopic>,
    /// Only after this one: [`ExportReport::position`] of an earlier export that was interrupted.
    pub after: Option<SyncId>,
}

impl Default for ExportOptions {
    /// All messages.
    fn default() -> Self {
        ExportOptions {
            time: TimeRange::ALL,
            pubsub_topics: Vec::new(),
            content_topics: Vec::new(),
            after: None,
        }
    }
}

/// What an export has done so far. The counts are of this run and of what is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExportReport {
    /// Messages that are new in the target.
    pub written: u64,
    /// Messages that the target held already.
    pub duplicates: u64,
    /// Messages that the target has no way to hold. None for SQLite.
    pub refused: u64,
    /// Of all of these: messages with a rate-limit proof, for which nwaku's schema has no place.
    pub without_proof: u64,
    /// Where to go on: the last message in the order of time and hash that is in the target.
    pub position: Option<SyncId>,
    /// Whether the end was reached; false where the export was cancelled.
    pub complete: bool,
}
