//! A walk over several Store peers, of which some go away, are busy or hold less; many hashes at
//! once; and one question put to several peers.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::collections::HashSet;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::StreamProtocol;
use node_support::*;
use wakustore::ErrorKind;
use wakustore::archive::Archive;
use wakustore::node::{HistoryOptions, Node, NodeConfig, RateLimit};
use wakustore::types::{Direction, Filter, MessageHash, Query, StoredMessage, TimeRange};
use wakustore::wire;

fn lot(count: usize) -> Vec<StoredMessage> {
    (0..count).map(|n| message(n, 200)).collect()
}

async fn holding(messages: Vec<StoredMessage>) -> (Node, Archive) {
    let archive = in_memory();
    put(&archive, messages).await;
    (node(&archive).await, archive)
}

fn asking(direction: Direction, include_data: bool) -> Query {
    Query { limit: 20, direction, include_data, ..Query::default() }
}

/// Once stopped, a node answers nobody: the walk goes on with the other one, wherever it stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_goes_on_where_its_peer_went_away() {
    let all = lot(200);
    for direction in [Direction::Forward, Direction::Backward] {
        for include_data in [true, false] {
            let (first, archive) = holding(all.clone()).await;
            // It lacks the very message at which the first page ends, and its neighbour.
            let ends = match direction {
                Direction::Forward => [18, 19],
                Direction::Backward => [180, 181],
            };
            let fewer = |(n, _): &(usize, _)| !ends.contains(n);
            let less = all.iter().cloned().enumerate().filter(fewer).map(|(_, m)| m).collect();
            let (second, _) = holding(less).await;
            let client = node(&in_memory()).await;
            let peers = [address(&first), address(&second)];
            let query = asking(direction, include_data);
            let mut walk = client.history_of(&peers, query, &HistoryOptions::default()).unwrap();
            let mut pages = vec![soon(walk.next()).await.unwrap().unwrap()];
            assert_eq!(walk.peer(), Some(peers[0].clone()));
            first.stop().await;
            while let Some(page) = soon(walk.next()).await.unwrap() {
                pages.push(page);
            }
            assert_eq!(walk.peer(), Some(peers[1].clone()));
            if direction == Direction::Backward {
                pages.reverse();
            }
            let got: Vec<MessageHash> =
                pages.iter().flat_map(|page| page.entries.iter().map(|e| e.hash)).collect();
            assert_eq!(got.len(), 200, "{direction:?} {include_data}");
            assert_eq!(got, hashes(&archive).await, "{direction:?} {include_data}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_peer_is_waited_for_and_then_left() {
    let rate = |requests, per| Some(RateLimit { requests, per });
    let limited = |rate| NodeConfig { store_rate_of_peer: rate, ..config() };
    let (archive, all) = (in_memory(), lot(100));
    put(&archive, all.clone()).await;
    // It takes two requests at once, and one more each half second.
    let slow = limited(rate(2, Duration::from_secs(1)));
    let slow = Node::start(slow, archive.clone()).await.unwrap();
    let client = node(&in_memory()).await;
    let mut walk = client.history(&address(&slow), asking(Direction::Forward, true)).unwrap();
    let mut got = 0;
    while let Some(page) = soon(walk.next()).await.unwrap() {
        got += page.entries.len();
    }
    assert_eq!(got, 100);
    // It takes two and no more: another must do the rest.
    let shut = limited(rate(2, Duration::from_secs(36_000)));
    let shut = Node::start(shut, archive.clone()).await.unwrap();
    let (open, _) = holding(all).await;
    let peers = [address(&shut), address(&open)];
    let query = asking(Direction::Forward, true);
    let mut walk = client.history_of(&peers, query, &HistoryOptions::default()).unwrap();
    let mut got = Vec::new();
    while let Some(page) = soon(walk.next()).await.unwrap() {
        got.extend(page.entries.iter().map(|e| e.hash));
    }
    assert_eq!((got, walk.peer()), (hashes(&archive).await, Some(peers[1].clone())));
}

/// Answers with what is no response.
async fn garbling(node: &Node) -> RawPeer {
    RawPeer::connect_serving(node, Muxer::Yamux, |control| {
        let mut streams = control.accept(StreamProtocol::new(wire::store::PROTOCOL)).unwrap();
        tokio::spawn(async move {
            while let Some((_, mut stream)) = streams.next().await {
                let _ = stream.read(&mut [0; 16]).await;
                let _ = stream.write_all(&framed(&[0xff; 100])).await;
                let _ = stream.close().await;
            }
        });
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_answers_garbage_is_left_and_remembered() {
    let (good, _) = holding(lot(50)).await;
    let client = node(&in_memory()).await;
    let bad = garbling(&client).await;
    let peers = [bad.id.to_string(), soon(client.dial(&address(&good))).await.unwrap()];
    for round in 0..2 {
        let query = asking(Direction::Forward, true);
        let mut walk = client.history_of(&peers, query, &HistoryOptions::default()).unwrap();
        let page = soon(walk.next()).await.unwrap().unwrap();
        assert_eq!((page.entries.len(), walk.peer()), (20, Some(peers[1].clone())), "{round}");
    }
    // With it alone it is an error, and one of its own.
    let mut walk = client.history(&peers[0], asking(Direction::Forward, true)).unwrap();
    let error = soon(walk.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error:?}");
    // Nobody is named: who is connected and says that it speaks Store is asked.
    let query = asking(Direction::Forward, true);
    let mut walk = client.history_of(&[], query.clone(), &HistoryOptions::default()).unwrap();
    assert_eq!(soon(walk.next()).await.unwrap().unwrap().entries.len(), 20);
    let lonely = node(&in_memory()).await;
    let mut walk = lonely.history_of(&[], query, &HistoryOptions::default()).unwrap();
    assert_eq!(soon(walk.next()).await.unwrap_err().kind(), ErrorKind::PeerUnknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_time_is_asked_in_spans() {
    let all = lot(200);
    let (server, archive) = holding(all.clone()).await;
    let client = node(&in_memory()).await;
    // 200 messages, five a second: with an hour without any before them.
    let first = all[0].timestamp();
    let start = first.saturating_sub(Duration::from_secs(3600));
    let end = first.saturating_add(Duration::from_secs(30));
    let time = TimeRange::new(start, end).unwrap();
    let span = |secs| HistoryOptions {
        span: Some(Duration::from_secs(secs)),
        ..HistoryOptions::default()
    };
    for direction in [Direction::Forward, Direction::Backward] {
        let filter = Filter { time, ..Filter::default() };
        let query = Query { filter, ..asking(direction, true) };
        let mut walk = client.history_of(&[address(&server)], query.clone(), &span(600)).unwrap();
        let mut got = Vec::new();
        while let Some(mut page) = soon(walk.next()).await.unwrap() {
            if direction == Direction::Backward {
                page.entries.reverse();
            }
            got.extend(page.entries.iter().map(|e| e.hash));
            assert!(walk.reached().is_some_and(|reached| time.contains(reached)));
        }
        if direction == Direction::Backward {
            got.reverse();
        }
        assert_eq!(got, hashes(&archive).await[..150]);
        let zero = client.history_of(&[address(&server)], query, &span(0)).err().unwrap();
        assert_eq!(zero.kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_hashes_are_asked_for_at_once() {
    let all = lot(1000);
    let (one, _) = holding(all[..600].to_vec()).await;
    let (two, _) = holding(all[500..900].to_vec()).await;
    let client = node(&in_memory()).await;
    let wanted: Vec<MessageHash> = all.iter().rev().map(|m| m.hash).collect();
    let held = soon(client.presence(&address(&one), &wanted)).await.unwrap();
    assert_eq!(held, wanted[400..]);
    let twice: Vec<MessageHash> = wanted.iter().chain(&wanted).copied().collect();
    let peers = [address(&one), address(&two)];
    let found = soon(client.fetch(&peers, &twice)).await.unwrap();
    assert_eq!(found.missing, wanted[..100]);
    let got: HashSet<MessageHash> = found.messages.iter().map(|m| m.hash).collect();
    assert_eq!((found.messages.len(), got.len()), (900, 900));
    assert!(all[..900].iter().all(|m| got.contains(&m.hash)));
    // What nobody could say is an error, not missing.
    one.stop().await;
    let error = soon(client.fetch(&peers[..1], &wanted)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dial, "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_something_out_is_found_out_by_the_others() {
    let all = lot(300);
    let (honest, _) = holding(all.clone()).await;
    let of_one_topic = all.iter().filter(|m| m.message.content_topic == content(1));
    let hidden: Vec<MessageHash> = of_one_topic.clone().take(3).map(|m| m.hash).collect();
    let censored = all.iter().filter(|m| !hidden.contains(&m.hash)).cloned().collect();
    let (censor, _) = holding(censored).await;
    let gone = node(&in_memory()).await;
    let peers = [address(&censor), address(&honest), address(&gone)];
    gone.stop().await;
    let client = node(&in_memory()).await;
    let filter = Filter { content_topics: vec![content(1)], ..Filter::default() };
    let query = Query { filter, ..asking(Direction::Forward, false) };
    let check = soon(client.cross_check(&peers, query.clone(), 1000)).await.unwrap();
    let count = of_one_topic.count();
    assert_eq!((check.hashes.len(), check.peers.len()), (count, 3));
    let told: Vec<_> = check.peers.iter().map(|p| (p.told, p.omitted.len())).collect();
    assert_eq!(told, [(count - 3, 3), (count, 0), (0, count)]);
    assert_eq!(check.peers[0].omitted, hidden);
    assert!(check.peers[0].error.is_none() && check.peers[1].error.is_none());
    assert_eq!(check.peers[2].error.as_ref().unwrap().kind(), ErrorKind::Dial);
    // One that talks for ever is cut, and one peer alone proves nothing.
    let cut = soon(client.cross_check(&peers[..2], query.clone(), 10)).await.unwrap();
    assert!(cut.peers.iter().all(|p| p.error.is_some()));
    let error = soon(client.cross_check(&peers[..1], query, 10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
