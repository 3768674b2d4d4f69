//! The soak (`make soak`, ten minutes; `SOAK_SECONDS` for another time): real nodes, each a process,
//! with messages that come over relay, queries, syncs, retention, peers that come and go and one
//! that is killed again and again. It prints JSON lines, and fails unless
//!
//! - resident memory and open files of the last fifth are at most 1.1 times those of the time from
//!   a fifth to a half (of ten minutes: the last two against the third to the fifth),
//! - once everybody has gone no more tasks are alive in a node than before the first one came,
//! - all nodes hold the same at the end, and all that was published.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../child_support/mod.rs"]
mod child_support;
mod load;
mod node;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use child_support::Process;
use load::Done;
use wakustore::types::{MessageHash, TimeRange, Timestamp};

const CLUSTER: u32 = 16;
/// The nodes, and what each takes over relay: the second one half, the third nothing. What they lack
/// comes by sync.
const NODES: [(&str, &str); 3] = [("a", "0,1"), ("b", "0"), ("c", "")];
/// How long one that is killed again and again runs.
const LIFE: Duration = Duration::from_secs(20);
const GOAL: f64 = 1.1;

fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(now.as_nanos()).unwrap())
}

fn start(dir: &Path, name: &str, relayed: &str, kept: Duration) -> (Process, String) {
    let mut process = Process::of(
        Command::new(std::env::current_exe().unwrap())
            .arg("node")
            .arg(dir.join(format!("{name}.db")))
            .args([relayed, &kept.as_secs().to_string()]),
    );
    let address = process.says("address");
    (process, address)
}

/// What one node had in use, when.
struct Sample {
    at: Duration,
    memory: usize,
    files: usize,
    tasks: usize,
}

fn median(mut values: Vec<usize>) -> f64 {
    values.sort_unstable();
    values.get(values.len() / 2).map_or(0.0, |value| *value as f64)
}

/// Late over early, for each of what a node has in use. Whether all of them stay within the goal.
fn compare(name: &str, samples: &[Sample], total: Duration) -> bool {
    let mut all_met = true;
    type Of = fn(&Sample) -> usize;
    // Tasks come and go with peers, a handful of them: whether one was left is told at the end.
    let kinds: [(&str, Of); 2] = [("memory_kib", |s| s.memory), ("files", |s| s.files)];
    for (kind, of) in kinds {
        let within = |from: f64, to: f64| {
            let (from, to) = (total.mul_f64(from), total.mul_f64(to));
            median(samples.iter().filter(|s| s.at >= from && s.at < to).map(of).collect())
        };
        let (early, late) = (within(0.2, 0.5), within(0.8, 1.01));
        let ratio = late / early;
        let met = ratio <= GOAL;
        all_met &= met;
        println!(
            r#"{{"name":"soak.{kind}","node":"{name}","early":{early},"late":{late},"ratio":{ratio:.3},"goal":"<= {GOAL}","met":{met}}}"#
        );
    }
    all_met
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, path, relayed, kept] = &arguments[..]
        && word == "node"
    {
        let relayed: Vec<u32> = relayed.split(',').filter_map(|n| n.parse().ok()).collect();
        node::run(Path::new(path), &relayed, Duration::from_secs(kept.parse().unwrap()));
        return ExitCode::SUCCESS;
    }
    let seconds = std::env::var("SOAK_SECONDS").map_or(600, |text| text.parse().unwrap());
    let total = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match soak(&runtime, total) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn soak(runtime: &tokio::runtime::Runtime, total: Duration) -> bool {
    // What is kept must have come to its full extent before the early samples.
    let kept = (total / 6).clamp(Duration::from_secs(40), Duration::from_secs(100));
    let dir = tempfile::tempdir().unwrap();
    let mut nodes: Vec<(Process, String)> =
        NODES.iter().map(|(name, relayed)| start(dir.path(), name, relayed, kept)).collect();
    let alone: Vec<usize> = nodes.iter_mut().map(|n| n.0.ask("tasks").parse().unwrap()).collect();
    let addresses: Vec<String> = nodes.iter().map(|(_, address)| address.clone()).collect();
    for (from, to) in [(1, 0), (2, 0), (2, 1)] {
        nodes[from].0.ask(&format!("dial {}", addresses[to]));
    }
    let done = Arc::new(Done::default());
    let publisher = runtime.block_on(async {
        let publisher = load::node(&[0, 1], kept).await;
        for address in &addresses[..2] {
            publisher.dial(address).await.unwrap();
        }
        publisher
    });
    let mut around = vec![
        runtime.spawn(load::publish(done.clone(), publisher.clone(), kept)),
        runtime.spawn(load::ask(done.clone(), addresses.clone(), kept)),
    ];
    for _ in 0..2 {
        around.push(runtime.spawn(load::come_and_go(done.clone(), addresses.clone(), kept)));
    }

    let begun = Instant::now();
    let mut samples: Vec<Vec<Sample>> = NODES.iter().map(|_| Vec::new()).collect();
    let mut killed: Option<(Process, Instant)> = None;
    let mut told = Instant::now();
    while begun.elapsed() < total {
        std::thread::sleep(Duration::from_secs(1));
        if killed.as_ref().is_none_or(|(_, since)| since.elapsed() > LIFE) {
            if let Some((process, _)) = killed.take() {
                process.kill();
            }
            let (mut process, _) = start(dir.path(), "killed", "0,1", kept);
            process.ask(&format!("dial {}", addresses[0]));
            killed = Some((process, Instant::now()));
        }
        for (samples, (process, _)) in samples.iter_mut().zip(&mut nodes) {
            let (memory, files) = (process.memory(), process.files());
            let tasks = process.ask("tasks").parse().unwrap();
            samples.push(Sample { at: begun.elapsed(), memory, files, tasks });
        }
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            for ((name, _), ((process, _), samples)) in
                NODES.iter().zip(nodes.iter_mut().zip(&samples))
            {
                let messages = process.ask("messages");
                let Sample { at, memory, files, tasks } = samples.last().unwrap();
                let at = at.as_secs();
                println!(
                    r#"{{"name":"soak.sample","node":"{name}","at_s":{at},"memory_kib":{memory},"files":{files},"tasks":{tasks},"messages":{messages}}}"#
                );
            }
        }
    }
    for task in &around {
        task.abort();
    }
    if let Some((process, _)) = killed {
        process.kill();
    }
    let equal = are_equal(&mut nodes, &done, kept);
    runtime.block_on(publisher.stop());
    let quiet = is_quiet(&mut nodes, &alone);
    let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    println!(
        r#"{{"name":"soak.done","seconds":{},"published":{},"pages":{},"syncs":{},"came":{},"failed":{}}}"#,
        total.as_secs(),
        of(&done.published),
        of(&done.pages),
        of(&done.syncs),
        of(&done.came),
        of(&done.failed)
    );
    let steady = NODES.iter().zip(&samples).map(|((name, _), s)| compare(name, s, total));
    let steady = steady.fold(true, |all, one| all && one);
    let ended = nodes.into_iter().all(|(process, _)| process.end());
    // Nothing that was measured is worth anything where nothing was done.
    let worked = of(&done.published) > total.as_secs() && of(&done.syncs) > total.as_secs() / 20;
    steady && equal && quiet && ended && worked
}

/// Whether all nodes come to hold what was published last: of a quarter of what is kept, so that there
/// is time for some heartbeats while the window that they compare still has it.
fn are_equal(nodes: &mut [(Process, String)], done: &Done, kept: Duration) -> bool {
    let end = clock();
    let time = TimeRange::new(end.saturating_sub(kept / 4), end).unwrap();
    let (count, sum) = {
        let newest = done.newest.lock().unwrap();
        let published: Vec<MessageHash> =
            newest.iter().filter(|(at, _)| time.contains(*at)).map(|(_, hash)| *hash).collect();
        let first = |hash: &MessageHash| u64::from_be_bytes(*hash.0.first_chunk().unwrap());
        (published.len(), published.iter().map(first).fold(0, |sum, one| sum ^ one))
    };
    let wanted = format!("{count} {sum:x}");
    let begun = Instant::now();
    let mut told = Vec::new();
    while begun.elapsed() < kept / 4 {
        let asked = format!("held {} {}", time.start().nanos(), time.end().nanos());
        told.clear();
        for (process, _) in nodes.iter_mut() {
            told.push(process.ask(&asked));
        }
        if told.iter().all(|one| *one == wanted) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let met = count > 0 && told.iter().all(|one| *one == wanted);
    let after = begun.elapsed().as_secs_f64();
    println!(r#"{{"name":"soak.equal","messages":{count},"after_s":{after:.1},"met":{met}}}"#);
    if !met {
        println!("{{\"name\":\"soak.unequal\",\"published\":\"{wanted}\",\"held\":{told:?}}}");
    }
    met
}

/// Whether no node has a task left that it did not have before its first peer came.
fn is_quiet(nodes: &mut [(Process, String)], alone: &[usize]) -> bool {
    let begun = Instant::now();
    loop {
        let mut left = Vec::new();
        for (process, _) in nodes.iter_mut() {
            process.ask("part");
            left.push(process.ask("tasks").parse::<usize>().unwrap());
        }
        let met = left.iter().zip(alone).all(|(left, alone)| left <= alone);
        if met || begun.elapsed() > Duration::from_secs(60) {
            println!(
                r#"{{"name":"soak.tasks_left","before":{alone:?},"after":{left:?},"met":{met}}}"#
            );
            return met;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
