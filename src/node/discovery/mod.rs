//! Peers that a network publishes in DNS (EIP-1459): found at start and from time to time, and given
//! to what keeps the node's peers.
//!
//! What must hold: a tree, however large or hostile, costs a bounded number of lookups, of peers and
//! of dials; and a node without discovery works as ever.

mod learn;
mod record;
mod tree;
mod walk;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use libp2p::multiaddr::Protocol;

pub use self::record::Capabilities;
pub(super) use self::record::Record;
pub(super) use self::tree::TreeUrl;
use self::walk::{Harvest, MAX_TREES};
use super::names::Names;
use super::shared::Shared;
use crate::error::{Result, bail};

/// How long after a walk that found nobody the next one begins, the first time; it doubles.
const RETRY: Duration = Duration::from_secs(10);

/// How a node finds peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The trees in DNS in which peers are published (EIP-1459): `enrtree://KEY@DOMAIN`, at most 16.
    /// None by default.
    pub trees: Vec<String>,
    /// How often they are walked through again. An hour by default.
    pub interval: Duration,
    /// How long one walk may take. A minute by default.
    pub time_limit: Duration,
}

impl Default for Discovery {
    fn default() -> Self {
        Discovery {
            trees: Vec::new(),
            interval: Duration::from_secs(3600),
            time_limit: Duration::from_secs(60),
        }
    }
}

/// A peer that was found in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredPeer {
    /// Who it is.
    pub peer_id: String,
    /// Where it says to be: those addresses that a node can dial, each ending in `/p2p/{peer id}`.
    /// Empty where there is none.
    pub addresses: Vec<String>,
    /// What it says that it serves; none where it says nothing.
    pub capabilities: Option<Capabilities>,
    /// The cluster that it says to be of; none where it says nothing.
    pub cluster_id: Option<u32>,
    /// The shards that it says to be on.
    pub shards: Vec<u32>,
}

/// What is in some trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// The peers, at most 512, each once.
    pub peers: Vec<DiscoveredPeer>,
    /// What was left out, where, and why, at most 64 lines: names that do not answer, signatures and
    /// hashes that do not fit, bounds that were reached.
    pub skipped: Vec<String>,
    /// How much more was left out.
    pub more_skipped: usize,
}

/// Walks through trees in DNS (EIP-1459) without a node: who is published there? `name_servers` are
/// as in [`super::NodeConfig::name_servers`]. Runs on tokio.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`] for what is not the URL of a tree, more than 16 of them, or
/// what is not the address of a name server. What goes wrong on the way is told in the answer.
pub async fn discover(
    trees: &[String],
    name_servers: &[String],
    time_limit: Duration,
) -> Result<Discovered> {
    let trees = parse(trees)?;
    let names = Names::new(name_servers)?;
    let Harvest { found, skipped, unsaid } =
        walk::walk(&names, &trees, &mut HashMap::new(), time_limit).await;
    let peers = found.into_values().map(|record| {
        let own = Protocol::P2p(record.peer);
        DiscoveredPeer {
            peer_id: record.peer.to_string(),
            addresses: (record.addresses.into_iter())
                .map(|at| at.with(own.clone()).to_string())
                .collect(),
            capabilities: record.capabilities,
            cluster_id: record.cluster,
            shards: record.shards,
        }
    });
    Ok(Discovered { peers: peers.collect(), skipped, more_skipped: unsaid })
}

/// Reads the URLs of trees.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`].
pub(super) fn parse(trees: &[String]) -> Result<Vec<TreeUrl>> {
    if trees.len() > MAX_TREES {
        bail!(InvalidArgument, "{} discovery trees; {MAX_TREES} can be named", trees.len());
    }
    trees.iter().map(|text| TreeUrl::parse(text)).collect()
}

/// Walks through the trees for as long as the node runs, and gives it what it finds.
pub(super) async fn run(shared: Arc<Shared>, config: Discovery, trees: Vec<TreeUrl>, cluster: u32) {
    let mut seqs = HashMap::new();
    let mut retry = RETRY;
    loop {
        let harvest = walk::walk(&shared.names, &trees, &mut seqs, config.time_limit).await;
        let left_out = harvest.skipped.len() + harvest.unsaid;
        tracing::info!(peers = harvest.found.len(), left_out, "discovery: the trees were walked");
        let found_none = harvest.found.is_empty();
        let ours = wanted(harvest.found.into_values(), shared.peer_id, cluster);
        learn::give(&shared, ours).await;
        let pause = if found_none { retry.min(config.interval) } else { config.interval };
        retry = if found_none { retry.saturating_mul(2) } else { RETRY };
        tokio::time::sleep(pause).await;
    }
}

/// Those that are worth a dial: of our cluster or of none that is told, with an address, and not this
/// node. Those that serve what a store node looks for come first.
fn wanted(found: impl Iterator<Item = Record>, own: PeerId, cluster: u32) -> Vec<Record> {
    let mut ours: Vec<Record> = found
        .filter(|record| record.peer != own && !record.addresses.is_empty())
        .filter(|record| record.cluster.is_none_or(|theirs| theirs == cluster))
        .collect();
    learn::sort(&mut ours);
    ours
}

/// Whether a node can run with this.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`].
pub(super) fn check(config: &Discovery) -> Result<()> {
    if config.interval.is_zero() || config.time_limit.is_zero() {
        bail!(InvalidArgument, "discovery needs an interval and a time limit above zero");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_peers_of_our_cluster_that_can_be_dialled_are_wanted() {
        let record = |cluster, store: Option<bool>, address: bool| Record {
            peer: PeerId::random(),
            seq: 1,
            addresses: address
                .then(|| "/ip4/192.0.2.1/tcp/1".parse().unwrap())
                .into_iter()
                .collect(),
            capabilities: store.map(|store| Capabilities { store, ..Capabilities::default() }),
            cluster,
            shards: Vec::new(),
        };
        let own = record(Some(16), Some(true), true);
        let light = record(Some(16), Some(false), true);
        let silent = record(None, None, true);
        let store = record(Some(16), Some(true), true);
        let others = [record(Some(1), Some(true), true), record(Some(16), Some(true), false)];
        let all = [own.clone(), light.clone(), silent.clone(), store.clone()];
        let ours = wanted(all.into_iter().chain(others), own.peer, 16);
        assert_eq!(ours, [store, silent, light]);
    }
}
