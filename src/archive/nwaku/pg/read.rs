//! Reading nwaku's database, a batch a transaction.
//!
//! Bytes are hex there. What must hold: only so many rows are in memory at a time as make up the
//! bytes of a batch and a little more; and no batch stands before the one that came before it.

use bytes::Bytes;
use data_encoding::HEXLOWER_PERMISSIVE;
use postgres::types::ToSql;

use super::connect::{Link, sql};
use super::layout::{self, Layout};
use crate::archive::nwaku::import::{BATCH_BYTES, Source};
use crate::archive::nwaku::position::{MAX_KEY_VALUE, Position, Value};
use crate::archive::nwaku::row::{
    self, Cell, HASH_LIMIT, META_LIMIT, PAYLOAD_LIMIT, Raw, Row, TOPIC_LIMIT,
};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::Timestamp;

const READING: &str = "reading nwaku's database";
/// Rows that are fetched at a time: of the largest, 20 MiB.
const CHUNK: i32 = 64;

pub(super) struct Database {
    link: Link,
    layout: Layout,
    walk: String,
    first: String,
    next: String,
}

impl Database {
    pub(super) fn open(url: &str) -> Result<Self> {
        let link = Link::open(url)?;
        let layout = link.with(|client| {
            client.batch_execute("SET default_transaction_read_only = on").map_err(sql(READING))?;
            layout::read(client)
        })?;
        let Some(layout) = layout else {
            bail!(ArchiveCorrupt, "the database has no table messages: it is not nwaku's");
        };
        let walk = format!("postgres:{}", layout.key.join(","));
        let (first, next) = statements(&layout);
        Ok(Database { link, layout, walk, first, next })
    }
}

impl Source for Database {
    fn walk(&self) -> &str {
        &self.walk
    }

    fn key_columns(&self) -> usize {
        self.layout.key.len()
    }

    fn span(&mut self) -> Result<Option<(Timestamp, Timestamp)>> {
        let [time, _] = *self.layout.key.as_slice() else { return Ok(None) };
        let text = format!("SELECT min({time}), max({time}) FROM messages");
        self.link.with(move |client| {
            let row = client.query_one(&text, &[]).map_err(sql(READING))?;
            let get = |i| row.try_get::<_, Option<i64>>(i).map_err(sql(READING));
            Ok(get(0)?.map(Timestamp).zip(get(1)?.map(Timestamp)))
        })
    }

    fn batch(&mut self, after: Option<&Position>, limit: usize) -> Result<Vec<Row>> {
        let text = if after.is_some() { self.next.clone() } else { self.first.clone() };
        let after = after.map(|position| position.key.clone());
        let columns = self.layout.key.len();
        self.link.with(move |client| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut values: Vec<Box<dyn ToSql + Sync>> = vec![Box::new(limit)];
            for value in after.iter().flatten() {
                values.push(match value {
                    Value::Integer(i) => Box::new(*i),
                    Value::Text(t) => Box::new(t.clone()),
                    Value::Real(_) | Value::Blob(_) => {
                        bail!(InvalidArgument, "the position is not one in nwaku's database")
                    }
                });
            }
            // A position that a stranger wrote may have what is not of the column's type.
            let of_type = |e: postgres::Error| match e.code() {
                None if !e.is_closed() => Error::new(
                    ErrorKind::InvalidArgument,
                    "the position is not one in nwaku's database",
                ),
                _ => sql(READING)(e),
            };
            let mut transaction = client.transaction().map_err(sql(READING))?;
            let statement = transaction.prepare(&text).map_err(sql(READING))?;
            let bound: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| v.as_ref()).collect();
            let portal = transaction.bind(&statement, &bound).map_err(of_type)?;
            let mut rows: Vec<Row> = Vec::new();
            let mut bytes = 0;
            let mut before = after.as_deref().and_then(time_of);
            while bytes < BATCH_BYTES {
                let fetched = transaction.query_portal(&portal, CHUNK).map_err(sql(READING))?;
                if fetched.is_empty() {
                    break;
                }
                for row in fetched {
                    let row = read(&row, columns)?;
                    let time = time_of(&row.key);
                    if time < before {
                        bail!(ArchiveCorrupt, "the rows of nwaku's database are not in order");
                    }
                    before = time;
                    bytes += row.size();
                    rows.push(row);
                }
            }
            transaction.commit().map_err(sql(READING))?;
            Ok(rows)
        })
    }
}

/// The time at the head of a key. (The text after it stands in the order of the database's
/// collation.)
fn time_of(key: &[Value]) -> Option<i64> {
    match key.first() {
        Some(Value::Integer(time)) => Some(*time),
        _ => None,
    }
}

fn statements(layout: &Layout) -> (String, String) {
    let guarded = |column: &str, limit: usize| {
        format!("CASE WHEN octet_length({column}) <= {limit} THEN {column} END")
    };
    let text =
        |column: &str, limit: usize| format!("{}, octet_length({column})", guarded(column, limit));
    let mut columns: Vec<String> = layout
        .key
        .iter()
        .map(|column| match *column {
            "messagehash" => guarded(column, MAX_KEY_VALUE),
            time => time.to_owned(),
        })
        .collect();
    columns.extend([
        text("pubsubtopic", TOPIC_LIMIT),
        text("contenttopic", TOPIC_LIMIT),
        text("payload", 2 * PAYLOAD_LIMIT),
        text("messagehash", 2 * HASH_LIMIT),
        if layout.meta { text("meta", 2 * META_LIMIT) } else { "NULL::text, NULL::int".into() },
        "version".into(),
        "timestamp".into(),
    ]);
    let select = format!("SELECT {} FROM messages", columns.join(", "));
    let key = layout.key.join(", ");
    let order = format!("ORDER BY {key} LIMIT $1");
    let marks: Vec<String> = (2..).take(layout.key.len()).map(|i| format!("${i}")).collect();
    // The first column alone tells which partitions need not be looked at.
    let first = layout.key.first().copied().unwrap_or_default();
    let next = format!("{select} WHERE {first} >= $2 AND ({key}) > ({}) {order}", marks.join(", "));
    (format!("{select} {order}"), next)
}

fn read(row: &postgres::Row, columns: usize) -> Result<Row> {
    let mut key = Vec::with_capacity(columns);
    for i in 0..columns {
        // The hash is the last of them, and before it there is a time or nothing.
        key.push(if i + 1 < columns {
            Value::Integer(row.try_get(i).map_err(sql(READING))?)
        } else {
            match row.try_get::<_, Option<String>>(i).map_err(sql(READING))? {
                Some(text) => Value::Text(text),
                None => bail!(
                    ArchiveCorrupt,
                    "nwaku's database has a hash that is longer than {MAX_KEY_VALUE} bytes"
                ),
            }
        });
    }
    let text = |at: usize| -> Result<Cell> {
        let value: Option<&str> = row.try_get(columns + at).map_err(sql(READING))?;
        let length: Option<i32> = row.try_get(columns + at + 1).map_err(sql(READING))?;
        Ok(match (value, length) {
            (Some(text), _) => Cell::Bytes(Bytes::copy_from_slice(text.as_bytes())),
            (None, Some(length)) => Cell::TooLong(length.unsigned_abs().into()),
            (None, None) => Cell::Null,
        })
    };
    let (pubsub_topic, content_topic) = (text(0)?, text(2)?);
    let payload = hex(text(4)?);
    let hash = match hex(text(6)?) {
        Some(cell) => row::hash(&cell),
        None => row::Hash::Other,
    };
    let meta = hex(text(8)?);
    let version: Option<i32> = row.try_get(columns + 10).map_err(sql(READING))?;
    let sent: Option<i64> = row.try_get(columns + 11).map_err(sql(READING))?;
    let message = match (payload, meta) {
        (Some(payload), Some(meta)) => row::message(Raw {
            pubsub_topic,
            content_topic,
            payload,
            version: version.map_or(Cell::Null, |v| Cell::Integer(v.into())),
            sent: sent.map_or(Cell::Null, Cell::Integer),
            meta,
        }),
        (payload, _) => {
            let what = if payload.is_none() { "payload" } else { "meta field" };
            Err(Error::new(ErrorKind::ArchiveCorrupt, format!("the {what} is not hex")))
        }
    };
    let time = time_of(&key).or(sent).map(Timestamp);
    Ok(Row { key, time, hash, message })
}

/// The bytes of a text in hex; none where it is something else.
fn hex(cell: Cell) -> Option<Cell> {
    match cell {
        Cell::Bytes(text) => {
            let bytes = HEXLOWER_PERMISSIVE.decode(&text).ok()?;
            Some(Cell::Bytes(Bytes::from(bytes)))
        }
        Cell::TooLong(digits) => Some(Cell::TooLong(digits / 2)),
        cell => Some(cell),
    }
}
