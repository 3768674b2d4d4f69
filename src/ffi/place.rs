//! Where an archive is, as one text says it: a file, `:memory:`, or the URL of a database.

use crate::archive::{Archive, ArchiveConfig, PostgresBackend, PostgresConfig};
use crate::archive::{SqliteBackend, SqliteConfig};
use crate::error::Result;

/// Opens the archive there. Blocks. What a commit survives is, on PostgreSQL, as the server has it,
/// and not less than a crash of it.
///
/// # Errors
/// Those of the backend.
pub(super) fn open(place: SqliteConfig, config: ArchiveConfig) -> Result<Archive> {
    let is_url = |path: &&str| path.starts_with("postgres://") || path.starts_with("postgresql://");
    match place.path.to_str().filter(is_url) {
        Some(url) => Archive::open(PostgresBackend::open(PostgresConfig::new(url))?, config),
        None => Archive::open(SqliteBackend::open(place)?, config),
    }
}
