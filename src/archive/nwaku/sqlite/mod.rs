//! nwaku's archive as an SQLite file.
//!
//! What must hold: a file that is read may come from a stranger, may be damaged, and may be written
//! by a running nwaku meanwhile. Nothing of its schema runs: it is opened read-only and defensive,
//! without views, triggers and untrusted functions, and the table is checked to be an ordinary one.

mod layout;
mod open;
mod read;
mod write;

use std::ops::ControlFlow;
use std::path::Path;

use super::report::{ExportOptions, ExportReport, ImportOptions, ImportReport};
use super::{export, import};
use crate::archive::Archive;
use crate::error::Result;

/// Imports the archive of a nwaku (or go-waku) from its SQLite file, of any schema that was ever
/// deployed. Blocks until all of it is here; `progress` is told after each batch, and stops the
/// import by breaking off. The position that it was told last is where to go on.
///
/// nwaku may be running and writing: the file is read in short transactions. What it stores with
/// an older timestamp after the import has passed that time is not seen; run the import once more
/// without a position when nwaku has stopped, and what is here already is told as duplicate.
///
/// Call it in a process that does not have the file open with another copy of SQLite, as a Nim
/// host may: the two would not see each other's locks.
///
/// # Errors
/// [`ArchiveOpen`] where the file cannot be read; [`ArchiveCorrupt`] where it is not an archive of
/// nwaku's, or damaged: what was read before is here, and told; [`ArchiveLocked`];
/// [`InvalidArgument`] for options out of bounds and a position of another kind of source; those of
/// [`Archive::put`], but for `Busy`, which is waited out.
///
/// [`ArchiveOpen`]: crate::ErrorKind::ArchiveOpen
/// [`ArchiveCorrupt`]: crate::ErrorKind::ArchiveCorrupt
/// [`ArchiveLocked`]: crate::ErrorKind::ArchiveLocked
/// [`InvalidArgument`]: crate::ErrorKind::InvalidArgument
pub fn import_sqlite(
    file: &Path,
    archive: &Archive,
    options: &ImportOptions,
    mut progress: impl FnMut(&ImportReport) -> ControlFlow<()>,
) -> Result<ImportReport> {
    let mut source = read::File::open(file).map_err(|e| e.context(file.display()))?;
    import::run(&mut source, archive, options, &mut progress)
}

/// Writes the archive's messages to an SQLite file as nwaku keeps it (its schema version 10). The
/// file is created, for its owner alone, where there is none; where there is one of that version,
/// the messages are added to it. Blocks until all is written; `progress` is told after each commit,
/// and stops the export by breaking off.
///
/// nwaku's schema has no place for a rate-limit proof, nor for an `ephemeral` of false; and it does
/// not tell an absent version from 0, nor an empty meta field from none.
///
/// # Errors
/// [`ArchiveLocked`] where another process, a running nwaku for one, has the file open;
/// [`Unsupported`] where it is of another schema version; [`ArchiveCorrupt`] where it is something
/// else or damaged; [`ArchiveOpen`], [`ArchiveReadOnly`], [`DiskFull`]; those of reading the
/// archive. What was committed before stays.
///
/// [`ArchiveLocked`]: crate::ErrorKind::ArchiveLocked
/// [`Unsupported`]: crate::ErrorKind::Unsupported
/// [`ArchiveCorrupt`]: crate::ErrorKind::ArchiveCorrupt
/// [`ArchiveOpen`]: crate::ErrorKind::ArchiveOpen
/// [`ArchiveReadOnly`]: crate::ErrorKind::ArchiveReadOnly
/// [`DiskFull`]: crate::ErrorKind::DiskFull
pub fn export_sqlite(
    archive: &Archive,
    file: &Path,
    options: &ExportOptions,
    mut progress: impl FnMut(&ExportReport) -> ControlFlow<()>,
) -> Result<ExportReport> {
    let mut target = write::File::open(file).map_err(|e| e.context(file.display()))?;
    export::run(archive, &mut target, options, &mut progress)
}
