//! nwaku's archive as a PostgreSQL database.
//!
//! What must hold: what is read is not trusted, neither the columns nor what is in them, and the
//! connection that reads it cannot write; and what is written is in partitions as nwaku makes and
//! names them, because it reads the names.

mod connect;
mod layout;
mod partitions;
mod read;
mod write;

use std::ops::ControlFlow;

use super::report::{ExportOptions, ExportReport, ImportOptions, ImportReport};
use super::{export, import};
use crate::archive::Archive;
use crate::error::Result;

/// Imports the archive of a nwaku from its PostgreSQL database, `postgres://…`, of any schema that
/// was ever deployed (versions 1 to 8). As [`super::import_sqlite`] otherwise: it blocks, is told
/// of, stopped and gone on with in the same way, and nwaku may be running.
///
/// # Errors
/// [`ArchiveOpen`] where the database cannot be reached or the URL is none; [`ArchiveCorrupt`]
/// where its tables are not nwaku's; [`ArchiveIo`] where the connection breaks: what was committed
/// before is here, and told; those of [`super::import_sqlite`].
///
/// [`ArchiveOpen`]: crate::ErrorKind::ArchiveOpen
/// [`ArchiveCorrupt`]: crate::ErrorKind::ArchiveCorrupt
/// [`ArchiveIo`]: crate::ErrorKind::ArchiveIo
pub fn import_postgres(
    url: &str,
    archive: &Archive,
    options: &ImportOptions,
    mut progress: impl FnMut(&ImportReport) -> ControlFlow<()>,
) -> Result<ImportReport> {
    let mut source = read::Database::open(url)?;
    import::run(&mut source, archive, options, &mut progress)
}

/// Writes the archive's messages to nwaku's PostgreSQL database. An empty database is given
/// nwaku's schema 7; one of schema 6 to 8 is added to, also while nwaku runs. Blocks until all is
/// written; `progress` is told after each commit, and stops the export by breaking off.
///
/// What nwaku's tables cannot hold is left out and counted in [`ExportReport::refused`]: a
/// timestamp before 1970, a version beyond 2^31 - 1, a zero byte in a topic. Otherwise as
/// [`super::export_sqlite`].
///
/// # Errors
/// [`ArchiveOpen`] where the database cannot be reached or the URL is none; [`Unsupported`] where
/// it is of an earlier or a later schema, or its partitions leave no room for a message;
/// [`ArchiveCorrupt`] where its tables are not nwaku's; [`ArchiveIo`], [`DiskFull`]; those of
/// reading the archive. What was committed before stays.
///
/// [`ArchiveOpen`]: crate::ErrorKind::ArchiveOpen
/// [`Unsupported`]: crate::ErrorKind::Unsupported
/// [`ArchiveCorrupt`]: crate::ErrorKind::ArchiveCorrupt
/// [`ArchiveIo`]: crate::ErrorKind::ArchiveIo
/// [`DiskFull`]: crate::ErrorKind::DiskFull
pub fn export_postgres(
    archive: &Archive,
    url: &str,
    options: &ExportOptions,
    mut progress: impl FnMut(&ExportReport) -> ControlFlow<()>,
) -> Result<ExportReport> {
    let mut target = write::Database::open(url)?;
    export::run(archive, &mut target, options, &mut progress)
}
