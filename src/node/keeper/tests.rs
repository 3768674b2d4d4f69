//! The keeper against a network that is made up: peers that are reachable or not, on a virtual clock.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;
const WALL: u64 = 1_700_000_000;
const STORE: Speaks = Speaks { store: true, sync: false, relay: false };
const BOTH: Speaks = Speaks { store: true, sync: true, relay: false };

/// A peer out there.
#[derive(Clone)]
struct Far {
    speaks: Speaks,
    up: bool,
    ours: bool,
}

struct World {
    keeper: Keeper,
    now: Duration,
    far: BTreeMap<PeerId, Far>,
    /// Where whom.
    at: BTreeMap<Multiaddr, PeerId>,
    told: Vec<NodeEvent>,
    dials: Vec<(Duration, Aim)>,
    closed: Vec<PeerId>,
    known: BTreeMap<PeerId, Rank>,
    settled: BTreeMap<PeerId, Rank>,
    connected: BTreeSet<PeerId>,
    most_at_once: usize,
    /// How long a dial of one that is not there takes.
    hangs: Duration,
    hanging: Vec<(Duration, Aim, Vec<Multiaddr>)>,
    ticks: usize,
}

fn at(n: u32) -> Multiaddr {
    let [a, b, c, d] = (0x0800_0000 + (n << 16)).to_be_bytes();
    format!("/ip4/{a}.{b}.{c}.{d}/tcp/1").parse().unwrap()
}

impl World {
    fn new(config: &PeerConfig, book: Book) -> World {
        let bootstrap = config.addresses().unwrap();
        let now = Moment { elapsed: S(0), wall: WALL };
        let keeper = Keeper::new(config, bootstrap, false, book, 42, now);
        World {
            keeper,
            now: S(0),
            far: BTreeMap::new(),
            at: BTreeMap::new(),
            told: Vec::new(),
            dials: Vec::new(),
            closed: Vec::new(),
            known: BTreeMap::new(),
            settled: BTreeMap::new(),
            connected: BTreeSet::new(),
            most_at_once: 0,
            hangs: S(0),
            hanging: Vec::new(),
            ticks: 0,
        }
    }

    fn moment(&self) -> Moment {
        Moment { elapsed: self.now, wall: WALL + self.now.as_secs() }
    }

    /// A peer comes to be, at this address.
    fn add(&mut self, n: u32, speaks: Speaks) -> PeerId {
        let peer = PeerId::random();
        self.far.insert(peer, Far { speaks, up: true, ours: true });
        self.at.insert(at(n), peer);
        peer
    }

    fn find(&self, aim: &Aim, at: &[Multiaddr]) -> Option<(PeerId, Multiaddr)> {
        let found = at.iter().filter_map(|at| Some((*self.at.get(at)?, at.clone())));
        let wanted = |peer: &PeerId| *aim == Aim::Peer(*peer) || matches!(aim, Aim::At(_));
        found.into_iter().find(|(peer, _)| wanted(peer) && self.far[peer].up)
    }

    fn work(&mut self) {
        while let Some(act) = self.keeper.poll() {
            match act {
                Act::Dial { aim, at } => self.dial(aim, at),
                Act::Close(peer) => {
                    self.closed.push(peer);
                    self.lose(peer);
                }
                Act::Know(peer, rank) => {
                    match rank {
                        Some(rank) => self.known.insert(peer, rank),
                        None => self.known.remove(&peer),
                    };
                }
                Act::Settle(peer, rank, _) => _ = self.settled.insert(peer, rank),
                Act::Tell(event) => self.told.push(event),
            }
        }
    }

    fn dial(&mut self, aim: Aim, at: Vec<Multiaddr>) {
        self.dials.push((self.now, aim.clone()));
        match self.find(&aim, &at) {
            Some((peer, at)) => self.meet(peer, Some(at), Some(&aim)),
            None => {
                self.hanging.push((self.now + self.hangs, aim, at));
                self.most_at_once = self.most_at_once.max(self.hanging.len());
            }
        }
    }

    fn meet(&mut self, peer: PeerId, dialled: Option<Multiaddr>, aim: Option<&Aim>) {
        let (now, far) = (self.moment(), self.far[&peer].clone());
        self.connected.insert(peer);
        self.keeper.connected(now, peer, dialled, aim);
        match far.ours {
            true => self.keeper.taken(now, peer),
            false => {
                self.keeper.foreign(now, peer);
                // As the swarm does it.
                self.keeper.let_go(now, peer);
                self.lose(peer);
            }
        }
        self.keeper.identified(now, peer, far.speaks, Vec::new());
    }

    fn comes(&mut self, peer: PeerId) {
        self.meet(peer, None, None);
        self.work();
    }

    fn lose(&mut self, peer: PeerId) {
        if self.connected.remove(&peer) {
            self.keeper.disconnected(self.moment(), peer);
        }
    }

    fn go_down(&mut self, peer: PeerId) {
        self.far.get_mut(&peer).unwrap().up = false;
        self.lose(peer);
        self.work();
    }

    fn come_up(&mut self, peer: PeerId) {
        self.far.get_mut(&peer).unwrap().up = true;
    }

    /// Lets time pass, as the keeper's deadlines say.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.work();
        loop {
            let hanging = self.hanging.iter().map(|(at, ..)| *at).min();
            let next = [self.keeper.deadline(), hanging].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.ticks += 1;
            assert!(self.ticks < 100_000, "a busy loop");
            let over = |(at, ..): &mut (Duration, Aim, Vec<Multiaddr>)| *at <= self.now;
            let failed: Vec<_> = self.hanging.extract_if(.., over).collect();
            for (_, aim, at) in failed {
                self.keeper.dial_failed(self.moment(), &aim, Fault::NotThere(at));
            }
            self.keeper.tick(self.moment());
            self.work();
            self.keeper.save(self.moment());
        }
        self.now = until;
    }

    fn dials_of(&self, peer: PeerId) -> usize {
        self.dials.iter().filter(|(_, aim)| *aim == Aim::Peer(peer)).count()
    }
}

fn config(bootstrap: &[String]) -> PeerConfig {
    PeerConfig { bootstrap: bootstrap.to_vec(), ..PeerConfig::default() }
}

fn none() -> PeerConfig {
    let [store_peers, sync_peers, relay_peers] = [Some(0); 3];
    PeerConfig { store_peers, sync_peers, relay_peers, ..PeerConfig::default() }
}

#[test]
fn a_configured_peer_is_dialled_until_it_is_there_and_again_when_it_went() {
    let peer = PeerId::random();
    let mut world = World::new(&config(&[format!("{}/p2p/{peer}", at(1))]), Book::default());
    world.far.insert(peer, Far { speaks: BOTH, up: false, ours: true });
    world.at.insert(at(1), peer);
    world.pass(S(3600));
    // 1, 2, 4, … 300 s, half more or less: some twenty in an hour, and no fewer than that.
    let dials = world.dials_of(peer);
    assert!((12..40).contains(&dials), "{dials} dials");
    assert_eq!(world.told, [NodeEvent::Offline]);
    assert_eq!(world.known.get(&peer), Some(&Rank::Kept));
    world.come_up(peer);
    world.pass(S(450));
    assert!(world.connected.contains(&peer) && world.keeper.is_online());
    assert_eq!(world.told, [NodeEvent::Offline, NodeEvent::Online]);
    // It was there for long enough: the first dial comes soon.
    world.pass(S(60));
    world.go_down(peer);
    world.come_up(peer);
    world.pass(S(2));
    assert!(world.connected.contains(&peer));
    assert_eq!(world.told.len(), 2, "it was away for less than the grace");
    // It comes and goes at once, again and again: it is dialled more and more rarely.
    let before = world.dials_of(peer);
    for _ in 0..3600 {
        world.pass(S(1));
        if world.connected.contains(&peer) {
            world.lose(peer);
            world.work();
        }
    }
    let dials = world.dials_of(peer) - before;
    assert!(dials < 40, "{dials} dials in an hour");
}

#[test]
fn a_configured_address_without_a_name_is_kept_too() {
    let mut world = World::new(&config(&[at(1).to_string()]), Book::default());
    let peer = world.add(1, BOTH);
    world.pass(S(1));
    assert_eq!(world.connected, [peer].into());
    assert_eq!(world.known.get(&peer), Some(&Rank::Kept));
    world.pass(S(100));
    assert_eq!(world.dials.len(), 1);
    world.go_down(peer);
    // Another one is there now.
    let other = world.add(1, BOTH);
    world.pass(S(10));
    assert_eq!(world.connected, [other].into());
    assert_eq!(world.known.get(&other), Some(&Rank::Kept));
}

#[test]
fn the_network_coming_back_shortens_the_wait() {
    let peer = PeerId::random();
    let mut world = World::new(&config(&[format!("{}/p2p/{peer}", at(1))]), Book::default());
    world.far.insert(peer, Far { speaks: BOTH, up: false, ours: true });
    world.at.insert(at(1), peer);
    world.pass(S(7200));
    world.come_up(peer);
    world.keeper.network_changed(world.moment());
    world.pass(S(1));
    assert!(world.connected.contains(&peer));
    // Or somebody comes, where nobody was.
    world.go_down(peer);
    world.pass(S(7200));
    world.come_up(peer);
    let client = world.add(2, Speaks::default());
    world.comes(client);
    world.pass(S(1));
    assert!(world.connected.contains(&peer));
}

#[test]
fn as_many_as_are_wanted_are_kept_out_of_the_book() {
    let mut book = Book::default();
    let config = PeerConfig { store_peers: Some(3), ..none() };
    let mut far = Vec::new();
    for n in 0..20 {
        let peer = PeerId::random();
        book.reached(peer, &at(n), WALL);
        book.speaks(&peer, if n < 10 { BOTH } else { Speaks::default() }, WALL);
        book.cost(&peer, 100 + n);
        far.push(peer);
    }
    let mut world = World::new(&config, book);
    for (n, peer) in far.iter().enumerate() {
        world.far.insert(*peer, Far { speaks: BOTH, up: true, ours: true });
        world.at.insert(at(n as u32), *peer);
    }
    world.pass(S(1));
    // The three that cost least.
    assert_eq!(world.connected, far[..3].iter().copied().collect());
    // One goes: the next takes its place, at once.
    world.go_down(far[1]);
    assert_eq!(world.connected, [far[0], far[2], far[3]].into());
    // Who only comes and says that it speaks Store is no substitute.
    world.go_down(far[0]);
    let claims = world.add(99, BOTH);
    world.comes(claims);
    assert_eq!((world.connected.len(), world.settled[&claims]), (4, Rank::Claims));
    // The app disconnects one: it stays away, and another one comes.
    let kept = far[2];
    world.keeper.let_go(world.moment(), kept);
    world.lose(kept);
    world.pass(S(7200));
    world.keeper.network_changed(world.moment());
    world.pass(S(10));
    assert!(!world.connected.contains(&kept));
    assert_eq!(world.connected.len(), 4);
    // Until the app dials it.
    world.meet(kept, Some(at(2)), None);
    world.pass(S(100));
    (3..10).for_each(|n| world.go_down(far[n]));
    world.lose(kept);
    world.pass(S(100));
    assert!(world.connected.contains(&kept), "it may come back");
}

#[test]
fn a_book_full_of_the_dead_is_no_flood() {
    let mut book = Book::default();
    for n in 0..500 {
        let peer = PeerId::random();
        book.told(peer, &[at(n)], WALL);
        book.may_speak(&peer, BOTH);
    }
    let mut world = World::new(&config(&[at(999).to_string()]), book);
    world.hangs = S(10);
    world.pass(S(60));
    assert!(world.most_at_once <= 8, "{} at once", world.most_at_once);
    assert!(world.dials.len() <= 8 + 30 + 8, "{} dials in a minute", world.dials.len());
    // The one that is alive is found among them in time, and what fails is struck out.
    let alive = world.keeper.book().iter().map(|(peer, _)| *peer).next().unwrap();
    let place = world.keeper.book().addresses(&alive)[0].clone();
    world.far.insert(alive, Far { speaks: BOTH, up: true, ours: true });
    world.at.insert(place, alive);
    world.pass(S(6 * 3600));
    assert!(world.connected.contains(&alive));
    assert_eq!(world.keeper.book().iter().count(), 1);
    assert!(world.ticks < 8_000, "{} wake-ups", world.ticks);
}

#[test]
fn others_clusters_and_the_banned_are_not_dialled() {
    let [foreign, banned] = [PeerId::random(), PeerId::random()];
    let addresses = [(1, foreign), (2, banned)].map(|(n, p)| format!("{}/p2p/{p}", at(n)));
    let mut world = World::new(&config(&addresses), Book::default());
    world.far.insert(foreign, Far { speaks: BOTH, up: true, ours: false });
    world.far.insert(banned, Far { speaks: BOTH, up: true, ours: true });
    world.at.extend([(at(1), foreign), (at(2), banned)]);
    world.pass(S(1));
    assert_eq!(world.connected, [banned].into());
    world.keeper.banned(world.moment(), banned, S(300));
    world.lose(banned);
    world.work();
    world.keeper.network_changed(world.moment());
    world.pass(S(295));
    assert_eq!((world.dials_of(foreign), world.dials_of(banned)), (1, 1));
    assert!(world.connected.is_empty());
    world.pass(S(10));
    assert_eq!((world.dials_of(foreign), world.connected.contains(&banned)), (1, true));
    // The operator may have set it right by then.
    world.far.get_mut(&foreign).unwrap().ours = true;
    world.pass(S(3600));
    assert!(world.connected.contains(&foreign));
    // Of strangers nothing stays in the book.
    let stranger = world.add(3, BOTH);
    world.far.get_mut(&stranger).unwrap().ours = false;
    world.meet(stranger, Some(at(3)), None);
    assert!(world.keeper.book().get(&stranger).is_none());
}

#[test]
fn a_node_that_was_given_nobody_dials_nobody_until_it_learns_of_some() {
    let mut world = World::new(&PeerConfig::default(), Book::default());
    let peer = world.add(1, STORE);
    world.pass(S(100));
    world.meet(peer, Some(at(1)), None);
    world.work();
    assert_eq!(world.told, [NodeEvent::Online]);
    world.go_down(peer);
    world.come_up(peer);
    world.pass(S(7200));
    assert_eq!(world.dials, []);
    assert_eq!(world.told, [NodeEvent::Online, NodeEvent::Offline]);
    let found = world.add(2, STORE);
    world.keeper.learn(world.moment(), found, &[at(2)], STORE);
    world.pass(S(1));
    assert_eq!(world.connected, [peer, found].into());
}

#[test]
fn who_turns_out_to_be_of_no_use_is_let_go_and_who_got_dear_is_replaced() {
    let mut world = World::new(&PeerConfig { store_peers: Some(1), ..none() }, Book::default());
    let liar = world.add(1, Speaks { relay: true, ..Speaks::default() });
    world.keeper.learn(world.moment(), liar, &[at(1)], STORE);
    world.pass(S(1));
    assert_eq!((world.closed.as_slice(), world.dials.len()), (&[liar][..], 1));
    let slow = world.add(2, STORE);
    world.keeper.learn(world.moment(), slow, &[at(2)], STORE);
    world.pass(S(1));
    assert_eq!(world.connected, [slow].into());
    world.keeper.measured(slow, 5000);
    world.pass(REVIEW * 3);
    assert_eq!(world.connected, [slow].into(), "there is no better one");
    let other = world.add(3, STORE);
    world.keeper.learn(world.moment(), other, &[at(3)], STORE);
    world.pass(REVIEW * 3);
    assert_eq!((world.connected, world.closed), ([other].into(), vec![liar, slow]));
}

#[test]
fn while_it_is_paused_nothing_happens() {
    let peer = PeerId::random();
    let mut world = World::new(&config(&[format!("{}/p2p/{peer}", at(1))]), Book::default());
    world.far.insert(peer, Far { speaks: BOTH, up: true, ours: true });
    world.at.insert(at(1), peer);
    world.pass(S(100));
    world.keeper.pause(world.moment());
    world.lose(peer);
    world.known.clear();
    world.work();
    assert_eq!(world.keeper.deadline(), None);
    world.pass(S(3600));
    assert_eq!((world.dials.len(), world.told.as_slice()), (1, &[NodeEvent::Online][..]));
    world.keeper.go_again(world.moment());
    world.pass(S(2));
    assert_eq!((world.connected.len(), world.known[&peer]), (1, Rank::Kept));
    assert_eq!(world.told, [NodeEvent::Online]);
}

#[test]
fn what_is_kept_is_there_again_after_a_restart() {
    let mut world = World::new(&PeerConfig { sync_peers: Some(2), ..none() }, Book::default());
    let peer = world.add(1, BOTH);
    world.meet(peer, Some(at(1)), None);
    world.work();
    let saved = world.keeper.save(world.moment()).unwrap();
    assert!(world.keeper.save(world.moment()).is_none());
    let again = book_bytes::decode(&saved).unwrap();
    let mut next = World::new(&PeerConfig { sync_peers: Some(2), ..none() }, again);
    next.far = world.far.clone();
    next.at = world.at.clone();
    next.pass(S(1));
    assert_eq!((next.connected, next.known[&peer]), ([peer].into(), Rank::Proven));
}
