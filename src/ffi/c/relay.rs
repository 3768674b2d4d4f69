//! Relay: a node that takes part in pubsub topics as messages happen.

use bytes::Bytes;

use super::bytes::{wks_bytes, wks_hash, wks_strings};
use super::error::wks_error;
use super::guard::{self, Call};
use super::memory::borrow;
use super::message::{copy_messages, wks_message};
use super::node::{with_node, wks_node};
use super::node_options::wks_node_options;
use super::op::{block, publish, take, wks_op};
use super::query::flag;
use super::status::wks_status;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::Op;
use crate::types::PubsubTopic;

/// Whether the node takes part in relay (gossipsub): 0, the default, or 1. Then it is subscribed to
/// the topics of its shards from the start, and what comes is stored.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_INVALID_ARGUMENT` for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_relay(
    options: wks_node_options,
    on: u8,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let on = flag(on, "on")?;
        call.get(options)?.lock().relay = on;
        Ok(())
    })
}

fn subscribe(call: &mut Call, node: wks_node, topic: wks_bytes) -> Result<Op> {
    let topic = PubsubTopic::from_utf8(borrow(topic, "pubsub_topic")?)?;
    with_node(call, node, |o| async move { o.node()?.subscribe(topic).await })
}

fn unsubscribe(call: &mut Call, node: wks_node, topic: wks_bytes) -> Result<Op> {
    let topic = PubsubTopic::from_utf8(borrow(topic, "pubsub_topic")?)?;
    with_node(call, node, |o| async move { o.node()?.unsubscribe(topic).await })
}

fn relay_peers(call: &mut Call, node: wks_node, topic: wks_bytes) -> Result<Op> {
    let topic = PubsubTopic::from_utf8(borrow(topic, "pubsub_topic")?)?;
    with_node(call, node, |o| async move { o.node()?.relay_peers(topic).await })
}

fn send(call: &mut Call, node: wks_node, message: *const wks_message) -> Result<Op> {
    let message = copy_messages(message, 1)?.pop();
    let message = message.ok_or_else(|| Error::new(ErrorKind::Internal, "no message was read"))?;
    with_node(call, node, |o| async move {
        let hash = o.node()?.publish(message.pubsub_topic, message.message).await?;
        Ok(Bytes::copy_from_slice(&hash.0))
    })
}

/// Takes part in a pubsub topic over relay: what comes is stored and passed on. Fine a second time.
///
/// Threads: any but the dispatcher's. Blocks: shortly. Owns: the topic is lent for the call.
/// Errors: `WKS_ERR_UNSUPPORTED` where the node does not relay, `WKS_ERR_INVALID_TOPIC`,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_subscribe(
    node: wks_node,
    pubsub_topic: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| block(|| subscribe(call, node, pubsub_topic))?.status())
}

/// Starts to take part in a pubsub topic. The operation has no result: its status tells.
///
/// Threads: any. Blocks: no. Owns: the topic is lent for the call; the operation is the caller's, to
/// free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_node_subscribe`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_subscribe_async(
    node: wks_node,
    pubsub_topic: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(subscribe(call, node, pubsub_topic)))
}

/// Takes no part in a pubsub topic any more. Fine where it did not.
///
/// Threads: any but the dispatcher's. Blocks: shortly. Owns: the topic is lent for the call.
/// Errors: as `wks_node_subscribe`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_unsubscribe(
    node: wks_node,
    pubsub_topic: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| block(|| unsubscribe(call, node, pubsub_topic))?.status())
}

/// Starts to leave a pubsub topic. The operation has no result: its status tells.
///
/// Threads: any. Blocks: no. Owns: the topic is lent for the call; the operation is the caller's, to
/// free with `wks_op_free`.
/// Errors: as `wks_node_subscribe_async`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_unsubscribe_async(
    node: wks_node,
    pubsub_topic: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(unsubscribe(call, node, pubsub_topic)))
}

/// Stores a message (unless it is ephemeral), sends it over relay, and gives its hash, which may be
/// null. The node need not be subscribed to the topic. Where nobody took it it stays stored, and
/// syncs will bring it to others; the same message may be published again.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it was handed to peers. Owns: the message is
/// lent for the call.
/// Errors: `WKS_ERR_NO_RELAY_PEERS`, `WKS_ERR_UNSUPPORTED` where the node does not relay; what the
/// archive refuses it for, as `wks_archive_put`, and then it was not sent; those of
/// `wks_node_subscribe`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_publish(
    node: wks_node,
    message: *const wks_message,
    hash: *mut wks_hash,
    error: *mut wks_error,
) -> wks_status {
    guard::offer(error, hash, |call| {
        let nothing = || Error::new(ErrorKind::Internal, "the operation gave no hash");
        let hash = block(|| send(call, node, message))?.take::<Option<Bytes>>()?;
        let hash = hash.and_then(|hash| <[u8; 32]>::try_from(&hash[..]).ok());
        Ok(wks_hash { bytes: hash.ok_or_else(nothing)? })
    })
}

/// Starts to publish a message: take its hash, 32 bytes, with `wks_op_take_buffer`.
///
/// Threads: any. Blocks: no. Owns: the message is lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`; the operation's are those of
/// `wks_node_publish`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_publish_async(
    node: wks_node,
    message: *const wks_message,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(send(call, node, message)))
}

/// The ids of the connected peers that are subscribed to a pubsub topic over relay.
///
/// Threads: any but the dispatcher's. Blocks: shortly. Owns: the topic is lent for the call; the list
/// is the caller's, to free with `wks_strings_free`.
/// Errors: as `wks_node_subscribe`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_relay_peers(
    node: wks_node,
    pubsub_topic: wks_bytes,
    peers: *mut wks_strings,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, peers, |call| take(&block(|| relay_peers(call, node, pubsub_topic))?))
}

/// Starts to ask who is subscribed: take the list with `wks_op_take_strings`.
///
/// Threads: any. Blocks: no. Owns: the topic is lent for the call; the operation is the caller's, to
/// free with `wks_op_free`.
/// Errors: as `wks_node_subscribe_async`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_relay_peers_async(
    node: wks_node,
    pubsub_topic: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(relay_peers(call, node, pubsub_topic)))
}

/// Takes a list of texts.
///
/// Threads: any. Blocks: no. Owns: the list is the caller's, to free with `wks_strings_free`.
/// Errors: as `wks_op_take_page`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_strings(
    op: wks_op,
    strings: *mut wks_strings,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, strings, |call| take(&*call.get(op)?))
}
