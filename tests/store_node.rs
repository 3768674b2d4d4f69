//! The store node that operators run, as a process of its own: it listens, takes part in relay,
//! answers within its rates, keeps what it was told to keep, and ends when it is told to.

#![cfg(all(feature = "node", feature = "sqlite", feature = "postgres", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use node_support::*;
use wakustore::ErrorKind;
use wakustore::engine::EngineConfig;
use wakustore::node::{Node, NodeConfig, NodeEvent, PeerConfig};
use wakustore::types::{Query, WakuMessage};

/// Stopped when it goes, also where a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Cargo builds the examples beside the tests.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples/store_node");
    assert!(path.exists(), "{path:?} is not built: cargo build --example store_node");
    path
}

fn start(path: &Path, more: &[&str]) -> (Running, String) {
    start_at(TCP, path, more)
}

fn start_at(listen: &str, path: &Path, more: &[&str]) -> (Running, String) {
    let mut child = Command::new(program())
        .arg("--path")
        .arg(path)
        .args(["--listen", listen, "--cluster", "16", "--shards", "0,1", "--heartbeat", "0"])
        .args(["--stdin", "no"])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let running = Running(child);
    let address = lines.next().expect("it tells its address").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    (running, address)
}

/// Asks it to end, and waits for that.
fn terminate(mut running: Running) -> bool {
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    running.0.wait().unwrap().success()
}

async fn held(client: &Node, address: &str) -> usize {
    soon(client.store_query(address, Query { limit: 100, ..Query::default() }))
        .await
        .unwrap()
        .entries
        .len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_hears_answers_keeps_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("messages.db");
    let flags = ["--relay", "yes", "--max-messages", "20"];
    let (running, address) = start(&path, &flags);
    let here = in_memory();
    let client = NodeConfig { relay: true, ..config() };
    let client = Node::start(client, here.clone()).await.unwrap();
    soon(client.dial(&address)).await.unwrap();
    soon(async {
        while client.relay_peers(shard(0)).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for n in 0..30 {
        let message = WakuMessage::new(format!("message {n}"), content(n), clock());
        soon(client.publish(shard(0), message)).await.unwrap();
    }
    // All thirty have come and ten have gone again: the newest is there, and twenty.
    let newest = hashes(&here).await[29];
    soon(async {
        loop {
            let there = soon(client.presence(&address, &[newest])).await.unwrap();
            if !there.is_empty() && held(&client, &address).await == 20 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(terminate(running), "it ends well");

    // What it kept is there when it starts again, for five requests.
    let (running, address) = start(&path, &["--store-rate-of-peer", "5/36000"]);
    for _ in 0..5 {
        assert_eq!(held(&client, &address).await, 20);
    }
    let error = soon(client.store_query(&address, Query::default())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreTooManyRequests, "{error:?}");
    assert!(terminate(running));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_killed_is_dialled_again_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("messages.db"), dir.path().join("key"));
    let flags = ["--key", key.to_str().unwrap(), "--max-connections", "20", "--reserved", "2"];
    let (running, address) = start(&path, &flags);
    let listen = address.split_once("/p2p/").unwrap().0;
    let peers = PeerConfig {
        bootstrap: vec![address.clone()],
        offline_grace: Duration::from_millis(300),
        ..PeerConfig::default()
    };
    let here = in_memory();
    let engine = EngineConfig { sync_on_connect: true, ..config().engine };
    let config = NodeConfig { peers, engine, ..config() };
    let client = Node::start(config, here.clone()).await.unwrap();
    let mut events = client.events();
    finished(&mut events).await;
    // Without a goodbye.
    drop(running);
    event(&mut events, |e| (e == NodeEvent::Offline).then_some(())).await;
    let there = on_disk(&path);
    put(&there, (0..30).map(|n| message(n, 64)).collect()).await;
    tokio::task::spawn_blocking(move || there.close()).await.unwrap();
    let (running, again) = start_at(listen, &path, &flags);
    assert_eq!(again, address);
    event(&mut events, |e| (e == NodeEvent::Online).then_some(())).await;
    assert_eq!(finished(&mut events).await.report.figures.received, 30);
    assert_eq!(hashes(&here).await.len(), 30);
    assert!(terminate(running));
}

#[test]
fn what_it_does_not_know_is_told() {
    for wrong in [&["--path"][..], &["--path", "x.db", "--relay", "perhaps"], &["--other", "1"]] {
        let ended = Command::new(program()).args(wrong).stdin(Stdio::null()).output().unwrap();
        assert!(!ended.status.success());
        assert!(String::from_utf8_lossy(&ended.stderr).contains("usage: store_node"), "{wrong:?}");
    }
}
