//! A walk over all messages in the order of their rows that gets past what is damaged.
//!
//! Where a page cannot be read, every question that touches it fails; and garbage that looks like a
//! page gives rows of any number. So only two things are trusted: a row whose content gives the
//! hash that it is filed under, and one that has just the number that was asked for. Where there is
//! neither, the walk asks for later and later rows until it meets one, and goes on there: behind a
//! damaged page that is the next page's first row. What lies between, it tells. Its strides grow
//! with what was skipped: it may leap over what lies, readable, between two damaged parts, up to a
//! 256th of them.
//!
//! SQLCipher gives up for good on a connection that met a page which it cannot authenticate; so the
//! walk can be told how to get another.

use rusqlite::{Connection, Row};

use super::error::sql;
use super::page;
use super::topics::Topics;
use crate::error::{Error, ErrorKind, Result};
use crate::types::{MessageHash, StoredMessage, message_hash};

const READING: &str = "reading the archive row by row";
/// What part of a damaged range a stride may be.
const STRIDES: i128 = 256;
/// The number of the first row: SQLite gives them out from here on.
const FIRST: i64 = 1;

/// What the walk met.
pub(super) enum Item {
    /// A message that is what its hash says, with the number of its origin.
    Sound(Box<StoredMessage>, u8),
    /// One whose content does not give the hash that it is filed under.
    Mismatch(MessageHash),
    /// A row that is there and is no message.
    Invalid(i64, Error),
    /// Rows, first and last, that cannot be read, as far as there are any.
    Unreadable(i64, i64),
}

/// How to get another connection to the same file.
pub(super) type Reopen<'c> = &'c dyn Fn() -> Result<Connection>;

pub(super) struct Walk<'c> {
    given: &'c Connection,
    /// For after damage, where the given one is of no use then; and what it gave.
    reopen: Option<Reopen<'c>>,
    own: Option<Connection>,
    topics: Topics,
    /// The row to go on from; `None` at the end.
    next: Option<i64>,
}

impl<'c> Walk<'c> {
    pub(super) fn new(given: &'c Connection, reopen: Option<Reopen<'c>>) -> Self {
        Walk { given, reopen, own: None, topics: Topics::default(), next: Some(FIRST) }
    }

    /// The connection that took the given one's place.
    pub(super) fn into_own(self) -> Option<Connection> {
        self.own
    }

    /// Tells damage from other errors, as [`damage`], and gets over it.
    fn recover<T>(&mut self, result: Result<T>) -> Result<Result<T>> {
        let result = damage(result)?;
        if let (Err(_), Some(reopen)) = (&result, self.reopen) {
            self.own = Some(reopen()?);
        }
        Ok(result)
    }

    /// The next items, some `limit` of them; none at the end. A damaged row is an item, not an
    /// error.
    pub(super) fn step(&mut self, limit: usize) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        while items.is_empty()
            && let Some(from) = self.next
        {
            let read = self.read(from, limit, &mut items);
            match self.recover(read)? {
                Ok(Read::Trusted) => break,
                Ok(Read::Again) => {}
                Ok(Read::Untrusted) | Err(_) => items.extend(self.skip()?),
            }
        }
        Ok(items)
    }

    /// Reads rows until it has as many, or the end, or one that is not to be trusted.
    fn read(&mut self, from: i64, limit: usize, items: &mut Vec<Item>) -> Result<Read> {
        let fail = sql(READING);
        let conn = self.own.as_ref().unwrap_or(self.given);
        let mut statement = conn.prepare_cached(ROWS).map_err(&fail)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query([from, limit]).map_err(&fail)?;
        let mut left = limit;
        while let Some(row) = rows.next().map_err(&fail)? {
            let id: i64 = row.get(3).map_err(&fail)?;
            let item = item(conn, &mut self.topics, id, row)?;
            if matches!(item, Item::Invalid(..)) && self.topics.avoid_tables() {
                // It may be the topics that are damaged, which are to be had elsewhere.
                if let Some(reopen) = self.reopen {
                    drop(rows);
                    drop(statement);
                    self.own = Some(reopen()?);
                }
                return Ok(Read::Again);
            }
            if self.next != Some(id) && !matches!(item, Item::Sound(..)) {
                return Ok(Read::Untrusted);
            }
            items.push(item);
            self.next = id.checked_add(1);
            left -= 1;
        }
        if left > 0 {
            self.next = None;
        }
        Ok(Read::Trusted)
    }

    /// Gets past the damage that begins at `next`.
    fn skip(&mut self) -> Result<Option<Item>> {
        let Some(first) = self.next else { return Ok(None) };
        let mut bad = i128::from(first);
        let mut good = loop {
            let at = bad + 1 + (bad - i128::from(first)) / STRIDES;
            match i64::try_from(at) {
                Err(_) => {
                    self.next = None;
                    return Ok(Some(Item::Unreadable(first, i64::MAX)));
                }
                Ok(row) if self.is_trusted(row)? => break at,
                Ok(_) => bad = at,
            }
        };
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            if self.is_trusted(i64::try_from(middle).unwrap_or(i64::MAX))? {
                good = middle;
            } else {
                bad = middle;
            }
        }
        self.next = i64::try_from(good).ok();
        Ok(Some(Item::Unreadable(first, i64::try_from(bad).unwrap_or(i64::MAX))))
    }

    /// Whether the first row from this one on is there and to be trusted.
    fn is_trusted(&mut self, at: i64) -> Result<bool> {
        let mut look = || -> Result<bool> {
            let fail = sql(READING);
            let conn = self.own.as_ref().unwrap_or(self.given);
            let mut statement = conn.prepare_cached(ROWS).map_err(&fail)?;
            let mut rows = statement.query([at, 1]).map_err(&fail)?;
            let Some(row) = rows.next().map_err(&fail)? else { return Ok(false) };
            let id: i64 = row.get(3).map_err(&fail)?;
            let item = item(conn, &mut self.topics, id, row)?;
            Ok(id == at || matches!(item, Item::Sound(..)))
        };
        let trusted = look();
        Ok(self.recover(trusted)?.unwrap_or(false))
    }
}

/// How a reading of rows has ended.
enum Read {
    /// At its limit, or at the end of the table.
    Trusted,
    /// At a row that is not to be trusted.
    Untrusted,
    /// At one that is to be read again.
    Again,
}

/// Whole rows, from a number on.
const ROWS: &str =
    "SELECT timestamp, hash, channel, id, version, ephemeral, meta, rate_limit_proof,
            payload, origin
     FROM message NOT INDEXED WHERE id >= ?1 ORDER BY id LIMIT ?2";

/// From the columns of [`ROWS`]. Where the topics cannot be read for damage, that is the row's.
fn item(conn: &Connection, topics: &mut Topics, id: i64, row: &Row<'_>) -> Result<Item> {
    let origin = row.get::<_, u8>(9).map_err(sql(READING));
    let message = page::message(conn, topics, row).and_then(|m| Ok((m, origin?)));
    Ok(match damage(message)? {
        Err(e) => Item::Invalid(id, e),
        Ok((m, _)) if message_hash(&m.pubsub_topic, &m.message) != m.hash => Item::Mismatch(m.hash),
        Ok((m, origin)) => Item::Sound(Box::new(m), origin),
    })
}

/// Tells damage, which one gets past, from errors that would come again.
pub(super) fn damage<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::ArchiveCorrupt => Ok(Err(e)),
        // What a connection says that SQLCipher has given up on.
        #[cfg(feature = "sqlcipher")]
        Err(e) if e.message().ends_with("out of memory") => Ok(Err(e)),
        Err(e) => Err(e),
        other => Ok(other),
    }
}
