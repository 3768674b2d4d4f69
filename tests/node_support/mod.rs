//! What the node's tests share: archives, messages, nodes on loopback, and a peer made by hand.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::future::Future;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use libp2p::core::upgrade::Version;
use libp2p::swarm::{SwarmEvent, dial_opts::DialOpts};
use libp2p::{Multiaddr, PeerId, Swarm, Transport, identity, noise, tcp, yamux};
use wakustore::archive::{
    Archive, ArchiveConfig, MemoryBackend, PutOutcome, Rules, SqliteBackend, SqliteConfig,
};
use wakustore::engine::EngineConfig;
use wakustore::node::{Events, Node, NodeConfig, NodeEvent, NodeSyncReport};
use wakustore::types::{
    ContentTopic, MessageHash, Origin, PubsubTopic, Query, StoredMessage, Timestamp, WakuMessage,
};

pub const CLUSTER: u32 = 16;
pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const WS: &str = "/ip4/127.0.0.1/tcp/0/ws";

/// No test waits longer than this for anything.
pub async fn soon<T>(doing: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), doing).await.expect("it takes too long")
}

pub fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(now.as_nanos()).unwrap())
}

fn archive_config() -> ArchiveConfig {
    let rules = Rules { check_live_age: false, ..Rules::default() };
    ArchiveConfig { rules, ..ArchiveConfig::new(clock) }
}

pub fn in_memory() -> Archive {
    Archive::open(MemoryBackend::default(), archive_config()).unwrap()
}

pub fn on_disk(path: &Path) -> Archive {
    let backend = SqliteBackend::open(SqliteConfig::new(path)).unwrap();
    Archive::open(backend, archive_config()).unwrap()
}

pub fn shard(n: u32) -> PubsubTopic {
    PubsubTopic::of_shard(CLUSTER, n)
}

pub fn content(n: usize) -> ContentTopic {
    ContentTopic::new(format!("/test/1/topic-{n}/proto")).unwrap()
}

/// The `n`th of many messages: of the last half hour, some a second, on two shards and four content
/// topics, with a payload that no other has.
pub fn message(n: usize, size: usize) -> StoredMessage {
    let base = clock().saturating_sub(Duration::from_secs(1800)).nanos() / 1_000_000_000;
    let at = Timestamp(base * 1_000_000_000).saturating_add(Duration::from_millis(n as u64 * 200));
    message_at(n, size, at)
}

pub fn message_at(n: usize, size: usize, at: Timestamp) -> StoredMessage {
    let mut payload = vec![n as u8; size.max(8)];
    payload[..8].copy_from_slice(&(n as u64).to_be_bytes());
    let message = WakuMessage::new(payload, content(n % 4), at);
    StoredMessage::new(shard((n % 2) as u32), message)
}

pub async fn put(archive: &Archive, messages: Vec<StoredMessage>) {
    for outcome in archive.put(messages, Origin::Live).await.unwrap() {
        assert_eq!(outcome, PutOutcome::Stored);
    }
}

/// All hashes that an archive holds, in its order.
pub async fn hashes(archive: &Archive) -> Vec<MessageHash> {
    let mut all = Vec::new();
    let mut query = Query { limit: 100, include_data: false, ..Query::default() };
    loop {
        let page = archive.query(query.clone()).await.unwrap();
        all.extend(page.entries.iter().map(|e| e.hash));
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return all,
        }
    }
}

pub fn config() -> NodeConfig {
    NodeConfig {
        listen: vec![TCP.into()],
        cluster_id: CLUSTER,
        shards: vec![0, 1],
        request_timeout: Duration::from_secs(20),
        engine: EngineConfig {
            heartbeat: None,
            // Tests count the syncs that they begin.
            sync_on_connect: false,
            resume: false,
            grace: Duration::from_secs(2),
            ..EngineConfig::default()
        },
        ..NodeConfig::default()
    }
}

pub async fn node(archive: &Archive) -> Node {
    Node::start(config(), archive.clone()).await.unwrap()
}

pub fn address(node: &Node) -> String {
    node.addresses().first().expect("it listens").clone()
}

/// Waits for the next end of a sync.
pub async fn finished(events: &mut Events) -> NodeSyncReport {
    event(events, |e| match e {
        NodeEvent::SyncFinished(report) => Some(report),
        _ => None,
    })
    .await
}

/// Compares what two archives hold; a difference is told by its size.
pub async fn assert_same(a: &Archive, b: &Archive) {
    let (a, b) = (hashes(a).await, hashes(b).await);
    assert!(a == b, "{} messages here, {} there, and not the same", a.len(), b.len());
}

/// Waits for the event that `wanted` takes.
pub async fn event<T>(events: &mut Events, wanted: impl Fn(NodeEvent) -> Option<T>) -> T {
    soon(async {
        loop {
            let event = events.next().await.expect("the node runs");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    })
    .await
}

/// A peer made by hand: libp2p and nothing of ours.
pub struct RawPeer {
    pub id: PeerId,
    /// The seed of its identity: another with the same is the same peer.
    pub seed: [u8; 32],
    pub control: libp2p_stream::Control,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for RawPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Which multiplexer a raw peer offers.
#[derive(Clone, Copy)]
pub enum Muxer {
    Yamux,
    Mplex,
}

impl RawPeer {
    /// Connects to a node.
    pub async fn connect(to: &Node, muxer: Muxer) -> RawPeer {
        RawPeer::connect_serving(to, muxer, |_| {}).await
    }

    /// Connects to a node; `serve` registers protocols first.
    pub async fn connect_serving(
        to: &Node,
        muxer: Muxer,
        serve: impl FnOnce(&mut libp2p_stream::Control),
    ) -> RawPeer {
        RawPeer::connect_as(to, muxer, rand32(), serve).await
    }

    /// Connects to a node with this identity.
    pub async fn connect_as(
        to: &Node,
        muxer: Muxer,
        seed: [u8; 32],
        serve: impl FnOnce(&mut libp2p_stream::Control),
    ) -> RawPeer {
        let key = identity::Keypair::ed25519_from_bytes(seed).unwrap();
        let id = key.public().to_peer_id();
        let upgrade = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(&key).unwrap());
        let transport = match muxer {
            Muxer::Yamux => upgrade.multiplex(yamux::Config::default()).boxed(),
            Muxer::Mplex => upgrade.multiplex(libp2p_mplex::Config::new()).boxed(),
        };
        let behaviour = libp2p_stream::Behaviour::new();
        let mut control = behaviour.new_control();
        serve(&mut control);
        let config = libp2p::swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(Duration::from_secs(600));
        let mut swarm = Swarm::new(transport, behaviour, id, config);
        let at: Multiaddr = address(to).parse().unwrap();
        swarm.dial(DialOpts::unknown_peer_id().address(at).build()).unwrap();
        soon(async {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { .. } => break,
                    SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                    _ => {}
                }
            }
        })
        .await;
        let task = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        RawPeer { id, seed, control, task }
    }

    /// Opens a stream to a node.
    pub async fn open(&mut self, to: &Node, protocol: &'static str) -> libp2p::Stream {
        let peer = to.peer_id().parse().unwrap();
        let protocol = libp2p::StreamProtocol::new(protocol);
        soon(self.control.open_stream(peer, protocol)).await.unwrap()
    }
}

pub fn rand32() -> [u8; 32] {
    // A fresh hasher's keys are the standard library's own randomness.
    use std::hash::{BuildHasher, RandomState};
    let mut out = [0; 32];
    for (i, part) in out.chunks_mut(8).enumerate() {
        part.copy_from_slice(&RandomState::new().hash_one(i).to_be_bytes());
    }
    out
}

pub fn framed(frame: &[u8]) -> Vec<u8> {
    wakustore::wire::varint::prefixed(frame)
}
