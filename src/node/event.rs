//! What a node tells while it runs.

use super::NodeSyncReport;
use crate::archive::FeedItem;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A peer's first connection stands.
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
    /// A sync has ended, begun by either side.
    SyncFinished(NodeSyncReport),
    /// The reader was too slow: so many events were left out here.
    Lagged(u64),
}

/// A subscription to a node's events.
pub struct Events {}

impl Events {
    /// The next event; `None` once the node has stopped and the queue is empty. Dropping the
    /// future loses no event.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        todo!()
    }
}
