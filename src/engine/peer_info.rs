//! What the host knows of a peer.

/// A peer's address group: peers whose addresses lie in one network (an IPv4 /16, an IPv6 /32)
/// count as one voice, since one party can easily run many of them. The host makes the number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct AddressGroup(pub u64);

/// What a peer speaks, and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PeerInfo {
    /// Reconciliation 1.0.0.
    pub reconciles: bool,
    /// wakustore's own sync protocol.
    pub strong: bool,
    /// Store v3.
    pub store: bool,
    /// It says that it is a deployed node (nwaku), whose index covers its last hour alone.
    pub deployed: bool,
    /// Where it is.
    pub group: AddressGroup,
}

impl PeerInfo {
    /// A peer that speaks reconciliation 1.0.0 and nothing else.
    pub fn reconciling() -> Self {
        PeerInfo { reconciles: true, ..PeerInfo::default() }
    }

    /// Whether a sync of any kind can be had with it.
    pub fn syncs(&self) -> bool {
        self.reconciles || self.strong || self.store
    }
}
