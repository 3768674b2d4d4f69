//! Every decoder of the wire at once, and the bytes that deployed nodes wrote: for tests of what
//! strangers may send.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use wakustore::Error;
use wakustore::store::{client, server};
use wakustore::types::*;
use wakustore::wire::metadata::Metadata;
use wakustore::wire::reconciliation::{Payload, RangeData};
use wakustore::wire::store::{Request, Response};
use wakustore::wire::varint::FrameDecoder;
use wakustore::wire::{message, transfer};

/// Every decoder there is, on these bytes; and what each said of them.
pub fn decode_all(bytes: &[u8]) -> Vec<Option<Error>> {
    let mut told = Vec::new();
    let mut tell = |error: Option<&Error>| told.push(error.cloned());
    let shared = Bytes::copy_from_slice(bytes);
    let read = message::decode(bytes);
    tell(read.as_ref().err());
    assert_eq!(message::decode_shared(shared.clone()), read);
    if let Ok(read) = read {
        assert_eq!(message::encoded_len(&read), message::encode(&read).len());
        assert_eq!(message::decode(&message::encode(&read)).unwrap(), read);
    }
    let read = transfer::decode(bytes);
    tell(read.as_ref().err());
    assert_eq!(transfer::decode_shared(shared.clone()), read);
    if let Ok((topic, message)) = read {
        let again = transfer::encode(&topic, &message);
        assert_eq!(transfer::encoded_len(&topic, &message), again.len());
        if topic.starts_with('/') {
            assert_eq!(transfer::decode(&again).unwrap(), (topic, message));
        }
    }
    let read = Metadata::decode(bytes);
    tell(read.as_ref().err());
    if let Ok(read) = read {
        // Written twice over, deprecated shards alone may come to lie beyond the frame's limit.
        let again = read.encode();
        if again.len() <= wakustore::wire::metadata::MAX_FRAME {
            assert_eq!(Metadata::decode(&again).unwrap(), read);
        }
    }
    let read = Request::decode(bytes);
    tell(read.as_ref().err());
    if let Ok(read) = read {
        assert_eq!(Request::decode(&read.encode()).unwrap(), read);
    }
    let read = Response::decode(bytes);
    tell(read.as_ref().err());
    assert_eq!(Response::decode_shared(shared.clone()), read);
    if let Ok(mut read) = read {
        read.messages.iter_mut().for_each(|m| m.unreadable = None);
        assert_eq!(Response::decode(&read.encode()).unwrap(), read);
    }
    let read = Payload::decode(bytes);
    tell(read.as_ref().err());
    if let Ok(read) = read {
        well_formed(&read);
        let again = Payload::decode(&read.encode()).unwrap();
        if !read.ranges.is_empty() {
            assert_eq!(again, read.as_read());
        }
    }
    let read = Payload::decode_with_shards(bytes);
    tell(read.as_ref().err());
    if let Ok((shards, read)) = read {
        well_formed(&read);
        let shards = shards.unwrap_or_default();
        assert_eq!(read.scope, shards.scope());
        let again = Payload::decode_with_shards(&read.encode_with_shards(&shards)).unwrap();
        if !read.ranges.is_empty() {
            assert_eq!(again, (Some(shards), read.as_read()));
        }
    }
    assert!(!Payload::is_of_shards_dialect(bytes) || !Payload::is_of_topics_dialect(bytes));
    match server::begin(bytes) {
        server::Step::Reply(reply) => {
            assert!(Response::decode(&reply).unwrap().status_code >= 300);
        }
        server::Step::Query(query, asked) => {
            assert!((1..=MAX_PAGE_SIZE).contains(&query.limit));
            assert_ne!(query.cursor, Some(MessageHash::ZERO));
            assert!(!asked.answer(Ok(Page::default())).is_empty());
        }
    }
    for include_data in [true, false] {
        let query = Query { include_data, ..Query::default() };
        if let Ok(page) = client::decode("req-5", &query, bytes) {
            assert!(page.entries.len() <= query.limit);
        }
    }
    let mut decoder = FrameDecoder::new(1000);
    decoder.extend(bytes);
    while let Ok(Some(frame)) = decoder.next_frame() {
        assert!(frame.len() <= 1000);
    }
    told
}

/// What [`Payload::decode`] promises.
pub fn well_formed(payload: &Payload) {
    let mut lower = SyncId::floor(payload.lower);
    assert!(lower.timestamp >= Timestamp(0));
    for range in &payload.ranges {
        assert!(lower <= range.upper);
        if let RangeData::ItemSet { ids, .. } = &range.data {
            assert!(ids.windows(2).all(|w| w[0] < w[1]));
            let times = lower.timestamp..=range.upper.timestamp;
            assert!(ids.iter().all(|id| times.contains(&id.timestamp)));
        }
        lower = range.upper;
    }
}

/// The bytes of every vector.
pub fn vectors() -> &'static [Vec<u8>] {
    static ALL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(read_vectors);
    &ALL
}

fn read_vectors() -> Vec<Vec<u8>> {
    fn collect(value: &serde_json::Value, out: &mut Vec<Vec<u8>>) {
        match value {
            serde_json::Value::Array(list) => list.iter().for_each(|v| collect(v, out)),
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    if let Some(hex) = value.as_str().filter(|_| key.ends_with("bytes")) {
                        out.push(HEXLOWER.decode(hex.as_bytes()).unwrap());
                    }
                    collect(value, out);
                }
            }
            _ => {}
        }
    }
    let all = serde_json::from_str(include_str!("../vectors/nwaku-wire.json")).unwrap();
    let mut out = Vec::new();
    collect(&all, &mut out);
    assert_eq!(out.len(), 40 + 2 * 25 + 20 + 15 + 6);
    out
}
