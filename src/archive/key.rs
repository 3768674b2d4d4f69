//! The key of an encrypted archive. It prints nothing of itself and is overwritten when dropped.

use std::fmt;
use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::error::{Result, bail};

/// The longest passphrase, in bytes.
const MAX_PASSPHRASE: usize = 4_096;

/// What an archive is encrypted with; see [`crate::archive::SqliteConfig::key`].
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Secret);

#[derive(Clone, PartialEq, Eq)]
enum Secret {
    Passphrase(Zeroizing<String>),
    Raw(Zeroizing<[u8; 32]>),
}

impl Key {
    /// From words. The key proper is derived with PBKDF2 (256,000 rounds of HMAC-SHA512, some
    /// hundred milliseconds) for each connection of an archive: three with the usual settings.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] where it is empty, longer than 4,096 bytes, or has a
    /// NUL in it.
    pub fn passphrase(words: impl Into<String>) -> Result<Self> {
        let words = Zeroizing::new(words.into());
        if words.is_empty() || words.len() > MAX_PASSPHRASE {
            bail!(InvalidArgument, "a passphrase has 1 to {MAX_PASSPHRASE} bytes");
        }
        if words.contains('\0') {
            bail!(InvalidArgument, "a passphrase has no NUL in it");
        }
        Ok(Key(Secret::Passphrase(words)))
    }

    /// The key itself: 32 random bytes, as a phone's key store keeps them. Nothing is derived, so
    /// that opening takes no time.
    pub fn raw(bytes: [u8; 32]) -> Self {
        Key(Secret::Raw(Zeroizing::new(bytes)))
    }

    /// As a literal of SQL, which is how SQLCipher takes it.
    #[cfg_attr(not(feature = "sqlcipher"), allow(dead_code))]
    pub(super) fn literal(&self) -> Zeroizing<String> {
        // Room for all of it at once: a string that grows leaves copies behind.
        match &self.0 {
            Secret::Passphrase(words) => {
                let mut text = Zeroizing::new(String::with_capacity(2 * words.len() + 2));
                text.push('\'');
                for c in words.chars() {
                    if c == '\'' {
                        text.push('\'');
                    }
                    text.push(c);
                }
                text.push('\'');
                text
            }
            Secret::Raw(bytes) => {
                let mut text = Zeroizing::new(String::with_capacity(80));
                text.push_str("\"x'");
                for byte in bytes.iter() {
                    // Writing to a string does not fail.
                    let _ = write!(text, "{byte:02x}");
                }
                text.push_str("'\"");
                text
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn literals_hold_what_they_are_made_of() {
        assert_eq!(*Key::passphrase("it's").unwrap().literal(), "'it''s'");
        let raw = Key::raw([0xab; 32]).literal();
        assert_eq!(*raw, format!("\"x'{}'\"", "ab".repeat(32)));
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let key = Key::passphrase("open sesame").unwrap();
        assert_eq!(format!("{key:?}"), "Key(..)");
        for bad in ["", "a\0b", &"x".repeat(4_097)] {
            let e = Key::passphrase(bad).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument);
            assert!(bad.is_empty() || !e.message().contains(bad));
        }
    }
}
