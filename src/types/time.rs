//! Timestamps and half-open spans of time, in Unix nanoseconds.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// Unix time in nanoseconds, signed, as in 14/WAKU2-MESSAGE.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest and the latest that can be written.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// See [`Timestamp::MIN`].
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// Unix nanoseconds.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// Later by `d`, or the latest there is.
    #[must_use]
    pub fn saturating_add(self, d: Duration) -> Self {
        Timestamp(self.0.saturating_add(nanos(d)))
    }

    /// Earlier by `d`, or the earliest there is.
    #[must_use]
    pub fn saturating_sub(self, d: Duration) -> Self {
        Timestamp(self.0.saturating_sub(nanos(d)))
    }
}

fn nanos(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The half-open span `[start, end)`. Never ends before it starts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    start: Timestamp,
    end: Timestamp,
}

impl TimeRange {
    /// All of time but its very last nanosecond.
    pub const ALL: TimeRange = TimeRange { start: Timestamp::MIN, end: Timestamp::MAX };

    /// From `start`, which is in it, to `end`, which is not.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTimeRange`] where `end` lies before `start`. An empty range is fine.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self> {
        if end < start {
            return Err(Error::new(
                ErrorKind::InvalidTimeRange,
                format!("the time range ends ({end}) before it starts ({start})"),
            ));
        }
        Ok(TimeRange { start, end })
    }

    /// The first moment in it.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The first moment after it.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// Whether `t` is in it.
    pub fn contains(&self, t: Timestamp) -> bool {
        self.start <= t && t < self.end
    }

    /// Whether nothing can be in it.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What is in both; empty where they do not meet.
    #[must_use]
    pub fn intersect(&self, other: &TimeRange) -> TimeRange {
        let start = self.start.max(other.start);
        TimeRange { start, end: self.end.min(other.end).max(start) }
    }
}

impl fmt::Debug for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_half_open() {
        let r = TimeRange::new(Timestamp(1), Timestamp(3)).unwrap();
        assert!(r.contains(Timestamp(1)) && !r.contains(Timestamp(3)));
        assert!(TimeRange::new(Timestamp(3), Timestamp(1)).is_err());
        assert!(r.intersect(&TimeRange::new(Timestamp(5), Timestamp(9)).unwrap()).is_empty());
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp(5).saturating_sub(Duration::from_nanos(7)), Timestamp(-2));
    }
}
