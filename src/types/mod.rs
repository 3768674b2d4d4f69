//! The words of the library: messages, hashes, topics, times, queries and pages.
//!
//! Plain values with their invariants held by construction. This layer knows no other.

mod hash;
mod message;
mod query;
mod sync_id;
mod time;
mod topic;

pub use hash::MessageHash;
pub use message::{
    MAX_MESSAGE_SIZE, MAX_META_SIZE, Origin, StoredMessage, WakuMessage, message_hash,
};
pub use query::{Direction, Entry, Filter, MAX_PAGE_SIZE, Page, Query};
pub use sync_id::SyncId;
pub use time::{TimeRange, Timestamp};
pub use topic::{ContentTopic, MAX_TOPIC_SIZE, PubsubTopic, shard_of};
