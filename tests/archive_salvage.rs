//! Damage: what verification says of it, and what salvage brings over.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, Control, FindingKind, MAX_FINDINGS, PutOutcome, Retention,
    SalvageReport, SqliteBackend, SqliteConfig, VerifyReport,
};
use wakustore::types::{MessageHash, StoredMessage, message_hash};

const PAGE: usize = 4_096;

fn open(path: &Path) -> Archive {
    Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config()).unwrap()
}

fn salvage(from: &Path, to: &Path) -> Result<SalvageReport, ErrorKind> {
    let (from, to) = (SqliteConfig::new(from), SqliteConfig::new(to));
    SqliteBackend::salvage(&from, &to, &Control::new()).map_err(|e| e.kind())
}

fn hashes(messages: &[StoredMessage]) -> Vec<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

/// A closed archive of these messages, and where it is.
fn archive_of(messages: &[StoredMessage]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let archive = open(&path);
    import(&archive, messages.to_vec());
    archive.close();
    (dir, path)
}

/// The pages of a table or index, leaves and all, by the file's own account of them.
fn pages_of(path: &Path, name: &str, kind: &str) -> Vec<usize> {
    let conn = rusqlite::Connection::open(path).unwrap();
    let mut statement = conn
        .prepare("SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = ?2 ORDER BY pageno")
        .unwrap();
    let pages = statement.query_map([name, kind], |row| row.get::<_, i64>(0)).unwrap();
    pages.map(|page| page.unwrap() as usize).collect()
}

fn verify(path: &Path) -> VerifyReport {
    SqliteBackend::verify(&SqliteConfig::new(path), &Control::new()).unwrap()
}

fn garbage(path: &Path, page: usize) {
    let mut bytes = fs::read(path).unwrap();
    for (i, byte) in bytes[(page - 1) * PAGE..page * PAGE].iter_mut().enumerate() {
        *byte = (i as u8).wrapping_mul(167).wrapping_add(13);
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_garbage_page_costs_its_messages_and_no_others() {
    let all = many(3_000, 700);
    let (dir, path) = archive_of(&all);
    let good = fs::read(&path).unwrap();
    let leaves = pages_of(&path, "message", "leaf");
    assert!(leaves.len() > 300);
    // First, last, one in the middle, and two neighbours.
    let middle = leaves.len() / 2;
    let cases: [&[usize]; 4] =
        [&[leaves[0]], &leaves[leaves.len() - 1..], &leaves[middle..=middle], &leaves[7..9]];
    for (i, pages) in cases.into_iter().enumerate() {
        fs::write(&path, &good).unwrap();
        pages.iter().for_each(|page| garbage(&path, *page));
        let damaged = fs::read(&path).unwrap();
        let report = verify(&path);
        assert!(!report.is_sound());
        let kinds: BTreeSet<_> = report.findings.first.iter().map(|f| f.kind as u8).collect();
        assert!(kinds.contains(&(FindingKind::Unreadable as u8)), "{:?}", report.findings);
        assert!(kinds.contains(&(FindingKind::Structure as u8)), "{:?}", report.findings);

        let to = dir.path().join(format!("salvaged-{i}.db"));
        let salvaged = salvage(&path, &to).unwrap();
        assert!(fs::read(&path).unwrap() == damaged, "nothing is written to it");
        // A page has at most five of these.
        let lost = 3_000 - salvaged.messages;
        assert!((1..=5 * pages.len() as u64).contains(&lost), "{lost} of {pages:?}");
        assert_eq!(salvaged.lost.count, 1, "one range: {:?}", salvaged.lost);
        assert_eq!(salvaged.messages, report.messages, "what verification could read");
        let archive = open(&to);
        assert_eq!(archive.missing(hashes(&all)).wait().unwrap().len() as u64, lost);
        assert!(archive.verify().wait().unwrap().is_sound());
        import(&archive, all.clone());
        assert_eq!(archive.missing(hashes(&all)).wait().unwrap(), []);
    }
}

#[test]
fn damaged_indexes_cost_nothing() {
    let all = many(2_000, 100);
    let (dir, path) = archive_of(&all);
    let good = fs::read(&path).unwrap();
    for index in ["message_by_hash", "message_by_time", "message_by_channel"] {
        fs::write(&path, &good).unwrap();
        for page in pages_of(&path, index, "leaf") {
            garbage(&path, page);
        }
        let report = verify(&path);
        assert_eq!(report.messages, 2_000, "{index}");
        assert!(!report.is_sound(), "{index}");
        let to = dir.path().join(index);
        let salvaged = salvage(&path, &to).unwrap();
        assert_eq!((salvaged.messages, salvaged.lost.count), (2_000, 0), "{index}");
        assert_eq!(open(&to).missing(hashes(&all)).wait().unwrap(), [], "{index}");
    }
}

#[test]
fn content_that_changed_is_found_and_not_brought_over() {
    let all = many(1_500, 100);
    let (dir, path) = archive_of(&all);
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE message SET payload = x'00' WHERE id <= 1200", []).unwrap();
    conn.execute("UPDATE message SET channel = 99 WHERE id = 1300", []).unwrap();
    conn.execute("UPDATE figures SET messages = 7", []).unwrap();
    drop(conn);
    let report = verify(&path);
    assert_eq!(report.messages, 1_499);
    // The bounded list, and the count of all: 1200, the one without topics, and three figures.
    assert_eq!(report.findings.first.len(), MAX_FINDINGS);
    assert_eq!(report.findings.count, 1_200 + 1 + 2, "{:?}", report.findings.first.last());
    let mismatch = &report.findings.first[0];
    assert_eq!((mismatch.kind, mismatch.hash), (FindingKind::HashMismatch, Some(all[0].hash)));
    let to = dir.path().join("salvaged.db");
    let salvaged = salvage(&path, &to).unwrap();
    assert_eq!((salvaged.messages, salvaged.lost.count), (299, 1_201));
    assert!(verify(&to).is_sound());
    assert_eq!(salvage(&path, &to), Err(ErrorKind::InvalidArgument), "it is there already");
}

#[test]
fn tombstones_and_the_floor_come_too() {
    let all = many(600, 100);
    let (dir, path) = archive_of(&[]);
    let keeps = Retention { max_messages: Some(500), ..Retention::default() };
    let backend = SqliteBackend::open(SqliteConfig::new(&path)).unwrap();
    let archive = Archive::open(backend, ArchiveConfig { retention: keeps, ..config() }).unwrap();
    let mut feed = archive.subscribe(10_000);
    import(&archive, all.clone());
    let mut removed = 0;
    while removed < 100 {
        let event = feed.wait(std::time::Duration::from_secs(30)).unwrap().unwrap();
        if let wakustore::archive::FeedEvent::Removed(items) = event {
            removed += items.len();
        }
    }
    archive.take_down(hashes(&all[200..250])).wait().unwrap();
    let floor = archive.floor();
    archive.close();
    let to = dir.path().join("salvaged.db");
    let salvaged = salvage(&path, &to).unwrap();
    assert_eq!((salvaged.messages, salvaged.tombstones, salvaged.lost.count), (450, 50, 0));
    let archive = open(&to);
    assert_eq!(archive.floor(), floor);
    let refused = import(&archive, all[200..250].to_vec());
    assert!(
        refused
            .iter()
            .all(|o| matches!(o, PutOutcome::Refused(e) if e.kind() == ErrorKind::TakenDown))
    );
}

/// Whatever is garbage: it ends, writes nothing, and what it brings over is what was there.
#[test]
fn any_page_may_be_garbage() {
    let all = many(400, 300);
    let (dir, path) = archive_of(&all);
    let good = fs::read(&path).unwrap();
    let root = pages_of(&path, "message", "internal")[0];
    let known: BTreeSet<MessageHash> = hashes(&all).into_iter().collect();
    let to = dir.path().join("salvaged.db");
    let (mut whole, mut refused) = (0, 0);
    for page in 1..=good.len() / PAGE {
        fs::write(&path, &good).unwrap();
        garbage(&path, page);
        match salvage(&path, &to) {
            Ok(report) => {
                let archive = open(&to);
                assert_eq!(archive.stats().wait().unwrap().messages, report.messages);
                let held = archive.get(hashes(&all)).wait().unwrap();
                assert_eq!(held.len() as u64, report.messages, "page {page}: strangers");
                for m in &held {
                    assert_eq!(message_hash(&m.pubsub_topic, &m.message), m.hash);
                    assert!(known.contains(&m.hash));
                }
                assert!(report.messages == 400 || report.lost.count > 0, "page {page}");
                // Only an inner page is worth more than a few messages, and the table's one is one.
                assert!(report.messages > 380 || page == root, "page {page}: {report:?}");
                whole += usize::from(report.messages == 400);
                archive.close();
                drop(archive);
                fs::remove_file(&to).unwrap();
            }
            Err(kind) => {
                assert_eq!(kind, ErrorKind::ArchiveCorrupt, "page {page}");
                assert!(!to.exists());
                refused += 1;
            }
        }
    }
    // Only without the first page, or the schema on it, there is no reading.
    assert!(refused <= 2, "{refused}");
    assert!(whole > 10, "{whole}: the pages of indexes, and of topics");
}
