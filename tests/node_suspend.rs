//! A node that is suspended: what it lets go of, how it comes back, and that nothing wakes it.
//!
//! What a process holds is looked at from within a process of its own, which holds one node and
//! nothing else; its peer is in the test's.
#![cfg(all(feature = "node", feature = "sqlite", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use node_support::*;
use wakustore::ErrorKind;
use wakustore::archive::{Archive, ArchiveConfig, FeedEvent, Rules, SqliteBackend, SqliteConfig};
use wakustore::engine::SyncOptions;
use wakustore::node::{Node, NodeConfig, NodeEvent};
use wakustore::types::{Query, WakuMessage};
use wakustore::wire;

const PEER: &str = "WAKUSTORE_TEST_PHONE_PEER";
const PLACE: &str = "WAKUSTORE_TEST_PHONE_PLACE";

// --- what a process holds ---

/// The inodes of this process's TCP and UDP sockets.
fn sockets() -> BTreeSet<u64> {
    let mut of_all = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/self/net/{table}")).unwrap_or_default();
        let inode = |line: &str| line.split_whitespace().nth(9)?.parse::<u64>().ok();
        of_all.extend(text.lines().skip(1).filter_map(inode));
    }
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let own = links.filter_map(|fd| fs::read_link(fd.path()).ok()).filter_map(|at| {
        let at = at.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>();
        at.ok()
    });
    own.filter(|inode| of_all.contains(inode)).collect()
}

fn open_files(below: &Path) -> Vec<PathBuf> {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = links.filter_map(|fd| fs::read_link(fd.path()).ok());
    targets.filter(|at| at.starts_with(below)).collect()
}

/// The locks that this process holds on files of that directory's file system.
fn locks(below: &Path) -> Vec<String> {
    let inodes: BTreeSet<u64> =
        fs::read_dir(below).unwrap().map(|f| f.unwrap().metadata().unwrap().ino()).collect();
    let own = std::process::id().to_string();
    let all = fs::read_to_string("/proc/locks").unwrap();
    let held = all.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let inode = words.iter().find(|w| w.matches(':').count() == 2);
        let inode = inode.and_then(|w| w.rsplit(':').next()?.parse::<u64>().ok());
        words.contains(&own.as_str()) || inode.is_some_and(|inode| inodes.contains(&inode))
    });
    held.map(str::to_owned).collect()
}

/// How often each thread went to sleep by itself.
fn sleeps() -> BTreeMap<String, u64> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let read = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let id = task.file_name().into_string().ok()?;
        Some((format!("{id} {}", name.trim()), line.trim().parse().ok()?))
    };
    tasks.filter_map(read).collect()
}

/// What a timer of one second would wake up for, and more.
const WATCHED: Duration = Duration::from_secs(6);
const MOST_WAKE_UPS: u64 = 4;

/// Nothing wakes up, in any thread that is there before and after.
fn assert_quiet(what: &str) {
    // What was just done comes to rest.
    std::thread::sleep(Duration::from_secs(1));
    let before = sleeps();
    std::thread::sleep(WATCHED);
    let woken: Vec<(String, u64)> = sleeps()
        .into_iter()
        .filter_map(|(thread, n)| Some((thread.clone(), n - before.get(&thread)?)))
        .filter(|(_, n)| *n > 0)
        .collect();
    let all: u64 = woken.iter().map(|(_, n)| n).sum();
    assert!(all <= MOST_WAKE_UPS, "{what}: {all} wake-ups in {WATCHED:?}: {woken:?}");
}

// --- the phone ---

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn quiet_archive(dir: &Path) -> Archive {
    let rules = Rules { check_live_age: false, ..Rules::default() };
    let config = ArchiveConfig { rules, look_every: None, ..ArchiveConfig::new(clock) };
    let backend = SqliteBackend::open(SqliteConfig::new(dir.join("archive"))).unwrap();
    Archive::open(backend, config).unwrap()
}

fn say(word: &str) {
    println!("phone: {word}");
    std::io::stdout().flush().unwrap();
}

fn hear(word: &str) {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    assert_eq!(line.trim(), word);
}

async fn assert_refuses(node: &Node, peer: &str, id: &str) {
    let message = WakuMessage::new(vec![1], content(1), clock());
    let kinds = [
        node.dial(peer).await.map(drop).unwrap_err().kind(),
        node.sync(peer, SyncOptions::default()).await.map(drop).unwrap_err().kind(),
        node.sync(id, SyncOptions::default()).await.map(drop).unwrap_err().kind(),
        node.store_query(peer, Query::default()).await.map(drop).unwrap_err().kind(),
        node.history(peer, Query::default()).unwrap().next().await.map(drop).unwrap_err().kind(),
        node.publish(shard(0), message).await.map(drop).unwrap_err().kind(),
        node.subscribe(shard(1)).await.unwrap_err().kind(),
        node.relay_peers(shard(0)).await.map(drop).unwrap_err().kind(),
        node.disconnect(id).await.unwrap_err().kind(),
        node.archive().stats().await.map(drop).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Suspended; 10]);
}

fn assert_lets_go(dir: &Path) {
    assert_eq!(sockets(), BTreeSet::new());
    assert_eq!(open_files(dir), Vec::<PathBuf>::new());
    assert_eq!(locks(dir), Vec::<String>::new());
}

async fn live_again(node: &Node, id: &str) {
    soon(async {
        while !node.peers().contains(&id.to_owned()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Run by `a_phone_is_suspended_and_resumed` in a process of its own.
#[test]
#[ignore = "a part of another test"]
fn phone() {
    let (Ok(peer), Ok(dir)) = (std::env::var(PEER), std::env::var(PLACE)) else { return };
    let dir = PathBuf::from(dir);
    let runtime = runtime();
    assert_eq!(sockets(), BTreeSet::new(), "before anything");
    let archive = quiet_archive(&dir);
    let config = NodeConfig { relay: true, state: Some(dir.join("state")), ..config() };
    let node = runtime.block_on(Node::start(config, archive.clone())).unwrap();
    let mut feed = archive.subscribe(10_000);
    let mut told = BTreeSet::new();
    let mut hear_feed = || {
        while let Some(event) = feed.try_next() {
            match event {
                FeedEvent::Stored(items) => told.extend(items.iter().map(|i| i.id.hash)),
                other => panic!("{other:?}"),
            }
        }
        told.len()
    };
    let addresses = node.addresses();
    let id = runtime.block_on(async {
        let id = node.dial(&peer).await.unwrap();
        let report = node.sync(&id, SyncOptions::default()).await.unwrap();
        assert_eq!(report.report.figures.received, 50);
        id
    });
    assert!(!sockets().is_empty() && !locks(&dir).is_empty(), "they can be seen");
    assert!(!open_files(&dir).is_empty());

    let mut events = node.events();
    runtime.block_on(async { soon(node.suspend()).await.unwrap() });
    assert_lets_go(&dir);
    assert!(node.is_suspended() && node.peers().is_empty() && node.addresses().is_empty());
    assert!(dir.join("state").exists(), "its state is kept");
    runtime.block_on(assert_refuses(&node, &peer, &id));
    runtime.block_on(async { soon(node.suspend()).await.unwrap() });
    assert_quiet("suspended");
    assert_lets_go(&dir);
    say("suspended");
    hear("resume");
    runtime.block_on(async {
        soon(node.resume()).await.unwrap();
        soon(node.resume()).await.unwrap();
        assert_eq!(node.addresses(), addresses);
        event(&mut events, |e| matches!(e, NodeEvent::PeerDisconnected { .. }).then_some(())).await;
        live_again(&node, &id).await;
        let report = node.sync(&id, SyncOptions::default()).await.unwrap();
        assert_eq!(report.report.figures.received, 50);
    });
    assert_eq!(hear_feed(), 100, "subscribers go on");
    say("resumed");
    // What the peer publishes now comes over relay: the topics are kept.
    runtime.block_on(soon(async {
        while archive.stats().await.unwrap().messages < 101 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }));
    runtime.block_on(async { soon(node.suspend()).await.unwrap() });
    say("suspended again");
    // Frozen here, for a while.
    hear("resume");
    runtime.block_on(async {
        soon(node.resume()).await.unwrap();
        live_again(&node, &id).await;
        let report = node.sync(&id, SyncOptions::default()).await.unwrap();
        assert_eq!(report.report.figures.missing, 0);
        soon(node.suspend()).await.unwrap();
        // One that is suspended can be stopped.
        soon(node.stop()).await;
        assert_eq!(node.resume().await.unwrap_err().kind(), ErrorKind::Shutdown);
    });
    drop(runtime);
    archive.close();
    assert_lets_go(&dir);
    say("done");
}

/// A process that runs one of the tests here; killed where the test fails.
struct Process {
    child: Child,
    says: BufReader<std::process::ChildStdout>,
    to: ChildStdin,
}

impl Process {
    fn run(test: &str, peer: &str, dir: &Path) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", test, "--nocapture", "--test-threads=1"])
            .env(PEER, peer)
            .env(PLACE, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        let to = child.stdin.take().unwrap();
        Process { child, says, to }
    }

    /// Waits until it says this; what else it says is shown.
    fn wait_for(&mut self, word: &str) {
        let wanted = format!("phone: {word}");
        let mut line = String::new();
        while !line.trim_end().ends_with(&wanted) {
            line.clear();
            assert!(self.says.read_line(&mut line).unwrap() > 0, "it ended before {word:?}");
            print!("{line}");
        }
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.to, "{word}").unwrap();
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_is_suspended_and_resumed() {
    let archive = in_memory();
    put(&archive, (0..50).map(|n| message(n, 100)).collect()).await;
    let peer = Node::start(NodeConfig { relay: true, ..config() }, archive.clone()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = address(&peer);
    let place = dir.path().to_owned();
    let mut phone =
        tokio::task::spawn_blocking(move || Process::run("phone", &at, &place)).await.unwrap();
    tokio::task::block_in_place(|| phone.wait_for("suspended"));
    soon(async {
        while !peer.peers().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    put(&archive, (50..100).map(|n| message(n, 100)).collect()).await;
    phone.tell("resume");
    tokio::task::block_in_place(|| phone.wait_for("resumed"));
    let live = WakuMessage::new(vec![7; 100], content(1), clock());
    soon(async {
        while peer.publish(shard(0), live.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    tokio::task::block_in_place(|| phone.wait_for("suspended again"));
    phone.signal("-STOP");
    tokio::time::sleep(Duration::from_secs(2)).await;
    phone.signal("-CONT");
    phone.tell("resume");
    tokio::task::block_in_place(|| {
        phone.wait_for("done");
        assert!(phone.child.wait().unwrap().success());
    });
    peer.stop().await;
}

/// Run by `an_idle_node_sleeps` in a process of its own.
#[test]
#[ignore = "a part of another test"]
fn idle_phone() {
    let Ok(dir) = std::env::var(PLACE) else { return };
    let dir = PathBuf::from(dir);
    let runtime = runtime();
    let archive = quiet_archive(&dir);
    runtime.block_on(put(&archive, (0..50).map(|n| message(n, 100)).collect()));
    for sync in [false, true] {
        let node = runtime.block_on(Node::start(NodeConfig { sync, ..config() }, archive.clone()));
        let node = node.unwrap();
        assert_quiet(if sync { "sync on demand" } else { "without sync" });
        runtime.block_on(node.stop());
    }
    say("done");
}

#[test]
fn an_idle_node_sleeps() {
    let dir = tempfile::tempdir().unwrap();
    let mut phone = Process::run("idle_phone", "", dir.path());
    phone.wait_for("done");
    assert!(phone.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_ends() {
    let archive = in_memory();
    let node = node(&archive).await;
    // It takes streams and never answers.
    let mute = |control: &mut libp2p_stream::Control| {
        for protocol in [wire::store::PROTOCOL, wire::reconciliation::PROTOCOL] {
            let protocol = libp2p::StreamProtocol::new(protocol);
            let mut incoming = control.accept(protocol).unwrap();
            tokio::spawn(async move {
                let mut kept = Vec::new();
                while let Some((_, stream)) = futures::StreamExt::next(&mut incoming).await {
                    kept.push(stream);
                }
            });
        }
    };
    let raw = RawPeer::connect_serving(&node, Muxer::Mplex, mute).await;
    let id = raw.id.to_string();
    live_again(&node, &id).await;
    let mut events = node.events();
    let query = tokio::spawn({
        let (node, id) = (node.clone(), id.clone());
        async move { node.store_query(&id, Query::default()).await.map(drop) }
    });
    let sync = tokio::spawn({
        let (node, id) = (node.clone(), id.clone());
        async move { node.sync(&id, SyncOptions::default()).await.map(drop) }
    });
    event(&mut events, |e| matches!(e, NodeEvent::SyncStarted(_)).then_some(())).await;
    soon(node.suspend()).await.unwrap();
    assert_eq!(soon(query).await.unwrap().unwrap_err().kind(), ErrorKind::Suspended);
    assert_eq!(soon(sync).await.unwrap().unwrap_err().kind(), ErrorKind::Suspended);
    let end = finished(&mut events).await;
    assert_eq!(end.report.error.map(|e| e.kind()), Some(ErrorKind::Suspended));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_meanwhile() {
    let archive = in_memory();
    let first = node(&archive).await;
    let port = |node: &Node| {
        let at: libp2p::Multiaddr = address(node).parse().unwrap();
        at.iter().find_map(|part| match part {
            libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
            _ => None,
        })
    };
    // One that was given to the node: another does as well.
    let given = port(&first).unwrap();
    soon(first.suspend()).await.unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", given)).unwrap();
    soon(first.resume()).await.unwrap();
    assert_ne!(port(&first), Some(given));
    first.stop().await;
    drop(taken);

    // One that was asked for: it is that or nothing, until it is free again.
    let asked = format!("/ip4/127.0.0.1/tcp/{given}");
    let config = NodeConfig { listen: vec![asked], ..config() };
    let second = Node::start(config, archive.clone()).await.unwrap();
    soon(second.suspend()).await.unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", given)).unwrap();
    assert_eq!(soon(second.resume()).await.unwrap_err().kind(), ErrorKind::Listen);
    assert!(second.is_suspended());
    assert_eq!(archive.stats().await.unwrap_err().kind(), ErrorKind::Suspended);
    drop(taken);
    soon(second.resume()).await.unwrap();
    assert_eq!(port(&second), Some(given));
    assert_eq!(archive.stats().await.unwrap().messages, 0);
    second.stop().await;
}
