//! Several nodes on loopback, left to themselves: their heartbeats bring all messages to all.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::time::Duration;

use node_support::*;
use wakustore::archive::Archive;
use wakustore::engine::EngineConfig;
use wakustore::node::{Node, NodeConfig};

/// Nodes with a hundred messages each that nobody else has, and the default of everything but the
/// heartbeat.
async fn start(count: usize) -> Vec<(Node, Archive)> {
    let mut nodes = Vec::new();
    for n in 0..count {
        let archive = in_memory();
        put(&archive, (0..100).map(|i| message(n * 100 + i, 200)).collect()).await;
        let heartbeat = Some(Duration::from_secs(1));
        let engine = EngineConfig { heartbeat, ..EngineConfig::default() };
        let node = Node::start(NodeConfig { engine, ..config() }, archive.clone()).await.unwrap();
        nodes.push((node, archive));
    }
    nodes
}

/// Waits until each holds what all hold together.
async fn converge(nodes: &[(Node, Archive)]) {
    let all = nodes.len() as u64 * 100;
    for (_, archive) in nodes {
        soon(async {
            while archive.stats().await.unwrap().messages < all {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    for (_, archive) in nodes {
        assert_same(archive, &nodes[0].1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_of_five_converges() {
    let nodes = start(5).await;
    for (n, (node, _)) in nodes.iter().enumerate() {
        for (other, _) in &nodes[..n] {
            soon(node.dial(&address(other))).await.unwrap();
        }
    }
    converge(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_eight_converges() {
    let nodes = start(8).await;
    for pair in nodes.windows(2) {
        soon(pair[0].0.dial(&address(&pair[1].0))).await.unwrap();
    }
    converge(&nodes).await;
}
