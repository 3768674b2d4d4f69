//! The Store protocol (13/WAKU2-STORE v3) over an archive: bytes in, bytes out, no sockets.
//!
//! [`server::begin`] turns a request's bytes into a query for the archive, and
//! [`server::Asked::answer`] the archive's page into bytes; [`client`] turns a query into bytes and
//! a response into a checked page; [`walk`] goes through a whole history page by page.
//!
//! Times are half-open in a [`crate::types::Query`] and inclusive at both ends on the wire, as
//! deployed; the two edges are the only places that know it.

pub mod client;
pub mod server;
mod status;
pub mod walk;

/// The longest request_id that is sent or answered, in bytes: it is echoed, so it is bounded.
pub const MAX_REQUEST_ID: usize = 256;
