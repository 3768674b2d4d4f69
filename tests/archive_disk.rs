//! A disk that fails once, at each of the things that are asked of it, and a disk that is full: the
//! call that meets it fails with an error of its own kind and nothing of it is stored; what comes
//! after works; what was acknowledged is there. (SQLite runs on a disk in memory. A real file system
//! that fills up is in `archive_sqlite.rs`.)
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_faults;
mod archive_support;

use std::collections::BTreeMap;

use archive_faults::disk::{Files, Trouble};
use archive_faults::ledger::{Commit, Model, check_driver, read_sound};
use archive_faults::seed::Seed;
use archive_faults::vfs::Mounted;
use archive_faults::workload::{Step, Workload};
use archive_support::*;
use wakustore::archive::{Backend, Driver, SqliteBackend, SqliteConfig};
use wakustore::types::{Origin, Query};
use wakustore::{Error, ErrorKind, Result};

const SEED: &str = "WAKUSTORE_DISK_SEED";
const STEPS: usize = 30;

/// Runs a workload to its end, whatever fails on the way; the errors that came up.
///
/// Each commit is there afterwards or is not: as the error says, or, where the archive was closed
/// in between, whichever it was found to be. (A commit whose last sync failed may come back with the
/// WAL. It was not acknowledged.)
fn run(mounted: &Mounted, seed: &Seed) -> Vec<Error> {
    let mut workload = Workload::new(seed.clone());
    let mut errors = Vec::new();
    let mut model = Model::default();
    // What failed since the archive was opened.
    let mut open: Option<(SqliteBackend, Box<dyn Driver>, Box<dyn Driver>)> = None;
    for _ in 0..STEPS {
        let drivers = match &mut open {
            Some(drivers) => drivers,
            None => match try_open(mounted) {
                Ok(drivers) => open.insert(drivers),
                Err(e) => {
                    errors.push(e);
                    open.insert(try_open(mounted).unwrap())
                }
            },
        };
        match workload.step(&model) {
            Step::Commit(commit) => match commit.run(&mut *drivers.1) {
                Ok(()) => model.apply(&commit),
                Err(e) => {
                    errors.push(e);
                    // Nothing of it, and it goes on: at the second attempt it is there.
                    check_driver(&mut *drivers.2, &model);
                    commit.run(&mut *drivers.1).unwrap();
                    model.apply(&commit);
                }
            },
            Step::Checkpoint(how) => {
                let other = rusqlite::Connection::open(mounted.path()).unwrap();
                // It may fail, and nobody is the worse for it.
                let _ = other.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()));
            }
            Step::Read => match drivers.2.query(&Query { limit: 50, ..Query::default() }) {
                Ok(page) => assert_eq!(page.entries.len(), model.held.len().min(50)),
                Err(e) => errors.push(e),
            },
            Step::Reopen => {
                let (backend, mut writer, reader) = open.take().unwrap();
                drop(reader);
                writer.close();
                drop((writer, backend));
            }
        }
    }
    drop(open);
    // What went wrong is over; whatever was not met by then is not to be met any more.
    let mut state = mounted.disk.lock();
    (state.trouble, state.bad_read) = (None, None);
    drop(state);
    let (_backend, mut writer, _reader) = try_open(mounted).unwrap();
    check_driver(&mut *writer, &model);
    assert!(read_sound(&mounted.path()) == model, "the file holds something else");
    errors
}

fn try_open(mounted: &Mounted) -> Result<(SqliteBackend, Box<dyn Driver>, Box<dyn Driver>)> {
    let backend = SqliteBackend::open(SqliteConfig::new(mounted.path()))?;
    let (writer, reader) = (backend.writer()?, backend.reader()?.unwrap());
    Ok((backend, writer, reader))
}

fn count(kinds: &mut BTreeMap<ErrorKind, usize>, errors: &[Error]) {
    for e in errors {
        *kinds.entry(e.kind()).or_default() += 1;
    }
}

#[test]
fn each_write_and_sync_fails_once() {
    let (_, seed) = Seed::of_test(SEED);
    let whole = Mounted::new(Files::new());
    assert_eq!(run(&whole, &seed), []);
    let changes = whole.disk.lock().changes;
    for (trouble, kind) in [(Trouble::Full, ErrorKind::DiskFull), (Trouble::Io, ErrorKind::ArchiveIo)] {
        let mut kinds = BTreeMap::new();
        for at in 1..=changes {
            let mounted = Mounted::new(Files::new());
            mounted.disk.lock().trouble = Some((at, trouble, 1));
            let errors = run(&mounted, &seed);
            assert!(errors.len() <= 1, "change {at}: {errors:?}");
            count(&mut kinds, &errors);
        }
        println!("{changes} changes, {trouble:?}: {kinds:?}");
        assert!(kinds[&kind] > 20, "{kinds:?}");
    }
}

#[test]
fn each_read_fails_once() {
    let (_, seed) = Seed::of_test(SEED);
    let whole = Mounted::new(Files::new());
    assert_eq!(run(&whole, &seed), []);
    let reads = whole.disk.lock().reads;
    let mut kinds = BTreeMap::new();
    for at in 1..=reads {
        let mounted = Mounted::new(Files::new());
        mounted.disk.lock().bad_read = Some(at);
        count(&mut kinds, &run(&mounted, &seed));
    }
    println!("{reads} reads: {kinds:?}");
    assert!(kinds.keys().eq([&ErrorKind::ArchiveIo]), "{kinds:?}");
}
