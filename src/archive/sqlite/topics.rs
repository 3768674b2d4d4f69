//! Topics as numbers: a channel is a pair of pubsub and content topic.
//!
//! Each connection remembers the pairs it has met. What it remembers stays true, because numbers
//! are never given out twice; only a transaction that was rolled back must be forgotten.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rusqlite::{Connection, OptionalExtension};

use super::error::{corrupt, sql};
use crate::error::{Error, ErrorKind, Result};
use crate::types::{ContentTopic, PubsubTopic};

/// Pairs that are remembered; beyond it all are forgotten. Content topics are for anyone to make
/// up, so that there must be a bound.
const REMEMBERED: usize = 16_384;

/// Where a message is filed.
#[derive(Clone, Copy)]
pub(super) struct Channel {
    pub(super) id: i64,
    pub(super) pubsub: i64,
}

#[derive(Default)]
pub(super) struct Topics {
    channels: HashMap<(PubsubTopic, ContentTopic), Channel>,
    names: HashMap<i64, (PubsubTopic, ContentTopic), BuildHasherDefault<ByNumber>>,
    /// The tables are damaged: names are looked for in their indexes, which have them too.
    damaged: bool,
}

/// Numbers of channels are given out in order, by us: they need no spreading.
#[derive(Default)]
struct ByNumber(u64);

impl Hasher for ByNumber {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }
}

/// Channels that are read at once, when the first is asked for: where there are few, that is all of
/// them.
const FIRST: i64 = 256;
const FIRST_NAMES: &str = "SELECT p.name, t.name, c.id FROM channel c
     CROSS JOIN pubsub_topic p ON p.id = c.pubsub CROSS JOIN content_topic t ON t.id = c.content
     ORDER BY c.id LIMIT ?1";
const NAMES: &str = "SELECT p.name, t.name FROM channel c
     JOIN pubsub_topic p ON p.id = c.pubsub JOIN content_topic t ON t.id = c.content
     WHERE c.id = ?1";
/// Reads nothing of the tables. It goes through all of the indexes: for salvage alone.
const NAMES_BY_INDEX: &str = "SELECT p.name, t.name
     FROM channel c INDEXED BY sqlite_autoindex_channel_1
     CROSS JOIN pubsub_topic p INDEXED BY sqlite_autoindex_pubsub_topic_1
     CROSS JOIN content_topic t INDEXED BY sqlite_autoindex_content_topic_1
     WHERE c.id = ?1 AND p.id = c.pubsub AND t.id = c.content";

impl Topics {
    /// The channel of these two topics, made where there is none.
    pub(super) fn intern(
        &mut self,
        conn: &Connection,
        pubsub_topic: &PubsubTopic,
        content_topic: &ContentTopic,
    ) -> Result<Channel> {
        let pair = (pubsub_topic.clone(), content_topic.clone());
        if let Some(channel) = self.channels.get(&pair) {
            return Ok(*channel);
        }
        let make = || -> rusqlite::Result<Channel> {
            let pubsub = find_or_make(
                conn,
                "SELECT id FROM pubsub_topic WHERE name = ?1",
                "INSERT INTO pubsub_topic(name) VALUES(?1)",
                [pubsub_topic.as_str()],
            )?;
            let content = find_or_make(
                conn,
                "SELECT id FROM content_topic WHERE name = ?1",
                "INSERT INTO content_topic(name) VALUES(?1)",
                [content_topic.as_str()],
            )?;
            let id = find_or_make(
                conn,
                "SELECT id FROM channel WHERE content = ?1 AND pubsub = ?2",
                "INSERT INTO channel(content, pubsub) VALUES(?1, ?2)",
                [content, pubsub],
            )?;
            Ok(Channel { id, pubsub })
        };
        let channel = make().map_err(sql("filing a message"))?;
        if self.channels.len() >= REMEMBERED {
            self.channels.clear();
        }
        self.channels.insert(pair, channel);
        Ok(channel)
    }

    /// The topics of a channel.
    pub(super) fn names(
        &mut self,
        conn: &Connection,
        channel: i64,
    ) -> Result<(PubsubTopic, ContentTopic)> {
        if let Some(pair) = self.names.get(&channel) {
            return Ok(pair.clone());
        }
        if self.names.is_empty() && !self.damaged {
            match self.read_first(conn) {
                // Where one of them is damaged, the one that is asked for may be sound.
                Err(e) if e.kind() == ErrorKind::ArchiveCorrupt => {}
                read => read?,
            }
            if let Some(pair) = self.names.get(&channel) {
                return Ok(pair.clone());
            }
        }
        let text = if self.damaged { NAMES_BY_INDEX } else { NAMES };
        let names: Option<(String, String)> = conn
            .prepare_cached(text)
            .and_then(|mut s| {
                s.query_row([channel], |row| Ok((row.get(0)?, row.get(1)?))).optional()
            })
            .map_err(sql("reading a topic"))?;
        let Some((pubsub, content)) = names else {
            return Err(corrupt(format!(
                "a message is filed under channel {channel}, which is not"
            )));
        };
        let pair = named(pubsub, content)?;
        if self.names.len() >= REMEMBERED {
            self.names.clear();
        }
        self.names.insert(channel, pair.clone());
        Ok(pair)
    }

    /// The names of the first channels.
    fn read_first(&mut self, conn: &Connection) -> Result<()> {
        let fail = sql("reading topics");
        let mut statement = conn.prepare_cached(FIRST_NAMES).map_err(&fail)?;
        let mut rows = statement.query([FIRST]).map_err(&fail)?;
        while let Some(row) = rows.next().map_err(&fail)? {
            let pair = named(row.get(0).map_err(&fail)?, row.get(1).map_err(&fail)?)?;
            self.names.insert(row.get(2).map_err(&fail)?, pair);
        }
        Ok(())
    }

    /// The tables of topics are damaged. Whether that is news.
    pub(super) fn avoid_tables(&mut self) -> bool {
        !std::mem::replace(&mut self.damaged, true)
    }

    /// Forgets everything; after a rollback.
    pub(super) fn forget(&mut self) {
        *self = Topics::default();
    }
}

fn named(pubsub: String, content: String) -> Result<(PubsubTopic, ContentTopic)> {
    let invalid = |e: Error| corrupt(e.message());
    Ok((PubsubTopic::new(pubsub).map_err(invalid)?, ContentTopic::new(content).map_err(invalid)?))
}

/// The number of a pubsub topic, where the archive knows it.
pub(super) fn pubsub_id(conn: &Connection, topic: &PubsubTopic) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM pubsub_topic WHERE name = ?1")
        .and_then(|mut s| s.query_row([topic.as_str()], |row| row.get(0)).optional())
        .map_err(sql("reading a topic"))
}

/// Adds the channels of a content topic, with their pubsub topics' numbers.
pub(super) fn channels_of(
    conn: &Connection,
    topic: &ContentTopic,
    channels: &mut Vec<Channel>,
) -> Result<()> {
    let fail = sql("reading a topic");
    let mut statement = conn
        .prepare_cached(
            "SELECT c.id, c.pubsub FROM content_topic t CROSS JOIN channel c ON c.content = t.id
             WHERE t.name = ?1",
        )
        .map_err(&fail)?;
    let found = statement
        .query_map([topic.as_str()], |row| Ok(Channel { id: row.get(0)?, pubsub: row.get(1)? }))
        .map_err(&fail)?;
    for channel in found {
        channels.push(channel.map_err(&fail)?);
    }
    Ok(())
}

fn find_or_make(
    conn: &Connection,
    find: &str,
    make: &str,
    key: impl rusqlite::Params + Clone,
) -> rusqlite::Result<i64> {
    let found = conn.prepare_cached(find)?.query_row(key.clone(), |row| row.get(0)).optional()?;
    match found {
        Some(id) => Ok(id),
        None => conn.prepare_cached(make)?.insert(key),
    }
}
