//! Peers with a secp256k1 key, as nwaku and go-waku have: they connect, are dialled, and a node may
//! have such a key itself.

#![cfg(all(feature = "node", feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::os::unix::fs::OpenOptionsExt;

use futures::StreamExt;
use libp2p::identity::{Keypair, secp256k1};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use node_support::*;
use wakustore::node::{Identity, Node, NodeConfig, NodeEvent};

fn key() -> Keypair {
    let secret = secp256k1::SecretKey::try_from_bytes(&mut rand32()).unwrap();
    secp256k1::Keypair::from(secret).into()
}

fn peer(key: Keypair) -> Swarm<libp2p_stream::Behaviour> {
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .with_swarm_config(|c| c.with_idle_connection_timeout(std::time::Duration::from_secs(600)))
        .build()
}

/// Runs a peer, once it listens.
async fn running(mut peer: Swarm<libp2p_stream::Behaviour>) -> Multiaddr {
    peer.listen_on(TCP.parse().unwrap()).unwrap();
    let id = *peer.local_peer_id();
    let at = soon(async {
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = peer.select_next_some().await {
                return address;
            }
        }
    })
    .await;
    tokio::spawn(async move {
        loop {
            peer.select_next_some().await;
        }
    });
    at.with_p2p(id).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_with_secp256k1_keys_connect_and_are_dialled() {
    let archive = in_memory();
    let node = node(&archive).await;
    let mut events = node.events();
    let mut dialling = peer(key());
    let id = dialling.local_peer_id().to_string();
    assert!(id.starts_with("16Uiu2"), "{id}");
    dialling.dial(address(&node).parse::<Multiaddr>().unwrap()).unwrap();
    running(dialling).await;
    event(&mut events, |e| match e {
        NodeEvent::PeerConnected { peer_id } => (peer_id == id).then_some(()),
        _ => None,
    })
    .await;

    let dialled = peer(key());
    let id = dialled.local_peer_id().to_string();
    let at = running(dialled).await;
    assert_eq!(soon(node.dial(&at.to_string())).await.unwrap(), id);
    node.stop().await;
}

/// Who comes from a deployed node may bring his name along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_may_have_such_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("node.key"), key());
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
    std::io::Write::write_all(&mut file, &key.to_protobuf_encoding().unwrap()).unwrap();
    let archive = in_memory();
    let config = NodeConfig { identity: Identity::File(path), ..config() };
    let named = Node::start(config, archive.clone()).await.unwrap();
    assert_eq!(named.peer_id(), key.public().to_peer_id().to_string());
    let other = node(&archive).await;
    assert_eq!(soon(other.dial(&address(&named))).await.unwrap(), named.peer_id());
    other.stop().await;
    named.stop().await;
}
