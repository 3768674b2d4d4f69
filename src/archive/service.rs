//! The archive that everybody uses: threads, group commit, feed.

use super::{Backend, Feed, IndexEntry, IndexQuery, Pending, PutOutcome, Rules, Stats};
use crate::error::Result;
use crate::types::{MessageHash, Origin, Page, Query, StoredMessage, Timestamp};

/// How an archive is run, apart from where it is.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// What may be stored.
    pub rules: Rules,
    /// Threads that read beside the writer.
    pub readers: usize,
    /// The clock, in Unix nanoseconds. Passed in so that tests can turn it.
    pub clock: fn() -> Timestamp,
    /// How many bytes of messages may wait to be committed; a put beyond that is answered with
    /// [`crate::ErrorKind::Busy`].
    pub max_queued_bytes: usize,
}

/// An open archive. Cloning it gives another handle to the same one; the last to go, or
/// [`Archive::close`], commits what was accepted and joins the threads.
#[derive(Clone)]
pub struct Archive {}

impl Archive {
    /// Opens an archive on this backend. Blocks while the backend opens.
    pub fn open(_backend: impl Backend, _config: ArchiveConfig) -> Result<Self> {
        todo!()
    }
    /// Stores messages. They are hashed by [`StoredMessage::new`]; one outcome each, in order.
    pub fn put(&self, _messages: Vec<StoredMessage>, _o: Origin) -> Pending<Vec<PutOutcome>> {
        todo!()
    }
    /// One page.
    pub fn query(&self, _query: Query) -> Pending<Page> {
        todo!()
    }
    /// Those of the messages that are held, in the order asked for, each once.
    pub fn get(&self, _hashes: Vec<MessageHash>) -> Pending<Vec<StoredMessage>> {
        todo!()
    }
    /// Those of the hashes that are not held, in the order asked for. Any number of them.
    pub fn missing(&self, _hashes: Vec<MessageHash>) -> Pending<Vec<MessageHash>> {
        todo!()
    }
    /// One step of a walk over what sync needs.
    pub fn index(&self, _query: IndexQuery) -> Pending<Vec<IndexEntry>> {
        todo!()
    }
    /// Figures.
    pub fn stats(&self) -> Pending<Stats> {
        todo!()
    }
    /// From now on, what is committed. `capacity` is in messages, at least 1.
    pub fn subscribe(&self, _capacity: usize) -> Feed {
        todo!()
    }
    /// The archive's clock.
    pub fn now(&self) -> Timestamp {
        todo!()
    }
    /// Commits what was accepted, ends the feeds and joins the threads. Blocks. A second call is
    /// fine; any other call after it gives [`crate::ErrorKind::ArchiveClosed`].
    pub fn close(&self) {
        todo!()
    }
}
