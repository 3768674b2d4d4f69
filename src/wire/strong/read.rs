//! Reading a frame, from whoever wrote it.

use super::write::time_of;
use super::{
    AGAIN, AGREE, CELLS, Cell, Cells, DIFFERS, DONE, Differs, Done, FOUND, Found, Frame, HAVE, Key,
    Limits, MAX_CELLS, MAX_COUNTS, MAX_DETAIL, MAX_IDS, MAX_KEYS, MIN_MAX_FRAME, MORE, Name, OPEN,
    Open, RANGES, REFUSE, REST, Reason, Refuse, SENT, Sent, Unsent, VERSION, Verdict, mean,
};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{ContentTopic, MessageHash, PubsubTopic, SyncId, TimeRange, Timestamp};
use crate::wire::reconciliation::{MAX_TOPICS, Payload, Scope};
use crate::wire::varint;

/// The least that a cell takes: key, check, and a byte of count.
const MIN_CELL: usize = 17;
/// The least that a key takes: a byte of time, and six of hash.
const MIN_KEY: usize = 7;
/// The least that an id takes.
const MIN_ID: usize = 33;

pub(super) fn frame(bytes: &[u8]) -> Result<Frame> {
    let mut reader = Reader { rest: bytes };
    let frame = reader.frame().and_then(|frame| {
        let left = reader.rest.len();
        if left > 0 {
            bail!(Malformed, "{left} bytes follow the last field");
        }
        Ok(frame)
    });
    frame.map_err(|e| e.context(format_args!("sync frame of {} bytes", bytes.len())))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn frame(&mut self) -> Result<Frame> {
        Ok(match self.byte()? {
            OPEN => Frame::Open(self.open()?),
            REFUSE => Frame::Refuse(self.refuse()?),
            AGREE => Frame::Agree,
            DIFFERS => Frame::Differs(self.differs()?),
            CELLS => Frame::Cells(self.cells()?),
            MORE => Frame::More(self.number(MAX_CELLS, "cells")?),
            FOUND => Frame::Found(Found { lacks: self.names()?, offers: self.keys()? }),
            RANGES => Frame::Ranges(Payload::decode(std::mem::take(&mut self.rest))?),
            REST => {
                let count = self.count(MAX_KEYS, 26, "ends of hashes")?;
                let ends = self.take(count * 26)?.as_chunks().0;
                Frame::Rest(ends.to_vec())
            }
            HAVE => Frame::Have(self.have()?),
            SENT => Frame::Sent(self.sent()?),
            DONE => {
                let verdict = match self.byte()? {
                    0 => Verdict::Unknown,
                    1 => Verdict::Equal,
                    2 => Verdict::Other,
                    other => bail!(Malformed, "{other} is no verdict"),
                };
                Frame::Done(Done { verdict, unstored: self.varint()? })
            }
            AGAIN => Frame::Again(self.array()?),
            other => bail!(Malformed, "{other} is no type of frame"),
        })
    }

    fn open(&mut self) -> Result<Open> {
        let version = self.varint()?;
        if version != VERSION {
            // Nothing behind it can be read.
            self.rest = &[];
            bail!(ProtocolUnsupported, "version {version} of the protocol is not known");
        }
        let flags = self.byte()?;
        if flags & !7 != 0 {
            bail!(Malformed, "{flags:#b} has flags that are not known");
        }
        let limits = self.limits()?;
        let start = self.time(Timestamp(0))?;
        let end = self.time(start)?;
        Ok(Open {
            limits,
            takes: flags & 1 != 0,
            gives: flags & 2 != 0,
            dry_run: flags & 4 != 0,
            window: TimeRange::new(start, end)?,
            scope: self.scope()?,
            count: self.varint()?,
            digest: self.array()?,
        })
    }

    fn refuse(&mut self) -> Result<Refuse> {
        let reason = match self.byte()? {
            1 => Reason::Busy,
            2 => Reason::TooLarge,
            3 => Reason::OutOfScope,
            4 => Reason::Version,
            5 => Reason::Window,
            other => bail!(Malformed, "{other} is no reason to refuse"),
        };
        let len = self.count(MAX_DETAIL, 1, "bytes of text")?;
        let detail = String::from_utf8_lossy(self.take(len)?).into_owned();
        Ok(Refuse { reason, detail })
    }

    fn differs(&mut self) -> Result<Differs> {
        let limits = self.limits()?;
        let rescoped = match self.flag()? {
            true => Some((self.scope()?, self.array()?)),
            false => None,
        };
        let cells = self.cells()?;
        let counts = self.count(MAX_COUNTS, 1, "counts")?;
        Ok(Differs { limits, rescoped, cells, counts: self.take(counts)?.to_vec() })
    }

    fn sent(&mut self) -> Result<Sent> {
        let digest = self.array()?;
        let count = self.varint()?;
        let many = self.count(MAX_IDS, MIN_ID + 1, "ids")?;
        let mut unsent: Vec<Unsent> = Vec::with_capacity(many);
        for _ in 0..many {
            let id = self.id(unsent.last().map(|last| &last.id))?;
            unsent.push(Unsent { id, gone: self.flag()? });
        }
        Ok(Sent { digest, count, unsent, beyond: self.varint()? })
    }

    fn have(&mut self) -> Result<Vec<SyncId>> {
        let count = self.count(MAX_IDS, MIN_ID, "ids")?;
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            ids.push(self.id(ids.last())?);
        }
        Ok(ids)
    }

    fn limits(&mut self) -> Result<Limits> {
        let max_frame = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let max_cells = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if max_frame < MIN_MAX_FRAME {
            bail!(Malformed, "{max_frame} bytes a frame are fewer than every node takes");
        }
        Ok(Limits { max_frame, max_cells })
    }

    fn scope(&mut self) -> Result<Scope> {
        Ok(Scope {
            pubsub_topics: self.topics(PubsubTopic::from_utf8)?,
            content_topics: self.topics(ContentTopic::from_utf8)?,
        })
    }

    fn topics<T>(&mut self, topic: impl Fn(&[u8]) -> Result<T>) -> Result<Vec<T>> {
        // A byte of length and one of text at least.
        let count = self.count(MAX_TOPICS, 2, "topics")?;
        let mut topics = Vec::with_capacity(count);
        for _ in 0..count {
            let len = self.varint()?;
            topics.push(topic(self.take(usize::try_from(len).unwrap_or(usize::MAX))?)?);
        }
        Ok(topics)
    }

    fn cells(&mut self) -> Result<Cells> {
        let total = self.varint()?;
        let from = self.number(MAX_CELLS, "cells")?;
        let count = self.count(MAX_CELLS - from, MIN_CELL, "cells")?;
        let mut cells = Vec::with_capacity(count);
        for at in from..from + count {
            let key = self.array()?;
            let check = u32::from_le_bytes(self.array()?);
            let off = self.varint()?;
            let off = (off >> 1) as i64 ^ -((off & 1) as i64);
            cells.push(Cell { key, check, count: mean(total, at).wrapping_add(off) });
        }
        Ok(Cells { total, from, cells })
    }

    fn keys(&mut self) -> Result<Vec<Key>> {
        let count = self.count(MAX_KEYS, MIN_KEY, "keys")?;
        let mut keys: Vec<Key> = Vec::with_capacity(count);
        for _ in 0..count {
            let last = keys.last().map_or(0, time_of);
            let time = self.varint()?.checked_add(last).filter(|time| time >> 48 == 0);
            let Some(time) = time else { bail!(Malformed, "the time of a key has 48 bits") };
            let mut key = [0; 12];
            key[..6].copy_from_slice(&time.to_be_bytes()[2..]);
            key[6..].copy_from_slice(self.take(6)?);
            if keys.last().is_some_and(|last| *last >= key) {
                bail!(Malformed, "the keys are not in order");
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn names(&mut self) -> Result<Vec<Name>> {
        let count = self.count(MAX_KEYS, 1, "names")?;
        let mut names: Vec<Name> = Vec::with_capacity(count);
        for _ in 0..count {
            let ahead = self.varint()?;
            let last = names.last().map_or(0, |last| last.time);
            let Some(time) = (ahead >> 1).checked_add(last).filter(|time| time >> 48 == 0) else {
                bail!(Malformed, "the time of a name has 48 bits");
            };
            let prefix = if ahead & 1 == 1 { Some(self.array()?) } else { None };
            let name = Name { time, prefix };
            if names.last().is_some_and(|last| *last >= name) {
                bail!(Malformed, "the names are not in order");
            }
            names.push(name);
        }
        Ok(names)
    }

    fn id(&mut self, last: Option<&SyncId>) -> Result<SyncId> {
        let time = self.time(last.map_or(Timestamp(0), |last| last.timestamp))?;
        let id = SyncId::new(time, MessageHash::from_slice(self.take(32)?)?);
        if last.is_some_and(|last| *last >= id) {
            bail!(Malformed, "the ids at {time} are not in order");
        }
        Ok(id)
    }

    /// A timestamp, as the difference from an earlier one.
    fn time(&mut self, from: Timestamp) -> Result<Timestamp> {
        let ahead = i64::try_from(self.varint()?).ok();
        match ahead.and_then(|ahead| from.nanos().checked_add(ahead)) {
            Some(time) => Ok(Timestamp(time)),
            None => bail!(Malformed, "a timestamp does not fit 63 bits"),
        }
    }

    /// A count, which is not believed beyond what the rest of the bytes can hold.
    fn count(&mut self, max: usize, min_size: usize, what: &str) -> Result<usize> {
        let count = self.number(max, what)?;
        if count > self.rest.len() / min_size {
            bail!(Truncated, "{count} {what} cannot be in {} bytes", self.rest.len());
        }
        Ok(count)
    }

    fn number(&mut self, max: usize, what: &str) -> Result<usize> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) if count <= max => Ok(count),
            _ => bail!(FrameTooLarge, "{count} {what} are more than the {max} that are allowed"),
        }
    }

    fn varint(&mut self) -> Result<u64> {
        varint::read(&mut self.rest)
    }

    fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => bail!(Malformed, "a flag is 0 or 1, not {other}"),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => {
                let what = format!("{len} more bytes are needed, {} are there", self.rest.len());
                Err(Error::new(ErrorKind::Truncated, what))
            }
        }
    }
}
