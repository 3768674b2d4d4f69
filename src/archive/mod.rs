//! The Archive: the interface to the stored messages, and its backends.
//!
//! It knows nothing of peers, requests or protocols. [`Archive`] is what everybody uses: it owns
//! the threads on which a [`Driver`] does its blocking work, commits puts in groups, and feeds
//! subscribers with what was committed. A put is acknowledged after its own commit, never before.

mod changes;
mod driver;
mod feed;
mod feed_queue;
mod feeds;
#[cfg(feature = "sqlite")]
mod key;
mod memory;
mod memory_log;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod nwaku;
mod pending;
mod position;
#[cfg(feature = "postgres")]
mod postgres;
mod pump;
mod queue;
mod report;
mod retention;
mod rules;
mod service;
#[cfg(feature = "sqlite")]
mod sqlite;
mod suspend;
mod task;
mod tools;
mod validator;
mod validator_thread;
mod worker;

#[cfg(feature = "postgres")]
pub use self::postgres::{MAX_PARTITIONS, Partitions, PostgresBackend, PostgresConfig};
pub use changes::{Change, Changes, Commit, Logged};
pub use driver::{Backend, Driver, Figures, IndexEntry, IndexQuery, PutOutcome, Removal, Stats};
pub use feed::{Feed, FeedEvent, FeedItem};
#[cfg(feature = "sqlite")]
pub use key::Key;
pub use memory::MemoryBackend;
pub use pending::Pending;
pub use position::Position;
pub use report::{
    BackupReport, Finding, FindingKind, Findings, MAX_FINDINGS, MAX_TOOL_PAGE, SalvageReport,
    TopicKind, TopicQuery, TopicStats, VerifyReport,
};
pub use retention::Retention;
pub use rules::{MAX_CONTENT_TOPICS, MAX_HASHES, Rules};
pub use service::{Archive, ArchiveConfig};
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteBackend, SqliteConfig};
pub use task::{Control, Progress, Task};
pub use validator::{Validator, Validity};
pub use validator_thread::ValidatorThread;
