#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::ErrorKind;
use crate::types::Timestamp;

/// A nanosecond time of today, nine bytes on the wire.
const T: i64 = 1_763_900_000_000_000_000;

fn id(t: i64, hash: &[u8]) -> SyncId {
    let mut id = SyncId::floor(Timestamp(t));
    id.hash.0[..hash.len()].copy_from_slice(hash);
    id
}

fn skip(t: i64, hash: &[u8]) -> Range {
    Range { upper: id(t, hash), data: RangeData::Skip }
}

fn payload(ranges: Vec<Range>) -> Payload {
    Payload { lower: Timestamp(T), ranges, ..Payload::default() }
}

/// Header and lower bound of [`payload`].
fn head() -> Vec<u8> {
    let mut head = vec![0, 0];
    crate::wire::varint::write(T as u64, &mut head);
    head
}

fn with_head(rest: &[u8]) -> Vec<u8> {
    [&head(), rest].concat()
}

fn kind_of(rest: &[u8]) -> ErrorKind {
    Payload::decode(&with_head(rest)).unwrap_err().kind()
}

#[test]
fn both_empty_forms_are_the_empty_payload() {
    assert_eq!(Payload::decode(&[]).unwrap(), Payload::default());
    assert_eq!(Payload::decode(&[0]).unwrap(), Payload::default());
    let mut scoped = Payload::default();
    scoped.scope.pubsub_topics.push(PubsubTopic::of_shard(1, 2));
    assert_eq!(scoped.encode(), [0]);
    assert!(Payload::decode(&[0, 0]).unwrap().ranges.is_empty());
}

#[test]
fn a_hash_travels_only_where_two_bounds_share_a_timestamp() {
    let sent = payload(vec![
        skip(T, &[5, 6]),          // differs from the lower bound's zero in byte 0
        skip(T, &[5, 9, 1]),       // from the previous bound's in byte 1
        skip(T, &[5, 9, 1, 0, 7]), // in byte 4
        skip(T + 300, &[9, 9]),    // another timestamp: no hash
        skip(T + 300, &[9, 9, 4]), // compared with the hash that was meant, not with zero
    ]);
    let want: &[u8] = &[
        0, 1, 5, 0, //
        0, 2, 5, 9, 0, //
        0, 5, 5, 9, 1, 0, 7, 0, //
        0xac, 2, 0, //
        0, 3, 9, 9, 4, 0,
    ];
    assert_eq!(sent.encode(), with_head(want));
    let read = Payload::decode(&sent.encode()).unwrap();
    let bounds: Vec<SyncId> = read.ranges.iter().map(|r| r.upper).collect();
    assert_eq!(
        bounds,
        [
            id(T, &[5]),
            id(T, &[5, 9]),
            id(T, &[5, 9, 1, 0, 7]),
            id(T + 300, &[]),
            id(T + 300, &[9, 9, 4]),
        ]
    );
    assert_eq!(sent.as_read(), read);
}

#[test]
fn equal_bounds_tell_the_whole_hash() {
    let sent = payload(vec![skip(T, &[5]), skip(T, &[5])]);
    let mut want = vec![0, 1, 5, 0, 0, 32, 5];
    want.extend([0; 32]);
    assert_eq!(sent.encode(), with_head(&want));
    assert_eq!(Payload::decode(&sent.encode()).unwrap(), sent);
}

#[test]
fn bounds_as_a_deployed_encoder_shortens_them_are_read() {
    // It compares with the first lower bound: 05 06 and 05 07 both become 05.
    let read = Payload::decode(&with_head(&[0, 1, 5, 0, 0, 1, 5, 0])).unwrap();
    assert_eq!(read.ranges, [skip(T, &[5]), skip(T, &[5])]);
}

#[test]
fn item_sets_count_time_from_zero() {
    let mut ids = vec![id(T, &[1]), id(T, &[2]), id(T + 5, &[1])];
    let range = |ids: &[SyncId]| Range {
        upper: id(T + 5, &[]),
        data: RangeData::ItemSet { ids: ids.to_vec(), reconciled: true },
    };
    let sent = payload(vec![range(&ids)]);
    let mut want = with_head(&[5, 2, 3]);
    crate::wire::varint::write(T as u64, &mut want);
    want.extend(ids[0].hash.0);
    want.push(0);
    want.extend(ids[1].hash.0);
    want.push(5);
    want.extend(ids[2].hash.0);
    want.push(1);
    assert_eq!(sent.encode(), want);
    // The last id is at the upper bound's time and beyond its hash: deployed nodes send that.
    assert_eq!(Payload::decode(&want).unwrap(), sent);

    ids[2] = id(T + 6, &[]);
    let e = Payload::decode(&payload(vec![range(&ids)]).encode()).unwrap_err();
    assert!(e.message().contains("outside"), "{e}");
    ids[2] = ids[1];
    let e = Payload::decode(&payload(vec![range(&ids)]).encode()).unwrap_err();
    assert!(e.message().contains("order"), "{e}");
    ids[0] = id(T - 1, &[]);
    let e = Payload::decode(&payload(vec![range(&ids)]).encode()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Malformed);
}

#[test]
fn wrong_bytes_are_refused_by_kind() {
    use ErrorKind::{Malformed, Truncated};
    for (rest, kind) in [
        (&[0, 0, 0][..], Malformed),               // k = 0
        (&[0, 33], Malformed),                     // k = 33
        (&[0, 2, 5, 9, 0, 0, 1, 4, 0], Malformed), // descends
        (&[1, 3], Malformed),                      // no such kind
        (&[1], Truncated),
        (&[1, 1, 7], Truncated),
        (&[1, 2], Truncated),
        (&[1, 2, 0], Truncated),
        (&[1, 2, 0, 2], Malformed), // reconciled
        (&[1, 2, 1, 0], Truncated), // a count that the bytes cannot hold
        (&[1, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Truncated),
        (&[0x81, 0, 0], Malformed), // not minimal
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], Malformed), // beyond 63 bits
    ] {
        assert_eq!(kind_of(rest), kind, "{rest:?}");
    }
}

#[test]
fn a_hostile_header_reserves_nothing() {
    let mut huge = Vec::new();
    crate::wire::varint::write(u64::MAX, &mut huge);
    assert_eq!(Payload::decode(&huge).unwrap_err().kind(), ErrorKind::FrameTooLarge);
    let count = [MAX_TOPICS as u8 | 0x80, (MAX_TOPICS >> 7) as u8];
    assert_eq!(Payload::decode(&count).unwrap_err().kind(), ErrorKind::Truncated);
    let mut over = Vec::new();
    crate::wire::varint::write(MAX_TOPICS as u64 + 1, &mut over);
    over.extend([1, b'/'].repeat(MAX_TOPICS + 1));
    assert_eq!(Payload::decode(&over).unwrap_err().kind(), ErrorKind::FrameTooLarge);
    for topic in [&[1, 0, 0][..], &[1, 1, 0xff, 0]] {
        assert_eq!(Payload::decode(topic).unwrap_err().kind(), ErrorKind::InvalidTopic);
    }
    let ranges = with_head(&[1, 0].repeat(MAX_RANGES + 1));
    assert_eq!(Payload::decode(&ranges).unwrap_err().kind(), ErrorKind::FrameTooLarge);
    let e = Payload::decode(&with_head(&[1, 0].repeat(MAX_RANGES)));
    assert_eq!(e.unwrap().ranges.len(), MAX_RANGES);
}

#[test]
fn times_before_1970_are_raised_and_their_ids_left_out() {
    let ids = vec![id(-5, &[1]), id(0, &[2]), id(7, &[3])];
    let sent = Payload {
        lower: Timestamp(i64::MIN),
        ranges: vec![
            skip(-9, &[]),
            Range { upper: id(10, &[]), data: RangeData::ItemSet { ids, reconciled: false } },
        ],
        ..Payload::default()
    };
    let read = Payload::decode(&sent.encode()).unwrap();
    assert_eq!(read.lower, Timestamp(0));
    assert_eq!(read.ranges[0].upper, id(0, &[]));
    let RangeData::ItemSet { ids, .. } = &read.ranges[1].data else { panic!("no item set") };
    assert_eq!(*ids, [id(0, &[2]), id(7, &[3])]);
}

#[test]
fn the_last_moment_can_be_written() {
    let sent =
        Payload { lower: Timestamp(0), ranges: vec![skip(i64::MAX, &[])], ..Payload::default() };
    assert_eq!(Payload::decode(&sent.encode()).unwrap(), sent);
}
