//! What bad peers do, each kind until it is dropped. `at_work` is called once it is in full swing.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Multiaddr;
use libp2p::core::muxing::SubstreamBox;
use libp2p::multiaddr::Protocol;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wakustore::store::client;
use wakustore::types::{Filter, Query};
use wakustore::wire::{self, varint};

use super::raw::{Raw, proposal};
use crate::node_support::{rand32, shard};

/// Everything that the node speaks.
pub const PROTOCOLS: [&str; 9] = [
    wire::store::PROTOCOL,
    wire::metadata::PROTOCOL,
    wire::reconciliation::PROTOCOL,
    wire::strong::PROTOCOL,
    wire::transfer::PROTOCOL,
    wire::RELAY_PROTOCOL,
    "/ipfs/id/1.0.0",
    "/ipfs/id/push/1.0.0",
    "/ipfs/ping/1.0.0",
];

pub const KINDS: [&str; 8] = [
    "slow senders",
    "half-open streams",
    "streams that nobody reads",
    "streams",
    "connections",
    "garbage",
    "pages that are not read",
    "relay",
];

pub async fn run(kind: &str, to: Multiaddr, at_work: impl FnOnce()) {
    match kind {
        "slow senders" => slow(&to, at_work).await,
        "half-open streams" => half_open(&to, at_work).await,
        "streams that nobody reads" => unread(&to, at_work).await,
        "streams" => streams(&to, at_work).await,
        "connections" => connections(&to, at_work).await,
        "garbage" => garbage(&to, at_work).await,
        "pages that are not read" => pages(&to, at_work).await,
        "relay" => relay(&to, at_work).await,
        _ => panic!("{kind}"),
    }
}

/// So many peers, each connected.
async fn peers(to: &Multiaddr, count: usize) -> Vec<Raw> {
    let connected = join_all((0..count).map(|_| Raw::connect(to))).await;
    connected.into_iter().map(Result::unwrap).collect()
}

/// Announces a frame on each stream and sends a byte of it now and then.
async fn slow(to: &Multiaddr, at_work: impl FnOnce()) {
    let peers = peers(to, 6).await;
    let mut streams = Vec::new();
    for peer in &peers {
        let opening = PROTOCOLS.iter().flat_map(|protocol| std::iter::repeat_n(protocol, 7));
        let opened = join_all(opening.map(|protocol| peer.open(protocol))).await;
        streams.extend(opened.into_iter().filter_map(Result::ok));
    }
    let mut length = Vec::new();
    varint::write(1000, &mut length);
    for stream in &mut streams {
        let _ = stream.write_all(&length).await;
    }
    assert!(streams.len() > 200, "{}", streams.len());
    at_work();
    loop {
        for stream in &mut streams {
            let _ = stream.write_all(&[0]).await;
            let _ = stream.flush().await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Sockets on which nothing is said, others that stop in the handshake, and streams without a word.
async fn half_open(to: &Multiaddr, at_work: impl FnOnce()) {
    let peers = peers(to, 8).await;
    let mut streams = Vec::new();
    for (n, peer) in peers.iter().enumerate() {
        let protocol = PROTOCOLS[n % PROTOCOLS.len()];
        let opened = join_all((0..100).map(|_| peer.open(protocol))).await;
        streams.extend(opened.into_iter().filter_map(Result::ok));
        for _ in 0..20 {
            let Ok(mut stream) = peer.bare().await else { break };
            let _ = stream.write_all(&proposal(protocol)[..9]).await;
            let _ = stream.flush().await;
            streams.push(stream);
        }
    }
    let mut sockets = Vec::new();
    for n in 0..100 {
        sockets.extend(socket(to, n % 2 == 0).await);
    }
    at_work();
    std::future::pending::<()>().await;
}

/// A socket alone; perhaps with a first word.
async fn socket(to: &Multiaddr, speaks: bool) -> io::Result<TcpStream> {
    let port = to.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    let socket = TcpStream::connect(("127.0.0.1", port.unwrap())).await?;
    if speaks {
        socket.try_write(&proposal("/noise")[..12])?;
    }
    Ok(socket)
}

/// As many streams as can be opened, most of which are filled to their window before anything was
/// agreed on: what is not read is held in the node's memory.
async fn unread(to: &Multiaddr, at_work: impl FnOnce()) {
    let window = Arc::new(vec![0x7f; 250 * 1024]);
    let fill = async |to: &Multiaddr| -> io::Result<(Raw, Vec<SubstreamBox>)> {
        let peer = Raw::connect(to).await?;
        let mut streams = Vec::new();
        for n in 0..250 {
            let opened = peer.bare();
            let Ok(Ok(mut stream)) = tokio::time::timeout(Duration::from_secs(1), opened).await
            else {
                break;
            };
            // The first ones keep the node waiting for the rest of a proposal.
            let bytes = if n < 70 { &proposal("/x")[..9] } else { &window[..] };
            let written = async {
                stream.write_all(bytes).await?;
                stream.flush().await
            };
            let _ = tokio::time::timeout(Duration::from_millis(300), written).await;
            streams.push(stream);
        }
        Ok((peer, streams))
    };
    let mut held = join_all((0..5).map(|_| fill(to))).await;
    at_work();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for peer in &mut held {
            if !peer.as_ref().is_ok_and(|(raw, _)| !raw.is_over()) {
                *peer = fill(to).await;
            }
        }
    }
}

/// Opens streams as fast as can be, and drops them, or asks something first. Who is sent away comes
/// as somebody else.
async fn streams(to: &Multiaddr, at_work: impl FnOnce()) {
    let request = varint::prefixed(&client::encode("flood", &Query::default()).unwrap());
    let flood = async |to: &Multiaddr, mut begun: Option<_>| {
        loop {
            let Ok(peer) = Raw::connect(to).await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let mut held = VecDeque::new();
            for n in 0.. {
                if peer.is_over() {
                    break;
                }
                let Ok(mut stream) = peer.bare().await else { break };
                let mut bytes = proposal(PROTOCOLS[n % PROTOCOLS.len()]);
                if n % 3 == 0 {
                    bytes.extend(&request);
                }
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
                held.push_back(stream);
                if held.len() > 90 {
                    held.pop_front();
                    drop(begun.take());
                }
            }
        }
    };
    let (begun, mut all_begun) = tokio::sync::mpsc::channel::<()>(1);
    let floods = join_all((0..4).map(|_| flood(to, Some(begun.clone()))));
    drop(begun);
    let telling = async {
        let _ = all_begun.recv().await;
        at_work();
    };
    tokio::join!(floods, telling);
}

/// New peers all the time, of which the last two hundred stay; and sockets beside them.
async fn connections(to: &Multiaddr, at_work: impl FnOnce()) {
    let mut at_work = Some(at_work);
    let (mut held, mut sockets, mut tried) = (VecDeque::new(), VecDeque::new(), 0);
    let mut coming = JoinSet::new();
    loop {
        while coming.len() < 16 {
            let to = to.clone();
            coming.spawn(async move { Raw::connect(&to).await });
        }
        tried += 1;
        match coming.join_next().await.unwrap().unwrap() {
            Ok(peer) => held.push_back(peer),
            // It takes no more: no reason to keep this machine's processors busy.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        if let Ok(socket) = socket(to, true).await {
            sockets.push_back(socket);
        }
        held.retain(|peer| !peer.is_over());
        if held.len() > 200 {
            held.pop_front();
        }
        if sockets.len() > 100 {
            sockets.pop_front();
        }
        if tried > 150
            && let Some(at_work) = at_work.take()
        {
            at_work();
        }
    }
}

/// Bytes that are no frames of anything, or frames of something else.
async fn garbage(to: &Multiaddr, at_work: impl FnOnce()) {
    let mut noise = Vec::new();
    while noise.len() < 4000 {
        noise.extend(rand32());
    }
    let mut oversized = Vec::new();
    varint::write(1 << 40, &mut oversized);
    oversized.extend(&noise);
    let foreign = varint::prefixed(&client::encode("lost", &Query::default()).unwrap());
    let texts = [noise.clone(), oversized, vec![0xff; 64], varint::prefixed(&noise), foreign];
    let flood = async |to: &Multiaddr, mut begun: Option<_>| {
        loop {
            let Ok(peer) = Raw::connect(to).await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            for n in 0.. {
                let text = &texts[n % texts.len()];
                let sent = async {
                    let mut stream = peer.open(PROTOCOLS[n % PROTOCOLS.len()]).await?;
                    stream.write_all(text).await?;
                    stream.close().await?;
                    stream.read_to_end(&mut Vec::new()).await
                };
                // No answer, or none of its business: what it waits for is no reason to stop.
                let _ = tokio::time::timeout(Duration::from_millis(200), sent).await;
                if peer.is_over() {
                    break;
                }
                if n > PROTOCOLS.len() {
                    drop(begun.take());
                }
            }
        }
    };
    let (begun, mut all_begun) = tokio::sync::mpsc::channel::<()>(1);
    let floods = join_all((0..4).map(|_| flood(to, Some(begun.clone()))));
    drop(begun);
    let telling = async {
        let _ = all_begun.recv().await;
        at_work();
    };
    tokio::join!(floods, telling);
}

/// Asks for the largest pages and reads nothing of them.
async fn pages(to: &Multiaddr, at_work: impl FnOnce()) {
    let filter = Filter { pubsub_topic: Some(shard(1)), ..Filter::default() };
    let query = Query { filter, limit: 100, ..Query::default() };
    let request = varint::prefixed(&client::encode("greedy", &query).unwrap());
    let peers = peers(to, 8).await;
    let (turns, mut at_work) = (Semaphore::new(32), Some(at_work));
    loop {
        let mut held = Vec::new();
        for peer in &peers {
            let asked = (0..16).map(async |_| {
                let _turn = turns.acquire().await.unwrap();
                let mut stream = peer.open(wire::store::PROTOCOL).await?;
                stream.write_all(&request).await?;
                stream.flush().await?;
                // The answer has begun.
                stream.read_exact(&mut [0]).await?;
                Ok::<_, io::Error>(stream)
            });
            held.extend(join_all(asked).await.into_iter().filter_map(Result::ok));
        }
        if let Some(at_work) = at_work.take() {
            at_work();
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// One field of protobuf: its number, and bytes.
fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    out.extend(varint::prefixed(bytes));
}

/// Gossip of every kind: topics without end, messages that are none, ids that nobody has.
async fn relay(to: &Multiaddr, at_work: impl FnOnce()) {
    let mut at_work = Some(at_work);
    loop {
        let mut peers = Vec::new();
        for _ in 0..4 {
            let Ok(peer) = Raw::connect(to).await else { continue };
            let Ok(stream) = peer.open(wire::RELAY_PROTOCOL).await else { continue };
            peers.push((peer, stream));
        }
        for n in 0..400u32 {
            let mut rpc = Vec::new();
            // A topic of 100 KiB that no other is like.
            let mut topic = format!("/waku/2/rs/16/{n}-").into_bytes();
            topic.extend(rand32().map(|byte| b'a' + byte % 16));
            topic.resize(100 * 1024, b'x');
            let mut subscription = vec![1 << 3, 1];
            field(2, &topic, &mut subscription);
            field(1, &subscription, &mut rpc);
            let mut message = Vec::new();
            field(2, &[&rand32()[..], &[0xff; 300]].concat(), &mut message);
            field(4, shard(0).as_str().as_bytes(), &mut message);
            field(2, &message, &mut rpc);
            let (mut have, mut control) = (Vec::new(), Vec::new());
            field(1, shard(0).as_str().as_bytes(), &mut have);
            for _ in 0..200 {
                field(2, &rand32(), &mut have);
            }
            field(1, &have, &mut control);
            field(3, &control, &mut rpc);
            let frame = varint::prefixed(&rpc);
            for (_, stream) in &mut peers {
                let written = async {
                    stream.write_all(&frame).await?;
                    stream.flush().await
                };
                let _ = tokio::time::timeout(Duration::from_secs(1), written).await;
            }
            peers.retain(|(peer, _)| !peer.is_over());
            if peers.is_empty() {
                break;
            }
            if n == 100
                && let Some(at_work) = at_work.take()
            {
                at_work();
            }
        }
        if let Some(at_work) = at_work.take() {
            at_work();
        }
    }
}
