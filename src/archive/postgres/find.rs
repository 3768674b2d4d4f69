//! Messages by their hashes.
//!
//! A hash alone does not tell the partition: they are looked through from the newest on, several
//! in one statement. What is found in a new one costs the same however many old ones there are;
//! what is not there at all costs one probe of an index in each. Where a hash was met before its
//! time is remembered, which tells the partition: a cursor is mostly the end of the page before.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use postgres::Row;

use super::driver::Core;
use super::error::{Outcome, sql};
use super::lattice::{Cell, table};
use super::scan::{KEY, Key, READING};
use super::schema::PREFIX;
use super::session::{Session, Value};
use crate::types::{MessageHash, SyncId, Timestamp};

/// Partitions that one statement looks through, beside the newest.
const GROUP: usize = 16;
/// The newest: the one that is filled, and the one that was made ahead.
const NEWEST: usize = 2;
/// Hashes in one statement.
const AT_ONCE: usize = 16_384;
/// Times of cursors that are remembered; beyond it all are forgotten.
const REMEMBERED: usize = 16_384;

/// The times of hashes that were given out as cursors. A hash covers its time, so that this stays
/// true; that the message is still held it does not say.
#[derive(Default)]
pub(super) struct Hints(Mutex<HashMap<MessageHash, Timestamp>>);

impl Hints {
    pub(super) fn remember(&self, id: SyncId) {
        let mut hints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hints.len() >= REMEMBERED {
            hints.clear();
        }
        hints.insert(id.hash, id.timestamp);
    }

    pub(super) fn get(&self, hash: &MessageHash) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(hash).copied()
    }
}

/// The key of a message, where it is held.
pub(super) fn one(session: &mut Session, core: &Core, hash: &MessageHash) -> Outcome<Option<Key>> {
    if let Some(time) = core.hints.get(hash) {
        let cell = session.lattice.cell_of(time);
        if core.layout.has(cell) {
            let id = SyncId::new(time, *hash);
            let rows = by_id(session, cell, &[id], KEY)?;
            if let Some(row) = rows.first() {
                return Key::read(row, cell).map(Some);
            }
        }
    }
    Ok(all(session, core, vec![*hash])?.remove(hash))
}

/// The keys of those that are held.
pub(super) fn all(
    session: &mut Session,
    core: &Core,
    mut hashes: Vec<MessageHash>,
) -> Outcome<HashMap<MessageHash, Key>> {
    // In the order of the index: neighbours are on the same page, which is then at hand.
    hashes.sort_unstable();
    hashes.dedup();
    let mut found = HashMap::with_capacity(hashes.len());
    for group in groups(core.layout.cells()) {
        if hashes.is_empty() {
            break;
        }
        for some in hashes.chunks(AT_ONCE) {
            for row in probe(session, &group, some)? {
                let cell = row.try_get(3).map_err(sql(READING))?;
                let key = Key::read(&row, cell)?;
                found.insert(key.id.hash, key);
            }
        }
        hashes.retain(|hash| !found.contains_key(hash));
    }
    Ok(found)
}

/// The partitions from the newest on: the newest alone, then in groups that stay the same as newer
/// ones are added, so that their statements stay prepared.
fn groups(cells: &[Cell]) -> Vec<Vec<Cell>> {
    let (older, newest) = cells.split_at(cells.len().saturating_sub(NEWEST));
    let older = older.chunks(GROUP).rev();
    [newest].into_iter().chain(older).filter(|group| !group.is_empty()).map(Vec::from).collect()
}

fn probe(session: &mut Session, cells: &[Cell], hashes: &[MessageHash]) -> Outcome<Vec<Row>> {
    let of = |cell: &Cell| {
        format!(
            "(SELECT {KEY}, {cell}::int4 AS cell FROM {} WHERE {PREFIX} = {} AND hash = k.hash
              OFFSET 0)",
            table(*cell),
            PREFIX.replace("hash", "k.hash"),
        )
    };
    let parts: Vec<String> = cells.iter().map(of).collect();
    let text = format!(
        "SELECT m.* FROM unnest($1::bytea[]) AS k(hash) CROSS JOIN LATERAL ({}) m",
        parts.join(" UNION ALL ")
    );
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash.as_bytes()[..]).collect();
    session.query(READING, &text, &[&hashes])
}

/// Those of these ids that a partition holds, in no particular order.
pub(super) fn by_id(
    session: &mut Session,
    cell: Cell,
    ids: &[SyncId],
    columns: &str,
) -> Outcome<Vec<Row>> {
    by_id_and(session, cell, ids, columns, "", &[])
}

/// As [`by_id`], and of those what `and` says too, of which `values` are the values from `$3` on.
pub(super) fn by_id_and(
    session: &mut Session,
    cell: Cell,
    ids: &[SyncId],
    columns: &str,
    and: &str,
    values: &[Value<'_>],
) -> Outcome<Vec<Row>> {
    let text = format!(
        "SELECT m.* FROM unnest($1::int8[], $2::bytea[]) AS k(time, id) CROSS JOIN LATERAL (
             SELECT {columns} FROM {} WHERE timestamp = k.time AND hash = k.id {and} OFFSET 0) m",
        table(cell)
    );
    let times: Vec<i64> = ids.iter().map(|id| id.timestamp.nanos()).collect();
    let hashes: Vec<&[u8]> = ids.iter().map(|id| &id.hash.as_bytes()[..]).collect();
    let mut all: Vec<Value<'_>> = vec![&times, &hashes];
    all.extend_from_slice(values);
    session.query(READING, &text, &all)
}

/// Those of the hashes that were taken down.
pub(super) fn taken_down(
    session: &mut Session,
    hashes: &[MessageHash],
) -> Outcome<Vec<MessageHash>> {
    let mut down = Vec::new();
    for some in hashes.chunks(AT_ONCE) {
        let some: Vec<&[u8]> = some.iter().map(|hash| &hash.as_bytes()[..]).collect();
        let rows = session.query(
            READING,
            "SELECT t.hash FROM unnest($1::bytea[]) AS k(hash) CROSS JOIN LATERAL (
                 SELECT hash FROM wakustore.tombstone WHERE hash = k.hash OFFSET 0) t",
            &[&some],
        )?;
        for row in rows {
            let hash = row.try_get::<_, &[u8]>(0).map_err(sql(READING))?;
            down.push(MessageHash::from_slice(hash)?);
        }
    }
    Ok(down)
}

/// Hashes that were taken down, after this one, in ascending order.
pub(super) fn tombstones(
    session: &mut Session,
    after: Option<MessageHash>,
    limit: usize,
) -> Outcome<Vec<MessageHash>> {
    let after = after.map_or_else(Vec::new, |hash| hash.as_bytes().to_vec());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let text = "SELECT hash FROM wakustore.tombstone WHERE hash > $1 ORDER BY hash LIMIT $2";
    let mut hashes = Vec::new();
    for row in session.query(READING, text, &[&after, &limit])? {
        let hash = row.try_get::<_, &[u8]>(0).map_err(sql(READING))?;
        hashes.push(MessageHash::from_slice(hash)?);
    }
    Ok(hashes)
}
