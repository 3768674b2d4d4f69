//! `/vac/waku/transfer/1.0.0`: one message a frame.

use crate::error::Result;
use crate::types::{PubsubTopic, WakuMessage};

/// Protocol id.
pub const PROTOCOL: &str = "/vac/waku/transfer/1.0.0";
/// What deployed peers read: frames up to this, envelope included. A larger one ends their stream.
pub const MAX_DEPLOYED_FRAME: usize = 150 * 1024;
/// What we read: room for the largest message and its envelope.
pub const MAX_FRAME: usize = MAX_DEPLOYED_FRAME + 4 * 1024;

/// Encodes with pubsub_topic = 1 and message = 2, as deployed.
pub fn encode(_pubsub_topic: &PubsubTopic, _message: &WakuMessage) -> Vec<u8> {
    todo!()
}

/// Decodes either order of the two fields.
pub fn decode(_bytes: &[u8]) -> Result<(PubsubTopic, WakuMessage)> {
    todo!()
}
