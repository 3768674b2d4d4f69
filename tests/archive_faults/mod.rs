//! What the tests against faults share: seeds, a disk in memory that loses power, SQLite on it, and
//! a ledger of what was committed.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, unreachable_pub, unused_imports)]

pub mod disk;
pub mod ledger;
pub mod seed;
pub mod told;
pub mod vfs;
pub mod workload;
