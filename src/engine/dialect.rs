//! Which form of the 1.0.0 header this node writes and reads, and what of its scope that can say.
//!
//! What must hold: a header never says more than the scope. An empty list of shards means all, so a
//! scope that names topics of which none is a shard of the cluster cannot be said at all. What the
//! shards dialect has no words for, content topics, is kept to locally: only messages of the scope
//! are compared.

use super::{Dialect, EngineConfig};
use crate::error::Result;
use crate::types::PubsubTopic;
use crate::wire::reconciliation::{Payload, Scope, Shards};

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Spoken {
    /// In the shards dialect.
    shards: Option<Shards>,
    /// What of the node's own scope is compared over 1.0.0; `None` where none of it can be said.
    scope: Option<Scope>,
}

/// What a frame of the peer's turned out to be.
#[derive(Debug)]
pub(super) enum Frame {
    /// A payload in the dialect that this node speaks.
    Payload(Payload),
    /// Something to compare from a node of this other cluster.
    OtherCluster(u32),
    /// A frame in the other dialect, and what to tell of it. Its sender is honest: it cannot know
    /// that this node does not speak as it does.
    OtherDialect(&'static str),
}

impl Spoken {
    pub(super) fn new(config: &EngineConfig) -> Self {
        let own = &config.scope;
        if config.dialect == Dialect::Topics {
            return Spoken { shards: None, scope: Some(own.clone()) };
        }
        let named: Vec<(u32, u32)> =
            own.pubsub_topics.iter().filter_map(PubsubTopic::shard).collect();
        let cluster = match named.first() {
            Some((theirs, _)) if named.iter().all(|(c, _)| *c != config.cluster_id) => *theirs,
            _ => config.cluster_id,
        };
        let shards: Vec<u32> =
            named.iter().filter(|(c, _)| *c == cluster).map(|(_, shard)| *shard).collect();
        let shards = Shards { cluster, shards };
        let sayable = own.pubsub_topics.is_empty() || !shards.shards.is_empty();
        let scope = Scope { content_topics: own.content_topics.clone(), ..shards.scope() };
        Spoken { scope: sayable.then_some(scope), shards: Some(shards) }
    }

    /// What of the node's own scope is compared over 1.0.0; `None` where none of it can be said.
    pub(super) fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// The bytes of a payload of ours.
    pub(super) fn encode(&self, payload: &Payload) -> Vec<u8> {
        match &self.shards {
            None => payload.encode(),
            Some(shards) => payload.encode_with_shards(shards),
        }
    }

    /// Reads a frame of the peer's.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Frame> {
        let Some(own) = &self.shards else {
            return match Payload::decode(bytes) {
                Err(_) if Payload::is_of_shards_dialect(bytes) => Ok(Frame::OtherDialect(
                    "the peer speaks the shards dialect of reconciliation (nwaku v0.35, v0.36)",
                )),
                read => read.map(Frame::Payload),
            };
        };
        let topics = "the peer speaks the topics dialect of reconciliation (nwaku v0.37 and later)";
        if Payload::is_of_topics_dialect(bytes) {
            return Ok(Frame::OtherDialect(topics));
        }
        match Payload::decode_with_shards(bytes) {
            Err(error) => Err(error),
            // The empty payload of whichever dialect, or a header alone.
            Ok((_, payload)) if payload.ranges.is_empty() => Ok(Frame::Payload(payload)),
            Ok((Some(theirs), _)) if theirs.cluster != own.cluster => {
                // These two bytes are the topics dialect's for all topics. The empty payload, which
                // is due to another cluster, would tell its sender that both agree.
                let all = theirs == Shards::default();
                Ok(if all {
                    Frame::OtherDialect(topics)
                } else {
                    Frame::OtherCluster(theirs.cluster)
                })
            }
            Ok((_, payload)) => Ok(Frame::Payload(payload)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::types::ContentTopic;

    fn spoken(topics: &[&str], cluster_id: u32) -> Spoken {
        let pubsub_topics = topics.iter().map(|t| PubsubTopic::new(t).unwrap()).collect();
        let content_topics = vec![ContentTopic::new("/a/1/b/proto").unwrap()];
        let scope = Scope { pubsub_topics, content_topics };
        let dialect = Dialect::Shards;
        Spoken::new(&EngineConfig { scope, dialect, cluster_id, ..EngineConfig::default() })
    }

    #[test]
    fn a_header_says_no_more_than_the_scope() {
        let named = "/waku/2/default-waku/proto";
        for (topics, cluster_id, cluster, shards, compared) in [
            (&[][..], 5, 5, &[][..], Some(0)),
            (&["/waku/2/rs/5/1", "/waku/2/rs/5/0"], 5, 5, &[1, 0], Some(2)),
            (&["/waku/2/rs/5/1", "/waku/2/rs/6/0"], 6, 6, &[0], Some(1)),
            (&["/waku/2/rs/5/1", named], 0, 5, &[1], Some(1)),
            (&[named], 5, 5, &[], None),
        ] {
            let spoken = spoken(topics, cluster_id);
            let want = Shards { cluster, shards: shards.to_vec() };
            assert_eq!(spoken.shards, Some(want), "{topics:?}");
            assert_eq!(spoken.scope().map(|s| s.pubsub_topics.len()), compared, "{topics:?}");
            assert!(spoken.scope().is_none_or(|s| s.content_topics.len() == 1));
        }
    }
}
