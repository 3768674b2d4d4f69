//! The service side.

use bytes::Bytes;

use crate::error::Result;
use crate::types::{Page, Query};

/// The longest request that is read, in bytes.
pub const MAX_REQUEST: usize = 1024 * 1024;

/// What to do about a request.
pub enum Step {
    /// Send this; the archive is not needed.
    Reply(Bytes),
    /// Ask the archive, then call [`Asked::answer`].
    Query(Query, Asked),
}

/// A request that waits for the archive.
pub struct Asked {}

/// Reads a request (without its length prefix).
pub fn begin(_frame: &[u8]) -> Step {
    todo!()
}

/// The answer to a request that is not even looked at, for one of the load limits (429).
pub fn too_many_requests() -> Bytes {
    todo!()
}

impl Asked {
    /// The response's bytes (without length prefix) to what the archive said.
    pub fn answer(self, _page: Result<Page>) -> Bytes {
        todo!()
    }
}
