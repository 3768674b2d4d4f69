//! Backups while the archive is in use, and what is made of them again.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{Archive, BackupReport, Control, PutOutcome, SqliteBackend, SqliteConfig};
use wakustore::types::{MessageHash, Origin, StoredMessage};

/// Where the child's archive is; it is a child because this is set.
const CHILD: &str = "WAKUSTORE_TEST_BACKUP_CHILD";
const MARK: &str = "it copies";

fn open(path: &Path) -> Archive {
    Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config()).unwrap()
}

fn restore(from: &Path, to: &Path, replace: bool) -> Result<BackupReport, ErrorKind> {
    let restored = SqliteBackend::restore(from, &SqliteConfig::new(to), replace, &Control::new());
    restored.map_err(|e| e.kind())
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

struct Dir {
    dir: tempfile::TempDir,
    archive: PathBuf,
    backup: PathBuf,
    restored: PathBuf,
}

fn dir() -> Dir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    Dir { archive: at("archive.db"), backup: at("backup.db"), restored: at("restored.db"), dir }
}

#[test]
fn a_backup_has_all_that_was_acknowledged_before_it_began() {
    let Dir { dir, archive: path, backup, restored } = dir();
    let archive = open(&path);
    let first = many(5_000, 1_000);
    import(&archive, first.clone());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for t in 0..4 {
            let (archive, done) = (&archive, &done);
            scope.spawn(move || {
                for i in 0.. {
                    let payload = format!("{t} {i:0900}");
                    import(archive, vec![message(t, t, i, &payload), message(t, 9, i, &payload)]);
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
        }
        for round in 0..3 {
            let put =
                archive.put(vec![message(7, 7, round, "acknowledged just before")], Origin::Import);
            assert_eq!(put.wait().unwrap(), [PutOutcome::Stored]);
            let before = archive.stats().wait().unwrap().messages;
            let task = archive.backup(&backup, round > 0);
            let control = task.control();
            let report = task.wait().unwrap();
            let after = archive.stats().wait().unwrap().messages;
            assert!((before..=after).contains(&report.messages), "{before} {report:?} {after}");
            assert!(control.progress().total > 1_000, "in pages: {:?}", control.progress());
            assert_eq!(control.progress().done, control.progress().total);
            assert_eq!(report.bytes, fs::metadata(&backup).unwrap().len());
            let again = restore(&backup, &restored, round > 0).unwrap();
            assert_eq!(again.messages, report.messages);
            let copy = open(&restored);
            assert_eq!(copy.missing(hashes(&first)).wait().unwrap(), []);
            let acknowledged = message(7, 7, round, "acknowledged just before").hash;
            assert_eq!(copy.missing(vec![acknowledged]).wait().unwrap(), []);
            assert_eq!(copy.stats().wait().unwrap().messages, report.messages);
            assert!(copy.verify().wait().unwrap().is_sound());
            copy.close();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(archive.verify().wait().unwrap().is_sound());
    archive.close();
    assert_eq!(names(dir.path()), ["archive.db", "backup.db", "restored.db"], "and no parts");
}

#[test]
fn an_archive_in_memory_is_backed_up_in_its_turn() {
    let Dir { dir: _dir, backup, restored, .. } = dir();
    let archive = open(":memory:".as_ref());
    import(&archive, many(300, 100));
    assert_eq!(archive.backup(&backup, false).wait().unwrap().messages, 300);
    assert_eq!(restore(&backup, &restored, false).unwrap().messages, 300);
}

#[test]
fn nothing_is_replaced_unasked_and_no_archive_that_is_in_use() {
    let Dir { dir, archive: path, backup, restored } = dir();
    let archive = open(&path);
    import(&archive, many(100, 100));
    let backed_up = |to: &Path, replace| {
        archive.backup(to, replace).wait().map(|report| report.messages).map_err(|e| e.kind())
    };
    assert_eq!(backed_up(&backup, false), Ok(100));
    import(&archive, many(50, 200));
    let before = fs::read(&backup).unwrap();
    assert_eq!(backed_up(&backup, false), Err(ErrorKind::InvalidArgument));
    assert!(fs::read(&backup).unwrap() == before);
    assert_eq!(backed_up(&backup, true), Ok(150));
    // Onto the archive itself, which is in use.
    let begin = Instant::now();
    assert_eq!(backed_up(&path, true), Err(ErrorKind::ArchiveLocked));
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert_eq!(restore(&backup, &path, true), Err(ErrorKind::ArchiveLocked));
    assert_eq!(backed_up(dir.path(), true), Err(ErrorKind::InvalidArgument));
    assert_eq!(backed_up(&dir.path().join("none").join("x"), true), Err(ErrorKind::ArchiveIo));
    assert_eq!(archive.stats().wait().unwrap().messages, 150);

    assert_eq!(restore(&backup, &restored, false).unwrap().messages, 150);
    assert_eq!(restore(&backup, &restored, false), Err(ErrorKind::InvalidArgument));
    let other = open(&restored);
    import(&other, many(20, 300));
    assert_eq!(restore(&backup, &restored, true), Err(ErrorKind::ArchiveLocked));
    other.close();
    drop(other);
    assert_eq!(restore(&backup, &restored, true).unwrap().messages, 150);
    assert_eq!(open(&restored).stats().wait().unwrap().messages, 150);

    // A log that was left alone would be taken for the new file's.
    let alone = dir.path().join("alone.db");
    fs::write(dir.path().join("alone.db-wal"), "left alone").unwrap();
    assert_eq!(backed_up(&alone, false), Err(ErrorKind::InvalidArgument));
    archive.close();
    assert!(!names(dir.path()).iter().any(|name| name.ends_with(".part")));
}

#[test]
fn what_is_no_backup_or_not_sound_is_not_restored() {
    let Dir { dir, archive: path, backup, restored } = dir();
    let archive = open(&path);
    import(&archive, many(2_000, 1_000));
    archive.backup(&backup, false).wait().unwrap();
    archive.close();
    let good = fs::read(&backup).unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "this is no archive, and never was one").unwrap();
    assert_eq!(restore(&text, &restored, false), Err(ErrorKind::ArchiveCorrupt));
    let foreign = dir.path().join("foreign.db");
    let conn = rusqlite::Connection::open(&foreign).unwrap();
    conn.execute_batch("CREATE TABLE figures(messages); INSERT INTO figures VALUES(7)").unwrap();
    drop(conn);
    assert_eq!(restore(&foreign, &restored, false), Err(ErrorKind::ArchiveCorrupt));
    assert_eq!(restore(&dir.path().join("none"), &restored, false), Err(ErrorKind::ArchiveOpen));
    let pages = good.len() / 4_096;
    for page in (1..pages).step_by(pages / 12) {
        let mut damaged = good.clone();
        // One bit of a payload is enough.
        damaged[page * 4_096 + 3_000] ^= 0x10;
        fs::write(&backup, &damaged).unwrap();
        let refused = restore(&backup, &restored, false);
        // Where it is in a free part of a page it is of no matter.
        if refused.is_ok() {
            fs::remove_file(&restored).unwrap();
        } else {
            assert_eq!(refused, Err(ErrorKind::ArchiveCorrupt), "page {page}");
        }
    }
    fs::write(&backup, &good[..good.len() / 2]).unwrap();
    assert_eq!(restore(&backup, &restored, false), Err(ErrorKind::ArchiveCorrupt));
    assert!(!restored.exists());

    // The reason to have one: what is there is damaged.
    fs::write(&backup, &good).unwrap();
    fs::write(&path, text.display().to_string()).unwrap();
    fs::write(dir.path().join("archive.db-wal"), "what was left of it").unwrap();
    assert_eq!(restore(&backup, &path, true).unwrap().messages, 2_000);
    assert!(!dir.path().join("archive.db-wal").exists());
    let archive = open(&path);
    assert_eq!(archive.missing(hashes(&many(2_000, 1_000))).wait().unwrap(), []);
    assert!(archive.verify().wait().unwrap().is_sound());
}

#[test]
fn a_cancelled_backup_leaves_nothing() {
    let Dir { dir, archive: path, backup, .. } = dir();
    let archive = open(&path);
    import(&archive, many(20_000, 1_000));
    let task = archive.backup(&backup, false);
    while task.progress().done == 0 {
        std::thread::yield_now();
    }
    task.cancel();
    match task.wait() {
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::Cancelled);
            assert!(!backup.exists());
        }
        // It was that fast.
        Ok(report) => assert_eq!(report.messages, 20_000),
    }
    // Dropping it is the same; closing waits for it.
    drop(archive.backup(dir.path().join("dropped.db"), false));
    archive.close();
    assert!(!names(dir.path()).iter().any(|name| name.ends_with(".part")), "{dir:?}");
}

/// A child that is gone with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Backs up again and again, and tells each time that a copy has begun and is not whole.
fn back_up_until_killed(path: &Path) -> ! {
    let archive = open(path);
    loop {
        let task = archive.backup(path.with_file_name("backup.db"), true);
        while task.progress().done == 0 {
            std::thread::yield_now();
        }
        if task.progress().done < task.progress().total {
            // One write; print! would be kept back by the test harness.
            let line = format!("{MARK}\n");
            std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        }
        task.wait().unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_kill_leaves_the_former_backup_whole() {
    if let Some(path) = std::env::var_os(CHILD) {
        back_up_until_killed(path.as_ref());
    }
    let Dir { dir, archive: path, backup, restored } = dir();
    let archive = open(&path);
    let all = many(20_000, 1_000);
    import(&archive, all.clone());
    archive.backup(&backup, false).wait().unwrap();
    archive.close();
    let mut parts = 0;
    for round in 0..8 {
        let mut child = Ended(
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_kill_leaves_the_former_backup_whole", "--nocapture"])
                .env(CHILD, &path)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let told = lines.map(|line| line.unwrap()).any(|line| line.contains(MARK));
        assert!(told, "round {round}");
        // Anywhere within, also while it gets its name.
        std::thread::sleep(Duration::from_millis(round * 7));
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        parts += names(dir.path()).iter().filter(|name| name.ends_with(".part")).count();
        assert_eq!(restore(&backup, &restored, round > 0).unwrap().messages, 20_000);
        let copy = open(&restored);
        assert_eq!(copy.missing(hashes(&all)).wait().unwrap(), [], "round {round}");
    }
    assert!(parts > 0, "it was never killed while it copied");
    // What is left behind goes once it is old.
    let part = |name: &String| name.starts_with(".backup.db.") && name.ends_with(".part");
    let left: Vec<String> = names(dir.path()).into_iter().filter(part).collect();
    for name in &left {
        let file = fs::OpenOptions::new().write(true).open(dir.path().join(name)).unwrap();
        let old = std::time::SystemTime::now() - Duration::from_secs(2 * 3600);
        file.set_modified(old).unwrap();
    }
    let archive = open(&path);
    archive.backup(&backup, true).wait().unwrap();
    assert!(!names(dir.path()).iter().any(part), "{left:?}");
}
