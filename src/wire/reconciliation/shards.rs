//! The shards dialect: `cluster`, `n_shards` and each shard stand where the topics dialect has its
//! two lists of topics; the ranges behind the header are the same. Nodes of v0.35 and v0.36 write
//! it, under the same protocol id. Content topics cannot be said in it.

use super::read::Reader;
use super::{MAX_TOPICS, Payload, Scope, read, write};
use crate::error::{Error, ErrorKind, Result};
use crate::types::PubsubTopic;
use crate::wire::varint;

/// The two forms of the header of reconciliation 1.0.0, which carry one protocol id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// Pubsub and content topics (nwaku v0.37 and later).
    #[default]
    Topics,
    /// Cluster and shards (nwaku v0.35 and v0.36, and the published document).
    Shards,
}

/// What the header of the shards dialect says of its sender.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shards {
    /// Its cluster. Sides of different clusters have nothing to compare.
    pub cluster: u32,
    /// Its shards; empty means all that it holds.
    pub shards: Vec<u32>,
}

impl Shards {
    /// The scope of the same meaning: `/waku/2/rs/{cluster}/{shard}` for each shard.
    pub fn scope(&self) -> Scope {
        let topic = |shard: &u32| PubsubTopic::of_shard(self.cluster, *shard);
        let pubsub_topics = self.shards.iter().map(topic).collect();
        Scope { pubsub_topics, content_topics: Vec::new() }
    }
}

impl Payload {
    /// As [`Payload::encode`], in the shards dialect: the header is `shards`, and [`Payload::scope`]
    /// is not written.
    pub fn encode_with_shards(&self, shards: &Shards) -> Vec<u8> {
        write::payload_after(self, |out| {
            varint::write(shards.cluster.into(), out);
            varint::write(shards.shards.len() as u64, out);
            for shard in &shards.shards {
                varint::write((*shard).into(), out);
            }
        })
    }

    /// As [`Payload::decode`], in the shards dialect; the payload's scope is [`Shards::scope`]. The
    /// empty payload has no header.
    ///
    /// # Errors
    /// As [`Payload::decode`]; [`crate::ErrorKind::Malformed`] too where a cluster or a shard does
    /// not fit 32 bits.
    pub fn decode_with_shards(bytes: &[u8]) -> Result<(Option<Shards>, Self)> {
        let mut header = None;
        let payload = read::payload_after(bytes, |reader| {
            let shards = read_header(reader)?;
            let scope = shards.scope();
            header = Some(shards);
            Ok(scope)
        })?;
        Ok((header, payload))
    }

    /// Whether a frame that [`Payload::decode`] cannot read is one of the shards dialect. A frame
    /// that is one of the topics dialect by its header, and broken, is not.
    pub fn is_of_shards_dialect(bytes: &[u8]) -> bool {
        Payload::decode(bytes).is_err()
            && !Payload::is_of_topics_dialect(bytes)
            && Payload::decode_with_shards(bytes).is_ok_and(|(_, read)| !read.ranges.is_empty())
    }

    /// Whether a frame begins with a header of the topics dialect that names some topic. Ask this
    /// before [`Payload::decode_with_shards`], which may take the bytes of a topic for shards.
    ///
    /// The header of the topics dialect that names none, `00 00`, is also that of a node of cluster
    /// 0 with all shards; of the two this is not told.
    pub fn is_of_topics_dialect(bytes: &[u8]) -> bool {
        let topics = Reader { rest: bytes }.topics();
        topics.is_ok_and(|scope| {
            let pubsub = scope.pubsub_topics.iter().map(|t| &**t);
            let mut all = pubsub.chain(scope.content_topics.iter().map(|t| &**t)).peekable();
            all.peek().is_some() && all.all(|topic| topic.starts_with('/'))
        })
    }
}

fn read_header(reader: &mut Reader<'_>) -> Result<Shards> {
    let cluster = number(reader.number()?, "cluster")?;
    // A shard takes a byte at least.
    let count = reader.count(MAX_TOPICS, 1, "shards")?;
    let mut shards = Vec::with_capacity(count);
    for _ in 0..count {
        shards.push(number(reader.number()?, "shard")?);
    }
    Ok(Shards { cluster, shards })
}

fn number(number: u64, what: &str) -> Result<u32> {
    u32::try_from(number)
        .map_err(|_| Error::new(ErrorKind::Malformed, format!("{number} is no {what}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::types::{ContentTopic, MessageHash, SyncId, Timestamp};
    use crate::wire::reconciliation::{Range, RangeData};

    /// A nanosecond time of today, nine bytes on the wire.
    const T: i64 = 1_763_900_000_000_000_000;
    /// The same, as it is written.
    const T_BYTES: [u8; 9] = [0x80, 0x80, 0xbf, 0xba, 0xc5, 0xb6, 0xa8, 0xbd, 0x18];

    fn sent() -> Payload {
        let ids = vec![SyncId::new(Timestamp(T + 2), MessageHash([0xcc; 32]))];
        let ranges = [
            (T + 1, RangeData::Fingerprint(MessageHash([0xaa; 32]))),
            (T + 300, RangeData::ItemSet { ids, reconciled: true }),
            (T + 301, RangeData::Skip),
        ];
        let ranges =
            ranges.map(|(t, data)| Range { upper: SyncId::floor(Timestamp(t)), data }).to_vec();
        Payload { lower: Timestamp(T), ranges, ..Payload::default() }
    }

    /// What [`sent`] is behind its header, by the text of the specification.
    fn body() -> Vec<u8> {
        let mut later = T_BYTES;
        later[0] += 2;
        [
            &T_BYTES[..],
            &[1, 1],
            &[0xaa; 32],
            &[0xab, 2, 2, 1], // 299 later, an item set, of one
            &later,
            &[0xcc; 32],
            &[1],
            &[1, 0],
        ]
        .concat()
    }

    #[test]
    fn the_header_is_cluster_and_shards() {
        for (cluster, shards, header) in [
            (16, vec![2, 300], &[16, 2, 2, 0xac, 2][..]),
            (1, vec![0], &[1, 1, 0]),
            (66_000, Vec::new(), &[0xd0, 0x83, 4, 0]),
            (0, vec![0, 1, 2, 3, 4, 5, 6, 7], &[0, 8, 0, 1, 2, 3, 4, 5, 6, 7]),
        ] {
            let shards = Shards { cluster, shards };
            let want = [header, &body()].concat();
            assert_eq!(sent().encode_with_shards(&shards), want);
            let (told, read) = Payload::decode_with_shards(&want).unwrap();
            assert_eq!(read, Payload { scope: shards.scope(), ..sent() });
            assert_eq!(told.unwrap(), shards);
            assert!(Payload::is_of_shards_dialect(&want), "{header:?}");
            assert!(!Payload::is_of_topics_dialect(&want));
        }
    }

    #[test]
    fn shards_are_topics_of_their_cluster() {
        let shards = Shards { cluster: 16, shards: vec![32, 4] };
        let topics = shards.scope().pubsub_topics;
        assert_eq!(
            topics.iter().map(|t| &**t).collect::<Vec<_>>(),
            ["/waku/2/rs/16/32", "/waku/2/rs/16/4"]
        );
    }

    #[test]
    fn the_empty_payload_says_nothing_of_its_sender() {
        assert_eq!(Payload::default().encode_with_shards(&Shards::default()), [0]);
        for empty in [&[][..], &[0]] {
            let read = Payload::decode_with_shards(empty).unwrap();
            assert_eq!(read, (None, Payload::default()));
        }
        let (told, read) = Payload::decode_with_shards(&[16, 1, 3]).unwrap();
        assert_eq!((told.unwrap().shards, read.ranges.len()), (vec![3], 0));
    }

    #[test]
    fn the_topics_dialect_is_told_apart() {
        let mut topics = sent();
        for n in 0..3 {
            let bytes = topics.encode();
            // Without any topic it is what a node of cluster 0 with all shards would say.
            assert_eq!(Payload::is_of_topics_dialect(&bytes), n > 0, "{n} topics");
            assert!(!Payload::is_of_shards_dialect(&bytes));
            topics.scope.pubsub_topics.push(PubsubTopic::of_shard(16, n));
        }
        topics.scope.pubsub_topics.clear();
        topics.scope.content_topics.push(ContentTopic::new("/a/1/b/proto").unwrap());
        assert!(Payload::is_of_topics_dialect(&topics.encode()));
        for other in [&[][..], &[0], &[0xff; 40]] {
            assert!(!Payload::is_of_topics_dialect(other));
        }
    }

    #[test]
    fn counts_and_numbers_are_not_believed() {
        let kind = |header: &[u8]| {
            let bytes = [header, &body()].concat();
            Payload::decode_with_shards(&bytes).unwrap_err().kind()
        };
        assert_eq!(kind(&[0x80, 0x80, 0x80, 0x80, 0x10, 0]), ErrorKind::Malformed, "2^32");
        assert_eq!(kind(&[16, 1, 0x80, 0x80, 0x80, 0x80, 0x10]), ErrorKind::Malformed);
        assert_eq!(kind(&[16, 0x81, 0x20]), ErrorKind::FrameTooLarge, "4097 shards");
        assert_eq!(kind(&[16, 0xff, 0x1f]), ErrorKind::Truncated, "4095 shards, in fewer bytes");
        assert_eq!(Payload::decode_with_shards(&[16]).unwrap_err().kind(), ErrorKind::Truncated);
    }

    /// Found by the fuzzer: a topic of 24 bytes, and broken ranges; or a shard, and ranges.
    #[test]
    fn a_broken_frame_of_topics_is_not_one_of_shards() {
        let bytes = data_encoding::HEXLOWER
            .decode(
                b"0001182f0001000100016f79636861742f322f6875696c6f6e672f70726f80808080808080808001",
            )
            .unwrap();
        assert!(Payload::decode_with_shards(&bytes).is_ok_and(|(_, p)| !p.ranges.is_empty()));
        assert!(Payload::decode(&bytes).is_err() && Payload::is_of_topics_dialect(&bytes));
        assert!(!Payload::is_of_shards_dialect(&bytes));
    }
}
