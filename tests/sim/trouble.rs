//! Trouble that a world can be given, beside broken connections and failing archives: streams that
//! are reset, nodes that lose their engine, frames that change on the way, feeds with gaps.

use bytes::Bytes;
use wakustore::archive::FeedEvent;
use wakustore::engine::{EngineConfig, SyncReport};
use wakustore::types::{Origin, StoredMessage};
use wakustore::{Error, ErrorKind};

use super::node::Node;
use super::{Event, Random, World, key};

/// How a frame changes on the way.
pub type Mutation = fn(&mut Random, &[u8]) -> Vec<u8>;

impl World {
    /// One of the youngest open streams is reset: both ends are told, what is under way is lost.
    /// False where none is open.
    pub fn reset_a_stream(&mut self) -> bool {
        let young = self.streams.len().saturating_sub(40)..self.streams.len();
        let open: Vec<usize> =
            young.filter(|s| !self.streams[*s].dead && !self.streams[*s].closed).collect();
        if open.is_empty() {
            return false;
        }
        let at = open[self.random.below(open.len() as u64) as usize];
        self.streams[at].dead = true;
        let (from, to) = (self.streams[at].from, self.streams[at].to);
        let reset = || Error::new(ErrorKind::StreamClosed, "the stream was reset");
        if self.streams[at].transfer {
            if let Some(session) = self.streams[at].sessions.get(&from).copied()
                && !self.scripted.contains_key(&from)
            {
                self.call(from, |e, now| e.transfer_failed(now, session, reset()));
            }
            self.nodes[to].inbox.remove(&at);
            if !self.scripted.contains_key(&to) {
                self.call(to, |e, now| e.transfer_closed(now, key(from)));
            }
            return true;
        }
        for end in [from, to] {
            if let Some(session) = self.streams[at].sessions.get(&end).copied()
                && !self.scripted.contains_key(&end)
            {
                self.call(end, |e, now| e.reconciliation_closed(now, session, Some(reset())));
            }
        }
        true
    }

    /// The process of a node ends without a word and starts anew over the same archive: all that
    /// its engine knew is gone, with its connections and what its archive was being asked, but for
    /// the state that was last saved, where that survived. Gives what its sessions had reported.
    pub fn restart(
        &mut self,
        node: usize,
        config: EngineConfig,
        with_state: bool,
    ) -> Vec<SyncReport> {
        for peer in self.nodes[node].connected.clone() {
            self.cut(node, peer.0 as usize);
        }
        self.events.retain(|_, event| match event {
            Event::Ask { node: of, .. } | Event::Fed { node: of, .. } => *of != node,
            _ => true,
        });
        for stream in &mut self.streams {
            stream.sessions.remove(&node);
        }
        let seed = self.random.next();
        let new = Node::new(config, seed, self.elapsed);
        let reports = self.nodes[node].restarted(new);
        let saved = self.nodes[node].saved.clone();
        if !saved.is_empty() && with_state {
            self.call(node, |e, now| e.restore(now, &saved)).unwrap();
        } else {
            self.carry_out(node);
        }
        reports
    }

    /// Messages are stored, but the feed skips them and only says that it did.
    pub fn put_behind_the_feed(&mut self, node: usize, messages: Vec<StoredMessage>) {
        let count = messages.len() as u64;
        let _ = self.nodes[node].put(messages, Origin::Live);
        let delay = self.nodes[node].feed_delay;
        self.at(delay, Event::Fed { node, event: FeedEvent::Lagged { missed: count, from: None } });
    }

    /// Messages are stored, and the feed tells at once. Gives whether any was new.
    pub fn put_silently(&mut self, node: usize, messages: Vec<StoredMessage>) -> bool {
        let Some(event) = self.nodes[node].put(messages, Origin::Import) else { return false };
        self.call(node, |e, now| e.fed(now, event));
        true
    }

    /// A frame of a node whose frames change on the way.
    pub(super) fn garble(&mut self, node: usize, frame: Bytes) -> Bytes {
        let Some(one_in) = self.garbled.get(&node).copied() else { return frame };
        if self.random.below(one_in) > 0 || frame.is_empty() {
            return frame;
        }
        if let Some(mutation) = self.mutation {
            return mutation(&mut self.random, &frame).into();
        }
        let mut bytes = frame.to_vec();
        match self.random.below(4) {
            0 => bytes.truncate(self.random.below(bytes.len() as u64) as usize),
            1 => bytes.extend((0..self.random.below(20)).map(|n| n as u8)),
            _ => {
                for _ in 0..=self.random.below(3) {
                    let at = self.random.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << self.random.below(8);
                }
            }
        }
        bytes.into()
    }
}
