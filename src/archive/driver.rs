//! What a backend of the archive must do. All of it may block; [`super::Archive`] gives each
//! driver a thread of its own.

use std::path::Path;

use super::feed::FeedItem;
use super::report::{BackupReport, TopicQuery, TopicStats, VerifyReport};
use super::task::Control;
use super::{Changes, Commit, Position};
use crate::error::{Error, Result, bail};
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

/// What is to be removed in one commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Removal {
    /// The oldest messages: of those before this time, at most so many; where whole spans go (see
    /// [`Figures::goes_with`]), those of a span in several steps, which may be larger. The floor is
    /// raised above the last of them. Of several archives on one database one alone removes.
    Oldest {
        /// The timestamp that is not reached.
        before: Timestamp,
        /// At most so many.
        limit: usize,
    },
    /// These are taken down: removed, where they are held, and never taken in again.
    Hashes(Vec<MessageHash>),
}

/// What retention goes by; cheap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Messages held.
    pub messages: u64,
    /// Timestamp of the oldest, where there is one.
    pub oldest: Option<Timestamp>,
    /// Bytes on disk that are in use (0 for an archive in memory).
    pub used_bytes: u64,
    /// One above the highest timestamp that retention has removed.
    pub floor: Timestamp,
    /// Where the backend removes whole spans of time for their age: the end of the span that the
    /// oldest message lies in, which goes once all of it is too old. `None` where each message goes
    /// by itself.
    pub goes_with: Option<Timestamp>,
}

/// One connection to a backend.
pub trait Driver: Send {
    /// Commits a batch in one transaction and tells for each message whether it is new. The
    /// messages have passed the rules. Of messages with the same hash in one batch the first is
    /// the new one. On an error nothing of the batch is stored, and the driver goes on.
    ///
    /// # Errors
    /// Where several archives write to one backend, another may have removed something since the
    /// caller looked, and that stays removed: [`crate::ErrorKind::TakenDown`] where a message of the
    /// batch is down, [`crate::ErrorKind::TimestampTooOld`] where one lies below the floor. The
    /// archive looks again then, and puts the rest.
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

    /// Those of the hashes that are neither held nor taken down, in the order asked for, each once.
    fn missing(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>>;

    /// One step of a walk over what sync needs, in ascending order of id.
    fn index(&mut self, query: &IndexQuery) -> Result<Vec<IndexEntry>>;

    /// Removes messages in one transaction and tells which. On an error nothing is removed.
    fn remove(&mut self, removal: &Removal) -> Result<Vec<FeedItem>> {
        let _ = removal;
        bail!(Unsupported, "this archive's backend removes nothing")
    }

    /// Those of the hashes that were taken down.
    fn taken_down(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        let _ = hashes;
        Ok(Vec::new())
    }

    /// Where the log of changes stands: what is committed from now on comes after it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] where the backend keeps no log. Then the feed tells of
    /// this archive's own commits alone, and there is no going on from a position.
    fn position(&mut self) -> Result<Position> {
        bail!(Unsupported, "this archive's backend keeps no log of its changes")
    }

    /// The log after a position, at most so many changes (at least 1). [`Position::START`] is
    /// before all of it: there the log begins with all messages that are held.
    ///
    /// It must never end before a position that any driver of this backend gave earlier (a replica
    /// that lags cannot answer), and never beyond one that a commit still under way could come to
    /// lie before.
    ///
    /// # Errors
    /// [`crate::ErrorKind::PositionGone`] where the log does not reach back to the position, or
    /// the position is of another archive.
    fn changes(&mut self, after: Position, limit: usize) -> Result<Changes> {
        let _ = (after, limit);
        bail!(Unsupported, "this archive's backend keeps no log of its changes")
    }

    /// Where the last [`Driver::put`] or [`Driver::remove`] of this driver that did not fail lies
    /// in the log; `None` where there is no log.
    fn last_commit(&mut self) -> Option<Commit> {
        None
    }

    /// A number that has changed whenever the log has grown by anything but a settled commit of
    /// this driver's own. It is asked for a few times a second while somebody is subscribed, and
    /// must be cheap. `None` where nobody else can write: then it is not asked for again.
    fn foreign_mark(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// [`Figures::floor`] alone.
    fn floor(&mut self) -> Result<Timestamp> {
        Ok(self.figures()?.floor)
    }

    /// What retention goes by.
    fn figures(&mut self) -> Result<Figures> {
        let Stats { messages, oldest, bytes_on_disk, .. } = self.stats()?;
        let floor = Timestamp(i64::MIN);
        Ok(Figures { messages, oldest, used_bytes: bytes_on_disk, floor, goes_with: None })
    }

    /// Figures.
    fn stats(&mut self) -> Result<Stats>;

    /// One page of figures by topic, in the order of names. Its cost is by topics, not messages.
    fn topic_stats(&mut self, query: &TopicQuery) -> Result<Vec<TopicStats>> {
        let _ = query;
        bail!(Unsupported, "this archive's backend keeps no figures by topic")
    }

    /// Hashes that were taken down, after this one, in ascending order.
    fn tombstones(&mut self, after: Option<MessageHash>, limit: usize) -> Result<Vec<MessageHash>> {
        let _ = (after, limit);
        bail!(Unsupported, "this archive's backend takes nothing down")
    }

    /// Lifts tombstones, in one transaction; how many there were.
    fn reinstate(&mut self, hashes: &[MessageHash]) -> Result<u64> {
        let _ = hashes;
        bail!(Unsupported, "this archive's backend takes nothing down")
    }

    /// Writes a copy of one state of the archive to a new file, while others put and read. There
    /// is never half a copy under that name.
    fn backup(&mut self, to: &Path, replace: bool, control: &Control) -> Result<BackupReport> {
        let _ = (to, replace, control);
        bail!(Unsupported, "this archive's backend makes no backups")
    }

    /// Checks everything that is held, while others put and read.
    fn verify(&mut self, control: &Control) -> Result<VerifyReport> {
        let _ = control;
        bail!(Unsupported, "this archive's backend cannot be verified")
    }

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

    /// Whether a reader may be opened before the writer: then the archive opens its writer on the
    /// writer's thread, beside the first question. What keeps an archive from being opened is to be
    /// told by [`Backend::reader`] too, then.
    fn reads_first(&self) -> bool {
        false
    }

    /// Whether nothing can be put and removed: then the writer is one that only reads.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Whether all drivers may be closed, and opened anew later, with nothing lost: then a suspended
    /// archive holds none. What is in memory alone cannot be let go of.
    fn reopens(&self) -> bool {
        false
    }
}
