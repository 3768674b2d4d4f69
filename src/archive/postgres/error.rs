//! What PostgreSQL says, in the words of this crate, and what may be done about it.
//!
//! What must hold: the details of a server's error, which may quote a row, go nowhere.

use std::error::Error as _;

use postgres::Error as Sql;
use postgres::error::SqlState;

use crate::error::{Error, ErrorKind};

/// What a driver may do about an error, once or a few times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cure {
    /// Nothing.
    None,
    /// The connection is gone, or of no use: a new one, and again.
    Reconnect,
    /// The partitions are not those that we knew: read them anew, and again.
    Reload,
    /// Another transaction was in the way: again.
    Again,
}

/// An error, and what may be done about it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: Error,
    pub(super) cure: Cure,
}

pub(super) type Outcome<T> = std::result::Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault { error, cure: Cure::None }
    }
}

/// Translates an error that came up while doing `what` ("reading the archive").
pub(super) fn sql(what: &'static str) -> impl Fn(Sql) -> Fault {
    move |e| {
        let (kind, cure) = judge(&e);
        Fault { error: Error::new(kind, text(&e)).context(what), cure }
    }
}

/// The archive's content is not what this library writes.
pub(super) fn corrupt(what: impl Into<String>) -> Fault {
    Error::new(ErrorKind::ArchiveCorrupt, what).context("the archive is damaged").into()
}

/// No connection can be had, or not soon enough.
pub(super) fn unavailable(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::ArchiveUnavailable, what).context("the database cannot be reached")
}

/// Why no connection could be made. What a retry will not cure is an error of opening.
pub(super) fn connecting(e: &Sql) -> Error {
    if let Some(state) = e.code() {
        let cannot = [
            SqlState::INVALID_CATALOG_NAME,
            SqlState::INVALID_PASSWORD,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            SqlState::INSUFFICIENT_PRIVILEGE,
        ];
        if cannot.contains(state) {
            return Error::new(ErrorKind::ArchiveOpen, text(e)).context("opening the database");
        }
    }
    unavailable(text(e))
}

/// The message of the server, or of whatever failed underneath, without details.
fn text(e: &Sql) -> String {
    if let Some(db) = e.as_db_error() {
        return format!("{} (SQLSTATE {})", db.message(), db.code().code());
    }
    match e.source() {
        Some(source) => format!("{e}: {source}"),
        None => e.to_string(),
    }
}

fn judge(e: &Sql) -> (ErrorKind, Cure) {
    let Some(state) = e.code() else {
        // Not of the server: the connection broke, or a value is not of the type that we wrote.
        let closed =
            e.is_closed() || e.source().is_some_and(|source| source.is::<std::io::Error>());
        return if closed {
            (ErrorKind::ArchiveUnavailable, Cure::Reconnect)
        } else {
            (ErrorKind::ArchiveIo, Cure::Reconnect)
        };
    };
    match *state {
        SqlState::DISK_FULL => (ErrorKind::DiskFull, Cure::None),
        SqlState::READ_ONLY_SQL_TRANSACTION => (ErrorKind::ArchiveReadOnly, Cure::Reconnect),
        SqlState::INSUFFICIENT_PRIVILEGE => (ErrorKind::ArchiveReadOnly, Cure::None),
        SqlState::QUERY_CANCELED => (ErrorKind::TimedOut, Cure::None),
        SqlState::LOCK_NOT_AVAILABLE => (ErrorKind::ArchiveLocked, Cure::None),
        // A message that is there already, among many that are copied in: see `bulk`.
        SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::UNIQUE_VIOLATION => (ErrorKind::ArchiveLocked, Cure::Again),
        // A table or a partition that was there: another node has removed or added it.
        SqlState::UNDEFINED_TABLE | SqlState::CHECK_VIOLATION => {
            (ErrorKind::ArchiveCorrupt, Cure::Reload)
        }
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
            (ErrorKind::ArchiveCorrupt, Cure::None)
        }
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::DATABASE_DROPPED
        | SqlState::IDLE_SESSION_TIMEOUT
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
            (ErrorKind::ArchiveUnavailable, Cure::Reconnect)
        }
        ref other if other.code().starts_with("08") => {
            (ErrorKind::ArchiveUnavailable, Cure::Reconnect)
        }
        // A connection pooler that hands out another session for each transaction.
        SqlState::INVALID_SQL_STATEMENT_NAME => (ErrorKind::ArchiveIo, Cure::Reconnect),
        ref other if other.code().starts_with("53") => (ErrorKind::ArchiveUnavailable, Cure::None),
        _ => (ErrorKind::ArchiveIo, Cure::None),
    }
}
