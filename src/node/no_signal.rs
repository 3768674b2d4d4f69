//! Connections that are written to one buffer at a time.
//!
//! What must hold: no write to a socket whose peer has gone raises SIGPIPE, which ends a host that
//! does not ignore it. The standard library sends one buffer with the flag that prevents that; for
//! several buffers at once (`writev`) there is no such flag, so that way is never taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};

/// A connection whose writes of several buffers write the first alone.
pub(super) struct NoSignal<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for NoSignal<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

// `poll_write_vectored` is left to the trait, which writes the first buffer that is not empty.
impl<S: AsyncWrite + Unpin> AsyncWrite for NoSignal<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::AsyncWriteExt;
    use futures::executor::block_on;

    use super::*;

    /// Takes single buffers only.
    #[derive(Default)]
    struct Single(Vec<u8>);

    impl AsyncWrite for Single {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.extend(buf);
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            panic!("several buffers at once");
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn several_buffers_are_never_written_at_once() {
        let mut to = NoSignal(Single::default());
        let parts = [io::IoSlice::new(b""), io::IoSlice::new(b"one"), io::IoSlice::new(b"two")];
        assert_eq!(block_on(to.write_vectored(&parts)).unwrap(), 3);
        assert_eq!(to.0.0, b"one");
    }
}
