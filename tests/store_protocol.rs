//! The Store protocol from a query to a page: what the client writes the server reads, what the
//! server answers the client checks, and whatever else may come on the wire has its answer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use wakustore::store::client::{self, MAX_RESPONSE};
use wakustore::store::server::{self, Asked, Step};
use wakustore::store::walk::Walk;
use wakustore::types::*;
use wakustore::wire::store::{KeyValue, Request, Response};
use wakustore::{Error, ErrorKind, archive};

const ID: &str = "id-1";

fn pubsub(shard: u32) -> PubsubTopic {
    PubsubTopic::of_shard(1, shard)
}

fn content(name: &str) -> ContentTopic {
    ContentTopic::new(format!("/app/1/{name}/proto")).unwrap()
}

fn stored(t: i64, payload: impl Into<Bytes>) -> StoredMessage {
    StoredMessage::new(pubsub(0), WakuMessage::new(payload, content("a"), Timestamp(t)))
}

fn entry(m: &StoredMessage) -> Entry {
    Entry { hash: m.hash, data: Some((m.pubsub_topic.clone(), m.message.clone())) }
}

fn page_of(messages: &[StoredMessage]) -> Page {
    Page { entries: messages.iter().map(entry).collect(), cursor: None }
}

/// An archive as small as can be: sorted messages.
struct Model(Vec<StoredMessage>);

impl Model {
    /// `count` messages, three of each timestamp.
    fn new(count: usize) -> Self {
        let mut all: Vec<_> =
            (0..count).map(|i| stored(1000 + i as i64 / 3, format!("message {i}"))).collect();
        all.sort_by_key(StoredMessage::sync_id);
        Model(all)
    }

    fn query(&self, query: &Query) -> wakustore::Result<Page> {
        let at = |hash| self.0.iter().position(|m| m.hash == hash);
        let at = match query.cursor {
            None => None,
            Some(hash) => Some(at(hash).ok_or_else(|| {
                Error::new(ErrorKind::CursorNotFound, "the archive does not hold it")
            })?),
        };
        let mut found: Vec<&StoredMessage> = match (query.direction, at) {
            (Direction::Forward, at) => self.0[at.map_or(0, |at| at + 1)..].iter().collect(),
            (Direction::Backward, at) => {
                self.0[..at.unwrap_or(self.0.len())].iter().rev().collect()
            }
        };
        found.retain(|m| query.filter.time.contains(m.timestamp()));
        found.retain(|m| query.filter.hashes.is_empty() || query.filter.hashes.contains(&m.hash));
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let cursor = found.last().filter(|_| more).map(|m| m.hash);
        if query.direction == Direction::Backward {
            found.reverse();
        }
        Ok(Page { entries: found.into_iter().map(entry).collect(), cursor })
    }
}

fn asked(frame: &[u8]) -> (Query, Asked) {
    match server::begin(frame) {
        Step::Query(query, asked) => (query, asked),
        Step::Reply(bytes) => panic!("{:?}", Response::decode(&bytes)),
    }
}

fn refused(frame: &[u8]) -> Response {
    match server::begin(frame) {
        Step::Reply(bytes) => Response::decode(&bytes).unwrap(),
        Step::Query(query, _) => panic!("{query:?}"),
    }
}

fn query_of(request: &Request) -> Query {
    asked(&request.encode()).0
}

/// There and back.
fn ask(query: &Query, model: &Model) -> wakustore::Result<Page> {
    let (read, asked) = asked(&client::encode(ID, query)?);
    assert_eq!(read, *query);
    client::decode(ID, query, &asked.answer(model.query(&read)))
}

fn request() -> Request {
    Request { request_id: ID.into(), ..Request::default() }
}

fn kind<T: std::fmt::Debug>(result: wakustore::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

// --- queries, there and back ---

#[test]
fn every_part_of_a_query_arrives() {
    let time = TimeRange::new(Timestamp(-5), Timestamp(i64::MAX - 1)).unwrap();
    let filter = Filter {
        pubsub_topic: Some(pubsub(3)),
        content_topics: (0..10).map(|i| content(&i.to_string())).collect(),
        time,
        hashes: Vec::new(),
    };
    let by_hash = Filter { hashes: vec![MessageHash([7; 32])], ..Filter::default() };
    for filter in [filter, by_hash, Filter::default()] {
        for direction in [Direction::Forward, Direction::Backward] {
            let query = Query {
                filter: filter.clone(),
                cursor: Some(MessageHash([9; 32])),
                direction,
                limit: 100,
                include_data: direction == Direction::Forward,
            };
            assert_eq!(asked(&client::encode(ID, &query).unwrap()).0, query);
        }
    }
}

#[test]
fn the_half_open_end_is_inclusive_on_the_wire() {
    let wire = |start, end| {
        let time = TimeRange::new(Timestamp(start), Timestamp(end)).unwrap();
        let query = Query { filter: Filter { time, ..Filter::default() }, ..Query::default() };
        let bytes = client::encode(ID, &query).unwrap();
        let read = asked(&bytes).0.filter.time;
        assert!(read == time || (time.is_empty() && read.is_empty()), "{read:?} {time:?}");
        let request = Request::decode(&bytes).unwrap();
        (request.time_start, request.time_end)
    };
    assert_eq!(wire(5, 9), (Some(5), Some(8)));
    assert_eq!(wire(0, 1), (Some(0), Some(0)));
    assert_eq!(wire(i64::MIN, i64::MAX), (None, None));
    assert_eq!(wire(i64::MIN, 0), (None, Some(-1)));
    assert_eq!(wire(3, i64::MAX), (Some(3), None));
    assert_eq!(wire(5, 5), (Some(5), Some(4)));
    assert_eq!(wire(i64::MAX, i64::MAX), (Some(i64::MAX), Some(i64::MAX - 1)));
    assert_eq!(wire(i64::MIN, i64::MIN), (Some(i64::MIN + 1), Some(i64::MIN)));
}

#[test]
fn times_of_a_request_are_inclusive_at_both_ends() {
    let time = |start, end| {
        let query = query_of(&Request { time_start: start, time_end: end, ..request() });
        (query.filter.time.start().nanos(), query.filter.time.end().nanos())
    };
    assert_eq!(time(Some(5), Some(5)), (5, 6));
    assert_eq!(time(None, None), (i64::MIN, i64::MAX));
    assert_eq!(time(None, Some(i64::MAX)), (i64::MIN, i64::MAX));
    assert_eq!(time(Some(i64::MIN), Some(i64::MIN)), (i64::MIN, i64::MIN + 1));
    // Reversed: nothing matches, as with deployed nodes.
    assert_eq!(time(Some(9), Some(5)), (9, 9));
    assert_eq!(time(Some(i64::MAX), Some(i64::MIN)), (i64::MAX, i64::MAX));
}

#[test]
fn limits_are_cut_and_defaulted() {
    for (asked, answered) in
        [(None, 20), (Some(0), 20), (Some(1), 1), (Some(100), 100), (Some(101), 100)]
    {
        let query = query_of(&Request { pagination_limit: asked, ..request() });
        assert_eq!(query.limit, answered);
    }
    assert_eq!(query_of(&Request { pagination_limit: Some(u64::MAX), ..request() }).limit, 100);
}

#[test]
fn a_page_comes_back_as_the_archive_gave_it() {
    let model = Model::new(50);
    for direction in [Direction::Forward, Direction::Backward] {
        let query = Query { direction, limit: 7, ..Query::default() };
        let page = ask(&query, &model).unwrap();
        assert_eq!(page, model.query(&query).unwrap());
        assert_eq!(page.entries.len(), 7);
        let edge = match direction {
            Direction::Forward => page.entries.last(),
            Direction::Backward => page.entries.first(),
        };
        assert_eq!(page.cursor, edge.map(|e| e.hash));

        let bare = Query { include_data: false, ..query };
        let hashes = ask(&bare, &model).unwrap();
        assert!(hashes.entries.iter().all(|e| e.data.is_none()));
        assert_eq!(
            hashes.entries.iter().map(|e| e.hash).collect::<Vec<_>>(),
            page.entries.iter().map(|e| e.hash).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_page_without_data_carries_hashes_alone() {
    let (_, asked) = asked(&Request { include_data: false, ..request() }.encode());
    let response = Response::decode(&asked.answer(Ok(page_of(&[stored(1, "x")])))).unwrap();
    assert_eq!(response.messages[0].message, None);
    assert_eq!(response.messages[0].pubsub_topic, None);
    assert_eq!(response.messages[0].message_hash.as_ref().unwrap().len(), 32);
}

#[test]
fn a_client_that_walks_by_the_last_hash_stops_at_an_empty_page() {
    // js-waku: with or without a cursor in the response, it asks with the last hash it got.
    let model = Model::new(5);
    let mut request = Request { pagination_forward: true, include_data: true, ..request() };
    request.pagination_limit = Some(5);
    let mut sizes = Vec::new();
    loop {
        let (query, asked) = asked(&request.encode());
        let response = Response::decode(&asked.answer(model.query(&query))).unwrap();
        assert_eq!(response.status_code, 200);
        sizes.push(response.messages.len());
        let Some(last) = response.messages.last() else { break };
        request.pagination_cursor = last.message_hash.clone();
    }
    assert_eq!(sizes, [5, 0]);
}

// --- what the server refuses ---

#[test]
fn bad_requests_are_refused_by_status_with_their_id() {
    let hashes = vec![Bytes::from(vec![7; 32])];
    let many = |n: usize| vec!["/a".to_owned(); n];
    for (what, code, bad) in [
        (
            "hashes with content topics",
            400,
            Request { message_hashes: hashes.clone(), content_topics: many(1), ..request() },
        ),
        (
            "hashes with a start",
            400,
            Request { message_hashes: hashes.clone(), time_start: Some(0), ..request() },
        ),
        (
            "hashes with an end",
            400,
            Request { message_hashes: hashes.clone(), time_end: Some(0), ..request() },
        ),
        (
            "a hash of 31 bytes",
            400,
            Request { message_hashes: vec![vec![7; 31].into()], ..request() },
        ),
        (
            "too many hashes",
            400,
            Request {
                message_hashes: vec![vec![7; 32].into(); archive::MAX_HASHES + 1],
                ..request()
            },
        ),
        (
            "too many content topics",
            400,
            Request { content_topics: many(archive::MAX_CONTENT_TOPICS + 1), ..request() },
        ),
        (
            "an empty content topic",
            400,
            Request { content_topics: vec![String::new()], ..request() },
        ),
        ("an empty pubsub topic", 400, Request { pubsub_topic: Some(String::new()), ..request() }),
        ("an empty cursor", 400, Request { pagination_cursor: Some(Bytes::new()), ..request() }),
        (
            "a cursor of 31 bytes",
            400,
            Request { pagination_cursor: Some(vec![7; 31].into()), ..request() },
        ),
        (
            "a cursor of 33 bytes",
            400,
            Request { pagination_cursor: Some(vec![7; 33].into()), ..request() },
        ),
        (
            "a cursor of zeros",
            300,
            Request { pagination_cursor: Some(vec![0; 32].into()), ..request() },
        ),
    ] {
        let response = refused(&bad.encode());
        assert_eq!((response.status_code, &*response.request_id), (code, ID), "{what}");
        let want = if code == 400 { "BAD_REQUEST: " } else { "BAD_RESPONSE: " };
        assert!(response.status_desc.starts_with(want), "{what}: {}", response.status_desc);
        assert_eq!(response.status_desc.contains("cursor not found"), what.contains("cursor"));
        assert!(response.messages.is_empty() && response.pagination_cursor.is_none());
    }
}

#[test]
fn as_many_topics_and_hashes_as_the_archive_takes_are_answered() {
    let topics = vec!["/a".to_owned(); archive::MAX_CONTENT_TOPICS];
    let query = query_of(&Request { content_topics: topics, ..request() });
    assert_eq!(query.filter.content_topics.len(), archive::MAX_CONTENT_TOPICS);
    let hashes = vec![Bytes::from(vec![7; 32]); archive::MAX_HASHES];
    let query = query_of(&Request { message_hashes: hashes, ..request() });
    assert_eq!(query.filter.hashes.len(), archive::MAX_HASHES);
}

#[test]
fn a_pubsub_topic_beside_hashes_is_ignored_and_either_topic_alone_is_answered() {
    let query = query_of(&Request {
        message_hashes: vec![vec![7; 32].into()],
        pubsub_topic: Some("/waku/2/rs/1/0".into()),
        ..request()
    });
    let want = Filter { hashes: vec![MessageHash([7; 32])], ..Filter::default() };
    assert_eq!(query.filter, want);
    let query = query_of(&Request { pubsub_topic: Some("/p".into()), ..request() });
    assert_eq!(query.filter.pubsub_topic.as_deref(), Some("/p"));
    let query = query_of(&Request { content_topics: vec!["/c".into()], ..request() });
    assert_eq!(query.filter.content_topics.len(), 1);
}

#[test]
fn what_is_no_request_is_refused_with_the_id_where_it_can_be_read() {
    let mut broken = request().encode();
    broken.extend([0x5a, 9, b'x']);
    let huge = Request { request_id: "x".repeat(257), ..Request::default() }.encode();
    let flood = [&request().encode()[..], &[0x5a, 0].repeat(5000)].concat();
    let large = vec![0; server::MAX_REQUEST + 1];
    for (bytes, id) in [
        (&broken[..], ID),
        (&flood, ID),
        (&huge, "N/A"),
        (&large, "N/A"),
        (&[], "N/A"),
        (&[0xff; 30], "N/A"),
        (&[0x0a, 1, 0xff], "N/A"),
    ] {
        let response = refused(bytes);
        assert_eq!((response.status_code, &*response.request_id), (400, id));
        assert!(response.status_desc.starts_with("BAD_REQUEST: "), "{}", response.status_desc);
    }
}

#[test]
fn zero_values_that_an_encoder_omits_are_zero() {
    // A plain proto3 encoder: include_data alone.
    let (query, asked) = asked(&[0x10, 1]);
    assert_eq!(query.direction, Direction::Backward);
    assert!(query.include_data);
    let response = Response::decode(&asked.answer(Ok(Page::default()))).unwrap();
    assert_eq!((response.request_id.as_str(), response.status_desc.as_str()), ("", "OK"));
}

// --- what the archive and the load say ---

#[test]
fn the_archives_errors_become_statuses_and_kinds_again() {
    for (said, code, read) in [
        (ErrorKind::CursorNotFound, 300, ErrorKind::CursorNotFound),
        (ErrorKind::ArchiveIo, 300, ErrorKind::StoreBadResponse),
        (ErrorKind::Internal, 300, ErrorKind::StoreBadResponse),
        (ErrorKind::InvalidArgument, 400, ErrorKind::StoreBadRequest),
        (ErrorKind::Busy, 503, ErrorKind::StoreUnavailable),
        (ErrorKind::ArchiveClosed, 503, ErrorKind::StoreUnavailable),
    ] {
        let (query, asked) = asked(&client::encode(ID, &Query::default()).unwrap());
        let bytes = asked.answer(Err(Error::new(said, "at /var/lib/waku.db")));
        let response = Response::decode(&bytes).unwrap();
        assert_eq!((response.status_code, &*response.request_id), (code, ID));
        assert!(code == 400 || !response.status_desc.contains("waku.db"));
        assert_eq!(kind(client::decode(ID, &query, &bytes)), read);
    }
    let unknown = Query { cursor: Some(MessageHash([1; 32])), ..Query::default() };
    assert_eq!(kind(ask(&unknown, &Model::new(3))), ErrorKind::CursorNotFound);
}

#[test]
fn too_many_requests_is_understood_without_an_id() {
    let bytes = server::too_many_requests();
    let response = Response::decode(&bytes).unwrap();
    assert_eq!((response.status_code, &*response.request_id), (429, "N/A"));
    assert_eq!(response.status_desc, "TOO_MANY_REQUESTS");
    let e = kind(client::decode(ID, &Query::default(), &bytes));
    assert_eq!(e, ErrorKind::StoreTooManyRequests);
}

#[test]
fn the_largest_page_there_is_fits_and_is_read() {
    let topic = "x".repeat(MAX_TOPIC_SIZE);
    let payload = MAX_MESSAGE_SIZE - MAX_TOPIC_SIZE - 30;
    let messages: Vec<_> = (0..100)
        .map(|i| {
            let mut m = stored(i, vec![7; payload]).message;
            m.content_topic = ContentTopic::new(&topic).unwrap();
            StoredMessage::new(PubsubTopic::new(&topic).unwrap(), m)
        })
        .collect();
    let largest = wakustore::wire::message::encoded_len(&messages[99].message);
    assert!((MAX_MESSAGE_SIZE - 30..=MAX_MESSAGE_SIZE).contains(&largest), "{largest}");
    let query = Query { limit: 100, ..Query::default() };
    let (_, asked) = asked(&client::encode(ID, &query).unwrap());
    let bytes = asked.answer(Ok(page_of(&messages)));
    let page = client::decode_shared(ID, &query, bytes).unwrap();
    assert_eq!(page.entries.len(), 100);
    assert_eq!(page.cursor, None);
}

#[test]
fn a_page_that_does_not_fit_is_cut_where_the_walk_goes_on() {
    // Larger than the network allows: an archive that was filled by other rules.
    let messages: Vec<_> = (0..100).map(|i| stored(i, vec![7; 300_000])).collect();
    let all = page_of(&messages).entries;
    for direction in [Direction::Forward, Direction::Backward] {
        let query = Query { limit: 100, direction, ..Query::default() };
        let (_, asked) = asked(&client::encode(ID, &query).unwrap());
        let bytes = asked.answer(Ok(page_of(&messages)));
        assert!((MAX_RESPONSE - 301_000..=MAX_RESPONSE).contains(&bytes.len()));
        let page = client::decode(ID, &query, &bytes).unwrap();
        let kept = page.entries.len();
        let (want, edge) = match direction {
            Direction::Forward => (&all[..kept], kept - 1),
            Direction::Backward => (&all[100 - kept..], 100 - kept),
        };
        assert_eq!(page.entries, want);
        assert_eq!(page.cursor, Some(all[edge].hash));
    }
    let (_, asked) = asked(&Request { include_data: true, ..request() }.encode());
    let bytes = asked.answer(Ok(page_of(&[stored(1, vec![7; MAX_RESPONSE])])));
    assert_eq!(Response::decode(&bytes).unwrap().status_code, 300);
}

// --- what the client refuses ---

#[test]
fn queries_that_no_service_node_takes_are_not_sent() {
    let topics = |n: usize| (0..n).map(|i| content(&i.to_string())).collect::<Vec<_>>();
    let hash = vec![MessageHash([7; 32])];
    let some_time = TimeRange::new(Timestamp(1), Timestamp(2)).unwrap();
    for filter in [
        Filter { content_topics: topics(11), ..Filter::default() },
        Filter { hashes: hash.clone(), pubsub_topic: Some(pubsub(0)), ..Filter::default() },
        Filter { hashes: hash.clone(), content_topics: topics(1), ..Filter::default() },
        Filter { hashes: hash.clone(), time: some_time, ..Filter::default() },
        Filter { hashes: vec![hash[0]; archive::MAX_HASHES + 1], ..Filter::default() },
    ] {
        let query = Query { filter, ..Query::default() };
        assert_eq!(kind(client::encode(ID, &query)), ErrorKind::InvalidArgument);
    }
    for query in [
        Query { limit: 0, ..Query::default() },
        Query { limit: 101, ..Query::default() },
        Query { cursor: Some(MessageHash::ZERO), ..Query::default() },
    ] {
        assert_eq!(kind(client::encode(ID, &query)), ErrorKind::InvalidArgument);
    }
    let e = client::encode(&"x".repeat(257), &Query::default());
    assert_eq!(kind(e), ErrorKind::InvalidArgument);
    let eleven = Filter { content_topics: topics(11), ..Filter::default() };
    let e = client::encode(ID, &Query { filter: eleven, ..Query::default() }).unwrap_err();
    assert!(e.message().contains("10"), "{e}");
}

fn key_value(m: &StoredMessage) -> KeyValue {
    KeyValue {
        message_hash: Some(Bytes::copy_from_slice(&m.hash.0)),
        message: Some(m.message.clone()),
        pubsub_topic: Some(m.pubsub_topic.to_string()),
        unreadable: None,
    }
}

fn ok(messages: Vec<KeyValue>) -> Response {
    Response {
        request_id: ID.into(),
        status_code: 200,
        status_desc: "OK".into(),
        messages,
        pagination_cursor: None,
    }
}

fn decode(query: &Query, response: &Response) -> wakustore::Result<Page> {
    let bytes = response.encode();
    let page = client::decode(ID, query, &bytes);
    assert_eq!(client::decode_shared(ID, query, bytes.into()), page);
    page
}

#[test]
fn an_answer_that_is_not_to_the_request_is_refused() {
    let (a, b) = (stored(1, "a"), stored(2, "b"));
    let (ka, kb) = (key_value(&a), key_value(&b));
    let query = Query { limit: 2, ..Query::default() };
    assert_eq!(decode(&query, &ok(vec![ka.clone(), kb.clone()])).unwrap().entries.len(), 2);

    let with = |change: fn(&mut KeyValue)| {
        let mut changed = ka.clone();
        change(&mut changed);
        ok(vec![changed])
    };
    let c = key_value(&stored(3, "c"));
    for (what, bad) in [
        ("another id", Response { request_id: "other".into(), ..ok(vec![]) }),
        ("no id", Response { request_id: "N/A".into(), ..ok(vec![]) }),
        ("too many", ok(vec![ka.clone(), kb.clone(), c])),
        ("backward order", ok(vec![kb.clone(), ka.clone()])),
        ("twice", ok(vec![ka.clone(), ka.clone()])),
        (
            "another's hash",
            ok(vec![KeyValue { message_hash: kb.message_hash.clone(), ..ka.clone() }]),
        ),
        ("no hash", with(|m| m.message_hash = None)),
        ("a short hash", with(|m| m.message_hash = Some(vec![1; 31].into()))),
        ("a zero hash", with(|m| m.message_hash = Some(vec![0; 32].into()))),
        ("no message", with(|m| m.message = None)),
        ("no topic", with(|m| m.pubsub_topic = None)),
        ("another topic", with(|m| m.pubsub_topic = Some("/other".into()))),
        ("a changed payload", with(|m| m.message.as_mut().unwrap().payload = "z".into())),
        ("a changed time", with(|m| m.message.as_mut().unwrap().timestamp = None)),
        ("a short cursor", Response { pagination_cursor: Some("x".into()), ..ok(vec![]) }),
        ("a zero cursor", Response { pagination_cursor: Some(vec![0; 32].into()), ..ok(vec![]) }),
    ] {
        assert_eq!(kind(decode(&query, &bad)), ErrorKind::StoreBadResponse, "{what}");
    }
    let after_a = Query { cursor: Some(a.hash), ..query };
    assert_eq!(kind(decode(&after_a, &ok(vec![ka]))), ErrorKind::StoreBadResponse);
    assert!(decode(&after_a, &ok(vec![kb])).is_ok());
}

#[test]
fn hashes_alone_are_checked_too() {
    let bare = Query { include_data: false, ..Query::default() };
    let (a, b) = (key_value(&stored(1, "a")), key_value(&stored(2, "b")));
    // In any order: there is nothing to tell it by. Data that was not asked for is left out.
    let page = decode(&bare, &ok(vec![b.clone(), a.clone()])).unwrap();
    assert!(page.entries.iter().all(|e| e.data.is_none()));
    assert_eq!(kind(decode(&bare, &ok(vec![a.clone(), a]))), ErrorKind::StoreBadResponse);
}

#[test]
fn messages_outside_of_the_filter_are_refused() {
    let m = stored(10, "m");
    let time = |start, end| Filter {
        time: TimeRange::new(Timestamp(start), Timestamp(end)).unwrap(),
        ..Filter::default()
    };
    let answer = ok(vec![key_value(&m)]);
    let check = |filter| decode(&Query { filter, ..Query::default() }, &answer);
    for good in [
        time(10, 11),
        time(i64::MIN, i64::MAX),
        Filter { pubsub_topic: Some(pubsub(0)), ..Filter::default() },
        Filter { content_topics: vec![content("b"), content("a")], ..Filter::default() },
        Filter { hashes: vec![MessageHash([1; 32]), m.hash], ..Filter::default() },
    ] {
        assert_eq!(check(good).unwrap().entries, [entry(&m)]);
    }
    for bad in [
        time(11, 20),
        time(5, 10),
        Filter { pubsub_topic: Some(pubsub(1)), ..Filter::default() },
        Filter { content_topics: vec![content("b")], ..Filter::default() },
        Filter { hashes: vec![MessageHash([1; 32])], ..Filter::default() },
    ] {
        assert_eq!(kind(check(bad)), ErrorKind::StoreBadResponse);
    }
    let last = stored(i64::MAX, "the end of time is no end");
    let answer = ok(vec![key_value(&last)]);
    assert!(decode(&Query::default(), &answer).is_ok());
}

#[test]
fn a_message_under_a_topic_that_we_do_not_take_bars_no_way() {
    let good = stored(1, "good");
    // Bytes of an entry whose message has no content topic, and one whose pubsub topic is too long.
    let nameless = [&[0xa2, 1, 39, 0x0a, 32][..], &[9; 32], &[0x12, 3, 0x0a, 1, b'x']].concat();
    let long = KeyValue {
        message_hash: Some(vec![8; 32].into()),
        pubsub_topic: Some("x".repeat(MAX_TOPIC_SIZE + 1)),
        ..key_value(&good)
    };
    let mut bytes = ok(vec![key_value(&good), long]).encode();
    bytes.extend(nameless);
    let page = client::decode(ID, &Query::default(), &bytes).unwrap();
    let data: Vec<bool> = page.entries.iter().map(|e| e.data.is_some()).collect();
    assert_eq!(data, [true, false, false]);
    assert_eq!(page.entries[2].hash, MessageHash([9; 32]));
    for filter in [
        Filter { content_topics: vec![content("a")], ..Filter::default() },
        Filter { pubsub_topic: Some(pubsub(0)), ..Filter::default() },
    ] {
        let query = Query { filter, ..Query::default() };
        assert_eq!(kind(client::decode(ID, &query, &bytes)), ErrorKind::StoreBadResponse);
    }
}

#[test]
fn errors_are_read_with_the_id_or_without() {
    let status = |id: &str, status_code, text: &str| Response {
        request_id: id.into(),
        status_code,
        status_desc: text.into(),
        ..Response::default()
    };
    let of = |response: Response| kind(decode(&Query::default(), &response));
    assert_eq!(of(status(ID, 400, "x")), ErrorKind::StoreBadRequest);
    assert_eq!(of(status("", 400, "x")), ErrorKind::StoreBadRequest);
    assert_eq!(of(status("N/A", 503, "")), ErrorKind::StoreUnavailable);
    assert_eq!(of(status("N/A", 429, "")), ErrorKind::StoreTooManyRequests);
    assert_eq!(of(status("other", 429, "")), ErrorKind::StoreBadResponse);
    assert_eq!(of(status(ID, 0, "")), ErrorKind::StoreBadResponse);
    let deployed = "BAD_RESPONSE: archive error: DRIVER_ERROR: cursor not found";
    assert_eq!(of(status(ID, 300, deployed)), ErrorKind::CursorNotFound);
    let large = vec![0; MAX_RESPONSE + 1];
    let e = client::decode(ID, &Query::default(), &large);
    assert_eq!(kind(e), ErrorKind::FrameTooLarge);
    assert_eq!(kind(client::decode(ID, &Query::default(), &[])), ErrorKind::Malformed);
}

#[test]
fn an_empty_cursor_is_none() {
    let response = Response { pagination_cursor: Some(Bytes::new()), ..ok(vec![]) };
    assert_eq!(decode(&Query::default(), &response).unwrap(), Page::default());
}

// --- walks ---

fn walk(model: &Model, query: Query) -> Vec<MessageHash> {
    let mut walk = Walk::new(query);
    let mut all = Vec::new();
    while let Some(query) = walk.next_query() {
        let page = ask(&query, model).unwrap();
        walk.accept(&page).unwrap();
        let hashes = page.entries.iter().map(|e| e.hash);
        match query.direction {
            Direction::Forward => all.extend(hashes),
            Direction::Backward => all.extend(hashes.rev()),
        }
        assert_eq!(walk.cursor(), all.last().copied());
    }
    all
}

#[test]
fn a_walk_finds_everything_once_in_either_direction() {
    let model = Model::new(100);
    let forward: Vec<_> = model.0.iter().map(|m| m.hash).collect();
    let backward: Vec<_> = forward.iter().rev().copied().collect();
    for limit in [1, 7, 50, 99, 100] {
        for include_data in [true, false] {
            let query = Query { limit, include_data, ..Query::default() };
            assert_eq!(walk(&model, query.clone()), forward);
            let query = Query { direction: Direction::Backward, ..query };
            assert_eq!(walk(&model, query.clone()), backward);
            let rest = walk(&model, Query { cursor: Some(forward[40]), ..query });
            assert_eq!(rest, backward[60..]);
        }
    }
}

#[test]
fn a_walk_over_nothing_ends_and_stands_where_it_began() {
    let mut walk = Walk::new(Query::default());
    walk.accept(&Page::default()).unwrap();
    assert_eq!((walk.next_query(), walk.cursor()), (None, None));
    assert_eq!(kind(walk.accept(&Page::default())), ErrorKind::InvalidArgument);
    let cursor = Some(MessageHash([3; 32]));
    let mut walk = Walk::new(Query { cursor, ..Query::default() });
    walk.accept(&Page::default()).unwrap();
    assert_eq!((walk.next_query(), walk.cursor()), (None, cursor));
}

/// A page with these messages, which says that it goes on at `cursor`.
fn going_on(messages: &[&StoredMessage], cursor: MessageHash) -> Page {
    Page { entries: messages.iter().map(|m| entry(m)).collect(), cursor: Some(cursor) }
}

#[test]
fn a_walk_that_a_peer_leads_in_a_circle_fails_and_stands() {
    let m: Vec<_> = (0..4).map(|i| stored(i, "x")).collect();
    let mut walk = Walk::new(Query::default());
    walk.accept(&going_on(&[&m[1]], m[1].hash)).unwrap();
    for bad in [
        Page { cursor: Some(m[2].hash), ..Page::default() }, // nothing, but more of it
        going_on(&[&m[1]], m[2].hash),                       // the same again
        going_on(&[&m[0], &m[2]], m[2].hash),                // back
        going_on(&[&m[2]], m[1].hash),                       // the same cursor
    ] {
        assert_eq!(kind(walk.accept(&bad)), ErrorKind::StoreBadResponse);
        assert_eq!(walk.next_query().unwrap().cursor, Some(m[1].hash));
    }
    walk.accept(&going_on(&[&m[2]], m[2].hash)).unwrap();
    // The cursor of two pages ago.
    let bad = going_on(&[&m[3]], m[1].hash);
    assert_eq!(kind(walk.accept(&bad)), ErrorKind::StoreBadResponse);

    let mut walk = Walk::new(Query { direction: Direction::Backward, ..Query::default() });
    walk.accept(&going_on(&[&m[2], &m[3]], m[2].hash)).unwrap();
    let bad = going_on(&[&m[1], &m[2]], m[1].hash);
    assert_eq!(kind(walk.accept(&bad)), ErrorKind::StoreBadResponse);
    walk.accept(&going_on(&[&m[1]], m[1].hash)).unwrap();
    assert_eq!(walk.next_query().unwrap().cursor, Some(m[1].hash));
}

#[test]
fn a_circle_of_hashes_alone_is_found_by_its_cursors() {
    let bare = |n: u8| Page {
        entries: vec![Entry { hash: MessageHash([n; 32]), data: None }],
        cursor: Some(MessageHash([n; 32])),
    };
    let start = Some(MessageHash([1; 32]));
    let mut walk = Walk::new(Query { include_data: false, cursor: start, ..Query::default() });
    walk.accept(&bare(2)).unwrap();
    walk.accept(&bare(3)).unwrap();
    for seen in [1, 2, 3] {
        assert_eq!(kind(walk.accept(&bare(seen))), ErrorKind::StoreBadResponse);
    }
    walk.accept(&bare(4)).unwrap();
}
