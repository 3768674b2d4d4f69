//! Two nodes are used and counted along: their metrics tell exactly what was done, in the form that
//! a scraper takes, and their health who agrees and how far they are behind.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;
#[path = "node_support/metrics.rs"]
mod scraped;

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use node_support::*;
use scraped::Metrics;
use wakustore::ErrorKind;
use wakustore::archive::{Archive, ArchiveState};
use wakustore::engine::{Agreement, SyncOptions};
use wakustore::node::{Health, Node, NodeConfig, RateLimit, archive_metrics};
use wakustore::types::{MessageHash, Origin, Query, StoredMessage};

const STORE: &str = "/vac/waku/store-query/3.0.0";

async fn scrape(node: &Node) -> Metrics {
    Metrics::read(&soon(node.metrics()).await)
}

/// Looks until something is as it should be.
async fn until(node: &Node, holds: impl Fn(&Metrics) -> bool) -> Metrics {
    soon(async {
        loop {
            let metrics = scrape(node).await;
            if holds(&metrics) {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn healthy(node: &Node, holds: impl Fn(&Health) -> bool) -> Health {
    soon(async {
        loop {
            let health = node.health().await;
            if holds(&health) {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// 250 messages in one put, 10 of them again in a second, and one that is never stored.
async fn fill(archive: &Archive) -> Vec<StoredMessage> {
    let all: Vec<_> = (0..250).map(|n| message(n, 100)).collect();
    put(archive, all.clone()).await;
    archive.put(all[..10].to_vec(), Origin::Sync).await.unwrap();
    let mut fleeting = message(900, 10);
    fleeting.message.ephemeral = Some(true);
    archive.put(vec![fleeting], Origin::Live).await.unwrap();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_is_what_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (on_disk(&dir.path().join("a.db")), in_memory());
    fill(&a).await;
    let own: Vec<_> = (1000..1005).map(|n| message(n, 200)).collect();
    put(&b, own).await;
    let limited = RateLimit { requests: 4, per: Duration::from_secs(36_000) };
    let serving = NodeConfig { store_rate_of_peer: Some(limited), ..config() };
    let server = Node::start(serving, a.clone()).await.unwrap();
    let client = node(&b).await;

    // Before anything: all families are there, and nothing has happened.
    let none = scrape(&client).await;
    for name in ["waku_store_queries", "wakustore_syncs_total", "wakustore_store_asked_total"] {
        assert_eq!(none.sum(name), 0.0, "{name}");
    }
    let fresh = client.health().await;
    assert_eq!((fresh.peers, fresh.syncs, fresh.last_sync.clone()), (0, 0, None));
    assert_eq!((fresh.messages, fresh.agreed_until, fresh.behind), (Some(5), None, None));

    // Four requests within the rate, of which one fails, and one beyond it.
    let at = address(&server);
    for _ in 0..3 {
        let page = soon(client.store_query(&at, Query { limit: 50, ..Query::default() })).await;
        assert_eq!(page.unwrap().entries.len(), 50);
    }
    let lost = Query { cursor: Some(MessageHash([7; 32])), ..Query::default() };
    let e = soon(client.store_query(&at, lost)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::CursorNotFound);
    let e = soon(client.store_query(&at, Query::default())).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::StoreTooManyRequests);
    // Something that is no request, from a peer made by hand.
    let mut raw = RawPeer::connect(&server, Muxer::Yamux).await;
    let mut stream = raw.open(&server, STORE).await;
    stream.write_all(&framed(&[0xff; 9])).await.unwrap();
    stream.flush().await.unwrap();
    soon(stream.read_to_end(&mut Vec::new())).await.unwrap();
    // And a dial to where nobody is.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(soon(client.dial(&format!("/ip4/127.0.0.1/tcp/{nobody}"))).await.is_err());

    let seen =
        until(&server, |m| m.get("wakustore_store_response_duration_seconds_count") == 6.0).await;
    assert_eq!(seen.get("waku_store_queries"), 4.0);
    for (code, n) in [("200", 3.0), ("300", 1.0), ("400", 1.0), ("429", 1.0), ("503", 0.0)] {
        let key = format!("wakustore_store_responses_total{{status=\"{code}\"}}");
        assert_eq!(seen.get(&key), n, "{key}");
    }
    let service = format!("waku_service_requests_total{{service=\"{STORE}\"");
    assert_eq!(seen.get(&format!("{service},state=\"served\"}}")), 5.0);
    assert_eq!(seen.get(&format!("{service},state=\"rejected\"}}")), 1.0);
    let bytes = format!("waku_service_network_bytes_total{{service=\"{STORE}\"");
    assert!(seen.get(&format!("{bytes},direction=\"out\"}}")) > 150.0 * 100.0);
    assert!(seen.get(&format!("{bytes},direction=\"in\"}}")) > 9.0);
    assert_eq!(seen.get("waku_store_errors{type=\"decode_rpc_failure\"}"), 1.0);
    assert_eq!(seen.get("libp2p_peers"), 2.0);
    assert_eq!(seen.get("wakustore_connections{direction=\"in\"}"), 2.0);
    assert_eq!(seen.get("wakustore_connections_opened_total{direction=\"in\"}"), 2.0);
    // The archive: the puts that came to a commit, and what became of their messages.
    assert_eq!(seen.get("waku_archive_messages{type=\"stored\"}"), 250.0);
    assert_eq!(seen.get("wakustore_archive_stored_total{origin=\"live\"}"), 250.0);
    assert_eq!(seen.get("wakustore_archive_stored_total{origin=\"sync\"}"), 0.0);
    assert_eq!(seen.get("wakustore_archive_duplicates_total"), 10.0);
    assert_eq!(seen.get("wakustore_archive_refused_total{reason=\"ephemeral\"}"), 1.0);
    assert_eq!(seen.sum("wakustore_archive_refused_total"), 1.0);
    assert_eq!(seen.get("waku_archive_insert_duration_seconds_count"), 2.0);
    assert_eq!(seen.get("waku_archive_queries"), 4.0);
    assert_eq!(seen.get("waku_archive_query_duration_seconds_count"), 4.0);
    assert_eq!(seen.get("wakustore_archive_query_errors_total{type=\"cursor_not_found\"}"), 1.0);
    assert_eq!(seen.sum("wakustore_archive_query_errors_total"), 1.0);
    assert_eq!(seen.sum("waku_archive_errors"), 0.0);
    assert_eq!(seen.get("wakustore_archive_state{state=\"writable\"}"), 1.0);
    assert_eq!(seen.sum("wakustore_archive_state"), 1.0);

    let asked = scrape(&client).await;
    for (outcome, n) in [("ok", 3.0), ("cursor_not_found", 1.0), ("too_many_requests", 1.0)] {
        let key = format!("wakustore_store_asked_total{{outcome=\"{outcome}\"}}");
        assert_eq!(asked.get(&key), n, "{key}");
    }
    assert_eq!(asked.sum("wakustore_store_asked_total"), 5.0);
    assert_eq!(asked.get("wakustore_store_asked_duration_seconds_count"), 5.0);
    assert_eq!(asked.get("waku_store_errors{type=\"status_code_no_success\"}"), 2.0);
    assert_eq!(asked.get("waku_peers_dials_total{outcome=\"successful\"}"), 1.0);
    assert_eq!(asked.get("waku_peers_dials_total{outcome=\"failed\"}"), 1.0);
    assert_eq!(asked.get("libp2p_peers"), 1.0);

    // A sync: both sides tell the figures of its report, each its own way round.
    let mut events = server.events();
    let report = soon(client.sync(&at, SyncOptions::default())).await.unwrap().report;
    let theirs = finished(&mut events).await.report;
    assert_eq!((report.figures.received, report.figures.sent), (250, 5));
    for (node, report) in [(&client, &report), (&server, &theirs)] {
        let seen = until(node, |m| m.get("reconciliation_roundtrips_count") == 1.0).await;
        let figures = &report.figures;
        let is = |key: &str, n: u64| assert_eq!(seen.get(key), n as f64, "{key}");
        is("reconciliation_roundtrips_sum", figures.frames.div_ceil(2));
        is("reconciliation_differences_sum", 255);
        let total = |protocol: &str, direction: &str| {
            format!(
                "total_bytes_exchanged_total{{protocol=\"{protocol}\",direction=\"{direction}\"}}"
            )
        };
        is(&total("reconciliation", "receive"), figures.reconciliation_bytes_in);
        is(&total("reconciliation", "sent"), figures.reconciliation_bytes_out);
        is(&total("transfer", "receive"), figures.transfer_bytes_in);
        is(&total("transfer", "sent"), figures.transfer_bytes_out);
        let messages = "total_transfer_messages_exchanged_total";
        is(&format!("{messages}{{direction=\"receive\"}}"), figures.received);
        is(&format!("{messages}{{direction=\"sent\"}}"), figures.sent);
        let role = if report.initiator { "initiator" } else { "responder" };
        is(
            &format!("wakustore_syncs_total{{protocol=\"strong\",role=\"{role}\",outcome=\"ok\"}}"),
            1,
        );
        assert_eq!(seen.sum("wakustore_syncs_total"), 1.0);
        is("waku_archive_messages{type=\"stored\"}", 255);
        is("wakustore_archive_stored_total{origin=\"sync\"}", figures.received);
        let last = seen.get("wakustore_sync_last_success_timestamp_seconds");
        assert!((last - clock().nanos() as f64 / 1e9).abs() < 120.0, "{last}");
        assert!(seen.find("wakustore_sync_agreed_until_timestamp_seconds").is_some());
    }

    // Their health says the same.
    let health = healthy(&client, |h| h.syncs == 0 && h.store_peers == 1).await;
    let last = health.last_sync.clone().unwrap();
    assert_eq!((last.peer_id, last.agreement), (server.peer_id(), Agreement::Strong));
    assert_eq!((last.received, last.sent, last.outstanding), (250, 5, 0));
    assert_eq!((health.peers, health.strong_peers, health.reconciliation_peers), (1, 1, 1));
    assert_eq!((health.messages, health.archive), (Some(255), ArchiveState::Writable));
    assert!(health.running && health.sync_ready && health.archive_error.is_none());
    assert_eq!((health.gaps, health.gap), (0, Duration::ZERO));
    // Up to the margin before now, and the seconds that have passed since.
    assert!(health.behind.is_some_and(|behind| behind < Duration::from_secs(120)), "{health:?}");
    let newest = message(1004, 0).timestamp();
    assert!((health.newest.unwrap().nanos() - newest.nanos()).abs() < 60_000_000_000);
    assert_eq!(health.queues.store_answering, 0);

    // Once it was stopped, what was counted is still told, and that it does not run.
    soon(client.stop()).await;
    let after = scrape(&client).await;
    assert_eq!(after.get("reconciliation_roundtrips_count"), 1.0);
    assert_eq!(after.find("libp2p_peers"), None);
    let health = client.health().await;
    assert!(!health.running && health.peers == 0 && health.messages == Some(255));
    b.close();
    assert_eq!(client.health().await.archive, ArchiveState::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_is_counted() {
    let relaying = || NodeConfig { relay: true, ..config() };
    let (a, b) = (in_memory(), in_memory());
    let left = Node::start(relaying(), a.clone()).await.unwrap();
    let right = Node::start(relaying(), b.clone()).await.unwrap();
    soon(left.dial(&address(&right))).await.unwrap();
    soon(async {
        while left.relay_peers(shard(0)).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for n in 0..7 {
        let m = message_at(n, 2_000, clock());
        soon(left.publish(shard(0), m.message)).await.unwrap();
    }
    let seen = until(&right, |m| m.get("waku_node_messages_total{type=\"relay\"}") == 7.0).await;
    assert_eq!(seen.get("waku_histogram_message_size_sum"), 14.0);
    assert_eq!(seen.get("waku_histogram_message_size_bucket{le=\"3.0\"}"), 7.0);
    assert_eq!(seen.get("waku_histogram_message_size_bucket{le=\"1.0\"}"), 0.0);
    assert_eq!((seen.get("libp2p_pubsub_topics"), seen.get("libp2p_pubsub_peers")), (2.0, 1.0));
    assert_eq!(seen.sum("wakustore_relay_not_passed_on_total"), 0.0);
    assert_eq!(scrape(&left).await.get("wakustore_relay_published_total"), 7.0);
    assert_eq!(right.health().await.relay_peers, 1);
}

/// As many names as there were, whatever peers and messages do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_peers_do_adds_no_lines() {
    let archive = in_memory();
    let node = node(&archive).await;
    let before = until(&node, |m| m.find("libp2p_peers").is_some()).await.len();
    let mut peers = Vec::new();
    for n in 0..5 {
        put(&archive, vec![message(n, 10)]).await;
        let mut raw = RawPeer::connect(&node, Muxer::Yamux).await;
        let mut stream = raw.open(&node, STORE).await;
        stream.write_all(&framed(&[n as u8 + 1; 30])).await.unwrap();
        soon(stream.read_to_end(&mut Vec::new())).await.unwrap();
        peers.push(raw);
    }
    let seen = until(&node, |m| m.get("libp2p_peers") == 5.0).await;
    // The archive's oldest and newest message have come.
    assert_eq!(seen.len(), before + 2);
}

#[tokio::test]
async fn an_archive_alone_tells_under_the_same_names() {
    let archive = in_memory();
    fill(&archive).await;
    archive.query(Query::default()).await.unwrap();
    let seen = Metrics::read(&archive_metrics(&archive).await);
    assert_eq!(seen.get("waku_archive_messages{type=\"stored\"}"), 250.0);
    assert_eq!(seen.get("waku_archive_queries"), 1.0);
    assert_eq!(seen.get("wakustore_archive_refused_total{reason=\"ephemeral\"}"), 1.0);
    assert_eq!(seen.find("libp2p_peers"), None);
    archive.close();
    let seen = Metrics::read(&archive_metrics(&archive).await);
    assert_eq!(seen.get("wakustore_archive_state{state=\"closed\"}"), 1.0);
    assert_eq!(seen.find("waku_archive_messages{type=\"stored\"}"), None);
}
