//! Storing messages.
//!
//! What must hold: a batch is one transaction; what is told to be new was committed by it; and
//! where a commit's end is not known, because the connection broke, it is found out: the batch is
//! put again, and what is there by then tells by its transaction whether it was ours.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::changes::{At, MAX_PLACE};
use super::driver::Core;
use super::error::{Cure, Outcome, corrupt, sql};
use super::find;
use super::lattice::Cell;
use super::scan::sync_id;
use super::session::Session;
use super::topic_stats;
use super::topics::Channel;
use crate::error::{Error, ErrorKind};
use crate::types::{ContentTopic, MessageHash, Origin, PubsubTopic, StoredMessage, SyncId};

const WRITING: &str = "writing the archive";
/// Of the database's advisory locks: whoever takes messages down waits for all puts, which have
/// it together; so none brings back what is being taken down.
pub(super) const PUT_LOCK: i64 = 0x574b_5341_0003;
/// One statement has at most so many messages, or so many bytes.
const MAX_ROWS: usize = 4_096;
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Transactions of ours whose end is not known.
pub(super) type Unsettled = Vec<String>;

type Channels = HashMap<(PubsubTopic, ContentTopic), Channel>;

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
    // In the log they have the order of the batch.
    let mut places = HashMap::with_capacity(batch.len());
    let mut rows: Vec<&(StoredMessage, Origin)> = Vec::with_capacity(batch.len());
    for (row, place) in batch.iter().zip(1..) {
        if let Entry::Vacant(entry) = places.entry(row.0.hash) {
            entry.insert(place);
            rows.push(row);
        }
    }
    // All nodes insert in the same order: they wait for each other, but never in a circle.
    rows.sort_unstable_by_key(|(m, _)| m.sync_id());
    let channels = core.topics.intern(session, rows.iter().map(|(m, _)| m))?;
    let mut cells: Vec<Cell> =
        rows.iter().map(|(m, _)| session.lattice.cell_of(m.timestamp())).collect();
    cells.dedup();
    core.layout.make(session, &cells)?;

    let begin = format!(
        "BEGIN; SELECT pg_advisory_xact_lock_shared({PUT_LOCK});
         SELECT pg_current_xact_id()::text; SELECT tombstones FROM wakustore.archive;
         SELECT coalesce(floor, {}) FROM wakustore.archive; SELECT feed FROM wakustore.archive",
        i64::MIN
    );
    let (mut new, xid, feed) = session.or_roll_back(WRITING, |session| {
        let told = session.texts(WRITING, &begin)?;
        let [_, xid, tombstones, floor, feed] = told.as_slice() else {
            return Err(corrupt("its table `wakustore.archive` is empty"));
        };
        check(session, &rows, floor, tombstones != "0")?;
        let mut new: HashSet<MessageHash> = HashSet::with_capacity(rows.len());
        let mut counts: BTreeMap<Cell, i64> = BTreeMap::new();
        for some in chunks(&rows) {
            for id in insert(session, core, some, &channels, &places)? {
                new.insert(id.hash);
                *counts.entry(session.lattice.cell_of(id.timestamp)).or_default() += 1;
            }
        }
        unsettled.push(xid.clone());
        let by_channel = topic_stats::count(core.slot, &session.lattice, &rows, &new, &channels)?;
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
        Ok((new, number(xid)?, number(feed)?))
    })?;
    let mut at = (!new.is_empty()).then_some(xid);
    if !unsettled.is_empty() {
        let before = new.len();
        let last = last_of(unsettled);
        settle(session, core, &rows, &mut new, unsettled)?;
        // Where nothing was left to store, our transaction leaves no trace.
        at = at.or(last.filter(|_| new.len() > before));
    }
    if let Some(xid) = at {
        core.own.committed(At { xid, place: last_place }, feed);
    }
    Ok(batch.iter().map(|(m, _)| new.remove(&m.hash)).collect())
}

/// A number that the server wrote.
pub(super) fn number(text: &str) -> Outcome<i64> {
    text.parse().map_err(|_| corrupt("a number of it is none"))
}

/// The last of some transactions.
pub(super) fn last_of(unsettled: &Unsettled) -> Option<i64> {
    unsettled.iter().filter_map(|xid| xid.parse().ok()).max()
}

/// Pieces of what one statement takes.
fn chunks<'r, 'm>(
    rows: &'r [&'m (StoredMessage, Origin)],
) -> impl Iterator<Item = &'r [&'m (StoredMessage, Origin)]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |(m, _): &&&(StoredMessage, Origin)| {
            bytes += m.message.payload.len();
            bytes <= MAX_BYTES
        };
        let count = rest.iter().take(MAX_ROWS).take_while(fits).count().max(1).min(rest.len());
        let (chunk, tail) = rest.split_at(count);
        rest = tail;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Whether nothing of a batch was removed by another node since the archive looked; within the
/// transaction of the put.
fn check(
    session: &mut Session,
    rows: &[&(StoredMessage, Origin)],
    floor: &str,
    any_taken_down: bool,
) -> Outcome<()> {
    let Ok(floor) = floor.parse::<i64>() else {
        return Err(corrupt("its floor is no time"));
    };
    // They are in order of time.
    if let Some((oldest, _)) = rows.first()
        && oldest.timestamp().nanos() < floor
    {
        let what = format!("message {:?} is older than what is kept", oldest.hash);
        return Err(Error::new(ErrorKind::TimestampTooOld, what).into());
    }
    if any_taken_down {
        let hashes: Vec<MessageHash> = rows.iter().map(|(m, _)| m.hash).collect();
        if let Some(down) = find::taken_down(session, &hashes)?.first() {
            let what = format!("message {down:?} was taken down");
            return Err(Error::new(ErrorKind::TakenDown, what).into());
        }
    }
    Ok(())
}

/// Inserts and gives those that are new.
fn insert(
    session: &mut Session,
    core: &Core,
    rows: &[&(StoredMessage, Origin)],
    channels: &Channels,
    places: &HashMap<MessageHash, i32>,
) -> Outcome<Vec<SyncId>> {
    let text = "INSERT INTO wakustore.message(timestamp, hash, channel, pubsub, origin, version, ephemeral,
                                       meta, rate_limit_proof, payload, place, writer)
         SELECT k.*, $12::int4 FROM unnest(
             $1::int8[], $2::bytea[], $3::int4[], $4::int4[], $5::int2[], $6::int4[], $7::bool[],
             $8::bytea[], $9::bytea[], $10::bytea[], $11::int4[]
         ) AS k(timestamp, hash, channel, pubsub, origin, version, ephemeral, meta, proof, payload,
                place)
         ON CONFLICT DO NOTHING RETURNING timestamp, hash";
    let mut filed = Vec::with_capacity(rows.len());
    for (m, _) in rows {
        let pair = (m.pubsub_topic.clone(), m.message.content_topic.clone());
        match channels.get(&pair) {
            Some(channel) => filed.push(*channel),
            None => return Err(corrupt("a message was not filed")),
        }
    }
    let times: Vec<i64> = rows.iter().map(|(m, _)| m.timestamp().nanos()).collect();
    let hashes: Vec<&[u8]> = rows.iter().map(|(m, _)| &m.hash.as_bytes()[..]).collect();
    let ids: Vec<i32> = filed.iter().map(|channel| channel.id).collect();
    let pubsubs: Vec<i32> = filed.iter().map(|channel| channel.pubsub).collect();
    let origins: Vec<i16> = rows.iter().map(|(_, origin)| *origin as i16).collect();
    // The same 32 bits, as PostgreSQL has no unsigned ones.
    let versions: Vec<Option<i32>> =
        rows.iter().map(|(m, _)| m.message.version.map(|version| version as i32)).collect();
    let ephemeral: Vec<Option<bool>> = rows.iter().map(|(m, _)| m.message.ephemeral).collect();
    let metas: Vec<Option<&[u8]>> = rows.iter().map(|(m, _)| m.message.meta.as_deref()).collect();
    let proofs: Vec<Option<&[u8]>> =
        rows.iter().map(|(m, _)| m.message.rate_limit_proof.as_deref()).collect();
    let payloads: Vec<&[u8]> = rows.iter().map(|(m, _)| &m.message.payload[..]).collect();
    let of_batch: Vec<i32> =
        rows.iter().map(|(m, _)| places.get(&m.hash).copied().unwrap_or(MAX_PLACE)).collect();
    let inserted = session.query(
        WRITING,
        text,
        &[
            &times,
            &hashes,
            &ids,
            &pubsubs,
            &origins,
            &versions,
            &ephemeral,
            &metas,
            &proofs,
            &payloads,
            &of_batch,
            &core.writer,
        ],
    )?;
    inserted.iter().map(|row| sync_id(row, 0)).collect()
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
    rows: &[&(StoredMessage, Origin)],
    new: &mut HashSet<MessageHash>,
    unsettled: &mut Unsettled,
) -> Outcome<()> {
    core.layout.refresh(session)?;
    let mut cells: BTreeMap<Cell, Vec<SyncId>> = BTreeMap::new();
    for (m, _) in rows.iter().filter(|(m, _)| !new.contains(&m.hash)) {
        let cell = session.lattice.cell_of(m.timestamp());
        if core.layout.has(cell) {
            cells.entry(cell).or_default().push(m.sync_id());
        }
    }
    let ours = "AND xid::text = ANY($3::text[]) AND writer = $4::int4";
    for (cell, ids) in cells {
        let values: [super::session::Value<'_>; 2] = [&*unsettled, &core.writer];
        for row in find::by_id_and(session, cell, &ids, "hash", ours, &values)? {
            let hash = row.try_get::<_, &[u8]>(0).map_err(sql(WRITING))?;
            new.insert(MessageHash::from_slice(hash)?);
        }
    }
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
