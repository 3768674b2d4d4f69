//! What a name stands for: an archive, or an archive of nwaku's, is a file or a `postgres://…` URL.

use std::ops::ControlFlow;
use std::path::Path;

use crate::archive::nwaku::{
    self, ExportOptions, ExportReport, ImportOptions, ImportReport, export_sqlite, import_sqlite,
};
use crate::archive::{Archive, ArchiveConfig, Control, PostgresBackend, PostgresConfig};
use crate::archive::{SqliteBackend, SqliteConfig};
use crate::error::{Result, bail};
use crate::node::log_archive;
use crate::types::{Filter, SyncId, Timestamp};

/// Whether it names a database on a server.
fn is_database(name: &str) -> bool {
    name.starts_with("postgres://") || name.starts_with("postgresql://")
}

/// Opens an archive by its name. Blocks. What a commit survives is, on PostgreSQL, as the server has
/// it, and not less than a crash of it.
///
/// # Errors
/// Those of the backend and of [`Archive::open`]; [`crate::ErrorKind::Unsupported`] for a database
/// with a key.
pub(super) fn open(sqlite: SqliteConfig, config: ArchiveConfig) -> Result<Archive> {
    let Some(url) = sqlite.path.to_str().filter(|name| is_database(name)) else {
        return Archive::open(SqliteBackend::open(sqlite)?, config).inspect(log_archive);
    };
    if sqlite.key.is_some() {
        bail!(Unsupported, "a key is for a file: a database is encrypted where it is kept");
    }
    let database = PostgresConfig { read_only: sqlite.read_only, ..PostgresConfig::new(url) };
    Archive::open(PostgresBackend::open(database)?, config).inspect(log_archive)
}

/// An import or an export goes on to its end, until so many messages were dealt with, or until it is
/// cancelled.
fn go_on(control: &Control, done: u64, limit: Option<u64>) -> ControlFlow<()> {
    control.set(done, limit.unwrap_or(0));
    if control.is_cancelled() || limit.is_some_and(|limit| done >= limit) {
        return ControlFlow::Break(());
    }
    ControlFlow::Continue(())
}

/// Imports from nwaku's archive, after a position and up to `limit` rows or a few more. Blocks.
///
/// # Errors
/// Those of [`crate::archive::nwaku`].
pub(super) fn import_nwaku(
    archive: &Archive,
    source: &Path,
    from: Option<&str>,
    limit: Option<u64>,
    control: &Control,
) -> Result<ImportReport> {
    let from = from.map(str::parse).transpose()?;
    let options = ImportOptions { from, ..ImportOptions::default() };
    let progress = |report: &ImportReport| go_on(control, report.read, limit);
    match source.to_str().filter(|name| is_database(name)) {
        None => import_sqlite(source, archive, &options, progress),
        Some(url) => nwaku::import_postgres(url, archive, &options, progress),
    }
}

/// Exports what a filter names to nwaku's archive, after a position and up to `limit` messages or a
/// few more. Blocks.
///
/// # Errors
/// As [`import_nwaku`], and [`crate::ErrorKind::InvalidArgument`] for a filter with hashes.
pub(super) fn export_nwaku(
    archive: &Archive,
    target: &Path,
    filter: Filter,
    from: Option<&str>,
    limit: Option<u64>,
    control: &Control,
) -> Result<ExportReport> {
    if !filter.hashes.is_empty() {
        bail!(InvalidArgument, "an export is of topics and times, not of hashes");
    }
    let options = ExportOptions {
        time: filter.time,
        pubsub_topics: filter.pubsub_topic.into_iter().collect(),
        content_topics: filter.content_topics,
        after: from.map(position_of).transpose()?,
    };
    let done = |report: &ExportReport| report.written + report.duplicates + report.refused;
    let progress = |report: &ExportReport| go_on(control, done(report), limit);
    match target.to_str().filter(|name| is_database(name)) {
        None => export_sqlite(archive, target, &options, progress),
        Some(url) => nwaku::export_postgres(archive, url, &options, progress),
    }
}

/// How far an export has come, as a text to keep.
pub(super) fn position_text(id: &SyncId) -> String {
    format!("{}:{}", id.timestamp.nanos(), id.hash)
}

fn position_of(text: &str) -> Result<SyncId> {
    let parsed = text.split_once(':').and_then(|(timestamp, hash)| {
        Some(SyncId::new(Timestamp(timestamp.parse().ok()?), hash.parse().ok()?))
    });
    match parsed {
        Some(id) => Ok(id),
        None => bail!(InvalidArgument, "the text is no position of an export"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::types::MessageHash;

    #[test]
    fn a_position_is_read_back_from_its_text() {
        let id = SyncId::new(Timestamp(-7), MessageHash([9; 32]));
        assert_eq!(position_of(&position_text(&id)).unwrap(), id);
        for bad in ["", ":", "1:", "1:00", "x:0909", "sqlite:id=i1"] {
            assert!(position_of(bad).is_err(), "{bad}");
        }
    }
}
