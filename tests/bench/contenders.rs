//! What the archive is measured against, on bare rusqlite: `deployed`, the schema, settings and
//! ways of the deployed node (a commit a message, a fresh prepare a query, 2 MB of cache), and
//! `bare`, our own tables and pragmas with nothing around them.

use std::path::Path;

use rusqlite::{Connection, params, params_from_iter};
use wakustore::types::{MessageHash, StoredMessage};

pub(crate) struct Deployed(pub(crate) Connection);

impl Deployed {
    pub(crate) fn open(path: &Path, full: bool) -> Self {
        let db = Connection::open(path).unwrap();
        let synchronous = if full { "FULL" } else { "NORMAL" };
        db.execute_batch(&format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA cache_size=-2000;
             CREATE TABLE message(
                 messageHash BLOB PRIMARY KEY, pubsubTopic TEXT NOT NULL,
                 contentTopic TEXT NOT NULL, payload BLOB, version INTEGER NOT NULL,
                 timestamp INTEGER NOT NULL, meta BLOB
             ) WITHOUT ROWID;
             CREATE INDEX i_ts ON message(timestamp);"
        ))
        .unwrap();
        Deployed(db)
    }

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

    /// Many in one transaction: how the file is filled where filling is not what is measured.
    pub(crate) fn fill(&self, messages: &[StoredMessage]) {
        for chunk in messages.chunks(1000) {
            self.0.execute_batch("BEGIN").unwrap();
            chunk.iter().for_each(|m| self.put(m));
            self.0.execute_batch("COMMIT").unwrap();
        }
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

/// Bare rusqlite on a file that our archive made: our tables, our pragmas, no threads, no checks.
pub(crate) struct Bare(pub(crate) Connection);

impl Bare {
    pub(crate) fn open(path: &Path) -> Self {
        let db = Connection::open(path).unwrap();
        db.set_prepared_statement_cache_capacity(64);
        db.execute_batch(
            "PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32768; PRAGMA wal_autocheckpoint=4000;",
        )
        .unwrap();
        Bare(db)
    }

    /// One commit. The topics are there already: channel and pubsub 1.
    pub(crate) fn put(&self, messages: &[StoredMessage]) {
        self.0.execute_batch("BEGIN IMMEDIATE").unwrap();
        for m in messages {
            let sql = "INSERT OR IGNORE INTO message(timestamp, channel, pubsub, origin, hash,
                       version, ephemeral, meta, rate_limit_proof, payload)
                       VALUES(?, 1, 1, 3, ?, NULL, NULL, NULL, NULL, ?)";
            self.0
                .prepare_cached(sql)
                .unwrap()
                .execute(params![m.timestamp().nanos(), &m.hash.0[..], &m.message.payload[..]])
                .unwrap();
        }
        self.0.execute_batch("COMMIT").unwrap();
    }
}
