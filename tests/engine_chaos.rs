//! Whatever happens in whatever order: sessions end once, nothing is left behind, and honest
//! nodes come to hold the same. Every run prints its seed on failure and replays from it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::collections::BTreeSet;
use std::time::Duration;

use sim::solo::{Solo, at};
use sim::{Random, START, World, hour, key, message};
use wakustore::engine::PeerInfo;
use wakustore::engine::{EngineConfig, SessionId, SyncDirection, SyncOptions};
use wakustore::types::{MessageHash, StoredMessage, SyncId, TimeRange, Timestamp};
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope};
use wakustore::{Error, ErrorKind};

fn any_payload(r: &mut Random, known: &[StoredMessage]) -> Payload {
    let mut lower = 7200 - r.below(6000) as i64;
    let from = at(lower);
    let mut ranges = Vec::new();
    for _ in 0..r.below(6) {
        let upper = lower - 1 - r.below(1500) as i64;
        let data = match r.below(4) {
            0 => RangeData::Skip,
            1 => RangeData::Fingerprint(MessageHash([r.next() as u8; 32])),
            _ => {
                let inside = |id: &SyncId| at(lower) <= id.timestamp && id.timestamp < at(upper);
                let keep = r.below(3);
                let mut ids: Vec<SyncId> =
                    known.iter().map(StoredMessage::sync_id).filter(inside).collect();
                ids.retain(|_| r.below(3) <= keep);
                ids.sort_unstable();
                RangeData::ItemSet { ids, reconciled: r.below(2) == 0 }
            }
        };
        ranges.push(Range { upper: SyncId::floor(at(upper)), data });
        lower = upper;
    }
    Payload { scope: Scope::default(), lower: from, ranges }
}

fn any_error(r: &mut Random) -> Option<Error> {
    (r.below(2) == 0).then(|| Error::new(ErrorKind::StreamClosed, "reset"))
}

/// A peer that does anything at all, on time or not, with an archive that fails now and then.
#[test]
fn a_peer_that_does_anything_leaves_nothing_behind() {
    for seed in 0..300 {
        let mut r = Random(seed);
        let all = hour(&mut r, 200);
        let config = EngineConfig {
            max_in_flight: 200 + r.below(20_000) as usize,
            max_messages: 20 + r.below(500) as usize,
            max_loaded: 50 + r.below(500) as usize,
            max_sessions: 1 + r.below(6) as usize,
            max_rounds: 12,
            heartbeat: (r.below(2) == 0).then(|| Duration::from_secs(40)),
            ..EngineConfig::default()
        };
        let bound = config.max_in_flight;
        let mut solo = Solo::new(config, &all[..120]);
        let mut sessions: Vec<SessionId> = Vec::new();
        for _ in 0..150 {
            let any = sessions.get(r.below(sessions.len() as u64 + 1) as usize).copied();
            let session = any.unwrap_or(SessionId(r.below(400)));
            let faults = [ErrorKind::Busy, ErrorKind::DiskFull, ErrorKind::ArchiveIo];
            let fault = (r.below(4) == 0).then(|| faults[r.below(3) as usize]);
            match r.below(14) {
                0 => {
                    let direction = [SyncDirection::Both, SyncDirection::Pull, SyncDirection::Push]
                        [r.below(3) as usize];
                    let start = Timestamp(START.nanos() - (r.below(20_000) as i64) * 1_000_000_000);
                    let window = TimeRange::new(start, START).ok().filter(|_| r.below(2) == 0);
                    let options = SyncOptions { window, direction, ..SyncOptions::default() };
                    sessions.extend(solo.call(|e, now| e.sync(now, key(7), options)));
                }
                1 | 2 => sessions.extend(solo.accept()),
                3..=5 => {
                    let mut frame = any_payload(&mut r, &all).encode();
                    if r.below(8) == 0 {
                        frame.truncate(r.below(frame.len() as u64 + 1) as usize);
                    }
                    solo.frame(session, frame);
                }
                6 => solo.frame(session, vec![0]),
                7 | 8 => {
                    for _ in 0..r.below(40) {
                        let n = r.below(all.len() as u64) as usize;
                        solo.message(&all[n]);
                    }
                }
                9 => solo.call(|e, now| e.transfer_sent(now, session, r.below(50) as usize)),
                10 => {
                    let error = any_error(&mut r);
                    solo.call(|e, now| e.reconciliation_closed(now, session, error));
                }
                11 => match r.below(5) {
                    0 => solo.call(|e, now| e.cancel(now, session)),
                    1 => solo.call(|e, now| e.transfer_closed(now, key(7))),
                    2 => {
                        let error = Error::new(ErrorKind::StreamClosed, "broke");
                        solo.call(|e, now| e.transfer_failed(now, session, error));
                    }
                    3 => {
                        solo.call(|e, now| e.peer_disconnected(now, key(7)));
                        solo.call(|e, now| e.peer_connected(now, key(7), PeerInfo::reconciling()));
                    }
                    _ => {
                        let m = message(r.next(), 60.0);
                        solo.message(&m);
                    }
                },
                12 => {
                    solo.node.store_faults.push_back(fault);
                    solo.node.fetch_faults.push_back(fault);
                    solo.node.load_faults.push_back(fault);
                }
                _ => solo.wait(Duration::from_millis(r.below(15_000))),
            }
            let u = solo.node.engine.usage();
            assert!(u.early_bytes <= bound.max(200 * 1024), "seed {seed}: {u:?}");
        }
        solo.node.load_faults.clear();
        solo.node.store_faults.clear();
        solo.node.fetch_faults.clear();
        // No more heartbeats, and all that waits for the peer times out.
        solo.call(|e, now| e.peer_disconnected(now, key(7)));
        solo.call(|e, now| e.peer_connected(now, key(7), PeerInfo::default()));
        solo.wait(Duration::from_secs(100));
        solo.assert_released();
        let finished: BTreeSet<_> = solo.node.finished.iter().map(|(id, _)| *id).collect();
        assert!(sessions.iter().all(|id| finished.contains(id)), "seed {seed}: one never ended");
        let held = solo.node.hashes();
        let honest: BTreeSet<_> = all.iter().map(|m| m.hash).collect();
        assert!(held.is_subset(&honest), "seed {seed}: something was stored that nobody announced");
    }
}

/// Honest nodes whose links break, whose archives fail and whose messages overtake each other,
/// while new messages come: once all that stops, a few heartbeats make them equal.
#[test]
fn honest_nodes_converge_once_the_trouble_is_over() {
    for seed in 0..60 {
        let mut r = Random(seed);
        let mut world = World::new(seed);
        world.jitter = Duration::from_millis(r.below(400));
        world.announce_late = Duration::from_millis(r.below(300));
        let config = EngineConfig {
            heartbeat: Some(Duration::from_secs(20)),
            max_in_flight: 2000 + r.below(50_000) as usize,
            // Long enough that nothing grows out of it while this runs.
            window: Duration::from_secs(2 * 3600),
            ..EngineConfig::default()
        };
        let mut all = hour(&mut r, 300);
        for n in 0..5 {
            let held: Vec<_> = all.iter().filter(|_| r.below(3) > 0).cloned().collect();
            world.add(config.clone(), &held);
            world.nodes[n].skew = (r.below(20) as i64 - 10) * 1_000_000_000;
        }
        // A ring.
        let links: Vec<_> = (0..5).map(|n| (n, (n + 1) % 5)).collect();
        links.iter().for_each(|(a, b)| world.connect(*a, *b));
        for _ in 0..60 {
            world.run_for(Duration::from_millis(r.below(4000)));
            let (a, b) = links[r.below(5) as usize];
            match r.below(4) {
                0 => world.cut(a, b),
                1 => world.connect(a, b),
                2 => {
                    let m = message(r.next(), 100.0);
                    all.push(m.clone());
                    world.put(a, vec![m]);
                }
                _ => {
                    let kind = [ErrorKind::Busy, ErrorKind::DiskFull][r.below(2) as usize];
                    world.nodes[a].store_faults.push_back(Some(kind));
                    world.nodes[b].fetch_faults.push_back(Some(ErrorKind::Busy));
                }
            }
        }
        links.iter().for_each(|(a, b)| world.connect(*a, *b));
        world.nodes.iter_mut().for_each(|n| n.store_faults.clear());
        world.run_for(Duration::from_secs(20 * 14));
        let expected: BTreeSet<_> = world.nodes.iter_mut().flat_map(|n| n.hashes()).collect();
        assert!(expected.len() >= 300 && expected.len() <= all.len());
        for node in 0..5 {
            let lacks = expected.difference(&world.hashes(node)).count();
            assert_eq!(lacks, 0, "seed {seed}, node {node}");
            assert_eq!(world.nodes[node].penalties, &[], "seed {seed}: all of them are honest");
        }
    }
}
