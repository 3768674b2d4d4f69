//! A message of our own: into the archive, then to all.
//!
//! What must hold: what the archive refuses is not sent, for others would refuse it too; and what
//! was sent is held here, so that a sync can mend what relay loses.

use super::relay::{self, Wish};
use super::shared::Shared;
use crate::archive::PutOutcome;
use crate::error::{Result, bail};
use crate::types::{
    MAX_MESSAGE_SIZE, MessageHash, Origin, PubsubTopic, StoredMessage, WakuMessage, message_hash,
};
use crate::wire;

/// See [`super::Node::publish`].
pub(super) async fn publish(
    shared: &Shared,
    topic: PubsubTopic,
    message: WakuMessage,
) -> Result<MessageHash> {
    if !shared.relays {
        return Err(relay::off());
    }
    let bytes = wire::message::encode(&message);
    if bytes.len() > MAX_MESSAGE_SIZE {
        let size = bytes.len();
        bail!(
            MessageTooLarge,
            "the message is {size} bytes long, at most {MAX_MESSAGE_SIZE} are allowed"
        );
    }
    let hash = if message.ephemeral == Some(true) {
        message_hash(&topic, &message)
    } else {
        let message = StoredMessage::new(topic.clone(), message);
        let hash = message.hash;
        for outcome in shared.archive.put(vec![message], Origin::Live).await? {
            if let PutOutcome::Refused(e) = outcome {
                return Err(e);
            }
        }
        hash
    };
    shared.relay(topic, Wish::Publish(bytes)).await?;
    shared.counters.published.one();
    Ok(hash)
}
