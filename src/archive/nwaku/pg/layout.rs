//! Which of nwaku's schemas a database has, told by its columns and its key.
//!
//! | version | walked by |
//! | --- | --- |
//! | 1 | messageHash |
//! | 2 to 5 | storedAt, messageHash; partitioned by storedAt |
//! | 6 to 8 | timestamp, messageHash; partitioned by timestamp; from 7 on with a table to look up the time of a hash |

use postgres::{Client, Row};

use super::connect::sql;
use crate::error::{Result, bail};

const READING: &str = "reading the schema of nwaku's database";

#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The columns of the key in the order of the walk.
    pub(super) key: Vec<&'static str>,
    pub(super) meta: bool,
    /// Whether its rows are in partitions by the message's timestamp.
    pub(super) latest: bool,
}

/// Reads the schema and checks it; none where there is no table.
pub(super) fn read(client: &mut Client) -> Result<Option<Layout>> {
    let query = |client: &mut Client, text: &str| -> Result<Vec<Row>> {
        client.query(text, &[]).map_err(sql(READING))
    };
    let kind =
        query(client, "SELECT relkind::text FROM pg_class WHERE oid = to_regclass('messages')")?;
    let Some(kind) = kind.first() else { return Ok(None) };
    let kind: String = kind.try_get(0).map_err(sql(READING))?;
    if kind != "r" && kind != "p" {
        bail!(ArchiveCorrupt, "what the database has by the name of messages is not a table");
    }
    let mut columns = Vec::new();
    for row in query(
        client,
        "SELECT attname::text, format_type(atttypid, NULL), attgenerated::text FROM pg_attribute
         WHERE attrelid = to_regclass('messages') AND attnum > 0 AND NOT attisdropped",
    )? {
        let get = |i| row.try_get::<_, String>(i).map_err(sql(READING));
        let (name, type_, computed) = (get(0)?, get(1)?, get(2)?);
        if !computed.is_empty() {
            bail!(ArchiveCorrupt, "the table messages has computed columns: it is not nwaku's");
        }
        columns.push((name, type_));
    }
    let has = |name: &str, type_: &str| columns.iter().any(|(n, t)| n == name && t == type_);
    for (name, type_) in [
        ("pubsubtopic", "character varying"),
        ("contenttopic", "character varying"),
        ("payload", "character varying"),
        ("messagehash", "character varying"),
        ("version", "integer"),
        ("timestamp", "bigint"),
    ] {
        if !has(name, type_) {
            bail!(
                ArchiveCorrupt,
                "the table messages has no column {name} of type {type_}: it is not nwaku's"
            );
        }
    }
    let mut primary = Vec::new();
    for row in query(
        client,
        "SELECT a.attname::text FROM pg_index i
         CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
         WHERE i.indrelid = to_regclass('messages') AND i.indisprimary ORDER BY k.place",
    )? {
        primary.push(row.try_get::<_, String>(0).map_err(sql(READING))?);
    }
    let primary: Vec<&str> = primary.iter().map(String::as_str).collect();
    let stored = has("storedat", "bigint");
    let (key, latest) = match primary.as_slice() {
        ["timestamp", "messagehash"] => (vec!["timestamp", "messagehash"], kind == "p"),
        ["messagehash", "storedat"] if stored => (vec!["storedat", "messagehash"], false),
        ["messagehash"] => (vec!["messagehash"], false),
        _ => bail!(ArchiveCorrupt, "the key of the table messages is none of nwaku's"),
    };
    Ok(Some(Layout { key, meta: has("meta", "character varying"), latest }))
}
