//! Addresses and peer ids as text.

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::error::{Error, ErrorKind, Result, bail};

/// Where a peer is, and who it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Without `/p2p/…`.
    pub(super) at: Multiaddr,
    pub(super) peer: Option<PeerId>,
}

/// How a caller names a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PeerName {
    Id(PeerId),
    At(Address),
}

impl PeerName {
    /// The peer's id, where it is known.
    pub(super) fn id(&self) -> Option<PeerId> {
        match self {
            PeerName::Id(peer) => Some(*peer),
            PeerName::At(address) => address.peer,
        }
    }
}

impl std::fmt::Display for PeerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PeerName::Id(peer) => write!(f, "{peer}"),
            PeerName::At(Address { at, peer: Some(peer) }) => write!(f, "{at}/p2p/{peer}"),
            PeerName::At(Address { at, peer: None }) => write!(f, "{at}"),
        }
    }
}

/// Reads an address, with or without `/p2p/…` at its end.
pub(super) fn parse(text: &str) -> Result<Address> {
    let mut at: Multiaddr = text.parse().map_err(|e| {
        Error::new(ErrorKind::Address, format!("{text:?} is not a multiaddress: {e}"))
    })?;
    let peer = match at.iter().last() {
        Some(Protocol::P2p(peer)) => {
            at.pop();
            Some(peer)
        }
        _ => None,
    };
    if !is_usable(&at) {
        bail!(
            Address,
            "{text:?} is not an address for this node: it takes /ip4, /ip6 or /dns, then /tcp, and \
             perhaps /ws"
        );
    }
    Ok(Address { at, peer })
}

/// Whether the transport can do something with it. The transport's own refusals come late, and
/// wrapped in several layers.
pub(super) fn is_usable(at: &Multiaddr) -> bool {
    use Protocol::{Dns, Dns4, Dns6, Dnsaddr, Ip4, Ip6, Tcp, Tls, Ws, Wss};
    let parts: Vec<Protocol<'_>> = at.iter().collect();
    match parts.as_slice() {
        [Dnsaddr(_)] => true,
        [Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), Tcp(_), rest @ ..] => {
            matches!(rest, [] | [Ws(_) | Wss(_)] | [Tls, Ws(_)])
        }
        _ => false,
    }
}

/// Reads a peer id, or an address.
pub(super) fn parse_peer(text: &str) -> Result<PeerName> {
    if text.starts_with('/') {
        return match parse(text) {
            // `/p2p/…` alone names a peer all the same.
            Err(e) => match text.strip_prefix("/p2p/").map(str::parse) {
                Some(Ok(peer)) => Ok(PeerName::Id(peer)),
                _ => Err(e),
            },
            Ok(address) => Ok(PeerName::At(address)),
        };
    }
    match text.parse() {
        Ok(peer) => Ok(PeerName::Id(peer)),
        Err(e) => bail!(Address, "{text:?} is neither a peer id ({e}) nor a multiaddress"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const ID: &str = "12D3KooW";

    #[test]
    fn the_peer_is_split_off() {
        let id: PeerId = PeerId::random();
        let with = parse(&format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{id}")).unwrap();
        let without = parse("/ip4/127.0.0.1/tcp/1/ws").unwrap();
        assert_eq!((with.at, with.peer), (without.at, Some(id)));
        assert_eq!(without.peer, None);
    }

    #[test]
    fn peers_are_named_by_id_or_address() {
        let id = PeerId::random();
        assert_eq!(parse_peer(&id.to_string()).unwrap(), PeerName::Id(id));
        assert_eq!(parse_peer(&format!("/p2p/{id}")).unwrap(), PeerName::Id(id));
        assert!(matches!(parse_peer("/dns4/example.org/tcp/1").unwrap(), PeerName::At(_)));
    }

    #[test]
    fn garbage_is_an_address_error() {
        for text in
            ["", "/", "nonsense", "/ip4/300.1.1.1/tcp/1", "/ip4/1.1.1.1/tcp/x", ID, "/p2p/x"]
        {
            assert_eq!(parse_peer(text).unwrap_err().kind(), ErrorKind::Address, "{text}");
        }
    }
}
