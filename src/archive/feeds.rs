//! The subscribers of an archive's change feed, and how far they were told.
//!
//! What must hold: while there are subscribers, everything in the log after `published` is still to
//! be published to all of them that are live, and nothing before it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::feed_queue::{FeedQueue, Publication};
use super::worker::Shared;
use super::{Changes, Feed, FeedEvent, Position};

/// The subscribers of an archive.
#[derive(Default)]
pub(super) struct Feeds(Mutex<Subscribers>);

#[derive(Default)]
struct Subscribers {
    /// A feed that is dropped is forgotten at the next commit.
    list: Vec<Weak<FeedQueue>>,
    /// What was published, where the log is followed: while somebody is subscribed.
    published: Option<Position>,
    /// The last commit of our own that was published ahead of the log.
    ahead: Option<Position>,
    ended: bool,
}

impl Subscribers {
    fn listening(&mut self) -> Vec<Arc<FeedQueue>> {
        self.list.retain(|feed| feed.strong_count() > 0);
        if self.list.is_empty() {
            self.published = None;
        }
        self.list.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Feeds {
    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new subscriber from now on, which has ended already where all have; and whether the log
    /// is not followed yet.
    pub(super) fn subscribe(&self, archive: Weak<Shared>, capacity: usize) -> (Feed, bool) {
        self.add(|state| FeedQueue::live(archive, capacity, state.published, state.ahead))
    }

    /// A new subscriber from a position on, for which [`FeedQueue::read`] is to be called. Where
    /// the log is not followed yet, that must be begun before.
    pub(super) fn join(&self, archive: Weak<Shared>, capacity: usize, from: Position) -> Feed {
        self.add(|state| FeedQueue::reading(archive, capacity, from, state.ahead)).0
    }

    fn add(&self, make: impl FnOnce(&Subscribers) -> Arc<FeedQueue>) -> (Feed, bool) {
        let mut subscribers = self.lock();
        subscribers.listening();
        let feed = make(&subscribers);
        if subscribers.ended {
            feed.end();
        } else {
            subscribers.list.push(Arc::downgrade(&feed));
        }
        (Feed(feed), subscribers.published.is_none())
    }

    /// Whether anybody listens.
    pub(super) fn is_heard(&self) -> bool {
        !self.lock().listening().is_empty()
    }

    /// How far the log was published, where it is followed.
    pub(super) fn published(&self) -> Option<Position> {
        self.lock().published
    }

    /// The log is followed from here.
    pub(super) fn follow(&self, from: Position) {
        let listening = {
            let mut subscribers = self.lock();
            subscribers.published = Some(from);
            subscribers.listening()
        };
        for feed in listening {
            feed.place(from);
        }
    }

    /// The log up to here cannot be read any more.
    pub(super) fn lose(&self, position: Position) {
        let listening = {
            let mut subscribers = self.lock();
            subscribers.published = Some(position);
            subscribers.listening()
        };
        for feed in listening {
            feed.lose(position);
        }
    }

    /// Tells all of them of one commit of our own. Where it is settled, all before it was published.
    pub(super) fn publish(&self, event: FeedEvent, at: Option<Position>, settled: bool) {
        let listening = {
            let mut subscribers = self.lock();
            if settled {
                subscribers.published = subscribers.published.max(at);
            } else {
                subscribers.ahead = subscribers.ahead.max(at);
            }
            subscribers.listening()
        };
        tell(&listening, &Publication::Commit { event, at, settled });
    }

    /// A commit of our own lies ahead of the log, and nobody was told.
    pub(super) fn pass(&self, at: Position) {
        let mut subscribers = self.lock();
        subscribers.ahead = subscribers.ahead.max(Some(at));
    }

    /// Tells all of them of the next part of the log.
    pub(super) fn publish_log(&self, part: Changes) {
        let listening = {
            let mut subscribers = self.lock();
            subscribers.published = subscribers.published.max(Some(part.next));
            subscribers.listening()
        };
        tell(&listening, &Publication::Log(part.entries.into(), part.next));
    }

    /// Ends them all, and those to come.
    pub(super) fn end(&self) {
        let list = {
            let mut subscribers = self.lock();
            subscribers.ended = true;
            std::mem::take(&mut subscribers.list)
        };
        for feed in list.iter().filter_map(Weak::upgrade) {
            feed.end();
        }
    }
}

fn tell(listening: &[Arc<FeedQueue>], publication: &Publication) {
    for feed in listening {
        feed.publish(publication);
    }
}
