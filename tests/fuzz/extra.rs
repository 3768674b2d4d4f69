//! Decoders and frames beyond the deployed wire.

use wakustore::Error;

use crate::sim::{Random, World};

/// Frames to begin with.
pub fn frames() -> Vec<Vec<u8>> {
    Vec::new()
}

/// What the decoders say of these bytes.
pub fn decode(_bytes: &[u8]) -> Vec<Option<Error>> {
    Vec::new()
}

/// Which protocol a pair of engines speaks.
pub fn choose_protocol(_world: &mut World, _random: &mut Random) {}
