//! Asks a store peer: one request and one response a stream.

use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use libp2p::PeerId;
use tokio::time::Instant;

use super::address::PeerName;
use super::shared::{Shared, stopped};
use super::stream::Stream;
use super::{frame, identity};
use crate::error::{Error, ErrorKind, Result};
use crate::store::client::{self, MAX_RESPONSE};
use crate::types::{Page, Query};
use crate::wire::store::PROTOCOL;

/// Responses beyond this are hashed on a thread for blocking work: at 15 MiB that takes long enough
/// for a runtime worker to be missed.
const LARGE: usize = 256 * 1024;
/// A request that is given up after this says something of the peer.
const SLOW: Duration = Duration::from_secs(5);

/// One page of a peer's history; the peer is dialled where need be.
pub(super) async fn query(shared: &Shared, peer: PeerName, query: Query) -> Result<Page> {
    let request = Request::new(query)?;
    let begun = Instant::now();
    let page = shared
        .in_time("the store request", async {
            let _turn = shared.asking.acquire().await.map_err(|_| stopped())?;
            let peer = shared.reach(peer).await?;
            let asking = Asking::begin(shared, peer);
            let stream = match shared.open(peer, PROTOCOL).await {
                // The connection ended under our hands: once more on a new one.
                Err(e) if e.kind() == ErrorKind::StreamClosed => {
                    let peer = shared.reach(PeerName::Id(peer)).await?;
                    shared.open(peer, PROTOCOL).await?
                }
                opened => opened?,
            };
            asking.end(request.ask(stream).await)
        })
        .await;
    shared.counters.asked(&page, begun.elapsed());
    page
}

/// One page of the history of a peer that is connected.
pub(super) async fn ask(shared: &Shared, peer: PeerId, query: Query) -> Result<Page> {
    let request = Request::new(query)?;
    let begun = Instant::now();
    let page = shared
        .in_time("the store request", async {
            request.ask(shared.open(peer, PROTOCOL).await?).await
        })
        .await;
    shared.counters.asked(&page, begun.elapsed());
    page
}

/// A request on its way, for which the peer is to be measured.
struct Asking<'a> {
    shared: &'a Shared,
    peer: PeerId,
    begun: Instant,
    open: bool,
}

impl<'a> Asking<'a> {
    fn begin(shared: &'a Shared, peer: PeerId) -> Self {
        Asking { shared, peer, begun: Instant::now(), open: true }
    }

    fn end(mut self, asked: Result<Page>) -> Result<Page> {
        // What it does not hold, or has no time for, it has answered all the same.
        let told = |e: &Error| {
            matches!(
                e.kind(),
                ErrorKind::CursorNotFound
                    | ErrorKind::StoreBadRequest
                    | ErrorKind::StoreTooManyRequests
            )
        };
        self.open = false;
        match &asked {
            Ok(_) => self.shared.measured.answered(self.peer, self.begun.elapsed()),
            Err(e) if told(e) || self.shared.tasks.is_cancelled() => {}
            Err(_) => self.shared.measured.failed(self.peer),
        }
        asked
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // Given up. That is no fault of a peer that had no time yet.
        let slow = self.begun.elapsed() >= SLOW.min(self.shared.request_timeout / 2);
        if self.open && slow && !self.shared.tasks.is_cancelled() {
            self.shared.measured.failed(self.peer);
        }
    }
}

struct Request {
    id: String,
    query: Query,
    frame: Bytes,
}

impl Request {
    /// Before the dial: a query that cannot be asked is told at once.
    fn new(query: Query) -> Result<Request> {
        let id = HEXLOWER.encode(&identity::random::<16>()?);
        let frame = client::encode(&id, &query)?;
        Ok(Request { id, query, frame })
    }

    async fn ask(self, mut stream: Stream) -> Result<Page> {
        let Request { id, query, frame } = self;
        frame::write(&mut stream, &[frame]).await?;
        let response = frame::read(&mut stream, MAX_RESPONSE, None).await?.ok_or_else(|| {
            Error::new(ErrorKind::StreamClosed, "the peer closed without an answer")
        })?;
        // It closes in the background: the page need not wait for that.
        drop(stream);
        if response.len() < LARGE {
            return client::decode(&id, &query, &response);
        }
        tokio::task::spawn_blocking(move || client::decode(&id, &query, &response))
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, format!("checking a page: {e}")))?
    }
}
