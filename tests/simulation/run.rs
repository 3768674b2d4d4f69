//! One run of the simulation: a seed's trouble, then peace, then what is demanded.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use wakustore::ErrorKind;
use wakustore::engine::{EngineConfig, PeerInfo, SyncOptions};
use wakustore::types::{StoredMessage, TimeRange, Timestamp};

use crate::demands::{self, Reports};
use crate::deployed::{DeployedNode, Holdings};
use crate::liars::{LIES, Liar, Lies};
use crate::plan::{Fault, Plan, peer_info};
use crate::sim::{START, World, key, quiet};

/// What a run did, for the figures that are printed at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Heartbeats after the network was whole until all was well.
    pub beats: u32,
    /// Of how many.
    pub allowed: u32,
    pub sessions: usize,
    pub events: usize,
    pub penalties: usize,
}

/// What a node of the deployed kind holds, and the nodes it is between.
pub type Neighbour = (Rc<RefCell<Holdings>>, (usize, usize));

/// A run under way.
pub struct Run {
    pub plan: Plan,
    pub world: World,
    pub lies: Rc<RefCell<Lies>>,
    /// Links of liars.
    pub false_links: BTreeSet<(usize, usize)>,
    pub reports: Reports,
    /// A node of the deployed kind behind the honest ones, and its one link, in some seeds.
    pub deployed: Option<Neighbour>,
    /// Numbers of messages that come while it runs.
    next: u64,
}

/// Runs a seed from first to last; panics where a demand is not met.
pub fn run(seed: u64) -> Stats {
    let mut run = Run::new(Plan::of(seed));
    run.trouble();
    run.heal();
    let beats = demands::all_is_well_in_time(&mut run);
    run.rest();
    demands::at_the_end(&mut run);
    Stats {
        beats,
        allowed: run.plan.beats(),
        sessions: run.reports.count(),
        events: run.world.steps,
        penalties: run.world.nodes.iter().map(|n| n.penalties.len()).sum(),
    }
}

impl Run {
    fn new(mut plan: Plan) -> Run {
        let mut world = World::new(plan.seed);
        let mut holds: Vec<Vec<StoredMessage>> = vec![Vec::new(); plan.nodes];
        for (message, holders) in &plan.messages {
            holders.iter().for_each(|node| holds[*node].push(message.clone()));
        }
        for (node, held) in holds.iter().enumerate() {
            world.add(config(&plan, node), held);
            world.infos.insert(node, peer_info(plan.seed, node));
            if plan.has(Fault::Skew) {
                world.nodes[node].skew = (plan.random.below(17) as i64 - 8) * 1_000_000_000;
            }
        }
        let lies = Rc::new(RefCell::new(Lies::default()));
        let mut run = Run {
            world,
            lies,
            false_links: BTreeSet::new(),
            reports: Reports::default(),
            deployed: None,
            next: 1 << 32,
            plan,
        };
        if run.below(3) == 0 {
            run.add_deployed();
        }
        if run.plan.has(Fault::Liars) {
            run.add_liars();
        }
        for (a, b) in run.plan.links.clone() {
            run.world.connect(a, b);
        }
        run
    }

    /// It holds some of what others hold, and a little that nobody else has.
    fn add_deployed(&mut self) {
        let node = self.world.add(quiet(), &[]);
        let mut holdings = Holdings::default();
        for n in 0..30 {
            let ago = 100.0 + self.below(1_400_000) as f64 / 1000.0;
            let own = self.plan.another((1 << 36) + n, ago);
            self.plan.messages.push((own, vec![node]));
        }
        for (message, holders) in &self.plan.messages {
            if holders.contains(&node) || self.plan.random.below(10) < 7 {
                holdings.messages.insert(message.sync_id(), message.clone());
            }
        }
        let holdings = Rc::new(RefCell::new(holdings));
        self.world.scripted.insert(node, Box::new(DeployedNode(holdings.clone())));
        let info = PeerInfo { deployed: true, ..PeerInfo::reconciling() };
        self.world.infos.insert(node, info);
        let peer = self.any_node();
        self.world.connect(peer, node);
        self.deployed = Some((holdings, (peer, node)));
    }

    /// The deployed node's clock goes on, and now and then it begins a session.
    pub fn deployed_acts(&mut self, begins: bool) {
        let Some((holdings, (peer, node))) = self.deployed.clone() else { return };
        holdings.borrow_mut().elapsed = self.world.elapsed;
        if begins && self.world.nodes[node].connected.contains(&key(peer)) {
            self.world.script_begins(node, peer);
        }
    }

    /// One or two, each with a few honest peers; now and then one that does all as it should, but
    /// for its bytes.
    fn add_liars(&mut self) {
        for _ in 0..=self.below(2) {
            let node = self.world.add(quiet(), &[]);
            if self.below(6) == 0 {
                let held: Vec<_> =
                    self.plan.messages.iter().step_by(3).map(|(m, _)| m.clone()).collect();
                let _ = self.world.put_silently(node, held);
                self.world.infos.insert(node, peer_info(self.plan.seed, node));
                self.world.garbled.insert(node, 1 + self.plan.random.below(30));
            } else {
                let lie = LIES[self.below(LIES.len() as u64) as usize];
                let script = Liar::new(lie, self.lies.clone());
                self.world.scripted.insert(node, Box::new(script));
            }
            for _ in 0..=self.below(2) {
                let honest = self.below(self.plan.nodes as u64) as usize;
                if self.false_links.insert((honest, node)) {
                    self.world.connect(honest, node);
                }
            }
        }
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.plan.random.below(n)
    }

    fn any_node(&mut self) -> usize {
        self.below(self.plan.nodes as u64) as usize
    }

    fn any_link(&mut self) -> (usize, usize) {
        let links = self.plan.links.len() as u64;
        let at = self.below(links) as usize;
        *self.plan.links.iter().nth(at).unwrap()
    }

    // --- trouble ---

    fn trouble(&mut self) {
        if self.plan.has(Fault::Reordering) {
            self.world.jitter = Duration::from_millis(100 + self.below(900));
            self.world.announce_late = Duration::from_millis(self.below(1500));
        }
        for _ in 0..60 {
            let pause = self.below(6000);
            self.world.run_for(Duration::from_millis(pause));
            if self.below(3) == 0 {
                self.new_message();
            }
            let begins = self.below(8) == 0;
            self.deployed_acts(begins);
            if self.below(4) == 0 {
                self.sync_on_demand();
            }
            let faults = self.plan.faults.len() as u64;
            let at = self.below(faults) as usize;
            let fault = *self.plan.faults.iter().nth(at).unwrap();
            self.inflict(fault);
        }
    }

    /// A message reaches some nodes by relay now: a young one, or a late one.
    fn new_message(&mut self) {
        self.next += 1;
        let late = if self.below(2) == 0 { 0.0 } else { self.below(2_000_000) as f64 / 1000.0 };
        let ago = late - self.world.elapsed.as_secs_f64();
        let n = self.next;
        let message = self.plan.another(n, ago);
        let first = self.any_node();
        self.plan.messages.push((message.clone(), vec![first]));
        for node in 0..self.plan.nodes {
            if node == first || self.below(3) > 0 {
                self.world.put(node, vec![message.clone()]);
            }
        }
    }

    /// What is asked for may be refused: one runs already, or too many do.
    fn sync_on_demand(&mut self) {
        let (a, b) = self.any_link();
        let window = match self.below(3) {
            0 => None,
            // Older than the index reaches: its ids are loaded.
            1 => Some((5 * 3600, 3 * 3600)),
            _ => Some((1 + self.below(7000) as i64, 0)),
        };
        let ago = |s: i64| Timestamp(START.nanos() - s * 1_000_000_000);
        let window = window.map(|(from, to)| TimeRange::new(ago(from), ago(to)).unwrap());
        let options = SyncOptions { window, ..SyncOptions::default() };
        let begun = self.world.call(a, |e, now| e.sync(now, key(b), options));
        self.reports.begun(a, begun);
    }

    fn inflict(&mut self, fault: Fault) {
        let (a, b) = self.any_link();
        let node = self.any_node();
        match fault {
            Fault::Loss => {
                self.world.reset_a_stream();
            }
            Fault::Delay => {
                let more = Duration::from_millis(self.below(4000));
                let way = if self.below(2) == 0 { (a, b) } else { (b, a) };
                self.world.slow.insert(way, more);
            }
            // They are so from the beginning.
            Fault::Reordering | Fault::Skew => {}
            Fault::Partition => self.partition(a, b),
            Fault::Restart => self.restart(node),
            Fault::Archive => self.archive_fails(node),
            Fault::SlowFeed => {
                self.world.nodes[node].feed_delay = Duration::from_millis(self.below(5000));
            }
            Fault::FeedGap => {
                let count = 1 + self.below(30);
                let late = self.below(3_000_000) as f64 / 1000.0;
                let mut missed = Vec::new();
                for _ in 0..count {
                    self.next += 1;
                    let n = self.next;
                    missed.push(self.plan.another(n, late - self.world.elapsed.as_secs_f64()));
                }
                self.plan.messages.extend(missed.iter().map(|m| (m.clone(), vec![node])));
                self.world.put_behind_the_feed(node, missed);
            }
            Fault::Liars => self.liars_act(),
        }
    }

    /// Cuts a link (the deployed node's too), or all between two halves, or mends one.
    fn partition(&mut self, a: usize, b: usize) {
        match self.below(4) {
            0 => self.world.cut(a, b),
            1 => {
                let (a, b) = self.deployed.as_ref().map_or((a, b), |(_, link)| *link);
                self.world.cut(a, b);
            }
            2 => {
                let half = self.below(1 << self.plan.nodes);
                for (a, b) in self.plan.links.clone() {
                    if (half >> a ^ half >> b) & 1 == 1 {
                        self.world.cut(a, b);
                    }
                }
            }
            _ => {
                self.connect(a, b);
            }
        }
    }

    /// Connects where it is not connected.
    fn connect(&mut self, a: usize, b: usize) {
        if !self.world.nodes[a].connected.contains(&key(b)) {
            self.world.connect(a, b);
        }
    }

    fn restart(&mut self, node: usize) {
        let config = config(&self.plan, node);
        let with_state = self.below(3) > 0;
        let reports = self.world.restart(node, config, with_state);
        self.reports.restarted(node, reports);
        // Some peers it finds at once, and the others when all is well again.
        let mut links: Vec<_> = self.plan.links.iter().copied().collect();
        links.extend(self.deployed.as_ref().map(|(_, link)| *link));
        for (a, b) in links.into_iter().chain(self.false_links.clone()) {
            if (a == node || b == node) && self.below(3) > 0 {
                self.connect(a, b);
            }
        }
    }

    fn archive_fails(&mut self, node: usize) {
        let kinds = [ErrorKind::Busy, ErrorKind::Busy, ErrorKind::DiskFull, ErrorKind::ArchiveIo];
        let kind = kinds[self.below(4) as usize];
        let times = 1 + self.below(4) as usize;
        let what = self.below(4);
        let delay = Duration::from_millis(self.below(2000));
        let n = &mut self.world.nodes[node];
        match what {
            0 => n.store_faults.extend(vec![Some(kind); times]),
            1 => n.fetch_faults.extend(vec![Some(kind); times]),
            2 => n.load_faults.extend(vec![Some(kind); times]),
            _ => n.archive_delay = delay,
        }
    }

    /// A liar begins something with one of its peers.
    pub fn liars_act(&mut self) {
        let links = self.false_links.len() as u64;
        let at = self.below(links) as usize;
        let (honest, liar) = *self.false_links.iter().nth(at).unwrap();
        self.connect(honest, liar);
        if self.world.scripted.contains_key(&liar) {
            self.world.script_begins(liar, honest);
        } else {
            let _ =
                self.world.call(liar, |e, now| e.sync(now, key(honest), SyncOptions::default()));
        }
    }

    // --- peace ---

    /// The network is whole again and the archives work. Clocks stay as they are, liars lie on, but
    /// announce nothing real any more: the union must stand still to be reached.
    fn heal(&mut self) {
        // The youngest messages leave the margin.
        self.world.run_for(Duration::from_secs(40));
        self.lies.borrow_mut().over = true;
        let world = &mut self.world;
        (world.jitter, world.announce_late) = (Duration::from_millis(5), Duration::ZERO);
        world.slow.clear();
        for node in &mut world.nodes {
            (node.archive_delay, node.feed_delay) =
                (Duration::from_millis(1), Duration::from_millis(1));
            node.store_faults.clear();
            node.fetch_faults.clear();
            node.load_faults.clear();
        }
        for (a, b) in self.plan.links.clone() {
            self.connect(a, b);
        }
        if let Some((_, (peer, node))) = self.deployed {
            self.connect(peer, node);
        }
        // What was announced before may come until now.
        self.world.run_for(Duration::from_secs(5));
    }

    /// No node begins anything any more, and what runs comes to its end.
    fn rest(&mut self) {
        let mut links: Vec<_> = self.plan.links.union(&self.false_links).copied().collect();
        links.extend(self.deployed.as_ref().map(|(_, link)| *link));
        for (a, b) in links {
            for (node, peer) in [(a, b), (b, a)] {
                if self.world.nodes[node].connected.contains(&key(peer)) {
                    let nothing = PeerInfo::default();
                    self.world.call(node, |e, now| e.peer_connected(now, key(peer), nothing));
                }
            }
        }
        self.world.run_for(Duration::from_secs(200));
    }
}

/// What an honest node is told.
fn config(plan: &Plan, node: usize) -> EngineConfig {
    EngineConfig { scope: plan.scopes[node].clone(), ..plan.config.clone() }
}
