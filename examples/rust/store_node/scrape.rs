//! `GET /metrics` for Prometheus and `GET /health` for a probe, over as little HTTP as that takes.
//!
//! Whoever can reach the address may ask, so it belongs on a loopback or an operators' network. What
//! holds all the same: a few connections at once, a request of bounded size, and a bounded time for
//! all of it; the rest of the program does not notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use wakustore::archive::ArchiveState;
use wakustore::node::Node;

/// Connections at once; those beyond wait to be taken.
const MAX_CONNECTIONS: usize = 8;
/// From a connection's beginning to its end.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest request, with its headers.
const MAX_REQUEST: usize = 8 * 1024;
/// After the system gave no connection (too many open files, say).
const PAUSE: Duration = Duration::from_millis(200);

const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Serves until it is dropped. It does not keep the node running.
pub(crate) async fn serve(listener: TcpListener, node: Node) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let node = node.clone();
                connections.spawn(async move {
                    let _ = tokio::time::timeout(TIMEOUT, answer(stream, &node)).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// One request and one response a connection.
async fn answer(mut stream: TcpStream, node: &Node) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > MAX_REQUEST {
            return respond(&mut stream, "431 Request Header Fields Too Large", TEXT, "").await;
        }
        let mut part = [0; 1024];
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            n => request.extend_from_slice(part.get(..n).unwrap_or_default()),
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/metrics") => respond(&mut stream, "200 OK", METRICS, &node.metrics().await).await,
        ("GET", "/health") => {
            let health = node.health().await;
            let works = matches!(health.archive, ArchiveState::Writable | ArchiveState::ReadOnly);
            let status = if works && health.running { "200 OK" } else { "503 Service Unavailable" };
            let text = format!(
                "archive {}, {} peers, {} syncs\n",
                health.archive.name(),
                health.peers,
                health.syncs
            );
            respond(&mut stream, status, TEXT, &text).await
        }
        ("GET", _) => respond(&mut stream, "404 Not Found", TEXT, "").await,
        _ => respond(&mut stream, "405 Method Not Allowed", TEXT, "").await,
    }
}

async fn respond(
    stream: &mut TcpStream,
    status: &str,
    kind: &str,
    body: &str,
) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
