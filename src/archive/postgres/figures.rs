//! Figures, from counts that are kept with each put and removal.
//!
//! A count is a row for each partition and slot; a writer has a slot, so that writers do not wait
//! for each other at one row. Their sum is exact.

use std::collections::{BTreeMap, HashMap};

use super::driver::Core;
use super::error::{Outcome, sql};
use super::lattice::{Cell, table};
use super::removal;
use super::session::Session;
use crate::archive::{Figures, Stats};
use crate::types::Timestamp;

const READING: &str = "reading the archive's figures";

/// What a partition holds.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    pub(super) messages: u64,
    /// Messages whose place may still be taken up: single ones that were removed.
    removed: u64,
}

/// What each partition holds, by the kept counts.
pub(super) fn counts(session: &mut Session) -> Outcome<BTreeMap<Cell, Counted>> {
    let fail = sql(READING);
    let rows = session.query(
        READING,
        "SELECT cell, sum(messages)::int8, sum(removed)::int8 FROM wakustore.partition_count
         GROUP BY cell",
        &[],
    )?;
    let count = |row: &postgres::Row, column: usize| -> Outcome<u64> {
        let count: i64 = row.try_get(column).map_err(&fail)?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let mut counts = BTreeMap::new();
    for row in &rows {
        let counted = Counted { messages: count(row, 1)?, removed: count(row, 2)? };
        counts.insert(row.try_get(0).map_err(&fail)?, counted);
    }
    Ok(counts)
}

/// The oldest or newest timestamp of the first of these partitions that holds any.
fn outermost(
    session: &mut Session,
    cells: impl Iterator<Item = Cell>,
    order: &str,
) -> Outcome<Option<(Cell, Timestamp)>> {
    for cell in cells {
        let table = table(cell);
        let text =
            format!("SELECT timestamp FROM {table} ORDER BY timestamp{order}, hash{order} LIMIT 1");
        let rows = session.query(READING, &text, &[])?;
        if let Some(row) = rows.first() {
            return Ok(Some((cell, Timestamp(row.try_get(0).map_err(sql(READING))?))));
        }
    }
    Ok(None)
}

fn total(counts: &BTreeMap<Cell, Counted>) -> u64 {
    counts.values().map(|counted| counted.messages).sum()
}

fn held(counts: &BTreeMap<Cell, Counted>) -> impl DoubleEndedIterator<Item = Cell> {
    counts.iter().filter(|(_, counted)| counted.messages > 0).map(|(cell, _)| *cell)
}

/// Figures for people.
pub(super) fn stats(session: &mut Session) -> Outcome<Stats> {
    let counts = counts(session)?;
    let oldest = outermost(session, held(&counts), "")?;
    let newest = outermost(session, held(&counts).rev(), " DESC")?;
    let rows = session.query(
        READING,
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::int8 FROM pg_class
         WHERE relnamespace = 'wakustore'::regnamespace AND relkind = 'r'",
        &[],
    )?;
    let bytes: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(sql(READING))?;
    Ok(Stats {
        messages: total(&counts),
        oldest: oldest.map(|(_, time)| time),
        newest: newest.map(|(_, time)| time),
        bytes_on_disk: u64::try_from(bytes).unwrap_or(0),
    })
}

/// Sizes of partitions, as of the counts that they had then: what has not changed is not measured
/// again.
#[derive(Default)]
pub(super) struct Sizes(HashMap<Cell, (Counted, u64)>);

impl Sizes {
    /// The bytes that are in use: of a partition of which single messages were removed, the share
    /// of those that are left.
    fn used(&mut self, session: &mut Session, counts: &BTreeMap<Cell, Counted>) -> Outcome<u64> {
        let known = |cell: &Cell, counted: &Counted| {
            self.0.get(cell).is_some_and(|(then, _)| then == counted)
        };
        let changed: Vec<Cell> = counts
            .iter()
            .filter(|(cell, counted)| !known(cell, counted))
            .map(|(cell, _)| *cell)
            .collect();
        self.0.retain(|cell, _| counts.contains_key(cell));
        let names: Vec<String> = changed.iter().map(|cell| table(*cell)).collect();
        if !names.is_empty() {
            let rows = session.query(
                READING,
                "SELECT coalesce(pg_total_relation_size(to_regclass(k.name)), 0)
                 FROM unnest($1::text[]) WITH ORDINALITY AS k(name, place) ORDER BY k.place",
                &[&names],
            )?;
            for (cell, row) in changed.iter().zip(&rows) {
                let bytes: i64 = row.try_get(0).map_err(sql(READING))?;
                let counted = counts.get(cell).copied().unwrap_or_default();
                self.0.insert(*cell, (counted, u64::try_from(bytes).unwrap_or(0)));
            }
        }
        let used = |(counted, bytes): &(Counted, u64)| {
            let all = u128::from(counted.messages) + u128::from(counted.removed);
            let used = u128::from(*bytes) * u128::from(counted.messages) / all.max(1);
            u64::try_from(used).unwrap_or(u64::MAX)
        };
        Ok(self.0.values().map(used).sum())
    }
}

/// What retention goes by.
pub(super) fn figures(session: &mut Session, core: &mut Core) -> Outcome<Figures> {
    let text = "SELECT floor FROM wakustore.archive";
    let rows = session.query(READING, text, &[])?;
    let floor: Option<i64> =
        rows.first().map_or(Ok(None), |row| row.try_get(0)).map_err(sql(READING))?;
    let counts = counts(session)?;
    let messages = total(&counts);
    core.figured = Some(messages);
    let oldest = outermost(session, held(&counts), "")?;
    let used_bytes = core.sizes.used(session, &counts)?;
    let mut figures = Figures {
        messages,
        oldest: oldest.map(|(_, time)| time),
        used_bytes,
        floor: Timestamp(floor.unwrap_or(i64::MIN)),
        // What lies after all partitions of a width goes message by message.
        goes_with: oldest.and_then(|(cell, _)| session.lattice.upper(cell)).map(Timestamp),
    };
    if core.keeps_house && removal::is_telling(session, core)? {
        // What was taken out already is still to be told of: the next step does.
        figures.oldest = Some(Timestamp::MIN);
        figures.goes_with = Some(Timestamp::MIN);
    }
    Ok(figures)
}
