//! How bytes get to a peer: TCP or WebSocket, with names resolved, Noise, Yamux or Mplex.
//!
//! TCP_NODELAY is on: without it a page of history takes 45 ms instead of 3. Mplex is there for
//! js-waku, whose light node offers no other; Yamux is preferred.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::{SelectUpgrade, Version};
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport, dns, noise, tcp, websocket};

use super::muxer::Yamux;
use crate::error::{Error, ErrorKind, Result};

/// Streams at once on one connection, both ways. What a peer sends on a stream is held in memory
/// until it is read, up to the stream's window (256 KiB by Yamux's specification): so this many
/// streams may be agreeing on a protocol at once, and then are read, served within the limits on
/// streams or closed. None lies there full and unread.
pub(super) const MAX_STREAMS: usize = 128;
/// Frames of one Mplex stream that wait to be read, of up to 1 MiB each; then its connection waits.
const MAX_MPLEX_FRAMES: usize = 2;
/// What one WebSocket frame may hold. Noise, which is inside, writes at most 64 KiB at once.
const MAX_WEBSOCKET_FRAME: usize = 1024 * 1024;

/// Connections as the swarm uses them.
pub(super) type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// The whole stack. `timeout` bounds the way from the first packet to a secured connection.
pub(super) fn build(key: &Keypair, timeout: Duration) -> Result<Connections> {
    let tcp = || tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    // A machine may have no resolver configuration at all (Android has none): then addresses by
    // number still work.
    match (dns::tokio::Transport::system(tcp()), dns::tokio::Transport::system(tcp())) {
        (Ok(plain), Ok(under_ws)) => secure(plain, under_ws, key, timeout),
        _ => {
            tracing::info!("no resolver configuration: only addresses by number can be dialled");
            secure(tcp(), tcp(), key, timeout)
        }
    }
}

fn secure<T>(plain: T, under_ws: T, key: &Keypair, timeout: Duration) -> Result<Connections>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let noise = noise::Config::new(key)
        .map_err(|e| Error::new(ErrorKind::KeyFile, format!("the key does not sign: {e}")))?;
    let yamux = Yamux::new(MAX_STREAMS);
    let mut mplex = libp2p_mplex::Config::new();
    mplex.set_max_num_streams(MAX_STREAMS);
    mplex.set_max_buffer_size(MAX_MPLEX_FRAMES);
    // A frame's buffer is made by its announced length, before anybody has said who he is.
    let mut websocket = websocket::Config::new(under_ws);
    websocket.set_max_data_size(MAX_WEBSOCKET_FRAME);
    Ok(websocket
        .or_transport(plain)
        .map_err(io::Error::other)
        .upgrade(Version::V1)
        .authenticate(noise)
        .multiplex(SelectUpgrade::new(yamux, mplex))
        .timeout(timeout)
        .boxed())
}
