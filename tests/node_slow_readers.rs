//! A peer that asks and then takes nothing is cut off: its answer leaves memory, its stream and its
//! place among the requests in flight are free again. (How slow is too slow is tested by the clock
//! in `src/node/frame.rs`.)

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use node_support::*;
use wakustore::node::{Node, NodeConfig};
use wakustore::store::client;
use wakustore::types::Query;
use wakustore::wire::store::PROTOCOL;
use wakustore::wire::varint;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_is_cut_off() {
    let archive = in_memory();
    put(&archive, (0..40).map(|n| message(n, 100_000)).collect()).await;
    // One request at once, in all: whoever holds it shuts the others out.
    let one = NodeConfig { max_store_requests: 1, ..config() };
    let server = Node::start(one, archive).await.unwrap();
    let query = Query { limit: 40, ..Query::default() };
    let mut greedy = RawPeer::connect(&server, Muxer::Yamux).await;
    let mut stream = greedy.open(&server, PROTOCOL).await;
    let asked = framed(&client::encode("greedy", &query).unwrap());
    soon(stream.write_all(&asked)).await.unwrap();
    soon(stream.flush()).await.unwrap();
    let mut start = [0; 5];
    soon(stream.read_exact(&mut start)).await.unwrap();
    let varint::Prefix::Frame { header, len } = varint::read_prefix(&start, usize::MAX).unwrap()
    else {
        panic!("five bytes tell every length here");
    };

    let client = node(&in_memory()).await;
    let peer = soon(client.dial(&address(&server))).await.unwrap();
    let entries = async || {
        let page = soon(client.store_query(&peer, query.clone())).await.unwrap();
        assert_eq!(page.cursor.is_none(), page.entries.len() == 40);
        page.entries.len()
    };
    // Others are answered meanwhile, if by small pages.
    assert_eq!(entries().await, 2);
    // After its time the place is free, though the peer is still there and its stream open.
    soon(async {
        while entries().await < 40 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    // What was on its way comes; the page ends before its end.
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    assert!(rest.len() + start.len() < header + len, "{} of {len}", rest.len());
}
