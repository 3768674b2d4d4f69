//! Bytes to structs and back. No policy, no storage, no sockets.
//!
//! Every decoder takes bytes that a stranger wrote: it never panics, never reserves more than the
//! bytes can hold, and names what is wrong.

pub mod message;
pub mod metadata;
mod proto;
pub mod reconciliation;
pub mod store;
pub mod strong;
pub mod transfer;
pub mod varint;

/// The protocol id of relay (11/WAKU2-RELAY), which gossipsub speaks under this name.
pub const RELAY_PROTOCOL: &str = "/vac/waku/relay/2.0.0";
