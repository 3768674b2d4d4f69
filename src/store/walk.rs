//! A whole history, page by page.

use crate::types::{MessageHash, Page, Query};

/// Where a walk stands: ask [`Walk::next_query`], give the page to [`Walk::accept`], until there
/// is no next query. Works over a peer and over a local archive alike.
#[derive(Clone, Debug)]
pub struct Walk {}

impl Walk {
    /// A walk from the query's cursor (or its beginning) to its end; the query's limit is the size
    /// of a page.
    pub fn new(_query: Query) -> Self {
        todo!()
    }
    /// What to ask next; `None` at the end.
    pub fn next_query(&self) -> Option<Query> {
        todo!()
    }
    /// Takes the page that answered [`Walk::next_query`]. A peer that sends the same cursor again
    /// is an error (it would go on for ever).
    pub fn accept(&mut self, _page: &Page) -> crate::Result<()> {
        todo!()
    }
    /// Where to resume from, should the walk be given up here.
    pub fn cursor(&self) -> Option<MessageHash> {
        todo!()
    }
}
