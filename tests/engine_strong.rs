//! wakustore's own sync protocol between engines: what they end up with, what they report, and
//! what it costs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::collections::BTreeSet;
use std::time::Duration;

use sim::{Random, START, World, content, hour, message, quiet, shard, with};
use wakustore::ErrorKind;
use wakustore::engine::{
    Agreement, EngineConfig, PeerInfo, SyncDirection, SyncOptions, SyncProtocol, SyncReport,
};
use wakustore::types::{MessageHash, StoredMessage, TimeRange, Timestamp};
use wakustore::wire::reconciliation::Scope;

const BOTH: PeerInfo = PeerInfo {
    reconciles: true,
    strong: true,
    store: false,
    deployed: false,
    group: wakustore::engine::AddressGroup(0),
};

fn pair_with(
    seed: u64,
    config_a: EngineConfig,
    config_b: EngineConfig,
    a: &[StoredMessage],
    b: &[StoredMessage],
) -> World {
    let mut world = World::new(seed);
    world.info = BOTH;
    world.add(config_a, a);
    world.add(config_b, b);
    world.settle();
    world.connect(0, 1);
    world
}

fn pair(seed: u64, a: &[StoredMessage], b: &[StoredMessage]) -> World {
    pair_with(seed, quiet(), quiet(), a, b)
}

fn set(messages: &[StoredMessage]) -> BTreeSet<MessageHash> {
    messages.iter().map(|m| m.hash).collect()
}

fn assert_equal(world: &mut World, expected: &BTreeSet<MessageHash>) {
    for node in 0..world.nodes.len() {
        let held = world.hashes(node);
        let (lacks, more) = (expected.difference(&held).count(), held.difference(expected).count());
        assert_eq!((lacks, more), (0, 0), "node {node} lacks, and has more than it should");
    }
}

fn assert_agree(reports: [&SyncReport; 2]) {
    for report in reports {
        assert_eq!((&report.error, report.outstanding), (&None, 0));
        assert_eq!(report.protocol, SyncProtocol::Strong);
        assert_eq!(report.agreement, Agreement::Strong, "{report:?}");
    }
}

fn no_penalties(world: &World) {
    for node in &world.nodes {
        assert_eq!(node.penalties, &[]);
    }
}

/// Bytes of the protocol's own frames, both ways.
fn bytes(report: &SyncReport) -> u64 {
    report.figures.reconciliation_bytes_in + report.figures.reconciliation_bytes_out
}

#[test]
fn equal_sets_agree_in_two_frames() {
    for n in [0, 1, 100, 6000] {
        let all = hour(&mut Random(n), n);
        let mut world = pair(1, &all, &all);
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_agree([&ours, &theirs]);
        assert_eq!(ours.figures.frames, 2);
        assert!(bytes(&ours) <= 96, "{} bytes", bytes(&ours));
        assert_eq!(ours.figures.missing + ours.figures.surplus, 0);
        assert!(ours.duration < Duration::from_millis(100), "{:?}", ours.duration);
        no_penalties(&world);
        world.assert_released();
    }
}

#[test]
fn random_parts_converge_and_the_figures_are_exact() {
    for seed in 0..24 {
        let mut random = Random(seed);
        let n = [40, 400, 3000, 6000][seed as usize % 4];
        let all = hour(&mut random, n);
        // Of so many messages one is at one side alone.
        let rare = [3, 20, 200, 1500][(seed / 4) as usize % 4];
        let mut parts: [Vec<StoredMessage>; 2] = Default::default();
        let mut only = [0, 0];
        for m in &all {
            match random.below(2 * rare) {
                side @ 0..2 => {
                    parts[side as usize].push(m.clone());
                    only[side as usize] += 1;
                }
                _ => parts.iter_mut().for_each(|part| part.push(m.clone())),
            }
        }
        let mut world = pair(seed, &parts[0], &parts[1]);
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_equal(&mut world, &set(&all));
        assert_agree([&ours, &theirs]);
        let (a, b) = (ours.figures, theirs.figures);
        assert_eq!(
            (a.missing, a.received, b.surplus, b.sent),
            (only[1], only[1], only[1], only[1])
        );
        assert_eq!(
            (b.missing, b.received, a.surplus, a.sent),
            (only[0], only[0], only[0], only[0])
        );
        assert_eq!((a.dropped, a.unsendable, b.dropped, b.unsendable), (0, 0, 0, 0));
        assert_eq!(a.reconciliation_bytes_out, b.reconciliation_bytes_in);
        assert_eq!(b.reconciliation_bytes_out, a.reconciliation_bytes_in);
        assert_eq!(a.transfer_bytes_out, b.transfer_bytes_in);
        no_penalties(&world);
        world.assert_released();
    }
}

#[test]
fn one_side_empty_and_a_gap() {
    let all = hour(&mut Random(1), 5000);
    let newest = Timestamp(START.nanos() - 600_000_000_000);
    let gap: Vec<_> = all.iter().filter(|m| m.timestamp() < newest).cloned().collect();
    for (a, b) in [(&[][..], &all[..]), (&all, &[]), (&gap, &all), (&all, &gap)] {
        let mut world = pair(2, a, b);
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_equal(&mut world, &set(&all));
        assert_agree([&ours, &theirs]);
        assert_eq!(ours.figures.missing as usize, all.len() - a.len());
        no_penalties(&world);
        world.assert_released();
    }
}

#[test]
fn bursts_of_one_timestamp_get_across() {
    let burst: Vec<_> = (0..1000).map(|n| message(n, 600.0)).collect();
    let other: Vec<_> = (5000..6000).map(|n| message(n, 600.0)).collect();
    let spread = hour(&mut Random(3), 500);
    let a: Vec<_> = burst[..700].iter().chain(&spread).cloned().collect();
    let b: Vec<_> = burst[300..].iter().chain(&other).chain(&spread[..400]).cloned().collect();
    let mut world = pair(4, &a, &b);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_agree([&ours, &theirs]);
    assert_equal(&mut world, &set(&[a, b].concat()));
    world.assert_released();
}

#[test]
fn pull_and_push_go_one_way() {
    for direction in [SyncDirection::Pull, SyncDirection::Push] {
        // By a sketch, and by ranges.
        for n in [500, 40_usize] {
            let all = hour(&mut Random(5), 600);
            let (a, b) = (&all[..n], &all[30..]);
            let mut world = pair(6, a, b);
            let options = SyncOptions { direction, ..SyncOptions::default() };
            let (ours, theirs) = world.sync_to_end(0, 1, options);
            assert_eq!((&ours.error, &theirs.error), (&None, &None));
            let (mut in_a, mut in_b) = (set(a), set(b));
            if direction == SyncDirection::Pull {
                in_a = set(&all);
            } else {
                in_b = set(&all);
            }
            assert_eq!((world.hashes(0), world.hashes(1)), (in_a, in_b), "{direction:?}");
            assert_eq!((ours.figures.missing, ours.figures.surplus), (600 - n as u64, 30));
            assert_eq!((theirs.figures.missing, theirs.figures.surplus), (30, 600 - n as u64));
            // What was not wanted stays behind.
            assert_eq!((ours.agreement, theirs.agreement), (Agreement::None, Agreement::None));
            no_penalties(&world);
            world.assert_released();
        }
        // Where nothing stays behind both hold the same.
        let all = hour(&mut Random(6), 300);
        let (a, b) = if direction == SyncDirection::Pull {
            (&all[..290], &all[..])
        } else {
            (&all[..], &all[..290])
        };
        let mut world = pair(7, a, b);
        let options = SyncOptions { direction, ..SyncOptions::default() };
        let (ours, theirs) = world.sync_to_end(0, 1, options);
        assert_agree([&ours, &theirs]);
        assert_equal(&mut world, &set(&all));
    }
}

#[test]
fn a_dry_run_names_what_differs_and_moves_nothing() {
    // By the first cells, by a sketch, by ranges; the other way round too.
    for (from, to) in [(4, 597), (100, 500), (0, 300), (20, 0)] {
        let all = hour(&mut Random(8), 600);
        let mut by_id: Vec<_> = all.clone();
        by_id.sort_by_key(|m| m.hash);
        let (a, b) = (&by_id[..to], &by_id[from..]);
        let mut world = pair(9, a, b);
        let options = SyncOptions { dry_run: true, ..SyncOptions::default() };
        let (ours, theirs) = world.sync_to_end(0, 1, options);
        assert_eq!((&ours.error, &theirs.error), (&None, &None));
        assert_eq!((world.hashes(0), world.hashes(1)), (set(a), set(b)));
        let ids = |messages: &[StoredMessage]| {
            let mut ids: Vec<_> = messages.iter().map(StoredMessage::sync_id).collect();
            ids.sort_unstable();
            ids
        };
        let only_a: Vec<_> = a.iter().filter(|m| !b.contains(m)).cloned().collect();
        let only_b: Vec<_> = b.iter().filter(|m| !a.contains(m)).cloned().collect();
        let (mine, other) = (ours.difference.unwrap(), theirs.difference.unwrap());
        assert_eq!((mine.surplus, mine.missing), (ids(&only_a), ids(&only_b)), "{from} {to}");
        assert_eq!((other.surplus, other.missing), (ids(&only_b), ids(&only_a)), "{from} {to}");
        assert_eq!(ours.figures.missing as usize, only_b.len());
        assert_eq!(ours.agreement, Agreement::None);
        no_penalties(&world);
        world.assert_released();
    }
    let all = hour(&mut Random(8), 60);
    let options = SyncOptions { dry_run: true, ..SyncOptions::default() };
    let (ours, theirs) = pair(9, &all, &all).sync_to_end(0, 1, options);
    assert_agree([&ours, &theirs]);
    assert_eq!(ours.difference, Some(Default::default()));
}

#[test]
fn scopes_that_meet_in_part_compare_what_both_serve() {
    let mut random = Random(10);
    let of = |random: &mut Random, shards: &[u32]| -> Vec<StoredMessage> {
        (0..400)
            .map(|n| {
                let s = shards[n % shards.len()];
                with(random.next(), 100.0 + n as f64, shard(s), content("a"), 40)
            })
            .collect()
    };
    let scope = |shards: &[u32]| EngineConfig {
        scope: Scope {
            pubsub_topics: shards.iter().map(|n| shard(*n)).collect(),
            content_topics: Vec::new(),
        },
        ..quiet()
    };
    let (a, b) = (of(&mut random, &[1, 2, 3]), of(&mut random, &[2, 3, 4]));
    for (config_a, config_b) in [
        (scope(&[1, 2, 3]), scope(&[2, 3, 4])),
        (quiet(), scope(&[2, 3])),
        (scope(&[3, 2]), quiet()),
    ] {
        let mut world = pair_with(11, config_a, config_b, &a, &b);
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_agree([&ours, &theirs]);
        let common = |m: &&StoredMessage| [shard(2), shard(3)].contains(&m.pubsub_topic);
        let both: BTreeSet<_> = a.iter().chain(&b).filter(common).map(|m| m.hash).collect();
        for (node, own) in [(0, &a), (1, &b)] {
            let expected: BTreeSet<_> = both.union(&set(own)).copied().collect();
            assert_eq!(world.hashes(node), expected);
        }
        no_penalties(&world);
        world.assert_released();
        // And again, with the same of what both serve.
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_agree([&ours, &theirs]);
        assert!(ours.figures.frames <= 3 && ours.figures.missing == 0);
    }
    // Nothing in common: a refusal that says so, and no fault of anybody's.
    let mut world = pair_with(12, scope(&[1]), scope(&[2]), &a, &b);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_eq!(ours.error.unwrap().kind(), ErrorKind::SyncScope);
    assert_eq!((theirs.error, theirs.figures.missing), (None, 0));
    no_penalties(&world);
    world.assert_released();
}

#[test]
fn content_topics_and_old_windows_load_their_ids() {
    let mut random = Random(13);
    let all: Vec<_> = (0..900)
        .map(|n| {
            let topic = content(["a", "b", "c"][n % 3]);
            with(random.next(), 8.0 * 3600.0 + n as f64, shard(1), topic, 40)
        })
        .collect();
    let hours = |from: i64, to: i64| {
        let ago = |h: i64| Timestamp(START.nanos() - h * 3_600_000_000_000);
        TimeRange::new(ago(from), ago(to)).unwrap()
    };
    let only = EngineConfig {
        scope: Scope { content_topics: vec![content("b")], ..Scope::default() },
        ..quiet()
    };
    for (config, from, to) in [(quiet(), 10, 7), (quiet(), 100, 1), (only, 10, 7)] {
        let scoped = !config.scope.content_topics.is_empty();
        let mut world = pair_with(14, config, quiet(), &all[..600], &all[300..]);
        let options = SyncOptions { window: Some(hours(from, to)), ..SyncOptions::default() };
        let (ours, theirs) = world.sync_to_end(0, 1, options);
        assert_agree([&ours, &theirs]);
        if scoped {
            assert_eq!((ours.figures.missing, ours.figures.surplus), (100, 100));
        } else {
            assert_equal(&mut world, &set(&all));
        }
        world.assert_released();
    }
}

#[test]
fn a_peer_that_cannot_do_it_says_why() {
    // More than may be loaded.
    let all: Vec<_> = (0..200).map(|n| message(n, 9.0 * 3600.0 + n as f64)).collect();
    let small = EngineConfig { max_loaded: 50, ..quiet() };
    let window = TimeRange::new(Timestamp(START.nanos() - 36_000_000_000_000), START).unwrap();
    let options = SyncOptions { window: Some(window), ..SyncOptions::default() };
    let mut world = pair_with(15, quiet(), small, &all[..10], &all);
    let (ours, theirs) = world.sync_to_end(0, 1, options);
    let error = ours.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("refused") && error.message().contains("50"), "{error}");
    assert_eq!(theirs.error.unwrap().kind(), ErrorKind::InvalidArgument);
    world.assert_released();

    // Too many at once: all but one of three are told so.
    let one = EngineConfig { max_sessions: 1, ..quiet() };
    let mut world = World::new(16);
    world.info = BOTH;
    world.add(one, &all[..50]);
    for n in 1..4 {
        world.add(quiet(), &all[n..40]);
    }
    world.settle();
    (1..4).for_each(|n| world.connect(n, 0));
    let sessions: Vec<_> = (1..4).map(|n| (n, world.sync(n, 0, SyncOptions::default()))).collect();
    world.settle();
    let ends: Vec<_> = sessions
        .iter()
        .map(|(n, session)| world.nodes[*n].report(*session).error.clone().map(|e| e.kind()))
        .collect();
    assert!(ends.contains(&Some(ErrorKind::SyncBusy)) && ends.contains(&None), "{ends:?}");
    assert!(ends.iter().flatten().all(|e| *e == ErrorKind::SyncBusy), "{ends:?}");
    no_penalties(&world);
    world.assert_released();
}

#[test]
fn a_peer_without_it_is_synced_with_over_the_deployed_protocol() {
    let all = hour(&mut Random(17), 500);
    let plain = EngineConfig { strong: false, ..quiet() };
    let mut world = pair_with(18, quiet(), plain, &all[..400], &all[100..]);
    for again in [false, true] {
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_eq!((ours.error, theirs.error), (None, None));
        assert_eq!((ours.protocol, theirs.protocol), (SyncProtocol::V1, SyncProtocol::V1));
        assert_eq!(ours.figures.missing, if again { 0 } else { 100 });
        assert_equal(&mut world, &set(&all));
    }
    // Asked for by name, nothing else will do.
    world.connect(0, 1);
    let named = SyncOptions { protocol: Some(SyncProtocol::Strong), ..SyncOptions::default() };
    let session = world.sync(0, 1, named);
    world.settle();
    let error = world.nodes[0].report(session).error.clone().unwrap();
    assert_eq!(error.kind(), ErrorKind::ProtocolUnsupported);
    no_penalties(&world);
    world.assert_released();
}

#[test]
fn other_alignments_of_the_window() {
    let all = hour(&mut Random(19), 5000);
    let mut world = pair(20, &all[..4990], &all[10..]);
    world.run_for(Duration::from_secs(3));
    for cut in [0, 1, 1_000_000_007, 600_000_000_001] {
        let window = TimeRange::new(
            Timestamp(START.nanos() - 3_600_000_000_000 + cut),
            Timestamp(START.nanos() - 30_000_000_000 - cut / 3),
        );
        let options = SyncOptions { window: window.ok(), ..SyncOptions::default() };
        let (ours, theirs) = world.sync_to_end(0, 1, options);
        assert_agree([&ours, &theirs]);
    }
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_agree([&ours, &theirs]);
    assert_equal(&mut world, &set(&all));
}

#[test]
fn what_arrives_meanwhile_does_no_harm() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let all = hour(&mut random, 1500);
        let late = hour(&mut random, 60);
        let only = [10, 200, 1400][seed as usize % 3];
        let mut world = pair(seed, &all[..1500 - only / 2], &all[only / 2..]);
        world.latency = Duration::from_millis(40);
        world.sync(0, 1, SyncOptions::default());
        for (n, m) in late.iter().enumerate() {
            world.run_for(Duration::from_millis(random.below(8)));
            world.put(n % 2, vec![m.clone()]);
            if random.below(3) == 0 {
                world.put(1 - n % 2, vec![m.clone()]);
            }
            if random.below(4) == 0 {
                // What the peer is about to send comes by another way.
                world.put(n % 2, vec![all[random.below(1500) as usize].clone()]);
            }
        }
        world.settle();
        let sessions: Vec<_> = world.nodes.iter().map(|n| n.finished[0].1.clone()).collect();
        assert_eq!((&sessions[0].error, &sessions[1].error), (&None, &None), "seed {seed}");
        if only < 1000 {
            // By sketches the sets stay those of the beginning.
            assert_eq!(sessions[0].agreement, Agreement::Strong, "seed {seed} {sessions:?}");
        }
        let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
        assert_agree([&ours, &theirs]);
        assert_equal(&mut world, &set(&[all, late].concat()));
        no_penalties(&world);
        world.assert_released();
    }
}

/// Some of these, of which the XOR of all hashes is zero: of more than 256 there always are.
fn cancelling(all: &[StoredMessage]) -> Vec<StoredMessage> {
    let mut basis: Vec<([u8; 32], BTreeSet<usize>)> = Vec::new();
    for (at, m) in all.iter().enumerate() {
        let mut row = (m.hash.0, BTreeSet::from([at]));
        for (other, of) in &basis {
            let lead = other.iter().position(|b| *b != 0).unwrap();
            let bit = 0x80 >> other[lead].leading_zeros();
            if row.0[lead] & bit != 0 {
                row.0.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
                row.1 = row.1.symmetric_difference(of).copied().collect();
            }
        }
        if row.0 == [0; 32] {
            return row.1.into_iter().map(|at| all[at].clone()).collect();
        }
        basis.push(row);
    }
    panic!("only {} messages", all.len());
}

#[test]
fn messages_that_xor_cannot_see_are_found() {
    let common = hour(&mut Random(21), 400);
    let chosen = cancelling(&hour(&mut Random(22), 300));
    let all = [&common[..], &chosen].concat();
    // Over 1.0.0 they stay hidden for ever.
    let v1 = SyncOptions { protocol: Some(SyncProtocol::V1), ..SyncOptions::default() };
    let mut world = pair(23, &all, &common);
    let (ours, _) = world.sync_to_end(0, 1, v1);
    assert_eq!((ours.figures.surplus, ours.agreement), (0, Agreement::Weak));
    assert_eq!(world.hashes(1), set(&common));
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    assert_agree([&ours, &theirs]);
    assert_equal(&mut world, &set(&all));
    // Also where sketches are of no use, and ranges have to be compared once more.
    let mut world = pair(24, &all, &common);
    let start = Timestamp(START.nanos() - 100 * 3_600_000_000_000);
    let window = TimeRange::new(start, START).ok();
    let (ours, theirs) = world.sync_to_end(1, 0, SyncOptions { window, ..SyncOptions::default() });
    assert_agree([&ours, &theirs]);
    assert_equal(&mut world, &set(&all));
    assert_eq!(theirs.figures.surplus as usize, chosen.len());
    no_penalties(&world);
    world.assert_released();
}
