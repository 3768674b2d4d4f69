//! Yamux, with bounds that libp2p's own wrapping of it leaves at their defaults.
//!
//! What must hold: what one connection makes the node hold unread is bounded: by the window of each
//! stream, and by what all windows may grow by together, where a peer sends faster than is read. (By
//! default that is a gigabyte for each connection.)

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use yamux::{Connection, ConnectionError, Mode};

/// What the windows of one connection's streams may grow by, together.
const MAX_WINDOW_GROWTH: usize = 4 * 1024 * 1024;
/// What is sent in one frame. A page goes in a few of them, and each fills one message of Noise.
const FRAME: usize = 64_000;

/// How connections are multiplexed.
#[derive(Clone)]
pub(super) struct Yamux(yamux::Config);

impl Yamux {
    /// With so many streams at once on a connection, both ways.
    pub(super) fn new(max_streams: usize) -> Self {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(max_streams);
        let windows = max_streams * yamux::DEFAULT_CREDIT as usize;
        config.set_max_connection_receive_window(Some(windows + MAX_WINDOW_GROWTH));
        config.set_split_send_size(FRAME);
        Yamux(config)
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, io: C, _: &'static str) -> Self::Future {
        ready(Ok(Muxer::new(io, self.0, Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, io: C, _: &'static str) -> Self::Future {
        ready(Ok(Muxer::new(io, self.0, Mode::Client)))
    }
}

/// One connection.
pub(super) struct Muxer<C> {
    connection: Connection<C>,
    /// Streams that came while something else was asked for. Yamux allows no more of them at once
    /// than `max_streams`.
    came: VecDeque<yamux::Stream>,
    waiting: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn new(io: C, config: yamux::Config, mode: Mode) -> Self {
        Muxer {
            connection: Connection::new(io, config, mode),
            came: VecDeque::new(),
            waiting: None,
        }
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        match ready!(self.connection.poll_next_inbound(cx)) {
            Some(stream) => Poll::Ready(stream.map_err(broke)),
            None => Poll::Ready(Err(broke(ConnectionError::Closed))),
        }
    }
}

fn broke(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::Io(e) => e,
        other => io::Error::other(other),
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = yamux::Stream;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<yamux::Stream>> {
        if let Some(stream) = self.came.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let polled = self.poll_connection(cx);
        if polled.is_pending() {
            self.waiting = Some(cx.waker().clone());
        }
        polled
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<yamux::Stream>> {
        self.connection.poll_new_outbound(cx).map_err(broke)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(cx).map_err(broke)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        // The connection goes on only where the next stream is asked for.
        let stream = ready!(self.poll_connection(cx))?;
        self.came.push_back(stream);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        // There may be more.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
