//! Ours written as an archive of nwaku's, and read back.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;
mod nwaku_support;

use std::ops::ControlFlow;
use std::path::Path;

use archive_support::config;
use nwaku_support::*;
use rusqlite::Connection;
use wakustore::ErrorKind;
use wakustore::archive::nwaku::{
    ExportOptions, ExportReport, ImportOptions, export_sqlite, import_sqlite,
};
use wakustore::archive::{Archive, MemoryBackend, SqliteBackend, SqliteConfig};
use wakustore::types::{Origin, PubsubTopic, StoredMessage, TimeRange, Timestamp, WakuMessage};

fn memory() -> Archive {
    Archive::open(MemoryBackend::default(), config()).unwrap()
}

fn filled(messages: &[StoredMessage]) -> Archive {
    let archive = memory();
    archive.put(messages.to_vec(), Origin::Import).wait().unwrap();
    archive
}

fn on(_: &ExportReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn export(archive: &Archive, path: &Path) -> wakustore::Result<ExportReport> {
    export_sqlite(archive, path, &ExportOptions::default(), on)
}

fn read_back(path: &Path) -> Vec<StoredMessage> {
    let archive = memory();
    let report =
        import_sqlite(path, &archive, &ImportOptions::default(), |_| ControlFlow::Continue(()))
            .unwrap();
    assert_eq!((report.rehashed, report.refused, report.unhashed), (0, 0, 0));
    held(&archive)
}

#[test]
fn a_round_trip_keeps_what_nwakus_schema_can_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(2_345, true);
    let archive = filled(&sent);
    let report = export(&archive, &path).unwrap();
    assert_eq!((report.written, report.duplicates, report.without_proof), (2_345, 0, 0));
    assert!(report.complete);
    assert_eq!(report.position, sorted(sent.clone()).last().map(StoredMessage::sync_id));
    assert_eq!(read_back(&path), sorted(sent));
    // Again: all of it is there.
    let again = export(&archive, &path).unwrap();
    assert_eq!((again.written, again.duplicates), (0, 2_345));
}

#[test]
fn what_nwakus_schema_cannot_hold_is_counted_or_the_same_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let plain = messages(4, false);
    let with = |i: usize, change: &dyn Fn(&mut WakuMessage)| {
        let mut m = plain[i].message.clone();
        m.version = None;
        change(&mut m);
        StoredMessage::new(plain[i].pubsub_topic.clone(), m)
    };
    let rich = [
        with(0, &|m| m.rate_limit_proof = Some(bytes::Bytes::from_static(b"proof"))),
        with(1, &|m| m.ephemeral = Some(false)),
        with(2, &|m| m.version = Some(0)),
        with(3, &|m| m.meta = Some(bytes::Bytes::new())),
    ];
    let poor: Vec<_> = (0..4).map(|i| with(i, &|_| ())).collect();
    let report = export(&filled(&rich), &path).unwrap();
    assert_eq!((report.written, report.without_proof), (4, 1));
    // The hash is the same: none of these is part of it.
    assert_eq!(read_back(&path), sorted(poor));
}

/// As nwaku looks at it: its own statements, bound as it binds them.
#[test]
fn nwaku_reads_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(500, true);
    export(&filled(&sent), &path).unwrap();
    let conn = connect(&path);
    let number = |sql: &str| conn.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(number("PRAGMA user_version"), 10);
    // What it does at its start changes nothing.
    conn.execute_batch(&ddl(Schema::V10).0).unwrap();
    assert_eq!(number("SELECT COUNT(*) FROM Message"), 500);
    let topic = sent[3].message.content_topic.as_bytes();
    let pubsub = sent[3].pubsub_topic.as_bytes();
    let mut statement = conn
        .prepare(
            "SELECT messageHash, payload, version, timestamp, meta FROM Message
             WHERE pubsubTopic = (?) AND contentTopic IN (?) AND timestamp >= (?)
             ORDER BY timestamp ASC, messageHash ASC LIMIT 100",
        )
        .unwrap();
    let found: Vec<(Vec<u8>, i64)> = statement
        .query_map((pubsub, topic, 0), |r| Ok((r.get(0)?, r.get(3)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let expected: Vec<_> = sorted(sent.clone())
        .into_iter()
        .filter(|m| m.message.content_topic.as_bytes() == topic)
        .filter(|m| m.pubsub_topic.as_bytes() == pubsub)
        .map(|m| (m.hash.as_bytes().to_vec(), m.timestamp().nanos()))
        .collect();
    assert!(!found.is_empty());
    assert_eq!(found, expected);
    // Empty is NULL, as it writes it.
    assert_eq!(number("SELECT COUNT(*) FROM Message WHERE payload IS NULL"), 1);
    assert_eq!(number("SELECT COUNT(*) FROM Message WHERE length(meta) = 0"), 0);
    let check: String = conn.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(check, "ok");
    // And it goes on writing.
    insert(&conn, Schema::V10, &messages(600, true)[599]);
}

#[test]
fn messages_are_added_to_a_file_of_nwakus() {
    let dir = tempfile::tempdir().unwrap();
    let all = messages(300, true);
    for schema in [Schema::V10, Schema::V10Migrated] {
        let path = dir.path().join(format!("{schema:?}"));
        let conn = build(&path, schema, &all[..200]);
        conn.execute_batch(
            "CREATE TABLE seen(x);
             CREATE TRIGGER t AFTER INSERT ON message BEGIN INSERT INTO seen VALUES(1); END;",
        )
        .unwrap();
        drop(conn);
        let report = export(&filled(&all[100..]), &path).unwrap();
        assert_eq!((report.written, report.duplicates), (100, 100));
        assert_eq!(read_back(&path), sorted(all.clone()));
        let conn = Connection::open(&path).unwrap();
        let number = |sql: &str| conn.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
        assert_eq!(number("SELECT COUNT(*) FROM seen"), 0, "no trigger of the file runs");
        assert_eq!(number("PRAGMA user_version"), 10);
    }
}

#[test]
fn a_target_that_is_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sent = messages(10, true);
    let archive = filled(&sent);
    for schema in ALL.into_iter().filter(|s| !matches!(s, Schema::V10 | Schema::V10Migrated)) {
        let path = dir.path().join(format!("{schema:?}"));
        // The count that one version took for hashes needs different times, which these have.
        drop(build(&path, schema, &sent));
        let e = export(&archive, &path).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported, "{schema:?}: {e:?}");
    }
    let other = dir.path().join("other");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE x(y)").unwrap();
    assert_eq!(export(&archive, &other).unwrap_err().kind(), ErrorKind::ArchiveCorrupt);
    let view = dir.path().join("view");
    Connection::open(&view)
        .unwrap()
        .execute_batch("CREATE VIEW message AS SELECT 1; PRAGMA user_version = 10")
        .unwrap();
    assert_eq!(export(&archive, &view).unwrap_err().kind(), ErrorKind::ArchiveCorrupt);
    let ours = dir.path().join("ours");
    let own = Archive::open(SqliteBackend::open(SqliteConfig::new(&ours)).unwrap(), config());
    drop(own.unwrap());
    assert_eq!(export(&archive, &ours).unwrap_err().kind(), ErrorKind::ArchiveCorrupt);
    let nowhere = dir.path().join("no/such/directory");
    assert_eq!(export(&archive, &nowhere).unwrap_err().kind(), ErrorKind::ArchiveOpen);
}

/// nwaku would lose what it wants to store while another writes.
#[test]
fn a_file_that_nwaku_has_open_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(10, true);
    let nwaku = build(&path, Schema::V10, &sent[..5]);
    let e = export(&filled(&sent), &path).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveLocked, "{e:?}");
    insert(&nwaku, Schema::V10, &sent[9]);
    drop(nwaku);
    assert_eq!(export(&filled(&sent), &path).unwrap().written, 4);
}

#[test]
fn an_export_that_was_cancelled_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(4_321, true);
    let archive = filled(&sent);
    let mut options = ExportOptions::default();
    let (mut runs, mut written) = (0, 0);
    loop {
        let report = export_sqlite(&archive, &path, &options, |_| ControlFlow::Break(())).unwrap();
        assert_eq!(report.duplicates, 0);
        written += report.written;
        runs += 1;
        if report.complete {
            break;
        }
        options.after = report.position;
    }
    assert_eq!((runs, written), (6, 4_321));
    assert_eq!(read_back(&path), sorted(sent));
}

#[test]
fn a_part_of_it_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(1_000, true);
    let start = Timestamp(NOW - 500 * SECOND);
    let topic = PubsubTopic::of_shard(16, 1);
    let options = ExportOptions {
        time: TimeRange::new(start, Timestamp::MAX).unwrap(),
        pubsub_topics: vec![topic.clone()],
        ..ExportOptions::default()
    };
    let report = export_sqlite(&filled(&sent), &path, &options, on).unwrap();
    let expected: Vec<_> =
        sent.into_iter().filter(|m| m.timestamp() >= start && m.pubsub_topic == topic).collect();
    assert_eq!((report.written, expected.len()), (125, 125));
    assert_eq!(read_back(&path), sorted(expected));
}
