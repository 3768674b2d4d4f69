//! `/vac/waku/metadata/1.0.0`: request and response are the same message.

use crate::error::Result;

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
    /// Writes shards both packed and unpacked, as deployed nodes do.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    /// Prefers the packed shards where both are there.
    pub fn decode(_bytes: &[u8]) -> Result<Self> {
        todo!()
    }
}
