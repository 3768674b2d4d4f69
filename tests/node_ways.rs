//! Two nodes sync the best way that both speak; what a sync tells while it runs, and in which
//! order; and what the node can say afterwards.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::time::Duration;

use node_support::*;
use wakustore::ErrorKind;
use wakustore::archive::Archive;
use wakustore::engine::{
    Agreement, EngineConfig, SyncDirection, SyncOptions, SyncProtocol, SyncReason,
};
use wakustore::node::{Node, NodeConfig, NodeEvent};
use wakustore::types::TimeRange;

/// Two archives that differ both ways: 300 messages, of which the first lacks 30 and the second 50.
async fn halves() -> (Archive, Archive) {
    let (a, b) = (in_memory(), in_memory());
    let all: Vec<_> = (0..300).map(|n| message(n, 400)).collect();
    put(&a, all[30..].to_vec()).await;
    put(&b, all[..250].to_vec()).await;
    (a, b)
}

async fn without_strong(archive: &Archive) -> Node {
    let engine = EngineConfig { strong: false, ..config().engine };
    Node::start(NodeConfig { engine, ..config() }, archive.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_speak_their_own_protocol() {
    let (a, b) = halves().await;
    let (left, right) = (node(&a).await, node(&b).await);
    let mut events = right.events();
    let report = soon(left.sync(&address(&right), SyncOptions::default())).await.unwrap().report;
    assert_eq!((report.protocol, report.reason), (SyncProtocol::Strong, SyncReason::Demand));
    assert_eq!(report.agreement, Agreement::Strong, "{report:?}");
    assert_eq!((report.figures.received, report.figures.sent), (30, 50), "{report:?}");
    let theirs = finished(&mut events).await.report;
    assert_eq!((theirs.protocol, theirs.reason), (SyncProtocol::Strong, SyncReason::Remote));
    assert_eq!(theirs.agreement, Agreement::Strong, "{theirs:?}");
    assert_same(&a, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_node_that_does_not_speak_it_the_deployed_one_is_spoken() {
    for the_other_begins in [false, true] {
        let (a, b) = halves().await;
        let (left, right) = (node(&a).await, without_strong(&b).await);
        let (from, to) = if the_other_begins { (&right, &left) } else { (&left, &right) };
        let mut events = to.events();
        let report = soon(from.sync(&address(to), SyncOptions::default())).await.unwrap().report;
        assert_eq!(report.protocol, SyncProtocol::V1);
        assert_eq!(report.agreement, Agreement::Weak, "{report:?}");
        assert_eq!(finished(&mut events).await.report.protocol, SyncProtocol::V1);
        assert_same(&a, &b).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_is_spoken_or_refused() {
    let (a, b) = halves().await;
    let (left, right) = (node(&a).await, without_strong(&b).await);
    let by = |protocol| SyncOptions { protocol: Some(protocol), ..SyncOptions::default() };
    let error = soon(left.sync(&address(&right), by(SyncProtocol::Strong))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProtocolUnsupported, "{error:?}");
    let report = soon(left.sync(&address(&right), by(SyncProtocol::Store))).await.unwrap().report;
    assert_eq!((report.protocol, report.figures.received), (SyncProtocol::Store, 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_store_alone_is_synced_with_over_store() {
    let (a, b) = halves().await;
    let left = node(&a).await;
    let right = Node::start(NodeConfig { sync: false, ..config() }, b.clone()).await.unwrap();
    let report = soon(left.sync(&address(&right), SyncOptions::default())).await.unwrap().report;
    assert_eq!((report.protocol, report.figures.received), (SyncProtocol::Store, 30), "{report:?}");
    assert_eq!((hashes(&a).await.len(), hashes(&b).await.len()), (300, 250));
    // Nothing can be sent to it.
    let push = SyncOptions { direction: SyncDirection::Push, ..SyncOptions::default() };
    let error = soon(left.sync(&address(&right), push)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProtocolUnsupported, "{error:?}");
}

/// All that a sync stored has been told when its report is there, whoever is asked first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sync_stored_is_told_before_its_end() {
    let (a, b) = (in_memory(), in_memory());
    put(&b, (0..4000).map(|n| message(n, 40)).collect()).await;
    let (left, right) = (node(&a).await, node(&b).await);
    let mut events = left.events();
    let report = soon(left.sync(&address(&right), SyncOptions::default())).await.unwrap();
    // No waiting from here on: what is not there now came too late.
    let told: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let at = |wanted: &dyn Fn(&NodeEvent) -> bool| told.iter().position(wanted);
    let begun = at(&|e| matches!(e, NodeEvent::SyncStarted(s) if s.session == report.session));
    let ended = at(&|e| matches!(e, NodeEvent::SyncFinished(r) if *r == report));
    let stored = |e: &&NodeEvent| matches!(e, NodeEvent::MessageStored(_));
    let (begun, ended) = (begun.expect("begun"), ended.expect("ended"));
    assert!(begun < ended);
    assert_eq!(told[begun..ended].iter().filter(stored).count(), 4000);
    assert_eq!(told.iter().filter(stored).count(), 4000);
    let NodeEvent::SyncStarted(begun) = &told[begun] else { unreachable!() };
    assert_eq!((begun.peer_id.as_str(), begun.initiator), (right.peer_id().as_str(), true));
    assert_eq!((begun.window, begun.protocol), (report.report.window, SyncProtocol::Strong));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_is_watched_and_cancelled_by_its_number() {
    let (a, b) = (in_memory(), in_memory());
    for part in 0..20 {
        put(&a, (0..50).map(|n| message(part * 50 + n, 100_000)).collect()).await;
    }
    let (left, right) = (node(&a).await, node(&b).await);
    let (mut events, mut theirs) = (left.events(), right.events());
    let to = address(&right);
    let sync = tokio::spawn({
        let left = left.clone();
        async move { left.sync(&to, SyncOptions::default()).await }
    });
    let begun = event(&mut events, |e| match e {
        NodeEvent::SyncStarted(begun) => Some(begun),
        _ => None,
    });
    let number = begun.await.session;
    let mut last = 0;
    while last < 100 {
        let (session, peer_id, progress) = event(&mut events, |e| match e {
            NodeEvent::SyncProgress { session, peer_id, progress } => {
                Some((session, peer_id, progress))
            }
            NodeEvent::SyncFinished(report) => panic!("it ended unwatched: {report:?}"),
            _ => None,
        })
        .await;
        assert_eq!((session, peer_id), (number, right.peer_id()));
        assert!(progress.sent >= last, "{progress:?}");
        last = progress.sent;
    }
    left.cancel_sync(number + 1000);
    left.cancel_sync(number);
    assert_eq!(soon(sync).await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    let report = finished(&mut events).await;
    assert_eq!(report.session, number);
    assert_eq!(report.report.error.map(|e| e.kind()), Some(ErrorKind::Cancelled));
    assert!(b.stats().await.unwrap().messages < 1000, "it was midway");
    // The side that did not begin it was told of its beginning, with the window, too.
    let begun = event(&mut theirs, |e| match e {
        NodeEvent::SyncStarted(begun) => Some(begun),
        _ => None,
    })
    .await;
    assert_eq!((begun.initiator, begun.reason), (false, SyncReason::Remote));
    assert_eq!(begun.window, report.report.window);
    left.cancel_sync(number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coverage_counts_the_peers_that_agree() {
    let (a, b) = halves().await;
    let (c, empty) = (in_memory(), in_memory());
    let (one, two, three) = (node(&a).await, node(&b).await, without_strong(&c).await);
    let hub = node(&empty).await;
    assert_eq!(hub.coverage(), []);
    let now = clock();
    let window = TimeRange::new(
        now.saturating_sub(Duration::from_secs(3000)),
        now.saturating_sub(Duration::from_secs(600)),
    );
    let options = SyncOptions { window: Some(window.unwrap()), ..SyncOptions::default() };
    let most = |hub: &Node| {
        let all = hub.coverage();
        assert!(all.windows(2).all(|w| w[0].span.end() <= w[1].span.start()), "{all:?}");
        all.iter().map(|c| (c.peers, c.strong)).max().unwrap_or_default()
    };
    for (peer, wanted) in [(&one, (1, 1)), (&two, (2, 2)), (&three, (3, 2)), (&one, (3, 2))] {
        soon(hub.sync(&address(peer), options.clone())).await.unwrap();
        assert_eq!(most(&hub), wanted, "{:?}", hub.coverage());
    }
}
