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
use archive_faults::ledger::{Model, check_driver, read_sound};
use archive_faults::seed::Seed;
use archive_faults::vfs::Mounted;
use archive_faults::workload::{Step, Workload};
use wakustore::archive::{Backend, Driver, SqliteBackend, SqliteConfig};
use wakustore::types::Query;
use wakustore::{Error, ErrorKind, Result};

const SEED: &str = "WAKUSTORE_DISK_SEED";
const STEPS: usize = 20;
/// Changes, and reads, that are made to fail; spread over all that there are.
const PLACES: u64 = 150;

/// With a writer and a reader.
type Opened = (SqliteBackend, Box<dyn Driver>, Box<dyn Driver>);

/// Runs a workload to its end, whatever fails on the way; the errors that came up. What failed is
/// done again, until it works.
fn run(mounted: &Mounted, seed: &Seed) -> Vec<Error> {
    let mut workload = Workload::new(seed.clone());
    let mut errors = Vec::new();
    let mut model = Model::default();
    let mut open: Option<Opened> = None;
    for _ in 0..STEPS {
        let drivers = match &mut open {
            Some(drivers) => drivers,
            None => match try_open(mounted) {
                Ok(drivers) => open.insert(drivers),
                Err(e) => {
                    errors.push(e);
                    open.insert(again(&mut errors, || try_open(mounted)))
                }
            },
        };
        match workload.step(&model) {
            Step::Commit(commit) => match commit.run(&mut *drivers.1) {
                Ok(()) => model.apply(&commit),
                Err(e) => {
                    errors.push(e);
                    // Nothing of it, and it goes on.
                    check_driver(&mut *drivers.2, &model);
                    again(&mut errors, || commit.run(&mut *drivers.1));
                    model.apply(&commit);
                }
            },
            Step::Checkpoint(how) => {
                // It may fail, and nobody is the worse for it.
                let _ = rusqlite::Connection::open(mounted.path()).and_then(|other| {
                    other.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()))
                });
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

fn again<T>(errors: &mut Vec<Error>, mut f: impl FnMut() -> Result<T>) -> T {
    loop {
        match f() {
            Ok(value) => return value,
            Err(e) => errors.push(e),
        }
        assert!(errors.len() < 50, "it does not go on: {errors:?}");
    }
}

fn try_open(mounted: &Mounted) -> Result<Opened> {
    let backend = SqliteBackend::open(SqliteConfig::new(mounted.path()))?;
    let (writer, reader) = (backend.writer()?, backend.reader()?.unwrap());
    Ok((backend, writer, reader))
}

fn count(kinds: &mut BTreeMap<ErrorKind, usize>, errors: &[Error]) {
    for e in errors {
        *kinds.entry(e.kind()).or_default() += 1;
    }
}

/// Places among so many: all where there are few, always the first ones.
fn places(seed: &Seed, among: u64) -> Vec<u64> {
    let mut seed = seed.clone();
    let mut places: Vec<u64> = (1..=among.min(30)).collect();
    places.extend((31..=among).filter(|_| seed.below(among) < PLACES));
    places
}

#[test]
fn each_write_and_sync_fails() {
    let (_, seed) = Seed::of_test(SEED);
    let whole = Mounted::new(Files::new());
    assert_eq!(run(&whole, &seed), []);
    let changes = whole.disk.lock().changes;
    for (trouble, kind) in
        [(Trouble::Full, ErrorKind::DiskFull), (Trouble::Io, ErrorKind::ArchiveIo)]
    {
        let mut kinds = BTreeMap::new();
        for at in places(&seed, changes) {
            let mounted = Mounted::new(Files::new());
            // Also several at a stretch, so that going back fails too.
            let times = if at % 3 == 0 { 5 } else { 1 };
            mounted.disk.lock().trouble = Some((at, trouble, times));
            let errors = run(&mounted, &seed);
            assert!(errors.len() <= times as usize, "change {at}: {errors:?}");
            count(&mut kinds, &errors);
        }
        println!("{changes} changes, {trouble:?}: {kinds:?}");
        assert!(kinds[&kind] > 20, "{kinds:?}");
        let others = kinds.keys().filter(|k| **k != kind && **k != ErrorKind::ArchiveOpen);
        assert_eq!(others.count(), 0, "{kinds:?}");
    }
}

#[test]
fn each_read_fails() {
    let (_, seed) = Seed::of_test(SEED);
    let whole = Mounted::new(Files::new());
    assert_eq!(run(&whole, &seed), []);
    let reads = whole.disk.lock().reads;
    let mut kinds = BTreeMap::new();
    for at in places(&seed, reads) {
        let mounted = Mounted::new(Files::new());
        mounted.disk.lock().bad_read = Some(at);
        count(&mut kinds, &run(&mounted, &seed));
    }
    println!("{reads} reads: {kinds:?}");
    assert!(kinds[&ErrorKind::ArchiveIo] > 5 && kinds.len() == 1, "{kinds:?}");
}

/// A disk of a fixed size fills up, is given room, and fills up again.
#[test]
fn a_full_disk_that_is_given_room() {
    let (_, mut seed) = Seed::of_test(SEED);
    for _ in 0..20 {
        let mounted = Mounted::new(Files::new());
        let (_backend, mut writer, mut reader) = try_open(&mounted).unwrap();
        let mut workload = Workload::new(seed.split());
        let mut model = Model::default();
        let mut full = 0;
        let used = |mounted: &Mounted| mounted.disk.files().values().map(Vec::len).sum::<usize>();
        mounted.disk.lock().capacity = Some(used(&mounted) + 200_000 + seed.size(0..=8_192));
        while full < 5 {
            let commit = workload.put(20, &model);
            match commit.run(&mut *writer) {
                Ok(()) => model.apply(&commit),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::DiskFull, "{e:?}");
                    full += 1;
                    check_driver(&mut *reader, &model);
                    check_driver(&mut *writer, &model);
                    let room = used(&mounted) + seed.size(20_000..=300_000);
                    mounted.disk.lock().capacity = Some(room);
                }
            }
        }
        // Closed while it is full: the WAL stays where it cannot be carried over.
        mounted.disk.lock().capacity = Some(used(&mounted));
        drop(reader);
        writer.close();
        drop(writer);
        mounted.disk.lock().capacity = None;
        drop(try_open(&mounted).unwrap());
        assert!(read_sound(&mounted.path()) == model, "the file holds something else");
    }
}
