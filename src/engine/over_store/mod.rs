//! A sync by Store v3 queries alone: the hashes that the peer has in the window, those of them that
//! the archive lacks, then their contents by hash.
//!
//! The three go on at once: pages of hashes are read while contents are fetched, and the archive
//! is asked about several pages together. Nothing can be sent this way, so it only pulls. A peer's
//! list is not believed: what a session looks at, remembers and fetches is bounded, and a peer
//! that lists more than a few messages which it then does not give is given up.
//!
//! What must hold: at most one page of hashes, one question to the archive and [`MAX_FETCHES`]
//! queries for contents are under way; a hash is fetched once; all that grows is bounded.

mod listing;
mod session;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use self::listing::Listing;
use super::walk::Backoff;
use super::{EngineConfig, MissingId, QueryId};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{
    Entry, MAX_PAGE_SIZE, MessageHash, Page, Query, StoredMessage, TimeRange, Timestamp,
};
use crate::wire::reconciliation::Scope;

/// Queries for contents that are under way at once.
const MAX_FETCHES: usize = 2;
/// Hashes that wait to be looked up or fetched before no more are listed.
const MAX_AHEAD: usize = 2_000;
/// So many hashes are asked of the archive at once; but the first page at once, so that contents
/// need not wait for more.
const LOOKUP: usize = 500;
/// Refusals in a row of a peer that is busy, before it is given up: a little over a minute.
const MAX_BUSY: u32 = 8;
/// Messages that were listed and not given (retention deleted them meanwhile) cost nothing up to
/// here, and a quarter of those that were missing beyond.
const MAX_USELESS: u64 = 256;
/// Ids that may be listed, for each that a session may bring: most of them are here already.
const LISTED_PER_MESSAGE: usize = 4;

/// See the head of the file.
#[derive(Debug)]
pub(super) struct OverStore {
    window: TimeRange,
    /// Nothing more is asked.
    winds_down: bool,
    /// Contents are fetched for their times alone, which hashes do not tell, and let go.
    pub(super) dry_run: bool,
    listing: Listing,
    /// The page of hashes that is under way.
    page: Option<QueryId>,
    /// Listed, and not looked up yet.
    listed: Vec<MessageHash>,
    lookup: Option<(MissingId, Vec<MessageHash>)>,
    lookup_backoff: Backoff,
    /// The archive was asked before.
    looked_up: bool,
    /// The longest that the archive may be too busy.
    max_idle: Duration,
    /// Found missing in the slice under way (and in what of it is listed anew).
    known: HashSet<MessageHash>,
    /// Where what is listed anew begins: until it is passed, nothing is forgotten of `known`.
    known_from: Timestamp,
    wanted: VecDeque<MessageHash>,
    fetches: BTreeMap<QueryId, Vec<MessageHash>>,
    busy: u32,
    /// No query before this: the peer is busy.
    retry_at: Option<Duration>,
    ids_listed: u64,
    missing: u64,
    /// Messages and bytes that came.
    came: u64,
    came_bytes: u64,
    /// Listed, missing here, and not given, or not of window and scope.
    useless: u64,
    max_messages: usize,
    max_bytes: usize,
    max_in_flight: usize,
}

/// What an answer of the peer brought.
#[derive(Debug)]
pub(super) enum Brought {
    /// So many hashes.
    Hashes(usize),
    /// Messages that were asked for, hashed here.
    Messages(Vec<StoredMessage>),
    /// Nothing; it will be asked again.
    Nothing,
}

impl OverStore {
    pub(super) fn new(window: TimeRange, scope: &Scope, config: &EngineConfig) -> Self {
        OverStore {
            window,
            winds_down: false,
            dry_run: false,
            listing: Listing::new(window, scope),
            page: None,
            listed: Vec::new(),
            lookup: None,
            lookup_backoff: Backoff::default(),
            looked_up: false,
            max_idle: config.idle_timeout,
            known: HashSet::new(),
            known_from: window.end(),
            wanted: VecDeque::new(),
            fetches: BTreeMap::new(),
            busy: 0,
            retry_at: None,
            ids_listed: 0,
            missing: 0,
            came: 0,
            came_bytes: 0,
            useless: 0,
            max_messages: config.max_messages,
            max_bytes: config.max_bytes,
            max_in_flight: config.max_in_flight,
        }
    }

    /// Asks nothing more.
    pub(super) fn wind_down(&mut self) {
        self.winds_down = true;
    }

    /// Whether it was told to ask nothing more.
    pub(super) fn winds_down(&self) -> bool {
        self.winds_down
    }

    /// Whether it was told to ask nothing more, and nothing is under way.
    pub(super) fn is_wound_down(&self) -> bool {
        self.winds_down && !self.is_waiting()
    }

    /// What is compared this way.
    pub(super) fn window(&self) -> TimeRange {
        self.window
    }

    /// Slices that were listed to their end.
    pub(super) fn slices(&self) -> u64 {
        self.listing.slices
    }

    /// Messages that the peer listed, and that are neither here nor on their way to the archive.
    pub(super) fn outstanding(&self) -> u64 {
        let fetching: usize = self.fetches.values().map(Vec::len).sum();
        (self.wanted.len() + fetching) as u64 + self.useless
    }

    /// Whether nothing is left to be asked for.
    pub(super) fn is_done(&self) -> bool {
        self.listing.is_done()
            && self.listed.is_empty()
            && self.lookup.is_none()
            && self.wanted.is_empty()
            && self.fetches.is_empty()
    }

    /// Whether the peer or the archive owes an answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.page.is_some() || self.lookup.is_some() || !self.fetches.is_empty()
    }

    /// When something is to be tried again.
    pub(super) fn deadline(&self) -> Option<Duration> {
        [self.retry_at, self.lookup_backoff.deadline()].into_iter().flatten().min()
    }

    /// Whether this question to the archive is its own.
    pub(super) fn awaits(&self, missing: MissingId) -> bool {
        self.lookup.as_ref().is_some_and(|(id, _)| *id == missing)
    }

    // --- what to ask ---

    /// The next page of hashes.
    pub(super) fn next_page(&mut self, now: Duration, query: QueryId) -> Option<Query> {
        let ahead = self.listed.len() + self.wanted.len();
        if !self.may_ask(now) || self.page.is_some() || ahead >= MAX_AHEAD {
            return None;
        }
        let asked = self.listing.next_query()?;
        self.page = Some(query);
        Some(asked)
    }

    /// The next question to the archive.
    pub(super) fn next_lookup(
        &mut self,
        now: Duration,
        missing: MissingId,
    ) -> Option<Vec<MessageHash>> {
        let may = self.lookup_backoff.may_try(now);
        if !may || self.winds_down || self.lookup.is_some() || self.listed.is_empty() {
            return None;
        }
        if self.looked_up && self.listed.len() < LOOKUP && !self.listing.is_done() {
            return None;
        }
        self.looked_up = true;
        let hashes = std::mem::take(&mut self.listed);
        self.lookup = Some((missing, hashes.clone()));
        Some(hashes)
    }

    /// The next query for contents.
    pub(super) fn next_fetch(&mut self, now: Duration, query: QueryId) -> Option<Query> {
        let busy = self.fetches.len() >= MAX_FETCHES || self.wanted.is_empty();
        if !self.may_ask(now) || busy {
            return None;
        }
        // Large messages are asked for in smaller numbers, so that an answer fits what may wait.
        let mean = (self.came_bytes / self.came.max(1)).max(1);
        let fit = self.max_in_flight as u64 / MAX_FETCHES as u64 / mean;
        let count = usize::try_from(fit).unwrap_or(MAX_PAGE_SIZE).clamp(1, MAX_PAGE_SIZE);
        let hashes: Vec<_> = self.wanted.drain(..count.min(self.wanted.len())).collect();
        self.fetches.insert(query, hashes.clone());
        Some(listing::contents(hashes))
    }

    fn may_ask(&mut self, now: Duration) -> bool {
        let may = !self.winds_down && self.retry_at.is_none_or(|at| at <= now);
        if may {
            self.retry_at = None;
        }
        may
    }

    // --- what comes ---

    /// The peer answered.
    ///
    /// # Errors
    /// Where the session cannot go on with this peer.
    pub(super) fn answered(
        &mut self,
        now: Duration,
        query: QueryId,
        answer: Result<Page>,
    ) -> Result<Brought> {
        let hashes = self.fetches.remove(&query);
        if hashes.is_none() {
            self.page = None;
        }
        match answer {
            Ok(page) => {
                self.busy = 0;
                match hashes {
                    Some(hashes) => self.took(hashes, page),
                    None => self.listed(&page),
                }
            }
            Err(error) if is_busy(error.kind()) && self.busy < MAX_BUSY => {
                // Both kinds of query may be refused at once: that is one refusal.
                if self.retry_at.is_none() {
                    self.retry_at = Some(now + Duration::from_secs(1 << self.busy.min(4)));
                    self.busy += 1;
                }
                for hash in hashes.into_iter().flatten().rev() {
                    self.wanted.push_front(hash);
                }
                Ok(Brought::Nothing)
            }
            Err(error) => self.failed(hashes, error),
        }
    }

    fn failed(&mut self, hashes: Option<Vec<MessageHash>>, error: Error) -> Result<Brought> {
        match hashes {
            None if error.kind() == ErrorKind::CursorNotFound => {
                self.known_from = self.known_from.min(self.listing.reached());
                self.listing.cursor_lost(error)?;
                Ok(Brought::Nothing)
            }
            None if error.kind() == ErrorKind::StoreBadRequest && self.listing.refused() => {
                Ok(Brought::Nothing)
            }
            None => Err(error),
            Some(hashes) => {
                self.wanted.extend(hashes);
                Err(error)
            }
        }
    }

    /// A page of hashes.
    fn listed(&mut self, page: &Page) -> Result<Brought> {
        let reached = self.listing.reached();
        let slices = self.listing.slices;
        self.listing.accept(page)?;
        let count = page.entries.len();
        self.ids_listed += count as u64;
        let max = self.max_messages.saturating_mul(LISTED_PER_MESSAGE) as u64;
        if self.ids_listed > max {
            bail!(
                InvalidArgument,
                "the peer lists more than {max} messages: sync a shorter window"
            );
        }
        let new = |hash: &MessageHash| !self.known.contains(hash);
        self.listed.extend(page.entries.iter().map(|entry| entry.hash).filter(new));
        if self.listing.slices > slices && reached <= self.known_from {
            // What is still on its way belongs to a time that is not listed again.
            self.known = HashSet::new();
            self.known_from = self.window.end();
        }
        Ok(Brought::Hashes(count))
    }

    /// The archive told what it lacks; gives how much that is.
    pub(super) fn looked_up(
        &mut self,
        now: Duration,
        lacking: Result<Vec<MessageHash>>,
    ) -> Result<u64> {
        let Some((_, mut asked)) = self.lookup.take() else { return Ok(0) };
        let lacking = match lacking {
            Ok(lacking) => lacking,
            Err(error)
                if error.kind() == ErrorKind::Busy
                    && self.lookup_backoff.failed(now) < self.max_idle =>
            {
                asked.append(&mut self.listed);
                self.listed = asked;
                return Ok(0);
            }
            Err(error) => return Err(error.context("asking the archive what it lacks")),
        };
        self.lookup_backoff.worked();
        let asked: HashSet<MessageHash> = asked.into_iter().collect();
        let before = self.missing;
        for hash in lacking {
            if asked.contains(&hash) && self.known.insert(hash) {
                self.wanted.push_back(hash);
                self.missing += 1;
            }
        }
        if self.missing > self.max_messages as u64 {
            let max = self.max_messages;
            bail!(InvalidArgument, "more than {max} messages are missing: sync a shorter window");
        }
        Ok(self.missing - before)
    }

    /// Contents that were asked for. What the peer leaves out is asked for again where it says
    /// that there is more, and otherwise it has let go of it.
    fn took(&mut self, hashes: Vec<MessageHash>, page: Page) -> Result<Brought> {
        let mut asked: HashSet<MessageHash> = hashes.iter().copied().collect();
        let mut messages = Vec::new();
        let cut = page.cursor.is_some() && !page.entries.is_empty();
        for Entry { hash, data } in page.entries {
            if !asked.remove(&hash) {
                bail!(StoreBadResponse, "the peer sent a message that was not asked for: {hash}");
            }
            // Without data it is one that we cannot take.
            let Some((topic, message)) = data else {
                self.useless += 1;
                continue;
            };
            let message = StoredMessage::new(topic, message);
            if message.hash != hash {
                bail!(StoreBadResponse, "the message is not the one it is listed as: {hash}");
            }
            messages.push(message);
        }
        let left = hashes.into_iter().filter(|hash| asked.contains(hash));
        if cut {
            self.wanted.extend(left);
        } else {
            self.useless += left.count() as u64;
        }
        self.check_useless()?;
        Ok(Brought::Messages(messages))
    }

    /// A message that came is within window and scope, and to be stored.
    pub(super) fn accepted(&mut self, size: usize) -> Result<()> {
        self.came += 1;
        self.came_bytes += size as u64;
        if self.came_bytes > self.max_bytes as u64 {
            bail!(
                InvalidArgument,
                "more than {} bytes are missing: sync a shorter window",
                self.max_bytes
            );
        }
        Ok(())
    }

    /// A message that came is not of window or scope. That is no fault where the peer took no
    /// query that names the scope.
    pub(super) fn strayed(&mut self) -> Result<()> {
        if self.listing.unscoped {
            return Ok(());
        }
        self.useless += 1;
        self.check_useless()
    }

    fn check_useless(&self) -> Result<()> {
        if self.useless > MAX_USELESS + self.missing / 4 {
            bail!(
                StoreBadResponse,
                "the peer lists messages that it does not give: {}",
                self.useless
            );
        }
        Ok(())
    }
}

/// Whether a peer that answers so may be asked again soon.
fn is_busy(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StoreTooManyRequests | ErrorKind::StoreUnavailable | ErrorKind::Busy)
}
