//! Which peers a node keeps, the room for others, and whether it is online.

use std::time::Duration;

use super::call::{call, guard, guarded};
use super::error::Result;
use super::node::Node;
use crate::node::{self, PeerConfig, Speaks};

/// Which peers a node keeps connected by itself, and the room for others; what is absent is as the
/// library has it.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct PeerOptions {
    /// Addresses of peers that are to be connected at all times, best with `/p2p/…` at their end;
    /// at most 256. One that cannot be reached, or went, is dialled again and again.
    #[uniffi(default = [])]
    pub bootstrap: Vec<String>,
    /// So many peers that speak Store are kept connected, out of those that the node reached before
    /// or learned of; at most 64. 4 where the node has bootstrap peers or learned of some, and none
    /// otherwise.
    #[uniffi(default = None)]
    pub store_peers: Option<u32>,
    /// The same of peers that sync.
    #[uniffi(default = None)]
    pub sync_peers: Option<u32>,
    /// The same of peers that relay, where the node relays itself.
    #[uniffi(default = None)]
    pub relay_peers: Option<u32>,
    /// Connections that peers open; three quarters of all where absent.
    #[uniffi(default = None)]
    pub max_incoming: Option<u32>,
    /// Connections that the node opens; as many as there may be in all where absent.
    #[uniffi(default = None)]
    pub max_outgoing: Option<u32>,
    /// So many of the connections that peers open are not for strangers, which speak neither Store
    /// nor sync; a quarter of them where absent.
    #[uniffi(default = None)]
    pub reserved: Option<u32>,
    /// Whether the node keeps where it reached peers in a file beside its state.
    #[uniffi(default = true)]
    pub keep: bool,
    /// The wait before a peer is dialled again; one second where absent. It doubles with each
    /// failure.
    #[uniffi(default = None)]
    pub redial_min: Option<Duration>,
    /// The longest such wait; five minutes where absent.
    #[uniffi(default = None)]
    pub redial_max: Option<Duration>,
    /// So long without a connected peer, and the node is offline; ten seconds where absent.
    #[uniffi(default = None)]
    pub offline_grace: Option<Duration>,
}

/// A peer that a node knows of.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct KnownPeer {
    /// Who.
    pub peer_id: String,
    /// Where it was reached, or is said to be, the best first; at most four.
    pub addresses: Vec<String>,
    /// It speaks Store, as it said last, or as discovery says.
    pub store: bool,
    /// It syncs.
    pub sync: bool,
    /// It relays.
    pub relay: bool,
    /// This node reached it, in this run or an earlier one.
    pub reached: bool,
    /// It was configured as a bootstrap peer.
    pub configured: bool,
    /// It is connected now.
    pub connected: bool,
}

impl From<PeerOptions> for PeerConfig {
    fn from(o: PeerOptions) -> Self {
        let default = PeerConfig::default();
        PeerConfig {
            bootstrap: o.bootstrap,
            store_peers: o.store_peers,
            sync_peers: o.sync_peers,
            relay_peers: o.relay_peers,
            max_incoming: o.max_incoming,
            max_outgoing: o.max_outgoing,
            reserved: o.reserved,
            keep: o.keep,
            redial_min: o.redial_min.unwrap_or(default.redial_min),
            redial_max: o.redial_max.unwrap_or(default.redial_max),
            offline_grace: o.offline_grace.unwrap_or(default.offline_grace),
        }
    }
}

impl From<node::KnownPeer> for KnownPeer {
    fn from(p: node::KnownPeer) -> Self {
        KnownPeer {
            peer_id: p.peer_id,
            addresses: p.addresses,
            store: p.store,
            sync: p.sync,
            relay: p.relay,
            reached: p.reached,
            configured: p.configured,
            connected: p.connected,
        }
    }
}

#[uniffi::export]
impl Node {
    /// Whether a peer is connected, or was until less than the grace ago. Changes are told as the
    /// events `Online` and `Offline`.
    pub fn online(&self) -> Result<bool> {
        guard(|| Ok(self.node()?.online()))
    }

    /// Tells the node that the network is another, or back: whoever is to be dialled again is
    /// dialled soon, and not after the wait that earlier failures brought about.
    pub fn network_changed(&self) -> Result<()> {
        guard(|| {
            self.node()?.network_changed();
            Ok(())
        })
    }

    /// Tells the node of a peer that the host found by a discovery of its own: addresses that all
    /// end in its `/p2p/{peer id}`, and what it is said to speak. It is dialled where peers of its
    /// kind are wanted. Addresses that lead into a private network or to this machine are taken only
    /// where the node itself listens nowhere else.
    ///
    /// Fails with `Address`.
    #[uniffi::method(default(store = false, sync = false, relay = false))]
    pub fn learn(
        &self,
        addresses: Vec<String>,
        store: bool,
        sync: bool,
        relay: bool,
    ) -> Result<()> {
        guard(|| Ok(self.node()?.learn(&addresses, Speaks { store, sync, relay })?))
    }

    /// The peers that the node knows of: configured, reached, or learned; at most 1,000, in no
    /// particular order.
    pub async fn known_peers(&self) -> Result<Vec<KnownPeer>> {
        guarded(async move {
            let node = self.node()?;
            let known = call(async move { node.known_peers().await }).await?;
            Ok(known.into_iter().map(KnownPeer::from).collect())
        })
        .await
    }
}
