//! The SQLite driver: a file, or `:memory:`.

use std::path::PathBuf;

use super::{Backend, Driver};
use crate::error::Result;

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

/// The backend on one SQLite file.
pub struct SqliteBackend {}

impl SqliteBackend {
    /// Opens or creates the file (mode 0600, as its side files), and brings its schema up to date.
    pub fn open(_config: SqliteConfig) -> Result<Self> {
        todo!()
    }
}

impl Backend for SqliteBackend {
    fn writer(&self) -> Result<Box<dyn Driver>> {
        todo!()
    }
    fn reader(&self) -> Result<Option<Box<dyn Driver>>> {
        todo!()
    }
}
