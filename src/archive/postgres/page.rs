//! Pages and single messages.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use postgres::Row;

use super::driver::Core;
use super::error::{Outcome, sql};
use super::find;
use super::lattice::Cell;
use super::scan::{self, Key, READING, Source, WHOLE};
use super::session::Session;
use super::span::Span;
use crate::archive::{IndexEntry, IndexQuery};
use crate::error::{Error, ErrorKind};
use crate::types::{
    Direction, Entry, MessageHash, Page, Query, StoredMessage, SyncId, WakuMessage,
};

/// One page. The list of partitions need not be fresh, but for a query by hashes.
pub(super) fn page(session: &mut Session, core: &mut Core, query: &Query) -> Outcome<Page> {
    let filter = &query.filter;
    // One more than asked for tells whether there are more.
    let wanted = query.limit + 1;
    let mut entries = if filter.hashes.is_empty() {
        let source = scan::source(session, filter.pubsub_topic.as_slice(), &filter.content_topics)?;
        if query.include_data && scan::is_single(&source) {
            let rows = walk(session, core, query, &source, wanted)?;
            let mut found = messages(session, core, &rows)?;
            let span = Span::new(&filter.time, None, query.direction);
            span.sort(&mut found, |m: &StoredMessage| m.sync_id());
            found.into_iter().map(whole_entry).collect()
        } else {
            let cursor = cursor(session, core, query)?;
            let span = Span::new(&filter.time, cursor, query.direction);
            let cells = core.layout.within(&session.lattice, &span);
            let keys = scan::keys(session, core, &cells, &source, &span, wanted)?;
            entries_of(session, core, &keys, query.include_data)?
        }
    } else {
        let cursor = cursor(session, core, query)?;
        let span = Span::new(&filter.time, cursor, query.direction);
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

/// Where the cursor of a query lies, if it has one.
fn cursor(session: &mut Session, core: &mut Core, query: &Query) -> Outcome<Option<SyncId>> {
    let Some(hash) = query.cursor else { return Ok(None) };
    // Looking for it by its hash does not tell whether all partitions were looked into.
    core.layout.refresh(session)?;
    match find::one(session, core, &hash)? {
        Some(key) => {
            core.cursor_in = Some(key.cell);
            Ok(Some(key.id))
        }
        None => {
            let what = format!("the archive holds no message {hash}");
            Err(Error::new(ErrorKind::CursorNotFound, what).into())
        }
    }
}

/// The rows of a page from a single source. Mostly one statement tells them all, the
/// place of the cursor too.
fn walk(
    session: &mut Session,
    core: &mut Core,
    query: &Query,
    source: &Source,
    wanted: usize,
) -> Outcome<Vec<Row>> {
    let time = &query.filter.time;
    if matches!(source, Source::Of(_, ids) if ids.is_empty()) {
        cursor(session, core, query)?;
        return Ok(Vec::new());
    }
    let (mut rows, mut passed, mut at) = (Vec::new(), None, None);
    if let Some(hash) = &query.cursor {
        let span = Span::new(time, None, query.direction);
        if let Some(cell) = guess(session, core, hash)
            && let Some((id, found)) =
                scan::behind(session, core, cell, hash, source, &span, wanted)?
        {
            (rows, passed, at) = (found, Some(cell), Some(id));
        } else {
            at = cursor(session, core, query)?;
        }
    }
    if rows.len() >= wanted {
        return Ok(rows);
    }
    let span = Span::new(time, at, query.direction);
    let mut cells = core.layout.within(&session.lattice, &span);
    cells.retain(|cell| passed != Some(*cell));
    // The statement before has told of the list.
    if passed.is_some() && cells.is_empty() {
        return Ok(rows);
    }
    rows.extend(scan::whole(session, core, &cells, source, &span, wanted - rows.len())?);
    Ok(rows)
}

/// The partition that probably holds a cursor: the one of its time, where we gave it out; or where
/// the last one was, as the question before was mostly for the page before; or the newest that is
/// not there ahead of its time alone.
fn guess(session: &Session, core: &Core, hash: &MessageHash) -> Option<Cell> {
    let hinted = core.hints.get(hash).map(|time| session.lattice.cell_of(time));
    let cells = core.layout.cells();
    let newest = cells.iter().rev().nth(1).or(cells.last()).copied();
    [hinted, core.cursor_in, newest].into_iter().flatten().find(|cell| core.layout.has(*cell))
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
    let cells = core.layout.within(&session.lattice, &span);
    let keys = scan::keys(session, core, &cells, &source, &span, query.limit)?;
    core.topics.load(session, keys.iter().map(|key| key.channel))?;
    let entry = |key: &Key| {
        let (pubsub_topic, content_topic) = core.topics.names(key.channel)?;
        Ok(IndexEntry { id: key.id, pubsub_topic, content_topic })
    };
    keys.iter().map(entry).collect()
}

/// From the columns of [`WHOLE`].
pub(super) fn messages(
    session: &mut Session,
    core: &mut Core,
    rows: &[Row],
) -> Outcome<Vec<StoredMessage>> {
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
