//! A connection to a file that is not trusted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::archive::sqlite::error::sql;
use crate::error::{Error, ErrorKind, Result, bail};

/// How long a connection waits for another's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The page cache, in KiB: an upper bound.
const CACHE_KIB: i64 = 16 * 1024;
/// Instructions of SQLite's machine between looks at how many it has taken.
const STEP: i32 = 10_000;
/// What one batch may take: some hundred times what the largest does.
const PATIENCE: u64 = 100_000_000;
/// Our own archive's mark in the header, to say so.
const OURS: i64 = 0x574b_5341;

/// What SQLite may be asked for, by us or by the file. The longest value is well above the largest
/// message, the longest statement well above what the schema of a nwaku takes.
const LIMITS: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, 1024 * 1024),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 * 1024),
    (Limit::SQLITE_LIMIT_COLUMN, 64),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 32),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 4),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 8),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// A budget of work, which is filled up again before each step; beyond it SQLite is interrupted.
#[derive(Clone, Default)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    pub(super) fn fill_up(&self) {
        self.0.store(PATIENCE, Ordering::Relaxed);
    }

    fn spend(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(STEP.unsigned_abs().into());
        self.0.store(left, Ordering::Relaxed);
        left == 0
    }
}

/// A path made absolute: SQLite is built to take what begins with `file:` for a URI whatever the
/// flags say, and an absolute path never does. What is there must be a file: a pipe would be waited
/// for.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(|e| {
        Error::new(ErrorKind::ArchiveOpen, format!("this is no path of a file: {e}"))
    })?;
    match std::fs::metadata(&path) {
        Ok(found) if !found.is_file() => bail!(ArchiveOpen, "it is not a file"),
        // What is not there, or cannot be looked at, is for SQLite to say.
        _ => Ok(path),
    }
}

/// Translates an error that came up while doing `what` with a file that may be made to do harm:
/// what it asks for beyond the limits is its fault.
pub(super) fn fault(what: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |e| match e.sqlite_error_code() {
        Some(ErrorCode::TooBig) => Error::new(
            ErrorKind::ArchiveCorrupt,
            format!("{what}: it has a value that is longer than any of nwaku's"),
        ),
        Some(ErrorCode::OperationInterrupted) => Error::new(
            ErrorKind::ArchiveCorrupt,
            format!("{what}: it takes more work than any of nwaku's would"),
        ),
        _ => sql(what)(e),
    }
}

/// A connection to the file, set up so that it can do no harm; and its budget, filled up.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<(Connection, Budget)> {
    set_up(path, flags, false)
}

/// The same, with nobody else at the file as long as it lasts.
pub(super) fn connect_alone(path: &Path, flags: OpenFlags) -> Result<(Connection, Budget)> {
    set_up(path, flags, true)
}

fn set_up(path: &Path, flags: OpenFlags, alone: bool) -> Result<(Connection, Budget)> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(sql("opening nwaku's file"))?;
    let fail = sql("setting up the connection to nwaku's file");
    conn.busy_timeout(BUSY_TIMEOUT).map_err(&fail)?;
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    ] {
        conn.set_db_config(config, on).map_err(&fail)?;
    }
    for (limit, value) in LIMITS {
        conn.set_limit(limit, value).map_err(&fail)?;
    }
    let budget = Budget::default();
    budget.fill_up();
    let spending = budget.clone();
    conn.progress_handler(STEP, Some(move || spending.spend())).map_err(&fail)?;
    // Without mmap: there a file that is cut short under us would be a signal that ends the host.
    let settings: [(&str, &dyn rusqlite::ToSql); 4] = [
        ("mmap_size", &0),
        ("cell_size_check", &true),
        ("cache_size", &-CACHE_KIB),
        ("temp_store", &"MEMORY"),
    ];
    for (name, value) in settings {
        conn.pragma(None, name, value, |_| Ok(())).map_err(&fail)?;
    }
    if alone {
        // Before anything of the file is read: only then is a write-ahead log locked too.
        conn.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(&fail)?;
    }
    let mark: i64 = conn
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(fault("reading the header of nwaku's file"))?;
    if mark == OURS {
        bail!(ArchiveCorrupt, "this is an archive of this library, not one of nwaku's");
    }
    Ok((conn, budget))
}
