//! Which peers a node keeps, the room for others, and whether it is online.

use std::time::Duration;

use super::bytes::wks_bytes;
use super::error::wks_error;
use super::guard;
use super::memory::borrow_str;
use super::node::wks_node;
use super::node_options::{add, wks_node_options};
use super::query::flag;
use super::status::wks_status;
use crate::node::Speaks;

/// Keeps this peer connected: an address, best with `/p2p/` and the peer id at its end. It is dialled
/// at the start and whenever it went, after waits that grow with each failure. At most 256.
///
/// Threads: any. Blocks: no. Owns: nothing; the address is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is not UTF-8 or
/// there are more than 1,024. (One that cannot be dialled, or too many, are refused when the node is
/// started.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_add_bootstrap(
    options: wks_node_options,
    address: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let address = borrow_str(address, "address")?.to_owned();
        add(&mut call.get(options)?.lock().peers.bootstrap, address, "bootstrap peers")?;
        Ok(())
    })
}

/// So many peers that speak Store are kept connected, out of those that the node reached before or
/// learned of; at most 64. By default 4 where the node has bootstrap peers or learned of some, and
/// none otherwise.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_store_peers(
    options: wks_node_options,
    peers: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().peers.store_peers = Some(peers);
        Ok(())
    })
}

/// The same of peers that sync.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_sync_peers(
    options: wks_node_options,
    peers: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().peers.sync_peers = Some(peers);
        Ok(())
    })
}

/// The same of peers that relay, where the node relays itself.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_relay_peers(
    options: wks_node_options,
    peers: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().peers.relay_peers = Some(peers);
        Ok(())
    })
}

/// The most connections that peers open. By default three quarters of all, so that the node can
/// always dial.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_max_incoming(
    options: wks_node_options,
    connections: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().peers.max_incoming = Some(connections);
        Ok(())
    })
}

/// The most connections that the node opens. By default as many as there may be in all.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_max_outgoing(
    options: wks_node_options,
    connections: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().peers.max_outgoing = Some(connections);
        Ok(())
    })
}

/// So many of the connections that peers open are not for strangers, which speak neither Store nor
/// sync. By default a quarter of them. More than there are is refused when the node is started.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_reserved(
    options: wks_node_options,
    connections: u32,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().peers.reserved = Some(connections);
        Ok(())
    })
}

/// Whether the node keeps where it reached peers in a file beside its state (`.peers` is put behind
/// the name): 1, the default, or 0. Without a state file it does not.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_keep_peers(
    options: wks_node_options,
    on: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let on = flag(on, "on")?;
        call.get(options)?.lock().peers.keep = on;
        Ok(())
    })
}

/// The wait before a peer is dialled again, and the longest that it grows to, in milliseconds. 1,000
/// and 300,000 by default. Zero, or a first one beyond the longest, is refused when the node is
/// started.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_redial(
    options: wks_node_options,
    first_ms: u64,
    longest_ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let object = call.get(options)?;
        let peers = &mut object.lock().peers;
        peers.redial_min = Duration::from_millis(first_ms);
        peers.redial_max = Duration::from_millis(longest_ms);
        Ok(())
    })
}

/// So long without a connected peer, in milliseconds, and the node is offline. 10,000 by default.
/// Zero is refused when the node is started.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_offline_grace(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().peers.offline_grace = Duration::from_millis(ms);
        Ok(())
    })
}

/// Whether a peer is connected, or was until less than the grace ago: 1 or 0. Changes are told as
/// `WKS_EVENT_ONLINE` and `WKS_EVENT_OFFLINE`.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_online(
    node: wks_node,
    online: *mut u8,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, online, |call| Ok(u8::from(call.get(node)?.node()?.online())))
}

/// Tells the node that the network is another, or back: whoever is to be dialled again is dialled
/// soon, and not after the wait that earlier failures brought about.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_network_changed(node: wks_node, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| {
        call.get(node)?.node()?.network_changed();
        Ok(())
    })
}

/// Tells the node of a peer that the host found by a discovery of its own: an address that ends in
/// `/p2p/` and the peer id, and whether the peer is said to speak Store, to sync, and to relay (0 or
/// 1 each). It is dialled where peers of its kind are wanted. An address that leads into a private
/// network or to this machine is taken only where the node itself listens nowhere else.
///
/// Threads: any. Blocks: no. Owns: nothing; the address is copied.
/// Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_INVALID_ARGUMENT` for any other number or where the address is
/// not UTF-8, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_learn(
    node: wks_node,
    address: wks_bytes,
    store: u8,
    sync: u8,
    relay: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let address = borrow_str(address, "address")?.to_owned();
        let speaks = Speaks {
            store: flag(store, "store")?,
            sync: flag(sync, "sync")?,
            relay: flag(relay, "relay")?,
        };
        call.get(node)?.node()?.learn(&[address], speaks)
    })
}
