//! A go-waku node beside a store node that runs as a process: relay both ways, Store v3 asked by its
//! client, metadata, identify and ping; and it is not disconnected while it has anything to do.
//!
//! The peer is `tests/interop/go`, which tests/interop/go/run.sh builds before it runs this. What it
//! asks and how it compares is told there; here is what wakustore publishes, and what must be in the
//! store node's archive in the end.

#![cfg(all(feature = "node", feature = "sqlite", feature = "postgres", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;
mod programs;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use node_support::*;
use programs::{Program, example};
use wakustore::node::{Node, NodeConfig};
use wakustore::types::{ContentTopic, MessageHash, Query, WakuMessage};

/// The shard that the peer is on.
const SHARD: u32 = 1;
/// How long it stays at the least: some heartbeats of relay, and pings of both sides.
const SECONDS: &str = "45";

/// What the peer tells next, which must be this.
async fn tells(go: &mut Program, what: &str) -> serde_json::Value {
    let line = go.line().await;
    println!("go-waku: {line:.200}");
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    told.get(what).unwrap_or_else(|| panic!("{what} was due")).clone()
}

fn store_node(path: &Path) -> Program {
    let mut command = Command::new(example("store_node"));
    command.arg("--path").arg(path).args(["--listen", TCP, "--relay", "yes", "--heartbeat", "0"]);
    Program::start(command.args(["--cluster", "16", "--shards", "0,1"]))
}

/// Of all kinds that may be stored; go-waku takes none without a payload.
fn messages(of: &str) -> Vec<WakuMessage> {
    (0..30)
        .map(|n| {
            let size = if n == 7 { 150 * 1024 - 200 } else { 1 + n * 41 };
            let payload: Vec<u8> = (0..size).map(|i| (i * 7 + n * 13) as u8).collect();
            let content = ContentTopic::new(format!("/{of}/1/topic-{}/proto", n % 3)).unwrap();
            let mut message = WakuMessage::new(payload, content, clock());
            message.meta = (n % 4 == 1).then(|| vec![n as u8; n + 1].into());
            message.version = (n % 5 == 2).then_some(n as u32);
            message
        })
        .collect()
}

async fn publish(node: &Node, of: &str) -> Vec<MessageHash> {
    let mut hashes = Vec::new();
    for message in messages(of) {
        hashes.push(soon(node.publish(shard(SHARD), message)).await.unwrap());
    }
    hashes
}

async fn subscribed(node: &Node, count: usize) {
    soon(async {
        while node.relay_peers(shard(SHARD)).await.unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// All that a store node holds.
async fn held(client: &Node, address: &str) -> BTreeSet<String> {
    let query = Query { limit: 100, include_data: false, ..Query::default() };
    let mut walk = client.history(address, query).unwrap();
    let mut all = BTreeSet::new();
    while let Some(page) = soon(walk.next()).await.unwrap() {
        all.extend(page.entries.iter().map(|entry| entry.hash.to_string()));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/interop/go/run.sh builds the peer and runs this"]
async fn a_go_waku_node_relays_asks_and_stays() {
    let peer = std::env::var_os("WAKUSTORE_GO_PEER").expect("WAKUSTORE_GO_PEER names the peer");
    let dir = tempfile::tempdir().unwrap();
    let mut store = store_node(&dir.path().join("messages.db"));
    let address = store.line().await;
    assert_eq!(store.line().await, "ready");
    let mut go = Program::start(Command::new(peer).args([&address, "16", "1", SECONDS]));
    let at = tells(&mut go, "at").await;

    // First over the store node, then from this node itself, which connects to go-waku.
    let node = NodeConfig { relay: true, serve_store: false, sync: false, ..config() };
    let node = Node::start(node, in_memory()).await.unwrap();
    soon(node.dial(&address)).await.unwrap();
    subscribed(&node, 1).await;
    let mut published = publish(&node, "passed-on").await;
    let go_peer = soon(node.dial(at.as_str().unwrap())).await.unwrap();
    subscribed(&node, 2).await;
    published.extend(publish(&node, "direct").await);
    let mut expected: BTreeSet<String> = published.iter().map(ToString::to_string).collect();
    go.say(&serde_json::json!({ "heard": expected }).to_string());
    assert_eq!(tells(&mut go, "heard").await, expected.len());

    let own = tells(&mut go, "published").await;
    expected.extend(own.as_array().unwrap().iter().map(|hash| hash.as_str().unwrap().to_owned()));
    assert_eq!(expected.len(), 120);
    let mut checks = 0;
    loop {
        let line = go.line().await;
        println!("go-waku: {line}");
        if line.contains("\"stayed\"") {
            break;
        }
        assert!(line.contains("\"ok\""));
        checks += 1;
    }
    assert_eq!(checks, 16, "what go-waku asks has changed");
    // The one that connected to it was not sent away either, and both hold what it published.
    assert!(node.peers().contains(&go_peer));
    assert_eq!(held(&node, &address).await, expected);
    let here = hashes(node.archive()).await.iter().map(ToString::to_string).collect();
    assert_eq!(expected, here);

    // Its count of disconnections can count.
    go.close_stdin();
    node.stop().await;
    store.ends().await;
    tells(&mut go, "left").await;
    go.ends().await;
}
