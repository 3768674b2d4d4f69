//! The log of changes, for the change feed.
//!
//! The messages are the log of what was stored: a message's rowid is its number. Numbers go up by
//! one, over messages and removals together, and are never given out twice, also not when the
//! newest message is removed; SQLite has one writer at a time, so that their order is the order of
//! the commits. What was taken down is logged message by message, and bounded; what retention
//! removed in one line, which the next of its kind replaces: it removes from the oldest on, so that
//! the later bound says all that the earlier did.
//!
//! What must hold: the log changes in the transaction that it tells of. What is no longer logged
//! raises `trimmed`: a position before that is too old.

use rusqlite::{Connection, OptionalExtension, Row};

use super::error::sql;
use super::removal::origin_of;
use super::scan::sync_id;
use super::topics::Topics;
use crate::archive::{Change, Changes, FeedItem, Logged, Position, Removal};
use crate::error::{Result, bail};
use crate::types::SyncId;

const READING: &str = "reading the archive's log of changes";
const LOGGING: &str = "logging a change of the archive";
/// Messages taken down that stay logged: some 8 MB.
const MAX_REMOVED: i64 = 100_000;
/// Bounds of retention that stay logged. There is one, but where another archive on the file, which
/// does not know of it yet, stores messages below it.
const MAX_EXPIRED: i64 = 1_000;

/// Where the log stands.
#[derive(Clone, Copy)]
pub(super) struct Head {
    feed: i64,
    last: i64,
    trimmed: i64,
}

impl Head {
    pub(super) fn position(&self) -> Position {
        self.at(self.last, 0)
    }

    /// The last number that was given out.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// The number after that.
    pub(super) fn next(&self) -> i64 {
        self.last + 1
    }

    /// It was given out.
    pub(super) fn advance(&mut self) {
        self.last += 1;
    }

    /// A number as a position. Where a subscriber began at the start of the log, all of it is seen
    /// as of the number where the log stood then: removals before that need not be told, nor be
    /// logged any more.
    fn at(&self, number: i64, as_of: i64) -> Position {
        let as_of = if number < as_of { as_of } else { 0 };
        Position::new(self.feed.cast_unsigned(), number.cast_unsigned(), as_of.cast_unsigned())
    }

    /// The number, and as of which, that a position stands for.
    fn numbers(&self, position: Position) -> Result<(i64, i64)> {
        if position == Position::START {
            return Ok((0, self.last));
        }
        if position.archive() != self.feed.cast_unsigned() {
            bail!(PositionGone, "the position is of another archive");
        }
        let last = self.last.cast_unsigned();
        if position.major() > last || position.minor() > last {
            bail!(
                PositionGone,
                "the position is ahead of the archive: it is of a later state of the file"
            );
        }
        let numbers = (position.major().cast_signed(), position.minor().cast_signed());
        if numbers.0.max(numbers.1) < self.trimmed {
            bail!(PositionGone, "the position is older than what is logged of removals");
        }
        Ok(numbers)
    }
}

/// Where the log stands now. (The largest rowid counts beside what is noted: whatever wrote a
/// message without noting it, its number is not given out again.)
pub(super) fn head(conn: &Connection) -> Result<Head> {
    conn.prepare_cached(
        "SELECT feed, max(seq, coalesce((SELECT max(id) FROM message), 0)), trimmed FROM figures",
    )
    .and_then(|mut s| {
        s.query_row([], |row| {
            Ok(Head { feed: row.get(0)?, last: row.get(1)?, trimmed: row.get(2)? })
        })
    })
    .map_err(sql(READING))
}

/// Notes a message that is taken down, within the caller's transaction.
pub(super) fn log_removed(
    conn: &Connection,
    head: &mut Head,
    id: &SyncId,
    channel: i64,
    origin: u8,
) -> Result<()> {
    head.advance();
    conn.prepare_cached(
        "INSERT INTO removed(seq, timestamp, hash, channel, origin) VALUES(?1, ?2, ?3, ?4, ?5)",
    )
    .and_then(|mut s| {
        let hash = &id.hash.as_bytes()[..];
        s.execute((head.last, id.timestamp.nanos(), hash, channel, origin))
    })
    .map(drop)
    .map_err(sql(LOGGING))
}

/// Notes that retention removed everything up to this id, within the caller's transaction.
pub(super) fn log_expired(conn: &Connection, head: &mut Head, up_to: &SyncId) -> Result<()> {
    head.advance();
    let (timestamp, hash) = (up_to.timestamp.nanos(), &up_to.hash.as_bytes()[..]);
    conn.prepare_cached("DELETE FROM expired WHERE (timestamp, hash) <= (?1, ?2)")
        .and_then(|mut s| s.execute((timestamp, hash)))
        .map_err(sql(LOGGING))?;
    conn.prepare_cached("INSERT INTO expired(seq, timestamp, hash) VALUES(?1, ?2, ?3)")
        .and_then(|mut s| s.execute((head.last, timestamp, hash)))
        .map(drop)
        .map_err(sql(LOGGING))
}

/// Ends what [`log_removed`] and [`log_expired`] began: bounds the log and notes where it stands.
pub(super) fn keep(conn: &Connection, head: &mut Head, removal: &Removal) -> Result<()> {
    let fail = sql(LOGGING);
    let (find, delete, most) = match removal {
        Removal::Hashes(_) => (
            "SELECT seq FROM removed ORDER BY seq DESC LIMIT 1 OFFSET ?1",
            "DELETE FROM removed WHERE seq <= ?1",
            MAX_REMOVED,
        ),
        Removal::Oldest { .. } => (
            "SELECT seq FROM expired ORDER BY seq DESC LIMIT 1 OFFSET ?1",
            "DELETE FROM expired WHERE seq <= ?1",
            MAX_EXPIRED,
        ),
    };
    let surplus = conn
        .prepare_cached(find)
        .and_then(|mut s| s.query_row([most], |row| row.get::<_, i64>(0)).optional())
        .map_err(&fail)?;
    if let Some(surplus) = surplus {
        head.trimmed = head.trimmed.max(surplus);
        conn.prepare_cached(delete).and_then(|mut s| s.execute([surplus])).map_err(&fail)?;
    }
    conn.prepare_cached("UPDATE figures SET seq = ?1, trimmed = ?2")
        .and_then(|mut s| s.execute([head.last, head.trimmed]))
        .map(drop)
        .map_err(&fail)
}

/// The log after a position.
pub(super) fn changes(
    conn: &Connection,
    topics: &mut Topics,
    after: Position,
    limit: usize,
) -> Result<Changes> {
    let head = head(conn)?;
    let (from, as_of) = head.numbers(after)?;
    let mut part = Part { conn, topics, found: Vec::new(), end: head.last, limit: limit.max(1) };
    part.read(
        "SELECT timestamp, hash, id, channel, origin FROM message WHERE id > ?1 AND id <= ?2
         ORDER BY id LIMIT ?3",
        from,
        |part, row| Ok(Change::Stored(part.item(row)?)),
    )?;
    // What was removed before that was never told of.
    part.read(
        "SELECT timestamp, hash, seq, channel, origin FROM removed WHERE seq > ?1 AND seq <= ?2
         ORDER BY seq LIMIT ?3",
        from.max(as_of),
        |part, row| Ok(Change::Removed(part.item(row)?)),
    )?;
    part.read(
        "SELECT timestamp, hash, seq FROM expired WHERE seq > ?1 AND seq <= ?2
         ORDER BY seq LIMIT ?3",
        from.max(as_of),
        |_, row| Ok(Change::Expired(sync_id(row)?)),
    )?;
    let Part { mut found, mut end, limit, .. } = part;
    found.retain(|(number, _)| *number <= end);
    found.sort_unstable_by_key(|(number, _)| *number);
    found.truncate(limit);
    if let Some((last, _)) = found.last().filter(|_| found.len() == limit) {
        end = *last;
    }
    let logged = |(number, change)| Logged { at: head.at(number, as_of), own: false, change };
    Ok(Changes {
        entries: found.into_iter().map(logged).collect(),
        next: head.at(end, as_of),
        more: end < head.last,
    })
}

/// A part of the log that is put together from several tables.
struct Part<'a> {
    conn: &'a Connection,
    topics: &'a mut Topics,
    found: Vec<(i64, Change)>,
    /// Up to here all tables that were read were read.
    end: i64,
    /// The most that is read of one table.
    limit: usize,
}

impl Part<'_> {
    fn read(
        &mut self,
        text: &str,
        from: i64,
        change: impl Fn(&mut Self, &Row<'_>) -> Result<Change>,
    ) -> Result<()> {
        let fail = sql(READING);
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let mut statement = self.conn.prepare_cached(text).map_err(&fail)?;
        let mut rows = statement.query([from, self.end, limit]).map_err(&fail)?;
        let (mut count, mut last) = (0, self.end);
        while let Some(row) = rows.next().map_err(&fail)? {
            last = row.get(2).map_err(&fail)?;
            let change = change(self, row)?;
            self.found.push((last, change));
            count += 1;
        }
        if count == self.limit {
            self.end = last;
        }
        Ok(())
    }

    fn item(&mut self, row: &Row<'_>) -> Result<FeedItem> {
        let fail = sql(READING);
        let (pubsub_topic, content_topic) =
            self.topics.names(self.conn, row.get(3).map_err(&fail)?)?;
        let origin = origin_of(row.get(4).map_err(&fail)?)?;
        Ok(FeedItem { id: sync_id(row)?, pubsub_topic, content_topic, origin })
    }
}
