//! Unsigned LEB128, and the length prefix of every frame.
//!
//! Every libp2p stream of these protocols carries frames: an unsigned LEB128 length, then that many
//! bytes. What is read must be minimal (no trailing zero groups) and fit 64 bits, so that every
//! number has one form. Nothing here reserves memory by a length that a peer announced: a
//! [`FrameDecoder`] holds the bytes that came, and never more than one frame's worth is wanted.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{Result, bail};

/// The most bytes that a number takes.
pub const MAX_LEN: usize = 10;

/// How many bytes [`write()`] takes for this number: 1 to [`MAX_LEN`].
pub fn encoded_len(value: u64) -> usize {
    let bits = (64 - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

/// Appends the number.
pub fn write(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a number from the front of `bytes` and moves past it; on an error `bytes` is as it was.
///
/// # Errors
/// [`crate::ErrorKind::Truncated`] where the bytes end within the number;
/// [`crate::ErrorKind::Malformed`] where it is not minimal or does not fit 64 bits.
pub fn read(bytes: &mut &[u8]) -> Result<u64> {
    match peek(bytes)? {
        Some((value, len)) => {
            *bytes = &bytes[len..];
            Ok(value)
        }
        None => bail!(Truncated, "the bytes end within a number"),
    }
}

/// The number at the front and its length; `None` where more bytes are needed to tell.
fn peek(bytes: &[u8]) -> Result<Option<(u64, usize)>> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(MAX_LEN).enumerate() {
        let group = u64::from(byte & 0x7f);
        if i == MAX_LEN - 1 && byte > 1 {
            bail!(Malformed, "a number does not fit 64 bits");
        }
        value |= group << (7 * i);
        if byte & 0x80 == 0 {
            if byte == 0 && i > 0 {
                bail!(Malformed, "a number is not written in its shortest form");
            }
            return Ok(Some((value, i + 1)));
        }
    }
    Ok(None)
}

/// What the first bytes of a frame tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prefix {
    /// The length itself is not complete: read at least one byte more.
    Incomplete,
    /// The frame's `len` bytes begin after `header` bytes.
    Frame {
        /// Bytes of the length prefix.
        header: usize,
        /// Bytes of the frame, without the prefix; at most the `max` that was given.
        len: usize,
    },
}

/// Reads a frame's length prefix. Fails as soon as the bytes cannot become one any more.
///
/// # Errors
/// [`crate::ErrorKind::FrameTooLarge`] where the frame is longer than `max` bytes;
/// [`crate::ErrorKind::Malformed`] where the length is not a minimal number of 64 bits.
pub fn read_prefix(bytes: &[u8], max: usize) -> Result<Prefix> {
    let Some((len, header)) = peek(bytes)? else { return Ok(Prefix::Incomplete) };
    match usize::try_from(len) {
        Ok(len) if len <= max => Ok(Prefix::Frame { header, len }),
        _ => bail!(FrameTooLarge, "a frame is {len} bytes long, at most {max} are allowed"),
    }
}

/// The frame with its length before it: what goes on a stream.
pub fn prefixed(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.len() + MAX_LEN);
    write(frame.len() as u64, &mut out);
    out.extend_from_slice(frame);
    out
}

/// The length prefix alone, for a frame of so many bytes.
pub fn prefix(len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAX_LEN);
    write(len as u64, &mut out);
    out
}

/// Cuts the bytes of a stream, in whatever pieces they come, into frames.
///
/// Give what was read to [`FrameDecoder::extend`] and take all frames by
/// [`FrameDecoder::next_frame`] before reading on: then no more than a frame and a piece is held.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    max: usize,
}

impl FrameDecoder {
    /// Takes frames of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        FrameDecoder { buffer: BytesMut::new(), max }
    }

    /// Appends what was read.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, without its prefix; `None` where more bytes are needed.
    ///
    /// # Errors
    /// As for [`read_prefix`]. The stream cannot be read on after an error.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>> {
        match read_prefix(&self.buffer, self.max)? {
            Prefix::Frame { header, len } if self.buffer.len() - header >= len => {
                self.buffer.advance(header);
                Ok(Some(self.buffer.split_to(len).freeze()))
            }
            _ => Ok(None),
        }
    }

    /// How many bytes the frame that has begun still needs, at least 1. Never more than `max` and
    /// a prefix.
    ///
    /// # Errors
    /// As for [`read_prefix`].
    pub fn wanted(&self) -> Result<usize> {
        Ok(match read_prefix(&self.buffer, self.max)? {
            Prefix::Incomplete => 1,
            Prefix::Frame { header, len } => (header + len).saturating_sub(self.buffer.len()),
        })
    }

    /// Whether the stream may end here: no frame has begun.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn numbers_are_read_back_with_their_length() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, i64::MAX as u64, u64::MAX] {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!(out.len(), encoded_len(value));
            let mut rest = &out[..];
            assert_eq!(read(&mut rest).unwrap(), value);
            assert!(rest.is_empty());
            let mut short = &out[..out.len() - 1];
            assert_eq!(read(&mut short).unwrap_err().kind(), ErrorKind::Truncated);
            assert_eq!(short.len(), out.len() - 1);
        }
    }

    #[test]
    fn only_the_shortest_form_is_taken() {
        for bad in [&[0x80, 0x00][..], &[0xff, 0x80, 0x00], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(read(&mut &*bad).unwrap_err().kind(), ErrorKind::Malformed, "{bad:?}");
        }
        let mut sixty_five_bits = [0xff; 10];
        sixty_five_bits[9] = 2;
        assert_eq!(read(&mut &sixty_five_bits[..]).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_prefix_alone() {
        assert_eq!(read_prefix(&[], 9).unwrap(), Prefix::Incomplete);
        assert_eq!(read_prefix(&[0x80], 9).unwrap(), Prefix::Incomplete);
        assert_eq!(read_prefix(&[9], 9).unwrap(), Prefix::Frame { header: 1, len: 9 });
        assert_eq!(read_prefix(&[10], 9).unwrap_err().kind(), ErrorKind::FrameTooLarge);
        assert_eq!(read_prefix(&[0xff; 10], 9).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn frames_come_out_of_any_pieces() {
        let frames: [&[u8]; 4] = [b"", b"a", &[7; 300], b"end"];
        let stream: Vec<u8> = frames.iter().flat_map(|f| prefixed(f)).collect();
        assert_eq!(prefixed(&[7; 300])[..2], prefix(300)[..]);
        for piece in 1..stream.len() {
            let mut decoder = FrameDecoder::new(300);
            let mut got = Vec::new();
            for bytes in stream.chunks(piece) {
                decoder.extend(bytes);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    got.push(frame);
                }
                assert!(decoder.wanted().unwrap() >= 1);
            }
            assert!(decoder.is_empty());
            assert_eq!(got, frames);
        }
    }

    #[test]
    fn reading_exactly_what_is_wanted_never_reads_past_a_frame() {
        let stream = prefixed(&[7; 300]);
        let mut decoder = FrameDecoder::new(300);
        let mut read = 0;
        let frame = loop {
            let wanted = decoder.wanted().unwrap();
            decoder.extend(&stream[read..read + wanted]);
            read += wanted;
            if let Some(frame) = decoder.next_frame().unwrap() {
                break frame;
            }
        };
        assert_eq!((frame.len(), read, decoder.is_empty()), (300, stream.len(), true));
    }
}
