//! nwaku's SQLite files of every schema version, made by its own statements as its migrations
//! document them.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, unreachable_pub)]

use std::path::Path;

use rusqlite::{Connection, params};
use wakustore::archive::{Archive, IndexQuery};
use wakustore::types::{
    ContentTopic, PubsubTopic, StoredMessage, TimeRange, Timestamp, WakuMessage,
};

/// What the tests' clock shows.
pub const NOW: i64 = 1_700_000_000_000_000_000;
pub const SECOND: i64 = 1_000_000_000;

/// A schema version as it was in the field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schema {
    /// Only the time of receiving.
    V1,
    /// Times in seconds, with a fraction.
    V2,
    V3,
    V4,
    V6,
    /// 0.14 to 0.18: `user_version` not set.
    V7,
    /// What an early build of 8 made of an older file: the "hashes" are a count.
    V8Counted,
    /// What 8 made of an older file: the hashes are random bytes.
    V8Random,
    V8,
    V9,
    /// A file of version 9 that 10 migrated.
    V10Migrated,
    /// A file that version 10 created.
    V10,
}

pub const ALL: [Schema; 12] = [
    Schema::V1,
    Schema::V2,
    Schema::V3,
    Schema::V4,
    Schema::V6,
    Schema::V7,
    Schema::V8Counted,
    Schema::V8Random,
    Schema::V8,
    Schema::V9,
    Schema::V10Migrated,
    Schema::V10,
];

const V9_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS message(
      pubsubTopic BLOB NOT NULL, contentTopic BLOB NOT NULL, payload BLOB,
      version INTEGER NOT NULL, timestamp INTEGER NOT NULL, id BLOB, messageHash BLOB,
      storedAt INTEGER NOT NULL,
      CONSTRAINT messageIndex PRIMARY KEY (messageHash)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS i_ts ON Message (storedAt);
    CREATE INDEX IF NOT EXISTS i_query ON Message (contentTopic, pubsubTopic, storedAt, id);";

/// The statements that make the table; `user_version` is what nwaku set.
pub fn ddl(schema: Schema) -> (String, i64) {
    let old = |time: &str, sender: &str, key: &str, last: &str| {
        format!(
            "CREATE TABLE IF NOT EXISTS Message(
               id BLOB {}, receiverTimestamp {time} NOT NULL, contentTopic BLOB NOT NULL,
               pubsubTopic BLOB NOT NULL, payload BLOB, version INTEGER NOT NULL
               {sender} {last}) WITHOUT ROWID;",
            key
        )
    };
    let key4 = ", CONSTRAINT messageIndex PRIMARY KEY
                (senderTimestamp, receiverTimestamp, id, pubsubTopic)";
    let v8 = |hash: &str| {
        format!(
            "ALTER TABLE message RENAME TO message_backup;
             CREATE TABLE IF NOT EXISTS message (
               pubsubTopic BLOB NOT NULL, contentTopic BLOB NOT NULL, payload BLOB,
               version INTEGER NOT NULL, timestamp INTEGER NOT NULL, id BLOB, messageHash BLOB,
               storedAt INTEGER NOT NULL, CONSTRAINT messageIndex PRIMARY KEY ({hash})
             ) WITHOUT ROWID;"
        )
    };
    match schema {
        Schema::V1 => (
            "CREATE TABLE IF NOT EXISTS Message(
               id BLOB PRIMARY KEY, timestamp INTEGER NOT NULL, contentTopic BLOB NOT NULL,
               pubsubTopic BLOB NOT NULL, payload BLOB, version INTEGER NOT NULL
             ) WITHOUT ROWID;"
                .into(),
            1,
        ),
        Schema::V2 => (old("REAL", ", senderTimestamp REAL NOT NULL", "PRIMARY KEY", ""), 2),
        Schema::V3 => (old("INTEGER", ", senderTimestamp INTEGER NOT NULL", "PRIMARY KEY", ""), 3),
        Schema::V4 => (old("INTEGER", ", senderTimestamp INTEGER NOT NULL", "", key4), 4),
        Schema::V6 => (
            format!(
                "{}
                 CREATE INDEX i_msg ON Message (contentTopic, pubsubTopic, senderTimestamp, id);
                 CREATE INDEX i_rt ON Message (receiverTimestamp);
                 ALTER TABLE message RENAME COLUMN receiverTimestamp TO storedAt;
                 DROP INDEX i_msg;
                 CREATE INDEX i_query ON message (contentTopic, pubsubTopic, storedAt, id);
                 DROP INDEX i_rt;
                 CREATE INDEX i_ts ON message (storedAt);",
                old("INTEGER", ", senderTimestamp INTEGER NOT NULL", "", key4)
            ),
            6,
        ),
        Schema::V7 => (
            "CREATE TABLE IF NOT EXISTS message(
               pubsubTopic BLOB NOT NULL, contentTopic BLOB NOT NULL, payload BLOB,
               version INTEGER NOT NULL, timestamp INTEGER NOT NULL, id BLOB,
               storedAt INTEGER NOT NULL,
               CONSTRAINT messageIndex PRIMARY KEY (storedAt, id, pubsubTopic)
             ) WITHOUT ROWID;
             CREATE INDEX i_ts ON Message (storedAt);
             CREATE INDEX i_query ON Message (contentTopic, pubsubTopic, storedAt, id);"
                .into(),
            0,
        ),
        Schema::V8Counted => (
            format!(
                "{}
                 INSERT INTO message(pubsubTopic, contentTopic, payload, version, timestamp, id,
                                     messageHash, storedAt)
                 SELECT pubsubTopic, contentTopic, payload, version, timestamp, id,
                        (SELECT COUNT(*) FROM message_backup AS b WHERE b.storedAt <= a.storedAt),
                        storedAt FROM message_backup AS a;
                 DROP TABLE message_backup;",
                v8("storedAt, messageHash")
            ),
            8,
        ),
        Schema::V8Random => (
            format!(
                "{}
                 INSERT INTO message(pubsubTopic, contentTopic, payload, version, timestamp, id,
                                     messageHash, storedAt)
                 SELECT pubsubTopic, contentTopic, payload, version, timestamp, id, randomblob(32),
                        storedAt FROM message_backup;
                 DROP TABLE message_backup;
                 CREATE INDEX IF NOT EXISTS i_ts ON Message (storedAt);",
                v8("messageHash")
            ),
            8,
        ),
        Schema::V8 => (V9_TABLE.into(), 8),
        Schema::V9 => (format!("{V9_TABLE} ALTER TABLE message ADD COLUMN meta BLOB;"), 9),
        Schema::V10Migrated => (
            "ALTER TABLE message DROP COLUMN timestamp;
             ALTER TABLE message RENAME COLUMN storedAt TO timestamp;"
                .into(),
            10,
        ),
        Schema::V10 => (
            "CREATE TABLE IF NOT EXISTS Message (
               messageHash BLOB NOT NULL PRIMARY KEY, pubsubTopic BLOB NOT NULL,
               contentTopic BLOB NOT NULL, payload BLOB, version INTEGER NOT NULL,
               timestamp INTEGER NOT NULL, meta BLOB) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS i_ts ON Message (timestamp);"
                .into(),
            10,
        ),
    }
}

/// Whether the schema holds the meta field.
pub fn holds_meta(schema: Schema) -> bool {
    matches!(schema, Schema::V9 | Schema::V10Migrated | Schema::V10)
}

/// A connection as nwaku makes it.
pub fn connect(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    // What a power loss takes is not the matter here.
    conn.pragma_update(None, "synchronous", "OFF").unwrap();
    conn
}

/// A file of this schema with these messages, written as nwaku wrote them.
pub fn build(path: &Path, schema: Schema, messages: &[StoredMessage]) -> Connection {
    let before = match schema {
        Schema::V8Counted | Schema::V8Random => Some(Schema::V7),
        Schema::V10Migrated => Some(Schema::V9),
        _ => None,
    };
    let (script, version) = ddl(schema);
    let conn = match before {
        Some(before) => build(path, before, messages),
        None => connect(path),
    };
    conn.execute_batch(&script).unwrap();
    conn.pragma_update(None, "user_version", version).unwrap();
    if before.is_none() {
        conn.execute_batch("BEGIN").unwrap();
        for m in messages {
            insert(&conn, schema, m);
        }
        conn.execute_batch("COMMIT").unwrap();
    }
    conn
}

pub fn insert(conn: &Connection, schema: Schema, stored: &StoredMessage) {
    let m = &stored.message;
    let (pubsub, content) = (stored.pubsub_topic.as_bytes(), m.content_topic.as_bytes());
    // nwaku binds what is empty as NULL.
    let payload = (!m.payload.is_empty()).then(|| m.payload.to_vec());
    let meta = m.meta.as_ref().filter(|b| !b.is_empty()).map(|b| b.to_vec());
    let version = m.version.unwrap_or(0);
    let time = m.timestamp.unwrap_or_default().nanos();
    // The digest that was the id once: of no meaning to us, but of its own for each message.
    let id = stored.hash.as_bytes()[..].to_vec();
    let hash = stored.hash.as_bytes()[..].to_vec();
    let seconds = time as f64 / 1e9;
    let columns = "pubsubTopic, contentTopic, payload, version";
    let rest: (&str, Vec<Box<dyn rusqlite::ToSql>>) = match schema {
        Schema::V1 => ("id, timestamp", vec![Box::new(id), Box::new(time / SECOND)]),
        Schema::V2 => (
            "id, receiverTimestamp, senderTimestamp",
            vec![Box::new(id), Box::new(seconds + 1.0), Box::new(seconds)],
        ),
        Schema::V3 | Schema::V4 => (
            "id, receiverTimestamp, senderTimestamp",
            vec![Box::new(id), Box::new(time + SECOND), Box::new(time)],
        ),
        Schema::V6 => (
            "id, storedAt, senderTimestamp",
            vec![Box::new(id), Box::new(time + SECOND), Box::new(time)],
        ),
        Schema::V7 => {
            ("id, storedAt, timestamp", vec![Box::new(id), Box::new(time), Box::new(time)])
        }
        Schema::V8 | Schema::V8Random | Schema::V8Counted => (
            "id, messageHash, storedAt, timestamp",
            vec![Box::new(id), Box::new(hash), Box::new(time), Box::new(time)],
        ),
        Schema::V9 => (
            "id, messageHash, storedAt, timestamp, meta",
            vec![Box::new(id), Box::new(hash), Box::new(time), Box::new(time), Box::new(meta)],
        ),
        Schema::V10Migrated | Schema::V10 => {
            ("messageHash, timestamp, meta", vec![Box::new(hash), Box::new(time), Box::new(meta)])
        }
    };
    let mut values: Vec<&dyn rusqlite::ToSql> = params![pubsub, content, payload, version].to_vec();
    values.extend(rest.1.iter().map(|v| v.as_ref()));
    let marks = vec!["?"; values.len()].join(", ");
    conn.prepare_cached(&format!("INSERT INTO Message({columns}, {}) VALUES({marks})", rest.0))
        .unwrap()
        .execute(values.as_slice())
        .unwrap();
}

/// Messages of the time before now, each of its own, with all that nwaku's schema can hold. Times
/// are such that a real holds them in seconds.
pub fn messages(count: usize, meta: bool) -> Vec<StoredMessage> {
    (0..count)
        .map(|i| {
            let time = Timestamp(NOW - (count - i) as i64 * SECOND);
            let content = ContentTopic::new(format!("/nwaku/1/{}/proto", i % 7)).unwrap();
            let payload = if i % 50 == 0 { Vec::new() } else { vec![i as u8; i % 300] };
            let mut m =
                WakuMessage::new([payload, i.to_be_bytes().to_vec()].concat(), content, time);
            if i == 1 {
                m.payload = bytes::Bytes::new();
            }
            m.version = (i % 5 == 0).then_some(i as u32 + 1);
            m.meta = (meta && i % 3 == 0).then(|| bytes::Bytes::from(vec![i as u8; 1 + i % 64]));
            StoredMessage::new(PubsubTopic::of_shard(16, (i % 4) as u32), m)
        })
        .collect()
}

/// All that an archive holds, in order.
pub fn held(archive: &Archive) -> Vec<StoredMessage> {
    let mut all: Vec<StoredMessage> = Vec::new();
    loop {
        let after = all.last().map(StoredMessage::sync_id);
        let entries = archive
            .index(IndexQuery {
                time: TimeRange::ALL,
                pubsub_topics: Vec::new(),
                content_topics: Vec::new(),
                after,
                limit: 1_000,
            })
            .wait()
            .unwrap();
        if entries.is_empty() {
            return all;
        }
        let hashes = entries.iter().map(|e| e.id.hash).collect();
        all.extend(archive.get(hashes).wait().unwrap());
    }
}

pub fn sorted(mut messages: Vec<StoredMessage>) -> Vec<StoredMessage> {
    messages.sort_by_key(StoredMessage::sync_id);
    messages
}
