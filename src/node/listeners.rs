//! Where the node listens: in the order in which it was asked to.

use std::io::ErrorKind as IoKind;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Multiaddr, Swarm};

use super::dials::innermost;
use crate::error::{Error, ErrorKind, Result, bail};

/// The listeners, and the addresses that each has.
#[derive(Default)]
pub(super) struct Listeners(Vec<Listener>);

struct Listener {
    id: ListenerId,
    asked: Multiaddr,
    at: Vec<Multiaddr>,
    closed: Option<String>,
}

/// Begins to listen.
///
/// # Errors
/// [`ErrorKind::Address`] for an address that is not usable, [`ErrorKind::Listen`] where it fails.
pub(super) fn begin<B>(swarm: &mut Swarm<B>, address: &Multiaddr) -> Result<ListenerId>
where
    B: NetworkBehaviour,
{
    check_free(address)?;
    match swarm.listen_on(address.clone()) {
        Ok(id) => Ok(id),
        Err(TransportError::MultiaddrNotSupported(_)) => {
            bail!(
                Address,
                "this node listens at /ip4 or /ip6, /tcp, and /ws on top (/tls/ws with a \
                 certificate), or /udp and /quic-v1: not at {address}"
            )
        }
        Err(TransportError::Other(e)) => Err(failed(address, &innermost(&e))),
    }
}

/// Whether somebody listens there already. The transport would not notice: it shares its ports
/// (SO_REUSEPORT), so that a second node on the first one's port would get every other connection.
/// On `/ip6/::` a listener of another process at the same port of IPv4 counts as well.
fn check_free(address: &Multiaddr) -> Result<()> {
    let parts: Vec<Protocol<'_>> = address.iter().take(2).collect();
    let at = match parts.as_slice() {
        [Protocol::Ip4(ip), Protocol::Tcp(port)] => SocketAddr::from((*ip, *port)),
        [Protocol::Ip6(ip), Protocol::Tcp(port)] => SocketAddr::from((*ip, *port)),
        _ => return Ok(()),
    };
    match std::net::TcpListener::bind(at) {
        Ok(_) => Ok(()),
        Err(e) => Err(failed(address, &e.to_string())),
    }
}

/// Waits until the UDP ports of these are free, for a while: what ran over QUIC keeps its socket until
/// the other side has heard of the end.
pub(super) async fn freed(addresses: &[Multiaddr]) {
    for address in addresses {
        let parts: Vec<Protocol<'_>> = address.iter().take(2).collect();
        let at = match parts.as_slice() {
            [Protocol::Ip4(ip), Protocol::Udp(port)] => SocketAddr::from((*ip, *port)),
            [Protocol::Ip6(ip), Protocol::Udp(port)] => SocketAddr::from((*ip, *port)),
            _ => continue,
        };
        while std::net::UdpSocket::bind(at).is_err_and(|e| e.kind() == IoKind::AddrInUse) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn failed(address: &Multiaddr, why: &str) -> Error {
    Error::new(ErrorKind::Listen, format!("cannot listen at {address}: {why}"))
}

/// See [`Listeners::again`].
pub(super) struct Again {
    pub(super) asked: Multiaddr,
    pub(super) at: Multiaddr,
}

/// An address that was asked for with the port that was taken.
fn with_port(asked: &Multiaddr, at: &[Multiaddr]) -> Multiaddr {
    let port = at.iter().flat_map(Multiaddr::iter).find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    });
    let part = |part| match (part, port) {
        (Protocol::Tcp(0), Some(port)) => Protocol::Tcp(port),
        (Protocol::Udp(0), Some(port)) => Protocol::Udp(port),
        (part, _) => part,
    };
    asked.iter().map(part).collect()
}

impl Listeners {
    pub(super) fn begun(&mut self, id: ListenerId, asked: Multiaddr) {
        self.0.push(Listener { id, asked, at: Vec::new(), closed: None });
    }

    fn get(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.0.iter_mut().find(|l| l.id == id)
    }

    pub(super) fn add(&mut self, id: ListenerId, address: Multiaddr) {
        if let Some(listener) = self.get(id)
            && !listener.at.contains(&address)
        {
            listener.at.push(address);
        }
    }

    pub(super) fn remove(&mut self, id: ListenerId, address: &Multiaddr) {
        if let Some(listener) = self.get(id) {
            listener.at.retain(|a| a != address);
        }
    }

    pub(super) fn close(&mut self, id: ListenerId, why: Option<std::io::Error>) {
        if let Some(listener) = self.get(id) {
            listener.at.clear();
            listener.closed = Some(why.map_or_else(|| "it closed".to_owned(), |e| innermost(&e)));
        }
    }

    /// Whether each has an address.
    ///
    /// # Errors
    /// [`ErrorKind::Listen`] where one has closed.
    pub(super) fn all_listen(&self) -> Result<bool> {
        for listener in &self.0 {
            if let Some(why) = &listener.closed {
                return Err(failed(&listener.asked, why));
            }
        }
        Ok(self.0.iter().all(|l| !l.at.is_empty()))
    }

    /// How to listen in the same way again: at each address as it was asked for, and with the port
    /// that it came to.
    pub(super) fn again(&self) -> Vec<Again> {
        let again = |l: &Listener| Again { asked: l.asked.clone(), at: with_port(&l.asked, &l.at) };
        self.0.iter().map(again).collect()
    }

    /// All addresses.
    pub(super) fn addresses(&self) -> Vec<Multiaddr> {
        self.0.iter().flat_map(|l| l.at.iter().cloned()).collect()
    }
}
