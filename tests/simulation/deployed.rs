//! A node of the deployed kind among ours: its algorithm of reconciliation, its habit of pushing
//! what it finds from a queue that knows no sessions, and an index of its last hour.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use wakustore::types::{MessageHash, StoredMessage, SyncId, TimeRange, Timestamp};
use wakustore::wire::reconciliation::Payload;
use wakustore::wire::transfer;

use crate::sim::scripted::Act;
use crate::sim::{Random, START, Scripted};
use crate::sync_common::{Deployed, Side};

/// How far back it compares.
pub const INDEXED: Duration = Duration::from_secs(3600);
/// What is younger it leaves out where it begins.
const MARGIN: Duration = Duration::from_secs(20);

/// What it holds, and its clock.
#[derive(Default)]
pub struct Holdings {
    pub messages: BTreeMap<SyncId, StoredMessage>,
    pub elapsed: Duration,
}

impl Holdings {
    fn now(&self) -> Timestamp {
        START.saturating_add(self.elapsed)
    }

    fn index(&self) -> Deployed {
        let now = self.now();
        let from = now.saturating_sub(INDEXED);
        let ids = self.messages.range(SyncId::floor(from)..).map(|(id, _)| *id).collect();
        Deployed::of(ids, TimeRange::new(from, now.saturating_sub(MARGIN)).unwrap())
    }
}

/// The node; others hold what it holds too, to look at it.
pub struct DeployedNode(pub Rc<RefCell<Holdings>>);

impl Scripted for DeployedNode {
    fn begin(&mut self, _: &mut Random, _peer: usize) -> Vec<Act> {
        vec![Act::Begin(self.0.borrow().index().begin().encode().into())]
    }

    fn frame(&mut self, _: &mut Random, _peer: usize, frame: &[u8]) -> Vec<Act> {
        let payload = Payload::decode(frame).expect("our frames are legal");
        let holdings = self.0.borrow();
        let mut index = holdings.index();
        // Nothing of a session is kept between its frames: the bounds are in the payload.
        let answer = index.answer(&payload);
        assert_eq!(index.vanished, 0, "a range that it cannot split was sent to it");
        let mut acts = Vec::new();
        let ends = answer.as_ref().is_none_or(|payload| payload.ranges.is_empty());
        acts.extend(answer.map(|payload| Act::Frame(payload.encode().into())));
        if ends {
            acts.push(Act::Close);
        }
        let wanted: std::collections::BTreeSet<MessageHash> = index.to_send.into_iter().collect();
        if !wanted.is_empty() {
            let found = holdings.messages.values().filter(|m| wanted.contains(&m.hash));
            let encode =
                |m: &StoredMessage| Bytes::from(transfer::encode(&m.pubsub_topic, &m.message));
            acts.push(Act::Messages(found.map(encode).collect(), true));
        }
        acts
    }

    fn message(&mut self, _peer: usize, frame: &[u8]) -> bool {
        let (topic, message) = transfer::decode(frame).expect("our frames are legal");
        let message = StoredMessage::new(topic, message);
        self.0.borrow_mut().messages.insert(message.sync_id(), message);
        true
    }
}
