//! What a session may bring: ids that were announced, spans that were granted, within window,
//! scope and quota.
//!
//! A receiver hashes what comes by itself, so nothing can pass as what it is not: a message is
//! known by its hash and time, or lies in a granted span, or it was not asked for. Always: what is taken
//! stays within the quota, and what is remembered within three times as many hashes as may be
//! taken, whatever the peer announces or sends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::sabotage::{self, Bug};
use crate::types::{
    ContentTopic, MessageHash, PubsubTopic, StoredMessage, SyncId, TimeRange, Timestamp,
};
use crate::wire::reconciliation::Scope;

use super::spans::Spans;

/// What to do with a message that a peer sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Store it.
    Take,
    /// It may be announced yet: keep it in the bounded buffer.
    Early,
    /// Honest peers do this: drop it without penalty (a duplicate, out of scope or window).
    Drop,
    /// It was asked for, but the quota is spent: drop it. Our own limit, and no fault of the peer's.
    Full,
    /// Honest peers do not: drop it, and it costs the peer (never asked for, or of another time).
    Penalise,
}

/// What is known of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// Announced with this time, and not here.
    Expected(Timestamp),
    /// Here, and not announced so far.
    Early,
    /// It was taken, or dropped for good.
    Done,
}

/// The grants of one session.
#[derive(Debug)]
pub struct Grants {
    window: TimeRange,
    pubsub_topics: Vec<PubsubTopic>,
    content_topics: Vec<ContentTopic>,
    max_messages: usize,
    max_bytes: usize,
    messages: usize,
    bytes: usize,
    known: HashMap<MessageHash, Known>,
    expected: usize,
    early: usize,
    /// Announced beyond what is remembered, and not seen yet.
    unnamed: usize,
    spans: Spans,
    /// Spans of which the peer was told all that is held here, as the last word on them.
    listed: Spans,
    /// What came of them without having been announced: messages, and bytes.
    unlisted: (usize, usize),
    sealed: bool,
}

/// The most spans that are known to have been listed; more become one.
const MAX_LISTED: usize = 16 * 1024;

impl Grants {
    /// Nothing granted yet; at most `max_messages` and `max_bytes` will ever be taken.
    pub fn new(window: TimeRange, scope: Scope, max_messages: usize, max_bytes: usize) -> Self {
        let Scope { mut pubsub_topics, mut content_topics } = scope;
        pubsub_topics.sort_unstable();
        content_topics.sort_unstable();
        Grants {
            window,
            pubsub_topics,
            content_topics,
            max_messages,
            max_bytes,
            messages: 0,
            bytes: 0,
            known: HashMap::new(),
            expected: 0,
            early: 0,
            unnamed: 0,
            spans: Spans::default(),
            listed: Spans::default(),
            unlisted: (0, 0),
            sealed: false,
        }
    }

    /// This id was found missing. At most `max_messages` are remembered; of more, only how many.
    pub fn expect(&mut self, id: SyncId) {
        let room = self.expected + self.messages < self.max_messages && self.remembers_more();
        match self.known.entry(id.hash) {
            Entry::Vacant(new) if room => {
                new.insert(Known::Expected(id.timestamp));
                self.expected += 1;
            }
            Entry::Vacant(_) => self.unnamed += 1,
            Entry::Occupied(mut there) => match there.get() {
                Known::Early if room => {
                    there.insert(Known::Expected(id.timestamp));
                    self.early -= 1;
                    self.expected += 1;
                }
                Known::Early => self.unnamed += 1,
                Known::Expected(_) | Known::Done => {}
            },
        }
    }

    /// So many more were found missing than can be named.
    pub fn expect_unnamed(&mut self, count: usize) {
        self.unnamed += count;
    }

    /// All of `[lower, upper)` was asked for.
    pub fn grant(&mut self, lower: SyncId, upper: SyncId) {
        self.spans.insert(lower, upper);
    }

    /// The peer was told all ids that are held here of `[lower, upper)`, after it had told its own.
    /// What has reached it since then it finds missing in that list, and sends: with many peers
    /// and long ways that may be a lot, and none of it is its fault.
    pub fn list(&mut self, lower: SyncId, upper: SyncId) {
        self.listed.insert(lower, upper);
        if self.listed.len() > MAX_LISTED {
            self.listed.join();
        }
    }

    /// Nothing more will be announced: from now on nothing is early.
    pub fn seal(&mut self) {
        self.sealed = true;
    }

    /// Judges a message; what is taken is counted and no longer outstanding. `size` is of its
    /// frame, in bytes.
    ///
    /// What the node holds already is the caller's to drop first: concurrent sessions and relay
    /// bring one message more than once, and that is no fault of the peer's. A message that was
    /// found early is judged again, after more was announced or after [`Grants::seal`].
    ///
    /// - Announced with another time than it has: penalise, and it is no longer awaited.
    /// - Outside of window or scope: drop (a deployed peer whose filter is off pushes everything).
    /// - Taken before in this session, or early and waiting: drop, unless it has been announced
    ///   since, or the session is sealed; an early one that nobody announced is dropped then.
    /// - Announced, or in a granted span: take, within the quota; beyond it, full.
    /// - Neither, and not sealed: early, as many as the quota has room for; beyond it, penalise.
    /// - Neither, in a span that the peer has our list of, and sealed: drop, as many and as much as
    ///   the quota would have room for.
    /// - Neither, and sealed: penalise. No honest peer sends what differs from all it announced.
    ///   Where more was announced than is remembered, as many are full instead.
    pub fn judge(&mut self, message: &StoredMessage, size: usize) -> Verdict {
        let id = message.sync_id();
        let known = self.known.get(&id.hash).copied();
        if known == Some(Known::Done) {
            return Verdict::Drop;
        }
        if matches!(known, Some(Known::Expected(at)) if at != id.timestamp)
            && !sabotage::is(Bug::TimeUnchecked)
        {
            self.done(id.hash, known);
            return Verdict::Penalise;
        }
        if !self.window.contains(id.timestamp) || !self.in_scope(message) {
            // It will not get any better, so nobody needs to wait for it.
            if known.is_some() {
                self.done(id.hash, known);
            }
            return Verdict::Drop;
        }
        let asked = matches!(known, Some(Known::Expected(_))) || self.spans.contains(&id);
        let fits = self.messages < self.max_messages
            && self.bytes.checked_add(size).is_some_and(|bytes| bytes <= self.max_bytes);
        match known {
            _ if asked && !fits => {
                // A granted message that nobody named is not remembered: they may be many.
                if known.is_some() {
                    self.done(id.hash, known);
                }
                Verdict::Full
            }
            _ if asked => {
                self.messages += 1;
                self.bytes += size;
                self.done(id.hash, known);
                Verdict::Take
            }
            Some(Known::Early) if !self.sealed => Verdict::Early,
            Some(_) => {
                self.done(id.hash, known);
                Verdict::Drop
            }
            None if self.unnamed > 0 && self.sealed => {
                self.unnamed -= 1;
                Verdict::Full
            }
            None if self.sealed && self.listed.contains(&id) && self.tolerates(size) => {
                Verdict::Drop
            }
            None if self.sealed
                || !fits
                || self.messages + self.early >= self.max_messages
                || !self.remembers_more() =>
            {
                Verdict::Penalise
            }
            None => {
                self.known.insert(id.hash, Known::Early);
                self.early += 1;
                Verdict::Early
            }
        }
    }

    /// This message is here by another way: it is no longer awaited, and a duplicate if it comes.
    /// False where it was not announced.
    pub fn forget(&mut self, id: &SyncId) -> bool {
        let known = self.known.get(&id.hash).copied();
        let expected = matches!(known, Some(Known::Expected(_)));
        if expected {
            self.done(id.hash, known);
        }
        expected
    }

    /// Nothing below this time is wanted any more: what was announced of it is no longer awaited,
    /// and dropped where it comes.
    pub fn forget_below(&mut self, floor: Timestamp) {
        let expected = self.known.values_mut();
        for known in expected.filter(|k| matches!(k, Known::Expected(at) if *at < floor)) {
            *known = Known::Done;
            self.expected -= 1;
        }
    }

    /// How many hashes and spans are remembered.
    pub fn remembered(&self) -> usize {
        self.known.len() + self.spans.len()
    }

    /// Announced and not yet here.
    pub fn outstanding(&self) -> usize {
        self.expected + self.unnamed
    }

    /// Whether there is room for another hash beside those of granted messages, which the quota
    /// bounds. What came by another way or was out of scope is remembered without being taken.
    fn remembers_more(&self) -> bool {
        self.known.len() < self.max_messages.saturating_mul(2)
    }

    /// Whether a message of a listed span may come for nothing; it is counted then.
    fn tolerates(&mut self, size: usize) -> bool {
        let (messages, bytes) = self.unlisted;
        let (messages, bytes) = (messages.saturating_add(1), bytes.saturating_add(size));
        let may = messages <= self.max_messages && bytes <= self.max_bytes;
        if may {
            self.unlisted = (messages, bytes);
        }
        may
    }

    /// What has become of this hash is decided.
    fn done(&mut self, hash: MessageHash, was: Option<Known>) {
        match was {
            Some(Known::Expected(_)) => self.expected -= 1,
            Some(Known::Early) => self.early -= 1,
            Some(Known::Done) | None => {}
        }
        self.known.insert(hash, Known::Done);
    }

    fn in_scope(&self, message: &StoredMessage) -> bool {
        fn allows<T: Ord>(list: &[T], topic: &T) -> bool {
            list.is_empty() || list.binary_search(topic).is_ok()
        }
        allows(&self.pubsub_topics, &message.pubsub_topic)
            && allows(&self.content_topics, &message.message.content_topic)
    }
}

#[cfg(test)]
mod tests;
