//! `/vac/waku/metadata/1.0.0` (66/WAKU2-METADATA): request and response are the same message.

use prost::Message;

use super::proto::{self, metadata::v1 as pb};
use crate::error::{Result, bail};

/// Protocol id.
pub const PROTOCOL: &str = "/vac/waku/metadata/1.0.0";
/// Frames are at most so long.
pub const MAX_FRAME: usize = 1024;

/// Which cluster and shards a node serves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    /// The cluster.
    pub cluster_id: Option<u32>,
    /// The shards.
    pub shards: Vec<u32>,
}

impl Metadata {
    /// Writes shards both packed and unpacked, as deployed nodes do. (They also write the packed
    /// field where there are no shards; a decoder cannot tell the difference.)
    pub fn encode(&self) -> Vec<u8> {
        pb::WakuMetadata {
            cluster_id: self.cluster_id,
            shards_deprecated: self.shards.clone(),
            shards: self.shards.clone(),
        }
        .encode_to_vec()
    }

    /// Prefers the packed shards where both are there.
    ///
    /// # Errors
    /// [`crate::ErrorKind::FrameTooLarge`] beyond [`MAX_FRAME`]; [`crate::ErrorKind::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_FRAME {
            bail!(FrameTooLarge, "metadata is {} bytes long, not {MAX_FRAME}", bytes.len());
        }
        let read: pb::WakuMetadata = proto::decode("metadata", bytes)?;
        let shards = if read.shards.is_empty() { read.shards_deprecated } else { read.shards };
        Ok(Metadata { cluster_id: read.cluster_id, shards })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn packed_and_deprecated_shards_are_read() {
        let both = Metadata { cluster_id: Some(1), shards: vec![3, 300] };
        assert_eq!(both.encode(), [0x08, 1, 0x10, 3, 0x10, 0xac, 2, 0x1a, 3, 3, 0xac, 2]);
        let only = |bytes: &[u8]| Metadata::decode(bytes).unwrap();
        assert_eq!(only(&[0x10, 3, 0x10, 4]).shards, [3, 4]);
        assert_eq!(only(&[0x10, 3, 0x1a, 1, 7]).shards, [7]);
        assert_eq!(only(&[]), Metadata::default());
    }

    #[test]
    fn a_frame_over_the_limit_is_refused() {
        let e = Metadata::decode(&[0; MAX_FRAME + 1]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::FrameTooLarge);
        assert_eq!(Metadata::decode(&[0x08]).unwrap_err().kind(), ErrorKind::Malformed);
    }
}
