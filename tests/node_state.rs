//! A node's own state over a restart: coverage is there again, a damaged file is no reason not to
//! start, and what was sent while the node was off is fetched.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::path::Path;
use std::time::Duration;

use node_support::*;
use wakustore::ErrorKind;
use wakustore::archive::Archive;
use wakustore::engine::SyncOptions;
use wakustore::node::{Node, NodeConfig};

fn with_state(path: &Path) -> NodeConfig {
    NodeConfig { state: Some(path.to_owned()), ..config() }
}

async fn start(config: NodeConfig, archive: &Archive) -> Node {
    Node::start(config, archive.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coverage_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let (a, b) = (in_memory(), in_memory());
    put(&a, (0..50).map(|n| message(n, 64)).collect()).await;
    let other = node(&a).await;
    let this = start(with_state(&path), &b).await;
    soon(this.sync(&address(&other), SyncOptions::default())).await.unwrap();
    let coverage = this.coverage();
    assert!(!coverage.is_empty());
    soon(this.stop()).await;
    // And the book of peers beside it.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    assert!(dir.path().join("state.peers").exists());

    let again = start(with_state(&path), &b).await;
    assert_eq!(again.coverage(), coverage);
    soon(again.stop()).await;
    // A node that is only dropped keeps it too, if later.
    let elsewhere = dir.path().join("dropped");
    drop(start(with_state(&elsewhere), &b).await);
    soon(async {
        while !elsewhere.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // Without the file nothing is remembered.
    assert_eq!(node(&b).await.coverage(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_is_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (path, aside) = (dir.path().join("state"), dir.path().join("state.bad"));
    let archive = in_memory();
    soon(start(with_state(&path), &archive).await.stop()).await;
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let this = start(with_state(&path), &archive).await;
    assert_eq!(std::fs::read(&aside).unwrap(), damaged);
    soon(this.stop()).await;
    // And a good one is there again.
    std::fs::remove_file(&aside).unwrap();
    soon(start(with_state(&path), &archive).await.stop()).await;
    assert!(path.exists() && !aside.exists());
}

#[tokio::test]
async fn a_path_at_which_there_can_be_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("no/state")] {
        let started = Node::start(with_state(&path), in_memory()).await;
        assert_eq!(started.err().map(|e| e.kind()), Some(ErrorKind::InvalidArgument), "{path:?}");
    }
}
