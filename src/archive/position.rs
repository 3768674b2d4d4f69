//! A place in an archive's change feed, for a subscriber to keep and to go on from.
//!
//! What must hold: it is small, it outlives the process as bytes, and of two positions of one
//! archive the one that compares as less comes first. What the numbers in it mean is the driver's.

use std::fmt;

use crate::error::{Result, bail};

/// A place in the change feed of one archive: everything up to it was told, nothing after it.
///
/// Positions of one archive are ordered; between archives the order means nothing. Their bytes
/// compare as they do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    archive: u64,
    major: u64,
    minor: u64,
}

impl Position {
    /// How long [`Position::to_bytes`] is.
    pub const LENGTH: usize = 24;

    /// Before everything, in every archive: who goes on from here is told first of all messages
    /// that are held.
    pub const START: Position = Position { archive: 0, major: 0, minor: 0 };

    /// For drivers. `archive` names the file or the database and is not 0; the numbers are the
    /// driver's, `major` before `minor`.
    pub const fn new(archive: u64, major: u64, minor: u64) -> Self {
        Position { archive, major, minor }
    }

    /// The archive that this is a position of; 0 for [`Position::START`].
    pub const fn archive(&self) -> u64 {
        self.archive
    }

    /// The driver's number that counts first.
    pub const fn major(&self) -> u64 {
        self.major
    }

    /// The driver's number that counts second.
    pub const fn minor(&self) -> u64 {
        self.minor
    }

    /// The bytes to keep.
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let numbers = [self.archive, self.major, self.minor];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// What [`Position::to_bytes`] gave.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Malformed`] for another length. Whether an archive knows the position,
    /// it tells itself.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != Self::LENGTH {
            bail!(Malformed, "a position is {} bytes long, not {}", Self::LENGTH, bytes.len());
        }
        let number = |at: usize| {
            bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        Ok(Position { archive: number(0), major: number(8), minor: number(16) })
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({:016x}:{}:{})", self.archive, self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn its_bytes_come_back_and_compare_as_it_does() {
        let all = [
            Position::START,
            Position::new(7, 0, 300),
            Position::new(7, 1, 0),
            Position::new(7, 256, 0),
            Position::new(u64::MAX, 1, u64::MAX),
        ];
        for (a, b) in all.iter().zip(&all[1..]) {
            assert!(a < b && a.to_bytes() < b.to_bytes());
        }
        for position in all {
            assert_eq!(Position::from_bytes(&position.to_bytes()).unwrap(), position);
        }
        for length in [0, 16, 23, 25] {
            let e = Position::from_bytes(&vec![1; length]).unwrap_err();
            assert_eq!(e.kind(), crate::ErrorKind::Malformed);
        }
    }
}
