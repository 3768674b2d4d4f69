//! A sync within a time and a number of bytes, as a phone does it in the background: it stops where
//! it must, keeps what came, and the next one goes on.
#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use node_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wakustore::ErrorKind;
use wakustore::archive::Archive;
use wakustore::engine::{EngineConfig, SyncProtocol};
use wakustore::node::{Node, NodeConfig, NodeEvent, SyncOnceEnd, SyncOnceOptions, SyncOnceReport};
use wakustore::types::{TimeRange, Timestamp};

/// A way to a node that counts what passes, and passes on no more than so much a second.
struct Way {
    address: String,
    bytes: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Way {
    async fn to(node: &Node, a_second: Option<usize>) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target: libp2p::Multiaddr = address(node).parse().unwrap();
        let target = target.iter().find_map(|part| match part {
            libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = bytes.clone();
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", target.unwrap())).await.unwrap();
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let ((nr, nw), (fr, fw)) = (near.into_split(), far.into_split());
                all.spawn(pass(nr, fw, counted.clone(), a_second));
                all.spawn(pass(fr, nw, counted.clone(), a_second));
            }
        });
        let address = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", node.peer_id());
        Way { address, bytes, task }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    bytes: Arc<AtomicU64>,
    a_second: Option<usize>,
) {
    let mut buffer = vec![0; a_second.map_or(64 * 1024, |n| (n / 50).max(1))];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        bytes.fetch_add(n as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..n]).await.is_err() {
            break;
        }
        if a_second.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let _ = to.shutdown().await;
}

/// A node that does nothing by itself and listens nowhere.
async fn phone(archive: &Archive) -> Node {
    let config = NodeConfig { listen: Vec::new(), serve_store: false, ..config() };
    Node::start(config, archive.clone()).await.unwrap()
}

fn with(peer: &str) -> SyncOnceOptions {
    SyncOnceOptions {
        peers: vec![peer.to_owned()],
        deadline: Duration::from_secs(50),
        ..SyncOnceOptions::default()
    }
}

async fn once(node: &Node, options: &SyncOnceOptions) -> SyncOnceReport {
    soon(node.sync_once(options.clone())).await.unwrap()
}

const COUNT: usize = 3_000;
const BUDGET: u64 = 400_000;
/// What is on its way when the budget is used up: buffers of the streams, of the connection, and of
/// the reader.
const ON_ITS_WAY: u64 = 128 * 1024;

/// How a server is to be synced with.
fn server(protocol: SyncProtocol) -> NodeConfig {
    let base = config();
    match protocol {
        SyncProtocol::Strong => base,
        SyncProtocol::V1 => {
            NodeConfig { engine: EngineConfig { strong: false, ..base.engine.clone() }, ..base }
        }
        SyncProtocol::Store => NodeConfig { sync: false, ..base },
    }
}

async fn in_parts(protocol: SyncProtocol, overshoot: u64) {
    let theirs = in_memory();
    let all: Vec<_> = (0..COUNT).map(|n| message(n, 500)).collect();
    put(&theirs, all).await;
    let server = Node::start(server(protocol), theirs.clone()).await.unwrap();

    // All at once, to know what it takes.
    let (whole, way) = (in_memory(), Way::to(&server, None).await);
    let node = phone(&whole).await;
    let at_once = once(&node, &with(&way.address)).await;
    assert_eq!((at_once.end, at_once.received), (SyncOnceEnd::Complete, COUNT as u64));
    assert_eq!(
        (at_once.lacking.as_slice(), at_once.outstanding, at_once.error),
        (&[][..], 0, None)
    );
    assert_same(&whole, &theirs).await;
    let counted = at_once.bytes_in + at_once.bytes_out;
    let wire = way.bytes();
    assert!(counted <= wire, "{counted} bytes counted, {wire} on the wire");
    // Encryption, multiplexing, the handshakes, what peers say of themselves.
    assert!(counted + counted / 10 + 20_000 >= wire, "{counted} of {wire} bytes");
    node.stop().await;

    let (ours, way) = (in_memory(), Way::to(&server, None).await);
    let node = phone(&ours).await;
    let options = SyncOnceOptions { byte_budget: Some(BUDGET), ..with(&way.address) };
    let (mut received, mut bytes, mut reports) = (0, 0, 0);
    loop {
        let report = once(&node, &options).await;
        reports += 1;
        received += report.received;
        let spent = report.bytes_in + report.bytes_out;
        bytes += spent;
        assert!(spent <= BUDGET + overshoot, "{spent} bytes of {BUDGET}: {report:?}");
        // What it says that came is there.
        assert_eq!(ours.stats().await.unwrap().messages, received, "{report:?}");
        assert!(node.peers().is_empty(), "who was dialled for it is let go");
        if report.end == SyncOnceEnd::Complete {
            assert_eq!(report.lacking, []);
            break;
        }
        assert_eq!(report.end, SyncOnceEnd::Budget, "{report:?}");
        assert!(!report.lacking.is_empty() && report.received > 0, "{report:?}");
        assert!(reports < 50, "it does not come to its end");
    }
    assert!(reports > 3, "{reports}");
    assert_eq!(received, COUNT as u64, "none twice");
    assert_same(&ours, &theirs).await;
    // No message twice; what was told of them may be told again.
    assert!(bytes < counted * 2, "{bytes} bytes in {reports} parts, {counted} at once");
    println!(
        "{protocol:?}: {counted} bytes at once ({wire} on the wire), {bytes} in {reports} parts"
    );
    let again = once(&node, &with(&way.address)).await;
    assert_eq!((again.end, again.received), (SyncOnceEnd::Complete, 0));
    node.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_parts_by_its_own_protocol() {
    in_parts(SyncProtocol::Strong, ON_ITS_WAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_parts_by_1_0_0() {
    in_parts(SyncProtocol::V1, ON_ITS_WAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_parts_over_store() {
    // Two answers of a hundred messages, and one of hashes.
    in_parts(SyncProtocol::Store, 2 * 100 * 750 + 10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line_and_a_deadline() {
    let (ours, theirs) = (in_memory(), in_memory());
    put(&theirs, (0..COUNT).map(|n| message(n, 1_000)).collect()).await;
    let server = Node::start(config(), theirs.clone()).await.unwrap();
    let node = phone(&ours).await;
    let slow = Way::to(&server, Some(300_000)).await;
    let options = SyncOnceOptions { deadline: Duration::from_secs(5), ..with(&slow.address) };
    let cut = once(&node, &options).await;
    assert_eq!(cut.end, SyncOnceEnd::Deadline, "{cut:?}");
    assert!(cut.received < COUNT as u64 && !cut.lacking.is_empty(), "{cut:?}");
    assert_eq!(ours.stats().await.unwrap().messages, cut.received);
    let fast = Way::to(&server, None).await;
    let rest = once(&node, &with(&fast.address)).await;
    assert_eq!(rest.end, SyncOnceEnd::Complete);
    assert_eq!(cut.received + rest.received, COUNT as u64, "{cut:?}, {rest:?}");
    assert_same(&ours, &theirs).await;
    node.stop().await;
    server.stop().await;
}

/// The node's own ways of syncing are on, and come in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gap_since_it_was_last_online() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (in_memory(), in_memory());
    let server = Node::start(config(), theirs.clone()).await.unwrap();
    let hours = |n: u64| clock().saturating_sub(Duration::from_secs(n * 3600));
    let phone = |archive: Archive| {
        let engine = EngineConfig {
            resume: true,
            sync_on_connect: true,
            resume_limit: Duration::from_secs(24 * 3600),
            ..config().engine
        };
        let state = Some(dir.path().join("state"));
        Node::start(NodeConfig { listen: Vec::new(), state, engine, ..config() }, archive)
    };
    // A clock that is turned: it was last online nine hours ago.
    let early = archive_of(|| clock().saturating_sub(Duration::from_secs(9 * 3600)));
    let node = phone(early).await.unwrap();
    soon(node.dial(&address(&server))).await.unwrap();
    let first = once(&node, &with(&address(&server))).await;
    assert_eq!(first.end, SyncOnceEnd::Complete);
    node.stop().await;

    let old: Vec<_> = (0..8)
        .flat_map(|h| (0..20).map(move |n| (h, n)))
        .map(|(h, n)| {
            message_at(
                h * 20 + n,
                100,
                hours(h as u64).saturating_sub(Duration::from_secs(n as u64 + 60)),
            )
        })
        .collect();
    let count = old.len() as u64;
    put(&theirs, old).await;
    let node = phone(ours.clone()).await.unwrap();
    let mut events = node.events();
    let report = once(&node, &with(&address(&server))).await;
    assert_eq!((report.end, report.received), (SyncOnceEnd::Complete, count), "{report:?}");
    assert!(report.window.start() < hours(8) && report.window.start() > hours(10), "{report:?}");
    assert_same(&ours, &theirs).await;
    // With whom, it is all done for the next.
    let again = once(&node, &with(&address(&server))).await;
    assert_eq!((again.end, again.received), (SyncOnceEnd::Complete, 0));
    assert!(again.window.start() > hours(2), "the gap is filled: {again:?}");
    let covered = node.coverage();
    assert!(covered.iter().any(|c| c.span.start() < hours(8)), "{covered:?}");
    event(&mut events, |e| matches!(e, NodeEvent::SyncFinished(_)).then_some(())).await;
    node.stop().await;
    server.stop().await;
}

fn archive_of(clock: fn() -> Timestamp) -> Archive {
    use wakustore::archive::{ArchiveConfig, MemoryBackend, Rules};
    let rules = Rules { check_live_age: false, ..Rules::default() };
    let config = ArchiveConfig { rules, ..ArchiveConfig::new(clock) };
    Archive::open(MemoryBackend::default(), config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_fail_and_windows_that_are_named() {
    let (ours, theirs) = (in_memory(), in_memory());
    put(&theirs, (0..100).map(|n| message(n, 100)).collect()).await;
    let server = Node::start(config(), theirs.clone()).await.unwrap();
    let node = phone(&ours).await;
    let kind = |failed: wakustore::Result<SyncOnceReport>| failed.unwrap_err().kind();
    let nobody = SyncOnceOptions::default();
    assert_eq!(kind(soon(node.sync_once(nobody.clone())).await), ErrorKind::PeerUnknown);
    let dead = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", phone(&in_memory()).await.peer_id());
    assert_eq!(kind(soon(node.sync_once(with(&dead))).await), ErrorKind::Dial);
    for bad in [
        SyncOnceOptions { deadline: Duration::ZERO, ..with(&dead) },
        SyncOnceOptions { byte_budget: Some(0), ..with(&dead) },
    ] {
        assert_eq!(kind(node.sync_once(bad).await), ErrorKind::InvalidArgument);
    }
    // One that fails, and another; of a window that has forty of them.
    let first = message(0, 100).timestamp();
    let window = TimeRange::new(first, first.saturating_add(Duration::from_secs(8))).unwrap();
    let two = SyncOnceOptions {
        peers: vec![dead, address(&server)],
        window: Some(window),
        ..SyncOnceOptions::default()
    };
    let report = once(&node, &two).await;
    assert_eq!((report.end, report.window), (SyncOnceEnd::Complete, window));
    assert!((35..=45).contains(&report.received), "{report:?}");
    assert_eq!(report.error.map(|e| e.kind()), Some(ErrorKind::Dial));
    // Nobody named: who was dialled before.
    let report = once(&node, &nobody).await;
    assert_eq!(report.end, SyncOnceEnd::Complete);
    assert_same(&ours, &theirs).await;
    // One at a time.
    let slow = Way::to(&server, Some(2_000)).await;
    let running = tokio::spawn({
        let (node, options) = (node.clone(), with(&slow.address));
        async move { node.sync_once(options).await.map(drop) }
    });
    soon(async {
        while slow.bytes() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(kind(node.sync_once(nobody.clone()).await), ErrorKind::SyncBusy);
    // Given up, and suspended: the next can go on.
    running.abort();
    let _ = running.await;
    soon(node.suspend()).await.unwrap();
    assert_eq!(kind(node.sync_once(nobody.clone()).await), ErrorKind::Suspended);
    soon(node.resume()).await.unwrap();
    let report = once(&node, &with(&address(&server))).await;
    assert_eq!(report.end, SyncOnceEnd::Complete);
    node.stop().await;
    server.stop().await;
}
