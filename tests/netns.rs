//! Nodes as processes in network namespaces, on links with 100 ms of delay and some megabits a
//! second, that go down, are cut and come back, and nodes that are killed. Once all is whole again
//! heartbeats bring every node to exactly the set of what was published.
//!
//! Each scenario prints a line of JSON that tells how long healing took, from the moment at which
//! the last link opened or the last node ran again. tests/netns/run.sh runs them.

#![cfg(all(feature = "node", feature = "sqlite", target_os = "linux"))]
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod netns {
    pub mod link;
    pub mod program;
    pub mod spaces;
    pub mod world;
}
mod node_support;
mod programs;

use std::time::{Duration, Instant};

use netns::link::Way;
use netns::world::{Publisher, World};
use netns::{program, spaces};

const MINUTE: Duration = Duration::from_secs(60);
const TRIANGLE: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Not a test: a node, where it is run as one.
#[test]
fn a_node() {
    program::run();
}

async fn whole(nodes: usize, links: &[(usize, usize)], megabits: u32) -> World {
    let mut world = World::new(nodes, links, megabits).await;
    world.publish(0, 100, seconds(2)).await;
    world.heals("at first", Instant::now(), &[]).await;
    world
}

/// One link of a node stands still for a minute, and then what was on its way is lost; the other is
/// cut. Nobody hears of each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/netns/run.sh runs it"]
async fn links_that_were_down_for_a_minute() {
    if !spaces::inside("links_that_were_down_for_a_minute") {
        return;
    }
    let mut world = whole(3, &TRIANGLE, 4).await;
    world.set(0, 2, Way::Stalled);
    world.set(1, 2, Way::Cut);
    let down = Instant::now();
    let there = world.publish(0, 300, seconds(40)).await;
    let here = world.publish(2, 100, seconds(10)).await;
    tokio::time::sleep(MINUTE.saturating_sub(down.elapsed())).await;
    let lacked = world.lacking(&[0, 1, 2]).await;
    assert_eq!((lacked[0], lacked[2]), (here.len(), there.len()));
    world.set(0, 2, Way::Cut);
    world.set(0, 2, Way::Open);
    world.set(1, 2, Way::Open);
    world.heals("two links down for a minute", Instant::now(), &lacked).await;
    world.end().await;
}

/// The cable of a node is pulled for a minute: what is on its way then is lost, and TCP waits longer
/// each time before it tries again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/netns/run.sh runs it"]
async fn a_cable_that_was_pulled_for_a_minute() {
    if !spaces::inside("a_cable_that_was_pulled_for_a_minute") {
        return;
    }
    let mut world = whole(3, &TRIANGLE, 10).await;
    spaces::plug(2, false);
    let down = Instant::now();
    let there = world.publish(0, 300, seconds(50)).await;
    tokio::time::sleep(MINUTE.saturating_sub(down.elapsed())).await;
    let lacked = world.lacking(&[0, 1, 2]).await;
    assert_eq!(lacked[2], there.len());
    spaces::plug(2, true);
    world.heals("a cable pulled for a minute", Instant::now(), &lacked).await;
    world.end().await;
}

/// SIGKILL while messages come, and once more while the node catches up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/netns/run.sh runs it"]
async fn a_node_that_is_killed_and_comes_again() {
    if !spaces::inside("a_node_that_is_killed_and_comes_again") {
        return;
    }
    let mut world = whole(3, &TRIANGLE, 2).await;
    let mut publisher = Publisher::to(0, 1_000_000).await;
    let publishing = tokio::spawn(async move { publisher.publish(400, seconds(30)).await });
    tokio::time::sleep(seconds(8)).await;
    let held = world.held(2).await;
    world.kill(2);
    let sent = publishing.await.unwrap();
    world.taken(0, &sent).await;
    world.published.extend(&sent);
    world.ask_anew().await;

    for again in [true, false] {
        world.start(2).await;
        let running = Instant::now();
        let now = world.held(2).await;
        assert!(now.is_superset(&held), "what it held is there");
        let lacked = world.published.len() - now.len();
        if again {
            assert!(lacked > 0, "it was away while messages came");
            tokio::time::sleep(Duration::from_millis(1500)).await;
            world.kill(2);
        } else {
            world.heals("a node killed twice", running, &[0, 0, lacked]).await;
        }
    }
    world.end().await;
}

/// Two halves that each hear other messages meet again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "tests/netns/run.sh runs it"]
async fn two_halves_that_meet_again() {
    if !spaces::inside("two_halves_that_meet_again") {
        return;
    }
    let between = [(0, 2), (1, 3)];
    let mut world = whole(4, &[(0, 1), (2, 3), between[0], between[1]], 1).await;
    for (a, b) in between {
        world.set(a, b, Way::Cut);
    }
    let left = world.publish(0, 250, seconds(15)).await;
    let right = world.publish(3, 250, seconds(15)).await;
    world.taken(1, &left).await;
    world.taken(2, &right).await;
    let lacked = world.lacking(&[0, 1, 2, 3]).await;
    assert_eq!(lacked, [right.len(), right.len(), left.len(), left.len()]);
    for (a, b) in between {
        world.set(a, b, Way::Open);
    }
    world.heals("two halves meet again", Instant::now(), &lacked).await;
    world.end().await;
}
