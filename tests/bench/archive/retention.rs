//! The pause that retention makes: puts and queries go on at a steady rate, each timed from the
//! moment that it was due (so that one that waits delays none of those behind it out of sight),
//! with retention at work and without, in turns on one file.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wakustore::archive::{Archive, Durability, Retention};
use wakustore::types::{Filter, Origin};

use super::pages::page;
use super::{config, files, message, open_with};
use crate::report::{figure, versus};

const N: usize = 1_000_000;
const REMOVED: u64 = 100_000;
const ROUNDS: usize = 3;
/// Who puts, and who asks: threads, and how often each does. A disk that is busy with other things
/// must still keep up, or what is measured is how far they are behind.
const PUTTERS: usize = 4;
const PUT_EVERY: Duration = Duration::from_millis(40);
const ASKERS: usize = 2;
const ASK_EVERY: Duration = Duration::from_micros(4_000);

/// Calls at a steady rate until told to end; how long each took from when it was due, in ms.
fn steadily(every: Duration, end: &AtomicBool, mut call: impl FnMut()) -> Vec<f64> {
    let begin = Instant::now();
    let mut took = Vec::new();
    for i in 0.. {
        let due = begin + every * i;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if end.load(Ordering::Relaxed) {
            break;
        }
        call();
        took.push(due.elapsed().as_secs_f64() * 1e3);
    }
    took
}

/// Puts and queries until `done` says so: how long the puts took, and the queries.
fn load(
    archive: &Archive,
    next: &AtomicUsize,
    mut done: impl FnMut() -> bool,
) -> (Vec<f64>, Vec<f64>) {
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let putters: Vec<_> = (0..PUTTERS)
            .map(|_| {
                scope.spawn(|| {
                    steadily(PUT_EVERY, &end, || {
                        let message = message(next.fetch_add(1, Ordering::Relaxed), N);
                        archive.put(vec![message], Origin::Import).wait().unwrap();
                    })
                })
            })
            .collect();
        let askers: Vec<_> = (0..ASKERS)
            .map(|_| {
                scope.spawn(|| {
                    steadily(ASK_EVERY, &end, || {
                        page(archive, Filter::default(), None);
                    })
                })
            })
            .collect();
        while !done() {
            thread::sleep(Duration::from_millis(20));
        }
        end.store(true, Ordering::Relaxed);
        let all = |threads: Vec<thread::ScopedJoinHandle<'_, Vec<f64>>>| {
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        };
        (all(putters), all(askers))
    })
}

/// The value that one in a thousand is above; and the highest.
fn worst(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() - 1 - values.len() / 1000], values[values.len() - 1])
}

pub(crate) fn run() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("retention.db");
    fs::copy(files::ours(N), &file).unwrap();
    fs::File::open(&file).unwrap().sync_all().unwrap();
    let next = AtomicUsize::new(N);
    // Puts, then queries: with retention at work, and without.
    let mut with = [Vec::new(), Vec::new()];
    let mut without = [Vec::new(), Vec::new()];
    let keep = |into: &mut [Vec<f64>; 2], (puts, queries)| {
        into[0].extend::<Vec<f64>>(puts);
        into[1].extend::<Vec<f64>>(queries);
    };
    let (mut rest, mut seconds) = (N as u64, 0.0);
    for _ in 0..ROUNDS {
        rest -= REMOVED;
        let retention = Retention { max_messages: Some(rest), ..Retention::default() };
        let keeping = open_with(
            &file,
            Durability::Full,
            wakustore::archive::ArchiveConfig { retention, ..config() },
        );
        let begin = Instant::now();
        keep(&mut with, load(&keeping, &next, || keeping.stats().wait().unwrap().messages <= rest));
        let took = begin.elapsed();
        seconds += took.as_secs_f64();
        keeping.close();
        let idle = open_with(&file, Durability::Full, config());
        let begin = Instant::now();
        keep(&mut without, load(&idle, &next, || begin.elapsed() >= took));
        idle.close();
    }
    figure("archive.retention.seconds", seconds / ROUNDS as f64, "s for 100,000");
    for (name, [with, without]) in
        ["put", "query"].iter().zip([0, 1].map(|i| [with[i].clone(), without[i].clone()]))
    {
        let ((with, most), (without, most_without)) = (worst(with), worst(without));
        versus(&format!("archive.retention.pause_{name}"), with, "ms", "without", without);
        versus(&format!("archive.retention.worst_{name}"), most, "ms", "without", most_without);
    }
    let both = |[puts, queries]: [Vec<f64>; 2]| worst([puts, queries].concat());
    let ((with, most), (without, most_without)) = (both(with), both(without));
    versus("archive.retention.pause", with, "ms", "without", without);
    versus("archive.retention.worst", most, "ms", "without", most_without);
}
