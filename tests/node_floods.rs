//! Bad peers at work on a node that is a process of its own, one kind after the other: what it holds
//! in memory and has open stays within bounds that follow from its limits, all of it is let go of
//! when they have gone, and a good peer beside them is answered as before.
//!
//! The bad peers are another process, with the least claim to the processor: what is measured is
//! what they make the node do, not what the machine has left.

#![cfg(all(feature = "node", feature = "sqlite", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod child_support;
mod floods;
mod node_support;

use std::path::Path;
use std::time::{Duration, Instant};

use child_support::{Process, say, told};
use floods::attacks;
use node_support::*;
use wakustore::engine::SyncOptions;
use wakustore::node::{Node, NodeConfig};
use wakustore::types::{Filter, Query};

/// Set for the other processes alone: the node's file, and the address of the bad peers' victim.
const FILE: &str = "WAKUSTORE_TEST_FLOODED_FILE";
const VICTIM: &str = "WAKUSTORE_TEST_VICTIM";

const CONNECTIONS: u32 = 80;
/// Connections on their way in at once (MAX_PENDING in src/node/behaviour.rs).
const PENDING: u32 = 64;
/// A page that is not read takes twice this while it is encoded, and once while it waits.
const PAGE_BYTES: usize = 512 * 1024;
const PAGES: usize = 32;
/// Queries of the good peer that make a measurement, and how often one is taken where the machine
/// has so much else to do that it says nothing.
const SAMPLES: usize = 40;
const TRIES: usize = 6;

/// The node under attack, until its standard input closes.
#[test]
fn the_node() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
        let archive = on_disk(Path::new(&path));
        let of = |topic: usize, n: usize, size: usize| {
            let mut message = message(n, size);
            message.pubsub_topic = shard(topic as u32);
            wakustore::types::StoredMessage::new(message.pubsub_topic, message.message)
        };
        put(&archive, (0..200).map(|n| of(0, n, 512)).collect()).await;
        put(&archive, (200..230).map(|n| of(1, n, 100_000)).collect()).await;
        let config = NodeConfig {
            relay: true,
            max_connections: CONNECTIONS,
            max_store_requests: PAGES,
            max_page_bytes: PAGE_BYTES,
            ..config()
        };
        let node = Node::start(config, archive.clone()).await.unwrap();
        say(&format!("address {}", address(&node)));
        while let Some(asked) = told().await {
            if asked == "tasks" {
                let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
                say(&format!("tasks {tasks}"));
            }
        }
        node.stop().await;
        archive.close();
    });
}

/// The bad peers: begins what it is told, and ends it when it is told anything else.
#[test]
fn the_bad_peers() {
    let Ok(victim) = std::env::var(VICTIM) else { return };
    let at: libp2p::Multiaddr = victim.split("/p2p/").next().unwrap().parse().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        while let Some(kind) = told().await {
            let at = at.clone();
            let attack = async move { attacks::run(&kind, at, || say("at work")).await };
            let mut attack = tokio::spawn(attack);
            tokio::select! {
                ended = &mut attack => ended.unwrap(),
                _ = told() => attack.abort(),
            }
            // Its connections go with it.
            let _ = attack.await;
            say("ended");
        }
    });
}

/// How long a query takes, in the median.
async fn query_time(good: &Node, peer: &str) -> Duration {
    let filter = Filter { pubsub_topic: Some(shard(0)), ..Filter::default() };
    let mut took = Vec::new();
    for _ in 0..SAMPLES {
        let query = Query { filter: filter.clone(), ..Query::default() };
        let begun = Instant::now();
        let page = soon(good.store_query(peer, query)).await.unwrap();
        took.push(begun.elapsed());
        assert_eq!(page.entries.len(), 20);
    }
    took.sort();
    took[SAMPLES / 2]
}

/// What a process has in use: memory in KiB, files, tasks.
fn in_use(node: &mut Process) -> (usize, usize, usize) {
    (node.memory(), node.files(), node.ask("tasks").parse().unwrap())
}

/// The most memory that a kind may make the node hold beyond what it holds without, in KiB: what its
/// limits allow for, and a rest for what any traffic takes (buffers of sockets and streams that are
/// made once and kept).
fn bound(kind: &str) -> usize {
    let limits = match kind {
        // Pages at once, each of them encoded while its messages are still held.
        "pages that are not read" => 2 * PAGES * PAGE_BYTES / 1024,
        _ => 0,
    };
    limits + 48 * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_leave_the_node_within_bounds_and_good_peers_in_peace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flooded.db").to_str().unwrap().to_owned();
    let mut node = Process::again("the_node", &[(FILE, path)], false);
    let address = node.says("address");
    let mut bad = Process::again("the_bad_peers", &[(VICTIM, address.clone())], true);
    let good = Node::start(config(), in_memory()).await.unwrap();
    let peer = soon(good.dial(&address)).await.unwrap();
    // What is made once and kept is there from now on.
    query_time(&good, &peer).await;
    let before = in_use(&mut node);
    for kind in attacks::KINDS {
        let mut tries = Vec::new();
        node.forget_peak();
        let (mut files, mut peak) = (0, 0);
        loop {
            let without = query_time(&good, &peer).await;
            bad.tell(kind);
            bad.says("at work");
            let beside = query_time(&good, &peer).await;
            files = files.max(node.files());
            peak = peak.max(node.peak());
            bad.tell("enough");
            bad.says("ended");
            tries.push((without, beside));
            // The machine may have been busy with something else: that must not be so each time.
            if beside <= 3 * without {
                break;
            }
            assert!(tries.len() < TRIES, "{kind}: a good peer waits: {tries:?}");
        }
        eprintln!(
            "{kind}: without and beside {tries:?}, {peak} KiB at most (before: {}), {files} files",
            before.0
        );
        let grown = peak.saturating_sub(before.0);
        assert!(grown <= bound(kind), "{kind}: {grown} KiB more than without");
        // Three quarters of the connections are for those that come, and some are on their way.
        let most = before.1 + (CONNECTIONS * 3 / 4 + PENDING) as usize + 4;
        assert!(files <= most, "{kind}: {files} files, at most {most} by its limits");
        // What they had is let go of.
        let ended = Instant::now();
        loop {
            let now = in_use(&mut node);
            if now.1 <= before.1 + 2 && now.2 <= before.2 + 4 {
                break;
            }
            assert!(ended.elapsed() < Duration::from_secs(60), "{kind}: {before:?} became {now:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let after = in_use(&mut node);
    eprintln!("before {before:?}, after {after:?}");
    assert!(after.0 <= before.0 + 48 * 1024, "{before:?} became {after:?}");
    // Not only Store: whoever comes now is synced with.
    let archive = in_memory();
    let other = Node::start(config(), archive.clone()).await.unwrap();
    let synced = soon(other.sync(&address, SyncOptions::default())).await.unwrap();
    assert_eq!(synced.report.figures.received, 230, "{synced:?}");
    assert!(bad.end() && node.end());
}
