//! Nodes of the simulation that a script plays: peers that lie, and peers of another kind.
//!
//! A script sees the bytes of the streams that it is an end of, and says what is to be sent. It
//! keeps to no protocol but the network's: its frames travel as anyone's.

use bytes::Bytes;

use super::{Event, Random, World};
use wakustore::engine::SessionId;

/// What a scripted node does next.
pub enum Act {
    /// Sends a frame on the reconciliation stream.
    Frame(Bytes),
    /// Closes that stream.
    Close,
    /// Opens a transfer stream, sends these on it and, where told so, closes it.
    Messages(Vec<Bytes>, bool),
    /// Drops the connection.
    HangUp,
    /// Begins another reconciliation, with this frame.
    Begin(Bytes),
}

/// A node played by a script.
pub trait Scripted {
    /// It begins a session with a peer now: what for? The first act is to be [`Act::Begin`] where
    /// it reconciles.
    fn begin(&mut self, random: &mut Random, peer: usize) -> Vec<Act>;
    /// A frame came on a reconciliation stream.
    fn frame(&mut self, random: &mut Random, peer: usize, frame: &[u8]) -> Vec<Act>;
    /// A transfer frame came. False where it stays in the socket, and the peer's frames pile up.
    fn message(&mut self, peer: usize, frame: &[u8]) -> bool;
}

impl World {
    /// Lets a scripted node begin something with a peer that it is connected to.
    pub fn script_begins(&mut self, node: usize, peer: usize) {
        let Some(mut script) = self.scripted.remove(&node) else { return };
        let acts = script.begin(&mut self.random, peer);
        self.scripted.insert(node, script);
        self.act(node, peer, None, acts);
    }

    fn act(&mut self, node: usize, peer: usize, mut stream: Option<usize>, acts: Vec<Act>) {
        for act in acts {
            if !self.nodes[node].connected.contains(&super::key(peer)) {
                return;
            }
            match act {
                Act::Begin(frame) => {
                    let new = self.open(node, peer, SessionId(0), false);
                    self.transmit(new, peer, Event::Accept { stream: new });
                    self.transmit(new, peer, Event::Frame { stream: new, to: peer, frame });
                    stream = Some(new);
                }
                Act::Frame(frame) => {
                    if let Some(stream) = stream {
                        self.transmit(stream, peer, Event::Frame { stream, to: peer, frame });
                    }
                }
                Act::Close => {
                    if let Some(stream) = stream {
                        self.streams[stream].closed = true;
                        self.transmit(
                            stream,
                            peer,
                            Event::Closed { stream, to: peer, error: false },
                        );
                    }
                }
                Act::Messages(frames, close) => {
                    let stream = self.open(node, peer, SessionId(0), true);
                    let ends = close.then_some(None);
                    for frame in frames.into_iter().map(Some).chain(ends) {
                        self.transmit(stream, peer, Event::Message { stream, frame });
                    }
                    self.streams[stream].closed = close;
                }
                Act::HangUp => self.cut(node, peer),
            }
        }
    }

    /// Carries out an event for a scripted node; gives it back where it is for another.
    pub(super) fn play_event(&mut self, event: Event) -> Option<Event> {
        if self.scripted.is_empty() {
            return Some(event);
        }
        let to = match &event {
            Event::Accept { stream } | Event::Message { stream, .. } => self.streams[*stream].to,
            Event::Written { stream } => self.streams[*stream].from,
            Event::Frame { to, .. } | Event::Closed { to, .. } => *to,
            _ => return Some(event),
        };
        let Some(mut script) = self.scripted.remove(&to) else { return Some(event) };
        match event {
            Event::Frame { stream, frame, .. } if !self.streams[stream].dead => {
                let peer = self.other(stream, to);
                let acts = script.frame(&mut self.random, peer, &frame);
                self.scripted.insert(to, script);
                self.act(to, peer, Some(stream), acts);
                return None;
            }
            Event::Message { stream, frame: Some(frame) } if !self.streams[stream].dead => {
                let peer = self.streams[stream].from;
                if script.message(peer, &frame) {
                    self.transmit(stream, usize::MAX, Event::Written { stream });
                }
            }
            _ => {}
        }
        self.scripted.insert(to, script);
        None
    }
}
