//! A walk through the history of Store peers.
//!
//! One peer is asked for as long as it answers; where it fails, another goes on from the same place.
//! What must hold: a page is given out once and whole, or asked for again; each way ends in time,
//! for the times that a page is tried are bounded.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::address::{PeerName, parse_peer};
use super::shared::{Shared, stopped, suspended};
use super::store_client;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::store::client;
use crate::store::walk::Walk;
use crate::types::{
    ContentTopic, Direction, Entry, MAX_PAGE_SIZE, MessageHash, Page, Query, TimeRange, Timestamp,
};

/// How long is waited after the first 429 of a peer; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// How often a page is asked of a peer that answers 429 before another is tried.
const MAX_WAITS: u32 = 5;
/// The most spans that a walk is split into.
const MAX_SPANS: u128 = 100_000;

/// How a history is walked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryOptions {
    /// A query for a longer time is asked in spans of this length, one after the other, since some
    /// service nodes refuse long ones. It holds for queries whose time has a start and an end.
    pub span: Option<Duration>,
    /// The peers are not told which content topics are looked for: they are asked for everything of
    /// the pubsub topic and the time, a hundred messages at once, and what the query does not name
    /// is left out here. It costs what is left out. A page has as many entries as match of a
    /// hundred; the query's limit does not count. See docs/PRIVACY.md.
    pub filter_at_home: bool,
}

/// Pages of a history, pulled one by one. It does not keep its node running: once that has
/// stopped, [`History::next`] gives [`crate::ErrorKind::Shutdown`].
pub struct History {
    shared: Arc<Shared>,
    /// Whom to ask; empty: any connected peer that speaks Store.
    peers: Vec<PeerName>,
    /// Whom is asked now.
    pinned: Option<PeerName>,
    /// Who failed at the page that is wanted.
    failed: Vec<PeerName>,
    walk: Walk,
    /// What comes after this walk's time.
    spans: Vec<TimeRange>,
    query: Query,
    home: Option<Home>,
}

/// What peers are not told.
struct Home {
    /// Wanted are these; all, where there are none.
    content_topics: HashSet<ContentTopic>,
    include_data: bool,
}

impl Home {
    /// Takes it out of a query.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a query by hashes: what they are of is what it tells.
    fn of(query: &mut Query) -> Result<Self> {
        if !query.filter.hashes.is_empty() {
            bail!(InvalidArgument, "what is asked for by hash cannot be filtered at home");
        }
        let content_topics = std::mem::take(&mut query.filter.content_topics);
        let include_data = std::mem::replace(&mut query.include_data, true);
        query.limit = MAX_PAGE_SIZE;
        Ok(Home { content_topics: content_topics.into_iter().collect(), include_data })
    }

    fn filter(&self, page: &mut Page) {
        let wanted = |entry: &Entry| match &entry.data {
            Some((_, m)) => {
                self.content_topics.is_empty() || self.content_topics.contains(&m.content_topic)
            }
            None => false,
        };
        page.entries.retain(wanted);
        if !self.include_data {
            page.entries.iter_mut().for_each(|entry| entry.data = None);
        }
    }
}

impl History {
    pub(super) fn new(
        shared: Arc<Shared>,
        peers: &[String],
        mut query: Query,
        options: &HistoryOptions,
    ) -> Result<Self> {
        let peers = peers.iter().map(|peer| parse_peer(peer)).collect::<Result<Vec<_>>>()?;
        let home = options.filter_at_home.then(|| Home::of(&mut query)).transpose()?;
        // What cannot be asked is told here rather than at the first page.
        client::encode("check", &query)?;
        let mut spans = spans(&query, options)?;
        let first = spans.pop().unwrap_or(query.filter.time);
        let walk = Walk::new(within(&query, first, query.cursor));
        Ok(History { shared, peers, pinned: None, failed: Vec::new(), walk, spans, query, home })
    }

    /// The next page; `None` at the end. After an error the walk stands where it was: calling
    /// again asks for the same page again. Dropping the future is fine and loses no page.
    ///
    /// A peer that is too busy (429) is waited for, for some seconds; one that fails otherwise is
    /// left for the next one, where there is another. That goes on where the last page ended, also
    /// where it does not hold the same messages: what came is not given again, and what only the
    /// first peer held behind that place is not missed by the second.
    ///
    /// # Errors
    /// Those of [`super::Node::store_query`], of the last peer that was asked;
    /// [`crate::ErrorKind::PeerUnknown`] where there is nobody to ask;
    /// [`crate::ErrorKind::CursorNotFound`] where nobody holds the message to go on from.
    pub async fn next(&mut self) -> Result<Option<Page>> {
        self.failed.clear();
        loop {
            let Some(query) = self.walk.next_query() else {
                let Some(span) = self.spans.pop() else { return Ok(None) };
                self.walk = Walk::new(within(&self.query, span, None));
                continue;
            };
            let peer = self.pin().await?;
            let asked = self.ask(peer.clone(), query).await;
            let accepted = asked.and_then(|mut page| {
                self.walk.trim(&mut page);
                self.walk.accept(&page)?;
                if let Some(home) = &self.home {
                    home.filter(&mut page);
                }
                Ok(page)
            });
            match accepted {
                // Nothing new in it: an empty span, what another peer had told already, or nothing
                // that is wanted.
                Ok(page) if page.entries.is_empty() => {}
                Ok(page) => return Ok(Some(page)),
                Err(e) if e.kind() == ErrorKind::CursorNotFound && self.walk.reanchor() => {}
                Err(e) if is_ours(e.kind()) => return Err(e),
                Err(e) => {
                    tracing::debug!(peer = ?peer, "a page of history was not to be had: {e}");
                    self.pinned = None;
                    self.failed.push(peer);
                    if self.candidates().await.is_empty() {
                        return Err(e);
                    }
                }
            }
        }
    }

    /// Where to resume from, should the walk be given up here.
    pub fn cursor(&self) -> Option<MessageHash> {
        self.walk.cursor()
    }

    /// The time of the outermost message so far, where whole messages are asked for: how far the walk
    /// is.
    pub fn reached(&self) -> Option<Timestamp> {
        self.walk.reached()
    }

    /// The peer that is asked now, once one is: its id or the address that was given.
    pub fn peer(&self) -> Option<String> {
        self.pinned.as_ref().map(ToString::to_string)
    }

    /// Whom to ask for the next page.
    async fn pin(&mut self) -> Result<PeerName> {
        if let Some(pinned) = &self.pinned {
            return Ok(pinned.clone());
        }
        let Some(best) = self.candidates().await.into_iter().next() else {
            bail!(PeerUnknown, "no connected peer speaks Store");
        };
        self.pinned = Some(best.clone());
        Ok(best)
    }

    /// Whom the page was not yet asked of, the best first.
    async fn candidates(&self) -> Vec<PeerName> {
        let mut all = match self.peers.is_empty() {
            true => self.shared.store_peers().into_iter().map(PeerName::Id).collect(),
            false => self.peers.clone(),
        };
        all.retain(|peer| !self.failed.contains(peer));
        let cost =
            |peer: &PeerName| peer.id().map_or(f64::MAX, |id| self.shared.measured.cost(&id));
        all.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        all
    }

    /// One page of one peer; a busy one is waited for.
    async fn ask(&self, peer: PeerName, query: Query) -> Result<Page> {
        let mut wait = FIRST_WAIT;
        for _ in 1..MAX_WAITS {
            match store_client::query(&self.shared, peer.clone(), query.clone()).await {
                Err(e) if e.kind() == ErrorKind::StoreTooManyRequests => {}
                asked => return asked,
            }
            tokio::select! {
                () = self.shared.tasks.cancelled() => return Err(stopped()),
                () = self.shared.tasks.suspended() => return Err(suspended()),
                () = tokio::time::sleep(wait) => wait *= 2,
            }
        }
        store_client::query(&self.shared, peer, query).await
    }
}

/// Whether another peer would say the same.
fn is_ours(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Shutdown
            | ErrorKind::Suspended
            | ErrorKind::InvalidArgument
            | ErrorKind::Internal
            | ErrorKind::Address
    )
}

fn within(query: &Query, time: TimeRange, cursor: Option<MessageHash>) -> Query {
    let mut query = query.clone();
    query.filter.time = time;
    query.cursor = cursor;
    query
}

/// The spans of a walk, the first to be walked last in the list. Empty: it is not split.
fn spans(query: &Query, options: &HistoryOptions) -> Result<Vec<TimeRange>> {
    let time = query.filter.time;
    let bounded = time.start() != Timestamp::MIN && time.end() != Timestamp::MAX;
    let Some(span) = options.span.filter(|_| bounded && query.filter.hashes.is_empty()) else {
        return Ok(Vec::new());
    };
    let length = span.as_nanos();
    let whole = u128::try_from(i128::from(time.end().nanos()) - i128::from(time.start().nanos()));
    if length == 0 || whole.unwrap_or(0).div_ceil(length) > MAX_SPANS {
        bail!(InvalidArgument, "a walk has at most {MAX_SPANS} spans, which are longer than zero");
    }
    let mut spans = Vec::new();
    let mut start = time.start();
    while start < time.end() {
        let end = start.saturating_add(span).min(time.end());
        spans.push(
            TimeRange::new(start, end).map_err(|e| Error::new(ErrorKind::Internal, e.message()))?,
        );
        start = end;
    }
    if query.direction == Direction::Forward {
        spans.reverse();
    }
    Ok(spans)
}
