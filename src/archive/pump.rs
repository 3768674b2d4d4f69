//! How the writer's thread feeds the subscribers: its own commits at once, what others wrote by
//! looking now and then.
//!
//! What must hold: while anybody is subscribed, the log is published in its order, each change
//! once; a commit of our own is published before it is acknowledged, and what others committed
//! before it, before it. With no subscribers, or on a backend that nobody else can write to,
//! nothing is looked at and nobody wakes up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::feed::{Feed, FeedEvent, FeedItem};
use super::pending::Reply;
use super::worker::{Desk, Shared, answer};
use super::{Change, Commit, Position};
use crate::error::{ErrorKind, Result};
use crate::types::Timestamp;

/// When what went wrong is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// Changes that are read in one go: some milliseconds, which puts have to wait.
const PART: usize = 1_024;

/// Somebody who subscribes from a position on.
pub(super) struct Join {
    pub(super) from: Position,
    pub(super) capacity: usize,
    pub(super) reply: Reply<Feed>,
}

/// What a commit of our own did with its messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    Store,
    Remove,
}

/// The writer's part in the feed.
pub(super) struct Pump {
    /// How often is looked for what others wrote, where they can.
    look_every: Option<Duration>,
    /// When to look next.
    next: Option<Instant>,
    /// The driver, and its mark, when all was read.
    seen: Option<(u64, u64)>,
}

impl Pump {
    pub(super) fn new(look_every: Option<Duration>) -> Self {
        Pump { look_every, next: None, seen: None }
    }

    /// Others may have written while nobody looked.
    pub(super) fn look_again(&mut self) {
        (self.next, self.seen) = (Some(Instant::now()), None);
    }

    /// When is looked again after now.
    fn later(&self) -> Option<Instant> {
        self.look_every.map(|every| Instant::now() + every)
    }

    /// How long the writer may sleep; `None` for as long as it likes.
    pub(super) fn patience(&self, shared: &Shared) -> Option<Duration> {
        let next = self.next.filter(|_| shared.feeds.is_heard())?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Before anything is committed: where somebody has subscribed, the log is followed from now.
    pub(super) fn begin(&mut self, shared: &Shared, desk: &mut Desk) {
        if !shared.feeds.is_heard() {
            *self = Pump::new(self.look_every);
        } else if shared.feeds.published().is_none() && self.is_due() {
            // Those who subscribed without a position are told of our own commits all the same.
            let _ = self.follow(shared, desk);
        }
    }

    fn follow(&mut self, shared: &Shared, desk: &mut Desk) -> Result<()> {
        // The mark first: what comes between is then looked at twice, not never.
        let mark = desk.run(|driver| driver.foreign_mark());
        match desk.run(|driver| driver.position()) {
            Ok(position) => {
                shared.feeds.follow(position);
                self.seen = mark.clone().ok().flatten().map(|mark| (desk.generation(), mark));
                self.next = self.later().filter(|_| mark != Ok(None));
                Ok(())
            }
            Err(e) => {
                // Where there is no log, there never will be.
                let again = e.kind() != ErrorKind::Unsupported;
                self.next = again.then(|| Instant::now() + RETRY);
                Err(e)
            }
        }
    }

    /// Whether it is time to look; also where it never was.
    fn is_due(&self) -> bool {
        self.next.is_none_or(|next| next <= Instant::now())
    }

    /// Somebody subscribes from a position on. Readers read what lies behind, and answer.
    pub(super) fn join(&mut self, shared: &Arc<Shared>, desk: &mut Desk, join: Join) {
        let Join { from, capacity, reply } = join;
        let feed = shared.feeds.join(Arc::downgrade(shared), capacity, from);
        // It counts as a subscriber from here on: so the log stays followed.
        if shared.feeds.published().is_none()
            && let Err(e) = self.follow(shared, desk)
        {
            return answer(reply, Err(e));
        }
        let read = Box::new(move |desk: &mut Desk| {
            let read = feed.0.read(desk);
            answer(reply, read.map(|()| feed));
        });
        // Where the archive is being closed, the answer says so.
        let _ = shared.queue.push_read_on(read);
    }

    /// Publishes a commit of our own, of these messages.
    pub(super) fn committed(
        &mut self,
        shared: &Shared,
        desk: &mut Desk,
        did: Did,
        items: impl FnOnce() -> Vec<FeedItem>,
    ) {
        let commit = desk.run(|driver| Ok(driver.last_commit())).ok().flatten();
        if !shared.feeds.is_heard() {
            // Whoever comes before the horizon has passed it reads it in the log.
            if let Some(Commit { at, settled: false, .. }) = commit {
                shared.feeds.pass(at);
            }
            return;
        }
        let (at, settled) = match commit {
            Some(Commit { before, at, settled: true }) => {
                if !self.catch_up(shared, desk, before, at) {
                    return;
                }
                (Some(at), true)
            }
            Some(Commit { at, .. }) => (Some(at), false),
            None => (None, false),
        };
        let items: Arc<[FeedItem]> = items().into();
        if !items.is_empty() {
            let event = match did {
                Did::Store => FeedEvent::Stored(items),
                Did::Remove => FeedEvent::Removed(items),
            };
            shared.feeds.publish(event, at, settled);
        }
    }

    /// Publishes what others committed before a commit of our own. Whether that is still to be
    /// published then: where others came before, the log tells of both.
    fn catch_up(
        &mut self,
        shared: &Shared,
        desk: &mut Desk,
        before: Position,
        at: Position,
    ) -> bool {
        let Some(mut published) = shared.feeds.published() else {
            // Somebody has subscribed during the commit.
            shared.feeds.follow(before);
            self.next = Some(Instant::now());
            return true;
        };
        if published == before {
            return true;
        }
        while published < at {
            if read_part(shared, desk).is_err() {
                // It is tried again soon; our own commit is then told with the rest.
                self.seen = None;
                self.next = Some(Instant::now() + RETRY);
                return false;
            }
            match shared.feeds.published() {
                Some(further) if further > published => published = further,
                _ => return false,
            }
        }
        false
    }

    /// Looks for what others wrote, if it is time to.
    pub(super) fn look(&mut self, shared: &Shared, desk: &mut Desk) {
        let due = self.next.is_some_and(|next| next <= Instant::now());
        if !due || shared.feeds.published().is_none() {
            return;
        }
        let later = self.later();
        let mark = desk.run(|driver| driver.foreign_mark());
        let seen = mark.clone().ok().flatten().map(|mark| (desk.generation(), mark));
        if seen.is_some() && seen == self.seen {
            self.next = later;
            return;
        }
        self.next = match read_part(shared, desk) {
            // The next part after what waits to be put.
            Ok(true) => Some(Instant::now()),
            Ok(false) => {
                self.seen = seen;
                later.filter(|_| mark != Ok(None))
            }
            Err(_) => Some(Instant::now() + RETRY),
        };
    }
}

/// Publishes the next part of the log. Whether there is more.
fn read_part(shared: &Shared, desk: &mut Desk) -> Result<bool> {
    let Some(published) = shared.feeds.published() else { return Ok(false) };
    match desk.run(|driver| driver.changes(published, PART)) {
        Ok(part) => {
            let more = part.more;
            for entry in &part.entries {
                if let Change::Expired(id) = &entry.change {
                    shared.floor.raise(Timestamp(id.timestamp.nanos().saturating_add(1)));
                }
            }
            shared.feeds.publish_log(part);
            Ok(more)
        }
        Err(e) if e.kind() == ErrorKind::PositionGone => {
            let position = desk.run(|driver| driver.position())?;
            shared.feeds.lose(position);
            Ok(false)
        }
        Err(e) => Err(e),
    }
}
