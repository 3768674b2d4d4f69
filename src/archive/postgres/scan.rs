//! Walks over the partitions: keys between two bounds, in order, from one source or many.
//!
//! What must hold: a walk begins at its bound and never reads what lies before it or what does not
//! match. So the statements leave the planner one way only: sequential and bitmap scans are
//! switched off, and a question for a channel or a pubsub topic orders by that first, which only
//! its own index does.

use std::collections::HashMap;

use postgres::Row;

use super::driver::Core;
use super::error::{Outcome, corrupt, sql};
use super::lattice::{Cell, table};
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

/// The first rows of a source in the order of the walk, as [`WHOLE`], where one statement for a
/// partition can give them; `None` where keys are to be read first.
pub(super) fn whole(
    session: &mut Session,
    core: &Core,
    source: &Source,
    span: &Span,
    limit: usize,
) -> Outcome<Option<Vec<Row>>> {
    let mut rows = Vec::new();
    match source {
        Source::Of(_, ids) if ids.len() > 1 => return Ok(None),
        Source::Of(_, ids) if ids.is_empty() => return Ok(Some(rows)),
        _ => {}
    }
    for cell in core.layout.within(&session.lattice, span) {
        rows.extend(step(session, cell, source, span, limit - rows.len(), WHOLE)?);
        if rows.len() >= limit {
            break;
        }
    }
    Ok(Some(rows))
}

/// The first keys of a source in the order of the walk.
pub(super) fn keys(
    session: &mut Session,
    core: &Core,
    source: &Source,
    span: &Span,
    limit: usize,
) -> Outcome<Vec<Key>> {
    if matches!(source, Source::Of(_, ids) if ids.is_empty()) {
        return Ok(Vec::new());
    }
    let mut keys = Vec::new();
    for cell in core.layout.within(&session.lattice, span) {
        keys.extend(keys_in(session, cell, source, span, limit - keys.len())?);
        if keys.len() >= limit {
            break;
        }
    }
    Ok(keys)
}

/// As [`keys`], of one partition.
pub(super) fn keys_in(
    session: &mut Session,
    cell: Cell,
    source: &Source,
    span: &Span,
    limit: usize,
) -> Outcome<Vec<Key>> {
    match source {
        Source::Of(column, ids) if (2..=MAX_MERGED).contains(&ids.len()) => {
            merged(session, cell, column, ids, span, limit)
        }
        _ => {
            let rows = step(session, cell, source, span, limit, KEY)?;
            rows.iter().map(|row| Key::read(row, cell)).collect()
        }
    }
}

/// Of one partition, in the order of the walk.
fn step(
    session: &mut Session,
    cell: Cell,
    source: &Source,
    span: &Span,
    limit: usize,
    columns: &str,
) -> Outcome<Vec<Row>> {
    match source {
        Source::Time => ask(session, cell, Text::Time, None, span, limit, columns),
        Source::Of(column, ids) if ids.len() <= 1 => {
            ask(session, cell, Text::Each(column), Some(ids), span, limit, columns)
        }
        Source::Of(column, ids) => {
            ask(session, cell, Text::Any(column), Some(ids), span, limit, columns)
        }
    }
}

/// Of one partition, keys of several sources in the order of the walk. Each source is asked for
/// its fair share; where that was not enough to tell which come first, for more.
fn merged(
    session: &mut Session,
    cell: Cell,
    column: &'static str,
    ids: &Vec<i32>,
    span: &Span,
    limit: usize,
) -> Outcome<Vec<Key>> {
    let mut share = (limit / ids.len() + 8).min(limit);
    loop {
        let columns = format!("{KEY}, {column} AS source");
        let rows = ask(session, cell, Text::Each(column), Some(ids), span, share, &columns)?;
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

fn ask(
    session: &mut Session,
    cell: Cell,
    text: Text,
    ids: Option<&Vec<i32>>,
    span: &Span,
    limit: usize,
    columns: &str,
) -> Outcome<Vec<Row>> {
    let table = table(cell);
    let order = match span.direction {
        Direction::Forward => "",
        Direction::Backward => " DESC",
    };
    let between = "(timestamp, hash) >= ($1::int8, $2::bytea)
                   AND (timestamp, hash) < ($3::int8, $4::bytea)";
    let by_time = format!("ORDER BY timestamp{order}, hash{order} LIMIT $5::int8");
    let text = match text {
        Text::Time => format!("SELECT {columns} FROM {table} WHERE {between} {by_time}"),
        Text::Each(column) => format!(
            "SELECT m.* FROM unnest($6::int4[]) AS k(id) CROSS JOIN LATERAL (
                 SELECT {columns} FROM {table} WHERE {column} = k.id AND {between}
                 ORDER BY {column}{order}, timestamp{order}, hash{order} LIMIT $5::int8) m"
        ),
        // A set that is hashed once: as a join it could be planned in another order.
        Text::Any(column) => format!(
            "SELECT {columns} FROM {table} WHERE {between}
                 AND ({column} IN (SELECT k.id FROM unnest($6::int4[]) AS k(id))) IS TRUE {by_time}"
        ),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (lower, upper) = (&span.lower, &span.upper);
    let mut values: Vec<Value<'_>> =
        vec![&lower.time, &lower.hash, &upper.time, &upper.hash, &limit];
    if let Some(ids) = &ids {
        values.push(ids);
    }
    session.query(READING, &text, &values)
}
