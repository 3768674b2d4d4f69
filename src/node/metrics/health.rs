//! Whether a node does its work: for a person, an app's status line, or a probe.

use std::time::Duration;

use super::super::shared::Shared;
use super::look::{Look, look};
use crate::archive::ArchiveState;
use crate::engine::Agreement;
use crate::error::Error;
use crate::types::Timestamp;

/// A sync that ended well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastSync {
    /// When it ended.
    pub at: Timestamp,
    /// With whom.
    pub peer_id: String,
    /// Whether both sides held the same then.
    pub agreement: Agreement,
    /// Messages that it brought.
    pub received: u64,
    /// Messages that it sent.
    pub sent: u64,
    /// Messages that the peer announced and that were not here at its end.
    pub outstanding: u64,
}

/// What waits, and for what. All are bounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueDepths {
    /// Puts that wait for their commit.
    pub archive_puts: u64,
    /// What their messages count for in bytes.
    pub archive_put_bytes: u64,
    /// Questions that wait for a reader of the archive.
    pub archive_reads: u64,
    /// Commands that wait for the task of the connections.
    pub commands: u64,
    /// Streams that peers have open to the node.
    pub streams: u64,
    /// Store requests of peers that are being answered.
    pub store_answering: u64,
    /// Store requests of ours on their way.
    pub store_asking: u64,
    /// Bytes of messages that came over relay and wait for the archive.
    pub relay_bytes: u64,
    /// Bytes of messages that came by syncs and wait for the archive.
    pub sync_bytes: u64,
}

/// How a node is. See [`super::super::Node::health`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// Whether the node runs; false once it was stopped.
    pub running: bool,
    /// Peers that are connected.
    pub peers: u64,
    /// Of them, those that speak Store.
    pub store_peers: u64,
    /// Of them, those that speak reconciliation 1.0.0.
    pub reconciliation_peers: u64,
    /// Of them, those that speak wakustore's own sync protocol.
    pub strong_peers: u64,
    /// Of them, those that speak relay.
    pub relay_peers: u64,
    /// Syncs that run now.
    pub syncs: u64,
    /// Whether the sync index stands; until then syncs wait. False too for a node that does not
    /// sync.
    pub sync_ready: bool,
    /// The last sync that ended well, in this run.
    pub last_sync: Option<LastSync>,
    /// The timestamp of the newest message that is stored.
    pub newest: Option<Timestamp>,
    /// The timestamp of the oldest.
    pub oldest: Option<Timestamp>,
    /// How many messages are stored; `None` where the archive did not tell in time.
    pub messages: Option<u64>,
    /// Up to where some peer agrees with this node on what there is (see
    /// [`super::super::Node::coverage`]); also of the last run.
    pub agreed_until: Option<Timestamp>,
    /// How far that lies behind now. `None` where nobody agreed on anything yet.
    pub behind: Option<Duration>,
    /// Spans of time for which the node was not online and that no sync has filled yet.
    pub gaps: u64,
    /// How long they are together.
    pub gap: Duration,
    /// Where the first of them begins.
    pub gap_start: Option<Timestamp>,
    /// Whether the archive can do its work.
    pub archive: ArchiveState,
    /// What is wrong with it, where something is.
    pub archive_error: Option<Error>,
    /// What waits.
    pub queues: QueueDepths,
}

pub(in super::super) async fn health(shared: &Shared) -> Health {
    of(shared, &look(shared).await)
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    let nanos = i128::from(to.nanos()) - i128::from(from.nanos());
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

fn of(shared: &Shared, seen: &Look) -> Health {
    let swarm = seen.swarm.clone().unwrap_or_default();
    let sync = seen.sync.as_ref();
    let unfilled = sync.map_or(&[][..], |sync| &sync.unfilled);
    let long = unfilled.iter().map(|span| between(span.start(), span.end()));
    Health {
        running: seen.running,
        peers: swarm.peers as u64,
        store_peers: swarm.store.all() as u64,
        reconciliation_peers: swarm.reconciliation.all() as u64,
        strong_peers: swarm.strong.all() as u64,
        relay_peers: swarm.relay.all() as u64,
        syncs: sync.map_or(0, |sync| sync.usage.sessions as u64),
        sync_ready: sync.is_some_and(|sync| sync.ready),
        last_sync: shared.counters.last_sync(),
        newest: seen.stats.and_then(|stats| stats.newest),
        oldest: seen.stats.and_then(|stats| stats.oldest),
        messages: seen.stats.map(|stats| stats.messages),
        agreed_until: seen.agreed_until,
        behind: seen.agreed_until.map(|until| between(until, seen.now)),
        gaps: unfilled.len() as u64,
        gap: long.fold(Duration::ZERO, Duration::saturating_add),
        gap_start: unfilled.first().map(|span| span.start()),
        archive: seen.usage.state,
        archive_error: seen.usage.trouble.clone(),
        queues: queues(seen),
    }
}

/// What waits.
pub(super) fn queues(seen: &Look) -> QueueDepths {
    let swarm = seen.swarm.clone().unwrap_or_default();
    let usage = seen.sync.as_ref().map(|sync| sync.usage).unwrap_or_default();
    QueueDepths {
        archive_puts: seen.usage.waiting_puts as u64,
        archive_put_bytes: seen.usage.waiting_bytes as u64,
        archive_reads: seen.usage.waiting_reads as u64,
        commands: seen.commands as u64,
        streams: swarm.streams as u64,
        store_answering: swarm.answering as u64,
        store_asking: seen.asking as u64,
        relay_bytes: swarm.relay_waiting as u64 * 1024,
        sync_bytes: (usage.waiting_bytes + usage.early_bytes) as u64,
    }
}
