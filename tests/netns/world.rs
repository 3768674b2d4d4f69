//! Some nodes as processes, each in a namespace of its own, the links between them, and what tells
//! them messages and asks what they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libp2p::identity::Keypair;
use wakustore::archive::{Archive, ArchiveConfig, SqliteBackend, SqliteConfig};
use wakustore::node::{Identity, Node, NodeConfig};
use wakustore::types::{MessageHash, Query, WakuMessage};

use super::link::{Link, Way};
use super::{program, spaces};
use crate::node_support::*;
use crate::programs::Program;

/// How long a byte is on its way between two nodes.
pub const DELAY: Duration = Duration::from_millis(100);
/// How long healing may take before something is wrong.
const PATIENCE: Duration = Duration::from_secs(150);

pub type Hashes = BTreeSet<MessageHash>;

/// See the head of the file.
pub struct World {
    dir: tempfile::TempDir,
    nodes: Vec<Option<Program>>,
    links: BTreeMap<(usize, usize), Link>,
    megabits: u32,
    /// Asks the nodes what they hold.
    client: Node,
    /// All that was published.
    pub published: Hashes,
    count: usize,
}

fn peer_id(node: usize) -> String {
    Keypair::ed25519_from_bytes([1 + node as u8; 32]).unwrap().public().to_peer_id().to_string()
}

fn multiaddr(at: std::net::SocketAddr, node: usize) -> String {
    format!("/ip4/{}/tcp/{}/p2p/{}", at.ip(), at.port(), peer_id(node))
}

/// Asks, or publishes; keeps nothing and syncs with nobody.
async fn helper(relay: bool) -> Node {
    let config = NodeConfig {
        identity: Identity::Ephemeral,
        listen: Vec::new(),
        shards: Vec::new(),
        relay,
        serve_store: false,
        sync: false,
        ..config()
    };
    Node::start(config, in_memory()).await.unwrap()
}

impl World {
    /// Nodes with these links between them, all open, and all nodes connected by them.
    pub async fn new(nodes: usize, pairs: &[(usize, usize)], megabits: u32) -> World {
        let mut links = BTreeMap::new();
        for node in 0..nodes {
            spaces::add(node, megabits);
        }
        for &(a, b) in pairs {
            let ways = [
                (spaces::on_the_way(a, b), spaces::of_node(b)),
                (spaces::on_the_way(b, a), spaces::of_node(a)),
            ];
            links.insert((a, b), Link::new(ways, DELAY).await);
        }
        let mut world = World {
            dir: tempfile::tempdir().unwrap(),
            nodes: (0..nodes).map(|_| None).collect(),
            links,
            megabits,
            client: helper(false).await,
            published: Hashes::new(),
            count: 0,
        };
        for node in 0..nodes {
            world.start(node).await;
        }
        world
    }

    fn file(&self, node: usize, what: &str) -> PathBuf {
        self.dir.path().join(format!("{node}.{what}"))
    }

    /// Starts a node, for the first time or again.
    pub async fn start(&mut self, node: usize) {
        let ends = self.links.keys().flat_map(|&(a, b)| [(a, b), (b, a)]);
        let peers = ends.filter(|(from, _)| *from == node);
        let task = program::Task {
            path: self.file(node, "db"),
            state: self.file(node, "state"),
            seed: 1 + node as u8,
            listen: format!("/ip4/{}/tcp/{}", spaces::of_node(node).ip(), spaces::PORT),
            peers: peers.map(|(from, to)| multiaddr(spaces::on_the_way(from, to), to)).collect(),
        };
        let mut program = Program::start(&mut program::command(spaces::command(node), &task));
        while program.line().await != program::READY {}
        self.nodes[node] = Some(program);
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node].take().unwrap().kill();
    }

    pub fn set(&self, a: usize, b: usize, way: Way) {
        self.links[&(a, b)].set(way);
    }

    /// Connections that were made before something broke may be slow to notice: asks by new ones.
    pub async fn ask_anew(&mut self) {
        self.client.stop().await;
        self.client = helper(false).await;
    }

    /// Everything that a node holds, by Store.
    pub async fn held(&self, node: usize) -> Hashes {
        let query = Query { limit: 100, include_data: false, ..Query::default() };
        let peer = multiaddr(spaces::of_node(node), node);
        let mut walk = self.client.history(&peer, query).unwrap();
        let mut all = Hashes::new();
        while let Some(page) = soon(walk.next()).await.unwrap() {
            all.extend(page.entries.iter().map(|entry| entry.hash));
        }
        all
    }

    /// Everything that a node's file holds, whatever its links do.
    async fn stored(&self, node: usize) -> Hashes {
        let config = SqliteConfig { read_only: true, ..SqliteConfig::new(self.file(node, "db")) };
        let archive = SqliteBackend::open(config).unwrap();
        let archive = Archive::open(archive, ArchiveConfig::new(clock)).unwrap();
        let all = hashes(&archive).await.into_iter().collect();
        archive.close();
        all
    }

    /// Publishes by relay to one node alone, from nearby, so many messages in this time; waits until
    /// the node holds them. What others hear of it is up to the links.
    pub async fn publish(&mut self, to: usize, count: usize, within: Duration) -> Hashes {
        let mut publisher = Publisher::to(to, self.count).await;
        self.count += count;
        let sent = publisher.publish(count, within).await;
        self.taken(to, &sent).await;
        self.published.extend(&sent);
        sent
    }

    /// Until a node holds all of these.
    pub async fn taken(&self, node: usize, these: &Hashes) {
        soon(async {
            while !self.stored(node).await.is_superset(these) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }

    /// How much of what was published each of these nodes lacks.
    pub async fn lacking(&self, nodes: &[usize]) -> Vec<usize> {
        let mut lacking = Vec::new();
        for node in nodes {
            lacking.push(self.published.difference(&self.stored(*node).await).count());
        }
        lacking
    }

    /// Waits until all nodes hold exactly what was published, and tells how long that took from
    /// this moment. `lacked` is what they lacked before. It looks at their files, as asking them
    /// would take a good part of what a link carries; in the end it asks them too.
    pub async fn heals(&self, scenario: &str, began: Instant, lacked: &[usize]) {
        let mut left: Vec<usize> = (0..self.nodes.len()).collect();
        let mut counts = vec![0; left.len()];
        while !left.is_empty() {
            let mut still = Vec::new();
            for node in left {
                let stored = self.stored(node).await;
                let strangers = stored.difference(&self.published).count();
                assert_eq!(strangers, 0, "node {node} holds what nobody published");
                counts[node] = stored.len();
                if stored != self.published {
                    still.push(node);
                }
            }
            left = still;
            let passed = began.elapsed();
            assert!(
                left.is_empty() || passed < PATIENCE,
                "{scenario}: after {passed:?} the nodes hold {counts:?} of {}",
                self.published.len()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let passed = began.elapsed();
        for node in 0..self.nodes.len() {
            assert!(self.held(node).await == self.published, "what Store says of node {node}");
        }
        println!(
            "{}",
            serde_json::json!({
                "scenario": scenario,
                "nodes": self.nodes.len(),
                "messages": self.published.len(),
                "lacked": lacked,
                "delay_ms": DELAY.as_millis() as u64,
                "megabits": self.megabits,
                "heartbeat_seconds": program::HEARTBEAT.as_secs(),
                "healed_after_seconds": (passed.as_secs_f64() * 10.0).round() / 10.0,
            })
        );
    }

    /// Ends all nodes in order.
    pub async fn end(self) {
        self.client.stop().await;
        for program in self.nodes.into_iter().flatten() {
            program.ends().await;
        }
    }
}

/// Publishes to one node.
pub struct Publisher {
    node: Node,
    first: usize,
}

impl Publisher {
    /// `first` is the number of its first message: no two are the same.
    pub async fn to(node: usize, first: usize) -> Publisher {
        let publisher = helper(true).await;
        soon(publisher.dial(&multiaddr(spaces::of_node(node), node))).await.unwrap();
        soon(async {
            for n in [0, 1] {
                while publisher.relay_peers(shard(n)).await.unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        })
        .await;
        Publisher { node: publisher, first }
    }

    pub async fn publish(&mut self, count: usize, within: Duration) -> Hashes {
        let mut sent = Hashes::new();
        let pause = within / count as u32;
        for n in self.first..self.first + count {
            let payload = format!("message {n} ").repeat(20 + n % 500);
            let message = WakuMessage::new(payload, content(n % 4), clock());
            sent.insert(soon(self.node.publish(shard((n % 2) as u32), message)).await.unwrap());
            tokio::time::sleep(pause).await;
        }
        self.first += count;
        sent
    }
}
