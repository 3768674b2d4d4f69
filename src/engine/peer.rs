//! What is kept of a peer, across its sessions: messages that came before they were announced,
//! messages on their way into the archive, and what sessions that have ended may still bring.
//!
//! What must hold: all of it is bounded in bytes or in number, and all of it goes in time.

use std::collections::VecDeque;
use std::time::Duration;

use super::loading::Bucket;
use super::walk::Backoff;
use super::{PeerInfo, SessionId};
use crate::sync::grants::Grants;
use crate::types::{Origin, StoredMessage};

/// Sessions that have ended of which the grants are kept.
const MAX_ENDED: usize = 4;
/// The most messages in one batch for the archive.
const MAX_BATCH: usize = 1024;
/// The most bytes in one batch for the archive, unless a single message is larger.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Batches with the archive at once.
const MAX_STORES: usize = 2;

/// A message that came before it was announced.
#[derive(Debug)]
pub(super) struct EarlyMessage {
    pub(super) message: StoredMessage,
    /// Of its frame, with the length prefix.
    pub(super) size: usize,
    pub(super) came: Duration,
}

/// A message that is to be stored.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) message: StoredMessage,
    pub(super) size: usize,
    /// Whose figures it counts in, where that session still runs.
    pub(super) session: Option<SessionId>,
    /// Whether its id was announced; otherwise it came within a granted span.
    pub(super) announced: bool,
    /// What it is stored as.
    pub(super) origin: Origin,
}

/// A batch that the archive is asked to store.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) items: Vec<Taken>,
    pub(super) bytes: usize,
    /// Of all of them.
    pub(super) origin: Origin,
}

/// A session that has ended and may still bring something.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) grants: Grants,
    pub(super) since: Duration,
    pub(super) until: Duration,
    /// However much it still brings: what is kept for it must go soon.
    pub(super) at_most: Duration,
}

impl Ended {
    /// What it counts for in memory, in ids.
    pub(super) fn weight(&self) -> usize {
        self.grants.remembered()
    }
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) connected: bool,
    pub(super) info: PeerInfo,
    pub(super) sessions: Vec<SessionId>,
    pub(super) ended: VecDeque<Ended>,
    /// Transfer streams of sessions that have ended, which the peer had not closed by then.
    pub(super) unclosed: usize,
    /// Transfer streams that it closed while several sessions ran, of any of which they may be.
    pub(super) closes: usize,
    /// What was loaded because of it.
    pub(super) loads: Bucket,
    /// When a second comparison was last made because it asked for it.
    pub(super) second_at: Option<Duration>,
    /// When a session with it last ended.
    pub(super) last_session: Option<Duration>,
    pub(super) early: VecDeque<EarlyMessage>,
    pub(super) early_bytes: usize,
    incoming: VecDeque<Taken>,
    incoming_bytes: usize,
    /// Batches with the archive.
    stores: usize,
    storing_bytes: usize,
    /// For batches that the archive was too busy for.
    pub(super) backoff: Backoff,
}

impl Peer {
    /// A session has ended; `open` where it leaves a transfer stream that was not closed, as far as
    /// anybody can tell.
    pub(super) fn session_ended(&mut self, open: bool) {
        if self.closes > 0 {
            self.closes -= 1;
        } else {
            self.unclosed += usize::from(open);
        }
    }

    /// Bytes that wait for the archive.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.incoming_bytes + self.storing_bytes
    }

    /// Queues a message for the archive.
    pub(super) fn take(&mut self, taken: Taken) {
        self.incoming_bytes += taken.size;
        self.incoming.push_back(taken);
    }

    /// The next batch for the archive. What comes while batches are under way makes the next one
    /// larger, so no timer is needed to fill them.
    pub(super) fn next_batch(&mut self, now: Duration) -> Option<Batch> {
        let may = self.backoff.may_try(now);
        if !may || self.incoming.is_empty() || self.stores >= MAX_STORES {
            return None;
        }
        let (mut items, mut bytes) = (Vec::new(), 0);
        let origin = self.incoming.front()?.origin;
        while let Some(next) = self.incoming.front() {
            let full = items.len() >= MAX_BATCH || bytes + next.size > MAX_BATCH_BYTES;
            if (full || next.origin != origin) && !items.is_empty() {
                break;
            }
            bytes += next.size;
            items.extend(self.incoming.pop_front());
        }
        self.incoming_bytes -= bytes;
        self.storing_bytes += bytes;
        self.stores += 1;
        Some(Batch { items, bytes, origin })
    }

    /// A batch is no longer with the archive.
    pub(super) fn batch_ended(&mut self, bytes: usize) {
        self.storing_bytes -= bytes;
        self.stores -= 1;
    }

    /// A batch is to be stored again, before all others.
    pub(super) fn put_back(&mut self, batch: Batch) {
        self.incoming_bytes += batch.bytes;
        for taken in batch.items.into_iter().rev() {
            self.incoming.push_front(taken);
        }
    }

    /// Gives up on what waits for the archive.
    pub(super) fn drop_incoming(&mut self) -> VecDeque<Taken> {
        self.incoming_bytes = 0;
        std::mem::take(&mut self.incoming)
    }

    /// Keeps an early message.
    pub(super) fn keep_early(&mut self, early: EarlyMessage) {
        self.early_bytes += early.size;
        self.early.push_back(early);
    }

    /// Takes out all early messages, to be judged again.
    pub(super) fn drain_early(&mut self) -> VecDeque<EarlyMessage> {
        self.early_bytes = 0;
        std::mem::take(&mut self.early)
    }

    /// Keeps the grants of a session that has ended; the oldest go where there are too many.
    pub(super) fn keep_ended(&mut self, ended: Ended) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(ended);
    }

    /// Whether nothing of it is worth keeping.
    pub(super) fn is_idle(&self) -> bool {
        !self.connected
            && self.sessions.is_empty()
            && self.ended.is_empty()
            && self.early.is_empty()
            && self.incoming.is_empty()
            && self.stores == 0
    }
}
