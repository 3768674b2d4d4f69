//! Which way of comparing is spoken with a peer.
//!
//! What must hold: this is the one place that decides it; what is chosen is something that the
//! peer is known to speak, and that can do what was asked.

use super::{EngineConfig, PeerInfo, SyncDirection, SyncOptions, SyncProtocol};

/// The protocol of a sync that we begin: the one that the options name, or else the best that the
/// peer speaks. `None` where it speaks none that would do; Store brings messages and takes none,
/// so it cannot push. Of a deployed peer a scope of content topics is pulled over Store: over 1.0.0
/// it cannot be told of them, and would send its whole hour.
pub(super) fn choose_protocol(
    peer: &PeerInfo,
    options: &SyncOptions,
    config: &EngineConfig,
) -> Option<SyncProtocol> {
    let spoken = |protocol: &SyncProtocol| match protocol {
        SyncProtocol::Strong => peer.strong && config.strong,
        SyncProtocol::V1 => peer.reconciles,
        SyncProtocol::Store => peer.store && options.direction != SyncDirection::Push,
    };
    let narrow = peer.deployed
        && !config.scope.content_topics.is_empty()
        && options.direction == SyncDirection::Pull;
    match options.protocol {
        Some(named) => Some(named).filter(spoken),
        None if narrow && spoken(&SyncProtocol::Store) => Some(SyncProtocol::Store),
        None => {
            [SyncProtocol::Strong, SyncProtocol::V1, SyncProtocol::Store].into_iter().find(spoken)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ALL: PeerInfo = PeerInfo {
        reconciles: true,
        strong: true,
        store: true,
        deployed: false,
        group: super::super::AddressGroup(0),
    };

    fn choose(peer: PeerInfo, options: &SyncOptions) -> Option<SyncProtocol> {
        choose_protocol(&peer, options, &EngineConfig::default())
    }

    #[test]
    fn the_best_that_the_peer_speaks() {
        let any = SyncOptions::default();
        assert_eq!(choose(ALL, &any), Some(SyncProtocol::Strong));
        assert_eq!(choose(PeerInfo { strong: false, ..ALL }, &any), Some(SyncProtocol::V1));
        let store = PeerInfo { strong: false, reconciles: false, ..ALL };
        assert_eq!(choose(store, &any), Some(SyncProtocol::Store));
        assert_eq!(choose(PeerInfo::default(), &any), None);
        let plain = EngineConfig { strong: false, ..EngineConfig::default() };
        assert_eq!(choose_protocol(&ALL, &any, &plain), Some(SyncProtocol::V1));
    }

    #[test]
    fn what_was_named_or_nothing() {
        for named in [SyncProtocol::V1, SyncProtocol::Strong, SyncProtocol::Store] {
            let options = SyncOptions { protocol: Some(named), ..SyncOptions::default() };
            assert_eq!(choose(ALL, &options), Some(named));
            assert_eq!(choose(PeerInfo::default(), &options), None);
        }
        let named = SyncOptions { protocol: Some(SyncProtocol::Strong), ..SyncOptions::default() };
        let plain = EngineConfig { strong: false, ..EngineConfig::default() };
        assert_eq!(choose_protocol(&ALL, &named, &plain), None);
    }

    #[test]
    fn of_a_deployed_peer_content_topics_are_pulled_over_store() {
        let content_topics = vec![crate::types::ContentTopic::new("/a/1/b/c").unwrap()];
        let scope = crate::wire::reconciliation::Scope { content_topics, ..Default::default() };
        let narrow = EngineConfig { scope, ..EngineConfig::default() };
        let pull = SyncOptions { direction: SyncDirection::Pull, ..SyncOptions::default() };
        let deployed = PeerInfo { strong: false, deployed: true, ..ALL };
        assert_eq!(choose_protocol(&deployed, &pull, &narrow), Some(SyncProtocol::Store));
        // What is to travel both ways cannot go over Store; and a node of ours is told the scope.
        let both = SyncOptions::default();
        assert_eq!(choose_protocol(&deployed, &both, &narrow), Some(SyncProtocol::V1));
        assert_eq!(choose_protocol(&ALL, &pull, &narrow), Some(SyncProtocol::Strong));
        assert_eq!(choose(deployed, &pull), Some(SyncProtocol::V1));
        let storeless = PeerInfo { store: false, ..deployed };
        assert_eq!(choose_protocol(&storeless, &pull, &narrow), Some(SyncProtocol::V1));
    }

    #[test]
    fn nothing_can_be_pushed_to_store_alone() {
        let store = PeerInfo { store: true, ..PeerInfo::default() };
        let push = SyncOptions { direction: SyncDirection::Push, ..SyncOptions::default() };
        assert_eq!(choose(store, &push), None);
        assert_eq!(choose(ALL, &push), Some(SyncProtocol::Strong));
    }
}
