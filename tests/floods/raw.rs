//! A connection without manners: secured and multiplexed, and nothing on top. What goes over its
//! streams, the agreement on a protocol too, is written by hand.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::upgrade::Version;
use libp2p::core::{Endpoint, Transport};
use libp2p::{Multiaddr, PeerId, identity, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};

pub struct Raw {
    wishes: mpsc::UnboundedSender<oneshot::Sender<SubstreamBox>>,
    driving: tokio::task::JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Raw {
    /// Connects as somebody new.
    pub async fn connect(to: &Multiaddr) -> io::Result<Raw> {
        let key = identity::Keypair::generate_ed25519();
        let mut yamux = yamux::Config::default();
        yamux.set_max_num_streams(4096);
        let mut transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(&key).unwrap())
            .multiplex(yamux)
            .timeout(Duration::from_secs(10))
            .boxed();
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = transport.dial(to.clone(), options).map_err(io::Error::other)?;
        let (_, muxer): (PeerId, StreamMuxerBox) = dial.await?;
        let (wishes, wished) = mpsc::unbounded_channel();
        Ok(Raw { wishes, driving: tokio::spawn(drive(muxer, wished)) })
    }

    /// Whether the connection has ended.
    pub fn is_over(&self) -> bool {
        self.driving.is_finished()
    }

    /// A stream on which nothing was said yet.
    pub async fn bare(&self) -> io::Result<SubstreamBox> {
        let (wish, stream) = oneshot::channel();
        let over = || io::Error::from(io::ErrorKind::NotConnected);
        self.wishes.send(wish).map_err(|_| over())?;
        stream.await.map_err(|_| over())
    }

    /// A stream of a protocol.
    pub async fn open(&self, protocol: &str) -> io::Result<SubstreamBox> {
        let mut stream = self.bare().await?;
        stream.write_all(&proposal(protocol)).await?;
        stream.flush().await?;
        line(&mut stream).await?;
        match line(&mut stream).await? {
            answer if answer.starts_with(protocol.as_bytes()) => Ok(stream),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// What proposes a protocol.
pub fn proposal(protocol: &str) -> Vec<u8> {
    let mut both = wakustore::wire::varint::prefixed(b"/multistream/1.0.0\n");
    both.extend(wakustore::wire::varint::prefixed(format!("{protocol}\n").as_bytes()));
    both
}

async fn line(stream: &mut SubstreamBox) -> io::Result<Vec<u8>> {
    let mut length = [0];
    stream.read_exact(&mut length).await?;
    let mut line = vec![0; usize::from(length[0])];
    stream.read_exact(&mut line).await?;
    Ok(line)
}

/// Streams that the node opens are reset.
async fn drive(
    mut muxer: StreamMuxerBox,
    mut wished: mpsc::UnboundedReceiver<oneshot::Sender<SubstreamBox>>,
) {
    let mut waiting = VecDeque::new();
    let mut over = false;
    poll_fn(move |cx| {
        loop {
            while !over && let Poll::Ready(wish) = wished.poll_recv(cx) {
                match wish {
                    Some(wish) => waiting.push_back(wish),
                    None => over = true,
                }
            }
            if over {
                return Poll::Ready(());
            }
            if !waiting.is_empty() {
                match muxer.poll_outbound_unpin(cx) {
                    Poll::Ready(Ok(stream)) => {
                        if let Some(wish) = waiting.pop_front() {
                            let _: Result<(), _> = wish.send(stream);
                        }
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            match muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    drop(stream);
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            match muxer.poll_unpin(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
