//! What a node can be told of the peers that it keeps: whom, how many, and how much room there is.

use std::time::Duration;

use super::address::{self, Address};
use super::places::Limits;
use crate::error::{Result, bail};

/// Peers that may be configured.
const MAX_BOOTSTRAP: usize = 256;
/// Peers of each kind that may be asked for.
const MAX_TARGET: u32 = 64;
/// How many of each kind are kept where nobody said, once the node has somewhere to begin.
pub(super) const TARGET: u32 = 4;

/// Which peers a node keeps connected by itself, and the room for connections.
///
/// A node dials by itself the peers of `bootstrap`, and, out of its book, as many others as
/// `store_peers`, `sync_peers` and `relay_peers` ask for. The book holds where peers were reached
/// and what they speak; it is kept in a file beside the node's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Addresses of peers that are to be connected at all times, best with `/p2p/…` at their end;
    /// at most 256. One that cannot be reached, or goes, is dialled again and again.
    pub bootstrap: Vec<String>,
    /// So many peers that speak Store are kept connected, at most 64. `None` is 4 where there is a
    /// bootstrap peer or where discovery finds peers, and otherwise 0: a node that was given
    /// nobody dials nobody by itself.
    pub store_peers: Option<u32>,
    /// The same of peers that sync.
    pub sync_peers: Option<u32>,
    /// The same of peers that relay. Only where the node relays itself.
    pub relay_peers: Option<u32>,
    /// Connections that peers may open, in all; `None` is three quarters of the node's
    /// `max_connections`, so that it can always dial.
    pub max_incoming: Option<u32>,
    /// Connections that the node may open, in all; `None` is its `max_connections`.
    pub max_outgoing: Option<u32>,
    /// So many of the connections that peers may open are not for strangers: peers that speak
    /// neither Store nor sync. `None` is a quarter of them.
    pub reserved: Option<u32>,
    /// Whether the book is kept in a file, where the node's state is (`.peers` is put behind its
    /// name). It is not larger than a MiB or so. A file that is damaged is moved aside.
    pub keep: bool,
    /// The wait before the first dial again, a random half more or less. It doubles with each
    /// failure up to `redial_max`, and begins anew after a connection that lasted a minute.
    pub redial_min: Duration,
    /// The longest such wait.
    pub redial_max: Duration,
    /// So long without a connected peer, and the node is offline.
    pub offline_grace: Duration,
}

impl Default for PeerConfig {
    fn default() -> Self {
        PeerConfig {
            bootstrap: Vec::new(),
            store_peers: None,
            sync_peers: None,
            relay_peers: None,
            max_incoming: None,
            max_outgoing: None,
            reserved: None,
            keep: true,
            redial_min: Duration::from_secs(1),
            redial_max: Duration::from_secs(300),
            offline_grace: Duration::from_secs(10),
        }
    }
}

impl PeerConfig {
    /// The configured peers' addresses, each once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Address`] for one that cannot be dialled.
    pub(super) fn addresses(&self) -> Result<Vec<Address>> {
        let mut all: Vec<Address> = Vec::new();
        for text in &self.bootstrap {
            let address = address::parse(text)?;
            if !all.contains(&address) {
                all.push(address);
            }
        }
        Ok(all)
    }

    /// How many connections there may be, of this many in all.
    pub(super) fn limits(&self, max_connections: u32) -> Limits {
        let incoming = (self.max_incoming.unwrap_or(max_connections - max_connections / 4))
            .min(max_connections);
        Limits {
            all: max_connections,
            incoming,
            outgoing: self.max_outgoing.unwrap_or(max_connections).min(max_connections),
            reserved: self.reserved.unwrap_or(incoming / 4).min(incoming),
        }
    }

    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for what cannot be; [`crate::ErrorKind::Address`].
    pub(super) fn check(&self, max_connections: u32) -> Result<()> {
        if self.bootstrap.len() > MAX_BOOTSTRAP {
            let given = self.bootstrap.len();
            bail!(InvalidArgument, "{given} bootstrap peers; at most {MAX_BOOTSTRAP} are taken");
        }
        self.addresses()?;
        let targets = [self.store_peers, self.sync_peers, self.relay_peers];
        if let Some(target) = targets.into_iter().flatten().find(|n| *n > MAX_TARGET) {
            bail!(InvalidArgument, "{target} peers of a kind; at most {MAX_TARGET} are kept");
        }
        let limits = self.limits(max_connections);
        if self.reserved.is_some_and(|reserved| reserved > limits.incoming) {
            let (reserved, incoming) = (self.reserved.unwrap_or(0), limits.incoming);
            bail!(InvalidArgument, "{reserved} of {incoming} incoming connections are reserved");
        }
        if self.redial_min.is_zero() || self.redial_min > self.redial_max {
            bail!(InvalidArgument, "the wait before a redial is above zero, and below its longest");
        }
        if self.offline_grace.is_zero() {
            bail!(InvalidArgument, "the time until a node is offline is above zero");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn limits_follow_from_the_number_of_connections() {
        let limits = |config: PeerConfig, all| {
            let Limits { incoming, outgoing, reserved, .. } = config.limits(all);
            (incoming, outgoing, reserved)
        };
        assert_eq!(limits(PeerConfig::default(), 200), (150, 200, 37));
        assert_eq!(limits(PeerConfig::default(), 1), (1, 1, 0));
        let own = PeerConfig {
            max_incoming: Some(500),
            max_outgoing: Some(20),
            reserved: Some(3),
            ..PeerConfig::default()
        };
        assert_eq!(limits(own, 100), (100, 20, 3));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let ok = PeerConfig::default();
        ok.check(200).unwrap();
        for (bad, kind) in [
            (PeerConfig { bootstrap: vec!["here".into()], ..ok.clone() }, ErrorKind::Address),
            (
                PeerConfig { bootstrap: vec!["/ip4/1.1.1.1/tcp/1".into(); 300], ..ok.clone() },
                ErrorKind::InvalidArgument,
            ),
            (PeerConfig { store_peers: Some(65), ..ok.clone() }, ErrorKind::InvalidArgument),
            (PeerConfig { reserved: Some(151), ..ok.clone() }, ErrorKind::InvalidArgument),
            (PeerConfig { redial_min: Duration::ZERO, ..ok.clone() }, ErrorKind::InvalidArgument),
            (
                PeerConfig { redial_max: Duration::from_millis(1), ..ok.clone() },
                ErrorKind::InvalidArgument,
            ),
            (PeerConfig { offline_grace: Duration::ZERO, ..ok }, ErrorKind::InvalidArgument),
        ] {
            assert_eq!(bad.check(200).unwrap_err().kind(), kind, "{bad:?}");
        }
    }
}
