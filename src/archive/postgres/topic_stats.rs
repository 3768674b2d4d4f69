//! Figures by topic, kept by partition and channel.
//!
//! What must hold: a channel's count and bytes change in the transaction that puts or removes, so
//! that a question costs by channels and never reads messages. (Oldest and newest are the ends of
//! a topic in the indexes of the outermost partitions that hold any of it: two probes.) A writer
//! has a slot, as for the counts of partitions, so that writers do not wait for each other.
//!
//! The counts of a partition that was removed count no more from that commit on, as their
//! partition is not listed; their rows go later, in steps, so that nobody waits for it. No such
//! partition is made again: its time lies before the floor.

use std::collections::{BTreeMap, HashMap};

use postgres::Row;

use super::driver::Core;
use super::error::{Outcome, corrupt, sql};
use super::lattice::{Cell, table};
use super::schema::key;
use super::session::Session;
use crate::archive::{TopicKind, TopicQuery, TopicStats};
use crate::types::{StoredMessage, SyncId, Timestamp};

const READING: &str = "reading figures by topic";
const COUNTING: &str = "counting messages by topic";
/// What a message counts for, as [`content_bytes`] has it.
pub(super) const CONTENT_BYTES: &str = "octet_length(payload)::int8 \
     + coalesce(octet_length(meta), 0) + coalesce(octet_length(rate_limit_proof), 0)";
/// Counts of removed partitions that go in one step.
const FORGOTTEN_AT_ONCE: i64 = 5_000;

/// What a message counts for.
pub(super) fn content_bytes(m: &StoredMessage) -> i64 {
    let optional = [&m.message.meta, &m.message.rate_limit_proof].into_iter().flatten();
    let optional: usize = optional.map(|field| field.len()).sum();
    i64::try_from(m.message.payload.len() + optional).unwrap_or(i64::MAX)
}

/// The statement that counts what a put has stored: of each message its partition, its channel and
/// what it counts for. In order, so that two writers of one slot wait for each other in turn.
pub(super) fn count(slot: i16, stored: impl Iterator<Item = (Cell, i32, i64)>) -> String {
    let mut counts: BTreeMap<(Cell, i32), (i64, i64)> = BTreeMap::new();
    for (cell, channel, bytes) in stored {
        let sum = counts.entry((cell, channel)).or_default();
        sum.0 += 1;
        sum.1 += bytes;
    }
    if counts.is_empty() {
        return String::new();
    }
    let value = |((cell, channel), (messages, bytes)): (&(Cell, i32), &(i64, i64))| {
        format!("({cell}, {channel}, {slot}, {messages}, {bytes})")
    };
    let values: Vec<String> = counts.iter().map(value).collect();
    format!(
        "INSERT INTO wakustore.channel_count AS c (cell, channel, slot, messages, bytes) VALUES {}
         ON CONFLICT (cell, channel, slot) DO UPDATE
         SET messages = c.messages + excluded.messages, bytes = c.bytes + excluded.bytes;",
        values.join(", ")
    )
}

/// Counts messages of a partition that this transaction is about to remove. Nobody else removes
/// them meanwhile: whoever removes has locked the row of `archive` before.
pub(super) fn uncount(
    session: &mut Session,
    core: &Core,
    cell: Cell,
    ids: &[SyncId],
) -> Outcome<()> {
    let text = format!(
        "INSERT INTO wakustore.channel_count AS c (cell, channel, slot, messages, bytes)
         SELECT $3::int4, m.channel, $4::int2, -count(*), -sum(m.bytes)::int8
         FROM unnest($1::int8[], $2::bytea[]) AS k(time, id) CROSS JOIN LATERAL (
             SELECT channel, {CONTENT_BYTES} AS bytes FROM {}
             WHERE timestamp = k.time AND hash = k.id OFFSET 0) m
         GROUP BY m.channel ORDER BY m.channel
         ON CONFLICT (cell, channel, slot) DO UPDATE
         SET messages = c.messages + excluded.messages, bytes = c.bytes + excluded.bytes",
        table(cell)
    );
    let times: Vec<i64> = ids.iter().map(|id| id.timestamp.nanos()).collect();
    let hashes: Vec<&[u8]> = ids.iter().map(|id| &id.hash.as_bytes()[..]).collect();
    session.query(COUNTING, &text, &[&times, &hashes, &cell, &core.slot]).map(drop)
}

/// Some counts of a partition that was removed go. Partitions go from the oldest on.
pub(super) fn forget(session: &mut Session) -> Outcome<()> {
    let text = "DELETE FROM wakustore.channel_count WHERE ctid = ANY(ARRAY(
             SELECT n.ctid FROM wakustore.channel_count n
             WHERE n.cell = (SELECT min(cell) FROM wakustore.channel_count)
                 AND NOT EXISTS (SELECT FROM wakustore.partition p WHERE p.cell = n.cell)
             ORDER BY n.cell, n.channel, n.slot LIMIT $1::int8))";
    session.query(COUNTING, text, &[&FORGOTTEN_AT_ONCE]).map(drop)
}

/// A topic, and where the outermost of its messages are.
struct Counted {
    id: i32,
    first: Option<Cell>,
    last: Option<Cell>,
    stats: TopicStats,
}

/// One page, of one moment.
pub(super) fn page(session: &mut Session, query: &TopicQuery) -> Outcome<Vec<TopicStats>> {
    session.batch(READING, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    session.or_roll_back(READING, |session| {
        let mut topics = counted(session, query)?;
        let firsts = ends(session, query.kind, &topics, "", |topic| topic.first)?;
        let lasts = ends(session, query.kind, &topics, " DESC", |topic| topic.last)?;
        session.batch(READING, "COMMIT")?;
        for topic in &mut topics {
            topic.stats.oldest = firsts.get(&topic.id).copied();
            topic.stats.newest = lasts.get(&topic.id).copied();
        }
        Ok(topics.into_iter().map(|topic| topic.stats).collect())
    })
}

/// The table of topics, and the column of a channel that names one.
fn of(kind: TopicKind) -> (&'static str, &'static str) {
    match kind {
        TopicKind::Pubsub => ("wakustore.pubsub_topic", "pubsub"),
        TopicKind::Content => ("wakustore.content_topic", "content"),
    }
}

fn counted(session: &mut Session, query: &TopicQuery) -> Outcome<Vec<Counted>> {
    let (topics, column) = of(query.kind);
    let text = format!(
        "SELECT t.id, t.name, f.* FROM (
             SELECT id, name FROM {topics} WHERE name > $1::bytea ORDER BY name LIMIT $2::int8) t
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(g.messages), 0)::int8, coalesce(sum(g.bytes), 0)::int8,
                 min(g.cell) FILTER (WHERE g.messages > 0),
                 max(g.cell) FILTER (WHERE g.messages > 0)
             FROM (
                 SELECT n.cell, sum(n.messages) AS messages, sum(n.bytes) AS bytes
                 FROM wakustore.channel c JOIN wakustore.channel_count n ON n.channel = c.id
                 JOIN wakustore.partition p ON p.cell = n.cell
                 WHERE c.{column} = t.id GROUP BY n.cell) g) f
         ORDER BY t.name"
    );
    let after = query.after.as_deref().unwrap_or("").as_bytes();
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let rows = session.query(READING, &text, &[&after, &limit])?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Outcome<Counted> {
    let fail = sql(READING);
    let count = |column: usize| -> Outcome<u64> {
        let count: i64 = row.try_get(column).map_err(&fail)?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let name: &[u8] = row.try_get(1).map_err(&fail)?;
    let name =
        String::from_utf8(name.to_vec()).map_err(|_| corrupt("the name of a topic is no UTF-8"))?;
    let (messages, bytes) = (count(2)?, count(3)?);
    Ok(Counted {
        id: row.try_get(0).map_err(&fail)?,
        first: row.try_get(4).map_err(&fail)?,
        last: row.try_get(5).map_err(&fail)?,
        stats: TopicStats { name, messages, bytes, oldest: None, newest: None },
    })
}

/// The outermost timestamps of topics, each in its partition.
fn ends(
    session: &mut Session,
    kind: TopicKind,
    topics: &[Counted],
    order: &str,
    cell_of: impl Fn(&Counted) -> Option<Cell>,
) -> Outcome<HashMap<i32, Timestamp>> {
    let fail = sql(READING);
    let mut cells: BTreeMap<Cell, Vec<i32>> = BTreeMap::new();
    for topic in topics {
        if let Some(cell) = cell_of(topic) {
            cells.entry(cell).or_default().push(topic.id);
        }
    }
    let mut found = HashMap::with_capacity(topics.len());
    for (cell, ids) in cells {
        let table = table(cell);
        let end = |column: &str, value: &str| {
            let key = key(column, "timestamp", "hash");
            format!(
                "SELECT timestamp FROM {table}
                 WHERE {key} >= int4send({value}) AND {key} < int4send({value} + 1)
                 ORDER BY {key}{order} LIMIT 1"
            )
        };
        let text = match kind {
            TopicKind::Pubsub => format!(
                "SELECT k.id, m.timestamp FROM unnest($1::int4[]) AS k(id)
                 CROSS JOIN LATERAL ({}) m",
                end("pubsub", "k.id")
            ),
            TopicKind::Content => format!(
                "SELECT k.id, m.timestamp FROM unnest($1::int4[]) AS k(id)
                 CROSS JOIN LATERAL (
                     SELECT e.timestamp FROM wakustore.channel c CROSS JOIN LATERAL ({}) e
                     WHERE c.content = k.id ORDER BY e.timestamp{order} LIMIT 1) m",
                end("channel", "c.id")
            ),
        };
        for row in session.query(READING, &text, &[&ids])? {
            let time = row.try_get(1).map_err(&fail)?;
            found.insert(row.try_get(0).map_err(&fail)?, Timestamp(time));
        }
    }
    Ok(found)
}
