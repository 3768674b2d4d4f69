//! Removing: single messages that are taken down, the oldest ones of a partition, and partitions
//! as a whole.
//!
//! What must hold: counts, floor, tombstones and what other nodes are told change in the
//! transaction that removes. One node at a time keeps house: it holds a lease, which ends by
//! itself; others do nothing.

use std::collections::BTreeMap;

use postgres::Row;

use super::changes::{MAX_PLACE, origin_of};
use super::driver::Core;
use super::error::{Cure, Fault, Outcome, sql};
use super::figures::{self, Counted};
use super::find;
use super::lattice::{Cell, table};
use super::layout::LAYOUT_LOCK;
use super::put::{PUT_LOCK, Unsettled, last_of};
use super::removed::{Kind, RETURN_TURN, SET_TURN, Turn};
use super::scan::{self, Source, sync_id};
use super::session::Session;
use super::span::Span;
use super::topic_stats;
use crate::archive::FeedItem;
use crate::error::{Error, ErrorKind};
use crate::types::{Direction, MessageHash, SyncId, TimeRange, Timestamp};

const REMOVING: &str = "removing messages from the archive";
/// Messages of a removed partition that are told of in one step.
const TOLD_AT_ONCE: usize = 5_000;
/// How long removing a partition waits for those who read and write, in milliseconds: meanwhile
/// others wait behind it.
const PATIENCE: u32 = 300;
/// Empty partitions that are removed in one step.
const EMPTY_AT_ONCE: usize = 4;
/// Hashes in one statement.
const AT_ONCE: usize = 16_384;

/// A message that went.
pub(super) struct Gone {
    id: SyncId,
    channel: i32,
    origin: i16,
}

impl Gone {
    /// From the columns `timestamp, hash, channel, origin`.
    pub(super) fn read(row: &Row) -> Outcome<Gone> {
        let fail = sql(REMOVING);
        Ok(Gone {
            id: sync_id(row, 0)?,
            channel: row.try_get(2).map_err(&fail)?,
            origin: row.try_get(3).map_err(&fail)?,
        })
    }
}

/// What the feed is told.
pub(super) fn items(
    session: &mut Session,
    core: &mut Core,
    gone: &[Gone],
) -> Outcome<Vec<FeedItem>> {
    core.topics.load(session, gone.iter().map(|gone| gone.channel))?;
    let item = |gone: &Gone| {
        let (pubsub_topic, content_topic) = core.topics.names(gone.channel)?;
        let origin = origin_of(gone.origin)?;
        Ok(FeedItem { id: gone.id, pubsub_topic, content_topic, origin })
    };
    gone.iter().map(item).collect()
}

/// Takes messages down.
pub(super) fn take_down(
    session: &mut Session,
    core: &mut Core,
    hashes: &[MessageHash],
    unsettled: &mut Unsettled,
) -> Outcome<Vec<Gone>> {
    let mut hashes = hashes.to_vec();
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.len() > usize::try_from(MAX_PLACE).unwrap_or(usize::MAX) {
        let what = format!("{} hashes are too many for one transaction", hashes.len());
        return Err(Error::new(ErrorKind::InvalidArgument, what).into());
    }
    commit(session, core, unsettled, |session, core| {
        // All puts that began before have ended, and those that come see the tombstones.
        session.batch(REMOVING, &format!("SELECT pg_advisory_xact_lock({PUT_LOCK})"))?;
        let mut marked = Vec::new();
        for some in hashes.chunks(AT_ONCE) {
            let some: Vec<&[u8]> = some.iter().map(|hash| &hash.as_bytes()[..]).collect();
            let rows = session.query(
                REMOVING,
                "INSERT INTO wakustore.tombstone(hash) SELECT unnest($1::bytea[])
                 ON CONFLICT DO NOTHING RETURNING hash",
                &[&some],
            )?;
            for row in rows {
                let hash = row.try_get::<_, &[u8]>(0).map_err(sql(REMOVING))?;
                marked.push(MessageHash::from_slice(hash)?);
            }
        }
        let count = i64::try_from(marked.len()).unwrap_or(i64::MAX);
        let text = format!(
            "UPDATE wakustore.archive SET tombstones = tombstones + $1, {SET_TURN}
             RETURNING {RETURN_TURN}"
        );
        let mut turn = Turn::read(&session.query(REMOVING, &text, &[&count])?)?;
        core.layout.refresh(session)?;
        // One that was marked before is not held.
        let mut cells: BTreeMap<Cell, Vec<SyncId>> = BTreeMap::new();
        for key in find::all(session, core, marked)?.into_values() {
            cells.entry(key.cell).or_default().push(key.id);
        }
        let mut gone = Vec::new();
        for (cell, ids) in cells {
            gone.extend(delete(session, core, &mut turn, cell, &ids, Kind::TakenDown)?);
        }
        turn.trim(session, gone.len())?;
        Ok((gone, turn))
    })
}

/// Lifts tombstones, in one transaction; how many there were.
pub(super) fn reinstate(session: &mut Session, hashes: &[MessageHash]) -> Outcome<u64> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash.as_bytes()[..]).collect();
    let rows = session.query(
        REMOVING,
        "WITH gone AS (
             DELETE FROM wakustore.tombstone t USING unnest($1::bytea[]) AS k(hash)
             WHERE t.hash = k.hash RETURNING 1),
         lifted AS (SELECT count(*) AS count FROM gone),
         counted AS (
             UPDATE wakustore.archive SET tombstones = tombstones - lifted.count FROM lifted)
         SELECT count FROM lifted",
        &[&hashes],
    )?;
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(sql(REMOVING))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Removes single messages of a partition, logs and counts them.
fn delete(
    session: &mut Session,
    core: &Core,
    turn: &mut Turn,
    cell: Cell,
    ids: &[SyncId],
    kind: Kind,
) -> Outcome<Vec<Gone>> {
    topic_stats::uncount(session, core, cell, ids)?;
    let gone = turn.delete(session, core, cell, ids, kind)?;
    let count = i64::try_from(gone.len()).unwrap_or(i64::MAX);
    session.query(
        REMOVING,
        "INSERT INTO wakustore.partition_count AS c (cell, slot, messages, removed)
         VALUES($1, $2, -$3::int8, $3::int8) ON CONFLICT (cell, slot) DO UPDATE
         SET messages = c.messages - $3, removed = c.removed + $3",
        &[&cell, &core.slot, &count],
    )?;
    Ok(gone)
}

/// Runs a removal as one transaction; and where the end of an earlier try is not known, adds what
/// that has removed.
fn commit(
    session: &mut Session,
    core: &mut Core,
    unsettled: &mut Unsettled,
    remove: impl FnOnce(&mut Session, &mut Core) -> Outcome<(Vec<Gone>, Turn)>,
) -> Outcome<Vec<Gone>> {
    let begin = "BEGIN; SELECT pg_current_xact_id()::text";
    let (mut gone, turn) = session.or_roll_back(REMOVING, |session| {
        let xid = session.texts(REMOVING, begin)?.pop();
        let done = remove(session, core)?;
        unsettled.extend(xid);
        let ended = session.batch(REMOVING, "COMMIT");
        // As with a put.
        let known = match &ended {
            Ok(()) => unsettled.len() == 1,
            Err(fault) => fault.cure != Cure::Reconnect,
        };
        if known {
            unsettled.pop();
        }
        ended.map(|()| done)
    })?;
    let (mut at, feed) = turn.commit();
    if !unsettled.is_empty() {
        let rows = session.query(
            REMOVING,
            "SELECT timestamp, hash, channel, origin FROM wakustore.removal r
             WHERE xid IN (SELECT k.xid::xid8 FROM unnest($1::text[]) AS k(xid)) AND kind <> 2
             ORDER BY r.xid, r.place",
            &[&*unsettled],
        )?;
        if let (true, Some(xid)) = (gone.is_empty(), last_of(unsettled)) {
            (at.xid, at.place) = (xid, MAX_PLACE);
        }
        // With what this try has removed.
        gone = rows.iter().map(Gone::read).collect::<Outcome<Vec<Gone>>>()?;
        unsettled.clear();
    }
    if !gone.is_empty() {
        core.own.committed(at, feed);
    }
    Ok(gone)
}

/// One step of retention: of what is older than `before`, some. Nothing where another node keeps
/// house.
pub(super) fn oldest(
    session: &mut Session,
    core: &mut Core,
    before: Timestamp,
    limit: usize,
    unsettled: &mut Unsettled,
) -> Outcome<Vec<Gone>> {
    let Some(leased) = lease(session, core)? else {
        return Ok(Vec::new());
    };
    core.keeps_house = true;
    if let Some(gone) = tell(session, core)? {
        let (at, feed) = leased.commit();
        core.own.committed(at, feed);
        return Ok(gone);
    }
    let counts = figures::counts(session)?;
    remove_empty(session, core, &counts)?;
    topic_stats::forget(session)?;
    let Some((&cell, _)) = counts.iter().find(|(_, counted)| counted.messages > 0) else {
        return Ok(Vec::new());
    };
    // By age whole partitions go, once all of one is too old; but the last has no end.
    let by_age = before != Timestamp::MAX;
    match session.lattice.upper(cell).filter(|_| by_age) {
        Some(upper) if upper <= before.nanos() => {
            let removed = remove_whole(session, core, cell, true)?;
            let (at, feed) = removed.commit();
            core.own.committed(at, feed);
            return Ok(tell(session, core)?.unwrap_or_default());
        }
        Some(_) => return Ok(Vec::new()),
        None => {}
    }
    commit(session, core, unsettled, |session, core| {
        // Nobody else takes the lease until we are through.
        let text = format!(
            "UPDATE wakustore.archive SET {SET_TURN} WHERE keeper = $1 AND kept_until > now()
             RETURNING {RETURN_TURN}"
        );
        let rows = session.query(REMOVING, &text, &[&core.writer])?;
        if rows.is_empty() {
            return Err(no_longer_ours());
        }
        let mut turn = Turn::read(&rows)?;
        // What another node removed since we looked is not to be removed once more.
        let messages: u64 = figures::counts(session)?.values().map(|of| of.messages).sum();
        let since = core.figured.filter(|_| !by_age).unwrap_or(messages).saturating_sub(messages);
        let limit = limit.saturating_sub(usize::try_from(since).unwrap_or(usize::MAX));
        let time = TimeRange::new(Timestamp::MIN, before)?;
        let span = Span::new(&time, None, Direction::Forward);
        let keys = scan::keys_in(session, core, cell, &Source::Time, &span, limit)?;
        let ids: Vec<SyncId> = keys.iter().map(|key| key.id).collect();
        let gone = delete(session, core, &mut turn, cell, &ids, Kind::Expired)?;
        if let Some(last) = gone.last() {
            let floor = last.id.timestamp.nanos().saturating_add(1);
            raise_floor(session, floor)?;
            turn.bound(session, core, last.id.timestamp.nanos(), last.id.hash.as_bytes())?;
            turn.trim(session, gone.len())?;
        }
        Ok((gone, turn))
    })
}

fn raise_floor(session: &mut Session, floor: i64) -> Outcome<()> {
    let text = "UPDATE wakustore.archive SET floor = greatest(floor, $1::int8)";
    session.query(REMOVING, text, &[&floor]).map(drop)
}

/// Takes the lease, or renews it, where it is ours to take. Doing so is a transaction that lies
/// after all that the log was ever read up to.
fn lease(session: &mut Session, core: &Core) -> Outcome<Option<Turn>> {
    let text = format!(
        "UPDATE wakustore.archive SET keeper = $1, kept_until = now() + interval '10 seconds'
         WHERE keeper IS NULL OR keeper = $1 OR kept_until < now() RETURNING {RETURN_TURN}"
    );
    let rows = session.query(REMOVING, &text, &[&core.writer])?;
    if rows.is_empty() { Ok(None) } else { Turn::read(&rows).map(Some) }
}

/// Lets another node keep house.
pub(super) fn release(session: &mut Session, core: &Core) -> Outcome<()> {
    let text = "UPDATE wakustore.archive SET keeper = NULL, kept_until = NULL WHERE keeper = $1";
    session.query(REMOVING, text, &[&core.writer]).map(drop)
}

/// Partitions that hold nothing, and that nothing will be put into, go.
fn remove_empty(
    session: &mut Session,
    core: &mut Core,
    counts: &BTreeMap<Cell, Counted>,
) -> Outcome<()> {
    let text = "SELECT floor FROM wakustore.archive WHERE floor IS NOT NULL";
    let rows = session.query(REMOVING, text, &[])?;
    let Some(row) = rows.first() else { return Ok(()) };
    let floor: i64 = row.try_get(0).map_err(sql(REMOVING))?;
    core.layout.refresh(session)?;
    let empty = |cell: &Cell| {
        session.lattice.upper(*cell).is_some_and(|upper| upper <= floor)
            && counts.get(cell).is_none_or(|counted| counted.messages == 0)
    };
    let empty: Vec<Cell> =
        core.layout.cells().iter().copied().filter(empty).take(EMPTY_AT_ONCE).collect();
    for cell in empty {
        remove_whole(session, core, cell, false)?;
    }
    Ok(())
}

/// Takes a partition out. Its table stays under another name until its messages were told of.
fn remove_whole(session: &mut Session, core: &mut Core, cell: Cell, tell: bool) -> Outcome<Turn> {
    let upper = session.lattice.upper(cell);
    let table = table(cell);
    let turn = session.transact(REMOVING, |session| {
        session.batch(
            REMOVING,
            &format!(
                "SET LOCAL lock_timeout = {PATIENCE};
                 SELECT pg_advisory_xact_lock({LAYOUT_LOCK})"
            ),
        )?;
        let rows = session.query(
            REMOVING,
            &format!(
                "UPDATE wakustore.archive
                 SET layout = layout + 1, floor = greatest(floor, $2::int8), {SET_TURN}
                 WHERE keeper = $1 AND kept_until > now() RETURNING {RETURN_TURN}, layout"
            ),
            &[&core.writer, &upper],
        )?;
        let Some(row) = rows.first() else {
            return Err(no_longer_ours());
        };
        let layout: i64 = row.try_get(3).map_err(sql(REMOVING))?;
        let mut turn = Turn::read(&rows)?;
        let end = match tell {
            true => format!("ALTER TABLE {table} RENAME TO {}", name_gone(core.writer, layout)),
            false => format!("DROP TABLE {table}"),
        };
        session.batch(
            REMOVING,
            &format!("ALTER TABLE wakustore.message DETACH PARTITION {table}; {end}"),
        )?;
        // What was put between counting and now would be lost with an empty one.
        session.query(REMOVING, "DELETE FROM wakustore.partition WHERE cell = $1", &[&cell])?;
        let rows = session.query(
            REMOVING,
            "WITH gone AS (DELETE FROM wakustore.partition_count WHERE cell = $1 RETURNING messages)
             SELECT coalesce(sum(messages), 0)::int8 FROM gone",
            &[&cell],
        )?;
        let held: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(sql(REMOVING))?;
        if held > 0 && !tell {
            return Err(no_longer_ours());
        }
        // What lay in an empty one was told of when it went.
        if let Some(upper) = upper.filter(|_| tell) {
            turn.bound(session, core, upper.saturating_sub(1), &[0xff; 32])?;
            turn.trim(session, 1)?;
        }
        Ok(turn)
    })?;
    core.layout.refresh(session)?;
    Ok(turn)
}

fn no_longer_ours() -> Fault {
    let what = "another node changed the archive while a partition was to be removed";
    Error::new(ErrorKind::Busy, what).into()
}

fn name_gone(writer: i32, layout: i64) -> String {
    format!("gone_{writer}_{layout}")
}

/// The tables of partitions that were taken out and still stand.
fn gone_tables(session: &mut Session) -> Outcome<Vec<String>> {
    session.texts(
        REMOVING,
        "SELECT relname FROM pg_class WHERE relnamespace = 'wakustore'::regnamespace
         AND relkind = 'r' AND relname LIKE 'gone\\_%' ORDER BY oid",
    )
}

/// Whether there is a partition that we took out and have not yet told all of.
pub(super) fn is_telling(session: &mut Session, core: &Core) -> Outcome<bool> {
    let ours = format!("gone_{}_", core.writer);
    Ok(gone_tables(session)?.iter().any(|name| name.starts_with(&ours)))
}

/// Some messages of a partition that we took out; its table goes with the last. `None` where there
/// is none. What other nodes left behind goes too: whoever listened to them is gone.
fn tell(session: &mut Session, core: &mut Core) -> Outcome<Option<Vec<Gone>>> {
    let ours = format!("gone_{}_", core.writer);
    for name in gone_tables(session)? {
        if !name.starts_with(&ours) {
            session.batch(REMOVING, &format!("DROP TABLE IF EXISTS wakustore.{name}"))?;
            continue;
        }
        let after = core.told.take().filter(|(of, _)| *of == name).map(|(_, id)| id);
        let time = after.map_or(i64::MIN, |id| id.timestamp.nanos());
        let hash = after.map_or_else(Vec::new, |id| id.hash.as_bytes().to_vec());
        let limit = i64::try_from(TOLD_AT_ONCE).unwrap_or(i64::MAX);
        let text = format!(
            "SELECT timestamp, hash, channel, origin FROM wakustore.{name}
             WHERE (timestamp, hash) > ($1::int8, $2::bytea) ORDER BY timestamp, hash
             LIMIT $3::int8"
        );
        let rows = session.query(REMOVING, &text, &[&time, &hash, &limit])?;
        let gone = rows.iter().map(Gone::read).collect::<Outcome<Vec<Gone>>>()?;
        match gone.last() {
            Some(last) if gone.len() == TOLD_AT_ONCE => core.told = Some((name, last.id)),
            _ => session.batch(REMOVING, &format!("DROP TABLE IF EXISTS wakustore.{name}"))?,
        }
        return Ok(Some(gone));
    }
    Ok(None)
}
