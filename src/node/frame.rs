//! Frames on a stream: an unsigned LEB128 length, then that many bytes.
//!
//! What must hold: memory grows with what has arrived, never with what was announced; a peer that
//! sends or takes bytes slower than [`MIN_RATE`] is given up, and one that takes none at all is
//! given up soon: what waits for it is held in memory.

use std::time::Duration;

use bytes::Bytes;
use futures::io::BufReader;
use futures::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::error::{Error, ErrorKind, Result, bail};
use crate::wire::varint::{self, Prefix};

/// What a frame may take whatever its size: room for a stalled link.
const BASE_TIMEOUT: Duration = Duration::from_secs(20);
/// The slowest link that is put up with, in bytes a second.
const MIN_RATE: usize = 16 * 1024;
/// How often it is told at least that something of a large frame has come.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// What is read, or written, at once.
const CHUNK: usize = 64 * 1024;
/// What is made ready for a frame of which nothing has come yet.
const FIRST: usize = 4 * 1024;

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

/// As [`read`], without a limit on when the frame begins; `told` hears how much of it has come,
/// now and then while a large frame comes: for each 64 KiB, or each second in which something came.
pub(super) async fn read_telling(
    from: &mut (impl AsyncRead + Unpin),
    max: usize,
    told: impl FnMut(usize),
) -> Result<Option<Bytes>> {
    read_one(from, max, None, told).await
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
    read_one(from, max, idle, |_| {}).await
}

/// The next frame, where all of it has come already. Whatever is wrong with it the next [`read`]
/// tells.
pub(super) fn take(from: &mut BufReader<impl AsyncRead + Unpin>, max: usize) -> Option<Bytes> {
    let Ok(Prefix::Frame { header, len }) = varint::read_prefix(from.buffer(), max) else {
        return None;
    };
    let end = header.checked_add(len)?;
    let frame = Bytes::copy_from_slice(from.buffer().get(header..end)?);
    from.consume_unpin(end);
    Some(frame)
}

async fn read_one(
    from: &mut (impl AsyncRead + Unpin),
    max: usize,
    idle: Option<Duration>,
    told: impl FnMut(usize),
) -> Result<Option<Bytes>> {
    let Some(length) = read_length(from, max, idle).await? else { return Ok(None) };
    Ok(Some(in_time(time_for(length), "send its frame", body(from, length, told)).await?))
}

/// The length of the next frame, for [`read_body`]: as [`read`] up to there.
///
/// # Errors
/// As for [`read`].
pub(super) async fn read_length(
    from: &mut (impl AsyncRead + Unpin),
    max: usize,
    idle: Option<Duration>,
) -> Result<Option<usize>> {
    let mut byte = [0u8; 1];
    let begun = from.read(&mut byte);
    let begun = match idle {
        Some(idle) => in_time(idle, "send a frame", begun).await?,
        None => begun.await.map_err(broke)?,
    };
    match begun {
        0 => Ok(None),
        _ => Ok(Some(length(from, byte[0], max).await?)),
    }
}

/// The frame of which [`read_length`] gave the length.
///
/// # Errors
/// As for [`read`].
pub(super) async fn read_body(from: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Bytes> {
    in_time(time_for(length), "send its frame", body(from, length, |_| {})).await
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

async fn body(
    from: &mut (impl AsyncRead + Unpin),
    length: usize,
    mut told: impl FnMut(usize),
) -> std::io::Result<Bytes> {
    let mut body = Vec::new();
    let mut filled = 0;
    let mut last = (0, Instant::now());
    while filled < length {
        if filled == body.len() {
            // Doubling what has arrived, so that the announced length alone reserves nothing.
            let step = (length - filled).min(filled.max(FIRST));
            body.resize(filled + step, 0);
        }
        let came = from.read(&mut body[filled..]).await?;
        if came == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        filled += came;
        // By the 64 KiB; on a slow line, by the second.
        let (at, when) = last;
        if filled < length && (filled - at >= CHUNK || when.elapsed() >= TELL_EVERY) {
            told(filled);
            last = (filled, Instant::now());
        }
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
    use std::pin::Pin;
    use std::task::{Context, Poll};

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
    async fn what_has_come_whole_is_taken_at_once() {
        let mut wire = Vec::new();
        for size in [3, 0, 5, 90, 1] {
            wire.extend(wire_of(&vec![size as u8; size]));
        }
        wire.push(99);
        let mut from = BufReader::with_capacity(32, Cursor::new(wire));
        let mut sizes = Vec::new();
        while let Ok(Some(frame)) = read(&mut from, 90, IDLE).await {
            sizes.push((frame.len(), true));
            while let Some(frame) = take(&mut from, 90) {
                sizes.push((frame.len(), false));
            }
        }
        // The large one is not whole in the buffer; the last, too large, is told by a read.
        let one = [(3, true), (0, false), (5, false), (90, true), (1, true)];
        assert_eq!(sizes, one);
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

    #[tokio::test(start_paused = true)]
    async fn what_has_come_of_a_large_frame_is_told() {
        let frame = vec![7; 10 * CHUNK + 5];
        let mut wire = Cursor::new(wire_of(&frame));
        let mut told = Vec::new();
        let read = read_telling(&mut wire, 1 << 20, |n| told.push(n)).await.unwrap();
        assert_eq!(read.unwrap().len(), frame.len());
        assert!(!told.is_empty() && told.len() <= 10, "{told:?}");
        assert!(told.is_sorted() && told.last().is_some_and(|n| *n < frame.len()), "{told:?}");

        // A byte in each half second: told by the second, however little it is.
        let (mut near, mut far) = pair();
        let (slow, bytes) = (Duration::from_millis(500), wire_of(&[1; 21]));
        let sending = tokio::spawn(async move {
            for byte in bytes {
                far.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(slow).await;
            }
        });
        let mut told = Vec::new();
        read_telling(&mut near, 100, |n| told.push(n)).await.unwrap().unwrap();
        assert!((8..=12).contains(&told.len()), "{told:?}");
        sending.await.unwrap();
    }

    fn wire_of(frame: &[u8]) -> Vec<u8> {
        varint::prefixed(frame)
    }

    /// Two ends of a pipe that holds little.
    fn pair() -> (Pipe, Pipe) {
        let (a, b) = tokio::io::duplex(CHUNK);
        (Pipe(a), Pipe(b))
    }

    struct Pipe(tokio::io::DuplexStream);

    impl AsyncRead for Pipe {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            to: &mut [u8],
        ) -> Poll<std::io::Result<usize>> {
            let mut to = tokio::io::ReadBuf::new(to);
            match tokio::io::AsyncRead::poll_read(Pin::new(&mut self.0), cx, &mut to) {
                Poll::Ready(read) => Poll::Ready(read.map(|()| to.filled().len())),
                Poll::Pending => Poll::Pending,
            }
        }
    }

    impl AsyncWrite for Pipe {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            from: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            tokio::io::AsyncWrite::poll_write(Pin::new(&mut self.0), cx, from)
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            tokio::io::AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
        }
        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.0), cx)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut_after_the_base_time() {
        let (mut near, far) = pair();
        let frame = Bytes::from(vec![7; 32 * CHUNK]);
        let begun = Instant::now();
        let error = write(&mut near, &[frame]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.message().contains("reads nothing"), "{error}");
        // By its size alone the frame might take two minutes more.
        assert_eq!(begun.elapsed(), BASE_TIMEOUT);
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_takes_a_chunk_now_and_then_is_put_up_with() {
        let (mut near, mut far) = pair();
        let frame = Bytes::from(vec![7; 8 * CHUNK]);
        let size = wire_of(&frame).len();
        let reading = tokio::spawn(async move {
            let (mut buffer, mut read) = (vec![0; CHUNK], 0);
            while read < size {
                tokio::time::sleep(Duration::from_secs(4)).await;
                read += far.read(&mut buffer).await.unwrap();
            }
        });
        let begun = Instant::now();
        write(&mut near, &[frame]).await.unwrap();
        assert!(begun.elapsed() > BASE_TIMEOUT, "{:?}", begun.elapsed());
        reading.await.unwrap();
    }

    struct Never;
    impl AsyncRead for Never {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<std::io::Result<usize>> {
            Poll::Pending
        }
    }
}
