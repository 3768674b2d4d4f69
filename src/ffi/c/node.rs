//! `wks_node`: a whole Waku node over an archive.

use std::sync::Arc;

use bytes::Bytes;

use super::archive::wks_archive;
use super::bytes::{wks_buffer, wks_bytes, wks_strings};
use super::error::wks_error;
use super::events::{EventsObject, wks_events};
use super::guard::{self, Call};
use super::handle::{Handle, handle};
use super::history::{HistoryObject, wks_history};
use super::memory::borrow_str;
use super::node_options::wks_node_options;
use super::op::{self, block, publish, take, wks_op};
use super::page::wks_page;
use super::query::wks_query;
use super::status::wks_status;
use super::sync::{read_options, wks_report, wks_sync_options};
use crate::error::{Result, bail};
use crate::node::{Node, NodeConfig};
use crate::runtime::{self, Op, Registration, Runtime, Stage};

/// A running node. Any number of threads may use it at once. Peers are named by their peer id, or by
/// an address that ends in `/p2p/` and the peer id.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_node {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_node, 13, Arc<NodeObject>);

/// A node that a shutdown stops, and that stops when it is let go.
pub(super) struct NodeObject {
    /// There until the object is dropped.
    node: Option<Node>,
    runtime: Arc<Runtime>,
    closer: Option<Registration>,
}

impl NodeObject {
    async fn start(
        runtime: Arc<Runtime>,
        config: NodeConfig,
        archive: crate::archive::Archive,
    ) -> Result<Arc<Self>> {
        let node = Node::start(config, archive).await?;
        let stopping = node.clone();
        // Made before anything else can fail: letting it go stops the node.
        let mut object = NodeObject { node: Some(node), runtime, closer: None };
        let closer = move || async move { stopping.stop().await };
        object.closer = Some(object.runtime.on_shutdown(Stage::Network, closer)?);
        Ok(Arc::new(object))
    }

    pub(super) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    pub(super) fn node(&self) -> Result<&Node> {
        self.runtime.check_open()?;
        match &self.node {
            Some(node) => Ok(node),
            None => bail!(Shutdown, "the node was let go"),
        }
    }
}

impl Drop for NodeObject {
    fn drop(&mut self) {
        let (node, closer) = (self.node.take(), self.closer.take());
        self.runtime.detach(async move {
            if let Some(node) = &node {
                node.stop().await;
            }
            // Perhaps the last to hold the archive, whose end blocks.
            runtime::drop_blocking(node);
            drop(closer);
        });
    }
}

// What each pair of calls starts; the first of a pair waits for it, the second gives the op out.

fn start(call: &mut Call, options: wks_node_options, archive: wks_archive) -> Result<Op> {
    let config = call.get(options)?.config();
    let object = call.get(archive)?;
    let archive = object.archive()?.clone();
    let runtime = Arc::clone(object.runtime());
    op::start(object.runtime(), NodeObject::start(runtime, config, archive))
}

/// Starts an op over a node that runs. Its work holds the object and not the node itself, whose last
/// holder may have to block.
pub(super) fn with_node<O, F>(
    call: &mut Call,
    node: wks_node,
    work: impl FnOnce(Arc<NodeObject>) -> F,
) -> Result<Op>
where
    O: Send + 'static,
    F: Future<Output = Result<O>> + Send + 'static,
{
    let object = call.get(node)?;
    object.node()?;
    op::start(&object.runtime, work(Arc::clone(&*object)))
}

fn dial(call: &mut Call, node: wks_node, address: wks_bytes) -> Result<Op> {
    let address = borrow_str(address, "address")?.to_owned();
    with_node(call, node, |o| async move {
        o.node()?.dial(&address).await.map(|peer| Bytes::from(peer.into_bytes()))
    })
}

fn disconnect(call: &mut Call, node: wks_node, peer: wks_bytes) -> Result<Op> {
    let peer = borrow_str(peer, "peer")?.to_owned();
    with_node(call, node, |o| async move { o.node()?.disconnect(&peer).await })
}

fn store_query(call: &mut Call, node: wks_node, peer: wks_bytes, query: wks_query) -> Result<Op> {
    let peer = borrow_str(peer, "peer")?.to_owned();
    let query = call.get(query)?.query();
    with_node(call, node, |o| async move { o.node()?.store_query(&peer, query).await })
}

fn sync(
    call: &mut Call,
    node: wks_node,
    peer: wks_bytes,
    options: *const wks_sync_options,
) -> Result<Op> {
    let peer = borrow_str(peer, "peer")?.to_owned();
    let options = read_options(options)?;
    with_node(call, node, |o| async move { o.node()?.sync(&peer, options).await })
}

fn stop(call: &mut Call, node: wks_node) -> Result<Op> {
    with_node(call, node, |o| async move {
        o.node()?.stop().await;
        Ok(())
    })
}

/// Starts a node over an archive and listens. The node keeps the archive open.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it listens. Owns: the node is the
/// caller's, to free with `wks_node_free`; options and archive stay the caller's.
/// Errors: `WKS_ERR_KEY_FILE`, `WKS_ERR_ADDRESS`, `WKS_ERR_LISTEN`, `WKS_ERR_INVALID_ARGUMENT` for
/// options that cannot be, `WKS_ERR_ARCHIVE_CLOSED`, `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`,
/// `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_start(
    options: wks_node_options,
    archive: wks_archive,
    node: *mut wks_node,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, node, |call| take(&block(|| start(call, options, archive))?))
}

/// Begins to start a node: take it with `wks_op_take_node`.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_node_start`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_start_async(
    options: wks_node_options,
    archive: wks_archive,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(start(call, options, archive)))
}

/// The node's own peer id, as text.
///
/// Threads: any. Blocks: no. Owns: the buffer is the caller's, to free with `wks_buffer_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_peer_id(
    node: wks_node,
    peer_id: *mut wks_buffer,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, peer_id, |call| {
        let id = call.get(node)?.node()?.peer_id();
        wks_buffer::publish(Bytes::from(id.into_bytes()))
    })
}

/// Where the node listens now: addresses that end in `/p2p/` and its peer id.
///
/// Threads: any. Blocks: no. Owns: the list is the caller's, to free with `wks_strings_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_addresses(
    node: wks_node,
    addresses: *mut wks_strings,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, addresses, |call| wks_strings::publish(call.get(node)?.node()?.addresses()))
}

/// The ids of the peers that are connected now.
///
/// Threads: any. Blocks: no. Owns: the list is the caller's, to free with `wks_strings_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_peers(
    node: wks_node,
    peers: *mut wks_strings,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, peers, |call| wks_strings::publish(call.get(node)?.node()?.peers()))
}

/// Connects to an address, and gives the peer's id as text. Fine where it is connected already.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it is connected. Owns: the address is lent
/// for the call; the buffer is the caller's, to free with `wks_buffer_free`. `peer_id` may be null.
/// Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_DIAL`, `WKS_ERR_TIMED_OUT`, `WKS_ERR_OTHER_CLUSTER`,
/// `WKS_ERR_INVALID_ARGUMENT` where the address is not UTF-8, `WKS_ERR_WOULD_DEADLOCK`,
/// `WKS_ERR_SHUTDOWN` also where the node was stopped, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_dial(
    node: wks_node,
    address: wks_bytes,
    peer_id: *mut wks_buffer,
    error: *mut wks_error,
) -> wks_status {
    guard::offer(error, peer_id, |call| {
        let op = block(|| dial(call, node, address))?;
        if peer_id.is_null() { op.status().map(|()| wks_buffer { id: 0 }) } else { take(&op) }
    })
}

/// Begins to connect to an address: take the peer's id with `wks_op_take_buffer`.
///
/// Threads: any. Blocks: no. Owns: the address is lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
/// `WKS_ERR_NULL_POINTER`; the operation's are those of `wks_node_dial`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_dial_async(
    node: wks_node,
    address: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(dial(call, node, address)))
}

/// Ends all connections to a peer.
///
/// Threads: any but the dispatcher's. Blocks: yes, until they are closed. Owns: the peer's name is
/// lent for the call.
/// Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_PEER_UNKNOWN`, `WKS_ERR_INVALID_ARGUMENT`,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_disconnect(
    node: wks_node,
    peer: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| block(|| disconnect(call, node, peer))?.status())
}

/// Begins to end all connections to a peer. The operation has no result: its status tells.
///
/// Threads: any. Blocks: no. Owns: the peer's name is lent for the call; the operation is the
/// caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
/// `WKS_ERR_NULL_POINTER`; the operation's are those of `wks_node_disconnect`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_disconnect_async(
    node: wks_node,
    peer: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(disconnect(call, node, peer)))
}

/// Reads one page from a store peer. Every message is checked: its hash, and that it matches.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the answer is there. Owns: the peer's name
/// is lent for the call; the page is the caller's, to free with `wks_page_free`.
/// Errors: `WKS_ERR_PEER_UNKNOWN`, `WKS_ERR_ADDRESS`, `WKS_ERR_DIAL`, `WKS_ERR_TIMED_OUT`,
/// `WKS_ERR_PROTOCOL_UNSUPPORTED`, `WKS_ERR_STREAM_CLOSED`, `WKS_ERR_OTHER_CLUSTER`, the
/// `WKS_ERR_STORE_…`, `WKS_ERR_CURSOR_NOT_FOUND`, `WKS_ERR_MALFORMED`, `WKS_ERR_TRUNCATED`,
/// `WKS_ERR_FRAME_TOO_LARGE`, `WKS_ERR_INVALID_ARGUMENT` for a query that a peer does not take,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_store_query(
    node: wks_node,
    peer: wks_bytes,
    query: wks_query,
    page: *mut wks_page,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, page, |call| take(&block(|| store_query(call, node, peer, query))?))
}

/// Begins to read one page from a store peer: take it with `wks_op_take_page`.
///
/// Threads: any. Blocks: no. Owns: the peer's name is lent for the call; the operation is the
/// caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
/// `WKS_ERR_NULL_POINTER`; the operation's are those of `wks_node_store_query`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_store_query_async(
    node: wks_node,
    peer: wks_bytes,
    query: wks_query,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(store_query(call, node, peer, query)))
}

/// Begins a walk through a store peer's history: pull its pages with `wks_history_next`. The query's
/// limit is the size of a page.
///
/// Threads: any. Blocks: no. Owns: the peer's name is lent for the call; the walk is the caller's,
/// to free with `wks_history_free`. It does not keep the node running.
/// Errors: `WKS_ERR_ADDRESS`, `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`,
/// `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_history(
    node: wks_node,
    peer: wks_bytes,
    query: wks_query,
    history: *mut wks_history,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, history, |call| {
        let object = call.get(node)?;
        let query = call.get(query)?.query();
        let walk = object.node()?.history(borrow_str(peer, "peer")?, query)?;
        wks_history::publish(HistoryObject::of_peer(&object.runtime, walk))
    })
}

/// Syncs with a peer: finds the messages that one of the two lacks, and sends them. `options` may
/// be null. A sync that breaks down is an error; what it brought until then is stored.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the end. Owns: the peer's name and the
/// options are lent for the call; the report is the caller's, to free with `wks_report_free`.
/// `report` may be null.
/// Errors: `WKS_ERR_SYNC_PROTOCOL`, `WKS_ERR_SYNC_SCOPE`, `WKS_ERR_SYNC_BUSY`,
/// `WKS_ERR_PEER_UNKNOWN`, `WKS_ERR_ADDRESS`, `WKS_ERR_DIAL`, `WKS_ERR_TIMED_OUT`,
/// `WKS_ERR_PROTOCOL_UNSUPPORTED`, `WKS_ERR_STREAM_CLOSED`, `WKS_ERR_OTHER_CLUSTER`,
/// `WKS_ERR_UNSUPPORTED` where the node has Sync off or for fields of a newer header,
/// `WKS_ERR_INVALID_TIME_RANGE`, `WKS_ERR_INVALID_ARGUMENT`, the archive's errors,
/// `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_sync(
    node: wks_node,
    peer: wks_bytes,
    options: *const wks_sync_options,
    report: *mut wks_report,
    error: *mut wks_error,
) -> wks_status {
    guard::offer(error, report, |call| {
        let op = block(|| sync(call, node, peer, options))?;
        if report.is_null() { op.status().map(|()| wks_report { id: 0 }) } else { take(&op) }
    })
}

/// Begins a sync with a peer: take its report with `wks_op_take_report`. A cancel ends the sync.
///
/// Threads: any. Blocks: no. Owns: the peer's name and the options are lent for the call; the
/// operation is the caller's, to free with `wks_op_free`.
/// Errors: those of the arguments and `WKS_ERR_SHUTDOWN`, as for `wks_node_sync`; the operation's
/// are the others.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_sync_async(
    node: wks_node,
    peer: wks_bytes,
    options: *const wks_sync_options,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(sync(call, node, peer, options)))
}

/// Subscribes to what happens from now on: pull it with `wks_events_next`.
///
/// Threads: any. Blocks: no. Owns: the subscription is the caller's, to free with
/// `wks_events_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_events(
    node: wks_node,
    events: *mut wks_events,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, events, |call| {
        let object = call.get(node)?;
        wks_events::publish(EventsObject::new(&object.runtime, object.node()?.events()))
    })
}

/// Stops a node: ends its syncs and connections. Its archive stays open. A second time is fine. The
/// handle still has to be freed.
///
/// Threads: any but the dispatcher's. Blocks: yes, until it has stopped. Owns: nothing.
/// Errors: `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN` after a shutdown (which stopped it),
/// `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_stop(node: wks_node, error: *mut wks_error) -> wks_status {
    guard::run(error, |call| block(|| stop(call, node))?.status())
}

/// Begins to stop a node. The operation has no result: its status tells.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_stop_async(
    node: wks_node,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(stop(call, node)))
}

/// Frees a node. One that runs is stopped, in the background; operations on it go on until then.
/// The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle; lets go of the archive when it has stopped.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_free(node: wks_node) {
    guard::free(node, |_| {})
}
