//! Pages over the network: 100 messages of 512 bytes from an archive of 30,000, between two
//! processes on loopback, over a warm connection and a new stream a page. Beside it the archive's
//! part of it (the same queries asked in the server's process), and a bare stream of the same bytes
//! over the same transport. Then how many pages a second 1, 8 and 64 clients get and what they take
//! of the server's processor, and how fast messages come in over relay.
//!
//! The other processes are this program, run again with arguments of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "store/bare.rs"]
mod bare;
#[path = "../child_support/mod.rs"]
mod child_support;
#[allow(dead_code)]
mod report;
#[path = "store/server.rs"]
mod server;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use child_support::Process;
use report::{figure, versus};
use server::{MESSAGES, SIZE, config, query};
use tokio::runtime::Runtime;
use wakustore::archive::{Archive, ArchiveConfig, MemoryBackend};
use wakustore::node::Node;
use wakustore::types::{ContentTopic, PubsubTopic, WakuMessage};

/// Pages of each kind in a row, before it is the other's turn; and how often.
const IN_A_ROW: usize = 50;
const TURNS: usize = 24;
/// How long each number of clients asks.
const SPELL: Duration = Duration::from_secs(3);
/// Messages over relay.
const RELAYED: u64 = 10_000;
/// Of them being published at once, and on their way to the other archive at once: gossipsub lets go
/// of what waits for long.
const PUBLISHING: usize = 64;
const ON_THEIR_WAY: u64 = 800;

fn process(arguments: &[&str]) -> Process {
    Process::of(Command::new(std::env::current_exe().unwrap()).args(arguments))
}

/// A quantile of some times, in microseconds.
fn quantile(times: &mut [Duration], at: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * at) as usize].as_secs_f64() * 1e6
}

async fn client() -> Node {
    let empty = Archive::open(MemoryBackend::default(), ArchiveConfig::new(server::clock)).unwrap();
    Node::start(config(false), empty).await.unwrap()
}

/// One page after the other, and the bare stream in turn with it.
async fn pages(server: &mut Process, address: &str) {
    let client = client().await;
    let peer = client.dial(address).await.unwrap();
    let (asked, answered) = server::sizes(&server.ask("sizes"));
    let mut other = process(&["bare", &asked.to_string(), &answered.to_string()]);
    let echo = bare::Client::connect(&other.says("address"), asked, answered).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        for n in 0..IN_A_ROW {
            let begun = Instant::now();
            let page = client.store_query(&peer, query(turn * IN_A_ROW + n)).await.unwrap();
            ours.push(begun.elapsed());
            assert_eq!(page.entries.len(), 100);
        }
        for _ in 0..IN_A_ROW {
            let begun = Instant::now();
            echo.ask().await;
            theirs.push(begun.elapsed());
        }
    }
    // The first turns warm both up.
    let warm = 2 * IN_A_ROW;
    let (ours, theirs) = (&mut ours[warm..], &mut theirs[warm..]);
    versus("store.page.p50_us", quantile(ours, 0.5), "us", "bare", quantile(theirs, 0.5));
    versus("store.page.p95_us", quantile(ours, 0.95), "us", "bare", quantile(theirs, 0.95));
    let archive_us: f64 = server.ask("archive").parse().unwrap();
    figure("store.page.archive_p50_us", archive_us, "us");
}

/// So many clients, each with a connection of its own and one question after the other: pages a
/// second, and the server's processor time a page in microseconds.
async fn spell(server: &Process, address: &str, clients: &[Node]) -> (f64, f64) {
    let (count, over) = (Arc::new(AtomicU64::new(0)), Instant::now() + SPELL);
    let before = (server.cpu(), Instant::now());
    let asking: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(at, client)| {
            let (client, count) = (client.clone(), count.clone());
            let peer = address.to_owned();
            tokio::spawn(async move {
                for n in 0.. {
                    if Instant::now() >= over {
                        break;
                    }
                    let page = client.store_query(&peer, query(at * 997 + n)).await.unwrap();
                    assert_eq!(page.entries.len(), 100);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for one in asking {
        one.await.unwrap();
    }
    let pages = count.load(Ordering::Relaxed) as f64;
    let cpu = (server.cpu() - before.0).as_secs_f64() * 1e6 / pages;
    (pages / before.1.elapsed().as_secs_f64(), cpu)
}

async fn crowds(server: &Process, address: &str) {
    let mut clients = Vec::new();
    for _ in 0..64 {
        let client = client().await;
        client.dial(address).await.unwrap();
        clients.push(client);
    }
    let mut measured = [(1, vec![]), (8, vec![]), (64, vec![])];
    for _ in 0..2 {
        for (count, spells) in &mut measured {
            spells.push(spell(server, address, &clients[..*count]).await);
        }
    }
    let mean = |spells: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        spells.iter().map(of).sum::<f64>() / spells.len() as f64
    };
    for (count, spells) in &measured {
        figure(&format!("store.pages_per_s.clients{count}"), mean(spells, |s| s.0), "pages/s");
    }
    let cpu = |at: usize| mean(&measured[at].1, |s| s.1);
    versus("store.page.cpu_us", cpu(2), "us", "1 client", cpu(0));
}

/// Messages a second from a publisher over relay into the archive of another process.
async fn relay(dir: &Path) {
    let mut server = process(&["relay", dir.join("relay.db").to_str().unwrap()]);
    let address = server.says("address");
    let archive = ArchiveConfig { max_queued_bytes: 1 << 30, ..ArchiveConfig::new(server::clock) };
    let archive = Archive::open(MemoryBackend::default(), archive).unwrap();
    let publisher = Node::start(config(true), archive).await.unwrap();
    publisher.dial(&address).await.unwrap();
    let topic = PubsubTopic::of_shard(server::CLUSTER, 0);
    while publisher.relay_peers(topic.clone()).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (next, stored) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let publishing: Vec<_> = (0..PUBLISHING)
        .map(|_| {
            let (publisher, topic) = (publisher.clone(), topic.clone());
            let (next, stored) = (next.clone(), stored.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= RELAYED {
                        break;
                    }
                    while n > stored.load(Ordering::Relaxed) + ON_THEIR_WAY {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    let mut payload = vec![n as u8; SIZE];
                    payload[..8].copy_from_slice(&n.to_be_bytes());
                    let content = ContentTopic::new("/bench/1/relay/proto").unwrap();
                    let message = WakuMessage::new(payload, content, server::clock());
                    // Where the peer's queue is full, it was not sent.
                    while publisher.publish(topic.clone(), message.clone()).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            })
        })
        .collect();
    let mut there = 0;
    while there < RELAYED {
        assert!(begun.elapsed() < Duration::from_secs(60), "{there} of {RELAYED}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        there = tokio::task::block_in_place(|| server.ask("messages")).parse().unwrap();
        stored.store(there, Ordering::Relaxed);
    }
    let took = begun.elapsed().as_secs_f64();
    figure("store.relay.messages_per_s", RELAYED as f64 / took, "messages/s");
    for one in publishing {
        one.await.unwrap();
    }
    publisher.stop().await;
    assert!(server.end());
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", path] => return server::run(Path::new(path), false),
        ["relay", path] => return server::run(Path::new(path), true),
        ["bare", asked, answered] => {
            return bare::run(asked.parse().unwrap(), answered.parse().unwrap());
        }
        _ => {}
    }
    let runs = |group: &str| {
        arguments.is_empty() || arguments.iter().any(|word| group.contains(word.as_str()))
    };
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    if runs("store.page") {
        let path = dir.path().join("pages.db");
        server::fill(&path);
        let mut server = process(&["serve", path.to_str().unwrap()]);
        let address = server.says("address");
        assert_eq!(server.ask("messages").parse(), Ok(MESSAGES));
        runtime.block_on(pages(&mut server, &address));
        runtime.block_on(crowds(&server, &address));
        assert!(server.end());
    }
    if runs("store.relay") {
        runtime.block_on(relay(dir.path()));
    }
}
