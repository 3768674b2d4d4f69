//! Topics as numbers: a channel is a pair of pubsub and content topic.
//!
//! Each connection remembers the pairs it has met. What it remembers stays true: a channel is
//! committed before it is used, and its number is never given out twice.

use std::collections::{BTreeSet, HashMap};

use super::error::{Outcome, corrupt, sql};
use super::session::Session;
use crate::types::{ContentTopic, PubsubTopic, StoredMessage};

/// Pairs that are remembered; beyond it all are forgotten. Content topics are for anyone to make
/// up, so that there must be a bound.
const REMEMBERED: usize = 16_384;
const FILING: &str = "filing messages";
const READING: &str = "reading topics";

/// Where a message is filed.
#[derive(Clone, Copy)]
pub(super) struct Channel {
    pub(super) id: i32,
    pub(super) pubsub: i32,
}

type Pair = (PubsubTopic, ContentTopic);

#[derive(Default)]
pub(super) struct Topics {
    channels: HashMap<PubsubTopic, HashMap<ContentTopic, Channel>>,
    /// How many pairs these are.
    known: usize,
    names: HashMap<i32, Pair>,
}

impl Topics {
    /// The channel of each of these messages, made where there is none.
    pub(super) fn intern<'m>(
        &mut self,
        session: &mut Session,
        messages: impl Iterator<Item = &'m StoredMessage> + Clone,
    ) -> Outcome<Vec<Channel>> {
        // In order, so that nodes that make the same ones wait for each other in turn.
        let mut unknown = BTreeSet::new();
        for m in messages.clone().filter(|m| self.channel(m).is_none()) {
            unknown.insert((m.pubsub_topic.clone(), m.message.content_topic.clone()));
        }
        // Those of this batch stay at hand until it is filed, however many they are.
        let mut found = HashMap::new();
        if !unknown.is_empty() {
            find(session, &mut unknown, &mut found)?;
        }
        if !unknown.is_empty() {
            make(session, &unknown)?;
            find(session, &mut unknown, &mut found)?;
        }
        let channel = |m: &StoredMessage| {
            let known = self.channel(m).or_else(|| {
                found.get(&(m.pubsub_topic.clone(), m.message.content_topic.clone())).copied()
            });
            known.ok_or_else(|| {
                let content = &m.message.content_topic;
                corrupt(format!("content topic {content:?} cannot be filed"))
            })
        };
        let channels = messages.map(channel).collect::<Outcome<Vec<Channel>>>()?;
        if self.known + found.len() > REMEMBERED {
            self.channels.clear();
            self.known = 0;
        }
        if found.len() <= REMEMBERED {
            self.known += found.len();
            for ((pubsub, content), channel) in found {
                self.channels.entry(pubsub).or_default().insert(content, channel);
            }
        }
        Ok(channels)
    }

    fn channel(&self, m: &StoredMessage) -> Option<Channel> {
        self.channels.get(&m.pubsub_topic)?.get(&m.message.content_topic).copied()
    }

    /// Sees to it that the topics of these channels are at hand for [`Topics::names`].
    pub(super) fn load(
        &mut self,
        session: &mut Session,
        channels: impl Iterator<Item = i32>,
    ) -> Outcome<()> {
        let wanted: BTreeSet<i32> = channels.collect();
        if self.names.len() + wanted.len() > REMEMBERED {
            self.names.clear();
        }
        let unknown: Vec<i32> =
            wanted.into_iter().filter(|id| !self.names.contains_key(id)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let fail = sql(READING);
        let rows = session.query(
            READING,
            "SELECT n.* FROM unnest($1::int4[]) AS k(id) CROSS JOIN LATERAL (
                 SELECT c.id, p.name AS pubsub, t.name AS content FROM wakustore.channel c
                 JOIN wakustore.pubsub_topic p ON p.id = c.pubsub
                 JOIN wakustore.content_topic t ON t.id = c.content
                 WHERE c.id = k.id OFFSET 0) n",
            &[&unknown],
        )?;
        for row in rows {
            let bytes = |column: usize| row.try_get::<_, &[u8]>(column).map_err(&fail);
            let pubsub = PubsubTopic::from_utf8(bytes(1)?).map_err(|e| corrupt(e.message()))?;
            let content = ContentTopic::from_utf8(bytes(2)?).map_err(|e| corrupt(e.message()))?;
            self.names.insert(row.try_get(0).map_err(&fail)?, (pubsub, content));
        }
        Ok(())
    }

    /// The topics of a channel that was loaded.
    pub(super) fn names(&self, channel: i32) -> Outcome<Pair> {
        self.names.get(&channel).cloned().ok_or_else(|| {
            corrupt(format!("a message is filed under channel {channel}, which is not"))
        })
    }
}

/// The names of pairs, as two columns.
fn columns(pairs: &BTreeSet<Pair>) -> (Vec<&[u8]>, Vec<&[u8]>) {
    pairs.iter().map(|(pubsub, content)| (pubsub.as_bytes(), content.as_bytes())).unzip()
}

/// Moves those that the database knows from `unknown` to `channels`.
fn find(
    session: &mut Session,
    unknown: &mut BTreeSet<Pair>,
    channels: &mut HashMap<Pair, Channel>,
) -> Outcome<()> {
    let fail = sql(FILING);
    let (pubsubs, contents) = columns(unknown);
    let rows = session.query(
        FILING,
        "SELECT k.place, f.* FROM unnest($1::bytea[], $2::bytea[])
             WITH ORDINALITY AS k(pubsub, content, place)
         CROSS JOIN LATERAL (
             SELECT c.id, c.pubsub FROM wakustore.content_topic t
             JOIN wakustore.channel c ON c.content = t.id
             JOIN wakustore.pubsub_topic p ON p.id = c.pubsub
             WHERE t.name = k.content AND p.name = k.pubsub OFFSET 0) f",
        &[&pubsubs, &contents],
    )?;
    let pairs: Vec<Pair> = unknown.iter().cloned().collect();
    for row in rows {
        let place: i64 = row.try_get(0).map_err(&fail)?;
        let id = row.try_get(1).map_err(&fail)?;
        let pubsub = row.try_get(2).map_err(&fail)?;
        let pair = usize::try_from(place - 1).ok().and_then(|place| pairs.get(place));
        if let Some(pair) = pair {
            unknown.remove(pair);
            channels.insert(pair.clone(), Channel { id, pubsub });
        }
    }
    Ok(())
}

fn make(session: &mut Session, unknown: &BTreeSet<Pair>) -> Outcome<()> {
    let (pubsubs, contents) = columns(unknown);
    let distinct = |mut names: Vec<_>| {
        names.sort_unstable();
        names.dedup();
        names
    };
    for (table, names) in
        [("pubsub_topic", distinct(pubsubs.clone())), ("content_topic", distinct(contents.clone()))]
    {
        // Only those that are not there, so as not to use up numbers.
        let text = format!(
            "INSERT INTO wakustore.{table}(name) SELECT k.name FROM unnest($1::bytea[]) AS k(name)
             WHERE NOT EXISTS (SELECT FROM wakustore.{table} t WHERE t.name = k.name)
             ORDER BY k.name ON CONFLICT DO NOTHING"
        );
        session.query(FILING, &text, &[&names])?;
    }
    session.query(
        FILING,
        "INSERT INTO wakustore.channel(content, pubsub)
         SELECT f.content, f.pubsub FROM unnest($1::bytea[], $2::bytea[]) AS k(pubsub, content)
         CROSS JOIN LATERAL (
             SELECT t.id AS content, p.id AS pubsub
             FROM wakustore.content_topic t, wakustore.pubsub_topic p
             WHERE t.name = k.content AND p.name = k.pubsub OFFSET 0) f
         ORDER BY f.content, f.pubsub ON CONFLICT DO NOTHING",
        &[&pubsubs, &contents],
    )?;
    Ok(())
}

/// The numbers of those pubsub topics that the database knows.
pub(super) fn pubsub_ids(session: &mut Session, topics: &[PubsubTopic]) -> Outcome<Vec<i32>> {
    let names: Vec<&[u8]> = topics.iter().map(|topic| topic.as_bytes()).collect();
    let rows = session.query(
        READING,
        "SELECT DISTINCT p.id FROM unnest($1::bytea[]) AS k(name) CROSS JOIN LATERAL (
             SELECT id FROM wakustore.pubsub_topic t WHERE t.name = k.name OFFSET 0) p",
        &[&names],
    )?;
    rows.iter().map(|row| row.try_get(0).map_err(sql(READING))).collect()
}

/// The channels of these content topics, each once.
pub(super) fn channels_of(session: &mut Session, topics: &[ContentTopic]) -> Outcome<Vec<Channel>> {
    let fail = sql(READING);
    let names: Vec<&[u8]> = topics.iter().map(|topic| topic.as_bytes()).collect();
    let rows = session.query(
        READING,
        "SELECT DISTINCT f.id, f.pubsub FROM unnest($1::bytea[]) AS k(name) CROSS JOIN LATERAL (
             SELECT c.id, c.pubsub FROM wakustore.content_topic t
             JOIN wakustore.channel c ON c.content = t.id WHERE t.name = k.name OFFSET 0) f",
        &[&names],
    )?;
    let channel = |row: &postgres::Row| {
        Ok(Channel { id: row.try_get(0).map_err(&fail)?, pubsub: row.try_get(1).map_err(&fail)? })
    };
    rows.iter().map(channel).collect()
}
