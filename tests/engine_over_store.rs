//! Sync with a peer that has Store v3 alone: the same result by queries, whatever the peer does.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use std::collections::BTreeSet;
use std::time::Duration;

use sim::solo::{BAD, Solo};
use sim::store::{deployed, store_only};
use sim::{Random, START, World, content, hour, key, message, quiet, shard, with};
use wakustore::ErrorKind;
use wakustore::engine::{
    Agreement, EngineConfig, PeerInfo, SyncDirection, SyncOptions, SyncProtocol, SyncReport,
};
use wakustore::types::{Entry, MessageHash, Origin, Page, StoredMessage, TimeRange, Timestamp};
use wakustore::wire::reconciliation::Scope;

/// Node 0 holds the first, node 1 the second and has Store alone.
fn world(ours: &[StoredMessage], theirs: &[StoredMessage]) -> World {
    world_with(quiet(), ours, theirs)
}

fn world_with(config: EngineConfig, ours: &[StoredMessage], theirs: &[StoredMessage]) -> World {
    let mut world = World::new(7);
    world.add(config, ours);
    world.add(quiet(), theirs);
    world.with_store_peer()
}

fn run(world: &mut World, options: SyncOptions) -> SyncReport {
    let session = world.sync(0, 1, options);
    world.settle();
    world.nodes[0].report(session).clone()
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp(START.nanos() - seconds * 1_000_000_000)
}

fn last(seconds: i64) -> SyncOptions {
    let window = Some(TimeRange::new(ago(seconds), START).unwrap());
    SyncOptions { window, ..SyncOptions::default() }
}

/// A page of hashes that nobody ever sent.
fn invented(random: &mut Random, count: usize, more: bool) -> Page {
    let mut hash = || {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|c| c.copy_from_slice(&random.next().to_be_bytes()));
        MessageHash(bytes)
    };
    let entries: Vec<_> = (0..count).map(|_| Entry { hash: hash(), data: None }).collect();
    let cursor = entries.last().filter(|_| more).map(|e| e.hash);
    Page { entries, cursor }
}

#[test]
fn what_the_peer_has_comes_and_what_is_held_is_not_fetched() {
    let mut random = Random(1);
    let (common, theirs, ours) =
        (hour(&mut random, 700), hour(&mut random, 1_500), hour(&mut random, 30));
    let mut w = world(&[common.clone(), ours].concat(), &[common, theirs].concat());
    let before = w.hashes(0).len();
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error, None);
    assert_eq!((report.protocol, report.agreement), (SyncProtocol::Store, Agreement::Weak));
    assert_eq!((report.figures.received, report.figures.missing), (1_500, 1_500));
    assert_eq!((report.figures.dropped, report.outstanding), (0, 0));
    assert_eq!(report.figures.ids_compared, 2_200);
    assert!(report.figures.ranges_settled >= 3 && report.figures.frames > 40);
    assert_eq!(w.hashes(0).len(), before + 1_500);
    let fetched: usize = w.nodes[1].store.asked.iter().map(|q| q.filter.hashes.len()).sum();
    assert_eq!(fetched, 1_500, "each once");
    assert!(w.nodes[0].lookups.len() < 8, "pages are looked up together: {:?}", w.nodes[0].lookups);
    assert!(w.nodes[0].origins.iter().all(|o| *o == Origin::Sync));
    w.assert_released();
}

#[test]
fn a_first_start_has_everything_of_the_window_and_nothing_else() {
    let theirs: Vec<_> = (0..300).map(|n| message(n, 30.0 + n as f64 * 20.0)).collect();
    let mut w = world(&[], &theirs);
    let report = run(&mut w, SyncOptions::default());
    let within = theirs.iter().filter(|m| report.window.contains(m.timestamp())).count();
    assert_eq!((report.error, report.figures.received), (None, within as u64));
    assert!(within > 100 && within < 300);
    assert_eq!(w.hashes(0).len(), within);
}

#[test]
fn an_hour_off_is_filled_and_a_second_sync_fetches_nothing() {
    let mut random = Random(2);
    let theirs = hour(&mut random, 500);
    let held: Vec<_> = theirs.iter().filter(|m| m.timestamp() < ago(1800)).cloned().collect();
    let mut w = world(&held, &theirs);
    assert_eq!(run(&mut w, SyncOptions::default()).figures.received, 500 - held.len() as u64);
    w.nodes[1].store.asked.clear();
    let again = run(&mut w, SyncOptions::default());
    assert_eq!((again.figures.missing, again.agreement), (0, Agreement::Weak));
    assert!(w.nodes[1].store.asked.iter().all(|q| !q.include_data));
}

#[test]
fn a_day_is_walked_newest_first_in_slices() {
    let theirs: Vec<_> = (0..2_000).map(|n| message(n, 30.0 + n as f64 * 43.0)).collect();
    let mut w = world(&[], &theirs);
    let report = run(&mut w, last(24 * 3600));
    assert_eq!((report.error, report.figures.received), (None, 2_000));
    let times: Vec<_> =
        w.nodes[1].store.asked.iter().filter(|q| !q.include_data).map(|q| q.filter.time).collect();
    assert!(times.windows(2).all(|w| w[1] == w[0] || w[1].end() == w[0].start()));
    assert!(times.len() < 100, "{} pages for 2,000 ids", times.len());
}

#[test]
fn only_what_is_in_scope_is_asked_for_ten_content_topics_at_a_time() {
    let name = |n: u64| content(&format!("t{n}"));
    let theirs: Vec<_> = (0..400)
        .map(|n| with(n, 60.0 + n as f64, shard((n % 3) as u32), name(n % 40), 40))
        .collect();
    let scope = Scope {
        pubsub_topics: vec![shard(0), shard(1)],
        content_topics: (0..25).map(name).collect(),
    };
    let mut w = world_with(EngineConfig { scope, ..quiet() }, &[], &theirs);
    let report = run(&mut w, SyncOptions::default());
    let wanted = (0..400u64).filter(|n| n % 3 < 2 && n % 40 < 25).count();
    assert_eq!((report.error, report.figures.received), (None, wanted as u64));
    assert_eq!(report.figures.dropped, 0);
    for query in w.nodes[1].store.asked.iter().filter(|q| !q.include_data) {
        assert!(query.filter.pubsub_topic.is_some() && !query.filter.content_topics.is_empty());
        assert!(query.filter.content_topics.len() <= 10);
    }
}

#[test]
fn a_scope_of_all_names_no_topics() {
    let mut w = world(&[], &[message(1, 60.0)]);
    run(&mut w, SyncOptions::default());
    let asked = &w.nodes[1].store.asked;
    assert!(asked.iter().all(|q| q.filter.pubsub_topic.is_none()));
    assert!(asked.iter().all(|q| q.filter.content_topics.is_empty()));
}

#[test]
fn a_peer_that_takes_no_half_filter_is_asked_without_and_the_rest_is_left_out() {
    let theirs: Vec<_> = (0..900)
        .map(|n| with(n, 60.0 + n as f64, shard((n % 3) as u32), content("a"), 40))
        .collect();
    let scope = Scope { pubsub_topics: vec![shard(1)], ..Scope::default() };
    let mut w = world_with(EngineConfig { scope, ..quiet() }, &[], &theirs);
    w.nodes[1].store.faults.push_back(Some(ErrorKind::StoreBadRequest));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!((report.error.clone(), report.agreement), (None, Agreement::Weak), "{report:?}");
    assert_eq!((report.figures.received, report.figures.missing), (300, 300));
    assert_eq!(report.figures.dropped, 600);
}

#[test]
fn nothing_can_be_pushed() {
    let mut w = world(&[], &[]);
    let options = SyncOptions { direction: SyncDirection::Push, ..SyncOptions::default() };
    let error = w.call(0, |e, now| e.sync(now, key(1), options)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProtocolUnsupported);
}

#[test]
fn a_dry_run_names_what_is_missing_and_stores_nothing() {
    let mut random = Random(3);
    let (common, theirs) = (hour(&mut random, 300), hour(&mut random, 120));
    let mut w = world(&common, &[common.clone(), theirs.clone()].concat());
    let report = run(&mut w, SyncOptions { dry_run: true, ..SyncOptions::default() });
    assert_eq!((report.error, report.agreement), (None, Agreement::None));
    let told: BTreeSet<_> = report.difference.unwrap().missing.into_iter().collect();
    assert_eq!(told, theirs.iter().map(StoredMessage::sync_id).collect());
    assert_eq!((w.hashes(0).len(), w.nodes[0].stores.len()), (300, 0));
    w.nodes[0].fill(&theirs);
    let report = run(&mut w, SyncOptions { dry_run: true, ..SyncOptions::default() });
    assert_eq!((report.agreement, report.difference), (Agreement::Weak, Some(Default::default())));
}

#[test]
fn a_busy_peer_is_asked_again_and_not_for_ever() {
    let theirs = hour(&mut Random(4), 400);
    let mut w = world(&[], &theirs);
    let busy = [
        Some(ErrorKind::StoreTooManyRequests),
        None,
        Some(ErrorKind::StoreUnavailable),
        Some(ErrorKind::StoreTooManyRequests),
        None,
        None,
        Some(ErrorKind::Busy),
    ];
    w.nodes[1].store.faults.extend(busy);
    let began = w.elapsed;
    let report = run(&mut w, SyncOptions::default());
    assert_eq!((report.error, report.figures.received), (None, 400));
    assert!(w.elapsed - began >= Duration::from_secs(2), "it waited in between");
    assert!(w.nodes[0].penalties.is_empty());

    w.nodes[1].store.faults.extend([Some(ErrorKind::StoreTooManyRequests); 100]);
    w.nodes[1].store.asked.clear();
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::StoreTooManyRequests);
    assert!(w.nodes[1].store.asked.len() < 12, "{}", w.nodes[1].store.asked.len());
    assert_eq!(report.agreement, Agreement::None);
    w.nodes[1].store.faults.clear();
    w.assert_released();
}

#[test]
fn a_lost_cursor_does_not_stop_it_and_loses_nothing() {
    let theirs = hour(&mut Random(5), 2_000);
    let mut w = world(&[], &theirs);
    let mut pages = 0;
    w.nodes[1].store.lie = Some(Box::new(move |query, page| {
        pages += u32::from(query.cursor.is_some());
        let lost = query.cursor.is_some() && pages % 5 == 0 && pages < 40;
        match lost {
            true => Err(wakustore::Error::new(ErrorKind::CursorNotFound, "cursor not found")),
            false => page,
        }
    }));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!((report.error, report.figures.received), (None, 2_000));
    assert_eq!(report.figures.missing, 2_000, "none is counted twice");
    assert_eq!(report.figures.dropped, 0, "none is fetched twice");
}

#[test]
fn a_peer_that_loses_every_cursor_is_given_up() {
    let theirs: Vec<_> = (0..5_000).map(|n| message(n, 60.0 + n as f64 / 10_000.0)).collect();
    let mut w = world(&[], &theirs);
    w.nodes[1].store.lie = Some(Box::new(|query, page| match query.cursor {
        Some(_) => Err(wakustore::Error::new(ErrorKind::CursorNotFound, "cursor not found")),
        None => page,
    }));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::CursorNotFound);
    assert!(w.nodes[1].store.asked.len() < 100);
    w.assert_released();
}

#[test]
fn retention_at_the_peer_leaves_a_few_out_and_says_so() {
    let theirs = hour(&mut Random(6), 300);
    let mut w = world(&[], &theirs);
    let gone: Vec<_> = theirs.iter().take(20).map(|m| m.hash).collect();
    w.nodes[1].store.lie = Some(Box::new(move |query, page| {
        let mut page = page?;
        if query.include_data {
            page.entries.retain(|e| !gone.contains(&e.hash));
        }
        Ok(page)
    }));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!((report.error, report.figures.received), (None, 280));
    assert_eq!((report.outstanding, report.agreement), (20, Agreement::None));
}

#[test]
fn pages_that_are_cut_short_are_asked_for_again() {
    let theirs = hour(&mut Random(8), 300);
    let mut w = world(&[], &theirs);
    w.nodes[1].store.lie = Some(Box::new(|query, page| {
        let mut page = page?;
        if query.include_data && page.entries.len() > 30 {
            page.entries.truncate(30);
            page.cursor = page.entries.last().map(|e| e.hash);
        }
        Ok(page)
    }));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!((report.error, report.figures.received), (None, 300));
}

#[test]
fn hashes_that_the_peer_does_not_have_are_bounded() {
    let mut w = world(&[], &[]);
    let mut random = Random(9);
    w.nodes[1].store.lie = Some(Box::new(move |query, page| match query.include_data {
        true => page,
        false => Ok(invented(&mut random, 100, true)),
    }));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::StoreBadResponse);
    assert!(w.nodes[1].store.asked.len() < 200, "{}", w.nodes[1].store.asked.len());
    assert_eq!((w.hashes(0).len(), report.figures.received), (0, 0));
    w.assert_released();
}

#[test]
fn endless_pages_of_what_is_held_are_bounded() {
    let held = hour(&mut Random(10), 1_000);
    let config = EngineConfig { max_messages: 2_000, ..quiet() };
    let mut w = world_with(config, &held, &held);
    let mut random = Random(11);
    let hashes: Vec<_> = held.iter().map(|m| m.hash).collect();
    w.nodes[1].store.lie = Some(Box::new(move |_, _| {
        // The same few for ever, each time under a cursor that was never there before.
        let mut page = invented(&mut random, 1, true);
        let entry = |hash: &MessageHash| Entry { hash: *hash, data: None };
        page.entries = hashes.iter().take(90).map(entry).collect();
        Ok(page)
    }));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::InvalidArgument);
    assert!(w.nodes[1].store.asked.len() <= 2_000 * 4 / 90 + 2);
    w.assert_released();
}

#[test]
fn circular_cursors_end_it() {
    let theirs = hour(&mut Random(12), 1_000);
    let mut w = world(&[], &theirs);
    let first: Vec<_> =
        theirs.iter().take(50).map(|m| Entry { hash: m.hash, data: None }).collect();
    w.nodes[1].store.lie = Some(Box::new(move |query, page| match query.include_data {
        true => page,
        false => {
            let at = usize::from(query.cursor == Some(first[9].hash));
            let entries = first[at * 10..at * 10 + 10].to_vec();
            Ok(Page { cursor: Some(entries[9].hash), entries })
        }
    }));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::StoreBadResponse);
    assert!(w.nodes[1].store.asked.len() < 20);
    w.assert_released();
}

#[test]
fn a_message_that_is_not_the_one_listed_is_not_stored_and_costs_the_peer() {
    // A host that hands on what it was told, unchecked: the engine checks for itself.
    let (listed, forged) = (message(1, 100.0), message(2, 100.0));
    let mut solo = Solo::new(quiet(), &[]);
    solo.call(|e, now| e.peer_connected(now, key(7), store_only()));
    let session = solo.begin();
    let data = Some((forged.pubsub_topic.clone(), forged.message.clone()));
    solo.answer_store(|query| {
        let data = data.clone().filter(|_| query.include_data);
        let listed = Entry { hash: listed.hash, data };
        let of_interest = query.include_data || query.filter.time.contains(ago(100));
        Ok(Page { entries: of_interest.then_some(listed).into_iter().collect(), cursor: None })
    });
    assert_eq!(solo.error(session).kind(), ErrorKind::StoreBadResponse);
    assert_eq!(solo.node.penalties, BAD);
    assert!(solo.node.hashes().is_empty());
}

#[test]
fn messages_of_another_time_or_scope_are_not_stored() {
    // Real messages, listed under a filter that they do not match.
    let mut random = Random(14);
    let old: Vec<_> = (0..600).map(|n| message(n, 40_000.0 + n as f64)).collect();
    let good = hour(&mut random, 5);
    let mut w = world(&[], &[old.clone(), good].concat());
    let listed: Vec<_> = old.iter().map(|m| m.hash).collect();
    let mut at = 0;
    w.nodes[1].store.lie = Some(Box::new(move |query, page| match query.include_data {
        true => page,
        false => {
            let entry = |hash: &MessageHash| Entry { hash: *hash, data: None };
            let entries: Vec<_> = listed.iter().skip(at).take(100).map(entry).collect();
            at += 100;
            let cursor = entries.last().map(|e| e.hash);
            Ok(Page { entries, cursor })
        }
    }));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::StoreBadResponse);
    assert_eq!((w.hashes(0).len(), report.figures.received), (0, 0));
    w.assert_released();
}

#[test]
fn garbage_costs_the_peer_and_a_refusal_does_not() {
    for (kind, costs) in [
        (ErrorKind::Malformed, true),
        (ErrorKind::Truncated, true),
        (ErrorKind::FrameTooLarge, true),
        (ErrorKind::StoreBadResponse, false),
        (ErrorKind::ProtocolUnsupported, false),
        (ErrorKind::TimedOut, false),
    ] {
        let mut w = world(&[], &hour(&mut Random(15), 250));
        w.nodes[1].store.faults.extend([None, None, Some(kind)]);
        let report = run(&mut w, SyncOptions::default());
        assert_eq!(report.error.unwrap().kind(), kind);
        assert_eq!(!w.nodes[0].penalties.is_empty(), costs, "{kind:?}");
        w.assert_released();
    }
}

#[test]
fn a_silent_peer_ends_in_time() {
    let mut w = world(&[], &[]);
    w.nodes[1].store.silent = true;
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::TimedOut);
    assert_eq!(report.duration, quiet().idle_timeout);
    w.assert_released();
}

#[test]
fn quotas_of_messages_and_bytes_hold() {
    let theirs = hour(&mut Random(16), 1_000);
    let mut w = world_with(EngineConfig { max_messages: 500, ..quiet() }, &[], &theirs);
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::InvalidArgument);
    assert!(report.figures.received <= 500);
    let mut w = world_with(EngineConfig { max_bytes: 20_000, ..quiet() }, &[], &theirs);
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::InvalidArgument);
    assert!(report.figures.received > 50 && report.figures.received < 500);
    w.assert_released();
}

#[test]
fn what_waits_for_the_archive_is_bounded() {
    let big: Vec<_> =
        (0..400).map(|n| with(n, 60.0 + n as f64, shard(0), content("a"), 20_000)).collect();
    let config = EngineConfig { max_in_flight: 500_000, ..quiet() };
    let mut w = world_with(config, &[], &big);
    w.nodes[0].archive_delay = Duration::from_millis(500);
    let session = w.sync(0, 1, SyncOptions::default());
    let mut most = 0;
    while !w.nodes[0].finished.iter().any(|(id, _)| *id == session) {
        w.step();
        most = most.max(w.nodes[0].engine.usage().waiting_bytes);
    }
    assert_eq!(w.nodes[0].report(session).figures.received, 400);
    // The first answer alone comes before the size of messages is known.
    assert!(most < 3_000_000, "{most} bytes waited");
    let asked = &w.nodes[1].store.asked;
    let later: Vec<_> = asked.iter().filter(|q| q.include_data).skip(4).collect();
    assert!(!later.is_empty() && later.iter().all(|q| q.filter.hashes.len() <= 12));
}

#[test]
fn a_busy_archive_is_asked_again_and_a_broken_one_ends_it() {
    let theirs = hour(&mut Random(17), 300);
    let mut w = world(&[], &theirs);
    w.nodes[0].missing_faults.extend([Some(ErrorKind::Busy), Some(ErrorKind::Busy)]);
    w.nodes[0].store_faults.extend([Some(ErrorKind::Busy)]);
    let report = run(&mut w, SyncOptions::default());
    assert_eq!((report.error, report.figures.received), (None, 300));
    let mut w = world(&[], &theirs);
    w.nodes[0].missing_faults.push_back(Some(ErrorKind::ArchiveIo));
    assert_eq!(run(&mut w, SyncOptions::default()).error.unwrap().kind(), ErrorKind::ArchiveIo);
    let mut w = world(&[], &theirs);
    w.nodes[0].missing_faults.extend([Some(ErrorKind::Busy); 1000]);
    assert_eq!(run(&mut w, SyncOptions::default()).error.unwrap().kind(), ErrorKind::Busy);
    let mut w = world(&[], &theirs);
    w.nodes[0].store_faults.push_back(Some(ErrorKind::DiskFull));
    let report = run(&mut w, SyncOptions::default());
    assert_eq!(report.error.unwrap().kind(), ErrorKind::DiskFull);
    assert_eq!(report.agreement, Agreement::None);
    w.assert_released();
}

#[test]
fn cut_or_cancelled_at_each_step_it_ends_once_and_the_next_one_finishes() {
    let theirs = hour(&mut Random(18), 350);
    let steps = {
        let mut w = world(&[], &theirs);
        let began = w.steps;
        run(&mut w, SyncOptions::default());
        w.steps - began
    };
    assert!(steps > 20, "{steps}");
    for at in 0..steps {
        for cancel in [false, true] {
            let mut w = world(&[], &theirs);
            let session = w.sync(0, 1, SyncOptions::default());
            for _ in 0..at {
                w.step();
            }
            match cancel {
                true => w.call(0, |e, now| e.cancel(now, session)),
                false => w.cut(0, 1),
            }
            w.settle();
            let report = w.nodes[0].report(session).clone();
            assert_eq!(report.figures.received, w.hashes(0).len() as u64);
            let complete = report.figures.received == 350;
            assert!(report.error.is_some() || complete, "step {at}");
            if !cancel {
                w.connect_as(0, 1, store_only(), PeerInfo::default());
            }
            let again = run(&mut w, SyncOptions::default());
            assert_eq!((again.error, w.hashes(0).len()), (None, 350), "step {at}");
        }
    }
}

#[test]
fn of_a_long_window_with_a_deployed_peer_the_old_part_goes_over_store() {
    let mut random = Random(19);
    let recent = hour(&mut random, 200);
    let old: Vec<_> = (0..150).map(|n| message(5_000 + n, 4_000.0 + n as f64 * 60.0)).collect();
    let ours: Vec<_> = (0..40).map(|n| message(9_000 + n, 5_000.0 + n as f64 * 60.0)).collect();
    let mut w = World::new(3);
    w.add(quiet(), &ours);
    w.add(quiet(), &[recent, old].concat());
    w.settle();
    w.connect_as(0, 1, deployed(), PeerInfo::reconciling());
    let report = run(&mut w, last(6 * 3600));
    assert_eq!((report.error.clone(), report.outstanding), (None, 0));
    assert_eq!((report.protocol, report.figures.received), (SyncProtocol::V1, 350));
    assert_eq!(report.window, last(6 * 3600).window.unwrap());
    assert_eq!(w.nodes[0].finished.len(), 1, "one session, one report");
    assert_eq!(report.figures.sent, 0, "what the peer has pruned is not pushed to it");
    assert!(
        w.nodes[1].store.asked.iter().all(|q| q.include_data || q.filter.time.end() <= ago(3599))
    );
    w.assert_released();
}

#[test]
fn a_window_wholly_older_than_the_peers_index_goes_over_store_alone() {
    let old: Vec<_> = (0..150).map(|n| message(n, 8_000.0 + n as f64 * 10.0)).collect();
    let mut w = World::new(3);
    w.add(quiet(), &[]);
    w.add(quiet(), &old);
    w.settle();
    w.connect_as(0, 1, deployed(), PeerInfo::reconciling());
    let window = Some(TimeRange::new(ago(10_000), ago(7_200)).unwrap());
    let report = run(&mut w, SyncOptions { window, ..SyncOptions::default() });
    assert_eq!((report.error, report.figures.received), (None, 150));
    assert_eq!((report.protocol, report.agreement), (SyncProtocol::Store, Agreement::Weak));
    assert!(w.nodes[1].finished.is_empty(), "no reconciliation was begun");
}

#[test]
fn topics_that_we_do_not_take_bar_nothing() {
    let theirs = hour(&mut Random(20), 30);
    let odd = theirs[3].hash;
    let mut solo = Solo::new(quiet(), &[]);
    solo.call(|e, now| e.peer_connected(now, key(7), store_only()));
    let session = solo.begin();
    solo.answer_store(|query| {
        let matches = |m: &&StoredMessage| match query.include_data {
            true => query.filter.hashes.contains(&m.hash),
            false => query.filter.time.contains(m.timestamp()),
        };
        let data = |m: &StoredMessage| (m.pubsub_topic.clone(), m.message.clone());
        let entry = |m: &StoredMessage| Entry {
            hash: m.hash,
            data: (query.include_data && m.hash != odd).then(|| data(m)),
        };
        Ok(Page { entries: theirs.iter().filter(matches).map(entry).collect(), cursor: None })
    });
    let report = solo.report(session);
    assert_eq!((report.error.clone(), report.figures.received), (None, 29));
    assert_eq!((report.outstanding, report.agreement), (1, Agreement::None));
}
