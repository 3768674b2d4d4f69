//! Walks over the indexes: keys between two bounds, in order, from one source or merged from many.
//!
//! Every index holds `(timestamp, hash)` behind what selects its source, so that a walk begins at
//! its bound and never reads what lies before; merged walks read their sources in small steps.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};

use rusqlite::{Connection, Row};

use super::error::{corrupt, sql};
use crate::error::{Error, Result};
use crate::types::{Direction, MessageHash, SyncId, TimeRange, Timestamp};

/// More sources than this are not merged: the index by time is read and filtered. Beginning on a
/// source costs some microseconds, reading past a million keys that do not match some hundred
/// milliseconds. A content topic is mostly in one pubsub topic, as autosharding has it, so that
/// the hundred of a query are far below this.
const MAX_SOURCES: usize = 4_096;
/// Keys that are read in one step of a filtered walk.
const FILTER_STEP: usize = 1_024;
const READING: &str = "reading the archive";

/// A place before, at or after ids. As a blob a longer hash sorts behind its prefix: no bytes are
/// below every hash, and a 33rd byte is just above one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bound {
    time: i64,
    bytes: [u8; 33],
    len: usize,
}

impl Bound {
    fn floor(time: Timestamp) -> Self {
        Bound { time: time.nanos(), bytes: [0; 33], len: 0 }
    }

    fn at(id: SyncId) -> Self {
        let mut bytes = [0; 33];
        bytes[..32].copy_from_slice(id.hash.as_bytes());
        Bound { time: id.timestamp.nanos(), bytes, len: 32 }
    }

    fn after(id: SyncId) -> Self {
        Bound { len: 33, ..Bound::at(id) }
    }

    fn hash(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.hash()).cmp(&(other.time, other.hash()))
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What is walked over: from `lower`, which is in it, to `upper`, which is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    lower: Bound,
    upper: Bound,
    direction: Direction,
}

impl Span {
    /// A time range, cut at a cursor, which is not in it itself.
    pub(super) fn new(time: &TimeRange, cursor: Option<SyncId>, direction: Direction) -> Self {
        let mut span =
            Span { lower: Bound::floor(time.start()), upper: Bound::floor(time.end()), direction };
        if let Some(cursor) = cursor {
            span.go_on(cursor);
        }
        span
    }

    /// Leaves out what is walked over by the time that `id` is met, `id` included.
    fn go_on(&mut self, id: SyncId) {
        match self.direction {
            Direction::Forward => self.lower = self.lower.max(Bound::after(id)),
            Direction::Backward => self.upper = self.upper.min(Bound::at(id)),
        }
    }

    /// Whether a walk that meets `id` has come to its end.
    fn is_passed_by(&self, id: SyncId) -> bool {
        match self.direction {
            Direction::Forward => Bound::at(id) >= self.upper,
            Direction::Backward => Bound::at(id) < self.lower,
        }
    }

    /// Whether `id` lies in it.
    pub(super) fn contains(&self, id: SyncId) -> bool {
        (self.lower..self.upper).contains(&Bound::at(id))
    }
}

/// One index, or one part of it, that is in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// All messages.
    Time,
    /// Those of a pubsub topic.
    Pubsub(i64),
    /// Those of a channel.
    Channel(i64),
}

/// Which messages.
pub(super) enum Sources {
    /// Those of all of these together; no message is in two.
    Of(Vec<Source>),
    /// Those of any of these channels, which are many.
    Filtered(HashSet<i64>),
}

impl Sources {
    /// The messages of these channels.
    pub(super) fn channels(ids: impl IntoIterator<Item = i64>) -> Self {
        // A set, as a topic may be named twice.
        let ids: HashSet<i64> = ids.into_iter().collect();
        if ids.len() > MAX_SOURCES {
            return Sources::Filtered(ids);
        }
        Sources::Of(ids.into_iter().map(Source::Channel).collect())
    }
}

/// What every index knows of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) id: SyncId,
    pub(super) channel: i64,
    pub(super) row: i64,
}

impl Key {
    /// From the columns `timestamp, hash, channel, id`.
    pub(super) fn read(row: &Row<'_>) -> Result<Key> {
        let fail = sql(READING);
        Ok(Key {
            id: sync_id(row)?,
            channel: row.get(2).map_err(&fail)?,
            row: row.get(3).map_err(&fail)?,
        })
    }
}

/// From the columns `timestamp, hash`, wherever they are the first two.
#[inline]
pub(super) fn sync_id(row: &Row<'_>) -> Result<SyncId> {
    let fail = sql(READING);
    let time = row.get(0).map_err(&fail)?;
    let hash = row.get_ref(1).map_err(&fail)?;
    let hash = hash.as_blob().map_err(|e| corrupt(format!("a message hash: {e}")))?;
    let hash = MessageHash::from_slice(hash).map_err(|e| corrupt(e.message()))?;
    Ok(SyncId::new(Timestamp(time), hash))
}

/// A walk's statements: `"from"` begins at a time and goes on without end; `"within"` is what is left
/// of the one time in which a walk begins. (Of a bound such as `(timestamp, hash) >= (?, ?)` SQLite
/// checks both parts again at each row, and an upper bound too: so a walk ends by itself.)
macro_rules! scan_sql {
    ($columns:literal, $part:tt, $source:expr, $direction:expr) => {
        match ($source, $direction) {
            (Source::Time, Direction::Forward) => scan_sql!(@ $columns, $part, "time", ""),
            (Source::Time, Direction::Backward) => scan_sql!(@ desc $columns, $part, "time", ""),
            (Source::Pubsub(_), Direction::Forward) =>
                scan_sql!(@ $columns, $part, "pubsub", "pubsub = ?3 AND "),
            (Source::Pubsub(_), Direction::Backward) =>
                scan_sql!(@ desc $columns, $part, "pubsub", "pubsub = ?3 AND "),
            (Source::Channel(_), Direction::Forward) =>
                scan_sql!(@ $columns, $part, "channel", "channel = ?3 AND "),
            (Source::Channel(_), Direction::Backward) =>
                scan_sql!(@ desc $columns, $part, "channel", "channel = ?3 AND "),
        }
    };
    (@ $columns:literal, from, $index:literal, $of:literal) =>
        { scan_sql!(@@ $columns, $index, $of, "timestamp >= ?1 ORDER BY timestamp, hash") };
    (@ $columns:literal, within, $index:literal, $of:literal) =>
        { scan_sql!(@@ $columns, $index, $of, "timestamp = ?1 AND hash >= ?2 ORDER BY hash") };
    (@ desc $columns:literal, from, $index:literal, $of:literal) =>
        { scan_sql!(@@ $columns, $index, $of, "timestamp < ?1 ORDER BY timestamp DESC, hash DESC") };
    (@ desc $columns:literal, within, $index:literal, $of:literal) =>
        { scan_sql!(@@ $columns, $index, $of, "timestamp = ?1 AND hash < ?2 ORDER BY hash DESC") };
    (@@ $columns:literal, $index:literal, $of:literal, $bound:literal) => {
        concat!(
            "SELECT timestamp, hash, channel, id", $columns, " FROM message INDEXED BY message_by_",
            $index, " WHERE ", $of, $bound
        )
    };
}

/// Walks over one source and gives each row to `each`: the four columns of a [`Key`] and, with
/// `whole`, those of [`super::page::message`] behind them.
pub(super) fn walk(
    conn: &Connection,
    source: Source,
    span: &Span,
    limit: usize,
    whole: bool,
    mut each: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let (begin, forward) = match span.direction {
        Direction::Forward => (span.lower, true),
        Direction::Backward => (span.upper, false),
    };
    let mut state = Walk { span, left: limit, last: None };
    let mut time = begin.time;
    if begin.len > 0 {
        let text = match whole {
            true => scan_sql!(
                ", version, ephemeral, meta, rate_limit_proof, payload",
                within,
                source,
                span.direction
            ),
            false => scan_sql!("", within, source, span.direction),
        };
        if !state.read(conn, text, source, (time, Some(begin.hash())), &mut each)? {
            return Ok(());
        }
        match (forward, time.checked_add(1)) {
            (false, _) => {}
            (true, Some(next)) => time = next,
            (true, None) => return Ok(()),
        }
    }
    let text = match whole {
        true => scan_sql!(
            ", version, ephemeral, meta, rate_limit_proof, payload",
            from,
            source,
            span.direction
        ),
        false => scan_sql!("", from, source, span.direction),
    };
    state.read(conn, text, source, (time, None), &mut each).map(drop)
}

struct Walk<'a> {
    span: &'a Span,
    left: usize,
    last: Option<SyncId>,
}

impl Walk<'_> {
    /// The rows of one statement. Whether the walk goes on after them.
    fn read(
        &mut self,
        conn: &Connection,
        text: &str,
        source: Source,
        (time, hash): (i64, Option<&[u8]>),
        each: &mut impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<bool> {
        let fail = sql(READING);
        let mut statement = conn.prepare_cached(text).map_err(&fail)?;
        let mut bind = || -> rusqlite::Result<()> {
            statement.raw_bind_parameter(1, time)?;
            if let Some(hash) = hash {
                statement.raw_bind_parameter(2, hash)?;
            }
            match source {
                Source::Time => Ok(()),
                Source::Pubsub(id) | Source::Channel(id) => statement.raw_bind_parameter(3, id),
            }
        };
        bind().map_err(&fail)?;
        let mut rows = statement.raw_query();
        while self.left > 0 {
            let Some(row) = rows.next().map_err(&fail)? else { return Ok(true) };
            let id = sync_id(row)?;
            if self.span.is_passed_by(id) {
                return Ok(false);
            }
            check_order(self.span, self.last, id)?;
            self.last = Some(id);
            self.left -= 1;
            each(row)?;
        }
        Ok(false)
    }
}

/// In a damaged index keys may be anywhere, and whoever goes on from the last of them could go round
/// for ever.
fn check_order(span: &Span, last: Option<SyncId>, id: SyncId) -> Result<()> {
    let in_order = match (last, span.direction) {
        (None, _) => span.contains(id),
        (Some(last), Direction::Forward) => last < id,
        (Some(last), Direction::Backward) => id < last,
    };
    if in_order { Ok(()) } else { Err(out_of_order(id)) }
}

pub(super) fn out_of_order(id: SyncId) -> Error {
    corrupt(format!("message {} is out of order in an index", id.hash))
}

/// The first `limit` keys of these sources, in the order of the walk.
pub(super) fn keys(
    conn: &Connection,
    sources: &Sources,
    span: Span,
    limit: usize,
) -> Result<Vec<Key>> {
    match sources {
        Sources::Of(sources) => match (sources.as_slice(), span.direction) {
            ([], _) => Ok(Vec::new()),
            ([source], _) => step(conn, *source, &span, limit),
            (sources, Direction::Forward) => merge(conn, sources, span, limit, Reverse),
            (sources, Direction::Backward) => merge(conn, sources, span, limit, |id| id),
        },
        Sources::Filtered(channels) => filter(conn, channels, span, limit),
    }
}

fn step(conn: &Connection, source: Source, span: &Span, limit: usize) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    walk(conn, source, span, limit, false, |row| {
        keys.push(Key::read(row)?);
        Ok(())
    })?;
    Ok(keys)
}

fn filter(
    conn: &Connection,
    channels: &HashSet<i64>,
    mut span: Span,
    limit: usize,
) -> Result<Vec<Key>> {
    let mut found = Vec::new();
    loop {
        let keys = step(conn, Source::Time, &span, FILTER_STEP)?;
        let wanted = keys.iter().filter(|key| channels.contains(&key.channel));
        found.extend(wanted.take(limit - found.len()));
        match keys.last() {
            Some(last) if keys.len() == FILTER_STEP && found.len() < limit => span.go_on(last.id),
            _ => return Ok(found),
        }
    }
}

/// A source that is read a step at a time, each twice as long as the one before.
struct Run {
    source: Source,
    span: Span,
    ahead: VecDeque<Key>,
    step: usize,
    ended: bool,
}

impl Run {
    fn next(&mut self, conn: &Connection, longest: usize) -> Result<Option<Key>> {
        if self.ahead.is_empty() && !self.ended {
            let keys = step(conn, self.source, &self.span, self.step)?;
            self.ended = keys.len() < self.step;
            if let Some(last) = keys.last() {
                self.span.go_on(last.id);
            }
            self.ahead = keys.into();
            self.step = (self.step * 2).min(longest);
        }
        Ok(self.ahead.pop_front())
    }
}

/// Merges the sources; `rank` is greatest for the id that comes first.
fn merge<R: Ord>(
    conn: &Connection,
    sources: &[Source],
    span: Span,
    limit: usize,
    rank: impl Fn(SyncId) -> R,
) -> Result<Vec<Key>> {
    let longest = limit.clamp(1, FILTER_STEP);
    // A fair share of what is wanted and a little more, as shares are seldom equal.
    let first = (limit / sources.len() + 2).min(longest);
    let run = |&source| Run { source, span, ahead: VecDeque::new(), step: first, ended: false };
    let mut runs: Vec<Run> = sources.iter().map(run).collect();
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for (i, run) in runs.iter_mut().enumerate() {
        if let Some(key) = run.next(conn, longest)? {
            heads.push((rank(key.id), i, Head(key)));
        }
    }
    let mut found = Vec::new();
    while found.len() < limit
        && let Some((_, i, Head(key))) = heads.pop()
    {
        // No message is in two sources.
        if found.last().is_some_and(|last: &Key| last.id == key.id) {
            return Err(out_of_order(key.id));
        }
        found.push(key);
        if let Some(key) = runs[i].next(conn, longest)? {
            heads.push((rank(key.id), i, Head(key)));
        }
    }
    Ok(found)
}

/// A key that takes no part in the order of the heap: rank and run decide it.
struct Head(Key);

impl PartialEq for Head {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Head {}
impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Head {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::archive::sqlite::open;

    /// What SQLite means to do, a line a step.
    fn plan(conn: &Connection, text: &str) -> Vec<String> {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let count = statement.parameter_count();
        for i in 1..=count {
            statement.raw_bind_parameter(i, 1).unwrap();
        }
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get(3).unwrap());
        }
        steps
    }

    #[test]
    fn every_walk_begins_at_its_bound_and_sorts_nothing() {
        let conn = open::in_memory();
        for source in [Source::Time, Source::Pubsub(1), Source::Channel(1)] {
            for direction in [Direction::Forward, Direction::Backward] {
                let (index, of) = match source {
                    Source::Time => ("time", ""),
                    Source::Pubsub(_) => ("pubsub", "pubsub=? AND "),
                    Source::Channel(_) => ("channel", "channel=? AND "),
                };
                let forward = direction == Direction::Forward;
                let sign = if forward { ">" } else { "<" };
                let from = format!("{of}timestamp{sign}?)");
                let within = format!("{of}timestamp=? AND hash{sign}?)");
                for (bounds, keys, whole) in [
                    (
                        from,
                        scan_sql!("", from, source, direction),
                        scan_sql!(", payload", from, source, direction),
                    ),
                    (
                        within,
                        scan_sql!("", within, source, direction),
                        scan_sql!(", payload", within, source, direction),
                    ),
                ] {
                    let want =
                        format!("SEARCH message USING COVERING INDEX message_by_{index} ({bounds}");
                    assert_eq!(plan(&conn, keys), [want]);
                    let want = format!("SEARCH message USING INDEX message_by_{index} ({bounds}");
                    assert_eq!(plan(&conn, whole), [want]);
                }
            }
        }
    }

    #[test]
    fn bounds_lie_between_hashes() {
        let id = |t, h: u8| SyncId::new(Timestamp(t), MessageHash([h; 32]));
        let zero = SyncId::new(Timestamp(5), MessageHash::ZERO);
        assert!(Bound::floor(Timestamp(5)) < Bound::at(zero), "even the zero hash");
        assert!(Bound::at(id(5, 7)) < Bound::after(id(5, 7)));
        assert!(Bound::after(id(5, 7)) < Bound::at(id(5, 8)));
        assert!(Bound::after(id(5, 0xff)) < Bound::floor(Timestamp(6)));
    }
}
