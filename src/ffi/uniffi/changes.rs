//! An archive's change feed, pulled commit by commit.

use std::sync::{Arc, Mutex, PoisonError};

use super::call::{Guarded, guard, guarded};
use super::error::Result;
use super::message::Origin;
use super::stream::{Source, Stream};
use crate::archive::{Feed, FeedEvent, FeedItem, Position};
use crate::error::bail;
use crate::runtime::Runtime;

/// How many messages wait for a reader, where it does not say.
const CAPACITY: u32 = 10_000;

/// A message that was stored or removed.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct ChangedMessage {
    /// The message hash, 32 bytes.
    pub hash: Vec<u8>,
    /// When it was sent, in Unix nanoseconds.
    pub timestamp: i64,
    /// Where it was published.
    pub pubsub_topic: String,
    /// What it is filed under.
    pub content_topic: String,
    /// Where it came from, also where it was removed.
    pub origin: Origin,
}

/// What an archive has committed.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Enum)]
pub enum Change {
    /// New messages; those that were there already are not among them. Of this archive's own
    /// commits, while the reader keeps up, one change is one commit.
    Stored {
        /// In the order of the commits.
        messages: Vec<ChangedMessage>,
    },
    /// Messages that were removed, by retention or taken down. The reader may not know them.
    Removed {
        /// Which.
        messages: Vec<ChangedMessage>,
    },
    /// Retention removed all messages up to this one, with it: told so of other archives on the same
    /// file or database, and of what lies behind.
    Expired {
        /// When the last of them was sent, in Unix nanoseconds.
        timestamp: i64,
        /// Its hash, 32 bytes.
        hash: Vec<u8>,
    },
    /// The reader was too slow: messages were left out here. From the position that the
    /// subscription tells then, a new one goes on with nothing left out.
    Lagged {
        /// How many, stored or removed; 0 where it is not known.
        missed: u64,
    },
}

impl From<&FeedItem> for ChangedMessage {
    fn from(item: &FeedItem) -> Self {
        ChangedMessage {
            hash: item.id.hash.0.to_vec(),
            timestamp: item.id.timestamp.nanos(),
            pubsub_topic: item.pubsub_topic.as_str().to_owned(),
            content_topic: item.content_topic.as_str().to_owned(),
            origin: item.origin.into(),
        }
    }
}

impl From<FeedEvent> for Change {
    fn from(event: FeedEvent) -> Self {
        let of_each = |items: &[FeedItem]| items.iter().map(ChangedMessage::from).collect();
        match event {
            FeedEvent::Stored(items) => Change::Stored { messages: of_each(&items) },
            FeedEvent::Removed(items) => Change::Removed { messages: of_each(&items) },
            FeedEvent::Expired(last) => {
                Change::Expired { timestamp: last.timestamp.nanos(), hash: last.hash.0.to_vec() }
            }
            FeedEvent::Lagged { missed, .. } => Change::Lagged { missed },
        }
    }
}

/// A change, and where to go on from after it.
pub(super) struct Step(Option<FeedEvent>, Option<Position>);

impl Source for Feed {
    type Item = Step;

    async fn pull(&mut self) -> crate::Result<Step> {
        let event = self.next().await;
        Ok(Step(event, self.position()))
    }
}

struct Subscribed {
    stream: Arc<Stream<Feed>>,
    position: Mutex<Option<Position>>,
}

/// A subscription to what is committed, by this archive and by others on the same file or database,
/// from the moment it was made or from a position on. It does not keep the archive open.
#[derive(uniffi::Object)]
pub struct Changes(Guarded<Subscribed>);

/// What a subscriber asked for, or the usual.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`] for a capacity of 0.
pub(super) fn capacity(asked: Option<u32>) -> crate::Result<usize> {
    match asked.unwrap_or(CAPACITY) {
        0 => bail!(InvalidArgument, "a subscription has room for at least one message"),
        capacity => Ok(usize::try_from(capacity).unwrap_or(usize::MAX)),
    }
}

impl Changes {
    /// Over this feed of the archive.
    pub(super) fn over(runtime: Arc<Runtime>, feed: Feed) -> Self {
        let position = Mutex::new(feed.position());
        Changes(Guarded::new(runtime, Subscribed { stream: Stream::new(feed), position }))
    }
}

#[uniffi::export]
impl Changes {
    /// The next change; nothing once the archive is closed and all have been handed out.
    pub async fn next(&self) -> Result<Option<Change>> {
        guarded(async move {
            let subscribed = self.0.get()?;
            let Step(event, position) = subscribed.stream.next().await?;
            if position.is_some() {
                *subscribed.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
            }
            Ok(event.map(Change::from))
        })
        .await
    }

    /// Where `Archive.changes_from` goes on from after the changes that `next` gave: 24 bytes to
    /// keep, after what they asked for is done. Nothing where it is not known yet.
    pub fn position(&self) -> Result<Option<Vec<u8>>> {
        guard(|| {
            let subscribed = self.0.get()?;
            let position = subscribed.position.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(position.map(|p| p.to_bytes().to_vec()))
        })
    }
}
