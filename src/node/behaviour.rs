//! The libp2p behaviours of a node, put together.

use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{connection_limits, identify, ping};

use super::NodeConfig;
use super::bans::Bans;
use super::relay::{self, Gossip};
use super::room::Room;
use super::streams::Streams;
use crate::error::Result;

/// What identify names the family of protocols.
const PROTOCOL_VERSION: &str = "waku/1.0.0";
/// Connections on their way at once, each way.
const MAX_PENDING: u32 = 64;

/// Everything that the swarm runs.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(super) bans: Bans,
    /// The last that can refuse a connection: for one that it admits another may have to go.
    pub(super) room: Room,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) streams: Streams,
    pub(super) relay: Toggle<Gossip>,
}

impl Behaviour {
    /// # Errors
    /// Those of [`relay::build`].
    pub(super) fn new(config: &NodeConfig, key: &Keypair, streams: Streams) -> Result<Self> {
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(MAX_PENDING))
            .with_max_pending_outgoing(Some(MAX_PENDING))
            .with_max_established_per_peer(Some(config.max_connections_per_peer));
        let identify = identify::Config::new(PROTOCOL_VERSION.into(), key.public())
            .with_agent_version(concat!("wakustore/", env!("CARGO_PKG_VERSION")).into())
            // Deployed nodes announce addresses at which they cannot be reached: dial as told.
            .with_cache_size(0);
        let ping = ping::Config::new()
            .with_interval(Duration::from_secs(30))
            .with_timeout(Duration::from_secs(20));
        Ok(Behaviour {
            limits: connection_limits::Behaviour::new(limits),
            bans: Bans::default(),
            room: Room::new(config.peers.limits(config.max_connections)),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            streams,
            relay: relay::build(config.relay)?,
        })
    }
}
