//! Answers Store requests: one request and one response a stream.
//!
//! A stream may stand idle for minutes (js-waku opens some ahead) and may be closed with nothing
//! sent. So the limit on requests counts from when a request has come, not from the stream.
//!
//! What must hold: whatever others do, a peer that asks for one page at a time is answered. What is
//! held for peers that do not read is bounded: by the limit on requests times the largest page, and
//! by a small page for each connected peer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::metrics::{Counters, Status};
use super::peers::StreamPermit;
use super::rate::Rates;
use super::stream::Stream;
use super::{NodeConfig, frame};
use crate::archive::Archive;
use crate::error::Result;
use crate::store::server::{self, MAX_REQUEST, MIN_PAGE_BYTES, Step};

/// How long a stream may stand before its request comes.
const IDLE: Duration = Duration::from_secs(300);

/// A request up to this is read whenever it comes; more than a thousand hashes fit.
const SMALL: usize = 64 * 1024;
/// Larger ones being read at once, of up to 1 MiB each.
const MAX_LARGE: usize = 16;
/// How many peers it takes to use up the limit on requests.
const PEERS_AT_ONCE: usize = 4;

/// One request of a peer that is being answered.
struct Share {
    of_peers: Arc<Mutex<HashMap<PeerId, usize>>>,
    peer: PeerId,
    /// It was the only one of its peer when it came.
    is_first: bool,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut of_peers = self.of_peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut answering) = of_peers.entry(self.peer) {
            *answering.get_mut() -= 1;
            if *answering.get() == 0 {
                answering.remove();
            }
        }
    }
}

/// What answers.
#[derive(Clone)]
pub(super) struct StoreService {
    archive: Archive,
    rates: Arc<Mutex<Rates>>,
    max_page_bytes: usize,
    /// Requests being answered.
    answering: Arc<Semaphore>,
    /// Those of them of each peer, which may be at most `share`: a peer that asks and then does not
    /// read must not keep the others from being answered.
    of_peers: Arc<Mutex<HashMap<PeerId, usize>>>,
    share: usize,
    /// Large requests being read: they may come slowly, and what has come is held.
    large: Arc<Semaphore>,
    /// Streams over a peer's limit being told so.
    refusing: Arc<Semaphore>,
    max_requests: usize,
    counters: Arc<Counters>,
}

impl StoreService {
    pub(super) fn new(archive: Archive, config: &NodeConfig, counters: &Arc<Counters>) -> Self {
        let max_requests = config.max_store_requests.clamp(1, Semaphore::MAX_PERMITS);
        let rates = Rates::new(config.store_rate, config.store_rate_of_peer);
        StoreService {
            archive,
            rates: Arc::new(Mutex::new(rates)),
            max_page_bytes: config.max_page_bytes,
            answering: Arc::new(Semaphore::new(max_requests)),
            of_peers: Arc::default(),
            share: max_requests.div_ceil(PEERS_AT_ONCE),
            large: Arc::new(Semaphore::new(MAX_LARGE)),
            refusing: Arc::new(Semaphore::new(64)),
            max_requests,
            counters: counters.clone(),
        }
    }

    /// Requests that are being answered now.
    pub(super) fn answering(&self) -> usize {
        self.max_requests - self.answering.available_permits().min(self.max_requests)
    }

    /// Serves one stream.
    pub(super) async fn serve(self, peer: PeerId, mut stream: Stream, _p: StreamPermit) {
        if let Err(e) = self.answer(peer, &mut stream).await {
            tracing::debug!(%peer, "a store request was not answered: {e}");
        }
        stream.finish().await;
    }

    async fn answer(&self, peer: PeerId, stream: &mut Stream) -> Result<()> {
        let Some(length) = frame::read_length(stream, MAX_REQUEST, Some(IDLE)).await? else {
            return Ok(());
        };
        let large = (length > SMALL).then(|| self.large.try_acquire());
        if let Some(Err(_)) = large {
            self.counters.store_answered(Status::TooManyRequests, Duration::ZERO);
            return frame::write(stream, &[server::too_many_requests()]).await;
        }
        let request = frame::read_body(stream, length).await?;
        drop(large);
        let begun = Instant::now();
        // Held until the response is written: it bounds the responses in memory too.
        let share = self.share_of(peer);
        let permit = self.answering.try_acquire();
        let room = match (&share, &permit) {
            (Some(_), Ok(_)) => Some(self.max_page_bytes),
            // Others hold all places, perhaps without reading. Its only one it has all the same: a
            // page that hardly is more than what a stream's window takes.
            (Some(share), Err(_)) if share.is_first => Some(MIN_PAGE_BYTES),
            _ => None,
        };
        let (response, status) = match room {
            Some(room) if self.admits(peer) => self.respond(&request, room).await,
            _ => (server::too_many_requests(), Status::TooManyRequests),
        };
        let answered = Instant::now();
        self.counters.store_answered(status, answered - begun);
        let bytes = (request.len(), response.len());
        frame::write(stream, &[response]).await?;
        self.counters.store_written(bytes, begun.elapsed(), answered.elapsed());
        Ok(())
    }

    fn admits(&self, peer: PeerId) -> bool {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).admit(peer)
    }

    /// A place in the peer's share; `None` where that is used up.
    fn share_of(&self, peer: PeerId) -> Option<Share> {
        let mut of_peers = self.of_peers.lock().unwrap_or_else(PoisonError::into_inner);
        let answering = of_peers.entry(peer).or_default();
        if *answering >= self.share {
            return None;
        }
        *answering += 1;
        let is_first = *answering == 1;
        Some(Share { of_peers: self.of_peers.clone(), peer, is_first })
    }

    async fn respond(&self, request: &[u8], max_bytes: usize) -> (Bytes, Status) {
        match server::begin(request) {
            Step::Reply(response) => (response, Status::BadRequest),
            Step::Query(query, asked) => {
                let page = self.archive.query(query).await;
                let status = page.as_ref().map_or_else(server::status_of, |_| 200);
                (asked.answer_within(max_bytes, page), Status::of(status))
            }
        }
    }

    /// Tells a peer with too many streams so, unless that is too much as well.
    pub(super) async fn refuse(self, mut stream: Stream) {
        let Ok(_permit) = self.refusing.try_acquire() else { return };
        self.counters.store_answered(Status::TooManyRequests, Duration::ZERO);
        if frame::write(&mut stream, &[server::too_many_requests()]).await.is_ok() {
            stream.finish().await;
        }
    }
}
