//! Which partitions there are, and making them.
//!
//! Every connection remembers the list, with a number that changes whenever the list does: a
//! question begins by looking at that number, or looks at it with each of its statements (see
//! [`Layout::unchanged`]). Questions name the tables of the partitions, newest
//! or oldest first as they need them, rather than `message` as a whole: planning and locking then
//! cost the same however many partitions there are.

use super::error::{Cure, Fault, Outcome, sql};
use super::lattice::{Cell, Lattice, table};
use super::schema::VERSION;
use super::session::Session;
use super::span::Span;
use crate::error::{Error, ErrorKind};
use crate::types::{Direction, Timestamp};

const READING: &str = "reading which partitions there are";
const MAKING: &str = "making a partition";
/// Of the database's advisory locks: who adds or removes partitions.
pub(super) const LAYOUT_LOCK: i64 = 0x574b_5341_0002;
/// Partitions that are made in one transaction: each takes some locks, of which there are few.
const AT_ONCE: usize = 16;

#[derive(Default)]
pub(super) struct Layout {
    /// The number of the list; `None` where it is to be read anew.
    version: Option<i64>,
    /// In ascending order.
    cells: Vec<Cell>,
    /// Whether anything was ever taken down: mostly nothing was, and then nobody need look.
    pub(super) any_taken_down: bool,
}

impl Layout {
    /// A column that tells whether the list is still the one of this number, in the snapshot of its
    /// statement; it is looked up once. (The number of the list only grows: so it was the same in
    /// all statements before that one, too.)
    pub(super) fn unchanged(number: &str) -> String {
        format!(
            "(SELECT a.layout = {number}::int8 AND a.min_reader <= {VERSION} FROM wakustore.archive a)"
        )
    }

    /// Sees to it that the list has not changed, for a question whose last statement gave no row that
    /// would tell.
    ///
    /// # Errors
    /// [`Layout::changed`].
    pub(super) fn confirm(&self, session: &mut Session) -> Outcome<()> {
        let text = format!("SELECT {}", Layout::unchanged("$1"));
        let rows = session.query(READING, &text, &[&self.number()])?;
        let same = rows.first().map_or(Ok(None), |row| row.try_get::<_, Option<bool>>(0));
        match same.map_err(sql(READING))? {
            Some(true) => Ok(()),
            _ => Err(Layout::changed()),
        }
    }

    /// What a statement compares with.
    pub(super) fn number(&self) -> i64 {
        self.version.unwrap_or(i64::MIN)
    }

    pub(super) fn is_known(&self) -> bool {
        self.version.is_some()
    }

    /// The list is not, or may not be, what a question took it for: it is read anew, and asked again.
    pub(super) fn changed() -> Fault {
        let what = "other nodes change the archive's partitions again and again";
        Fault { error: Error::new(ErrorKind::ArchiveLocked, what), cure: Cure::Reload }
    }

    /// Forgets the list.
    pub(super) fn forget(&mut self) {
        self.version = None;
    }

    /// Reads the list anew where it has changed.
    pub(super) fn refresh(&mut self, session: &mut Session) -> Outcome<()> {
        let fail = sql(READING);
        let text = "SELECT layout, tombstones > 0, min_reader FROM wakustore.archive";
        let rows = session.query(READING, text, &[])?;
        let Some(row) = rows.first() else {
            return Err(super::error::corrupt("its table `wakustore.archive` is empty"));
        };
        let least: i32 = row.try_get(2).map_err(&fail)?;
        if least > VERSION {
            let what = format!("the archive now asks for a library of version {least} or later");
            return Err(Error::new(ErrorKind::SchemaTooNew, what).into());
        }
        let version: i64 = row.try_get(0).map_err(&fail)?;
        self.any_taken_down = row.try_get(1).map_err(&fail)?;
        if self.version == Some(version) {
            return Ok(());
        }
        let text = "SELECT cell FROM wakustore.partition ORDER BY cell";
        let rows = session.query(READING, text, &[])?;
        let cells = rows.iter().map(|row| row.try_get(0).map_err(&fail));
        self.cells = cells.collect::<Outcome<Vec<Cell>>>()?;
        // A change between the two questions is seen at the next look: the list is of the number
        // or newer.
        self.version = Some(version);
        Ok(())
    }

    /// All partitions, in ascending order.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    pub(super) fn has(&self, cell: Cell) -> bool {
        self.version.is_some() && self.cells.binary_search(&cell).is_ok()
    }

    /// The partitions that a span meets, in the order of the walk.
    pub(super) fn within(&self, lattice: &Lattice, span: &Span) -> Vec<Cell> {
        if span.is_empty() {
            return Vec::new();
        }
        let first = lattice.cell_of(Timestamp(span.lower.time));
        let last = lattice.cell_of(Timestamp(span.upper.time));
        let met = self.cells.iter().copied().filter(|cell| (first..=last).contains(cell));
        match span.direction {
            Direction::Forward => met.collect(),
            Direction::Backward => met.rev().collect(),
        }
    }

    /// Makes those of the partitions that are not there. Another node may make them too.
    pub(super) fn make(&mut self, session: &mut Session, cells: &[Cell]) -> Outcome<()> {
        let missing: Vec<Cell> = cells.iter().copied().filter(|cell| !self.has(*cell)).collect();
        for some in missing.chunks(AT_ONCE) {
            session.transact(MAKING, |session| {
                session.batch(MAKING, &format!("SELECT pg_advisory_xact_lock({LAYOUT_LOCK})"))?;
                for &cell in some {
                    make(session, cell)?;
                }
                let text = "UPDATE wakustore.archive SET layout = layout + 1";
                session.batch(MAKING, text)
            })?;
        }
        if !missing.is_empty() {
            self.refresh(session)?;
        }
        Ok(())
    }
}

/// Makes one partition where it is not there, in a transaction that holds the lock. It is made
/// beside the others and then joined to them, which keeps nobody from reading or writing.
fn make(session: &mut Session, cell: Cell) -> Outcome<()> {
    let text =
        "INSERT INTO wakustore.partition(cell) VALUES($1) ON CONFLICT DO NOTHING RETURNING 1";
    if session.query(MAKING, text, &[&cell])?.is_empty() {
        return Ok(());
    }
    let bound = |moment: Option<i64>, open: &str| match moment {
        Some(moment) => format!("({moment})"),
        None => format!("({open})"),
    };
    let lower = bound(session.lattice.lower(cell), "MINVALUE");
    let upper = bound(session.lattice.upper(cell), "MAXVALUE");
    let table = table(cell);
    session.batch(
        MAKING,
        &format!(
            "CREATE TABLE {table}(LIKE wakustore.message INCLUDING ALL);
             ALTER TABLE wakustore.message ATTACH PARTITION {table}
                 FOR VALUES FROM {lower} TO {upper};"
        ),
    )
}
