//! The tables, and how a file of an earlier version is brought up to date.
//!
//! - A message is a row with a rowid of its own; what identifies it, its hash, is an index. (Keyed
//!   by hash without a rowid, every payload of a kilobyte would go to overflow pages.)
//! - A *channel* is a pair of pubsub and content topic, and a small number. One index by channel
//!   so serves questions for a content topic, with or without a pubsub topic, without ever reading
//!   rows that do not match.
//! - Each index that is walked in order holds `(timestamp, hash)` and what sync needs beside it:
//!   a walk over a million ids touches no payload.
//! - The rowid of a message is its place in the log of changes, which it shares with removals: one
//!   number after the other, none twice.
//! - Numbers of topics are never given out twice (AUTOINCREMENT): connections remember them.

use rusqlite::{Connection, TransactionBehavior};

use super::error::sql;
use crate::error::{Result, bail};

/// `WKSA`: names the format in the file's header.
const APPLICATION_ID: i32 = 0x574b_5341;

/// What takes a file from each version to the next; version 0 is an empty file.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE pubsub_topic(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE content_topic(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE channel(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        content INTEGER NOT NULL,
        pubsub INTEGER NOT NULL,
        UNIQUE(content, pubsub)
    ) STRICT;
    CREATE TABLE message(
        id INTEGER PRIMARY KEY,
        timestamp INTEGER NOT NULL,
        channel INTEGER NOT NULL,
        pubsub INTEGER NOT NULL,
        origin INTEGER NOT NULL,
        hash BLOB NOT NULL,
        version INTEGER,
        ephemeral INTEGER,
        meta BLOB,
        rate_limit_proof BLOB,
        payload BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX message_by_hash ON message(hash);
    CREATE INDEX message_by_time ON message(timestamp, hash, channel);
    CREATE INDEX message_by_channel ON message(channel, timestamp, hash);
    CREATE INDEX message_by_pubsub ON message(pubsub, timestamp, hash, channel);
    CREATE TABLE figures(
        id INTEGER PRIMARY KEY CHECK(id = 1),
        messages INTEGER NOT NULL
    ) STRICT;
    INSERT INTO figures VALUES(1, 0);
",
    "
    CREATE TABLE tombstone(hash BLOB PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;
    ALTER TABLE figures ADD COLUMN tombstones INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE figures ADD COLUMN floor INTEGER;
",
    // The change feed; see `changes.rs`.
    "
    CREATE TABLE removed(
        seq INTEGER PRIMARY KEY,
        timestamp INTEGER NOT NULL,
        hash BLOB NOT NULL,
        channel INTEGER NOT NULL,
        origin INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE expired(
        seq INTEGER PRIMARY KEY,
        timestamp INTEGER NOT NULL,
        hash BLOB NOT NULL
    ) STRICT;
    ALTER TABLE figures ADD COLUMN feed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE figures ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE figures ADD COLUMN trimmed INTEGER NOT NULL DEFAULT 0;
    UPDATE figures SET feed = random() | 1, seq = (SELECT coalesce(max(id), 0) FROM message);
    -- Figures by channel: messages, and bytes of what they carry.
    ALTER TABLE channel ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE channel ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX channel_by_pubsub ON channel(pubsub);
    UPDATE channel SET (messages, bytes) = (
        SELECT count(*), coalesce(sum(length(payload) + coalesce(length(meta), 0)
                                      + coalesce(length(rate_limit_proof), 0)), 0)
        FROM message INDEXED BY message_by_channel WHERE message.channel = channel.id
    );
",
    // So that a question for hashes is put in order without reading rows. (The timestamp is part of
    // what is hashed: no two messages have one hash and different timestamps.)
    "
    DROP INDEX message_by_hash;
    CREATE UNIQUE INDEX message_by_hash ON message(hash, timestamp);
",
];

/// Checks that the file is an archive, or empty, and of no version after ours, and tells of which.
pub(super) fn check(conn: &Connection) -> Result<i64> {
    let latest = MIGRATIONS.len() as i64;
    let read = sql("reading the archive's header");
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(&read);
    // In one transaction: another process may be making the archive just now, and half of what it
    // makes would look like something else.
    let tx = conn.unchecked_transaction().map_err(&read)?;
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let is_empty =
        application == 0 && version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0;
    tx.commit().map_err(&read)?;
    if is_empty {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        bail!(ArchiveCorrupt, "the file is an SQLite database, but not an archive of messages");
    }
    if version > latest {
        bail!(
            SchemaTooNew,
            "the archive has schema version {version}, this library knows up to {latest}"
        );
    }
    if version < 1 {
        bail!(ArchiveCorrupt, "the archive's schema version is {version}");
    }
    Ok(version)
}

/// Checks only that the file says that it is an archive: for who reads of it what there is.
pub(super) fn check_format(conn: &Connection) -> Result<()> {
    let application: i32 = conn
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(sql("reading the archive's header"))?;
    if application != APPLICATION_ID {
        bail!(ArchiveCorrupt, "the file is no archive of messages");
    }
    Ok(())
}

/// Checks that the file is an archive of just our version: for who cannot bring it up to date.
pub(super) fn check_current(conn: &Connection) -> Result<()> {
    let version = check(conn)?;
    if version == 0 {
        bail!(ArchiveOpen, "the file is empty");
    }
    if version < MIGRATIONS.len() as i64 {
        bail!(
            ArchiveReadOnly,
            "the archive has schema version {version} and must be brought up to {}: open it once \
             for writing",
            MIGRATIONS.len()
        );
    }
    Ok(())
}

/// Brings the schema up to date from the version that [`check`] told, in one transaction.
pub(super) fn migrate(conn: &mut Connection, from: i64) -> Result<()> {
    let version = |conn: &Connection| -> rusqlite::Result<i64> {
        conn.query_row("PRAGMA user_version", [], |row| row.get(0))
    };
    let fail = sql("bringing the archive's schema up to date");
    if from >= MIGRATIONS.len() as i64 {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fail)?;
    // Read again under the lock: another process may have been faster.
    let from = version(&tx).map_err(&fail)?;
    for (script, to) in MIGRATIONS.iter().zip(1i64..).filter(|(_, to)| *to > from) {
        tx.execute_batch(script).map_err(&fail)?;
        tx.pragma_update(None, "user_version", to).map_err(&fail)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(&fail)?;
    tx.commit().map_err(&fail)
}
