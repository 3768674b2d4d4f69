//! Files that are not what nwaku wrote: made to do harm, damaged, cut off; and an import that is
//! killed.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;
mod nwaku_support;

use std::ops::ControlFlow;
use std::path::Path;

use archive_support::config;
use nwaku_support::*;
use wakustore::ErrorKind;
use wakustore::archive::nwaku::{ImportOptions, ImportReport, import_sqlite};
use wakustore::archive::{Archive, MemoryBackend, SqliteBackend, SqliteConfig};
use wakustore::types::{Origin, StoredMessage};

fn memory() -> Archive {
    Archive::open(MemoryBackend::default(), config()).unwrap()
}

fn on(_: &ImportReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn import(path: &Path, archive: &Archive) -> wakustore::Result<ImportReport> {
    import_sqlite(path, archive, &ImportOptions::default(), on)
}

/// The columns of version 10, without their closing.
const COLUMNS: &str = "messageHash BLOB, pubsubTopic BLOB, contentTopic BLOB, payload BLOB,
                       version INTEGER, timestamp INTEGER, meta BLOB";

#[test]
fn what_is_no_ordinary_table_of_nwakus_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let row = "x'00', x'61', x'61', x'61', 0, 1, NULL";
    let cases = [
        // A view that would read all day, and one that would read something else.
        (
            "view",
            format!(
                "CREATE TABLE t({COLUMNS});
                 CREATE VIEW message AS WITH RECURSIVE n(i) AS
                   (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                 SELECT x'00' messageHash, x'61' pubsubTopic, x'61' contentTopic,
                        randomblob(1000000) payload, 0 version, i timestamp, NULL meta FROM n;"
            ),
        ),
        (
            "virtual",
            "CREATE VIRTUAL TABLE message USING fts5(messageHash, pubsubTopic,
                     contentTopic, payload, version, timestamp, meta)"
                .into(),
        ),
        ("shadow", "CREATE VIRTUAL TABLE m USING fts5(payload)".into()),
        ("rowid", format!("CREATE TABLE message({COLUMNS}); INSERT INTO message VALUES({row})")),
        ("no key", format!("CREATE TABLE message({COLUMNS}, PRIMARY KEY(version)) WITHOUT ROWID")),
        (
            "descending",
            format!("CREATE TABLE message({COLUMNS}, PRIMARY KEY(timestamp DESC)) WITHOUT ROWID"),
        ),
        (
            "collated",
            format!(
                "CREATE TABLE message({COLUMNS}, PRIMARY KEY(messageHash COLLATE NOCASE))
                 WITHOUT ROWID"
            ),
        ),
        (
            "computed",
            format!(
                "CREATE TABLE message({COLUMNS}, x AS (zeroblob(1000000000)), PRIMARY
                 KEY(messageHash)) WITHOUT ROWID"
            ),
        ),
        (
            "computed payload",
            "CREATE TABLE message(messageHash BLOB PRIMARY KEY, pubsubTopic BLOB,
               contentTopic BLOB, payload BLOB AS (zeroblob(1000000000)) VIRTUAL, version INTEGER,
               timestamp INTEGER, meta BLOB) WITHOUT ROWID"
                .into(),
        ),
        (
            "a column less",
            "CREATE TABLE message(messageHash BLOB PRIMARY KEY, pubsubTopic BLOB, payload BLOB,
               version INTEGER, timestamp INTEGER) WITHOUT ROWID"
                .into(),
        ),
        ("another table", "CREATE TABLE messages(x)".into()),
        ("nothing", String::new()),
        (
            "too many columns",
            format!(
                "CREATE TABLE message({COLUMNS}, {}, PRIMARY KEY(messageHash)) WITHOUT ROWID",
                (0..100).map(|i| format!("c{i}")).collect::<Vec<_>>().join(", ")
            ),
        ),
        (
            "a schema that is too long",
            format!(
                "CREATE TABLE message({COLUMNS}, {} PRIMARY KEY(messageHash)) WITHOUT ROWID",
                format!("CHECK(version <> '{}'),", "x".repeat(100)).repeat(2_000)
            ),
        ),
    ];
    let archive = memory();
    for (name, script) in cases {
        let path = dir.path().join(name);
        connect(&path).execute_batch(&script).unwrap();
        let e = import(&path, &archive).unwrap_err();
        assert!(
            matches!(e.kind(), ErrorKind::ArchiveCorrupt | ErrorKind::ArchiveIo),
            "{name}: {e:?}"
        );
        if name != "too many columns" && name != "a schema that is too long" {
            assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{name}: {e:?}");
        }
    }
    assert_eq!(archive.stats().wait().unwrap().messages, 0);
}

#[test]
fn what_is_no_such_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let archive = memory();
    let kind = |path: &Path| import(path, &archive).unwrap_err().kind();
    assert_eq!(kind(&dir.path().join("nothing")), ErrorKind::ArchiveOpen);
    assert!(!dir.path().join("nothing").exists(), "none is made");
    assert_eq!(kind(dir.path()), ErrorKind::ArchiveOpen);
    assert_eq!(kind("file:x?mode=memory".as_ref()), ErrorKind::ArchiveOpen);
    let text = dir.path().join("text");
    std::fs::write(&text, "this is no database of any kind\n".repeat(100)).unwrap();
    assert_eq!(kind(&text), ErrorKind::ArchiveCorrupt);
    let ours = dir.path().join("ours");
    let own = Archive::open(SqliteBackend::open(SqliteConfig::new(&ours)).unwrap(), config());
    drop(own.unwrap());
    let e = import(&ours, &archive).unwrap_err();
    assert!(e.kind() == ErrorKind::ArchiveCorrupt && e.message().contains("this library"), "{e:?}");
}

/// Beside a table as it should be: triggers, views and expressions that nobody asked for.
#[test]
fn nothing_of_the_file_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let sent = messages(100, true);
    let conn = build(&path, Schema::V10, &sent);
    conn.execute_batch(
        "CREATE TABLE seen(x);
         CREATE VIEW v AS SELECT * FROM message;
         CREATE TRIGGER t AFTER INSERT ON message BEGIN INSERT INTO seen VALUES(1); END;
         CREATE INDEX i_heavy ON message(hex(zeroblob(length(payload) * 10)));
         CREATE VIRTUAL TABLE words USING fts5(payload);
         INSERT INTO words SELECT payload FROM message;",
    )
    .unwrap();
    drop(conn);
    let archive = memory();
    let report = import(&path, &archive).unwrap();
    assert_eq!(report.imported, 100);
    assert_eq!(held(&archive), sorted(sent));
}

/// A key so long that nobody could come back to it.
#[test]
fn a_key_that_is_too_long_ends_the_import() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let conn = build(&path, Schema::V10, &messages(3, true));
    conn.execute(
        "INSERT INTO message VALUES(?1, x'61', x'61', NULL, 0, 5, NULL)",
        [vec![9u8; 2_000_000]],
    )
    .unwrap();
    let e = import(&path, &memory()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{e:?}");
}

/// In a schema without a hash, in a file that is small enough to be damaged everywhere.
fn small(path: &Path, schema: Schema) -> (Vec<u8>, Vec<StoredMessage>) {
    let sent = messages(150, holds_meta(schema));
    let conn = build(path, schema, &sent);
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(conn);
    (std::fs::read(path).unwrap(), sent)
}

#[test]
fn a_file_that_is_cut_off_is_told_and_what_was_read_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let (whole, sent) = small(&path, Schema::V7);
    let (mut kept, mut told) = (0, 0);
    for cut in (1..whole.len()).step_by(4_096 / 2) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let archive = memory();
        let options = ImportOptions { batch: 10, ..Default::default() };
        let mut last = ImportReport::default();
        let result = import_sqlite(&path, &archive, &options, |report| {
            last = report.clone();
            ControlFlow::Continue(())
        });
        let held = held(&archive);
        assert_eq!(held.len() as u64, last.imported, "what was told is what is there");
        assert!(held.iter().all(|m| sent.contains(m)));
        match result {
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{cut}: {e:?}");
                assert!(held.len() < sent.len());
                told += 1;
                kept += held.len();
            }
            // It was cut in an index that is not needed.
            Ok(_) => assert_eq!(held, sorted(sent.clone())),
        }
        assert_eq!(std::fs::read(&path).unwrap(), &whole[..cut], "nothing is made worse");
    }
    assert!(told >= 4 && kept > 0, "{told} were told, {kept} messages kept");
}

/// A simple generator: the same files in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// Bytes changed all over the file: lengths, pointers, headers. Every import ends, and what it
/// takes in is under its own hash.
#[test]
fn an_import_of_a_damaged_file_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let (mut good, mut bad) = (0, 0);
    for (schema, rounds) in [(Schema::V7, 150), (Schema::V10, 150), (Schema::V3, 100)] {
        let _ = std::fs::remove_file(&path);
        let (whole, _) = small(&path, schema);
        let mut random = Random(0x5eed_0000 + schema as u64);
        for round in 0..rounds {
            let mut damaged = whole.clone();
            match round % 3 {
                // Anywhere.
                0 => (0..1 + random.next(20)).for_each(|_| {
                    let at = random.next(damaged.len());
                    damaged[at] = random.next(256) as u8;
                }),
                // At the beginning of a page: its kind, its count of cells, their places.
                1 => (0..1 + random.next(6)).for_each(|_| {
                    let page = random.next(damaged.len() / 4_096) * 4_096;
                    let at = page + random.next(40) + if page == 0 { 100 } else { 0 };
                    damaged[at] = random.next(256) as u8;
                }),
                // Long lengths: bytes that go on.
                _ => (0..1 + random.next(8)).for_each(|_| {
                    let at = random.next(damaged.len() - 4);
                    damaged[at..at + 3].fill(0xff);
                }),
            }
            std::fs::write(&path, &damaged).unwrap();
            let archive = memory();
            let options = ImportOptions { batch: 20, ..Default::default() };
            match import_sqlite(&path, &archive, &options, on) {
                Ok(_) => good += 1,
                Err(_) => bad += 1,
            }
            for m in held(&archive) {
                assert_eq!(StoredMessage::new(m.pubsub_topic.clone(), m.message.clone()), m);
            }
        }
    }
    assert!(good > 20 && bad > 100, "{good} were read, {bad} refused");
}

/// A record that says of itself that it is of two gigabytes.
#[test]
fn a_length_that_is_not_there_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite3");
    let (mut bytes, _) = small(&path, Schema::V10);
    // A record begins with the length of its header and the types of its columns: 76 for a blob of
    // 32 bytes, then that of the topic; after them the hash, then the topic itself.
    let topic = b"/waku/2/rs/16/";
    let mut patched = 0;
    for at in 0..bytes.len() - topic.len() {
        let Some(hash) = at.checked_sub(32).filter(|_| bytes[at..].starts_with(topic)) else {
            continue;
        };
        let header = (8..14)
            .find(|n| hash > *n && usize::from(bytes[hash - n]) == *n && bytes[hash - n + 1] == 76);
        if let Some(n) = header {
            bytes[hash - n + 2..hash - n + 6].copy_from_slice(&[0x8f, 0xff, 0xff, 0x7e]);
            patched += 1;
        }
    }
    assert!(patched >= 150, "only {patched} records were found");
    std::fs::write(&path, &bytes).unwrap();
    let e = import(&path, &memory()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{e:?}");
}

#[cfg(unix)]
mod killed {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    use wakustore::archive::nwaku::Position;

    use super::*;

    /// The child's source and archive; it is a child because this is set.
    const CHILD: &str = "WAKUSTORE_TEST_IMPORTING_CHILD";
    const FROM: &str = "WAKUSTORE_TEST_IMPORT_FROM";
    const MARK: &str = "position ";

    fn open(path: &Path) -> Archive {
        Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config()).unwrap()
    }

    fn import_until_killed(dir: &Path) {
        let from = std::env::var(FROM).ok().map(|text| text.parse::<Position>().unwrap());
        let options = ImportOptions { from, batch: 100, ..Default::default() };
        let archive = open(&dir.join("ours.db"));
        let report = import_sqlite(&dir.join("store.sqlite3"), &archive, &options, |report| {
            let line = format!("{MARK}{}\n", report.position.as_ref().unwrap());
            // One write; print! would be kept back by the test harness.
            std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(report.complete);
    }

    #[test]
    fn an_import_that_was_killed_goes_on() {
        if let Some(dir) = std::env::var_os(CHILD) {
            return import_until_killed(dir.as_ref());
        }
        let dir = tempfile::tempdir().unwrap();
        let sent = messages(8_000, true);
        drop(build(&dir.path().join("store.sqlite3"), Schema::V10, &sent));
        let mut from: Option<String> = None;
        let (mut kills, mut ended) = (0, false);
        while !ended {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command
                .args(["--exact", "killed::an_import_that_was_killed_goes_on", "--nocapture"])
                .env(CHILD, dir.path())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            if let Some(from) = &from {
                command.env(FROM, from);
            }
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // After so many batches, at whatever it does just then.
            let mut left = 1 + kills * 3 % 13;
            for line in lines.by_ref() {
                let line = line.unwrap();
                let Some(position) = line.strip_prefix(MARK) else { continue };
                from = Some(position.to_owned());
                left -= 1;
                if left == 0 && kills < 12 {
                    child.kill().unwrap();
                    break;
                }
            }
            // What it still told; the last line may be cut.
            for line in lines {
                if let Some(position) = line.unwrap().strip_prefix(MARK)
                    && position.parse::<Position>().is_ok_and(|p| p.to_string().len() > 60)
                {
                    from = Some(position.to_owned());
                }
            }
            ended = child.wait().unwrap().success();
            kills += 1;
        }
        assert!(kills > 8, "it was killed {} times", kills - 1);
        let archive = open(&dir.path().join("ours.db"));
        assert_eq!(archive.stats().wait().unwrap().messages, 8_000, "none is there twice");
        assert_eq!(held(&archive), sorted(sent), "all are there");
        // Nor did the last run miss what the killed ones had told of but not committed.
        let put = archive.put(held(&archive)[..1].to_vec(), Origin::Import).wait().unwrap();
        assert_eq!(put, [wakustore::archive::PutOutcome::Duplicate]);
    }
}
