//! Nodes find each other: addresses, keys, clusters, and what is said when it does not work.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::time::{Duration, Instant};

use node_support::*;
use wakustore::ErrorKind;
use wakustore::node::{Identity, Node, NodeConfig, NodeEvent};
use wakustore::types::Query;

async fn kind_of_dial(node: &Node, address: &str) -> (ErrorKind, String) {
    let error = soon(node.dial(address)).await.unwrap_err();
    (error.kind(), error.message().to_owned())
}

#[tokio::test]
async fn tcp_and_websocket_both_ways() {
    let archive = in_memory();
    let server = Node::start(
        NodeConfig { listen: vec![TCP.into(), WS.into()], ..config() },
        archive.clone(),
    )
    .await
    .unwrap();
    let addresses = server.addresses();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    assert!(addresses[1].contains("/ws/"), "in the order in which they were asked for");
    for address in &addresses {
        assert!(address.ends_with(&format!("/p2p/{}", server.peer_id())), "{address}");
        let client =
            Node::start(NodeConfig { listen: vec![], ..config() }, archive.clone()).await.unwrap();
        assert_eq!(client.addresses(), Vec::<String>::new());
        let mut events = server.events();
        assert_eq!(soon(client.dial(address)).await.unwrap(), server.peer_id());
        assert_eq!(client.peers(), [server.peer_id()]);
        event(&mut events, |e| match e {
            NodeEvent::PeerConnected { peer_id } => (peer_id == client.peer_id()).then_some(()),
            _ => None,
        })
        .await;
        assert_eq!(server.peers(), [client.peer_id()]);
        // Again, and without naming the peer: fine, and no second connection.
        assert_eq!(soon(client.dial(address)).await.unwrap(), server.peer_id());
        let (bare, _) = address.split_once("/p2p/").unwrap();
        assert_eq!(soon(client.dial(bare)).await.unwrap(), server.peer_id());
        client.stop().await;
        event(&mut events, |e| match e {
            NodeEvent::PeerDisconnected { peer_id } => (peer_id == client.peer_id()).then_some(()),
            _ => None,
        })
        .await;
        assert_eq!(server.peers(), Vec::<String>::new());
    }
    server.stop().await;
}

#[tokio::test]
async fn mplex_alone_is_enough() {
    use futures::{AsyncReadExt, AsyncWriteExt};
    let server = node(&in_memory()).await;
    let mut peer = RawPeer::connect(&server, Muxer::Mplex).await;
    let protocol = wakustore::wire::metadata::PROTOCOL;
    let mut stream = peer.open(&server, protocol).await;
    let ours = wakustore::wire::metadata::Metadata { cluster_id: Some(CLUSTER), shards: vec![7] };
    stream.write_all(&framed(&ours.encode())).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    let theirs = wakustore::wire::metadata::Metadata::decode(&answer[1..]).unwrap();
    assert_eq!((theirs.cluster_id, theirs.shards), (Some(CLUSTER), vec![0, 1]));
    server.stop().await;
}

#[tokio::test]
async fn a_key_in_a_file_outlives_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.key");
    let keyed = NodeConfig { identity: Identity::File(path.clone()), ..config() };
    let mut ids = Vec::new();
    for _ in 0..2 {
        let node = Node::start(keyed.clone(), in_memory()).await.unwrap();
        ids.push(node.peer_id());
        node.stop().await;
    }
    assert_eq!(ids[0], ids[1]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
    std::fs::write(&path, b"not a key").unwrap();
    let error = Node::start(keyed, in_memory()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::KeyFile);
    assert!(error.message().contains("node.key"), "{error}");

    let secret = NodeConfig { identity: Identity::Secret([7; 32]), ..config() };
    let one = Node::start(secret.clone(), in_memory()).await.unwrap();
    let two = Node::start(secret, in_memory()).await.unwrap();
    assert_eq!(one.peer_id(), two.peer_id());
}

#[tokio::test]
async fn where_nobody_is_is_told() {
    let node = node(&in_memory()).await;
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for address in [format!("/ip4/127.0.0.1/tcp/{free}"), format!("/ip4/127.0.0.1/tcp/{free}/ws")] {
        let (kind, text) = kind_of_dial(&node, &address).await;
        assert_eq!(kind, ErrorKind::Dial, "{text}");
        assert!(text.contains("refused") && text.contains(&free.to_string()), "{text}");
    }
    for garbage in [
        "",
        "nonsense",
        "/ip4/1.2.3.4",
        "/ip4/127.0.0.1/udp/1",
        "/ip4/127.0.0.1/udp/1/quic",
        "/ip4/127.0.0.1/tcp/1/ws/tcp/2",
        "/unix/socket",
    ] {
        let (kind, text) = kind_of_dial(&node, garbage).await;
        assert_eq!(kind, ErrorKind::Address, "{garbage}: {text}");
    }
    let stranger = libp2p::PeerId::random().to_string();
    let error = node.store_query(&stranger, Query::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerUnknown);
    let error = node.store_query("someone", Query::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Address);
    assert_eq!(kind_of_dial(&node, &address(&node)).await.0, ErrorKind::Dial);
    node.disconnect(&stranger).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_answers_times_out() {
    // It takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let short = NodeConfig { request_timeout: Duration::from_millis(300), ..config() };
    let node = Node::start(short, in_memory()).await.unwrap();
    let began = Instant::now();
    let (kind, text) = kind_of_dial(&node, &format!("/ip4/127.0.0.1/tcp/{port}")).await;
    assert_eq!(kind, ErrorKind::TimedOut, "{text}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn another_peer_than_the_one_named_is_told() {
    let (a, b) = (node(&in_memory()).await, node(&in_memory()).await);
    let (at, _) =
        address(&b).split_once("/p2p/").map(|(a, p)| (a.to_owned(), p.to_owned())).unwrap();
    let wanted = libp2p::PeerId::random();
    let (kind, text) = kind_of_dial(&a, &format!("{at}/p2p/{wanted}")).await;
    assert_eq!(kind, ErrorKind::Dial);
    assert!(text.contains(&b.peer_id()) && text.contains(&wanted.to_string()), "{text}");
}

#[tokio::test]
async fn another_cluster_is_refused_on_both_sides() {
    let ours = node(&in_memory()).await;
    let theirs = NodeConfig { cluster_id: CLUSTER + 1, ..config() };
    let theirs = Node::start(theirs, in_memory()).await.unwrap();
    let mut events = ours.events();
    for _ in 0..3 {
        let (kind, text) = kind_of_dial(&theirs, &address(&ours)).await;
        assert_eq!(kind, ErrorKind::OtherCluster, "{text}");
        assert!(text.contains("16") && text.contains("17"), "{text}");
    }
    assert_eq!((ours.peers(), theirs.peers()), (vec![], vec![]));
    let query = soon(theirs.store_query(&address(&ours), Query::default())).await;
    assert_eq!(query.unwrap_err().kind(), ErrorKind::OtherCluster);
    ours.stop().await;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, NodeEvent::PeerConnected { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn many_dials_at_once_are_one_connection() {
    let (a, b) = (node(&in_memory()).await, node(&in_memory()).await);
    let to = address(&b);
    let dials = futures::future::join_all((0..20).map(|_| a.dial(&to)));
    for dialled in soon(dials).await {
        assert_eq!(dialled.unwrap(), b.peer_id());
    }
    assert_eq!(a.peers(), [b.peer_id()]);
    a.disconnect(&b.peer_id()).await.unwrap();
    assert_eq!(a.peers(), Vec::<String>::new());
}

#[tokio::test]
async fn connections_of_one_peer_are_limited() {
    let few = NodeConfig { max_connections: 4, ..config() };
    let server = Node::start(few, in_memory()).await.unwrap();
    let clients = futures::future::join_all((0..6).map(async |_| node(&in_memory()).await)).await;
    let mut connected = 0;
    for client in &clients {
        connected += usize::from(soon(client.dial(&address(&server))).await.is_ok());
    }
    assert_eq!(connected, 3, "a quarter is kept for dials of our own");
    assert!(soon(server.dial(&address(&clients[5]))).await.is_ok());
    assert_eq!(server.peers().len(), 4);
}

#[tokio::test]
async fn a_port_in_use_and_bad_listen_addresses_are_told() {
    let first = node(&in_memory()).await;
    let (taken, _) = address(&first).split_once("/p2p/").map(|(a, _)| (a.to_owned(), ())).unwrap();
    for (listen, kind) in [
        (taken.as_str(), ErrorKind::Listen),
        ("here", ErrorKind::Address),
        ("/ip4/127.0.0.1/udp/0/quic", ErrorKind::Address),
    ] {
        let started =
            Node::start(NodeConfig { listen: vec![listen.into()], ..config() }, in_memory());
        let error = soon(started).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(listen), "{error}");
    }
    for bad in [
        NodeConfig { max_connections: 0, ..config() },
        NodeConfig { max_store_requests: 0, ..config() },
        NodeConfig { request_timeout: Duration::ZERO, ..config() },
        NodeConfig { shards: (0..1000).collect(), ..config() },
    ] {
        let error = Node::start(bad, in_memory()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}

#[tokio::test]
async fn a_stopped_node_frees_its_port_and_says_so() {
    let archive = in_memory();
    let mut node = node(&archive).await;
    let (at, _) = address(&node).split_once("/p2p/").map(|(a, _)| (a.to_owned(), ())).unwrap();
    let client = Node::start(config(), in_memory()).await.unwrap();
    for _ in 0..5 {
        let mut events = node.events();
        soon(client.dial(&address(&node))).await.unwrap();
        let history = node.history(&address(&client), Query::default()).unwrap();
        soon(async { tokio::join!(node.stop(), node.stop()) }).await;
        while events.next().await.is_some() {}
        for error in [
            node.dial(&at).await.unwrap_err(),
            node.store_query(&address(&client), Query::default()).await.unwrap_err(),
            { history }.next().await.unwrap_err(),
            node.sync(&address(&client), Default::default()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Shutdown, "{error}");
        }
        assert_eq!((node.peers(), node.addresses()), (vec![], vec![]));
        node.stop().await;
        assert!(node.events().next().await.is_none());
        let again = NodeConfig { listen: vec![at.clone()], ..config() };
        node = soon(Node::start(again, archive.clone())).await.unwrap();
    }
    // The archive was never closed by all that.
    put(&archive, vec![message(1, 10)]).await;
}

#[tokio::test]
async fn dropping_the_last_handle_stops_the_node() {
    let node = node(&in_memory()).await;
    let other = Node::start(config(), in_memory()).await.unwrap();
    soon(other.dial(&address(&node))).await.unwrap();
    let (mut own, mut others) = (node.events(), other.events());
    drop(node.clone());
    assert!(soon(other.dial(&address(&node))).await.is_ok(), "one handle is left");
    drop(node);
    soon(async { while own.next().await.is_some() {} }).await;
    event(&mut others, |e| matches!(e, NodeEvent::PeerDisconnected { .. }).then_some(())).await;
}

#[tokio::test]
async fn a_peer_dialled_before_is_dialled_again() {
    let (a, b) = (node(&in_memory()).await, node(&in_memory()).await);
    let id = soon(a.dial(&address(&b))).await.unwrap();
    for _ in 0..3 {
        a.disconnect(&id).await.unwrap();
        assert!(a.peers().is_empty());
        soon(a.store_query(&id, Query::default())).await.unwrap();
        assert_eq!(a.peers(), std::slice::from_ref(&id));
    }
}

#[tokio::test]
async fn events_are_told_to_every_reader() {
    let archive = in_memory();
    let node = node(&archive).await;
    let (mut one, mut two) = (node.events(), node.events());
    let stored = message(3, 100);
    put(&archive, vec![stored.clone()]).await;
    for events in [&mut one, &mut two] {
        let item = event(events, |e| match e {
            NodeEvent::MessageStored(item) => Some(item),
            _ => None,
        })
        .await;
        assert_eq!((item.id, item.pubsub_topic), (stored.sync_id(), stored.pubsub_topic.clone()));
    }
    assert!(one.try_next().is_none());
}
