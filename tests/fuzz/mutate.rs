//! Mutations: of bytes, of protobuf fields, of numbers, and of reconciliation payloads.

use wakustore::types::{MessageHash, SyncId, Timestamp};
use wakustore::wire::reconciliation::{Payload, Range, RangeData};
use wakustore::wire::varint;

use crate::sim::Random;

/// Numbers at which things change.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    31,
    32,
    33,
    127,
    128,
    255,
    65_535,
    1_000_000_000,
    (1 << 31) - 1,
    1 << 32,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX,
];

/// A few mutations, one after the other; of bytes that have this shape or not.
pub fn some(r: &mut Random, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=r.below(4) {
        out = match r.below(8) {
            0 | 1 => fields(r, &out, 0),
            2 | 3 => payload(r, &out).unwrap_or(out),
            4 => splice(r, &out, other),
            _ => plain(r, out),
        };
        out.truncate(16 * 1024);
    }
    out
}

/// One mutation, as a frame in the middle of a session may suffer it.
pub fn frame(r: &mut Random, bytes: &[u8]) -> Vec<u8> {
    match r.below(4) {
        0 => fields(r, bytes, 0),
        1 | 2 => payload(r, bytes).unwrap_or_else(|| plain(r, bytes.to_vec())),
        _ => plain(r, bytes.to_vec()),
    }
}

fn place(r: &mut Random, bytes: &[u8]) -> usize {
    // The beginning holds what says what the rest is.
    let end = if r.below(2) == 0 { bytes.len().min(40) } else { bytes.len() };
    r.below(end as u64 + 1) as usize
}

fn plain(r: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    let at = place(r, &bytes);
    let here = at < bytes.len();
    match r.below(8) {
        0 if here => bytes[at] ^= 1 << r.below(8),
        1 if here => bytes[at] = r.next() as u8,
        2 if here => bytes[at] = bytes[at].wrapping_add(1).wrapping_sub(2 * r.below(2) as u8),
        3 => bytes.truncate(at),
        4 => {
            let end = (at + 1 + r.below(40) as usize).min(bytes.len());
            bytes.drain(at..end);
        }
        5 => {
            let end = (at + 1 + r.below(80) as usize).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            for _ in 0..=r.below(6) {
                bytes.splice(at..at, piece.iter().copied());
            }
        }
        6 => {
            // A number in the place of another.
            let mut number = Vec::new();
            varint::write(NUMBERS[r.below(16) as usize], &mut number);
            let mut rest = &bytes[at..];
            let old = varint::read(&mut rest).map_or(0, |_| bytes.len() - at - rest.len());
            bytes.splice(at..at + old, number);
        }
        _ => {
            let more = (0..r.below(12)).map(|_| r.next() as u8).collect::<Vec<_>>();
            bytes.splice(at..at, more);
        }
    }
    bytes
}

fn splice(r: &mut Random, a: &[u8], b: &[u8]) -> Vec<u8> {
    let (at, from) = (place(r, a), place(r, b));
    [&a[..at], &b[from..]].concat()
}

/// Takes the bytes for protobuf and moves, repeats, drops or changes a field; inside of one too.
fn fields(r: &mut Random, bytes: &[u8], depth: usize) -> Vec<u8> {
    let mut list: Vec<Vec<u8>> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let before = rest;
        let Some(field) = field(&mut rest) else { break };
        list.push(before[..field].to_vec());
    }
    if list.is_empty() {
        return plain(r, bytes.to_vec());
    }
    let at = r.below(list.len() as u64) as usize;
    match r.below(6) {
        0 => {
            list.remove(at);
        }
        1 => {
            for _ in 0..=r.below(8) {
                list.push(list[at].clone());
            }
        }
        2 => {
            let to = r.below(list.len() as u64) as usize;
            list.swap(at, to);
        }
        3 => list[at] = plain(r, std::mem::take(&mut list[at])),
        4 => list[at][0] ^= (1 << r.below(7)) as u8,
        _ => {
            // Inside of it, with a length that is right again.
            let mut rest = &list[at][..];
            let tag = varint::read(&mut rest).unwrap_or(0);
            if tag & 7 == 2 && varint::read(&mut rest).is_ok() {
                let changed =
                    if depth < 3 { fields(r, rest, depth + 1) } else { plain(r, rest.to_vec()) };
                let mut new = Vec::new();
                varint::write(tag, &mut new);
                varint::write(changed.len() as u64, &mut new);
                new.extend(changed);
                list[at] = new;
            }
        }
    }
    let mut out = list.concat();
    out.extend(rest);
    out
}

/// The length of the first field; `rest` is what comes behind it.
fn field(rest: &mut &[u8]) -> Option<usize> {
    let all = rest.len();
    let tag = varint::read(rest).ok()?;
    let skip = match tag & 7 {
        0 => {
            varint::read(rest).ok()?;
            0
        }
        1 => 8,
        2 => varint::read(rest).ok()?,
        5 => 4,
        _ => return None,
    };
    *rest = rest.get(usize::try_from(skip).ok()?..)?;
    Some(all - rest.len())
}

/// Takes the bytes for a reconciliation payload and changes what it says.
fn payload(r: &mut Random, bytes: &[u8]) -> Option<Vec<u8>> {
    let (shards, mut p) = match Payload::decode(bytes) {
        Ok(payload) => (None, payload),
        Err(_) => Payload::decode_with_shards(bytes).ok()?,
    };
    if p.ranges.is_empty() {
        return None;
    }
    let at = r.below(p.ranges.len() as u64) as usize;
    let time = p.ranges[at].upper.timestamp.nanos();
    match r.below(9) {
        0 => {
            p.ranges.remove(at);
        }
        1 => p.ranges.insert(at, p.ranges[at].clone()),
        2 => p.ranges.truncate(at),
        3 => p.ranges[at].upper.timestamp = Timestamp(time.saturating_add(1 << r.below(62))),
        4 => p.lower = Timestamp(p.lower.nanos() >> r.below(4)),
        5 => p.ranges[at].upper.hash.0[0] = r.next() as u8,
        6 => p.ranges[at].data = data(r, &p.ranges, at),
        7 => {
            if let RangeData::ItemSet { ids, reconciled } = &mut p.ranges[at].data {
                ids_of(r, ids);
                *reconciled ^= r.below(3) == 0;
            }
        }
        _ => p.scope = Default::default(),
    }
    Some(match shards {
        Some(shards) => p.encode_with_shards(&shards),
        None => p.encode(),
    })
}

fn data(r: &mut Random, ranges: &[Range], at: usize) -> RangeData {
    match r.below(5) {
        0 => RangeData::Skip,
        1 => RangeData::Fingerprint(MessageHash([r.next() as u8; 32])),
        2 => RangeData::ItemSet { ids: Vec::new(), reconciled: r.below(2) == 0 },
        3 => {
            let upper = ranges[at].upper.timestamp;
            let ids = vec![SyncId::new(upper, MessageHash([r.next() as u8; 32]))];
            RangeData::ItemSet { ids, reconciled: r.below(2) == 0 }
        }
        _ => ranges[r.below(ranges.len() as u64) as usize].data.clone(),
    }
}

fn ids_of(r: &mut Random, ids: &mut Vec<SyncId>) {
    if ids.is_empty() {
        return;
    }
    let at = r.below(ids.len() as u64) as usize;
    match r.below(5) {
        0 => {
            ids.remove(at);
        }
        1 => ids.insert(at, ids[at]),
        2 => ids[at].hash.0[r.below(32) as usize] ^= 1 << r.below(8),
        3 => ids[at].timestamp = Timestamp(ids[at].timestamp.nanos() ^ (1 << r.below(40))),
        _ => ids.reverse(),
    }
}
