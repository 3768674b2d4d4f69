//! What comes over relay on its way to the archive, and the judgement whether it is passed on.
//!
//! What must hold: the swarm's task never waits for this; what waits is bounded in bytes, and beyond
//! that messages are let go (not passed on, and no fault of the peer's: sync will find them). A
//! message that is no WakuMessage, is too large, or that the host's validator refuses is rejected,
//! which costs the peer. One that the archive cannot take for other reasons (it is ephemeral, its
//! clock is off) is passed on all the same: relay's rules are not the archive's. Without a validator
//! nothing waits for a commit before it is passed on; with one, everything does.

use std::sync::Arc;

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::gossipsub::{Message, MessageAcceptance, MessageId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::shared::{Command, Shared};
use crate::archive::PutOutcome;
use crate::error::ErrorKind;
use crate::types::{MAX_MESSAGE_SIZE, Origin, PubsubTopic, StoredMessage};
use crate::wire;

/// What may wait to be judged and stored, in KiB.
const MAX_WAITING_KIB: usize = 32 * 1024;
/// Messages that are put together.
const MAX_BATCH: usize = 512;

/// Which message, from whom.
pub(super) struct Judged {
    pub(super) id: MessageId,
    pub(super) from: PeerId,
    pub(super) acceptance: MessageAcceptance,
    /// It is nothing that a peer which looks at what it passes on would pass on.
    pub(super) is_fault: bool,
}

/// A message that came.
struct Arrived {
    id: MessageId,
    from: PeerId,
    topic: String,
    data: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The swarm's end.
pub(super) struct Intake {
    room: Arc<Semaphore>,
    arrived: mpsc::UnboundedSender<Arrived>,
}

impl Intake {
    /// Takes a message in; false where too much waits already.
    pub(super) fn take(&self, id: MessageId, from: PeerId, message: Message) -> bool {
        let kib = u32::try_from(message.data.len() / 1024 + 1).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(kib) else { return false };
        let (topic, data) = (message.topic.into_string(), Bytes::from(message.data));
        self.arrived.send(Arrived { id, from, topic, data, _room: room }).is_ok()
    }
}

/// Begins to take in what comes.
pub(super) fn begin(shared: &Arc<Shared>) -> Intake {
    let (arrived, coming) = mpsc::unbounded_channel();
    shared.tasks.spawn(run(shared.clone(), coming));
    Intake { room: Arc::new(Semaphore::new(MAX_WAITING_KIB)), arrived }
}

async fn run(shared: Arc<Shared>, mut coming: mpsc::UnboundedReceiver<Arrived>) {
    let waits = shared.archive.has_validator();
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while coming.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let mut judged = Vec::with_capacity(batch.len());
        let mut messages = Vec::with_capacity(batch.len());
        let mut rooms = Vec::with_capacity(batch.len());
        for Arrived { id, from, topic, data, _room } in batch.drain(..) {
            let (acceptance, is_fault) = match read(&topic, data) {
                Ok(message) => {
                    messages.push((judged.len(), message));
                    rooms.push(_room);
                    (MessageAcceptance::Accept, false)
                }
                Err(e) => {
                    tracing::debug!(peer = %from, "relay: {e}");
                    (MessageAcceptance::Reject, true)
                }
            };
            judged.push(Judged { id, from, acceptance, is_fault });
        }
        if !waits {
            tell(&shared, std::mem::take(&mut judged)).await;
        }
        let (places, messages): (Vec<usize>, Vec<StoredMessage>) = messages.into_iter().unzip();
        match shared.archive.put(messages, Origin::Live).await {
            Ok(outcomes) if waits => {
                for (place, outcome) in places.into_iter().zip(outcomes) {
                    judged[place].acceptance = judge(&outcome);
                }
            }
            Ok(_) => {}
            Err(e) => {
                tracing::warn!("what came over relay could not be stored: {e}");
                // Whether the validator would take it is not known.
                for place in places {
                    if let Some(judged) = judged.get_mut(place) {
                        judged.acceptance = MessageAcceptance::Ignore;
                    }
                }
            }
        }
        drop(rooms);
        if waits {
            tell(&shared, judged).await;
        }
    }
}

/// It fails only where the node stops.
async fn tell(shared: &Shared, judged: Vec<Judged>) {
    if !judged.is_empty() {
        let _ = shared.commands.send(Command::Judged(judged)).await;
    }
}

fn read(topic: &str, data: Bytes) -> crate::error::Result<StoredMessage> {
    if data.len() > MAX_MESSAGE_SIZE {
        crate::error::bail!(MessageTooLarge, "a message of {} bytes", data.len());
    }
    let message = wire::message::decode_shared(data)?;
    Ok(StoredMessage::new(PubsubTopic::new(topic)?, message))
}

/// With a validator: what it let pass is passed on.
fn judge(outcome: &PutOutcome) -> MessageAcceptance {
    match outcome {
        PutOutcome::Stored | PutOutcome::Duplicate => MessageAcceptance::Accept,
        PutOutcome::Refused(e) => match e.kind() {
            ErrorKind::ValidatorRefused | ErrorKind::MetaTooLarge => MessageAcceptance::Reject,
            // Never seen by the validator, or not known yet: it is not for us to pass on.
            _ => MessageAcceptance::Ignore,
        },
    }
}
