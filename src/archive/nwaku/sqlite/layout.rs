//! Which of nwaku's schemas a file has.
//!
//! It goes by the columns, not by `user_version`: nwaku 0.14 to 0.18 did not set that, and
//! go-waku, which has the same tables, never does. What must hold: the table is an ordinary one,
//! WITHOUT ROWID as it always was, none of its columns is computed, and the order in which it is
//! walked is that of one of its own b-trees.
//!
//! | version | sent at | walked by | hash |
//! | --- | --- | --- | --- |
//! | 1 | nowhere | id | none |
//! | 2 | senderTimestamp, in seconds | id | none |
//! | 3 | senderTimestamp | id | none |
//! | 4 to 6 | senderTimestamp | senderTimestamp, receiverTimestamp or storedAt, id, pubsubTopic | none |
//! | 7 | timestamp | storedAt, id, pubsubTopic | none |
//! | 8 | timestamp | storedAt, messageHash | messageHash: of old rows random bytes or a number |
//! | 9 | as 8, and has meta | | |
//! | 10 | timestamp (the former storedAt, which is the same where a message has one) | timestamp, messageHash | messageHash |

use rusqlite::Connection;

use super::open::fault;
use crate::error::{Result, bail};

/// nwaku writes `Message` here and `message` there, which is the same to SQLite.
pub(super) const TABLE: &str = "message";
/// The indexes of a table that are looked at, and the columns of one.
const MAX_PARTS: usize = 64;

/// Of which column the message's own timestamp is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// The schema has none: nwaku knew only when it had received a message.
    Nowhere,
    Sender,
    Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) sent: Sent,
    pub(super) meta: bool,
    pub(super) hash: bool,
    /// The columns of the key in the order of the walk.
    pub(super) key: Vec<String>,
    /// The index of that order, by name; none where it is the table's own.
    pub(super) index: Option<String>,
    /// Whether the first column of the key is a time.
    pub(super) by_time: bool,
    /// The column with the source's time of a row.
    pub(super) time: &'static str,
    /// The state of the schema that this was read from.
    pub(super) schema: i64,
}

const READING: &str = "reading the schema of nwaku's file";

/// Reads the schema and checks it.
///
/// # Errors
/// [`crate::ErrorKind::ArchiveCorrupt`] where it is none of nwaku's.
pub(super) fn read(conn: &Connection) -> Result<Layout> {
    let tx = conn.unchecked_transaction().map_err(fault(READING))?;
    let schema = schema_version(&tx)?;
    check_table(&tx)?;
    let columns = columns(&tx)?;
    let has = |name: &str| columns.iter().any(|c| c.eq_ignore_ascii_case(name));
    for name in ["pubsubTopic", "contentTopic", "payload", "version"] {
        if !has(name) {
            bail!(ArchiveCorrupt, "the table {TABLE} has no column {name}: it is not nwaku's");
        }
    }
    let hash = has("messageHash");
    let (sent, time) = if has("senderTimestamp") {
        (Sent::Sender, if has("storedAt") { "storedAt" } else { "receiverTimestamp" })
    } else if has("timestamp") && has("storedAt") {
        (Sent::Timestamp, "storedAt")
    } else if has("timestamp") && hash {
        (Sent::Timestamp, "timestamp")
    } else {
        (Sent::Nowhere, "timestamp")
    };
    if !has(time) {
        bail!(ArchiveCorrupt, "the table {TABLE} has no column {time}: it is not nwaku's");
    }
    let (key, index) = walk(&tx, time)?;
    tx.commit().map_err(fault(READING))?;
    let by_time = key.first().is_some_and(|first| is_time(first));
    Ok(Layout { sent, meta: has("meta"), hash, key, index, by_time, time, schema })
}

/// Changes with every change of the schema.
pub(super) fn schema_version(conn: &Connection) -> Result<i64> {
    conn.query_row("PRAGMA schema_version", [], |row| row.get(0)).map_err(fault(READING))
}

fn check_table(conn: &Connection) -> Result<()> {
    // What the schema says, and what SQLite made of it: a view, a virtual or a shadow table has
    // no b-tree of its own.
    let found = conn
        .prepare("SELECT type, rootpage FROM sqlite_schema WHERE lower(name) = ?1 LIMIT 2")
        .and_then(|mut statement| {
            statement
                .query_map([TABLE], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })
        .map_err(fault(READING))?;
    match found.as_slice() {
        [] => bail!(ArchiveCorrupt, "the file has no table {TABLE}: it is not nwaku's archive"),
        [(kind, root)] if kind == "table" && *root > 0 => {}
        _ => bail!(ArchiveCorrupt, "what the file has by the name of {TABLE} is not a table"),
    }
    let listed = conn
        .query_row(
            "SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND lower(name) = ?1",
            [TABLE],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)),
        )
        .map_err(fault(READING))?;
    match listed {
        (kind, true) if kind == "table" => Ok(()),
        (kind, false) if kind == "table" => {
            bail!(ArchiveCorrupt, "the table {TABLE} is not keyed as any of nwaku's is")
        }
        _ => bail!(ArchiveCorrupt, "the table {TABLE} is not an ordinary one"),
    }
}

fn columns(conn: &Connection) -> Result<Vec<String>> {
    let columns = conn
        .prepare("SELECT name, hidden FROM pragma_table_xinfo(?1)")
        .and_then(|mut statement| {
            statement
                .query_map([TABLE], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })
        .map_err(fault(READING))?;
    if columns.iter().any(|(_, hidden)| *hidden != 0) {
        bail!(ArchiveCorrupt, "the table {TABLE} has computed columns: it is not nwaku's");
    }
    Ok(columns.into_iter().map(|(name, _)| name).collect())
}

/// One index: its name, whether it is the key's, whether it holds only some rows.
type Index = (String, String, bool);
/// One of its columns: the name (none for an expression), whether it descends, its collation,
/// whether the index is by it and does not only hold it.
type Part = (Option<String>, bool, String, bool);

/// The columns of the walk, and the index that has them in order: an index by time alone where the
/// table's own key does not begin with a time.
fn walk(conn: &Connection, time: &str) -> Result<(Vec<String>, Option<String>)> {
    let indexes = conn
        .prepare("SELECT name, origin, partial FROM pragma_index_list(?1)")
        .and_then(|mut statement| {
            statement
                .query_map([TABLE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .take(MAX_PARTS)
                .collect::<rusqlite::Result<Vec<Index>>>()
        })
        .map_err(fault(READING))?;
    let mut own = Vec::new();
    for (name, origin, _) in &indexes {
        if origin == "pk" {
            own = parts(conn, name)?;
        }
    }
    // The b-tree of the key holds all other columns too.
    own.retain(|(_, _, _, of_key)| *of_key);
    let Some(key) = names(&own).filter(|key| !key.is_empty()) else {
        bail!(ArchiveCorrupt, "the key of the table {TABLE} is none of nwaku's");
    };
    if key.iter().any(|name| KEY_COLUMNS.iter().all(|known| !known.eq_ignore_ascii_case(name))) {
        bail!(ArchiveCorrupt, "the key of the table {TABLE} is none of nwaku's");
    }
    if key.first().is_some_and(|first| is_time(first)) {
        return Ok((key, None));
    }
    for (name, origin, partial) in indexes {
        if origin != "c" || partial {
            continue;
        }
        let parts = parts(conn, &name)?;
        let alone = parts.iter().filter(|(_, _, _, of_index)| *of_index).count() == 1;
        if let Some(columns) = names(&parts)
            && alone
            && columns.first().is_some_and(|first| first.eq_ignore_ascii_case(time))
            && columns.get(1..) == Some(&key)
        {
            return Ok((columns, Some(name)));
        }
    }
    Ok((key, None))
}

const TIMES: [&str; 4] = ["storedAt", "timestamp", "senderTimestamp", "receiverTimestamp"];
/// What the key of any of nwaku's schemas is made of.
const KEY_COLUMNS: [&str; 7] = [
    "id",
    "messageHash",
    "pubsubTopic",
    "storedAt",
    "timestamp",
    "senderTimestamp",
    "receiverTimestamp",
];

fn is_time(column: &str) -> bool {
    TIMES.iter().any(|time| time.eq_ignore_ascii_case(column))
}

fn parts(conn: &Connection, index: &str) -> Result<Vec<Part>> {
    conn.prepare("SELECT name, \"desc\", coll, key FROM pragma_index_xinfo(?1)")
        .and_then(|mut statement| {
            statement
                .query_map([index], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .take(MAX_PARTS)
                .collect::<rusqlite::Result<Vec<Part>>>()
        })
        .map_err(fault(READING))
}

/// The names, where all are plain columns in plain order.
fn names(parts: &[Part]) -> Option<Vec<String>> {
    parts
        .iter()
        .map(|(name, descends, collation, _)| {
            let plain = !*descends && collation.eq_ignore_ascii_case("BINARY");
            name.clone().filter(|_| plain)
        })
        .collect()
}
