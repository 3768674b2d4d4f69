//! An archive that is only read, on a streaming replica of the server that nodes write to, and as a
//! role that may only read.
#![cfg(all(feature = "postgres", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use archive_support::cluster::Cluster;
use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, FeedEvent, PostgresBackend, PostgresConfig, TopicKind, TopicQuery,
};
use wakustore::types::{Direction, Filter, MessageHash, Query, StoredMessage};

const LONG: Duration = Duration::from_secs(60);

fn read_only(url: &str) -> Archive {
    let config_of = PostgresConfig { read_only: true, ..PostgresConfig::new(url) };
    Archive::open(PostgresBackend::open(config_of).unwrap(), config()).unwrap()
}

fn hashes(messages: &[StoredMessage]) -> Vec<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

/// Waits until something holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LONG, "not within {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All pages of a query, one after the other.
fn walk(archive: &Archive, query: &Query) -> Vec<MessageHash> {
    let mut query = query.clone();
    let mut all = Vec::new();
    loop {
        let page = archive.query(query.clone()).wait().unwrap();
        let hashes = page.entries.iter().map(|entry| entry.hash);
        match query.direction {
            Direction::Forward => all.extend(hashes),
            Direction::Backward => all.extend(hashes.rev()),
        }
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return all,
        }
    }
}

/// Nothing of what changes an archive is taken.
fn refuses_changes(archive: &Archive) {
    let new = message(1, 1, NOW.nanos(), "to a replica");
    let refused = [
        archive.put(vec![new.clone()], wakustore::types::Origin::Live).wait().err(),
        archive.take_down(vec![new.hash]).wait().err(),
        archive.reinstate(vec![new.hash]).wait().err(),
    ];
    for e in refused {
        let e = e.expect("it was taken");
        assert_eq!(e.kind(), ErrorKind::ArchiveReadOnly, "{e}");
        assert!(e.message().contains("read-only"), "{e}");
    }
}

#[test]
fn a_replica_answers_and_keeps_up() {
    let primary: &'static Cluster = Cluster::of_its_own(&["wal_level = replica"]);
    let database = primary.database();
    let writer = postgres(&database.url, few_partitions(), &config());
    let first = many(300, 32);
    import(&writer, first.clone());
    // What does not come there at once is not lost while the replica is made.
    let standby: &'static Cluster =
        Box::leak(Box::new(Cluster::standby_of(primary, &["hot_standby = on"])));
    let url = standby.url(database.name());
    eventually("the database is there", || {
        postgres_client_sees(&url, "SELECT pg_is_in_recovery()")
    });
    let reader = read_only(&url);
    let held = |archive: &Archive| archive.stats().wait().unwrap().messages;
    eventually("what was put has come", || held(&reader) == 300);

    // Every question has the answer of the server that is written to.
    let mut queries = vec![Query { limit: 7, ..Query::default() }];
    let filter = Filter { pubsub_topic: Some(pubsub(3)), ..Filter::default() };
    queries.push(Query { filter, limit: 7, direction: Direction::Forward, ..Query::default() });
    let filter = Filter { content_topics: vec![content(1), content(2)], ..Filter::default() };
    queries.push(Query { filter, limit: 7, ..Query::default() });
    for query in &queries {
        let page = walk(&reader, query);
        assert!(page.len() >= 30, "{query:?}");
        assert_eq!(page, walk(&writer, query), "{query:?}");
    }
    assert_eq!(reader.get(hashes(&first[..9])).wait().unwrap(), first[..9]);
    let unknown = unknown_hash(1);
    assert_eq!(reader.missing(vec![first[0].hash, unknown]).wait().unwrap(), [unknown]);
    let topics = TopicQuery { kind: TopicKind::Content, after: None, limit: 100 };
    let of_topics = reader.topic_stats(topics.clone()).wait().unwrap();
    assert_eq!(of_topics, writer.topic_stats(topics).wait().unwrap());
    assert!(reader.verify().wait().unwrap().is_sound());
    refuses_changes(&reader);

    // It keeps up: with puts (into partitions that were not there), with the feed, with takedowns.
    let mut feed = reader.subscribe(1_000);
    let position = reader.position().wait().unwrap();
    let mut later = reader.subscribe_from(position, 1_000).wait().unwrap();
    let more: Vec<StoredMessage> = (0..40)
        .map(|i| message(i, i, NOW.nanos() - i64::from(i) * 3_000_000_000, "somewhat later"))
        .collect();
    import(&writer, more.clone());
    writer.take_down(vec![first[5].hash]).wait().unwrap();
    eventually("all has come", || reader.missing(hashes(&more)).wait().unwrap().is_empty());
    eventually("what was taken down is gone", || held(&reader) == 339);
    assert_eq!(reader.missing(vec![first[5].hash]).wait().unwrap(), []);
    let query = Query { limit: 100, ..Query::default() };
    assert_eq!(walk(&reader, &query), walk(&writer, &query));
    for feed in [&mut feed, &mut later] {
        let (mut stored, mut removed) = (BTreeSet::new(), BTreeSet::new());
        let begin = Instant::now();
        while stored.len() < 40 || removed.is_empty() {
            assert!(begin.elapsed() < LONG, "told of {} and {}", stored.len(), removed.len());
            match feed.wait(Duration::from_secs(1)) {
                Ok(Some(FeedEvent::Stored(items))) => {
                    stored.extend(items.iter().map(|item| item.id.hash));
                }
                Ok(Some(FeedEvent::Removed(items))) => {
                    removed.extend(items.iter().map(|item| item.id.hash));
                }
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => {}
                Err(e) => assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}"),
            }
        }
        assert_eq!(stored, hashes(&more).into_iter().collect());
        assert_eq!(removed, [first[5].hash].into());
    }

    // Whoever means to write is told at once that this is no server to write to.
    let e = PostgresBackend::open(PostgresConfig::new(&url)).err().expect("it opens");
    assert_eq!(e.kind(), ErrorKind::ArchiveUnavailable, "{e}");
    assert!(e.message().contains("does not allow writes"), "{e}");
    // The other way of use: puts go to the one, questions to the other.
    let both = PostgresConfig { replica: Some(url.clone()), ..PostgresConfig::new(&database.url) };
    let both = Archive::open(PostgresBackend::open(both).unwrap(), config()).unwrap();
    let last = message(2, 2, NOW.nanos() - 1, "by way of both");
    import(&both, vec![last.clone()]);
    eventually("it is read back", || both.missing(vec![last.hash]).wait().unwrap().is_empty());
    eventually("and by the other", || held(&reader) == 340);
    [reader, writer, both].iter().for_each(Archive::close);
    drop(database);
    standby.order("stop");
    primary.order("stop");
}

fn postgres_client_sees(url: &str, text: &str) -> bool {
    let client = ::postgres::Client::connect(url, ::postgres::NoTls);
    client.and_then(|mut client| client.query_one(text, &[])).is_ok_and(|row| row.get(0))
}

#[test]
fn a_role_that_may_only_read_is_enough() {
    let database = Cluster::shared().database();
    // What was never made cannot be read.
    let nothing = PostgresConfig { read_only: true, ..PostgresConfig::new(&database.url) };
    let e = PostgresBackend::open(nothing).err().expect("it opens");
    assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{e}");
    let writer = postgres(&database.url, few_partitions(), &config());
    import(&writer, many(50, 16));
    database
        .client()
        .batch_execute(
            "DROP ROLE IF EXISTS onlooker; CREATE ROLE onlooker LOGIN;
             GRANT USAGE ON SCHEMA wakustore TO onlooker;
             GRANT SELECT ON ALL TABLES IN SCHEMA wakustore TO onlooker;
             ALTER DEFAULT PRIVILEGES IN SCHEMA wakustore GRANT SELECT ON TABLES TO onlooker;",
        )
        .unwrap();
    let url = database.url.replace("postgres@", "onlooker@");
    let reader = read_only(&url);
    assert_eq!(walk(&reader, &Query { limit: 9, ..Query::default() }).len(), 50);
    refuses_changes(&reader);
    // A partition that is made later may be read too.
    let old = message(0, 0, NOW.nanos() - 9_000_000_000, "from before");
    import(&writer, vec![old.clone()]);
    assert_eq!(reader.get(vec![old.hash]).wait().unwrap(), [old]);
    // The archive refuses by itself, and the server would too.
    let e = PostgresBackend::open(PostgresConfig::new(&url)).err().expect("it opens to write");
    assert_eq!(e.kind(), ErrorKind::ArchiveReadOnly, "{e}");
    [reader, writer].iter().for_each(Archive::close);
    let revoke = "DROP OWNED BY onlooker; DROP ROLE onlooker";
    database.client().batch_execute(revoke).unwrap();
}

/// What a distributed PostgreSQL asks of a table that it distributes by `hash`.
#[test]
fn every_unique_index_of_messages_carries_the_partition_key_and_the_hash() {
    let database = Cluster::shared().database();
    let archive = postgres(&database.url, few_partitions(), &config());
    for i in 0..4 {
        import(&archive, vec![message(0, 0, NOW.nanos() - i * 3_000_000_000, "in a partition")]);
    }
    // Each unique index of `message` and its partitions, and whether all is as it is to be.
    let text = "SELECT c.relname::text, i.indpred IS NULL AND i.indexprs IS NULL AND (
                    SELECT array_agg(a.attname::text) @> '{timestamp,hash}' FROM pg_attribute a
                    WHERE a.attrelid = c.oid
                        AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]))
                FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                WHERE i.indisunique AND c.relnamespace = 'wakustore'::regnamespace
                    AND (c.relname = 'message' OR c.relispartition)";
    let unique = database.client().query(text, &[]).unwrap();
    // The table itself, and at least two partitions, with their primary keys alone.
    let tables: BTreeSet<String> = unique.iter().map(|row| row.get(0)).collect();
    assert!(tables.len() >= 3 && tables.len() == unique.len(), "{tables:?}");
    for row in &unique {
        assert!(row.get::<_, bool>(1), "a unique index of {} does not", row.get::<_, String>(0));
    }
    // By what it is cut, and nothing that goes from table to table.
    let text = "SELECT pg_get_partkeydef('wakustore.message'::regclass),
                    (SELECT count(*) FROM pg_constraint WHERE contype = 'f'
                        AND connamespace = 'wakustore'::regnamespace),
                    (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)";
    let row = database.client().query_one(text, &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), "RANGE (\"timestamp\")");
    assert_eq!((row.get::<_, i64>(1), row.get::<_, i64>(2)), (0, 0));
}
