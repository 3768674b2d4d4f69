//! Storing messages.
//!
//! What must hold: a batch is one transaction; what is told to be new was committed by it; and
//! where a commit's end is not known, because the connection broke, it is found out: the batch is
//! put again, and what is there by then tells by its transaction whether it was ours.

use std::collections::BTreeMap;

use super::bulk::{self, Row};
use super::changes::{At, MAX_PLACE};
use super::driver::Core;
use super::error::{Cure, Outcome, corrupt};
use super::find;
use super::lattice::Cell;
use super::layout::Layout;
use super::scan::sync_id;
use super::schema::VERSION;
use super::session::Session;
use super::topic_stats;
use crate::error::{Error, ErrorKind};
use crate::types::{MessageHash, Origin, StoredMessage, SyncId};

const WRITING: &str = "writing the archive";
/// Of the database's advisory locks: whoever takes messages down waits for all puts, which have
/// it together; so none brings back what is being taken down.
pub(super) const PUT_LOCK: i64 = 0x574b_5341_0003;
/// One statement has at most so many messages, or so many bytes.
const MAX_ROWS: usize = 4_096;
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Transactions of ours whose end is not known.
pub(super) type Unsettled = Vec<String>;

/// Begins, and tells of the archive what a put goes by, once nobody takes a message down any more
/// that it may come to store: numbers with spaces between.
fn begin() -> String {
    format!(
        "BEGIN; SELECT pg_advisory_xact_lock_shared({PUT_LOCK});
         SELECT concat_ws(' ', pg_current_xact_id(), feed, coalesce(floor, {}), tombstones,
             min_reader) FROM wakustore.archive",
        i64::MIN
    )
}

/// Commits a batch and tells for each message whether it is new.
pub(super) fn put(
    session: &mut Session,
    core: &mut Core,
    batch: &[(StoredMessage, Origin)],
    unsettled: &mut Unsettled,
) -> Outcome<Vec<bool>> {
    let last_place = i32::try_from(batch.len()).ok().filter(|last| *last <= MAX_PLACE);
    let Some(last_place) = last_place else {
        let what = format!("{} messages are too many for one transaction", batch.len());
        return Err(Error::new(ErrorKind::InvalidArgument, what).into());
    };
    let channels = core.topics.intern(session, batch.iter().map(|(m, _)| m))?;
    // In the log they have the order of the batch.
    let placed = batch.iter().zip(channels).zip(1..);
    let mut rows: Vec<Row<'_>> = placed
        .map(|(((message, origin), channel), place)| Row {
            message,
            origin: *origin,
            channel,
            place,
        })
        .collect();
    // All nodes store in the same order: they wait for each other, but never in a circle. Of one
    // message that comes twice the first counts.
    rows.sort_unstable_by_key(|row| (row.message.sync_id(), row.place));
    rows.dedup_by_key(|row| row.message.hash);
    let mut cells: Vec<Cell> =
        rows.iter().map(|row| session.lattice.cell_of(row.message.timestamp())).collect();
    cells.dedup();
    core.layout.make(session, &cells)?;

    let mut new = vec![false; rows.len()];
    let (xid, feed) = session.or_roll_back(WRITING, |session| {
        let told = session.texts(WRITING, &begin())?;
        let Some(head) = told.get(1) else {
            return Err(corrupt("its table `wakustore.archive` is empty"));
        };
        let mut words = head.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (xid, feed) = (number(word())?, number(word())?);
        let (floor, tombstones, least) = (number(word())?, number(word())?, number(word())?);
        if least > VERSION.into() {
            // Reading the header again tells.
            return Err(Layout::changed());
        }
        check(session, core, &rows, floor, tombstones > 0)?;
        store(session, core, &rows, &mut new, xid)?;
        unsettled.push(xid.to_string());
        let stored = || rows.iter().zip(&new).filter(|(_, new)| **new).map(|(row, _)| row);
        let cell = |row: &Row<'_>| session.lattice.cell_of(row.message.timestamp());
        let mut counts: BTreeMap<Cell, i64> = BTreeMap::new();
        stored().for_each(|row| *counts.entry(cell(row)).or_default() += 1);
        let of_channel =
            |row: &Row<'_>| (cell(row), row.channel.id, topic_stats::content_bytes(row.message));
        let by_channel = topic_stats::count(core.slot, stored().map(of_channel));
        let end = format!("{} {by_channel} COMMIT", count(core.slot, &counts));
        let ended = session.batch(WRITING, &end);
        // Where the server itself says yes or no, it is known. But with others still to be found
        // out, a yes must not be forgotten when finding out fails in its turn.
        let known = match &ended {
            Ok(()) => unsettled.len() == 1,
            Err(fault) => fault.cure != Cure::Reconnect,
        };
        if known {
            unsettled.pop();
        }
        ended?;
        Ok((xid, feed))
    })?;
    let mut at = new.contains(&true).then_some(xid);
    if !unsettled.is_empty() {
        let before = new.iter().filter(|new| **new).count();
        let last = last_of(unsettled);
        settle(session, core, &rows, &mut new, unsettled)?;
        // Where nothing was left to store, our transaction leaves no trace.
        let after = new.iter().filter(|new| **new).count();
        at = at.or(last.filter(|_| after > before));
    }
    if let Some(xid) = at {
        core.own.committed(At { xid, place: last_place }, feed);
    }
    let mut answer = vec![false; batch.len()];
    for (row, new) in rows.iter().zip(new) {
        let place = usize::try_from(row.place - 1).ok();
        if let Some(answer) = place.and_then(|place| answer.get_mut(place)) {
            *answer = new;
        }
    }
    Ok(answer)
}

/// A number that the server wrote.
pub(super) fn number(text: &str) -> Outcome<i64> {
    text.parse().map_err(|_| corrupt("a number of it is none"))
}

/// The last of some transactions.
pub(super) fn last_of(unsettled: &Unsettled) -> Option<i64> {
    unsettled.iter().filter_map(|xid| xid.parse().ok()).max()
}

/// How many of the first of these rows one statement takes.
fn fits(rows: &[Row<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&Row<'_>| {
        bytes += row.message.message.payload.len();
        bytes <= MAX_BYTES
    };
    rows.iter().take(MAX_ROWS).take_while(fits).count().max(1).min(rows.len())
}

/// Whether nothing of a batch was removed by another node since the archive looked; within the
/// transaction of the put.
fn check(
    session: &mut Session,
    core: &mut Core,
    rows: &[Row<'_>],
    floor: i64,
    any_taken_down: bool,
) -> Outcome<()> {
    // They are in order of time.
    if let Some(oldest) = rows.first()
        && oldest.message.timestamp().nanos() < floor
    {
        let what = format!("message {:?} is older than what is kept", oldest.message.hash);
        return Err(Error::new(ErrorKind::TimestampTooOld, what).into());
    }
    if any_taken_down {
        let hashes: Vec<MessageHash> = rows.iter().map(|row| row.message.hash).collect();
        if let Some(down) = find::taken_down(session, &hashes)?.first() {
            // Who asks which they are is not to go by what we knew.
            core.layout.forget();
            let what = format!("message {down:?} was taken down");
            return Err(Error::new(ErrorKind::TakenDown, what).into());
        }
    }
    Ok(())
}

/// Stores, and tells of each whether it is new.
fn store(
    session: &mut Session,
    core: &mut Core,
    rows: &[Row<'_>],
    new: &mut [bool],
    xid: i64,
) -> Outcome<()> {
    let mut from = 0;
    while from < rows.len() {
        let to = from + fits(&rows[from..]);
        let (some, new) = (&rows[from..to], &mut new[from..to]);
        let stored = bulk::store(session, core, some, xid)?;
        if usize::try_from(stored) == Ok(some.len()) {
            new.fill(true);
        } else if stored > 0 {
            mark(session, core, some, new, &vec![xid.to_string()])?;
        }
        from = to;
    }
    Ok(())
}

/// Marks as new those that these transactions of ours have stored.
fn mark(
    session: &mut Session,
    core: &Core,
    rows: &[Row<'_>],
    new: &mut [bool],
    xids: &Unsettled,
) -> Outcome<()> {
    let mut cells: BTreeMap<Cell, Vec<SyncId>> = BTreeMap::new();
    for (row, _) in rows.iter().zip(&*new).filter(|(_, new)| !**new) {
        let cell = session.lattice.cell_of(row.message.timestamp());
        if core.layout.has(cell) {
            cells.entry(cell).or_default().push(row.message.sync_id());
        }
    }
    let ours = "AND xid::text = ANY($3::text[]) AND writer = $4::int4";
    for (cell, ids) in cells {
        let values: [super::session::Value<'_>; 2] = [xids, &core.writer];
        for found in find::by_id_and(session, cell, &ids, "timestamp, hash", ours, &values)? {
            let id = sync_id(&found, 0)?;
            // They are in order.
            if let Ok(at) = rows.binary_search_by_key(&id, |row| row.message.sync_id()) {
                new[at] = true;
            }
        }
    }
    Ok(())
}

/// The statement that adds to the kept counts. Writers have rows of their own, mostly, so that
/// they do not wait for each other.
fn count(slot: i16, counts: &BTreeMap<Cell, i64>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let values: Vec<String> =
        counts.iter().map(|(cell, count)| format!("({cell}, {slot}, {count})")).collect();
    format!(
        "INSERT INTO wakustore.partition_count AS c (cell, slot, messages) VALUES {}
         ON CONFLICT (cell, slot) DO UPDATE
         SET messages = c.messages + excluded.messages,
             last_xid = greatest(c.last_xid, excluded.last_xid);",
        values.join(", ")
    )
}

/// Adds to the new ones those that an earlier transaction of ours has stored after all.
fn settle(
    session: &mut Session,
    core: &mut Core,
    rows: &[Row<'_>],
    new: &mut [bool],
    unsettled: &mut Unsettled,
) -> Outcome<()> {
    core.layout.refresh(session)?;
    mark(session, core, rows, new, unsettled)?;
    unsettled.clear();
    Ok(())
}

/// Makes the partition after the newest, before there is anything for it.
pub(super) fn make_ahead(session: &mut Session, core: &mut Core) -> Outcome<()> {
    let fine = |cell: &Cell| session.lattice.after(*cell).is_some() && *cell >= 0;
    let newest = core.layout.cells().iter().copied().rfind(fine);
    let used = core.newest_used;
    match newest.filter(|newest| used == Some(*newest)).and_then(|c| session.lattice.after(c)) {
        Some(next) => core.layout.make(session, &[next]),
        None => Ok(()),
    }
}
