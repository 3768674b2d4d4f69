//! Writing to nwaku's database.

use super::connect::{Link, sql};
use super::layout;
use super::partitions::Partitions;
use crate::archive::nwaku::export::{Target, Written};
use crate::error::{Result, bail};
use crate::types::StoredMessage;

const WRITING: &str = "writing nwaku's database";

/// nwaku's schema 7, as its migrations leave it.
const SCHEMA: &str = "
    CREATE TABLE version(version INTEGER NOT NULL);
    INSERT INTO version VALUES(7);
    CREATE TABLE messages(
        messageHash VARCHAR NOT NULL,
        pubsubTopic VARCHAR NOT NULL,
        contentTopic VARCHAR NOT NULL,
        payload VARCHAR,
        version INTEGER NOT NULL,
        timestamp BIGINT NOT NULL,
        meta VARCHAR,
        CONSTRAINT messageIndex PRIMARY KEY (timestamp, messageHash)
    ) PARTITION BY RANGE (timestamp);
    CREATE TABLE messages_lookup(
        timestamp BIGINT NOT NULL,
        messageHash VARCHAR NOT NULL,
        CONSTRAINT messageIndexLookupTable PRIMARY KEY (messageHash, timestamp)
    );
    CREATE INDEX idx_messages_messagehash ON messages(messagehash);
    CREATE INDEX idx_messages_timestamp ON messages(timestamp);
    CREATE INDEX idx_messages_lookup_messagehash ON messages_lookup(messagehash);
    CREATE INDEX idx_messages_lookup_timestamp ON messages_lookup(timestamp);
    CREATE INDEX idx_query_pubsubtopic ON messages(pubsubTopic);
    CREATE INDEX idx_query_contenttopic ON messages(contentTopic);
";

/// The table that tells the time of a hash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lookup {
    /// Before version 7.
    None,
    Plain,
    /// From version 8 on.
    Partitioned,
}

pub(super) struct Database {
    link: Link,
    lookup: Lookup,
    partitions: Partitions,
}

impl Database {
    pub(super) fn open(url: &str) -> Result<Self> {
        let link = Link::open(url)?;
        let lookup = link.with(|client| {
            let Some(layout) = layout::read(client)? else {
                let mut transaction = client.transaction().map_err(sql(WRITING))?;
                transaction.batch_execute(SCHEMA).map_err(sql(WRITING))?;
                transaction.commit().map_err(sql(WRITING))?;
                return Ok(Lookup::Plain);
            };
            let version = client
                .query_opt("SELECT version FROM version LIMIT 1", &[])
                .and_then(|row| row.map(|row| row.try_get::<_, i32>(0)).transpose());
            let version = version.map_err(sql(WRITING))?;
            if !layout.latest || !layout.meta || !matches!(version, Some(6..=8)) {
                bail!(
                    Unsupported,
                    "nwaku's database has schema version {}, and is only added to in versions 6 \
                     to 8: start a nwaku of 0.30 or later on it once, which brings it up to date",
                    version.unwrap_or(0)
                );
            }
            let kind = client
                .query_opt(
                    "SELECT relkind::text FROM pg_class
                     WHERE oid = to_regclass('messages_lookup')",
                    &[],
                )
                .and_then(|row| row.map(|row| row.try_get::<_, String>(0)).transpose())
                .map_err(sql(WRITING))?;
            match kind.as_deref() {
                None => Ok(Lookup::None),
                Some("r") => Ok(Lookup::Plain),
                Some("p") => Ok(Lookup::Partitioned),
                _ => bail!(ArchiveCorrupt, "messages_lookup is not a table"),
            }
        })?;
        Ok(Database { link, lookup, partitions: Partitions::default() })
    }

    fn batch(&self, text: &'static str) -> Result<()> {
        self.link.with(move |client| client.batch_execute(text).map_err(sql(WRITING)))
    }
}

/// Whether nwaku's columns can hold it.
fn fits(stored: &StoredMessage) -> bool {
    let topics = [stored.pubsub_topic.as_str(), stored.message.content_topic.as_str()];
    stored.timestamp().nanos() >= 0
        && i32::try_from(stored.message.version.unwrap_or(0)).is_ok()
        && topics.iter().all(|topic| !topic.contains('\0'))
}

impl Target for Database {
    fn begin(&mut self) -> Result<()> {
        self.batch("BEGIN")?;
        // Anew each time: a nwaku that runs makes and drops them too.
        self.partitions = self.link.with(Partitions::read)?;
        Ok(())
    }

    fn write(&mut self, messages: &[StoredMessage]) -> Result<Written> {
        let lookup = self.lookup;
        let fitting: Vec<StoredMessage> = messages.iter().filter(|m| fits(m)).cloned().collect();
        let refused = (messages.len() - fitting.len()) as u64;
        let mut partitions = std::mem::take(&mut self.partitions);
        let new = self.link.with(move |client| {
            for m in &fitting {
                if let Some(lacking) = partitions.lacking(m.timestamp().nanos())? {
                    partitions.make(client, lacking, lookup == Lookup::Partitioned)?;
                }
            }
            let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
            let hashes: Vec<String> = fitting.iter().map(|m| m.hash.to_hex()).collect();
            let times: Vec<i64> = fitting.iter().map(|m| m.timestamp().nanos()).collect();
            let pubsub: Vec<&str> = fitting.iter().map(|m| m.pubsub_topic.as_str()).collect();
            let content: Vec<&str> =
                fitting.iter().map(|m| m.message.content_topic.as_str()).collect();
            let payloads: Vec<String> = fitting.iter().map(|m| hex(&m.message.payload)).collect();
            let versions: Vec<i32> = fitting
                .iter()
                .map(|m| i32::try_from(m.message.version.unwrap_or(0)).unwrap_or(0))
                .collect();
            let metas: Vec<Option<String>> = fitting
                .iter()
                .map(|m| m.message.meta.as_ref().filter(|b| !b.is_empty()).map(|b| hex(b)))
                .collect();
            let new = client
                .execute(
                    "INSERT INTO messages(messageHash, pubsubTopic, contentTopic, payload, version,
                                          timestamp, meta)
                     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[],
                                          $5::int4[], $6::int8[], $7::text[])
                     ON CONFLICT DO NOTHING",
                    &[&hashes, &pubsub, &content, &payloads, &versions, &times, &metas],
                )
                .map_err(sql(WRITING))?;
            if lookup != Lookup::None {
                client
                    .execute(
                        "INSERT INTO messages_lookup(messageHash, timestamp)
                         SELECT * FROM unnest($1::text[], $2::int8[]) ON CONFLICT DO NOTHING",
                        &[&hashes, &times],
                    )
                    .map_err(sql(WRITING))?;
            }
            Ok((new, partitions))
        });
        match new {
            Ok((new, partitions)) => {
                self.partitions = partitions;
                Ok(Written { new, refused })
            }
            Err(e) => {
                // Else a failure would leave locks behind while the caller makes up his mind.
                let _ = self.batch("ROLLBACK");
                Err(e)
            }
        }
    }

    fn commit(&mut self) -> Result<()> {
        self.batch("COMMIT")
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
