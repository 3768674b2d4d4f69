//! The change feed: what the archive has committed, told to subscribers after the commit.

use crate::types::{ContentTopic, Origin, PubsubTopic, SyncId};

/// One message that was stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedItem {
    /// Timestamp and hash.
    pub id: SyncId,
    /// Where it was published.
    pub pubsub_topic: PubsubTopic,
    /// What it is filed under.
    pub content_topic: ContentTopic,
    /// Where it came from.
    pub origin: Origin,
}

/// What a subscriber sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeedEvent {
    /// One commit's new messages; duplicates are not among them.
    Stored(std::sync::Arc<[FeedItem]>),
    /// The subscriber was too slow: so many messages were left out here.
    Lagged(u64),
}

/// A subscription, a bounded queue. A stream that ends when the archive is closed.
pub struct Feed {}

impl Feed {
    /// The next event; `None` once the archive is closed and the queue is empty.
    pub async fn next(&mut self) -> Option<FeedEvent> {
        todo!()
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<FeedEvent> {
        todo!()
    }
}
