//! The task that owns the swarm: connections, dials, and the streams that peers open.
//!
//! It never waits for anything but the swarm and its commands: whatever takes time runs in a task
//! of its own. Streams that come are bounded for each peer and in all.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, ping};
use tokio::sync::{Semaphore, mpsc};

use super::address::Address;
use super::behaviour::{Behaviour, BehaviourEvent};
use super::dials::{self, Dials};
use super::event::NodeEvent;
use super::facts::{self, Facts, Place};
use super::keeping::Keeping;
use super::listeners::{self, Listeners};
use super::metadata::{self, Answer};
use super::peers::{KnownAddresses, Peer, Verdict, Waiter};
use super::relay::{self, Wish};
use super::relay_intake::{Intake, Judged};
use super::shared::{Command, Shared};
use super::store_service::StoreService;
use super::streams::Incoming;
use super::sync_input::Input;
use super::sync_streams;
use crate::engine::SyncProtocol;
use crate::error::{Error, ErrorKind, Result};
use crate::types::PubsubTopic;
use crate::wire;

/// Streams that peers may have open to us at once, in all.
const MAX_STREAMS: usize = 1024;
/// Pings in a row without an answer, after which a connection is given up.
const MAX_MISSED_PINGS: u8 = 3;
/// How long a peer of another cluster is kept, so that it can hear why it must go.
const FOREIGN_GRACE: Duration = Duration::from_millis(500);
/// How long a peer may take to say what it speaks before it is taken as it is.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connections may take to say goodbye when the node stops.
const GOODBYE: Duration = Duration::from_secs(1);

/// The swarm's task.
pub(super) struct SwarmTask {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: State,
}

/// What it keeps in mind.
pub(super) struct State {
    cluster_id: u32,
    /// What metadata tells of us.
    metadata: Bytes,
    store: Option<StoreService>,
    relay: Option<Intake>,
    streams: Arc<Semaphore>,
    peers: HashMap<PeerId, Peer>,
    pub(super) known: KnownAddresses,
    dials: Dials,
    missed_pings: HashMap<ConnectionId, u8>,
    /// Which peers the node dials by itself.
    pub(super) keeping: Keeping,
    listeners: Listeners,
}

impl State {
    pub(super) fn new(
        cluster_id: u32,
        metadata: Bytes,
        store: Option<StoreService>,
        relay: Option<Intake>,
        keeping: Keeping,
    ) -> Self {
        State {
            cluster_id,
            metadata,
            store,
            relay,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            peers: HashMap::new(),
            known: KnownAddresses::default(),
            dials: Dials::default(),
            missed_pings: HashMap::new(),
            keeping,
            listeners: Listeners::default(),
        }
    }
}

impl SwarmTask {
    /// Begins to listen at all of these and waits until each listens.
    ///
    /// # Errors
    /// [`ErrorKind::Address`] for one that is not usable, [`ErrorKind::Listen`] where it fails.
    pub(super) async fn listen(&mut self, on: &[Multiaddr]) -> Result<()> {
        for address in on {
            let listener = listeners::begin(&mut self.swarm, address)?;
            self.state.listeners.begun(listener, address.clone());
        }
        // Peers may come at the first while the last is not there yet.
        while !self.state.listeners.all_listen()? {
            let event = self.swarm.select_next_some().await;
            self.on_event(event);
        }
        Ok(())
    }

    /// Runs until the node stops, then says goodbye to all.
    pub(super) async fn run(mut self) {
        let ending = Ending(self.shared.clone());
        let cancelled = self.shared.tasks.cancelled();
        tokio::pin!(cancelled);
        self.keep_on();
        loop {
            let due = self.state.keeping.deadline();
            tokio::select! {
                () = &mut cancelled => break,
                () = sleep_until(due) => self.keep_tick(),
                event = self.swarm.select_next_some() => self.on_event(event),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
            }
        }
        self.commands.close();
        self.keep_end();
        let _ = tokio::time::timeout(GOODBYE, self.say_goodbye()).await;
        // The sockets go before the rest ends: when the node is joined, its ports are free.
        drop(self);
        drop(ending);
    }

    async fn say_goodbye(&mut self) {
        for peer in self.swarm.connected_peers().copied().collect::<Vec<_>>() {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        while self.swarm.connected_peers().next().is_some() {
            let event = self.swarm.select_next_some().await;
            self.on_event(event);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial { address, waiter } => self.dial(address, waiter),
            Command::Reach { peer, waiter } => self.reach(peer, waiter),
            Command::Open { peer, protocol, opened } => {
                // Not connected: `opened` is dropped, which says so.
                if self.swarm.is_connected(&peer) {
                    self.swarm.behaviour_mut().streams.open(peer, protocol, opened);
                }
            }
            Command::Disconnect { peer, done } => {
                self.keep_let_go(peer);
                if let Some(state) = self.state.peers.get_mut(&peer) {
                    state.leaving.push(done);
                    let _ = self.swarm.disconnect_peer_id(peer);
                } else {
                    let _ = done.send(());
                }
            }
            Command::SendAway { peer } => {
                self.swarm.behaviour_mut().bans.ban(peer);
                self.keep_banned(peer);
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Command::Learn { peer, at, speaks } => self.keep_learned(peer, &at, speaks),
            Command::Book { found } => {
                let _ = found.send(self.state.keeping.known());
            }
            Command::NetworkChanged => self.keep_network_changed(),
            Command::Placed { peer, group } => self.learn(peer, |facts| {
                (facts.info.group, facts.placed) = (group, true);
            }),
            Command::Waited { peer } => self.learn(peer, |facts| facts.waited = true),
            Command::Metadata { peer, answer } => self.on_metadata(peer, &answer),
            Command::Relay { topic, wish, done } => {
                let relay = &mut self.swarm.behaviour_mut().relay;
                let _ = done.send(relay::fulfil(relay, &topic, wish));
            }
            Command::RelayPeers { topic, found } => {
                let _ = found.send(relay::peers(&self.swarm.behaviour().relay, &topic));
            }
            Command::Judged(judged) => self.on_judged(judged),
        }
    }

    fn reach(&mut self, peer: PeerId, waiter: Waiter) {
        if let Some(state) = self.state.peers.get_mut(&peer) {
            return state.wait(peer, waiter);
        }
        let known = self.state.known.get(&peer).cloned();
        match known.or_else(|| self.state.keeping.address(&peer)) {
            Some(at) => self.dial(Address { at, peer: Some(peer) }, waiter),
            None => {
                let error = format!("no connection to {peer}, and no address of it is known");
                let _ = waiter.send(Err(Error::new(ErrorKind::PeerUnknown, error)));
            }
        }
    }

    fn dial(&mut self, address: Address, waiter: Waiter) {
        let connected = address.peer.or_else(|| self.connected_at(&address.at));
        if let Some(peer) = connected
            && let Some(state) = self.state.peers.get_mut(&peer)
        {
            state.wait(peer, waiter);
            return self.keep_asked(peer);
        }
        let Some(waiter) = self.state.dials.join(&address, waiter) else { return };
        let at = address.at.clone();
        let options = match address.peer {
            // The swarm's own condition would refuse a second address of the same peer.
            Some(peer) => {
                DialOpts::peer_id(peer).addresses(vec![at]).condition(PeerCondition::Always).build()
            }
            None => DialOpts::unknown_peer_id().address(at).build(),
        };
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => self.state.dials.begin(id, address, waiter),
            Err(e) => {
                let _ = waiter.send(Err(dials::explain(&e, address.peer)));
            }
        }
    }

    /// The connected peer that was dialled at this address.
    fn connected_at(&self, at: &Multiaddr) -> Option<PeerId> {
        self.state.peers.keys().find(|peer| self.state.known.get(peer) == Some(at)).copied()
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(incoming)) => self.on_stream(incoming),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => self.on_identified(peer_id, &info),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Error {
                peer_id,
                ..
            })) => self.learn(peer_id, |facts| facts.waited = true),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(event),
            SwarmEvent::Behaviour(BehaviourEvent::Relay(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            })) => self.on_relayed(message_id, propagation_source, message),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                num_established,
                ..
            } => {
                tracing::debug!(peer = %peer_id, dialled = endpoint.is_dialer(), "connected");
                let first = num_established.get() == 1;
                self.on_connected(peer_id, connection_id);
                self.keep_connected(peer_id, connection_id, &endpoint);
                if first {
                    self.begin(peer_id, facts::place(&endpoint));
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id, connection_id, num_established, cause, ..
            } => {
                self.state.missed_pings.remove(&connection_id);
                tracing::debug!(peer = %peer_id, ?cause, left = num_established, "disconnected");
                if num_established == 0 {
                    self.on_disconnected(peer_id);
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.keep_dial_failed(connection_id, &error);
                let Some((at, waiters)) = self.state.dials.end(connection_id) else { return };
                let error = dials::explain(&error, peer_id);
                tracing::debug!(%at, "the dial failed: {error}");
                for waiter in waiters {
                    let _ = waiter.send(Err(error.clone()));
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!("an incoming connection failed: {error}");
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                tracing::info!(%address, "listening");
                self.state.listeners.add(listener_id, address);
                self.publish_addresses();
            }
            SwarmEvent::ExpiredListenAddr { listener_id, address } => {
                self.state.listeners.remove(listener_id, &address);
                self.publish_addresses();
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                if let Err(e) = &reason {
                    tracing::warn!("a listener ended: {e}");
                }
                self.state.listeners.close(listener_id, reason.err());
                self.publish_addresses();
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!("a listener failed: {error}"),
            _ => {}
        }
    }

    fn publish_addresses(&self) {
        let mut all = self.shared.addresses.write().unwrap_or_else(PoisonError::into_inner);
        *all = self.state.listeners.addresses();
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId) {
        let state = self.state.peers.entry(peer).or_insert_with(Peer::new);
        if let Some((at, waiters)) = self.state.dials.end(connection) {
            self.state.known.insert(peer, at);
            for waiter in waiters {
                state.wait(peer, waiter);
            }
        }
    }

    /// Of a peer's first connection: asks what it is.
    fn begin(&mut self, peer: PeerId, place: Place) {
        let _ = self.shared.sync.send(Input::Present { peer });
        let ask = metadata::ask(self.shared.clone(), peer, self.state.metadata.clone());
        self.shared.tasks.spawn(ask);
        let shared = self.shared.clone();
        self.shared.tasks.spawn(async move {
            tokio::time::sleep(IDENTIFY_TIMEOUT).await;
            let _ = shared.commands.send(Command::Waited { peer }).await;
        });
        match place {
            Place::At(group) => self.learn(peer, |facts| {
                (facts.info.group, facts.placed) = (group, true);
            }),
            Place::Named(name, at) => {
                let shared = self.shared.clone();
                self.shared.tasks.spawn(async move {
                    let group = facts::resolve(name, at).await;
                    let _ = shared.commands.send(Command::Placed { peer, group }).await;
                });
            }
        }
    }

    /// Takes what has become known of a peer, and tells the sync task once it is enough.
    fn learn(&mut self, peer: PeerId, learn: impl FnOnce(&mut Facts)) {
        let Some(state) = self.state.peers.get_mut(&peer) else { return };
        let before = state.facts;
        learn(&mut state.facts);
        let waited = state.facts.waited && !before.waited;
        if state.is_ours() {
            let mut store = self.shared.store.write().unwrap_or_else(PoisonError::into_inner);
            match state.facts.info.store {
                true => store.insert(peer),
                false => store.remove(&peer),
            };
        }
        // Only what the engine could take differently is news.
        let news = !before.are_complete() || state.facts.info != before.info;
        if news && state.facts.are_complete() && state.is_ours() {
            let _ = self.shared.sync.send(Input::Connected { peer, facts: state.facts });
        }
        if waited {
            self.keep_waited(peer);
        }
    }

    fn on_disconnected(&mut self, peer: PeerId) {
        let Some(mut state) = self.state.peers.remove(&peer) else { return };
        self.keep_disconnected(peer);
        if let Verdict::Pending(_) = state.verdict {
            let error = format!("{peer} closed the connection before it was of use");
            state.judge(peer, Err(Error::new(ErrorKind::Dial, error)));
        }
        for waiter in state.leaving {
            let _ = waiter.send(());
        }
        self.shared.store.write().unwrap_or_else(PoisonError::into_inner).remove(&peer);
        let _ = self.shared.sync.send(Input::Disconnected { peer });
        let name = self.shared.peers.write().unwrap_or_else(PoisonError::into_inner).remove(&peer);
        if let Some(peer_id) = name {
            self.shared.hub.send(NodeEvent::PeerDisconnected { peer_id });
        }
    }

    fn on_metadata(&mut self, peer: PeerId, answer: &Answer) {
        let Some(state) = self.state.peers.get_mut(&peer) else { return };
        let verdict = metadata::judge(self.state.cluster_id, answer);
        if !state.judge(peer, verdict.clone()) {
            return;
        }
        match verdict {
            Ok(()) => {
                if state.facts.are_complete() {
                    let _ = self.shared.sync.send(Input::Connected { peer, facts: state.facts });
                }
                if state.facts.info.store {
                    let mut store =
                        self.shared.store.write().unwrap_or_else(PoisonError::into_inner);
                    store.insert(peer);
                }
                let name = peer.to_string();
                let mut all = self.shared.peers.write().unwrap_or_else(PoisonError::into_inner);
                all.insert(peer, name.clone());
                drop(all);
                self.shared.hub.send(NodeEvent::PeerConnected { peer_id: name });
                self.keep_taken(peer, true);
            }
            Err(why) => {
                tracing::info!(%peer, "sent away: {why}");
                self.keep_taken(peer, false);
                let shared = self.shared.clone();
                self.shared.tasks.spawn(async move {
                    tokio::time::sleep(FOREIGN_GRACE).await;
                    let _ = shared.disconnect(peer).await;
                });
            }
        }
    }

    fn on_identified(&mut self, peer: PeerId, info: &identify::Info) {
        tracing::debug!(%peer, agent = %info.agent_version.escape_debug(), "identified");
        self.learn(peer, |facts| {
            facts.info = facts::told(info, facts.info.group);
            facts.identified = true;
        });
        self.keep_identified(peer, info);
    }

    /// Takes part in a topic, from the beginning.
    ///
    /// # Errors
    /// Those of [`relay::fulfil`].
    pub(super) fn subscribe(&mut self, topic: &PubsubTopic) -> Result<()> {
        relay::fulfil(&mut self.swarm.behaviour_mut().relay, topic, Wish::Subscribe)
    }

    fn on_relayed(&mut self, id: MessageId, from: PeerId, message: gossipsub::Message) {
        let Some(intake) = &self.state.relay else { return };
        // Of another cluster: it goes any moment.
        let foreign = (self.state.peers.get(&from))
            .is_none_or(|peer| matches!(peer.verdict, Verdict::Foreign(_)));
        if foreign || !intake.take(id.clone(), from, message) {
            let acceptance = MessageAcceptance::Ignore;
            self.on_judged(vec![Judged { id, from, acceptance, is_fault: false }]);
        }
    }

    fn on_judged(&mut self, judged: Vec<Judged>) {
        for Judged { id, from, acceptance, is_fault } in judged {
            if is_fault {
                self.on_fault(from);
            }
            if let Some(gossip) = self.swarm.behaviour_mut().relay.as_mut() {
                // It fails for one that gossipsub has let go of by now.
                gossip.report_message_validation_result(&id, &from, acceptance);
            }
        }
    }

    /// A small fault of a peer, of which too many are too much.
    fn on_fault(&mut self, peer: PeerId) {
        let Some(state) = self.state.peers.get_mut(&peer) else { return };
        if state.patience.try_it() {
            tracing::info!(%peer, "sent away: one fault after the other");
            self.swarm.behaviour_mut().bans.ban(peer);
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn on_ping(&mut self, event: ping::Event) {
        let ping::Event { peer, connection, result } = event;
        match result {
            Ok(_) | Err(ping::Failure::Unsupported) => {
                self.state.missed_pings.remove(&connection);
            }
            Err(e) => {
                let missed = self.state.missed_pings.entry(connection).or_default();
                *missed += 1;
                if *missed >= MAX_MISSED_PINGS {
                    tracing::debug!(%peer, "no answer to pings: {e}");
                    self.swarm.close_connection(connection);
                }
            }
        }
    }

    fn on_stream(&mut self, Incoming { peer, protocol, stream }: Incoming) {
        let Some(state) = self.state.peers.get_mut(&peer) else { return };
        if let Verdict::Foreign(_) = state.verdict
            && protocol.as_ref() != wire::metadata::PROTOCOL
        {
            return;
        }
        let all = self.state.streams.clone();
        let permit = (state.streams.clone().try_acquire_owned())
            .and_then(|own| Ok((own, all.try_acquire_owned()?)));
        let tasks = &self.shared.tasks;
        let permit = match (permit, &self.state.store) {
            (Ok(permit), _) => permit,
            (Err(_), Some(store)) if protocol.as_ref() == wire::store::PROTOCOL => {
                tasks.spawn(store.clone().refuse(stream));
                return self.on_fault(peer);
            }
            (Err(_), _) => {
                tracing::debug!(%peer, %protocol, "too many streams");
                // The guard in the stream closes it.
                drop(stream);
                return self.on_fault(peer);
            }
        };
        match protocol.as_ref() {
            wire::store::PROTOCOL => {
                if let Some(store) = &self.state.store {
                    tasks.spawn(store.clone().serve(peer, stream, permit));
                }
            }
            wire::metadata::PROTOCOL => {
                let ours = self.state.metadata.clone();
                let shared = self.shared.clone();
                tasks.spawn(metadata::serve(shared, peer, stream, ours, permit));
            }
            wire::reconciliation::PROTOCOL => {
                let protocol = SyncProtocol::V1;
                let _ = self.shared.sync.send(Input::Reconcile { peer, protocol, stream, permit });
            }
            wire::strong::PROTOCOL => {
                let protocol = SyncProtocol::Strong;
                let _ = self.shared.sync.send(Input::Reconcile { peer, protocol, stream, permit });
            }
            wire::transfer::PROTOCOL => {
                let inputs = self.shared.sync.clone();
                tasks.spawn(sync_streams::receive(peer, stream, inputs, permit));
            }
            _ => {}
        }
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Whatever ends the swarm's task, a panic too, ends the node: nobody waits for it any more.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let Ending(shared) = self;
        shared.tasks.kill();
        shared.peers.write().unwrap_or_else(PoisonError::into_inner).clear();
        shared.addresses.write().unwrap_or_else(PoisonError::into_inner).clear();
        shared.hub.close();
    }
}
