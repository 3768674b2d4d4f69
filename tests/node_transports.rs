//! Two nodes over QUIC, over WebSocket with TLS, and over two transports at once; TCP without delay;
//! and peers with the identities that deployed nodes have.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::time::Duration;

use futures::StreamExt;
use libp2p::core::upgrade::Version;
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, Transport, identity, noise, tcp, yamux};
use node_support::*;
use wakustore::ErrorKind;
use wakustore::archive::Archive;
use wakustore::engine::SyncOptions;
use wakustore::node::{Identity, Node, NodeConfig, NodeEvent, TlsFiles};
use wakustore::types::Query;

const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

fn listening(on: &[&str]) -> NodeConfig {
    NodeConfig { listen: on.iter().map(ToString::to_string).collect(), ..config() }
}

async fn start(on: &[&str], archive: &Archive) -> Node {
    Node::start(listening(on), archive.clone()).await.unwrap()
}

/// Two archives that differ both ways.
async fn halves() -> (Archive, Archive) {
    let (a, b) = (in_memory(), in_memory());
    let all: Vec<_> = (0..400).map(|n| message(n, 2_000)).collect();
    put(&a, all[100..].to_vec()).await;
    put(&b, all[..300].to_vec()).await;
    (a, b)
}

/// All hashes of a peer, page by page.
async fn walk(node: &Node, peer: &str) -> usize {
    let query = Query { limit: 100, include_data: true, ..Query::default() };
    let mut history = node.history(peer, query).unwrap();
    let mut count = 0;
    while let Some(page) = soon(history.next()).await.unwrap() {
        count += page.entries.len();
    }
    count
}

/// Store and sync between two nodes that are connected or can be, and that they then hold the same.
async fn work(left: &Node, right: &Node, at: &str) {
    let id = soon(left.dial(at)).await.unwrap();
    assert_eq!(id, right.peer_id());
    assert!(left.peers().contains(&id));
    assert_eq!(walk(left, &id).await, 300);
    let report = soon(left.sync(&id, SyncOptions::default())).await.unwrap().report;
    assert_eq!((report.figures.received, report.figures.sent), (100, 100), "{report:?}");
    assert_same(left.archive(), right.archive()).await;
    assert_eq!(walk(left, &id).await, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_over_quic() {
    let (a, b) = halves().await;
    let (left, right) = (start(&[QUIC], &a).await, start(&[QUIC], &b).await);
    let at = address(&right);
    assert!(at.contains("/udp/") && at.contains("/quic-v1/p2p/"), "{at}");
    work(&left, &right, &at).await;
    // Streams in plenty, one after the other and beside each other, leave the connection as it was.
    let query = || Query { limit: 5, ..Query::default() };
    for _ in 0..100 {
        let asked = (0..8).map(|_| left.store_query(&at, query()));
        for page in soon(futures::future::join_all(asked)).await {
            assert_eq!(page.unwrap().entries.len(), 5);
        }
    }
    assert_eq!(right.peers(), [left.peer_id()]);
    // A peer of another cluster is dropped here too.
    let foreign = NodeConfig { cluster_id: 99, ..listening(&[]) };
    let foreign = Node::start(foreign, in_memory()).await.unwrap();
    let error = soon(foreign.dial(&at)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OtherCluster, "{error}");
    // And one that is not who it should be, or not there.
    let (bare, _) = at.split_once("/p2p/").unwrap();
    let stranger = libp2p::PeerId::random();
    let error = soon(foreign.dial(&format!("{bare}/p2p/{stranger}"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dial, "{error}");
    assert!(error.message().contains(&right.peer_id()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_quic_are_limited_too() {
    let few = NodeConfig { max_connections: 4, ..listening(&[QUIC]) };
    let server = Node::start(few, in_memory()).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..6 {
        let client = start(&[QUIC], &in_memory()).await;
        // Who is sent away may hear of it a moment later.
        let _ = soon(client.dial(&address(&server))).await;
        clients.push(client);
    }
    // A quarter is kept for dials of our own.
    let connected = || clients.iter().filter(|client| !client.peers().is_empty()).count();
    soon(async {
        while connected() != 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(server.peers().len(), 3);
    assert!(clients[5].peers().is_empty(), "the last one came too late");
    assert!(soon(server.dial(&address(&clients[5]))).await.is_ok());
    assert_eq!(server.peers().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_leaves_its_quic_port_and_its_peers_hear_of_it() {
    let archive = in_memory();
    put(&archive, vec![message(1, 100)]).await;
    let client = start(&[], &in_memory()).await;
    let mut node = start(&[QUIC], &archive).await;
    for _ in 0..3 {
        let mut events = client.events();
        let at = address(&node);
        let id = soon(client.dial(&at)).await.unwrap();
        assert_eq!(soon(client.store_query(&id, Query::default())).await.unwrap().entries.len(), 1);
        let (bare, _) = at.split_once("/p2p/").unwrap();
        let taken = Node::start(listening(&[bare]), in_memory()).await.err().unwrap();
        assert_eq!(taken.kind(), ErrorKind::Listen, "{taken}");
        node.stop().await;
        event(&mut events, |e| match e {
            NodeEvent::PeerDisconnected { peer_id } => (peer_id == id).then_some(()),
            _ => None,
        })
        .await;
        node = start(&[bare], &archive).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quic_port_where_nobody_is_is_told() {
    let short = NodeConfig { request_timeout: Duration::from_secs(1), ..listening(&[]) };
    let node = Node::start(short, in_memory()).await.unwrap();
    // It takes the packets and says nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = soon(node.dial(&format!("/ip4/127.0.0.1/udp/{port}/quic-v1"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    // One of QUIC's drafts, which nobody speaks any more.
    let error = soon(node.dial(&format!("/ip4/127.0.0.1/udp/{port}/quic"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Address, "{error}");
}

/// Forwards one TCP connection, until it is cut.
async fn cuttable(to: &str) -> (String, tokio::task::JoinHandle<()>) {
    let port: u16 = to.split('/').nth(4).unwrap().parse().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port());
    let task = tokio::spawn(async move {
        let (mut one, _) = listener.accept().await.unwrap();
        let mut other = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
    });
    (at, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_transports_to_one_peer_are_one_peer() {
    let (a, b) = halves().await;
    let (left, right) = (start(&[], &a).await, start(&[TCP, QUIC], &b).await);
    let at = right.addresses();
    let (over_tcp, cut) = cuttable(&at[0]).await;
    let (over_quic, _) = at[1].split_once("/p2p/").unwrap();
    let mut events = left.events();
    // Without saying who is meant, so that the second is dialled although the first stands.
    assert_eq!(soon(left.dial(&over_tcp)).await.unwrap(), right.peer_id());
    assert_eq!(soon(left.dial(over_quic)).await.unwrap(), right.peer_id());
    assert_eq!(left.peers(), [right.peer_id()]);
    work(&left, &right, &at[1]).await;
    cut.abort();
    let _ = cut.await;
    // It goes on over the other, and nobody hears of a disconnection.
    for _ in 0..20 {
        assert_eq!(walk(&left, &right.peer_id()).await, 400);
    }
    soon(left.sync(&right.peer_id(), SyncOptions::default())).await.unwrap();
    assert_eq!(left.peers(), [right.peer_id()]);
    while let Some(event) = events.try_next() {
        assert!(!matches!(event, NodeEvent::PeerDisconnected { .. }), "{event:?}");
    }
}

/// An authority, and a certificate by it for these names, as files.
struct Authority {
    root: Vec<u8>,
    files: TlsFiles,
    _dir: tempfile::TempDir,
}

fn authority(names: &[&str]) -> Authority {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::<String>::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = root.self_signed(&root_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &root, &root_key).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles { chain: dir.path().join("chain.pem"), key: dir.path().join("key.pem") };
    std::fs::write(&files.chain, leaf.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    Authority { root: root.der().to_vec(), files, _dir: dir }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wss_with_an_authority_of_ones_own() {
    let ours = authority(&["localhost", "127.0.0.1"]);
    let (a, b) = halves().await;
    let on = ["/ip4/127.0.0.1/tcp/0/tls/ws", "/ip4/127.0.0.1/tcp/0/wss"];
    let right = NodeConfig { wss: Some(ours.files.clone()), ..listening(&on) };
    let right = Node::start(right, b.clone()).await.unwrap();
    let at = right.addresses();
    assert!(at[0].contains("/tls/ws/") && at[1].contains("/wss/"), "{at:?}");
    let trusting = NodeConfig { extra_roots: vec![ours.root.clone()], ..listening(&[]) };
    let left = Node::start(trusting.clone(), a.clone()).await.unwrap();
    work(&left, &right, &at[0]).await;

    let port = at[0].split('/').nth(4).unwrap();
    let id = right.peer_id();
    for address in [
        at[1].clone(),
        format!("/dns4/localhost/tcp/{port}/tls/ws"),
        format!("/dns/localhost/tcp/{port}/wss/p2p/{id}"),
        format!("/ip4/127.0.0.1/tcp/{port}/tls/sni/localhost/ws/p2p/{id}"),
    ] {
        left.disconnect(&id).await.unwrap();
        assert_eq!(soon(left.dial(&address)).await.unwrap(), id, "{address}");
    }

    // Who does not know the authority does not connect, and is told why.
    let stranger = start(&[], &in_memory()).await;
    let error = soon(stranger.dial(&at[0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dial);
    assert!(error.message().contains("UnknownIssuer"), "{error}");
    // Nor is a certificate for another name taken.
    let other = authority(&["elsewhere.example"]);
    let wrong = NodeConfig { wss: Some(other.files.clone()), ..listening(&on[..1]) };
    let wrong = Node::start(wrong, in_memory()).await.unwrap();
    let both = vec![ours.root.clone(), other.root.clone()];
    let knows = NodeConfig { extra_roots: both, ..listening(&[]) };
    let knows = Node::start(knows, in_memory()).await.unwrap();
    let error = soon(knows.dial(&address(&wrong))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dial);
    assert!(error.message().contains("not valid for name"), "{error}");
    // Plain WebSocket where TLS is spoken.
    let error = soon(stranger.dial(&format!("/dns4/localhost/tcp/{port}/ws"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dial, "{error}");
}

#[tokio::test]
async fn wss_needs_a_certificate() {
    let without = listening(&["/ip4/127.0.0.1/tcp/0/tls/ws"]);
    let error = Node::start(without, in_memory()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Address, "{error}");
    let gone = TlsFiles { chain: "/nonexistent/chain".into(), key: "/nonexistent/key".into() };
    let error = NodeConfig { wss: Some(gone), ..listening(&[]) };
    let error = Node::start(error, in_memory()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Listen, "{error}");
    let roots = NodeConfig { extra_roots: vec![b"nonsense".to_vec()], ..listening(&[]) };
    let error = Node::start(roots, in_memory()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

/// The TCP connections of this process that lead to or from this port, and whether each is without
/// delay.
#[cfg(target_os = "linux")]
fn without_delay(port: u16) -> Vec<bool> {
    use std::os::fd::BorrowedFd;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let target = std::fs::read_link(&path).unwrap_or_default();
        if !target.to_string_lossy().starts_with("socket:") {
            continue;
        }
        let number: i32 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        // SAFETY: it is cloned at once; one that was closed since it was listed gives an error.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        let Ok(fd) = fd.try_clone_to_owned() else { continue };
        let stream = std::net::TcpStream::from(fd);
        let ends = [stream.local_addr(), stream.peer_addr()];
        let [Ok(here), Ok(there)] = ends else { continue };
        if here.port() == port || there.port() == port {
            found.extend(stream.nodelay());
        }
    }
    found
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn tcp_is_without_delay_on_both_sides() {
    let server = start(&[TCP, WS], &in_memory()).await;
    for at in server.addresses() {
        let client = start(&[], &in_memory()).await;
        soon(client.dial(&at)).await.unwrap();
        let port = at.split('/').nth(4).unwrap().parse().unwrap();
        assert_eq!(without_delay(port), [true, true], "{at}");
        client.stop().await;
        server.disconnect(&client.peer_id()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_with_the_identities_of_deployed_nodes() {
    // A peer made by hand, with a key of secp256k1.
    let key = identity::Keypair::from(identity::secp256k1::Keypair::generate());
    let transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let id = key.public().to_peer_id();
    let config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(Duration::from_secs(600));
    let mut swarm = Swarm::new(transport, libp2p_stream::Behaviour::new(), id, config);
    swarm.listen_on(TCP.parse().unwrap()).unwrap();
    let at = soon(async {
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                return address;
            }
        }
    })
    .await;
    let running = tokio::spawn(async move { while swarm.next().await.is_some() {} });
    let node = start(&[], &in_memory()).await;
    assert!(id.to_string().starts_with("16Uiu2"), "{id}");
    assert_eq!(soon(node.dial(&format!("{at}/p2p/{id}"))).await.unwrap(), id.to_string());
    running.abort();

    // A node of ours that has one, over each transport; the key is the same from a file.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let secret = [9; 32];
    let pair = identity::secp256k1::SecretKey::try_from_bytes(secret).unwrap();
    let pair = identity::Keypair::from(identity::secp256k1::Keypair::from(pair));
    std::fs::write(&path, pair.to_protobuf_encoding().unwrap()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for who in [Identity::Secp256k1(secret), Identity::File(path)] {
        let ours = NodeConfig { identity: who, ..listening(&[TCP, QUIC, WS]) };
        let ours = Node::start(ours, in_memory()).await.unwrap();
        assert_eq!(ours.peer_id(), pair.public().to_peer_id().to_string());
        for at in ours.addresses() {
            soon(node.dial(&at)).await.unwrap();
            soon(node.store_query(&ours.peer_id(), Query::default())).await.unwrap();
            node.disconnect(&ours.peer_id()).await.unwrap();
        }
        ours.stop().await;
    }
    let bad = NodeConfig { identity: Identity::Secp256k1([0; 32]), ..listening(&[]) };
    let error = Node::start(bad, in_memory()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
