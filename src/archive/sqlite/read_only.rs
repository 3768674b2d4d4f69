//! Archives that are only read, also where nothing can be written.
//!
//! A file whose write-ahead log is empty or gone is whole by itself. It is opened as `immutable`:
//! then SQLite takes no lock and makes no side file, neither of which is possible on a read-only
//! file system. SQLite believes in that case that nobody writes; so it is looked at before and
//! after each question whether somebody does: there is a log with something in it, or the file has
//! changed. Then the answer is thrown away and the file opened anew, with its log and its locks.
//! (A commit goes to the log first, and the log is there until the file has all of it: it cannot
//! be missed.)

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, OpenFlags};

use super::driver::{Sqlite, length, side};
use super::error::sql;
use super::open::{self, How, Place, Role};
use super::schema;
use crate::archive::{
    BackupReport, Control, Driver, FeedItem, Figures, IndexEntry, IndexQuery, Removal, Stats,
    TopicQuery, TopicStats, VerifyReport,
};
use crate::error::{Result, bail};
use crate::types::{MessageHash, Origin, Page, Query, StoredMessage};

/// How often a question is asked again because somebody began to write meanwhile.
const TRIES: usize = 5;
const OPENING: &str = "opening the archive to read it";

/// The driver.
pub(super) struct ReadOnly {
    inner: Sqlite,
    still: Option<Still>,
    place: Place,
    how: How,
}

/// A file that nobody writes to, as it was when it was opened.
#[derive(PartialEq, Eq)]
pub(super) struct Still {
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl Still {
    fn of(path: &Path) -> io::Result<Still> {
        let found = std::fs::metadata(path)?;
        let modified = found.modified().ok();
        Ok(Still { path: path.to_owned(), length: found.len(), modified })
    }

    /// Whether somebody writes, or has written.
    pub(super) fn moved(&self) -> bool {
        let logs = ["-wal", "-journal"].iter().any(|suffix| length(&side(&self.path, suffix)) > 0);
        logs || Still::of(&self.path).ok().as_ref() != Some(self)
    }
}

/// Opens the file to read it, and tells what to look at where it does so without locks. What is in
/// it is not looked at.
pub(super) fn connect(path: &Path, how: &How) -> Result<(Connection, Option<Still>)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let still = match Still::of(path) {
        Ok(still) => still,
        Err(e) => bail!(ArchiveOpen, "cannot open {}: {e}", path.display()),
    };
    let still = (!still.moved()).then_some(still);
    let conn = match &still {
        Some(_) => {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable_uri(path), flags)
        }
        None => Connection::open_with_flags(path, flags),
    }
    .map_err(sql(OPENING))?;
    open::set_up(&conn, &Place::File(path.to_owned()), how, Role::Reader)?;
    Ok((conn, still))
}

/// Checks that there is an archive that this version reads as it is.
pub(super) fn check(place: &Place, how: &How) -> Result<()> {
    ReadOnly::open(place, how).map(drop)
}

impl ReadOnly {
    pub(super) fn open(place: &Place, how: &How) -> Result<Self> {
        let Place::File(path) = place else {
            bail!(InvalidArgument, "an archive in memory cannot be opened read-only");
        };
        let open = || {
            for _ in 0..TRIES {
                let (conn, still) = connect(path, how)?;
                let checked = schema::check_current(&conn);
                if !still.as_ref().is_some_and(Still::moved) {
                    checked?;
                    let inner = Sqlite::new(conn, place.clone(), how.clone(), Role::Reader);
                    return Ok(ReadOnly { inner, still, place: place.clone(), how: how.clone() });
                }
            }
            changes()
        };
        open().map_err(|e| e.context(path.display()))
    }

    /// Asks, until nobody began to write meanwhile.
    fn ask<T>(&mut self, question: impl Fn(&mut Sqlite) -> Result<T>) -> Result<T> {
        for _ in 0..TRIES {
            self.look()?;
            let answer = question(&mut self.inner);
            if !self.still.as_ref().is_some_and(Still::moved) {
                return answer;
            }
        }
        changes()
    }

    /// Opens the file anew where somebody writes to it.
    fn look(&mut self) -> Result<()> {
        if self.still.as_ref().is_some_and(Still::moved) {
            *self = ReadOnly::open(&self.place, &self.how)?;
        }
        Ok(())
    }
}

fn changes<T>() -> Result<T> {
    bail!(ArchiveLocked, "others change the archive's file all the time")
}

/// Refuses.
fn read_only<T>() -> Result<T> {
    bail!(ArchiveReadOnly, "the archive was opened read-only")
}

impl Driver for ReadOnly {
    fn put(&mut self, _: &[(StoredMessage, Origin)]) -> Result<Vec<bool>> {
        read_only()
    }
    fn remove(&mut self, _: &Removal) -> Result<Vec<FeedItem>> {
        read_only()
    }
    fn reinstate(&mut self, _: &[MessageHash]) -> Result<u64> {
        read_only()
    }
    fn query(&mut self, query: &Query) -> Result<Page> {
        self.ask(|driver| driver.query(query))
    }
    fn get(&mut self, hashes: &[MessageHash]) -> Result<Vec<StoredMessage>> {
        self.ask(|driver| driver.get(hashes))
    }
    fn missing(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        self.ask(|driver| driver.missing(hashes))
    }
    fn index(&mut self, query: &IndexQuery) -> Result<Vec<IndexEntry>> {
        self.ask(|driver| driver.index(query))
    }
    fn taken_down(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        self.ask(|driver| driver.taken_down(hashes))
    }
    fn tombstones(&mut self, after: Option<MessageHash>, limit: usize) -> Result<Vec<MessageHash>> {
        self.ask(|driver| driver.tombstones(after, limit))
    }
    fn topic_stats(&mut self, query: &TopicQuery) -> Result<Vec<TopicStats>> {
        self.ask(|driver| driver.topic_stats(query))
    }
    fn figures(&mut self) -> Result<Figures> {
        self.ask(|driver| driver.figures())
    }
    fn stats(&mut self) -> Result<Stats> {
        self.ask(|driver| driver.stats())
    }
    fn backup(&mut self, to: &Path, replace: bool, control: &Control) -> Result<BackupReport> {
        for _ in 0..TRIES {
            self.look()?;
            // A copy that must be thrown away is not to have its name yet.
            let whole = || !self.still.as_ref().is_some_and(Still::moved);
            match self.inner.backup_if(to, replace, control, &whole) {
                Err(_) if !whole() => {}
                result => return result,
            }
        }
        changes()
    }
    fn verify(&mut self, control: &Control) -> Result<VerifyReport> {
        self.ask(|driver| driver.verify(control))
    }
}

/// The file's URI. What may mean something in one is escaped, byte by byte.
fn immutable_uri(path: &Path) -> String {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    #[cfg(not(unix))]
    let text = format!("/{}", path.to_string_lossy().replace('\\', "/"));
    #[cfg(not(unix))]
    let bytes = text.as_bytes();
    let mut uri = String::from("file://");
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/-_.~:".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
    }
    uri.push_str("?immutable=1");
    uri
}
