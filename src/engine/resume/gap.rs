//! The spans of time for which this node was not online, and that no sync has filled yet.
//!
//! What must hold: the spans are ascending, not empty, and do not touch; they are few, however they
//! were cut: where there would be more, neighbours become one (so that something is compared twice
//! rather than never).

use std::time::Duration;

use crate::error::{Result, bail};
use crate::types::{TimeRange, Timestamp};
use crate::wire::varint;

/// Spans that are kept.
const MAX_SPANS: usize = 64;

/// See the head of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Gap(Vec<TimeRange>);

impl Gap {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn spans(&self) -> &[TimeRange] {
        &self.0
    }

    /// Takes a span in.
    pub(crate) fn add(&mut self, span: TimeRange) {
        if span.is_empty() {
            return;
        }
        let (mut start, mut end) = (span.start(), span.end());
        self.0.retain(|s| {
            let apart = s.end() < start || end < s.start();
            if !apart {
                (start, end) = (start.min(s.start()), end.max(s.end()));
            }
            apart
        });
        self.0.extend(TimeRange::new(start, end));
        self.0.sort_unstable_by_key(TimeRange::start);
        self.bound();
    }

    /// Takes a span out: it is filled. True where that changed something.
    pub(crate) fn fill(&mut self, span: &TimeRange) -> bool {
        let before = self.0.clone();
        let parts = |s: &TimeRange| {
            let below = TimeRange::new(s.start(), s.end().min(span.start()).max(s.start()));
            let above = TimeRange::new(s.start().max(span.end()).min(s.end()), s.end());
            let whole = span.is_empty() || s.intersect(span).is_empty();
            let parts = if whole { [Ok(*s), Ok(*s)] } else { [below, above] };
            let count = if whole { 1 } else { 2 };
            parts.into_iter().take(count).flatten().filter(|part| !part.is_empty())
        };
        self.0 = before.iter().flat_map(parts).collect();
        self.bound();
        self.0 != before
    }

    /// Lets go of what lies before this time.
    pub(super) fn clip(&mut self, start: Timestamp) {
        if let Ok(before) = TimeRange::new(Timestamp::MIN, start) {
            self.fill(&before);
        }
    }

    /// The newest part of it before `below`, and no longer than this.
    pub(crate) fn newest(&self, below: Timestamp, length: Duration) -> Option<TimeRange> {
        let span = self.0.iter().rev().find(|s| s.start() < below)?;
        let end = span.end().min(below);
        TimeRange::new(end.saturating_sub(length).max(span.start()), end).ok()
    }

    fn bound(&mut self) {
        while self.0.len() > MAX_SPANS {
            let between = |w: &[TimeRange]| match w {
                [a, b] => b.start().nanos().abs_diff(a.end().nanos()),
                _ => u64::MAX,
            };
            let gaps = self.0.windows(2).map(between).enumerate();
            let Some((at, _)) = gaps.min_by_key(|(_, gap)| *gap) else { return };
            let next = self.0.remove(at + 1);
            if let Some(span) = self.0.get_mut(at)
                && let Ok(both) = TimeRange::new(span.start(), next.end())
            {
                *span = both;
            }
        }
    }

    /// A count, and start and end of each span: Unix nanoseconds as zigzag LEB128.
    pub(in super::super) fn encode(&self, out: &mut Vec<u8>) {
        varint::write(self.0.len() as u64, out);
        for t in self.0.iter().flat_map(|s| [s.start(), s.end()]) {
            varint::write(((t.nanos() << 1) ^ (t.nanos() >> 63)) as u64, out);
        }
    }

    /// Takes off the front of `bytes` what [`Gap::encode`] put there.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Malformed`] or [`crate::ErrorKind::Truncated`] where it is no such thing.
    pub(in super::super) fn decode(bytes: &mut &[u8]) -> Result<Self> {
        let count = varint::read(bytes)?;
        if count > MAX_SPANS as u64 {
            bail!(Malformed, "{count} spans that are to be filled, at most {MAX_SPANS} are kept");
        }
        let mut gap = Gap::default();
        for _ in 0..count {
            let mut time = || -> Result<Timestamp> {
                let n = varint::read(bytes)?;
                Ok(Timestamp((n >> 1) as i64 ^ -((n & 1) as i64)))
            };
            let (start, end) = (time()?, time()?);
            if end < start {
                bail!(Malformed, "a span that is to be filled ends before it starts");
            }
            gap.add(TimeRange::new(start, end)?);
        }
        Ok(gap)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn span(start: i64, end: i64) -> TimeRange {
        TimeRange::new(Timestamp(start), Timestamp(end)).unwrap()
    }

    fn gap(spans: &[(i64, i64)]) -> Gap {
        let mut gap = Gap::default();
        spans.iter().for_each(|(start, end)| gap.add(span(*start, *end)));
        gap
    }

    #[test]
    fn spans_that_touch_become_one_and_filling_cuts() {
        let mut g = gap(&[(10, 20), (30, 40), (20, 25), (50, 50)]);
        assert_eq!(g.0, [span(10, 25), span(30, 40)]);
        assert!(g.fill(&span(12, 14)) && g.fill(&span(35, 60)));
        assert_eq!(g.0, [span(10, 12), span(14, 25), span(30, 35)]);
        assert!(!g.fill(&span(12, 14)) && !g.fill(&span(20, 20)));
        g.clip(Timestamp(31));
        assert_eq!(g.0, [span(31, 35)]);
        assert!(g.fill(&span(0, 99)) && g.is_empty());
    }

    #[test]
    fn the_newest_part_comes_first() {
        let g = gap(&[(10, 20), (30, 40)]);
        let newest = |below, length| g.newest(Timestamp(below), Duration::from_nanos(length));
        assert_eq!(newest(i64::MAX, 4), Some(span(36, 40)));
        assert_eq!(newest(i64::MAX, 400), Some(span(30, 40)));
        assert_eq!(newest(33, 400), Some(span(30, 33)));
        assert_eq!((newest(30, 4), newest(10, 4)), (Some(span(16, 20)), None));
    }

    #[test]
    fn the_number_of_spans_is_bounded_and_nothing_is_lost_by_it() {
        let mut g = gap(&[(0, 100_000)]);
        for n in 0..500 {
            g.fill(&span(n * 100, n * 100 + 1 + n % 7));
            assert!(g.0.len() <= MAX_SPANS);
            assert!(g.0.windows(2).all(|w| w[0].end() < w[1].start()));
        }
        assert!((0..500).all(|n| g.0.iter().any(|s| s.contains(Timestamp(n * 100 + 50)))));
    }

    #[test]
    fn it_is_written_and_read_back() {
        for g in [gap(&[]), gap(&[(-5, 3), (1_760_000_000_000_000_000, i64::MAX)])] {
            let mut bytes = Vec::new();
            g.encode(&mut bytes);
            bytes.push(9);
            let mut rest = &bytes[..];
            assert_eq!((Gap::decode(&mut rest).unwrap(), rest), (g, &[9][..]));
            for cut in 0..bytes.len() - 1 {
                assert!(Gap::decode(&mut &bytes[..cut]).is_err());
            }
        }
        assert!(Gap::decode(&mut &[65][..]).is_err(), "too many");
        assert!(Gap::decode(&mut &[1, 4, 2][..]).is_err(), "backwards");
    }
}
