//! The driver on one connection.
//!
//! Every call is one transaction: a put is all or nothing, and a question sees one state however
//! many statements it takes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, params};

use super::checkpoint::Checkpointer;
use super::error::sql;
use super::open::{BUSY_TIMEOUT, How, Place, Role, WAL_LIMIT};
use super::scan::{self, Source, Sources, Span};
use super::topic_stats::{self, Tally, content_bytes};
use super::topics::Topics;
use super::{
    backup, changes, index_walk, lookup, open, page, read_only, removal, scan::Key, verify,
};
use crate::archive::{
    BackupReport, Changes, Commit, Control, Driver, FeedItem, Figures, IndexEntry, IndexQuery,
    Position, Removal, Stats, TopicQuery, TopicStats, VerifyReport,
};
use crate::error::Result;
use crate::types::{Direction, MessageHash, Origin, Page, Query, StoredMessage, Timestamp};

const WRITING: &str = "writing the archive";
const READING: &str = "reading the archive";
/// How long a checkpoint waits for readers. Ours hold a transaction for one call only.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(200);
/// What the WAL grows by, in bytes, between attempts at making it begin anew: a reader that stays
/// must not cost every commit the wait.
const CHECKPOINT_STEP: u64 = 8 * 1024 * 1024;

pub(super) struct Sqlite {
    conn: Connection,
    topics: Topics,
    place: Place,
    how: How,
    role: Role,
    /// The length of the WAL's file beyond which it is to begin anew.
    wal_limit: u64,
    /// Where this is the writer of a file.
    checkpointer: Option<Checkpointer>,
    last_commit: Option<Commit>,
}

impl Sqlite {
    pub(super) fn new(conn: Connection, place: Place, how: How, role: Role) -> Self {
        let (topics, wal_limit) = (Topics::default(), WAL_LIMIT.into());
        let writes = role == Role::Writer && place != Place::Memory;
        let checkpointer = writes.then(|| Checkpointer::new(&conn, &place, &how));
        Sqlite { conn, topics, place, how, role, wal_limit, checkpointer, last_commit: None }
    }

    /// Carries the WAL over into the file, waiting a little for readers. Whether all of it was.
    fn checkpoint(&self, how: &str) -> bool {
        let pragma = format!("PRAGMA wal_checkpoint({how})");
        let _ = self.conn.busy_timeout(CHECKPOINT_PATIENCE);
        let busy = self.conn.query_row(&pragma, [], |row| row.get::<_, i64>(0));
        let _ = self.conn.busy_timeout(BUSY_TIMEOUT);
        busy == Ok(0)
    }

    /// A backup that gets its name only if this holds when it is done.
    pub(super) fn backup_if(
        &self,
        to: &Path,
        replace: bool,
        control: &Control,
        holds: &dyn Fn() -> bool,
    ) -> Result<BackupReport> {
        backup::backup(&self.conn, &self.how, to, replace, control, holds)
    }

    fn read<T>(&mut self, f: impl FnOnce(&Connection, &mut Topics) -> Result<T>) -> Result<T> {
        let tx = Tx::begin(&self.conn, "BEGIN", READING)?;
        let result = f(&self.conn, &mut self.topics)?;
        tx.commit()?;
        Ok(result)
    }
}

/// A transaction that is rolled back unless it is committed. Its statements are prepared once, which
/// rusqlite's own are not.
pub(super) struct Tx<'c> {
    conn: &'c Connection,
    what: &'static str,
}

impl<'c> Tx<'c> {
    pub(super) fn begin(conn: &'c Connection, how: &str, what: &'static str) -> Result<Self> {
        conn.prepare_cached(how).and_then(|mut s| s.execute([])).map_err(sql(what))?;
        Ok(Tx { conn, what })
    }

    pub(super) fn commit(self) -> Result<()> {
        self.conn
            .prepare_cached("COMMIT")
            .and_then(|mut s| s.execute([]))
            .map(drop)
            .map_err(sql(self.what))
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        // After a commit there is nothing to roll back, and SQLite rolls some errors back itself.
        if !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }
}

impl Driver for Sqlite {
    fn put(&mut self, batch: &[(StoredMessage, Origin)]) -> Result<Vec<bool>> {
        let result = insert(&self.conn, &mut self.topics, batch);
        if result.is_err() {
            self.topics.forget();
        }
        let (new, commit) = result?;
        self.last_commit = Some(commit);
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.after_commit(&self.conn);
        }
        Ok(new)
    }

    /// Keeps the WAL short. Mostly checkpoints wait for no one, and the WAL begins anew only at a
    /// moment when nobody reads from it: with busy readers, never.
    fn after_put(&mut self) {
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.upkeep(&self.conn);
        }
        let Place::File(path) = &self.place else { return };
        let length = length(&side(path, "-wal"));
        if length <= WAL_LIMIT.into() {
            // It may have begun anew without us; what earlier attempts allowed for is over.
            self.wal_limit = WAL_LIMIT.into();
        } else if length > self.wal_limit {
            // Then the next commit begins the WAL anew and cuts its file to the limit.
            let done = self.checkpoint("RESTART");
            self.wal_limit = if done { WAL_LIMIT.into() } else { length + CHECKPOINT_STEP };
        }
    }

    fn query(&mut self, query: &Query) -> Result<Page> {
        self.read(|conn, topics| page::page(conn, topics, query))
    }

    fn get(&mut self, hashes: &[MessageHash]) -> Result<Vec<StoredMessage>> {
        self.read(|conn, topics| {
            let mut seen = HashSet::with_capacity(hashes.len());
            let mut found = Vec::new();
            for hash in hashes.iter().filter(|&&hash| seen.insert(hash)) {
                found.extend(page::get(conn, topics, hash)?);
            }
            Ok(found)
        })
    }

    fn missing(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        // In the order of the index: neighbours are on the same page, which is then at hand.
        let mut sorted: Vec<(MessageHash, usize)> = hashes.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        sorted.dedup_by_key(|(hash, _)| *hash);
        let (sorted, places): (Vec<MessageHash>, Vec<usize>) = sorted.into_iter().unzip();
        let mut missing = self.read(|conn, _| {
            let mut missing = lookup::missing(conn, &sorted)?;
            if removal::any_taken_down(conn)? {
                let mut known = Vec::new();
                for &i in &missing {
                    if removal::is_taken_down(conn, &sorted[i])? {
                        known.push(i);
                    }
                }
                missing.retain(|i| known.binary_search(i).is_err());
            }
            Ok(missing)
        })?;
        missing.sort_unstable_by_key(|&i| places[i]);
        Ok(missing.into_iter().map(|i| sorted[i]).collect())
    }

    fn index(&mut self, query: &IndexQuery) -> Result<Vec<IndexEntry>> {
        self.read(|conn, topics| {
            let sources = page::index_sources(conn, query)?;
            if matches!(&sources, Sources::Of(one) if one.as_slice() == [Source::Time]) {
                return index_walk::all(conn, topics, query);
            }
            let span = Span::new(&query.time, query.after, Direction::Forward);
            let keys = scan::keys(conn, &sources, span, query.limit)?;
            let entry = |key: Key| {
                let (pubsub_topic, content_topic) = topics.names(conn, key.channel)?;
                Ok(IndexEntry { id: key.id, pubsub_topic, content_topic })
            };
            keys.into_iter().map(entry).collect()
        })
    }

    fn remove(&mut self, removal: &Removal) -> Result<Vec<FeedItem>> {
        let tx = Tx::begin(&self.conn, "BEGIN IMMEDIATE", WRITING)?;
        let mut head = changes::head(&self.conn)?;
        let before = head.position();
        let removed = removal::remove(&self.conn, &mut self.topics, removal, &mut head);
        if removed.is_ok() {
            tx.commit()?;
            self.last_commit = Some(Commit { before, at: head.position(), settled: true });
            removal::give_back(&self.conn);
            if let Some(checkpointer) = &mut self.checkpointer {
                checkpointer.after_commit(&self.conn);
                checkpointer.upkeep(&self.conn);
            }
        } else {
            drop(tx);
            self.topics.forget();
        }
        removed
    }

    fn position(&mut self) -> Result<Position> {
        self.read(|conn, _| Ok(changes::head(conn)?.position()))
    }

    fn changes(&mut self, after: Position, limit: usize) -> Result<Changes> {
        self.read(|conn, topics| changes::changes(conn, topics, after, limit))
    }

    fn last_commit(&mut self) -> Option<Commit> {
        self.last_commit
    }

    /// SQLite counts what other connections commit: nothing is read for it but one number in shared
    /// memory.
    fn foreign_mark(&mut self) -> Result<Option<u64>> {
        if self.place == Place::Memory {
            return Ok(None);
        }
        self.conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut s| s.query_row([], |row| row.get::<_, i64>(0)))
            .map(|version| Some(version.cast_unsigned()))
            .map_err(sql(READING))
    }

    fn taken_down(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        self.read(|conn, _| {
            if !removal::any_taken_down(conn)? {
                return Ok(Vec::new());
            }
            let mut down = Vec::new();
            for hash in hashes {
                if removal::is_taken_down(conn, hash)? {
                    down.push(*hash);
                }
            }
            Ok(down)
        })
    }

    fn topic_stats(&mut self, query: &TopicQuery) -> Result<Vec<TopicStats>> {
        self.read(|conn, _| topic_stats::page(conn, query))
    }

    fn tombstones(&mut self, after: Option<MessageHash>, limit: usize) -> Result<Vec<MessageHash>> {
        self.read(|conn, _| removal::tombstones(conn, after, limit))
    }

    fn reinstate(&mut self, hashes: &[MessageHash]) -> Result<u64> {
        let tx = Tx::begin(&self.conn, "BEGIN IMMEDIATE", WRITING)?;
        let lifted = removal::reinstate(&self.conn, hashes)?;
        tx.commit()?;
        Ok(lifted)
    }

    fn backup(&mut self, to: &Path, replace: bool, control: &Control) -> Result<BackupReport> {
        self.backup_if(to, replace, control, &|| true)
    }

    fn verify(&mut self, control: &Control) -> Result<VerifyReport> {
        let reopen = || match (&self.place, self.role) {
            (Place::File(path), Role::Reader) => {
                read_only::connect(path, &self.how).map(|(conn, _)| conn)
            }
            _ => open::connect(&self.place, &self.how, self.role),
        };
        // One in memory is not encrypted.
        verify::verify(&self.conn, self.how.key.is_some().then_some(&reopen), control)
    }

    fn figures(&mut self) -> Result<Figures> {
        let used_bytes = match &self.place {
            Place::Memory => 0,
            Place::File(_) => removal::used_bytes(&self.conn)?,
        };
        self.read(|conn, _| removal::figures(conn, used_bytes))
    }

    fn floor(&mut self) -> Result<Timestamp> {
        removal::floor(&self.conn)
    }

    fn stats(&mut self) -> Result<Stats> {
        let bytes_on_disk = match &self.place {
            Place::Memory => 0,
            Place::File(path) => bytes_on_disk(path),
        };
        self.read(|conn, _| {
            let get = |text: &str| {
                let mut statement = conn.prepare_cached(text)?;
                statement.query_row([], |row| row.get::<_, Option<i64>>(0))
            };
            let stats = || -> rusqlite::Result<Stats> {
                let messages = get("SELECT messages FROM figures")?.unwrap_or(0);
                Ok(Stats {
                    messages: u64::try_from(messages).unwrap_or(0),
                    oldest: get("SELECT min(timestamp) FROM message")?.map(Timestamp),
                    newest: get("SELECT max(timestamp) FROM message")?.map(Timestamp),
                    bytes_on_disk,
                })
            };
            stats().map_err(sql(READING))
        })
    }

    /// Carries the WAL over into the file. A failure loses nothing: the WAL stays and is read when
    /// the archive is opened again. Only the writer does, which closes last: a checkpoint of a
    /// reader's would keep it from the puts that it still has.
    fn close(&mut self) {
        drop(self.checkpointer.take());
        if self.role == Role::Writer {
            self.checkpoint("TRUNCATE");
        }
    }
}

pub(super) fn insert(
    conn: &Connection,
    topics: &mut Topics,
    batch: &[(StoredMessage, Origin)],
) -> Result<(Vec<bool>, Commit)> {
    // Takes the lock for writing at once: a transaction that begins by reading could be refused
    // it later, whatever it is ready to wait.
    let tx = Tx::begin(conn, "BEGIN IMMEDIATE", WRITING)?;
    removal::check_put(conn, batch)?;
    let fail = sql(WRITING);
    let mut new = Vec::with_capacity(batch.len());
    let mut head = changes::head(conn)?;
    let before = head.position();
    let mut filed = Vec::with_capacity(batch.len());
    {
        let mut statement = conn
            .prepare_cached(
                "INSERT INTO message(timestamp, channel, pubsub, origin, hash, version, ephemeral,
                                     meta, rate_limit_proof, payload, id)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT(hash, timestamp) DO NOTHING",
            )
            .map_err(&fail)?;
        for (stored, origin) in batch {
            let m = &stored.message;
            let channel = topics.intern(conn, &stored.pubsub_topic, &m.content_topic)?;
            let rows = statement
                .execute(params![
                    stored.timestamp().nanos(),
                    channel.id,
                    channel.pubsub,
                    *origin as u8,
                    &stored.hash.as_bytes()[..],
                    m.version,
                    m.ephemeral,
                    m.meta.as_deref(),
                    m.rate_limit_proof.as_deref(),
                    &m.payload[..],
                    head.next(),
                ])
                .map_err(&fail)?;
            if rows == 1 {
                head.advance();
            }
            new.push(rows == 1);
            filed.push((channel.id, content_bytes(m)));
        }
    }
    let mut grown = Tally::default();
    for ((channel, bytes), _) in filed.into_iter().zip(&new).filter(|(_, new)| **new) {
        grown.add(channel, 1, bytes);
    }
    grown.write(conn).map_err(&fail)?;
    let count = new.iter().filter(|new| **new).count();
    if count > 0 {
        conn.prepare_cached("UPDATE figures SET messages = messages + ?1, seq = ?2")
            .and_then(|mut s| s.execute([i64::try_from(count).unwrap_or(i64::MAX), head.last()]))
            .map_err(&fail)?;
    }
    tx.commit()?;
    Ok((new, Commit { before, at: head.position(), settled: true }))
}

/// A file that SQLite keeps beside this one.
pub(super) fn side(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// The length of a file; 0 where there is none.
pub(super) fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// The file and its side files, as far as they are there.
fn bytes_on_disk(path: &Path) -> u64 {
    length(path) + length(&side(path, "-wal")) + length(&side(path, "-shm"))
}
