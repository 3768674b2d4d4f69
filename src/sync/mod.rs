//! Sync between nodes that have a Store: which hashes differ, and what a session may bring.
//!
//! State machines without sockets, clocks or an archive: [`index`] holds the ids and their
//! fingerprints, [`reconcile`] answers payloads, [`grants`] decides what transfer may bring.
//! [`lattice`] and [`sketch`] are the sums that wakustore's own protocol compares; [`summary`]
//! keeps them ready.

pub mod grants;
pub mod index;
pub mod lattice;
pub mod reconcile;
pub mod sketch;
mod spans;
pub mod strong;
pub mod summary;
