//! A node's record (ENR, EIP-778) with what Waku puts into it: where the node is, what it serves,
//! and on which shards (31/WAKU2-ENR, 51/WAKU2-RELAY-SHARDING).
//!
//! What must hold: nothing is taken of a record whose signature is not its own key's, which is what
//! the peer id is made from.

use std::str::FromStr;

use bytes::Bytes;
use enr::{Enr, EnrPublicKey};
use k256::ecdsa::SigningKey;
use libp2p::identity::{PublicKey, secp256k1};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::super::address;

/// The longest text of a record: 300 bytes in base64, and its prefix.
const MAX_TEXT: usize = 404;
/// Addresses that are taken of one record.
const MAX_ADDRESSES: usize = 16;
/// Shards of a cluster, as in a bit vector.
const SHARDS: usize = 1024;

/// What a node says that it serves (the `waku2` key of its record).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// Takes part in relay.
    pub relay: bool,
    /// Answers Store requests.
    pub store: bool,
    /// Pushes messages by content topic to light nodes.
    pub filter: bool,
    /// Publishes for light nodes.
    pub lightpush: bool,
    /// Answers syncs.
    pub sync: bool,
}

impl Capabilities {
    fn of_bits(bits: u8) -> Self {
        let bit = |n: u8| bits & (1 << n) != 0;
        Capabilities {
            relay: bit(0),
            store: bit(1),
            filter: bit(2),
            lightpush: bit(3),
            sync: bit(4),
        }
    }
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::node) struct Record {
    pub(in crate::node) peer: PeerId,
    /// Which version of the record it is.
    pub(in crate::node) seq: u64,
    /// Those that this node can dial, without `/p2p/…`, each once.
    pub(in crate::node) addresses: Vec<Multiaddr>,
    /// None where it does not say.
    pub(in crate::node) capabilities: Option<Capabilities>,
    /// None where it does not say.
    pub(in crate::node) cluster: Option<u32>,
    pub(in crate::node) shards: Vec<u32>,
}

impl Record {
    /// Reads `enr:…`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("a record of {} characters", text.len()));
        }
        // Its own errors may quote the record.
        let enr = Enr::<SigningKey>::from_str(text).map_err(|_| {
            "a record that cannot be read, or with a signature that is not its own".to_owned()
        })?;
        let key = secp256k1::PublicKey::try_from_bytes(&enr.public_key().encode())
            .map_err(|_| "a record with a key of no use".to_owned())?;
        let peer = PublicKey::from(key).to_peer_id();
        let value = |key: &str| enr.get_decodable::<Bytes>(key).and_then(Result::ok);
        let shards = match (value("rs"), value("rsv")) {
            (Some(list), _) => Some(listed(&list).ok_or("a list of shards that is none")?),
            (None, Some(bits)) => Some(in_bits(&bits).ok_or("a vector of shards that is none")?),
            (None, None) => None,
        };
        let (cluster, shards) = shards.map_or((None, Vec::new()), |(c, s)| (Some(c), s));
        let mut addresses = Vec::new();
        let mut add = |at: Multiaddr| {
            if addresses.len() < MAX_ADDRESSES
                && address::is_usable(&at)
                && !addresses.contains(&at)
            {
                addresses.push(at);
            }
        };
        let tcp = enr.tcp4().filter(|port| *port != 0);
        if let (Some(ip), Some(port)) = (enr.ip4(), tcp) {
            add(Multiaddr::from(ip).with(Protocol::Tcp(port)));
        }
        // Where there is no port of its own for IPv6, the other one is meant.
        if let (Some(ip), Some(port)) = (enr.ip6(), enr.tcp6().filter(|p| *p != 0).or(tcp)) {
            add(Multiaddr::from(ip).with(Protocol::Tcp(port)));
        }
        for mut at in value("multiaddrs").map(|bytes| multiaddrs(&bytes)).unwrap_or_default() {
            match at.iter().last() {
                Some(Protocol::P2p(meant)) if meant == peer => {
                    at.pop();
                    add(at);
                }
                Some(Protocol::P2p(_)) => {}
                _ => add(at),
            }
        }
        Ok(Record {
            peer,
            seq: enr.seq(),
            addresses,
            // A number, or a byte: a zero is empty as the former.
            capabilities: value("waku2")
                .map(|bits| Capabilities::of_bits(bits.last().copied().unwrap_or(0))),
            cluster,
            shards,
        })
    }
}

/// The addresses of the `multiaddrs` key: each behind its length in two bytes. What cannot be read
/// (a transport that is not known here) is left out, and all that follows a length that cannot be.
fn multiaddrs(mut bytes: &[u8]) -> Vec<Multiaddr> {
    let mut found = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let Some((one, rest)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else {
            break;
        };
        found.extend(Multiaddr::try_from(one.to_vec()));
        bytes = rest;
    }
    found
}

/// The cluster and the shards of an `rs` key: the cluster, how many there are, and each.
fn listed(bytes: &[u8]) -> Option<(u32, Vec<u32>)> {
    let (cluster, rest) = bytes.split_first_chunk::<2>()?;
    let (count, rest) = rest.split_first()?;
    let (shards, over) = rest.as_chunks::<2>();
    if shards.len() != usize::from(*count) || !over.is_empty() {
        return None;
    }
    let number = |bytes: &[u8; 2]| u32::from(u16::from_be_bytes(*bytes));
    Some((number(cluster), shards.iter().map(number).collect()))
}

/// The cluster and the shards of an `rsv` key: the cluster, and a bit for each shard.
fn in_bits(bytes: &[u8]) -> Option<(u32, Vec<u32>)> {
    let (cluster, bits) = bytes.split_first_chunk::<2>()?;
    if bits.len() != SHARDS / 8 {
        return None;
    }
    let set = |n: &usize| bits[n / 8] & (1 << (n % 8)) != 0;
    let shards = (0..SHARDS).filter(set).map(|n| n as u32).collect();
    Some((u32::from(u16::from_be_bytes(*cluster)), shards))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use enr::Builder;

    fn key() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    fn packed(addresses: &[&str]) -> Bytes {
        let mut out = Vec::new();
        for text in addresses {
            let bytes = text.parse::<Multiaddr>().unwrap().to_vec();
            out.extend((bytes.len() as u16).to_be_bytes());
            out.extend(bytes);
        }
        out.into()
    }

    fn texts(record: &Record) -> Vec<String> {
        record.addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        // EIP-778's: an address without TCP, so nothing to dial, but a peer.
        let text = "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuO\
                    h8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzB\
                    QA8yWM0xOIN1ZHCCdl8";
        let record = Record::parse(text).unwrap();
        assert_eq!((record.seq, record.cluster, record.capabilities), (1, None, None));
        assert!(record.addresses.is_empty());
        let touched = text.replace("N1ZHCCdl8", "N1ZHCCdl4");
        assert!(Record::parse(&touched).is_err());
    }

    #[test]
    fn all_that_waku_says_is_read() {
        let peer = {
            let key = secp256k1::SecretKey::try_from_bytes([7; 32]).unwrap();
            PublicKey::from(secp256k1::Keypair::from(key).public().clone()).to_peer_id()
        };
        let enr = Builder::default()
            .ip4([192, 0, 2, 1].into())
            .tcp4(60_000)
            .ip6("2001:db8::1".parse().unwrap())
            .add_value("waku2", &Bytes::from_static(&[0b10011]))
            .add_value("rs", &Bytes::from_static(&[0, 16, 2, 0, 1, 1, 2]))
            .add_value(
                "multiaddrs",
                &packed(&[
                    "/dns4/n.example/tcp/8000/wss",
                    "/ip4/192.0.2.1/tcp/60000",
                    "/ip4/192.0.2.1/udp/9000/quic-v1",
                    "/ip4/192.0.2.1/udp/9000",
                ]),
            )
            .build(&key())
            .unwrap();
        let record = Record::parse(&enr.to_base64()).unwrap();
        assert_eq!(record.peer, peer);
        assert_eq!(
            texts(&record),
            [
                "/ip4/192.0.2.1/tcp/60000",
                "/ip6/2001:db8::1/tcp/60000",
                "/dns4/n.example/tcp/8000/wss",
                "/ip4/192.0.2.1/udp/9000/quic-v1",
            ]
        );
        assert_eq!((record.cluster, record.shards), (Some(16), vec![1, 258]));
        let said = record.capabilities.unwrap();
        assert!(said.relay && said.store && said.sync && !said.filter && !said.lightpush);

        // Addresses may say whose they are.
        let own = format!("/ip4/192.0.2.1/tcp/1/p2p/{peer}");
        let others = format!("/ip4/192.0.2.1/tcp/2/p2p/{}", PeerId::random());
        let enr = Builder::default()
            .add_value("multiaddrs", &packed(&[&own, &others]))
            .build(&key())
            .unwrap();
        let record = Record::parse(&enr.to_base64()).unwrap();
        assert_eq!(texts(&record), ["/ip4/192.0.2.1/tcp/1"]);
    }

    #[test]
    fn shards_may_be_bits() {
        let mut bits = vec![0; 2 + SHARDS / 8];
        (bits[1], bits[2], bits[129]) = (1, 0b1000_0001, 0b1000_0000);
        assert_eq!(in_bits(&bits), Some((1, vec![0, 7, 1023])));
        assert_eq!(in_bits(&bits[..129]), None);
        assert_eq!(listed(&[0, 1, 0]), Some((1, vec![])));
        for bad in [&[][..], &[0, 1], &[0, 1, 2, 0, 1], &[0, 1, 1, 0, 1, 0]] {
            assert_eq!(listed(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn lengths_that_lead_out_end_the_list() {
        let mut bytes = packed(&["/ip4/192.0.2.1/tcp/1"]).to_vec();
        bytes.extend([0, 3, 255, 255, 255]);
        bytes.extend(packed(&["/ip4/192.0.2.1/tcp/2"]));
        bytes.extend([0xff, 0xff, 1]);
        assert_eq!(multiaddrs(&bytes).len(), 2);
        assert!(multiaddrs(&[0]).is_empty());
    }

    proptest::proptest! {
        // Signing takes its time.
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
        #[test]
        fn nothing_that_is_read_panics(bytes in proptest::collection::vec(0u8.., 0..300)) {
            let _ = Record::parse(&format!("enr:{}", data_encoding::BASE64URL_NOPAD.encode(&bytes)));
            let _ = (multiaddrs(&bytes), listed(&bytes), in_bits(&bytes));
            // Signed as it should be, so that what is inside is read.
            let mut builder = Builder::default();
            for key in ["waku2", "rs", "rsv", "multiaddrs"] {
                builder.add_value(key, &Bytes::from(bytes[..bytes.len().min(40)].to_vec()));
            }
            if let Ok(enr) = builder.build(&key()) {
                let _ = Record::parse(&enr.to_base64());
            }
        }
    }
}
