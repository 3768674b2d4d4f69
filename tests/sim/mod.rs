//! A deterministic simulation: engines over archives in memory, links with latency, a virtual
//! clock. What is sent on one stream stays in order; streams overtake each other. A seed replays.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod messages;
pub mod node;
pub mod scripted;
pub mod solo;
pub mod store;
pub mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use wakustore::archive::FeedEvent;
pub use wakustore::engine::PeerKey;
use wakustore::engine::{
    Engine, EngineConfig, EngineUsage, Now, Output, PeerInfo, QueryId, SessionId, SyncOptions,
    SyncProtocol, SyncReport,
};
use wakustore::types::{MessageHash, Origin, Page, Query, StoredMessage};
use wakustore::{Error, ErrorKind, Result};

pub use self::messages::*;
pub use self::node::{Kept, Node, Question, now};
pub use self::scripted::Scripted;

/// The most virtual time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

enum Event {
    Accept {
        stream: usize,
    },
    Refused {
        stream: usize,
    },
    /// The protocol of the stream is not spoken there.
    NotSpoken {
        stream: usize,
    },
    Frame {
        stream: usize,
        to: usize,
        frame: Bytes,
    },
    Closed {
        stream: usize,
        to: usize,
        error: bool,
    },
    Message {
        stream: usize,
        frame: Option<Bytes>,
    },
    Written {
        stream: usize,
    },
    Ask {
        node: usize,
        question: Question,
    },
    Fed {
        node: usize,
        event: FeedEvent,
    },
    StoreAsked {
        from: usize,
        to: usize,
        query: QueryId,
        request: Query,
    },
    StoreAnswered {
        node: usize,
        query: QueryId,
        page: Result<Page>,
    },
}

/// A stream of either protocol, from the node that opened it.
struct Stream {
    from: usize,
    to: usize,
    /// The session at each end, where there is one.
    sessions: BTreeMap<usize, SessionId>,
    transfer: bool,
    /// Which protocol id a reconciliation stream was opened under.
    protocol: SyncProtocol,
    dead: bool,
    /// One end has closed it.
    closed: bool,
    /// Nothing is delivered before this: the stream's order.
    after: BTreeMap<usize, Duration>,
}

pub struct World {
    pub nodes: Vec<Node>,
    pub elapsed: Duration,
    /// Each way.
    pub latency: Duration,
    /// More of it, at random.
    pub jitter: Duration,
    /// More of it for reconciliation alone, so that messages overtake what announces them.
    pub announce_late: Duration,
    pub random: Random,
    /// What nodes that are connected from now on know of each other.
    pub info: PeerInfo,
    /// Events carried out, for cutting at each.
    pub steps: usize,
    /// More latency, from one node to another.
    pub slow: BTreeMap<(usize, usize), Duration>,
    /// Nodes without an engine of their own (the one in `nodes` idles): a script plays them.
    pub scripted: BTreeMap<usize, Box<dyn Scripted>>,
    /// Nodes whose frames are changed on the way, one in so many.
    pub garbled: BTreeMap<usize, u64>,
    /// How they change, where not at random.
    pub mutation: Option<trouble::Mutation>,
    /// What others are told of a node, where that is not `info`.
    pub infos: BTreeMap<usize, PeerInfo>,
    /// When each engine wants to be called.
    deadlines: Vec<Option<Duration>>,
    events: BTreeMap<(Duration, u64), Event>,
    seq: u64,
    streams: Vec<Stream>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        World {
            nodes: Vec::new(),
            elapsed: Duration::ZERO,
            latency: Duration::from_millis(10),
            jitter: Duration::from_millis(5),
            announce_late: Duration::ZERO,
            random: Random(seed),
            info: PeerInfo::reconciling(),
            steps: 0,
            slow: BTreeMap::new(),
            scripted: BTreeMap::new(),
            garbled: BTreeMap::new(),
            mutation: None,
            infos: BTreeMap::new(),
            deadlines: Vec::new(),
            events: BTreeMap::new(),
            seq: 0,
            streams: Vec::new(),
        }
    }

    /// Two nodes that hold these, connected and with their indexes loaded.
    pub fn pair(seed: u64, a: &[StoredMessage], b: &[StoredMessage]) -> Self {
        World::pair_with(seed, quiet(), quiet(), a, b)
    }

    pub fn pair_with(
        seed: u64,
        config_a: EngineConfig,
        config_b: EngineConfig,
        a: &[StoredMessage],
        b: &[StoredMessage],
    ) -> Self {
        let mut world = World::new(seed);
        world.add(config_a, a);
        world.add(config_b, b);
        world.settle();
        world.connect(0, 1);
        world
    }

    /// Adds a node whose archive holds these from the start.
    pub fn add(&mut self, config: EngineConfig, held: &[StoredMessage]) -> usize {
        let seed = self.random.next();
        let mut node = Node::new(config, seed, self.elapsed);
        node.fill(held);
        self.nodes.push(node);
        self.deadlines.push(None);
        let index = self.nodes.len() - 1;
        self.carry_out(index);
        index
    }

    pub fn connect(&mut self, a: usize, b: usize) {
        for (node, peer) in [(a, b), (b, a)] {
            self.nodes[node].connected.insert(key(peer));
            let info = self.infos.get(&peer).copied().unwrap_or(self.info);
            self.call(node, |e, now| e.peer_connected(now, key(peer), info));
        }
    }

    /// The connection vanishes, with all that is under way on it.
    pub fn cut(&mut self, a: usize, b: usize) {
        for stream in &mut self.streams {
            stream.dead |= (stream.from, stream.to) == (a, b) || (stream.from, stream.to) == (b, a);
        }
        for (node, peer) in [(a, b), (b, a)] {
            self.nodes[node].connected.remove(&key(peer));
            let streams = &self.streams;
            self.nodes[node].inbox.retain(|stream, _| !streams[*stream].dead);
            self.call(node, |e, now| e.peer_disconnected(now, key(peer)));
        }
    }

    pub fn now(&self, node: usize) -> Now {
        now(self.elapsed, self.nodes[node].skew)
    }

    /// Calls an engine and carries out what follows.
    pub fn call<T>(&mut self, node: usize, f: impl FnOnce(&mut Engine, Now) -> T) -> T {
        let now = self.now(node);
        let result = f(&mut self.nodes[node].engine, now);
        self.carry_out(node);
        result
    }

    pub fn sync(&mut self, from: usize, to: usize, options: SyncOptions) -> SessionId {
        self.call(from, |e, now| e.sync(now, key(to), options)).unwrap()
    }

    /// Syncs and runs to the end; the report of the one who began, and of the other.
    pub fn sync_to_end(
        &mut self,
        from: usize,
        to: usize,
        o: SyncOptions,
    ) -> (SyncReport, SyncReport) {
        let (ours, theirs) = self.sync_to_end_or_alone(from, to, o);
        (ours, theirs.expect("the responder has finished too"))
    }

    /// As [`World::sync_to_end`], where the other may never hear of it.
    pub fn sync_to_end_or_alone(
        &mut self,
        from: usize,
        to: usize,
        options: SyncOptions,
    ) -> (SyncReport, Option<SyncReport>) {
        let seen = self.nodes[to].finished.len();
        let session = self.sync(from, to, options);
        self.settle();
        let theirs = self.nodes[to].finished.get(seen).map(|(_, r)| r.clone());
        (self.nodes[from].report(session).clone(), theirs)
    }

    /// Messages are stored at a node now, and its feed tells.
    pub fn put(&mut self, node: usize, messages: Vec<StoredMessage>) {
        if let Some(event) = self.nodes[node].put(messages, Origin::Live) {
            let delay = self.nodes[node].feed_delay;
            self.at(delay, Event::Fed { node, event });
        }
    }

    pub fn hashes(&mut self, node: usize) -> BTreeSet<MessageHash> {
        self.nodes[node].hashes()
    }

    /// Whether nothing is under way.
    fn is_quiet(&self) -> bool {
        self.events.is_empty() && self.nodes.iter().all(|n| n.engine.usage().sessions == 0)
    }

    /// Runs until nothing is under way.
    pub fn settle(&mut self) {
        let end = self.elapsed + PATIENCE;
        while !self.is_quiet() {
            self.step();
            assert!(self.elapsed < end, "nothing settles: {:?}", self.usages());
        }
    }

    /// Runs on for so long.
    pub fn run_for(&mut self, d: Duration) {
        let end = self.elapsed + d;
        while self.next_time() <= end {
            self.step();
        }
        self.elapsed = end;
    }

    pub fn usages(&self) -> Vec<EngineUsage> {
        self.nodes.iter().map(|n| n.engine.usage()).collect()
    }

    /// Lets grace periods pass, and checks that nothing is left behind.
    pub fn assert_released(&mut self) {
        self.settle();
        self.run_for(Duration::from_secs(60));
        for (node, u) in self.usages().into_iter().enumerate() {
            let peers = self.nodes[node].connected.len();
            let expected = EngineUsage { peers, index_ids: u.index_ids, ..EngineUsage::default() };
            assert_eq!(u, expected, "node {node}");
        }
    }

    fn next_time(&self) -> Duration {
        let event = self.events.keys().next().map(|(at, _)| *at);
        let deadlines = self.deadlines.iter().flatten().copied();
        event.into_iter().chain(deadlines).min().unwrap_or(Duration::MAX)
    }

    /// Carries out the next event, or lets the next deadline pass.
    pub fn step(&mut self) {
        self.elapsed = self.elapsed.max(self.next_time());
        self.steps += 1;
        for node in 0..self.nodes.len() {
            if self.deadlines[node].is_some_and(|d| d <= self.elapsed) {
                self.call(node, |e, now| e.tick(now));
                let next = self.deadlines[node];
                assert!(next.is_none_or(|d| d > self.elapsed), "node {node} spins at {next:?}");
            }
        }
        let due = self.events.first_key_value().is_some_and(|((at, _), _)| *at <= self.elapsed);
        if due && let Some((_, event)) = self.events.pop_first() {
            self.carry(event);
        }
    }

    fn at(&mut self, delay: Duration, event: Event) {
        self.seq += 1;
        self.events.insert((self.elapsed + delay, self.seq), event);
    }

    /// Sends on a stream: after all that was sent that way before.
    fn transmit(&mut self, stream: usize, to: usize, event: Event) {
        let jitter = self.random.below(self.jitter.as_micros() as u64 + 1);
        let mut delay = self.latency + Duration::from_micros(jitter);
        if !self.streams[stream].transfer {
            delay += self.announce_late;
        }
        if !self.slow.is_empty() {
            let Stream { from, to: end, .. } = &self.streams[stream];
            let towards = if to == *from { (*end, *from) } else { (*from, *end) };
            delay += self.slow.get(&towards).copied().unwrap_or_default();
        }
        let after = self.streams[stream].after.entry(to).or_default();
        *after = (self.elapsed + delay).max(*after);
        self.seq += 1;
        self.events.insert((*after, self.seq), event);
    }

    fn open(&mut self, from: usize, to: usize, session: SessionId, transfer: bool) -> usize {
        self.streams.push(Stream {
            from,
            to,
            sessions: BTreeMap::from([(from, session)]),
            transfer,
            protocol: SyncProtocol::V1,
            dead: false,
            closed: false,
            after: BTreeMap::new(),
        });
        self.streams.len() - 1
    }

    fn stream_of(&self, node: usize, session: SessionId, transfer: bool) -> Option<usize> {
        let is = |s: &Stream| s.sessions.get(&node) == Some(&session) && s.transfer == transfer;
        self.streams.iter().rposition(is)
    }

    /// Carries out what an engine asks for, and reads on where it is ready for more.
    fn carry_out(&mut self, node: usize) {
        loop {
            while let Some(output) = self.nodes[node].engine.poll_output() {
                match self.nodes[node].keep(output) {
                    Kept::Ask(question) => {
                        let delay = self.nodes[node].archive_delay;
                        self.at(delay, Event::Ask { node, question });
                    }
                    Kept::Network(output) => self.network(node, output),
                    Kept::Noted => {}
                }
            }
            if !self.read_one(node) {
                self.deadlines[node] = self.nodes[node].engine.next_deadline();
                return;
            }
        }
    }

    /// Hands one transfer frame from the socket to the engine, where that wants it.
    fn read_one(&mut self, node: usize) -> bool {
        let ready =
            |stream: &usize, n: &Node| n.engine.transfer_ready(key(self.streams[*stream].from));
        let n = &self.nodes[node];
        let Some(stream) = n.inbox.keys().copied().find(|stream| ready(stream, n)) else {
            return false;
        };
        let peer = key(self.streams[stream].from);
        let now = self.now(node);
        let inbox = &mut self.nodes[node].inbox;
        let queue = inbox.get_mut(&stream).unwrap();
        let next = queue.pop_front().flatten();
        if queue.is_empty() {
            inbox.remove(&stream);
        }
        match next {
            Some(frame) => {
                self.transmit(stream, usize::MAX, Event::Written { stream });
                self.nodes[node].engine.transfer_frame(now, peer, frame);
            }
            None => self.nodes[node].engine.transfer_closed(now, peer),
        }
        true
    }

    fn network(&mut self, node: usize, output: Output) {
        let gone = || Error::new(ErrorKind::PeerUnknown, "not connected");
        match output {
            Output::OpenReconciliation { session, peer, protocol } => {
                if !self.nodes[node].connected.contains(&peer) {
                    let now = self.now(node);
                    self.nodes[node].engine.reconciliation_failed(now, session, gone());
                    return;
                }
                let to = peer.0 as usize;
                let stream = self.open(node, to, session, false);
                self.streams[stream].protocol = protocol;
                self.transmit(stream, to, Event::Accept { stream });
            }
            Output::SendReconciliation { session, frame } => {
                if let Some(stream) = self.stream_of(node, session, false) {
                    let to = self.other(stream, node);
                    let frame = self.garble(node, frame);
                    self.transmit(stream, to, Event::Frame { stream, to, frame });
                }
            }
            Output::CloseReconciliation { session } => {
                if let Some(stream) = self.stream_of(node, session, false) {
                    self.streams[stream].closed = true;
                    let to = self.other(stream, node);
                    self.transmit(stream, to, Event::Closed { stream, to, error: false });
                }
            }
            Output::SendTransfer { session, peer, frames } => {
                if !self.nodes[node].connected.contains(&peer) {
                    let now = self.now(node);
                    self.nodes[node].engine.transfer_failed(now, session, gone());
                    return;
                }
                let to = peer.0 as usize;
                let stream = match self.stream_of(node, session, true) {
                    Some(stream) => stream,
                    None => self.open(node, to, session, true),
                };
                for frame in frames {
                    let frame = self.garble(node, frame);
                    self.transmit(stream, to, Event::Message { stream, frame: Some(frame) });
                }
            }
            Output::CloseTransfer { session } => {
                if let Some(stream) = self.stream_of(node, session, true) {
                    self.streams[stream].closed = true;
                    let to = self.other(stream, node);
                    self.transmit(stream, to, Event::Message { stream, frame: None });
                }
            }
            Output::QueryStore { query, peer, request } => {
                self.query_store(node, peer.0 as usize, query, *request);
            }
            other => unreachable!("{other:?} is not for the network"),
        }
    }

    fn other(&self, stream: usize, node: usize) -> usize {
        let s = &self.streams[stream];
        if s.from == node { s.to } else { s.from }
    }

    fn carry(&mut self, event: Event) {
        let Some(event) = self.play_event(event) else { return };
        let dead = |stream: usize| self.streams[stream].dead;
        match event {
            Event::Ask { node, question } => {
                let now = self.now(node);
                if let Some(event) = self.nodes[node].answer(question, now) {
                    let delay = self.nodes[node].feed_delay;
                    self.at(delay, Event::Fed { node, event });
                }
                self.carry_out(node);
            }
            Event::StoreAsked { from, to, query, request } => {
                self.store_asked(from, to, query, &request);
            }
            Event::StoreAnswered { node, query, page } => {
                self.call(node, |e, now| e.store_answered(now, query, page));
            }
            Event::Fed { node, event } => self.call(node, |e, now| e.fed(now, event)),
            Event::Accept { stream } if !dead(stream) => {
                let (from, to) = (self.streams[stream].from, self.streams[stream].to);
                let protocol = self.streams[stream].protocol;
                let now = self.now(to);
                match self.nodes[to].engine.reconciliation_accepted(now, key(from), protocol) {
                    Ok(session) => {
                        self.streams[stream].sessions.insert(to, session);
                    }
                    Err(e) if e.kind() == ErrorKind::ProtocolUnsupported => {
                        self.transmit(stream, from, Event::NotSpoken { stream });
                    }
                    Err(_) => self.transmit(stream, from, Event::Refused { stream }),
                }
                self.carry_out(to);
            }
            Event::NotSpoken { stream } if !dead(stream) => {
                let from = self.streams[stream].from;
                let session = self.streams[stream].sessions[&from];
                self.streams[stream].dead = true;
                let error = Error::new(ErrorKind::ProtocolUnsupported, "not spoken");
                self.call(from, |e, now| e.reconciliation_failed(now, session, error));
            }
            Event::Refused { stream } if !dead(stream) => {
                let from = self.streams[stream].from;
                self.transmit(stream, from, Event::Closed { stream, to: from, error: true });
            }
            Event::Frame { stream, to, frame } if !dead(stream) => {
                if let Some(session) = self.streams[stream].sessions.get(&to).copied() {
                    self.call(to, |e, now| e.reconciliation_frame(now, session, frame));
                }
            }
            Event::Closed { stream, to, error } if !dead(stream) => {
                if let Some(session) = self.streams[stream].sessions.get(&to).copied() {
                    let error = error.then(|| Error::new(ErrorKind::StreamClosed, "reset"));
                    self.call(to, |e, now| e.reconciliation_closed(now, session, error));
                }
            }
            Event::Message { stream, frame } if !dead(stream) => {
                let to = self.streams[stream].to;
                self.nodes[to].inbox.entry(stream).or_default().push_back(frame);
                self.carry_out(to);
            }
            Event::Written { stream } if !dead(stream) => {
                let from = self.streams[stream].from;
                let session = self.streams[stream].sessions[&from];
                self.call(from, |e, now| e.transfer_sent(now, session, 1));
            }
            // A stream that is gone carries nothing.
            _ => {}
        }
    }
}

/// A node's name among its peers.
pub fn key(node: usize) -> PeerKey {
    PeerKey(node as u64)
}

/// The default configuration without anything that begins a sync by itself.
pub fn quiet() -> EngineConfig {
    EngineConfig {
        heartbeat: None,
        sync_on_connect: false,
        resume: false,
        ..EngineConfig::default()
    }
}
