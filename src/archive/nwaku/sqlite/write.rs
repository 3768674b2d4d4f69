//! Writing a file as nwaku keeps it, in its schema version 10: what nwaku 0.28 and all after it
//! read.
//!
//! What must hold: nobody else has the file open meanwhile. nwaku does not wait for another's lock:
//! it would lose what it wanted to store.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::layout::{self, Sent};
use super::open::{self, Budget};
use crate::archive::nwaku::export::{Target, Written};
use crate::archive::sqlite::error::sql;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::StoredMessage;

/// The version of the schema that is written.
const VERSION: i64 = 10;
const WRITING: &str = "writing nwaku's file";

/// The table as nwaku creates it. Topics are blobs there: a text would never be equal to them.
const SCHEMA: &str = "
    CREATE TABLE Message(
        messageHash BLOB NOT NULL PRIMARY KEY,
        pubsubTopic BLOB NOT NULL,
        contentTopic BLOB NOT NULL,
        payload BLOB,
        version INTEGER NOT NULL,
        timestamp INTEGER NOT NULL,
        meta BLOB
    ) WITHOUT ROWID;
    CREATE INDEX i_ts ON Message(timestamp);
    PRAGMA user_version = 10;
";

pub(super) struct File {
    conn: Connection,
    budget: Budget,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let path = open::absolute(path)?;
        create(&path)?;
        let (conn, budget) = open::connect_alone(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if conn.is_readonly("main").map_err(sql(WRITING))? {
            bail!(ArchiveReadOnly, "the file cannot be written");
        }
        let mode: String = conn
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .map_err(sql(WRITING))?;
        if mode != "wal" {
            bail!(ArchiveOpen, "write-ahead logging is not possible here (journal mode {mode})");
        }
        conn.pragma_update(None, "synchronous", "FULL").map_err(sql(WRITING))?;
        prepare(&conn)?;
        Ok(File { conn, budget })
    }
}

/// Creates the file, empty and for its owner alone, where there is none.
fn create(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(Error::new(ErrorKind::ArchiveOpen, format!("cannot create the file: {e}"))),
    }
}

/// The schema, in one transaction, where the file is empty; else a check that it is this one.
fn prepare(conn: &Connection) -> Result<()> {
    let number =
        |text: &str| conn.query_row(text, [], |row| row.get::<_, i64>(0)).map_err(sql(WRITING));
    let version = number("PRAGMA user_version")?;
    if version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        let tx = conn.unchecked_transaction().map_err(sql(WRITING))?;
        tx.execute_batch(SCHEMA).map_err(sql(WRITING))?;
        return tx.commit().map_err(sql(WRITING));
    }
    let layout = layout::read(conn)?;
    let latest = layout.sent == Sent::Timestamp && layout.time == "timestamp" && layout.meta;
    // A nwaku that runs without migrations creates the table and leaves the version at 0.
    if !latest || (version != VERSION && version != 0) {
        bail!(
            Unsupported,
            "the file has schema version {version} of nwaku's, and is only added to in version \
             {VERSION}: start a nwaku of 0.28 or later on it once, which brings it up to date"
        );
    }
    Ok(())
}

impl Target for File {
    fn begin(&mut self) -> Result<()> {
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(sql(WRITING))
    }

    fn write(&mut self, messages: &[StoredMessage]) -> Result<Written> {
        self.budget.fill_up();
        let mut statement = self
            .conn
            .prepare_cached(
                "INSERT INTO message(messageHash, pubsubTopic, contentTopic, payload, version,
                                     timestamp, meta)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )
            .map_err(sql(WRITING))?;
        let mut new = 0;
        for stored in messages {
            let m = &stored.message;
            // As nwaku binds it: empty is NULL.
            let filled = |bytes: &bytes::Bytes| (!bytes.is_empty()).then(|| bytes.to_vec());
            let rows = statement
                .execute(params![
                    &stored.hash.as_bytes()[..],
                    stored.pubsub_topic.as_bytes(),
                    m.content_topic.as_bytes(),
                    filled(&m.payload),
                    m.version.unwrap_or(0),
                    stored.timestamp().nanos(),
                    m.meta.as_ref().and_then(filled),
                ])
                .map_err(sql(WRITING))?;
            new += rows as u64;
        }
        Ok(Written { new, refused: 0 })
    }

    fn commit(&mut self) -> Result<()> {
        self.budget.fill_up();
        self.conn.execute_batch("COMMIT").map_err(sql(WRITING))
    }

    /// Carries the write-ahead log over, so that the file alone is all there is.
    fn finish(&mut self) -> Result<()> {
        self.budget.fill_up();
        self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(sql(WRITING))
    }
}
