//! How bytes get to a peer: TCP, QUIC or WebSocket (with TLS where the address says so), with names
//! looked up; Noise, Yamux or Mplex over what has none of its own.
//!
//! TCP_NODELAY is on: without it a page of history takes 45 ms instead of 3. Mplex is there for
//! js-waku, whose light node offers no other; Yamux is preferred.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::upgrade::{SelectUpgrade, Version};
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport, noise, quic, tcp, websocket};

use super::muxer::Yamux;
use super::named::Named;
use super::names::Names;
use super::no_signal::NoSignal;
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
/// Bytes on their way to us over QUIC that may wait to be read: of one stream, and of a connection.
const QUIC_STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const QUIC_WINDOW: u32 = 8 * 1024 * 1024;
/// How often a QUIC connection shows that it lives, and how long it may show nothing. (Its own
/// default of five seconds would keep a phone's radio awake.)
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(15);
const QUIC_IDLE: Duration = Duration::from_secs(45);

/// Connections as the swarm uses them.
pub(super) type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// The whole stack. `timeout` bounds the way from the first packet to a secured connection, and with
/// it all that was looked up for one.
pub(super) fn build(
    key: &Keypair,
    timeout: Duration,
    names: &Names,
    tls: websocket::tls::Config,
) -> Result<Connections> {
    let tcp = || {
        let plain = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
        plain.map(|stream, _| NoSignal(stream))
    };
    // TLS must see the name, so it is looked up below.
    let mut websocket = websocket::Config::new(Named::hosts(tcp(), names.clone()));
    websocket.set_tls_config(tls);
    // A frame's buffer is made by its announced length, before anybody has said who he is.
    websocket.set_max_data_size(MAX_WEBSOCKET_FRAME);
    let websocket = secure(websocket, key, timeout)?;
    let direct = secure(tcp(), key, timeout)?
        .or_transport(over_quic(key, timeout))
        .map(|connection, _| connection.into_inner());
    let all = websocket
        .or_transport(Named::hosts(direct, names.clone()))
        .map(|connection, _| connection.into_inner())
        .map_err(io::Error::other);
    Ok(TransportTimeout::new(Named::whole(all, names.clone()), timeout)
        .map_err(io::Error::other)
        .boxed())
}

fn over_quic(key: &Keypair, timeout: Duration) -> Connections {
    let mut config = quic::Config::new(key);
    config.handshake_timeout = timeout;
    config.max_idle_timeout = u32::try_from(QUIC_IDLE.as_millis()).unwrap_or(u32::MAX);
    config.keep_alive_interval = QUIC_KEEP_ALIVE;
    config.max_concurrent_stream_limit = MAX_STREAMS as u32;
    config.max_stream_data = QUIC_STREAM_WINDOW;
    config.max_connection_data = QUIC_WINDOW;
    quic::tokio::Transport::new(config)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .boxed()
}

/// Noise and a multiplexer over a transport of bare bytes.
fn secure<T>(bare: T, key: &Keypair, timeout: Duration) -> Result<Connections>
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
    Ok(bare
        .map_err(io::Error::other)
        .upgrade(Version::V1)
        .authenticate(noise)
        .multiplex(SelectUpgrade::new(yamux, mplex))
        .timeout(timeout)
        .boxed())
}
