//! Many hashes looked up in the index by hash, which tells of each its timestamp and row: so many
//! in one statement, as what goes around a statement costs as much as the search itself.

use std::sync::LazyLock;

use rusqlite::{CachedStatement, Connection};

use super::error::sql;
use super::scan::Key;
use crate::error::Result;
use crate::types::MessageHash;

const READING: &str = "reading the archive";
/// Hashes of one statement.
const AT_ONCE: usize = 64;

/// The rows of those that are held.
static HELD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH asked(hash) AS ({}) SELECT m.timestamp, m.hash, 0, m.id
         FROM asked CROSS JOIN message m INDEXED BY message_by_hash ON m.hash = asked.hash",
        values(|i| format!("(?{i})"))
    )
});
/// The places of those that are not.
static MISSING: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH asked(hash, place) AS ({}) SELECT asked.place
         FROM asked LEFT JOIN message m INDEXED BY message_by_hash ON m.hash = asked.hash
         WHERE m.id IS NULL",
        values(|i| format!("(?{i}, {})", i - 1))
    )
});

fn values(row: impl Fn(usize) -> String) -> String {
    format!("VALUES {}", (1..=AT_ONCE).map(row).collect::<Vec<_>>().join(", "))
}

/// The keys of those that are held, in no particular order, each once; their channels are not
/// told. The hashes must be sorted, each there once: then neighbours are on the same page, which is
/// at hand.
pub(super) fn held(conn: &Connection, hashes: &[MessageHash]) -> Result<Vec<Key>> {
    let fail = sql(READING);
    let mut statement = conn.prepare_cached(&HELD).map_err(&fail)?;
    let mut keys = Vec::with_capacity(hashes.len());
    for part in hashes.chunks(AT_ONCE) {
        bind(&mut statement, part)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(&fail)? {
            keys.push(Key::read(row)?);
        }
    }
    Ok(keys)
}

/// The places, in these hashes, of those that are not held, in their order. Sorted as for [`held`].
pub(super) fn missing(conn: &Connection, hashes: &[MessageHash]) -> Result<Vec<usize>> {
    let fail = sql(READING);
    let mut statement = conn.prepare_cached(&MISSING).map_err(&fail)?;
    let mut missing = Vec::new();
    for (i, part) in hashes.chunks(AT_ONCE).enumerate() {
        bind(&mut statement, part)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(&fail)? {
            let place = row.get::<_, u32>(0).map_err(&fail)? as usize;
            // Beyond the end there is nothing to ask for.
            if place < part.len() {
                missing.push(i * AT_ONCE + place);
            }
        }
    }
    Ok(missing)
}

/// What is left over is bound to NULL, which is no message's hash.
fn bind(statement: &mut CachedStatement<'_>, part: &[MessageHash]) -> Result<()> {
    let hashes = part.iter().map(|hash| Some(&hash.as_bytes()[..]));
    for (i, hash) in (1..=AT_ONCE).zip(hashes.chain(std::iter::repeat(None))) {
        statement.raw_bind_parameter(i, hash).map_err(sql(READING))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::archive::sqlite::open;

    #[test]
    fn the_index_alone_is_searched() {
        let conn = open::in_memory();
        for text in [&*HELD, &*MISSING] {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
            for i in 1..=AT_ONCE {
                statement.raw_bind_parameter(i, 1).unwrap();
            }
            let mut rows = statement.raw_query();
            let mut steps: Vec<String> = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                steps.push(row.get(3).unwrap());
            }
            let search = "SEARCH m USING COVERING INDEX message_by_hash (hash=?)";
            assert!(steps.iter().any(|step| step.starts_with(search)), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("B-TREE")), "{steps:?}");
        }
    }
}
