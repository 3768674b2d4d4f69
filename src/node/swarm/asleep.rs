//! The swarm of a node that is suspended: gone, with all its sockets; and how it comes back.
//!
//! What must hold: in between nothing is polled, so that no timer wakes the node; what the node was
//! told to do (listen, relay topics, peers that it dialled, who was sent away) is done again.

use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::address::Address;
use super::super::listeners::{self, Again, Listeners};
use super::super::relay;
use super::super::shared::suspended;
use super::super::start::LISTEN_TIMEOUT;
use super::{GOODBYE, SwarmTask};
use crate::error::{Error, ErrorKind, Result};
use crate::types::PubsubTopic;

/// Peers that are dialled again.
const MAX_DIALLED: usize = 64;

/// What is to be done again.
pub(super) struct Asleep {
    listen: Vec<Again>,
    topics: Vec<PubsubTopic>,
    dial: Vec<Address>,
}

impl SwarmTask {
    /// Says goodbye to all and lets go of every socket. Fine a second time.
    ///
    /// # Errors
    /// Those of the node's start; then nothing has changed.
    pub(super) async fn suspend(&mut self) -> Result<()> {
        if self.state.asleep.is_some() {
            return Ok(());
        }
        let fresh = (self.rebuild)()?;
        let known = |peer: &PeerId| Some((*peer, self.state.known.get(peer)?.clone()));
        let dialled = self.state.peers.keys().filter_map(known).take(MAX_DIALLED);
        let asleep = Asleep {
            listen: self.state.listeners.again(),
            topics: relay::topics(&self.swarm.behaviour().relay),
            dial: dialled.map(|(peer, at)| Address { at, peer: Some(peer) }).collect(),
        };
        self.keep_suspended();
        let _ = timeout(GOODBYE, self.say_goodbye()).await;
        for peer in self.state.peers.keys().copied().collect::<Vec<_>>() {
            self.on_disconnected(peer);
        }
        for waiter in self.state.dials.give_up() {
            let _ = waiter.send(Err(suspended()));
        }
        let bans = std::mem::take(&mut self.swarm.behaviour_mut().bans);
        // The listeners' sockets go with it; the connections' tasks end by themselves.
        self.swarm = fresh;
        self.swarm.behaviour_mut().bans = bans;
        self.state.listeners = Listeners::default();
        self.state.missed_pings.clear();
        self.publish_addresses();
        self.state.asleep = Some(asleep);
        Ok(())
    }

    /// Comes back. Fine where it is not suspended.
    ///
    /// # Errors
    /// [`ErrorKind::Listen`] where an address cannot be listened at any more; it stays suspended
    /// then.
    pub(super) async fn resume(&mut self) -> Result<()> {
        let Some(asleep) = self.state.asleep.take() else { return Ok(()) };
        let listening = match timeout(LISTEN_TIMEOUT, self.listen_again(&asleep.listen)).await {
            Ok(listening) => listening,
            Err(_) => Err(not_in_time(LISTEN_TIMEOUT)),
        };
        if let Err(e) = listening {
            self.swarm = (self.rebuild)()?;
            self.state.listeners = Listeners::default();
            self.publish_addresses();
            self.state.asleep = Some(asleep);
            return Err(e);
        }
        for topic in &asleep.topics {
            self.subscribe(topic)?;
        }
        for address in asleep.dial {
            // Nobody waits: a peer that is not there any more is none of anybody's business.
            self.dial(address, oneshot::channel().0);
        }
        self.keep_resumed();
        Ok(())
    }

    /// At the same ports where they are free; where one was given to us and is taken now, at another.
    async fn listen_again(&mut self, all: &[Again]) -> Result<()> {
        for Again { asked, at } in all {
            let listener = match listeners::begin(&mut self.swarm, at) {
                Err(e) if e.kind() == ErrorKind::Listen && at != asked => {
                    tracing::warn!("{e}: listening at another port");
                    listeners::begin(&mut self.swarm, asked)?
                }
                begun => begun?,
            };
            self.state.listeners.begun(listener, asked.clone());
        }
        self.listen(&[]).await
    }
}

fn not_in_time(limit: Duration) -> Error {
    Error::new(ErrorKind::Listen, format!("the node did not come to listen within {limit:?}"))
}
