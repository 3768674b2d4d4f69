//! What can be read of a damaged file, brought over into a new archive.
//!
//! Nothing is taken on trust: a message comes over where its content gives the hash that it is
//! filed under. Nothing is written to the damaged file, nor to what lies beside it.

use rusqlite::Connection;

use super::driver::{Tx, insert};
use super::error::sql;
use super::open::{self, Place};
use super::publish::{self, Draft};
use super::rows::{Item, Reopen, Walk};
use super::topics::Topics;
use super::verify::{mismatch, unreadable};
use super::{SqliteConfig, changes, read_only, removal, schema};
use crate::archive::{Control, FindingKind, Removal, SalvageReport};
use crate::error::{ErrorKind, Result, bail};
use crate::types::{Origin, StoredMessage};

const SALVAGING: &str = "salvaging an archive";
/// Rows that are read, and written in one commit.
const STEP: usize = 256;
/// Tombstones of one commit.
const TOMBSTONES: usize = 1_000;

/// See [`super::SqliteBackend::salvage`].
pub(super) fn salvage(
    from: &SqliteConfig,
    to: &SqliteConfig,
    control: &Control,
) -> Result<SalvageReport> {
    let (Place::File(source), Place::File(target)) = (Place::of(&from.path)?, Place::of(&to.path)?)
    else {
        bail!(InvalidArgument, "what is salvaged is a file, and becomes one")
    };
    let draft = Draft::new(&target, false)?;
    let how = from.how();
    let connect = || read_only::connect(&source, &how).map(|(conn, _)| conn);
    let damaged = connect()?;
    schema::check_format(&damaged).map_err(|e| e.context(source.display()))?;
    let version: i64 =
        damaged.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sql(SALVAGING))?;
    let new = open::open(&Place::File(draft.part().to_owned()), &to.how())?;
    // An encrypted file needs another connection after damage.
    let reopen: Option<Reopen<'_>> = how.key.is_some().then_some(&connect);
    let mut work = Work { damaged, version, new, report: SalvageReport::default(), control };
    work.messages(reopen)?;
    for step in [Work::count, Work::tombstones, Work::floor] {
        if let Some(reopen) = reopen {
            work.damaged = reopen()?;
        }
        step(&mut work)?;
    }
    let Work { new, report, .. } = work;
    publish::close(new)?;
    control.check()?;
    draft.publish(&to.how())?;
    Ok(report)
}

struct Work<'a> {
    damaged: Connection,
    /// Of its schema.
    version: i64,
    new: Connection,
    report: SalvageReport,
    control: &'a Control,
}

impl Work<'_> {
    fn messages(&mut self, reopen: Option<Reopen<'_>>) -> Result<()> {
        let Work { damaged, new, report, control, .. } = self;
        let mut walk = Walk::new(damaged, reopen);
        let mut topics = Topics::default();
        loop {
            control.check()?;
            let items = walk.step(STEP)?;
            if items.is_empty() {
                return Ok(());
            }
            let batch: Vec<_> = items.into_iter().filter_map(|item| sound(item, report)).collect();
            let (stored, _) = insert(new, &mut topics, &batch)?;
            report.messages += stored.iter().filter(|new| **new).count() as u64;
            control.set(report.messages, 0);
        }
    }

    /// Garbage may look like the end of the table: then nothing is missed but by the figure.
    fn count(&mut self) -> Result<()> {
        let read = self.damaged.query_row("SELECT messages FROM figures", [], |row| row.get(0));
        let held = read.ok().and_then(|held: i64| u64::try_from(held).ok()).unwrap_or(0);
        let SalvageReport { messages, lost, .. } = &mut self.report;
        if lost.count == 0 && *messages < held {
            let what = format!("{messages} messages could be read, the archive should have {held}");
            lost.add(FindingKind::Figure, None, what);
        }
        Ok(())
    }

    /// They stay, also where nothing else does: what was taken down is not to come back.
    fn tombstones(&mut self) -> Result<()> {
        if self.version < 2 {
            return Ok(());
        }
        let Work { damaged, new, report, control, .. } = self;
        let mut topics = Topics::default();
        let mut after = None;
        loop {
            control.check()?;
            let down = match removal::tombstones(damaged, after, TOMBSTONES) {
                Ok(down) => down,
                Err(e) if e.kind() == ErrorKind::ArchiveCorrupt => {
                    let what = format!("tombstones: {}", e.message());
                    report.lost.add(FindingKind::Unreadable, None, what);
                    return Ok(());
                }
                Err(e) => return Err(e),
            };
            after = down.last().copied();
            if after.is_none() {
                return Ok(());
            }
            report.tombstones += down.len() as u64;
            let tx = Tx::begin(new, "BEGIN IMMEDIATE", SALVAGING)?;
            let mut head = changes::head(new)?;
            let gone = removal::remove(new, &mut topics, &Removal::Hashes(down), &mut head)?;
            tx.commit()?;
            report.messages -= gone.len() as u64;
        }
    }

    fn floor(&mut self) -> Result<()> {
        // As the tombstones, the first version had none.
        if self.version < 2 {
            return Ok(());
        }
        let read = self.damaged.query_row("SELECT floor FROM figures", [], |row| row.get(0));
        match read.map_err(sql(SALVAGING)) {
            Ok(floor) => {
                let floor: Option<i64> = floor;
                let set = self.new.execute("UPDATE figures SET floor = ?1", [floor]);
                set.map(drop).map_err(sql(SALVAGING))
            }
            Err(e) if e.kind() != ErrorKind::ArchiveCorrupt => Err(e),
            Err(e) => {
                let what = format!("the retention's floor: {}", e.message());
                self.report.lost.add(FindingKind::Unreadable, None, what);
                Ok(())
            }
        }
    }
}

/// A message that is what its hash says; what is not goes to the report.
fn sound(item: Item, report: &mut SalvageReport) -> Option<(StoredMessage, Origin)> {
    let lost = &mut report.lost;
    match item {
        // Another origin than ours is not worth a message.
        Item::Sound(m, origin) => Some((*m, removal::origin_of(origin).unwrap_or(Origin::Import))),
        Item::Mismatch(hash) => {
            lost.add(FindingKind::HashMismatch, Some(hash), mismatch(&hash));
            None
        }
        Item::Invalid(row, e) => {
            lost.add(FindingKind::Invalid, None, format!("row {row}: {}", e.message()));
            None
        }
        Item::Unreadable(first, last) => {
            lost.add(FindingKind::Unreadable, None, unreadable(first, last));
            None
        }
    }
}
