//! Messages for the simulation, made from numbers.

use wakustore::types::{ContentTopic, PubsubTopic, StoredMessage, Timestamp, WakuMessage};

/// The wall clock at the start of every simulation.
pub const START: Timestamp = Timestamp(1_760_000_000_000_000_000);

/// SplitMix64, as a sequence.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

pub fn shard(n: u32) -> PubsubTopic {
    PubsubTopic::of_shard(16, n)
}

pub fn content(name: &str) -> ContentTopic {
    ContentTopic::new(format!("/app/1/{name}/proto")).unwrap()
}

/// A message of so many seconds before [`START`], with a payload of its own.
pub fn message(n: u64, seconds_ago: f64) -> StoredMessage {
    with(n, seconds_ago, shard(0), content("a"), 40)
}

pub fn with(
    n: u64,
    seconds_ago: f64,
    pubsub: PubsubTopic,
    content: ContentTopic,
    size: usize,
) -> StoredMessage {
    let mut payload = vec![0; size.max(8)];
    payload[..8].copy_from_slice(&n.to_be_bytes());
    let timestamp = Timestamp(START.nanos() - (seconds_ago * 1e9) as i64);
    StoredMessage::new(pubsub, WakuMessage::new(payload, content, timestamp))
}

/// `count` messages, spread at random over the hour before the margin.
pub fn hour(random: &mut Random, count: u64) -> Vec<StoredMessage> {
    let first = random.next();
    (0..count)
        .map(|n| {
            let ago = 30.0 + random.below(3_500_000) as f64 / 1000.0;
            message(first.wrapping_add(n), ago)
        })
        .collect()
}
