//! The UniFFI surface, for Python, Kotlin and Swift: objects, records and errors, by procedural
//! macros alone. Translation only.
//!
//! Every `async fn` here runs its work on the library's own runtime and only waits for it on the
//! caller's, so that no thread of the caller is blocked; dropping the call cancels the work.
//! Streams are pulled (`next`). Nothing is named `close` or `destroy`: the generators use these
//! names themselves.

mod archive;
mod call;
mod changes;
mod error;
mod message;
mod node;
mod options;
mod query;
mod relay;
mod stream;
mod sync;
mod tools;
mod validator;
mod walk;

pub use archive::{Archive, ArchiveOptions, Durability, FileOptions, Stats};
pub use changes::{Change, ChangedMessage, Changes};
pub use error::{ErrorKind, Failure, WakuError};
pub use message::{Message, Origin, PutOutcome, PutResult, StoredMessage, TopicMessage};
pub use node::{Node, NodeEvent, SyncReport};
pub use options::{NodeOptions, SyncDirection, SyncOptions};
pub use query::{Direction, Entry, Page, Query};
pub use stream::{History, NodeEvents};
pub use sync::{
    Agreement, Coverage, Progress, SyncDialect, SyncDifference, SyncId, SyncProtocol, SyncReason,
};
pub use tools::{
    BackupReport, Finding, FindingKind, MoveReport, RefusedImport, SalvageReport, TopicKind,
    TopicStats, VerifyReport, Watch, WorkProgress, restore_archive, salvage_archive,
    verify_archive,
};
pub use validator::{Validator, Validity};
pub use walk::{CrossCheck, Fetched, PeerCheck, RateLimit};

use std::time::Duration;

use crate::types::{self, ContentTopic, PubsubTopic};
use call::guard;
use error::Result;

/// The hash that names a message everywhere (14/WAKU2-MESSAGE), 32 bytes.
///
/// Fails with `InvalidTopic`.
#[uniffi::export]
pub fn message_hash(pubsub_topic: String, message: Message) -> Result<Vec<u8>> {
    guard(|| {
        let stored = types::StoredMessage::try_from(TopicMessage { pubsub_topic, message })?;
        Ok(stored.hash.0.to_vec())
    })
}

/// The shard of a content topic by autosharding, in a cluster of so many shards.
///
/// Fails with `InvalidTopic`, and with `InvalidArgument` where `shards` is 0.
#[uniffi::export]
pub fn shard_of(content_topic: String, shards: u32) -> Result<u32> {
    guard(|| Ok(types::shard_of(&ContentTopic::new(content_topic)?, shards)?))
}

/// The pubsub topic of a shard, `/waku/2/rs/{cluster}/{shard}`.
#[uniffi::export]
pub fn shard_topic(cluster: u32, shard: u32) -> String {
    PubsubTopic::of_shard(cluster, shard).as_str().to_owned()
}

/// The library's version.
#[uniffi::export]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// Ends everything that runs in the library, in this process: stops the nodes, cancels what is in
/// flight (it fails with `Shutdown` or `Cancelled`), commits and closes the archives, and joins
/// the threads. Blocks until that is done. Objects made before it fail with `Shutdown` from then
/// on; a second call is fine, and new objects may be made after it.
///
/// `timeout` bounds the waits for peers and for what runs, 10 seconds where absent; archives are
/// always committed.
///
/// Fails with `WouldDeadlock` on one of the library's own threads, and with `TimedOut` where
/// something did not end in time: it is left behind, all else is done.
#[uniffi::export(default(timeout = None))]
pub fn shutdown(timeout: Option<Duration>) -> Result<()> {
    guard(|| call::shutdown(timeout))
}

/// [`shutdown`] for a process that is about to exit: nothing starts again after it, and every
/// later call fails with `Shutdown`. For the at-exit hook of a binding.
#[uniffi::export]
pub fn shutdown_at_exit() {
    call::shutdown_at_exit();
}
