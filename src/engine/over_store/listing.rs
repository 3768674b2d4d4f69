//! Which hashes a Store peer has: a window listed slice by slice, newest first, page by page.
//!
//! Hashes alone carry no time, so a walk whose cursor the peer has lost (its retention deleted the
//! message) cannot go on from where it was: its slice is listed anew, in halves, and slices that
//! are listed already stay so. Slices grow where there is little and shrink where there is much.
//!
//! What must hold: the slices cover the window without gap or overlap; one query at a time; a peer
//! that loses cursors for ever is given up.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::store::client::MAX_CONTENT_TOPICS;
use crate::store::walk::Walk;
use crate::types::{
    ContentTopic, Direction, Filter, MAX_PAGE_SIZE, MessageHash, Page, PubsubTopic, Query,
    TimeRange, Timestamp,
};
use crate::wire::reconciliation::Scope;

const SECOND: i64 = 1_000_000_000;
/// The first slice; after it they fit themselves to how much there is.
const FIRST_SLICE: i64 = 600 * SECOND;
/// Slices are not made shorter than this.
const LEAST_SLICE: i64 = SECOND;
/// A slice of more pages than this makes the next one half as long.
const MANY_PAGES: u32 = 20;
/// A slice of fewer makes the next one twice as long.
const FEW_PAGES: u32 = 4;
/// Cursors lost in a row, without a slice that came to its end.
const MAX_RESTARTS: u32 = 8;

/// Topics that one query can name.
type Topics = (Option<PubsubTopic>, Vec<ContentTopic>);

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Listing {
    /// Each slice is listed once for each.
    topics: Vec<Topics>,
    /// What no slice has covered yet.
    rest: TimeRange,
    /// How long the next slice is.
    length: i64,
    slice: Option<Slice>,
    /// Cursors lost since a slice last came to its end.
    restarts: u32,
    /// Slices that came to their end.
    pub(super) slices: u64,
    /// The peer took no query that names the scope: what it lists may be out of it.
    pub(super) unscoped: bool,
}

#[derive(Debug)]
struct Slice {
    time: TimeRange,
    /// Which of the topics is being listed.
    topic: usize,
    walk: Walk,
    pages: u32,
}

impl Listing {
    /// Of all that the scope names in this window.
    pub(super) fn new(window: TimeRange, scope: &Scope) -> Self {
        Listing {
            topics: queries_of(scope),
            rest: window,
            length: FIRST_SLICE,
            slice: None,
            restarts: 0,
            slices: 0,
            unscoped: false,
        }
    }

    /// What to ask; the same until it is answered by one of the methods below. `None` at the end.
    pub(super) fn next_query(&mut self) -> Option<Query> {
        if self.slice.is_none() && !self.rest.is_empty() {
            let end = self.rest.end();
            let start = Timestamp(end.nanos().saturating_sub(self.length)).max(self.rest.start());
            self.slice = self.begin(TimeRange::new(start, end).ok()?);
            self.rest = TimeRange::new(self.rest.start(), start).ok()?;
        }
        self.slice.as_ref()?.walk.next_query()
    }

    /// Whether all is listed.
    pub(super) fn is_done(&self) -> bool {
        self.slice.is_none() && self.rest.is_empty()
    }

    /// Where the slice under way starts.
    pub(super) fn reached(&self) -> Timestamp {
        self.slice.as_ref().map_or(self.rest.end(), |slice| slice.time.start())
    }

    /// Takes a page.
    ///
    /// # Errors
    /// As for [`Walk::accept`]: the page leads nowhere.
    pub(super) fn accept(&mut self, page: &Page) -> Result<()> {
        let Some(slice) = &mut self.slice else { return Ok(()) };
        slice.walk.accept(page)?;
        slice.pages = slice.pages.saturating_add(1);
        if slice.walk.next_query().is_some() {
            return Ok(());
        }
        if let Some(topics) = self.topics.get(slice.topic + 1) {
            (slice.topic, slice.walk) = (slice.topic + 1, walk(slice.time, topics));
            return Ok(());
        }
        let queries = u32::try_from(self.topics.len()).unwrap_or(u32::MAX);
        if slice.pages > MANY_PAGES {
            self.length = (self.length / 2).max(LEAST_SLICE);
        } else if slice.pages < FEW_PAGES.max(queries.saturating_mul(2)) {
            self.length = self.length.saturating_mul(2);
        }
        self.slice = None;
        self.restarts = 0;
        self.slices += 1;
        Ok(())
    }

    /// The peer does not know the cursor (any more): the slice under way is listed anew, its newer
    /// half first.
    ///
    /// # Errors
    /// `error`, where that has been of no use.
    pub(super) fn cursor_lost(&mut self, error: Error) -> Result<()> {
        self.restarts += 1;
        let Some(slice) = self.slice.take().filter(|_| self.restarts <= MAX_RESTARTS) else {
            return Err(error);
        };
        self.rest = TimeRange::new(self.rest.start(), slice.time.end())?;
        let length = slice.time.end().nanos().saturating_sub(slice.time.start().nanos());
        self.length = (length / 2).max(LEAST_SLICE);
        Ok(())
    }

    /// The peer refuses a query: true where it may be one that names a pubsub topic without content
    /// topics or the other way round, which the specification calls invalid. All is then listed
    /// without topics, and what is out of scope is told by the messages themselves.
    pub(super) fn refused(&mut self) -> bool {
        let half = |(pubsub, content): &Topics| pubsub.is_none() != content.is_empty();
        if !self.topics.iter().any(half) {
            return false;
        }
        self.topics = vec![(None, Vec::new())];
        self.unscoped = true;
        if let Some(slice) = self.slice.take() {
            self.slice = self.begin(slice.time);
        }
        true
    }

    fn begin(&self, time: TimeRange) -> Option<Slice> {
        let topics = self.topics.first()?;
        Some(Slice { time, topic: 0, walk: walk(time, topics), pages: 0 })
    }
}

fn walk(time: TimeRange, (pubsub_topic, content_topics): &Topics) -> Walk {
    let (pubsub_topic, content_topics) = (pubsub_topic.clone(), content_topics.clone());
    Walk::new(Query {
        filter: Filter { pubsub_topic, content_topics, time, hashes: Vec::new() },
        cursor: None,
        direction: Direction::Forward,
        limit: MAX_PAGE_SIZE,
        include_data: false,
    })
}

/// The query for the contents of these.
pub(super) fn contents(hashes: Vec<MessageHash>) -> Query {
    Query {
        filter: Filter { hashes, ..Filter::default() },
        limit: MAX_PAGE_SIZE,
        ..Query::default()
    }
}

/// A scope, cut into what one query of a deployed node can name: a pubsub topic, and at most ten
/// content topics. A scope of everything names nothing.
fn queries_of(scope: &Scope) -> Vec<Topics> {
    let pubsub: BTreeSet<&PubsubTopic> = scope.pubsub_topics.iter().collect();
    let content: BTreeSet<&ContentTopic> = scope.content_topics.iter().collect();
    let content: Vec<ContentTopic> = content.into_iter().cloned().collect();
    let mut chunks: Vec<Vec<ContentTopic>> =
        content.chunks(MAX_CONTENT_TOPICS).map(<[ContentTopic]>::to_vec).collect();
    if chunks.is_empty() {
        chunks.push(Vec::new());
    }
    let named: Vec<Option<PubsubTopic>> = match pubsub.is_empty() {
        true => vec![None],
        false => pubsub.into_iter().map(|topic| Some(topic.clone())).collect(),
    };
    let of = |topic: Option<PubsubTopic>| chunks.iter().map(move |c| (topic.clone(), c.clone()));
    named.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::error::ErrorKind;
    use crate::types::Entry;

    fn window(seconds: i64) -> TimeRange {
        TimeRange::new(Timestamp(0), Timestamp(seconds * SECOND)).unwrap()
    }

    fn page(from: u8, entries: u8, more: bool) -> Page {
        let entry = |n| Entry { hash: MessageHash([n; 32]), data: None };
        let entries: Vec<Entry> = (from..from + entries).map(entry).collect();
        let cursor = entries.last().filter(|_| more).map(|e| e.hash);
        Page { entries, cursor }
    }

    fn lost() -> Error {
        Error::new(ErrorKind::CursorNotFound, "lost")
    }

    #[test]
    fn slices_cover_the_window_newest_first_and_grow_where_there_is_nothing() {
        let mut listing = Listing::new(window(365 * 24 * 3600), &Scope::default());
        let (mut end, mut slices) = (window(365 * 24 * 3600).end(), 0);
        while let Some(query) = listing.next_query() {
            assert_eq!(query.filter.time.end(), end, "no gap and no overlap");
            end = query.filter.time.start();
            listing.accept(&Page::default()).unwrap();
            slices += 1;
        }
        assert_eq!((end, listing.is_done(), listing.slices), (Timestamp(0), true, slices));
        assert!(slices < 20, "{slices} slices for a year of nothing");
    }

    #[test]
    fn a_lost_cursor_lists_the_slice_anew_in_halves_and_not_for_ever() {
        let mut listing = Listing::new(window(600), &Scope::default());
        assert!(listing.next_query().unwrap().cursor.is_none());
        listing.accept(&page(1, 2, true)).unwrap();
        assert!(listing.next_query().unwrap().cursor.is_some());
        listing.cursor_lost(lost()).unwrap();
        let half = listing.next_query().unwrap();
        assert_eq!(
            half.filter.time,
            TimeRange::new(Timestamp(300 * SECOND), window(600).end()).unwrap()
        );
        assert_eq!(half.cursor, None);
        listing.accept(&page(1, 2, false)).unwrap();
        assert_eq!(listing.next_query().unwrap().filter.time.end(), Timestamp(300 * SECOND));
        for _ in 0..MAX_RESTARTS {
            listing.next_query().unwrap();
            listing.cursor_lost(lost()).unwrap();
        }
        listing.next_query().unwrap();
        assert_eq!(listing.cursor_lost(lost()).unwrap_err().kind(), ErrorKind::CursorNotFound);
    }

    #[test]
    fn a_scope_is_cut_into_queries_of_ten_content_topics() {
        let topics = |n: u32| PubsubTopic::of_shard(16, n);
        let content = |n: u32| ContentTopic::new(format!("/app/1/{n}/proto")).unwrap();
        assert_eq!(queries_of(&Scope::default()), [(None, Vec::new())]);
        let scope = Scope {
            pubsub_topics: vec![topics(1), topics(2), topics(1)],
            content_topics: (0..25).map(content).collect(),
        };
        let queries = queries_of(&scope);
        assert_eq!(queries.len(), 6, "two shards, each in three parts");
        assert!(queries.iter().all(|(p, c)| p.is_some() && !c.is_empty() && c.len() <= 10));
        let named: BTreeSet<_> = queries.iter().flat_map(|(_, c)| c).collect();
        assert_eq!(named.len(), 25);
    }

    #[test]
    fn a_refused_half_filter_is_left_out_and_a_whole_one_stays() {
        let mut scope =
            Scope { pubsub_topics: vec![PubsubTopic::of_shard(1, 1)], ..Scope::default() };
        let mut listing = Listing::new(window(600), &scope);
        assert!(listing.next_query().unwrap().filter.pubsub_topic.is_some());
        assert!(listing.refused());
        let query = listing.next_query().unwrap();
        assert_eq!((query.filter.pubsub_topic, query.filter.time), (None, window(600)));
        assert!(!listing.refused(), "nothing is left to leave out");
        scope.content_topics.push(ContentTopic::new("/a/1/b/proto").unwrap());
        assert!(!Listing::new(window(600), &scope).refused());
    }
}
