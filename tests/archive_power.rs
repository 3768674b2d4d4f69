//! Power loss: SQLite runs on a disk in memory that afterwards tells what a power loss at any
//! moment could have left of it. With full durability every acknowledged commit is there, whole and
//! nothing else; with normal durability those that are there are the first ones, and the file is
//! sound.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_faults;
mod archive_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use archive_faults::disk::{Disk, Files, Op};
use archive_faults::ledger::{Commit, Model, check_driver, read_sound};
use archive_faults::seed::Seed;
use archive_faults::vfs::{Mounted, seed_sqlite};
use archive_faults::workload::{Step, Workload};
use archive_support::*;
use wakustore::archive::{Archive, Backend, Driver, Durability, SqliteBackend, SqliteConfig};
use wakustore::types::{MessageHash, Origin};

const SEED: &str = "WAKUSTORE_POWER_SEED";
/// Power losses, in all.
const POINTS: usize = 1_000;
/// Of one run of an archive, from opening to closing.
const POINTS_OF_A_RUN: usize = 20;
/// Runs that follow each other, each on what a power loss left of the one before.
const RUNS_OF_A_CHAIN: usize = 5;
/// Steps of a run.
const STEPS: usize = 40;

/// What SQLite draws is drawn for one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct Drivers {
    backend: SqliteBackend,
    writer: Box<dyn Driver>,
    reader: Box<dyn Driver>,
}

impl Drivers {
    fn open(mounted: &Mounted, durability: Durability) -> Self {
        let config = SqliteConfig { durability, ..SqliteConfig::new(mounted.path()) };
        let backend = SqliteBackend::open(config).unwrap();
        let (writer, reader) = (backend.writer().unwrap(), backend.reader().unwrap().unwrap());
        Drivers { backend, writer, reader }
    }

    fn close(self) {
        let Drivers { backend, mut writer, mut reader } = self;
        reader.close();
        drop(reader);
        writer.close();
        drop((writer, backend));
    }
}

/// One run of an archive. The commits, and the moment at which each was acknowledged.
fn run(
    mounted: &Mounted,
    durability: Durability,
    mut model: Model,
    mut workload: Workload,
    steps: usize,
) -> Vec<(usize, Commit)> {
    let mut commits = Vec::new();
    let mut drivers = Drivers::open(mounted, durability);
    for _ in 0..steps {
        match workload.step(&model) {
            Step::Commit(commit) => {
                commit.run(&mut *drivers.writer).unwrap();
                model.apply(&commit);
                commits.push((mounted.disk.moment(), commit));
                drivers.writer.after_put();
            }
            Step::Checkpoint(how) => {
                let other = rusqlite::Connection::open(mounted.path()).unwrap();
                let sql = format!("PRAGMA wal_checkpoint({how})");
                other.query_row(&sql, [], |_| Ok(())).unwrap();
            }
            Step::Read => {
                assert_eq!(drivers.reader.stats().unwrap().messages, model.held.len() as u64);
            }
            Step::Reopen => {
                drivers.close();
                drivers = Drivers::open(mounted, durability);
            }
        }
    }
    drivers.close();
    commits
}

/// Opens what a power loss left, and tells how many of the commits are there.
fn check(
    mounted: &Mounted,
    durability: Durability,
    base: &Model,
    commits: &[(usize, Commit)],
    acknowledged: usize,
) -> usize {
    let mut drivers = Drivers::open(mounted, durability);
    let found = read_sound(&mounted.path());
    check_driver(&mut *drivers.reader, &found);
    let least = if durability == Durability::Full { acknowledged } else { 0 };
    // The one that was under way may be there too.
    let most = commits.len().min(acknowledged + 1);
    let mut model = base.clone().after(commits[..least].iter().map(|(_, commit)| commit));
    let mut count = least;
    while model != found {
        assert!(
            count < most,
            "{acknowledged} commits were acknowledged; what is there is none of {least} to {most}: \
             {} messages, {} taken down, floor {:?}",
            found.held.len(),
            found.down.len(),
            found.floor
        );
        model.apply(&commits[count].1);
        count += 1;
    }
    // And it goes on.
    let one = message(0, 0, NOW.nanos(), "one more");
    assert_eq!(drivers.writer.put(&[(one.clone(), Origin::Import)]).unwrap(), [true]);
    assert_eq!(drivers.reader.get(&[one.hash]).unwrap(), [one]);
    drivers.close();
    count
}

/// One run and its power losses; what one of them left, for the next run.
fn lose_power(
    files: Files,
    base: &Model,
    durability: Durability,
    (workload, steps): (Workload, usize),
    seed: &mut Seed,
) -> (Files, Model) {
    let mounted = Mounted::new(files);
    let commits = run(&mounted, durability, base.clone(), workload, steps);
    if steps > STEPS {
        // Without a checkpoint between the commits this would be a test of the WAL alone.
        let (first, last) = (commits[0].0, commits[commits.len() - 1].0);
        let syncs = |to| mounted.disk.syncs("archive.db", to);
        assert!(syncs(last) > syncs(first), "nothing was carried over");
    }
    let mut replay = mounted.disk.replay();
    let mut moments: Vec<usize> =
        (0..POINTS_OF_A_RUN).map(|_| seed.size(0..=replay.length())).collect();
    moments.sort_unstable();
    let chosen = seed.size(0..=POINTS_OF_A_RUN - 1);
    let mut next = None;
    for (i, moment) in moments.into_iter().enumerate() {
        replay.go_on(moment);
        let left = replay.power_loss(seed);
        let acknowledged = commits.iter().filter(|(at, _)| *at <= moment).count();
        let after = Mounted::new(left.clone());
        let checked = catch_unwind(AssertUnwindSafe(|| {
            check(&after, durability, base, &commits, acknowledged)
        }));
        let there = checked.unwrap_or_else(|panic| {
            println!("{durability:?}, power lost at {moment} of {}", replay.length());
            std::panic::resume_unwind(panic)
        });
        if i == chosen {
            let model = base.clone().after(commits[..there].iter().map(|(_, commit)| commit));
            next = Some((left, model));
        }
    }
    next.unwrap()
}

#[test]
fn what_was_acknowledged_survives_a_power_loss() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (number, mut seed) = Seed::of_test(SEED);
    seed_sqlite(number);
    let runs = POINTS / POINTS_OF_A_RUN;
    let mut state = (Files::new(), Model::default());
    for i in 0..runs {
        if i % RUNS_OF_A_CHAIN == 0 {
            state = (Files::new(), Model::default());
        }
        let durability =
            if (i / RUNS_OF_A_CHAIN) % 3 == 2 { Durability::Normal } else { Durability::Full };
        let (files, model) = state;
        state =
            lose_power(files, &model, durability, (Workload::new(seed.split()), STEPS), &mut seed);
    }
}

/// So much that the driver's own checkpoints carry the WAL over, at 16 MiB of it.
#[test]
fn its_own_checkpoints_survive_a_power_loss() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (number, mut seed) = Seed::of_test(SEED);
    seed_sqlite(number);
    for durability in [Durability::Full, Durability::Normal] {
        let workload = (Workload::large(seed.split()), 3 * STEPS);
        let files = Files::new();
        lose_power(files, &Model::default(), durability, workload, &mut seed);
    }
}

/// The archive with its threads: puts of several callers share commits, and each is there whole or
/// not at all.
#[test]
fn acknowledgements_of_a_whole_archive_survive_a_power_loss() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, mut seed) = Seed::of_test(SEED);
    let mounted = Mounted::new(Files::new());
    let archive =
        Archive::open(SqliteBackend::open(SqliteConfig::new(mounted.path())).unwrap(), config())
            .unwrap();
    // Each put, and the moment of its acknowledgement.
    let puts: Mutex<Vec<(usize, Vec<MessageHash>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for t in 0..4 {
            let (archive, puts, disk) = (&archive, &puts, &mounted.disk);
            scope.spawn(move || {
                for i in 0..30 {
                    let payload = format!("{t} {i} {}", "x".repeat(i * 40));
                    let batch: Vec<_> =
                        (0..=t).map(|c| message(t, c, i as i64, &payload)).collect();
                    let hashes = batch.iter().map(|m| m.hash).collect();
                    archive.put(batch, Origin::Import).wait().unwrap();
                    puts.lock().unwrap().push((disk.moment(), hashes));
                }
            });
        }
    });
    archive.close();
    let puts = puts.into_inner().unwrap();
    let mut replay = mounted.disk.replay();
    let mut moments: Vec<usize> = (0..100).map(|_| seed.size(0..=replay.length())).collect();
    moments.sort_unstable();
    for moment in moments {
        replay.go_on(moment);
        let after = Mounted::new(replay.power_loss(&mut seed));
        drop(SqliteBackend::open(SqliteConfig::new(after.path())).unwrap());
        let held = read_sound(&after.path()).held;
        let held: std::collections::BTreeSet<_> = held.keys().map(|id| id.hash).collect();
        for (acknowledged, hashes) in &puts {
            let there = hashes.iter().filter(|hash| held.contains(*hash)).count();
            assert!(there == 0 || there == hashes.len(), "a put is there by half");
            assert!(there > 0 || *acknowledged > moment, "an acknowledged put is gone");
        }
    }
}
/// The disk's own eyes: what is synced stays, what is not is lost in every way there is.
#[test]
fn a_power_loss_takes_what_was_not_synced() {
    let disk = Disk::with(Files::new());
    {
        let mut state = disk.lock();
        let inode = state.create("a");
        state.write(inode, 0, &[1; 2048]).unwrap();
        state.sync(inode).unwrap();
        state.log.push(Op::SyncDirectory);
        state.write(inode, 1024, &[2; 2048]).unwrap();
        let other = state.create("b");
        state.write(other, 0, &[3; 10]).unwrap();
        state.sync(other).unwrap();
    }
    let mut replay = disk.replay();
    replay.go_on(replay.length());
    let mut seed = Seed::new(1);
    let found: Vec<Files> = (0..500).map(|_| replay.power_loss(&mut seed)).collect();
    assert!(found.iter().all(|files| files["a"][..1024] == [1; 1024]));
    assert!(found.iter().any(|files| files["a"] == [1; 2048]));
    assert!(found.iter().any(|files| files["a"][1024..] == [2; 2048]));
    assert!(
        found.iter().any(|files| files["a"].len() == 3072 && files["a"][1024..1536] == [1; 512])
    );
    assert!(found.iter().any(|files| (2049..3072).contains(&files["a"].len())));
    assert!(found.iter().any(|files| files.contains_key("b")));
    assert!(found.iter().any(|files| !files.contains_key("b")));
    assert!(found.iter().filter_map(|files| files.get("b")).all(|b| *b == [3; 10]));
}
