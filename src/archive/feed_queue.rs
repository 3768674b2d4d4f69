//! The queue of one subscriber of the change feed, and how it comes from the past into the present.
//!
//! A subscriber that goes on from a position is *behind*: readers read the log for it, a part at a
//! time, as its queue empties, so that it cannot lag. While such a read is under way, what is
//! published is kept beside it: the read sees everything that was published before it began, so
//! that a read which comes to the end of the log, and then what was kept and lies after that end,
//! leave no gap. What was kept and does not fit is let go: then the subscriber stays behind, and
//! reads that too.
//!
//! What must hold: each change is queued once, or counted as left out; whatever the archive and
//! the subscriber do, at most two capacities of messages are held (beside one larger commit).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use super::feed::{FeedEvent, FeedItem};
use super::worker::{Desk, Shared, quietly};
use super::{Change, Changes, Logged, Position};
use crate::error::{Error, Result};

/// The most changes that are read in one go for a subscriber that is behind.
const MAX_PART: usize = 1_024;

/// What all subscribers are told.
#[derive(Clone)]
pub(super) enum Publication {
    /// A commit of this archive's own.
    Commit {
        /// With at least one message in it.
        event: FeedEvent,
        /// Its place in the log, where there is one.
        at: Option<Position>,
        /// It comes before all that is published later.
        settled: bool,
    },
    /// A part of the log, up to a position.
    Log(Arc<[Logged]>, Position),
}

pub(super) struct FeedQueue {
    state: Mutex<State>,
    /// For [`super::Feed::wait`].
    there: Condvar,
    /// Where readers are asked.
    archive: Weak<Shared>,
}

pub(super) struct State {
    /// Each with the position that is reached with it, where it moves on.
    events: VecDeque<(FeedEvent, Option<Position>)>,
    /// Messages in `events`.
    queued: usize,
    capacity: usize,
    /// After the events that were handed out.
    told: Option<Position>,
    /// The last of them said that something is missing: `told` stays before that.
    lags: bool,
    /// After the events that were queued, or left out.
    reached: Option<Position>,
    /// Commits of our own up to here were told ahead without this subscriber: the log tells it.
    own_from: Option<Position>,
    mode: Mode,
    ended: bool,
    waker: Option<Waker>,
}

enum Mode {
    /// It is told what is published.
    Live,
    /// It is to read on from `reached`.
    Behind,
    /// Somebody reads for it.
    Reading(Kept),
}

/// What is published during a read.
#[derive(Default)]
struct Kept {
    publications: Vec<Publication>,
    messages: usize,
    /// It was too much: all of it was let go.
    overflowed: bool,
}

impl FeedQueue {
    /// One that is live. `reached` and `own_from` are those of the archive's feed.
    pub(super) fn live(
        archive: Weak<Shared>,
        capacity: usize,
        reached: Option<Position>,
        own_from: Option<Position>,
    ) -> Arc<Self> {
        FeedQueue::new(archive, capacity, reached, own_from, Mode::Live)
    }

    /// One for which a read from a position is about to begin; [`FeedQueue::read`] is to follow.
    pub(super) fn reading(
        archive: Weak<Shared>,
        capacity: usize,
        from: Position,
        own_from: Option<Position>,
    ) -> Arc<Self> {
        FeedQueue::new(archive, capacity, Some(from), own_from, Mode::Reading(Kept::default()))
    }

    fn new(
        archive: Weak<Shared>,
        capacity: usize,
        reached: Option<Position>,
        own_from: Option<Position>,
        mode: Mode,
    ) -> Arc<Self> {
        let state = State {
            events: VecDeque::new(),
            queued: 0,
            capacity: capacity.max(1),
            told: reached,
            lags: false,
            reached,
            own_from,
            mode,
            ended: false,
            waker: None,
        };
        Arc::new(FeedQueue { state: Mutex::new(state), there: Condvar::new(), archive })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until something changes, or for so long.
    pub(super) fn wait(&self, state: MutexGuard<'_, State>, timeout: Duration) {
        drop(self.there.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes the state, then wakes whoever waits for it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, waker) = {
            let mut state = self.lock();
            (change(&mut state), state.waker.take())
        };
        self.there.notify_all();
        if let Some(waker) = waker {
            quietly(|| waker.wake());
        }
        result
    }

    pub(super) fn publish(&self, publication: &Publication) {
        self.change(|state| state.take(publication));
    }

    /// Where the log stands, for one that did not know where it is.
    pub(super) fn place(&self, position: Position) {
        let mut state = self.lock();
        if state.reached.is_none() {
            state.reached = Some(position);
            state.keep_up();
        }
    }

    /// What the log held between this subscriber and `position` is lost to it.
    pub(super) fn lose(&self, position: Position) {
        self.change(|state| match &mut state.mode {
            Mode::Live => {
                state.leave_out(0);
                state.reached = state.reached.max(Some(position));
            }
            Mode::Behind => {}
            // It must find out by itself what there still is to read.
            Mode::Reading(kept) => kept.overflowed = true,
        });
    }

    pub(super) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// Has a reader read on, where the subscriber is behind and has room.
    pub(super) fn read_on(self: &Arc<Self>) {
        if !self.lock().begins_to_read() {
            return;
        }
        let feed = self.clone();
        let read = Box::new(move |desk: &mut Desk| {
            // What goes wrong the subscriber is told in the feed.
            let _ = feed.read(desk);
        });
        let asked = self.archive.upgrade().map(|archive| archive.queue.push_read_on(read));
        if !matches!(asked, Some(Ok(()))) {
            self.end();
        }
    }

    /// The read that is under way.
    ///
    /// # Errors
    /// The driver's; the subscriber has lagged then, and is live.
    pub(super) fn read(self: &Arc<Self>, desk: &mut Desk) -> Result<()> {
        let (from, limit) = {
            let state = self.lock();
            (state.reached.unwrap_or_default(), state.room().clamp(1, MAX_PART))
        };
        let changes = desk.run(|driver| driver.changes(from, limit));
        let result = changes.as_ref().map(drop).map_err(Error::clone);
        self.change(|state| state.filled(changes));
        self.read_on();
        result
    }
}

impl State {
    pub(super) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.told
    }

    pub(super) fn replace_waker(&mut self, waker: Waker) -> Option<Waker> {
        self.waker.replace(waker)
    }

    pub(super) fn pop(&mut self) -> Option<FeedEvent> {
        let (event, reached) = self.events.pop_front()?;
        self.queued -= weight(&event);
        self.lags = matches!(event, FeedEvent::Lagged { .. });
        self.told = reached.or(self.told);
        self.keep_up();
        Some(event)
    }

    /// With nothing left to hand out, what was reached is told.
    fn keep_up(&mut self) {
        if self.events.is_empty() && !self.lags {
            self.told = self.reached;
        }
    }

    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.queued)
    }

    fn begins_to_read(&mut self) -> bool {
        // Not for each message that is taken: half the queue in one go.
        let begins =
            matches!(self.mode, Mode::Behind) && !self.ended && self.queued <= self.capacity / 2;
        if begins {
            self.mode = Mode::Reading(Kept::default());
        }
        begins
    }

    fn take(&mut self, publication: &Publication) {
        match &mut self.mode {
            Mode::Live => self.deliver(publication),
            Mode::Behind => self.pass(publication),
            Mode::Reading(kept) => {
                let messages = kept.messages + messages_of(publication);
                let fits = kept.messages == 0 || messages <= self.capacity;
                if fits && !kept.overflowed {
                    kept.messages = messages;
                    kept.publications.push(publication.clone());
                    return;
                }
                kept.overflowed = true;
                let kept = std::mem::take(&mut kept.publications);
                kept.iter().chain([publication]).for_each(|publication| self.pass(publication));
            }
        }
    }

    /// It will be read in the log.
    fn pass(&mut self, publication: &Publication) {
        if let Publication::Commit { at, settled: false, .. } = publication {
            self.own_from = self.own_from.max(*at);
        }
    }

    fn deliver(&mut self, publication: &Publication) {
        match publication {
            Publication::Commit { event, at, settled } => {
                // A read may have been faster.
                if at.is_some() && *at <= self.reached {
                    return;
                }
                let reached = at.filter(|_| *settled);
                self.push(event.clone(), reached);
            }
            Publication::Log(entries, next) => {
                if self.reached.is_some_and(|reached| *next <= reached) {
                    return;
                }
                let (reached, own_from) = (self.reached, self.own_from);
                let is_new = |entry: &&Logged| {
                    Some(entry.at) > reached && (!entry.own || Some(entry.at) <= own_from)
                };
                for (event, at) in events(entries.iter().filter(is_new).cloned()) {
                    self.push(event, Some(at));
                }
                self.move_on(*next);
            }
        }
    }

    /// The read has ended with this.
    fn filled(&mut self, changes: Result<Changes>) {
        let kept = match std::mem::replace(&mut self.mode, Mode::Behind) {
            Mode::Reading(kept) => kept,
            other => {
                self.mode = other;
                return;
            }
        };
        let live = match changes {
            Ok(Changes { entries, next, more }) => {
                for (event, at) in events(entries) {
                    self.queued += weight(&event);
                    self.events.push_back((event, Some(at)));
                    self.reached = Some(at);
                }
                self.move_on(next);
                // What was kept is not to be the reason for a lag.
                let fits = self.queued == 0 || kept.messages <= self.room();
                !more && !kept.overflowed && fits
            }
            Err(_) => {
                self.leave_out(0);
                true
            }
        };
        if live {
            self.mode = Mode::Live;
            kept.publications.iter().for_each(|publication| self.deliver(publication));
        } else {
            kept.publications.iter().for_each(|publication| self.pass(publication));
        }
    }

    /// The log holds nothing more for this subscriber up to here.
    fn move_on(&mut self, next: Position) {
        self.reached = self.reached.max(Some(next));
        self.keep_up();
    }

    fn push(&mut self, event: FeedEvent, reached: Option<Position>) {
        let messages = weight(&event);
        if self.queued == 0 || messages <= self.room() {
            self.queued += messages;
            self.events.push_back((event, reached));
        } else {
            self.leave_out(messages as u64);
        }
        self.reached = self.reached.max(reached);
    }

    fn leave_out(&mut self, messages: u64) {
        if let Some((FeedEvent::Lagged { missed, .. }, _)) = self.events.back_mut() {
            *missed += messages;
        } else {
            let from = self.reached;
            self.events.push_back((FeedEvent::Lagged { missed: messages, from }, from));
        }
    }
}

/// The messages in an event.
fn weight(event: &FeedEvent) -> usize {
    match event {
        FeedEvent::Stored(items) | FeedEvent::Removed(items) => items.len(),
        FeedEvent::Expired(_) => 1,
        FeedEvent::Lagged { .. } => 0,
    }
}

fn messages_of(publication: &Publication) -> usize {
    match publication {
        Publication::Commit { event, .. } => weight(event),
        // One that moves the position alone takes room too.
        Publication::Log(entries, _) => entries.len().max(1),
    }
}

/// Changes of a log as events, neighbours of a kind together, each with the place of its last.
fn events(entries: impl IntoIterator<Item = Logged>) -> Vec<(FeedEvent, Position)> {
    fn close(
        stored: bool,
        items: &mut Vec<FeedItem>,
        last: Position,
        events: &mut Vec<(FeedEvent, Position)>,
    ) {
        if !items.is_empty() {
            let items: Arc<[FeedItem]> = std::mem::take(items).into();
            let event = if stored { FeedEvent::Stored(items) } else { FeedEvent::Removed(items) };
            events.push((event, last));
        }
    }
    let mut events = Vec::new();
    let (mut stored, mut items, mut last) = (true, Vec::new(), Position::START);
    for Logged { at, change, .. } in entries {
        match change {
            Change::Stored(item) => {
                if !stored {
                    close(stored, &mut items, last, &mut events);
                    stored = true;
                }
                items.push(item);
            }
            Change::Removed(item) => {
                if stored {
                    close(stored, &mut items, last, &mut events);
                    stored = false;
                }
                items.push(item);
            }
            Change::Expired(id) => {
                close(stored, &mut items, last, &mut events);
                events.push((FeedEvent::Expired(id), at));
            }
        }
        last = at;
    }
    close(stored, &mut items, last, &mut events);
    events
}
