//! What is known of a connected peer, beside who it is: what it speaks, what it is, and where.
//!
//! What must hold: a peer's address group is made from where the connection really leads, never
//! from what the peer says; it is the same in every run, since coverage is kept by it.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, identify};
use sha2::{Digest, Sha256};

use crate::engine::{AddressGroup, PeerInfo};
use crate::wire::{reconciliation, store, strong};

/// How deployed nodes' agents begin: `nwaku-v0.37.0`, `logos-delivery-v0.38.0`.
const DEPLOYED: [&str; 2] = ["nwaku", "logos"];

/// How long the resolver may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// What a peer says of itself; its group is for [`place`] to say.
pub(super) fn told(info: &identify::Info, group: AddressGroup) -> PeerInfo {
    let speaks = |protocol: &str| info.protocols.iter().any(|p| p.as_ref() == protocol);
    PeerInfo {
        reconciles: speaks(reconciliation::PROTOCOL),
        strong: speaks(strong::PROTOCOL),
        store: speaks(store::PROTOCOL),
        deployed: is_deployed(&info.agent_version),
        group,
    }
}

fn is_deployed(agent: &str) -> bool {
    DEPLOYED.iter().any(|name| agent.starts_with(name))
}

/// Where a connection leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Here.
    At(AddressGroup),
    /// To a name that is to be resolved; the whole address stands for it where that fails.
    Named(String, Multiaddr),
}

/// Numbers of different kinds never meet.
enum Kind {
    /// Nothing is known: of a relayed connection the relay's address says nothing of the peer.
    Unknown = 0,
    /// From this machine: perhaps through a proxy or a tunnel, behind which anyone may be.
    Inward = 1,
    /// An address that we chose to dial, whole.
    Whole = 2,
    V4 = 4,
    V6 = 6,
}

fn group(kind: Kind, bits: u64) -> AddressGroup {
    AddressGroup((kind as u64) << 56 | bits)
}

fn whole(at: &Multiaddr) -> AddressGroup {
    let mut bits = [0; 8];
    bits.copy_from_slice(&Sha256::digest(at.as_ref())[..8]);
    group(Kind::Whole, u64::from_be_bytes(bits) >> 8)
}

fn of_v4(ip: Ipv4Addr) -> AddressGroup {
    group(Kind::V4, u64::from(ip.to_bits() >> 16))
}

/// The group of an address that leads to another machine.
pub(super) fn of_ip(ip: IpAddr) -> AddressGroup {
    match ip {
        IpAddr::V4(ip) => of_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => of_v4(ip),
            None => group(Kind::V6, (ip.to_bits() >> 96) as u64),
        },
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Where a connection leads. Two peers on this machine that we dialled are two (the app chose
/// them); all that come from this machine are one.
pub(super) fn place(endpoint: &ConnectedPoint) -> Place {
    let at = endpoint.get_remote_address();
    let circuit = |at: &Multiaddr| at.iter().any(|part| matches!(part, Protocol::P2pCircuit));
    if endpoint.is_relayed() || circuit(at) {
        return Place::At(group(Kind::Unknown, 0));
    }
    let ip = match at.iter().next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            return Place::Named(name.into_owned(), without_peer(at));
        }
        _ if endpoint.is_dialer() => return Place::At(whole(&without_peer(at))),
        _ => return Place::At(group(Kind::Unknown, 0)),
    };
    Place::At(match (is_loopback(ip), endpoint.is_dialer()) {
        (true, true) => whole(&without_peer(at)),
        (true, false) => group(Kind::Inward, 0),
        (false, _) => of_ip(ip),
    })
}

fn without_peer(at: &Multiaddr) -> Multiaddr {
    at.iter().take_while(|part| !matches!(part, Protocol::P2p(_))).collect()
}

/// Asks the system's resolver where a name leads. A name may lead to several places: the least of
/// their numbers is taken, so that it is the same the next time.
pub(super) async fn resolve(name: String, at: Multiaddr) -> AddressGroup {
    let asking = tokio::task::spawn_blocking(move || (name.as_str(), 0).to_socket_addrs());
    let ips: Vec<IpAddr> = match tokio::time::timeout(RESOLVE_TIMEOUT, asking).await {
        Ok(Ok(Ok(found))) => found.map(|at| at.ip()).collect(),
        _ => Vec::new(),
    };
    of_resolved(&ips, &at)
}

fn of_resolved(ips: &[IpAddr], at: &Multiaddr) -> AddressGroup {
    let outward = ips.iter().filter(|ip| !is_loopback(**ip)).map(|ip| of_ip(*ip));
    outward.min().unwrap_or_else(|| whole(at))
}

/// What a peer's facts are waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Facts {
    pub(super) info: PeerInfo,
    /// Identify has spoken. False where it failed or took too long, and [`Facts::waited`] is true.
    pub(super) identified: bool,
    /// Enough was waited for identify.
    pub(super) waited: bool,
    /// The group is known.
    pub(super) placed: bool,
}

impl Facts {
    /// Whether there is nothing to wait for any more.
    pub(super) fn are_complete(&self) -> bool {
        self.placed && (self.identified || self.waited)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;

    use super::*;

    fn dialled(at: &str) -> Place {
        place(&ConnectedPoint::Dialer {
            address: at.parse().unwrap(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::New,
        })
    }

    fn came(from: &str) -> Place {
        place(&ConnectedPoint::Listener {
            local_addr: "/ip4/127.0.0.1/tcp/1".parse().unwrap(),
            send_back_addr: from.parse().unwrap(),
        })
    }

    #[test]
    fn one_network_is_one_group() {
        let same = [
            dialled("/ip4/8.8.1.1/tcp/1"),
            dialled("/ip4/8.8.200.7/tcp/2/ws"),
            came("/ip4/8.8.9.9/tcp/50000"),
            came("/ip6/::ffff:8.8.4.4/tcp/50000"),
        ];
        assert!(same.iter().all(|p| *p == same[0]), "{same:?}");
        let v6 = [came("/ip6/2a01:4f8:1::1/tcp/1"), dialled("/ip6/2a01:4f8:ffff::2/tcp/2")];
        assert_eq!(v6[0], v6[1]);
        let different =
            [&same[0], &v6[0], &came("/ip4/8.9.1.1/tcp/1"), &came("/ip6/2a01:4f9::1/tcp/1")];
        for (n, one) in different.iter().enumerate() {
            assert!(different[..n].iter().all(|other| other != one), "{different:?}");
        }
    }

    #[test]
    fn of_this_machine_only_what_was_dialled_is_told_apart() {
        let one = dialled("/ip4/127.0.0.1/tcp/1");
        let id = libp2p::PeerId::random();
        assert_eq!(one, dialled(&format!("/ip4/127.0.0.1/tcp/1/p2p/{id}")));
        assert_ne!(one, dialled("/ip4/127.0.0.1/tcp/2"));
        let inward = came("/ip4/127.0.0.1/tcp/50000");
        assert_eq!(inward, came("/ip4/127.0.0.1/tcp/50001/ws"));
        assert_eq!(inward, came("/ip6/::1/tcp/50001"));
        assert_ne!(inward, one);
    }

    #[test]
    fn relayed_peers_are_one() {
        let id = libp2p::PeerId::random();
        let through = |relay: &str| format!("{relay}/tcp/1/p2p/{id}/p2p-circuit");
        let at = came(&through("/ip4/8.8.8.8"));
        assert_eq!(at, came(&through("/ip4/9.9.9.9")));
        assert_eq!(at, dialled(&through("/ip4/9.9.9.9")));
        assert_eq!(at, Place::At(AddressGroup(0)));
    }

    #[test]
    fn a_name_is_where_it_leads() {
        let at: Multiaddr = "/dns4/node.example/tcp/443/wss".parse().unwrap();
        assert_eq!(dialled(&at.to_string()), Place::Named("node.example".into(), at.clone()));
        let ips: Vec<IpAddr> = ["9.9.1.1", "8.8.1.1", "2a01::1"].map(|t| t.parse().unwrap()).into();
        assert_eq!(of_resolved(&ips, &at), of_ip(ips[1]));
        assert_eq!(of_resolved(&[], &at), whole(&at));
        assert_eq!(of_resolved(&["127.0.0.1".parse().unwrap()], &at), whole(&at));
    }

    #[test]
    fn deployed_nodes_are_known_by_their_agent() {
        assert!(is_deployed("nwaku-v0.36.0") && is_deployed("logos-delivery-v0.38.1"));
        assert!(!is_deployed("wakustore/0.1.0") && !is_deployed("") && !is_deployed("my-nwaku"));
    }
}
