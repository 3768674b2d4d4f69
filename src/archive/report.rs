//! What an operator asks of an archive, and what the tools report. All lists are bounded: a count
//! stands beside each that may be longer.

use crate::types::{MessageHash, Timestamp};

/// The most entries of one page of [`TopicStats`] or of tombstones.
pub const MAX_TOOL_PAGE: usize = 1_000;
/// The most findings that a report lists.
pub const MAX_FINDINGS: usize = 1_000;

/// Which kind of topic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TopicKind {
    /// By where messages are published.
    Pubsub,
    /// By what messages are filed under.
    Content,
}

/// One page of [`crate::archive::Archive::topic_stats`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicQuery {
    /// Which kind of topic.
    pub kind: TopicKind,
    /// Only topics whose name comes after this one, as bytes: the last name of the page before.
    pub after: Option<String>,
    /// The most entries, 1 to [`MAX_TOOL_PAGE`].
    pub limit: usize,
}

/// What an archive holds of one topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicStats {
    /// The topic.
    pub name: String,
    /// Messages held; 0 where all that there were have been removed.
    pub messages: u64,
    /// Bytes of their payloads, metas and rate-limit proofs. On disk a message takes some 300
    /// bytes more.
    pub bytes: u64,
    /// Timestamp of the oldest, where there is one.
    pub oldest: Option<Timestamp>,
    /// Timestamp of the newest, where there is one.
    pub newest: Option<Timestamp>,
}

/// What is wrong, as a kind that a program can act on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FindingKind {
    /// The message's content does not give the hash that it is filed under.
    HashMismatch,
    /// A message, or a range of rows, cannot be read.
    Unreadable,
    /// The content is no message: an empty topic, a field of the wrong type.
    Invalid,
    /// The file's structure, or an index, is damaged.
    Structure,
    /// A figure that is kept is not what is counted.
    Figure,
}

/// One thing that does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The message that it is about, where that can be told.
    pub hash: Option<MessageHash>,
    /// In words, without content of messages.
    pub detail: String,
}

/// Findings: the first [`MAX_FINDINGS`], and how many there were.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// The first of them.
    pub first: Vec<Finding>,
    /// All of them.
    pub count: u64,
}

impl Findings {
    /// Adds one.
    pub(super) fn add(
        &mut self,
        kind: FindingKind,
        hash: Option<MessageHash>,
        detail: impl Into<String>,
    ) {
        self.count += 1;
        if self.first.len() < MAX_FINDINGS {
            self.first.push(Finding { kind, hash, detail: detail.into() });
        }
    }
}

/// What [`crate::archive::Archive::verify`] found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// Messages whose hash was recomputed.
    pub messages: u64,
    /// What does not fit; nothing in a sound archive.
    pub findings: Findings,
}

impl VerifyReport {
    /// Whether everything fits.
    pub fn is_sound(&self) -> bool {
        self.findings.count == 0
    }
}

/// What a backup, or a restore, has written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BackupReport {
    /// Messages in it.
    pub messages: u64,
    /// The length of the file, in bytes.
    pub bytes: u64,
}

/// What a salvage has brought over, and what it has not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SalvageReport {
    /// Messages that are in the new archive.
    pub messages: u64,
    /// Tombstones that are in the new archive.
    pub tombstones: u64,
    /// What could not be brought over: a message that does not give its hash, a range of rows
    /// that cannot be read (it may have held any number of messages).
    pub lost: Findings,
}
