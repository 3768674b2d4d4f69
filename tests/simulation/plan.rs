//! What a seed means: nodes, links, messages, and the trouble they get into.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wakustore::engine::{AddressGroup, EngineConfig, PeerInfo};
use wakustore::sync::reconcile::Tuning;
use wakustore::types::{ContentTopic, PubsubTopic, StoredMessage};
use wakustore::wire::reconciliation::Scope;

use crate::sim::{Random, content, shard, with};

/// A kind of trouble. A seed has three of them or more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// Streams are reset: what is under way on them is lost.
    Loss,
    /// Some links are slow, one way.
    Delay,
    /// Streams overtake each other, messages what announces them.
    Reordering,
    /// Links break, and whole parts of the network are cut off.
    Partition,
    /// Nodes lose their engine and start anew over their archive.
    Restart,
    /// Archives are busy, slow, full or broken for a while.
    Archive,
    /// Wall clocks are off.
    Skew,
    /// Feeds tell late what was committed.
    SlowFeed,
    /// Feeds skip what was committed and only say so.
    FeedGap,
    /// Peers lie.
    Liars,
}

const FAULTS: [Fault; 10] = [
    Fault::Loss,
    Fault::Delay,
    Fault::Reordering,
    Fault::Partition,
    Fault::Restart,
    Fault::Archive,
    Fault::Skew,
    Fault::SlowFeed,
    Fault::FeedGap,
    Fault::Liars,
];

/// A seed, spelt out.
pub struct Plan {
    pub seed: u64,
    /// Honest nodes; liars and nodes of another kind come behind them.
    pub nodes: usize,
    pub topology: &'static str,
    pub links: BTreeSet<(usize, usize)>,
    pub faults: BTreeSet<Fault>,
    pub config: EngineConfig,
    /// What each honest node holds and compares.
    pub scopes: Vec<Scope>,
    pub topics: u32,
    /// Messages of honest origin, and which honest nodes hold each from the start.
    pub messages: Vec<(StoredMessage, Vec<usize>)>,
    /// For what is decided while it runs.
    pub random: Random,
}

/// Which protocol the peers of a seed speak: in the odd ones wakustore's own too.
pub fn peer_info(seed: u64, node: usize) -> PeerInfo {
    let strong = seed % 2 == 1;
    PeerInfo { strong, group: AddressGroup(node as u64), ..PeerInfo::reconciling() }
}

/// The shortest time between two heartbeats of a node.
const HEARTBEATS: [u64; 3] = [20, 60, 120];

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut r = Random(seed.wrapping_mul(0x9e37_79b9).wrapping_add(7));
        let nodes = 5 + r.below(8) as usize;
        let (topology, links) = links(&mut r, nodes);
        let mut faults = BTreeSet::new();
        let kinds = 3 + r.below(4) as usize;
        while faults.len() < kinds {
            faults.insert(FAULTS[r.below(FAULTS.len() as u64) as usize]);
        }
        let topics = 1 + r.below(4) as u32;
        let config = config(&mut r, faults.contains(&Fault::Liars));
        let scopes = (0..nodes).map(|_| scope(&mut r, topics)).collect();
        let messages = messages(&mut r, nodes, topics);
        Plan { seed, nodes, topology, links, faults, config, scopes, topics, messages, random: r }
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub fn heartbeat(&self) -> Duration {
        self.config.heartbeat.unwrap()
    }

    /// So many heartbeats may pass until all is well again: 4·log2(nodes) + 4.
    pub fn beats(&self) -> u32 {
        (4.0 * (self.nodes as f64).log2() + 4.0).floor() as u32
    }

    /// Another message of honest origin.
    pub fn another(&mut self, n: u64, seconds_ago: f64) -> StoredMessage {
        one(&mut self.random, n, seconds_ago, self.topics)
    }

    pub fn describe(&self) -> String {
        format!(
            "{} nodes, {}, {:?}, {} messages over {} topics, a heartbeat of {} s",
            self.nodes,
            self.topology,
            self.faults,
            self.messages.len(),
            self.topics,
            self.heartbeat().as_secs(),
        )
    }
}

fn links(r: &mut Random, nodes: usize) -> (&'static str, BTreeSet<(usize, usize)>) {
    let mut links: BTreeSet<(usize, usize)> = BTreeSet::new();
    let chain = |n: usize| (1..n).map(|b| (b - 1, b));
    let name = match r.below(5) {
        0 if nodes <= 8 => {
            links.extend(chain(nodes));
            "a chain"
        }
        1 => {
            links.extend(chain(nodes));
            links.insert((0, nodes - 1));
            "a ring"
        }
        2 if nodes <= 8 => {
            links.extend((0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))));
            "a mesh"
        }
        3 => {
            links.extend((1..nodes).map(|b| (0, b)));
            "a star"
        }
        _ => {
            for b in 1..nodes {
                links.insert((r.below(b as u64) as usize, b));
            }
            for _ in 0..nodes {
                let (a, b) = (r.below(nodes as u64) as usize, r.below(nodes as u64) as usize);
                if a != b {
                    links.insert((a.min(b), a.max(b)));
                }
            }
            "at random"
        }
    };
    (name, links)
}

fn config(r: &mut Random, liars: bool) -> EngineConfig {
    // Where answers are cut short, spans come to be granted, in which a liar may bring what it
    // likes: then nobody could tell what may be stored.
    let max_answer = if !liars && r.below(3) == 0 { 800 + r.below(6000) as usize } else { 1 << 20 };
    EngineConfig {
        heartbeat: Some(Duration::from_secs(HEARTBEATS[r.below(3) as usize])),
        // Long enough that nothing grows out of it while this runs.
        window: Duration::from_secs(2 * 3600),
        tuning: Tuning {
            fan_out: 2 + r.below(30) as usize,
            max_item_set: 1 + r.below(100) as usize,
            max_answer,
        },
        max_in_flight: 2000 + r.below(50_000) as usize,
        idle_timeout: Duration::from_secs(15),
        max_duration: Duration::from_secs(120),
        ..EngineConfig::default()
    }
}

/// Most nodes compare all that they hold; some only a topic or two.
fn scope(r: &mut Random, topics: u32) -> Scope {
    let mut scope = Scope::default();
    if topics > 1 && r.below(4) == 0 {
        let first = r.below(u64::from(topics)) as u32;
        scope.pubsub_topics = vec![shard(first), shard((first + 1) % topics)];
        scope.pubsub_topics.dedup();
    }
    if r.below(8) == 0 {
        scope.content_topics = vec![content("a"), content("b")];
    }
    scope
}

fn one(r: &mut Random, n: u64, seconds_ago: f64, topics: u32) -> StoredMessage {
    let topic = r.below(u64::from(topics)) as u32;
    let name = ["a", "a", "b", "c"][r.below(4) as usize];
    with(n, seconds_ago, shard(topic), content(name), 8 + r.below(40) as usize)
}

/// A thousand and some: spread over most of an hour, some in bursts of one timestamp, some from
/// long before the window, and unevenly held.
fn messages(r: &mut Random, nodes: usize, topics: u32) -> Vec<(StoredMessage, Vec<usize>)> {
    let count = 1000 + r.below(200);
    let mut all = Vec::new();
    let mut burst = (0, 0.0);
    // How likely a node is to lack a message: now few, now most.
    let lacks: Vec<u64> = (0..nodes).map(|_| [0, 1, 2, 5, 30, 95][r.below(6) as usize]).collect();
    for n in 0..count {
        if burst.0 == 0 && r.below(150) == 0 {
            burst = (r.below(160), 100.0 + r.below(3_200_000) as f64 / 1000.0);
        }
        let ago = if burst.0 > 0 {
            burst.0 -= 1;
            burst.1
        } else if r.below(50) == 0 {
            // Beyond window and horizon.
            4.0 * 3600.0 + r.below(600_000) as f64 / 1000.0
        } else {
            100.0 + r.below(3_200_000) as f64 / 1000.0
        };
        let message = one(r, n, ago, topics);
        let mut holders: Vec<usize> =
            (0..nodes).filter(|node| r.below(100) >= lacks[*node]).collect();
        if holders.is_empty() || r.below(100) == 0 {
            holders = vec![r.below(nodes as u64) as usize];
        }
        all.push((message, holders));
    }
    all
}

/// The parts of a network of so many nodes that links among some of them hold together.
pub fn parts(
    of: impl Iterator<Item = usize>,
    links: &BTreeSet<(usize, usize)>,
) -> Vec<BTreeSet<usize>> {
    let mut part: BTreeMap<usize, usize> = of.map(|node| (node, node)).collect();
    loop {
        let mut changed = false;
        for (a, b) in links {
            let (Some(x), Some(y)) = (part.get(a).copied(), part.get(b).copied()) else { continue };
            changed |= x != y;
            part.insert(*a, x.min(y));
            part.insert(*b, x.min(y));
        }
        if !changed {
            break;
        }
    }
    let mut parts: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (node, part) in part {
        parts.entry(part).or_default().insert(node);
    }
    parts.into_values().collect()
}

/// Whether a scope takes a message of these topics.
pub fn admits(scope: &Scope, pubsub: &PubsubTopic, content: &ContentTopic) -> bool {
    (scope.pubsub_topics.is_empty() || scope.pubsub_topics.contains(pubsub))
        && (scope.content_topics.is_empty() || scope.content_topics.contains(content))
}
