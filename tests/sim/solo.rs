//! One engine against a peer that a test plays, by its bytes.

use std::time::Duration;

use bytes::Bytes;
use wakustore::engine::{
    Engine, EngineConfig, Misbehaviour, Now, Output, PeerInfo, PeerKey, SessionId, SyncOptions,
    SyncProtocol, SyncReport,
};
use wakustore::types::{MessageHash, StoredMessage, SyncId, Timestamp};
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope};
use wakustore::wire::transfer;
use wakustore::{Error, Result};

use super::key;
use super::messages::START;
use super::node::{Node, now};

/// One engine, and a peer (number 7) that does as the test says. The archive answers at once.
pub struct Solo {
    pub node: Node,
    pub elapsed: Duration,
    /// What it had for the network.
    pub sent: Vec<Output>,
}

impl Solo {
    pub fn new(config: EngineConfig, held: &[StoredMessage]) -> Self {
        let mut node = Node::new(config, 1, Duration::ZERO);
        node.fill(held);
        let mut solo = Solo { node, elapsed: Duration::ZERO, sent: Vec::new() };
        solo.call(|e, now| e.peer_connected(now, key(7), PeerInfo::reconciling()));
        assert!(solo.node.engine.is_ready());
        solo
    }

    pub fn call<T>(&mut self, f: impl FnOnce(&mut Engine, Now) -> T) -> T {
        let now = now(self.elapsed, 0);
        let result = f(&mut self.node.engine, now);
        self.sent.extend(self.node.drain(now));
        result
    }

    /// Lets time pass, deadline by deadline.
    pub fn wait(&mut self, d: Duration) {
        let end = self.elapsed + d;
        while let Some(at) = self.node.engine.next_deadline().filter(|at| *at <= end) {
            self.elapsed = at.max(self.elapsed);
            self.call(|e, now| e.tick(now));
            let next = self.node.engine.next_deadline();
            assert!(next.is_none_or(|d| d > self.elapsed), "it spins at {next:?}");
        }
        self.elapsed = end;
    }

    pub fn begin(&mut self) -> SessionId {
        self.call(|e, now| e.sync(now, key(7), SyncOptions::default())).unwrap()
    }

    pub fn accept(&mut self) -> Result<SessionId> {
        self.call(|e, now| e.reconciliation_accepted(now, key(7), SyncProtocol::V1))
    }

    pub fn frame(&mut self, session: SessionId, frame: impl Into<Bytes>) {
        let frame = frame.into();
        self.call(|e, now| e.reconciliation_frame(now, session, frame));
    }

    pub fn message(&mut self, m: &StoredMessage) {
        let frame = transfer::encode(&m.pubsub_topic, &m.message);
        self.call(|e, now| e.transfer_frame(now, key(7), frame.into()));
    }

    /// A session in which the peer announced these, and reconciliation is settled.
    pub fn announced(&mut self, messages: &[&StoredMessage]) -> SessionId {
        let session = self.accept().unwrap();
        self.frame(session, items(messages, true).encode());
        assert!(self.closed(session), "settled by our empty answer");
        session
    }

    pub fn closed(&self, id: SessionId) -> bool {
        let closes =
            |o: &Output| matches!(o, Output::CloseReconciliation { session } if *session == id);
        self.sent.iter().filter(|o| closes(o)).count() == 1
    }

    pub fn report(&self, session: SessionId) -> &SyncReport {
        self.node.report(session)
    }

    pub fn error(&self, session: SessionId) -> Error {
        self.report(session).error.clone().expect("the session ended with an error")
    }

    pub fn is_over(&self, session: SessionId) -> bool {
        self.node.finished.iter().any(|(id, _)| *id == session)
    }

    pub fn assert_released(&mut self) {
        self.wait(Duration::from_secs(60));
        let u = self.node.engine.usage();
        let left = (u.sessions, u.fetches, u.stores, u.ended, u.early_bytes, u.waiting_bytes);
        assert_eq!((left, u.peers, u.loaded_ids), ((0, 0, 0, 0, 0, 0), 1, 0));
    }
}

pub fn at(seconds_ago: i64) -> Timestamp {
    Timestamp(START.nanos() - seconds_ago * 1_000_000_000)
}

pub fn payload(from: i64, to: i64, data: RangeData) -> Payload {
    let ranges = vec![Range { upper: SyncId::floor(at(to)), data }];
    Payload { scope: Scope::default(), lower: at(from), ranges }
}

pub fn items(messages: &[&StoredMessage], reconciled: bool) -> Payload {
    let mut ids: Vec<SyncId> = messages.iter().map(|m| m.sync_id()).collect();
    ids.sort_unstable();
    payload(3600, 20, RangeData::ItemSet { ids, reconciled })
}

pub fn fingerprint(n: u8) -> Payload {
    payload(3600, 20, RangeData::Fingerprint(MessageHash([n; 32])))
}

pub const BAD: &[(PeerKey, Misbehaviour)] = &[(PeerKey(7), Misbehaviour::BadFrame)];
pub const UNSOLICITED: &[(PeerKey, Misbehaviour)] = &[(PeerKey(7), Misbehaviour::Unsolicited)];
