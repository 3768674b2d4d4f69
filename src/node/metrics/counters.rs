//! What a node counts while it works.
//!
//! What must hold: counting is a few atomic additions, wherever it happens; the one lock here is
//! taken at the end of a sync. Nothing is counted by peer or topic: what a peer could make grow is
//! not here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::LastSync;
use crate::archive::Distribution;
use crate::engine::{Misbehaviour, SyncProtocol, SyncReport};
use crate::error::{Error, ErrorKind, Result};
use crate::types::Timestamp;

/// Round trips, as deployed nodes cut them.
const ROUNDTRIPS: &[u64] = &[1, 2, 3, 5, 8, 13];
/// Differences, as deployed nodes cut them.
const DIFFERENCES: &[u64] = &[0, 10, 50, 100, 500, 1_000, 5_000];
/// Sizes in bytes, as deployed nodes cut them (in kB of a thousand).
const SIZES: &[u64] = &[
    0, 1_000, 3_000, 5_000, 15_000, 50_000, 75_000, 100_000, 125_000, 150_000, 500_000, 700_000,
    1_000_000,
];

/// A number that only grows.
#[derive(Debug, Default)]
pub(in super::super) struct Count(AtomicU64);

impl Count {
    pub(in super::super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(in super::super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whole nanoseconds.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How a Store request that we answered was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Status {
    Ok,
    BadResponse,
    BadRequest,
    TooManyRequests,
    Unavailable,
}

impl Status {
    pub(super) const ALL: [(Status, &'static str); 5] = [
        (Status::Ok, "200"),
        (Status::BadResponse, "300"),
        (Status::BadRequest, "400"),
        (Status::TooManyRequests, "429"),
        (Status::Unavailable, "503"),
    ];

    /// Of the code that is told to the peer.
    pub(in super::super) fn of(code: u32) -> Self {
        match code {
            200 => Status::Ok,
            400 => Status::BadRequest,
            429 => Status::TooManyRequests,
            503 => Status::Unavailable,
            _ => Status::BadResponse,
        }
    }
}

/// How a Store request of ours ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Ok,
    CursorNotFound,
    BadRequest,
    BadResponse,
    TooManyRequests,
    Unavailable,
    Dial,
    TimedOut,
    Stream,
    Other,
}

impl Asked {
    pub(super) const ALL: [(Asked, &'static str); 10] = [
        (Asked::Ok, "ok"),
        (Asked::CursorNotFound, "cursor_not_found"),
        (Asked::BadRequest, "bad_request"),
        (Asked::BadResponse, "bad_response"),
        (Asked::TooManyRequests, "too_many_requests"),
        (Asked::Unavailable, "unavailable"),
        (Asked::Dial, "dial"),
        (Asked::TimedOut, "timed_out"),
        (Asked::Stream, "stream"),
        (Asked::Other, "other"),
    ];

    fn of(e: &Error) -> Self {
        use ErrorKind as K;
        match e.kind() {
            K::CursorNotFound => Asked::CursorNotFound,
            K::StoreBadRequest => Asked::BadRequest,
            K::StoreBadResponse | K::Malformed | K::Truncated | K::FrameTooLarge => {
                Asked::BadResponse
            }
            K::StoreTooManyRequests => Asked::TooManyRequests,
            K::StoreUnavailable => Asked::Unavailable,
            K::Dial | K::PeerUnknown | K::OtherCluster => Asked::Dial,
            K::TimedOut => Asked::TimedOut,
            K::StreamClosed | K::ProtocolUnsupported => Asked::Stream,
            _ => Asked::Other,
        }
    }
}

/// How a sync ended.
pub(super) const ENDS: [&str; 3] = ["ok", "failed", "cancelled"];
/// How it compared, in the order of [`SyncProtocol`].
pub(super) const PROTOCOLS: [&str; 3] = ["v1", "strong", "store"];
/// Who began it.
pub(super) const ROLES: [&str; 2] = ["responder", "initiator"];
/// What a peer may do wrong, in the order of [`Misbehaviour`].
pub(super) const FAULTS: [&str; 3] = ["bad_frame", "unsolicited", "bad_message"];

/// Bytes that came and went.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) came: Count,
    pub(super) went: Count,
}

/// See the head of the file.
#[derive(Debug)]
pub(in super::super) struct Counters {
    // Store, served.
    pub(super) store_queries: Count,
    pub(super) store_statuses: [Count; 5],
    pub(super) store_bytes: Flow,
    /// Nanoseconds until the archive had answered, and until the response was written.
    pub(super) store_phases: [Count; 2],
    pub(super) store_times: Distribution,
    // Store, asked.
    pub(super) asked: [Count; 10],
    pub(super) asked_times: Distribution,
    // Sync.
    pub(super) syncs: [[[Count; 3]; 2]; 3],
    pub(super) roundtrips: Distribution,
    pub(super) differences: Distribution,
    pub(super) sync_times: Distribution,
    pub(super) reconciliation: Flow,
    pub(super) transfer: Flow,
    pub(super) messages: Flow,
    pub(super) dropped: Count,
    last_sync: Mutex<Option<LastSync>>,
    // Peers. Of what can be either way, the first is of those that peers opened.
    pub(super) opened: [Count; 2],
    pub(in super::super) failed: [Count; 2],
    pub(super) faults: [Count; 3],
    pub(in super::super) sent_away: Count,
    pub(in super::super) streams_refused: Count,
    // Relay.
    pub(super) relayed: Distribution,
    pub(in super::super) relay_rejected: Count,
    pub(in super::super) relay_ignored: Count,
    pub(in super::super) published: Count,
}

impl Default for Counters {
    fn default() -> Self {
        let times = || Distribution::new(Distribution::TIMES);
        Counters {
            store_queries: Count::default(),
            store_statuses: Default::default(),
            store_bytes: Flow::default(),
            store_phases: Default::default(),
            store_times: times(),
            asked: Default::default(),
            asked_times: times(),
            syncs: Default::default(),
            roundtrips: Distribution::new(ROUNDTRIPS),
            differences: Distribution::new(DIFFERENCES),
            sync_times: times(),
            reconciliation: Flow::default(),
            transfer: Flow::default(),
            messages: Flow::default(),
            dropped: Count::default(),
            last_sync: Mutex::default(),
            opened: Default::default(),
            failed: Default::default(),
            faults: Default::default(),
            sent_away: Count::default(),
            streams_refused: Count::default(),
            relayed: Distribution::new(SIZES),
            relay_rejected: Count::default(),
            relay_ignored: Count::default(),
            published: Count::default(),
        }
    }
}

impl Counters {
    /// A Store request was answered with this status, of which the archive took so long.
    pub(in super::super) fn store_answered(&self, status: Status, took: Duration) {
        self.store_statuses[status as usize].one();
        if !matches!(status, Status::TooManyRequests) {
            self.store_phases[0].add(nanos(took));
        }
        if !matches!(status, Status::TooManyRequests | Status::BadRequest) {
            self.store_queries.one();
        }
    }

    /// It was written; so many bytes came and went, in so long, of which writing took so long.
    pub(in super::super) fn store_written(
        &self,
        bytes: (usize, usize),
        took: Duration,
        writing: Duration,
    ) {
        self.store_bytes.came.add(bytes.0 as u64);
        self.store_bytes.went.add(bytes.1 as u64);
        self.store_phases[1].add(nanos(writing));
        self.store_times.took(took);
    }

    /// A Store request of ours has ended.
    pub(in super::super) fn asked<T>(&self, answer: &Result<T>, took: Duration) {
        let how = answer.as_ref().map_or_else(Asked::of, |_| Asked::Ok);
        self.asked[how as usize].one();
        self.asked_times.took(took);
    }

    /// A sync has ended.
    pub(in super::super) fn synced(&self, peer_id: &str, report: &SyncReport, now: Timestamp) {
        let end = match &report.error {
            None => 0,
            Some(e) if e.kind() == ErrorKind::Cancelled => 2,
            Some(_) => 1,
        };
        let role = usize::from(report.initiator);
        let protocol = match report.protocol {
            SyncProtocol::V1 => 0,
            SyncProtocol::Strong => 1,
            SyncProtocol::Store => 2,
        };
        self.syncs[protocol][role][end].one();
        let figures = &report.figures;
        self.roundtrips.observe(figures.frames.div_ceil(2));
        self.differences.observe(figures.missing.saturating_add(figures.surplus));
        self.sync_times.took(report.duration);
        self.reconciliation.came.add(figures.reconciliation_bytes_in);
        self.reconciliation.went.add(figures.reconciliation_bytes_out);
        self.transfer.came.add(figures.transfer_bytes_in);
        self.transfer.went.add(figures.transfer_bytes_out);
        self.messages.came.add(figures.received.saturating_add(figures.dropped));
        self.messages.went.add(figures.sent);
        self.dropped.add(figures.dropped);
        // A dry run brings nothing up to date.
        if end == 0 && report.difference.is_none() {
            let last = LastSync {
                at: now,
                peer_id: peer_id.to_owned(),
                agreement: report.agreement,
                received: figures.received,
                sent: figures.sent,
                outstanding: report.outstanding,
            };
            *self.last_sync.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        }
    }

    /// The last sync that ended well.
    pub(in super::super) fn last_sync(&self) -> Option<LastSync> {
        self.last_sync.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection stands.
    pub(in super::super) fn connected(&self, dialled: bool) {
        self.opened[usize::from(dialled)].one();
    }

    /// A peer did what honest peers do not.
    pub(in super::super) fn fault(&self, what: Misbehaviour) {
        let place = match what {
            Misbehaviour::BadFrame => 0,
            Misbehaviour::Unsolicited => 1,
            Misbehaviour::BadMessage => 2,
        };
        self.faults[place].one();
    }

    /// A message came over relay that can be read; its payload is so long.
    pub(in super::super) fn relayed(&self, payload: usize) {
        self.relayed.observe(payload as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_places() {
        for (place, (status, _)) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, place);
        }
        for (place, (asked, _)) in Asked::ALL.into_iter().enumerate() {
            assert_eq!(asked as usize, place);
        }
        assert_eq!(Status::of(504), Status::BadResponse);
        assert_eq!(Asked::of(&Error::new(ErrorKind::Truncated, "")), Asked::BadResponse);
    }
}
