//! The log of changes, for the change feed.
//!
//! Every message and every logged removal bears the number of its transaction (`xid`) and its place
//! in it. Numbers are drawn before the commit, so that a slow transaction commits a low number
//! late: the log is read up to a *horizon* that no open transaction can come to lie before,
//! `pg_snapshot_xmin`.
//!
//! That alone is not enough. A crash of the server takes back the numbers of transactions that left
//! nothing behind (they were rolled back, or had nothing to write), and it gives those out again;
//! the horizon may have passed them before. So the log also never ends beyond the number after the
//! highest that is committed in it, which a crash cannot take back.
//!
//! What must hold: what one call tells, horizon and all, is of one snapshot; the end of the log
//! never goes back; and no removal is forgotten without a note of how far (`trimmed`).

use postgres::Row;

use super::driver::Core;
use super::error::{Outcome, corrupt, sql};
use super::lattice::{Cell, table};
use super::scan::sync_id;
use super::session::{Session, Value};
use crate::archive::{Change, Changes, Commit, FeedItem, Logged, Position};
use crate::error::{Error, ErrorKind};
use crate::types::{Origin, SyncId};

const READING: &str = "reading the archive's log of changes";
/// Partitions that one statement reads.
const CELLS_AT_ONCE: usize = 16;
/// A position's second number: a place in a transaction, and above it as of which removal all of
/// the log is seen by who began at its start. (A transaction has some thousand messages, and
/// what one call takes down.)
const PLACE_BITS: u32 = 24;
/// The highest place in a transaction that a position can tell.
pub(super) const MAX_PLACE: i32 = (1 << PLACE_BITS) - 1;
/// Transactions of ours that are remembered as not told ahead.
const MAX_UNTOLD: usize = 256;

/// The end of the log in this snapshot: nothing comes to lie before it any more.
const END: &str = "SELECT least(pg_snapshot_xmin(pg_current_snapshot())::text::int8,
        1 + greatest(a.past, c.last)), a.feed, a.turn, a.trimmed, a.trimmed_turn,
        greatest(a.past, c.last) >= pg_snapshot_xmax(pg_current_snapshot())::text::int8
    FROM wakustore.archive a,
        (SELECT max(last_xid)::text::int8 AS last FROM wakustore.partition_count) c";

/// A place in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct At {
    pub(super) xid: i64,
    pub(super) place: i32,
}

/// Which of our own commits were told ahead of the log, and which not.
#[derive(Default)]
pub(super) struct Own {
    /// The last one that changed anything, and the database's number.
    last: Option<(At, i64)>,
    /// Spans of transactions of which it was not known how they ended: nobody was told of them.
    untold: Vec<(i64, i64)>,
}

impl Own {
    /// A commit that changed something and is about to be told.
    pub(super) fn committed(&mut self, at: At, feed: i64) {
        self.last = Some((at, feed));
    }

    /// The last commit is not told after all.
    pub(super) fn not_told(&mut self) {
        if let Some((at, _)) = self.last {
            self.forget(at.xid);
        }
    }

    /// It was tried to commit these, and it is not known how that ended.
    pub(super) fn unknown(&mut self, xids: &[String]) {
        for xid in xids.iter().filter_map(|xid| xid.parse().ok()) {
            self.forget(xid);
        }
    }

    fn forget(&mut self, xid: i64) {
        self.untold.push((xid, xid));
        // What lies between two is rather told twice than never.
        while let [first, second, ..] = self.untold[..]
            && self.untold.len() > MAX_UNTOLD
        {
            self.untold[1] = (first.0, second.1);
            self.untold.remove(0);
        }
    }

    pub(super) fn commit(&self) -> Option<Commit> {
        let (at, feed) = self.last?;
        let position = |place| Position::new(feed.cast_unsigned(), number(at.xid), number(place));
        let before = position(0);
        Some(Commit { before, at: position(at.place.into()), settled: false })
    }

    fn was_told(&self, xid: i64) -> bool {
        !self.untold.iter().any(|(first, last)| (*first..=*last).contains(&xid))
    }
}

fn number(of: i64) -> u64 {
    u64::try_from(of).unwrap_or(0)
}

/// Where the log stands, in one snapshot.
struct Head {
    /// The first transaction that is not told yet.
    end: i64,
    feed: i64,
    /// How many removals there were.
    turn: i64,
    /// Removals of transactions below this, and up to that turn, are forgotten.
    trimmed: i64,
    trimmed_turn: i64,
}

impl Head {
    fn read(session: &mut Session) -> Outcome<Head> {
        let fail = sql(READING);
        let rows = session.query(READING, END, &[])?;
        let Some(row) = rows.first() else {
            return Err(corrupt("its table `wakustore.archive` is empty"));
        };
        let number = |column: usize| row.try_get::<_, i64>(column).map_err(&fail);
        if row.try_get(5).map_err(&fail)? {
            return Err(corrupt(
                "its log of changes is ahead of the server's transactions, as after a dump was \
                 restored into another server: see docs/POSTGRES.md",
            ));
        }
        Ok(Head {
            end: number(0)?,
            feed: number(1)?,
            turn: number(2)?,
            trimmed: number(3)?,
            trimmed_turn: number(4)?,
        })
    }

    fn position(&self, at: At, as_of: i64) -> Position {
        let minor = number(as_of) << PLACE_BITS | number(at.place.into());
        Position::new(self.feed.cast_unsigned(), number(at.xid), minor)
    }

    fn end(&self) -> At {
        At { xid: self.end, place: 0 }
    }

    /// The place, and as of which removal, that a position stands for.
    fn place(&self, position: Position) -> Outcome<(At, i64)> {
        let gone = |what: &str| Err(Error::new(ErrorKind::PositionGone, what).into());
        if position == Position::START {
            return Ok((At { xid: 0, place: 0 }, self.turn));
        }
        if position.archive() != self.feed.cast_unsigned() {
            return gone("the position is of another archive");
        }
        let place = i32::try_from(position.minor() & number(MAX_PLACE.into())).unwrap_or(MAX_PLACE);
        let as_of = i64::try_from(position.minor() >> PLACE_BITS).unwrap_or(i64::MAX);
        let ahead = "the position is ahead of the archive: it is of a later state of the database";
        let at = match i64::try_from(position.major()) {
            Ok(xid) if (At { xid, place }) <= self.end() && as_of <= self.turn => At { xid, place },
            _ => return gone(ahead),
        };
        if at.xid < self.trimmed && as_of < self.trimmed_turn {
            return gone("the position is older than what is logged of removals");
        }
        Ok((at, as_of))
    }
}

/// Where the log stands now.
pub(super) fn position(session: &mut Session) -> Outcome<Position> {
    let head = Head::read(session)?;
    Ok(head.position(head.end(), 0))
}

/// A number that changes with the end of the log.
pub(super) fn mark(session: &mut Session) -> Outcome<u64> {
    Ok(number(Head::read(session)?.end))
}

/// The log after a position.
pub(super) fn changes(
    session: &mut Session,
    core: &mut Core,
    after: Position,
    limit: usize,
) -> Outcome<Changes> {
    // One snapshot: what another node forgets meanwhile is still there.
    session.batch(READING, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
    session.or_roll_back(READING, |session| {
        let changes = read(session, core, after, limit.max(1))?;
        session.batch(READING, "END")?;
        Ok(changes)
    })
}

fn read(session: &mut Session, core: &mut Core, after: Position, limit: usize) -> Outcome<Changes> {
    let head = Head::read(session)?;
    let (from, as_of) = head.place(after)?;
    // One more than asked for tells whether there are more.
    let mut part =
        Part { from, end: head.end(), limit: limit.saturating_add(1), found: Vec::new() };
    let cells = changed(session, from)?;
    for some in cells.chunks(CELLS_AT_ONCE) {
        part.stored(session, some)?;
    }
    part.removed(session, as_of)?;
    let Part { mut found, .. } = part;
    let more = found.len() > limit;
    found.truncate(limit);
    let end = found.last().filter(|_| more).map_or(head.end(), |entry| entry.at);
    core.topics.load(session, found.iter().filter_map(|entry| entry.channel))?;
    let logged = |entry: &Entry| {
        let at = head.position(entry.at, as_of);
        let own = entry.writer == core.writer && core.own.was_told(entry.at.xid);
        Ok(Logged { at, own, change: entry.change(core)? })
    };
    let entries = found.iter().map(logged).collect::<Outcome<Vec<Logged>>>()?;
    // Who has come to the end is told of removals from there on, whenever he began.
    let next = head.position(end, if more { as_of } else { 0 });
    Ok(Changes { entries, next, more })
}

/// The partitions into which something was put since.
fn changed(session: &mut Session, from: At) -> Outcome<Vec<Cell>> {
    let text = "SELECT cell FROM wakustore.partition_count WHERE last_xid >= $1::text::xid8
                GROUP BY cell ORDER BY cell";
    let rows = session.query(READING, text, &[&from.xid.to_string()])?;
    rows.iter().map(|row| row.try_get(0).map_err(sql(READING))).collect()
}

/// One row of the log.
struct Entry {
    at: At,
    writer: i32,
    id: SyncId,
    kind: Option<i16>,
    channel: Option<i32>,
    origin: Option<i16>,
}

impl Entry {
    /// From the columns `xid, place, writer, timestamp, hash, channel, origin, kind`.
    fn read(row: &Row) -> Outcome<Entry> {
        let fail = sql(READING);
        Ok(Entry {
            at: At { xid: row.try_get(0).map_err(&fail)?, place: row.try_get(1).map_err(&fail)? },
            writer: row.try_get(2).map_err(&fail)?,
            id: sync_id(row, 3)?,
            channel: row.try_get(5).map_err(&fail)?,
            origin: row.try_get(6).map_err(&fail)?,
            kind: row.try_get(7).map_err(&fail)?,
        })
    }

    fn change(&self, core: &Core) -> Outcome<Change> {
        let (Some(channel), Some(origin)) = (self.channel, self.origin) else {
            return Ok(Change::Expired(self.id));
        };
        let (pubsub_topic, content_topic) = core.topics.names(channel)?;
        let origin = origin_of(origin)?;
        let item = FeedItem { id: self.id, pubsub_topic, content_topic, origin };
        Ok(if self.kind.is_some() { Change::Removed(item) } else { Change::Stored(item) })
    }
}

/// The origin that a number stands for.
pub(super) fn origin_of(number: i16) -> Outcome<Origin> {
    let all = [Origin::Live, Origin::Sync, Origin::Resume, Origin::Import];
    let origin = all.into_iter().find(|origin| *origin as i16 == number);
    origin.ok_or_else(|| corrupt(format!("a message's origin is {number}")))
}

/// A part of the log that is put together from several tables.
struct Part {
    from: At,
    /// Up to here, with it, all tables that were read were read.
    end: At,
    /// The most that is read in one go, and in all.
    limit: usize,
    /// In order.
    found: Vec<Entry>,
}

impl Part {
    fn stored(&mut self, session: &mut Session, cells: &[Cell]) -> Outcome<()> {
        let of = |cell: &Cell| {
            format!(
                "(SELECT xid, place, writer, timestamp, hash, channel, origin FROM {}
                 m WHERE (xid, place) > ($1::text::xid8, $2::int4)
                     AND (xid, place) <= ($3::text::xid8, $4::int4)
                 ORDER BY m.xid, m.place)",
                table(*cell)
            )
        };
        // Each in order, by its index of transactions, so that no more is read than is told.
        let all: Vec<String> = cells.iter().map(of).collect();
        let text = format!(
            "SELECT xid::text::int8, place, writer, timestamp, hash, channel, origin, NULL::int2
             FROM ({}) m ORDER BY m.xid, m.place LIMIT $5::int8",
            all.join(" UNION ALL ")
        );
        self.read(session, &text, self.from, &[])
    }

    fn removed(&mut self, session: &mut Session, as_of: i64) -> Outcome<()> {
        // What was removed before the beginning was never told of.
        let text = "SELECT xid::text::int8, place, writer, timestamp, hash, channel, origin, kind
             FROM wakustore.removal r WHERE (xid, place) > ($1::text::xid8, $2::int4)
                 AND (xid, place) <= ($3::text::xid8, $4::int4) AND kind <> 1 AND turn > $6::int8
             ORDER BY r.xid, r.place LIMIT $5::int8";
        self.read(session, text, self.from, &[&as_of])
    }

    fn read(
        &mut self,
        session: &mut Session,
        text: &str,
        from: At,
        more: &[Value<'_>],
    ) -> Outcome<()> {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let (first, last) = (from.xid.to_string(), self.end.xid.to_string());
        let mut values: Vec<Value<'_>> = vec![&first, &from.place, &last, &self.end.place, &limit];
        values.extend(more);
        let rows = session.query(READING, text, &values)?;
        for row in &rows {
            self.found.push(Entry::read(row)?);
        }
        self.found.sort_by_key(|entry| entry.at);
        if self.found.len() >= self.limit {
            self.found.truncate(self.limit);
            self.end = self.found.last().map_or(self.end, |entry| entry.at);
        }
        Ok(())
    }
}
