//! Peers are found in trees in DNS (EIP-1459) that a test signs itself and a server on loopback
//! answers for; hostile trees cost little and are told of.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dns_support;
mod node_support;

use std::time::Duration;

use bytes::Bytes;
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use dns_support::{Answer, Dns, Zone};
use enr::Builder;
use k256::ecdsa::signature::hazmat::PrehashSigner;
use k256::ecdsa::{Signature, SigningKey};
use libp2p::Multiaddr;
use node_support::*;
use sha3::{Digest, Keccak256};
use wakustore::ErrorKind;
use wakustore::node::{Discovered, Discovery, Identity, Node, NodeConfig, NodeEvent, discover};

fn key(n: u8) -> SigningKey {
    SigningKey::from_slice(&[n; 32]).unwrap()
}

fn label(text: &str) -> String {
    BASE32_NOPAD.encode(&Keccak256::digest(text.as_bytes())[..16])
}

fn url(of: &SigningKey, domain: &str) -> String {
    let key = of.verifying_key().to_sec1_point(true).to_bytes();
    format!("enrtree://{}@{domain}", BASE32_NOPAD.encode(&key))
}

/// A tree that is being put together.
struct Tree<'a> {
    zone: &'a Zone,
    domain: &'a str,
}

impl Tree<'_> {
    /// Files an entry; its label.
    fn put(&self, text: &str) -> String {
        let label = label(text);
        self.zone.put_texts(&format!("{label}.{}", self.domain), &[text]);
        label
    }

    /// Files a branch over these entries.
    fn branch(&self, children: &[String]) -> String {
        self.put(&format!("enrtree-branch:{}", children.join(",")))
    }

    /// Signs a root over these two entries.
    fn root(&self, by: &SigningKey, records: &str, links: &str, seq: u64) {
        self.zone.put_texts(self.domain, &[signed(by, records, links, seq)]);
    }

    /// A whole tree of these entries.
    fn publish(&self, by: &SigningKey, records: &[String], links: &[String], seq: u64) {
        let put = |texts: &[String]| {
            let labels: Vec<String> = texts.iter().map(|text| self.put(text)).collect();
            // Two levels of branches, as large trees have.
            let branches: Vec<String> = labels.chunks(3).map(|some| self.branch(some)).collect();
            self.branch(&branches)
        };
        self.root(by, &put(records), &put(links), seq);
    }
}

fn signed(by: &SigningKey, records: &str, links: &str, seq: u64) -> String {
    let text = format!("enrtree-root:v1 e={records} l={links} seq={seq}");
    let signature: Signature = by.sign_prehash(&Keccak256::digest(text.as_bytes())).unwrap();
    let mut bytes = signature.to_bytes().to_vec();
    bytes.push(0);
    format!("{text} sig={}", BASE64URL_NOPAD.encode(&bytes))
}

/// The record of a node at these addresses, by this key.
fn record(by: &SigningKey, seq: u64, cluster: u16, bits: u8, addresses: &[String]) -> String {
    let mut packed = Vec::new();
    for text in addresses {
        let (at, _) = text.split_once("/p2p/").unwrap_or((text, ""));
        let bytes = at.parse::<Multiaddr>().unwrap().to_vec();
        packed.extend((bytes.len() as u16).to_be_bytes());
        packed.extend(bytes);
    }
    let mut shards = cluster.to_be_bytes().to_vec();
    shards.extend([1, 0, 1]);
    Builder::default()
        .seq(seq)
        .add_value("waku2", &Bytes::from(vec![bits]))
        .add_value("rs", &Bytes::from(shards))
        .add_value("multiaddrs", &Bytes::from(packed))
        .build(by)
        .unwrap()
        .to_base64()
}

/// A record of nobody in particular.
fn somebody(n: u8) -> String {
    record(&key(n), 1, CLUSTER as u16, 2, &[format!("/ip4/192.0.2.{n}/tcp/60000")])
}

async fn found(dns: &Dns, trees: &[String]) -> Discovered {
    soon(discover(trees, std::slice::from_ref(&dns.at), Duration::from_secs(50))).await.unwrap()
}

/// That exactly this went wrong, and this many were found all the same.
fn assert_skips(found: &Discovered, peers: usize, why: &[&str]) {
    assert_eq!(found.peers.len(), peers, "{found:#?}");
    assert_eq!(found.skipped.len(), why.len(), "{found:#?}");
    for part in why {
        assert!(found.skipped.iter().any(|line| line.contains(part)), "{part}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_read_over_its_branches_and_links() {
    let dns = Dns::start().await;
    let (one, two) = (key(1), key(2));
    let tree = Tree { zone: &dns.zone, domain: "one.test" };
    let records: Vec<String> = (10..27).map(somebody).collect();
    tree.publish(&one, &records, &[url(&two, "two.test")], 7);
    let other = Tree { zone: &dns.zone, domain: "two.test" };
    // Back to the first, and a peer that is in both, newer there.
    let newer = record(&key(10), 2, 1, 1, &["/dns4/n.test/tcp/8000/wss".to_owned()]);
    other.publish(&two, &[newer, somebody(40)], &[url(&one, "one.test")], 1);
    let all = found(&dns, &[url(&one, "one.test")]).await;
    assert_skips(&all, 18, &[]);
    let peer = all.peers.iter().find(|p| p.addresses[0].contains("/wss/")).unwrap();
    assert!(peer.peer_id.starts_with("16Uiu2"), "{peer:?}");
    assert_eq!(peer.addresses, [format!("/dns4/n.test/tcp/8000/wss/p2p/{}", peer.peer_id)]);
    assert_eq!((peer.cluster_id, peer.shards.as_slice()), (Some(1), &[1][..]));
    let said = peer.capabilities.unwrap();
    assert!(said.relay && !said.store);
    // A long answer comes over TCP.
    let tree = Tree { zone: &dns.zone, domain: "long.test" };
    let records: Vec<String> = (10..70).map(somebody).map(|text| tree.put(&text)).collect();
    let (all, none) = (tree.branch(&records), tree.branch(&[]));
    tree.root(&one, &all, &none, 1);
    assert_skips(&found(&dns, &[url(&one, "long.test")]).await, 60, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_as_it_should_be_is_named_and_left_out() {
    let dns = Dns::start().await;
    let (good, evil) = (key(1), key(2));
    let of = |domain: &str| url(&good, domain);
    let tree = |domain| Tree { zone: &dns.zone, domain };

    // A root by another key; one that was changed; none; a name that is not there.
    tree("forged.test").publish(&evil, &[somebody(9)], &[], 1);
    assert_skips(&found(&dns, &[of("forged.test")]).await, 0, &["not by the key"]);
    let t = tree("changed.test");
    t.publish(&good, &[somebody(9)], &[], 1);
    let none = t.branch(&[]);
    let text = signed(&good, &none, &none, 1).replace("seq=1", "seq=2");
    dns.zone.put_texts("changed.test", &[text]);
    assert_skips(&found(&dns, &[of("changed.test")]).await, 0, &["not by the key"]);
    dns.zone.put_texts("empty.test", &["v=spf1 -all"]);
    assert_skips(&found(&dns, &[of("empty.test")]).await, 0, &["there is no root"]);
    assert_skips(&found(&dns, &[of("nobody.test")]).await, 0, &["no such name"]);
    // The real one is found among others.
    let t = tree("among.test");
    t.publish(&good, &[somebody(9)], &[], 1);
    let root = signed(&good, &t.branch(&[t.put(&somebody(9))]), &none, 4);
    t.branch(&[]);
    let forged = signed(&evil, &none, &none, 9);
    dns.zone.put_texts("among.test", &["hello".to_owned(), forged, root]);
    assert_skips(&found(&dns, &[of("among.test")]).await, 1, &[]);

    // Entries with another text than their hash, no entries, garbage, a record that is none, one of
    // another kind than belongs there.
    let t = tree("entries.test");
    let swapped = t.put(&somebody(20));
    dns.zone.put_texts(&format!("{swapped}.entries.test"), &[somebody(21)]);
    let gone = label("gone");
    let garbage = t.put("hello");
    let torn = t.put(&somebody(22).replace("enr:-", "enr:-A"));
    let children = [swapped, gone, garbage, torn, t.put(&of("x.test")), t.put(&somebody(23))];
    t.root(&good, &t.branch(&children), &t.branch(&[t.put(&somebody(24))]), 1);
    let why = [
        "has the hash",
        "no such name",
        "no known kind",
        "cannot be read",
        "link among the records",
        "record among the links",
    ];
    assert_skips(&found(&dns, &[of("entries.test")]).await, 1, &why);

    for text in ["enrtree://x@y", "https://example.org", ""] {
        let error = discover(&[text.to_owned()], &[], Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_without_an_end_has_one() {
    let dns = Dns::start().await;
    let by = key(1);
    // Branch on branch, further down than any tree.
    let t = Tree { zone: &dns.zone, domain: "deep.test" };
    let mut top = t.put(&somebody(9));
    for _ in 0..40 {
        top = t.branch(&[top]);
    }
    let none = t.branch(&[]);
    t.root(&by, &top, &none, 1);
    let deep = found(&dns, &[url(&by, "deep.test")]).await;
    assert_skips(&deep, 0, &["branches on each other"]);
    assert!(dns.zone.asked().len() < 20, "{}", dns.zone.asked().len());

    // More entries than are read; the good tree beside it is read all the same.
    let wide = Tree { zone: &dns.zone, domain: "wide.test" };
    let branches: Vec<String> = (0..40)
        .map(|n| {
            let dead: Vec<String> = (0..50).map(|m| label(&format!("{n} {m}"))).collect();
            wide.branch(&dead)
        })
        .collect();
    wide.root(&by, &wide.branch(&branches), &none, 1);
    wide.put("enrtree-branch:");
    let small = Tree { zone: &dns.zone, domain: "small.test" };
    small.publish(&by, &[somebody(9)], &[], 1);
    dns.zone.forget_asked();
    let both = found(&dns, &[url(&by, "wide.test"), url(&by, "small.test")]).await;
    assert_eq!(both.peers.len(), 1, "{both:#?}");
    assert!(both.skipped.len() <= 64 && both.more_skipped > 1_000, "{}", both.more_skipped);
    let asked = dns.zone.asked().len();
    assert!((100..=1_200).contains(&asked), "{asked}");

    // Trees that link to ever more trees.
    for n in 0..30_u8 {
        let domain = format!("chain{n}.test");
        let t = Tree { zone: &dns.zone, domain: &domain };
        let next = url(&by, &format!("chain{}.test", n + 1));
        t.publish(&by, &[somebody(50 + n)], &[next], 1);
    }
    let chain = found(&dns, &[url(&by, "chain0.test")]).await;
    assert_skips(&chain, 4, &["links lead to it"]);
    let fan = Tree { zone: &dns.zone, domain: "fan.test" };
    let links: Vec<String> = (0..30).map(|n| url(&by, &format!("chain{n}.test"))).collect();
    fan.publish(&by, &[], &links, 1);
    let fan = found(&dns, &[url(&by, "fan.test")]).await;
    assert!((10..=16).contains(&fan.peers.len()), "{fan:#?}");
    assert!(fan.skipped.iter().any(|line| line.contains("more than 16 trees")), "{fan:#?}");

    // A server that says nothing costs the time that was given, and what was found stays.
    let t = Tree { zone: &dns.zone, domain: "slow.test" };
    let silent = label("silent");
    dns.zone.put(&format!("{silent}.slow.test"), Answer::Silence);
    t.root(&by, &t.branch(&[t.put(&somebody(9)), silent]), &t.branch(&[]), 1);
    let servers = [dns.at.clone()];
    let slow = [url(&by, "slow.test")];
    let slow = discover(&slow, &servers, Duration::from_secs(4));
    assert_skips(&soon(slow).await.unwrap(), 1, &["for the walk are over"]);
    dns.zone.put("mute.test", Answer::Silence);
    let mute = [url(&by, "mute.test")];
    let mute = discover(&mute, &servers, Duration::from_secs(50));
    assert_skips(&soon(mute).await.unwrap(), 0, &["answered in time"]);
}

async fn published(secret: u8, cluster: u32) -> Node {
    let config = NodeConfig {
        identity: Identity::Secp256k1([secret; 32]),
        listen: vec![TCP.into(), "/ip4/127.0.0.1/udp/0/quic-v1".into()],
        cluster_id: cluster,
        ..config()
    };
    Node::start(config, in_memory()).await.unwrap()
}

async fn connected_to(node: &Node, events: &mut wakustore::node::Events, peer: &str) {
    while !node.peers().contains(&peer.to_owned()) {
        event(events, |e| matches!(e, NodeEvent::PeerConnected { .. }).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_finds_its_peers() {
    let dns = Dns::start().await;
    let by = key(1);
    let (store, other, late) =
        (published(31, CLUSTER).await, published(32, 99).await, published(33, CLUSTER).await);
    let mut foreign = other.events();
    let tree = Tree { zone: &dns.zone, domain: "fleet.test" };
    let cluster = CLUSTER as u16;
    let record_of = |node: &Node, secret: u8, cluster: u16| {
        record(&key(secret), 1, cluster, 0b10010, &node.addresses())
    };
    let records = [record_of(&store, 31, cluster), record_of(&other, 32, 99)];
    tree.publish(&by, &records, &[], 5);
    let finding = NodeConfig {
        // On this machine alone, as those that it finds.
        listen: vec![TCP.into()],
        name_servers: vec![dns.at.clone()],
        discovery: Discovery {
            trees: vec![url(&by, "fleet.test")],
            interval: Duration::from_millis(200),
            ..Discovery::default()
        },
        ..config()
    };
    let node = Node::start(finding.clone(), in_memory()).await.unwrap();
    let mut events = node.events();
    connected_to(&node, &mut events, &store.peer_id()).await;
    // A root that goes back is not taken: who was taken out of the tree stays out.
    tree.publish(&by, &[record_of(&late, 33, cluster)], &[], 4);
    dns.zone.forget_asked();
    soon(async {
        while dns.zone.asked().iter().filter(|name| *name == "fleet.test").count() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(node.peers(), [store.peer_id()]);
    // One that goes on is.
    tree.publish(&by, &[record_of(&late, 33, cluster)], &[], 6);
    connected_to(&node, &mut events, &late.peer_id()).await;
    // The peer of another cluster says so in its record, and was never dialled.
    while let Some(event) = foreign.try_next() {
        assert!(!matches!(event, NodeEvent::PeerConnected { .. }), "{event:?}");
    }
    soon(node.stop()).await;

    let bad = Discovery { trees: vec!["enrtree://nonsense".into()], ..Discovery::default() };
    let bad = NodeConfig { discovery: bad, ..finding.clone() };
    let error = Node::start(bad, in_memory()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let idle = Discovery { interval: Duration::ZERO, ..finding.discovery.clone() };
    let idle = NodeConfig { discovery: idle, ..finding };
    assert!(Node::start(idle, in_memory()).await.is_err());
}
