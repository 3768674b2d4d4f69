//! Reading nwaku's file, a batch a transaction.
//!
//! Short transactions let a nwaku that is running check its write-ahead log in, and see what it
//! writes meanwhile. What must hold: every batch stands after the one before it, or the walk ends
//! with an error; so it ends in any file.

use std::path::Path;

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Statement, params_from_iter};

use super::layout::{self, Layout, Sent, TABLE};
use super::open::{self, Budget, fault};
use crate::archive::nwaku::import::{BATCH_BYTES, Source};
use crate::archive::nwaku::position::{MAX_KEY_VALUE, Position, Value, before};
use crate::archive::nwaku::row::{
    self, Cell, HASH_LIMIT, META_LIMIT, PAYLOAD_LIMIT, Raw, Row, TOPIC_LIMIT,
};
use crate::archive::sqlite::error::sql;
use crate::error::{Result, bail};
use crate::types::Timestamp;

const READING: &str = "reading nwaku's file";

pub(super) struct File {
    conn: Connection,
    budget: Budget,
    layout: Layout,
    walk: String,
    sql: Statements,
}

/// What reads on from the beginning, and from a key: first what else is of the same time, then
/// what is later. (One comparison of the whole key would be sought by its first column alone where
/// an index is walked, and pass by all rows of that time again in each batch.)
struct Statements {
    first: String,
    next: Vec<(String, usize)>,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let path = open::absolute(path)?;
        let (conn, budget) = open::connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let fail = sql("setting up the connection to nwaku's file");
        conn.pragma_update(None, "query_only", true).map_err(&fail)?;
        let layout = layout::read(&conn)?;
        let walk = format!("sqlite:{}", layout.key.join(","));
        let sql = statements(&layout);
        Ok(File { conn, budget, layout, walk, sql })
    }

    /// The source's time of the first row, or of the last.
    fn end(&mut self, descending: bool) -> Result<Option<Timestamp>> {
        self.budget.fill_up();
        let order = if descending { "DESC" } else { "ASC" };
        let Some(time) = self.layout.key.first().map(|name| quoted(name)) else { return Ok(None) };
        let from = from(&self.layout);
        let text = format!("SELECT {time} FROM {from} ORDER BY {time} {order} LIMIT 1");
        let mut statement = self.conn.prepare(&text).map_err(fault(READING))?;
        let mut rows = statement.query([]).map_err(fault(READING))?;
        let Some(row) = rows.next().map_err(fault(READING))? else { return Ok(None) };
        Ok(match row.get_ref(0).map_err(fault(READING))? {
            ValueRef::Integer(i) => row::time(&Cell::Integer(i)),
            ValueRef::Real(r) => row::time(&Cell::Real(r)),
            _ => None,
        })
    }

    fn read(
        &self,
        statement: &mut Statement<'_>,
        bound: &[Value],
        limit: usize,
        batch: &mut Batch,
    ) -> Result<()> {
        let mut rows =
            statement.query(params_from_iter(bound.iter().map(Bound))).map_err(fault(READING))?;
        while batch.rows.len() < limit && batch.bytes < BATCH_BYTES {
            let Some(row) = rows.next().map_err(fault(READING))? else { break };
            let row = self.row(row)?;
            if batch.last().is_some_and(|last| !before(last, &row.key)) {
                bail!(ArchiveCorrupt, "nwaku's file is damaged: its rows are not in order");
            }
            batch.bytes += row.size();
            batch.rows.push(row);
        }
        Ok(())
    }

    fn row(&self, row: &rusqlite::Row<'_>) -> Result<Row> {
        let columns = self.layout.key.len();
        let mut key = Vec::with_capacity(columns);
        for column in 0..columns {
            key.push(match row.get_ref(column).map_err(fault(READING))? {
                ValueRef::Integer(i) => Value::Integer(i),
                ValueRef::Real(r) => Value::Real(r),
                ValueRef::Blob(b) => Value::Blob(b.to_vec()),
                ValueRef::Text(t) => match std::str::from_utf8(t) {
                    Ok(t) => Value::Text(t.to_owned()),
                    Err(_) => bail!(ArchiveCorrupt, "nwaku's file has a key that is not UTF-8"),
                },
                ValueRef::Null => bail!(
                    ArchiveCorrupt,
                    "nwaku's file has a key that is missing or longer than {MAX_KEY_VALUE} bytes"
                ),
            });
        }
        // Two columns each: the value, where it is not too long, and its length.
        let mut at = columns;
        let mut next = || -> rusqlite::Result<Cell> {
            let value = row.get_ref(at);
            let length = row.get::<_, Option<i64>>(at + 1);
            at += 2;
            let cell = match (value?, length?) {
                (ValueRef::Integer(i), _) => Cell::Integer(i),
                (ValueRef::Real(r), _) => Cell::Real(r),
                (ValueRef::Text(b) | ValueRef::Blob(b), _) => {
                    Cell::Bytes(Bytes::copy_from_slice(b))
                }
                (ValueRef::Null, None) => Cell::Null,
                (ValueRef::Null, Some(length)) => Cell::TooLong(length.unsigned_abs()),
            };
            Ok(cell)
        };
        let mut cells = || -> rusqlite::Result<_> {
            let raw = Raw {
                pubsub_topic: next()?,
                content_topic: next()?,
                payload: next()?,
                version: next()?,
                sent: next()?,
                meta: next()?,
            };
            Ok((raw, next()?, next()?))
        };
        let (raw, hash, time) = cells().map_err(fault(READING))?;
        let time = match key.first() {
            Some(Value::Integer(i)) if self.layout.by_time => Some(Timestamp(*i)),
            _ => row::time(&time),
        };
        Ok(Row { key, time, hash: row::hash(&hash), message: row::message(raw) })
    }
}

impl Source for File {
    fn walk(&self) -> &str {
        &self.walk
    }

    fn key_columns(&self) -> usize {
        self.layout.key.len()
    }

    fn span(&mut self) -> Result<Option<(Timestamp, Timestamp)>> {
        if !self.layout.by_time {
            return Ok(None);
        }
        Ok(self.end(false)?.zip(self.end(true)?))
    }

    fn batch(&mut self, after: Option<&Position>, limit: usize) -> Result<Vec<Row>> {
        self.budget.fill_up();
        let tx = self.conn.unchecked_transaction().map_err(fault(READING))?;
        if layout::schema_version(&tx)? != self.layout.schema {
            bail!(
                ArchiveCorrupt,
                "the schema of nwaku's file was changed while it was read: begin again"
            );
        }
        let mut batch = Batch { after: after.cloned(), rows: Vec::new(), bytes: 0 };
        match after {
            None => {
                let mut first = tx.prepare_cached(&self.sql.first).map_err(fault(READING))?;
                self.read(&mut first, &[], limit, &mut batch)?;
            }
            Some(position) => {
                for (text, bound) in &self.sql.next {
                    let mut next = tx.prepare_cached(text).map_err(fault(READING))?;
                    let key = position.key.get(..*bound).unwrap_or_default();
                    self.read(&mut next, key, limit, &mut batch)?;
                }
            }
        }
        tx.commit().map_err(fault(READING))?;
        Ok(batch.rows)
    }
}

/// Rows that were read so far, after this one.
struct Batch {
    after: Option<Position>,
    rows: Vec<Row>,
    bytes: usize,
}

impl Batch {
    fn last(&self) -> Option<&[Value]> {
        match self.rows.last() {
            Some(row) => Some(&row.key),
            None => self.after.as_ref().map(|position| position.key.as_slice()),
        }
    }
}

/// A value of a key, as it is given back to SQLite.
struct Bound<'a>(&'a Value);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match self.0 {
            Value::Integer(i) => ValueRef::Integer(*i),
            Value::Real(r) => ValueRef::Real(*r),
            Value::Text(t) => ValueRef::Text(t.as_bytes()),
            Value::Blob(b) => ValueRef::Blob(b),
        }))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn from(layout: &Layout) -> String {
    match &layout.index {
        Some(index) => format!("{TABLE} INDEXED BY {}", quoted(index)),
        None => format!("{TABLE} NOT INDEXED"),
    }
}

fn statements(layout: &Layout) -> Statements {
    let key: Vec<String> = layout.key.iter().map(|name| quoted(name)).collect();
    let guarded = |column: &str, limit: usize| {
        format!("CASE WHEN octet_length({column}) <= {limit} THEN {column} END")
    };
    let cell =
        |column: &str, limit: usize| format!("{}, octet_length({column})", guarded(column, limit));
    let absent = || "NULL, NULL".to_owned();
    // A number, whatever it is, is short.
    const NUMBER: usize = 64;
    let sent = match layout.sent {
        Sent::Nowhere => absent(),
        Sent::Sender => cell("senderTimestamp", NUMBER),
        Sent::Timestamp => cell("timestamp", NUMBER),
    };
    let mut columns: Vec<String> = key.iter().map(|k| guarded(k, MAX_KEY_VALUE)).collect();
    columns.extend([
        cell("pubsubTopic", TOPIC_LIMIT),
        cell("contentTopic", TOPIC_LIMIT),
        cell("payload", PAYLOAD_LIMIT),
        cell("version", NUMBER),
        sent,
        if layout.meta { cell("meta", META_LIMIT) } else { absent() },
        if layout.hash { cell("messageHash", HASH_LIMIT) } else { absent() },
        cell(layout.time, NUMBER),
    ]);
    let select = format!("SELECT {} FROM {}", columns.join(", "), from(layout));
    let order = format!("ORDER BY {}", key.join(", "));
    // For each column, from the last: equal in all before it, and beyond in this one.
    let next = (0..key.len())
        .rev()
        .map(|beyond| {
            let conditions: Vec<String> = key
                .iter()
                .take(beyond + 1)
                .enumerate()
                .map(|(i, k)| format!("{k} {} ?{}", if i == beyond { ">" } else { "=" }, i + 1))
                .collect();
            (format!("{select} WHERE {} {order}", conditions.join(" AND ")), beyond + 1)
        })
        .collect();
    Statements { first: format!("{select} {order}"), next }
}
