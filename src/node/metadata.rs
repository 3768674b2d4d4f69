//! `/vac/waku/metadata/1.0.0`: which cluster the other side belongs to, asked by both on connecting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;

use super::frame;
use super::peers::StreamPermit;
use super::shared::{Command, Shared};
use super::stream::Stream;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::metadata::{MAX_FRAME, Metadata, PROTOCOL};

/// How long a peer may take to answer before it is taken in without.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What was learned of a peer.
pub(super) enum Answer {
    /// It told.
    Told(Metadata),
    /// It does not speak metadata, or did not answer.
    Silent,
}

/// Whether a peer that tells this belongs to our cluster. One that names none is let be.
pub(super) fn judge(ours: u32, told: &Answer) -> Result<()> {
    match told {
        Answer::Told(Metadata { cluster_id: Some(theirs), .. }) if *theirs != ours => {
            Err(Error::new(
                ErrorKind::OtherCluster,
                format!("the peer belongs to cluster {theirs}, this node to cluster {ours}"),
            ))
        }
        _ => Ok(()),
    }
}

/// Asks a peer that has just connected and tells the swarm's task.
pub(super) async fn ask(shared: Arc<Shared>, peer: PeerId, ours: Bytes) {
    // A dial waits for this, so it must not take all of the dial's time.
    let limit = ANSWER_TIMEOUT.min(shared.request_timeout / 2);
    let asked = tokio::time::timeout(limit, async {
        let mut stream = shared.open(peer, PROTOCOL).await?;
        frame::write(&mut stream, &[ours]).await?;
        frame::read(&mut stream, MAX_FRAME, None).await
    });
    let answer = match asked.await {
        Ok(Ok(Some(answer))) => match Metadata::decode(&answer) {
            Ok(told) => Answer::Told(told),
            Err(e) => {
                tracing::debug!(%peer, "bad metadata: {e}");
                Answer::Silent
            }
        },
        Ok(Err(e)) => {
            tracing::debug!(%peer, "no metadata: {e}");
            Answer::Silent
        }
        Ok(Ok(None)) | Err(_) => Answer::Silent,
    };
    // It fails only where the node stops.
    let _ = shared.commands.send(Command::Metadata { peer, answer }).await;
}

/// Answers a peer's question; what it told of itself goes to the swarm's task.
pub(super) async fn serve(
    shared: Arc<Shared>,
    peer: PeerId,
    mut stream: Stream,
    ours: Bytes,
    _permit: StreamPermit,
) {
    let served = async {
        let Some(question) = frame::read(&mut stream, MAX_FRAME, Some(ANSWER_TIMEOUT)).await?
        else {
            return Ok(None);
        };
        let told = Metadata::decode(&question)?;
        frame::write(&mut stream, &[ours]).await?;
        Ok::<_, Error>(Some(told))
    };
    let told = served.await;
    stream.finish().await;
    match told {
        Ok(Some(told)) => {
            let answer = Answer::Told(told);
            let _ = shared.commands.send(Command::Metadata { peer, answer }).await;
        }
        Ok(None) => {}
        Err(e) => tracing::debug!(%peer, "bad metadata question: {e}"),
    }
}
