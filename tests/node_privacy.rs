//! What a Store server is told of a walk that is filtered at home.
#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::sync::{Arc, Mutex};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::StreamProtocol;
use node_support::*;
use wakustore::ErrorKind;
use wakustore::archive::Archive;
use wakustore::node::HistoryOptions;
use wakustore::store::server::{self, Step};
use wakustore::types::{Direction, Filter, MessageHash, Query};
use wakustore::wire;

/// Answers Store requests from an archive, and notes what it was asked.
fn listen(
    archive: Archive,
    asked: Arc<Mutex<Vec<Query>>>,
) -> impl FnOnce(&mut libp2p_stream::Control) {
    move |control| {
        let mut incoming = control.accept(StreamProtocol::new(wire::store::PROTOCOL)).unwrap();
        tokio::spawn(async move {
            while let Some((_, mut stream)) = incoming.next().await {
                let mut request = Vec::new();
                let frame = loop {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).await.unwrap();
                    request.push(byte[0]);
                    if let Ok(wire::varint::Prefix::Frame { header, len }) =
                        wire::varint::read_prefix(&request, 1 << 20)
                    {
                        let mut body = vec![0; len - (request.len() - header)];
                        stream.read_exact(&mut body).await.unwrap();
                        break body;
                    }
                };
                let Step::Query(query, reply) = server::begin(&frame) else { panic!("a query") };
                asked.lock().unwrap().push(query.clone());
                let response = reply.answer_within(1 << 22, archive.query(query).await);
                stream.write_all(&framed(&response)).await.unwrap();
                stream.close().await.unwrap();
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_told_the_shard_and_the_time_alone() {
    let (archive, asked) = (in_memory(), Arc::<Mutex<Vec<Query>>>::default());
    let all: Vec<_> = (0..1_000).map(|n| message(n, 50)).collect();
    put(&archive, all.clone()).await;
    let node = node(&in_memory()).await;
    let raw =
        RawPeer::connect_serving(&node, Muxer::Yamux, listen(archive.clone(), asked.clone())).await;
    let peer = raw.id.to_string();
    soon(async {
        while node.peers().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let options = HistoryOptions { filter_at_home: true, ..HistoryOptions::default() };
    for direction in [Direction::Forward, Direction::Backward] {
        for include_data in [true, false] {
            let filter = Filter {
                pubsub_topic: Some(shard(0)),
                content_topics: vec![content(2), content(3)],
                ..Filter::default()
            };
            let query = Query { filter, direction, include_data, limit: 7, ..Query::default() };
            let mut walk = node.history_of(std::slice::from_ref(&peer), query, &options).unwrap();
            let mut pages = Vec::new();
            while let Some(page) = soon(walk.next()).await.unwrap() {
                assert!(page.entries.iter().all(|e| e.data.is_some() == include_data));
                assert!(!page.entries.is_empty());
                pages.push(page);
            }
            if direction == Direction::Backward {
                pages.reverse();
            }
            let got: Vec<MessageHash> =
                pages.iter().flat_map(|p| p.entries.iter()).map(|e| e.hash).collect();
            // Of shard 0 are the even ones, of content topic 2 every other of those.
            let mut wanted: Vec<_> = all
                .iter()
                .enumerate()
                .filter(|(n, _)| n % 4 == 2)
                .map(|(_, m)| m.sync_id())
                .collect();
            wanted.sort_unstable();
            assert_eq!(got, wanted.iter().map(|id| id.hash).collect::<Vec<_>>());
        }
    }
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    assert!(asked.len() >= 4 * 5, "{}", asked.len());
    for query in asked {
        assert_eq!(query.filter.pubsub_topic, Some(shard(0)));
        assert!(query.filter.content_topics.is_empty() && query.filter.hashes.is_empty());
        assert_eq!((query.limit, query.include_data), (100, true));
    }
    // What cannot be asked without telling.
    let filter = Filter { hashes: vec![all[0].hash], ..Filter::default() };
    let query = Query { filter, ..Query::default() };
    let refused = node.history_of(&[peer], query, &options).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    node.stop().await;
}
