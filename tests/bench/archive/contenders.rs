//! What the archive is measured against, on bare rusqlite: `deployed`, the schema, settings and
//! ways of the deployed node (a commit a message, a fresh prepare a query, 2 MB of cache), and
//! `bare`, our own tables and pragmas with nothing around them.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, params, params_from_iter};
use wakustore::types::{MessageHash, StoredMessage};

pub(crate) struct Deployed(Connection);

impl Deployed {
    pub(crate) fn open(path: &Path, full: bool) -> Self {
        let synchronous = if full { "FULL" } else { "NORMAL" };
        Self::with(
            path,
            &format!(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};
                 PRAGMA cache_size=-2000;"
            ),
        )
    }

    /// For filling, where that is not what is measured.
    pub(crate) fn fast(path: &Path) -> Self {
        let fast = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-1000000;";
        Self::with(path, fast)
    }

    fn with(path: &Path, pragmas: &str) -> Self {
        let db = Connection::open(path).unwrap();
        db.execute_batch(&format!(
            "{pragmas}
             CREATE TABLE IF NOT EXISTS message(
                 messageHash BLOB PRIMARY KEY, pubsubTopic TEXT NOT NULL,
                 contentTopic TEXT NOT NULL, payload BLOB, version INTEGER NOT NULL,
                 timestamp INTEGER NOT NULL, meta BLOB
             ) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS i_ts ON message(timestamp);"
        ))
        .unwrap();
        Deployed(db)
    }

    /// A commit of its own.
    pub(crate) fn put(&self, m: &StoredMessage) {
        let sql = "INSERT OR IGNORE INTO message VALUES(?, ?, ?, ?, ?, ?, ?)";
        self.0
            .prepare_cached(sql)
            .unwrap()
            .execute(params![
                &m.hash.0[..],
                m.pubsub_topic.as_str(),
                m.message.content_topic.as_str(),
                &m.message.payload[..],
                m.message.version.unwrap_or(0),
                m.timestamp().nanos(),
                m.message.meta.as_deref(),
            ])
            .unwrap();
    }

    /// All in one transaction: where filling is not what is measured.
    pub(crate) fn fill(&self, messages: &[StoredMessage]) {
        self.0.execute_batch("BEGIN").unwrap();
        messages.iter().for_each(|m| self.put(m));
        self.0.execute_batch("COMMIT").unwrap();
    }

    fn rows(&self, sql: &str, values: &[rusqlite::types::Value]) -> usize {
        let mut statement = self.0.prepare(sql).unwrap();
        let mut rows = statement.query(params_from_iter(values)).unwrap();
        let mut count = 0;
        while let Some(row) = rows.next().unwrap() {
            let payload: Vec<u8> = row.get(3).unwrap();
            count += usize::from(!payload.is_empty());
        }
        count
    }

    pub(crate) fn first_page(&self) -> usize {
        self.rows("SELECT * FROM message ORDER BY timestamp ASC, messageHash ASC LIMIT 101", &[])
    }

    pub(crate) fn page_after(&self, cursor: &MessageHash) -> usize {
        let sql = "SELECT timestamp FROM message WHERE messageHash = ?";
        let mut statement = self.0.prepare(sql).unwrap();
        let at: i64 = statement.query_row([&cursor.0[..]], |row| row.get(0)).unwrap();
        self.rows(
            "SELECT * FROM message WHERE (timestamp, messageHash) > (?, ?)
             ORDER BY timestamp ASC, messageHash ASC LIMIT 101",
            &[at.into(), cursor.0.to_vec().into()],
        )
    }

    pub(crate) fn by_hashes(&self, hashes: &[MessageHash]) -> usize {
        let marks = vec!["?"; hashes.len()].join(",");
        let sql = format!(
            "SELECT * FROM message WHERE messageHash IN ({marks})
             ORDER BY timestamp ASC, messageHash ASC LIMIT 101"
        );
        let values: Vec<_> = hashes.iter().map(|h| h.0.to_vec().into()).collect();
        self.rows(&sql, &values)
    }

    /// One lookup a hash, as the deployed node asks.
    pub(crate) fn missing(&self, hashes: &[MessageHash]) -> usize {
        let there = |h: &&MessageHash| {
            let sql = "SELECT 1 FROM message WHERE messageHash = ?";
            self.0.prepare(sql).unwrap().exists([&h.0[..]]).unwrap()
        };
        hashes.iter().filter(|h| !there(h)).count()
    }
}

/// Bare rusqlite on a file that our archive made: our tables, our pragmas, one thread, no checks,
/// hashes that are known.
pub(crate) struct Bare {
    db: Connection,
    /// Numbers of channel and pubsub topic, by the names of the topics.
    channels: HashMap<(String, String), (i64, i64)>,
}

impl Bare {
    pub(crate) fn open(path: &Path) -> Self {
        let db = Connection::open(path).unwrap();
        db.set_prepared_statement_cache_capacity(64);
        // What src/archive/sqlite/open.rs sets for the writer.
        db.execute_batch(
            "PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8192; PRAGMA wal_autocheckpoint=4000;
             PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY;
             PRAGMA journal_size_limit=33554432;",
        )
        .unwrap();
        Bare { db, channels: HashMap::new() }
    }

    /// As durable as an archive is by default.
    #[allow(dead_code)] // For the other program of these benchmarks.
    pub(crate) fn durable(self) -> Self {
        self.db.execute_batch("PRAGMA synchronous=FULL;").unwrap();
        self
    }

    /// Reads the topics, all of which must be there by now: for [`Bare::rows`].
    pub(crate) fn knowing_topics(mut self) -> Self {
        let sql = "SELECT p.name, t.name, c.id, c.pubsub FROM channel c
                   JOIN pubsub_topic p ON p.id = c.pubsub
                   JOIN content_topic t ON t.id = c.content";
        let mut statement = self.db.prepare(sql).unwrap();
        let named = statement
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?))));
        self.channels = named.unwrap().map(Result::unwrap).collect();
        drop(statement);
        self
    }

    /// One commit of the rows that our archive would write.
    pub(crate) fn put(&self, messages: &[Row]) {
        self.db.execute_batch("BEGIN IMMEDIATE").unwrap();
        {
            let sql = "INSERT OR IGNORE INTO message(timestamp, channel, pubsub, origin, hash,
                       version, ephemeral, meta, rate_limit_proof, payload)
                       VALUES(?, ?, ?, 3, ?, NULL, NULL, NULL, NULL, ?)";
            let mut insert = self.db.prepare_cached(sql).unwrap();
            for (m, (channel, pubsub)) in messages {
                let values = params![
                    m.timestamp().nanos(),
                    channel,
                    pubsub,
                    &m.hash.0[..],
                    &m.message.payload[..]
                ];
                insert.execute(values).unwrap();
            }
        }
        self.db.execute_batch("COMMIT").unwrap();
    }

    /// What `put` takes: the topics are looked up before time is taken.
    pub(crate) fn rows(&self, messages: &[StoredMessage]) -> Vec<Row> {
        let row = |m: &StoredMessage| {
            let names = (m.pubsub_topic.to_string(), m.message.content_topic.to_string());
            (m.clone(), self.channels[&names])
        };
        messages.iter().map(row).collect()
    }

    /// The first page, its messages whole.
    pub(crate) fn first_page(&self) -> usize {
        let sql = "SELECT timestamp, hash, channel, id, version, ephemeral, meta,
                   rate_limit_proof, payload FROM message INDEXED BY message_by_time
                   ORDER BY timestamp, hash LIMIT 101";
        let mut statement = self.db.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut count = 0;
        while let Some(row) = rows.next().unwrap() {
            let payload: Vec<u8> = row.get(8).unwrap();
            count += usize::from(!payload.is_empty());
        }
        count
    }
}

/// A message with the numbers of its channel and pubsub topic.
pub(crate) type Row = (StoredMessage, (i64, i64));
