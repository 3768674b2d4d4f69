//! What is asked of an archive or a store peer, and what comes back.

use super::error::Result;
use super::message::{self, Message};
use crate::types::{self, PubsubTopic, TimeRange, Timestamp};

/// Which way to walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum Direction {
    /// Oldest first.
    Forward = 0,
    /// Newest first. The entries of each page are in forward order all the same.
    Backward = 1,
}

/// Which messages, and how they are handed out. All that is named must hold; what is empty or
/// absent does not restrict.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct Query {
    /// Published here.
    #[uniffi(default = None)]
    pub pubsub_topic: Option<String>,
    /// Filed under any of these.
    #[uniffi(default = [])]
    pub content_topics: Vec<String>,
    /// Sent at this time or later, in Unix nanoseconds.
    #[uniffi(default = None)]
    pub start: Option<i64>,
    /// Sent before this time, in Unix nanoseconds.
    #[uniffi(default = None)]
    pub end: Option<i64>,
    /// One of these hashes, 32 bytes each. Excludes the fields above: set it alone.
    #[uniffi(default = [])]
    pub hashes: Vec<Vec<u8>>,
    /// Go on after (forward) or before (backward) this message, which is not in the page. It need
    /// not match, but the archive must hold it.
    #[uniffi(default = None)]
    pub cursor: Option<Vec<u8>>,
    /// Which way to walk; forward where absent.
    #[uniffi(default = None)]
    pub direction: Option<Direction>,
    /// The most entries of a page, 1 to 100.
    #[uniffi(default = 20)]
    pub limit: u32,
    /// Whole messages, or hashes alone.
    #[uniffi(default = true)]
    pub include_data: bool,
}

/// One entry of a page.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Entry {
    /// The message hash, 32 bytes.
    pub hash: Vec<u8>,
    /// Where it was published, where whole messages were asked for.
    pub pubsub_topic: Option<String>,
    /// The message, where whole messages were asked for.
    pub message: Option<Message>,
}

/// One page of what matches a query, always in forward order.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Page {
    /// At most as many as the query's limit.
    pub entries: Vec<Entry>,
    /// Where to go on; set only while more entries match. The last entry of a forward page, the
    /// first of a backward one.
    pub cursor: Option<Vec<u8>>,
}

/// The half-open span `[start, end)`, where an absent bound is no bound.
///
/// # Errors
/// [`crate::ErrorKind::InvalidTimeRange`] where it ends before it starts.
pub(super) fn time_range(start: Option<i64>, end: Option<i64>) -> crate::Result<TimeRange> {
    let all = TimeRange::ALL;
    TimeRange::new(start.map_or(all.start(), Timestamp), end.map_or(all.end(), Timestamp))
}

impl Query {
    /// The query in the library's own terms.
    ///
    /// # Errors
    /// By kind: a topic, a hash, the cursor or the time range is not one.
    pub(super) fn checked(self) -> Result<types::Query> {
        let cursor = match self.cursor {
            Some(bytes) => {
                let hash = types::MessageHash::from_slice(&bytes);
                Some(hash.map_err(|e| e.context("cursor"))?)
            }
            None => None,
        };
        Ok(types::Query {
            filter: types::Filter {
                pubsub_topic: self.pubsub_topic.map(PubsubTopic::new).transpose()?,
                content_topics: message::content_topics(&self.content_topics)?,
                time: time_range(self.start, self.end)?,
                hashes: message::hashes(&self.hashes)?,
            },
            cursor,
            direction: match self.direction {
                None | Some(Direction::Forward) => types::Direction::Forward,
                Some(Direction::Backward) => types::Direction::Backward,
            },
            limit: usize::try_from(self.limit).unwrap_or(usize::MAX),
            include_data: self.include_data,
        })
    }
}

impl From<types::Page> for Page {
    fn from(page: types::Page) -> Self {
        Page {
            entries: page.entries.into_iter().map(Entry::from).collect(),
            cursor: page.cursor.map(|h| h.0.to_vec()),
        }
    }
}

impl From<types::Entry> for Entry {
    fn from(entry: types::Entry) -> Self {
        let (pubsub_topic, message) = match entry.data {
            Some((topic, message)) => (Some(topic.as_str().to_owned()), Some(message.into())),
            None => (None, None),
        };
        Entry { hash: entry.hash.0.to_vec(), pubsub_topic, message }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::ffi::uniffi::error::{ErrorKind, WakuError};

    fn query() -> Query {
        Query {
            pubsub_topic: None,
            content_topics: vec![],
            start: None,
            end: None,
            hashes: vec![],
            cursor: None,
            direction: None,
            limit: 20,
            include_data: true,
        }
    }

    #[test]
    fn the_defaults_are_the_librarys() {
        assert_eq!(query().checked().unwrap(), types::Query::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, kind, word) in [
            (Query { cursor: Some(vec![1]), ..query() }, ErrorKind::InvalidHash, "cursor"),
            (
                Query { start: Some(2), end: Some(1), ..query() },
                ErrorKind::InvalidTimeRange,
                "ends",
            ),
            (
                Query { content_topics: vec![String::new()], ..query() },
                ErrorKind::InvalidTopic,
                "content topic",
            ),
            (
                Query { pubsub_topic: Some(String::new()), ..query() },
                ErrorKind::InvalidTopic,
                "pubsub topic",
            ),
        ] {
            let WakuError::Failed { kind: got, reason } = query.checked().unwrap_err();
            assert_eq!(got, kind);
            assert!(reason.contains(word), "{reason}");
        }
    }
}
