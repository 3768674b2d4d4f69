//! A store node: an archive on SQLite or PostgreSQL, served over libp2p, fed by relay where that is
//! switched on, and perhaps synced with a peer.
//!
//! ```text
//! cargo run --example store_node -- --path messages.db --listen /ip4/127.0.0.1/tcp/60000 \
//!     --listen /ip4/127.0.0.1/tcp/60001/ws --key node.key --cluster 16 --shards 0,1 \
//!     --sync-with /ip4/127.0.0.1/tcp/60010/p2p/12D3… --state node.state
//! ```
//!
//! With `--state` it remembers when it was online and with whom it agrees, and fills the gap when it
//! starts again. `--heartbeat 0` leaves out the syncs that begin by themselves in between.
//!
//! `--path` may be the URL of a PostgreSQL database (`postgres://…`), which several nodes may share.
//! `--relay yes` takes part in relay on its shards. `--max-age`, `--max-messages` and `--max-bytes`
//! bound what is kept; `--store-rate` and `--store-rate-of-peer` take `REQUESTS/SECONDS`.
//!
//! `--bootstrap` peers are kept connected, and as many others as `--store-peers`, `--sync-peers` and
//! `--relay-peers` say, out of a book that is kept beside the state (`--keep-peers no`: it is not).
//! `--max-connections`, `--max-incoming`, `--max-outgoing` and `--reserved` bound connections.
//!
//! It prints the addresses that it listens at, one a line, then `ready`; then a line for each sync
//! that has ended, and `online` and `offline` when it is. It runs until its standard input closes, or until it is interrupted or terminated;
//! with `--stdin no` (for a service manager, which gives it none) until one of the latter.

use std::error::Error;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use wakustore::archive::{
    Archive, ArchiveConfig, PostgresBackend, PostgresConfig, Retention, SqliteBackend, SqliteConfig,
};
use wakustore::engine::{Dialect, EngineConfig, SyncOptions};
use wakustore::node::{Events, Identity, Node, NodeConfig, NodeEvent, NodeSyncReport, RateLimit};
use wakustore::types::{PubsubTopic, Timestamp};
use wakustore::wire::reconciliation::Scope;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Options {
    path: String,
    node: NodeConfig,
    sync_with: Vec<String>,
    retention: Retention,
    watches_stdin: bool,
}

const USAGE: &str = "usage: store_node --path FILE|:memory:|postgres://… [--listen ADDRESS]… [--key FILE] \
                     [--cluster N] [--shards N,N…] [--sync-with ADDRESS]… [--state FILE] \
                     [--heartbeat SECONDS] [--heartbeat-peers N] [--sync-on-connect yes|no] \
                     [--resume yes|no] [--resume-limit SECONDS] [--strong yes|no] \
                     [--dialect topics|shards] [--relay yes|no] [--max-age SECONDS] \
                     [--max-messages N] [--max-bytes N] [--store-rate REQUESTS/SECONDS] \
                     [--store-rate-of-peer REQUESTS/SECONDS] [--bootstrap ADDRESS]… \
                     [--store-peers N] [--sync-peers N] [--relay-peers N] [--keep-peers yes|no] \
                     [--max-connections N] [--max-incoming N] [--max-outgoing N] [--reserved N] \
                     [--stdin yes|no]";

fn yes(flag: &str, value: &str) -> Fallible<bool> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{flag} takes yes or no\n{USAGE}").into()),
    }
}

fn rate(flag: &str, value: &str) -> Fallible<Option<RateLimit>> {
    let (requests, seconds) =
        value.split_once('/').ok_or_else(|| format!("{flag} takes REQUESTS/SECONDS\n{USAGE}"))?;
    let per = Duration::from_secs(seconds.parse()?);
    Ok(Some(RateLimit { requests: requests.parse()?, per }))
}

/// The flags that say what is kept. Whether it was one of them.
fn retention_option(retention: &mut Retention, flag: &str, value: &str) -> Fallible<bool> {
    match flag {
        "--max-age" => retention.max_age = Some(Duration::from_secs(value.parse()?)),
        "--max-messages" => retention.max_messages = Some(value.parse()?),
        "--max-bytes" => retention.max_bytes = Some(value.parse()?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The flags that say which peers it keeps, and the room for others. Whether it was one of them.
fn peer_option(node: &mut NodeConfig, flag: &str, value: &str) -> Fallible<bool> {
    let peers = &mut node.peers;
    match flag {
        "--bootstrap" => peers.bootstrap.push(value.to_owned()),
        "--store-peers" => peers.store_peers = Some(value.parse()?),
        "--sync-peers" => peers.sync_peers = Some(value.parse()?),
        "--relay-peers" => peers.relay_peers = Some(value.parse()?),
        "--keep-peers" => peers.keep = yes(flag, value)?,
        "--max-connections" => node.max_connections = value.parse()?,
        "--max-incoming" => peers.max_incoming = Some(value.parse()?),
        "--max-outgoing" => peers.max_outgoing = Some(value.parse()?),
        "--reserved" => peers.reserved = Some(value.parse()?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The flags that say how it syncs. Whether it was one of them.
fn engine_option(engine: &mut EngineConfig, flag: &str, value: &str) -> Fallible<bool> {
    match flag {
        "--heartbeat" => {
            engine.heartbeat = Some(value.parse()?).filter(|s| *s > 0).map(Duration::from_secs);
        }
        "--heartbeat-peers" => engine.heartbeat_peers = value.parse()?,
        "--sync-on-connect" => engine.sync_on_connect = yes(flag, value)?,
        "--resume" => engine.resume = yes(flag, value)?,
        "--resume-limit" => engine.resume_limit = Duration::from_secs(value.parse()?),
        "--strong" => engine.strong = yes(flag, value)?,
        "--dialect" => {
            engine.dialect = match value {
                "topics" => Dialect::Topics,
                "shards" => Dialect::Shards,
                _ => return Err(format!("{flag} is topics or shards\n{USAGE}").into()),
            };
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn options() -> Fallible<Options> {
    let mut options = Options {
        path: String::new(),
        node: NodeConfig::default(),
        sync_with: Vec::new(),
        retention: Retention::default(),
        watches_stdin: true,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value\n{USAGE}"))?;
        if engine_option(&mut options.node.engine, &flag, &value)?
            || peer_option(&mut options.node, &flag, &value)?
            || retention_option(&mut options.retention, &flag, &value)?
        {
            continue;
        }
        match flag.as_str() {
            "--path" => options.path = value,
            "--listen" => options.node.listen.push(value),
            "--key" => options.node.identity = Identity::File(value.into()),
            "--cluster" => options.node.cluster_id = value.parse()?,
            "--shards" => {
                options.node.shards = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--relay" => options.node.relay = yes(&flag, &value)?,
            "--store-rate" => options.node.store_rate = rate(&flag, &value)?,
            "--store-rate-of-peer" => options.node.store_rate_of_peer = rate(&flag, &value)?,
            "--stdin" => options.watches_stdin = yes(&flag, &value)?,
            "--state" => options.node.state = Some(value.into()),
            "--sync-with" => options.sync_with.push(value),
            _ => return Err(format!("{flag} is not known\n{USAGE}").into()),
        }
    }
    if options.path.is_empty() {
        return Err(USAGE.into());
    }
    // What it compares with its peers: its own shards, or all that it holds where none is named.
    let cluster = options.node.cluster_id;
    let topics = options.node.shards.iter().map(|shard| PubsubTopic::of_shard(cluster, *shard));
    options.node.engine.scope =
        Scope { pubsub_topics: topics.collect(), content_topics: Vec::new() };
    Ok(options)
}

/// Unix time in nanoseconds.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever started this may have stopped reading, which is no reason to stop.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn tell(NodeSyncReport { peer_id, report, .. }: &NodeSyncReport) {
    let figures = &report.figures;
    let outcome = report.error.as_ref().map_or("ok".to_owned(), ToString::to_string);
    say(&format!(
        "synced with {peer_id}: received {} sent {} of {} missing and {} surplus, {} frames, \
         {} bytes out, {} bytes in, {:.3} s: {outcome}",
        figures.received,
        figures.sent,
        figures.missing,
        figures.surplus,
        figures.frames,
        figures.reconciliation_bytes_out + figures.transfer_bytes_out,
        figures.reconciliation_bytes_in + figures.transfer_bytes_in,
        report.duration.as_secs_f64(),
    ));
}

async fn tell_of_syncs(mut events: Events) {
    while let Some(event) = events.next().await {
        match event {
            NodeEvent::SyncFinished(report) => tell(&report),
            NodeEvent::Online => say("online"),
            NodeEvent::Offline => say("offline"),
            NodeEvent::StateSetAside { path, why } => eprintln!("{path} was moved aside: {why}"),
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn open(path: &str, config: ArchiveConfig) -> wakustore::Result<Archive> {
    if path.starts_with("postgres://") || path.starts_with("postgresql://") {
        return Archive::open(PostgresBackend::open(PostgresConfig::new(path))?, config);
    }
    Archive::open(SqliteBackend::open(SqliteConfig::new(path))?, config)
}

/// Until whoever started this has enough.
fn ended(watches_stdin: bool) -> Fallible<impl Future<Output = ()>> {
    let (closed, mut stdin_closed) = tokio::sync::mpsc::channel::<()>(1);
    if watches_stdin {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock().by_ref(), &mut std::io::sink());
            drop(closed);
        });
    } else {
        // It stays open.
        std::mem::forget(closed);
    }
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = stdin_closed.recv() => {}
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
}

async fn run() -> Fallible<()> {
    let Options { path, node: config, sync_with, retention, watches_stdin } = options()?;
    let ended = ended(watches_stdin)?;
    let archive = ArchiveConfig { retention, ..ArchiveConfig::new(now) };
    let archive = tokio::task::spawn_blocking(move || open(&path, archive)).await??;
    let node = Node::start(config, archive.clone()).await?;
    let telling = tokio::spawn(tell_of_syncs(node.events()));
    for address in node.addresses() {
        say(&address);
    }
    say("ready");
    for peer in &sync_with {
        if let Err(e) = node.sync(peer, SyncOptions::default()).await {
            eprintln!("no sync with {peer}: {e}");
        }
    }
    ended.await;
    node.stop().await;
    telling.await?;
    tokio::task::spawn_blocking(move || archive.close()).await?;
    Ok(())
}
