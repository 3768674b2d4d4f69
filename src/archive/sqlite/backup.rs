//! Backups, while others put and read, and what is made of them again.
//!
//! A backup is made in one read transaction, so that it is of one moment and its end is certain,
//! however much is put meanwhile. (Without one SQLite's backup begins anew at every commit of
//! another connection.) The price is that the write-ahead log cannot begin anew until it is done.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::driver::Tx;
use super::error::{corrupt, sql};
use super::open::{self, How, Place};
use super::publish::{self, Draft};
use super::read_only::{self, Still};
use super::{SqliteConfig, cipher, schema, verify};
use crate::archive::{BackupReport, Control};
use crate::error::{Result, bail};

const READING: &str = "reading what is backed up";
const COPYING: &str = "writing the copy";
/// Pages that are copied in one step: a megabyte.
const STEP: i32 = 256;
/// A source that is locked is asked again so often, with this pause: for five seconds.
const TRIES: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(5);

/// Writes a copy of what this connection sees. It gets its name if `holds` is true when it is done.
pub(super) fn backup(
    conn: &Connection,
    how: &How,
    to: &Path,
    replace: bool,
    control: &Control,
    holds: &dyn Fn() -> bool,
) -> Result<BackupReport> {
    let draft = Draft::new(to, replace)?;
    let messages = copy(conn, how, draft.part(), control)?;
    if !holds() {
        bail!(ArchiveLocked, "others write to the file that was opened to be read only");
    }
    control.check()?;
    let bytes = draft.publish(how)?;
    Ok(BackupReport { messages, bytes })
}

/// Makes an archive of a backup.
pub(super) fn restore(
    from: &Path,
    to: &SqliteConfig,
    replace: bool,
    control: &Control,
) -> Result<BackupReport> {
    let Place::File(target) = Place::of(&to.path)? else {
        bail!(InvalidArgument, "an archive in memory cannot be restored")
    };
    let how = to.how();
    let draft = Draft::new(&target, replace)?;
    let from = std::path::absolute(from).unwrap_or_else(|_| from.to_owned());
    let read = || -> Result<u64> {
        let (conn, still) = read_only::connect(&from, &how)?;
        schema::check(&conn)?;
        let copied = copy(&conn, &how, draft.part(), control);
        if still.as_ref().is_some_and(Still::moved) {
            bail!(ArchiveLocked, "it was written to meanwhile");
        }
        copied
    };
    let messages = read().map_err(|e| e.context(from.display()))?;
    // The copy, not the source: nothing is written to that, and here an older one is brought up to
    // date.
    let conn = open::open(&Place::File(draft.part().to_owned()), &how)?;
    let report = verify::verify(&conn, None, control)?;
    if let Some(finding) = report.findings.first.first() {
        return Err(corrupt(format!(
            "{} things do not fit, the first: {}",
            report.findings.count, finding.detail
        ))
        .context(from.display()));
    }
    // What comes now is another history than that of the archive the copy was made of: a position
    // in the feed of that one says nothing here.
    conn.execute("UPDATE figures SET feed = random() | 1", []).map_err(sql(COPYING))?;
    publish::close(conn)?;
    control.check()?;
    let bytes = draft.publish(&how)?;
    Ok(BackupReport { messages, bytes })
}

/// Copies one state to a file that is there and empty, and gives how many messages it has.
fn copy(conn: &Connection, how: &How, to: &Path, control: &Control) -> Result<u64> {
    let fail = sql(COPYING);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(to, flags).map_err(&fail)?;
    if let Some(key) = &how.key {
        cipher::unlock(&copy, &Place::File(to.to_owned()), key)?;
    }
    // What becomes of half a copy is of no interest; it is synced once, at the end.
    for setting in ["journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"] {
        let pragma = format!("PRAGMA {setting}");
        copy.prepare(&pragma).and_then(|mut s| s.query([])?.next().map(drop)).map_err(&fail)?;
    }
    let tx = Tx::begin(conn, "BEGIN", READING)?;
    // With this it sees one state.
    let messages: i64 = conn
        .query_row("SELECT messages FROM figures", [], |row| row.get(0))
        .map_err(sql(READING))?;
    let mut steps = || -> Result<()> {
        let backup = Backup::new(conn, &mut copy).map_err(&fail)?;
        let mut tries = 0;
        loop {
            control.check()?;
            let step = backup.step(STEP).map_err(&fail)?;
            let progress = backup.progress();
            let total = u64::try_from(progress.pagecount).unwrap_or(0);
            let left = u64::try_from(progress.remaining).unwrap_or(0);
            control.set(total.saturating_sub(left), total);
            match step {
                StepResult::Done => return Ok(()),
                StepResult::Busy | StepResult::Locked if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                StepResult::Busy | StepResult::Locked => {
                    bail!(ArchiveLocked, "what is backed up is locked")
                }
                _ => tries = 0,
            }
        }
    };
    steps()?;
    tx.commit()?;
    // One file that can be opened anywhere, also where no log can be made beside it.
    publish::close(copy)?;
    Ok(u64::try_from(messages).unwrap_or(0))
}
