//! The Archive: the interface to the stored messages, and its backends.
//!
//! It knows nothing of peers, requests or protocols. [`Archive`] is what everybody uses: it owns
//! the threads on which a [`Driver`] does its blocking work, commits puts in groups, and feeds
//! subscribers with what was committed. A put is acknowledged after its own commit, never before.

mod driver;
mod feed;
#[cfg(feature = "sqlite")]
mod key;
mod memory;
mod pending;
mod queue;
mod report;
mod retention;
mod rules;
mod service;
#[cfg(feature = "sqlite")]
mod sqlite;
mod task;
mod tools;
mod validator;
mod worker;

pub use driver::{Backend, Driver, Figures, IndexEntry, IndexQuery, PutOutcome, Removal, Stats};
pub use feed::{Feed, FeedEvent, FeedItem};
#[cfg(feature = "sqlite")]
pub use key::Key;
pub use memory::MemoryBackend;
pub use pending::Pending;
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
