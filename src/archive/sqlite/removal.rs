//! Removing: the oldest, for retention, and single messages that are taken down; and giving the
//! space back.
//!
//! What must hold: count, floor, tombstones and the log of changes change in the transaction that
//! removes, and a put looks at them in its own: what another process has removed stays removed.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};

use super::changes::{self, Head};
use super::error::{corrupt, sql};
use super::scan::sync_id;
use super::topic_stats::Tally;
use super::topics::Topics;
use crate::archive::{FeedItem, Figures, Removal};
use crate::error::{Result, bail};
use crate::types::{MessageHash, Origin, StoredMessage, SyncId, Timestamp};

const REMOVING: &str = "removing messages from the archive";
const READING: &str = "reading the archive's figures";
/// Free pages that are kept for what comes next, rather than given back.
const SPARE_PAGES: i64 = 1024;
/// Pages given back after one removal: some milliseconds of work.
const GIVE_BACK: i64 = 256;

/// A row that goes.
struct Gone {
    row: i64,
    id: SyncId,
    channel: i64,
    origin: u8,
    bytes: i64,
}

/// Removes, within the caller's transaction; `head` is where the log stands, and is moved on.
pub(super) fn remove(
    conn: &Connection,
    topics: &mut Topics,
    removal: &Removal,
    head: &mut Head,
) -> Result<Vec<FeedItem>> {
    let gone = match removal {
        Removal::Oldest { before, limit } => oldest(conn, *before, *limit)?,
        Removal::Hashes(hashes) => take_down(conn, hashes)?,
    };
    let fail = sql(REMOVING);
    let mut statement = conn.prepare_cached("DELETE FROM message WHERE id = ?1").map_err(&fail)?;
    let mut items = Vec::with_capacity(gone.len());
    let taken_down = matches!(removal, Removal::Hashes(_));
    let mut shrunk = Tally::default();
    for Gone { row, id, channel, origin, bytes } in gone {
        if taken_down {
            changes::log_removed(conn, head, &id, channel, origin)?;
        }
        shrunk.add(channel, -1, -bytes);
        statement.execute([row]).map_err(&fail)?;
        let (pubsub_topic, content_topic) = topics.names(conn, channel)?;
        items.push(FeedItem { id, pubsub_topic, content_topic, origin: origin_of(origin)? });
    }
    shrunk.write(conn).map_err(&fail)?;
    let update = |text: &str, value: i64| {
        conn.prepare_cached(text).and_then(|mut s| s.execute([value])).map_err(&fail)
    };
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    update("UPDATE figures SET messages = messages - ?1", count)?;
    if matches!(removal, Removal::Oldest { .. })
        && let Some(last) = items.last()
    {
        let floor = last.id.timestamp.nanos().saturating_add(1);
        update("UPDATE figures SET floor = max(coalesce(floor, ?1), ?1)", floor)?;
        changes::log_expired(conn, head, &last.id)?;
    }
    changes::keep(conn, head, removal)?;
    Ok(items)
}

fn oldest(conn: &Connection, before: Timestamp, limit: usize) -> Result<Vec<Gone>> {
    let fail = sql(REMOVING);
    let mut statement = conn
        .prepare_cached(
            "SELECT timestamp, hash, id, channel, origin,
                    length(payload) + coalesce(length(meta), 0) + coalesce(length(rate_limit_proof), 0)
             FROM message INDEXED BY message_by_time WHERE timestamp < ?1 ORDER BY timestamp, hash LIMIT ?2",
        )
        .map_err(&fail)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query([before.nanos(), limit]).map_err(&fail)?;
    let mut gone = Vec::new();
    while let Some(row) = rows.next().map_err(&fail)? {
        gone.push(read(row)?);
    }
    Ok(gone)
}

fn take_down(conn: &Connection, hashes: &[MessageHash]) -> Result<Vec<Gone>> {
    let fail = sql(REMOVING);
    let mut mark = conn
        .prepare_cached("INSERT INTO tombstone(hash) VALUES(?1) ON CONFLICT DO NOTHING")
        .map_err(&fail)?;
    let mut find = conn
        .prepare_cached(
            "SELECT timestamp, hash, id, channel, origin,
                    length(payload) + coalesce(length(meta), 0) + coalesce(length(rate_limit_proof), 0)
             FROM message INDEXED BY message_by_hash WHERE hash = ?1",
        )
        .map_err(&fail)?;
    let mut gone = Vec::new();
    let mut marked = 0;
    for hash in hashes {
        // One that was marked before is not held.
        if mark.execute([&hash.as_bytes()[..]]).map_err(&fail)? == 1 {
            marked += 1;
            let mut rows = find.query([&hash.as_bytes()[..]]).map_err(&fail)?;
            if let Some(row) = rows.next().map_err(&fail)? {
                gone.push(read(row)?);
            }
        }
    }
    conn.prepare_cached("UPDATE figures SET tombstones = tombstones + ?1")
        .and_then(|mut s| s.execute([marked]))
        .map_err(&fail)?;
    Ok(gone)
}

fn read(row: &Row<'_>) -> Result<Gone> {
    let fail = sql(REMOVING);
    Ok(Gone {
        row: row.get(2).map_err(&fail)?,
        id: sync_id(row)?,
        channel: row.get(3).map_err(&fail)?,
        origin: row.get(4).map_err(&fail)?,
        bytes: row.get(5).map_err(&fail)?,
    })
}

pub(super) fn origin_of(number: u8) -> Result<Origin> {
    let all = [Origin::Live, Origin::Sync, Origin::Resume, Origin::Import];
    let found = all.into_iter().find(|origin| *origin as u8 == number);
    found.ok_or_else(|| corrupt(format!("a message's origin is {number}")))
}

/// Whether anything was ever taken down: mostly nothing was, and then nobody need look.
pub(super) fn any_taken_down(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT tombstones > 0 FROM figures")
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .map_err(sql(READING))
}

pub(super) fn is_taken_down(conn: &Connection, hash: &MessageHash) -> Result<bool> {
    conn.prepare_cached("SELECT 1 FROM tombstone WHERE hash = ?1")
        .and_then(|mut s| s.query_row([&hash.as_bytes()[..]], |_| Ok(())).optional())
        .map(|found| found.is_some())
        .map_err(sql(READING))
}

/// Hashes that were taken down, in order.
pub(super) fn tombstones(
    conn: &Connection,
    after: Option<MessageHash>,
    limit: usize,
) -> Result<Vec<MessageHash>> {
    let fail = sql(READING);
    let mut statement = conn
        .prepare_cached("SELECT hash FROM tombstone WHERE hash > ?1 ORDER BY hash LIMIT ?2")
        .map_err(&fail)?;
    let after = after.as_ref().map_or(&[][..], |hash| hash.as_bytes());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query((after, limit)).map_err(&fail)?;
    let mut down = Vec::new();
    while let Some(row) = rows.next().map_err(&fail)? {
        let hash = row.get_ref(0).map_err(&fail)?;
        let hash = hash.as_blob().map_err(|e| corrupt(format!("a tombstone: {e}")))?;
        down.push(MessageHash::from_slice(hash).map_err(|e| corrupt(e.message()))?);
    }
    Ok(down)
}

/// Lifts tombstones, within the caller's transaction.
pub(super) fn reinstate(conn: &Connection, hashes: &[MessageHash]) -> Result<u64> {
    let fail = sql("lifting tombstones");
    let mut lift = conn.prepare_cached("DELETE FROM tombstone WHERE hash = ?1").map_err(&fail)?;
    let mut lifted = 0usize;
    for hash in hashes {
        lifted += lift.execute([&hash.as_bytes()[..]]).map_err(&fail)?;
    }
    conn.prepare_cached("UPDATE figures SET tombstones = tombstones - ?1")
        .and_then(|mut s| s.execute([i64::try_from(lifted).unwrap_or(i64::MAX)]))
        .map_err(&fail)?;
    Ok(lifted as u64)
}

/// Checks, within the transaction of a put, that nothing of it was removed before.
pub(super) fn check_put(conn: &Connection, batch: &[(StoredMessage, Origin)]) -> Result<()> {
    let (tombstones, floor): (i64, Option<i64>) = conn
        .prepare_cached("SELECT tombstones, floor FROM figures")
        .and_then(|mut s| s.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(sql(READING))?;
    let floor = Timestamp(floor.unwrap_or(i64::MIN));
    for (message, _) in batch {
        if message.timestamp() < floor {
            bail!(TimestampTooOld, "message {:?} is older than what is kept", message.hash);
        }
        if tombstones > 0 && is_taken_down(conn, &message.hash)? {
            bail!(TakenDown, "message {:?} was taken down", message.hash);
        }
    }
    Ok(())
}

/// One above what retention has removed.
pub(super) fn floor(conn: &Connection) -> Result<Timestamp> {
    conn.prepare_cached("SELECT floor FROM figures")
        .and_then(|mut s| s.query_row([], |row| row.get::<_, Option<i64>>(0)))
        .map(|floor| Timestamp(floor.unwrap_or(i64::MIN)))
        .map_err(sql(READING))
}

/// What retention goes by.
pub(super) fn figures(conn: &Connection, used_bytes: u64) -> Result<Figures> {
    let get = || -> rusqlite::Result<(i64, Option<i64>, Option<i64>)> {
        let mut statement = conn.prepare_cached("SELECT messages, floor FROM figures")?;
        let (messages, floor) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut statement = conn.prepare_cached("SELECT min(timestamp) FROM message")?;
        Ok((messages, floor, statement.query_row([], |row| row.get(0))?))
    };
    let (messages, floor, oldest) = get().map_err(sql(READING))?;
    Ok(Figures {
        messages: u64::try_from(messages).unwrap_or(0),
        oldest: oldest.map(Timestamp),
        used_bytes,
        floor: Timestamp(floor.unwrap_or(i64::MIN)),
        goes_with: None,
    })
}

/// The bytes of the pages that hold something.
pub(super) fn used_bytes(conn: &Connection) -> Result<u64> {
    let pages = number(conn, "page_count")? - number(conn, "freelist_count")?;
    Ok(u64::try_from(pages * number(conn, "page_size")?).unwrap_or(0))
}

fn number(conn: &Connection, pragma: &str) -> Result<i64> {
    let value: Value =
        conn.pragma_query_value(None, pragma, |row| row.get(0)).map_err(sql(READING))?;
    let number = match value {
        Value::Integer(number) => Some(number),
        // SQLCipher tells the size of its pages in digits.
        Value::Text(digits) => digits.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| corrupt(format!("{pragma} is no number")))
}

/// Gives some free pages back to the system, where there are many. What does not work now will
/// later: nothing depends on it.
pub(super) fn give_back(conn: &Connection) {
    if number(conn, "freelist_count").is_ok_and(|free| free > SPARE_PAGES) {
        let all = format!("PRAGMA incremental_vacuum({GIVE_BACK})");
        let _ = conn.prepare(&all).and_then(|mut s| {
            let mut rows = s.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        });
    }
}
