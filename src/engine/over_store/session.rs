//! A session by Store queries: what the engine does about it.
//!
//! What must hold: what comes goes the way of any message that a sync brings (same batches, same
//! back-pressure, same outcomes); a session that asks nothing more and waits for nothing has ended.

use std::time::Duration;

use super::super::deployed::INDEXED;
use super::super::horizon::{admits, floor};
use super::super::peer::Taken;
use super::super::session::{Session, State};
use super::super::{
    Agreement, Engine, Misbehaviour, MissingId, Output, PeerInfo, QueryId, SessionId,
    SyncDifference, SyncOptions, SyncProtocol,
};
use super::{Brought, OverStore};
use crate::error::{Error, ErrorKind, Result};
use crate::store::client;
use crate::types::{MessageHash, Page, Query, StoredMessage, TimeRange};
use crate::wire::transfer;

/// Bytes of one hash in a response.
const LISTED_LEN: u64 = 37;

impl Engine {
    /// Decides what of a session of ours goes by Store queries: all of it, or of a window that was
    /// named the part that is too old for the index of a deployed peer. That part comes after the
    /// rest, newest first, and the report is one.
    pub(in super::super) fn plan_store(&mut self, id: SessionId, options: &SyncOptions) {
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let info = self.peers.get(&s.peer).map(|p| p.info).unwrap_or_default();
        let PeerInfo { deployed, store, .. } = info;
        let indexed = floor(self.now.wall.saturating_sub(INDEXED));
        let old = options.window.is_some() && s.window.start() < indexed;
        if s.protocol == SyncProtocol::V1
            && options.protocol.is_none()
            && deployed
            && store
            && s.takes()
            && old
        {
            let middle = indexed.min(s.window.end());
            if let (Ok(older), Ok(newer)) =
                (TimeRange::new(s.window.start(), middle), TimeRange::new(middle, s.window.end()))
            {
                s.over = Some(Box::new(OverStore::new(older, &s.scope, &self.config)));
                if newer.is_empty() {
                    s.protocol = SyncProtocol::Store;
                } else {
                    s.window = newer;
                }
            }
        } else if s.protocol == SyncProtocol::Store {
            s.over = Some(Box::new(OverStore::new(s.window, &s.scope, &self.config)));
        }
        if s.protocol == SyncProtocol::Store {
            s.state = State::Store;
        }
        if options.dry_run
            && let Some(over) = &mut s.over
        {
            over.dry_run = true;
            s.difference.get_or_insert_with(SyncDifference::default);
        }
    }

    /// Asks what is to be asked next, and settles the session where nothing is left.
    pub(in super::super) fn pump_over_store(&mut self, id: SessionId) {
        let now = self.now.elapsed;
        let Some(s) = self.sessions.get_mut(&id).filter(|s| matches!(s.state, State::Store)) else {
            return;
        };
        let Some(over) = s.over.as_mut() else { return };
        let room = self
            .peers
            .get(&s.peer)
            .is_none_or(|peer| peer.waiting_bytes() < self.config.max_in_flight);
        let was_waiting = over.is_waiting();
        loop {
            // Contents come first: what is listed waits for them.
            let query = QueryId(self.last_id + 1);
            let contents = if room { over.next_fetch(now, query) } else { None };
            let Some(request) = contents.or_else(|| over.next_page(now, query)) else { break };
            self.last_id = query.0;
            self.queries.insert(query, id);
            s.figures.frames += 1;
            s.figures.reconciliation_bytes_out += request_len(&request);
            let request = Box::new(request);
            self.outputs.push_back(Output::QueryStore { query, peer: s.peer, request });
        }
        if let Some(hashes) = over.next_lookup(now, MissingId(self.last_id + 1)) {
            self.last_id += 1;
            let missing = MissingId(self.last_id);
            self.outputs.push_back(Output::Missing { missing, hashes });
        }
        if !was_waiting {
            s.moved = now;
        }
        if over.is_done() {
            (s.state, s.moved) = (State::Settled, now);
        } else if over.is_wound_down() {
            self.fail(id, Error::new(ErrorKind::Cancelled, "the sync was cut short"));
        }
    }

    /// Has a session that asks by Store ask nothing more; false where this is none.
    pub(in super::super) fn wind_down_over_store(&mut self, id: SessionId) -> bool {
        let asks = |s: &&mut Session| matches!(s.state, State::Store);
        let session = self.sessions.get_mut(&id).filter(asks);
        let Some(over) = session.and_then(|s| s.over.as_mut()) else { return false };
        over.wind_down();
        true
    }

    /// The peer answered a Store query.
    pub(in super::super) fn page_came(&mut self, query: QueryId, page: Result<Page>) {
        let Some(id) = self.queries.remove(&query) else { return };
        let now = self.now.elapsed;
        let Some(s) = self.sessions.get_mut(&id) else { return };
        let Some(over) = s.over.as_mut() else { return };
        s.moved = now;
        s.figures.frames += 1;
        let asked = page.is_ok();
        let slices = over.slices();
        let answered = over.answered(now, query, page);
        s.figures.ranges_settled += over.slices() - slices;
        let taken = match answered {
            Ok(Brought::Nothing) => return,
            Ok(Brought::Hashes(count)) => {
                s.figures.reconciliation_bytes_in += LISTED_LEN * count as u64;
                s.figures.ids_compared += count as u64;
                Ok(())
            }
            Ok(Brought::Messages(messages)) => self.take_contents(id, messages),
            Err(error) => {
                // Of an answer that says a thing of its own, nobody knows whose fault it is.
                let bytes = [ErrorKind::Malformed, ErrorKind::Truncated, ErrorKind::FrameTooLarge];
                let bad = match asked {
                    true => error.kind() == ErrorKind::StoreBadResponse,
                    false => bytes.contains(&error.kind()),
                };
                if bad {
                    let peer = s.peer;
                    self.penalise(peer, Misbehaviour::BadFrame);
                }
                Err(error)
            }
        };
        if let Err(error) = taken {
            self.fail(id, error.context("syncing over Store"));
        }
    }

    /// Hands contents to the archive; of a dry run, notes what they are.
    fn take_contents(&mut self, id: SessionId, messages: Vec<StoredMessage>) -> Result<()> {
        let Some(s) = self.sessions.get_mut(&id) else { return Ok(()) };
        let origin = s.origin();
        let (Some(over), Some(peer)) = (s.over.as_mut(), self.peers.get_mut(&s.peer)) else {
            return Ok(());
        };
        for message in messages {
            let size = transfer::encoded_len(&message.pubsub_topic, &message.message);
            s.figures.transfer_bytes_in += size as u64;
            if message.timestamp() < self.floor {
                // Retention went on meanwhile.
                s.figures.dropped += 1;
                s.figures.missing = s.figures.missing.saturating_sub(1);
                continue;
            }
            let in_scope = admits(&s.scope, &message.pubsub_topic, &message.message.content_topic);
            if !over.window().contains(message.timestamp()) || !in_scope {
                s.figures.dropped += 1;
                s.figures.missing = s.figures.missing.saturating_sub(1);
                over.strayed()?;
                continue;
            }
            over.accepted(size)?;
            if over.dry_run {
                let difference = s.difference.get_or_insert_default();
                difference.missing.push(message.sync_id());
                continue;
            }
            s.pending_store += 1;
            let session = Some(id);
            peer.take(Taken { message, size, session, announced: true, origin });
        }
        Ok(())
    }

    /// The archive told which of the hashes it lacks.
    pub(in super::super) fn looked_up(
        &mut self,
        missing: MissingId,
        hashes: Result<Vec<MessageHash>>,
    ) {
        let now = self.now.elapsed;
        let awaits =
            |s: &Session| !s.ends() && s.over.as_ref().is_some_and(|over| over.awaits(missing));
        let Some((id, s)) = self.sessions.iter_mut().find(|(_, s)| awaits(s)) else { return };
        let Some(over) = s.over.as_mut() else { return };
        if hashes.is_ok() {
            s.moved = now;
        }
        let mut hashes = hashes;
        if let Ok(hashes) = &mut hashes {
            hashes.retain(|hash| !self.refused.contains(hash));
        }
        match over.looked_up(now, hashes) {
            Ok(found) => s.figures.missing += found,
            Err(error) => {
                let id = *id;
                self.fail(id, error);
            }
        }
    }
}

impl Session {
    /// What was compared, in either way.
    pub(in super::super) fn reported_window(&self) -> TimeRange {
        let start = self.over.as_ref().map_or(self.window.start(), |over| over.window().start());
        TimeRange::new(start.min(self.window.start()), self.window.end()).unwrap_or(self.window)
    }

    /// Of a session by Store queries: agreement is of the weaker kind, and of what the peer holds.
    pub(in super::super) fn agreement_over_store(&self) -> Agreement {
        let found = self.difference.as_ref().is_some_and(|d| !d.missing.is_empty());
        match self.error.is_some() || self.left + self.unstored > 0 || found {
            true => Agreement::None,
            false => Agreement::Weak,
        }
    }

    /// Goes on by Store queries, once the rest is done, where something is to be had that way.
    pub(in super::super) fn turn_to_store(&mut self, now: Duration) -> bool {
        let turns = self.over.as_ref().is_some_and(|over| !over.is_done());
        if turns {
            (self.state, self.moved) = (State::Store, now);
        }
        turns
    }
}

/// The length of a request with its length prefix, but for the id that the host gives it.
fn request_len(request: &Query) -> u64 {
    client::encode("", request).map_or(0, |bytes| super::super::framed(bytes.len()))
}
