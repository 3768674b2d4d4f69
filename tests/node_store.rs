//! History over real sockets: walks, filters, errors, limits, and many quick queries.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::collections::HashSet;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use node_support::*;
use wakustore::ErrorKind;
use wakustore::node::{Node, NodeConfig, RateLimit};
use wakustore::store::client;
use wakustore::types::{
    Direction, Filter, MessageHash, Page, Query, StoredMessage, TimeRange, Timestamp,
};
use wakustore::wire::{store::PROTOCOL, varint};

async fn walk(node: &Node, peer: &str, query: Query) -> Vec<Page> {
    let mut history = node.history(peer, query).unwrap();
    let mut pages = Vec::new();
    while let Some(page) = soon(history.next()).await.unwrap() {
        pages.push(page);
    }
    assert!(history.next().await.unwrap().is_none(), "the end stays the end");
    pages
}

fn hashes_of(pages: &[Page]) -> Vec<MessageHash> {
    pages.iter().flat_map(|p| p.entries.iter().map(|e| e.hash)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_of_2500_messages() {
    let dir = tempfile::tempdir().unwrap();
    let archive = on_disk(&dir.path().join("a.db"));
    // In bursts of five with one timestamp.
    let base = message(0, 8).timestamp().nanos();
    let mut messages: Vec<StoredMessage> = (0..2500)
        .map(|n| message_at(n, 10 + n % 300, Timestamp(base + (n as i64 / 5) * 1_000_000)))
        .collect();
    put(&archive, messages.clone()).await;
    messages.sort_by_key(StoredMessage::sync_id);
    let all: Vec<MessageHash> = messages.iter().map(|m| m.hash).collect();

    let server = node(&archive).await;
    let client = node(&in_memory()).await;
    let peer = address(&server);

    let forward = walk(&client, &peer, Query { limit: 100, ..Query::default() }).await;
    assert_eq!(forward.len(), 25);
    assert_eq!(hashes_of(&forward), all);
    // Whole messages, byte for byte.
    let got = forward.iter().flat_map(|p| &p.entries);
    for (entry, sent) in got.zip(&messages) {
        let (topic, message) = entry.data.as_ref().unwrap();
        assert_eq!((topic, message), (&sent.pubsub_topic, &sent.message));
    }

    let backward = Query { limit: 100, direction: Direction::Backward, ..Query::default() };
    let mut pages = walk(&client, &peer, backward.clone()).await;
    pages.reverse();
    assert_eq!(hashes_of(&pages), all, "pages in backward order, entries forward");

    let filter = Filter {
        pubsub_topic: Some(shard(1)),
        content_topics: vec![content(1)],
        ..Filter::default()
    };
    let by_topic = Query { filter, limit: 37, ..backward };
    let mut pages = walk(&client, &peer, by_topic).await;
    pages.reverse();
    let expected: Vec<_> =
        messages.iter().filter(|m| m.message.content_topic == content(1)).map(|m| m.hash).collect();
    assert_eq!(expected.len(), 625);
    assert_eq!(hashes_of(&pages), expected);

    let time =
        TimeRange::new(Timestamp(base + 100_000_000), Timestamp(base + 120_000_000)).unwrap();
    let filter = Filter { time, ..filter_of_both() };
    let pages = walk(&client, &peer, Query { filter, limit: 30, ..Query::default() }).await;
    assert_eq!(hashes_of(&pages), all[500..600].to_vec(), "half-open");

    let wanted: HashSet<_> = [all[7], all[2000], all[2499]].into();
    let hashes: Vec<_> = wanted.iter().copied().chain([MessageHash([9; 32])]).collect();
    let filter = Filter { hashes, ..Filter::default() };
    let pages = walk(&client, &peer, Query { filter, ..Query::default() }).await;
    assert_eq!(hashes_of(&pages).into_iter().collect::<HashSet<_>>(), wanted);

    let alone = Query { include_data: false, limit: 100, ..Query::default() };
    let pages = walk(&client, &peer, alone).await;
    assert_eq!(hashes_of(&pages), all);
    assert!(pages[0].entries[0].data.is_none());
}

fn filter_of_both() -> Filter {
    Filter { content_topics: (0..4).map(content).collect(), ..Filter::default() }
}

#[tokio::test]
async fn an_empty_archive_has_no_pages() {
    let server = node(&in_memory()).await;
    let client = node(&in_memory()).await;
    assert!(walk(&client, &address(&server), Query::default()).await.is_empty());
}

#[tokio::test]
async fn an_unknown_cursor_is_an_error_and_the_walk_stands() {
    let archive = in_memory();
    put(&archive, (0..30).map(|n| message(n, 20)).collect()).await;
    let server = node(&archive).await;
    let client = node(&in_memory()).await;
    let query = Query { cursor: Some(MessageHash([5; 32])), ..Query::default() };
    let error = soon(client.store_query(&address(&server), query.clone())).await.unwrap_err();
    assert!(error.message().contains("cursor"), "{error:?}");
    let mut history = client.history(&address(&server), query).unwrap();
    for _ in 0..2 {
        assert_eq!(soon(history.next()).await.unwrap_err().kind(), error.kind());
    }
    assert_eq!(history.cursor(), Some(MessageHash([5; 32])));
}

#[tokio::test]
async fn a_walk_survives_a_broken_connection_and_dropped_futures() {
    let archive = in_memory();
    put(&archive, (0..95).map(|n| message(n, 20)).collect()).await;
    let server = node(&archive).await;
    let client = node(&in_memory()).await;
    let mut history =
        client.history(&address(&server), Query { limit: 10, ..Query::default() }).unwrap();
    let mut got = Vec::new();
    loop {
        // Given up at once, or after the stream was opened: nothing is lost.
        for millis in [0, 1] {
            let hurry = std::time::Duration::from_millis(millis);
            if let Ok(page) = tokio::time::timeout(hurry, history.next()).await {
                got.extend(page.unwrap());
            }
        }
        let Some(page) = soon(history.next()).await.unwrap() else { break };
        got.push(page);
        client.disconnect(&server.peer_id()).await.unwrap();
    }
    assert_eq!(hashes_of(&got), hashes(&archive).await);
}

#[tokio::test]
async fn queries_that_cannot_be_asked_are_told_at_once() {
    let client = node(&in_memory()).await;
    let nowhere = "/ip4/127.0.0.1/tcp/1";
    for bad in [
        Query { limit: 0, ..Query::default() },
        Query { limit: 1_000_000, ..Query::default() },
        Query {
            filter: Filter { hashes: vec![MessageHash([1; 32])], ..filter_of_both() },
            ..Query::default()
        },
    ] {
        assert!(client.history(nowhere, bad.clone()).is_err(), "{bad:?}");
        let error = client.store_query(nowhere, bad).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::Dial, "refused before the dial");
    }
}

#[tokio::test]
async fn a_node_without_store_says_so() {
    let server = Node::start(NodeConfig { serve_store: false, ..config() }, in_memory()).await;
    let server = server.unwrap();
    let client = node(&in_memory()).await;
    let error = soon(client.store_query(&address(&server), Query::default())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProtocolUnsupported, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_quick_queries_on_one_connection() {
    let archive = in_memory();
    put(&archive, (0..50).map(|n| message(n, 100)).collect()).await;
    let server = node(&archive).await;
    let client = node(&in_memory()).await;
    let mut events = server.events();
    let peer = soon(client.dial(&address(&server))).await.unwrap();
    for _ in 0..300 {
        let page = soon(client.store_query(&peer, Query::default())).await.unwrap();
        assert_eq!(page.entries.len(), 20);
    }
    // And as many given up half way: their streams are closed all the same.
    for n in 0..300 {
        let query = client.store_query(&peer, Query::default());
        let _ = tokio::time::timeout(std::time::Duration::from_micros(n * 5), query).await;
    }
    soon(client.store_query(&peer, Query::default())).await.unwrap();
    server.stop().await;
    let mut connected = 0;
    while let Some(event) = events.next().await {
        connected += usize::from(matches!(event, wakustore::node::NodeEvent::PeerConnected { .. }));
    }
    assert_eq!(connected, 1, "the connection held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_once_are_limited_and_refused_by_status() {
    let archive = in_memory();
    put(&archive, (0..100).map(|n| message(n, 100_000)).collect()).await;
    let one = NodeConfig { max_store_requests: 1, ..config() };
    let server = Node::start(one, archive).await.unwrap();
    let client = node(&in_memory()).await;
    let peer = soon(client.dial(&address(&server))).await.unwrap();
    let large = Query { limit: 100, ..Query::default() };
    let asked = (0..150).map(|_| client.store_query(&peer, large.clone()));
    let answers = soon(futures::future::join_all(asked)).await;
    let answered = answers.iter().filter(|a| a.is_ok()).count();
    assert!((1..150).contains(&answered), "{answered}");
    for error in answers.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::StoreTooManyRequests, "{error:?}");
    }
    soon(client.store_query(&peer, large)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_refused_and_the_others_are_not() {
    let archive = in_memory();
    put(&archive, (0..5).map(|n| message(n, 100)).collect()).await;
    let rate = |requests| Some(RateLimit { requests, per: Duration::from_secs(3600) });
    let limited = NodeConfig { store_rate: rate(15), store_rate_of_peer: rate(10), ..config() };
    let server = Node::start(limited, archive).await.unwrap();
    for (who, expected) in [("the first", 10), ("the second", 5), ("the third", 0)] {
        let client = node(&in_memory()).await;
        let mut answered = 0;
        for _ in 0..12 {
            match soon(client.store_query(&address(&server), Query::default())).await {
                Ok(page) => answered += usize::from(page.entries.len() == 5),
                Err(e) => assert_eq!(e.kind(), ErrorKind::StoreTooManyRequests, "{e:?}"),
            }
        }
        assert_eq!(answered, expected, "{who}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_bounded_in_bytes_and_a_walk_has_all() {
    let archive = in_memory();
    put(&archive, (0..40).map(|n| message(n, 100_000)).collect()).await;
    let small = NodeConfig { max_page_bytes: 1024 * 1024, ..config() };
    let server = Node::start(small, archive.clone()).await.unwrap();
    let client = node(&in_memory()).await;
    for direction in [Direction::Forward, Direction::Backward] {
        let query = Query { limit: 100, direction, ..Query::default() };
        let mut walk = client.history(&address(&server), query).unwrap();
        let mut pages = Vec::new();
        while let Some(page) = soon(walk.next()).await.unwrap() {
            pages.push(page.entries.iter().map(|e| e.hash).collect::<Vec<_>>());
        }
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 10, 10]);
        if direction == Direction::Backward {
            pages.reverse();
        }
        assert_eq!(pages.concat(), hashes(&archive).await);
    }
    for wrong in [
        NodeConfig { max_page_bytes: 1000, ..config() },
        NodeConfig {
            store_rate: Some(RateLimit { requests: 0, per: Duration::from_secs(1) }),
            ..config()
        },
    ] {
        let error = Node::start(wrong, archive.clone()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error:?}");
    }
}

/// A peer that asks and does not read has its share of the answers, and the others have theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_peer_does_not_keep_the_others_from_being_answered() {
    let archive = in_memory();
    put(&archive, (0..100).map(|n| message(n, 100_000)).collect()).await;
    let eight = NodeConfig { max_store_requests: 8, ..config() };
    let server = Node::start(eight, archive).await.unwrap();
    let large = Query { limit: 100, ..Query::default() };
    let request = framed(&client::encode("greedy", &large).unwrap());

    let mut greedy = RawPeer::connect(&server, Muxer::Yamux).await;
    let mut streams = Vec::new();
    for _ in 0..12 {
        let mut stream = greedy.open(&server, PROTOCOL).await;
        soon(stream.write_all(&request)).await.unwrap();
        soon(stream.flush()).await.unwrap();
        streams.push(stream);
    }
    // Of each answer only the length is read: a page is far more than a stream's window.
    let mut pages = 0;
    for stream in &mut streams {
        let mut start = [0; 5];
        soon(stream.read_exact(&mut start)).await.unwrap();
        match varint::read_prefix(&start, usize::MAX).unwrap() {
            varint::Prefix::Frame { len, .. } => pages += usize::from(len > 1_000_000),
            varint::Prefix::Incomplete => panic!("five bytes tell every length here"),
        }
    }
    assert_eq!(pages, 2, "a quarter of the limit is its share");

    let client = node(&in_memory()).await;
    let peer = soon(client.dial(&address(&server))).await.unwrap();
    soon(client.store_query(&peer, large)).await.unwrap();
}
