//! The SQLite file: what is opened, what is refused and how, and what is there afterwards.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use archive_support::*;
use wakustore::archive::{
    Archive, ArchiveState, Durability, PutOutcome, SqliteBackend, SqliteConfig,
};
use wakustore::types::{Direction, Filter, Query, StoredMessage, Timestamp};
use wakustore::{Error, ErrorKind, Result};

fn try_open(path: impl AsRef<Path>) -> Result<Archive> {
    let backend = SqliteBackend::open(SqliteConfig::new(path.as_ref()))?;
    Archive::open(backend, config())
}

fn open(path: impl AsRef<Path>) -> Archive {
    try_open(path).unwrap()
}

fn refused(path: impl AsRef<Path>) -> Error {
    match try_open(path) {
        Err(e) => e,
        Ok(_) => panic!("it opens"),
    }
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    (dir, path)
}

fn side(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// A closed archive of these messages.
fn write(path: &Path, messages: &[StoredMessage]) {
    let archive = open(path);
    import(&archive, messages.to_vec());
    archive.close();
}

/// Everything that an archive holds, page by page.
fn read_all(archive: &Archive) -> Result<usize> {
    let mut query = Query { limit: 100, ..Query::default() };
    let mut count = 0;
    loop {
        let page = archive.query(query.clone()).wait()?;
        count += page.entries.len();
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(count),
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_opening_again() {
    let (_dir, path) = fresh();
    for durability in [Durability::Full, Durability::Normal] {
        let config_of = SqliteConfig { durability, ..SqliteConfig::new(&path) };
        let archive =
            Archive::open(SqliteBackend::open(config_of.clone()).unwrap(), config()).unwrap();
        import(&archive, many(1_000, 100));
        let stats = archive.stats().wait().unwrap();
        assert_eq!(stats.messages, 1_000);
        assert!(stats.bytes_on_disk > 100_000, "{stats:?}");
        drop(archive);
        let archive = Archive::open(SqliteBackend::open(config_of).unwrap(), config()).unwrap();
        assert_eq!(read_all(&archive).unwrap(), 1_000);
        let again = archive.stats().wait().unwrap();
        assert_eq!((again.messages, again.newest), (1_000, stats.newest));
        let outcomes = import(&archive, many(1_001, 100));
        // Other times make other messages: only what is the same is a duplicate.
        assert!(outcomes.contains(&PutOutcome::Stored));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn closing_leaves_one_file_with_everything_in_it() {
    let (dir, path) = fresh();
    let archive = open(&path);
    import(&archive, many(100, 100));
    assert!(side(&path, "-wal").exists());
    archive.close();
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["archive.db"]);
    let elsewhere = dir.path().join("elsewhere.db");
    fs::copy(&path, &elsewhere).unwrap();
    assert_eq!(read_all(&open(&elsewhere)).unwrap(), 100);
}

#[cfg(unix)]
#[test]
fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, path) = fresh();
    let archive = open(&path);
    import(&archive, many(10, 100));
    archive.query(Query::default()).wait().unwrap();
    for file in [path.clone(), side(&path, "-wal"), side(&path, "-shm")] {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_path_is_taken_literally() {
    let (dir, _) = fresh();
    // The other tests use absolute paths only.
    std::env::set_current_dir(dir.path()).unwrap();
    for name in ["file:a?mode=memory", "file:b", "file::memory:", "?mode=ro", "%41", " x "] {
        import(&open(name), many(10, 10));
        assert!(dir.path().join(name).is_file(), "{name}");
        assert_eq!(read_all(&open(name)).unwrap(), 10, "{name}");
    }
    let before = fs::read_dir(dir.path()).unwrap().count();
    let archive = open(":memory:");
    import(&archive, many(10, 10));
    assert_eq!(archive.stats().wait().unwrap().bytes_on_disk, 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before, ":memory: is no file");
    assert_eq!(read_all(&open(":memory:")).unwrap(), 0, "each is its own");
}

#[test]
fn places_where_no_archive_can_be() {
    let (dir, path) = fresh();
    let directory = dir.path().join("directory");
    fs::create_dir(&directory).unwrap();
    let mut bad = vec![
        (PathBuf::new(), "empty"),
        (dir.path().join("no/such/directory/archive.db"), "No such file"),
        (directory, "directory"),
        (PathBuf::from(format!("{}\0", path.display())), "NUL"),
    ];
    #[cfg(unix)]
    {
        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        bad.push((dangling, "No such file"));
        bad.push(("/dev/null".into(), "not a file"));
    }
    for (path, why) in bad {
        let e = refused(&path);
        assert_eq!(e.kind(), ErrorKind::ArchiveOpen, "{path:?}: {e:?}");
        assert!(e.message().contains(why), "{e:?} should say {why:?}");
    }
    assert!(!dir.path().join("nowhere").exists());
}

/// A small file system of the test's own, gone with it. It takes the right to mount: without it
/// the test fails rather than passing for nothing.
#[cfg(target_os = "linux")]
struct Mounted(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Mounted {
    fn new() -> Self {
        let mounted = Mounted(tempfile::tempdir().unwrap());
        mounted.run("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
        mounted
    }
    fn run(&self, program: &str, arguments: &[&str]) {
        let status =
            std::process::Command::new(program).args(arguments).arg(self.0.path()).status();
        assert!(
            status.as_ref().is_ok_and(|status| status.success()),
            "this test needs the right to {program} a file system: run it as root ({status:?})"
        );
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_written() {
    let mounted = Mounted::new();
    let path = mounted.0.path().join("archive.db");
    write(&path, &many(10, 10));
    mounted.run("mount", &["-o", "remount,ro"]);
    let e = refused(&path);
    assert_eq!(e.kind(), ErrorKind::ArchiveReadOnly, "{e:?}");
    assert!(e.message().contains("archive.db"), "{e}");
    let e = refused(mounted.0.path().join("another.db"));
    assert_eq!(e.kind(), ErrorKind::ArchiveOpen, "{e:?}");
    assert!(e.message().contains("Read-only"), "{e}");
    mounted.run("mount", &["-o", "remount,rw"]);
    assert_eq!(read_all(&open(&path)).unwrap(), 10);
}

#[test]
fn files_that_are_something_else() {
    let (dir, _) = fresh();
    // (A file of one byte is an empty one to SQLite.)
    for size in [2, 15, 100, 511, 4_096, 100_000] {
        let path = dir.path().join(format!("garbage-{size}"));
        let garbage: Vec<u8> = (0..size).map(|i| (i * 7 % 251 + 1) as u8).collect();
        fs::write(&path, &garbage).unwrap();
        let e = refused(&path);
        assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{size}: {e:?}");
        assert!(e.message().contains("not a database"), "{e}");
        assert!(fs::read(&path).unwrap() == garbage, "it is left alone");
    }
    let path = dir.path().join("empty");
    fs::write(&path, b"").unwrap();
    assert_eq!(read_all(&open(&path)).unwrap(), 0, "an empty file is a fresh archive");
    let path = dir.path().join("foreign.db");
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE message(id); INSERT INTO message VALUES(1)").unwrap();
    drop(foreign);
    let before = fs::read(&path).unwrap();
    let e = refused(&path);
    assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{e:?}");
    assert!(e.message().contains("not an archive"), "{e}");
    assert!(fs::read(&path).unwrap() == before, "it is left alone");
}

#[test]
fn an_archive_of_a_newer_library() {
    let (_dir, path) = fresh();
    write(&path, &many(10, 10));
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 77).unwrap();
    drop(raw);
    let e = refused(&path);
    assert_eq!(e.kind(), ErrorKind::SchemaTooNew, "{e:?}");
    assert!(e.message().contains("77"), "{e}");
}

/// Overwrites or cuts the file in many places: an error by name, or the right answer; never a
/// panic or an endless loop.
#[test]
fn damaged_files() {
    let (dir, path) = fresh();
    write(&path, &many(2_000, 300));
    let good = fs::read(&path).unwrap();
    assert!(good.len() > 500_000);
    let mut found = 0;
    let mut check = |damaged: &[u8], what: &str| {
        let path = dir.path().join("damaged.db");
        fs::write(&path, damaged).unwrap();
        let result = try_open(&path).and_then(|archive| {
            archive.stats().wait()?;
            read_all(&archive)?;
            for direction in [Direction::Forward, Direction::Backward] {
                for i in 0..10 {
                    let filter = Filter { content_topics: vec![content(i)], ..Filter::default() };
                    archive.query(Query { filter, direction, ..Query::default() }).wait()?;
                }
            }
            let hashes: Vec<_> = many(2_000, 300).iter().map(|m| m.hash).collect();
            archive.missing(hashes.clone()).wait()?;
            archive.get(hashes).wait()?;
            archive.put(vec![message(0, 0, 1, "one more")], wakustore::types::Origin::Import).wait()
        });
        match result {
            Ok(_) => {}
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{what}: {e:?}");
                found += 1;
            }
        }
    };
    let pages = good.len() / 4_096;
    for page in 0..pages {
        let at = page * 4_096;
        if page % 5 == 0 {
            let mut damaged = good.clone();
            damaged[at..at + 4_096].fill(0xa5);
            check(&damaged, &format!("page {page} overwritten"));
        } else if page % 29 == 1 {
            check(&good[..at], &format!("cut before page {page}"));
            check(&good[..at + 1_000], &format!("cut within page {page}"));
        }
    }
    // A page of payload that is overwritten is noticed where its row is read; all of them are.
    assert!(found > pages / 5, "{found} of {pages} pages");
}

#[test]
fn two_archives_on_one_file_see_each_other() {
    let (_dir, path) = fresh();
    let (a, b) = (open(&path), open(&path));
    let threads: Vec<_> = [a.clone(), b.clone()]
        .into_iter()
        .zip([0, 1])
        .map(|(archive, p)| {
            std::thread::spawn(move || {
                for i in 0..100 {
                    import(&archive, vec![message(p, i, i64::from(i), "two archives")]);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for archive in [&a, &b] {
        assert_eq!(read_all(archive).unwrap(), 200);
        assert_eq!(archive.stats().wait().unwrap().messages, 200);
    }
    drop(a);
    import(&b, vec![message(0, 0, 5_000, "after the other is gone")]);
    drop(b);
    assert_eq!(read_all(&open(&path)).unwrap(), 201);
}

#[test]
fn a_lock_is_waited_for_and_not_for_ever() {
    let (_dir, path) = fresh();
    let archive = open(&path);
    import(&archive, many(10, 10));
    let other = rusqlite::Connection::open(&path).unwrap();
    let put = |payload: &str| {
        archive.put(vec![message(0, 0, 1, payload)], wakustore::types::Origin::Import)
    };
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let pending = put("waits");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(read_all(&archive).unwrap(), 10, "reads go on");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(pending.wait().unwrap(), [PutOutcome::Stored]);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begin = Instant::now();
    let e = put("too long").wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveLocked, "{e:?}");
    assert!((4..20).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(put("too long").wait().unwrap(), [PutOutcome::Stored]);
    assert_eq!(read_all(&archive).unwrap(), 12);
}

/// A failed commit must not leave behind what the connection thought it had written.
#[test]
fn topics_of_a_failed_commit_are_forgotten() {
    let (_dir, path) = fresh();
    let archive = open(&path);
    import(&archive, vec![message(0, 0, 1, "first")]);
    let other = rusqlite::Connection::open(&path).unwrap();
    // The first message of the group makes new topics, the second breaks the commit.
    other
        .execute_batch("CREATE UNIQUE INDEX breaks ON message(timestamp) WHERE timestamp = 7")
        .unwrap();
    let two = vec![message(5, 5, 7, "one of seven"), message(6, 6, 7, "another of seven")];
    let e = archive.put(two, wakustore::types::Origin::Import).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveIo, "{e:?}");
    other.execute_batch("DROP INDEX breaks").unwrap();
    // Its numbers are given to others now; everybody must be found under their own name.
    let held = vec![message(7, 7, 8, "seven"), message(5, 5, 9, "five"), message(6, 6, 10, "six")];
    import(&archive, held.clone());
    for m in held {
        let filter = Filter {
            pubsub_topic: Some(m.pubsub_topic.clone()),
            content_topics: vec![m.message.content_topic.clone()],
            ..Filter::default()
        };
        let page = archive.query(Query { filter, ..Query::default() }).wait().unwrap();
        assert_eq!(page.entries.len(), 1);
        assert_eq!(page.entries[0].data, Some((m.pubsub_topic.clone(), m.message.clone())));
    }
    let stats = archive.stats().wait().unwrap();
    assert_eq!((stats.messages, stats.oldest), (4, Some(Timestamp(1))));
}

#[cfg(target_os = "linux")]
mod disk_full {
    use super::*;
    use wakustore::types::Origin;

    /// Puts until the disk is full; what was acknowledged and what was not.
    fn fill(archive: &Archive, from: i64) -> (Vec<StoredMessage>, Vec<StoredMessage>) {
        let mut acknowledged = Vec::new();
        for i in from..from + 10_000 {
            let payload = format!("{i:02000}");
            let batch: Vec<_> = (0..5).map(|c| message(0, c, i, &payload)).collect();
            match archive.put(batch.clone(), Origin::Import).wait() {
                Ok(_) => acknowledged.extend(batch),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::DiskFull, "{e:?}");
                    return (acknowledged, batch);
                }
            }
        }
        panic!("the disk did not fill up");
    }

    #[test]
    fn a_full_disk_stops_writing_alone() {
        let mounted = Mounted::new();
        let filler = mounted.0.path().join("filler");
        fs::write(&filler, vec![0; 2 * 1024 * 1024]).unwrap();
        let path = mounted.0.path().join("archive.db");
        let archive = open(&path);
        let mut feed = archive.subscribe(1_000_000);
        let (mut held, failed) = fill(&archive, 0);
        assert!(held.len() > 100);
        // Several wait at once: all of them are told.
        let pending: Vec<_> =
            (0..20).map(|_| archive.put(failed.clone(), Origin::Import)).collect();
        for put in pending {
            assert_eq!(put.wait().unwrap_err().kind(), ErrorKind::DiskFull);
        }
        let usage = archive.usage();
        assert_eq!((usage.state, usage.failed), (ArchiveState::DiskFull, 21 * 5));
        assert_eq!(usage.trouble.unwrap().kind(), ErrorKind::DiskFull);
        let hashes = |of: &[StoredMessage]| of.iter().map(|m| m.hash).collect::<Vec<_>>();
        let missing = |of: &[StoredMessage]| archive.missing(hashes(of)).wait().unwrap();
        assert_eq!(read_all(&archive).unwrap(), held.len());
        assert!(missing(&held).is_empty());
        assert_eq!(missing(&failed), hashes(&failed), "nothing of a failed put is there");

        fs::remove_file(&filler).unwrap();
        let outcomes = archive.put(failed.clone(), Origin::Import).wait().unwrap();
        assert!(outcomes.iter().all(|o| *o == PutOutcome::Stored));
        assert_eq!(archive.usage().state, ArchiveState::Writable);
        held.extend(failed);
        // And full once more, this time by our own doing, to the end.
        let (more, failed) = fill(&archive, 100_000);
        held.extend(more);
        assert!(missing(&held).is_empty());
        assert_eq!(missing(&failed).len(), failed.len());
        archive.close();
        let mut told = 0;
        while let Some(event) = feed.try_next() {
            match event {
                wakustore::archive::FeedEvent::Stored(items) => told += items.len(),
                lagged => panic!("{lagged:?}"),
            }
        }
        assert_eq!(told, held.len());

        // Elsewhere, where there is space: everything that was acknowledged.
        let roomy = tempfile::tempdir().unwrap();
        for suffix in ["", "-wal"] {
            let from = side(&path, suffix);
            if from.exists() {
                fs::copy(&from, side(&roomy.path().join("archive.db"), suffix)).unwrap();
            }
        }
        let archive = open(roomy.path().join("archive.db"));
        assert!(archive.missing(hashes(&held)).wait().unwrap().is_empty());
        assert_eq!(read_all(&archive).unwrap(), held.len());
    }

    #[test]
    fn no_archive_begins_on_a_full_disk() {
        let mounted = Mounted::new();
        let filler = mounted.0.path().join("filler");
        let mut size = 4 * 1024 * 1024;
        while fs::write(&filler, vec![0; size]).is_err() {
            size -= 4_096;
        }
        let path = mounted.0.path().join("archive.db");
        assert_eq!(refused(&path).kind(), ErrorKind::DiskFull);
        fs::remove_file(&filler).unwrap();
        import(&open(&path), many(10, 10));
    }
}
