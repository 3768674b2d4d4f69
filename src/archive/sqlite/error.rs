//! What SQLite says, in the words of this crate.

use rusqlite::ffi;
use rusqlite::{Error as Sql, ErrorCode};

use crate::error::{Error, ErrorKind};

/// Translates an error that came up while doing `what` ("reading the archive").
pub(in crate::archive) fn sql(what: &'static str) -> impl Fn(Sql) -> Error {
    move |e| {
        let hint = match e.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                " (it is something else, or damaged, or encrypted and no key was given)"
            }
            _ => "",
        };
        Error::new(kind(&e), format!("{e}{hint}")).context(what)
    }
}

/// The archive's content is not what this library writes.
pub(super) fn corrupt(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::ArchiveCorrupt, what).context("the archive is damaged")
}

fn kind(e: &Sql) -> ErrorKind {
    let Some(failure) = e.sqlite_error() else {
        return match e {
            // A value is not of the type that we wrote.
            Sql::FromSqlConversionFailure(..)
            | Sql::IntegralValueOutOfRange(..)
            | Sql::Utf8Error(..)
            | Sql::InvalidColumnType(..)
            // A row that is always there.
            | Sql::QueryReturnedNoRows => ErrorKind::ArchiveCorrupt,
            Sql::NulError(_) | Sql::InvalidPath(_) => ErrorKind::ArchiveOpen,
            _ => ErrorKind::ArchiveIo,
        };
    };
    match failure.extended_code {
        // The shared memory's file could not grow: SQLite has no other word for a full disk there.
        ffi::SQLITE_IOERR_SHMSIZE => return ErrorKind::DiskFull,
        // A figure that is nothing, added to: it was something when it was written.
        ffi::SQLITE_CONSTRAINT_NOTNULL => return ErrorKind::ArchiveCorrupt,
        ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS => {
            return ErrorKind::ArchiveCorrupt;
        }
        // Our statements are always the same: where one does not fit the tables, these are not ours.
        // (And SQLCipher has no other word for a page whose authentication fails.)
        ffi::SQLITE_ERROR | ffi::SQLITE_MISMATCH => return ErrorKind::ArchiveCorrupt,
        _ => {}
    }
    match failure.code {
        ErrorCode::DiskFull => ErrorKind::DiskFull,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => ErrorKind::ArchiveCorrupt,
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => ErrorKind::ArchiveLocked,
        ErrorCode::ReadOnly => ErrorKind::ArchiveReadOnly,
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => ErrorKind::ArchiveOpen,
        _ => ErrorKind::ArchiveIo,
    }
}
