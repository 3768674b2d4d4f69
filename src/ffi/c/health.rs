//! A node and an archive seen from outside: metrics and health.

use bytes::Bytes;

use super::archive::wks_archive;
use super::bytes::wks_buffer;
use super::error::wks_error;
use super::guard::{self, Call};
use super::memory::Record;
use super::node::{with_node, wks_node};
use super::op::{self, block, publish, take, take_record, wks_op};
use super::status::wks_status;
use super::sync_terms::{agreement_number, wks_sync_agreement};
use crate::archive::ArchiveState;
use crate::error::Result;
use crate::node::{self, Health};
use crate::runtime::Op;
use crate::types::Timestamp;

/// Whether an archive can do its work: a `WKS_ARCHIVE_…`.
pub type wks_archive_state = i32;
/// It reads, and the last commit went well, or there was none yet.
pub const WKS_ARCHIVE_WRITABLE: wks_archive_state = 0;
/// It was opened read-only.
pub const WKS_ARCHIVE_READ_ONLY: wks_archive_state = 1;
/// The last commit found no space on the disk. Reads go on.
pub const WKS_ARCHIVE_DISK_FULL: wks_archive_state = 2;
/// Its database cannot be reached; it is tried again by itself.
pub const WKS_ARCHIVE_UNAVAILABLE: wks_archive_state = 3;
/// The last commit failed of something else.
pub const WKS_ARCHIVE_FAILING: wks_archive_state = 4;
/// It was closed.
pub const WKS_ARCHIVE_CLOSED: wks_archive_state = 5;

/// How a node is. The caller allocates it and sets `struct_size`. What is not known is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_health {
    /// `sizeof(wks_health)`.
    pub struct_size: usize,
    /// Peers that are connected.
    pub peers: u64,
    /// Of them, those that speak Store.
    pub store_peers: u64,
    /// Of them, those that speak reconciliation 1.0.0.
    pub reconciliation_peers: u64,
    /// Of them, those that speak wakustore's own sync protocol.
    pub strong_peers: u64,
    /// Of them, those that take part in relay.
    pub relay_peers: u64,
    /// Syncs that run now.
    pub syncs: u64,
    /// When the last sync ended that ended well, in Unix nanoseconds; 0 where there was none.
    pub last_sync_at: i64,
    /// Messages that it brought.
    pub last_sync_received: u64,
    /// Messages that it sent.
    pub last_sync_sent: u64,
    /// Messages that the peer announced and that were not here at its end.
    pub last_sync_outstanding: u64,
    /// With whom, ended by a NUL.
    pub last_sync_peer: [u8; 64],
    /// Whether both sides held the same then: a `WKS_AGREEMENT_…`.
    pub last_sync_agreement: wks_sync_agreement,
    /// Whether the node runs: 1, or 0 once it was stopped.
    pub running: u8,
    /// Whether the sync index stands: until then, and in a node that does not sync, 0.
    pub sync_ready: u8,
    /// Messages that are stored.
    pub messages: u64,
    /// The timestamp of the newest of them.
    pub newest: i64,
    /// The timestamp of the oldest of them.
    pub oldest: i64,
    /// Up to where some peer agrees with this node on what there is, in Unix nanoseconds; 0 where
    /// nobody does yet.
    pub agreed_until: i64,
    /// How far that lies behind now, in nanoseconds; `UINT64_MAX` where nobody agrees yet.
    pub behind_ns: u64,
    /// Spans of time for which the node was not online and that no sync has filled yet.
    pub gaps: u64,
    /// How long they are together, in nanoseconds.
    pub gap_ns: u64,
    /// Where the first of them begins, in Unix nanoseconds.
    pub gap_start: i64,
    /// Whether the archive can do its work.
    pub archive: wks_archive_state,
    /// What is wrong with it; `WKS_OK` where nothing is.
    pub archive_error: i32,
    /// Puts that wait for their commit.
    pub archive_puts: u64,
    /// What their messages count for, in bytes.
    pub archive_put_bytes: u64,
    /// Questions that wait for a reader of the archive.
    pub archive_reads: u64,
    /// Commands that wait for the task of the connections.
    pub commands: u64,
    /// Streams that peers have open to the node.
    pub streams: u64,
    /// Store requests of peers that are being answered.
    pub store_answering: u64,
    /// Store requests of the node's own on their way.
    pub store_asking: u64,
    /// Bytes of messages that came over relay and wait for the archive.
    pub relay_bytes: u64,
    /// Bytes of messages that came by syncs and wait for the archive.
    pub sync_bytes: u64,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_health {
    const NAME: &'static str = "wks_health";
    const FIRST_SIZE: usize = size_of::<Self>();
}

fn nanos(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::nanos)
}

fn whole(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl From<Health> for wks_health {
    fn from(health: Health) -> Self {
        let last = health.last_sync;
        let figure = |of: fn(&node::LastSync) -> u64| last.as_ref().map_or(0, of);
        let mut last_sync_peer = [0; 64];
        if let Some(last) = &last {
            // A peer id is shorter; the last byte stays NUL.
            for (to, from) in last_sync_peer.iter_mut().take(63).zip(last.peer_id.bytes()) {
                *to = from;
            }
        }
        wks_health {
            struct_size: size_of::<wks_health>(),
            peers: health.peers,
            store_peers: health.store_peers,
            reconciliation_peers: health.reconciliation_peers,
            strong_peers: health.strong_peers,
            relay_peers: health.relay_peers,
            syncs: health.syncs,
            last_sync_at: nanos(last.as_ref().map(|last| last.at)),
            last_sync_received: figure(|last| last.received),
            last_sync_sent: figure(|last| last.sent),
            last_sync_outstanding: figure(|last| last.outstanding),
            last_sync_peer,
            last_sync_agreement: last.as_ref().map_or(0, |l| agreement_number(l.agreement)),
            running: u8::from(health.running),
            sync_ready: u8::from(health.sync_ready),
            messages: health.messages.unwrap_or(0),
            newest: nanos(health.newest),
            oldest: nanos(health.oldest),
            agreed_until: nanos(health.agreed_until),
            behind_ns: health.behind.map_or(u64::MAX, whole),
            gaps: health.gaps,
            gap_ns: whole(health.gap),
            gap_start: nanos(health.gap_start),
            archive: match health.archive {
                ArchiveState::Writable => WKS_ARCHIVE_WRITABLE,
                ArchiveState::ReadOnly => WKS_ARCHIVE_READ_ONLY,
                ArchiveState::DiskFull => WKS_ARCHIVE_DISK_FULL,
                ArchiveState::Unavailable => WKS_ARCHIVE_UNAVAILABLE,
                ArchiveState::Failing => WKS_ARCHIVE_FAILING,
                ArchiveState::Closed => WKS_ARCHIVE_CLOSED,
            },
            archive_error: health.archive_error.map_or(0, |e| e.kind() as i32),
            archive_puts: health.queues.archive_puts,
            archive_put_bytes: health.queues.archive_put_bytes,
            archive_reads: health.queues.archive_reads,
            commands: health.queues.commands,
            streams: health.queues.streams,
            store_answering: health.queues.store_answering,
            store_asking: health.queues.store_asking,
            relay_bytes: health.queues.relay_bytes,
            sync_bytes: health.queues.sync_bytes,
        }
    }
}

fn health(call: &mut Call, node: wks_node) -> Result<Op> {
    with_node(call, node, |o| async move { Ok(wks_health::from(o.node()?.health().await)) })
}

fn metrics(call: &mut Call, node: wks_node) -> Result<Op> {
    with_node(call, node, |o| async move { Ok(Bytes::from(o.node()?.metrics().await)) })
}

fn archive_metrics(call: &mut Call, archive: wks_archive) -> Result<Op> {
    let object = call.get(archive)?;
    let archive = object.archive()?.clone();
    op::start(
        object.runtime(),
        async move { Ok(Bytes::from(node::archive_metrics(&archive).await)) },
    )
}

/// How the node is: whether it syncs, how far it is behind, how its archive is, what waits. Set
/// `health->struct_size` first.
///
/// Threads: any but the dispatcher's. Blocks: shortly; two seconds at the most, after which what was
/// not told is 0. Owns: nothing.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`, `WKS_ERR_WOULD_DEADLOCK`,
/// `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_health(
    node: wks_node,
    health: *mut wks_health,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, health, |call| take_record(&block(|| self::health(call, node))?))
}

/// Starts to find out how the node is: take it with `wks_op_take_health`.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_node_health`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_health_async(
    node: wks_node,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(health(call, node)))
}

/// Takes a node's health. Set `health->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: as `wks_op_take_page`, and `WKS_ERR_INVALID_ARGUMENT` for a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_op_take_health(
    op: wks_op,
    health: *mut wks_health,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, health, |call| take_record(&*call.get(op)?))
}

/// The node's metrics and its archive's, in OpenMetrics' text form, which ends in `# EOF`: to be
/// served as `application/openmetrics-text; version=1.0.0; charset=utf-8`.
///
/// Threads: any but the dispatcher's. Blocks: shortly; two seconds at the most, after which what was
/// not told is left out. Owns: the text is the caller's, to free with `wks_buffer_free`.
/// Errors: `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_metrics(
    node: wks_node,
    text: *mut wks_buffer,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, text, |call| take(&block(|| metrics(call, node))?))
}

/// Starts to gather a node's metrics: take the text with `wks_op_take_buffer`.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_node_metrics`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_metrics_async(
    node: wks_node,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(metrics(call, node)))
}

/// The metrics of an archive that is used without a node, as `wks_node_metrics` gives them.
///
/// Threads: any but the dispatcher's. Blocks: shortly; two seconds at the most. Owns: the text is the
/// caller's, to free with `wks_buffer_free`.
/// Errors: as `wks_node_metrics`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_metrics(
    archive: wks_archive,
    text: *mut wks_buffer,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, text, |call| take(&block(|| archive_metrics(call, archive))?))
}

/// Starts to gather an archive's metrics: take the text with `wks_op_take_buffer`.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_archive_metrics`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_metrics_async(
    archive: wks_archive,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(archive_metrics(call, archive)))
}
