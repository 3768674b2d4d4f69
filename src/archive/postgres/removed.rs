//! What the log keeps of removals.
//!
//! Three kinds of rows: a message that was taken down, which is told; one that retention removed,
//! which is not told, but by which a node finds out how its own commit ended; and the bound up to
//! which retention removed everything, which is told, and which the next of its kind replaces.
//!
//! What must hold: the rows are written by the transaction that removes; each such transaction has
//! a *turn*, in the order of the commits, as it changes the row of `archive`; and what is forgotten
//! is noted there (`trimmed`, `trimmed_turn`).

use super::changes::At;
use super::driver::Core;
use super::error::{Outcome, corrupt, sql};
use super::lattice::Cell;
use super::lattice::table;
use super::removal::Gone;
use super::session::Session;
use crate::types::SyncId;

const LOGGING: &str = "logging a change of the archive";
/// Rows that are told stay logged, so many: some 15 MB.
const MAX_LOGGED: i64 = 100_000;
/// How long the others stay: a node that knows its commit's end no sooner has given up long since.
const PASSING: &str = "interval '1 hour'";

/// What is removed and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    TakenDown = 0,
    Expired = 1,
    Bound = 2,
}

/// A transaction that removes.
pub(super) struct Turn {
    turn: i64,
    feed: i64,
    xid: i64,
    /// The last place in the log that was given out.
    place: i32,
}

/// What a statement that changes the row of `archive` sets and returns for a turn.
pub(super) const SET_TURN: &str =
    "turn = turn + 1, past = greatest(past, pg_current_xact_id()::text::int8)";
pub(super) const RETURN_TURN: &str = "turn, feed, pg_current_xact_id()::text::int8";

impl Turn {
    /// From what [`RETURN_TURN`] names.
    pub(super) fn read(rows: &[postgres::Row]) -> Outcome<Turn> {
        let fail = sql(LOGGING);
        let Some(row) = rows.first() else {
            return Err(corrupt("its table `wakustore.archive` is empty"));
        };
        Ok(Turn {
            turn: row.try_get(0).map_err(&fail)?,
            feed: row.try_get(1).map_err(&fail)?,
            xid: row.try_get(2).map_err(&fail)?,
            place: 0,
        })
    }

    /// Where the feed is to place it, and the number of the database.
    pub(super) fn commit(&self) -> (At, i64) {
        (At { xid: self.xid, place: self.place.max(1) }, self.feed)
    }

    /// Removes single messages of a partition and logs them.
    pub(super) fn delete(
        &mut self,
        session: &mut Session,
        core: &Core,
        cell: Cell,
        ids: &[SyncId],
        kind: Kind,
    ) -> Outcome<Vec<Gone>> {
        let text = format!(
            "WITH gone AS (
                 DELETE FROM {} m USING unnest($1::int8[], $2::bytea[]) AS k(time, id)
                 WHERE m.timestamp = k.time AND m.hash = k.id
                 RETURNING m.timestamp, m.hash, m.channel, m.origin),
             log AS (
                 INSERT INTO wakustore.removal(
                     writer, kind, turn, place, timestamp, hash, channel, origin)
                 SELECT $3::int4, $4::int2, $5::int8,
                     $6::int4 + (row_number() OVER (ORDER BY timestamp, hash))::int4, gone.*
                 FROM gone)
             SELECT * FROM gone ORDER BY timestamp, hash",
            table(cell)
        );
        let times: Vec<i64> = ids.iter().map(|id| id.timestamp.nanos()).collect();
        let hashes: Vec<&[u8]> = ids.iter().map(|id| &id.hash.as_bytes()[..]).collect();
        let kind = kind as i16;
        let rows = session.query(
            LOGGING,
            &text,
            &[&times, &hashes, &core.writer, &kind, &self.turn, &self.place],
        )?;
        self.place = self.place.saturating_add(i32::try_from(rows.len()).unwrap_or(i32::MAX));
        rows.iter().map(Gone::read).collect()
    }

    /// Logs that retention removed everything up to this.
    pub(super) fn bound(
        &mut self,
        session: &mut Session,
        core: &Core,
        time: i64,
        hash: &[u8],
    ) -> Outcome<()> {
        self.place = self.place.saturating_add(1);
        let text = "DELETE FROM wakustore.removal
                    WHERE kind = 2 AND (timestamp, hash) <= ($1::int8, $2::bytea)";
        session.query(LOGGING, text, &[&time, &hash])?;
        let text = "INSERT INTO wakustore.removal(writer, kind, turn, place, timestamp, hash)
                    VALUES($1, $2, $3, $4, $5, $6)";
        let kind = Kind::Bound as i16;
        session
            .query(LOGGING, text, &[&core.writer, &kind, &self.turn, &self.place, &time, &hash])
            .map(drop)
    }

    /// Bounds the log. `count` rows were added.
    pub(super) fn trim(&self, session: &mut Session, count: usize) -> Outcome<()> {
        let fail = sql(LOGGING);
        // Those that have served go twice as fast as they are added.
        let limit = i64::try_from(2 * count + 16).unwrap_or(i64::MAX);
        let text = format!(
            "DELETE FROM wakustore.removal r USING (
                 SELECT xid, place FROM wakustore.removal
                 WHERE kind = 1 AND at < now() - {PASSING} ORDER BY at LIMIT $1::int8) o
             WHERE r.xid = o.xid AND r.place = o.place"
        );
        session.query(LOGGING, &text, &[&limit])?;
        let surplus = "SELECT xid::text FROM wakustore.removal r WHERE kind <> 1
                       ORDER BY r.xid DESC, r.place DESC LIMIT 1 OFFSET $1::int8";
        let rows = session.query(LOGGING, surplus, &[&MAX_LOGGED])?;
        let Some(row) = rows.first() else { return Ok(()) };
        let xid: &str = row.try_get(0).map_err(&fail)?;
        let text = "WITH old AS (
                DELETE FROM wakustore.removal WHERE kind <> 1 AND xid <= $1::text::xid8
                RETURNING turn)
            UPDATE wakustore.archive SET trimmed = greatest(trimmed, $1::text::int8 + 1),
                trimmed_turn = greatest(trimmed_turn, (SELECT max(turn) FROM old))";
        session.query(LOGGING, text, &[&xid]).map(drop)
    }
}
