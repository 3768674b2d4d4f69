//! What a Store client makes of each kind of bad answer, how many requests it has under way at once,
//! and where the server's limits on what it reads stand. (Rates, requests in flight and the size of
//! pages are tested in `node_store`, peers that read too slowly in `node_slow_readers`.)

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::StreamProtocol;
use node_support::*;
use tokio::sync::Semaphore;
use wakustore::ErrorKind;
use wakustore::store::{client, server};
use wakustore::types::Query;
use wakustore::wire::store::{PROTOCOL, Request, Response, UNKNOWN_REQUEST_ID};
use wakustore::wire::varint;

/// Reads one request.
async fn request(stream: &mut libp2p::Stream) -> Request {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        bytes.push(byte[0]);
        if let Ok(varint::Prefix::Frame { header, len }) = varint::read_prefix(&bytes, 1 << 20)
            && bytes.len() == header + len
        {
            return Request::decode(&bytes[header..]).unwrap();
        }
    }
}

/// Until the node has taken the peer in.
async fn taken_in(node: &wakustore::node::Node, peer: RawPeer) -> RawPeer {
    let name = peer.id.to_string();
    soon(async {
        while !node.peers().contains(&name) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    peer
}

/// A store peer that answers each request by this.
async fn answering(
    to: &wakustore::node::Node,
    answer: impl Fn(String) -> Vec<u8> + Send + 'static,
) -> RawPeer {
    let peer = RawPeer::connect_serving(to, Muxer::Yamux, move |control| {
        let mut streams = control.accept(StreamProtocol::new(PROTOCOL)).unwrap();
        tokio::spawn(async move {
            while let Some((_, mut stream)) = streams.next().await {
                let asked = request(&mut stream).await;
                let _ = stream.write_all(&answer(asked.request_id)).await;
                let _ = stream.close().await;
            }
        });
    })
    .await;
    taken_in(to, peer).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_peers_are_told_apart() {
    let node = node(&in_memory()).await;
    let status = |code: u32, description: &'static str| {
        move |request_id: String| {
            // Deployed nodes do not name the request that they had no time for.
            let request_id = if code == 429 { UNKNOWN_REQUEST_ID.to_owned() } else { request_id };
            let status_desc = description.to_owned();
            let response =
                Response { request_id, status_code: code, status_desc, ..Response::default() };
            framed(&response.encode())
        }
    };
    for (code, description, kind) in [
        (429, "TOO_MANY_REQUESTS", ErrorKind::StoreTooManyRequests),
        (503, "SERVICE_UNAVAILABLE", ErrorKind::StoreUnavailable),
        (504, "PEER_DIAL_FAILURE", ErrorKind::StoreUnavailable),
        (400, "BAD_REQUEST: no", ErrorKind::StoreBadRequest),
        (300, "BAD_RESPONSE: broken", ErrorKind::StoreBadResponse),
        (300, "BAD_RESPONSE: archive error: Cursor not found", ErrorKind::CursorNotFound),
        (123, "whatever this is", ErrorKind::StoreBadResponse),
    ] {
        let peer = answering(&node, status(code, description)).await;
        let error = soon(node.store_query(&peer.id.to_string(), Query::default())).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        // What the peer said of it is in the message, for people.
        let said = description.split(':').next_back().unwrap().trim();
        assert!(error.message().contains(said), "{error:?}");
    }
    // Garbage is told apart from all of them, and one kind of it from the other.
    for (what, bytes, kind) in [
        ("a frame of noise", framed(&[0xff; 100]), ErrorKind::Malformed),
        ("cut short", framed(&[0; 100])[..50].to_vec(), ErrorKind::Truncated),
        ("nothing", Vec::new(), ErrorKind::StreamClosed),
        ("too large", [0xff, 0xff, 0xff, 0xff, 0x7f].to_vec(), ErrorKind::FrameTooLarge),
    ] {
        let peer = answering(&node, move |_| bytes.clone()).await;
        let error = soon(node.store_query(&peer.id.to_string(), Query::default())).await;
        assert_eq!(error.unwrap_err().kind(), kind, "{what}");
    }
    // Well-formed, and an answer to something else.
    let page = Response { status_code: 200, status_desc: "OK".into(), ..Response::default() };
    let peer = answering(&node, move |_| framed(&page.encode())).await;
    let error = soon(node.store_query(&peer.id.to_string(), Query::default())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreBadResponse, "{error:?}");
}

/// MAX_ASKING in src/node/start.rs.
const AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_ours_at_once_are_bounded() {
    let patient =
        wakustore::node::NodeConfig { request_timeout: Duration::from_secs(120), ..config() };
    let node = wakustore::node::Node::start(patient, in_memory()).await.unwrap();
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let go_on = Arc::new(Semaphore::new(0));
    let (counted, highest, gate) = (under_way.clone(), most.clone(), go_on.clone());
    let peer = RawPeer::connect_serving(&node, Muxer::Yamux, move |control| {
        let mut streams = control.accept(StreamProtocol::new(PROTOCOL)).unwrap();
        tokio::spawn(async move {
            while let Some((_, mut stream)) = streams.next().await {
                let (counted, highest, gate) = (counted.clone(), highest.clone(), gate.clone());
                tokio::spawn(async move {
                    let asked = request(&mut stream).await;
                    let now = counted.fetch_add(1, Ordering::SeqCst) + 1;
                    highest.fetch_max(now, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    counted.fetch_sub(1, Ordering::SeqCst);
                    let (status_code, status_desc) = (200, "OK".to_owned());
                    let request_id = asked.request_id;
                    let response =
                        Response { request_id, status_code, status_desc, ..Response::default() };
                    let _ = stream.write_all(&framed(&response.encode())).await;
                    let _ = stream.close().await;
                });
            }
        });
    })
    .await;
    let peer = taken_in(&node, peer).await;
    let name = peer.id.to_string();
    // libp2p_stream lets go of streams that come in a burst: such are asked for once more.
    let asking = join_all((0..3 * AT_ONCE).map(async |_| {
        loop {
            match node.store_query(&name, Query::default()).await {
                Ok(page) => return page.entries.len(),
                Err(e) => assert_eq!(e.kind(), ErrorKind::StreamClosed, "{e:?}"),
            }
        }
    }));
    let watching = async {
        // As many as may be are there, and wait; no more come however long they do.
        while under_way.load(Ordering::SeqCst) < AT_ONCE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(under_way.load(Ordering::SeqCst), AT_ONCE);
        go_on.add_permits(3 * AT_ONCE);
    };
    let (answers, ()) = soon(futures::future::join(asking, watching)).await;
    assert_eq!(answers, [0; 3 * AT_ONCE]);
    assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
}

/// Large requests that come slowly are held while they come: only so many of them are read at once.
/// The others are told so, and small ones are answered all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_being_read_are_bounded() {
    let archive = in_memory();
    put(&archive, vec![message(1, 50)]).await;
    let node = node(&archive).await;
    let mut length = Vec::new();
    varint::write(server::MAX_REQUEST as u64, &mut length);
    let mut peer = RawPeer::connect(&node, Muxer::Yamux).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = peer.open(&node, PROTOCOL).await;
        soon(stream.write_all(&length)).await.unwrap();
        soon(stream.write_all(&[0; 100])).await.unwrap();
        soon(stream.flush()).await.unwrap();
        held.push(stream);
    }
    // Until all of them have been seen, one more may still be taken in.
    let refused = framed(&server::too_many_requests());
    soon(async {
        loop {
            let mut stream = peer.open(&node, PROTOCOL).await;
            stream.write_all(&length).await.unwrap();
            stream.flush().await.unwrap();
            let mut answer = vec![0; refused.len()];
            let read = stream.read_exact(&mut answer);
            if tokio::time::timeout(Duration::from_millis(500), read).await.is_ok() {
                assert_eq!(answer, refused);
                break;
            }
        }
    })
    .await;
    let mut small = peer.open(&node, PROTOCOL).await;
    let asked = client::encode("small", &Query::default()).unwrap();
    soon(small.write_all(&framed(&asked))).await.unwrap();
    soon(small.flush()).await.unwrap();
    let mut answer = Vec::new();
    soon(small.read_to_end(&mut answer)).await.unwrap();
    let varint::Prefix::Frame { header, .. } = varint::read_prefix(&answer, 1 << 20).unwrap()
    else {
        panic!("no frame");
    };
    let page = client::decode("small", &Query::default(), &answer[header..]).unwrap();
    assert_eq!(page.entries.len(), 1);
}
