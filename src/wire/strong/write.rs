//! Writing a frame.

use super::{
    AGAIN, AGREE, CELLS, Cells, DIFFERS, DONE, Done, FOUND, Frame, HAVE, Key, Limits, MAX_CELLS,
    MAX_COUNTS, MAX_DETAIL, MAX_IDS, MAX_KEYS, MORE, Name, OPEN, Open, RANGES, REFUSE, REST,
    Reason, SENT, Unsent, VERSION, Verdict, mean,
};
use crate::types::{SyncId, Timestamp};
use crate::wire::reconciliation::Scope;
use crate::wire::varint;

pub(super) fn frame(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    match frame {
        Frame::Open(open) => self::open(open, &mut out),
        Frame::Refuse(refuse) => {
            out.push(REFUSE);
            out.push(match refuse.reason {
                Reason::Busy => 1,
                Reason::TooLarge => 2,
                Reason::OutOfScope => 3,
                Reason::Version => 4,
                Reason::Window => 5,
            });
            let mut end = refuse.detail.len().min(MAX_DETAIL);
            while !refuse.detail.is_char_boundary(end) {
                end -= 1;
            }
            bytes(&refuse.detail.as_bytes()[..end], &mut out);
        }
        Frame::Agree => out.push(AGREE),
        Frame::Differs(differs) => {
            out.push(DIFFERS);
            limits(&differs.limits, &mut out);
            out.push(u8::from(differs.rescoped.is_some()));
            if let Some((scope, digest)) = &differs.rescoped {
                self::scope(scope, &mut out);
                out.extend_from_slice(digest);
            }
            cells(&differs.cells, &mut out);
            let counts = &differs.counts[..differs.counts.len().min(MAX_COUNTS)];
            bytes(counts, &mut out);
        }
        Frame::Cells(cells) => {
            out.push(CELLS);
            self::cells(cells, &mut out);
        }
        Frame::More(to) => {
            out.push(MORE);
            varint::write(*to as u64, &mut out);
        }
        Frame::Found(found) => {
            out.push(FOUND);
            names(&found.lacks, &mut out);
            keys(&found.offers, &mut out);
        }
        Frame::Ranges(payload) => {
            out.push(RANGES);
            out.extend(payload.encode());
        }
        Frame::Rest(rest) => {
            out.push(REST);
            let rest = &rest[..rest.len().min(MAX_KEYS)];
            varint::write(rest.len() as u64, &mut out);
            out.extend(rest.iter().flatten());
        }
        Frame::Have(ids) => {
            out.push(HAVE);
            let ids = &ids[..ids.len().min(MAX_IDS)];
            varint::write(ids.len() as u64, &mut out);
            let mut last = Timestamp(0);
            for id in ids {
                self::id(&mut last, id, &mut out);
            }
        }
        Frame::Sent(sent) => {
            out.push(SENT);
            out.extend_from_slice(&sent.digest);
            varint::write(sent.count, &mut out);
            let unsent = &sent.unsent[..sent.unsent.len().min(MAX_IDS)];
            varint::write(unsent.len() as u64, &mut out);
            let mut last = Timestamp(0);
            for Unsent { id, gone } in unsent {
                self::id(&mut last, id, &mut out);
                out.push(u8::from(*gone));
            }
            varint::write(sent.beyond, &mut out);
        }
        Frame::Done(Done { verdict, unstored }) => {
            out.push(DONE);
            out.push(match verdict {
                Verdict::Unknown => 0,
                Verdict::Equal => 1,
                Verdict::Other => 2,
            });
            varint::write(*unstored, &mut out);
        }
        Frame::Again(salt) => {
            out.push(AGAIN);
            out.extend_from_slice(salt);
        }
    }
    out
}

fn open(open: &Open, out: &mut Vec<u8>) {
    out.push(OPEN);
    varint::write(VERSION, out);
    let flags = [open.takes, open.gives, open.dry_run];
    out.push(flags.iter().enumerate().map(|(at, set)| u8::from(*set) << at).sum());
    limits(&open.limits, out);
    let (start, end) = (open.window.start(), open.window.end());
    varint::write(ahead(Timestamp(0), start), out);
    varint::write(ahead(start, end), out);
    scope(&open.scope, out);
    varint::write(open.count, out);
    out.extend_from_slice(&open.digest);
}

fn limits(limits: &Limits, out: &mut Vec<u8>) {
    varint::write(limits.max_frame as u64, out);
    varint::write(limits.max_cells as u64, out);
}

fn scope(scope: &Scope, out: &mut Vec<u8>) {
    varint::write(scope.pubsub_topics.len() as u64, out);
    scope.pubsub_topics.iter().for_each(|topic| bytes(topic.as_bytes(), out));
    varint::write(scope.content_topics.len() as u64, out);
    scope.content_topics.iter().for_each(|topic| bytes(topic.as_bytes(), out));
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    varint::write(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn cells(Cells { total, from, cells }: &Cells, out: &mut Vec<u8>) {
    let cells = &cells[..cells.len().min(MAX_CELLS.saturating_sub(*from))];
    out.reserve(20 * cells.len());
    varint::write(*total, out);
    varint::write(*from as u64, out);
    varint::write(cells.len() as u64, out);
    for (at, cell) in cells.iter().enumerate() {
        out.extend_from_slice(&cell.key);
        out.extend_from_slice(&cell.check.to_le_bytes());
        let off = cell.count.wrapping_sub(mean(*total, from + at));
        varint::write(((off << 1) ^ (off >> 63)) as u64, out);
    }
}

fn keys(keys: &[Key], out: &mut Vec<u8>) {
    let keys = &keys[..keys.len().min(MAX_KEYS)];
    varint::write(keys.len() as u64, out);
    let mut last = 0;
    for key in keys {
        let time = time_of(key);
        varint::write(time.saturating_sub(last), out);
        out.extend_from_slice(&key[6..]);
        last = time;
    }
}

/// Behind the time, which is doubled, one bit says whether a prefix follows.
fn names(names: &[Name], out: &mut Vec<u8>) {
    let names = &names[..names.len().min(MAX_KEYS)];
    varint::write(names.len() as u64, out);
    let mut last = 0;
    for Name { time, prefix } in names {
        let ahead = time.saturating_sub(last).min(u64::MAX >> 1);
        varint::write(ahead << 1 | u64::from(prefix.is_some()), out);
        out.extend(prefix.iter().flatten());
        last = *time;
    }
}

/// The first six bytes of a key as a number.
pub(super) fn time_of(key: &Key) -> u64 {
    key[..6].iter().fold(0, |time, byte| time << 8 | u64::from(*byte))
}

fn id(last: &mut Timestamp, id: &SyncId, out: &mut Vec<u8>) {
    varint::write(ahead(*last, id.timestamp), out);
    out.extend_from_slice(id.hash.as_bytes());
    *last = id.timestamp;
}

fn ahead(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.nanos().saturating_sub(from.nanos())).unwrap_or(0)
}
