//! Every vector of the deployed node's encoders: read to the values that went in, and what we write
//! read back equal; equal byte for byte where our encoder has no freedom.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::Value;
use wakustore::types::{
    ContentTopic, MessageHash, PubsubTopic, SyncId, Timestamp, WakuMessage, message_hash,
};
use wakustore::wire::metadata::Metadata;
use wakustore::wire::reconciliation::{Payload, Range, RangeData, Scope};
use wakustore::wire::store::{KeyValue, Request, Response};
use wakustore::wire::{message, transfer};

fn vectors(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors/nwaku-wire.json")).unwrap();
    let list = all[name].as_array().unwrap().clone();
    assert!(!list.is_empty());
    list
}

fn hex(v: &Value) -> Vec<u8> {
    HEXLOWER.decode(v.as_str().unwrap().as_bytes()).unwrap()
}

fn opt_hex(v: &Value) -> Option<Bytes> {
    (!v.is_null()).then(|| hex(v).into())
}

fn text(v: &Value) -> String {
    v.as_str().unwrap().to_owned()
}

fn opt_text(v: &Value) -> Option<String> {
    v.as_str().map(str::to_owned)
}

fn texts(v: &Value) -> Vec<String> {
    v.as_array().unwrap().iter().map(text).collect()
}

fn nanos(v: &Value) -> i64 {
    v.as_str().unwrap().parse().unwrap()
}

fn opt_nanos(v: &Value) -> Option<i64> {
    (!v.is_null()).then(|| nanos(v))
}

/// The deployed encoder writes every field, zero or not.
fn waku_message(v: &Value) -> WakuMessage {
    WakuMessage {
        payload: hex(&v["payload"]).into(),
        content_topic: ContentTopic::new(text(&v["content_topic"])).unwrap(),
        version: Some(v["version"].as_u64().unwrap().try_into().unwrap()),
        timestamp: Some(Timestamp(nanos(&v["timestamp"]))),
        meta: Some(hex(&v["meta"]).into()),
        rate_limit_proof: Some(hex(&v["rate_limit_proof"]).into()),
        ephemeral: Some(v["ephemeral"].as_bool().unwrap()),
    }
}

fn sync_id(v: &Value) -> SyncId {
    let hash = MessageHash::from_slice(&hex(&v["hash"])).unwrap();
    SyncId::new(Timestamp(nanos(&v["timestamp"])), hash)
}

fn range(v: &Value) -> Range {
    let data = match v["type"].as_str().unwrap() {
        "skip" => RangeData::Skip,
        "fingerprint" => {
            RangeData::Fingerprint(MessageHash::from_slice(&hex(&v["fingerprint"])).unwrap())
        }
        "item_set" => RangeData::ItemSet {
            ids: v["elements"].as_array().unwrap().iter().map(sync_id).collect(),
            reconciled: v["reconciled"].as_bool().unwrap(),
        },
        other => panic!("{other}"),
    };
    Range { upper: sync_id(&v["upper"]), data }
}

#[test]
fn reconciliation_payloads_are_equal_byte_for_byte() {
    for v in vectors("reconciliation") {
        let ranges = v["ranges"].as_array().unwrap();
        let first_lower = sync_id(&ranges[0]["lower"]);
        assert_eq!(first_lower.hash, MessageHash::ZERO);
        let pubsub = texts(&v["pubsub_topics"]);
        let content = texts(&v["content_topics"]);
        let want = Payload {
            scope: Scope {
                pubsub_topics: pubsub.iter().map(|t| PubsubTopic::new(t).unwrap()).collect(),
                content_topics: content.iter().map(|t| ContentTopic::new(t).unwrap()).collect(),
            },
            lower: first_lower.timestamp,
            ranges: ranges.iter().map(range).collect(),
        };
        let bytes = hex(&v["bytes"]);
        assert_eq!(Payload::decode(&bytes).unwrap(), want);
        assert_eq!(want.encode(), bytes);
        assert_eq!(want.clone().as_read(), want);
    }
}

#[test]
fn the_empty_reconciliation_payload() {
    let all: Value = serde_json::from_str(include_str!("vectors/nwaku-wire.json")).unwrap();
    let bytes = hex(&all["reconciliation_empty"]);
    assert_eq!(Payload::decode(&bytes).unwrap(), Payload::default());
    assert_eq!(Payload::default().encode(), bytes);
}

#[test]
fn messages_and_their_hashes() {
    for v in vectors("messages") {
        let topic = PubsubTopic::new(text(&v["pubsub_topic"])).unwrap();
        let want = waku_message(&v["message"]);
        let bytes = hex(&v["message_bytes"]);
        let read = message::decode(&bytes).unwrap();
        assert_eq!(read, want);
        assert_eq!(read.payload, want.payload);
        // Every field is present in what was read, so we write them all too.
        assert_eq!(message::encode(&read), bytes);
        assert_eq!(message::encoded_len(&read), bytes.len());
        assert_eq!(message::decode_shared(bytes.into()).unwrap(), want);
        assert_eq!(message_hash(&topic, &read).to_hex(), text(&v["hash"]));

        let frame = hex(&v["transfer_bytes"]);
        assert_eq!(transfer::decode(&frame).unwrap(), (topic.clone(), want.clone()));
        assert_eq!(transfer::decode_shared(frame.clone().into()).unwrap().1, want);
        assert_eq!(transfer::encode(&topic, &want), frame);
        assert_eq!(transfer::encoded_len(&topic, &want), frame.len());
    }
}

#[test]
fn store_requests_are_equal_byte_for_byte() {
    for v in vectors("store_requests") {
        let hashes = v["message_hashes"].as_array().unwrap();
        let want = Request {
            request_id: text(&v["request_id"]),
            include_data: v["include_data"].as_bool().unwrap(),
            pubsub_topic: opt_text(&v["pubsub_topic"]),
            content_topics: texts(&v["content_topics"]),
            time_start: opt_nanos(&v["time_start"]),
            time_end: opt_nanos(&v["time_end"]),
            message_hashes: hashes.iter().map(|h| hex(h).into()).collect(),
            pagination_cursor: opt_hex(&v["cursor"]),
            pagination_forward: v["forward"].as_bool().unwrap(),
            pagination_limit: v["limit"].as_u64(),
        };
        let bytes = hex(&v["bytes"]);
        assert_eq!(Request::decode(&bytes).unwrap(), want);
        assert_eq!(want.encode(), bytes);
        assert_eq!(Request::peek_request_id(&bytes), Some(&*want.request_id));
    }
}

#[test]
fn store_responses() {
    for v in vectors("store_responses") {
        let messages = v["messages"].as_array().unwrap();
        let want = Response {
            request_id: text(&v["request_id"]),
            status_code: v["status_code"].as_u64().unwrap().try_into().unwrap(),
            status_desc: text(&v["status_desc"]),
            messages: messages
                .iter()
                .map(|m| KeyValue {
                    message_hash: opt_hex(&m["hash"]),
                    message: m.get("message").map(waku_message),
                    pubsub_topic: opt_text(&m["pubsub_topic"]),
                    unreadable: None,
                })
                .collect(),
            pagination_cursor: opt_hex(&v["cursor"]),
        };
        let bytes = hex(&v["bytes"]);
        let read = Response::decode(&bytes).unwrap();
        assert_eq!(read, want);
        assert_eq!(want.encode(), bytes);
        assert_eq!(Response::decode_shared(bytes.into()).unwrap(), want);
        for m in &read.messages {
            if let (Some(message), Some(topic)) = (&m.message, &m.pubsub_topic) {
                let hash = message_hash(&PubsubTopic::new(topic).unwrap(), message);
                assert_eq!(m.message_hash.as_deref(), Some(&hash.0[..]));
            }
        }
    }
}

#[test]
fn metadata() {
    for v in vectors("metadata") {
        let shards = v["shards"].as_array().unwrap();
        let want = Metadata {
            cluster_id: v["cluster_id"].as_u64().map(|id| id.try_into().unwrap()),
            shards: shards.iter().map(|s| s.as_u64().unwrap().try_into().unwrap()).collect(),
        };
        let bytes = hex(&v["bytes"]);
        assert_eq!(Metadata::decode(&bytes).unwrap(), want);
        assert_eq!(Metadata::decode(&want.encode()).unwrap(), want);
        // The deployed encoder writes the packed field even where it is empty.
        if !want.shards.is_empty() {
            assert_eq!(want.encode(), bytes);
        }
    }
}
