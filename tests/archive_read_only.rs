//! Archives that are opened to be read only: nothing is written, and nothing is missed of what
//! others write.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use archive_support::*;
use wakustore::archive::{
    Archive, ArchiveConfig, Retention, SqliteBackend, SqliteConfig, TopicKind, TopicQuery,
};
use wakustore::types::{Filter, MessageHash, Origin, Query, StoredMessage};
use wakustore::{Error, ErrorKind, Result};

/// The archive that a child writes to; it is a child because this is set.
const CHILD: &str = "WAKUSTORE_TEST_WRITING_CHILD";
const MARK: &str = "there are now ";

fn read_only(path: &Path) -> SqliteConfig {
    SqliteConfig { read_only: true, ..SqliteConfig::new(path) }
}

fn try_open(path: &Path) -> Result<Archive> {
    Archive::open(SqliteBackend::open(read_only(path))?, config())
}

fn open(path: &Path) -> Archive {
    try_open(path).unwrap()
}

fn refused(path: &Path) -> Error {
    match try_open(path) {
        Err(e) => e,
        Ok(_) => panic!("it opens"),
    }
}

fn writable(path: &Path) -> Archive {
    Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config()).unwrap()
}

fn hashes(messages: &[StoredMessage]) -> Vec<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Everything can be read, nothing written.
fn check(archive: &Archive, all: &[StoredMessage]) {
    assert_eq!(archive.stats().wait().unwrap().messages, all.len() as u64);
    assert_eq!(archive.missing(hashes(all)).wait().unwrap(), []);
    assert_eq!(archive.get(hashes(all)).wait().unwrap(), all);
    let page = archive.query(Query { limit: 7, ..Query::default() }).wait().unwrap();
    assert_eq!(page.entries.len(), all.len().min(7));
    let query = TopicQuery { kind: TopicKind::Pubsub, after: None, limit: 100 };
    let topics = archive.topic_stats(query).wait().unwrap();
    assert_eq!(topics.iter().map(|topic| topic.messages).sum::<u64>(), all.len() as u64);
    assert!(archive.verify().wait().unwrap().is_sound());
    let mut feed = archive.subscribe(10);
    assert_eq!(feed.try_next(), None);

    let put = archive.put(vec![message(0, 0, 1, "new")], Origin::Import).wait();
    let filter = Filter { pubsub_topic: Some(pubsub(0)), ..Filter::default() };
    let refused = [
        put.unwrap_err(),
        archive.take_down(hashes(&all[..1])).wait().unwrap_err(),
        archive.reinstate(hashes(&all[..1])).wait().unwrap_err(),
        archive.take_down_matching(filter).wait().unwrap_err(),
    ];
    for e in refused {
        assert_eq!(e.kind(), ErrorKind::ArchiveReadOnly, "{e:?}");
    }
    assert_eq!(archive.stats().wait().unwrap().messages, all.len() as u64);
}

#[test]
fn nothing_is_written_neither_to_the_file_nor_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    // What would mean something in a URI.
    let path = dir.path().join("a?mode=rw&b=%41#c d.db");
    let all = many(300, 100);
    let archive = writable(&path);
    import(&archive, all.clone());
    archive.close();
    let before = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let dir_before = fs::metadata(dir.path()).unwrap().modified().unwrap();
    let keeps = Retention { max_messages: Some(10), ..Retention::default() };
    let backend = SqliteBackend::open(read_only(&path)).unwrap();
    let archive = Archive::open(backend, ArchiveConfig { retention: keeps, ..config() }).unwrap();
    check(&archive, &all);
    archive.close();
    let after = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    assert!(after == before);
    assert_eq!(fs::metadata(dir.path()).unwrap().modified().unwrap(), dir_before);
    assert_eq!(names(dir.path()).len(), 1);

    let archive = open(&path);
    let backup = dir.path().join("backup.db");
    assert_eq!(archive.backup(&backup, false).wait().unwrap().messages, 300);
    check(&open(&backup), &all);
}

#[test]
fn there_must_be_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    assert_eq!(refused(&path).kind(), ErrorKind::ArchiveOpen);
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    assert_eq!(refused(&path).kind(), ErrorKind::ArchiveOpen);
    fs::write(&path, "something else, and long enough to be seen as that").unwrap();
    assert_eq!(refused(&path).kind(), ErrorKind::ArchiveCorrupt);
    assert_eq!(refused(":memory:".as_ref()).kind(), ErrorKind::InvalidArgument);
    fs::remove_file(&path).unwrap();
    writable(&path).close();
    let conn = rusqlite::Connection::open(&path).unwrap();
    for (version, kind) in [(1, ErrorKind::ArchiveReadOnly), (99, ErrorKind::SchemaTooNew)] {
        conn.pragma_update(None, "user_version", version).unwrap();
        let e = refused(&path);
        assert_eq!(e.kind(), kind, "{e:?}");
        assert!(e.message().contains("archive.db") && e.message().contains("version"), "{e}");
    }
}

#[test]
fn what_others_write_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    let all = many(60, 2_000);
    let archive = writable(&path);
    import(&archive, all[..20].to_vec());
    archive.close();
    drop(archive);
    let reader = open(&path);
    check(&reader, &all[..20]);
    // One that begins to write after it was opened, and ends again.
    let archive = writable(&path);
    check(&reader, &all[..20]);
    import(&archive, all[20..40].to_vec());
    check(&reader, &all[..40]);
    let beside = open(&path);
    check(&beside, &all[..40]);
    import(&archive, all[40..].to_vec());
    archive.close();
    drop(archive);
    check(&reader, &all);
    check(&beside, &all);
    check(&open(&path), &all);
}

/// Puts, one message after the other, and tells of each; ends with stdin, and begins anew with each
/// line of it.
fn write_when_told(path: &Path) {
    let mut count = 0;
    for line in std::io::stdin().lines() {
        line.unwrap();
        let archive = writable(path);
        for _ in 0..20 {
            import(&archive, vec![message(1, 1, count, "by another process")]);
            count += 1;
        }
        archive.close();
        // One write; print! would be kept back by the test harness.
        let told = format!("{MARK}{count}\n");
        std::io::stdout().lock().write_all(told.as_bytes()).unwrap();
    }
}

/// A child that is gone with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_process_writes_and_this_one_reads() {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_when_told(path.as_ref());
    }
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("archive.db");
    writable(&path).close();
    let reader = open(&path);
    assert_eq!(reader.stats().wait().unwrap().messages, 0);
    let mut child = Ended(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "another_process_writes_and_this_one_reads", "--nocapture"])
            .env(CHILD, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut stdin = child.0.stdin.take().unwrap();
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut questions = 0;
    for round in 1..=15u64 {
        stdin.write_all(b"go\n").unwrap();
        let told = std::thread::scope(|scope| {
            let lines = &mut lines;
            let told = scope.spawn(move || {
                let find = |line: String| line.split_once(MARK).map(|(_, n)| n.parse::<u64>());
                lines.find_map(|line| find(line.unwrap())).unwrap().unwrap()
            });
            // It is in whatever state; each answer is of one of them, and none is an error.
            let mut last = (round - 1) * 20;
            while !told.is_finished() {
                let fresh = open(&path);
                for archive in [&reader, &fresh] {
                    let stats = archive.stats().wait().unwrap();
                    assert!((last..=round * 20).contains(&stats.messages), "{round} {stats:?}");
                    last = stats.messages;
                    questions += 1;
                }
            }
            told.join().unwrap()
        });
        assert_eq!(told, round * 20);
        assert_eq!(reader.stats().wait().unwrap().messages, told, "what was acknowledged is seen");
    }
    println!("{questions} questions while the other wrote");
    assert!(reader.verify().wait().unwrap().is_sound());
}

#[cfg(target_os = "linux")]
mod read_only_file_system {
    use super::*;

    struct Mounted(tempfile::TempDir);

    impl Mounted {
        fn new() -> Self {
            let mounted = Mounted(tempfile::tempdir().unwrap());
            mounted.run("mount", &["-t", "tmpfs", "-o", "size=16m", "tmpfs"]);
            mounted
        }
        fn run(&self, program: &str, arguments: &[&str]) {
            let status = Command::new(program).args(arguments).arg(self.0.path()).status();
            assert!(
                status.as_ref().is_ok_and(|status| status.success()),
                "this test needs the right to {program} a file system: run it as root ({status:?})"
            );
        }
    }

    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0.path()).status();
        }
    }

    #[test]
    fn an_archive_and_a_backup_are_read_there() {
        let mounted = Mounted::new();
        let path = mounted.0.path().join("archive.db");
        let backup = mounted.0.path().join("backup.db");
        let all = many(200, 100);
        let archive = writable(&path);
        import(&archive, all.clone());
        archive.backup(&backup, false).wait().unwrap();
        archive.close();
        drop(archive);
        mounted.run("mount", &["-o", "remount,ro"]);
        for file in [&path, &backup] {
            let archive = open(file);
            check(&archive, &all);
            let elsewhere = tempfile::tempdir().unwrap();
            let copy = elsewhere.path().join("copy.db");
            assert_eq!(archive.backup(&copy, false).wait().unwrap().messages, 200);
            let e = archive.backup(mounted.0.path().join("x"), false).wait().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::ArchiveReadOnly, "{e:?}");
        }
        assert_eq!(names(mounted.0.path()), ["archive.db", "backup.db"]);
    }
}
