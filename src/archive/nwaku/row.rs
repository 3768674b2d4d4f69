//! A row of nwaku's, and the message in it.
//!
//! What must hold: whatever is in the columns, there is either a message, hashed anew, or a reason
//! why not; and the reason never shows the payload.

use bytes::Bytes;

use super::position::Value;
use crate::error::{Result, bail};
use crate::types::{
    ContentTopic, MAX_MESSAGE_SIZE, MAX_META_SIZE, MAX_TOPIC_SIZE, MessageHash, PubsubTopic,
    StoredMessage, Timestamp, WakuMessage,
};

/// What a column holds, as far as it is of use.
pub(super) enum Cell {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// A number with a fraction. PostgreSQL's columns have types, and none of them is this.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
    Real(f64),
    /// A text or a blob.
    Bytes(Bytes),
    /// More bytes than were asked for, which stayed where they are.
    TooLong(u64),
}

/// The longest that is read of each column; what is longer is refused anyway.
pub(super) const PAYLOAD_LIMIT: usize = MAX_MESSAGE_SIZE;
pub(super) const TOPIC_LIMIT: usize = MAX_TOPIC_SIZE;
pub(super) const META_LIMIT: usize = MAX_META_SIZE;
pub(super) const HASH_LIMIT: usize = 32;

/// A row as it came.
pub(super) struct Raw {
    pub(super) pubsub_topic: Cell,
    pub(super) content_topic: Cell,
    pub(super) payload: Cell,
    pub(super) version: Cell,
    /// When the message was sent, in nanoseconds or (a real) in seconds.
    pub(super) sent: Cell,
    pub(super) meta: Cell,
}

/// The hash that the source has for a message.
pub(super) enum Hash {
    /// The source keeps none.
    Absent,
    /// This one.
    Is(MessageHash),
    /// Something that is no hash.
    Other,
}

/// A row that was read.
pub(super) struct Row {
    pub(super) key: Vec<Value>,
    /// The source's time of it.
    pub(super) time: Option<Timestamp>,
    pub(super) hash: Hash,
    pub(super) message: Result<StoredMessage>,
}

impl Row {
    /// What it counts for in memory.
    pub(super) fn size(&self) -> usize {
        let payload = self.message.as_ref().map_or(0, |m| m.message.payload.len());
        payload + 1_024
    }
}

/// The hash in a column.
pub(super) fn hash(cell: &Cell) -> Hash {
    match cell {
        Cell::Null => Hash::Absent,
        Cell::Bytes(bytes) => MessageHash::from_slice(bytes).map_or(Hash::Other, Hash::Is),
        Cell::Integer(_) | Cell::Real(_) | Cell::TooLong(_) => Hash::Other,
    }
}

/// A time in a column: nanoseconds, or seconds with a fraction, which nwaku's own migration turned
/// into nanoseconds in this way.
pub(super) fn time(cell: &Cell) -> Option<Timestamp> {
    match cell {
        Cell::Integer(nanos) => Some(Timestamp(*nanos)),
        Cell::Real(seconds) => {
            let nanos = seconds * 1e9;
            // The ends of i64, as reals.
            let fits = (-9.2e18..9.2e18).contains(&nanos);
            fits.then_some(Timestamp(nanos as i64))
        }
        Cell::Null | Cell::Bytes(_) | Cell::TooLong(_) => None,
    }
}

/// The message in a row, hashed anew.
///
/// # Errors
/// By kind, what is wrong with it; what the archive's rules say comes later, with the put.
pub(super) fn message(raw: Raw) -> Result<StoredMessage> {
    let pubsub_topic = match bytes(raw.pubsub_topic, "pubsub topic")? {
        Text::Some(bytes) => PubsubTopic::from_utf8(&bytes)?,
        Text::None => bail!(InvalidTopic, "the pubsub topic is missing"),
        Text::TooLong(n) => bail!(InvalidTopic, "the pubsub topic is {n} bytes long"),
    };
    let content_topic = match bytes(raw.content_topic, "content topic")? {
        Text::Some(bytes) => ContentTopic::from_utf8(&bytes)?,
        Text::None => bail!(InvalidTopic, "the content topic is missing"),
        Text::TooLong(n) => bail!(InvalidTopic, "the content topic is {n} bytes long"),
    };
    let payload = match bytes(raw.payload, "payload")? {
        Text::Some(bytes) => bytes,
        // nwaku binds an empty payload as NULL.
        Text::None => Bytes::new(),
        Text::TooLong(n) => bail!(
            MessageTooLarge,
            "the payload is {n} bytes long, a message at most {MAX_MESSAGE_SIZE}"
        ),
    };
    let meta = match bytes(raw.meta, "meta field")? {
        // Nor does it tell an empty one from none.
        Text::Some(bytes) => Some(bytes).filter(|b| !b.is_empty()),
        Text::None => None,
        Text::TooLong(n) => bail!(
            MetaTooLarge,
            "the meta field is {n} bytes long, at most {MAX_META_SIZE} are allowed"
        ),
    };
    let version = match raw.version {
        // nwaku's 0 is an absent one too.
        Cell::Integer(0) | Cell::Null => None,
        Cell::Integer(v) => match u32::try_from(v) {
            Ok(v) => Some(v),
            Err(_) => bail!(ArchiveCorrupt, "{v} is no version of a message"),
        },
        _ => bail!(ArchiveCorrupt, "the version is not an integer"),
    };
    let timestamp = match &raw.sent {
        Cell::Null => None,
        cell => match time(cell) {
            // To nwaku an absent timestamp and 0 are the same.
            Some(t) => Some(t).filter(|t| t.nanos() != 0),
            None => bail!(ArchiveCorrupt, "the timestamp is not a time"),
        },
    };
    let message = WakuMessage {
        payload,
        content_topic,
        version,
        timestamp,
        meta,
        rate_limit_proof: None,
        ephemeral: None,
    };
    Ok(StoredMessage::new(pubsub_topic, message))
}

enum Text {
    None,
    Some(Bytes),
    TooLong(u64),
}

fn bytes(cell: Cell, what: &str) -> Result<Text> {
    match cell {
        Cell::Null => Ok(Text::None),
        Cell::Bytes(bytes) => Ok(Text::Some(bytes)),
        Cell::TooLong(n) => Ok(Text::TooLong(n)),
        Cell::Integer(_) | Cell::Real(_) => {
            bail!(ArchiveCorrupt, "the {what} is a number")
        }
    }
}
