//! The archive's feed as the engine's task reads it: where it lagged it goes on from the place that
//! it had reached, and only where that cannot be had any more is the engine told to load anew.

use futures::FutureExt;

use crate::archive::{Archive, Feed, FeedEvent, Pending};

pub(super) struct ArchiveFeed {
    archive: Archive,
    capacity: usize,
    feed: Feed,
    /// The feed that goes on after a lag.
    resumed: Option<Pending<Feed>>,
}

impl ArchiveFeed {
    /// From now on, what anybody commits: nothing that comes after this is missing in it, and what
    /// came before is in the archive for all to read.
    pub(super) async fn subscribe(archive: Archive, capacity: usize) -> Self {
        let from_now = match archive.position().await {
            Ok(now) => archive.subscribe_from(now, capacity).await,
            Err(e) => Err(e),
        };
        // A backend without a log, which nobody else can write to, or an archive that is closed.
        let feed = from_now.unwrap_or_else(|_| archive.subscribe(capacity));
        ArchiveFeed { archive, capacity, feed, resumed: None }
    }

    /// The next event; `None` once the archive is closed. Dropping the future loses no event.
    pub(super) async fn next(&mut self) -> Option<FeedEvent> {
        loop {
            if let Some(resumed) = &mut self.resumed {
                let feed = resumed.await;
                if let Some(lost) = self.resume(feed) {
                    return Some(lost);
                }
            }
            let event = self.feed.next().await;
            if !self.goes_on(event.as_ref()) {
                return event;
            }
        }
    }

    /// The next event if there is one now.
    pub(super) fn try_next(&mut self) -> Option<FeedEvent> {
        loop {
            if let Some(resumed) = &mut self.resumed {
                let feed = resumed.now_or_never()?;
                if let Some(lost) = self.resume(feed) {
                    return Some(lost);
                }
            }
            let event = self.feed.try_next();
            if !self.goes_on(event.as_ref()) {
                return event;
            }
        }
    }

    /// Whether what is missing is fetched, so that the engine need not know.
    fn goes_on(&mut self, event: Option<&FeedEvent>) -> bool {
        let Some(FeedEvent::Lagged { from: Some(from), .. }) = event else { return false };
        self.resumed = Some(self.archive.subscribe_from(*from, self.capacity));
        true
    }

    /// Takes the new feed in place of the old. An event where there is none.
    fn resume(&mut self, feed: crate::Result<Feed>) -> Option<FeedEvent> {
        self.resumed = None;
        match feed {
            Ok(feed) => {
                self.feed = feed;
                None
            }
            Err(_) => {
                self.feed = self.archive.subscribe(self.capacity);
                Some(FeedEvent::Lagged { missed: 0, from: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::archive::{ArchiveConfig, MemoryBackend};
    use crate::types::{
        ContentTopic, Origin, PubsubTopic, StoredMessage, SyncId, Timestamp, WakuMessage,
    };

    fn message(i: i64) -> StoredMessage {
        let topic = ContentTopic::new("/archive/1/feed/proto").unwrap();
        let message = WakuMessage::new(vec![1], topic, Timestamp(i));
        StoredMessage::new(PubsubTopic::of_shard(1, 1), message)
    }

    #[tokio::test]
    async fn what_was_left_out_is_fetched() {
        let config = ArchiveConfig::new(|| Timestamp(1_000_000));
        let archive = Archive::open(MemoryBackend::default(), config).unwrap();
        let mut feed = ArchiveFeed::subscribe(archive.clone(), 3).await;
        let all: Vec<_> = (0..50).map(message).collect();
        for m in &all {
            archive.put(vec![m.clone()], Origin::Import).await.unwrap();
        }
        let mut told: Vec<SyncId> = Vec::new();
        let mut first = feed.try_next();
        while told.len() < all.len() {
            let event = match first.take() {
                Some(event) => event,
                None => feed.next().await.unwrap(),
            };
            let FeedEvent::Stored(items) = event else { panic!("{event:?}") };
            told.extend(items.iter().map(|item| item.id));
        }
        assert_eq!(told, all.iter().map(StoredMessage::sync_id).collect::<Vec<_>>());
        assert_eq!(feed.try_next(), None);
        archive.close();
        assert_eq!(feed.next().await, None);
    }
}
