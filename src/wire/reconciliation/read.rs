//! Reading a payload, from whoever wrote it.

use super::write::{FINGERPRINT, ITEM_SET, SKIP};
use super::{MAX_RANGES, MAX_TOPICS, Payload, Range, RangeData, Scope};
use crate::error::{Error, Result, bail};
use crate::types::{ContentTopic, MessageHash, PubsubTopic, SyncId, Timestamp};
use crate::wire::varint;

/// The least that an element of an item set takes: one byte of timestamp, and the hash.
const MIN_ELEMENT: usize = 33;

pub(super) fn payload(bytes: &[u8]) -> Result<Payload> {
    payload_after(bytes, Reader::topics)
}

/// A payload whose header is read by `header`, which gives the sender's scope.
pub(super) fn payload_after<'a>(
    bytes: &'a [u8],
    header: impl FnOnce(&mut Reader<'a>) -> Result<Scope>,
) -> Result<Payload> {
    if matches!(bytes, [] | [0]) {
        return Ok(Payload::default());
    }
    let mut reader = Reader { rest: bytes };
    header(&mut reader)
        .and_then(|scope| reader.body(scope))
        .map_err(|e| e.context(format_args!("reconciliation payload of {} bytes", bytes.len())))
}

pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn body(&mut self, scope: Scope) -> Result<Payload> {
        // A header alone: all that it could say is "nothing".
        if self.rest.is_empty() {
            return Ok(Payload { scope, ..Payload::default() });
        }
        let lower = self.time(Timestamp(0))?;
        let mut previous = SyncId::floor(lower);
        let mut ranges = Vec::new();
        while !self.rest.is_empty() {
            if ranges.len() == MAX_RANGES {
                bail!(FrameTooLarge, "there are more than {MAX_RANGES} ranges");
            }
            let range = self
                .range(&previous)
                .map_err(|e| e.context(format_args!("range {}", ranges.len())))?;
            previous = range.upper;
            ranges.push(range);
        }
        Ok(Payload { scope, lower, ranges })
    }

    /// The header of the topics dialect.
    pub(super) fn topics(&mut self) -> Result<Scope> {
        Ok(Scope {
            pubsub_topics: self.topics_of(PubsubTopic::from_utf8)?,
            content_topics: self.topics_of(ContentTopic::from_utf8)?,
        })
    }

    fn topics_of<T>(&mut self, topic: impl Fn(&[u8]) -> Result<T>) -> Result<Vec<T>> {
        // A topic takes a byte of length and one of text at least.
        let count = self.count(MAX_TOPICS, 2, "topics")?;
        let mut topics = Vec::with_capacity(count);
        for _ in 0..count {
            let len = varint::read(&mut self.rest)?;
            topics.push(topic(self.take(usize::try_from(len).unwrap_or(usize::MAX))?)?);
        }
        Ok(topics)
    }

    fn range(&mut self, lower: &SyncId) -> Result<Range> {
        let mut upper = SyncId::floor(self.time(lower.timestamp)?);
        if upper.timestamp == lower.timestamp {
            let told = usize::from(self.byte()?);
            if told == 0 || told > upper.hash.0.len() {
                bail!(Malformed, "a bound's hash has 1 to 32 bytes, this one {told}");
            }
            upper.hash.0[..told].copy_from_slice(self.take(told)?);
            if upper < *lower {
                bail!(Malformed, "the upper bound is below the lower one");
            }
        }
        let data = match self.byte()? {
            SKIP => RangeData::Skip,
            FINGERPRINT => RangeData::Fingerprint(self.hash()?),
            ITEM_SET => self.item_set(lower.timestamp, upper.timestamp)?,
            other => bail!(Malformed, "{other} is no kind of range"),
        };
        Ok(Range { upper, data })
    }

    fn item_set(&mut self, first: Timestamp, last: Timestamp) -> Result<RangeData> {
        let count = self.count(usize::MAX, MIN_ELEMENT, "ids")?;
        let mut ids: Vec<SyncId> = Vec::with_capacity(count);
        let mut time = Timestamp(0);
        for _ in 0..count {
            time = self.time(time)?;
            let id = SyncId::new(time, self.hash()?);
            if time < first || time > last {
                bail!(Malformed, "the id at {time} is outside of its range, {first} to {last}");
            }
            if ids.last().is_some_and(|previous| *previous >= id) {
                bail!(Malformed, "the ids at {time} are not in order");
            }
            ids.push(id);
        }
        let reconciled = match self.byte()? {
            0 => false,
            1 => true,
            other => bail!(Malformed, "reconciled is 0 or 1, not {other}"),
        };
        Ok(RangeData::ItemSet { ids, reconciled })
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        varint::read(&mut self.rest)
    }

    /// A count, which is not believed beyond what the rest of the bytes can hold.
    pub(super) fn count(&mut self, max: usize, min_size: usize, what: &str) -> Result<usize> {
        let count = varint::read(&mut self.rest)?;
        match usize::try_from(count) {
            Ok(count) if count > max => {
                bail!(FrameTooLarge, "there are {count} {what}, at most {max} are allowed")
            }
            Ok(count) if count <= self.rest.len() / min_size => Ok(count),
            _ => bail!(Truncated, "{count} {what} cannot be in {} bytes", self.rest.len()),
        }
    }

    /// A timestamp, as the difference from an earlier one.
    fn time(&mut self, from: Timestamp) -> Result<Timestamp> {
        let ahead = varint::read(&mut self.rest)?;
        let time = i64::try_from(ahead).ok().and_then(|ahead| from.nanos().checked_add(ahead));
        match time {
            Some(time) => Ok(Timestamp(time)),
            None => bail!(Malformed, "a timestamp does not fit 63 bits"),
        }
    }

    fn hash(&mut self) -> Result<MessageHash> {
        MessageHash::from_slice(self.take(32)?)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.ended(len)),
        }
    }

    fn ended(&self, len: usize) -> Error {
        Error::new(
            crate::ErrorKind::Truncated,
            format!("{len} more bytes are announced, {} are there", self.rest.len()),
        )
    }
}
