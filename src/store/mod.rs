//! The Store protocol (13/WAKU2-STORE v3) over an archive: bytes in, bytes out, no sockets.
//!
//! [`server::Server`] turns a request's bytes into a query for the archive and the archive's answer into bytes;
//! [`client`] turns a query into bytes and a response into a checked page; [`walk`] goes through a
//! whole history page by page.

pub mod client;
pub mod server;
pub mod walk;
