//! The SQLite driver: a file, or `:memory:`.
//!
//! One connection writes and any number read beside it (WAL). Several archives, in one process or
//! in many, may be open on one file: a commit waits up to five seconds for another's and then
//! fails with [`crate::ErrorKind::ArchiveLocked`], with nothing of it stored. Each feed tells of the
//! commits of all of them. The file must be on a local file system.

mod changes;
mod driver;
pub(in crate::archive) mod error;
mod index_walk;
mod open;
mod page;
mod removal;
mod scan;
mod schema;
mod topics;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use self::driver::Sqlite;
use self::open::{Place, Role};
use super::{Backend, Driver};
use crate::error::{Result, bail};

/// What a commit survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// `synchronous = FULL`: an acknowledged message survives a power loss.
    #[default]
    Full,
    /// `synchronous = NORMAL`: it survives a crash of the process; a power loss may take the last
    /// commits, never the file.
    Normal,
}

/// Where the file is and how it is used.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// A path, taken literally, or `:memory:`.
    pub path: PathBuf,
    /// What a commit survives.
    pub durability: Durability,
}

impl SqliteConfig {
    /// The file at this path (or `:memory:`), with full durability.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        SqliteConfig { path: path.into(), durability: Durability::default() }
    }
}

/// The backend on one SQLite file.
pub struct SqliteBackend {
    place: Place,
    durability: Durability,
    /// The connection that opening made, for the first writer.
    first: Mutex<Option<Connection>>,
}

impl SqliteBackend {
    /// Opens or creates the file (mode 0600, as its side files), and brings its schema up to date.
    /// The directory must exist. A file that is there keeps its mode.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ArchiveOpen`] where there can be no archive at this path,
    /// [`crate::ErrorKind::ArchiveReadOnly`] where the file cannot be written,
    /// [`crate::ErrorKind::ArchiveCorrupt`] where it is something else or damaged,
    /// [`crate::ErrorKind::SchemaTooNew`], [`crate::ErrorKind::ArchiveLocked`],
    /// [`crate::ErrorKind::DiskFull`].
    pub fn open(config: SqliteConfig) -> Result<Self> {
        let place = Place::of(&config.path)?;
        let first = open::open(&place, config.durability)?;
        Ok(SqliteBackend { place, durability: config.durability, first: Mutex::new(Some(first)) })
    }
}

impl Backend for SqliteBackend {
    fn writer(&self) -> Result<Box<dyn Driver>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = match (first, &self.place) {
            (Some(connection), _) => connection,
            (None, Place::Memory) => {
                bail!(Unsupported, "an archive in memory is gone with its first connection")
            }
            (None, Place::File(_)) => open::connect(&self.place, self.durability, Role::Writer)?,
        };
        Ok(Box::new(Sqlite::new(connection, self.place.clone(), Role::Writer)))
    }

    fn reader(&self) -> Result<Option<Box<dyn Driver>>> {
        if self.place == Place::Memory {
            return Ok(None);
        }
        let connection = open::connect(&self.place, self.durability, Role::Reader)?;
        Ok(Some(Box::new(Sqlite::new(connection, self.place.clone(), Role::Reader))))
    }
}
