//! What is asked of an archive, and what comes back.

use super::{ContentTopic, MessageHash, PubsubTopic, SyncId, TimeRange, WakuMessage};

/// The most entries of one page.
pub const MAX_PAGE_SIZE: usize = 100;

/// Which messages. All that is named must hold; what is empty or absent does not restrict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Published here.
    pub pubsub_topic: Option<PubsubTopic>,
    /// Filed under any of these.
    pub content_topics: Vec<ContentTopic>,
    /// Sent in this half-open span.
    pub time: TimeRange,
    /// One of these. Excludes the other three (13/WAKU2-STORE): set it alone.
    pub hashes: Vec<MessageHash>,
}

impl Default for Filter {
    fn default() -> Self {
        Filter {
            pubsub_topic: None,
            content_topics: Vec::new(),
            time: TimeRange::ALL,
            hashes: Vec::new(),
        }
    }
}

/// Which way to walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first. The entries of each page are in forward order all the same.
    Backward,
}

/// One page of what matches a filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Which messages.
    pub filter: Filter,
    /// Go on after (forward) or before (backward) this message, which is not in the page. It need
    /// not match the filter, but the archive must hold it.
    pub cursor: Option<MessageHash>,
    /// Which way to walk.
    pub direction: Direction,
    /// The most entries, 1 to [`MAX_PAGE_SIZE`].
    pub limit: usize,
    /// Whole messages, or hashes alone.
    pub include_data: bool,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            filter: Filter::default(),
            cursor: None,
            direction: Direction::Forward,
            limit: 20,
            include_data: true,
        }
    }
}

/// One entry of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Which message. (A peer's answer of hashes alone tells no times.)
    pub hash: MessageHash,
    /// Topic and message, where whole messages were asked for.
    pub data: Option<(PubsubTopic, WakuMessage)>,
}

impl Entry {
    /// Its place in the order, where the message is there to tell.
    pub fn sync_id(&self) -> Option<SyncId> {
        let (_, message) = self.data.as_ref()?;
        Some(SyncId::new(message.timestamp.unwrap_or_default(), self.hash))
    }
}

/// One page, always in forward order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// At most as many as the query's limit.
    pub entries: Vec<Entry>,
    /// Where to go on; set only while more entries match. The last entry of a forward page, the
    /// first of a backward one.
    pub cursor: Option<MessageHash>,
}
