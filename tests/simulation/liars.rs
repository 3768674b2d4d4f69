//! Peers that lie, each in a way of its own.
//!
//! What a liar makes up is in one of two sets: `honest` ones it announces as they are, and whoever
//! takes them does right; `made_up` ones nobody may ever store.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use wakustore::types::{MessageHash, StoredMessage, SyncId, Timestamp};
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope};
use wakustore::wire::{transfer, varint};

use crate::sim::scripted::Act;
use crate::sim::{Random, START, Scripted, content, shard, with};

/// What the liars of a run made up.
#[derive(Default)]
pub struct Lies {
    /// Announced as they are.
    pub honest: BTreeSet<MessageHash>,
    /// Not to be stored by anybody.
    pub made_up: BTreeSet<MessageHash>,
    /// Whether new honest ones may still be announced.
    pub over: bool,
    next: u64,
}

/// A way to lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// Bytes that are no frame, or the peer's own, changed.
    Corrupt,
    /// A fingerprint that never is the same, for ever.
    Endless,
    /// The same list, wanted again and again.
    SameRange,
    /// Ranges and ids that descend, overlap, or lie in a bound's own timestamp.
    Disorder,
    /// Counts of a billion.
    Counts,
    /// Messages that it never announced.
    Unsolicited,
    /// Messages that differ from what it announced.
    Altered,
    /// Ids with another time than their messages have.
    WrongTimes,
    /// Messages of the future, and such as may not be stored.
    Forbidden,
    /// Real messages, half of which come, and then the line is dead.
    Vanishes,
    /// Takes a frame, and is silent for ever; takes no message either.
    Silent,
    /// Opens one reconciliation after the other.
    Floods,
}

pub const LIES: [Lie; 12] = [
    Lie::Corrupt,
    Lie::Endless,
    Lie::SameRange,
    Lie::Disorder,
    Lie::Counts,
    Lie::Unsolicited,
    Lie::Altered,
    Lie::WrongTimes,
    Lie::Forbidden,
    Lie::Vanishes,
    Lie::Silent,
    Lie::Floods,
];

/// One of them.
pub struct Liar {
    pub lie: Lie,
    pub lies: Rc<RefCell<Lies>>,
    /// What it announced in the session under way, with the true ids.
    announced: Vec<StoredMessage>,
}

impl Liar {
    pub fn new(lie: Lie, lies: Rc<RefCell<Lies>>) -> Self {
        Liar { lie, lies, announced: Vec::new() }
    }

    /// Messages out of thin air.
    fn invent(&mut self, r: &mut Random, count: u64, honest: bool) -> Vec<StoredMessage> {
        let mut lies = self.lies.borrow_mut();
        let honest = honest && !lies.over;
        let new: Vec<StoredMessage> = (0..count)
            .map(|_| {
                lies.next += 1;
                let ago = 100.0 + r.below(3_000_000) as f64 / 1000.0;
                let n = lies.next + (1 << 40);
                with(n, ago, shard(r.below(4) as u32), content("a"), 20)
            })
            .collect();
        let hashes = new.iter().map(|m| m.hash);
        if honest {
            lies.honest.extend(hashes)
        } else {
            lies.made_up.extend(hashes)
        }
        new
    }

    fn frames(messages: &[StoredMessage]) -> Vec<Bytes> {
        messages.iter().map(|m| transfer::encode(&m.pubsub_topic, &m.message).into()).collect()
    }

    /// What it says on a reconciliation stream. `theirs` is what it is said to.
    fn says(&mut self, r: &mut Random, theirs: Option<&[u8]>) -> Vec<Act> {
        let frame = |payload: &Payload| Act::Frame(payload.encode().into());
        let count = 100 + r.below(150);
        match self.lie {
            Lie::Corrupt => {
                let mut bytes = theirs.map_or_else(|| whole(r).encode(), <[u8]>::to_vec);
                for _ in 0..=r.below(4) {
                    let at = r.below(bytes.len() as u64) as usize;
                    bytes[at] = r.next() as u8;
                }
                bytes.truncate(r.below(bytes.len() as u64 + 1) as usize);
                let mut acts = vec![Act::Frame(bytes.into())];
                if r.below(3) == 0 {
                    let garbage: Vec<u8> = (0..r.below(200)).map(|_| r.next() as u8).collect();
                    acts.push(Act::Messages(vec![garbage.into()], true));
                }
                acts
            }
            Lie::Endless | Lie::Floods => vec![frame(&whole(r))],
            Lie::SameRange => {
                let ids = r.below(2) * 50;
                let list = (0..ids).map(|n| SyncId::new(ago(3000), MessageHash([n as u8; 32])));
                let data = RangeData::ItemSet { ids: list.collect(), reconciled: false };
                vec![frame(&payload(vec![(ago(2900), data)]))]
            }
            Lie::Disorder => vec![Act::Frame(disorder(r).into())],
            Lie::Counts => vec![Act::Frame(billions(r).into())],
            Lie::Silent => Vec::new(),
            Lie::Unsolicited => {
                let new = self.invent(r, count, false);
                vec![Act::Messages(Self::frames(&new), r.below(2) == 0), Act::Frame(vec![0].into())]
            }
            Lie::Altered | Lie::WrongTimes | Lie::Forbidden | Lie::Vanishes => {
                self.announce_and_send(r, count, theirs.is_some())
            }
        }
    }

    /// First announces its own, then sends what the lie wants.
    fn announce_and_send(&mut self, r: &mut Random, count: u64, answers: bool) -> Vec<Act> {
        if !self.announced.is_empty() {
            // The peer told its own ids; now comes what it awaits.
            let announced = std::mem::take(&mut self.announced);
            let mut acts = vec![Act::Frame(vec![0].into()), Act::Close];
            let sent = match self.lie {
                Lie::Altered => self.alter(&announced),
                Lie::Vanishes => announced[..announced.len() / 2].to_vec(),
                _ => announced,
            };
            acts.push(Act::Messages(Self::frames(&sent), self.lie != Lie::Vanishes));
            if self.lie == Lie::Vanishes && r.below(2) == 0 {
                acts.push(Act::HangUp);
            }
            return acts;
        }
        let mut new = self.invent(r, count, matches!(self.lie, Lie::Vanishes | Lie::Altered));
        if self.lie == Lie::Vanishes && self.lies.borrow().over {
            // What nobody may store is not announced as it is.
            self.announced = Vec::new();
            return vec![Act::HangUp];
        }
        if self.lie == Lie::Forbidden {
            new = new.into_iter().enumerate().map(|(n, m)| forbidden(n, m)).collect();
            self.lies.borrow_mut().made_up.extend(new.iter().map(|m| m.hash));
        }
        new.sort_unstable_by_key(StoredMessage::sync_id);
        let off = if self.lie == Lie::WrongTimes { 1_500_000_000 } else { 0 };
        let mut ids: Vec<SyncId> = new.iter().map(StoredMessage::sync_id).collect();
        for id in &mut ids {
            id.timestamp = Timestamp(id.timestamp.nanos() + off);
        }
        ids.retain(|id| ago(3500) <= id.timestamp);
        let end = ids.last().map_or(ago(20), |id| id.timestamp.max(ago(20)));
        let data = RangeData::ItemSet { ids, reconciled: answers && r.below(2) == 0 };
        let announces = payload(vec![(Timestamp(end.nanos() + 1), data)]);
        self.announced = new;
        let mut acts = vec![Act::Frame(announces.encode().into())];
        if answers && r.below(4) == 0 {
            // It need not wait for an answer.
            acts.extend(self.announce_and_send(r, 0, true));
        }
        acts
    }

    fn alter(&mut self, announced: &[StoredMessage]) -> Vec<StoredMessage> {
        let mut lies = self.lies.borrow_mut();
        let altered = announced.iter().map(|m| {
            let mut message = m.message.clone();
            message.payload = [&message.payload[..], b"!"].concat().into();
            let altered = StoredMessage::new(m.pubsub_topic.clone(), message);
            lies.made_up.insert(altered.hash);
            altered
        });
        altered.collect()
    }
}

impl Scripted for Liar {
    fn begin(&mut self, r: &mut Random, _peer: usize) -> Vec<Act> {
        self.announced = Vec::new();
        if self.lie == Lie::Unsolicited {
            let count = 50 + r.below(150);
            let new = self.invent(r, count, false);
            return vec![Act::Messages(Self::frames(&new), r.below(2) == 0)];
        }
        let streams = if self.lie == Lie::Floods { 1 + r.below(40) } else { 1 };
        let mut acts = Vec::new();
        for _ in 0..streams {
            let mut says = self.says(r, None).into_iter();
            acts.push(match says.next() {
                Some(Act::Frame(frame)) => Act::Begin(frame),
                Some(act) => act,
                None => Act::Begin(whole(r).encode().into()),
            });
            acts.extend(says);
        }
        acts
    }

    fn frame(&mut self, r: &mut Random, _peer: usize, frame: &[u8]) -> Vec<Act> {
        self.says(r, Some(frame))
    }

    fn message(&mut self, _peer: usize, _frame: &[u8]) -> bool {
        self.lie != Lie::Silent
    }
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp(START.nanos() - seconds * 1_000_000_000)
}

fn payload(ranges: Vec<(Timestamp, RangeData)>) -> Payload {
    let ranges = ranges
        .into_iter()
        .map(|(upper, data)| Range { upper: SyncId::floor(upper), data })
        .collect();
    Payload { scope: Scope::default(), lower: ago(3500), ranges }
}

/// A fingerprint of the window that nobody shares.
fn whole(r: &mut Random) -> Payload {
    payload(vec![(ago(20), RangeData::Fingerprint(MessageHash([r.next() as u8; 32])))])
}

/// Neither future nor ephemeral messages may be stored, whoever announces them.
fn forbidden(n: usize, m: StoredMessage) -> StoredMessage {
    let mut message = m.message;
    if n.is_multiple_of(2) {
        message.ephemeral = Some(true);
    } else {
        message.timestamp = Some(ago(-7200 - n as i64));
    }
    StoredMessage::new(m.pubsub_topic, message)
}

fn disorder(r: &mut Random) -> Vec<u8> {
    let id = |seconds, n| SyncId::new(ago(seconds), MessageHash([n; 32]));
    let list = |ids: Vec<SyncId>| RangeData::ItemSet { ids, reconciled: false };
    let print = RangeData::Fingerprint(MessageHash([9; 32]));
    let at = |seconds, n| SyncId::new(ago(seconds), MessageHash([n; 32]));
    let ranges = match r.below(4) {
        // Ids that descend.
        0 => vec![(at(100, 0), list(vec![id(50, 9), id(60, 8), id(60, 7), id(70, 1)]))],
        // Bounds that descend within a timestamp.
        1 => vec![(at(100, 200), print.clone()), (at(100, 100), print)],
        // Bounds that ascend within a timestamp: legal, and nobody's habit.
        2 => vec![(at(100, 1), print.clone()), (at(100, 90), print.clone()), (at(99, 0), print)],
        // One id in two lists, and ranges of no length.
        _ => vec![
            (at(100, 1), list(vec![id(100, 1)])),
            (at(100, 1), list(vec![id(100, 1)])),
            (at(50, 0), list(vec![id(100, 1), id(60, 1)])),
        ],
    };
    let ranges = ranges.into_iter().map(|(upper, data)| Range { upper, data }).collect();
    Payload { scope: Scope::default(), lower: ago(3500), ranges }.encode()
}

fn billions(r: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    let billion = 1_000_000_000 << r.below(20);
    match r.below(3) {
        // Topics.
        0 => varint::write(billion, &mut bytes),
        // A topic's length.
        1 => {
            bytes.push(1);
            varint::write(billion, &mut bytes);
        }
        // Ids of a list.
        _ => {
            bytes.extend([0, 0]);
            varint::write(ago(3000).nanos() as u64, &mut bytes);
            varint::write(1_000_000_000, &mut bytes);
            bytes.push(2);
            varint::write(billion, &mut bytes);
        }
    }
    bytes.extend([1; 200]);
    bytes
}
