//! The store node that operators run, as a process of its own: it listens, takes part in relay,
//! answers within its rates, keeps what it was told to keep, and ends when it is told to.

#![cfg(all(feature = "node", feature = "sqlite", feature = "postgres", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;
#[path = "node_support/metrics.rs"]
mod scraped;

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
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
    let (running, address, _) = start_telling(listen, path, more);
    (running, address)
}

/// Started, where it listens, and what else it says.
fn start_telling(
    listen: &str,
    path: &Path,
    more: &[&str],
) -> (Running, String, Lines<BufReader<ChildStdout>>) {
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
    (running, address, lines)
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

/// What is answered to these bytes: the first line, and the body.
fn asked(at: &str, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // It may answer, and close, before it has read all.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    assert_eq!(length.map(|n| n.parse().unwrap()).unwrap_or(0), body.len(), "{head}");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_may_ask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("messages.db");
    let (running, address, mut lines) = start_telling(TCP, &path, &["--metrics", "127.0.0.1:0"]);
    let url = lines.next().unwrap().unwrap();
    let at = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap().to_owned();
    let client = node(&in_memory()).await;
    for _ in 0..3 {
        assert_eq!(held(&client, &address).await, 0);
    }
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").into_bytes();
    tokio::task::spawn_blocking(move || {
        // The response to a client is counted once it is written.
        let seen = loop {
            let (status, body) = asked(&at, &get("/metrics"));
            assert_eq!(status, "HTTP/1.1 200 OK");
            let seen = scraped::Metrics::read(&body);
            if seen.get("wakustore_store_response_duration_seconds_count") == 3.0 {
                break seen;
            }
        };
        assert_eq!(seen.get("waku_store_queries"), 3.0);
        assert_eq!(seen.get("libp2p_peers"), 1.0);
        let (status, body) = asked(&at, &get("/health"));
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert_eq!(body, "archive writable, 1 peers, 0 syncs\n");
        assert_eq!(asked(&at, &get("/other")).0, "HTTP/1.1 404 Not Found");
        let post = b"POST /metrics HTTP/1.1\r\n\r\n";
        assert_eq!(asked(&at, post).0, "HTTP/1.1 405 Method Not Allowed");
        let long = [b"GET /metrics HTTP/1.1\r\n".to_vec(), vec![b'x'; 8 * 1024]].concat();
        assert_eq!(asked(&at, &long).0, "HTTP/1.1 431 Request Header Fields Too Large");
        // Those who say nothing take up the places for five seconds, and no longer.
        let silent: Vec<_> = (0..10).map(|_| TcpStream::connect(&at).unwrap()).collect();
        assert_eq!(asked(&at, &get("/metrics?x=1")).0, "HTTP/1.1 200 OK");
        drop(silent);
    })
    .await
    .unwrap();
    assert!(terminate(running), "it ends well");
}

#[test]
fn what_it_does_not_know_is_told() {
    for wrong in [&["--path"][..], &["--path", "x.db", "--relay", "perhaps"], &["--other", "1"]] {
        let ended = Command::new(program()).args(wrong).stdin(Stdio::null()).output().unwrap();
        assert!(!ended.status.success());
        assert!(String::from_utf8_lossy(&ended.stderr).contains("usage: store_node"), "{wrong:?}");
    }
}
