//! What may be stored and asked: the rules that hold for every backend.
//!
//! They are checked on the caller's thread, before anything is queued, so that a driver only ever
//! sees messages and queries that have passed.

use std::time::Duration;

use crate::error::{Result, bail};
use crate::types::{
    MAX_MESSAGE_SIZE, MAX_META_SIZE, MAX_PAGE_SIZE, MessageHash, Origin, Query, StoredMessage,
    TimeRange, Timestamp, WakuMessage,
};

/// The most content topics in one query.
pub const MAX_CONTENT_TOPICS: usize = 100;
/// The most hashes in one query.
pub const MAX_HASHES: usize = 1_000;

/// The rules of an archive, as its owner set them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How far a live message's timestamp may lie from our clock, both ways; and how far any
    /// message's may lie ahead of it.
    pub clock_tolerance: Duration,
    /// Whether the lower bound holds for live messages. A host that feeds old messages in as live
    /// (a demo, a test) turns it off; the upper bound always holds.
    pub check_live_age: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { clock_tolerance: Duration::from_secs(20), check_live_age: true }
    }
}

impl Rules {
    /// Whether this message may be stored at `now` (Unix nanoseconds).
    ///
    /// Both bounds of the clock are inclusive. The hash is taken as it is: that it is the
    /// message's own is what [`StoredMessage::new`] is for.
    ///
    /// # Errors
    /// By kind, what speaks against it: [`Ephemeral`], [`NoTimestamp`], [`MetaTooLarge`],
    /// [`MessageTooLarge`], [`TimestampInFuture`], [`TimestampTooOld`] (live messages only).
    ///
    /// [`Ephemeral`]: crate::ErrorKind::Ephemeral
    /// [`NoTimestamp`]: crate::ErrorKind::NoTimestamp
    /// [`MetaTooLarge`]: crate::ErrorKind::MetaTooLarge
    /// [`MessageTooLarge`]: crate::ErrorKind::MessageTooLarge
    /// [`TimestampInFuture`]: crate::ErrorKind::TimestampInFuture
    /// [`TimestampTooOld`]: crate::ErrorKind::TimestampTooOld
    pub fn check_message(&self, m: &StoredMessage, o: Origin, now: Timestamp) -> Result<()> {
        let message = &m.message;
        if message.ephemeral == Some(true) {
            bail!(Ephemeral, "message {:?} is ephemeral and never stored", m.hash);
        }
        let Some(timestamp) = message.timestamp else {
            bail!(NoTimestamp, "message {:?} has no timestamp", m.hash);
        };
        if let Some(meta) = &message.meta
            && meta.len() > MAX_META_SIZE
        {
            bail!(
                MetaTooLarge,
                "message {:?} has a meta field of {} bytes, at most {MAX_META_SIZE} are allowed",
                m.hash,
                meta.len()
            );
        }
        let size = encoded_len(message);
        if size > MAX_MESSAGE_SIZE {
            bail!(
                MessageTooLarge,
                "message {:?} is {size} bytes long, at most {MAX_MESSAGE_SIZE} are allowed",
                m.hash
            );
        }
        if timestamp > now.saturating_add(self.clock_tolerance) {
            bail!(
                TimestampInFuture,
                "message {:?} is of {timestamp}, more than {:?} after the clock ({now})",
                m.hash,
                self.clock_tolerance
            );
        }
        if o == Origin::Live
            && self.check_live_age
            && timestamp < now.saturating_sub(self.clock_tolerance)
        {
            bail!(
                TimestampTooOld,
                "live message {:?} is of {timestamp}, more than {:?} before the clock ({now})",
                m.hash,
                self.clock_tolerance
            );
        }
        Ok(())
    }

    /// Whether this query may be asked.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`], naming the bound, for a limit outside of 1 to
    /// [`MAX_PAGE_SIZE`], more than [`MAX_CONTENT_TOPICS`] content topics or [`MAX_HASHES`]
    /// hashes, and hashes beside another filter; [`crate::ErrorKind::CursorNotFound`] for the
    /// all-zero cursor, which names no message.
    pub fn check_query(&self, query: &Query) -> Result<()> {
        let filter = &query.filter;
        if query.limit == 0 || query.limit > MAX_PAGE_SIZE {
            bail!(
                InvalidArgument,
                "the limit of a page is 1 to {MAX_PAGE_SIZE}, not {}",
                query.limit
            );
        }
        if filter.content_topics.len() > MAX_CONTENT_TOPICS {
            bail!(
                InvalidArgument,
                "a query names at most {MAX_CONTENT_TOPICS} content topics, not {}",
                filter.content_topics.len()
            );
        }
        if filter.hashes.len() > MAX_HASHES {
            bail!(
                InvalidArgument,
                "a query names at most {MAX_HASHES} message hashes, not {}",
                filter.hashes.len()
            );
        }
        if !filter.hashes.is_empty()
            && (filter.pubsub_topic.is_some()
                || !filter.content_topics.is_empty()
                || filter.time != TimeRange::ALL)
        {
            bail!(
                InvalidArgument,
                "a query by message hashes has no other filter (pubsub topic, content topics, time)"
            );
        }
        if query.cursor == Some(MessageHash::ZERO) {
            bail!(CursorNotFound, "the cursor is all zero, which names no message");
        }
        Ok(())
    }
}

/// The length of the message's encoding (14/WAKU2-MESSAGE), by arithmetic: the sum over its fields
/// of the tag, the length where there is one, and the value. Payload and content topic are always
/// written, the optional fields where they are present, zero or not. The tags of fields up to 15
/// take one byte, those of 21 and 31 two.
fn encoded_len(message: &WakuMessage) -> usize {
    let field = |len: usize| varint_len(len as u64) + len;
    let mut size = 1 + field(message.payload.len()) + 1 + field(message.content_topic.len());
    if let Some(version) = message.version {
        size += 1 + varint_len(version.into());
    }
    if let Some(Timestamp(t)) = message.timestamp {
        let zigzag = ((t << 1) ^ (t >> 63)).cast_unsigned();
        size += 1 + varint_len(zigzag);
    }
    if let Some(meta) = &message.meta {
        size += 1 + field(meta.len());
    }
    if let Some(proof) = &message.rate_limit_proof {
        size += 2 + field(proof.len());
    }
    if message.ephemeral.is_some() {
        size += 2 + 1;
    }
    size
}

/// Bytes of an unsigned LEB128.
fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::error::ErrorKind;
    use crate::types::{ContentTopic, Direction, Filter, PubsubTopic};

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);
    const SECOND: i64 = 1_000_000_000;

    /// The message as prost sees it, apart from the wire layer, to hold the arithmetic against.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Reference {
        #[prost(bytes = "bytes", optional, tag = "1")]
        payload: Option<Bytes>,
        #[prost(string, optional, tag = "2")]
        content_topic: Option<String>,
        #[prost(uint32, optional, tag = "3")]
        version: Option<u32>,
        #[prost(sint64, optional, tag = "10")]
        timestamp: Option<i64>,
        #[prost(bytes = "bytes", optional, tag = "11")]
        meta: Option<Bytes>,
        #[prost(bytes = "bytes", optional, tag = "21")]
        rate_limit_proof: Option<Bytes>,
        #[prost(bool, optional, tag = "31")]
        ephemeral: Option<bool>,
    }

    fn message(payload: usize, timestamp: Timestamp) -> WakuMessage {
        WakuMessage::new(
            vec![7; payload],
            ContentTopic::new("/rules/1/test/proto").unwrap(),
            timestamp,
        )
    }

    fn check(message: WakuMessage, origin: Origin) -> Result<()> {
        let stored = StoredMessage::new(PubsubTopic::of_shard(0, 0), message);
        Rules::default().check_message(&stored, origin, NOW)
    }

    fn kind(message: WakuMessage, origin: Origin) -> ErrorKind {
        check(message, origin).unwrap_err().kind()
    }

    #[test]
    fn ephemeral_and_undated_messages_are_refused() {
        let m = |ephemeral| WakuMessage { ephemeral, ..message(1, NOW) };
        assert_eq!(kind(m(Some(true)), Origin::Import), ErrorKind::Ephemeral);
        check(m(Some(false)), Origin::Live).unwrap();
        check(m(None), Origin::Live).unwrap();
        let undated = WakuMessage { timestamp: None, ..message(1, NOW) };
        assert_eq!(kind(undated, Origin::Sync), ErrorKind::NoTimestamp);
    }

    #[test]
    fn the_clock_bounds_live_messages_both_ways_and_others_above() {
        let at = |d: i64| message(1, Timestamp(NOW.0 + d));
        for origin in [Origin::Live, Origin::Sync, Origin::Resume, Origin::Import] {
            check(at(20 * SECOND), origin).unwrap();
            assert_eq!(kind(at(20 * SECOND + 1), origin), ErrorKind::TimestampInFuture);
            check(at(-20 * SECOND), origin).unwrap();
        }
        assert_eq!(kind(at(-20 * SECOND - 1), Origin::Live), ErrorKind::TimestampTooOld);
        for origin in [Origin::Sync, Origin::Resume, Origin::Import] {
            check(at(-20 * SECOND - 1), origin).unwrap();
            check(message(1, Timestamp::MIN), origin).unwrap();
        }
    }

    #[test]
    fn an_owner_may_take_old_live_messages_but_not_future_ones() {
        let rules = Rules { check_live_age: false, ..Rules::default() };
        let at = |t| StoredMessage::new(PubsubTopic::of_shard(0, 0), message(1, t));
        rules.check_message(&at(Timestamp(0)), Origin::Live, NOW).unwrap();
        let e = rules.check_message(&at(Timestamp::MAX), Origin::Live, NOW).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TimestampInFuture);
    }

    #[test]
    fn sizes_are_bounded_to_the_byte() {
        let around = encoded_len(&message(MAX_MESSAGE_SIZE, NOW)) - MAX_MESSAGE_SIZE;
        let largest = message(MAX_MESSAGE_SIZE - around, NOW);
        assert_eq!(encoded_len(&largest), MAX_MESSAGE_SIZE);
        check(largest, Origin::Live).unwrap();
        let over = message(MAX_MESSAGE_SIZE - around + 1, NOW);
        assert_eq!(kind(over, Origin::Live), ErrorKind::MessageTooLarge);
        let meta = |n| WakuMessage { meta: Some(vec![0; n].into()), ..message(1, NOW) };
        check(meta(MAX_META_SIZE), Origin::Live).unwrap();
        assert_eq!(kind(meta(MAX_META_SIZE + 1), Origin::Live), ErrorKind::MetaTooLarge);
    }

    proptest! {
        #[test]
        fn the_length_is_that_of_the_encoding(
            payload in 0usize..40_000,
            topic in "[a-z/]{1,300}",
            version in proptest::option::of(any::<u32>()),
            timestamp in proptest::option::of(any::<i64>()),
            meta in proptest::option::of(0usize..65),
            proof in proptest::option::of(0usize..300),
            ephemeral in proptest::option::of(any::<bool>()),
        ) {
            let bytes = |n: usize| Bytes::from(vec![1; n]);
            let m = WakuMessage {
                payload: bytes(payload),
                content_topic: ContentTopic::new(&topic).unwrap(),
                version,
                timestamp: timestamp.map(Timestamp),
                meta: meta.map(bytes),
                rate_limit_proof: proof.map(bytes),
                ephemeral,
            };
            let reference = Reference {
                payload: Some(m.payload.clone()),
                content_topic: Some(topic),
                version,
                timestamp,
                meta: m.meta.clone(),
                rate_limit_proof: m.rate_limit_proof.clone(),
                ephemeral,
            };
            prop_assert_eq!(encoded_len(&m), reference.encoded_len());
        }
    }

    fn query_error(query: Query) -> crate::Error {
        Rules::default().check_query(&query).unwrap_err()
    }

    #[test]
    fn limits_name_their_bound() {
        for limit in [0, 101, 1_000_000] {
            let e = query_error(Query { limit, ..Query::default() });
            assert_eq!(e.kind(), ErrorKind::InvalidArgument);
            assert!(e.message().contains("100"), "{e}");
        }
        for limit in [1, 100] {
            Rules::default().check_query(&Query { limit, ..Query::default() }).unwrap();
        }
    }

    #[test]
    fn filters_are_bounded_and_hashes_stand_alone() {
        let topic = ContentTopic::new("/a/1/b/c").unwrap();
        let hash = MessageHash([1; 32]);
        let with = |filter| Query { filter, direction: Direction::Backward, ..Query::default() };
        let topics =
            |n| with(Filter { content_topics: vec![topic.clone(); n], ..Filter::default() });
        let hashes = |n| with(Filter { hashes: vec![hash; n], ..Filter::default() });
        Rules::default().check_query(&topics(MAX_CONTENT_TOPICS)).unwrap();
        Rules::default().check_query(&hashes(MAX_HASHES)).unwrap();
        let alone = Filter { hashes: vec![hash], ..Filter::default() };
        for bad in [
            topics(MAX_CONTENT_TOPICS + 1),
            hashes(MAX_HASHES + 1),
            with(Filter { pubsub_topic: Some(PubsubTopic::of_shard(0, 0)), ..alone.clone() }),
            with(Filter { content_topics: vec![topic.clone()], ..alone.clone() }),
            with(Filter {
                time: TimeRange::new(Timestamp(0), Timestamp::MAX).unwrap(),
                ..alone.clone()
            }),
        ] {
            assert_eq!(query_error(bad).kind(), ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn the_zero_cursor_names_nothing() {
        let e = query_error(Query { cursor: Some(MessageHash::ZERO), ..Query::default() });
        assert_eq!(e.kind(), ErrorKind::CursorNotFound);
    }
}
