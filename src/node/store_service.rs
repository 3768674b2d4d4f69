//! Answers Store requests: one request and one response a stream.
//!
//! A stream may stand idle for minutes (js-waku opens some ahead) and may be closed with nothing
//! sent. So the limit on requests counts from when a request has come, not from the stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::Semaphore;

use super::frame;
use super::peers::StreamPermit;
use super::stream::Stream;
use crate::archive::Archive;
use crate::error::Result;
use crate::store::server::{self, MAX_REQUEST, Step};

/// How long a stream may stand before its request comes.
const IDLE: Duration = Duration::from_secs(300);

/// What answers.
#[derive(Clone)]
pub(super) struct StoreService {
    archive: Archive,
    /// Requests being answered.
    answering: Arc<Semaphore>,
    /// Streams over a peer's limit being told so.
    refusing: Arc<Semaphore>,
}

impl StoreService {
    pub(super) fn new(archive: Archive, max_requests: usize) -> Self {
        let max_requests = max_requests.clamp(1, Semaphore::MAX_PERMITS);
        StoreService {
            archive,
            answering: Arc::new(Semaphore::new(max_requests)),
            refusing: Arc::new(Semaphore::new(64)),
        }
    }

    /// Serves one stream.
    pub(super) async fn serve(self, peer: PeerId, mut stream: Stream, _p: StreamPermit) {
        if let Err(e) = self.answer(&mut stream).await {
            tracing::debug!(%peer, "a store request was not answered: {e}");
        }
        stream.finish().await;
    }

    async fn answer(&self, stream: &mut Stream) -> Result<()> {
        let Some(request) = frame::read(stream, MAX_REQUEST, Some(IDLE)).await? else {
            return Ok(());
        };
        // Held until the response is written: it bounds the responses in memory too.
        let permit = self.answering.try_acquire();
        let response = match permit {
            Ok(_) => self.respond(&request).await,
            Err(_) => server::too_many_requests(),
        };
        frame::write(stream, &[response]).await
    }

    async fn respond(&self, request: &[u8]) -> Bytes {
        match server::begin(request) {
            Step::Reply(response) => response,
            Step::Query(query, asked) => asked.answer(self.archive.query(query).await),
        }
    }

    /// Tells a peer with too many streams so, unless that is too much as well.
    pub(super) async fn refuse(self, mut stream: Stream) {
        let Ok(_permit) = self.refusing.try_acquire() else { return };
        if frame::write(&mut stream, &[server::too_many_requests()]).await.is_ok() {
            stream.finish().await;
        }
    }
}
