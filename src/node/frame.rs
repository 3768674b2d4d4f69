//! Frames on a stream: an unsigned LEB128 length, then that many bytes.
//!
//! What must hold: memory grows with what has arrived, never with what was announced; a peer that
//! sends or takes bytes slower than [`MIN_RATE`] is given up, and one that takes none at all is
//! given up soon: what waits for it is held in memory.

use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::error::{Error, ErrorKind, Result, bail};
use crate::wire::varint::{self, Prefix};

/// What a frame may take whatever its size: room for a stalled link.
const BASE_TIMEOUT: Duration = Duration::from_secs(20);
/// The slowest link that is put up with, in bytes a second.
const MIN_RATE: usize = 16 * 1024;
/// What is read, or written, at once.
const CHUNK: usize = 64 * 1024;

fn time_for(bytes: usize) -> Duration {
    BASE_TIMEOUT + Duration::from_secs((bytes / MIN_RATE) as u64)
}

fn broke(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Truncated, "the stream ended in the middle of a frame")
        }
        std::io::ErrorKind::TimedOut => Error::new(ErrorKind::TimedOut, error.to_string()),
        _ => Error::new(ErrorKind::StreamClosed, format!("the stream broke: {error}")),
    }
}

async fn in_time<T>(
    limit: Duration,
    what: &str,
    doing: impl Future<Output = std::io::Result<T>>,
) -> Result<T> {
    match timeout(limit, doing).await {
        Ok(done) => done.map_err(broke),
        Err(_) => bail!(TimedOut, "the peer did not {what} within {} s", limit.as_secs()),
    }
}

/// The next frame; `None` where the stream ends before one begins. `idle` is how long it may take
/// to begin; for ever, where there is none.
///
/// # Errors
/// [`ErrorKind::FrameTooLarge`] beyond `max` bytes, [`ErrorKind::Truncated`], [`ErrorKind::Malformed`]
/// for a bad length, [`ErrorKind::TimedOut`], [`ErrorKind::StreamClosed`].
pub(super) async fn read(
    from: &mut (impl AsyncRead + Unpin),
    max: usize,
    idle: Option<Duration>,
) -> Result<Option<Bytes>> {
    let mut byte = [0u8; 1];
    let begun = from.read(&mut byte);
    let begun = match idle {
        Some(idle) => in_time(idle, "send a frame", begun).await?,
        None => begun.await.map_err(broke)?,
    };
    if begun == 0 {
        return Ok(None);
    }
    let length = length(from, byte[0], max).await?;
    Ok(Some(in_time(time_for(length), "send its frame", body(from, length)).await?))
}

/// Reads the rest of a length that begins with `first`.
async fn length(from: &mut (impl AsyncRead + Unpin), first: u8, max: usize) -> Result<usize> {
    let mut prefix = vec![first];
    loop {
        if let Prefix::Frame { len, .. } = varint::read_prefix(&prefix, max)? {
            return Ok(len);
        }
        let mut byte = [0u8; 1];
        in_time(BASE_TIMEOUT, "send its frame", from.read_exact(&mut byte)).await?;
        prefix.push(byte[0]);
    }
}

async fn body(from: &mut (impl AsyncRead + Unpin), length: usize) -> std::io::Result<Bytes> {
    let mut body = Vec::new();
    while body.len() < length {
        let filled = body.len();
        // Doubling what has arrived, so that the announced length alone reserves nothing.
        let step = (length - filled).min(filled.max(CHUNK));
        body.resize(filled + step, 0);
        from.read_exact(&mut body[filled..]).await?;
    }
    Ok(Bytes::from(body))
}

/// Writes frames and flushes once.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), frames: &[Bytes]) -> Result<()> {
    let total = frames.iter().map(Bytes::len).sum();
    in_time(time_for(total), "take the frame", async {
        // Small frames share a packet with their length and with each other.
        let mut buffer = Vec::new();
        for frame in frames {
            varint::write(frame.len() as u64, &mut buffer);
            if buffer.len() + frame.len() <= CHUNK {
                buffer.extend_from_slice(frame);
            } else {
                steadily(to, &buffer).await?;
                buffer.clear();
                steadily(to, frame).await?;
            }
        }
        steadily(to, &buffer).await?;
        to.flush().await
    })
    .await
}

/// Writes all, and gives up where a part of it is not taken in time.
async fn steadily(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    for part in bytes.chunks(CHUNK) {
        let stalled =
            || std::io::Error::new(std::io::ErrorKind::TimedOut, "the peer reads nothing");
        timeout(BASE_TIMEOUT, to.write_all(part)).await.map_err(|_| stalled())??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use futures::io::Cursor;

    use super::*;

    const IDLE: Option<Duration> = Some(Duration::from_secs(1));

    async fn from(bytes: &[u8], max: usize) -> Result<Option<Bytes>> {
        read(&mut Cursor::new(bytes), max, IDLE).await
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let frames: Vec<Bytes> =
            [0, 1, 127, 128, CHUNK - 3, CHUNK, 3 * CHUNK + 1].map(|n| vec![7; n].into()).to_vec();
        let mut wire = Cursor::new(Vec::new());
        write(&mut wire, &frames).await.unwrap();
        wire.set_position(0);
        for frame in &frames {
            assert_eq!(read(&mut wire, 1 << 20, IDLE).await.unwrap().as_ref(), Some(frame));
        }
        assert_eq!(read(&mut wire, 1 << 20, IDLE).await.unwrap(), None);
    }

    #[tokio::test]
    async fn bad_frames_are_named() {
        assert_eq!(from(&[], 10).await.unwrap(), None);
        assert_eq!(from(&[5, 1, 2], 10).await.unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(from(&[0x80], 10).await.unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(from(&[11], 10).await.unwrap_err().kind(), ErrorKind::FrameTooLarge);
        assert_eq!(from(&[0xff; 20], 10).await.unwrap_err().kind(), ErrorKind::Malformed);
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(
            from(&huge, usize::MAX >> 1).await.unwrap_err().kind(),
            ErrorKind::FrameTooLarge
        );
    }

    #[tokio::test]
    async fn an_announced_length_alone_reserves_nothing() {
        // 2^40 bytes announced, three sent: reserving first would fail to allocate.
        let mut bytes = Vec::new();
        varint::write(1 << 40, &mut bytes);
        bytes.extend([1, 2, 3]);
        assert_eq!(from(&bytes, 1 << 41).await.unwrap_err().kind(), ErrorKind::Truncated);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_peer_that_stalls_is_given_up() {
        tokio::time::timeout(Duration::from_secs(5), async {
            let mut never = futures::io::BufReader::new(Never);
            let error = read(&mut never, 10, Some(Duration::from_millis(20))).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        })
        .await
        .unwrap();
    }

    struct Never;
    impl AsyncRead for Never {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::task::Poll::Pending
        }
    }
}
