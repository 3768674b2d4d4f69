//! A walk over all messages in the order of their rows that gets past what is damaged.
//!
//! Where a page cannot be read, every question that touches it fails. The walk then asks for later
//! and later rows until one answers, and goes on there: behind a damaged page that is the next
//! page's first row. What lies between, it tells. The further the next answer is, the longer its
//! strides: it may leap over what lies, readable, between two damaged parts, up to a 256th of them.

use rusqlite::{Connection, OptionalExtension};

use super::error::sql;
use super::page;
use super::topics::Topics;
use crate::error::{Error, ErrorKind, Result};
use crate::types::StoredMessage;

const READING: &str = "reading the archive row by row";
/// What part of a damaged range a stride may be.
const STRIDES: i128 = 256;

/// What the walk met.
pub(super) enum Item {
    /// A message, with the number of its origin. Its hash is the one that it is filed under.
    Message(Box<StoredMessage>, u8),
    /// A row that is there and is no message.
    Invalid(i64, Error),
    /// Rows, first and last, that cannot be read, as far as there are any.
    Unreadable(i64, i64),
}

pub(super) struct Walk<'c> {
    conn: &'c Connection,
    topics: Topics,
    /// The row to go on from; `None` at the end, and before the beginning.
    next: Option<i64>,
    begun: bool,
}

impl<'c> Walk<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Walk { conn, topics: Topics::default(), next: None, begun: false }
    }

    /// The next items, some `limit` of them; none at the end. A damaged row is an item, not an
    /// error.
    pub(super) fn step(&mut self, limit: usize) -> Result<Vec<Item>> {
        if !self.begun {
            self.begun = true;
            self.next = match damage(self.first_from(i64::MIN))? {
                Ok(first) => first,
                // The archive gives out numbers from 1 on.
                Err(_) => Some(1),
            };
        }
        let mut items = Vec::new();
        let Some(from) = self.next else { return Ok(items) };
        let read = self.read(from, limit, &mut items);
        if damage(read)?.is_err() {
            items.extend(self.skip()?);
        }
        Ok(items)
    }

    /// Reads whole rows until it has as many, or the end, or damage.
    fn read(&mut self, from: i64, limit: usize, items: &mut Vec<Item>) -> Result<()> {
        let fail = sql(READING);
        let mut statement = self
            .conn
            .prepare_cached(
                "SELECT timestamp, hash, channel, id, version, ephemeral, meta, rate_limit_proof,
                        payload, origin
                 FROM message NOT INDEXED WHERE id >= ?1 ORDER BY id LIMIT ?2",
            )
            .map_err(&fail)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query([from, limit]).map_err(&fail)?;
        let mut left = limit;
        while let Some(row) = rows.next().map_err(&fail)? {
            let id: i64 = row.get(3).map_err(&fail)?;
            self.next = id.checked_add(1);
            left -= 1;
            let origin = row.get::<_, u8>(9).map_err(&fail);
            let message = page::message(self.conn, &mut self.topics, row);
            items.push(match damage(message.and_then(|m| Ok((m, origin?))))? {
                Ok((message, origin)) => Item::Message(Box::new(message), origin),
                Err(e) => Item::Invalid(id, e),
            });
        }
        if left > 0 {
            self.next = None;
        }
        Ok(())
    }

    /// Gets past the damage that begins at `next`.
    fn skip(&mut self) -> Result<Option<Item>> {
        let Some(first) = self.next else { return Ok(None) };
        match damage(self.first_from(first))? {
            Ok(None) => {
                self.next = None;
                return Ok(None);
            }
            // The row is there, what it holds is not.
            Ok(Some(row)) => {
                self.next = row.checked_add(1);
                return Ok(Some(Item::Unreadable(row, row)));
            }
            Err(_) => {}
        }
        let (mut bad, mut good) = (i128::from(first), None);
        while good.is_none() {
            let at = bad + 1 + (bad - i128::from(first)) / STRIDES;
            match i64::try_from(at) {
                Err(_) => {
                    self.next = None;
                    return Ok(Some(Item::Unreadable(first, i64::MAX)));
                }
                Ok(row) if self.answers(row)? => good = Some(at),
                Ok(_) => bad = at,
            }
        }
        let mut good = good.unwrap_or(bad + 1);
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            if self.answers(i64::try_from(middle).unwrap_or(i64::MAX))? {
                good = middle;
            } else {
                bad = middle;
            }
        }
        self.next = i64::try_from(good).ok();
        Ok(Some(Item::Unreadable(first, i64::try_from(bad).unwrap_or(i64::MAX))))
    }

    fn answers(&self, row: i64) -> Result<bool> {
        Ok(damage(self.first_from(row))?.is_ok())
    }

    /// The first row from this one on.
    fn first_from(&self, row: i64) -> Result<Option<i64>> {
        self.conn
            .prepare_cached("SELECT id FROM message NOT INDEXED WHERE id >= ?1 ORDER BY id LIMIT 1")
            .and_then(|mut s| s.query_row([row], |row| row.get(0)).optional())
            .map_err(sql(READING))
    }
}

/// Tells damage, which one gets past, from errors that would come again.
pub(super) fn damage<T>(result: Result<T>) -> Result<Result<T>> {
    match result {
        Err(e) if e.kind() != ErrorKind::ArchiveCorrupt => Err(e),
        other => Ok(other),
    }
}
