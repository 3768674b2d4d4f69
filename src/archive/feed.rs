//! The change feed: what was committed, told to subscribers after the commit, live and from a
//! position on.
//!
//! Each subscriber has a bounded queue of its own. The writer never waits for one: what does not
//! fit is left out, and the subscriber is told how much, and from where to go on, at the place
//! where it is missing. What lies behind a subscriber is read for it as its queue empties. Wakers
//! are called with no lock held.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Position;
use super::feed_queue::FeedQueue;
use super::worker::on_archive_thread;
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
    /// What the feed tells of this message.
    pub fn new(message: &StoredMessage, origin: Origin) -> Self {
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
    /// New messages, in the order of the commits; duplicates are not among them. Of this archive's
    /// own commits, while the subscriber keeps up, one event is one commit.
    Stored(Arc<[FeedItem]>),
    /// Messages that were removed, by retention or by hand. (Their origin is the one they were
    /// stored with.)
    Removed(Arc<[FeedItem]>),
    /// Retention removed all messages up to this id, with it. So it is told of another archive on
    /// the same database, and of what lies behind; of this archive's own retention, live, as
    /// [`FeedEvent::Removed`].
    Expired(SyncId),
    /// The subscriber was too slow, or what it missed could not be read: something was left out
    /// here.
    Lagged {
        /// So many messages, stored or removed; 0 where it is not known.
        missed: u64,
        /// From here [`super::Archive::subscribe_from`] goes on with nothing left out; `None`
        /// where the backend keeps no log of its changes.
        from: Option<Position>,
    },
}

/// A subscription, a bounded queue. A stream that ends when the archive is closed and the queue
/// is empty. It works under any executor, and without one by [`Feed::try_next`] and
/// [`Feed::wait`].
///
/// The queue holds as many messages as its capacity says; a commit that finds it empty is always
/// taken whole, however many messages it has.
pub struct Feed(pub(super) Arc<FeedQueue>);

impl Feed {
    /// The next event; `None` once the archive is closed and the queue is empty. Dropping the
    /// future loses no event.
    pub async fn next(&mut self) -> Option<FeedEvent> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<FeedEvent> {
        let event = self.0.lock().pop();
        self.0.read_on();
        event
    }

    /// Blocks this thread until there is an event, or `timeout` has passed; `None` once the
    /// archive is closed and the queue is empty. Not for async code.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TimedOut`]; [`crate::ErrorKind::WouldDeadlock`] where it would have to
    /// wait on one of an archive's own threads (in a waker).
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<FeedEvent>> {
        let begin = Instant::now();
        loop {
            let event = self.try_next();
            let state = self.0.lock();
            if event.is_some() {
                return Ok(event);
            }
            if state.has_event() {
                continue;
            }
            if state.has_ended() {
                return Ok(None);
            }
            if on_archive_thread() {
                bail!(WouldDeadlock, "waiting for the feed on a thread of the archive");
            }
            let left = timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                bail!(TimedOut, "no event of the archive's feed within {timeout:?}");
            }
            self.0.wait(state, left);
        }
    }

    /// Where to go on from, by [`super::Archive::subscribe_from`], for what comes after the events
    /// that were handed out so far. After [`FeedEvent::Lagged`] it is before what was left out,
    /// until the next event is handed out.
    ///
    /// `None` where it is not known: before the archive's threads have taken note of a subscriber
    /// without a position, and where the backend keeps no log of its changes.
    ///
    /// Where several write to one database at once and their commits can overtake each other (not
    /// with SQLite), this archive's own commits are told before their place in the log is settled:
    /// who goes on from an earlier position is told of those again.
    pub fn position(&self) -> Option<Position> {
        self.0.lock().position()
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<FeedEvent>> {
        let event = self.try_next();
        let mut state = self.0.lock();
        // Between the two something may have come.
        if let Some(event) = event.or_else(|| state.pop()) {
            return Poll::Ready(Some(event));
        }
        if state.has_ended() {
            return Poll::Ready(None);
        }
        // Dropping a waker may run its owner's code: not under the lock.
        let former = state.replace_waker(cx.waker().clone());
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
