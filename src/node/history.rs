//! A walk through a store peer's history.

use std::sync::Arc;

use super::address::{PeerName, parse_peer};
use super::shared::Shared;
use super::store_client;
use crate::error::Result;
use crate::store::client;
use crate::store::walk::Walk;
use crate::types::{MessageHash, Page, Query};

/// Pages of a peer's history, pulled one by one. It does not keep its node running: once that has
/// stopped, [`History::next`] gives [`crate::ErrorKind::Shutdown`].
pub struct History {
    shared: Arc<Shared>,
    peer: PeerName,
    walk: Walk,
}

impl History {
    pub(super) fn new(shared: Arc<Shared>, peer: &str, query: Query) -> Result<Self> {
        let peer = parse_peer(peer)?;
        // What cannot be asked is told here rather than at the first page.
        client::encode("check", &query)?;
        Ok(History { shared, peer, walk: Walk::new(query) })
    }

    /// The next page; `None` at the end. After an error the walk stands where it was: calling
    /// again asks for the same page again. Dropping the future is fine and loses no page.
    pub async fn next(&mut self) -> Result<Option<Page>> {
        let Some(query) = self.walk.next_query() else { return Ok(None) };
        let page = store_client::query(&self.shared, self.peer.clone(), query).await?;
        self.walk.accept(&page)?;
        // Only an end comes without entries.
        Ok((!page.entries.is_empty()).then_some(page))
    }

    /// Where to resume from, should the walk be given up here.
    pub fn cursor(&self) -> Option<MessageHash> {
        self.walk.cursor()
    }
}
