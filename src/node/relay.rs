//! `/vac/waku/relay/2.0.0` (11/WAKU2-RELAY): gossipsub as Waku nodes speak it. Messages are signed by
//! nobody, a message's id is the SHA-256 of its bytes, and its topic is the pubsub topic.
//!
//! What must hold: nothing is passed on that has not been judged (`relay_intake`); what peers can
//! make grow here is bounded: the topics that one may subscribe to and their names, the size of a
//! frame, the messages that wait to be judged.

use std::time::Duration;

use libp2p::gossipsub::{
    self, ConfigBuilder, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter,
    MessageAuthenticity, MessageId, PublishError, TopicHash, TopicSubscriptionFilter,
    ValidationMode, Version,
};
use libp2p::swarm::behaviour::toggle::Toggle;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::types::{MAX_MESSAGE_SIZE, PubsubTopic};
use crate::wire;

/// What gossip around the largest message may take in one frame.
const FRAME_OVERHEAD: usize = 64 * 1024;
/// Topics that one peer may be subscribed to; a network has some thousand shards at the most.
const MAX_TOPICS: usize = 2048;
/// The longest name of a topic that a peer may be subscribed to. (Those of shards have 30.)
const MAX_TOPIC_NAME: usize = 256;
/// Messages that wait for one peer's connection. What a slow peer does not take is left out for it.
const QUEUE: usize = 1024;

/// Gossipsub with our bounds.
pub(super) type Gossip =
    gossipsub::Behaviour<IdentityTransform, MaxCountSubscriptionFilter<PubsubTopics>>;

/// Names of topics that are remembered of a peer: such as a pubsub topic can have. Gossipsub by
/// itself keeps any name that fits a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct PubsubTopics;

impl TopicSubscriptionFilter for PubsubTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        (1..=MAX_TOPIC_NAME).contains(&topic.as_str().len())
    }
}

/// The behaviour; off for a node that does not relay.
///
/// # Errors
/// [`ErrorKind::Internal`] where gossipsub does not take these parameters.
pub(super) fn build(relay: bool) -> Result<Toggle<Gossip>> {
    if !relay {
        return Ok(Toggle::from(None));
    }
    let broken = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, format!("relay: {e}"));
    let config = ConfigBuilder::default()
        .protocol_id(wire::RELAY_PROTOCOL, Version::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| MessageId::new(&Sha256::digest(&message.data)))
        .max_transmit_size(MAX_MESSAGE_SIZE + FRAME_OVERHEAD)
        .mesh_n(6)
        .mesh_n_low(4)
        .mesh_n_high(8)
        .gossip_lazy(6)
        .heartbeat_interval(Duration::from_secs(1))
        .history_length(6)
        .history_gossip(3)
        .fanout_ttl(Duration::from_secs(60))
        .duplicate_cache_time(Duration::from_secs(120))
        .flood_publish(true)
        .connection_handler_queue_len(QUEUE)
        .build()
        .map_err(|e| broken(&e))?;
    let filter = MaxCountSubscriptionFilter {
        filter: PubsubTopics,
        max_subscribed_topics: MAX_TOPICS,
        max_subscriptions_per_request: MAX_TOPICS,
    };
    let gossip =
        Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
            .map_err(|e| broken(&e))?;
    Ok(Toggle::from(Some(gossip)))
}

/// What the swarm's task is asked of relay.
pub(super) enum Wish {
    /// Take part in this topic.
    Subscribe,
    /// No more.
    Unsubscribe,
    /// Send these bytes to all.
    Publish(Vec<u8>),
}

/// Does what was asked.
///
/// # Errors
/// [`ErrorKind::NoRelayPeers`] where nobody took a message, [`ErrorKind::MessageTooLarge`],
/// [`ErrorKind::Unsupported`] where the node does not relay.
pub(super) fn fulfil(gossip: &mut Toggle<Gossip>, topic: &PubsubTopic, wish: Wish) -> Result<()> {
    let Some(gossip) = gossip.as_mut() else { return Err(off()) };
    let name = IdentTopic::new(topic.as_str());
    match wish {
        Wish::Subscribe => gossip.subscribe(&name).map(|_| ()).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("relay: cannot subscribe to {topic}: {e:?}"))
        }),
        Wish::Unsubscribe => {
            gossip.unsubscribe(&name);
            Ok(())
        }
        Wish::Publish(bytes) => match gossip.publish(name, bytes) {
            // It is on its way already.
            Ok(_) | Err(PublishError::Duplicate) => Ok(()),
            Err(e @ PublishError::MessageTooLarge) => {
                Err(Error::new(ErrorKind::MessageTooLarge, format!("relay: {e}")))
            }
            Err(PublishError::NoPeersSubscribedToTopic) => Err(Error::new(
                ErrorKind::NoRelayPeers,
                format!("no connected peer is subscribed to {topic}"),
            )),
            Err(PublishError::AllQueuesFull(peers)) => Err(Error::new(
                ErrorKind::NoRelayPeers,
                format!("none of the {peers} peers of {topic} takes messages fast enough"),
            )),
            Err(e) => Err(Error::new(ErrorKind::Internal, format!("relay: {e}"))),
        },
    }
}

/// The connected peers that are subscribed to a topic.
pub(super) fn peers(gossip: &Toggle<Gossip>, topic: &PubsubTopic) -> Vec<String> {
    let Some(gossip) = gossip.as_ref() else { return Vec::new() };
    let topic = TopicHash::from_raw(topic.as_str());
    let subscribed = gossip.all_peers().filter(|(_, topics)| topics.contains(&&topic));
    subscribed.map(|(peer, _)| peer.to_string()).collect()
}

pub(super) fn off() -> Error {
    Error::new(ErrorKind::Unsupported, "this node was started without relay")
}
