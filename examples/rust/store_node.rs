//! A store node: an archive on SQLite, served over libp2p, and perhaps synced with a peer.
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
//! It prints the addresses that it listens at, one a line, then `ready`; then a line for each sync
//! that has ended. It runs until its standard input closes (or it is interrupted).

use std::error::Error;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use wakustore::archive::{Archive, ArchiveConfig, SqliteBackend, SqliteConfig};
use wakustore::engine::{Dialect, EngineConfig, SyncOptions};
use wakustore::node::{Events, Identity, Node, NodeConfig, NodeEvent, NodeSyncReport};
use wakustore::types::{PubsubTopic, Timestamp};
use wakustore::wire::reconciliation::Scope;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Options {
    path: String,
    node: NodeConfig,
    sync_with: Vec<String>,
}

const USAGE: &str = "usage: store_node --path FILE|:memory: [--listen ADDRESS]… [--key FILE] \
                     [--cluster N] [--shards N,N…] [--sync-with ADDRESS]… [--state FILE] \
                     [--heartbeat SECONDS] [--heartbeat-peers N] [--sync-on-connect yes|no] \
                     [--resume yes|no] [--resume-limit SECONDS] [--strong yes|no] \
                     [--dialect topics|shards]";

fn yes(flag: &str, value: &str) -> Fallible<bool> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{flag} takes yes or no\n{USAGE}").into()),
    }
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
    let mut options =
        Options { path: String::new(), node: NodeConfig::default(), sync_with: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value\n{USAGE}"))?;
        if engine_option(&mut options.node.engine, &flag, &value)? {
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
        if let NodeEvent::SyncFinished(report) = event {
            tell(&report);
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

async fn run() -> Fallible<()> {
    let Options { path, node: config, sync_with } = options()?;
    let (closed, mut stdin_closed) = tokio::sync::mpsc::channel::<()>(1);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock().by_ref(), &mut std::io::sink());
        drop(closed);
    });

    let backend = SqliteBackend::open(SqliteConfig::new(&path))?;
    let archive = Archive::open(backend, ArchiveConfig::new(now))?;
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
    let _ = stdin_closed.recv().await;
    node.stop().await;
    telling.await?;
    tokio::task::spawn_blocking(move || archive.close()).await?;
    Ok(())
}
