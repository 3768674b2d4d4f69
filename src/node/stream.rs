//! A libp2p stream that is closed properly however its user ends.
//!
//! A stream that is dropped unclosed resets; some eighty resets in quick succession end a whole
//! Yamux connection. So an error path, or a future that was dropped, hands its stream to a task
//! that closes it within [`CLOSE_TIMEOUT`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::tasks::Tasks;
use super::traffic::Traffic;

/// The longest that closing a stream may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A stream with an orderly end.
pub(super) struct Stream {
    inner: Option<libp2p::Stream>,
    tasks: Arc<Tasks>,
    /// Where its bytes are counted.
    traffic: Option<Arc<Traffic>>,
}

impl Stream {
    pub(super) fn new(
        inner: libp2p::Stream,
        tasks: Arc<Tasks>,
        traffic: Option<Arc<Traffic>>,
    ) -> Self {
        Stream { inner: Some(inner), tasks, traffic }
    }

    /// Flushes and closes our side, and drops the stream.
    pub(super) async fn finish(mut self) {
        if let Some(inner) = self.inner.as_mut() {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, inner.close()).await;
        }
        self.inner = None;
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(mut inner) = self.inner.take() {
            self.tasks.spawn_visit(async move {
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, inner.close()).await;
            });
        }
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_read(cx, buf),
            None => gone(),
        };
        if let (Poll::Ready(Ok(bytes)), Some(traffic)) = (&read, &self.traffic) {
            traffic.came(*bytes);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_write(cx, buf),
            None => gone(),
        };
        if let (Poll::Ready(Ok(bytes)), Some(traffic)) = (&written, &self.traffic) {
            traffic.went(*bytes);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_flush(cx),
            None => gone(),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_close(cx),
            None => gone(),
        }
    }
}
