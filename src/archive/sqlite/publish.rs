//! Files that get their name when they are whole: backups, what is restored, what is salvaged.
//!
//! What must hold: under the name there is the former file or the new one, never half of one, also
//! after a crash; and no log of a former file lies beside a new one, to which SQLite would apply
//! it. What a crash leaves behind is called `.NAME.….part`, and is removed by the next who writes a
//! file of that name, an hour later.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::driver::{length, side};
use super::error::sql;
use super::open::{self, How, Place, Role};
use crate::error::{Error, ErrorKind, Result, bail};

/// What SQLite keeps beside a file.
const SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];
/// A part that nobody has written to for so long is nobody's.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A file in the making, removed again unless it is published.
pub(super) struct Draft {
    target: PathBuf,
    part: PathBuf,
    replace: bool,
}

impl Draft {
    /// An empty file, for its owner alone, beside what it is to become.
    pub(super) fn new(target: &Path, replace: bool) -> Result<Self> {
        let absolute = std::path::absolute(target).map_err(|e| io_error(target, &e))?;
        let (Some(directory), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            bail!(InvalidArgument, "{} is no name of a file", target.display());
        };
        match fs::symlink_metadata(&absolute) {
            Ok(found) if !found.is_file() => {
                bail!(InvalidArgument, "{} is not a file", absolute.display())
            }
            Ok(_) if !replace => return Err(is_there(&absolute)),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => check_sides(&absolute)?,
            Err(e) => return Err(io_error(&absolute, &e)),
        }
        sweep(directory, name);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut part = std::ffi::OsString::from(".");
        part.push(name);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        part.push(format!(".{process}-{count}.part"));
        let part = directory.join(part);
        // One of a former process of that number.
        remove(&part);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&part).map_err(|e| io_error(&part, &e))?;
        Ok(Draft { target: absolute, part, replace })
    }

    /// Where it is written.
    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    /// Gives it its name. Nobody has it open any more; `how` is tried on a file that is replaced.
    /// Gives the length of the file.
    pub(super) fn publish(self, how: &How) -> Result<u64> {
        let fail = |e: io::Error| io_error(&self.target, &e);
        // For writing: some systems sync no other.
        let file = OpenOptions::new().write(true).open(&self.part).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        drop(file);
        if self.replace && self.target.exists() {
            let seized = seize(&self.target, how)?;
            fs::rename(&self.part, &self.target).map_err(fail)?;
            drop(seized);
        } else {
            check_sides(&self.target)?;
            // A link fails where there is something, which a rename does not; but not every file
            // system has links.
            match fs::hard_link(&self.part, &self.target) {
                Ok(()) => {}
                Err(_) if self.target.exists() => return Err(is_there(&self.target)),
                Err(_) => fs::rename(&self.part, &self.target).map_err(fail)?,
            }
        }
        #[cfg(unix)]
        if let Some(directory) = self.target.parent() {
            File::open(directory).and_then(|d| d.sync_all()).map_err(fail)?;
        }
        Ok(length(&self.target))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&self.part);
    }
}

/// Carries everything into the one file and lets go of it.
pub(super) fn close(conn: Connection) -> Result<()> {
    let fail = sql("closing the new file");
    conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(&fail)?;
    conn.close().map_err(|(_, e)| fail(e))
}

/// Makes sure that nobody uses an archive, and that everything of it is in its file, for as long
/// as the connection lives. What cannot be read at all has no users that could be seen.
fn seize(path: &Path, how: &How) -> Result<Option<Connection>> {
    let take = || -> Result<Connection> {
        let fail = sql("taking over the file that is there");
        let conn = open::connect(&Place::File(path.to_owned()), how, Role::Writer)?;
        let mode: String =
            conn.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).map_err(&fail)?;
        if mode != "delete" {
            bail!(ArchiveLocked, "the archive that is there is in use");
        }
        conn.execute_batch("BEGIN EXCLUSIVE").map_err(&fail)?;
        Ok(conn)
    };
    match take() {
        Ok(conn) => Ok(Some(conn)),
        Err(e) if [ErrorKind::ArchiveCorrupt, ErrorKind::WrongKey].contains(&e.kind()) => {
            for suffix in SIDES {
                let side = side(path, suffix);
                match fs::remove_file(&side) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        return Err(io_error(&side, &e));
                    }
                    _ => {}
                }
            }
            Ok(None)
        }
        Err(e) => Err(e.context(path.display())),
    }
}

fn check_sides(path: &Path) -> Result<()> {
    for suffix in ["-wal", "-journal"] {
        let side = side(path, suffix);
        if length(&side) > 0 {
            bail!(
                InvalidArgument,
                "{} is of an archive that is not there; SQLite would take it for the new file's",
                side.display()
            );
        }
    }
    Ok(())
}

/// Removes a file with what is beside it, as far as that is possible.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
    for suffix in SIDES {
        let _ = fs::remove_file(side(path, suffix));
    }
}

/// Removes what was abandoned.
fn sweep(directory: &Path, name: &OsStr) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let prefix = format!(".{}.", name.to_string_lossy());
    for entry in entries.flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if !(found.starts_with(&prefix) && found.ends_with(".part")) {
            continue;
        }
        let age = entry.metadata().and_then(|m| m.modified()).map(|at| at.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > ABANDONED)) {
            remove(&entry.path());
        }
    }
}

fn is_there(path: &Path) -> Error {
    let what = format!("{} is there already", path.display());
    Error::new(ErrorKind::InvalidArgument, what)
}

fn io_error(path: &Path, e: &io::Error) -> Error {
    let kind = match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            ErrorKind::ArchiveReadOnly
        }
        _ => ErrorKind::ArchiveIo,
    };
    Error::new(kind, format!("{}: {e}", path.display()))
}
