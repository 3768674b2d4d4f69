//! The simulation: many nodes on the pure engines, with a virtual clock and every kind of trouble,
//! drawn from a seed. `docs/SIMULATION.md` tells what a run is and what it demands.
//!
//! `WAKUSTORE_SIM_SEED=n` replays one seed and tells what it is; `WAKUSTORE_SIM_SEEDS=a..b` runs a
//! range of them. A failure names its seed.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "../sim/mod.rs"]
mod sim;

#[path = "../sync_common/mod.rs"]
mod sync_common;

mod demands;
mod deployed;
mod liars;
mod plan;
mod run;

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::time::Instant;

use plan::Plan;
use run::{Stats, run};

/// What runs where the environment does not say which.
const FEW: Range<u64> = 0..12;

/// Runs a seed; what went wrong, where something did.
fn check(seed: u64) -> Result<Stats, String> {
    panic::catch_unwind(AssertUnwindSafe(|| run(seed))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default()
    })
}

fn seeds() -> Range<u64> {
    let number = |s: &str| s.trim().parse::<u64>().expect("a seed is a number");
    if let Ok(seed) = std::env::var("WAKUSTORE_SIM_SEED") {
        return number(&seed)..number(&seed) + 1;
    }
    let Ok(range) = std::env::var("WAKUSTORE_SIM_SEEDS") else { return FEW };
    let (from, to) = range.split_once("..").expect("a range of seeds is a..b");
    number(from)..number(to)
}

/// One at a time: a bug that is put back is put back for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn every_seed_comes_to_a_good_end() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let seeds = seeds();
    let started = Instant::now();
    let mut all: Vec<Stats> = Vec::new();
    for seed in seeds.clone() {
        if seeds.end - seeds.start == 1 {
            println!("seed {seed}: {}", Plan::of(seed).describe());
        }
        match check(seed) {
            Ok(stats) => all.push(stats),
            Err(what) => panic!(
                "seed {seed} ({}): {what}\nreplay it with WAKUSTORE_SIM_SEED={seed}",
                Plan::of(seed).describe()
            ),
        }
    }
    let sum = |f: fn(&Stats) -> usize| all.iter().map(f).sum::<usize>();
    let share = |s: &Stats| s.beats * 100 / s.allowed;
    println!(
        "{} seeds in {:.1} s: {} sessions, {} events, {} penalties for liars, \
         heartbeats after healing: mean {:.1}, most {} (of those allowed at most {} %)",
        all.len(),
        started.elapsed().as_secs_f32(),
        sum(|s| s.sessions),
        sum(|s| s.events),
        sum(|s| s.penalties),
        sum(|s| s.beats as usize) as f32 / all.len() as f32,
        all.iter().map(|s| s.beats).max().unwrap_or(0),
        all.iter().map(share).max().unwrap_or(0),
    );
}

/// Five bugs are put back, one at a time, and each is found within these seeds; without any, the
/// same seeds come to a good end.
#[cfg(feature = "sabotage")]
#[test]
fn bugs_that_are_put_back_are_found() {
    use wakustore::sabotage::{ALL, put_back};
    const WITHIN: Range<u64> = 0..200;

    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let mut furthest = 0;
    let mut missed = Vec::new();
    for bug in ALL {
        put_back(Some(bug));
        let found = WITHIN.into_iter().find_map(|seed| Some((seed, check(seed).err()?)));
        put_back(None);
        match found {
            Some((seed, what)) => {
                furthest = furthest.max(seed);
                println!("{bug:?}: found by seed {seed}: {}", what.lines().next().unwrap_or(""));
            }
            None => missed.push(bug),
        }
    }
    let sound = (0..=furthest).find_map(|seed| Some((seed, check(seed).err()?)));
    panic::set_hook(hook);
    assert!(missed.is_empty(), "not found within {WITHIN:?}: {missed:?}");
    assert_eq!(sound, None, "without any bug");
}
