//! Encryption at rest: what is in the files, which keys open them, and what is said of others.
#![cfg(feature = "sqlcipher")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use archive_support::*;
use wakustore::archive::{Archive, Control, Durability, Key, SqliteBackend, SqliteConfig};
use wakustore::types::{
    ContentTopic, MessageHash, PubsubTopic, StoredMessage, Timestamp, WakuMessage,
};
use wakustore::{Error, ErrorKind, Result};

const PAYLOAD: &str = "the-payload-that-nobody-may-read";
const TOPIC: &str = "/secret-application/1/hidden-name/proto";

fn key(words: &str) -> Key {
    Key::passphrase(words).unwrap()
}

fn config_of(path: &Path, key: Option<Key>) -> SqliteConfig {
    SqliteConfig { key, durability: Durability::Normal, ..SqliteConfig::new(path) }
}

fn try_open(path: &Path, key: Option<Key>) -> Result<Archive> {
    Archive::open(SqliteBackend::open(config_of(path, key))?, config())
}

fn open(path: &Path, key: &Key) -> Archive {
    try_open(path, Some(key.clone())).unwrap()
}

fn refused(path: &Path, key: Option<Key>) -> Error {
    match try_open(path, key) {
        Err(e) => e,
        Ok(_) => panic!("it opens"),
    }
}

fn secrets(count: i64) -> Vec<StoredMessage> {
    let message = |i: i64| {
        let topic = ContentTopic::new(TOPIC).unwrap();
        let payload = format!("{PAYLOAD} {i} {}", "x".repeat(i as usize % 6_000));
        let pubsub = PubsubTopic::new("/waku/2/rs/77/secret-shard").unwrap();
        StoredMessage::new(pubsub, WakuMessage::new(payload, topic, Timestamp(NOW.0 - i)))
    };
    (0..count).map(message).collect()
}

fn hashes(messages: &[StoredMessage]) -> Vec<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.db");
    (dir, path)
}

/// What of this is in the files of the directory, in the clear.
fn found_in(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        for what in [PAYLOAD, TOPIC, "secret-shard", "SQLite format 3", "message_by_hash"] {
            if bytes.windows(what.len()).any(|window| window == what.as_bytes()) {
                found.push(format!("{what} in {}", path.display()));
            }
        }
    }
    found
}

#[test]
fn nothing_can_be_read_in_any_file() {
    let (dir, path) = fresh();
    let all = secrets(3_000);
    // The eyes of this test: without a key all of it is found.
    let plain = try_open(&path, None).unwrap();
    plain.put(all.clone(), wakustore::types::Origin::Import).wait().unwrap();
    plain.close();
    assert_eq!(found_in(dir.path()).len(), 5);
    fs::remove_file(&path).unwrap();

    for key in [key("it's a \"passphrase\"; öffne"), Key::raw([0xa7; 32])] {
        let archive = open(&path, &key);
        import(&archive, all.clone());
        let files: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert!(files.len() >= 3, "with the log: {files:?}");
        assert_eq!(found_in(dir.path()), Vec::<String>::new());
        let backup = dir.path().join("backup.db");
        assert_eq!(archive.backup(&backup, false).wait().unwrap().messages, 3_000);
        assert!(archive.verify().wait().unwrap().is_sound());
        archive.close();
        assert_eq!(found_in(dir.path()), Vec::<String>::new());
        let again = open(&path, &key);
        assert_eq!(again.missing(hashes(&all)).wait().unwrap(), []);
        again.close();
        drop(again);

        // The backup is encrypted with the same key, and becomes an archive again.
        let restored = dir.path().join("restored.db");
        let restore = |key: Option<Key>| {
            let to = config_of(&restored, key);
            SqliteBackend::restore(&backup, &to, false, &Control::new())
                .map(|report| report.messages)
                .map_err(|e| e.kind())
        };
        assert_eq!(restore(Some(Key::raw([1; 32]))), Err(ErrorKind::WrongKey));
        assert_eq!(restore(None), Err(ErrorKind::ArchiveCorrupt));
        assert_eq!(restore(Some(key.clone())), Ok(3_000));
        assert_eq!(open(&restored, &key).missing(hashes(&all)).wait().unwrap(), []);
        let read_only = SqliteConfig { read_only: true, ..config_of(&restored, Some(key)) };
        let reader = Archive::open(SqliteBackend::open(read_only).unwrap(), config()).unwrap();
        assert_eq!(reader.stats().wait().unwrap().messages, 3_000);
        drop(reader);
        assert_eq!(found_in(dir.path()), Vec::<String>::new());
        for entry in fs::read_dir(dir.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn a_wrong_key_is_an_error_of_its_own() {
    let (dir, path) = fresh();
    let right = key("right");
    open(&path, &right).close();
    let before = fs::read(&path).unwrap();
    for wrong in [key("wrong"), key("Right"), Key::raw([0; 32])] {
        let e = refused(&path, Some(wrong));
        assert_eq!(e.kind(), ErrorKind::WrongKey, "{e:?}");
        assert!(e.message().contains("archive.db") && !e.message().contains("rong'"), "{e}");
    }
    let e = refused(&path, None);
    assert_eq!(e.kind(), ErrorKind::ArchiveCorrupt, "{e:?}");
    assert!(e.message().contains("encrypted and no key was given"), "{e}");
    let read_only = SqliteConfig { read_only: true, ..config_of(&path, Some(key("wrong"))) };
    let e = SqliteBackend::open(read_only).err().unwrap();
    assert_eq!(e.kind(), ErrorKind::WrongKey, "{e:?}");
    assert!(fs::read(&path).unwrap() == before, "nothing is written");

    let plain = dir.path().join("plain.db");
    try_open(&plain, None).unwrap().close();
    let e = refused(&plain, Some(right.clone()));
    assert_eq!(e.kind(), ErrorKind::WrongKey, "{e:?}");
    assert!(e.message().contains("is not encrypted"), "{e}");
    assert_eq!(
        refused(":memory:".as_ref(), Some(right.clone())).kind(),
        ErrorKind::InvalidArgument
    );
    open(&path, &right).close();
}

#[test]
fn another_key_takes_the_place_of_the_first() {
    let (dir, path) = fresh();
    let all = secrets(500);
    let keys = [key("first"), Key::raw([9; 32]), key("third")];
    let archive = open(&path, &keys[0]);
    import(&archive, all.clone());
    let rekey = |from: &Option<Key>, to: &Key| {
        SqliteBackend::rekey(&config_of(&path, from.clone()), to).map_err(|e| e.kind())
    };
    let first = Some(keys[0].clone());
    assert_eq!(rekey(&first, &keys[1]), Err(ErrorKind::ArchiveLocked), "it is in use");
    archive.close();
    drop(archive);
    assert_eq!(rekey(&Some(key("wrong")), &keys[1]), Err(ErrorKind::WrongKey));
    assert_eq!(rekey(&None, &keys[1]), Err(ErrorKind::InvalidArgument));
    for pair in keys.windows(2) {
        assert_eq!(rekey(&Some(pair[0].clone()), &pair[1]), Ok(()));
        assert_eq!(refused(&path, Some(pair[0].clone())).kind(), ErrorKind::WrongKey);
        let archive = open(&path, &pair[1]);
        assert_eq!(archive.missing(hashes(&all)).wait().unwrap(), []);
        assert!(archive.verify().wait().unwrap().is_sound());
        archive.close();
        assert_eq!(found_in(dir.path()), Vec::<String>::new());
    }
}

#[test]
fn an_archive_is_encrypted_by_salvaging_it_and_the_other_way_round() {
    let (dir, path) = fresh();
    let all = secrets(300);
    let plain = try_open(&path, None).unwrap();
    import(&plain, all.clone());
    plain.close();
    drop(plain);
    let safe = dir.path().join("encrypted.db");
    let back = dir.path().join("plain again.db");
    let some = Some(Key::raw([3; 32]));
    let salvage = |from: &Path, a: &Option<Key>, to: &Path, b: &Option<Key>| {
        let (from, to) = (config_of(from, a.clone()), config_of(to, b.clone()));
        SqliteBackend::salvage(&from, &to, &Control::new()).unwrap().messages
    };
    assert_eq!(salvage(&path, &None, &safe, &some), 300);
    assert_eq!(salvage(&safe, &some, &back, &None), 300);
    fs::remove_file(&path).unwrap();
    assert_eq!(open(&safe, &Key::raw([3; 32])).missing(hashes(&all)).wait().unwrap(), []);
    assert_eq!(try_open(&back, None).unwrap().missing(hashes(&all)).wait().unwrap(), []);
    fs::remove_file(&back).unwrap();
    assert_eq!(found_in(dir.path()), Vec::<String>::new());

    // A damaged page: its authentication fails, and costs its messages alone.
    let good = fs::read(&safe).unwrap();
    let pages = good.len() / 4_096;
    let saved = dir.path().join("saved.db");
    let (from, to) = (config_of(&safe, some.clone()), config_of(&saved, some));
    let mut lost = 0;
    for page in (2..pages).step_by(pages / 15) {
        let mut damaged = good.clone();
        damaged[page * 4_096 + 100] ^= 1;
        fs::write(&safe, damaged).unwrap();
        let verified = SqliteBackend::verify(&from, &Control::new()).unwrap();
        assert!(!verified.is_sound(), "page {page}: it is authenticated");
        let report = SqliteBackend::salvage(&from, &to, &Control::new()).unwrap();
        assert!(report.messages > 250, "page {page}: {report:?}");
        assert!(report.messages == 300 || report.lost.count > 0, "page {page}: {report:?}");
        lost += 300 - report.messages;
        let saved_all = Archive::open(SqliteBackend::open(to.clone()).unwrap(), config()).unwrap();
        assert_eq!(saved_all.stats().wait().unwrap().messages, report.messages);
        saved_all.close();
        fs::remove_file(&saved).unwrap();
    }
    assert!(lost > 0, "no page with messages was hit");
}

/// Set in a child that opens with a wrong key.
const CHILD: &str = "WAKUSTORE_TEST_CIPHER_CHILD";

#[test]
fn nothing_is_written_to_stderr() {
    if let Some(path) = std::env::var_os(CHILD) {
        let path = Path::new(&path);
        assert_eq!(refused(path, Some(key("wrong"))).kind(), ErrorKind::WrongKey);
        return open(path, &key("right")).close();
    }
    let (_dir, path) = fresh();
    open(&path, &key("right")).close();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_is_written_to_stderr", "--nocapture"])
        .env(CHILD, &path)
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{out}{err}");
    assert!(!out.contains("sqlcipher") && !out.contains("codec"), "{out}");
    assert_eq!(err, "");
}
