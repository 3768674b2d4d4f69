//! The archive on PostgreSQL against the deployed node's schema there: puts, pages, bytes.
//!
//! What must hold: both lie in one private server that writes what it acknowledges, and take turns
//! with the same messages of 1 KiB. The contender is given every advantage: its rows are made ready
//! beforehand (hashes and hexadecimal text too), its batches go in two statements and one commit,
//! and its queries are prepared once. It runs with `FULL=1` alone, `ROWS` messages (500,000).

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../archive_support/cluster.rs"]
#[allow(dead_code, unreachable_pub)]
mod cluster;
#[allow(dead_code)]
mod report;

use std::fmt::Write;
use std::time::Instant;

use cluster::{Cluster, Database};
use postgres::{Client, Statement};
use report::{figure, versus};
use wakustore::archive::{
    Archive, ArchiveConfig, PostgresBackend, PostgresConfig, TopicKind, TopicQuery,
};
use wakustore::types::{
    ContentTopic, Direction, MessageHash, Origin, PubsubTopic, Query, StoredMessage, Timestamp,
    WakuMessage,
};

const BATCH: usize = 1_000;
const PAGES: usize = 200;
const HOUR: i64 = 3_600_000_000_000;
const NOW: i64 = 1_763_900_000_000_000_000;

fn clock() -> Timestamp {
    Timestamp(NOW + HOUR)
}

/// Message `i` of `n`: 1 KiB, spread over an hour, on 100 content topics of one pubsub topic.
fn message(i: usize, n: usize) -> StoredMessage {
    let mut payload = vec![0; 1024];
    let mut x = i as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for chunk in payload.chunks_mut(8) {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk.copy_from_slice(&x.to_le_bytes());
    }
    let topic = ContentTopic::new(format!("/bench/1/t{}/proto", i % 100)).unwrap();
    let at = Timestamp(NOW - HOUR + (i as i64) * (HOUR / n as i64));
    StoredMessage::new(PubsubTopic::of_shard(1, 0), WakuMessage::new(payload, topic, at))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The deployed node's tables and indexes.
struct Deployed {
    client: Client,
    put: Statement,
    look_up: Statement,
    first: Statement,
    time_of: Statement,
    after: Statement,
}

/// Rows as the deployed node writes them, a column each.
#[derive(Default)]
struct Rows {
    hashes: Vec<String>,
    pubsubs: Vec<String>,
    contents: Vec<String>,
    payloads: Vec<String>,
    versions: Vec<i32>,
    times: Vec<i64>,
}

impl Rows {
    fn of(messages: &[StoredMessage]) -> Rows {
        let mut rows = Rows::default();
        for m in messages {
            rows.hashes.push(hex(m.hash.as_bytes()));
            rows.pubsubs.push(m.pubsub_topic.to_string());
            rows.contents.push(m.message.content_topic.to_string());
            rows.payloads.push(hex(&m.message.payload));
            rows.versions.push(0);
            rows.times.push(m.timestamp().nanos());
        }
        rows
    }
}

impl Deployed {
    fn create(database: &Database) -> Deployed {
        let mut client = database.client();
        client
            .batch_execute(
                "CREATE TABLE messages(
                     messageHash VARCHAR NOT NULL, pubsubTopic VARCHAR NOT NULL,
                     contentTopic VARCHAR NOT NULL, payload VARCHAR, version INTEGER NOT NULL,
                     timestamp BIGINT NOT NULL, meta VARCHAR,
                     PRIMARY KEY (timestamp, messageHash)
                 ) PARTITION BY RANGE (timestamp);
                 CREATE TABLE messages_all PARTITION OF messages
                     FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
                 CREATE INDEX ON messages(messageHash);
                 CREATE INDEX ON messages(timestamp);
                 CREATE INDEX ON messages(pubsubTopic);
                 CREATE INDEX ON messages(contentTopic);
                 CREATE TABLE messages_lookup(
                     timestamp BIGINT NOT NULL, messageHash VARCHAR NOT NULL,
                     PRIMARY KEY (messageHash, timestamp)
                 ) PARTITION BY RANGE (timestamp);
                 CREATE TABLE lookup_all PARTITION OF messages_lookup
                     FOR VALUES FROM (MINVALUE) TO (MAXVALUE);",
            )
            .unwrap();
        let mut prepare = |text: &str| client.prepare(text).unwrap();
        let whole =
            "SELECT messageHash, pubsubTopic, contentTopic, payload, version, timestamp, meta
                     FROM messages";
        let order = "ORDER BY timestamp ASC, messageHash ASC LIMIT 101";
        let put = prepare(
            "INSERT INTO messages(
                 messageHash, pubsubTopic, contentTopic, payload, version, timestamp)
             SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::varchar[], $4::varchar[],
                 $5::int4[], $6::int8[]) ON CONFLICT DO NOTHING",
        );
        let look_up = prepare(
            "INSERT INTO messages_lookup(messageHash, timestamp)
             SELECT * FROM unnest($1::varchar[], $2::int8[]) ON CONFLICT DO NOTHING",
        );
        let first = prepare(&format!("{whole} {order}"));
        let time_of = prepare("SELECT timestamp FROM messages_lookup WHERE messageHash = $1");
        let after = prepare(&format!("{whole} WHERE (timestamp, messageHash) > ($1, $2) {order}"));
        Deployed { client, put, look_up, first, time_of, after }
    }

    fn put(&mut self, rows: &Rows) {
        let mut tx = self.client.transaction().unwrap();
        tx.execute(
            &self.put,
            &[
                &rows.hashes,
                &rows.pubsubs,
                &rows.contents,
                &rows.payloads,
                &rows.versions,
                &rows.times,
            ],
        )
        .unwrap();
        tx.execute(&self.look_up, &[&rows.hashes, &rows.times]).unwrap();
        tx.commit().unwrap();
    }

    fn page(&mut self, after: Option<&str>) -> usize {
        let rows = match after {
            None => self.client.query(&self.first, &[]),
            Some(hash) => {
                let time: i64 = self.client.query_one(&self.time_of, &[&hash]).unwrap().get(0);
                self.client.query(&self.after, &[&time, &hash])
            }
        };
        let rows = rows.unwrap();
        let whole = rows.iter().filter(|row| row.get::<_, &str>(3).len() == 2048).count();
        assert_eq!(whole, 101);
        whole
    }
}

fn page(archive: &Archive, cursor: Option<MessageHash>) -> usize {
    let query = Query { cursor, direction: Direction::Forward, limit: 100, ..Query::default() };
    let entries = archive.query(query).wait().unwrap().entries;
    assert_eq!(entries.len(), 100);
    entries.len()
}

/// How long it takes, in seconds.
fn seconds<T>(call: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(call());
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes of all tables of a schema with their indexes.
fn bytes(client: &mut Client, schema: &str) -> f64 {
    let text = "SELECT sum(pg_total_relation_size(oid))::int8 FROM pg_class
                WHERE relnamespace = $1::text::regnamespace AND relkind = 'r'";
    let bytes: i64 = client.query_one(text, &[&schema]).unwrap().get(0);
    bytes as f64
}

fn main() {
    if std::env::var_os("FULL").is_none() {
        println!("PostgreSQL is measured with FULL=1");
        return;
    }
    let n: usize = std::env::var("ROWS").map_or(500_000, |rows| rows.parse().unwrap());
    assert!(n >= 10 * BATCH, "pages need more messages than {n}");
    let settings = ["fsync = on", "shared_buffers = '512MB'", "max_wal_size = '4GB'"];
    let cluster = Cluster::of_its_own(&settings);
    {
        let (ours, theirs) = (cluster.database(), cluster.database());
        run(n, &ours, &theirs);
    }
    cluster.order("stop");
}

fn run(n: usize, ours: &Database, theirs: &Database) {
    let backend = PostgresBackend::open(PostgresConfig::new(&ours.url)).unwrap();
    let archive = Archive::open(backend, ArchiveConfig::new(clock)).unwrap();
    let mut deployed = Deployed::create(theirs);
    let put = |messages| drop(archive.put(messages, Origin::Import).wait().unwrap());

    let (mut us, mut them) = (0.0, 0.0);
    let mut hashes: Vec<MessageHash> = Vec::with_capacity(n);
    for from in (0..n).step_by(BATCH) {
        let batch: Vec<StoredMessage> =
            (from..n.min(from + BATCH)).map(|i| message(i, n)).collect();
        hashes.extend(batch.iter().map(|m| m.hash));
        let rows = Rows::of(&batch);
        us += seconds(|| put(batch));
        them += seconds(|| deployed.put(&rows));
    }
    let rate = |seconds: f64| n as f64 / seconds;
    versus("archive.postgres.put.batch1000", rate(us), "messages/s", "deployed", rate(them));
    let (mut mine, mut other) = (ours.client(), theirs.client());
    let (us, them) = (bytes(&mut mine, "wakustore"), bytes(&mut other, "public"));
    let each = |bytes: f64| bytes / n as f64;
    versus("archive.postgres.bytes_per_message", each(us), "bytes", "deployed", each(them));

    // One a commit, behind the others.
    let singles: Vec<StoredMessage> = (n..n + BATCH).map(|i| message(i, n)).collect();
    let (mut us, mut them) = (0.0, 0.0);
    for m in singles {
        let rows = Rows::of(std::slice::from_ref(&m));
        us += seconds(|| put(vec![m]));
        them += seconds(|| deployed.put(&rows));
    }
    let rate = |seconds: f64| BATCH as f64 / seconds;
    versus("archive.postgres.put.one", rate(us), "messages/s", "deployed", rate(them));

    // What the server does by itself sooner or later.
    for client in [&mut mine, &mut other] {
        client.batch_execute("VACUUM (ANALYZE)").unwrap();
    }
    let deep: Vec<(MessageHash, String)> = (0..PAGES)
        .map(|i| hashes[n / 2 + i * 9973 % (n / 4)])
        .map(|hash| (hash, hex(hash.as_bytes())))
        .collect();
    for (name, is_deep) in
        [("archive.postgres.page.first", false), ("archive.postgres.page.deep", true)]
    {
        let (mut us, mut them) = (Vec::new(), Vec::new());
        for (hash, text) in &deep {
            us.push(1e6 * seconds(|| page(&archive, is_deep.then_some(*hash))));
            them.push(1e6 * seconds(|| deployed.page(is_deep.then_some(text.as_str()))));
        }
        versus(name, median(us), "us", "deployed", median(them));
    }
    let topics = |_| {
        let query = TopicQuery { kind: TopicKind::Content, after: None, limit: 1_000 };
        let page = seconds(|| assert_eq!(archive.topic_stats(query).wait().unwrap().len(), 100));
        1e6 * page
    };
    figure("archive.postgres.topic_stats.100", median((0..20).map(topics).collect()), "us");
    let verify = seconds(|| assert!(archive.verify().wait().unwrap().is_sound()));
    figure("archive.postgres.verify", (n + BATCH) as f64 / verify, "messages/s");
    archive.close();
}
