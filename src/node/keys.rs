//! The engine's names for peers.
//!
//! What must hold: a peer that comes again has the name that it had, so that the engine knows it
//! again (as long as it is remembered); no two peers ever have one name; what is remembered of those
//! that have gone is bounded, and who has been gone for longest is forgotten first.

use std::collections::{HashMap, VecDeque};

use libp2p::PeerId;

use crate::engine::PeerKey;

/// Peers that have gone and are remembered.
const MAX_GONE: usize = 1024;

/// See the head of the file.
#[derive(Default)]
pub(super) struct Keys {
    present: HashMap<PeerId, PeerKey>,
    gone: HashMap<PeerId, PeerKey>,
    /// The order in which they went.
    order: VecDeque<PeerId>,
    last: u64,
}

impl Keys {
    /// A peer is there.
    pub(super) fn came(&mut self, peer: PeerId) -> PeerKey {
        if let Some(key) = self.get(&peer) {
            return key;
        }
        let key = self.gone.remove(&peer).unwrap_or_else(|| {
            self.last += 1;
            PeerKey(self.last)
        });
        self.order.retain(|gone| *gone != peer);
        self.present.insert(peer, key);
        key
    }

    /// The name of a peer that is there.
    pub(super) fn get(&self, peer: &PeerId) -> Option<PeerKey> {
        self.present.get(peer).copied()
    }

    /// A peer has gone; `None` where it was not there.
    pub(super) fn left(&mut self, peer: &PeerId) -> Option<PeerKey> {
        let key = self.present.remove(peer)?;
        self.gone.insert(*peer, key);
        self.order.push_back(*peer);
        if self.order.len() > MAX_GONE
            && let Some(oldest) = self.order.pop_front()
        {
            self.gone.remove(&oldest);
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_again_has_its_name_until_it_is_forgotten() {
        let (mut keys, first) = (Keys::default(), PeerId::random());
        let name = keys.came(first);
        assert_eq!(keys.came(first), name);
        for _ in 0..3 {
            assert_eq!((keys.left(&first), keys.left(&first)), (Some(name), None));
            assert_eq!(keys.get(&first), None);
            assert_eq!(keys.came(first), name);
        }
        keys.left(&first);
        let mut names = std::collections::HashSet::from([name]);
        for n in 0..MAX_GONE {
            assert_eq!(keys.gone.len(), n + 1);
            let other = PeerId::random();
            assert!(names.insert(keys.came(other)));
            keys.left(&other);
        }
        assert_eq!((keys.gone.len(), keys.order.len()), (MAX_GONE, MAX_GONE));
        assert!(names.insert(keys.came(first)), "it was forgotten, and its name is not another's");
    }
}
