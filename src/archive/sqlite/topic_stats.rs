//! Figures by topic, kept by channel.
//!
//! What must hold: a channel's count and bytes change in the transaction that puts or removes, once
//! a commit for each channel, so that a question costs by channels and never reads messages.
//! (Oldest and newest are the ends of the channel in its index: two seeks.)

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};

use super::error::sql;
use crate::archive::{TopicKind, TopicQuery, TopicStats};
use crate::error::Result;
use crate::types::{Timestamp, WakuMessage};

const READING: &str = "reading figures by topic";

/// What one commit changes: by channel, messages and bytes. In order, so that neighbours in the
/// table are written together.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<i64, (i64, i64)>);

impl Tally {
    pub(super) fn add(&mut self, channel: i64, messages: i64, bytes: i64) {
        let sum = self.0.entry(channel).or_default();
        sum.0 += messages;
        sum.1 += bytes;
    }

    pub(super) fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut statement = conn.prepare_cached(
            "UPDATE channel SET messages = messages + ?2, bytes = bytes + ?3 WHERE id = ?1",
        )?;
        for (channel, (messages, bytes)) in self.0 {
            statement.execute([channel, messages, bytes])?;
        }
        Ok(())
    }
}

/// What a message counts for; the same in SQL where it is removed.
pub(super) fn content_bytes(m: &WakuMessage) -> i64 {
    let optional = [&m.meta, &m.rate_limit_proof].into_iter().flatten().map(|field| field.len());
    i64::try_from(m.payload.len() + optional.sum::<usize>()).unwrap_or(i64::MAX)
}

/// One page.
pub(super) fn page(conn: &Connection, query: &TopicQuery) -> Result<Vec<TopicStats>> {
    let fail = sql(READING);
    let text = match query.kind {
        TopicKind::Pubsub => {
            "SELECT t.name, total(c.messages), total(c.bytes),
                    (SELECT min(timestamp) FROM message INDEXED BY message_by_pubsub
                     WHERE pubsub = t.id),
                    (SELECT max(timestamp) FROM message INDEXED BY message_by_pubsub
                     WHERE pubsub = t.id)
             FROM (SELECT id, name FROM pubsub_topic WHERE name > ?1 ORDER BY name LIMIT ?2) t
             LEFT JOIN channel c ON c.pubsub = t.id GROUP BY t.name ORDER BY t.name"
        }
        TopicKind::Content => {
            "SELECT t.name, total(c.messages), total(c.bytes),
                    min((SELECT min(timestamp) FROM message INDEXED BY message_by_channel
                         WHERE channel = c.id)),
                    max((SELECT max(timestamp) FROM message INDEXED BY message_by_channel
                         WHERE channel = c.id))
             FROM (SELECT id, name FROM content_topic WHERE name > ?1 ORDER BY name LIMIT ?2) t
             LEFT JOIN channel c ON c.content = t.id GROUP BY t.name ORDER BY t.name"
        }
    };
    let mut topics = conn.prepare_cached(text).map_err(&fail)?;
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let after = query.after.as_deref().unwrap_or("");
    let mut rows = topics.query((after, limit)).map_err(&fail)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(&fail)? {
        found.push(read(row).map_err(&fail)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<TopicStats> {
    // A sum of no rows is 0; of figures that are damaged it may be anything, but not an error.
    let count = |column| row.get::<_, f64>(column).map(|sum| sum as u64);
    Ok(TopicStats {
        name: row.get(0)?,
        messages: count(1)?,
        bytes: count(2)?,
        oldest: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        newest: row.get::<_, Option<i64>>(4)?.map(Timestamp),
    })
}
