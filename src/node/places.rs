//! Who has a place among the node's connections, and who gives way when there is none.
//!
//! The rule. There is a bound of all connections, of those that peers open, and of those that the
//! node opens. Of the places for peers that come, some are reserved: strangers, which speak neither
//! Store nor sync, or did not say in time, may not have these.
//!
//! - Whoever comes gets a free place. A peer that turns out to be a stranger while strangers hold
//!   more than theirs costs the least useful stranger its place, perhaps itself.
//! - When all places are taken, whoever is configured, or is known as a Store or sync peer because
//!   the node reached it itself before, takes the place of the least useful connection that a peer
//!   opened, where that is of less use; others are refused.
//! - Of less use is, in this order: a stranger, one that has not said yet what it speaks, one that
//!   says it speaks Store or sync (anybody can), one that is known, one that is configured; among
//!   equals a second connection of a peer; one from the network that most of them are from; one
//!   that answers worse; the youngest.
//! - A connection that the node opened gives way to nobody.
//!
//! What must hold: the bounds are kept, but for the moment that it takes to close a connection that
//! gave way to one that is configured or known.

use std::cmp::Reverse;
use std::collections::HashMap;

use libp2p::PeerId;
use libp2p::swarm::ConnectionId;

use crate::engine::AddressGroup;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) all: u32,
    /// That peers open.
    pub(super) incoming: u32,
    /// That the node opens.
    pub(super) outgoing: u32,
    /// Of `incoming`: not for strangers.
    pub(super) reserved: u32,
}

/// Of how much use a peer is, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Rank {
    /// Speaks neither Store nor sync.
    Stranger,
    /// Has not said yet.
    Unsettled,
    /// Says that it speaks one of them.
    Claims,
    /// Speaks one of them, and the node reached it by itself, now or earlier.
    Proven,
    /// Configured.
    Kept,
}

#[derive(Debug)]
struct Connection {
    peer: PeerId,
    incoming: bool,
    network: AddressGroup,
    /// The larger the younger.
    order: u64,
    /// It was told to close.
    leaving: bool,
}

/// What was learned of a peer since it came.
#[derive(Clone, Copy, Debug)]
struct Settled {
    rank: Rank,
    cost: u32,
}

/// Why there is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full {
    /// The bound that was met.
    pub(super) limit: u32,
    /// Of what.
    pub(super) what: &'static str,
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    connections: HashMap<ConnectionId, Connection>,
    settled: HashMap<PeerId, Settled>,
    /// Known before they come; as many as are configured and in the book.
    known: HashMap<PeerId, Rank>,
    last: u64,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Self {
        let (connections, settled) = (HashMap::new(), HashMap::new());
        Places { limits, connections, settled, known: HashMap::new(), last: 0 }
    }

    /// From now on this is known of a peer, whether it is there or not; `None`: nothing.
    pub(super) fn know(&mut self, peer: PeerId, rank: Option<Rank>) {
        match rank {
            Some(rank) => self.known.insert(peer, rank),
            None => self.known.remove(&peer),
        };
    }

    fn rank(&self, peer: &PeerId) -> Rank {
        let settled = self.settled.get(peer).map_or(Rank::Unsettled, |settled| settled.rank);
        self.known.get(peer).map_or(settled, |known| settled.max(*known))
    }

    fn staying(&self) -> impl Iterator<Item = (&ConnectionId, &Connection)> {
        self.connections.iter().filter(|(_, connection)| !connection.leaving)
    }

    fn count(&self, incoming: bool) -> u32 {
        self.staying().filter(|(_, c)| c.incoming == incoming).count() as u32
    }

    /// Whether there is a place for one more connection of this peer, and who gives way for it.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn admit(
        &mut self,
        peer: &PeerId,
        incoming: bool,
    ) -> Result<Option<(PeerId, ConnectionId)>, Full> {
        let Limits { all, incoming: most_in, outgoing: most_out, .. } = self.limits;
        let (ins, outs) = (self.count(true), self.count(false));
        if !incoming && outs >= most_out {
            return Err(Full { limit: most_out, what: "outgoing connections" });
        }
        let full = match () {
            () if incoming && ins >= most_in => {
                Full { limit: most_in, what: "incoming connections" }
            }
            () if ins + outs >= all => Full { limit: all, what: "connections" },
            () => return Ok(None),
        };
        let rank = self.rank(peer);
        if rank < Rank::Proven {
            return Err(full);
        }
        self.give_way(|other| other < rank).map(Some).ok_or(full)
    }

    /// A connection stands. Who gives way for it: the peer may be known as a stranger.
    pub(super) fn add(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        incoming: bool,
        network: AddressGroup,
    ) -> Vec<(PeerId, ConnectionId)> {
        self.last += 1;
        let order = self.last;
        let connection = Connection { peer, incoming, network, order, leaving: false };
        self.connections.insert(id, connection);
        self.keep_reserved()
    }

    /// A connection is gone.
    pub(super) fn remove(&mut self, id: &ConnectionId) {
        let Some(gone) = self.connections.remove(id) else { return };
        if self.connections.values().all(|other| other.peer != gone.peer) {
            self.settled.remove(&gone.peer);
        }
    }

    /// A peer that is there said what it speaks, or did not in time; what asking it costs, in
    /// milliseconds. Who gives way.
    pub(super) fn settle(
        &mut self,
        peer: PeerId,
        rank: Rank,
        cost: u32,
    ) -> Vec<(PeerId, ConnectionId)> {
        if self.connections.values().any(|connection| connection.peer == peer) {
            self.settled.insert(peer, Settled { rank, cost });
        }
        self.keep_reserved()
    }

    fn keep_reserved(&mut self) -> Vec<(PeerId, ConnectionId)> {
        let most = self.limits.incoming - self.limits.reserved;
        let mut go = Vec::new();
        loop {
            let stranger = |c: &Connection| c.incoming && self.rank(&c.peer) == Rank::Stranger;
            let strangers = self.staying().filter(|(_, c)| stranger(c)).count() as u32;
            if strangers <= most {
                return go;
            }
            match self.give_way(|other| other == Rank::Stranger) {
                Some(least) => go.push(least),
                None => return go,
            }
        }
    }

    /// Takes the place of the least useful connection that a peer of such a rank opened.
    fn give_way(&mut self, of: impl Fn(Rank) -> bool) -> Option<(PeerId, ConnectionId)> {
        let mut networks: HashMap<(Rank, AddressGroup), usize> = HashMap::new();
        let mut connections: HashMap<PeerId, usize> = HashMap::new();
        for (_, connection) in self.staying() {
            *connections.entry(connection.peer).or_default() += 1;
            if connection.incoming {
                let rank = self.rank(&connection.peer);
                *networks.entry((rank, connection.network)).or_default() += 1;
            }
        }
        let use_of = |c: &Connection| {
            let rank = self.rank(&c.peer);
            let only = connections.get(&c.peer).is_none_or(|n| *n == 1);
            let like_it = networks.get(&(rank, c.network)).copied().unwrap_or(0);
            let cost = self.settled.get(&c.peer).map_or(0, |settled| settled.cost);
            (rank, only, Reverse(like_it), Reverse(cost), Reverse(c.order))
        };
        let may_go = |c: &Connection| c.incoming && of(self.rank(&c.peer));
        let (id, least) =
            self.staying().filter(|(_, c)| may_go(c)).min_by_key(|(_, c)| use_of(c))?;
        let (id, peer) = (*id, least.peer);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.leaving = true;
        }
        Some((peer, id))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    struct Node {
        places: Places,
        next: usize,
    }

    impl Node {
        fn new(incoming: u32, reserved: u32) -> Node {
            let limits = Limits { all: incoming + 2, incoming, outgoing: incoming + 2, reserved };
            Node { places: Places::new(limits), next: 0 }
        }

        /// A connection comes, from this network; who gave way for it.
        fn comes(&mut self, peer: PeerId, network: u64) -> Result<Vec<PeerId>, Full> {
            self.connect(peer, network, true)
        }

        fn connect(
            &mut self,
            peer: PeerId,
            network: u64,
            incoming: bool,
        ) -> Result<Vec<PeerId>, Full> {
            let mut gone: Vec<_> = self.places.admit(&peer, incoming)?.into_iter().collect();
            self.next += 1;
            let id = ConnectionId::new_unchecked(self.next);
            gone.extend(self.places.add(id, peer, incoming, AddressGroup(network)));
            Ok(self.close(gone))
        }

        fn close(&mut self, gone: Vec<(PeerId, ConnectionId)>) -> Vec<PeerId> {
            let close = |(peer, id)| {
                self.places.remove(&id);
                peer
            };
            gone.into_iter().map(close).collect()
        }

        fn settles(&mut self, peer: PeerId, rank: Rank, cost: u32) -> Vec<PeerId> {
            let gone = self.places.settle(peer, rank, cost);
            self.close(gone)
        }
    }

    fn peers<const N: usize>() -> [PeerId; N] {
        [(); N].map(|()| PeerId::random())
    }

    #[test]
    fn strangers_never_hold_what_is_reserved() {
        let mut node = Node::new(8, 3);
        let all = peers::<8>();
        for peer in all {
            assert_eq!(node.comes(peer, 1), Ok(vec![]));
        }
        let full = node.comes(PeerId::random(), 1).unwrap_err();
        assert_eq!((full.limit, full.what), (8, "incoming connections"));
        // All turn out to be strangers: five stay, the oldest.
        let mut gone = Vec::new();
        for peer in all {
            gone.extend(node.settles(peer, Rank::Stranger, 0));
        }
        assert_eq!(gone, [all[5], all[6], all[7]]);
        // There is room for Store peers now, and for no further stranger.
        let [store, stranger] = peers();
        assert_eq!(node.comes(store, 1), Ok(vec![]));
        assert_eq!(node.settles(store, Rank::Claims, 0), []);
        assert_eq!(node.comes(stranger, 1), Ok(vec![]));
        assert_eq!(node.settles(stranger, Rank::Stranger, 0), [stranger]);
        assert_eq!(node.places.count(true), 6);
    }

    #[test]
    fn whoever_is_known_takes_the_place_of_the_least_useful() {
        let mut node = Node::new(4, 1);
        let [a, b, c, d, proven, kept, more] = peers();
        for peer in [a, b, c, d] {
            node.comes(peer, 1).unwrap();
        }
        node.settles(a, Rank::Stranger, 0);
        node.settles(b, Rank::Claims, 5000);
        node.settles(c, Rank::Claims, 20);
        node.places.know(proven, Some(Rank::Proven));
        node.places.know(kept, Some(Rank::Kept));
        node.places.know(more, Some(Rank::Proven));
        // The stranger first, then whoever has not said, then whoever answers worse.
        assert_eq!(node.comes(proven, 2), Ok(vec![a]));
        assert_eq!(node.comes(kept, 2), Ok(vec![d]));
        assert_eq!(node.comes(more, 2), Ok(vec![b]));
        let known = PeerId::random();
        node.places.know(known, Some(Rank::Proven));
        assert_eq!(node.comes(known, 2), Ok(vec![c]));
        // Nobody of less use is left for another one, but for one that is configured.
        let last = PeerId::random();
        node.places.know(last, Some(Rank::Proven));
        assert!(node.comes(last, 2).is_err());
        node.places.know(last, Some(Rank::Kept));
        assert_eq!(node.comes(last, 2), Ok(vec![known]));
        node.places.know(last, None);
        assert!(node.comes(PeerId::random(), 3).is_err());
    }

    #[test]
    fn second_connections_and_crowded_networks_go_first() {
        let mut node = Node::new(6, 0);
        let [crowd, other, twice, lone] = peers();
        node.comes(twice, 7).unwrap();
        node.comes(twice, 7).unwrap();
        let mut all = vec![crowd, other, lone, twice];
        for (peer, network) in [(crowd, 1), (other, 1), (lone, 2)] {
            node.comes(peer, network).unwrap();
        }
        let filler = PeerId::random();
        node.comes(filler, 1).unwrap();
        all.push(filler);
        for peer in &all {
            node.settles(*peer, Rank::Claims, 100);
        }
        let mut goes = || {
            let proven = PeerId::random();
            node.places.know(proven, Some(Rank::Proven));
            node.comes(proven, 9).unwrap()
        };
        // The second connection, then the youngest of the crowd until it is none.
        assert_eq!([goes(), goes(), goes()], [[twice], [filler], [other]]);
        assert_eq!([goes(), goes(), goes()], [[lone], [crowd], [twice]]);
    }

    #[test]
    fn what_the_node_opened_gives_way_to_nobody_and_is_bounded() {
        let limits = Limits { all: 4, incoming: 3, outgoing: 2, reserved: 0 };
        let mut node = Node { places: Places::new(limits), next: 0 };
        let [a, b, c, d, kept] = peers();
        for peer in [a, b] {
            node.connect(peer, 1, false).unwrap();
        }
        assert_eq!(node.connect(c, 1, false).unwrap_err().what, "outgoing connections");
        for peer in [c, d] {
            node.comes(peer, 1).unwrap();
        }
        assert_eq!(node.comes(PeerId::random(), 1).unwrap_err().what, "connections");
        node.places.know(kept, Some(Rank::Kept));
        assert_eq!(node.comes(kept, 1), Ok(vec![d]));
        assert_eq!((node.places.count(true), node.places.count(false)), (2, 2));
        node.places.settle(PeerId::random(), Rank::Stranger, 0);
        assert!(node.places.settled.is_empty(), "of one that is not there nothing is kept");
    }
}
