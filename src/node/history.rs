//! A walk through a store peer's history.

use crate::error::Result;
use crate::types::{MessageHash, Page};

/// Pages of a peer's history, pulled one by one.
pub struct History {}

impl History {
    /// The next page; `None` at the end. After an error the walk stands where it was: calling
    /// again asks for the same page again. Dropping the future is fine and loses no page.
    pub async fn next(&mut self) -> Result<Option<Page>> {
        todo!()
    }
    /// Where to resume from, should the walk be given up here.
    pub fn cursor(&self) -> Option<MessageHash> {
        todo!()
    }
}
