//! What a backend of the archive must do. All of it may block; [`super::Archive`] gives each
//! driver a thread of its own.

use crate::error::{Error, Result};
use crate::types::{
    ContentTopic, MessageHash, Origin, Page, PubsubTopic, Query, StoredMessage, SyncId, TimeRange,
    Timestamp,
};

/// What became of one message of a put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PutOutcome {
    /// It is new, and committed.
    Stored,
    /// It was there already, and committed. Not an error.
    Duplicate,
    /// The rules, or the host's validator, refuse it; the rest of its batch is not touched by that.
    Refused(Error),
}

/// What sync needs to know of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// Timestamp and hash.
    pub id: SyncId,
    /// Where it was published.
    pub pubsub_topic: PubsubTopic,
    /// What it is filed under.
    pub content_topic: ContentTopic,
}

/// Which [`IndexEntry`]s to read, in ascending order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexQuery {
    /// Sent in this half-open span.
    pub time: TimeRange,
    /// Only of these pubsub topics; empty means all.
    pub pubsub_topics: Vec<PubsubTopic>,
    /// Only of these content topics; empty means all.
    pub content_topics: Vec<ContentTopic>,
    /// Only after this one.
    pub after: Option<SyncId>,
    /// At most so many.
    pub limit: usize,
}

/// Figures of an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Messages held.
    pub messages: u64,
    /// Timestamp of the oldest, where there is one.
    pub oldest: Option<Timestamp>,
    /// Timestamp of the newest, where there is one.
    pub newest: Option<Timestamp>,
    /// Bytes on disk (0 for an archive in memory).
    pub bytes_on_disk: u64,
}

/// One connection to a backend.
pub trait Driver: Send {
    /// Commits a batch in one transaction and tells for each message whether it is new. The
    /// messages have passed the rules. Of messages with the same hash in one batch the first is
    /// the new one. On an error nothing of the batch is stored, and the driver goes on.
    fn put(&mut self, batch: &[(StoredMessage, Origin)]) -> Result<Vec<bool>>;

    /// A put was committed, and whoever waits for it has been answered: the time for upkeep. No
    /// put is committed meanwhile.
    fn after_put(&mut self) {}

    /// One page. The query has passed the rules.
    ///
    /// # Errors
    /// [`crate::ErrorKind::CursorNotFound`] where the cursor names no message that is held.
    fn query(&mut self, query: &Query) -> Result<Page>;

    /// Those of the messages that are held, in the order asked for, each once.
    fn get(&mut self, hashes: &[MessageHash]) -> Result<Vec<StoredMessage>>;

    /// Those of the hashes that are not held, in the order asked for, each once.
    fn missing(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>>;

    /// One step of a walk over what sync needs, in ascending order of id.
    fn index(&mut self, query: &IndexQuery) -> Result<Vec<IndexEntry>>;

    /// Figures.
    fn stats(&mut self) -> Result<Stats>;

    /// The archive closes: called once, last, and for the writer after all readers are gone.
    fn close(&mut self) {}
}

/// A place that drivers can be opened on. All drivers of a backend see the same messages, and a
/// reader sees at once what a put of the writer has committed.
///
/// The archive opens its drivers once, and one anew in place of a driver that panicked; a backend
/// that cannot do that again answers with an error.
pub trait Backend: Send + Sync + 'static {
    /// The one driver that writes (and reads).
    fn writer(&self) -> Result<Box<dyn Driver>>;

    /// A driver that only reads, beside the writer; `None` where only the writer can read.
    fn reader(&self) -> Result<Option<Box<dyn Driver>>>;
}
