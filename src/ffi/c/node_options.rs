//! `wks_node_options`: how a node runs.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bytes::wks_bytes;
use super::error::wks_error;
use super::guard;
use super::handle::{Handle, handle};
use super::memory::{borrow, borrow_str};
use super::query::flag;
use super::status::wks_status;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::node::{Identity, NodeConfig};
use crate::types::{ContentTopic, PubsubTopic};

/// How a node runs. A call copies it: it can be changed and used again, and freed at any time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_node_options {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_node_options, 12, OptionsObject);

/// Options that are being put together.
pub(super) struct OptionsObject(Mutex<NodeConfig>);

impl OptionsObject {
    /// As they are now.
    pub(super) fn config(&self) -> NodeConfig {
        self.lock().clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, NodeConfig> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most addresses, shards, or topics of each kind, that options hold.
const MAX_LIST: usize = 1024;

pub(super) fn add<T>(list: &mut Vec<T>, entry: T, what: &str) -> Result<()> {
    if list.len() >= MAX_LIST {
        bail!(InvalidArgument, "a node has at most {MAX_LIST} {what}");
    }
    list.push(entry);
    Ok(())
}

/// Makes options as the library has them: a new identity, no listening address, cluster 0, Store
/// and Sync on.
///
/// Threads: any. Blocks: no. Owns: the options are the caller's, to free with
/// `wks_node_options_free`.
/// Errors: `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_new(
    options: *mut wks_node_options,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, options, |_| wks_node_options::publish(OptionsObject(Mutex::default())))
}

/// Keeps the identity key in this file: it is created, with mode 0600, where there is none. The path
/// is UTF-8.
///
/// Threads: any. Blocks: no. Owns: nothing; the path is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where the path is empty,
/// not UTF-8 or has a NUL in it.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_identity_file(
    options: wks_node_options,
    path: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let path = borrow_str(path, "path")?;
        if path.is_empty() || path.contains('\0') {
            bail!(InvalidArgument, "the path is empty or has a NUL in it");
        }
        call.get(options)?.lock().identity = Identity::File(PathBuf::from(path));
        Ok(())
    })
}

/// Uses this identity key: the 32 secret bytes of an ed25519 key.
///
/// Threads: any. Blocks: no. Owns: nothing; the secret is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` unless there are 32.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_identity_secret(
    options: wks_node_options,
    secret: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let secret = borrow(secret, "secret")?;
        let secret = <[u8; 32]>::try_from(secret).map_err(|_| {
            let message = format!("an identity secret is 32 bytes long, this is {}", secret.len());
            Error::new(ErrorKind::InvalidArgument, message)
        })?;
        call.get(options)?.lock().identity = Identity::Secret(secret);
        Ok(())
    })
}

/// Listens there: a multiaddress, `/ip4/127.0.0.1/tcp/0` say, or one that ends in `/ws`. Port 0 takes
/// a free one.
///
/// Threads: any. Blocks: no. Owns: nothing; the address is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is not UTF-8 or
/// there are more than 1,024. (One that is no address is refused when the node is started.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_add_listen(
    options: wks_node_options,
    address: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let address = borrow_str(address, "address")?.to_owned();
        add(&mut call.get(options)?.lock().listen, address, "addresses")?;
        Ok(())
    })
}

/// The cluster. Peers of another are dropped.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_cluster_id(
    options: wks_node_options,
    cluster_id: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().cluster_id = cluster_id;
        Ok(())
    })
}

/// Tells peers that the node serves this shard.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for more than 1,024.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_add_shard(
    options: wks_node_options,
    shard: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        add(&mut call.get(options)?.lock().shards, shard, "shards")?;
        Ok(())
    })
}

/// Whether the node answers store requests: 1, the default, or 0.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_serve_store(
    options: wks_node_options,
    on: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let on = flag(on, "on")?;
        call.get(options)?.lock().serve_store = on;
        Ok(())
    })
}

/// Whether the node answers and begins syncs: 1, the default, or 0.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync(
    options: wks_node_options,
    on: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let on = flag(on, "on")?;
        call.get(options)?.lock().sync = on;
        Ok(())
    })
}

/// Syncs messages of this pubsub topic, and of others that were added; without any, of all.
///
/// Threads: any. Blocks: no. Owns: nothing; the topic is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC`,
/// `WKS_ERR_INVALID_ARGUMENT` for more than 1,024.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_add_sync_pubsub_topic(
    options: wks_node_options,
    pubsub_topic: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let topic = PubsubTopic::from_utf8(borrow(pubsub_topic, "pubsub_topic")?)?;
        add(&mut call.get(options)?.lock().engine.scope.pubsub_topics, topic, "pubsub topics")?;
        Ok(())
    })
}

/// Syncs messages of this content topic, and of others that were added; without any, of all.
///
/// Threads: any. Blocks: no. Owns: nothing; the topic is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_TOPIC`,
/// `WKS_ERR_INVALID_ARGUMENT` for more than 1,024.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_add_sync_content_topic(
    options: wks_node_options,
    content_topic: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let topic = ContentTopic::from_utf8(borrow(content_topic, "content_topic")?)?;
        add(&mut call.get(options)?.lock().engine.scope.content_topics, topic, "content topics")?;
        Ok(())
    })
}

/// How far back a sync goes, in milliseconds. An hour by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_window(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.window = Duration::from_millis(ms);
        Ok(())
    })
}

/// How long before now a sync's window ends, in milliseconds: younger messages may still be on their
/// way. 20,000 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_margin(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.margin = Duration::from_millis(ms);
        Ok(())
    })
}

/// How far back the node keeps its messages' ids in memory for syncs, in milliseconds. Two hours by
/// default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_horizon(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.horizon = Duration::from_millis(ms);
        Ok(())
    })
}

/// The longest that a sync waits for the peer, in milliseconds. 30,000 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_idle_timeout(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.idle_timeout = Duration::from_millis(ms);
        Ok(())
    })
}

/// How long an announced message may still come after the end of reconciliation, in milliseconds.
/// 10,000 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_grace(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.grace = Duration::from_millis(ms);
        Ok(())
    })
}

/// How long a dial or a store request may take, in milliseconds. 30,000 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_request_timeout(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().request_timeout = Duration::from_millis(ms);
        Ok(())
    })
}

/// The time between two syncs that the node begins by itself with a peer chosen at random, in
/// milliseconds, jittered by a tenth; 0 for none. 300,000 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_interval(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let interval = (ms > 0).then(|| Duration::from_millis(ms));
        call.get(options)?.lock().engine.heartbeat = interval;
        Ok(())
    })
}

/// The most syncs at once, in all. 16 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_max_sessions(
    options: wks_node_options,
    sessions: usize,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.max_sessions = sessions;
        Ok(())
    })
}

/// The most messages that one sync may bring. 1,000,000 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_max_messages(
    options: wks_node_options,
    messages: usize,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.max_messages = messages;
        Ok(())
    })
}

/// The most bytes that one sync may bring. 4 GiB by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_max_bytes(
    options: wks_node_options,
    bytes: usize,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().engine.max_bytes = bytes;
        Ok(())
    })
}

/// The most connections at once, in all. 200 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_max_connections(
    options: wks_node_options,
    connections: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().max_connections = connections;
        Ok(())
    })
}

/// The most connections at once of one peer. 4 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_max_connections_per_peer(
    options: wks_node_options,
    connections: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().max_connections_per_peer = connections;
        Ok(())
    })
}

/// The most store requests that are answered at once; others get a 429. 64 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_max_store_requests(
    options: wks_node_options,
    requests: usize,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().max_store_requests = requests;
        Ok(())
    })
}

/// Frees options. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_free(options: wks_node_options) {
    guard::free(options, |_| {})
}
