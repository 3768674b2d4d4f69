//! An archive that is suspended holds no file and no lock, wakes up for nothing, and loses nothing.
#![cfg(all(feature = "sqlite", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{
    Archive, ArchiveConfig, Feed, FeedEvent, MemoryBackend, Position, SqliteBackend, SqliteConfig,
};
use wakustore::types::{Filter, MessageHash, Origin, Query, StoredMessage};

fn open(path: &Path, config: ArchiveConfig) -> Archive {
    Archive::open(SqliteBackend::open(SqliteConfig::new(path)).unwrap(), config).unwrap()
}

fn put(archive: &Archive, messages: &[StoredMessage]) {
    archive.put(messages.to_vec(), Origin::Import).wait().unwrap();
}

/// What this process has open below a directory.
fn open_files(below: &Path) -> Vec<String> {
    let targets = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    targets.filter(|at| at.starts_with(below)).map(|at| at.display().to_string()).collect()
}

/// The locks that anybody holds on these files.
fn locks(files: &[u64]) -> usize {
    let all = fs::read_to_string("/proc/locks").unwrap();
    let of = |line: &str| {
        let place = line.split_whitespace().find(|word| word.matches(':').count() == 2);
        place.and_then(|p| p.rsplit(':').next()).and_then(|inode| inode.parse::<u64>().ok())
    };
    all.lines().filter_map(of).filter(|inode| files.contains(inode)).count()
}

fn inodes(below: &Path) -> Vec<u64> {
    fs::read_dir(below).unwrap().map(|f| f.unwrap().metadata().unwrap().ino()).collect()
}

/// The next messages of a feed.
fn stored(feed: &mut Feed, count: usize) -> Vec<MessageHash> {
    let mut all = Vec::new();
    while all.len() < count {
        match feed.wait(Duration::from_secs(60)).unwrap() {
            Some(FeedEvent::Stored(items)) => all.extend(items.iter().map(|i| i.id.hash)),
            other => panic!("{other:?}"),
        }
    }
    all
}

#[test]
fn a_suspended_archive_holds_nothing_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    let archive = open(&path, config());
    let all = many(40, 100);
    let mut feed = archive.subscribe(1_000);
    put(&archive, &all[..10]);
    stored(&mut feed, 10);
    archive.query(Query::default()).wait().unwrap();
    let files = inodes(dir.path());
    assert!(!open_files(dir.path()).is_empty() && locks(&files) > 0, "it can be seen at all");

    // What was accepted is committed first.
    let accepted: Vec<_> =
        all[10..20].iter().map(|m| archive.put(vec![m.clone()], Origin::Import)).collect();
    archive.suspend().wait().unwrap();
    for put in accepted {
        put.wait().unwrap();
    }
    assert_eq!(open_files(dir.path()), Vec::<String>::new());
    assert_eq!(locks(&files) + locks(&inodes(dir.path())), 0);
    assert!(!dir.path().join("archive-wal").exists(), "the log went into the file");

    // Whoever asks is told.
    let kinds = [
        archive.put(vec![all[20].clone()], Origin::Import).wait().unwrap_err().kind(),
        archive.put(Vec::new(), Origin::Import).wait().unwrap_err().kind(),
        archive.query(Query::default()).wait().unwrap_err().kind(),
        archive.get(vec![all[0].hash]).wait().unwrap_err().kind(),
        archive.stats().wait().unwrap_err().kind(),
        archive.take_down(vec![all[0].hash]).wait().unwrap_err().kind(),
        archive.subscribe_from(Position::START, 10).wait().map(drop).unwrap_err().kind(),
        archive.backup(dir.path().join("copy"), false).wait().unwrap_err().kind(),
        archive.verify().wait().unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Suspended; 9]);
    archive.suspend().wait().unwrap();

    // Another has the file meanwhile.
    let other = open(&path, config());
    put(&other, &all[20..30]);
    other.close();

    archive.resume().wait().unwrap();
    archive.resume().wait().unwrap();
    put(&archive, &all[30..]);
    let told = stored(&mut feed, 30);
    assert_eq!(told, all[10..].iter().map(|m| m.hash).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(archive.stats().wait().unwrap().messages, 40);
    assert!(archive.verify().wait().unwrap().is_sound());
}

#[test]
fn works_that_run_end_and_subscribers_that_are_behind_read_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    let archive = open(&path, config());
    let all = many(5_000, 20);
    put(&archive, &all);
    // It has room for a part: the rest is read as it is taken out.
    let mut feed = archive.subscribe_from(Position::START, 100).wait().unwrap();
    let filter = Filter { pubsub_topic: Some(pubsub(1)), ..Filter::default() };
    let work = archive.take_down_matching(filter);
    archive.suspend().wait().unwrap();
    // It may have come to its end before.
    if let Err(e) = work.wait() {
        assert_eq!(e.kind(), ErrorKind::Suspended);
    }
    assert_eq!(open_files(dir.path()), Vec::<String>::new());
    let mut told = 0;
    let mut take = |feed: &mut Feed| {
        while let Some(event) = feed.try_next() {
            if let FeedEvent::Stored(items) = &event {
                told += items.len();
            }
            assert!(!matches!(event, FeedEvent::Lagged { .. }), "{event:?}");
        }
        told
    };
    assert!(take(&mut feed) < all.len(), "the rest waits for the resumption");
    archive.resume().wait().unwrap();
    let held = usize::try_from(archive.stats().wait().unwrap().messages).unwrap();
    let begun = std::time::Instant::now();
    while take(&mut feed) < held {
        assert!(begun.elapsed() < Duration::from_secs(60), "the subscriber is not told of all");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_archive_that_cannot_come_back_stays_suspended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    let archive = open(&path, config());
    put(&archive, &many(3, 20));
    archive.suspend().wait().unwrap();
    let away = dir.path().join("away");
    fs::rename(&path, &away).unwrap();
    let failed = archive.resume().wait().unwrap_err();
    assert!([ErrorKind::ArchiveOpen, ErrorKind::ArchiveIo].contains(&failed.kind()), "{failed:?}");
    assert_eq!(archive.stats().wait().unwrap_err().kind(), ErrorKind::Suspended);
    assert_eq!(open_files(dir.path()), Vec::<String>::new());
    fs::rename(&away, &path).unwrap();
    archive.resume().wait().unwrap();
    assert_eq!(archive.stats().wait().unwrap().messages, 3);
    // A closed one answers, also from a suspension.
    archive.suspend().wait().unwrap();
    archive.close();
    assert_eq!(archive.resume().wait().unwrap_err().kind(), ErrorKind::ArchiveClosed);
    assert_eq!(archive.suspend().wait().unwrap_err().kind(), ErrorKind::ArchiveClosed);
}

#[test]
fn what_is_in_memory_alone_is_kept() {
    let memory = || Archive::open(MemoryBackend::default(), config()).unwrap();
    let sqlite = || open(Path::new(":memory:"), config());
    for archive in [memory(), sqlite()] {
        put(&archive, &many(5, 20));
        archive.suspend().wait().unwrap();
        let refused = archive.query(Query::default()).wait().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Suspended);
        archive.resume().wait().unwrap();
        assert_eq!(archive.stats().wait().unwrap().messages, 5);
    }
}

/// How often the archive's threads went to sleep by themselves.
fn sleeps() -> u64 {
    let mut all = 0;
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        if name.starts_with("wks-archive") {
            let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
            all += line.map_or(0, |n| n.trim().parse::<u64>().unwrap());
        }
    }
    all
}

/// Run by itself, in a process of its own, by the test below: other tests' archives wake up too.
#[test]
#[ignore = "run by idle_archives_sleep"]
fn idle_archives_sleep_child() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    let quiet = ArchiveConfig { look_every: None, ..config() };
    let archive = open(&path, quiet);
    let _feed = archive.subscribe(100);
    put(&archive, &many(100, 20));
    let watch = |what: &str, expected: std::ops::RangeInclusive<u64>| {
        std::thread::sleep(Duration::from_millis(500));
        let before = sleeps();
        std::thread::sleep(Duration::from_secs(4));
        let slept = sleeps() - before;
        assert!(expected.contains(&slept), "{what}: {slept} wake-ups");
    };
    watch("idle", 0..=1);
    archive.suspend().wait().unwrap();
    watch("suspended", 0..=1);
    archive.resume().wait().unwrap();
    watch("resumed", 0..=1);
    drop(archive);
    // And that this would be seen: one that looks for what others write.
    let archive = open(&path, config());
    let _feed = archive.subscribe(100);
    put(&archive, &many(101, 20)[100..]);
    watch("looking", 4..=100);
    archive.suspend().wait().unwrap();
    watch("suspended, not looking", 0..=1);
}

#[test]
fn idle_archives_sleep() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "idle_archives_sleep_child", "--test-threads=1"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}
