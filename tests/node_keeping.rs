//! Which peers a node keeps, over real sockets: peers that go and come back, that are in the book
//! after a restart, and strangers that take no place from those that matter.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::path::Path;
use std::time::Duration;

use node_support::*;
use wakustore::ErrorKind;
use wakustore::archive::Archive;
use wakustore::engine::{EngineConfig, SyncReason};
use wakustore::node::{Events, Identity, Node, NodeConfig, NodeEvent, PeerConfig, Speaks};

/// Dials again soon, and is soon offline.
fn quick() -> PeerConfig {
    PeerConfig {
        redial_min: Duration::from_millis(100),
        redial_max: Duration::from_secs(1),
        offline_grace: Duration::from_millis(500),
        ..PeerConfig::default()
    }
}

fn kept(bootstrap: &[&str]) -> NodeConfig {
    let bootstrap = bootstrap.iter().map(|text| (*text).to_owned()).collect();
    NodeConfig { peers: PeerConfig { bootstrap, ..quick() }, ..config() }
}

async fn start(config: NodeConfig) -> Node {
    Node::start(config, in_memory()).await.unwrap()
}

/// A node that can go and come back as the same, at the same place.
struct Coming {
    secret: [u8; 32],
    archive: Archive,
    at: String,
    node: Option<Node>,
}

impl Coming {
    async fn new() -> Coming {
        let (secret, archive) = (rand32(), in_memory());
        let mut coming = Coming { secret, archive, at: TCP.into(), node: None };
        coming.come().await;
        coming
    }

    async fn come(&mut self) {
        let identity = Identity::Secret(self.secret);
        let listen = vec![self.at.clone()];
        let config = NodeConfig { identity, listen, ..config() };
        let node = Node::start(config, self.archive.clone()).await.unwrap();
        self.at = address(&node).split_once("/p2p/").unwrap().0.to_owned();
        self.node = Some(node);
    }

    fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    async fn go(&mut self) {
        let node = self.node.take().unwrap();
        soon(node.stop()).await;
    }
}

/// Waits until this has happened.
async fn told(events: &mut Events, wanted: NodeEvent) {
    event(events, |event| (event == wanted).then_some(())).await;
}

fn came(peer: &Node) -> NodeEvent {
    NodeEvent::PeerConnected { peer_id: peer.peer_id() }
}

/// Waits until this holds.
async fn until(holds: impl AsyncFn() -> bool) {
    soon(async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_went_and_came_back_is_dialled_and_synced_with() {
    let mut peer = Coming::new().await;
    let to = address(peer.node());
    put(&peer.archive, (0..20).map(|n| message(n, 64)).collect()).await;
    let engine =
        EngineConfig { sync_on_connect: true, sync_again: Duration::ZERO, ..config().engine };
    let archive = in_memory();
    let this = Node::start(NodeConfig { engine, ..kept(&[&to]) }, archive.clone()).await.unwrap();
    let mut events = this.events();
    let report = finished(&mut events).await;
    assert_eq!(report.report.figures.received, 20);
    for round in 1..3 {
        peer.go().await;
        told(&mut events, NodeEvent::Offline).await;
        assert!(!this.online() && this.peers().is_empty());
        // What was sent while this one could not hear it.
        let more = (round * 20..(round + 1) * 20).map(|n| message(n, 64));
        put(&peer.archive, more.collect()).await;
        peer.come().await;
        told(&mut events, NodeEvent::Online).await;
        assert!(this.online());
        let report = finished(&mut events).await.report;
        assert_eq!(report.reason, SyncReason::Connected, "{report:?}");
        assert_eq!(report.figures.received, 20, "{report:?}");
        assert_same(&archive, &peer.archive).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_the_app_disconnected_stays_away_until_it_is_dialled() {
    let (one, mut two) = (start(config()).await, Coming::new().await);
    let this = start(kept(&[&address(&one), &address(two.node())])).await;
    until(async || this.peers().len() == 2).await;
    let mut events = this.events();
    soon(this.disconnect(&one.peer_id())).await.unwrap();
    // The other one goes, comes, and is dialled again: by then the first would be, too.
    for _ in 0..3 {
        two.go().await;
        two.come().await;
        told(&mut events, came(two.node())).await;
    }
    assert_eq!(this.peers(), [two.node().peer_id()]);
    soon(this.dial(&address(&one))).await.unwrap();
    until(async || this.peers().len() == 2).await;
    // And from then on it is kept: the other side ends the connection.
    while events.try_next().is_some() {}
    soon(one.disconnect(&this.peer_id())).await.unwrap();
    told(&mut events, came(&one)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_is_told_at_the_start_and_a_host_can_say_that_the_network_is_back() {
    let mut peer = Coming::new().await;
    let to = address(peer.node());
    peer.go().await;
    // The next dial by itself would be a day off.
    let peers = PeerConfig {
        redial_min: Duration::from_secs(86400),
        redial_max: Duration::from_secs(86400),
        ..kept(&[&to]).peers
    };
    let this = start(NodeConfig { peers, ..config() }).await;
    let mut events = this.events();
    told(&mut events, NodeEvent::Offline).await;
    peer.come().await;
    this.network_changed();
    told(&mut events, NodeEvent::Online).await;
    assert_eq!(this.peers(), [peer.node().peer_id()]);
}

fn with_state(path: &Path, peers: PeerConfig) -> NodeConfig {
    NodeConfig { state: Some(path.to_owned()), peers, ..config() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_was_dialled_once_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (path, book) = (dir.path().join("state"), dir.path().join("state.peers"));
    let other = start(config()).await;
    let this = start(with_state(&path, quick())).await;
    let mut events = this.events();
    soon(this.dial(&address(&other))).await.unwrap();
    told(&mut events, NodeEvent::Online).await;
    until(async || this.known_peers().await.unwrap().iter().any(|peer| peer.sync)).await;
    soon(this.stop()).await;
    assert!(book.exists());

    let wants = PeerConfig { sync_peers: Some(1), ..quick() };
    let again = start(with_state(&path, wants.clone())).await;
    until(async || again.peers() == [other.peer_id()]).await;
    let known = again.known_peers().await.unwrap();
    assert_eq!(known.len(), 1);
    assert!(known[0].reached && known[0].store && known[0].connected && !known[0].configured);
    assert!(address(&other).starts_with(&known[0].addresses[0]), "{known:?}");
    soon(again.stop()).await;

    // A node that keeps none makes no file.
    std::fs::remove_file(&book).unwrap();
    let none = PeerConfig { keep: false, ..quick() };
    let this = start(with_state(&path, none)).await;
    soon(this.dial(&address(&other))).await.unwrap();
    soon(this.stop()).await;
    assert!(!book.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_book_is_moved_aside_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let (path, book) = (dir.path().join("state"), dir.path().join("state.peers"));
    let other = start(config()).await;
    let this = start(with_state(&path, quick())).await;
    soon(this.dial(&address(&other))).await.unwrap();
    soon(this.stop()).await;
    let whole = std::fs::read(&book).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    // Half of it, a bit of it, and a state in its place, which is whole but no book.
    let state = std::fs::read(&path).unwrap();
    for bytes in [whole[..whole.len() / 2].to_vec(), flipped, state] {
        std::fs::write(&book, &bytes).unwrap();
        let this = start(with_state(&path, quick())).await;
        let told = event(&mut this.events(), |event| match event {
            NodeEvent::StateSetAside { path, .. } => Some(path),
            _ => None,
        })
        .await;
        assert_eq!(told, book.display().to_string());
        assert_eq!(std::fs::read(dir.path().join("state.peers.bad")).unwrap(), bytes);
        assert_eq!(this.known_peers().await.unwrap(), []);
        soon(this.stop()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_the_host_found_is_dialled_where_it_is_wanted() {
    let other = start(config()).await;
    let at = [address(&other)];
    let store = Speaks { store: true, ..Speaks::default() };
    let this = start(NodeConfig { peers: quick(), ..config() }).await;
    this.learn(&at, store).unwrap();
    until(async || this.peers() == [other.peer_id()]).await;
    // One that is reachable from elsewhere does not take an address of its own machine.
    let abroad = NodeConfig { listen: vec![], peers: quick(), ..config() };
    let abroad = start(abroad).await;
    let elsewhere = format!("/ip4/8.8.8.8/tcp/1/p2p/{}", other.peer_id());
    abroad.learn(&[at[0].clone(), elsewhere], store).unwrap();
    until(async || !abroad.known_peers().await.unwrap().is_empty()).await;
    assert_eq!(abroad.known_peers().await.unwrap()[0].addresses, ["/ip4/8.8.8.8/tcp/1"]);
    for bad in [vec![], vec![TCP.to_owned()], vec![at[0].clone(), address(&this)]] {
        assert_eq!(this.learn(&bad, store).unwrap_err().kind(), ErrorKind::Address);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_take_no_place_from_those_that_matter() {
    let secret = rand32();
    let friend = NodeConfig { identity: Identity::Secret(secret), ..config() };
    let friend = start(friend).await;
    // Where nobody is: it is known, and comes by itself.
    let known = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", friend.peer_id());
    let peers = PeerConfig {
        bootstrap: vec![known],
        max_incoming: Some(6),
        reserved: Some(2),
        redial_min: Duration::from_secs(3600),
        redial_max: Duration::from_secs(3600),
        ..quick()
    };
    let server = start(NodeConfig { max_connections: 8, peers, ..config() }).await;
    let mut strangers = Vec::new();
    for _ in 0..6 {
        strangers.push(RawPeer::connect(&server, Muxer::Yamux).await);
    }
    // They do not say what they speak: four may stay.
    until(async || server.peers().len() == 4).await;
    let (one, two, three) = (start(config()).await, start(config()).await, start(config()).await);
    for store in [&one, &two] {
        soon(store.dial(&address(&server))).await.unwrap();
    }
    until(async || server.peers().len() == 6).await;
    // All is taken: whoever comes is refused, but for who is configured.
    let refused = soon(three.dial(&address(&server))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Dial, "{refused}");
    soon(friend.dial(&address(&server))).await.unwrap();
    until(async || server.peers().len() == 6).await;
    let there = server.peers();
    for node in [&one, &two, &friend] {
        assert!(there.contains(&node.peer_id()), "{there:?}");
    }
    let left = strangers.iter().filter(|peer| there.contains(&peer.id.to_string())).count();
    assert_eq!(left, 3);
    // A flood of more changes nothing for them.
    for _ in 0..20 {
        let peer =
            tokio::time::timeout(Duration::from_secs(5), RawPeer::connect(&server, Muxer::Yamux));
        drop(peer.await);
    }
    let there = server.peers();
    assert!([&one, &two, &friend].iter().all(|node| there.contains(&node.peer_id())), "{there:?}");
    // And the node itself can dial as before.
    soon(server.dial(&address(&three))).await.unwrap();
}
