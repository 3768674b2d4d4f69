//! A damaged file: each kind of page overwritten, changed in a few bytes, exchanged with another or
//! cut off; the WAL and the shared memory likewise. Whatever is asked then is answered with
//! `ArchiveCorrupt` or in order, nothing panics or goes round for ever, and a file that is refused
//! is left as it was.
//!
//! A message whose payload was changed is not told from a whole one by reading it: its hash is not
//! computed again at each read. `verify` does that.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_faults;
mod archive_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use archive_faults::ledger::{Commit, Model, read_sound};
use archive_faults::seed::Seed;
use archive_faults::workload::Workload;
use archive_support::*;
use wakustore::archive::{
    Archive, Backend, Durability, IndexQuery, Removal, SqliteBackend, SqliteConfig,
};
use wakustore::types::{
    Direction, Filter, MessageHash, Origin, Query, StoredMessage, SyncId, TimeRange, Timestamp,
};
use wakustore::{ErrorKind, Result};

const SEED: &str = "WAKUSTORE_DAMAGE_SEED";
const PAGE: usize = 4_096;
/// Longer than any of this takes, however busy the machine.
const LONG: Duration = Duration::from_secs(120);

fn open(path: &Path) -> Result<SqliteBackend> {
    // What a power loss takes is not the matter here.
    SqliteBackend::open(SqliteConfig { durability: Durability::Normal, ..SqliteConfig::new(path) })
}

/// An archive with all kinds of pages: removals have left free ones, large payloads overflow, and
/// something was taken down. What it holds.
fn write(path: &Path) -> Vec<StoredMessage> {
    let backend = open(path).unwrap();
    let mut driver = backend.writer().unwrap();
    let mut all = many(1_000, 300);
    for (i, m) in all.iter_mut().enumerate() {
        if i % 100 == 99 {
            *m = message(1, 1, m.timestamp().nanos(), &"large".repeat(3_000));
        }
    }
    let batch: Vec<_> = all.iter().map(|m| (m.clone(), Origin::Import)).collect();
    driver.put(&batch).unwrap();
    let oldest = Removal::Oldest { before: Timestamp::MAX, limit: 200 };
    assert_eq!(driver.remove(&oldest).unwrap().len(), 200);
    driver.remove(&Removal::Hashes(all[950..].iter().map(|m| m.hash).collect())).unwrap();
    driver.close();
    all.truncate(950);
    all.split_off(200)
}

/// The pages of a file by their kind: of which table or index, and interior, leaf or overflow.
fn kinds(path: &Path) -> BTreeMap<String, Vec<usize>> {
    let conn = rusqlite::Connection::open(path).unwrap();
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut statement = conn.prepare("SELECT name, pagetype, pageno FROM dbstat").unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut known = BTreeSet::new();
    while let Some(row) = rows.next().unwrap() {
        let (name, kind): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let page = row.get::<_, i64>(2).unwrap() as usize;
        known.insert(page);
        kinds.entry(format!("{name} {kind}")).or_default().push(page);
    }
    let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let rest = (1..=pages as usize).filter(|page| !known.contains(page));
    // The second page is the map of pages; the others that are of no table are free.
    for page in rest {
        kinds.entry(if page == 2 { "map" } else { "free" }.to_owned()).or_default().push(page);
    }
    kinds
}

/// Runs something that must come to an end.
fn ends<T: Send + 'static>(what: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || done.send(f()).unwrap());
    match wait.recv_timeout(LONG) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it does not end"),
        Err(_) => std::panic::resume_unwind(thread.join().unwrap_err()),
    }
}

fn walk(archive: &Archive, filter: &Filter, direction: Direction) -> Result<()> {
    let mut query = Query { filter: filter.clone(), direction, limit: 100, ..Query::default() };
    let mut last: Option<SyncId> = None;
    loop {
        let page = archive.query(query.clone()).wait()?;
        let mut ids: Vec<_> = page.entries.iter().map(|e| e.sync_id().unwrap()).collect();
        if direction == Direction::Backward {
            ids.reverse();
        }
        for id in ids {
            let on = last.is_none_or(|last| match direction {
                Direction::Forward => last < id,
                Direction::Backward => id < last,
            });
            assert!(on, "a page that goes back: {filter:?} {direction:?}, {id:?} after {last:?}");
            last = Some(id);
        }
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(()),
        }
    }
}

/// Everything that can be asked; each question's end.
fn ask_all(archive: &Archive, held: &[StoredMessage]) -> Vec<Result<()>> {
    let hashes: Vec<MessageHash> = held.iter().map(|m| m.hash).collect();
    let mut answers = vec![archive.stats().wait().map(drop)];
    let mut filters: Vec<Filter> =
        (0..10).map(|i| Filter { content_topics: vec![content(i)], ..Filter::default() }).collect();
    filters.push(Filter::default());
    for pubsub_topic in [pubsub(0), pubsub(1)].map(Some) {
        filters.push(Filter { pubsub_topic, ..Filter::default() });
    }
    filters.push(Filter { content_topics: (0..10).map(content).collect(), ..Filter::default() });
    filters.push(Filter { hashes: hashes[..50].to_vec(), ..Filter::default() });
    for filter in &filters {
        for direction in [Direction::Forward, Direction::Backward] {
            answers.push(walk(archive, filter, direction));
        }
    }
    for content_topics in [vec![], vec![content(1), content(2)]] {
        let mut query = IndexQuery {
            time: TimeRange::ALL,
            pubsub_topics: vec![],
            content_topics,
            after: None,
            limit: 500,
        };
        answers.push(loop {
            match archive.index(query.clone()).wait() {
                Ok(step) => {
                    let ids: Vec<_> =
                        query.after.into_iter().chain(step.iter().map(|e| e.id)).collect();
                    assert!(ids.windows(2).all(|two| two[0] < two[1]), "a walk that goes back");
                    if step.len() < query.limit {
                        break Ok(());
                    }
                    query.after = step.last().map(|e| e.id);
                }
                Err(e) => break Err(e),
            }
        });
    }
    answers.push(archive.missing(hashes.clone()).wait().map(drop));
    answers.push(archive.get(hashes.clone()).wait().map(drop));
    answers.push(archive.take_down(hashes[..5].to_vec()).wait().map(drop));
    let new: Vec<_> =
        (0..20).map(|i| message(i % 8, i % 10, NOW.nanos(), &i.to_string())).collect();
    answers.push(archive.put(new, Origin::Import).wait().map(drop));
    answers
}

/// Opens a damaged file and asks everything. Whether the damage was noticed.
fn check(path: PathBuf, held: &[StoredMessage], what: &str) -> bool {
    let held = held.to_vec();
    let name = what.to_owned();
    let answers = ends(what, move || {
        let before = fs::read(&path).unwrap();
        let opened = open(&path).and_then(|backend| Archive::open(backend, config()));
        match opened {
            Ok(archive) => {
                let mut answers = ask_all(&archive, &held);
                archive.close();
                // And with the oldest removed, as retention does.
                let driver = open(&path).and_then(|b| b.writer());
                answers.push(driver.and_then(|mut driver| {
                    let oldest = Removal::Oldest { before: Timestamp::MAX, limit: 100 };
                    driver.remove(&oldest).map(drop)
                }));
                answers
            }
            Err(e) => {
                assert!(
                    fs::read(&path).unwrap() == before,
                    "{name}: what is refused is left alone"
                );
                vec![Err(e)]
            }
        }
    });
    let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    for e in &errors {
        // Where the index by hash is damaged, a cursor may be on no message any more.
        let fits = [ErrorKind::ArchiveCorrupt, ErrorKind::CursorNotFound].contains(&e.kind());
        assert!(fits, "{what}: {e:?}");
    }
    !errors.is_empty()
}

#[test]
fn each_kind_of_page() {
    let (_, mut seed) = Seed::of_test(SEED);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let held = write(&path);
    let good = fs::read(&path).unwrap();
    let kinds = kinds(&path);
    for kind in [
        "message internal",
        "message leaf",
        "message overflow",
        "message_by_time internal",
        "message_by_hash leaf",
        "tombstone leaf",
        "sqlite_schema leaf",
        "figures leaf",
        "channel leaf",
        "map",
        "free",
    ] {
        assert!(kinds.contains_key(kind), "no page is {kind}: {:?}", kinds.keys());
    }
    let damaged = dir.path().join("damaged.db");
    let (mut tried, mut noticed) = (0, 0);
    for (kind, pages) in &kinds {
        for how in ["zeros", "garbage", "bytes", "bytes", "bytes", "another", "cut"] {
            let page = *seed.pick(pages);
            let at = (page - 1) * PAGE;
            let mut content = good.clone();
            match how {
                "zeros" => content[at..at + PAGE].fill(0),
                "garbage" => content[at..at + PAGE].copy_from_slice(&seed.bytes(PAGE)),
                "bytes" => {
                    // Most matter at the beginning, where the page says what is in it.
                    for _ in 0..seed.size(1..=6) {
                        let end = *seed.pick(&[12, 200, PAGE]);
                        content[at + seed.size(0..=end - 1)] = seed.next() as u8;
                    }
                }
                "another" => {
                    let other = (seed.pick(pages) - 1) * PAGE;
                    content.copy_within(other..other + PAGE, at);
                }
                _ => content.truncate(at + seed.size(0..=PAGE - 1)),
            }
            fs::write(&damaged, &content).unwrap();
            tried += 1;
            noticed +=
                usize::from(check(damaged.clone(), &held, &format!("{how} in {page}, {kind}")));
            for suffix in ["-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{suffix}", damaged.display()));
            }
        }
    }
    println!("{noticed} of {tried} were noticed");
    assert!(noticed > tried / 3, "{noticed} of {tried} were noticed");
}

/// What stays of a damaged WAL are the first commits.
#[test]
fn a_damaged_wal() {
    let (_, mut seed) = Seed::of_test(SEED);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let backend = open(&path).unwrap();
    let mut driver = backend.writer().unwrap();
    let mut workload = Workload::new(seed.split());
    let mut model = Model::default();
    let mut commits: Vec<Commit> = Vec::new();
    for _ in 0..30 {
        let commit = workload.put(10, &model);
        commit.run(&mut *driver).unwrap();
        model.apply(&commit);
        commits.push(commit);
    }
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    let shm = PathBuf::from(format!("{}-shm", path.display()));
    let (file, good) = (fs::read(&path).unwrap(), fs::read(&wal).unwrap());
    let states: Vec<Model> =
        (0..=commits.len()).map(|count| Model::default().after(&commits[..count])).collect();
    let mut ends_of = BTreeSet::new();
    for round in 0..40 {
        let mut content = good.clone();
        let at = seed.size(0..=content.len() - 1);
        match round % 4 {
            0 => content.truncate(at),
            1 => content[at] ^= 1 << seed.below(8),
            2 => {
                let end = content.len().min(at + seed.size(1..=5_000));
                let garbage = seed.bytes(end - at);
                content[at..end].copy_from_slice(&garbage);
            }
            // Whole frames that come twice: of the right length, and from the wrong place.
            _ => {
                let frame = PAGE + 24;
                let frames = (content.len() - 32) / frame;
                let (from, to) = (seed.size(0..=frames - 1), seed.size(0..=frames - 1));
                content.copy_within(32 + from * frame..32 + (from + 1) * frame, 32 + to * frame);
            }
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = elsewhere.path().join("archive.db");
        fs::write(&copy, &file).unwrap();
        fs::write(elsewhere.path().join("archive.db-wal"), &content).unwrap();
        // What memory was shared is of no use to who comes first, whatever it holds.
        let shared = match round % 3 {
            0 => fs::read(&shm).unwrap(),
            1 => seed.bytes(32_768),
            _ => Vec::new(),
        };
        fs::write(elsewhere.path().join("archive.db-shm"), shared).unwrap();
        drop(open(&copy).unwrap());
        let found = read_sound(&copy);
        let count = states.iter().position(|state| *state == found);
        ends_of.insert(count.unwrap_or_else(|| panic!("round {round}: no state that ever was")));
    }
    assert!(ends_of.len() > 5, "the damage was in one place only: {ends_of:?}");
    drop(driver);
}

/// Someone cuts the file, or writes into it, while it is open.
#[test]
fn damage_under_an_open_archive() {
    let (_, mut seed) = Seed::of_test(SEED);
    for cut in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("archive.db");
        let held = write(&path);
        let backend = open(&path).unwrap();
        let archive = Archive::open(backend, config()).unwrap();
        // (This process must not close a descriptor of the file: its locks would go with it.)
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        if cut {
            file.set_len(length / 3).unwrap();
        } else {
            for page in 10..length / PAGE as u64 {
                file.write_all_at(&seed.bytes(PAGE), page * PAGE as u64).unwrap();
            }
        }
        let answers = ends("open and damaged", move || {
            let answers = ask_all(&archive, &held);
            archive.close();
            answers
        });
        let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(errors.len() > 3, "{errors:?}");
        let corrupt = |e: &wakustore::Error| e.kind() == ErrorKind::ArchiveCorrupt;
        assert!(errors.iter().all(corrupt), "{errors:?}");
        drop(file);
    }
}

/// An entry of an index with another time than its message: whoever walks on from it would come by
/// again and again.
#[test]
fn an_index_out_of_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let backend = open(&path).unwrap();
    let mut driver = backend.writer().unwrap();
    // Times of eight bytes each, that differ in the last of them.
    let held: Vec<_> = (0..40).map(|i| message(0, 0, NOW.nanos() + i, "in order")).collect();
    let batch: Vec<_> = held.iter().map(|m| (m.clone(), Origin::Import)).collect();
    driver.put(&batch).unwrap();
    driver.close();
    drop((driver, backend));
    let kinds = kinds(&path);
    let good = fs::read(&path).unwrap();
    for index in ["message_by_time", "message_by_channel", "message_by_pubsub"] {
        let at = (kinds[&format!("{index} leaf")][0] - 1) * PAGE;
        let time = (NOW.nanos() + 30).to_be_bytes();
        let place = good[at..at + PAGE].windows(8).position(|bytes| bytes == time).unwrap();
        let mut content = good.clone();
        content[at + place..at + place + 8].copy_from_slice(&(NOW.nanos() + 3).to_be_bytes());
        fs::write(&path, &content).unwrap();
        let backend = open(&path).unwrap();
        let archive = Archive::open(backend, config()).unwrap();
        let held = held.clone();
        let noticed = ends(index, move || {
            let errors: Vec<_> = ask_all(&archive, &[held, many(10, 10)].concat())
                .into_iter()
                .filter_map(Result::err)
                .collect();
            assert!(errors.iter().all(|e| e.kind() == ErrorKind::ArchiveCorrupt), "{errors:?}");
            errors.iter().any(|e| e.message().contains("out of order"))
        });
        assert!(noticed, "{index}");
    }
}
