//! How time is cut into partitions.
//!
//! Every timestamp has one partition, always the same, and there is a bounded number of them: a
//! hostile timestamp makes one table at most, and all that there are make no more than
//! [`MAX_PARTITIONS`]. What lies before and after the finely cut span has one partition each.

use std::time::Duration;

use crate::error::{Result, bail};
use crate::types::Timestamp;

/// The most partitions that the finely cut span may have.
pub const MAX_PARTITIONS: i64 = 5_000;

/// How time is cut into partitions. It is fixed when the database is made; of one that is there
/// already it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partitions {
    /// What is older shares one partition.
    pub start: Timestamp,
    /// What is of this time or later shares one partition.
    pub end: Timestamp,
    /// The width of a partition between the two; retention by age removes whole partitions, and
    /// so keeps a message up to this much longer. At most 5,000 may lie between the two.
    pub width: Duration,
}

const DAY: i64 = 86_400_000_000_000;

impl Default for Partitions {
    /// Weeks, from the year 2020 to the year 2099.
    fn default() -> Self {
        let start = Timestamp(1_577_836_800_000_000_000);
        let week = Duration::from_secs(7 * 86_400);
        Partitions { start, end: Timestamp(start.nanos() + 4_174 * 7 * DAY), width: week }
    }
}

/// [`Partitions`] that were checked, as the database keeps them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lattice {
    start: i64,
    width: i64,
    count: i32,
}

/// The number of a partition: -1 is what lies before the finely cut span, the count of it what
/// lies after.
pub(super) type Cell = i32;

impl Lattice {
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for a width of nothing, or too many partitions.
    pub(super) fn new(partitions: &Partitions) -> Result<Self> {
        let width = i64::try_from(partitions.width.as_nanos()).unwrap_or(i64::MAX);
        let (start, end) = (partitions.start.nanos(), partitions.end.nanos());
        let span = i128::from(end) - i128::from(start);
        if width == 0 || span < 0 {
            bail!(
                InvalidArgument,
                "partitions need a width, and an end that is not before their start"
            );
        }
        // The last one may reach over the end.
        let count = (span + i128::from(width) - 1) / i128::from(width);
        Lattice::read(start, width, i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// From the numbers that the database keeps.
    pub(super) fn read(start: i64, width: i64, count: i64) -> Result<Self> {
        let end = i128::from(start) + i128::from(width) * i128::from(count);
        match i32::try_from(count) {
            Ok(count)
                if width > 0
                    && (0..=MAX_PARTITIONS).contains(&i64::from(count))
                    && end <= i128::from(i64::MAX) =>
            {
                Ok(Lattice { start, width, count })
            }
            _ => bail!(
                InvalidArgument,
                "partitions of {width} ns from {start} on: {count} of them are more than \
                 {MAX_PARTITIONS}, or end after all of time"
            ),
        }
    }

    /// The numbers that the database keeps: start, width, count.
    pub(super) fn numbers(&self) -> (i64, i64, i64) {
        (self.start, self.width, self.count.into())
    }

    pub(super) fn cell_of(&self, time: Timestamp) -> Cell {
        let since = i128::from(time.nanos()) - i128::from(self.start);
        if since < 0 {
            return -1;
        }
        let cell = since / i128::from(self.width);
        i32::try_from(cell).unwrap_or(i32::MAX).min(self.count)
    }

    /// The first moment of a partition; `None` for the first of all.
    pub(super) fn lower(&self, cell: Cell) -> Option<i64> {
        (cell >= 0).then(|| self.border(cell.min(self.count)))
    }

    /// The first moment after a partition; `None` for the last of all.
    pub(super) fn upper(&self, cell: Cell) -> Option<i64> {
        (cell < self.count).then(|| self.border(cell.max(-1) + 1))
    }

    /// So many partitions after the start. (All of them together end within time, though they may
    /// span more than an i64 counts.)
    fn border(&self, count: Cell) -> i64 {
        let at = i128::from(self.start) + i128::from(self.width) * i128::from(count);
        i64::try_from(at).unwrap_or(i64::MAX)
    }

    /// The partition after this one, where it is one of the finely cut.
    pub(super) fn after(&self, cell: Cell) -> Option<Cell> {
        (cell + 1 < self.count).then_some(cell + 1)
    }
}

/// The table of a partition, with its schema.
pub(super) fn table(cell: Cell) -> String {
    match cell {
        ..0 => "wakustore.message_before".into(),
        _ => format!("wakustore.message_p{cell}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_time_lies_in_its_partition_and_in_no_other() {
        let of = |start, end, width| {
            let width = Duration::from_nanos(width);
            Lattice::new(&Partitions { start: Timestamp(start), end: Timestamp(end), width })
                .unwrap()
        };
        let default = Lattice::new(&Partitions::default()).unwrap();
        for lattice in
            [of(0, 100, 7), of(-50, 50, 50), of(5, 5, 1), of(i64::MIN, 0, u64::MAX), default]
        {
            let (start, width, count) = lattice.numbers();
            let near = |t: i64| (-2..=2).map(move |d| t.saturating_add(d));
            let times = [i64::MIN, -50, 0, 49, 100, start, start.saturating_add(width), i64::MAX];
            for time in times.into_iter().flat_map(near) {
                let cell = lattice.cell_of(Timestamp(time));
                assert!((-1..=lattice.count).contains(&cell), "{lattice:?} {time}");
                assert!(
                    lattice.lower(cell).is_none_or(|lower| lower <= time),
                    "{lattice:?} {time}"
                );
                assert!(lattice.upper(cell).is_none_or(|upper| time < upper), "{lattice:?} {time}");
            }
            for cell in -1..i32::try_from(count).unwrap() {
                assert_eq!(lattice.upper(cell), lattice.lower(cell + 1));
            }
        }
    }

    #[test]
    fn there_are_not_too_many() {
        let bad = |end, width| {
            let width = Duration::from_nanos(width);
            let e = Lattice::new(&Partitions { start: Timestamp(0), end: Timestamp(end), width });
            assert_eq!(e.unwrap_err().kind(), ErrorKind::InvalidArgument);
        };
        bad(5_001, 1);
        bad(10, 0);
        bad(-1, 1);
        bad(i64::MAX, i64::MAX as u64 - 1);
    }
}
