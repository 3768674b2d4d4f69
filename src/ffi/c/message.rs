//! `wks_message`: a message that goes in; and `wks_outcomes`: what became of it.

use bytes::Bytes;

use super::bytes::{nth, wks_bytes, wks_hash};
use super::error::wks_error;
use super::guard;
use super::handle::handle;
use super::memory::{Record, borrow, read_record, read_records};
use super::query::flag;
use super::status::wks_status;
use crate::archive::PutOutcome;
use crate::error::{Result, bail};
use crate::types::{
    ContentTopic, MessageHash, Origin, PubsubTopic, StoredMessage, Timestamp, WakuMessage, shard_of,
};

/// A message that goes in. Zero it, set `struct_size`, the topics, the payload and the timestamp;
/// the rest may stay zero. It and what it points to are copied by the call that takes it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_message {
    /// `sizeof(wks_message)`.
    pub struct_size: usize,
    /// Where it was published. UTF-8, 1 to 1,024 bytes.
    pub pubsub_topic: wks_bytes,
    /// What it is filed under. UTF-8, 1 to 1,024 bytes.
    pub content_topic: wks_bytes,
    /// What the app sends.
    pub payload: wks_bytes,
    /// The app protocol's own, up to 64 bytes.
    pub meta: wks_bytes,
    /// The proof against spam.
    pub rate_limit_proof: wks_bytes,
    /// When it was sent, in Unix nanoseconds.
    pub timestamp: i64,
    /// The kind of payload encryption.
    pub version: u32,
    /// 1 for a timestamp that is 0; any other counts without it.
    pub has_timestamp: u8,
    /// 1 for a version that is 0 and there; any other counts without it.
    pub has_version: u8,
    /// 1 for a meta field that is empty and there; any other counts without it.
    pub has_meta: u8,
    /// 1 for a rate limit proof that is empty and there; any other counts without it.
    pub has_rate_limit_proof: u8,
    /// 1 for a message that tells that it is not ephemeral.
    pub has_ephemeral: u8,
    /// 1 for an ephemeral message (which is never stored).
    pub ephemeral: u8,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_message {
    const NAME: &'static str = "wks_message";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl wks_message {
    fn copy(&self) -> Result<StoredMessage> {
        let optional = |bytes: wks_bytes, has: u8, name: &str| -> Result<Option<Bytes>> {
            let bytes = borrow(bytes, name)?;
            let there = flag(has, name)? || !bytes.is_empty();
            Ok(there.then(|| Bytes::copy_from_slice(bytes)))
        };
        let ephemeral = flag(self.ephemeral, "ephemeral")?;
        let message = WakuMessage {
            payload: Bytes::copy_from_slice(borrow(self.payload, "payload")?),
            content_topic: ContentTopic::from_utf8(borrow(self.content_topic, "content_topic")?)?,
            version: (flag(self.has_version, "has_version")? || self.version != 0)
                .then_some(self.version),
            timestamp: (flag(self.has_timestamp, "has_timestamp")? || self.timestamp != 0)
                .then_some(Timestamp(self.timestamp)),
            meta: optional(self.meta, self.has_meta, "meta")?,
            rate_limit_proof: optional(
                self.rate_limit_proof,
                self.has_rate_limit_proof,
                "rate_limit_proof",
            )?,
            ephemeral: (flag(self.has_ephemeral, "has_ephemeral")? || ephemeral)
                .then_some(ephemeral),
        };
        let pubsub_topic = PubsubTopic::from_utf8(borrow(self.pubsub_topic, "pubsub_topic")?)?;
        Ok(StoredMessage::new(pubsub_topic, message))
    }
}

/// Copies the messages of an array.
pub(super) fn copy_messages(at: *const wks_message, count: usize) -> Result<Vec<StoredMessage>> {
    let one =
        |(i, m): (usize, wks_message)| m.copy().map_err(|e| e.context(format_args!("message {i}")));
    read_records(at, count)?.into_iter().enumerate().map(one).collect()
}

/// Where a message came from: a `WKS_ORIGIN_…`.
pub type wks_origin = i32;
/// From relay, or from the host, as it happened. Such a message must be recent.
pub const WKS_ORIGIN_LIVE: wks_origin = 0;
/// By a sync with a peer.
pub const WKS_ORIGIN_SYNC: wks_origin = 1;
/// By a store query for a time when the node was off.
pub const WKS_ORIGIN_RESUME: wks_origin = 2;
/// From another archive.
pub const WKS_ORIGIN_IMPORT: wks_origin = 3;

/// The origin of a number.
pub(super) fn origin_of(number: wks_origin) -> Result<Origin> {
    match number {
        WKS_ORIGIN_LIVE => Ok(Origin::Live),
        WKS_ORIGIN_SYNC => Ok(Origin::Sync),
        WKS_ORIGIN_RESUME => Ok(Origin::Resume),
        WKS_ORIGIN_IMPORT => Ok(Origin::Import),
        other => bail!(InvalidArgument, "{other} is no origin"),
    }
}

/// The number of an origin.
pub(super) fn number_of(origin: Origin) -> wks_origin {
    match origin {
        Origin::Live => WKS_ORIGIN_LIVE,
        Origin::Sync => WKS_ORIGIN_SYNC,
        Origin::Resume => WKS_ORIGIN_RESUME,
        Origin::Import => WKS_ORIGIN_IMPORT,
    }
}

/// What became of the messages of a put, one outcome each, in their order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_outcomes {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_outcomes, 8, OutcomesObject);

/// The outcomes, with the messages' hashes.
pub(super) struct OutcomesObject(Vec<(MessageHash, PutOutcome)>);

impl OutcomesObject {
    pub(super) fn new(hashes: Vec<MessageHash>, outcomes: Vec<PutOutcome>) -> Result<Self> {
        if hashes.len() != outcomes.len() {
            bail!(Internal, "{} messages were put, {} outcomes came", hashes.len(), outcomes.len());
        }
        Ok(OutcomesObject(hashes.into_iter().zip(outcomes).collect()))
    }

    /// The first refusal, if there is one.
    pub(super) fn first_refusal(&self) -> Result<()> {
        for (i, (_, outcome)) in self.0.iter().enumerate() {
            if let PutOutcome::Refused(e) = outcome {
                return Err(e.clone().context(format_args!("message {i}")));
            }
        }
        Ok(())
    }
}

/// What became of a message: a `WKS_PUT_…`.
pub type wks_put = i32;
/// It is new, and committed.
pub const WKS_PUT_STORED: wks_put = 0;
/// It was there already, and committed.
pub const WKS_PUT_DUPLICATE: wks_put = 1;
/// The rules refuse it; `status` and `reason` tell why.
pub const WKS_PUT_REFUSED: wks_put = 2;

/// What became of one message. The caller allocates it and sets `struct_size`; what it points to is
/// the outcomes', and lives until `wks_outcomes_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_outcome {
    /// `sizeof(wks_outcome)`.
    pub struct_size: usize,
    /// The message's hash, 32 bytes.
    pub hash: *const u8,
    /// What became of it.
    pub outcome: wks_put,
    /// Why it was refused: a `wks_status`; `WKS_OK` where it was not.
    pub status: i32,
    /// Why it was refused, for people.
    pub reason: wks_bytes,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_outcome {
    const NAME: &'static str = "wks_outcome";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// How many outcomes there are: as many as messages were put.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_outcomes_count(
    outcomes: wks_outcomes,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, count, |call| Ok(call.get(outcomes)?.0.len()))
}

/// What became of message `index`, counted from 0. Set `outcome->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `outcome` is the caller's; what it points to is the outcomes',
/// and lives until `wks_outcomes_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
/// beyond the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_outcomes_get(
    outcomes: wks_outcomes,
    index: usize,
    outcome: *mut wks_outcome,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, outcome, |call| {
        let outcomes = call.get(outcomes)?;
        let (hash, outcome) = nth(&outcomes.0, index, "outcome")?;
        let nothing = (wks_status::WKS_OK, wks_bytes::lend(&[]));
        let (number, (status, reason)) = match outcome {
            PutOutcome::Stored => (WKS_PUT_STORED, nothing),
            PutOutcome::Duplicate => (WKS_PUT_DUPLICATE, nothing),
            PutOutcome::Refused(e) => {
                (WKS_PUT_REFUSED, (e.kind().into(), wks_bytes::lend(e.message().as_bytes())))
            }
        };
        Ok(wks_outcome {
            struct_size: size_of::<wks_outcome>(),
            hash: hash.0.as_ptr(),
            outcome: number,
            status: status as i32,
            reason,
        })
    })
}

/// Frees outcomes and all that they point to. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_outcomes_free(outcomes: wks_outcomes) {
    guard::free(outcomes, |_| {})
}

/// Computes a message's hash.
///
/// Threads: any. Blocks: no. Owns: nothing; `message` is lent for the call.
/// Errors: `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`,
/// `WKS_ERR_INVALID_TOPIC`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_message_hash(
    message: *const wks_message,
    hash: *mut wks_hash,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, hash, |_| Ok(wks_hash { bytes: read_record(message)?.copy()?.hash.0 }))
}

/// The shard of a content topic in a cluster of so many shards, by autosharding.
///
/// Threads: any. Blocks: no. Owns: nothing; the topic is lent for the call.
/// Errors: `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC` where the topic is not of the form
/// /application/version/name/encoding, `WKS_ERR_INVALID_ARGUMENT` for 0 shards.
#[unsafe(no_mangle)]
pub extern "C" fn wks_shard_of(
    content_topic: wks_bytes,
    shards: u32,
    shard: *mut u32,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, shard, |_| {
        shard_of(&ContentTopic::from_utf8(borrow(content_topic, "content_topic")?)?, shards)
    })
}
