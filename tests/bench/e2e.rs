//! A sync from end to end: two processes on loopback, 100,000 messages of 1 KiB in the window, of
//! which one side lacks 10,000. How long until both hold all and have committed it, the processor
//! time of both processes, and the bytes that went over the way, beside the least that could.
//!
//! Against `bare`: the same bytes once over a plain socket, and then the same rows committed by bare
//! rusqlite into the same tables, 1,000 at a time, with the same durability. (Neither overlaps the
//! other, as a sync must; nor does anyone encrypt, compare or check anything.)
//!
//! The other processes are this program, run again with arguments of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[allow(dead_code)]
#[path = "archive/contenders.rs"]
mod contenders;
#[allow(dead_code)]
mod report;

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use contenders::Bare;
use report::{figure, versus};
use wakustore::archive::{Archive, ArchiveConfig, SqliteBackend, SqliteConfig};
use wakustore::engine::{EngineConfig, SyncOptions};
use wakustore::node::{Node, NodeConfig};
use wakustore::types::{ContentTopic, Origin, PubsubTopic, StoredMessage, Timestamp, WakuMessage};
use wakustore::wire::transfer;

const MESSAGES: usize = 100_000;
/// One side lacks one message in so many.
const LACKS: usize = 10;
const CLUSTER: u32 = 1;
/// Runs, of which the median counts.
const RUNS: usize = 5;

fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(now.as_nanos()).unwrap())
}

fn open(path: &Path) -> Archive {
    let backend = SqliteBackend::open(SqliteConfig::new(path)).unwrap();
    Archive::open(backend, ArchiveConfig::new(clock)).unwrap()
}

/// Message `i`, in the 50 minutes from `base` on: a kilobyte that no other has.
fn message(base: i64, i: usize) -> StoredMessage {
    let mut payload = vec![0; 1024];
    let mut x = i as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for chunk in payload.chunks_mut(8) {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk.copy_from_slice(&x.to_le_bytes());
    }
    let topic = ContentTopic::new("/bench/1/sync/proto").unwrap();
    let at = Timestamp(base + i as i64 * 30_000_000);
    StoredMessage::new(PubsubTopic::of_shard(CLUSTER, 0), WakuMessage::new(payload, topic, at))
}

/// Whether the second side lacks it: one of each ten, at no regular distance.
fn is_lacking(i: usize) -> bool {
    i % LACKS == ((i / LACKS).wrapping_mul(0x9e37_79b9) >> 7) % LACKS
}

// --- the other processes ---

/// A node on this file, until its standard input ends. Each line that it is given is the address of
/// a node to sync with.
fn node(path: &Path) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let archive = open(path);
        let config = NodeConfig {
            listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
            cluster_id: CLUSTER,
            shards: vec![0],
            // What is measured is the one sync that was asked for.
            engine: EngineConfig {
                heartbeat: None,
                sync_on_connect: false,
                resume: false,
                ..EngineConfig::default()
            },
            ..NodeConfig::default()
        };
        let node = Node::start(config, archive.clone()).await.unwrap();
        println!("{}", node.addresses()[0]);
        let lines = || async {
            tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).unwrap();
                line.trim().to_owned()
            })
            .await
            .unwrap()
        };
        loop {
            let line = lines().await;
            let (word, peer) = line.split_once(' ').unwrap_or_default();
            if word.is_empty() {
                break;
            }
            let options = SyncOptions { dry_run: word == "compare", ..SyncOptions::default() };
            let start = Instant::now();
            let report = node.sync(peer, options).await.unwrap().report;
            let took = start.elapsed().as_secs_f64();
            let figures = &report.figures;
            let bytes = figures.reconciliation_bytes_in
                + figures.reconciliation_bytes_out
                + figures.transfer_bytes_in
                + figures.transfer_bytes_out;
            println!("{took} {} {bytes} {:?}", figures.missing, report.agreement);
        }
        node.stop().await;
        archive.close();
    });
}

struct Process {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(path: &Path) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["node".as_ref(), path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let input = child.stdin.take().unwrap();
        let address = lines.next().unwrap().unwrap();
        Process { child, input, lines, address }
    }

    /// The processor time that it has taken, in milliseconds.
    fn cpu_ms(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // User and system time, in hundredths of a second.
        [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap() * 10.0).sum()
    }

    fn ask(&mut self, line: &str) -> Answer {
        writeln!(self.input, "{line}").unwrap();
        let line = self.lines.next().unwrap().unwrap();
        let fields: Vec<&str> = line.split_whitespace().collect();
        Answer {
            seconds: fields[0].parse().unwrap(),
            missing: fields[1].parse().unwrap(),
            bytes: fields[2].parse().unwrap(),
            agreement: fields[3].to_owned(),
        }
    }
}

struct Answer {
    seconds: f64,
    missing: usize,
    bytes: u64,
    agreement: String,
}

// --- this one ---

fn fill(path: &Path, messages: impl Iterator<Item = StoredMessage>) {
    let archive = open(path);
    let mut rest = messages.peekable();
    while rest.peek().is_some() {
        let batch = rest.by_ref().take(1000).collect();
        archive.put(batch, Origin::Import).wait().unwrap();
    }
    archive.close();
}

/// One sync: seconds, processor time of both in milliseconds, bytes.
fn sync(full: &Path, lacking: &Path, count: usize) -> (f64, f64, f64) {
    let (holder, mut other) = (Process::start(full), Process::start(lacking));
    // They meet, and tell each other what they speak, before anything is measured.
    let compare = format!("compare {}", holder.address);
    assert_eq!(other.ask(&compare).missing, count);
    // What is kept for a peer that has come is made in the background.
    std::thread::sleep(Duration::from_secs(1));
    let before = holder.cpu_ms() + other.cpu_ms();
    let took = other.ask(&format!("sync {}", holder.address));
    let cpu = holder.cpu_ms() + other.cpu_ms() - before;
    assert_eq!((took.missing, took.agreement.as_str()), (count, "Strong"));
    // What the report says is there is there.
    assert_eq!(other.ask(&compare).missing, 0);
    (took.seconds, cpu, took.bytes as f64)
}

/// The frames once over a plain socket, in seconds.
fn stream(frames: &[Vec<u8>]) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let mut socket = listener.accept().unwrap().0;
            let mut frame = Vec::new();
            let mut len = [0; 4];
            while socket.read_exact(&mut len).is_ok() {
                frame.resize(u32::from_be_bytes(len) as usize, 0);
                socket.read_exact(&mut frame).unwrap();
                std::hint::black_box(&frame);
            }
            socket.write_all(b".").unwrap();
        });
        let mut socket = TcpStream::connect(address).unwrap();
        let start = Instant::now();
        for frames in frames.chunks(64) {
            let mut chunk = Vec::new();
            for frame in frames {
                chunk.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
                chunk.extend(frame);
            }
            socket.write_all(&chunk).unwrap();
        }
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        socket.read_exact(&mut [0]).unwrap();
        start.elapsed().as_secs_f64()
    })
}

fn commits(path: &Path, messages: &[StoredMessage]) -> f64 {
    let bare = Bare::open(path).durable().knowing_topics();
    let rows = bare.rows(messages);
    let start = Instant::now();
    rows.chunks(1000).for_each(|batch| bare.put(batch));
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if let [word, path] = &args[..]
        && word == "node"
    {
        return node(Path::new(path));
    }
    let wanted: Vec<_> =
        args.iter().filter_map(|a| a.to_str()).filter(|a| !a.starts_with('-')).collect();
    if !wanted.is_empty() && !wanted.iter().any(|word| "sync.e2e".contains(word)) {
        return;
    }

    let dir = tempfile::tempdir().unwrap();
    let base = clock().saturating_sub(Duration::from_secs(3300)).nanos();
    let (full, lacking) = (dir.path().join("full.db"), dir.path().join("lacking.db"));
    fill(&full, (0..MESSAGES).map(|i| message(base, i)));
    fill(&lacking, (0..MESSAGES).filter(|i| !is_lacking(*i)).map(|i| message(base, i)));
    let missing: Vec<StoredMessage> =
        (0..MESSAGES).filter(|i| is_lacking(*i)).map(|i| message(base, i)).collect();
    assert_eq!(missing.len(), MESSAGES / LACKS);
    let frames: Vec<Vec<u8>> =
        missing.iter().map(|m| transfer::encode(&m.pubsub_topic, &m.message)).collect();
    let least: usize = frames.iter().map(Vec::len).sum();

    let (mut seconds, mut cpu, mut bytes, mut bare) = (vec![], vec![], vec![], vec![]);
    for run in 0..RUNS {
        let copy = |name: &str| {
            let to = dir.path().join(format!("{name}-{run}.db"));
            std::fs::copy(&lacking, &to).unwrap();
            to
        };
        let (one, cpu_ms, over) = sync(&full, &copy("sync"), missing.len());
        seconds.push(one);
        cpu.push(cpu_ms);
        bytes.push(over);
        bare.push(stream(&frames) + commits(&copy("bare"), &missing));
    }
    versus("sync.e2e.seconds", median(seconds), "s", "bare", median(bare));
    figure("sync.e2e.cpu_ms", median(cpu), "ms");
    versus("sync.e2e.bytes", median(bytes), "bytes", "least", least as f64);
}
