//! The tables, and how a database of an earlier version is brought up to date.
//!
//! - Everything lies in a schema of its own, `wakustore`, so that a database may hold more.
//! - `message` is cut by time (see [`super::lattice`]). Its primary key is `(timestamp, hash)`,
//!   which carries the partition key; there is no unique index over all partitions. As a hash
//!   covers the timestamp, it is unique all the same. The other indexes have only a beginning of the
//!   hash ([`PREFIX`], [`key`]). Whoever walks them compares and orders by the whole hash behind
//!   that, so that the beginning decides how much is read and never what is found.
//! - A *channel* is a pair of pubsub and content topic, and a small number that is never given out
//!   twice. The names are bytes: a topic may hold U+0000, which PostgreSQL's text cannot.
//! - Every message carries the transaction that stored it (`xid`), its place in that, and the number
//!   of the archive that did (`writer`): what is needed to read the commits of other nodes in an
//!   order that is safe (see [`super::changes`]). `removal` tells the same of removals; its rows are
//!   of three kinds (see [`super::removed`]).
//! - `min_reader` and `min_writer` say which version of this library may still read and write: a
//!   change that only adds leaves them as they are, so that a fleet is upgraded node by node.

use postgres::Client;

use super::error::{Outcome, corrupt, sql};
use super::lattice::Lattice;
use crate::error::{Result, bail};

/// The version of the schema that this library makes, and that it counts as.
pub(super) const VERSION: i32 = 2;
/// Of the database's advisory locks, which are numbers: who makes or changes the schema.
const MIGRATION_LOCK: i64 = 0x574b_5341_0001;
const OPENING: &str = "opening the archive's schema";

/// The beginning of a hash that its index has: what fits in eight bytes with the length before it.
pub(super) const PREFIX: &str = "substring(hash, 1, 7)";

/// The key of the index by this column (`channel` or `pubsub`): number, timestamp and the beginning
/// of the hash in fifteen bytes of which the order is theirs. Sixteen with the length before it: the
/// columns themselves would take half as much again, and the whole hash twice as much. Of one number
/// and time, one in 16 million messages has the same beginning.
pub(super) fn key(number: &str, time: &str, hash: &str) -> String {
    format!(
        "(int4send({number}) || int8send({time} # (-9223372036854775808)) \
         || substring({hash}, 1, 3))"
    )
}

/// What takes a database from each version to the next; version 0 has no schema.
const MIGRATIONS: &[&str] = &[
    "
    CREATE SCHEMA IF NOT EXISTS wakustore;
    CREATE SEQUENCE wakustore.writer AS int4 CYCLE;
    CREATE TABLE wakustore.archive(
        id int4 PRIMARY KEY CHECK(id = 1),
        version int4 NOT NULL,
        min_reader int4 NOT NULL,
        min_writer int4 NOT NULL,
        part_start int8 NOT NULL,
        part_width int8 NOT NULL,
        part_count int8 NOT NULL,
        layout int8 NOT NULL DEFAULT 0,
        tombstones int8 NOT NULL DEFAULT 0,
        floor int8,
        feed int8 NOT NULL
            DEFAULT ('x' || right(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::int8,
        turn int8 NOT NULL DEFAULT 0,
        past int8 NOT NULL DEFAULT 0,
        trimmed int8 NOT NULL DEFAULT 0,
        trimmed_turn int8 NOT NULL DEFAULT 0,
        keeper int4,
        kept_until timestamptz
    );
    CREATE TABLE wakustore.partition(cell int4 PRIMARY KEY);
    CREATE TABLE wakustore.partition_count(
        cell int4 NOT NULL,
        slot int2 NOT NULL,
        messages int8 NOT NULL,
        removed int8 NOT NULL DEFAULT 0,
        last_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        PRIMARY KEY (cell, slot)
    ) WITH (fillfactor = 50);
    CREATE TABLE wakustore.pubsub_topic(
        id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name bytea NOT NULL UNIQUE
    );
    CREATE TABLE wakustore.content_topic(
        id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name bytea NOT NULL UNIQUE
    );
    CREATE TABLE wakustore.channel(
        id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        content int4 NOT NULL,
        pubsub int4 NOT NULL,
        UNIQUE (content, pubsub)
    );
    CREATE INDEX channel_by_pubsub ON wakustore.channel(pubsub);
    CREATE TABLE wakustore.channel_count(
        cell int4 NOT NULL,
        channel int4 NOT NULL,
        slot int2 NOT NULL,
        messages int8 NOT NULL,
        bytes int8 NOT NULL,
        PRIMARY KEY (cell, channel, slot)
    ) WITH (fillfactor = 50);
    CREATE INDEX channel_count_by_channel ON wakustore.channel_count(channel);
    CREATE TABLE wakustore.message(
        timestamp int8 NOT NULL,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        channel int4 NOT NULL,
        pubsub int4 NOT NULL,
        writer int4 NOT NULL,
        place int4 NOT NULL,
        version int4,
        origin int2 NOT NULL,
        ephemeral bool,
        hash bytea NOT NULL,
        meta bytea,
        rate_limit_proof bytea,
        payload bytea NOT NULL,
        PRIMARY KEY (timestamp, hash) INCLUDE (channel)
    ) PARTITION BY RANGE (timestamp);
    ALTER TABLE wakustore.message ALTER payload SET STORAGE EXTERNAL;
    CREATE INDEX message_by_hash ON wakustore.message(substring(hash, 1, 8));
    CREATE INDEX message_by_channel ON wakustore.message(channel, timestamp, hash);
    CREATE INDEX message_by_pubsub ON wakustore.message(pubsub, timestamp, hash);
    CREATE INDEX message_by_xid ON wakustore.message(xid, place);
    CREATE TABLE wakustore.tombstone(hash bytea PRIMARY KEY);
    CREATE TABLE wakustore.removal(
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        turn int8 NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        timestamp int8 NOT NULL,
        place int4 NOT NULL,
        writer int4 NOT NULL,
        channel int4,
        kind int2 NOT NULL,
        origin int2,
        hash bytea NOT NULL,
        PRIMARY KEY (xid, place)
    );
    CREATE INDEX removal_told ON wakustore.removal(xid, place) WHERE kind <> 1;
    CREATE INDEX removal_passing ON wakustore.removal(at) WHERE kind = 1;
    CREATE INDEX removal_bound ON wakustore.removal(timestamp, hash) WHERE kind = 2;
",
    "
    DROP INDEX wakustore.message_by_hash;
    DROP INDEX wakustore.message_by_channel;
    DROP INDEX wakustore.message_by_pubsub;
    DROP INDEX wakustore.message_by_xid;
    CREATE INDEX message_by_hash ON wakustore.message(substring(hash, 1, 7));
    CREATE INDEX message_by_channel ON wakustore.message((int4send(channel)
        || int8send(timestamp # (-9223372036854775808)) || substring(hash, 1, 3)));
    CREATE INDEX message_by_pubsub ON wakustore.message((int4send(pubsub)
        || int8send(timestamp # (-9223372036854775808)) || substring(hash, 1, 3)));
    CREATE INDEX message_by_xid ON wakustore.message(xid);
",
];

/// What the database says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    version: i32,
    min_reader: i32,
    min_writer: i32,
    pub(super) lattice: Lattice,
}

impl Header {
    /// Whether this library may use it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::SchemaTooNew`].
    fn check(&self, writes: bool) -> Result<()> {
        let least = if writes { self.min_writer.max(self.min_reader) } else { self.min_reader };
        if least > VERSION {
            bail!(
                SchemaTooNew,
                "the archive has schema version {}, which asks for a library of version {least} or \
                 later; this one is of version {VERSION}",
                self.version
            );
        }
        Ok(())
    }
}

/// Makes the schema, or brings it up to date. One node does it while others wait.
pub(super) fn migrate(client: &mut Client, partitions: &Lattice) -> Outcome<Header> {
    if let Some(header) = header(client)? {
        header.check(true)?;
        if header.version >= VERSION {
            return Ok(header);
        }
    }
    let fail = sql("bringing the archive's schema up to date");
    let mut tx = client.transaction().map_err(&fail)?;
    // Indexes of a large archive are built for longer than a question may take.
    tx.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        .map_err(&fail)?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).map_err(&fail)?;
    // Read again under the lock: another node may have been faster.
    let before = read(&mut tx)?;
    let from = before.map_or(0, |header| header.version);
    for (script, to) in MIGRATIONS.iter().zip(1..).filter(|(_, to)| *to > from) {
        tx.batch_execute(script).map_err(&fail)?;
        if to == 1 {
            let (start, width, count) = partitions.numbers();
            tx.execute(
                "INSERT INTO wakustore.archive(
                     id, version, min_reader, min_writer, part_start, part_width, part_count)
                 VALUES(1, 1, 1, 1, $1, $2, $3)",
                &[&start, &width, &count],
            )
            .map_err(&fail)?;
        }
        tx.execute("UPDATE wakustore.archive SET version = $1", &[&to]).map_err(&fail)?;
    }
    let after = read(&mut tx)?;
    tx.commit().map_err(&fail)?;
    let Some(header) = after else {
        return Err(corrupt("its table `wakustore.archive` is empty"));
    };
    header.check(true)?;
    Ok(header)
}

/// What a new connection looks at before it is used.
pub(super) fn check(client: &mut Client, writes: bool) -> Outcome<Header> {
    match header(client)? {
        Some(header) => header.check(writes).map(|()| header).map_err(Into::into),
        None => Err(corrupt("the database has no schema `wakustore`")),
    }
}

fn header(client: &mut Client) -> Outcome<Option<Header>> {
    let mut tx = client.transaction().map_err(sql(OPENING))?;
    let header = read(&mut tx)?;
    tx.commit().map_err(sql(OPENING))?;
    Ok(header)
}

/// `None` where there is no schema.
fn read(tx: &mut postgres::Transaction<'_>) -> Outcome<Option<Header>> {
    let fail = sql(OPENING);
    let there = tx
        // By the tables themselves: a name that was looked up in vain is remembered as such, while
        // another node makes it.
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'wakustore' AND c.relname = 'archive')",
            &[],
        )
        .and_then(|row| row.try_get::<_, bool>(0))
        .map_err(&fail)?;
    if !there {
        return Ok(None);
    }
    let row = tx
        .query_opt(
            "SELECT version, min_reader, min_writer, part_start, part_width, part_count
             FROM wakustore.archive",
            &[],
        )
        .map_err(&fail)?;
    let Some(row) = row else {
        return Err(corrupt("its table `wakustore.archive` is empty"));
    };
    let number = |column: usize| row.try_get::<_, i32>(column);
    let long = |column: usize| row.try_get::<_, i64>(column);
    let lattice =
        Lattice::read(long(3).map_err(&fail)?, long(4).map_err(&fail)?, long(5).map_err(&fail)?);
    Ok(Some(Header {
        version: number(0).map_err(&fail)?,
        min_reader: number(1).map_err(&fail)?,
        min_writer: number(2).map_err(&fail)?,
        lattice: lattice.map_err(|e| corrupt(e.message()))?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indexes_are_those_that_are_asked_for() {
        let plain = |text: &str| text.split_whitespace().collect::<String>();
        let script = plain(MIGRATIONS.last().unwrap_or(&""));
        for (index, of) in [
            ("hash", PREFIX.to_owned()),
            ("channel", key("channel", "timestamp", "hash")),
            ("pubsub", key("pubsub", "timestamp", "hash")),
        ] {
            let text = plain(&format!("INDEX message_by_{index} ON wakustore.message({of});"));
            assert!(script.contains(&text), "{text}");
        }
    }
}
