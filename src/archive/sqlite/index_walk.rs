//! The walk over everything that an engine takes at start: a million rows and more, of which each
//! nanosecond counts. It reads the index by time alone, no row, keeps at hand the topics of the
//! channels that it meets, and compares no row value: of a bound such as `(timestamp, hash) >= (?, ?)`
//! SQLite checks both parts again at each row, and an upper bound too. So a step reads what is left
//! of the timestamp that the one before ended in, and then what comes after that timestamp, and
//! stops by itself.

use rusqlite::{Connection, Params};

use super::error::sql;
use super::scan::{out_of_order, sync_id};
use super::topics::Topics;
use crate::archive::{IndexEntry, IndexQuery};
use crate::error::Result;
use crate::types::{ContentTopic, PubsubTopic, SyncId, Timestamp};

const READING: &str = "reading the archive";
const LEFT: &str = "SELECT timestamp, hash, channel FROM message INDEXED BY message_by_time
     WHERE timestamp = ?1 AND hash > ?2 ORDER BY hash";
const AFTER: &str = "SELECT timestamp, hash, channel FROM message INDEXED BY message_by_time
     WHERE timestamp >= ?1 ORDER BY timestamp, hash";
/// Channels at hand; a power of two. Numbers of channels are given out in order, so that few share
/// a place.
const AT_HAND: usize = 256;
/// Room is made for at most so many entries before they are there.
const ROOM: usize = 16_384;

/// One step of a walk over all messages of a span, of whatever topics.
pub(super) fn all(
    conn: &Connection,
    topics: &mut Topics,
    query: &IndexQuery,
) -> Result<Vec<IndexEntry>> {
    let mut step = Step {
        conn,
        topics,
        at_hand: vec![None; AT_HAND],
        pubsubs: Vec::new(),
        entries: Vec::with_capacity(query.limit.min(ROOM)),
        start: query.time.start(),
        after: query.after,
        limit: query.limit,
        end: query.time.end(),
    };
    let (mut start, end) = (query.time.start().nanos(), query.time.end().nanos());
    if let Some(after) = query.after.filter(|after| after.timestamp.nanos() >= start) {
        let last = after.timestamp.nanos();
        if last >= end {
            return Ok(step.entries);
        }
        step.read(LEFT, (last, after.hash.as_bytes()))?;
        start = last + 1;
    }
    step.read(AFTER, [start])?;
    Ok(step.entries)
}

struct Step<'a> {
    conn: &'a Connection,
    topics: &'a mut Topics,
    /// Copies of this step's own. Topics are counted references, and whoever takes the last step's
    /// entries apart just now would share each count with this thread.
    at_hand: Vec<Option<(i64, PubsubTopic, ContentTopic)>>,
    pubsubs: Vec<PubsubTopic>,
    entries: Vec<IndexEntry>,
    limit: usize,
    start: Timestamp,
    after: Option<SyncId>,
    end: Timestamp,
}

impl Step<'_> {
    /// Reads rows up to the end of the span, or until there are as many entries as were wanted.
    fn read(&mut self, text: &str, parameters: impl Params) -> Result<()> {
        let fail = sql(READING);
        let mut statement = self.conn.prepare_cached(text).map_err(&fail)?;
        let mut rows = statement.query(parameters).map_err(&fail)?;
        while self.entries.len() < self.limit
            && let Some(row) = rows.next().map_err(&fail)?
        {
            let id = sync_id(row)?;
            if id.timestamp >= self.end {
                break;
            }
            let last = self.entries.last().map_or(self.after, |entry| Some(entry.id));
            if last.is_some_and(|last| id <= last) || id.timestamp < self.start {
                return Err(out_of_order(id));
            }
            let channel: i64 = row.get(2).map_err(&fail)?;
            let place = &mut self.at_hand[channel as usize % AT_HAND];
            let (pubsub_topic, content_topic) = match place {
                Some((here, pubsub, content)) if *here == channel => {
                    (pubsub.clone(), content.clone())
                }
                _ => {
                    let (pubsub, content) = self.topics.names(self.conn, channel)?;
                    let known = self.pubsubs.iter().find(|known| **known == pubsub);
                    let pubsub = match known {
                        Some(known) => known.clone(),
                        None if self.pubsubs.len() >= AT_HAND => pubsub,
                        None => {
                            self.pubsubs.push(PubsubTopic::new(&*pubsub)?);
                            self.pubsubs[self.pubsubs.len() - 1].clone()
                        }
                    };
                    let content = ContentTopic::new(&*content)?;
                    *place = Some((channel, pubsub.clone(), content.clone()));
                    (pubsub, content)
                }
            };
            self.entries.push(IndexEntry { id, pubsub_topic, content_topic });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::archive::sqlite::open;

    /// What SQLite means to do, a line a step; and its program.
    fn plan(conn: &Connection, text: &str) -> (Vec<String>, Vec<String>) {
        let column = |explain: &str, at: usize| {
            let mut statement = conn.prepare(&format!("{explain} {text}")).unwrap();
            for i in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(i, 1).unwrap();
            }
            let mut rows = statement.raw_query();
            let mut lines: Vec<String> = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                lines.push(row.get(at).unwrap());
            }
            lines
        };
        (column("EXPLAIN QUERY PLAN", 3), column("EXPLAIN", 1))
    }

    #[test]
    fn it_reads_the_index_alone_and_compares_nothing_twice() {
        let conn = open::in_memory();
        let search = "SEARCH message USING COVERING INDEX message_by_time";
        for (text, of) in [(LEFT, "(timestamp=? AND hash>?)"), (AFTER, "(timestamp>?)")] {
            let (steps, program) = plan(&conn, text);
            assert_eq!(steps, [format!("{search} {of}")]);
            // A comparison of its own would come in the loop, before the row.
            let loop_of = |op: &str| program.iter().position(|x| x == op).unwrap();
            let body = &program[loop_of("ResultRow") - 4..loop_of("ResultRow")];
            let columns = body.iter().filter(|op| *op == "Column").count();
            assert!(
                columns >= 2 && body.iter().all(|op| !matches!(&**op, "Ge" | "Gt" | "Lt" | "Le"))
            );
        }
    }
}
