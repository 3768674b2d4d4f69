//! Syncs that only compare, what a sync tells while it runs, and how it is given up.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::time::Duration;

use sim::solo::{Solo, items, payload};
use sim::{Random, World, hour, key, message, quiet};
use wakustore::ErrorKind;
use wakustore::engine::{
    Agreement, EngineConfig, Output, SyncDifference, SyncDirection, SyncOptions, SyncProgress,
};
use wakustore::types::{StoredMessage, SyncId};
use wakustore::wire::reconciliation::RangeData;
use wakustore::wire::transfer;

fn dry() -> SyncOptions {
    SyncOptions { dry_run: true, ..SyncOptions::default() }
}

fn ids(messages: &[StoredMessage]) -> Vec<SyncId> {
    let mut ids: Vec<SyncId> = messages.iter().map(StoredMessage::sync_id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_dry_run_names_exactly_what_differs_and_nothing_travels() {
    // Much, little and nothing in common; one side without any; all the same.
    for (a, b) in [(0..2000, 1000..3000), (0..3000, 3..2990), (0..1500, 1500..3000)]
        .into_iter()
        .chain([(0..0, 0..3000), (0..3000, 0..0), (0..3000, 0..3000), (5..5, 5..5)])
    {
        for direction in [SyncDirection::Both, SyncDirection::Pull, SyncDirection::Push] {
            let all = hour(&mut Random(1), 3000);
            let mut world = World::pair(2, &all[a.clone()], &all[b.clone()]);
            let before = (world.hashes(0), world.hashes(1));
            let options = SyncOptions { direction, ..dry() };
            let (ours, theirs) = world.sync_to_end(0, 1, options);
            let only = |x: &std::ops::Range<usize>, y: &std::ops::Range<usize>| {
                let only: Vec<_> =
                    x.clone().filter(|n| !y.contains(n)).map(|n| all[n].clone()).collect();
                ids(&only)
            };
            let expected = SyncDifference { missing: only(&b, &a), surplus: only(&a, &b) };
            let (missing, surplus) = (expected.missing.len() as u64, expected.surplus.len() as u64);
            assert!(ours.difference == Some(expected), "{a:?} and {b:?}");
            assert_eq!((ours.figures.missing, ours.figures.surplus), (missing, surplus));
            assert_eq!((ours.error, ours.outstanding, theirs.error), (None, 0, None));
            assert_eq!(before, (world.hashes(0), world.hashes(1)), "nothing was stored");
            for f in [ours.figures, theirs.figures] {
                let moved =
                    (f.sent, f.received, f.dropped, f.transfer_bytes_in, f.transfer_bytes_out);
                assert_eq!(moved, (0, 0, 0, 0, 0));
            }
            let equal = missing + surplus == 0;
            assert_eq!(ours.agreement, if equal { Agreement::Weak } else { Agreement::None });
            assert_eq!(theirs.difference, None);
            assert!(world.nodes.iter().all(|n| n.penalties.is_empty() && n.stores.is_empty()));
            world.assert_released();
        }
    }
}

#[test]
fn the_difference_is_bounded_and_the_figures_tell_of_all() {
    let all = hour(&mut Random(3), 1000);
    let config = EngineConfig { max_messages: 100, ..quiet() };
    let mut world = World::pair_with(3, config, quiet(), &all[..400], &all[400..]);
    let (ours, _) = world.sync_to_end(0, 1, dry());
    let difference = ours.difference.unwrap();
    assert_eq!(difference.missing.len() + difference.surplus.len(), 100);
    assert_eq!((ours.figures.missing, ours.figures.surplus), (600, 400));
    assert!(difference.missing.is_sorted() && difference.surplus.is_sorted());
}

/// A peer cannot know that a run is dry, and what it pushes then is no fault of its own.
#[test]
fn what_a_peer_pushes_into_a_dry_run_is_dropped_without_penalty() {
    let (held, theirs) = (message(1, 60.0), [message(2, 70.0), message(3, 80.0)]);
    let mut solo = Solo::new(quiet(), std::slice::from_ref(&held));
    let session = solo.call(|e, now| e.sync(now, key(7), dry())).unwrap();
    let push = |solo: &mut Solo| {
        for m in &theirs {
            solo.message(m);
        }
    };
    push(&mut solo);
    solo.frame(session, items(&[&theirs[0], &theirs[1]], false).encode());
    assert!(solo.closed(session));
    push(&mut solo);
    let report = solo.report(session).clone();
    assert_eq!(
        report.difference,
        Some(SyncDifference { missing: ids(&theirs), surplus: ids(&[held]) })
    );
    assert_eq!(report.figures.dropped, 2, "those that came while it ran");
    assert_eq!(solo.node.hashes().len(), 1);
    let sends = |o: &Output| matches!(o, Output::SendTransfer { .. });
    assert!(!solo.sent.iter().any(sends));
    assert_eq!(solo.node.penalties, []);
    solo.assert_released();
}

/// An empty item set marked reconciled would have the peer send without naming.
#[test]
fn a_dry_run_never_asks_for_what_is_not_named() {
    let window = EngineConfig { tuning: small_answers(), ..quiet() };
    let all = hour(&mut Random(4), 3000);
    let mut world = World::pair_with(4, window, quiet(), &all[..3], &all);
    let (ours, theirs) = world.sync_to_end(0, 1, dry());
    assert_eq!(ours.difference.unwrap().missing, ids(&all[3..]));
    assert_eq!(theirs.figures.sent, 0);
    // And what it says where it holds nothing is no list at all, so that nobody sends.
    let mut solo = Solo::new(quiet(), &[]);
    let session = solo.call(|e, now| e.sync(now, key(7), dry())).unwrap();
    solo.sent.clear();
    let other = payload(3600, 20, RangeData::Fingerprint(message(9, 60.0).hash));
    solo.frame(session, other.encode());
    let Some(Output::SendReconciliation { frame, .. }) = solo.sent.first() else { panic!() };
    let said = wakustore::wire::reconciliation::Payload::decode(frame).unwrap();
    assert!(said.ranges.iter().all(|r| !matches!(r.data, RangeData::ItemSet { .. })), "{said:?}");
}

fn small_answers() -> wakustore::sync::reconcile::Tuning {
    wakustore::sync::reconcile::Tuning { fan_out: 16, max_item_set: 64, max_answer: 2048 }
}

#[test]
fn progress_never_goes_back_and_comes_a_few_times_a_second() {
    let all = hour(&mut Random(5), 6000);
    let config = EngineConfig { max_in_flight: 20_000, ..quiet() };
    let mut world = World::pair_with(5, config.clone(), config, &all[..4000], &all[2000..]);
    world.latency = Duration::from_millis(200);
    let session = world.sync(0, 1, SyncOptions::default());
    let mut told: Vec<(Duration, SyncProgress)> = Vec::new();
    while world.nodes[0].finished.is_empty() {
        world.step();
        for (id, progress) in world.nodes[0].progress.drain(..) {
            assert_eq!(id, session);
            told.push((world.elapsed, progress));
        }
    }
    world.settle();
    let last = world.nodes[0].report(session).figures;
    assert!(told.len() > 5, "{}", told.len());
    assert!(told.windows(2).all(|w| w[1].0 - w[0].0 >= Duration::from_millis(250)));
    let parts = |p: &SyncProgress| {
        [p.ranges_settled, p.ids_compared, p.missing, p.surplus, p.received, p.sent, p.frames]
            .into_iter()
            .chain([p.transfer_bytes_in, p.transfer_bytes_out])
            .chain([p.reconciliation_bytes_in, p.reconciliation_bytes_out])
            .collect::<Vec<_>>()
    };
    let all_told: Vec<_> = told.iter().map(|(_, p)| parts(p)).chain([parts(&last)]).collect();
    for w in all_told.windows(2) {
        assert!(w[0].iter().zip(&w[1]).all(|(before, after)| before <= after), "{w:?}");
    }
    let grew = told.iter().filter(|(_, p)| p.ids_compared > 0 && p.received < last.received);
    assert!(grew.count() > 0, "told of before it was over");
    // Of what is compared some had come by the end of the comparison.
    assert!((4000..=6000).contains(&last.ids_compared), "{last:?}");
    assert!(last.ranges_settled > 10, "{last:?}");
}

#[test]
fn both_sides_say_how_much_was_compared_where_all_is_equal() {
    let all = hour(&mut Random(6), 500);
    let mut world = World::pair(6, &all, &all);
    let (ours, theirs) = world.sync_to_end(0, 1, SyncOptions::default());
    for report in [ours, theirs] {
        let f = report.figures;
        assert_eq!((f.ranges_settled, f.ids_compared, f.missing), (1, 500, 0));
        assert_eq!(report.agreement, Agreement::Weak);
    }
}

#[test]
fn a_sync_can_be_given_up_at_any_moment() {
    let all = hour(&mut Random(7), 600);
    for options in [SyncOptions::default(), dry()] {
        let mut cut_at = 0;
        loop {
            let mut world = World::pair(7, &all[..400], &all[200..]);
            let session = world.sync(0, 1, options.clone());
            let start = world.steps;
            while world.steps < start + cut_at && world.nodes[0].finished.is_empty() {
                world.step();
            }
            if !world.nodes[0].finished.is_empty() {
                break;
            }
            world.call(0, |e, now| e.cancel(now, session));
            world.call(0, |e, now| e.cancel(now, session));
            world.settle();
            let report = world.nodes[0].report(session);
            assert_eq!(report.error.as_ref().unwrap().kind(), ErrorKind::Cancelled);
            assert_eq!(report.agreement, Agreement::None, "after {cut_at} steps");
            assert!(world.nodes.iter().all(|n| n.penalties.is_empty()));
            world.assert_released();
            // What was given up is no obstacle.
            let (ours, _) = world.sync_to_end(0, 1, SyncOptions::default());
            assert_eq!(ours.error, None);
            assert_eq!(world.hashes(0).len(), 600);
            cut_at += 1 + cut_at / 3;
        }
        assert!(cut_at > 2, "{cut_at}");
    }
}

#[test]
fn a_push_is_not_answered_with_messages() {
    let all = hour(&mut Random(8), 2000);
    let mut world = World::pair(8, &all[..1500], &all[500..]);
    let options = SyncOptions { direction: SyncDirection::Push, ..SyncOptions::default() };
    let (ours, theirs) = world.sync_to_end(0, 1, options);
    assert_eq!((ours.figures.sent, theirs.figures.received), (500, 500));
    assert_eq!((ours.figures.transfer_bytes_in, theirs.figures.sent), (0, 0));
    assert_eq!((ours.error, ours.agreement), (None, Agreement::None), "half was not looked at");
    let frame = transfer::encode(&all[0].pubsub_topic, &all[0].message).len() as u64 + 1;
    assert_eq!(ours.figures.transfer_bytes_out, 500 * frame);
}
