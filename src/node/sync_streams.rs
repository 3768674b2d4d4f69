//! The streams of sync: each runs in a task of its own, so that a slow peer holds up no other.
//!
//! What must hold: a reader hands over one frame (of transfer: those that have come with it, within
//! [`READ_CHUNK`]) and reads on only when it is told to, so that what a peer sends waits in its
//! socket and not in our memory.

use std::sync::Arc;

use bytes::Bytes;
use futures::io::BufReader;
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::frame;
use super::peers::StreamPermit;
use super::shared::Shared;
use super::stream::{CLOSE_TIMEOUT, Stream};
use super::sync_input::Input;
use crate::engine::SessionId;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::transfer;

/// Frames of transfer that are written, and reported written, at once; in bytes.
const WRITE_CHUNK: usize = 64 * 1024;

/// What is read of a transfer stream at once. Messages are mostly small: handed over one by one,
/// each would cost two changes of task.
const READ_CHUNK: usize = 32 * 1024;

/// The way to the sync task.
pub(super) type Inputs = mpsc::UnboundedSender<Input>;

/// Tells a reader to read on; dropped, to stop.
pub(super) type ReadOn = oneshot::Sender<()>;

/// Opens a stream for a reconciliation of ours and runs it.
pub(super) async fn open_reconciliation(
    shared: Arc<Shared>,
    session: SessionId,
    peer: PeerId,
    protocol: &'static str,
    frames: mpsc::UnboundedReceiver<Bytes>,
    max_frame: usize,
) {
    match shared.open(peer, protocol).await {
        Ok(stream) => {
            reconcile(session, stream, frames, shared.sync.clone(), max_frame, None).await;
        }
        Err(error) => {
            let _ = shared.sync.send(Input::OpenFailed { session, error });
        }
    }
}

/// Runs a session's reconciliation stream: frames both ways, until both sides have closed it.
pub(super) async fn reconcile(
    session: SessionId,
    stream: Stream,
    mut frames: mpsc::UnboundedReceiver<Bytes>,
    inputs: Inputs,
    max_frame: usize,
    _permit: Option<StreamPermit>,
) {
    let (mut reader, mut writer) = stream.split();
    let writing = async {
        while let Some(frame) = frames.recv().await {
            frame::write(&mut writer, &[frame]).await?;
        }
        // The session is done with the stream. How closing it goes is of no interest any more.
        let _ = timeout(CLOSE_TIMEOUT, writer.close()).await;
        Ok::<_, Error>(())
    };
    let reading = async {
        // How long the peer may take is the session's to say: it closes the stream.
        let progress = |bytes| {
            let _ = inputs.send(Input::ReconciliationProgress { session, bytes });
        };
        while let Some(frame) = frame::read_telling(&mut reader, max_frame, progress).await? {
            let (go_on, read_on) = oneshot::channel();
            let input = Input::ReconciliationFrame { session, frame, go_on };
            if inputs.send(input).is_err() || read_on.await.is_err() {
                break;
            }
        }
        Ok::<_, Error>(())
    };
    tokio::pin!(writing, reading);
    let closed = |error| {
        let _ = inputs.send(Input::ReconciliationClosed { session, error });
    };
    tokio::select! {
        written = &mut writing => match written {
            // The peer may have a word on its way; after that it closes too.
            Ok(()) => closed(timeout(CLOSE_TIMEOUT, reading).await.ok().and_then(Result::err)),
            Err(error) => closed(Some(error)),
        },
        read = &mut reading => {
            closed(read.err());
            let _ = writing.await;
        }
    }
}

/// Reads one of a peer's transfer streams. A peer may keep it open for later sessions.
pub(super) async fn receive(
    shared: Arc<Shared>,
    peer: PeerId,
    stream: Stream,
    _permit: StreamPermit,
) {
    let (inputs, traffic) = (&shared.sync, &shared.traffic);
    let mut stream = BufReader::with_capacity(READ_CHUNK, stream);
    loop {
        // Held while it waits for a frame: nothing of it is read then. In the middle of one: it is
        // read to its end.
        let reading = traffic.may_read().await;
        tokio::select! {
            biased;
            // What is wrong with the stream, the read below tells.
            _ = stream.fill_buf() => {}
            () = traffic.held() => continue,
        }
        match frame::read(&mut stream, transfer::MAX_FRAME, None).await {
            Ok(Some(frame)) => {
                let mut frames = vec![frame];
                while let Some(next) = frame::take(&mut stream, transfer::MAX_FRAME) {
                    frames.push(next);
                }
                let (go_on, read_on) = oneshot::channel();
                let input = Input::TransferFrames { peer, frames, reading, go_on };
                if inputs.send(input).is_err() || read_on.await.is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%peer, "a transfer stream broke: {error}");
                if matches!(error.kind(), ErrorKind::FrameTooLarge | ErrorKind::Malformed) {
                    let _ = inputs.send(Input::BadFrame { peer });
                }
                break;
            }
        }
    }
    let _ = inputs.send(Input::TransferClosed { peer });
    stream.into_inner().finish().await;
}

/// Opens a session's transfer stream and writes what it is given, until there is no more to come
/// or it is told to give up.
pub(super) async fn send(
    shared: Arc<Shared>,
    session: SessionId,
    peer: PeerId,
    frames: mpsc::UnboundedReceiver<Vec<Bytes>>,
    give_up: oneshot::Receiver<()>,
) {
    tokio::select! {
        biased;
        // Dropped rather than told: then all is to be sent.
        Ok(()) = give_up => {}
        sent = send_all(&shared, session, peer, frames) => {
            if let Err(error) = sent {
                let _ = shared.sync.send(Input::TransferFailed { session, error });
            }
        }
    }
}

async fn send_all(
    shared: &Shared,
    session: SessionId,
    peer: PeerId,
    mut frames: mpsc::UnboundedReceiver<Vec<Bytes>>,
) -> Result<()> {
    let mut stream = shared.open(peer, transfer::PROTOCOL).await?;
    while let Some(mut batch) = frames.recv().await {
        while let Ok(more) = frames.try_recv() {
            batch.extend(more);
        }
        let mut rest = &batch[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(chunk(rest));
            frame::write(&mut stream, now).await?;
            let _ = shared.sync.send(Input::TransferSent { session, frames: now.len() });
            rest = later;
        }
    }
    stream.finish().await;
    Ok(())
}

/// How many of these frames make one write: at least one.
fn chunk(frames: &[Bytes]) -> usize {
    let mut bytes = 0;
    let fits = frames.iter().take_while(|frame| {
        bytes += frame.len();
        bytes <= WRITE_CHUNK
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_chunk_is_never_empty() {
        let frame = |n: usize| Bytes::from(vec![0; n]);
        assert_eq!(chunk(&[frame(WRITE_CHUNK * 2), frame(1)]), 1);
        assert_eq!(chunk(&[frame(WRITE_CHUNK / 2), frame(WRITE_CHUNK / 2), frame(1)]), 2);
        assert_eq!(chunk(&[frame(1)]), 1);
    }
}
