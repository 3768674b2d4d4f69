//! Pages and single messages.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use postgres::Row;

use super::driver::Core;
use super::error::{Outcome, sql};
use super::find;
use super::lattice::Cell;
use super::scan::{self, Key, READING, WHOLE};
use super::session::Session;
use super::span::Span;
use crate::archive::{IndexEntry, IndexQuery};
use crate::error::{Error, ErrorKind};
use crate::types::{
    Direction, Entry, MessageHash, Page, Query, StoredMessage, SyncId, WakuMessage,
};

/// One page. The list of partitions is fresh.
pub(super) fn page(session: &mut Session, core: &mut Core, query: &Query) -> Outcome<Page> {
    let cursor = match query.cursor {
        None => None,
        Some(hash) => match find::one(session, core, &hash)? {
            Some(key) => Some(key.id),
            None => {
                let what = format!("the archive holds no message {hash}");
                return Err(Error::new(ErrorKind::CursorNotFound, what).into());
            }
        },
    };
    let filter = &query.filter;
    let span = Span::new(&filter.time, cursor, query.direction);
    // One more than asked for tells whether there are more.
    let wanted = query.limit + 1;
    let mut entries = if filter.hashes.is_empty() {
        let source = scan::source(session, filter.pubsub_topic.as_slice(), &filter.content_topics)?;
        let rows = match query.include_data {
            true => scan::whole(session, core, &source, &span, wanted)?,
            false => None,
        };
        match rows {
            Some(rows) => {
                let mut found = messages(session, core, &rows)?;
                span.sort(&mut found, |m: &StoredMessage| m.sync_id());
                found.into_iter().map(whole_entry).collect()
            }
            None => {
                let keys = scan::keys(session, core, &source, &span, wanted)?;
                entries_of(session, core, &keys, query.include_data)?
            }
        }
    } else {
        let found = find::all(session, core, filter.hashes.clone())?;
        let mut keys: Vec<Key> = found.into_values().filter(|key| span.contains(key.id)).collect();
        span.sort(&mut keys, |key: &Key| key.id);
        keys.truncate(wanted);
        entries_of(session, core, &keys, query.include_data)?
    };
    let more = entries.len() > query.limit;
    entries.truncate(query.limit);
    let last = entries.last().filter(|_| more).map(|(id, _)| *id);
    if let Some(id) = last {
        core.hints.remember(id);
    }
    let mut entries: Vec<Entry> = entries.into_iter().map(|(_, entry)| entry).collect();
    if query.direction == Direction::Backward {
        entries.reverse();
    }
    Ok(Page { entries, cursor: last.map(|id| id.hash) })
}

/// An entry, and its place in the order.
type Placed = (SyncId, Entry);

fn whole_entry(m: StoredMessage) -> Placed {
    (m.sync_id(), Entry { hash: m.hash, data: Some((m.pubsub_topic, m.message)) })
}

/// Entries for keys, in their order. One that was removed since is left out.
fn entries_of(
    session: &mut Session,
    core: &mut Core,
    keys: &[Key],
    include_data: bool,
) -> Outcome<Vec<Placed>> {
    if !include_data {
        let entry = |key: &Key| (key.id, Entry { hash: key.id.hash, data: None });
        return Ok(keys.iter().map(entry).collect());
    }
    let mut found = fetch(session, core, keys)?;
    let entry = |key: &Key| found.remove(&key.id.hash).map(whole_entry);
    Ok(keys.iter().filter_map(entry).collect())
}

/// The messages of keys.
fn fetch(
    session: &mut Session,
    core: &mut Core,
    keys: &[Key],
) -> Outcome<HashMap<MessageHash, StoredMessage>> {
    let mut cells: BTreeMap<Cell, Vec<SyncId>> = BTreeMap::new();
    for key in keys {
        cells.entry(key.cell).or_default().push(key.id);
    }
    let mut found = HashMap::with_capacity(keys.len());
    for (cell, ids) in cells {
        let rows = find::by_id(session, cell, &ids, WHOLE)?;
        for m in messages(session, core, &rows)? {
            found.insert(m.hash, m);
        }
    }
    Ok(found)
}

/// Those of the messages that are held, in the order asked for, each once.
pub(super) fn get(
    session: &mut Session,
    core: &mut Core,
    hashes: &[MessageHash],
) -> Outcome<Vec<StoredMessage>> {
    let keys: Vec<Key> = find::all(session, core, hashes.to_vec())?.into_values().collect();
    let mut found = fetch(session, core, &keys)?;
    Ok(hashes.iter().filter_map(|hash| found.remove(hash)).collect())
}

/// Those of the hashes that are neither held nor taken down, in the order asked for, each once.
pub(super) fn missing(
    session: &mut Session,
    core: &mut Core,
    hashes: &[MessageHash],
) -> Outcome<Vec<MessageHash>> {
    let held = find::all(session, core, hashes.to_vec())?;
    let mut seen = HashSet::with_capacity(hashes.len());
    let missing = hashes.iter().filter(|hash| !held.contains_key(*hash));
    let mut missing: Vec<MessageHash> =
        missing.copied().filter(|&hash| seen.insert(hash)).collect();
    if core.layout.any_taken_down && !missing.is_empty() {
        let down: HashSet<MessageHash> = find::taken_down(session, &missing)?.into_iter().collect();
        missing.retain(|hash| !down.contains(hash));
    }
    Ok(missing)
}

/// One step of a walk over what sync needs.
pub(super) fn index(
    session: &mut Session,
    core: &mut Core,
    query: &IndexQuery,
) -> Outcome<Vec<IndexEntry>> {
    let source = scan::source(session, &query.pubsub_topics, &query.content_topics)?;
    let span = Span::new(&query.time, query.after, Direction::Forward);
    let keys = scan::keys(session, core, &source, &span, query.limit)?;
    core.topics.load(session, keys.iter().map(|key| key.channel))?;
    let entry = |key: &Key| {
        let (pubsub_topic, content_topic) = core.topics.names(key.channel)?;
        Ok(IndexEntry { id: key.id, pubsub_topic, content_topic })
    };
    keys.iter().map(entry).collect()
}

/// From the columns of [`WHOLE`].
fn messages(session: &mut Session, core: &mut Core, rows: &[Row]) -> Outcome<Vec<StoredMessage>> {
    let fail = sql(READING);
    let channels: Vec<i32> =
        rows.iter().map(|row| row.try_get(2).map_err(&fail)).collect::<Outcome<_>>()?;
    core.topics.load(session, channels.iter().copied())?;
    let message = |(row, channel): (&Row, i32)| {
        let SyncId { timestamp, hash } = scan::sync_id(row, 0)?;
        let (pubsub_topic, content_topic) = core.topics.names(channel)?;
        let bytes = |column: usize| -> Outcome<Option<Bytes>> {
            let bytes = row.try_get::<_, Option<&[u8]>>(column).map_err(&fail)?;
            Ok(bytes.map(Bytes::copy_from_slice))
        };
        let version: Option<i32> = row.try_get(3).map_err(&fail)?;
        let message = WakuMessage {
            payload: bytes(7)?.unwrap_or_default(),
            content_topic,
            // The same 32 bits, as PostgreSQL has no unsigned ones.
            version: version.map(|version| version as u32),
            timestamp: Some(timestamp),
            meta: bytes(5)?,
            rate_limit_proof: bytes(6)?,
            ephemeral: row.try_get(4).map_err(&fail)?,
        };
        Ok(StoredMessage { hash, pubsub_topic, message })
    };
    rows.iter().zip(channels).map(message).collect()
}
