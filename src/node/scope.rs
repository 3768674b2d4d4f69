//! How far an address reaches, and which network it lies in.
//!
//! What must hold: an address that another one tells of is dialled only where it can mean the same
//! here as there. `/ip4/192.168.1.7` is somebody else's machine in each house, and a stranger must
//! not have us knock at doors of our own network.

use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use sha2::{Digest, Sha256};

use super::facts;
use crate::engine::AddressGroup;

/// From where an address can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Scope {
    /// This machine.
    Loopback,
    /// This house: private, link-local and shared networks.
    Private,
    /// From anywhere, as far as can be told.
    Public,
}

/// Where an address can be reached from; `None` for one that leads nowhere: no port, no host of its
/// own, or through another peer.
pub(super) fn of(at: &Multiaddr) -> Option<Scope> {
    let mut parts = at.iter();
    let host = parts.next()?;
    let circuit = |part| matches!(part, Protocol::P2pCircuit);
    if at.iter().any(circuit) || matches!(parts.next(), Some(Protocol::Tcp(0) | Protocol::Udp(0))) {
        return None;
    }
    match host {
        Protocol::Ip4(ip) => of_ip(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => of_ip(IpAddr::V6(ip).to_canonical()),
        Protocol::Dns(name)
        | Protocol::Dns4(name)
        | Protocol::Dns6(name)
        | Protocol::Dnsaddr(name) => Some(of_name(&name)),
        _ => None,
    }
}

fn of_ip(ip: IpAddr) -> Option<Scope> {
    if ip.is_unspecified() || ip.is_multicast() {
        return None;
    }
    if ip.is_loopback() {
        return Some(Scope::Loopback);
    }
    let private = match ip {
        IpAddr::V4(ip) => {
            if ip.is_broadcast() || ip.is_documentation() || ip.octets()[0] == 0 {
                return None;
            }
            // 100.64.0.0/10 is what providers share among their customers.
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    Some(if private { Scope::Private } else { Scope::Public })
}

fn of_name(name: &str) -> Scope {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let under = |top: &str| name == top || name.ends_with(&format!(".{top}"));
    match () {
        () if under("localhost") => Scope::Loopback,
        () if under("local") || under("internal") || !name.contains('.') => Scope::Private,
        () => Scope::Public,
    }
}

/// The nearest scope of which addresses that others tell are taken, for a node that listens here: its
/// own, so that a network that is all on one machine, or in one house, finds its peers too. A node
/// that does not listen, or listens to the world, takes public ones alone.
pub(super) fn taken_by(listening: &[Multiaddr]) -> Scope {
    listening.iter().filter_map(of).max().unwrap_or(Scope::Public)
}

/// The network that an address lies in: an IPv4 /16, an IPv6 /32, or the last two labels of a name.
pub(super) fn network(at: &Multiaddr) -> AddressGroup {
    match at.iter().next() {
        Some(Protocol::Ip4(ip)) => facts::of_ip(IpAddr::V4(ip)),
        Some(Protocol::Ip6(ip)) => facts::of_ip(IpAddr::V6(ip)),
        Some(
            Protocol::Dns(name)
            | Protocol::Dns4(name)
            | Protocol::Dns6(name)
            | Protocol::Dnsaddr(name),
        ) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let mut labels: Vec<&str> = name.rsplit('.').take(2).collect();
            labels.reverse();
            let digest = Sha256::digest(labels.join(".").as_bytes());
            let mut bits = [0; 8];
            bits.copy_from_slice(&digest[..8]);
            AddressGroup(u64::from_be_bytes(bits))
        }
        _ => AddressGroup(0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn at(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_sorted_by_where_they_can_be_reached_from() {
        for (text, scope) in [
            ("/ip4/127.0.0.1/tcp/1", Some(Scope::Loopback)),
            ("/ip6/::1/tcp/1/ws", Some(Scope::Loopback)),
            ("/ip6/::ffff:127.0.0.1/tcp/1", Some(Scope::Loopback)),
            ("/dns4/localhost/tcp/1", Some(Scope::Loopback)),
            ("/ip4/192.168.1.1/tcp/1", Some(Scope::Private)),
            ("/ip4/10.1.1.1/tcp/1", Some(Scope::Private)),
            ("/ip4/100.100.1.1/tcp/1", Some(Scope::Private)),
            ("/ip4/169.254.1.1/tcp/1", Some(Scope::Private)),
            ("/ip6/fe80::1/tcp/1", Some(Scope::Private)),
            ("/ip6/fd00::1/tcp/1", Some(Scope::Private)),
            ("/dns4/printer/tcp/1", Some(Scope::Private)),
            ("/dns4/nas.local/tcp/1", Some(Scope::Private)),
            ("/ip4/8.8.8.8/tcp/1", Some(Scope::Public)),
            ("/ip4/8.8.8.8/udp/1/quic-v1", Some(Scope::Public)),
            ("/ip6/2a01::1/tcp/1", Some(Scope::Public)),
            ("/dns4/node.example.org/tcp/443/wss", Some(Scope::Public)),
            ("/ip4/0.0.0.0/tcp/1", None),
            ("/ip6/::/tcp/1", None),
            ("/ip4/224.0.0.1/tcp/1", None),
            ("/ip4/8.8.8.8/tcp/0", None),
            ("/unix/tmp", None),
        ] {
            assert_eq!(of(&at(text)), scope, "{text}");
        }
    }

    #[test]
    fn told_addresses_are_taken_as_near_as_the_node_listens() {
        let [loopback, private, public] =
            ["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1"].map(at);
        assert_eq!(taken_by(&[]), Scope::Public);
        assert_eq!(taken_by(std::slice::from_ref(&loopback)), Scope::Loopback);
        assert_eq!(taken_by(&[loopback.clone(), private.clone()]), Scope::Private);
        assert_eq!(taken_by(&[loopback, private, public]), Scope::Public);
    }

    #[test]
    fn networks_are_told_apart() {
        assert_eq!(network(&at("/ip4/8.8.1.1/tcp/1")), network(&at("/ip4/8.8.9.9/tcp/2")));
        assert_ne!(network(&at("/ip4/8.8.1.1/tcp/1")), network(&at("/ip4/8.9.1.1/tcp/1")));
        let [a, b, c] =
            ["/dns4/a.one.org/tcp/1", "/dns4/b.c.one.org/tcp/1", "/dns4/a.two.org/tcp/1"]
                .map(|text| network(&at(text)));
        assert_eq!(a, b);
        assert_ne!(a, c);
    }
}
