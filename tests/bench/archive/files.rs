//! The large files, ours and the deployed node's: made once, kept under `target/bench-files` by
//! what they hold and by the version of our schema, and read by many measurements. Filling them is
//! not what is measured; but they are as putting one message after another leaves them.

use std::path::PathBuf;
use std::{fs, io};

use rusqlite::Connection;
use wakustore::archive::Durability;
use wakustore::types::{MessageHash, Origin};

use super::contenders::Deployed;
use super::{message, messages, open};

/// Raised when what the files hold changes.
const VERSION: u32 = 1;
const BATCH: usize = 1_000;

fn dir() -> PathBuf {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench-files"));
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// The file of this name, which `fill` makes where it is not there yet.
fn kept(name: String, fill: impl FnOnce(&PathBuf)) -> PathBuf {
    let path = dir().join(name);
    if !path.exists() {
        let unfinished = tempfile::tempdir_in(dir()).unwrap();
        let new = unfinished.path().join("new.db");
        fill(&new);
        fs::rename(&new, &path).unwrap();
    }
    // Into the system's cache, from one end to the other: what is measured is not the disk, and which
    // of the contenders happened to be read last.
    io::copy(&mut fs::File::open(&path).unwrap(), &mut io::sink()).unwrap();
    path
}

/// Our archive with `n` messages.
pub(crate) fn ours(n: usize) -> PathBuf {
    let scratch = tempfile::tempdir().unwrap();
    let empty = scratch.path().join("empty.db");
    open(&empty, Durability::Normal).close();
    let db = Connection::open(&empty).unwrap();
    let schema: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    kept(format!("ours-{VERSION}.{schema}-{n}.db"), |path| {
        let archive = open(path, Durability::Normal);
        for from in (0..n).step_by(BATCH) {
            let batch = messages(from, BATCH.min(n - from), n);
            archive.put(batch, Origin::Import).wait().unwrap();
        }
        archive.close();
    })
}

/// The deployed node's database with the same messages.
pub(crate) fn deployed(n: usize) -> PathBuf {
    kept(format!("deployed-{VERSION}-{n}.db"), |path| {
        let db = Deployed::fast(path);
        for from in (0..n).step_by(BATCH) {
            db.fill(&messages(from, BATCH.min(n - from), n));
        }
        drop(db);
        // Into the mode that it is used in, once.
        drop(Deployed::open(path, true));
    })
}

/// The hashes of the messages in them, in order.
pub(crate) fn hashes(n: usize) -> Vec<MessageHash> {
    (0..n).map(|i| message(i, n).hash).collect()
}
