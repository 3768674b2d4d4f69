//! The SQLite driver: a file, or `:memory:`.
//!
//! One connection writes and any number read beside it (WAL). Several archives, in one process or
//! in many, may be open on one file: a commit waits up to five seconds for another's and then
//! fails with [`crate::ErrorKind::ArchiveLocked`], with nothing of it stored. Each feed tells of the
//! commits of all of them. The file must be on a local file system.

mod backup;
mod changes;
mod checkpoint;
mod cipher;
mod driver;
pub(in crate::archive) mod error;
mod index_walk;
mod lookup;
mod open;
mod page;
mod publish;
mod read_only;
mod removal;
mod rows;
mod salvage;
mod scan;
mod schema;
mod topic_stats;
mod topics;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use self::driver::Sqlite;
use self::open::{How, Place, Role};
use self::read_only::ReadOnly;
use super::{Backend, BackupReport, Control, Driver, Key, SalvageReport, VerifyReport};
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
    /// Opens what is there and writes nothing, neither to the file nor, as far as that is
    /// possible, beside it: puts and removals give [`crate::ErrorKind::ArchiveReadOnly`], there is
    /// no retention, and the file is neither created nor brought up to date. It may lie on a
    /// read-only file system, and others may write to it meanwhile: then SQLite's `-shm` and `-wal`
    /// beside it are used too.
    pub read_only: bool,
    /// What the file is encrypted with, or is to be where it is created. In a build without the
    /// feature `sqlcipher` opening with a key gives [`crate::ErrorKind::Unsupported`].
    pub key: Option<Key>,
}

impl SqliteConfig {
    /// The file at this path (or `:memory:`), with full durability.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        SqliteConfig {
            path: path.into(),
            durability: Durability::default(),
            read_only: false,
            key: None,
        }
    }

    fn how(&self) -> How {
        How { durability: self.durability, key: self.key.clone() }
    }
}

/// The backend on one SQLite file.
pub struct SqliteBackend {
    place: Place,
    how: How,
    read_only: bool,
    /// The connection that opening made, for the first driver.
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
    /// [`crate::ErrorKind::DiskFull`]; [`crate::ErrorKind::WrongKey`] where the file is encrypted
    /// with another key, or not encrypted; [`crate::ErrorKind::Unsupported`] for a key in a build
    /// without encryption.
    pub fn open(config: SqliteConfig) -> Result<Self> {
        let place = Place::of(&config.path)?;
        let how = config.how();
        // Only to see what is there: each driver of a read-only archive opens for itself.
        let first = if config.read_only {
            read_only::check(&place, &how)?;
            None
        } else {
            Some(open::open(&place, &how)?)
        };
        let read_only = config.read_only;
        Ok(SqliteBackend { place, how, read_only, first: Mutex::new(first) })
    }

    /// Makes a file at `to` of a backup at `from`: copies it, checks the copy's structure and
    /// recomputes every hash in it, and only then gives it its name. Blocks until then; `control`
    /// tells how far it is, in pages, and cancels it. `to` says what the backup is encrypted with.
    ///
    /// An archive that is there already is replaced only with `replace`, and only when nobody has
    /// it open. (Where it is damaged that cannot be seen: close it first.)
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] where a file is there and `replace` was not given;
    /// [`crate::ErrorKind::ArchiveCorrupt`] where the backup is something else or not sound;
    /// [`crate::ErrorKind::ArchiveLocked`] where the archive that is there is in use;
    /// [`crate::ErrorKind::Cancelled`], and those of [`SqliteBackend::open`].
    pub fn restore(
        from: &Path,
        to: &SqliteConfig,
        replace: bool,
        control: &Control,
    ) -> Result<BackupReport> {
        backup::restore(from, to, replace, control)
    }

    /// Reads what can be read of a file that may be damaged, row by row, into a new archive, and
    /// tells what could not be brought over. Nothing is written to `from`. A message is brought
    /// over where its content gives its hash; tombstones and the retention's floor come too. The
    /// new archive gets its name when it is whole; its key may be another, so that this also
    /// encrypts an archive that is not, and the other way round. Blocks; the progress is in
    /// messages, with no total.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] where there is a file at `to`;
    /// [`crate::ErrorKind::ArchiveCorrupt`] where nothing at all can be read of `from`, and those
    /// of [`SqliteBackend::open`].
    pub fn salvage(
        from: &SqliteConfig,
        to: &SqliteConfig,
        control: &Control,
    ) -> Result<SalvageReport> {
        salvage::salvage(from, to, control)
    }

    /// Checks a file as [`crate::archive::Archive::verify`] does, also one that is too damaged to be
    /// opened as an archive. Nothing is written. Blocks.
    ///
    /// # Errors
    /// What is wrong with the file is in the report. [`crate::ErrorKind::ArchiveCorrupt`] where
    /// nothing at all can be read of it; [`crate::ErrorKind::ArchiveReadOnly`] where it is of an
    /// earlier version and must be brought up to date first; [`crate::ErrorKind::Cancelled`], and
    /// those of [`SqliteBackend::open`].
    pub fn verify(config: &SqliteConfig, control: &Control) -> Result<VerifyReport> {
        ReadOnly::open(&Place::of(&config.path)?, &config.how())?.verify(control)
    }

    /// Encrypts an encrypted archive with another key, in place, in one transaction: a crash
    /// leaves it with one of the two. Nobody may have it open. Blocks: every page is written.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ArchiveLocked`] where it is in use; [`crate::ErrorKind::WrongKey`],
    /// [`crate::ErrorKind::InvalidArgument`] where `config` has no key, and those of
    /// [`SqliteBackend::open`].
    pub fn rekey(config: &SqliteConfig, key: &Key) -> Result<()> {
        cipher::rekey(config, key)
    }

    fn first(&self) -> Option<Connection> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// On the connection that is there, or on a new one.
    fn driver(&self, connection: Option<Connection>, role: Role) -> Result<Box<dyn Driver>> {
        let connection = match connection {
            Some(connection) => {
                open::take_role(&connection, role)?;
                connection
            }
            None => open::connect(&self.place, &self.how, role)?,
        };
        Ok(Box::new(Sqlite::new(connection, self.place.clone(), self.how.clone(), role)))
    }
}

impl Backend for SqliteBackend {
    fn writer(&self) -> Result<Box<dyn Driver>> {
        if self.read_only {
            return Ok(Box::new(ReadOnly::open(&self.place, &self.how)?));
        }
        match (self.first(), &self.place) {
            (None, Place::Memory) => {
                bail!(Unsupported, "an archive in memory is gone with its first connection")
            }
            (first, _) => self.driver(first, Role::Writer),
        }
    }

    fn reader(&self) -> Result<Option<Box<dyn Driver>>> {
        if self.place == Place::Memory {
            return Ok(None);
        }
        if self.read_only {
            return Ok(Some(Box::new(ReadOnly::open(&self.place, &self.how)?)));
        }
        self.driver(self.first(), Role::Reader).map(Some)
    }

    /// What opening checked holds for whoever opens the file next.
    fn reads_first(&self) -> bool {
        self.place != Place::Memory && !self.read_only
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn reopens(&self) -> bool {
        self.place != Place::Memory
    }
}
