//! Relay: a node that takes part in pubsub topics as messages happen.

use super::call::{call, guarded};
use super::error::Result;
use super::message::{Message, TopicMessage};
use super::node::Node;
use crate::types::{self, PubsubTopic};

#[uniffi::export]
impl Node {
    /// Takes part in a pubsub topic over relay: what comes is stored and passed on. Fine a second
    /// time.
    ///
    /// Fails with `InvalidTopic`, `Unsupported` where the node does not relay.
    pub async fn subscribe(&self, pubsub_topic: String) -> Result<()> {
        guarded(async move {
            let (node, topic) = (self.node()?, PubsubTopic::new(pubsub_topic)?);
            call(async move { node.subscribe(topic).await }).await
        })
        .await
    }

    /// Takes no part in a pubsub topic any more. Fine where it did not.
    ///
    /// Fails as `subscribe`.
    pub async fn unsubscribe(&self, pubsub_topic: String) -> Result<()> {
        guarded(async move {
            let (node, topic) = (self.node()?, PubsubTopic::new(pubsub_topic)?);
            call(async move { node.unsubscribe(topic).await }).await
        })
        .await
    }

    /// Stores a message (unless it is ephemeral), sends it over relay, and gives its hash. The node
    /// need not be subscribed to the topic. Where nobody took it it stays stored, and syncs will
    /// bring it to others; the same message may be published again.
    ///
    /// Fails with `NoRelayPeers`, `Unsupported` where the node does not relay, and with what the
    /// archive refuses it for, and then it was not sent.
    pub async fn publish(&self, pubsub_topic: String, message: Message) -> Result<Vec<u8>> {
        guarded(async move {
            let node = self.node()?;
            let message = types::StoredMessage::try_from(TopicMessage { pubsub_topic, message })?;
            let sent = async move { node.publish(message.pubsub_topic, message.message).await };
            Ok(call(sent).await?.0.to_vec())
        })
        .await
    }

    /// The connected peers that are subscribed to a pubsub topic over relay.
    ///
    /// Fails with `InvalidTopic`.
    pub async fn relay_peers(&self, pubsub_topic: String) -> Result<Vec<String>> {
        guarded(async move {
            let (node, topic) = (self.node()?, PubsubTopic::new(pubsub_topic)?);
            call(async move { node.relay_peers(topic).await }).await
        })
        .await
    }
}
