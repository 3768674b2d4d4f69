//! `/wakustore/sync/1.0.0`: the frames of wakustore's own sync protocol.
//!
//! One frame is a type byte and its fields. Integers are minimal unsigned LEB128; hashes, keys and
//! digests are bytes as they are. Times are nanoseconds since 1970 and not negative; lists of ids
//! and keys strictly ascend and say each time as the difference from the one before. What a
//! session does with the frames is told in `sync::strong`.
//!
//! A decoder takes bytes of a stranger: counts are bounded by constants here and by the bytes that
//! are left, and nothing may follow the last field.

mod read;
#[cfg(test)]
mod tests;
mod write;

use super::reconciliation::{Payload, Scope};
use crate::error::Result;
use crate::types::{SyncId, TimeRange};

/// Protocol id.
pub const PROTOCOL: &str = "/wakustore/sync/1.0.0";
/// The version that an [`Open`] says; a peer refuses what it does not know.
pub const VERSION: u64 = 1;
/// The most cells that a frame carries.
pub const MAX_CELLS: usize = 16_384;
/// The most bare counts behind the cells of a [`Differs`].
pub const MAX_COUNTS: usize = 1024;
/// The most keys of one list.
pub const MAX_KEYS: usize = 2 * MAX_CELLS;
/// The most ids of one list.
pub const MAX_IDS: usize = 65_536;
/// The longest text of a [`Refuse`], in bytes.
pub const MAX_DETAIL: usize = 256;
/// Every node takes frames of at least so many bytes.
pub const MIN_MAX_FRAME: usize = 1024 * 1024;

/// 96 bits that stand for a message: the low 48 bits of its timestamp, big-endian, and the first
/// six bytes of its hash.
pub type Key = [u8; 12];

/// One cell of a sketch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    /// XOR of keys.
    pub key: Key,
    /// XOR of checks.
    pub check: u32,
    /// How many keys.
    pub count: i64,
}

/// Cells that follow each other in a row. Counts are written as their distance from what a set of
/// `total` ids has there on average, which is mostly one byte or two.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cells {
    /// The ids in the sender's set.
    pub total: u64,
    /// The number of the first cell.
    pub from: usize,
    /// At most [`MAX_CELLS`], which `from` and the number of cells together stay within too.
    pub cells: Vec<Cell>,
}

/// What a node takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest frame, in bytes without its length prefix; at least [`MIN_MAX_FRAME`].
    pub max_frame: usize,
    /// The most cells of one sketch.
    pub max_cells: usize,
}

/// The initiator's first frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// What it takes.
    pub limits: Limits,
    /// Whether it wants the messages that it lacks.
    pub takes: bool,
    /// Whether it sends the messages that the peer lacks.
    pub gives: bool,
    /// Nothing is sent; both sides tell each other all ids that differ.
    pub dry_run: bool,
    /// The span to compare.
    pub window: TimeRange,
    /// Its own scope.
    pub scope: Scope,
    /// Its ids in the window and its scope.
    pub count: u64,
    /// The digest of their lattice hash.
    pub digest: [u8; 32],
}

/// Why a session is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Too many sessions run.
    Busy,
    /// The window holds more than can be compared.
    TooLarge,
    /// No topic is common to both scopes.
    OutOfScope,
    /// The version is not known.
    Version,
    /// The window cannot be compared.
    Window,
}

/// The responder will not do it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refuse {
    /// Why.
    pub reason: Reason,
    /// For people; at most [`MAX_DETAIL`] bytes are written.
    pub detail: String,
}

/// The responder's set is another one, or the scope is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Differs {
    /// What it takes.
    pub limits: Limits,
    /// Where both scopes meet, and the digest of the responder's set there; only where that is not
    /// the initiator's scope.
    pub rescoped: Option<(Scope, [u8; 32])>,
    /// The first cells of its set; none where sketches are of no use.
    pub cells: Cells,
    /// The low eight bits of the counts of the cells that follow, to guess the difference by.
    pub counts: Vec<u8>,
}

/// One of the receiver's own ids: its time is enough where no other of its ids has that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Name {
    /// The low 48 bits of the timestamp.
    pub time: u64,
    /// The first six bytes of the hash, where the time is not enough.
    pub prefix: Option<[u8; 6]>,
}

/// What a decoded sketch told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Ids of the receiver alone.
    pub lacks: Vec<Name>,
    /// Keys of the sender alone.
    pub offers: Vec<Key>,
}

/// An id that was found to be missing at the peer, and is not sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Unsent {
    /// Which.
    pub id: SyncId,
    /// The sender does not hold it any more. Otherwise it is too large.
    pub gone: bool,
}

/// All that the sender had to send is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The digest of the sender's set, as it was compared.
    pub digest: [u8; 32],
    /// How many messages it sent.
    pub count: u64,
    /// Those that it did not send.
    pub unsent: Vec<Unsent>,
    /// How many more it did not send, and cannot name.
    pub beyond: u64,
}

/// Whether the sender came to know the peer's whole set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It cannot tell: it takes nothing, or not all came.
    Unknown,
    /// What it knows of the peer's set has the peer's digest.
    Equal,
    /// It has another: something stayed hidden.
    Other,
}

/// All that the sender was to receive has come, or does not come any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// What it knows.
    pub verdict: Verdict,
    /// How many of the messages it could not keep.
    pub unstored: u64,
}

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The first.
    Open(Open),
    /// The last.
    Refuse(Refuse),
    /// Both sets are the same: the last.
    Agree,
    /// They are not.
    Differs(Differs),
    /// The initiator's cells.
    Cells(Cells),
    /// More cells are wanted, up to (without) this number.
    More(usize),
    /// The sketch was decoded.
    Found(Found),
    /// Ranges, as in reconciliation 1.0.0, without topics.
    Ranges(Payload),
    /// Of a dry run: the last 26 bytes of each hash of the keys that the receiver knows, in the
    /// order of the keys.
    Rest(Vec<[u8; 26]>),
    /// Of a dry run: ids of the sender alone.
    Have(Vec<SyncId>),
    /// All is written.
    Sent(Sent),
    /// All has come.
    Done(Done),
    /// Compare once more, by hashes under a salt of both sides; this is the sender's half.
    Again([u8; 16]),
}

impl Frame {
    /// The bytes without the length prefix. Of lists that are longer than the bounds here allow
    /// only the beginning is written.
    pub fn encode(&self) -> Vec<u8> {
        write::frame(self)
    }

    /// From bytes without the length prefix.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ProtocolUnsupported`] for an [`Open`] of another version;
    /// [`crate::ErrorKind::Truncated`]; [`crate::ErrorKind::FrameTooLarge`] where a count is beyond
    /// its bound; [`crate::ErrorKind::InvalidTopic`]; [`crate::ErrorKind::Malformed`] for the rest.
    pub fn decode(bytes: &[u8]) -> Result<Frame> {
        read::frame(bytes)
    }
}

/// How many ids of a set of `total` are in this cell on average.
fn mean(total: u64, at: usize) -> i64 {
    let mean = u128::from(total) * 2 / (at as u128 + 2);
    i64::try_from(mean).unwrap_or(i64::MAX)
}

const OPEN: u8 = 1;
const REFUSE: u8 = 2;
const AGREE: u8 = 3;
const DIFFERS: u8 = 4;
const CELLS: u8 = 5;
const MORE: u8 = 6;
const FOUND: u8 = 7;
const RANGES: u8 = 8;
const REST: u8 = 9;
const HAVE: u8 = 10;
const SENT: u8 = 11;
const DONE: u8 = 12;
const AGAIN: u8 = 13;
