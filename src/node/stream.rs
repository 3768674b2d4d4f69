//! A libp2p stream that is closed properly however its user ends.
//!
//! A stream that is dropped unclosed resets; some eighty resets in quick succession end a whole
//! Yamux connection. So an error path, or a future that was dropped, hands its stream to a task
//! that closes it within [`CLOSE_TIMEOUT`].
//!
//! What must hold: whoever waits for a stream waits no longer than its connection lives. (Yamux tells
//! its streams of a connection that broke, but not of one that this side closed: their readers would
//! wait for ever.)

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::Shared;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt, FutureExt};

use super::tasks::Tasks;

/// The longest that closing a stream may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Resolves when the connection is no more; its handler holds the other end, and drops it.
pub(super) type Over = Shared<oneshot::Receiver<std::convert::Infallible>>;

/// A stream with an orderly end.
pub(super) struct Stream {
    inner: Option<libp2p::Stream>,
    tasks: Arc<Tasks>,
    /// `None` once it has resolved.
    over: Option<Over>,
}

impl Stream {
    pub(super) fn new(inner: libp2p::Stream, tasks: Arc<Tasks>, over: Over) -> Self {
        Stream { inner: Some(inner), tasks, over: Some(over) }
    }

    /// What would wait ends with its connection.
    fn while_connected<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut libp2p::Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let polled = poll(Pin::new(inner), cx);
        if polled.is_ready() {
            return polled;
        }
        if self.over.as_mut().is_none_or(|over| over.poll_unpin(cx).is_ready()) {
            self.over = None;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Pending
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
            self.tasks.spawn(async move {
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, inner.close()).await;
            });
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.while_connected(cx, |inner, cx| inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.while_connected(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.while_connected(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.while_connected(cx, |inner, cx| inner.poll_close(cx))
    }
}
