//! Store between the nodes of the simulation: each serves its archive by the bytes of the protocol,
//! as deployed nodes do it, and can be told to fail or to lie.

use std::collections::VecDeque;

use wakustore::engine::{Output, PeerInfo, QueryId};
use wakustore::store::{client, server};
use wakustore::types::{Direction, Page, Query};
use wakustore::{Error, ErrorKind, Result};

use super::node::Node;
use super::solo::Solo;
use super::{Event, World, key};

/// What a peer does to an answer before it goes out.
pub type Lie = Box<dyn FnMut(&Query, Result<Page>) -> Result<Page>>;

/// The Store side of a node.
#[derive(Default)]
pub struct StorePeer {
    /// What it was asked, and not refused at once.
    pub asked: Vec<Query>,
    /// The next answers: an error, or `None` for the true one.
    pub faults: VecDeque<Option<ErrorKind>>,
    pub lie: Option<Lie>,
    /// It never answers.
    pub silent: bool,
}

/// A peer that has Store v3 and nothing else.
pub fn store_only() -> PeerInfo {
    PeerInfo { store: true, ..PeerInfo::default() }
}

/// A deployed node with Store.
pub fn deployed() -> PeerInfo {
    PeerInfo { reconciles: true, store: true, deployed: true, ..PeerInfo::default() }
}

impl Node {
    /// Answers a query through request's and response's bytes; `None` where it says nothing.
    pub fn serve(&mut self, query: &Query) -> Option<Result<Page>> {
        if self.store.silent {
            return None;
        }
        let request = match client::encode("of the simulation", query) {
            Ok(request) => request,
            Err(e) => panic!("a query that no store peer takes: {e}: {query:?}"),
        };
        assert_eq!(query.direction, Direction::Forward);
        assert!(query.filter.hashes.len() <= 100, "more hashes than a page holds");
        self.store.asked.push(query.clone());
        if let Some(kind) = self.store.faults.pop_front().flatten() {
            return Some(Err(Error::new(kind, "made to fail")));
        }
        let response = match server::begin(&request) {
            server::Step::Reply(bytes) => bytes,
            server::Step::Query(query, asked) => {
                let page = self.page(&query);
                let page = match &mut self.store.lie {
                    Some(lie) => lie(&query, page),
                    None => page,
                };
                asked.answer(page)
            }
        };
        Some(client::decode("of the simulation", query, &response))
    }
}

impl World {
    /// Connects, and tells each what the other is.
    pub fn connect_as(&mut self, a: usize, b: usize, b_is: PeerInfo, a_is: PeerInfo) {
        for (node, peer, info) in [(a, b, b_is), (b, a, a_is)] {
            self.nodes[node].connected.insert(key(peer));
            self.call(node, |e, now| e.peer_connected(now, key(peer), info));
        }
    }

    /// Two nodes of which the second has Store alone.
    pub fn with_store_peer(mut self) -> Self {
        self.settle();
        self.connect_as(0, 1, store_only(), PeerInfo::default());
        self
    }

    /// A query goes out; its answer comes a round trip later.
    pub(super) fn query_store(&mut self, from: usize, to: usize, query: QueryId, request: Query) {
        let delay = self.latency;
        self.at(delay, Event::StoreAsked { from, to, query, request });
    }

    pub(super) fn store_asked(&mut self, from: usize, to: usize, query: QueryId, request: &Query) {
        let connected = |w: &World| w.nodes[from].connected.contains(&key(to));
        let page = match connected(self) {
            true => self.nodes[to].serve(request),
            false => Some(Err(Error::new(ErrorKind::StreamClosed, "not connected"))),
        };
        if let Some(page) = page {
            let delay = self.latency;
            self.at(delay, Event::StoreAnswered { node: from, query, page });
        }
    }
}

impl Solo {
    /// Answers the engine's Store queries, one after the other, until it asks no more.
    pub fn answer_store(&mut self, answer: impl Fn(&Query) -> Result<Page>) {
        let is_query = |o: &Output| matches!(o, Output::QueryStore { .. });
        while let Some(at) = self.sent.iter().position(is_query) {
            if let Output::QueryStore { query, request, .. } = self.sent.remove(at) {
                let page = answer(&request);
                self.call(|e, now| e.store_answered(now, query, page));
            }
        }
    }
}
