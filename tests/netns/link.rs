//! A link between two nodes: a relay in user space that lets bytes through late, holds them back, or
//! cuts every connection.
//!
//! What must hold: nothing is lost or turned round within a connection, as TCP promises it; while a
//! link is stalled not a byte gets through, either way, and nothing tells its ends of that; when it
//! is cut its connections end at once and new ones do too.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// About what a packet carries.
const PACKET: usize = 1400;
/// Packets on their way, at most, one way of one connection: 400 KiB a second with a delay of 100 ms
/// each way.
const QUEUE: usize = 64;
/// What the kernel may keep of a connection on either side of it. Without this bound it would keep
/// all of what is sent in a minute, and a link that comes back would have lost nothing.
const BUFFER: u32 = 32 * 1024;

/// What a link does with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Open,
    Stalled,
    Cut,
}

/// What the link does, and how often it was cut: a connection that was made before is no more.
type State = (Way, u64);

/// Both directions in which connections are made over one link.
pub struct Link(watch::Sender<State>);

impl Link {
    /// Where somebody connects to the first address of a pair he reaches the second.
    pub async fn new(ways: [(SocketAddr, SocketAddr); 2], delay: Duration) -> Link {
        let way = watch::Sender::new((Way::Open, 0));
        for (at, to) in ways {
            let socket = socket();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(at).unwrap();
            tokio::spawn(accept(socket.listen(128).unwrap(), to, delay, way.subscribe()));
        }
        Link(way)
    }

    pub fn set(&self, way: Way) {
        self.0.send_modify(|state| {
            state.0 = way;
            state.1 += u64::from(way == Way::Cut);
        });
    }
}

/// What is accepted has its listener's bounds.
fn socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(BUFFER).unwrap();
    socket.set_recv_buffer_size(BUFFER).unwrap();
    socket
}

/// Ends with the link.
async fn accept(at: TcpListener, to: SocketAddr, delay: Duration, mut way: watch::Receiver<State>) {
    loop {
        let near = tokio::select! {
            gone = way.wait_for(|_| false) => { let _ = gone.is_err(); return }
            accepted = at.accept() => match accepted {
                Ok((near, _)) => near,
                Err(_) => continue,
            },
        };
        let (way, mut cut) = (way.clone(), way.clone());
        let cuts = cut.borrow_and_update().1;
        tokio::spawn(async move {
            tokio::select! {
                // It drops the sockets.
                _ = cut.wait_for(|(way, n)| *way == Way::Cut || *n != cuts) => {}
                _ = connection(near, to, delay, way) => {}
            }
        });
    }
}

async fn connection(
    near: TcpStream,
    to: SocketAddr,
    delay: Duration,
    mut way: watch::Receiver<State>,
) -> io::Result<()> {
    open(&mut way).await;
    let far = socket().connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::try_join!(
        carry(near_in, far_out, delay, way.clone()),
        carry(far_in, near_out, delay, way)
    )?;
    Ok(())
}

/// Until the link lets bytes through; for ever where it is gone.
async fn open(way: &mut watch::Receiver<State>) {
    if way.wait_for(|(way, _)| *way == Way::Open).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    mut way: watch::Receiver<State>,
) -> io::Result<()> {
    let (packets, mut queue) = mpsc::channel::<(Instant, Vec<u8>)>(QUEUE);
    let reading = async move {
        let mut packet = [0; PACKET];
        loop {
            match from.read(&mut packet).await? {
                0 => return Ok(()),
                len => {
                    let due = Instant::now() + delay;
                    if packets.send((due, packet[..len].to_vec())).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    };
    let writing = async move {
        while let Some((due, packet)) = queue.recv().await {
            sleep_until(due).await;
            open(&mut way).await;
            to.write_all(&packet).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(reading, writing)?;
    Ok::<(), io::Error>(())
}
