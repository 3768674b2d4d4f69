//! wakustore's own sync protocol in bad luck and with bad peers: links that break at any step,
//! messages that are gone, archives that fail, peers that lie or say anything at all.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::collections::BTreeSet;
use std::time::Duration;

use sim::solo::{BAD, Solo};
use sim::{Random, START, World, hour, key, message, quiet};
use wakustore::engine::{
    Agreement, EngineConfig, Output, PeerInfo, SessionId, SyncDirection, SyncOptions, SyncProtocol,
};
use wakustore::sync::index::Index;
use wakustore::sync::lattice::Lattice;
use wakustore::types::{MessageHash, StoredMessage, SyncId, TimeRange, Timestamp};
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope};
use wakustore::wire::strong::{
    Cell, Cells, Differs, Done, Found, Frame, Limits, MAX_CELLS, Name, Open, Reason, Sent, Verdict,
};
use wakustore::{Error, ErrorKind};

const BOTH: PeerInfo = PeerInfo {
    reconciles: true,
    strong: true,
    store: false,
    deployed: false,
    group: wakustore::engine::AddressGroup(0),
};
const LIMITS: Limits = Limits { max_frame: 32 << 20, max_cells: MAX_CELLS };

fn pair(seed: u64, a: &[StoredMessage], b: &[StoredMessage]) -> World {
    let mut world = World::new(seed);
    world.info = BOTH;
    world.add(quiet(), a);
    world.add(quiet(), b);
    world.settle();
    world.connect(0, 1);
    world
}

fn set(messages: &[StoredMessage]) -> BTreeSet<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

fn window() -> TimeRange {
    let ago = |s: i64| Timestamp(START.nanos() - s * 1_000_000_000);
    TimeRange::new(ago(3600), ago(20)).unwrap()
}

#[test]
fn a_link_that_breaks_at_any_step_costs_that_session_alone() {
    let all = hour(&mut Random(1), 60);
    // By the first cells, by a sketch, by ranges.
    for (to, from) in [(57, 3), (40, 10), (60, 60)] {
        let mut cut = 0;
        loop {
            let mut world = pair(2, &all[..to], &all[from..]);
            world.sync(0, 1, SyncOptions::default());
            let began = world.steps;
            while world.steps < began + cut && world.usages().iter().any(|u| u.sessions > 0) {
                world.step();
            }
            let over = world.usages().iter().all(|u| u.sessions == 0);
            world.cut(0, 1);
            world.assert_released();
            world.connect(0, 1);
            let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
            assert_eq!((ours.error, theirs.error), (None, None), "cut at {cut}");
            assert_eq!(ours.agreement, Agreement::Strong, "cut at {cut}");
            assert_eq!((world.hashes(0), world.hashes(1)), (set(&all), set(&all)));
            assert!(world.nodes.iter().all(|n| n.penalties.is_empty()));
            if over {
                break;
            }
            cut += 1;
        }
        assert!(cut > 5, "{cut}");
    }
}

#[test]
fn what_cannot_be_sent_or_kept_is_told() {
    let all = hour(&mut Random(3), 100);
    // Two are gone at the sender when they are to be sent: nobody waits, and both hold the same.
    let mut world = pair(4, &all[..90], &all[10..]);
    world.nodes[1].deleted = all[95..97].iter().map(|m| m.hash).collect();
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((&ours.error, &theirs.error, ours.outstanding), (&None, &None, 0));
    assert!(ours.duration < Duration::from_secs(1), "{:?}", ours.duration);
    assert_eq!((ours.figures.received, theirs.figures.unsendable), (8, 2));
    world.assert_released();

    // The archive fails once: that session ends, and the next one brings the rest.
    let mut world = pair(5, &all[..90], &all[10..]);
    world.nodes[0].store_faults.push_back(Some(ErrorKind::DiskFull));
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!(ours.error.unwrap().kind(), ErrorKind::DiskFull);
    assert_eq!((ours.agreement, theirs.agreement), (Agreement::None, Agreement::None));
    world.assert_released();
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!((ours.agreement, theirs.agreement), (Agreement::Strong, Agreement::Strong));
    assert_eq!((world.hashes(0), world.hashes(1)), (set(&all), set(&all)));
}

/// A peer that a test plays.
struct Liar {
    solo: Solo,
    session: SessionId,
}

impl Liar {
    /// It is asked by us, and has read our first frame.
    fn asked(held: &[StoredMessage], config: EngineConfig) -> (Liar, Open) {
        let mut solo = Solo::new(config, held);
        solo.call(|e, now| e.peer_connected(now, key(7), BOTH));
        let options = SyncOptions { window: Some(window()), ..SyncOptions::default() };
        let session = solo.call(|e, now| e.sync(now, key(7), options)).unwrap();
        let mut liar = Liar { solo, session };
        let Some(Frame::Open(open)) = liar.heard().pop() else { panic!("no first frame") };
        (liar, open)
    }

    /// It asks us.
    fn asks(held: &[StoredMessage], config: EngineConfig, open: &Open) -> Liar {
        let mut solo = Solo::new(config, held);
        let accept = |solo: &mut Solo| {
            solo.call(|e, now| e.reconciliation_accepted(now, key(7), SyncProtocol::Strong))
        };
        let session = accept(&mut solo).unwrap();
        let mut liar = Liar { solo, session };
        liar.say(&Frame::Open(open.clone()));
        liar
    }

    fn say(&mut self, frame: &Frame) {
        self.solo.frame(self.session, frame.encode());
    }

    /// What we said since.
    fn heard(&mut self) -> Vec<Frame> {
        let sent = std::mem::take(&mut self.solo.sent);
        let frame = |output: &Output| match output {
            Output::SendReconciliation { frame, .. } => Some(Frame::decode(frame).unwrap()),
            _ => None,
        };
        sent.iter().filter_map(frame).collect()
    }

    fn error(&self) -> ErrorKind {
        self.solo.error(self.session).kind()
    }
}

fn open(count: u64, digest: [u8; 32]) -> Open {
    Open {
        limits: LIMITS,
        takes: true,
        gives: true,
        dry_run: false,
        window: window(),
        scope: Scope::default(),
        count,
        digest,
    }
}

fn differs(total: u64, n: usize) -> Frame {
    let cells = vec![Cell { key: [7; 12], check: 9, count: 3 }; n];
    Frame::Differs(Differs {
        limits: LIMITS,
        rescoped: None,
        cells: Cells { total, from: 0, cells },
        counts: Vec::new(),
    })
}

#[test]
fn frames_out_of_turn_or_beyond_the_limits_end_the_session_and_cost_the_peer() {
    let held = hour(&mut Random(6), 50);
    let wrong = [
        Frame::More(100),
        Frame::Found(Found::default()),
        Frame::Cells(Cells::default()),
        Frame::Again([1; 16]),
        Frame::Rest(Vec::new()),
        Frame::Have(Vec::new()),
        Frame::Done(Done { verdict: Verdict::Equal, unstored: 0 }),
        Frame::Sent(Sent { digest: [0; 32], count: 0, unsent: Vec::new(), beyond: 0 }),
        Frame::Ranges(Payload::default()),
        Frame::Open(open(1, [1; 32])),
        differs(5, 1000),
    ];
    for frame in wrong {
        let (mut liar, _) = Liar::asked(&held, quiet());
        liar.say(&frame);
        assert_eq!(liar.error(), ErrorKind::SyncProtocol, "{frame:?}");
        assert_eq!(liar.solo.node.penalties, BAD);
        liar.solo.assert_released();
    }
    // The initiator's part.
    let wrong = [
        Frame::Open(open(1, [1; 32])),
        differs(5, 3),
        Frame::More(100),
        Frame::Cells(Cells { total: 9, from: 5, cells: vec![Cell::default(); 3] }),
        Frame::Refuse(wakustore::wire::strong::Refuse {
            reason: Reason::Busy,
            detail: String::new(),
        }),
    ];
    for frame in wrong {
        let mut liar = Liar::asks(&held, quiet(), &open(1, [1; 32]));
        assert!(matches!(liar.heard()[..], [Frame::Differs(_)]));
        liar.say(&frame);
        assert_eq!(liar.error(), ErrorKind::SyncProtocol, "{frame:?}");
        assert_eq!(liar.solo.node.penalties, BAD);
        liar.solo.assert_released();
    }
    // Bytes that are no frame.
    let mut liar = Liar::asks(&held, quiet(), &open(1, [1; 32]));
    liar.solo.frame(liar.session, vec![99, 1, 2]);
    assert_eq!((liar.error(), &liar.solo.node.penalties[..]), (ErrorKind::Malformed, BAD));
}

/// Found by the fuzzer: the number of the peer's ids is whatever it says.
#[test]
fn a_peer_may_say_that_it_holds_any_number_of_ids() {
    let held = hour(&mut Random(6), 50);
    for total in [1 << 63, (1 << 63) + 1, u64::MAX] {
        let (mut liar, _) = Liar::asked(&held, quiet());
        liar.say(&differs(total, 3));
        assert!(matches!(liar.heard()[..], [Frame::Cells(_) | Frame::Ranges(_)]), "{total}");
    }
}

/// Cells without end, each answer of which wants more: the limit of cells ends it, and ranges.
#[test]
fn a_sketch_that_never_comes_out_ends_in_ranges() {
    let held = hour(&mut Random(7), 50);
    let mut liar = Liar::asks(&held, quiet(), &open(40, [1; 32]));
    liar.heard();
    let mut sent = 0;
    let mut to = 64;
    for _ in 0..100 {
        let cell = |at: usize| Cell { key: [at as u8; 12], check: at as u32, count: 5 };
        let cells = (sent..to).map(cell).collect();
        liar.say(&Frame::Cells(Cells { total: 40, from: sent, cells }));
        match &liar.heard()[..] {
            [Frame::More(more)] => (sent, to) = (to, *more),
            [Frame::Ranges(_)] => {
                assert!(to == MAX_CELLS, "{to}");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("it never ended");
}

#[test]
fn keys_that_nobody_has_are_answered_by_ranges_and_messages_that_never_come_end_it() {
    let held = hour(&mut Random(8), 50);
    let lies = [
        Found { lacks: vec![Name { time: 5, prefix: None }], offers: Vec::new() },
        Found { lacks: vec![Name { time: 5, prefix: Some([1; 6]) }], offers: Vec::new() },
    ];
    for found in lies {
        let mut liar = Liar::asks(&held, quiet(), &open(40, [1; 32]));
        liar.heard();
        liar.say(&Frame::Found(found));
        assert!(matches!(liar.heard()[..], [Frame::Ranges(_)]));
        assert!(liar.solo.node.penalties.is_empty(), "chosen messages may have misled it");
        // It stops answering.
        liar.solo.wait(Duration::from_secs(40));
        assert_eq!(liar.error(), ErrorKind::TimedOut);
        liar.solo.assert_released();
    }
    // It offers a key, and sends nothing: our verdict says that we do not know.
    let mut liar = Liar::asks(&held, quiet(), &open(40, [1; 32]));
    liar.heard();
    liar.say(&Frame::Found(Found { lacks: Vec::new(), offers: vec![[9; 12]] }));
    assert!(matches!(liar.heard()[..], [Frame::Sent(_)]));
    liar.say(&Frame::Sent(Sent { digest: [1; 32], count: 1, unsent: Vec::new(), beyond: 0 }));
    liar.solo.wait(Duration::from_secs(12));
    let unknown = Done { verdict: Verdict::Unknown, unstored: 0 };
    assert_eq!(liar.heard(), [Frame::Done(unknown)]);
    liar.say(&Frame::Done(Done { verdict: Verdict::Equal, unstored: 0 }));
    let report = liar.solo.report(liar.session);
    assert_eq!((report.agreement, report.outstanding, &report.error), (Agreement::None, 1, &None));
    liar.solo.assert_released();
}

/// A peer that has a digest of its own choice can make us compare twice, and never agree; and not
/// more than once a minute.
#[test]
fn second_comparisons_are_rationed() {
    let held = hour(&mut Random(9), 50);
    let lie = |liar: &mut Liar| -> Vec<Frame> {
        liar.heard();
        liar.say(&Frame::Found(Found::default()));
        liar.say(&Frame::Sent(Sent { digest: [1; 32], count: 0, unsent: Vec::new(), beyond: 0 }));
        liar.say(&Frame::Done(Done { verdict: Verdict::Other, unstored: 0 }));
        let said = liar.heard();
        assert!(
            matches!(said[..], [Frame::Sent(_), Frame::Done(Done { verdict: Verdict::Other, .. })]),
            "{said:?}"
        );
        liar.say(&Frame::Again([5; 16]));
        liar.heard()
    };
    let mut liar = Liar::asks(&held, quiet(), &open(40, [1; 32]));
    assert!(matches!(lie(&mut liar)[..], [Frame::Again(_)]));
    // All of ranges that XOR can say is the same: it ends, without agreement.
    liar.say(&Frame::Ranges(Payload::default()));
    liar.say(&Frame::Sent(Sent { digest: [1; 32], count: 0, unsent: Vec::new(), beyond: 0 }));
    liar.say(&Frame::Done(Done { verdict: Verdict::Equal, unstored: 0 }));
    let report = liar.solo.report(liar.session);
    assert_eq!((report.agreement, &report.error), (Agreement::None, &None));
    // Once more, at once.
    let accepted =
        liar.solo.call(|e, now| e.reconciliation_accepted(now, key(7), SyncProtocol::Strong));
    liar.session = accepted.unwrap();
    liar.say(&Frame::Open(open(40, [1; 32])));
    assert!(lie(&mut liar).is_empty());
    assert_eq!(liar.error(), ErrorKind::SyncBusy);
    liar.solo.assert_released();
}

/// It says that it holds the same, and does not: that is all that it can do.
#[test]
fn another_version_is_refused_by_name() {
    let mut solo = Solo::new(quiet(), &[]);
    let accepted = solo.call(|e, now| e.reconciliation_accepted(now, key(7), SyncProtocol::Strong));
    let session = accepted.unwrap();
    solo.frame(session, vec![1, 2, 3, 4, 5]);
    let mut liar = Liar { solo, session };
    match &liar.heard()[..] {
        [Frame::Refuse(refuse)] => assert_eq!(refuse.reason, Reason::Version),
        other => panic!("{other:?}"),
    }
    assert_eq!(liar.error(), ErrorKind::ProtocolUnsupported);
    assert!(liar.solo.node.penalties.is_empty());
    liar.solo.assert_released();
}

fn any_frame(r: &mut Random, known: &[StoredMessage]) -> Frame {
    let ids: Vec<SyncId> = known.iter().map(StoredMessage::sync_id).collect();
    let some = |r: &mut Random| -> Vec<SyncId> {
        let keep = r.below(4);
        let mut ids: Vec<_> = ids.iter().copied().filter(|_| r.below(4) < keep).collect();
        ids.sort_unstable();
        ids
    };
    let digest = |ids: &[SyncId]| {
        let mut lattice = Lattice::default();
        ids.iter().for_each(|id| lattice.add(&id.hash));
        lattice.digest()
    };
    let key = |id: &SyncId| {
        let mut key = [0; 12];
        key[..6].copy_from_slice(&id.timestamp.nanos().to_be_bytes()[2..]);
        key[6..].copy_from_slice(&id.hash.0[..6]);
        key
    };
    let keys = |r: &mut Random| {
        let mut keys: Vec<_> = some(r).iter().map(key).collect();
        keys.sort_unstable();
        keys
    };
    match r.below(12) {
        0 => {
            let set = some(r);
            let mut open = open(set.len() as u64, digest(&set));
            open.dry_run = r.below(4) == 0;
            (open.takes, open.gives) = (r.below(3) > 0, r.below(3) > 0);
            Frame::Open(open)
        }
        1 => Frame::Agree,
        2 => {
            let n = r.below(60) as usize;
            differs(r.below(300), n)
        }
        3 => {
            let (from, n) = (r.below(3) as usize * 30, r.below(200) as usize);
            let cell = Cell { key: [r.next() as u8; 12], check: r.next() as u32, count: 1 };
            Frame::Cells(Cells { total: r.below(300), from, cells: vec![cell; n] })
        }
        4 => Frame::More(r.below(2000) as usize),
        5 | 6 => {
            let name = |key: &[u8; 12]| Name {
                time: u64::from_be_bytes([0, 0, key[0], key[1], key[2], key[3], key[4], key[5]]),
                prefix: None,
            };
            let lacks = keys(r).iter().map(name).collect();
            Frame::Found(Found { lacks, offers: keys(r) })
        }
        7 | 8 => {
            let ids: Index = some(r).into_iter().collect();
            let (lower, upper) = (window().start(), window().end());
            let ids = ids.range(&SyncId::floor(lower), &SyncId::floor(upper)).collect();
            let data = RangeData::ItemSet { ids, reconciled: r.below(2) == 0 };
            let ranges = vec![Range { upper: SyncId::floor(upper), data }];
            Frame::Ranges(Payload { scope: Scope::default(), lower, ranges })
        }
        9 => {
            let set = some(r);
            Frame::Sent(Sent {
                digest: digest(&set),
                count: r.below(100),
                unsent: Vec::new(),
                beyond: r.below(2),
            })
        }
        10 => {
            let verdict = [Verdict::Unknown, Verdict::Equal, Verdict::Other][r.below(3) as usize];
            Frame::Done(Done { verdict, unstored: r.below(2) })
        }
        _ => Frame::Again([r.next() as u8; 16]),
    }
}

/// A peer that does anything at all, on time or not, with an archive that fails now and then.
#[test]
fn a_peer_that_does_anything_leaves_nothing_behind() {
    for seed in 0..100 {
        let mut r = Random(seed);
        let all = hour(&mut r, 120);
        let config = EngineConfig {
            max_in_flight: 200 + r.below(20_000) as usize,
            max_messages: 20 + r.below(500) as usize,
            max_sessions: 1 + r.below(6) as usize,
            heartbeat: (r.below(2) == 0).then(|| Duration::from_secs(40)),
            ..EngineConfig::default()
        };
        let mut solo = Solo::new(config, &all[..80]);
        solo.call(|e, now| e.peer_connected(now, key(7), BOTH));
        let mut sessions: Vec<SessionId> = Vec::new();
        for _ in 0..120 {
            let any = sessions.get(r.below(sessions.len() as u64 + 1) as usize).copied();
            let session = any.unwrap_or(SessionId(r.below(400)));
            match r.below(12) {
                0 => {
                    let direction = [SyncDirection::Both, SyncDirection::Pull, SyncDirection::Push]
                        [r.below(3) as usize];
                    let dry_run = r.below(4) == 0;
                    let options = SyncOptions { direction, dry_run, ..SyncOptions::default() };
                    sessions.extend(solo.call(|e, now| e.sync(now, key(7), options)));
                }
                1 | 2 => {
                    let accept = |e: &mut wakustore::engine::Engine, now| {
                        e.reconciliation_accepted(now, key(7), SyncProtocol::Strong)
                    };
                    let session = solo.call(accept).unwrap();
                    sessions.push(session);
                    solo.frame(session, Frame::Open(open(r.below(90), [1; 32])).encode());
                }
                3..=6 => {
                    let mut frame = any_frame(&mut r, &all).encode();
                    if r.below(12) == 0 {
                        frame.truncate(r.below(frame.len() as u64 + 1) as usize);
                    }
                    solo.frame(session, frame);
                }
                7 => {
                    for _ in 0..r.below(40) {
                        let n = r.below(all.len() as u64) as usize;
                        solo.message(&all[n]);
                    }
                }
                8 => solo.call(|e, now| e.transfer_sent(now, session, r.below(50) as usize)),
                9 => {
                    let error = (r.below(2) == 0)
                        .then(|| Error::new(ErrorKind::ProtocolUnsupported, "not spoken"));
                    solo.call(|e, now| match error {
                        Some(error) => e.reconciliation_failed(now, session, error),
                        None => e.reconciliation_closed(now, session, None),
                    });
                }
                10 => match r.below(4) {
                    0 => solo.call(|e, now| e.cancel(now, session)),
                    1 => solo.node.store_faults.push_back(Some(ErrorKind::DiskFull)),
                    2 => {
                        let error = Error::new(ErrorKind::StreamClosed, "broke");
                        solo.call(|e, now| e.transfer_failed(now, session, error));
                    }
                    _ => {
                        let m = message(r.next(), 60.0);
                        solo.message(&m);
                    }
                },
                _ => solo.wait(Duration::from_millis(r.below(15_000))),
            }
        }
        solo.node.store_faults.clear();
        solo.call(|e, now| e.peer_disconnected(now, key(7)));
        solo.call(|e, now| e.peer_connected(now, key(7), PeerInfo::default()));
        solo.wait(Duration::from_secs(100));
        solo.assert_released();
        let finished: BTreeSet<_> = solo.node.finished.iter().map(|(id, _)| *id).collect();
        assert!(sessions.iter().all(|id| finished.contains(id)), "seed {seed}: one never ended");
        let honest: BTreeSet<_> = all.iter().map(|m| m.hash).collect();
        assert!(solo.node.hashes().is_subset(&honest), "seed {seed}: stored unasked");
    }
}
