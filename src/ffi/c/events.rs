//! `wks_events`: what a node tells while it runs, pulled one by one.

use std::mem::offset_of;
use std::sync::Arc;

use super::bytes::wks_bytes;
use super::error::wks_error;
use super::guard::{self, Call};
use super::handle::{Handle, Output, handle};
use super::memory::Record;
use super::message::{number_of, wks_origin};
use super::op::{block, publish, take, wks_op};
use super::status::wks_status;
use super::sync::wks_report;
use super::sync_terms::{begun_number, protocol_number, wks_sync_begun, wks_sync_protocol};
use crate::error::{Result, bail};
use crate::node::{Events, NodeEvent};
use crate::runtime::{Op, Pull, Runtime, Source};

/// A subscription to a node's events, from the moment it was made. A bounded queue: a reader that
/// is too slow is told how many events it missed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_events {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_events, 16, EventsObject);

/// A subscription and the runtime that its ops run on.
pub(super) struct EventsObject {
    pull: Pull<Stream>,
    runtime: Arc<Runtime>,
}

impl EventsObject {
    pub(super) fn new(runtime: &Arc<Runtime>, events: Events) -> Self {
        EventsObject { pull: Pull::new(Stream(events)), runtime: Arc::clone(runtime) }
    }
}

struct Stream(Events);

impl Source for Stream {
    type Item = Option<NodeEvent>;

    async fn next(&mut self) -> Result<Option<NodeEvent>> {
        Ok(self.0.next().await)
    }
}

/// One event.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_event {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_event, 17, NodeEvent);

/// What happened: a `WKS_EVENT_…`. Ignore those that you do not know.
pub type wks_event_kind = i32;
/// A peer's first connection stands: `peer_id`.
pub const WKS_EVENT_PEER_CONNECTED: wks_event_kind = 1;
/// A peer's last connection is gone: `peer_id`.
pub const WKS_EVENT_PEER_DISCONNECTED: wks_event_kind = 2;
/// The archive has stored a message: `hash`, `timestamp`, `pubsub_topic`, `content_topic`, `origin`.
pub const WKS_EVENT_MESSAGE_STORED: wks_event_kind = 3;
/// A sync has ended, begun by either side: `peer_id`, `session`, and `wks_event_report`.
pub const WKS_EVENT_SYNC_FINISHED: wks_event_kind = 4;
/// The reader was too slow: `lagged` events were left out here.
pub const WKS_EVENT_LAGGED: wks_event_kind = 5;
/// A sync has begun, by either side, and what it compares is known: `peer_id`, `session`,
/// `initiator`, `begun`, `protocol`, `window_start`, `window_end`.
pub const WKS_EVENT_SYNC_STARTED: wks_event_kind = 6;
/// A sync goes on; at most a few times a second for each: `peer_id`, `session`, and
/// `wks_event_progress`.
pub const WKS_EVENT_SYNC_PROGRESS: wks_event_kind = 7;
/// A peer is connected again, or for the first time.
pub const WKS_EVENT_ONLINE: wks_event_kind = 9;
/// No peer has been connected for the grace, while the node looks for some. It goes on dialling.
pub const WKS_EVENT_OFFLINE: wks_event_kind = 10;
/// A file of the node's own could not be used and was moved aside (`.bad` is put behind its name); the
/// node goes on without what was in it: `path`, `why`. Told to the first that reads the events.
pub const WKS_EVENT_STATE_SET_ASIDE: wks_event_kind = 11;

/// What an event tells; what its kind does not name is zero. The caller allocates it and sets
/// `struct_size`; what it points to is the event's, and lives until `wks_event_free`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_event_info {
    /// `sizeof(wks_event_info)`.
    pub struct_size: usize,
    /// What happened.
    pub kind: wks_event_kind,
    /// Where the message came from.
    pub origin: wks_origin,
    /// The peer.
    pub peer_id: wks_bytes,
    /// The message's hash, 32 bytes.
    pub hash: *const u8,
    /// Where the message was published.
    pub pubsub_topic: wks_bytes,
    /// What the message is filed under.
    pub content_topic: wks_bytes,
    /// When the message was sent, in Unix nanoseconds.
    pub timestamp: i64,
    /// How many events were left out.
    pub lagged: u64,
    /// The sync's number, which no other of this node has while it runs: for
    /// `wks_node_cancel_sync`.
    pub session: u64,
    /// The beginning of the span that is compared, in Unix nanoseconds.
    pub window_start: i64,
    /// The first moment after it.
    pub window_end: i64,
    /// How the sync begins to compare; its report tells how it did in the end.
    pub protocol: wks_sync_protocol,
    /// Why the sync was begun.
    pub begun: wks_sync_begun,
    /// Whether we began the sync.
    pub initiator: u8,
    /// The file, as it was called.
    pub path: wks_bytes,
    /// What is wrong with it.
    pub why: wks_bytes,
}

// SAFETY: `repr(C)`, the size first, numbers and pointers.
unsafe impl Record for wks_event_info {
    const NAME: &'static str = "wks_event_info";
    const FIRST_SIZE: usize = offset_of!(Self, session);
}

impl wks_event_info {
    fn lend(event: &NodeEvent) -> Self {
        let mut out = wks_event_info {
            struct_size: size_of::<wks_event_info>(),
            kind: 0,
            origin: 0,
            peer_id: wks_bytes::NOTHING,
            hash: std::ptr::null(),
            pubsub_topic: wks_bytes::NOTHING,
            content_topic: wks_bytes::NOTHING,
            timestamp: 0,
            lagged: 0,
            session: 0,
            window_start: 0,
            window_end: 0,
            protocol: 0,
            begun: 0,
            initiator: 0,
            path: wks_bytes::NOTHING,
            why: wks_bytes::NOTHING,
        };
        match event {
            NodeEvent::PeerConnected { peer_id } => {
                out.kind = WKS_EVENT_PEER_CONNECTED;
                out.peer_id = wks_bytes::lend(peer_id.as_bytes());
            }
            NodeEvent::PeerDisconnected { peer_id } => {
                out.kind = WKS_EVENT_PEER_DISCONNECTED;
                out.peer_id = wks_bytes::lend(peer_id.as_bytes());
            }
            NodeEvent::MessageStored(item) => {
                out.kind = WKS_EVENT_MESSAGE_STORED;
                out.hash = item.id.hash.0.as_ptr();
                out.timestamp = item.id.timestamp.nanos();
                out.pubsub_topic = wks_bytes::lend(item.pubsub_topic.as_bytes());
                out.content_topic = wks_bytes::lend(item.content_topic.as_bytes());
                out.origin = number_of(item.origin);
            }
            NodeEvent::SyncFinished(report) => {
                out.kind = WKS_EVENT_SYNC_FINISHED;
                out.peer_id = wks_bytes::lend(report.peer_id.as_bytes());
                out.session = report.session;
            }
            NodeEvent::SyncStarted(started) => {
                out.kind = WKS_EVENT_SYNC_STARTED;
                out.peer_id = wks_bytes::lend(started.peer_id.as_bytes());
                out.session = started.session;
                out.window_start = started.window.start().nanos();
                out.window_end = started.window.end().nanos();
                out.protocol = protocol_number(started.protocol);
                out.begun = begun_number(started.reason);
                out.initiator = started.initiator.into();
            }
            NodeEvent::SyncProgress { session, peer_id, .. } => {
                out.kind = WKS_EVENT_SYNC_PROGRESS;
                out.peer_id = wks_bytes::lend(peer_id.as_bytes());
                out.session = *session;
            }
            NodeEvent::Online => out.kind = WKS_EVENT_ONLINE,
            NodeEvent::Offline => out.kind = WKS_EVENT_OFFLINE,
            NodeEvent::StateSetAside { path, why } => {
                out.kind = WKS_EVENT_STATE_SET_ASIDE;
                out.path = wks_bytes::lend(path.as_bytes());
                out.why = wks_bytes::lend(why.as_bytes());
            }
            NodeEvent::Lagged(missed) => {
                out.kind = WKS_EVENT_LAGGED;
                out.lagged = *missed;
            }
        }
        out
    }
}

fn next(call: &mut Call, events: wks_events) -> Result<Op> {
    let object = call.get(events)?;
    object.pull.next(&object.runtime)
}

/// Waits for the next event; the null handle once the node has stopped and all were given.
///
/// Threads: any but the dispatcher's. Blocks: yes, until something happens. Owns: the event is the
/// caller's, to free with `wks_event_free`.
/// Errors: `WKS_ERR_WOULD_DEADLOCK`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown,
/// `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_events_next(
    events: wks_events,
    event: *mut wks_event,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, event, |call| take(&block(|| next(call, events))?))
}

/// Starts to wait for the next event: take it with `wks_op_take_event`. A cancel loses no event:
/// the next call gives it.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_events_next_async(
    events: wks_events,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(next(call, events)))
}

/// Ends a subscription. Events that it gave stay. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_events_free(events: wks_events) {
    guard::free(events, |_| {})
}

/// What an event tells. Set `info->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `info` is the caller's; what it points to is the event's, and
/// lives until `wks_event_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_event_read(
    event: wks_event,
    info: *mut wks_event_info,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, info, |call| Ok(wks_event_info::lend(&*call.get(event)?)))
}

/// The report of a sync that has finished.
///
/// Threads: any. Blocks: no. Owns: the report is the caller's, to free with `wks_report_free`.
/// Errors: `WKS_ERR_NO_RESULT` for an event of another kind, `WKS_ERR_HANDLE`,
/// `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_event_report(
    event: wks_event,
    report: *mut wks_report,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, report, |call| match &*call.get(event)? {
        NodeEvent::SyncFinished(finished) => wks_report::publish(finished.clone()),
        _ => bail!(NoResult, "only the end of a sync has a report"),
    })
}

/// Frees an event and all that its info points to. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_event_free(event: wks_event) {
    guard::free(event, |_| {})
}
