//! A node as a process: this test's own program, run again with its task in the environment.

use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use wakustore::engine::EngineConfig;
use wakustore::node::{Identity, Node, NodeConfig};
use wakustore::wire::reconciliation::Scope;

use crate::node_support::*;

/// Set for nodes alone.
const TASK: &str = "WAKUSTORE_TEST_NODE";
/// The test that is the node where it has a task.
const TEST: &str = "a_node";
/// What it says when it listens.
pub const READY: &str = "ready";
/// The time between two syncs that a node begins by itself.
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// How often it dials a peer that it is not connected with.
const REDIAL: Duration = Duration::from_secs(1);

/// What a node is told.
pub struct Task {
    pub path: PathBuf,
    pub state: PathBuf,
    /// All bytes of its secret key.
    pub seed: u8,
    pub listen: String,
    /// Whom it is to be connected with.
    pub peers: Vec<String>,
}

pub fn command(mut command: Command, task: &Task) -> Command {
    let task = serde_json::json!({
        "path": task.path,
        "state": task.state,
        "seed": task.seed,
        "listen": task.listen,
        "peers": task.peers,
    });
    command.args(["--exact", TEST, "--nocapture", "--test-threads=1"]).env(TASK, task.to_string());
    command
}

/// Runs the node of the task, until standard input closes. Without a task it does nothing.
pub fn run() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let task: serde_json::Value = serde_json::from_str(task.to_str().unwrap()).unwrap();
    let text = |name: &str| task[name].as_str().unwrap().to_owned();
    let peers = task["peers"].as_array().unwrap();
    let task = Task {
        path: text("path").into(),
        state: text("state").into(),
        seed: task["seed"].as_u64().unwrap() as u8,
        listen: text("listen"),
        peers: peers.iter().map(|peer| peer.as_str().unwrap().to_owned()).collect(),
    };
    tokio::runtime::Runtime::new().unwrap().block_on(node_of(task));
}

async fn node_of(task: Task) {
    let archive = on_disk(&task.path);
    let config = NodeConfig {
        identity: Identity::Secret([task.seed; 32]),
        listen: vec![task.listen],
        cluster_id: CLUSTER,
        shards: vec![0, 1],
        relay: true,
        state: Some(task.state),
        engine: EngineConfig {
            scope: Scope { pubsub_topics: vec![shard(0), shard(1)], content_topics: Vec::new() },
            heartbeat: Some(HEARTBEAT),
            heartbeat_peers: 2,
            margin: Duration::from_secs(2),
            ..EngineConfig::default()
        },
        ..NodeConfig::default()
    };
    let node = Node::start(config, archive.clone()).await.unwrap();
    println!("\n{READY}");
    let dialling: Vec<_> =
        task.peers.into_iter().map(|peer| tokio::spawn(keep(node.clone(), peer))).collect();
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    closed.await.unwrap().unwrap();
    for dialling in dialling {
        dialling.abort();
    }
    node.stop().await;
    archive.close();
}

/// Stays connected with a peer.
async fn keep(node: Node, peer: String) {
    let id = peer.rsplit('/').next().unwrap().to_owned();
    loop {
        if !node.peers().contains(&id) {
            let _ = node.dial(&peer).await;
        }
        tokio::time::sleep(REDIAL).await;
    }
}
