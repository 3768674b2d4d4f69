//! A whole history, page by page.
//!
//! A walk never goes in circles, whatever a peer answers: whole messages must go strictly one way
//! in time and hash, and no cursor may come twice. (A peer that makes up new messages for ever is
//! for the caller to stop.)
//!
//! A walk may go on with another peer, which need not hold the message that the cursor names:
//! [`Walk::reanchor`] finds another place to go on from, and [`Walk::trim`] takes out of a page what
//! was there before. So nothing is lost or doubled, as far as the peers hold the same.

use std::collections::HashSet;

use crate::error::{Result, bail};
use crate::types::{Direction, MessageHash, Page, Query, SyncId, TimeRange, Timestamp};

/// The cursors that a walk remembers; beyond it begins to remember anew. A loop of up to so many
/// pages is found even where hashes alone are asked for, which tell no order.
const MAX_CURSORS: usize = 64 * 1024;
/// Of the last page, the messages that are tried as a cursor where another peer does not hold the
/// outermost one and times are not known.
const MAX_TRIES: usize = 8;

/// Where a walk stands: ask [`Walk::next_query`], give the page to [`Walk::accept`], until there
/// is no next query. Works over a peer and over a local archive alike.
#[derive(Clone, Debug)]
pub struct Walk {
    query: Query,
    done: bool,
    /// The outermost message seen so far, in the direction of the walk.
    reached: Option<SyncId>,
    /// The cursors that were asked with.
    cursors: HashSet<MessageHash>,
    /// The hashes of the last page that had any, in the direction of the walk.
    last: Vec<MessageHash>,
    /// How many of them were tried as cursors of another peer.
    tries: usize,
    /// It was anchored anew: pages may begin with what was there before.
    overlaps: bool,
    /// The outermost message of the last page that had any.
    outermost: Option<MessageHash>,
}

impl Walk {
    /// A walk from the query's cursor (or its beginning) to its end; the query's limit is the size
    /// of a page.
    pub fn new(query: Query) -> Self {
        let cursors = query.cursor.into_iter().collect();
        let outermost = query.cursor;
        Walk {
            query,
            done: false,
            reached: None,
            cursors,
            last: Vec::new(),
            tries: 0,
            overlaps: false,
            outermost,
        }
    }

    /// What to ask next; `None` at the end. The same query until its page is accepted.
    pub fn next_query(&self) -> Option<Query> {
        (!self.done).then(|| self.query.clone())
    }

    /// Takes the page that answered [`Walk::next_query`]. A peer that sends the same cursor again
    /// is an error (it would go on for ever).
    ///
    /// # Errors
    /// [`crate::ErrorKind::StoreBadResponse`] where the page does not lead on: a cursor that was
    /// there before, a cursor without entries, or messages that go back in the walk's direction.
    /// The walk then stands where it was, and the page should be thrown away.
    /// [`crate::ErrorKind::InvalidArgument`] after the end.
    pub fn accept(&mut self, page: &Page) -> Result<()> {
        if self.done {
            bail!(InvalidArgument, "the walk has ended, it takes no more pages");
        }
        let mut ids = page.entries.iter().filter_map(|entry| entry.sync_id());
        let first = ids.next();
        let last = ids.next_back().or(first);
        let reached = match (self.query.direction, first.zip(last)) {
            (_, None) => self.reached,
            (Direction::Forward, Some((first, last))) => {
                if self.reached.is_some_and(|reached| first <= reached) {
                    bail!(StoreBadResponse, "a forward page goes back, to {:?}", first.hash);
                }
                Some(last)
            }
            (Direction::Backward, Some((first, last))) => {
                if self.reached.is_some_and(|reached| last >= reached) {
                    bail!(StoreBadResponse, "a backward page goes forward, to {:?}", last.hash);
                }
                Some(first)
            }
        };
        if let Some(cursor) = page.cursor {
            if page.entries.is_empty() && !self.overlaps {
                bail!(StoreBadResponse, "a page without entries has a cursor");
            }
            if self.cursors.contains(&cursor) {
                bail!(StoreBadResponse, "the cursor {cursor} comes a second time");
            }
            if self.cursors.len() >= MAX_CURSORS {
                self.cursors.clear();
            }
            self.cursors.insert(cursor);
        }
        self.done = page.cursor.is_none();
        self.reached = reached;
        if !page.entries.is_empty() {
            self.last = page.entries.iter().map(|entry| entry.hash).collect();
            if self.query.direction == Direction::Backward {
                self.last.reverse();
            }
            self.outermost = self.last.last().copied();
            (self.tries, self.overlaps) = (0, false);
        }
        let ahead = self.outermost.filter(|_| !self.overlaps);
        self.query.cursor = page.cursor.or(ahead).or(self.query.cursor);
        Ok(())
    }

    /// The peer that is asked now does not hold the cursor's message: finds another place to go on
    /// from. By time, where whole messages are asked for; else from a message before it in the last
    /// page. False where there is none (left): the walk then stands where it was.
    pub fn reanchor(&mut self) -> bool {
        if let Some(reached) = self.reached {
            let time = self.query.filter.time;
            let after = Timestamp(reached.timestamp.nanos().saturating_add(1));
            let left = match self.query.direction {
                Direction::Forward => {
                    TimeRange::new(time.start().max(reached.timestamp), time.end())
                }
                Direction::Backward => TimeRange::new(time.start(), time.end().min(after)),
            };
            // Without a cursor it cannot be unknown a second time.
            let (Ok(left), true) = (left, self.query.cursor.is_some()) else { return false };
            self.query.filter.time = left;
            self.query.cursor = None;
            self.overlaps = true;
            return true;
        }
        self.tries += 1;
        let before = self.last.len().checked_sub(self.tries + 1).map(|at| self.last[at]);
        match before.filter(|_| self.tries <= MAX_TRIES) {
            Some(hash) => {
                self.query.cursor = Some(hash);
                self.overlaps = true;
                true
            }
            None => false,
        }
    }

    /// Takes out of a page that answers [`Walk::next_query`] what an earlier page had. To be called
    /// before [`Walk::accept`] where the walk may have been anchored anew.
    pub fn trim(&self, page: &mut Page) {
        if !self.overlaps {
            return;
        }
        let (reached, direction) = (self.reached, self.query.direction);
        let known: HashSet<MessageHash> = self.last.iter().copied().collect();
        page.entries.retain(|entry| {
            let behind = match (direction, entry.sync_id().zip(reached)) {
                (_, None) => false,
                (Direction::Forward, Some((id, reached))) => id <= reached,
                (Direction::Backward, Some((id, reached))) => id >= reached,
            };
            !behind && !known.contains(&entry.hash)
        });
    }

    /// The time of the outermost message so far, where whole messages are asked for.
    pub fn reached(&self) -> Option<Timestamp> {
        self.reached.map(|id| id.timestamp)
    }

    /// Where to resume from, should the walk be given up here: the cursor for a query that goes on
    /// behind the last page accepted. At the end it is the outermost message, behind which what is
    /// stored later will be found. `None` while nothing was found.
    pub fn cursor(&self) -> Option<MessageHash> {
        self.query.cursor.filter(|_| !self.overlaps).or(self.outermost)
    }
}
