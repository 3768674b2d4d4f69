//! A bare stream: so many bytes are asked with, so many come back; over TCP, Noise and Yamux as the
//! node has them, with a new stream each time and nothing else.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::upgrade::Version;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, Transport, identity, noise, tcp, yamux};

use crate::child_support::{say, told};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bench/bare/1.0.0");

fn swarm() -> Swarm<libp2p_stream::Behaviour> {
    let key = identity::Keypair::generate_ed25519();
    let transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(Duration::from_secs(600));
    Swarm::new(transport, libp2p_stream::Behaviour::new(), key.public().to_peer_id(), config)
}

/// Answers until its standard input closes.
pub(crate) fn run(asked: usize, answered: usize) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let mut swarm = swarm();
        let mut streams = swarm.behaviour().new_control().accept(PROTOCOL).unwrap();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        tokio::spawn(async move {
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    say(&format!("address {address}"));
                }
            }
        });
        let page: std::sync::Arc<[u8]> = vec![7; answered].into();
        tokio::spawn(async move {
            while let Some((_, mut stream)) = streams.next().await {
                let page = page.clone();
                tokio::spawn(async move {
                    stream.read_exact(&mut vec![0; asked]).await.unwrap();
                    stream.write_all(&page).await.unwrap();
                    stream.close().await.unwrap();
                });
            }
        });
        while told().await.is_some() {}
    });
}

pub(crate) struct Client {
    control: libp2p_stream::Control,
    peer: PeerId,
    request: Vec<u8>,
    answered: usize,
}

impl Client {
    pub(crate) async fn connect(to: &str, asked: usize, answered: usize) -> Client {
        let mut swarm = swarm();
        let control = swarm.behaviour().new_control();
        let at: Multiaddr = to.parse().unwrap();
        swarm.dial(DialOpts::unknown_peer_id().address(at).build()).unwrap();
        let peer = loop {
            if let SwarmEvent::ConnectionEstablished { peer_id, .. } =
                swarm.select_next_some().await
            {
                break peer_id;
            }
        };
        tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Client { control, peer, request: vec![1; asked], answered }
    }

    pub(crate) async fn ask(&self) {
        let mut control = self.control.clone();
        let mut stream = control.open_stream(self.peer, PROTOCOL).await.unwrap();
        stream.write_all(&self.request).await.unwrap();
        stream.flush().await.unwrap();
        let mut page = vec![0; self.answered];
        stream.read_exact(&mut page).await.unwrap();
        // Closing is left to the background, as the node leaves it.
        tokio::spawn(async move { stream.close().await });
    }
}
