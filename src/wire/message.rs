//! WakuMessage (14/WAKU2-MESSAGE).

use crate::error::Result;
use crate::types::WakuMessage;

/// Encodes; payload and content_topic are always written, an absent optional field never.
pub fn encode(_message: &WakuMessage) -> Vec<u8> {
    todo!()
}

/// The length of [`encode`]'s result, without encoding.
pub fn encoded_len(_message: &WakuMessage) -> usize {
    todo!()
}

/// Decodes.
pub fn decode(_bytes: &[u8]) -> Result<WakuMessage> {
    todo!()
}
