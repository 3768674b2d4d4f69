//! The PostgreSQL driver: a database that several nodes may share.
//!
//! One connection writes and any number read beside it; each is made anew by itself when it is
//! lost. While the database is away, whoever asks is told so at once
//! ([`crate::ErrorKind::ArchiveUnavailable`]). docs/POSTGRES.md tells of the schema, of partitions,
//! replicas, poolers and roles.

mod bulk;
mod changes;
mod driver;
mod error;
mod figures;
mod find;
mod lattice;
mod layout;
mod link;
mod page;
mod put;
mod removal;
mod removed;
mod scan;
mod schema;
mod session;
mod span;
pub(super) mod tls;
mod topic_stats;
mod topics;
pub(super) mod url;
mod verify;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::driver::{Postgres, next_writer};
use self::find::Hints;
use self::lattice::Lattice;
pub use self::lattice::{MAX_PARTITIONS, Partitions};
use self::link::{Link, Place};
use self::session::{Session, off_runtime};
use super::{Backend, Driver};
use crate::error::{Error, ErrorKind, Result};

/// Where the database is and how it is used.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database?option=value`, or with `host=` and the
    /// directory of a socket. `sslmode` is one of `disable`, `prefer` (as without it), `require`,
    /// `verify-ca` and `verify-full`; `sslrootcert` a file of the authorities (PEM) that are
    /// trusted, without which those are that browsers trust. Only the last two modes know with
    /// whom they talk.
    pub url: String,
    /// Another server to read from: a replica, which may be behind. A put's messages are then
    /// seen once they have come there.
    pub replica: Option<String>,
    /// Whether it is only read, of whatever the server is: a replica, say, with the nodes that write
    /// elsewhere. Then the database must be one that was made already, and a role that may read it
    /// is enough. What others write is seen, and told of by the feed.
    pub read_only: bool,
    /// How long it may take to connect.
    pub connect_timeout: Duration,
    /// How long a statement may take; the server ends it then.
    pub statement_timeout: Duration,
    /// How long it is tried to find out how a commit ended whose connection broke. Until then its
    /// put is not answered.
    pub settle_timeout: Duration,
    /// How time is cut into partitions, where the database is made now.
    pub partitions: Partitions,
}

impl PostgresConfig {
    /// The database of this URL with the usual settings: 5 s to connect, 30 s for a statement,
    /// 10 s to find out how a commit ended, partitions of a week.
    pub fn new(url: impl Into<String>) -> Self {
        PostgresConfig {
            url: url.into(),
            replica: None,
            read_only: false,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            settle_timeout: Duration::from_secs(10),
            partitions: Partitions::default(),
        }
    }
}

/// The URLs stay out: passwords are in them.
impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("replica", &self.replica.is_some())
            .field("read_only", &self.read_only)
            .field("connect_timeout", &self.connect_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("settle_timeout", &self.settle_timeout)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

/// The backend on one PostgreSQL database.
pub struct PostgresBackend {
    place: Arc<Place>,
    /// Where is read.
    replica: Option<Arc<Place>>,
    /// The connection that opening made, for the first writer.
    first: Mutex<Option<Session>>,
    hints: Arc<Hints>,
    writer: i32,
    settle_for: Duration,
    read_only: bool,
}

/// The number of an archive that writes nothing: no writer has it.
const NOBODY: i32 = 0;

impl PostgresBackend {
    /// Connects, and makes the schema `wakustore` in the database or brings it up to date, unless it
    /// is only to be read. Blocks meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::ArchiveOpen`] where the URL is none, or the database, the user or the
    /// password is refused; [`ErrorKind::ArchiveCorrupt`] where there is no archive to be read; [`ErrorKind::ArchiveUnavailable`] where the server cannot be reached, or is to be written and is
    /// a replica; [`ErrorKind::InvalidArgument`] for partitions that cannot be;
    /// [`ErrorKind::SchemaTooNew`] where the schema asks for a later version of this library;
    /// [`ErrorKind::ArchiveReadOnly`] where the user may not make or change the schema.
    pub fn open(config: PostgresConfig) -> Result<Self> {
        let lattice = Lattice::new(&config.partitions)?;
        let place = |url: &str, writes: bool| {
            Place::new(url, config.connect_timeout, config.statement_timeout, writes).map(Arc::new)
        };
        let main = place(&config.url, !config.read_only)?;
        let replica = config.replica.as_deref().map(|url| place(url, false)).transpose()?;
        let opened = off_runtime(|| {
            let mut session = main.open(&lattice)?;
            let writer = match config.read_only {
                true => NOBODY,
                false => next_writer(&mut session).map_err(|fault| fault.error)?,
            };
            Ok((session, writer))
        });
        let (first, writer) = opened.unwrap_or_else(|e| {
            Err(Error::new(ErrorKind::Resources, format!("cannot start a thread: {e}")))
        })?;
        Ok(PostgresBackend {
            place: main,
            replica,
            first: Mutex::new(Some(first)),
            hints: Arc::default(),
            writer,
            settle_for: config.settle_timeout,
            read_only: config.read_only,
        })
    }

    fn driver(&self, link: Link, writes: bool) -> Postgres {
        let hints = self.hints.clone();
        Postgres::new(link, hints, self.writer, self.settle_for, writes)
    }
}

impl Backend for PostgresBackend {
    fn writer(&self) -> Result<Box<dyn Driver>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Box::new(self.driver(Link::new(self.place.clone(), first), !self.read_only)))
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// It connects when it is first asked something.
    fn reader(&self) -> Result<Option<Box<dyn Driver>>> {
        let main = self.driver(Link::new(self.place.clone(), None), false);
        Ok(Some(match &self.replica {
            None => Box::new(main),
            Some(replica) => {
                Box::new(self.driver(Link::new(replica.clone(), None), false).with_log(main))
            }
        }))
    }

    fn reopens(&self) -> bool {
        true
    }
}
