//! Pages and single messages.

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::error::{corrupt, sql};
use super::lookup;
use super::scan::{self, Key, Source, Sources, Span, sync_id};
use super::topics::{self, Channel, Topics};
use crate::archive::IndexQuery;
use crate::error::{Result, bail};
use crate::types::{
    Direction, Entry, Filter, MessageHash, Page, PubsubTopic, Query, StoredMessage, SyncId,
    WakuMessage,
};

const READING: &str = "reading the archive";

/// One page.
pub(super) fn page(conn: &Connection, topics: &mut Topics, query: &Query) -> Result<Page> {
    let cursor = match query.cursor {
        None => None,
        Some(hash) => match find(conn, &hash)? {
            Some(key) => Some(key.id),
            None => bail!(CursorNotFound, "the archive holds no message {hash}"),
        },
    };
    let filter = &query.filter;
    let span = Span::new(&filter.time, cursor, query.direction);
    // One more than asked for tells whether there are more.
    let wanted = query.limit + 1;
    let mut entries = if filter.hashes.is_empty() {
        let sources = sources(conn, filter)?;
        match &sources {
            Sources::Of(one) if query.include_data && one.len() == 1 => {
                let entries = whole_entries(conn, topics, one[0], &span, wanted)?;
                if entries.len() == wanted {
                    check_cursor(conn, entries[query.limit - 1].sync_id())?;
                }
                entries
            }
            _ => {
                let keys = scan::keys(conn, &sources, span, wanted)?;
                if keys.len() == wanted {
                    check_cursor(conn, Some(keys[query.limit - 1].id))?;
                }
                entries_of(conn, topics, &keys, query.include_data)?
            }
        }
    } else {
        let mut keys = by_hash(conn, &filter.hashes)?;
        keys.retain(|key| span.contains(key.id));
        keys.sort_unstable_by_key(|key| key.id);
        if query.direction == Direction::Backward {
            keys.reverse();
        }
        keys.truncate(wanted);
        entries_of(conn, topics, &keys, query.include_data)?
    };
    let more = entries.len() > query.limit;
    entries.truncate(query.limit);
    let cursor = entries.last().filter(|_| more).map(|entry| entry.hash);
    if query.direction == Direction::Backward {
        entries.reverse();
    }
    Ok(Page { entries, cursor })
}

/// A cursor must lead back to where its page ended: in a damaged archive it may lead elsewhere, and
/// whoever follows it would go round for ever.
fn check_cursor(conn: &Connection, last: Option<SyncId>) -> Result<()> {
    let Some(last) = last else { return Ok(()) };
    match find(conn, &last.hash)? {
        Some(key) if key.id == last => Ok(()),
        _ => Err(corrupt(format!("message {} is in two places", last.hash))),
    }
}

/// Where the messages of a page are.
fn sources(conn: &Connection, filter: &Filter) -> Result<Sources> {
    let pubsub_topics = filter.pubsub_topic.as_slice();
    sources_of(conn, pubsub_topics, &filter.content_topics)
}

/// Where the messages of an index query are.
pub(super) fn index_sources(conn: &Connection, query: &IndexQuery) -> Result<Sources> {
    sources_of(conn, &query.pubsub_topics, &query.content_topics)
}

fn sources_of(
    conn: &Connection,
    pubsub_topics: &[PubsubTopic],
    content_topics: &[crate::types::ContentTopic],
) -> Result<Sources> {
    let mut pubsubs = Vec::new();
    for topic in pubsub_topics {
        pubsubs.extend(topics::pubsub_id(conn, topic)?);
    }
    pubsubs.sort_unstable();
    pubsubs.dedup();
    if content_topics.is_empty() {
        return Ok(Sources::Of(if pubsub_topics.is_empty() {
            vec![Source::Time]
        } else {
            pubsubs.into_iter().map(Source::Pubsub).collect()
        }));
    }
    let mut channels: Vec<Channel> = Vec::new();
    for topic in content_topics {
        topics::channels_of(conn, topic, &mut channels)?;
    }
    if !pubsub_topics.is_empty() {
        channels.retain(|channel| pubsubs.binary_search(&channel.pubsub).is_ok());
    }
    Ok(Sources::channels(channels.into_iter().map(|channel| channel.id)))
}

/// The keys of those that are held, in no particular order, each once.
fn by_hash(conn: &Connection, hashes: &[MessageHash]) -> Result<Vec<Key>> {
    let mut hashes = hashes.to_vec();
    hashes.sort_unstable();
    hashes.dedup();
    lookup::held(conn, &hashes)
}

/// Where a message is, by the index by hash alone; its channel is not told.
fn find(conn: &Connection, hash: &MessageHash) -> Result<Option<Key>> {
    let fail = sql(READING);
    let mut statement = conn
        .prepare_cached(
            "SELECT timestamp, hash, 0, id FROM message INDEXED BY message_by_hash WHERE hash = ?1",
        )
        .map_err(&fail)?;
    let mut rows = statement.query([&hash.as_bytes()[..]]).map_err(&fail)?;
    rows.next().map_err(&fail)?.map(Key::read).transpose()
}

/// Entries of one source, straight from the walk.
fn whole_entries(
    conn: &Connection,
    topics: &mut Topics,
    source: Source,
    span: &Span,
    limit: usize,
) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(limit);
    scan::walk(conn, source, span, limit, true, |row| {
        let m = message(conn, topics, row)?;
        entries.push(Entry { hash: m.hash, data: Some((m.pubsub_topic, m.message)) });
        Ok(())
    })?;
    Ok(entries)
}

/// Entries for keys, in their order.
fn entries_of(
    conn: &Connection,
    topics: &mut Topics,
    keys: &[Key],
    include_data: bool,
) -> Result<Vec<Entry>> {
    if !include_data {
        return Ok(keys.iter().map(|key| Entry { hash: key.id.hash, data: None }).collect());
    }
    let fail = sql(READING);
    let mut statement = conn
        .prepare_cached(
            "SELECT timestamp, hash, channel, id, version, ephemeral, meta, rate_limit_proof,
                    payload
             FROM message WHERE id = ?1",
        )
        .map_err(&fail)?;
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        let mut rows = statement.query([key.row]).map_err(&fail)?;
        let Some(row) = rows.next().map_err(&fail)? else {
            return Err(corrupt(format!("message {} is in an index alone", key.id.hash)));
        };
        let m = message(conn, topics, row)?;
        if m.sync_id() != key.id {
            let hash = key.id.hash;
            return Err(corrupt(format!("message {hash} is another in an index")));
        }
        entries.push(Entry { hash: m.hash, data: Some((m.pubsub_topic, m.message)) });
    }
    Ok(entries)
}

/// A message by its hash, where it is held.
pub(super) fn get(
    conn: &Connection,
    topics: &mut Topics,
    hash: &MessageHash,
) -> Result<Option<StoredMessage>> {
    let fail = sql(READING);
    let mut statement = conn
        .prepare_cached(
            "SELECT timestamp, hash, channel, id, version, ephemeral, meta, rate_limit_proof,
                    payload
             FROM message INDEXED BY message_by_hash WHERE hash = ?1",
        )
        .map_err(&fail)?;
    let mut rows = statement.query([&hash.as_bytes()[..]]).map_err(&fail)?;
    rows.next().map_err(&fail)?.map(|row| message(conn, topics, row)).transpose()
}

/// From the columns `timestamp, hash, channel, id, version, ephemeral, meta, rate_limit_proof,
/// payload`.
pub(super) fn message(
    conn: &Connection,
    topics: &mut Topics,
    row: &Row<'_>,
) -> Result<StoredMessage> {
    let fail = sql(READING);
    let SyncId { timestamp, hash } = sync_id(row)?;
    let (pubsub_topic, content_topic) = topics.names(conn, row.get(2).map_err(&fail)?)?;
    let bytes = |column: usize| -> Result<Option<Bytes>> {
        match row.get_ref(column).map_err(&fail)? {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(bytes) => Ok(Some(Bytes::copy_from_slice(bytes))),
            other => Err(corrupt(format!(
                "message {hash} has a {} where bytes belong",
                other.data_type()
            ))),
        }
    };
    let Some(payload) = bytes(8)? else {
        return Err(corrupt(format!("message {hash} has no payload")));
    };
    let message = WakuMessage {
        payload,
        content_topic,
        version: row.get(4).map_err(&fail)?,
        timestamp: Some(timestamp),
        meta: bytes(6)?,
        rate_limit_proof: bytes(7)?,
        ephemeral: row.get(5).map_err(&fail)?,
    };
    Ok(StoredMessage { hash, pubsub_topic, message })
}
