//! Walks over the partitions: keys between two bounds, in order, from one source or many.
//!
//! What must hold: a walk begins at its bound and never reads what lies before it or what does not
//! match. So the statements leave the planner one way only: sequential and bitmap scans and sorts
//! are switched off, and a question for a channel or a pubsub topic orders by that first, which only
//! its own index does. And what a statement gives is of the partitions that it was asked of: each
//! tells, of its own snapshot, whether the list of them is still the one that we know.

use std::collections::HashMap;

use postgres::Row;

use super::driver::Core;
use super::error::{Outcome, corrupt, sql};
use super::lattice::{Cell, table};
use super::layout::Layout;
use super::schema::{self, PREFIX};
use super::session::{Session, Value};
use super::span::Span;
use super::topics;
use crate::types::{ContentTopic, Direction, MessageHash, PubsubTopic, SyncId, Timestamp};

pub(super) const READING: &str = "reading the archive";
/// More sources than this are not merged: the walk is by time, and what does not match left out.
const MAX_MERGED: usize = 256;
/// What every walk reads of a message; [`Key::read`] takes it from there.
pub(super) const KEY: &str = "timestamp, hash, channel";
/// What [`super::page::message`] reads behind a key.
pub(super) const WHOLE: &str =
    "timestamp, hash, channel, version, ephemeral, meta, rate_limit_proof, payload";

/// Which messages.
pub(super) enum Source {
    /// All.
    Time,
    /// Those with one of these numbers, each named once, in this column.
    Of(&'static str, Vec<i32>),
}

/// What every index knows of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) id: SyncId,
    pub(super) channel: i32,
    pub(super) cell: Cell,
}

impl Key {
    /// From the columns of [`KEY`], of a partition.
    pub(super) fn read(row: &Row, cell: Cell) -> Outcome<Key> {
        let fail = sql(READING);
        Ok(Key { id: sync_id(row, 0)?, channel: row.try_get(2).map_err(&fail)?, cell })
    }
}

/// From a column of timestamps and the one of hashes behind it.
pub(super) fn sync_id(row: &Row, column: usize) -> Outcome<SyncId> {
    let fail = sql(READING);
    let time = row.try_get(column).map_err(&fail)?;
    let hash = row.try_get::<_, &[u8]>(column + 1).map_err(&fail)?;
    let hash = MessageHash::from_slice(hash).map_err(|e| corrupt(e.message()))?;
    Ok(SyncId::new(Timestamp(time), hash))
}

/// Where the messages of a filter are; none where the database knows none of its topics.
pub(super) fn source(
    session: &mut Session,
    pubsub_topics: &[PubsubTopic],
    content_topics: &[ContentTopic],
) -> Outcome<Source> {
    let pubsubs = match pubsub_topics {
        [] => None,
        topics => Some(topics::pubsub_ids(session, topics)?),
    };
    if content_topics.is_empty() {
        return Ok(pubsubs.map_or(Source::Time, |ids| Source::Of("pubsub", ids)));
    }
    let mut channels = topics::channels_of(session, content_topics)?;
    if let Some(pubsubs) = pubsubs {
        channels.retain(|channel| pubsubs.contains(&channel.pubsub));
    }
    Ok(Source::Of("channel", channels.into_iter().map(|channel| channel.id).collect()))
}

/// Whether one statement for a partition gives a source's rows whole; else keys are read first.
pub(super) fn is_single(source: &Source) -> bool {
    match source {
        Source::Time => true,
        Source::Of(_, ids) => ids.len() <= 1,
    }
}

/// The first rows of a single source in the order of the walk, as [`WHOLE`]: in these partitions.
pub(super) fn whole(
    session: &mut Session,
    core: &Core,
    cells: &[Cell],
    source: &Source,
    span: &Span,
    limit: usize,
) -> Outcome<Vec<Row>> {
    let (mut rows, mut told) = (Vec::new(), false);
    for &cell in cells {
        let found = step(session, core, cell, source, span, limit - rows.len(), WHOLE)?;
        told = !found.is_empty();
        rows.extend(found);
        if rows.len() >= limit {
            break;
        }
    }
    if !told {
        core.layout.confirm(session)?;
    }
    Ok(rows)
}

/// As [`whole`], the first keys of any source.
pub(super) fn keys(
    session: &mut Session,
    core: &Core,
    cells: &[Cell],
    source: &Source,
    span: &Span,
    limit: usize,
) -> Outcome<Vec<Key>> {
    if matches!(source, Source::Of(_, ids) if ids.is_empty()) {
        return Ok(Vec::new());
    }
    let (mut keys, mut told) = (Vec::new(), false);
    for &cell in cells {
        let found = keys_in(session, core, cell, source, span, limit - keys.len())?;
        told = !found.is_empty();
        keys.extend(found);
        if keys.len() >= limit {
            break;
        }
    }
    if !told {
        core.layout.confirm(session)?;
    }
    Ok(keys)
}

/// As [`keys`], of one partition.
pub(super) fn keys_in(
    session: &mut Session,
    core: &Core,
    cell: Cell,
    source: &Source,
    span: &Span,
    limit: usize,
) -> Outcome<Vec<Key>> {
    match source {
        Source::Of(column, ids) if (2..=MAX_MERGED).contains(&ids.len()) => {
            merged(session, core, cell, column, ids, span, limit)
        }
        _ => {
            let rows = step(session, core, cell, source, span, limit, KEY)?;
            rows.iter().map(|row| Key::read(row, cell)).collect()
        }
    }
}

/// Of one partition, in the order of the walk.
fn step(
    session: &mut Session,
    core: &Core,
    cell: Cell,
    source: &Source,
    span: &Span,
    limit: usize,
    columns: &str,
) -> Outcome<Vec<Row>> {
    let (text, ids) = match source {
        Source::Time => (Text::Time, None),
        Source::Of(column, ids) if ids.len() <= 1 => (Text::Each(column), Some(ids)),
        Source::Of(column, ids) => (Text::Any(column), Some(ids)),
    };
    ask(session, core, cell, text, ids, span, limit, columns)
}

/// Of one partition, keys of several sources in the order of the walk. Each source is asked for
/// its fair share; where that was not enough to tell which come first, for more.
fn merged(
    session: &mut Session,
    core: &Core,
    cell: Cell,
    column: &'static str,
    ids: &Vec<i32>,
    span: &Span,
    limit: usize,
) -> Outcome<Vec<Key>> {
    let mut share = (limit / ids.len() + 8).min(limit);
    loop {
        let columns = format!("{KEY}, {column} AS source");
        let rows = ask(session, core, cell, Text::Each(column), Some(ids), span, share, &columns)?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            keys.push((Key::read(row, cell)?, row.try_get(3).map_err(sql(READING))?));
        }
        span.sort(&mut keys, |(key, _): &(Key, i32)| key.id);
        // Behind the last key of a source that may have more, nothing is sure.
        let mut seen: HashMap<i32, usize> = HashMap::new();
        let mut sure = keys.len();
        if share < limit {
            for (place, (_, source)) in keys.iter().enumerate() {
                let count = seen.entry(*source).or_default();
                *count += 1;
                if *count == share {
                    sure = place + 1;
                    break;
                }
            }
        }
        if sure >= limit || sure == keys.len() && !seen.values().any(|count| *count == share) {
            keys.truncate(limit.min(sure));
            return Ok(keys.into_iter().map(|(key, _)| key).collect());
        }
        share = share.saturating_mul(4).min(limit);
    }
}

/// How a statement finds its rows.
#[derive(Clone, Copy)]
enum Text {
    /// By time alone.
    Time,
    /// Those of each number in a column, so many of each.
    Each(&'static str),
    /// By time, those with any of many numbers in a column.
    Any(&'static str),
}

#[allow(clippy::too_many_arguments)]
fn ask(
    session: &mut Session,
    core: &Core,
    cell: Cell,
    text: Text,
    ids: Option<&Vec<i32>>,
    span: &Span,
    limit: usize,
    columns: &str,
) -> Outcome<Vec<Row>> {
    let walk = Walk { cell, text, direction: span.direction, columns };
    let told = format!(", {}", Layout::unchanged("$6"));
    let text = walk.text(["$1::int8", "$2::bytea", "$3::int8", "$4::bytea"], "$7", &told);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (lower, upper, layout) = (&span.lower, &span.upper, core.layout.number());
    let mut values: Vec<Value<'_>> =
        vec![&lower.time, &lower.hash, &upper.time, &upper.hash, &limit, &layout];
    if let Some(ids) = &ids {
        values.push(ids);
    }
    rows(session.query(READING, &text, &values)?)
}

/// The rows of a walk, at the end of each of which stands whether the list of partitions is still the
/// same.
fn rows(rows: Vec<Row>) -> Outcome<Vec<Row>> {
    let Some(first) = rows.first() else { return Ok(rows) };
    match first.try_get::<_, Option<bool>>(first.len() - 1).map_err(sql(READING))? {
        Some(true) => Ok(rows),
        _ => Err(Layout::changed()),
    }
}

/// A walk in one partition between two bounds, with at most `$5` rows (of each source).
struct Walk<'a> {
    cell: Cell,
    text: Text,
    direction: Direction,
    columns: &'a str,
}

impl Walk<'_> {
    /// The query, of the four expressions of its bounds (as of a [`Span`]), that of the numbers that
    /// it is for, and what else it is to tell in each row.
    fn text(&self, [from, from_hash, to, to_hash]: [&str; 4], ids: &str, more: &str) -> String {
        let (columns, table) = (self.columns, table(self.cell));
        let order = match self.direction {
            Direction::Forward => "",
            Direction::Backward => " DESC",
        };
        let between = format!(
            "(timestamp, hash) >= ({from}, {from_hash}) AND (timestamp, hash) < ({to}, {to_hash})"
        );
        let by_time = format!("ORDER BY timestamp{order}, hash{order} LIMIT $5::int8");
        match self.text {
            Text::Time => format!("SELECT {columns}{more} FROM {table} WHERE {between} {by_time}"),
            // Its index has the beginning of the hash, with which the walk begins and ends too.
            Text::Each(column) => {
                let key = schema::key(column, "timestamp", "hash");
                format!(
                    "SELECT m.*{more} FROM unnest({ids}::int4[]) AS k(id) CROSS JOIN LATERAL (
                         SELECT {columns} FROM {table}
                         WHERE {key} >= {} AND {key} <= {} AND {between}
                         ORDER BY {key}{order}, hash{order} LIMIT $5::int8) m",
                    schema::key("k.id", from, from_hash),
                    schema::key("k.id", to, to_hash),
                )
            }
            // A set that is hashed once: as a join it could be planned in another order.
            Text::Any(column) => format!(
                "SELECT {columns}{more} FROM {table} WHERE {between}
                     AND ({column} IN (SELECT k.id FROM unnest({ids}::int4[]) AS k(id))) IS TRUE
                 {by_time}"
            ),
        }
    }
}

/// A page behind a cursor that a partition may hold: where it lies, if it is there, and the first
/// rows of a single source behind it, in this partition alone.
pub(super) fn behind(
    session: &mut Session,
    core: &Core,
    cell: Cell,
    cursor: &MessageHash,
    source: &Source,
    span: &Span,
    limit: usize,
) -> Outcome<Option<(SyncId, Vec<Row>)>> {
    let fail = sql(READING);
    // The bound that the cursor replaces, where it lies within the span; as `Span::new` has it.
    let bounds = match span.direction {
        Direction::Forward => [
            "(CASE WHEN c.time < $1::int8 THEN $1::int8 ELSE c.time END)",
            "(CASE WHEN c.time < $1::int8 THEN $2::bytea ELSE c.id || '\\x00'::bytea END)",
            "$3::int8",
            "$4::bytea",
        ],
        Direction::Backward => [
            "$1::int8",
            "$2::bytea",
            "(CASE WHEN c.time >= $3::int8 THEN $3::int8 ELSE c.time END)",
            "(CASE WHEN c.time >= $3::int8 THEN $4::bytea ELSE c.id END)",
        ],
    };
    let (text, ids) = match source {
        Source::Time => (Text::Time, None),
        Source::Of(column, ids) => (Text::Each(column), Some(ids)),
    };
    let walk = Walk { cell, text, direction: span.direction, columns: WHOLE };
    let text = format!(
        "SELECT m.*, c.time, {} FROM (
             SELECT timestamp AS time, hash AS id FROM {}
             WHERE {PREFIX} = {} AND hash = $7::bytea OFFSET 0) c
         LEFT JOIN LATERAL ({}) m ON true",
        Layout::unchanged("$6"),
        table(cell),
        PREFIX.replace("hash", "$7::bytea"),
        walk.text(bounds, "$8", ""),
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (lower, upper, layout) = (&span.lower, &span.upper, core.layout.number());
    let cursor_bytes = &cursor.as_bytes()[..];
    let mut values: Vec<Value<'_>> =
        vec![&lower.time, &lower.hash, &upper.time, &upper.hash, &limit, &layout, &cursor_bytes];
    if let Some(ids) = &ids {
        values.push(ids);
    }
    let mut found = rows(session.query(READING, &text, &values)?)?;
    let Some(first) = found.first() else { return Ok(None) };
    let time: i64 = first.try_get(first.len() - 2).map_err(&fail)?;
    // Where nothing is behind it, it stands alone.
    if first.try_get::<_, Option<i64>>(0).map_err(&fail)?.is_none() {
        found.clear();
    }
    Ok(Some((SyncId::new(Timestamp(time), *cursor), found)))
}
