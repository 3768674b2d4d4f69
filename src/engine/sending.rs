//! The outgoing half of a session: ids to be sent, fetched in batches, encoded, and handed to the
//! host as the socket takes them.
//!
//! What must hold: at most `max_in_flight` bytes are with the host and not yet written, and no
//! question brings more than there is room for then, whatever the sizes of the messages (a single
//! frame may be larger); and no frame leaves that a deployed peer could not read.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::FetchId;
use super::walk::Backoff;
use crate::types::{MessageHash, StoredMessage, SyncId};
use crate::wire::transfer;

/// The most messages in one question to the archive.
const MAX_FETCH: usize = 256;
/// What each message of a question is reckoned with. Nobody knows the sizes before the answer, and
/// what was sent so far tells nothing of them: a peer may have seen to it that small ones come
/// first.
const LARGEST: usize = transfer::MAX_FRAME;

/// What became of a batch that was fetched.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// Ids that the archive no longer holds.
    pub(super) gone: Vec<SyncId>,
    /// Messages too large for the peer.
    pub(super) too_large: Vec<SyncId>,
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Sending {
    max_in_flight: usize,
    queue: VecDeque<SyncId>,
    fetch: Option<(FetchId, Vec<SyncId>)>,
    /// For questions that failed.
    pub(super) backoff: Backoff,
    ready: VecDeque<Bytes>,
    unsent: VecDeque<usize>,
    unsent_bytes: usize,
    /// The largest frame that the peer reads.
    pub(super) max_frame: usize,
    opened: bool,
    closed: bool,
    dead: bool,
    moved: Duration,
}

impl Sending {
    pub(super) fn new(max_in_flight: usize, now: Duration) -> Self {
        Sending {
            max_in_flight,
            queue: VecDeque::new(),
            fetch: None,
            backoff: Backoff::default(),
            ready: VecDeque::new(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            max_frame: transfer::MAX_DEPLOYED_FRAME,
            opened: false,
            closed: false,
            dead: false,
            moved: now,
        }
    }

    /// Queues ids, none of which was queued before.
    pub(super) fn queue(&mut self, ids: Vec<SyncId>) {
        if !self.dead {
            self.queue.extend(ids);
        }
    }

    /// The next question for the archive, if there is one and room for its answer.
    pub(super) fn next_fetch(&mut self, now: Duration, fetch: FetchId) -> Option<Vec<MessageHash>> {
        if !self.backoff.may_try(now) || self.unsent_bytes > self.max_in_flight / 2 {
            return None;
        }
        if !self.ready.is_empty() || self.fetch.is_some() || self.queue.is_empty() {
            return None;
        }
        let room = (self.max_in_flight - self.unsent_bytes) / LARGEST;
        let n = room.clamp(1, MAX_FETCH).min(self.queue.len());
        let ids: Vec<SyncId> = self.queue.drain(..n).collect();
        let hashes = ids.iter().map(|id| id.hash).collect();
        self.fetch = Some((fetch, ids));
        Some(hashes)
    }

    /// Whether this question is under way.
    pub(super) fn awaits(&self, fetch: FetchId) -> bool {
        self.fetch.as_ref().is_some_and(|(f, _)| *f == fetch)
    }

    /// The question under way has its answer.
    pub(super) fn fetched(&mut self, messages: Vec<StoredMessage>) -> Fetched {
        let mut outcome = Fetched::default();
        let Some((_, asked)) = self.fetch.take() else { return outcome };
        self.backoff.worked();
        let asked_hashes: HashSet<MessageHash> = asked.iter().map(|id| id.hash).collect();
        let mut came = HashSet::new();
        for message in messages {
            // Nothing but what was found missing goes out, whatever the archive says.
            if !asked_hashes.contains(&message.hash) || !came.insert(message.hash) {
                continue;
            }
            let frame = transfer::encode(&message.pubsub_topic, &message.message);
            if frame.len() > self.max_frame {
                outcome.too_large.push(message.sync_id());
            } else {
                self.ready.push_back(frame.into());
            }
        }
        outcome.gone = asked.into_iter().filter(|id| !came.contains(&id.hash)).collect();
        outcome
    }

    /// The question under way failed and will be asked again; gives for how long it has.
    pub(super) fn fetch_failed(&mut self, now: Duration) -> Duration {
        if let Some((_, ids)) = self.fetch.take() {
            for id in ids.into_iter().rev() {
                self.queue.push_front(id);
            }
        }
        self.backoff.failed(now)
    }

    /// The frames that there is room for now.
    pub(super) fn next_frames(&mut self, now: Duration) -> Vec<Bytes> {
        let mut frames = Vec::new();
        while let Some(frame) = self.ready.front() {
            let fits = self.unsent_bytes + frame.len() <= self.max_in_flight;
            if !fits && !self.unsent.is_empty() {
                break;
            }
            if self.unsent.is_empty() {
                self.moved = now;
            }
            self.unsent.push_back(frame.len());
            self.unsent_bytes += frame.len();
            frames.extend(self.ready.pop_front());
        }
        self.opened |= !frames.is_empty();
        frames
    }

    /// So many frames are written; gives the sizes of those.
    pub(super) fn sent(&mut self, now: Duration, frames: usize) -> Vec<usize> {
        let n = frames.min(self.unsent.len());
        let sizes: Vec<usize> = self.unsent.drain(..n).collect();
        self.unsent_bytes -= sizes.iter().sum::<usize>();
        if n > 0 {
            self.moved = now;
        }
        sizes
    }

    /// When the host last took something from our hands, while it has something.
    pub(super) fn stalled_since(&self) -> Option<Duration> {
        (!self.unsent.is_empty()).then_some(self.moved)
    }

    /// Whether all that was to be sent is with the host.
    pub(super) fn is_handed_over(&self) -> bool {
        self.queue.is_empty() && self.fetch.is_none() && self.ready.is_empty()
    }

    /// Whether all that was to be sent is written.
    pub(super) fn is_done(&self) -> bool {
        self.is_handed_over() && self.unsent.is_empty()
    }

    /// Whether the stream is to be closed now; says so once.
    pub(super) fn close(&mut self) -> bool {
        let close = self.opened && !self.closed && !self.dead;
        self.closed |= close;
        close
    }

    /// Gives up on all that was not sent; the stream, if any, is still to be closed.
    pub(super) fn abandon(&mut self) {
        self.queue = VecDeque::new();
        self.ready = VecDeque::new();
        self.fetch = None;
        self.unsent = VecDeque::new();
        self.unsent_bytes = 0;
        self.backoff.worked();
    }

    /// Whether [`Sending::broke`] was called.
    pub(super) fn is_broken(&self) -> bool {
        self.dead
    }

    /// The stream broke: nothing more is or will be sent.
    pub(super) fn broke(&mut self) {
        self.abandon();
        self.dead = true;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::types::{ContentTopic, PubsubTopic, Timestamp, WakuMessage};

    fn message(n: i64, size: usize) -> StoredMessage {
        let content = ContentTopic::new("/a/1/b/proto").unwrap();
        let message = WakuMessage::new(vec![0; size], content, Timestamp(n));
        StoredMessage::new(PubsubTopic::of_shard(1, 1), message)
    }

    /// Runs it dry against a host that writes one frame at a time, and gives the most bytes that
    /// were unsent at once and the largest question.
    fn run(sending: &mut Sending, all: &[StoredMessage]) -> (usize, usize) {
        let now = Duration::ZERO;
        let (mut most, mut largest) = (0, 0);
        while !sending.is_done() {
            if let Some(hashes) = sending.next_fetch(now, FetchId(1)) {
                largest = largest.max(hashes.len());
                let found = all.iter().filter(|m| hashes.contains(&m.hash)).cloned().collect();
                sending.fetched(found);
            }
            sending.next_frames(now);
            most = most.max(sending.unsent_bytes);
            sending.sent(now, 1);
        }
        (most, largest)
    }

    #[test]
    fn bytes_in_flight_are_bounded_and_batches_are_large() {
        let all: Vec<_> = (0..3000).map(|n| message(n, 500)).collect();
        let max = 4 << 20;
        let mut s = Sending::new(max, Duration::ZERO);
        s.queue(all.iter().map(StoredMessage::sync_id).collect());
        let (most, largest) = run(&mut s, &all);
        assert_eq!(largest, max / LARGEST, "one question for many");
        assert!(most <= max, "{most}");
    }

    /// Small messages first, then ones of the largest size.
    #[test]
    fn no_answer_is_larger_than_the_bound_whatever_came_before() {
        let large = transfer::MAX_DEPLOYED_FRAME - 200;
        let all: Vec<_> =
            (0..2000).map(|n| message(n, if n < 1500 { 10 } else { large })).collect();
        let max = 4 << 20;
        let mut s = Sending::new(max, Duration::ZERO);
        s.queue(all.iter().map(StoredMessage::sync_id).collect());
        let (now, mut most) = (Duration::ZERO, 0);
        while !s.is_done() {
            if let Some(hashes) = s.next_fetch(now, FetchId(1)) {
                let first = s.fetch.as_ref().unwrap().1[0].timestamp.nanos() as usize;
                let found = all[first..first + hashes.len()].to_vec();
                s.fetched(found);
            }
            let ready: usize = s.ready.iter().map(Bytes::len).sum();
            most = most.max(ready + s.unsent_bytes);
            s.next_frames(now);
            s.sent(now, 1);
        }
        assert!(most <= max && most > max / 2, "{most}");
    }

    #[test]
    fn a_frame_larger_than_the_bound_still_goes_alone() {
        let all = [message(1, 5000), message(2, 5000)];
        let mut s = Sending::new(1000, Duration::ZERO);
        s.queue(all.iter().map(StoredMessage::sync_id).collect());
        let (most, _) = run(&mut s, &all);
        assert!(most < 5200, "{most}");
    }

    #[test]
    fn what_is_gone_or_too_large_is_told_and_strangers_are_not_sent() {
        let (held, large) = (message(1, 10), message(2, transfer::MAX_DEPLOYED_FRAME));
        let (gone, stranger) = (message(3, 10), message(4, 10));
        let mut s = Sending::new(1 << 20, Duration::ZERO);
        s.queue([&held, &large, &gone].map(StoredMessage::sync_id).to_vec());
        s.next_fetch(Duration::ZERO, FetchId(1)).unwrap();
        let outcome = s.fetched(vec![held, large, stranger]);
        assert_eq!((outcome.too_large.len(), outcome.gone), (1, vec![gone.sync_id()]));
        assert_eq!(s.next_frames(Duration::ZERO).len(), 1);
        assert!(s.close() && !s.close(), "closed once");
    }
}
