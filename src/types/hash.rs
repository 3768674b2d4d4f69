//! The message hash: 32 bytes that name a message everywhere.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use crate::error::{Error, ErrorKind, Result};

/// The deterministic message hash of 14/WAKU2-MESSAGE. Ordered as unsigned bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MessageHash(pub [u8; 32]);

impl MessageHash {
    /// The lowest hash; no message has it, and the protocols use it to mean "none".
    pub const ZERO: MessageHash = MessageHash([0; 32]);
    /// The highest hash.
    pub const MAX: MessageHash = MessageHash([0xff; 32]);

    /// The hash in `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidHash`] unless there are exactly 32.
    #[inline]
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        <[u8; 32]>::try_from(bytes).map(MessageHash).map_err(|_| {
            Error::new(
                ErrorKind::InvalidHash,
                format!("a message hash is 32 bytes long, this one is {}", bytes.len()),
            )
        })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Lower-case hex, 64 digits.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl FromStr for MessageHash {
    type Err = Error;

    /// 64 hex digits, with or without a leading `0x`.
    fn from_str(s: &str) -> Result<Self> {
        let digits = s.strip_prefix("0x").unwrap_or(s);
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|e| {
            Error::new(ErrorKind::InvalidHash, format!("a message hash is 64 hex digits: {e}"))
        })?;
        MessageHash::from_slice(&bytes)
    }
}

impl fmt::Debug for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", HEXLOWER.encode(&self.0[..6]))
    }
}

impl fmt::Display for MessageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_lengths_are_refused() {
        for n in [0, 31, 33] {
            let e = MessageHash::from_slice(&vec![0; n]).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidHash);
        }
    }

    #[test]
    fn hex_round_trip() {
        let h = MessageHash([0xab; 32]);
        assert_eq!(h.to_hex().parse::<MessageHash>().unwrap(), h);
        assert_eq!(format!("0x{}", h.to_hex().to_uppercase()).parse::<MessageHash>().unwrap(), h);
        assert!("xyz".parse::<MessageHash>().is_err());
    }
}
