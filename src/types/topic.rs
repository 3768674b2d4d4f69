//! Pubsub topics and content topics, and how the one follows from the other.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result, bail};

/// The longest topic that is taken, in bytes. The network sets no limit of its own; without one a
/// peer could make an index grow as it likes.
pub const MAX_TOPIC_SIZE: usize = 1024;

macro_rules! topic {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The topic, checked for its length.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidTopic`] where it is empty or longer than [`MAX_TOPIC_SIZE`].
            pub fn new(topic: impl AsRef<str>) -> Result<Self> {
                let topic = topic.as_ref();
                if topic.is_empty() {
                    bail!(InvalidTopic, concat!("the ", $what, " is empty"));
                }
                if topic.len() > MAX_TOPIC_SIZE {
                    bail!(
                        InvalidTopic,
                        concat!("the ", $what, " is {} bytes long, at most {} are allowed"),
                        topic.len(),
                        MAX_TOPIC_SIZE
                    );
                }
                Ok($name(Arc::from(topic)))
            }

            /// The topic from bytes that may not be text.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidTopic`] where they are not UTF-8, or as for [`Self::new`].
            pub fn from_utf8(bytes: &[u8]) -> Result<Self> {
                let text = std::str::from_utf8(bytes).map_err(|e| {
                    Error::new(
                        ErrorKind::InvalidTopic,
                        format!(
                            concat!("the ", $what, " is not UTF-8 after byte {}"),
                            e.valid_up_to()
                        ),
                    )
                })?;
                $name::new(text)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

topic! {
    /// The topic that a message travels on: `/waku/2/rs/{cluster}/{shard}`, or a named one.
    PubsubTopic, "pubsub topic"
}
topic! {
    /// The topic that an app files a message under: `/{application}/{version}/{name}/{encoding}`,
    /// or with a leading `/{generation}`. The form is not enforced: deployed nodes do not either.
    ContentTopic, "content topic"
}

impl PubsubTopic {
    /// The topic of a shard: `/waku/2/rs/{cluster}/{shard}`.
    pub fn of_shard(cluster: u32, shard: u32) -> Self {
        PubsubTopic(Arc::from(format!("/waku/2/rs/{cluster}/{shard}")))
    }

    /// Cluster and shard, where the topic is one of a shard.
    pub fn shard(&self) -> Option<(u32, u32)> {
        let (cluster, shard) = self.0.strip_prefix("/waku/2/rs/")?.split_once('/')?;
        Some((cluster.parse().ok()?, shard.parse().ok()?))
    }
}

/// The shard of a content topic by autosharding (generation 0): the last eight bytes of
/// SHA-256(application ‖ version), big-endian, modulo the cluster's count of shards.
///
/// # Errors
/// [`ErrorKind::InvalidTopic`] where the content topic has neither of the two forms, or is of
/// another generation; [`ErrorKind::InvalidArgument`] where `shards` is 0.
pub fn shard_of(topic: &ContentTopic, shards: u32) -> Result<u32> {
    if shards == 0 {
        bail!(InvalidArgument, "a cluster has at least one shard");
    }
    let parts: Vec<&str> = topic.split('/').collect();
    let (application, version) = match parts.as_slice() {
        ["", application, version, _, _] => (application, version),
        ["", "0", application, version, _, _] => (application, version),
        _ => bail!(
            InvalidTopic,
            "the content topic {topic:?} has not the form /application/version/name/encoding"
        ),
    };
    let digest = Sha256::new().chain_update(application).chain_update(version).finalize();
    let mut tail = [0; 8];
    tail.copy_from_slice(&digest[24..]);
    let shard = u64::from_be_bytes(tail) % u64::from(shards);
    Ok(u32::try_from(shard).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_topics_are_read_back() {
        let t = PubsubTopic::of_shard(16, 32);
        assert_eq!((t.as_str(), t.shard()), ("/waku/2/rs/16/32", Some((16, 32))));
        assert_eq!(PubsubTopic::new("/waku/2/default-waku/proto").unwrap().shard(), None);
    }

    #[test]
    fn topics_are_checked() {
        for bad in [&b""[..], &[0xff, 0xfe][..], &[b'a'; MAX_TOPIC_SIZE + 1][..]] {
            let e = ContentTopic::from_utf8(bad).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidTopic);
        }
    }

    #[test]
    fn autosharding_ignores_name_and_generation() {
        let of = |t: &str| shard_of(&ContentTopic::new(t).unwrap(), 8);
        assert_eq!(of("/toychat/2/huilong/proto").unwrap(), 3);
        assert_eq!(of("/toychat/2/other/proto"), of("/0/toychat/2/huilong/proto"));
        assert_eq!(of("/1/toychat/2/x/proto").unwrap_err().kind(), ErrorKind::InvalidTopic);
        assert_eq!(of("nonsense").unwrap_err().kind(), ErrorKind::InvalidTopic);
    }
}
