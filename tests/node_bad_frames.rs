//! Peers that send garbage, too much, too little or nothing: each is dealt with, and the node goes
//! on serving others.

#![cfg(all(feature = "node", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod node_support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::StreamProtocol;
use node_support::*;
use wakustore::engine::SyncOptions;
use wakustore::node::{Node, NodeConfig, NodeEvent};
use wakustore::store::{client, server};
use wakustore::types::Query;
use wakustore::wire::{self, varint};

const PROTOCOLS: [&str; 4] = [
    wire::store::PROTOCOL,
    wire::reconciliation::PROTOCOL,
    wire::transfer::PROTOCOL,
    wire::metadata::PROTOCOL,
];

/// What a bad peer writes before it closes.
fn bad_bytes() -> Vec<(&'static str, Vec<u8>)> {
    let mut oversized = Vec::new();
    varint::write(1 << 40, &mut oversized);
    oversized.extend([0; 100]);
    let mut noise = Vec::new();
    for _ in 0..32 {
        noise.extend(rand32());
    }
    vec![
        ("nothing", vec![]),
        ("half a length", vec![0x80]),
        ("a length alone", vec![50]),
        ("a frame cut short", vec![50, 1, 2, 3]),
        ("an oversized length", oversized),
        ("a length that does not end", vec![0xff; 64]),
        ("a length not in its shortest form", vec![0x80, 0x00]),
        ("an empty frame", vec![0]),
        ("a frame of noise", framed(&noise)),
        ("noise without frames", noise),
    ]
}

/// The node still does all that it is for.
async fn still_serves(node: &Node, messages: usize) {
    let other = Node::start(config(), in_memory()).await.unwrap();
    let page = soon(other.store_query(&address(node), Query::default())).await.unwrap();
    assert_eq!(page.entries.len(), messages.min(20));
    let synced = soon(other.sync(&node.peer_id(), SyncOptions::default())).await.unwrap();
    assert_eq!(synced.report.figures.received, messages as u64);
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_bytes_on_every_protocol() {
    let archive = in_memory();
    put(&archive, (0..10).map(|n| message(n, 50)).collect()).await;
    let node = node(&archive).await;
    for protocol in PROTOCOLS {
        // A peer that goes too far is sent away: each protocol gets its own.
        let mut peer = RawPeer::connect(&node, Muxer::Yamux).await;
        for (what, bytes) in bad_bytes() {
            let mut stream = peer.open(&node, protocol).await;
            // The node may have closed it by now.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.close().await;
            let mut answer = Vec::new();
            // It comes to an end, whatever it is.
            let _ = soon(stream.read_to_end(&mut answer)).await;
            if protocol == wire::store::PROTOCOL && what == "a frame of noise" {
                assert!(!answer.is_empty(), "what cannot be read is answered with a status");
            }
        }
    }
    still_serves(&node, 10).await;
}

#[tokio::test]
async fn streams_that_are_opened_and_dropped_are_quiet() {
    let archive = in_memory();
    put(&archive, vec![message(1, 50)]).await;
    let node = node(&archive).await;
    let mut peer = RawPeer::connect(&node, Muxer::Mplex).await;
    for _ in 0..40 {
        for protocol in PROTOCOLS {
            drop(peer.open(&node, protocol).await);
        }
    }
    still_serves(&node, 1).await;
}

#[tokio::test]
async fn idle_streams_do_not_keep_others_from_being_answered() {
    let archive = in_memory();
    put(&archive, (0..3).map(|n| message(n, 50)).collect()).await;
    let node = node(&archive).await;
    let mut peer = RawPeer::connect(&node, Muxer::Yamux).await;
    let mut idle = Vec::new();
    // Opened ahead, as js-waku does; the last ones are over the limit of one peer.
    for _ in 0..80 {
        idle.push(peer.open(&node, wire::store::PROTOCOL).await);
    }
    still_serves(&node, 3).await;
    // One that was opened ahead is answered when it is used at last.
    let mut stream = idle.swap_remove(0);
    let request = client::encode("late", &Query::default()).unwrap();
    stream.write_all(&framed(&request)).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    let page = client::decode("late", &Query::default(), &answer[2..]).unwrap();
    assert_eq!(page.entries.len(), 3);
    // And one over the limit was told so.
    let mut answer = Vec::new();
    soon(idle.pop().unwrap().read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, framed(&server::too_many_requests()));
}

#[tokio::test]
async fn a_peer_that_floods_transfer_is_sent_away() {
    let archive = in_memory();
    let node = node(&archive).await;
    let mut events = node.events();
    let mut peer = RawPeer::connect(&node, Muxer::Yamux).await;
    for _ in 0..30 {
        let Ok(mut stream) = peer
            .control
            .open_stream(
                node.peer_id().parse().unwrap(),
                StreamProtocol::new(wire::transfer::PROTOCOL),
            )
            .await
        else {
            break;
        };
        let _ = stream.write_all(&framed(b"\xff\xff\xff not a message")).await;
        let _ = stream.close().await;
        let mut end = Vec::new();
        let _ = soon(stream.read_to_end(&mut end)).await;
    }
    let id = peer.id.to_string();
    event(&mut events, |e| match e {
        NodeEvent::PeerDisconnected { peer_id } => (peer_id == id).then_some(()),
        _ => None,
    })
    .await;
    assert!(hashes(&archive).await.is_empty());
    still_serves(&node, 0).await;
}

/// A store peer that answers with these bytes.
async fn answering(node: &Node, answer: Vec<u8>) -> RawPeer {
    RawPeer::connect_serving(node, Muxer::Yamux, move |control| {
        let mut streams = control.accept(StreamProtocol::new(wire::store::PROTOCOL)).unwrap();
        tokio::spawn(async move {
            while let Some((_, mut stream)) = streams.next().await {
                let mut some = [0; 16];
                let _ = stream.read(&mut some).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.close().await;
            }
        });
    })
    .await
}

#[tokio::test]
async fn bad_answers_of_a_store_peer_are_errors() {
    let archive = in_memory();
    put(&archive, vec![message(1, 50)]).await;
    let node = node(&archive).await;
    for (what, bytes) in bad_bytes() {
        let peer = answering(&node, bytes).await;
        let error = soon(node.store_query(&peer.id.to_string(), Query::default())).await;
        let error = error.expect_err(what);
        assert!(!error.message().is_empty(), "{what}");
    }
    still_serves(&node, 1).await;
}

#[tokio::test]
async fn a_store_peer_that_never_answers_times_out() {
    let mut short = config();
    short.request_timeout = Duration::from_millis(500);
    let node = Node::start(short, in_memory()).await.unwrap();
    let peer = RawPeer::connect_serving(&node, Muxer::Yamux, |control| {
        let mut streams = control.accept(StreamProtocol::new(wire::store::PROTOCOL)).unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(stream) = streams.next().await {
                held.push(stream);
            }
        });
    })
    .await;
    let error = soon(node.store_query(&peer.id.to_string(), Query::default())).await.unwrap_err();
    assert_eq!(error.kind(), wakustore::ErrorKind::TimedOut, "{error}");
}

#[tokio::test]
async fn a_sync_peer_that_answers_with_noise_is_an_error() {
    let archive = in_memory();
    put(&archive, (0..5).map(|n| message(n, 50)).collect()).await;
    let node = node(&archive).await;
    for bytes in [framed(&[0xff; 40]), vec![0xff; 64], vec![]] {
        let peer = RawPeer::connect_serving(&node, Muxer::Yamux, move |control| {
            let protocol = StreamProtocol::new(wire::reconciliation::PROTOCOL);
            let mut streams = control.accept(protocol).unwrap();
            tokio::spawn(async move {
                while let Some((_, mut stream)) = streams.next().await {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.close().await;
                }
            });
        })
        .await;
        soon(node.sync(&peer.id.to_string(), SyncOptions::default())).await.unwrap_err();
    }
    still_serves(&node, 5).await;
}

/// A WebSocket frame's buffer is made by its announced length, and anybody may announce one: what is
/// too long ends the connection when it is announced, long before the handshake would time out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_websocket_frame_is_refused_when_it_is_announced() {
    let patient = NodeConfig {
        listen: vec![WS.into()],
        request_timeout: Duration::from_secs(300),
        ..config()
    };
    let server = Node::start(patient, in_memory()).await.unwrap();
    let port: u16 = address(&server).split('/').nth(4).unwrap().parse().unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let upgrade = "GET / HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Version: 13\r\n\r\n";
        socket.write_all(upgrade.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        // Binary, masked, with a length of eight bytes: 200 MiB, of which only the mask comes.
        let mut frame = vec![0x82, 0x80 | 127];
        frame.extend((200u64 << 20).to_be_bytes());
        frame.extend([1, 2, 3, 4]);
        socket.write_all(&frame).unwrap();
        let mut rest = Vec::new();
        // A close, or a reset: not the time-out of this read.
        match socket.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    });
    assert!(ended.await.unwrap(), "it waits for 200 MiB");
}
