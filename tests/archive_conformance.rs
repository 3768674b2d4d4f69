//! What every backend must do, held against a plain list: each filter, direction, cursor and
//! limit, and then whatever proptest comes up with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use archive_support::*;
use bytes::Bytes;
use proptest::prelude::*;
use wakustore::ErrorKind;
use wakustore::archive::{Archive, IndexQuery, PutOutcome};
use wakustore::types::{
    Direction, Filter, MessageHash, Origin, Query, StoredMessage, SyncId, TimeRange, Timestamp,
    WakuMessage,
};

/// Three pubsub topics, four content topics, times that several messages share.
fn dataset() -> Vec<StoredMessage> {
    let mut held = Vec::new();
    for i in 0..28u32 {
        let time = 100 + i64::from(i / 4) * 10;
        // Content topic 3 is in pubsub topic 2 alone; the others are in the first two.
        let (p, c) = if i % 7 == 6 { (2, 3) } else { (i % 2, i % 3) };
        held.push(message(p, c, time, &format!("message {i}")));
    }
    held.push(message(0, 0, i64::MIN, "the first of all"));
    held.push(message(0, 0, -5, "before 1970"));
    held.push(message(1, 1, 0, "1970"));
    held
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(Timestamp(start), Timestamp(end)).unwrap()
}

fn filters(held: &[StoredMessage]) -> Vec<Filter> {
    let all = Filter::default;
    let times = [
        TimeRange::ALL,
        range(100, 101),
        range(101, 110),
        range(110, 150),
        range(120, 120),
        range(i64::MIN, 110),
        range(160, i64::MAX),
        range(5_000, 6_000),
        range(i64::MIN, i64::MIN),
    ];
    let pubsubs = [None, Some(pubsub(0)), Some(pubsub(2)), Some(pubsub(77))];
    let contents = [
        vec![],
        vec![content(1)],
        vec![content(3)],
        vec![content(77)],
        vec![content(2), content(0)],
        vec![content(3), content(77), content(3), content(1)],
    ];
    let mut filters = Vec::new();
    for time in times {
        for pubsub_topic in &pubsubs {
            for content_topics in &contents {
                filters.push(Filter {
                    pubsub_topic: pubsub_topic.clone(),
                    content_topics: content_topics.clone(),
                    time,
                    ..all()
                });
            }
        }
    }
    let hashes = |pick: &[usize]| pick.iter().map(|&i| held[i].hash).collect::<Vec<_>>();
    filters.push(Filter { hashes: hashes(&[3]), ..all() });
    filters.push(Filter { hashes: hashes(&[9, 3, 20, 3, 21, 0, 28]), ..all() });
    filters.push(Filter { hashes: vec![unknown_hash(0)], ..all() });
    filters.push(Filter { hashes: vec![unknown_hash(1), held[5].hash, held[30].hash], ..all() });
    filters
}

#[test]
fn each_filter_direction_cursor_and_limit() {
    let held = dataset();
    let mut sorted: Vec<_> = held.iter().map(StoredMessage::sync_id).collect();
    sorted.sort();
    let mut cursors = vec![None, Some(unknown_hash(9))];
    cursors.extend([0, 1, 9, 10, 11, 17, 29, 30].map(|i| Some(sorted[i].hash)));
    for opened in every_backend(&config()) {
        assert!(import(&opened.archive, held.clone()).iter().all(|o| *o == PutOutcome::Stored));
        for filter in filters(&held) {
            let mut asked = Vec::new();
            for &cursor in &cursors {
                for direction in [Direction::Forward, Direction::Backward] {
                    for (limit, include_data) in
                        [(1, true), (2, false), (5, true), (100, true), (100, false)]
                    {
                        let filter = filter.clone();
                        let query = Query { filter, cursor, direction, limit, include_data };
                        asked.push((opened.archive.query(query.clone()), query));
                    }
                }
            }
            for (pending, query) in asked {
                let answer = pending.wait().map_err(|e| e.kind());
                assert_eq!(answer, model_page(&held, &query), "{}: {query:?}", opened.name);
            }
        }
    }
}

#[test]
fn a_walk_meets_every_message_once() {
    let held = dataset();
    for opened in every_backend(&config()) {
        import(&opened.archive, held.clone());
        for filter in filters(&held) {
            for direction in [Direction::Forward, Direction::Backward] {
                let mut query =
                    Query { filter: filter.clone(), direction, limit: 3, ..Query::default() };
                let mut met: Vec<SyncId> = Vec::new();
                loop {
                    let page = opened.archive.query(query.clone()).wait().unwrap();
                    let ids = page.entries.iter().map(|e| e.sync_id().unwrap());
                    match direction {
                        Direction::Forward => met.extend(ids),
                        Direction::Backward => {
                            met.splice(0..0, ids);
                        }
                    }
                    match page.cursor {
                        Some(cursor) => query.cursor = Some(cursor),
                        None => break,
                    }
                }
                let all = Query { filter: filter.clone(), limit: 1_000, ..Query::default() };
                let all = model_page(&held, &all).unwrap().entries;
                let all: Vec<_> = all.iter().map(|e| e.sync_id().unwrap()).collect();
                assert_eq!(met, all, "{}: {direction:?} {filter:?}", opened.name);
            }
        }
    }
}

#[test]
fn the_last_nanosecond_lies_outside_of_all_time() {
    let last = message(0, 0, i64::MAX, "the last");
    let rules = wakustore::archive::Rules {
        clock_tolerance: std::time::Duration::MAX,
        check_live_age: false,
    };
    for opened in every_backend(&wakustore::archive::ArchiveConfig { rules, ..config() }) {
        import(&opened.archive, vec![last.clone(), message(0, 0, i64::MAX - 1, "the one before")]);
        let page = opened.archive.query(Query::default()).wait().unwrap();
        assert_eq!(page.entries.len(), 1, "{}", opened.name);
        let hashes = Filter { hashes: vec![last.hash], ..Filter::default() };
        let query = Query { filter: hashes, ..Query::default() };
        let page = opened.archive.query(query).wait().unwrap();
        assert_eq!(page.entries.len(), 0, "{}: TimeRange::ALL is half-open too", opened.name);
        assert_eq!(opened.archive.get(vec![last.hash]).wait().unwrap(), vec![last.clone()]);
    }
}

#[test]
fn every_field_comes_back_as_it_went_in() {
    let mut held = Vec::new();
    let bytes = |n: usize| Some(Bytes::from(vec![n as u8; n]));
    for version in [None, Some(0), Some(1), Some(u32::MAX)] {
        for meta in [None, bytes(0), bytes(64)] {
            for rate_limit_proof in [None, bytes(0), bytes(300)] {
                for ephemeral in [None, Some(false)] {
                    for payload in [0, 1, 5_000] {
                        let m = WakuMessage {
                            version,
                            meta: meta.clone(),
                            rate_limit_proof: rate_limit_proof.clone(),
                            ephemeral,
                            ..WakuMessage::new(vec![7; payload], content(0), Timestamp(0))
                        };
                        // Version, proof and ephemeral are no part of the hash: the time is.
                        let time = Some(Timestamp(held.len() as i64));
                        let m = WakuMessage { timestamp: time, ..m };
                        held.push(StoredMessage::new(pubsub(0), m));
                    }
                }
            }
        }
    }
    let odd = "/nul\0quote'/Ünïcode/😀/proto";
    let odd = wakustore::types::ContentTopic::new(odd).unwrap();
    let odd = WakuMessage::new(vec![1], odd, Timestamp(10_000));
    held.push(StoredMessage::new(pubsub(0), odd.clone()));
    let largest = WakuMessage::new(vec![9; 150 * 1024 - 100], content(1), Timestamp(10_001));
    held.push(StoredMessage::new(pubsub(0), largest));
    for opened in every_backend(&config()) {
        import(&opened.archive, held.clone());
        let hashes: Vec<_> = held.iter().map(|m| m.hash).collect();
        assert_eq!(opened.archive.get(hashes).wait().unwrap(), held, "{}", opened.name);
        for (i, m) in held.iter().enumerate().step_by(17) {
            let filter = Filter { time: range(i as i64, i as i64 + 1), ..Filter::default() };
            let page = opened.archive.query(Query { filter, ..Query::default() }).wait().unwrap();
            let data = (m.pubsub_topic.clone(), m.message.clone());
            assert_eq!(page.entries[0].data, Some(data), "{}", opened.name);
        }
        let filter =
            Filter { content_topics: vec![odd.content_topic.clone()], ..Filter::default() };
        let page = opened.archive.query(Query { filter, ..Query::default() }).wait().unwrap();
        assert_eq!(page.entries[0].data.as_ref().unwrap().1, odd, "{}", opened.name);
    }
}

#[test]
fn puts_tell_new_from_known_and_refused() {
    let (a, b, c) = (message(0, 0, 1, "a"), message(0, 0, 2, "b"), message(0, 0, 3, "c"));
    let future = message(0, 0, i64::MAX, "of the future");
    for opened in every_backend(&config()) {
        use PutOutcome::{Duplicate, Stored};
        let archive = &opened.archive;
        assert_eq!(
            import(archive, vec![a.clone(), a.clone(), b.clone()]),
            [Stored, Duplicate, Stored]
        );
        let outcomes = import(archive, vec![future.clone(), b.clone(), c.clone(), c.clone()]);
        let PutOutcome::Refused(e) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(e.kind(), ErrorKind::TimestampInFuture);
        assert_eq!(outcomes[1..], [Duplicate, Stored, Duplicate]);
        let refused = import(archive, vec![future.clone()]);
        assert!(matches!(&refused[..], [PutOutcome::Refused(_)]));
        assert_eq!(import(archive, vec![]), []);
        // The same messages again as live ones are too old, whatever the archive holds.
        let live = archive.put(vec![a.clone()], Origin::Live).wait().unwrap();
        let PutOutcome::Refused(e) = &live[0] else { panic!("{live:?}") };
        assert_eq!(e.kind(), ErrorKind::TimestampTooOld);
        let stats = archive.stats().wait().unwrap();
        assert_eq!(
            (stats.messages, stats.oldest, stats.newest),
            (3, Some(Timestamp(1)), Some(Timestamp(3))),
            "{}",
            opened.name
        );
    }
}

#[test]
fn get_and_missing_keep_the_order_asked_for() {
    let held = dataset();
    for opened in every_backend(&config()) {
        import(&opened.archive, held.clone());
        let hash = |i: usize| held[i].hash;
        let asked = vec![
            hash(7),
            unknown_hash(5),
            hash(2),
            unknown_hash(1),
            hash(7),
            unknown_hash(5),
            MessageHash::ZERO,
            hash(30),
        ];
        let got = opened.archive.get(asked.clone()).wait().unwrap();
        assert_eq!(got, [held[7].clone(), held[2].clone(), held[30].clone()], "{}", opened.name);
        let missing = opened.archive.missing(asked).wait().unwrap();
        assert_eq!(missing, [unknown_hash(5), unknown_hash(1), MessageHash::ZERO]);
        assert_eq!(opened.archive.get(vec![]).wait().unwrap(), []);
        assert_eq!(opened.archive.missing(vec![]).wait().unwrap(), []);
    }
}

#[test]
fn the_index_is_walked_in_steps() {
    let held = dataset();
    for opened in every_backend(&config()) {
        import(&opened.archive, held.clone());
        for filter in filters(&held).into_iter().filter(|f| f.hashes.is_empty()) {
            for pubsub_topics in
                [filter.pubsub_topic.clone().into_iter().collect(), vec![pubsub(1), pubsub(2)]]
            {
                let mut query = IndexQuery {
                    time: filter.time,
                    pubsub_topics,
                    content_topics: filter.content_topics.clone(),
                    after: None,
                    limit: 4,
                };
                loop {
                    let step = opened.archive.index(query.clone()).wait().unwrap();
                    assert_eq!(step, model_index(&held, &query), "{}: {query:?}", opened.name);
                    if step.len() < query.limit {
                        break;
                    }
                    query.after = step.last().map(|e| e.id);
                }
                // A place that no message has.
                let nowhere = SyncId::new(Timestamp(115), MessageHash([3; 32]));
                let query = IndexQuery { after: Some(nowhere), limit: 1_000, ..query };
                let step = opened.archive.index(query.clone()).wait().unwrap();
                assert_eq!(step, model_index(&held, &query), "{}: {query:?}", opened.name);
            }
        }
    }
}

/// So many pairs of topics (5,490 of them) that the driver filters instead of merging.
#[test]
fn very_many_topics_at_once() {
    let held: Vec<_> = (0..6_000u32)
        .map(|i| message(i % 61, i % 97, i64::from(i * 7 % 1_000), &i.to_string()))
        .collect();
    for opened in every_backend(&config()) {
        import(&opened.archive, held.clone());
        for (contents, pubsubs) in [(90, 0), (90, 55), (40, 0), (90, 3), (0, 60), (1, 1)] {
            let query = IndexQuery {
                time: range(3, 990),
                pubsub_topics: (0..pubsubs).map(pubsub).collect(),
                content_topics: (0..contents).map(content).collect(),
                after: None,
                limit: 1_700,
            };
            let step = opened.archive.index(query.clone()).wait().unwrap();
            assert!(step == model_index(&held, &query), "{}: {contents} {pubsubs}", opened.name);
        }
        for direction in [Direction::Forward, Direction::Backward] {
            let filter = Filter {
                content_topics: (0..90).map(content).collect(),
                time: range(3, 990),
                ..Filter::default()
            };
            let query = Query { filter, direction, limit: 100, ..Query::default() };
            let page = opened.archive.query(query.clone()).wait();
            assert!(page.is_ok_and(|page| Ok(page) == model_page(&held, &query)));
        }
    }
}

#[test]
fn a_hundred_thousand_at_once() {
    let held = many(100_000, 16);
    for opened in every_backend(&config()) {
        let outcomes = import(&opened.archive, held.clone());
        assert!(outcomes.iter().all(|o| *o == PutOutcome::Stored), "{}", opened.name);
        let mut asked: Vec<_> = held.iter().map(|m| m.hash).collect();
        asked.insert(50_000, unknown_hash(1));
        asked.push(unknown_hash(2));
        let missing = opened.archive.missing(asked.clone()).wait().unwrap();
        assert_eq!(missing, [unknown_hash(1), unknown_hash(2)], "{}", opened.name);
        assert!(opened.archive.get(asked).wait().unwrap() == held, "{}", opened.name);
        assert_eq!(opened.archive.stats().wait().unwrap().messages, 100_000);
    }
}

#[test]
fn bad_questions_are_refused() {
    for opened in every_backend(&config()) {
        let archive = &opened.archive;
        let ask = |query: Query| archive.query(query).wait().unwrap_err().kind();
        for limit in [0, 101, 1_000_000] {
            assert_eq!(ask(Query { limit, ..Query::default() }), ErrorKind::InvalidArgument);
        }
        for cursor in [MessageHash::ZERO, unknown_hash(0)] {
            let query = Query { cursor: Some(cursor), ..Query::default() };
            assert_eq!(ask(query), ErrorKind::CursorNotFound, "{}", opened.name);
        }
        let step = IndexQuery {
            time: TimeRange::ALL,
            pubsub_topics: vec![],
            content_topics: vec![],
            after: None,
            limit: 0,
        };
        let e = archive.index(step).wait().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
        let large = WakuMessage::new(vec![0; 150 * 1024], content(0), Timestamp(1));
        let meta = WakuMessage {
            meta: Some(vec![0; 65].into()),
            ..WakuMessage::new(vec![], content(0), Timestamp(1))
        };
        let outcomes = import(
            archive,
            vec![StoredMessage::new(pubsub(0), large), StoredMessage::new(pubsub(0), meta)],
        );
        let kinds: Vec<_> = outcomes
            .iter()
            .map(|o| match o {
                PutOutcome::Refused(e) => Some(e.kind()),
                _ => None,
            })
            .collect();
        assert_eq!(kinds, [Some(ErrorKind::MessageTooLarge), Some(ErrorKind::MetaTooLarge)]);
        assert_eq!(archive.stats().wait().unwrap().messages, 0, "{}", opened.name);
    }
}

/// What proptest does to an archive.
#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(u32, u32, i64, u8)>),
    Query { filter: (Option<u32>, Vec<u32>, Option<(i64, i64)>), page: (bool, usize, Option<u8>) },
    Hashes { pick: Vec<u8>, page: (bool, usize, Option<u8>) },
    Index { pubsubs: Vec<u32>, contents: Vec<u32>, after: Option<u8>, limit: usize },
    Missing(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let page = || (any::<bool>(), 1usize..12, proptest::option::of(any::<u8>()));
    let time = || proptest::option::of((0i64..14, 0i64..6));
    let some = |max| proptest::collection::vec(0..max, 0..4);
    proptest::collection::vec(
        prop_oneof![
            3 => proptest::collection::vec((0u32..3, 0u32..4, 0i64..12, any::<u8>()), 1..20)
                .prop_map(Step::Put),
            6 => ((proptest::option::of(0u32..4), some(5u32), time()), page())
                .prop_map(|(filter, page)| Step::Query { filter, page }),
            2 => (proptest::collection::vec(any::<u8>(), 1..9), page())
                .prop_map(|(pick, page)| Step::Hashes { pick, page }),
            2 => (some(4u32), some(5u32), proptest::option::of(any::<u8>()), 1usize..20)
                .prop_map(|(pubsubs, contents, after, limit)| Step::Index {
                    pubsubs, contents, after, limit
                }),
            1 => proptest::collection::vec(any::<u8>(), 0..9).prop_map(Step::Missing),
        ],
        1..40,
    )
}

/// The hash of some message that is held, or of none.
fn pick(held: &[StoredMessage], i: u8) -> MessageHash {
    held.get(usize::from(i) % (held.len() + 2)).map_or(unknown_hash(i), |m| m.hash)
}

fn run(archive: &Archive, held: &mut Vec<StoredMessage>, step: &Step) {
    let ask = |held: &[StoredMessage], filter: Filter, page: &(bool, usize, Option<u8>)| {
        let query = Query {
            filter,
            cursor: page.2.map(|i| pick(held, i)),
            direction: if page.0 { Direction::Forward } else { Direction::Backward },
            limit: page.1,
            include_data: !page.1.is_multiple_of(3),
        };
        let answer = archive.query(query.clone()).wait().map_err(|e| e.kind());
        assert_eq!(answer, model_page(held, &query), "{query:?}");
    };
    match step {
        Step::Put(messages) => {
            let batch: Vec<_> = messages
                .iter()
                .map(|(p, c, time, payload)| message(*p, *c, *time, &(payload % 8).to_string()))
                .collect();
            let mut want = Vec::new();
            for m in &batch {
                let known = held.iter().any(|h| h.hash == m.hash);
                want.push(if known { PutOutcome::Duplicate } else { PutOutcome::Stored });
                if !known {
                    held.push(m.clone());
                }
            }
            assert_eq!(import(archive, batch), want);
        }
        Step::Query { filter: (pubsub_topic, contents, time), page } => {
            let filter = Filter {
                pubsub_topic: pubsub_topic.map(pubsub),
                content_topics: contents.iter().copied().map(content).collect(),
                time: time.map_or(TimeRange::ALL, |(start, len)| range(start, start + len)),
                hashes: vec![],
            };
            ask(held, filter, page);
        }
        Step::Hashes { pick: picks, page } => {
            let hashes = picks.iter().map(|&i| pick(held, i)).collect();
            ask(held, Filter { hashes, ..Filter::default() }, page);
        }
        Step::Index { pubsubs, contents, after, limit } => {
            let query = IndexQuery {
                time: range(1, 10),
                pubsub_topics: pubsubs.iter().copied().map(pubsub).collect(),
                content_topics: contents.iter().copied().map(content).collect(),
                after: after.and_then(|i| held.get(usize::from(i))).map(StoredMessage::sync_id),
                limit: *limit,
            };
            let step = archive.index(query.clone()).wait().unwrap();
            assert_eq!(step, model_index(held, &query), "{query:?}");
        }
        Step::Missing(picks) => {
            let asked: Vec<_> = picks.iter().map(|&i| pick(held, i)).collect();
            let mut want = Vec::new();
            for hash in &asked {
                if !held.iter().any(|m| m.hash == *hash) && !want.contains(hash) {
                    want.push(*hash);
                }
            }
            assert_eq!(archive.missing(asked).wait().unwrap(), want);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_history_reads_as_the_model(steps in steps()) {
        for opened in every_backend(&config()) {
            let mut held = Vec::new();
            for step in &steps {
                run(&opened.archive, &mut held, step);
            }
        }
    }
}
