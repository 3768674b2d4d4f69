//! A whole history, page by page.
//!
//! A walk never goes in circles, whatever a peer answers: whole messages must go strictly one way
//! in time and hash, and no cursor may come twice. (A peer that makes up new messages for ever is
//! for the caller to stop.)

use std::collections::HashSet;

use crate::error::{Result, bail};
use crate::types::{Direction, MessageHash, Page, Query, SyncId};

/// The cursors that a walk remembers; beyond it begins to remember anew. A loop of up to so many
/// pages is found even where hashes alone are asked for, which tell no order.
const MAX_CURSORS: usize = 64 * 1024;

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
}

impl Walk {
    /// A walk from the query's cursor (or its beginning) to its end; the query's limit is the size
    /// of a page.
    pub fn new(query: Query) -> Self {
        let cursors = query.cursor.into_iter().collect();
        Walk { query, done: false, reached: None, cursors }
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
            if page.entries.is_empty() {
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
        let outermost = match self.query.direction {
            Direction::Forward => page.entries.last(),
            Direction::Backward => page.entries.first(),
        };
        self.done = page.cursor.is_none();
        self.reached = reached;
        self.query.cursor = page.cursor.or(outermost.map(|entry| entry.hash)).or(self.query.cursor);
        Ok(())
    }

    /// Where to resume from, should the walk be given up here: the cursor for a query that goes on
    /// behind the last page accepted. At the end it is the outermost message, behind which what is
    /// stored later will be found. `None` while nothing was found.
    pub fn cursor(&self) -> Option<MessageHash> {
        self.query.cursor
    }
}
