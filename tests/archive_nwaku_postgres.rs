//! nwaku's archive on PostgreSQL, read into ours and written from it. The server is a private one.
#![cfg(all(feature = "sqlite", feature = "postgres", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;
mod nwaku_support;

use std::ops::ControlFlow;

use archive_support::cluster::{Cluster, Database};
use archive_support::config;
use nwaku_support::{NOW, SECOND, held, messages, sorted};
use postgres::Client;
use wakustore::ErrorKind;
use wakustore::archive::nwaku::{
    ExportOptions, ExportReport, ImportOptions, ImportReport, Position, export_postgres,
    import_postgres,
};
use wakustore::archive::{Archive, MemoryBackend};
use wakustore::types::{Origin, StoredMessage, Timestamp};

fn memory() -> Archive {
    Archive::open(MemoryBackend::default(), config()).unwrap()
}

fn filled(messages: &[StoredMessage]) -> Archive {
    let archive = memory();
    archive.put(messages.to_vec(), Origin::Import).wait().unwrap();
    archive
}

fn on(_: &ImportReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn import(db: &Database, archive: &Archive) -> wakustore::Result<ImportReport> {
    import_postgres(&db.url, archive, &ImportOptions::default(), on)
}

fn export(archive: &Archive, db: &Database) -> wakustore::Result<ExportReport> {
    export_postgres(archive, &db.url, &ExportOptions::default(), |_| ControlFlow::Continue(()))
}

fn number(client: &mut Client, text: &str) -> i64 {
    client.query_one(text, &[]).unwrap().get(0)
}

/// nwaku's tables in this version of its schema, with one partition for all the tests' messages
/// (in versions that have them).
fn create(client: &mut Client, version: i32) {
    let (from, to) = ((NOW / SECOND) - 100_000, (NOW / SECOND) + 3_600);
    let range = format!("FOR VALUES FROM ('{from}000000000') TO ('{to}000000000')");
    let old = "pubsubTopic VARCHAR NOT NULL, contentTopic VARCHAR NOT NULL, payload VARCHAR,
               version INTEGER NOT NULL, timestamp BIGINT NOT NULL, id VARCHAR NOT NULL,
               messageHash VARCHAR NOT NULL, storedAt BIGINT NOT NULL";
    let mut script = format!(
        "CREATE TABLE version(version INTEGER NOT NULL); INSERT INTO version VALUES({version});"
    );
    script += &match version {
        1 => format!(
            "CREATE TABLE messages({old}, CONSTRAINT messageIndex PRIMARY KEY (messageHash));"
        ),
        2..=5 => format!(
            "CREATE TABLE messages({old}, CONSTRAINT messageIndex PRIMARY KEY
               (messageHash, storedAt)) PARTITION BY RANGE (storedAt);
             CREATE TABLE messages_{from}_{to} PARTITION OF messages {range};"
        ),
        _ => format!(
            "CREATE TABLE MESSAGES(MESSAGEHASH VARCHAR NOT NULL, PUBSUBTOPIC VARCHAR NOT NULL,
               CONTENTTOPIC VARCHAR NOT NULL, PAYLOAD VARCHAR, VERSION INTEGER NOT NULL,
               TIMESTAMP BIGINT NOT NULL, META VARCHAR,
               CONSTRAINT MESSAGEINDEX PRIMARY KEY (TIMESTAMP, MESSAGEHASH))
               PARTITION BY RANGE (TIMESTAMP);
             CREATE TABLE messages_{from}_{to} PARTITION OF messages {range};"
        ),
    };
    if (4..6).contains(&version) {
        script += "ALTER TABLE messages ADD meta VARCHAR;";
    }
    if version >= 7 {
        script += "CREATE TABLE messages_lookup(timestamp BIGINT NOT NULL, messageHash VARCHAR NOT
                   NULL, CONSTRAINT messageIndexLookupTable PRIMARY KEY (messageHash, timestamp))";
        if version == 8 {
            script += &format!(
                " PARTITION BY RANGE (timestamp);
                 CREATE TABLE lookup_{from}_{to} PARTITION OF messages_lookup {range}"
            );
        }
    }
    client.batch_execute(&script).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// As nwaku of this version writes it.
fn insert(client: &mut Client, version: i32, stored: &StoredMessage) {
    let m = &stored.message;
    let meta = m.meta.as_ref().map(|b| hex(b));
    let time = stored.timestamp().nanos();
    let (hash, payload) = (stored.hash.to_hex(), hex(&m.payload));
    let (pubsub, content) = (stored.pubsub_topic.as_str(), m.content_topic.as_str());
    let number = m.version.unwrap_or(0) as i32;
    let columns = "messageHash, contentTopic, payload, pubsubTopic, version, timestamp";
    let result = match version {
        1..=3 => client.execute(
            &format!("INSERT INTO messages({columns}, storedAt, id) VALUES($1, $2, $3, $4, $5, $6, $6, $1)"),
            &[&hash, &content, &payload, &pubsub, &number, &time],
        ),
        4..=5 => client.execute(
            &format!("INSERT INTO messages({columns}, storedAt, id, meta) VALUES($1, $2, $3, $4, $5, $6, $6, $1, $7)"),
            &[&hash, &content, &payload, &pubsub, &number, &time, &meta],
        ),
        _ => client.execute(
            &format!("INSERT INTO messages({columns}, meta) VALUES($1, $2, $3, $4, $5, $6, $7)"),
            &[&hash, &content, &payload, &pubsub, &number, &time, &meta],
        ),
    };
    assert_eq!(result.unwrap(), 1);
}

fn build(version: i32, messages: &[StoredMessage]) -> Database {
    let db = Cluster::shared().database();
    let mut client = db.client();
    create(&mut client, version);
    client.batch_execute("BEGIN").unwrap();
    for m in messages {
        insert(&mut client, version, m);
    }
    client.batch_execute("COMMIT").unwrap();
    db
}

#[test]
fn every_schema_is_read() {
    for version in 1..=8 {
        let sent = messages(1_100, version >= 4);
        let db = build(version, &sent);
        let archive = memory();
        let report = import(&db, &archive).unwrap();
        assert!(report.complete);
        assert_eq!((report.read, report.imported), (1_100, 1_100), "version {version}");
        assert_eq!((report.refused, report.rehashed, report.unhashed), (0, 0, 0));
        assert_eq!(held(&archive), sorted(sent), "version {version}");
        assert_eq!(report.span.is_some(), version > 1);
        if let Some((_, newest)) = report.span {
            assert_eq!(report.reached, Some(newest));
        }
        let again = import(&db, &archive).unwrap();
        assert_eq!((again.imported, again.duplicates), (0, 1_100));
    }
}

#[test]
fn an_import_that_was_cancelled_goes_on_where_it_was() {
    for version in [1, 5, 8] {
        let sent = messages(777, version >= 4);
        let db = build(version, &sent);
        let archive = memory();
        let mut options = ImportOptions { batch: 100, ..Default::default() };
        let (mut runs, mut imported) = (0, 0);
        loop {
            let mut told = 0;
            let report = import_postgres(&db.url, &archive, &options, |_| {
                told += 1;
                if told == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
            assert_eq!(report.duplicates, 0);
            imported += report.imported;
            runs += 1;
            if report.complete {
                break;
            }
            let text = report.position.unwrap().to_string();
            options.from = Some(text.parse::<Position>().unwrap());
        }
        assert_eq!((runs, imported), (5, 777), "version {version}");
        assert_eq!(held(&archive), sorted(sent));
    }
}

#[test]
fn rows_that_hold_no_message_are_listed() {
    let sent = messages(20, true);
    let db = build(7, &sent);
    let mut client = db.client();
    let others = messages(100, true);
    let bad = [
        ("payload = 'zz'", ErrorKind::ArchiveCorrupt),
        ("payload = 'abc'", ErrorKind::ArchiveCorrupt),
        ("payload = repeat('00', 153601)", ErrorKind::MessageTooLarge),
        ("payload = repeat('00', 20000000)", ErrorKind::MessageTooLarge),
        ("meta = repeat('00', 65)", ErrorKind::MetaTooLarge),
        ("meta = 'g0'", ErrorKind::ArchiveCorrupt),
        ("pubsubTopic = ''", ErrorKind::InvalidTopic),
        ("contentTopic = repeat('x', 1025)", ErrorKind::InvalidTopic),
        ("version = -1", ErrorKind::ArchiveCorrupt),
    ];
    for (m, (change, _)) in others[50..].iter().zip(&bad) {
        insert(&mut client, 7, m);
        let text = format!("UPDATE messages SET {change} WHERE messageHash = $1");
        assert_eq!(client.execute(&text, &[&m.hash.to_hex()]).unwrap(), 1);
    }
    // A hash in capitals is the same, a hash of another message is not, and one is none.
    for (i, value) in
        [(3, sent[3].hash.to_hex().to_uppercase()), (4, "00".repeat(32)), (5, "no".into())]
    {
        let text = "UPDATE messages SET messageHash = $1 WHERE messageHash = $2";
        assert_eq!(client.execute(text, &[&value, &sent[i].hash.to_hex()]).unwrap(), 1);
    }
    let archive = memory();
    let report = import(&db, &archive).unwrap();
    assert_eq!((report.imported, report.refused, report.rehashed), (20, 9, 2));
    let mut kinds: Vec<_> = report.refused_rows.iter().map(|r| r.reason.kind()).collect();
    let mut expected: Vec<_> = bad.iter().map(|(_, kind)| *kind).collect();
    kinds.sort_unstable();
    expected.sort_unstable();
    assert_eq!(kinds, expected, "{:#?}", report.refused_rows);
    assert_eq!(held(&archive), sorted(sent));
}

#[test]
fn what_is_not_nwakus_is_not_read() {
    let scripts = [
        "",
        "CREATE TABLE messages(x int)",
        "CREATE VIEW messages AS SELECT ''::varchar pubsubtopic, ''::varchar contenttopic,
           ''::varchar payload, ''::varchar messagehash, 0 AS version, 1::bigint AS timestamp",
        "CREATE TABLE messages(pubsubtopic varchar, contenttopic varchar, payload bytea,
           messagehash varchar, version int, timestamp bigint, PRIMARY KEY(timestamp, messagehash))",
        "CREATE TABLE messages(pubsubtopic varchar, contenttopic varchar, payload varchar
           GENERATED ALWAYS AS (repeat('0', 1000000000)) STORED, messagehash varchar, version int,
           timestamp bigint, PRIMARY KEY(timestamp, messagehash))",
        "CREATE TABLE messages(pubsubtopic varchar, contenttopic varchar, payload varchar,
           messagehash varchar, version int, timestamp bigint, PRIMARY KEY(version))",
    ];
    for script in scripts {
        let db = Cluster::shared().database();
        db.client().batch_execute(script).unwrap();
        let e = import(&db, &memory()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{script}: {e:?}");
        if !script.is_empty() {
            let e = export(&memory(), &db).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{script}: {e:?}");
        }
    }
    let nowhere = ["postgres://u:secret@127.0.0.1:1/x", "postgres://u:secret@[/x", "secret"];
    for url in nowhere {
        let e = import_postgres(url, &memory(), &ImportOptions::default(), on).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ArchiveOpen);
        assert!(!e.message().contains("secret"), "{e}");
    }
}

#[test]
fn a_round_trip_keeps_what_nwakus_schema_can_hold() {
    let mut sent = messages(1_200, true);
    // Over some hours and days, so that there are partitions to be made.
    for (i, m) in sent.iter_mut().enumerate() {
        let mut message = m.message.clone();
        message.timestamp = Some(Timestamp(NOW - i as i64 * 97 * SECOND - 3));
        *m = StoredMessage::new(m.pubsub_topic.clone(), message);
    }
    let archive = filled(&sent);
    let db = Cluster::shared().database();
    let report = export(&archive, &db).unwrap();
    assert_eq!((report.written, report.duplicates, report.refused), (1_200, 0, 0));
    let back = memory();
    assert_eq!(import(&db, &back).unwrap().rehashed, 0);
    assert_eq!(held(&back), sorted(sent.clone()));
    let again = export(&archive, &db).unwrap();
    assert_eq!((again.written, again.duplicates), (0, 1_200));

    let mut client = db.client();
    assert_eq!(number(&mut client, "SELECT version::int8 FROM version"), 7);
    assert_eq!(number(&mut client, "SELECT count(*) FROM messages_lookup"), 1_200);
    // nwaku reads the ends of each partition out of its name.
    let names = client
        .query(
            "SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i
             JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'messages'::regclass",
            &[],
        )
        .unwrap();
    assert!(names.len() > 30, "{}", names.len());
    for row in names {
        let (name, bound): (String, String) = (row.get(0), row.get(1));
        let ends: Vec<i64> = name
            .strip_prefix("messages_")
            .unwrap()
            .split('_')
            .map(|t| t.parse().unwrap())
            .collect();
        let &[from, to] = ends.as_slice() else { panic!("{name}") };
        assert!(from < to && to - from <= 3_600 && to % 3_600 == 0, "{name}");
        assert_eq!(bound, format!("FOR VALUES FROM ('{from}000000000') TO ('{to}000000000')"));
    }
    // And it finds them: its own question, by the topic as text.
    let text = "SELECT count(*) FROM messages WHERE contentTopic IN ($1) AND timestamp >= $2";
    let topic = sent[0].message.content_topic.as_str();
    let found: i64 = client.query_one(text, &[&topic, &0i64]).unwrap().get(0);
    assert_eq!(
        found,
        sent.iter().filter(|m| m.message.content_topic.as_str() == topic).count() as i64
    );
}

#[test]
fn messages_are_added_to_a_database_of_nwakus() {
    let all = messages(300, true);
    let early = {
        let mut m = all[0].message.clone();
        // Long before the partition that is there.
        m.timestamp = Some(Timestamp(NOW - 3_000_000 * SECOND));
        StoredMessage::new(all[0].pubsub_topic.clone(), m)
    };
    let before_1970 = {
        let mut m = all[0].message.clone();
        m.timestamp = Some(Timestamp(-1));
        StoredMessage::new(all[0].pubsub_topic.clone(), m)
    };
    for version in 6..=8 {
        let db = build(version, &all[..200]);
        let mut ours = all[100..].to_vec();
        ours.extend([early.clone(), before_1970.clone()]);
        let report = export(&filled(&ours), &db).unwrap();
        let counts = (report.written, report.duplicates, report.refused);
        assert_eq!(counts, (101, 100, 1), "version {version}");
        let back = memory();
        import(&db, &back).unwrap();
        let mut expected = all.clone();
        expected.push(early.clone());
        assert_eq!(held(&back), sorted(expected));
        let mut client = db.client();
        if version > 6 {
            let looked_up = number(&mut client, "SELECT count(*) FROM messages_lookup");
            assert_eq!(looked_up, 201, "those that were exported; the others are nwaku's to add");
        }
        if version == 8 {
            let pairs = "SELECT count(*) FROM pg_class a JOIN pg_class b
                         ON b.relname = replace(a.relname, 'messages_', 'lookup_')
                         WHERE a.relname ~ '^messages_[0-9]+_[0-9]+$' AND b.relname ~ '^lookup_'";
            assert_eq!(number(&mut client, pairs), 2);
        }
    }
    for version in 1..=5 {
        let e = export(&filled(&all), &build(version, &[])).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "version {version}: {e:?}");
    }
}

#[test]
fn a_database_that_goes_away_ends_the_import_and_what_was_told_is_there() {
    static OWN: std::sync::OnceLock<Cluster> = std::sync::OnceLock::new();
    let cluster = OWN.get_or_init(|| Cluster::start(&[]));
    let sent = messages(1_000, true);
    let db = cluster.database();
    let mut client = db.client();
    create(&mut client, 7);
    sent.iter().for_each(|m| insert(&mut client, 7, m));
    drop(client);
    let archive = memory();
    let options = ImportOptions { batch: 50, ..Default::default() };
    let mut last = ImportReport::default();
    let e = import_postgres(&db.url, &archive, &options, |report| {
        last = report.clone();
        if report.read == 200 {
            cluster.order("crash");
        }
        ControlFlow::Continue(())
    })
    .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveIo, "{e:?}");
    assert_eq!(held(&archive).len() as u64, last.imported);
    cluster.order("start");
    let options = ImportOptions { from: last.position, ..Default::default() };
    let report = import_postgres(&db.url, &archive, &options, on).unwrap();
    assert_eq!((report.imported + last.imported, report.duplicates), (1_000, 0));
    assert_eq!(held(&archive), sorted(sent));
    cluster.order("stop");
}
