//! Opening: the path, the file, the connection and its settings.
//!
//! What must hold: a path is taken literally; the file is ours alone to read; and no descriptor of
//! a database file that SQLite may have open in this process is ever closed by us, because that
//! would drop SQLite's locks on it (POSIX locks belong to the process, not to the descriptor).

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::sql;
use super::{Durability, cipher, schema};
use crate::archive::Key;
use crate::error::{Error, ErrorKind, Result, bail};

/// How long a connection waits for another's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection's page cache, in KiB: an upper bound, taken up as it is needed. A question for a
/// thousand hashes, the most that one may name, reads up to ten MiB of pages: less than that and
/// the same question, asked again, would read each of them again.
const READER_CACHE_KIB: i64 = 32 * 1024;
/// That of the writer: SQLite goes through all of its cache at every commit in which pages changed
/// places, as they do where an index is filled at random. It holds what is written to all the time;
/// of the index by hash, in a large archive, no cache would hold more than a part.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
/// The WAL is carried over into the file once it has so many pages. More make for fewer, longer
/// stalls.
pub(super) const CHECKPOINT_PAGES: i32 = 4_000;
/// Once the WAL's file is longer than this, in bytes, the writer makes readers let go of it, so that
/// it begins anew; and to this it is cut when it does.
pub(super) const WAL_LIMIT: u32 = 32 * 1024 * 1024;
/// Between attempts at what SQLite itself would not wait for.
const RETRY: Duration = Duration::from_millis(5);
/// `PRAGMA auto_vacuum`: free pages are given back when that is asked for.
const INCREMENTAL: i64 = 2;
/// Prepared statements that are kept; all of ours.
const STATEMENTS: usize = 128;

/// Where an archive is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In memory, on one connection.
    Memory,
    /// In the file at this absolute path.
    File(PathBuf),
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
}

/// How an archive is opened, apart from where it is.
#[derive(Clone, Debug)]
pub(super) struct How {
    pub(super) durability: Durability,
    /// What it is encrypted with, if it is.
    pub(super) key: Option<Key>,
}

impl Place {
    /// `:memory:`, or a path made absolute: SQLite is built to take what begins with `file:` for
    /// a URI whatever the flags say, and an absolute path never does.
    pub(super) fn of(path: &Path) -> Result<Place> {
        if path.as_os_str() == ":memory:" {
            return Ok(Place::Memory);
        }
        let absolute = std::path::absolute(path).map_err(|e| {
            Error::new(ErrorKind::ArchiveOpen, format!("{path:?} is no path for an archive: {e}"))
        })?;
        Ok(Place::File(absolute))
    }
}

/// Opens the archive for the first time: creates what is not there, checks what is, and brings it
/// up to date.
pub(super) fn open(place: &Place, how: &How) -> Result<Connection> {
    match place {
        Place::Memory if how.key.is_some() => {
            bail!(InvalidArgument, "an archive in memory has no key")
        }
        Place::Memory => prepare(place, how),
        Place::File(path) => {
            // Between our creating the file (and closing it) and SQLite's opening it no other
            // thread may have it open; see above.
            static OPENING: Mutex<()> = Mutex::new(());
            let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
            create_file(path)?;
            prepare(place, how).map_err(|e| e.context(path.display()))
        }
    }
}

/// Creates the file, empty and for its owner alone, where there is none. SQLite gives its side
/// files the same mode.
fn create_file(path: &Path) -> Result<()> {
    let fail = |e: &dyn std::fmt::Display| {
        Error::new(ErrorKind::ArchiveOpen, format!("cannot open {}: {e}", path.display()))
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        // Some systems say this of an existing file too.
        Err(_) if path.exists() => {}
        Err(e) => return Err(fail(&e)),
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(fail(&"it is a directory")),
        Ok(found) if !found.is_file() => Err(fail(&"it is not a file")),
        Ok(_) => Ok(()),
        Err(e) => Err(fail(&e)),
    }
}

fn prepare(place: &Place, how: &How) -> Result<Connection> {
    let mut conn = connect(place, how, Role::Writer)?;
    let version = schema::check(&conn)?;
    // So that what retention frees can be given back. It takes effect in a file that is empty yet;
    // one that an earlier release made keeps its free pages for what comes. Where it is so already,
    // to say it again would be a commit: opening a file must not change it.
    let fail = sql("setting the file up");
    let vacuum = || conn.pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0));
    if vacuum().map_err(&fail)? != INCREMENTAL {
        patiently(|| conn.pragma_update(None, "auto_vacuum", INCREMENTAL)).map_err(&fail)?;
    }
    if *place != Place::Memory {
        let mode = turn_to_wal(&conn).map_err(sql("turning to write-ahead logging"))?;
        if mode != "wal" {
            bail!(
                ArchiveOpen,
                "write-ahead logging is not possible here (journal mode {mode}): the file must be \
                 on a local file system"
            );
        }
    }
    schema::migrate(&mut conn, version)?;
    Ok(conn)
}

/// Turns to write-ahead logging; the mode that the file is in then.
fn turn_to_wal(conn: &Connection) -> rusqlite::Result<String> {
    patiently(|| conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)))
}

/// Does this again while the file is locked, for as long as the busy timeout. A fresh file is locked
/// for these without waiting, whatever that timeout: where several processes open it, all but one
/// would fail.
fn patiently<T>(mut f: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let begin = Instant::now();
    loop {
        match f() {
            Err(e)
                if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begin.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(RETRY);
            }
            result => return result,
        }
    }
}

/// A connection with its settings. Nothing of the file is read yet, unless it is encrypted.
pub(super) fn connect(place: &Place, how: &How, role: Role) -> Result<Connection> {
    // Each connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match place {
        Place::Memory => Connection::open_in_memory_with_flags(flags),
        Place::File(path) => Connection::open_with_flags(path, flags),
    }
    .map_err(sql("opening the archive"))?;
    let fail = sql("setting up the archive's connection");
    // SQLite falls back to reading where it may not write.
    if conn.is_readonly("main").map_err(&fail)? {
        bail!(ArchiveReadOnly, "the archive's file cannot be written");
    }
    set_up(&conn, place, how, role)?;
    Ok(conn)
}

/// Settings of a connection that was just opened.
pub(super) fn set_up(conn: &Connection, place: &Place, how: &How, role: Role) -> Result<()> {
    let fail = sql("setting up the archive's connection");
    conn.busy_timeout(BUSY_TIMEOUT).map_err(&fail)?;
    if let Some(key) = &how.key {
        cipher::unlock(conn, place, key)?;
    }
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // The file may come from a stranger: nothing in its schema is to be run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(&fail)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(&fail)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).map_err(&fail)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false).map_err(&fail)?;
    let synchronous = if how.durability == Durability::Full { "FULL" } else { "NORMAL" };
    // Without mmap: there an I/O error, or a file that is cut short under us, would be a signal
    // that ends the host.
    let settings: [(&str, &dyn rusqlite::ToSql); 6] = [
        ("mmap_size", &0),
        ("cell_size_check", &true),
        ("temp_store", &"MEMORY"),
        ("synchronous", &synchronous),
        ("wal_autocheckpoint", &CHECKPOINT_PAGES),
        ("journal_size_limit", &WAL_LIMIT),
    ];
    for (name, value) in settings {
        conn.pragma(None, name, value, |_| Ok(())).map_err(&fail)?;
    }
    take_role(conn, role)
}

/// From now on the connection is for this.
pub(super) fn take_role(conn: &Connection, role: Role) -> Result<()> {
    let cache = match role {
        Role::Writer => WRITER_CACHE_KIB,
        Role::Reader => READER_CACHE_KIB,
    };
    conn.pragma(None, "cache_size", -cache, |_| Ok(()))
        .and_then(|()| conn.pragma_update(None, "query_only", role == Role::Reader))
        .map_err(sql("setting up the archive's connection"))
}

/// As the tests of single statements open it.
#[cfg(test)]
pub(super) fn in_memory() -> Connection {
    open(&Place::Memory, &How { durability: Durability::Full, key: None }).unwrap()
}
