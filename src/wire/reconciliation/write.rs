//! Writing a payload.

use super::{Payload, Range, RangeData};
use crate::types::{MessageHash, SyncId, Timestamp};
use crate::wire::varint;

/// The kinds of range on the wire.
pub(super) const SKIP: u8 = 0;
pub(super) const FINGERPRINT: u8 = 1;
pub(super) const ITEM_SET: u8 = 2;

pub(super) fn payload(payload: &Payload) -> Vec<u8> {
    payload_after(payload, |out| {
        topics(payload.scope.pubsub_topics.iter().map(|t| &**t), out);
        topics(payload.scope.content_topics.iter().map(|t| &**t), out);
    })
}

/// A payload behind a header.
pub(super) fn payload_after(payload: &Payload, header: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    if payload.ranges.is_empty() {
        return vec![0];
    }
    let mut out = Vec::with_capacity(capacity(payload));
    header(&mut out);
    let lower = writable(payload.lower);
    varint::write(difference(Timestamp(0), lower), &mut out);
    let mut previous = SyncId::floor(lower);
    for range in &payload.ranges {
        bound(&previous, &range.upper, &mut out);
        data(range, &mut out);
        previous = range.upper;
    }
    out
}

/// The most that the payload can take, so that item sets are not copied while the bytes grow.
fn capacity(payload: &Payload) -> usize {
    let scope = &payload.scope;
    let topics = scope.pubsub_topics.iter().map(|t| t.len());
    let topics = topics.chain(scope.content_topics.iter().map(|t| t.len()));
    let topics: usize = topics.map(|len| len + varint::MAX_LEN).sum();
    let ranges = payload.ranges.iter().map(|range| match &range.data {
        RangeData::Skip => 44,
        RangeData::Fingerprint(_) => 76,
        RangeData::ItemSet { ids, .. } => 64 + ids.len() * 41,
    });
    topics + 3 * varint::MAX_LEN + ranges.sum::<usize>()
}

fn topics<'a>(topics: impl ExactSizeIterator<Item = &'a str>, out: &mut Vec<u8>) {
    varint::write(topics.len() as u64, out);
    for topic in topics {
        varint::write(topic.len() as u64, out);
        out.extend_from_slice(topic.as_bytes());
    }
}

fn bound(previous: &SyncId, upper: &SyncId, out: &mut Vec<u8>) {
    let ahead = difference(previous.timestamp, writable(upper.timestamp));
    varint::write(ahead, out);
    if ahead == 0 {
        let told = told(&previous.hash, &upper.hash);
        out.push(told as u8);
        out.extend_from_slice(&upper.hash.0[..told]);
    }
}

fn data(range: &Range, out: &mut Vec<u8>) {
    match &range.data {
        RangeData::Skip => out.push(SKIP),
        RangeData::Fingerprint(hash) => {
            out.push(FINGERPRINT);
            out.extend_from_slice(&hash.0);
        }
        RangeData::ItemSet { ids, reconciled } => {
            out.push(ITEM_SET);
            let unwritable = ids.partition_point(|id| id.timestamp < Timestamp(0));
            let ids = &ids[unwritable..];
            varint::write(ids.len() as u64, out);
            let mut previous = Timestamp(0);
            for id in ids {
                varint::write(difference(previous, id.timestamp), out);
                out.extend_from_slice(&id.hash.0);
                previous = id.timestamp;
            }
            out.push(u8::from(*reconciled));
        }
    }
}

/// The bound as its receiver sees it.
pub(super) fn shortened(previous: &SyncId, upper: &SyncId) -> SyncId {
    let mut read = SyncId::floor(writable(upper.timestamp));
    if difference(previous.timestamp, read.timestamp) == 0 {
        let told = told(&previous.hash, &upper.hash);
        read.hash.0[..told].copy_from_slice(&upper.hash.0[..told]);
    }
    read
}

/// How many bytes of the upper bound's hash are told: up to and including the first that differs
/// from the previous bound's; all of them where none differs.
fn told(previous: &MessageHash, upper: &MessageHash) -> usize {
    let same = previous.0.iter().zip(&upper.0).take_while(|(a, b)| a == b).count();
    (same + 1).min(upper.0.len())
}

pub(super) fn writable(t: Timestamp) -> Timestamp {
    t.max(Timestamp(0))
}

/// How far `to` lies ahead. Bounds and ids ascend and are not before 1970, so nothing is lost;
/// should a caller break that, the bytes are still well-formed.
fn difference(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.nanos().saturating_sub(writable(from).nanos())).unwrap_or(0)
}
