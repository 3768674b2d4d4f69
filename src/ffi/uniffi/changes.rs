//! An archive's change feed, pulled commit by commit.

use std::sync::Arc;

use super::call::{Guarded, guarded};
use super::error::Result;
use super::message::Origin;
use super::stream::{Source, Stream};
use crate::archive::{Archive, Feed, FeedEvent, FeedItem};
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
    /// One commit's new messages; those that were there already are not among them.
    Stored {
        /// In the order of the commit.
        messages: Vec<ChangedMessage>,
    },
    /// Messages that were removed in one commit, by retention or taken down.
    Removed {
        /// Which.
        messages: Vec<ChangedMessage>,
    },
    /// The reader was too slow: messages were left out here.
    Lagged {
        /// How many, stored or removed.
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
            FeedEvent::Lagged(missed) => Change::Lagged { missed },
        }
    }
}

impl Source for Feed {
    type Item = Option<FeedEvent>;

    async fn pull(&mut self) -> crate::Result<Self::Item> {
        Ok(self.next().await)
    }
}

/// A subscription to what an archive commits, from the moment it was made. It does not keep the
/// archive open.
#[derive(uniffi::Object)]
pub struct Changes(Guarded<Arc<Stream<Feed>>>);

impl Changes {
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for a capacity of 0.
    pub(super) fn of(
        runtime: Arc<Runtime>,
        archive: &Archive,
        capacity: Option<u32>,
    ) -> crate::Result<Self> {
        let capacity = capacity.unwrap_or(CAPACITY);
        if capacity == 0 {
            bail!(InvalidArgument, "a subscription has room for at least one message");
        }
        let feed = archive.subscribe(usize::try_from(capacity).unwrap_or(usize::MAX));
        Ok(Changes(Guarded::new(runtime, Stream::new(feed))))
    }
}

#[uniffi::export]
impl Changes {
    /// The next change; nothing once the archive is closed and all have been handed out.
    pub async fn next(&self) -> Result<Option<Change>> {
        guarded(async move { Ok(self.0.get()?.next().await?.map(Change::from)) }).await
    }
}
