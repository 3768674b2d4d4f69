//! How a node comes to life: key, transport, listeners, then the tasks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use libp2p::identity::Keypair;
use libp2p::swarm::{Config, StreamProtocol};
use libp2p::{Multiaddr, Swarm};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::archive_feed::ArchiveFeed;
use super::behaviour::Behaviour;
use super::book::Book;
use super::event::{self, Hub};
use super::keeper::Keeper;
use super::keeping::Keeping;
use super::measured::Measured;
use super::shared::Shared;
use super::store_service::StoreService;
use super::streams::Streams;
use super::swarm::{State, SwarmTask};
use super::sync_host::SyncHost;
use super::tasks::Tasks;
use super::{
    NodeConfig, address, book_bytes, identity, keeping, relay_intake, state, sync_host, transport,
};
use crate::archive::Archive;
use crate::engine::EngineConfig;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::store::server::MIN_PAGE_BYTES;
use crate::types::PubsubTopic;
use crate::wire;
use crate::wire::metadata::Metadata;

/// How long a connection that a peer opened stays without a stream. What we dialled stays for as
/// long as the peer answers pings.
const IDLE_CONNECTION: Duration = Duration::from_secs(1800);
/// Streams of one connection that may be agreeing on a protocol at once: all of them, since one that
/// waits for its turn is not read.
const MAX_NEGOTIATING: usize = transport::MAX_STREAMS;
/// How long it may take until all listeners stand.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Store requests of ours on their way at once; more of them wait.
const MAX_ASKING: usize = 32;
/// Commands on their way to the swarm; more of them wait with those who send them.
const COMMANDS: usize = 256;
/// Messages that the engine may be behind the archive before it loads its index anew.
const ENGINE_FEED: usize = 64 * 1024;
/// Messages that the events may be behind the archive before some are left out.
const EVENT_FEED: usize = 16 * 1024;

/// Starts a node. On an error nothing of it is left.
pub(super) async fn start(config: NodeConfig, archive: Archive) -> Result<Arc<Shared>> {
    check(&config)?;
    let listen = listen_addresses(&config)?;
    let identity = config.identity.clone();
    let key = tokio::task::spawn_blocking(move || identity::load(&identity))
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, format!("loading the key: {e}")))??;
    let hub = Arc::new(Hub::new());
    let saved = match config.state.clone().filter(|_| config.sync) {
        Some(path) => state::load(path, hub.clone()).await,
        None => None,
    };
    let book_file = book_file(&config);
    let book = load_book(book_file.clone(), &hub).await;
    let seed = u64::from_le_bytes(identity::random()?);
    let fresh = identity::random()?;

    let tasks = Arc::new(Tasks::new());
    let swarm = build_swarm(&config, &key, &tasks)?;
    let (commands, to_swarm) = mpsc::channel(COMMANDS);
    let (sync, to_sync) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        peer_id: key.public().to_peer_id(),
        archive: archive.clone(),
        tasks: tasks.clone(),
        hub,
        commands,
        sync,
        relays: config.relay,
        request_timeout: config.request_timeout,
        addresses: RwLock::new(Vec::new()),
        peers: RwLock::new(BTreeMap::new()),
        store: RwLock::default(),
        measured: Measured::default(),
        online: AtomicBool::new(false),
        asking: Semaphore::new(MAX_ASKING),
        coverage: RwLock::new(Vec::new()),
    });

    let relayed = match config.relay {
        true => shard_topics(&config),
        false => Vec::new(),
    };
    let store = config.serve_store.then(|| StoreService::new(archive.clone(), &config));
    let metadata = Metadata { cluster_id: Some(config.cluster_id), shards: config.shards };
    let metadata = Bytes::from(metadata.encode());
    let intake = config.relay.then(|| relay_intake::begin(&shared));
    let started = Instant::now();
    let now = keeping::moment(&shared, started);
    let bootstrap = config.peers.addresses()?;
    let keeper = Keeper::new(&config.peers, bootstrap, config.relay, book, seed, now);
    let states = book_file.map(|path| keep_file(&tasks, path));
    let keeping = Keeping::new(keeper, started, states);
    let state = State::new(config.cluster_id, metadata, store, intake, keeping);
    let mut task = SwarmTask { swarm, commands: to_swarm, shared: shared.clone(), state };
    let listening = match timeout(LISTEN_TIMEOUT, task.listen(&listen)).await {
        Ok(listening) => listening,
        Err(_) => Err(Error::new(
            ErrorKind::Listen,
            format!("the node did not come to listen within {LISTEN_TIMEOUT:?}"),
        )),
    };
    if let Err(e) = listening {
        drop(task);
        tasks.kill();
        tasks.join().await;
        return Err(e);
    }
    for topic in &relayed {
        task.subscribe(topic)?;
    }
    let (ended, ends) = mpsc::unbounded_channel();
    let events = archive.subscribe(EVENT_FEED);
    tasks.spawn(event::forward(events, EVENT_FEED, ends, shared.hub.clone()));
    if config.sync {
        // Subscribed before the engine loads, so that nothing falls between.
        let feed = ArchiveFeed::subscribe(archive.clone(), ENGINE_FEED).await;
        let states = config.state.clone().map(|path| keep_file(&tasks, path));
        let engine = EngineConfig { cluster_id: config.cluster_id, ..config.engine };
        let parts =
            sync_host::Parts { config: engine, seed, fresh, shared: shared.clone(), ended, states };
        let mut host = SyncHost::new(parts);
        if let (Some(path), Some(saved)) = (config.state, saved)
            && let Err(e) = host.restore(&saved)
        {
            state::move_aside(path, e.to_string(), &shared.hub).await;
        }
        tasks.spawn_unguarded(host.run(to_sync, feed));
    }
    tasks.spawn_until_killed(task.run());
    Ok(shared)
}

/// Keeps a file as it is told, from now on.
fn keep_file(tasks: &Arc<Tasks>, path: PathBuf) -> state::States {
    let (states, told) = watch::channel(None);
    // It ends when whoever tells has told the last. Where nobody waits for the node's end, its tasks
    // would be dropped with their set: so this one holds it until it has written.
    let set = tasks.clone();
    tasks.spawn_unguarded(async move {
        state::keep(path, told).await;
        drop(set);
    });
    states
}

/// Where the book of peers is kept, if it is.
fn book_file(config: &NodeConfig) -> Option<PathBuf> {
    let mut path = config.state.clone().filter(|_| config.peers.keep)?.into_os_string();
    path.push(".peers");
    Some(path.into())
}

/// The book that was kept, or an empty one.
async fn load_book(path: Option<PathBuf>, hub: &Arc<Hub>) -> Book {
    let Some(path) = path else { return Book::default() };
    let Some(bytes) = state::load(path.clone(), hub.clone()).await else { return Book::default() };
    match book_bytes::decode(&bytes) {
        Ok(book) => book,
        Err(e) => {
            state::move_aside(path, e.message().to_owned(), hub).await;
            Book::default()
        }
    }
}

fn shard_topics(config: &NodeConfig) -> Vec<PubsubTopic> {
    config.shards.iter().map(|n| PubsubTopic::of_shard(config.cluster_id, *n)).collect()
}

fn check(config: &NodeConfig) -> Result<()> {
    if config.max_connections == 0 || config.max_connections_per_peer == 0 {
        bail!(InvalidArgument, "a node needs at least one connection, in all and of each peer");
    }
    config.peers.check(config.max_connections)?;
    if config.max_store_requests == 0 {
        bail!(InvalidArgument, "max_store_requests is 0; set serve_store to false instead");
    }
    let rates = [config.store_rate, config.store_rate_of_peer];
    if rates.iter().flatten().any(|rate| rate.requests == 0 || rate.per.is_zero()) {
        bail!(InvalidArgument, "a rate limit has at least one request, and a time above zero");
    }
    if config.max_page_bytes < MIN_PAGE_BYTES {
        let bytes = config.max_page_bytes;
        bail!(InvalidArgument, "max_page_bytes is {bytes}; a message needs {MIN_PAGE_BYTES}");
    }
    if config.request_timeout.is_zero() {
        bail!(InvalidArgument, "the request timeout is 0: nothing could be asked within it");
    }
    if let Some(path) = &config.state {
        state::check(path)?;
    }
    let shards = Metadata { cluster_id: Some(config.cluster_id), shards: config.shards.clone() };
    if shards.encode().len() > wire::metadata::MAX_FRAME {
        bail!(InvalidArgument, "{} shards do not fit a metadata frame", config.shards.len());
    }
    Ok(())
}

fn listen_addresses(config: &NodeConfig) -> Result<Vec<Multiaddr>> {
    let parse = |text: &String| {
        let address = address::parse(text)?;
        if address.peer.is_some() {
            bail!(Address, "the address to listen at, {text:?}, names a peer");
        }
        Ok(address.at)
    };
    config.listen.iter().map(parse).collect()
}

fn build_swarm(config: &NodeConfig, key: &Keypair, tasks: &Arc<Tasks>) -> Result<Swarm<Behaviour>> {
    let mut accepted = vec![wire::metadata::PROTOCOL];
    if config.serve_store {
        accepted.push(wire::store::PROTOCOL);
    }
    if config.sync {
        accepted.extend([wire::reconciliation::PROTOCOL, wire::transfer::PROTOCOL]);
        if config.engine.strong {
            accepted.push(wire::strong::PROTOCOL);
        }
    }
    let accepted = accepted.into_iter().map(StreamProtocol::new).collect();
    let behaviour = Behaviour::new(config, key, Streams::new(accepted, tasks.clone()))?;
    let transport = transport::build(key, config.request_timeout)?;
    // Connections run in the node's own set of tasks, so that a stop joins them too.
    let executor = {
        let tasks = tasks.clone();
        move |connection| tasks.spawn_until_killed(connection)
    };
    let swarm_config = Config::with_executor(executor)
        .with_idle_connection_timeout(IDLE_CONNECTION)
        .with_max_negotiating_inbound_streams(MAX_NEGOTIATING);
    Ok(Swarm::new(transport, behaviour, key.public().to_peer_id(), swarm_config))
}
