//! What a node tells while it runs.
//!
//! A bounded queue that all readers share: the node never waits for a reader, and one that is too
//! slow is told how many events it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use super::NodeSyncReport;
use super::sync_input::Report;
use crate::archive::{Feed, FeedEvent, FeedItem};
use crate::engine::{SyncProgress, SyncProtocol, SyncReason};
use crate::types::TimeRange;

/// How many events a reader may be behind.
const CAPACITY: usize = 8192;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A peer's first connection stands, and it is not of another cluster.
    PeerConnected {
        /// Who.
        peer_id: String,
    },
    /// Its last connection is gone.
    PeerDisconnected {
        /// Who.
        peer_id: String,
    },
    /// A message was stored by the archive (whoever put it there).
    MessageStored(FeedItem),
    /// A sync has begun, by either side, and what it compares is known (of one that the peer began
    /// that is so when its first frame has come; one that ends before is told of by its end alone).
    SyncStarted(SyncStarted),
    /// A sync goes on; at most a few times a second for each. Only between its beginning and end.
    SyncProgress {
        /// Which one: the number in [`SyncStarted::session`].
        session: u64,
        /// With whom.
        peer_id: String,
        /// How far it is.
        progress: SyncProgress,
    },
    /// A sync has ended, begun by either side, well or not.
    SyncFinished(NodeSyncReport),
    /// A peer is connected again, or for the first time: see [`super::Node::online`].
    Online,
    /// No peer has been connected for the grace that is configured, while the node looks for some:
    /// it has bootstrap peers, targets, or the app dialled somebody. It goes on dialling.
    Offline,
    /// A file of the node's own (its state, or its book of peers) could not be used and was moved
    /// aside (`.bad` is put behind its name); the node goes on without what was in it. Told to the
    /// first that reads the events, also where it began to read after the start.
    StateSetAside {
        /// The file, as it was called.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The reader was too slow: so many events were left out here.
    Lagged(u64),
}

/// A sync that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncStarted {
    /// Its number, which no other sync of this node has while it runs: [`super::Node::cancel_sync`]
    /// takes it.
    pub session: u64,
    /// With whom.
    pub peer_id: String,
    /// Whether this node began it.
    pub initiator: bool,
    /// Why.
    pub reason: SyncReason,
    /// The span that is compared.
    pub window: TimeRange,
    /// How it begins to compare. (Where the peer turns out not to speak this, the session falls
    /// back; its report tells how it compared in the end.)
    pub protocol: SyncProtocol,
}

/// A subscription to a node's events.
pub struct Events {
    queue: broadcast::Receiver<NodeEvent>,
    /// What was to be told before anybody read.
    early: VecDeque<NodeEvent>,
}

impl Events {
    /// The next event; `None` once the node has stopped and the queue is empty. Dropping the
    /// future loses no event.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        if let Some(early) = self.early.pop_front() {
            return Some(early);
        }
        match self.queue.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(NodeEvent::Lagged(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<NodeEvent> {
        if let Some(early) = self.early.pop_front() {
            return Some(early);
        }
        match self.queue.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Lagged(missed)) => Some(NodeEvent::Lagged(missed)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

/// The writing end.
pub(super) struct Hub {
    sender: Mutex<Option<broadcast::Sender<NodeEvent>>>,
    /// For whoever reads first.
    early: Mutex<VecDeque<NodeEvent>>,
}

impl Hub {
    pub(super) fn new() -> Self {
        let sender = Mutex::new(Some(broadcast::Sender::new(CAPACITY)));
        Hub { sender, early: Mutex::default() }
    }

    /// Tells the first that reads, now or later. For the few things that a start has to say.
    pub(super) fn send_early(&self, event: NodeEvent) {
        self.early.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }

    /// A reader of what happens from now on; after [`Hub::close`], of nothing.
    pub(super) fn subscribe(&self) -> Events {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = match sender.as_ref() {
            Some(sender) => sender.subscribe(),
            None => broadcast::Sender::new(1).subscribe(),
        };
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        Events { queue, early: std::mem::take(&mut early) }
    }

    pub(super) fn send(&self, event: NodeEvent) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = sender.as_ref() {
            // It fails where nobody reads, which is fine.
            let _ = sender.send(event);
        }
    }

    fn has_readers(&self) -> bool {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().is_some_and(|s| s.receiver_count() > 0)
    }

    /// No more events: readers come to their end.
    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A sync that has ended.
pub(super) struct Ended {
    pub(super) report: NodeSyncReport,
    /// Who waits for it.
    pub(super) caller: Option<Report>,
}

/// Tells what the archive stores and which syncs have ended, until neither can say any more.
///
/// A commit is told to the feed before those who put are answered, and a sync ends after all that
/// it put was answered. So what a sync stored is in the feed when its end comes here: it is told
/// first, then the end, then the caller has his report. `capacity` is the feed's.
pub(super) async fn forward(
    mut feed: Feed,
    capacity: usize,
    mut ended: mpsc::UnboundedReceiver<Ended>,
    hub: Arc<Hub>,
) {
    let (mut feeding, mut syncing) = (true, true);
    while feeding || syncing {
        tokio::select! {
            event = feed.next(), if feeding => match event {
                Some(event) => tell(event, &hub).await,
                None => feeding = false,
            },
            end = ended.recv(), if syncing => match end {
                Some(Ended { report, caller }) => {
                    // As many events as the feed can have held when this came (one commit may be
                    // beyond its capacity, and one event says that something was left out).
                    for _ in 0..capacity + 2 {
                        let Some(event) = feed.try_next() else { break };
                        tell(event, &hub).await;
                    }
                    hub.send(NodeEvent::SyncFinished(report.clone()));
                    if let Some(caller) = caller {
                        let _ = caller.send(match &report.report.error {
                            Some(e) => Err(e.clone()),
                            None => Ok(report),
                        });
                    }
                }
                None => syncing = false,
            },
        }
    }
}

async fn tell(event: FeedEvent, hub: &Hub) {
    if !hub.has_readers() {
        return;
    }
    match event {
        FeedEvent::Stored(items) => {
            for items in items.chunks(CAPACITY / 8) {
                for item in items {
                    hub.send(NodeEvent::MessageStored(item.clone()));
                }
                // Readers get their turn within a large commit.
                tokio::task::yield_now().await;
            }
        }
        FeedEvent::Removed(_) | FeedEvent::Expired(_) => {}
        FeedEvent::Lagged { missed, .. } => hub.send(NodeEvent::Lagged(missed)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn connected(n: usize) -> NodeEvent {
        NodeEvent::PeerConnected { peer_id: n.to_string() }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let hub = Hub::new();
        let mut events = hub.subscribe();
        for n in 0..CAPACITY + 5 {
            hub.send(connected(n));
        }
        hub.close();
        assert_eq!(events.next().await, Some(NodeEvent::Lagged(5)));
        assert_eq!(events.next().await, Some(connected(5)));
        let mut rest = 0;
        while events.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, CAPACITY - 1);
        assert_eq!(hub.subscribe().next().await, None);
    }
}
