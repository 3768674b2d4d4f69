//! The change feed: what the archive has committed, told to subscribers after the commit.
//!
//! Each subscriber has a bounded queue of its own. The writer never waits for one: what does not
//! fit is left out, and the subscriber is told how much, at the place where it is missing. Wakers
//! are called with no lock held.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::worker::{on_archive_thread, quietly};
use crate::error::{Result, bail};
use crate::types::{ContentTopic, Origin, PubsubTopic, StoredMessage, SyncId};

/// One message that was stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedItem {
    /// Timestamp and hash.
    pub id: SyncId,
    /// Where it was published.
    pub pubsub_topic: PubsubTopic,
    /// What it is filed under.
    pub content_topic: ContentTopic,
    /// Where it came from.
    pub origin: Origin,
}

impl FeedItem {
    pub(super) fn new(message: &StoredMessage, origin: Origin) -> Self {
        FeedItem {
            id: message.sync_id(),
            pubsub_topic: message.pubsub_topic.clone(),
            content_topic: message.message.content_topic.clone(),
            origin,
        }
    }
}

/// What a subscriber sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeedEvent {
    /// One commit's new messages, in the order of the commit; duplicates are not among them.
    Stored(Arc<[FeedItem]>),
    /// Messages that were removed in one commit, by retention or by hand. (Their origin is the one
    /// they were stored with.)
    Removed(Arc<[FeedItem]>),
    /// The subscriber was too slow: so many messages, stored or removed, were left out here.
    Lagged(u64),
}

/// A subscription, a bounded queue. A stream that ends when the archive is closed and the queue
/// is empty. It works under any executor, and without one by [`Feed::try_next`] and
/// [`Feed::wait`].
///
/// The queue holds as many messages as its capacity says; a commit that finds it empty is always
/// taken whole, however many messages it has.
pub struct Feed(Arc<Shared>);

/// What a commit did with its messages.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Stored,
    Removed,
}

struct Shared {
    state: Mutex<State>,
    /// For [`Feed::wait`].
    there: Condvar,
}

struct State {
    events: VecDeque<FeedEvent>,
    /// Messages in `events`.
    queued: usize,
    capacity: usize,
    ended: bool,
    waker: Option<Waker>,
}

impl Feed {
    /// The next event; `None` once the archive is closed and the queue is empty. Dropping the
    /// future loses no event.
    pub async fn next(&mut self) -> Option<FeedEvent> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<FeedEvent> {
        self.0.lock().pop()
    }

    /// Blocks this thread until there is an event, or `timeout` has passed; `None` once the
    /// archive is closed and the queue is empty. Not for async code.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TimedOut`]; [`crate::ErrorKind::WouldDeadlock`] where it would have to
    /// wait on one of an archive's own threads (in a waker).
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<FeedEvent>> {
        let begin = Instant::now();
        let mut state = self.0.lock();
        loop {
            if let Some(event) = state.pop() {
                return Ok(Some(event));
            }
            if state.ended {
                return Ok(None);
            }
            if on_archive_thread() {
                bail!(WouldDeadlock, "waiting for the feed on a thread of the archive");
            }
            let left = timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                bail!(TimedOut, "no event of the archive's feed within {timeout:?}");
            }
            state =
                self.0.there.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<FeedEvent>> {
        let mut state = self.0.lock();
        if let Some(event) = state.pop() {
            return Poll::Ready(Some(event));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        // Dropping a waker may run its owner's code: not under the lock.
        let former = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl futures::Stream for Feed {
    type Item = FeedEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<FeedEvent>> {
        self.get_mut().poll_event(cx)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then wakes whoever waits for it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.lock();
            change(&mut state);
            state.waker.take()
        };
        self.there.notify_all();
        if let Some(waker) = waker {
            quietly(|| waker.wake());
        }
    }
}

impl State {
    fn pop(&mut self) -> Option<FeedEvent> {
        let event = self.events.pop_front()?;
        if let FeedEvent::Stored(items) | FeedEvent::Removed(items) = &event {
            self.queued -= items.len();
        }
        Some(event)
    }

    fn push(&mut self, change: Change, items: &Arc<[FeedItem]>) {
        if self.queued == 0 || self.queued + items.len() <= self.capacity {
            self.queued += items.len();
            self.events.push_back(match change {
                Change::Stored => FeedEvent::Stored(items.clone()),
                Change::Removed => FeedEvent::Removed(items.clone()),
            });
        } else if let Some(FeedEvent::Lagged(n)) = self.events.back_mut() {
            *n += items.len() as u64;
        } else {
            self.events.push_back(FeedEvent::Lagged(items.len() as u64));
        }
    }
}

/// The subscribers of an archive.
#[derive(Default)]
pub(super) struct Feeds(Mutex<Subscribers>);

#[derive(Default)]
struct Subscribers {
    /// A feed that is dropped is forgotten at the next commit.
    list: Vec<Weak<Shared>>,
    ended: bool,
}

impl Feeds {
    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new subscriber, which has ended already where all have.
    pub(super) fn subscribe(&self, capacity: usize) -> Feed {
        let mut subscribers = self.lock();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                events: VecDeque::new(),
                queued: 0,
                capacity: capacity.max(1),
                ended: subscribers.ended,
                waker: None,
            }),
            there: Condvar::new(),
        });
        subscribers.list.retain(|feed| feed.strong_count() > 0);
        if !subscribers.ended {
            subscribers.list.push(Arc::downgrade(&shared));
        }
        Feed(shared)
    }

    /// Tells all of them of one commit. `items` is asked for only where somebody listens.
    pub(super) fn publish(&self, change: Change, items: impl FnOnce() -> Vec<FeedItem>) {
        let listening: Vec<Arc<Shared>> = {
            let mut subscribers = self.lock();
            subscribers.list.retain(|feed| feed.strong_count() > 0);
            subscribers.list.iter().filter_map(Weak::upgrade).collect()
        };
        if listening.is_empty() {
            return;
        }
        let items: Arc<[FeedItem]> = items().into();
        if items.is_empty() {
            return;
        }
        for feed in listening {
            feed.change(|state| state.push(change, &items));
        }
    }

    /// Ends them all, and those to come.
    pub(super) fn end(&self) {
        let list = {
            let mut subscribers = self.lock();
            subscribers.ended = true;
            std::mem::take(&mut subscribers.list)
        };
        for feed in list.iter().filter_map(Weak::upgrade) {
            feed.change(|state| state.ended = true);
        }
    }
}
