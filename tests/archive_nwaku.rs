//! nwaku's archive read into ours: every schema that was deployed, and what is in no schema.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;
mod nwaku_support;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archive_support::config;
use nwaku_support::*;
use rusqlite::params;
use wakustore::ErrorKind;
use wakustore::archive::nwaku::{ImportOptions, ImportReport, Position, import_sqlite};
use wakustore::archive::{Archive, FeedEvent, MemoryBackend, SqliteBackend, SqliteConfig};
use wakustore::types::{MessageHash, Origin, StoredMessage};

fn memory() -> Archive {
    Archive::open(MemoryBackend::default(), config()).unwrap()
}

fn on(_: &ImportReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn import(path: &Path, archive: &Archive) -> wakustore::Result<ImportReport> {
    import_sqlite(path, archive, &ImportOptions::default(), on)
}

#[test]
fn every_schema_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for schema in ALL {
        let path = dir.path().join(format!("{schema:?}.sqlite3"));
        let sent = messages(2_500, holds_meta(schema));
        drop(build(&path, schema, &sent));
        let before = std::fs::read(&path).unwrap();
        let archive = memory();
        let mut feed = archive.subscribe(10_000);
        let report = import(&path, &archive).unwrap();
        assert!(report.complete, "{schema:?}");
        assert_eq!(report.read, 2_500, "{schema:?}");
        if schema == Schema::V1 {
            // Nobody knows when these were sent: no hash can be made.
            assert_eq!((report.refused, report.imported), (2_500, 0));
            assert_eq!(report.refused_rows.len(), 1_000);
            let kinds =
                report.refused_rows.iter().all(|r| r.reason.kind() == ErrorKind::NoTimestamp);
            assert!(kinds);
            continue;
        }
        assert_eq!(held(&archive), sorted(sent.clone()), "{schema:?}");
        assert_eq!((report.imported, report.duplicates, report.refused), (2_500, 0, 0));
        let (rehashed, unhashed) = match schema {
            Schema::V8Counted | Schema::V8Random => (2_500, 0),
            Schema::V8 | Schema::V9 | Schema::V10Migrated | Schema::V10 => (0, 0),
            _ => (0, 2_500),
        };
        assert_eq!((report.rehashed, report.unhashed), (rehashed, unhashed), "{schema:?}");
        // In order of time, wherever the source has an order of time.
        assert_eq!(report.span.is_some(), !matches!(schema, Schema::V2 | Schema::V3), "{schema:?}");
        if let Some((oldest, newest)) = report.span {
            assert!(oldest < newest && report.reached == Some(newest), "{schema:?} {report:?}");
        }
        let mut told = 0;
        while let Some(event) = feed.try_next() {
            let FeedEvent::Stored(items) = event else { panic!("{event:?}") };
            assert!(items.iter().all(|item| item.origin == Origin::Import));
            told += items.len();
        }
        assert_eq!(told, 2_500);
        // Once more: all of it is there.
        let again = import(&path, &archive).unwrap();
        assert_eq!((again.read, again.imported, again.duplicates), (2_500, 0, 2_500));
        assert_eq!(std::fs::read(&path).unwrap(), before, "the file is as it was");
    }
}

#[test]
fn a_hash_that_is_not_the_messages_own_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(30, true);
    let conn = build(&path, Schema::V10, &sent);
    let change = |i: usize, value: &dyn rusqlite::ToSql| {
        let hash = &sent[i].hash.as_bytes()[..];
        let sql = "UPDATE message SET messageHash = ?1 WHERE messageHash = ?2";
        assert_eq!(conn.execute(sql, params![value, hash]).unwrap(), 1);
    };
    change(3, &vec![7u8; 32]);
    change(5, &"text");
    change(8, &vec![7u8; 3_000]);
    drop(conn);
    let archive = memory();
    let options = ImportOptions { max_listed: 2, ..ImportOptions::default() };
    let report = import_sqlite(&path, &archive, &options, on).unwrap();
    assert_eq!((report.imported, report.rehashed, report.unhashed), (30, 3, 0));
    assert_eq!(held(&archive), sorted(sent.clone()), "each is there under its own hash");
    let listed = &report.rehashed_rows;
    assert_eq!(listed.len(), 2, "the list is bounded, the count is not");
    let first = listed.iter().find(|r| r.computed == sent[3].hash).unwrap();
    assert_eq!(first.stored, Some(MessageHash([7; 32])));
    assert_eq!(first.timestamp, sent[3].message.timestamp);
    assert!(first.row.ends_with(&format!("b{}", MessageHash([7; 32]))), "{}", first.row);
    assert!(listed.iter().any(|r| r.computed == sent[5].hash && r.stored.is_none()));
}

#[test]
fn rows_that_hold_no_message_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(20, true);
    // Without NOT NULL, so that each column can be what it likes.
    let conn = connect(&path);
    conn.execute_batch(
        "CREATE TABLE message(
           pubsubTopic BLOB, contentTopic BLOB, payload BLOB, version INTEGER, id BLOB,
           messageHash BLOB, timestamp INTEGER, meta BLOB,
           CONSTRAINT messageIndex PRIMARY KEY (messageHash)) WITHOUT ROWID;
         CREATE INDEX i_ts ON message(timestamp)",
    )
    .unwrap();
    let good = |i: usize| insert(&conn, Schema::V10, &sent[i]);
    (0..sent.len()).for_each(good);
    let bad: [(&str, &dyn rusqlite::ToSql, ErrorKind); 16] = [
        ("pubsubTopic", &rusqlite::types::Null, ErrorKind::InvalidTopic),
        ("pubsubTopic", &vec![b'x'; 1_025], ErrorKind::InvalidTopic),
        ("pubsubTopic", &vec![0xffu8, 0xfe], ErrorKind::InvalidTopic),
        ("contentTopic", &rusqlite::types::Null, ErrorKind::InvalidTopic),
        ("contentTopic", &vec![b'x'; 3_000_000], ErrorKind::InvalidTopic),
        ("contentTopic", &17, ErrorKind::ArchiveCorrupt),
        ("payload", &vec![0u8; 150 * 1024 + 1], ErrorKind::MessageTooLarge),
        ("payload", &vec![0u8; 5_000_000], ErrorKind::MessageTooLarge),
        ("payload", &1.5, ErrorKind::ArchiveCorrupt),
        ("version", &"one", ErrorKind::ArchiveCorrupt),
        ("version", &(1i64 << 32), ErrorKind::ArchiveCorrupt),
        ("timestamp", &"yesterday", ErrorKind::ArchiveCorrupt),
        ("timestamp", &0, ErrorKind::NoTimestamp),
        ("timestamp", &(NOW + 21 * SECOND), ErrorKind::TimestampInFuture),
        ("meta", &vec![0u8; 65], ErrorKind::MetaTooLarge),
        ("meta", &5, ErrorKind::ArchiveCorrupt),
    ];
    for (i, (column, value, _)) in bad.iter().enumerate() {
        let m = &messages(200, true)[100 + i];
        insert(&conn, Schema::V10, m);
        let sql = format!("UPDATE message SET {column} = ?1 WHERE messageHash = ?2");
        assert_eq!(conn.execute(&sql, params![value, &m.hash.as_bytes()[..]]).unwrap(), 1);
    }
    drop(conn);
    let archive = memory();
    let report = import(&path, &archive).unwrap();
    assert!(report.complete);
    assert_eq!(held(&archive), sorted(sent));
    assert_eq!((report.imported, report.refused), (20, 16));
    let mut kinds: Vec<_> = report.refused_rows.iter().map(|r| r.reason.kind()).collect();
    let mut expected: Vec<_> = bad.iter().map(|(_, _, kind)| *kind).collect();
    kinds.sort_unstable();
    expected.sort_unstable();
    assert_eq!(kinds, expected, "{:#?}", report.refused_rows);
    assert!(report.refused_rows.iter().all(|r| r.row.len() <= 200));
}

#[test]
fn a_file_without_an_index_is_read_in_the_order_of_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(2_500, true);
    let conn = build(&path, Schema::V10, &sent);
    // In place of it, some that are no order of all rows.
    conn.execute_batch(
        "DROP INDEX i_ts;
         CREATE INDEX i_partial ON message(timestamp) WHERE version > 0;
         CREATE INDEX i_down ON message(timestamp DESC);
         CREATE INDEX i_expression ON message(timestamp + 1);
         CREATE INDEX i_nocase ON message(timestamp COLLATE NOCASE)",
    )
    .unwrap();
    drop(conn);
    let archive = memory();
    let report = import(&path, &archive).unwrap();
    assert_eq!((report.imported, report.span), (2_500, None));
    assert_eq!(held(&archive), sorted(sent));
    assert!(report.position.unwrap().to_string().starts_with("sqlite:messageHash=b"));
}

#[test]
fn many_rows_of_one_time_are_all_read() {
    let dir = tempfile::tempdir().unwrap();
    for schema in [Schema::V10, Schema::V7, Schema::V4] {
        let path = dir.path().join(format!("{schema:?}"));
        let at = messages(1, false)[0].message.timestamp;
        let sent: Vec<_> = messages(5_000, holds_meta(schema))
            .into_iter()
            .map(|m| {
                let mut message = m.message;
                message.timestamp = at;
                StoredMessage::new(m.pubsub_topic, message)
            })
            .collect();
        drop(build(&path, schema, &sent));
        let archive = memory();
        let report = import(&path, &archive).unwrap();
        assert_eq!((report.imported, report.read), (5_000, 5_000));
        assert_eq!(held(&archive), sorted(sent));
    }
}

#[test]
fn an_import_that_was_cancelled_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    for schema in [Schema::V3, Schema::V6, Schema::V7, Schema::V8Random, Schema::V10] {
        let path = dir.path().join(format!("{schema:?}"));
        let sent = messages(1_234, holds_meta(schema));
        drop(build(&path, schema, &sent));
        let archive = memory();
        let mut options = ImportOptions { batch: 100, ..ImportOptions::default() };
        let (mut runs, mut imported, mut last) = (0, 0, None);
        loop {
            let mut told = 0u64;
            let report = import_sqlite(&path, &archive, &options, |report| {
                told += 1;
                assert_eq!(report.read.div_ceil(100), told - u64::from(report.complete));
                last = report.position.clone();
                if told == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
            assert_eq!(report.position, last);
            assert_eq!(report.duplicates, 0, "nothing is read twice");
            imported += report.imported;
            runs += 1;
            if report.complete {
                break;
            }
            // As a caller keeps it: as text.
            options.from = last.as_ref().map(|p| p.to_string().parse::<Position>().unwrap());
        }
        assert!(runs >= 4, "{runs}");
        assert_eq!(imported, 1_234);
        assert_eq!(held(&archive), sorted(sent));
    }
}

#[test]
fn a_position_in_another_kind_of_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let sent = messages(10, false);
    drop((build(&old, Schema::V7, &sent), build(&new, Schema::V10, &sent)));
    let archive = memory();
    let from = import(&old, &archive).unwrap().position;
    let e = import_sqlite(&new, &archive, &ImportOptions { from, ..Default::default() }, on);
    assert_eq!(e.unwrap_err().kind(), ErrorKind::InvalidArgument);
    for batch in [0, 10_001] {
        let e = import_sqlite(&new, &archive, &ImportOptions { batch, ..Default::default() }, on);
        assert_eq!(e.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn what_is_taken_down_stays_down() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(10, true);
    drop(build(&path, Schema::V10, &sent));
    let archive = memory();
    archive.take_down(vec![sent[4].hash]).wait().unwrap();
    let report = import(&path, &archive).unwrap();
    assert_eq!((report.imported, report.refused), (9, 1));
    assert_eq!(report.refused_rows[0].reason.kind(), ErrorKind::TakenDown);
}

/// Others fill the archive's queue all the time.
#[test]
fn a_busy_archive_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(600, true);
    drop(build(&path, Schema::V10, &sent));
    let mut small = config();
    small.max_queued_bytes = 20_000;
    let backend = SqliteBackend::open(SqliteConfig::new(dir.path().join("ours.db"))).unwrap();
    let archive = Archive::open(backend, small).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let (archive, done) = (archive.clone(), done.clone());
            std::thread::spawn(move || {
                let mut busy = 0u32;
                for i in 0.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let text = format!("{t} {i} {}", "x".repeat(15_000));
                    let put = archive.put(
                        vec![archive_support::message(9, 9, NOW - i64::from(i), &text)],
                        Origin::Import,
                    );
                    busy += u32::from(put.wait().is_err_and(|e| e.kind() == ErrorKind::Busy));
                }
                busy
            })
        })
        .collect();
    let options = ImportOptions { batch: 10, ..Default::default() };
    let report = import_sqlite(&path, &archive, &options, on);
    done.store(true, Ordering::SeqCst);
    let busy: u32 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert!(busy > 0, "the queue was never full");
    assert_eq!(report.unwrap().imported, 600);
}

/// nwaku goes on writing while its file is read, in short transactions on both sides.
#[test]
fn a_file_that_is_being_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let all = messages(6_000, true);
    let (there, coming) = all.split_at(3_000);
    let conn = build(&path, Schema::V10, there);
    let archive = memory();
    let mut coming = coming.iter();
    let mut written = Vec::new();
    let options = ImportOptions { batch: 50, ..Default::default() };
    // A few rows between two batches: what comes is later than all that is there, and is read too.
    let report = import_sqlite(&path, &archive, &options, |_| {
        for m in coming.by_ref().take(20) {
            insert(&conn, Schema::V10, m);
            written.push(m.clone());
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(report.complete);
    let missing = |messages: &[StoredMessage]| {
        archive.missing(messages.iter().map(|m| m.hash).collect()).wait().unwrap().len()
    };
    assert_eq!(missing(there), 0);
    assert!(written.len() > 1_000);
    // One batch is read ahead of what is told, and the last call comes after the end.
    assert!(missing(&written) <= 60, "{} of {} are missing", missing(&written), written.len());

    // And with a writer that does not wait for us at all.
    let path = path.clone();
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let done = done.clone();
        let rest: Vec<_> = coming.cloned().collect();
        std::thread::spawn(move || {
            let conn = connect(&path);
            conn.busy_timeout(std::time::Duration::ZERO).unwrap();
            for m in &rest {
                // It fails where the reader keeps it out: a reader never does.
                insert(&conn, Schema::V10, m);
            }
            done.store(true, Ordering::SeqCst);
        })
    };
    while !done.load(Ordering::SeqCst) {
        import(&dir.path().join("store.sqlite3"), &archive).unwrap();
    }
    writer.join().unwrap();
    import(&dir.path().join("store.sqlite3"), &archive).unwrap();
    assert_eq!(held(&archive), sorted(all));
}

#[test]
fn a_schema_that_changes_meanwhile_ends_the_import() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let conn = build(&path, Schema::V9, &messages(500, true));
    let archive = memory();
    let options = ImportOptions { batch: 100, ..Default::default() };
    let mut told = 0;
    let e = import_sqlite(&path, &archive, &options, |_| {
        told += 1;
        if told == 2 {
            conn.execute_batch(&ddl(Schema::V10Migrated).0).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert_eq!(e.unwrap_err().kind(), ErrorKind::ArchiveCorrupt);
    assert_eq!(import(&path, &archive).unwrap().read, 500);
}
