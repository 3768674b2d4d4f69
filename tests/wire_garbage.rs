//! What strangers may send: random bytes, and every vector cut short or changed, at every decoder.
//! Nothing may panic or reserve memory by a number that a stranger wrote; what is read must be
//! written and read back equal. And everything that can be meant is read back as it was meant.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod wire_common;

use bytes::Bytes;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use wakustore::store::server;
use wakustore::types::*;
use wakustore::wire::metadata::Metadata;
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope, Shards};
use wakustore::wire::store::{KeyValue, Request, Response};
use wakustore::wire::varint;
use wakustore::wire::{message, transfer};
use wire_common::{decode_all, vectors, well_formed};

#[test]
fn every_vector_cut_short() {
    for bytes in vectors() {
        // The long ones are long for their payloads: the ends of those are all alike.
        let step = bytes.len().div_ceil(400);
        for len in (0..bytes.len()).step_by(step) {
            decode_all(&bytes[..len]);
        }
    }
}

#[test]
fn every_vector_with_one_byte_changed() {
    for bytes in vectors() {
        let step = bytes.len().div_ceil(100);
        for at in (0..bytes.len()).step_by(step) {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                decode_all(&changed);
            }
        }
    }
}

/// The most address space that this process ever had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Reserved memory counts as soon as it is reserved, used or not: a reservation by an announced
/// number would show here. In a process of its own, where no other test reserves anything.
#[cfg(target_os = "linux")]
#[test]
fn hostile_counts_cost_little_memory() {
    const ALONE: &str = "WIRE_GARBAGE_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return read_hostile_counts();
    }
    let alone = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile_counts_cost_little_memory", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success() && told.contains("1 passed"), "{told}");
}

#[cfg(target_os = "linux")]
fn read_hostile_counts() {
    const MIB: usize = 1024 * 1024;
    let huge = |prefix: &[u8], value: u64| {
        let mut bytes = prefix.to_vec();
        varint::write(value, &mut bytes);
        bytes.resize(MIB, 1);
        bytes
    };
    let mut hostile = Vec::new();
    for shift in [12, 24, 32, 63] {
        let value = 1u64 << shift;
        for prefix in [
            &[][..],                   // pubsub topics, or a frame
            &[0],                      // content topics
            &[1],                      // a topic's length
            &[0, 0, 1, 1, 2],          // an item set
            &[0x0a],                   // field 1: payload, request_id, topic
            &[0x12],                   // field 2: content topic, message
            &[0x5a],                   // field 11: content topics
            &[0xa2, 1],                // field 20: hashes, messages
            &[0x1a],                   // field 3: packed shards
            &[0x50, 0xc8, 1, 0xa2, 1], // a response's messages
        ] {
            hostile.push(huge(prefix, value));
        }
    }
    // Entries that are small on the wire and large in memory, as many as there is room for.
    for entry in [&[0x5a, 0][..], &[0xa2, 1, 0], &[0xa2, 1, 2, 0x12, 0], &[0x10, 1]] {
        hostile.push(entry.repeat(MIB / entry.len()));
        hostile.push([&[0x50, 0xc8, 1], &entry.repeat(MIB / entry.len())[..]].concat());
    }
    for range in [&[1, 0][..], &[1, 2, 0, 0], &[0, 1, 0, 0]] {
        hostile.push([&[0, 0, 1][..], &range.repeat(MIB / range.len())].concat());
    }
    let mut topics = Vec::new();
    varint::write(500_000, &mut topics);
    topics.extend([1, b'/'].repeat(500_000));
    hostile.push(topics);

    let before = peak();
    for bytes in &hostile {
        // One at a time, and nothing else: what is read is dropped before the next.
        let shared = Bytes::copy_from_slice(bytes);
        let _ = message::decode(bytes);
        let _ = message::decode_shared(shared.clone());
        let _ = transfer::decode(bytes);
        let _ = transfer::decode_shared(shared.clone());
        let _ = Metadata::decode(bytes);
        let _ = Request::decode(bytes);
        let _ = Response::decode(bytes);
        let _ = Response::decode_shared(shared);
        let _ = Payload::decode(bytes);
        let _ = server::begin(bytes);
    }
    let grown = peak() - before;
    // The dearest: as many ranges as are read at all, while their list grows.
    assert!(grown < 48 * MIB, "{} MiB more", grown / MIB);
}

// --- what can be meant ---

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn content_topic() -> impl Strategy<Value = ContentTopic> {
    "[/a-zü0-9]{1,30}".prop_map(|t| ContentTopic::new(t).unwrap())
}

fn pubsub_topic() -> impl Strategy<Value = PubsubTopic> {
    "/[/a-zü0-9]{0,30}".prop_map(|t| PubsubTopic::new(t).unwrap())
}

prop_compose! {
    fn waku_message()(
        payload in bytes(300),
        content_topic in content_topic(),
        version in option::of(any::<u32>()),
        timestamp in option::of(any::<i64>()),
        meta in option::of(bytes(64)),
        rate_limit_proof in option::of(bytes(300)),
        ephemeral in option::of(any::<bool>()),
    ) -> WakuMessage {
        let timestamp = timestamp.map(Timestamp);
        WakuMessage { payload, content_topic, version, timestamp, meta, rate_limit_proof, ephemeral }
    }
}

prop_compose! {
    fn request()(
        request_id in ".{0,20}",
        include_data in any::<bool>(),
        pubsub_topic in option::of(".{0,20}"),
        content_topics in vec(".{0,20}", 0..5),
        time_start in option::of(any::<i64>()),
        time_end in option::of(any::<i64>()),
        message_hashes in vec(bytes(40), 0..5),
        pagination_cursor in option::of(bytes(40)),
        pagination_forward in any::<bool>(),
        pagination_limit in option::of(any::<u64>()),
    ) -> Request {
        Request {
            request_id, include_data, pubsub_topic, content_topics, time_start, time_end,
            message_hashes, pagination_cursor, pagination_forward, pagination_limit,
        }
    }
}

prop_compose! {
    fn key_value()(
        message_hash in option::of(bytes(40)),
        message in option::of(waku_message()),
        pubsub_topic in option::of(".{0,20}"),
    ) -> KeyValue {
        KeyValue { message_hash, message, pubsub_topic, unreadable: None }
    }
}

prop_compose! {
    fn response()(
        request_id in ".{0,20}",
        status_code in any::<u32>(),
        status_desc in ".{0,20}",
        messages in vec(key_value(), 0..5),
        pagination_cursor in option::of(bytes(40)),
    ) -> Response {
        Response { request_id, status_code, status_desc, messages, pagination_cursor }
    }
}

/// Close together in time and alike in their first bytes, so that bounds and ids often share both.
fn sync_id() -> impl Strategy<Value = SyncId> {
    let base = prop_oneof![Just(0), Just(1_763_900_000_000_000_000), Just(i64::MAX - 500)];
    (base, 0i64..300, vec(0u8..3, 4), any::<[u8; 28]>()).prop_map(|(base, t, head, tail)| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&head);
        hash[4..].copy_from_slice(&tail);
        SyncId::new(Timestamp(base + t / 30), MessageHash(hash))
    })
}

prop_compose! {
    fn payload()(
        pubsub_topics in vec(pubsub_topic(), 0..3),
        content_topics in vec(content_topic(), 0..3),
        // Bounds and what lies between them: the first is the lower bound.
        points in vec((sync_id(), btree_set(sync_id(), 0..20), any::<[u8; 32]>(), 0u8..4), 1..12),
    ) -> Payload {
        let mut bounds: Vec<SyncId> = points.iter().map(|p| p.0).collect();
        bounds.sort();
        let lower = bounds[0].timestamp;
        let mut previous = lower;
        let mut ranges = Vec::new();
        for (upper, (_, ids, print, kind)) in bounds.into_iter().skip(1).zip(points) {
            let times = previous..=upper.timestamp;
            let ids = ids.into_iter().filter(|id| times.contains(&id.timestamp)).collect();
            let data = match kind {
                0 => RangeData::Skip,
                1 => RangeData::Fingerprint(MessageHash(print)),
                kind => RangeData::ItemSet { ids, reconciled: kind == 3 },
            };
            ranges.push(Range { upper, data });
            previous = upper.timestamp;
        }
        Payload { scope: Scope { pubsub_topics, content_topics }, lower, ranges }
    }
}

proptest! {
    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
    }

    /// Random bytes seldom get past the header.
    #[test]
    fn random_ranges(mut bytes in vec(prop_oneof![0u8..4, any::<u8>()], 0..200)) {
        bytes.splice(0..0, [0, 0, 0xc3, 0x81, 0xd6, 0x9f, 0xc7, 0xb6, 0xa8, 0xbd, 0x18]);
        decode_all(&bytes);
    }

    #[test]
    fn several_changes_of_a_vector(
        which in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let all = vectors();
        let mut bytes = all[which.index(all.len())].clone();
        let len = bytes.len();
        changes.into_iter().for_each(|(at, byte)| bytes[at.index(len)] = byte);
        decode_all(&bytes);
    }

    #[test]
    fn messages(message in waku_message(), topic in pubsub_topic()) {
        let bytes = message::encode(&message);
        prop_assert_eq!(message::encoded_len(&message), bytes.len());
        prop_assert_eq!(&message::decode(&bytes).unwrap(), &message);
        let frame = transfer::encode(&topic, &message);
        prop_assert_eq!(transfer::decode(&frame).unwrap(), (topic, message));
    }

    #[test]
    fn requests(request in request()) {
        prop_assert_eq!(Request::decode(&request.encode()).unwrap(), request);
    }

    #[test]
    fn responses(response in response()) {
        prop_assert_eq!(Response::decode(&response.encode()).unwrap(), response);
    }

    #[test]
    fn metadata(cluster_id in option::of(any::<u32>()), shards in vec(any::<u32>(), 0..60)) {
        let meta = Metadata { cluster_id, shards };
        prop_assert_eq!(Metadata::decode(&meta.encode()).unwrap(), meta);
    }

    #[test]
    fn payloads(payload in payload(), cluster: u32, shards in vec(any::<u32>(), 0..9)) {
        let shards = Shards { cluster, shards };
        let sharded = payload.encode_with_shards(&shards);
        decode_all(&sharded);
        let (told, as_sharded) = Payload::decode_with_shards(&sharded).unwrap();
        prop_assert_eq!(told.unwrap_or(shards.clone()), shards);
        prop_assert_eq!(as_sharded.ranges, payload.clone().as_read().ranges);
        let read = Payload::decode(&payload.encode()).unwrap();
        if payload.ranges.is_empty() {
            prop_assert_eq!(read, Payload::default());
        } else {
            well_formed(&read);
            prop_assert_eq!(&read, &payload.as_read());
            // Bounds of different times come through whole; nothing is lost a second time there.
            prop_assert_eq!(Payload::decode(&read.encode()).unwrap(), read.as_read());
        }
    }

    #[test]
    fn numbers(value in any::<u64>(), tail in vec(any::<u8>(), 0..5)) {
        let mut bytes = Vec::new();
        varint::write(value, &mut bytes);
        prop_assert_eq!(varint::encoded_len(value), bytes.len());
        bytes.extend(&tail);
        let mut rest = &bytes[..];
        prop_assert_eq!(varint::read(&mut rest).unwrap(), value);
        prop_assert_eq!(rest, &tail[..]);
    }
}
