//! Which lines a host wants: `info`, or `info,wakustore::node=debug,libp2p_swarm=warn`.

use tracing::Metadata;
use tracing::level_filters::LevelFilter;

use crate::error::{Result, bail};

/// What a level alone stands for: the library's own lines. Those of the libraries under it are told
/// where they are named.
const OWN: &str = "wakustore";
/// The longest filter, and the most parts of it.
const MAX_LENGTH: usize = 4096;
const MAX_PARTS: usize = 64;

/// A level for each of some beginnings of targets, the longest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Filter(Vec<(String, LevelFilter)>);

impl Filter {
    /// Nothing.
    pub(super) const fn off() -> Self {
        Filter(Vec::new())
    }

    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`], which names the part that is wrong.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_LENGTH {
            bail!(InvalidArgument, "the filter is longer than {MAX_LENGTH} bytes");
        }
        let mut parts: Vec<(String, LevelFilter)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (target, level) = part.split_once('=').unwrap_or((OWN, part));
            let (target, level) = (target.trim(), level.trim());
            let Some(level) = level_of(level) else {
                bail!(
                    InvalidArgument,
                    "{part:?} is no part of a filter: LEVEL or TARGET=LEVEL, with off, error, \
                     warn, info, debug or trace"
                );
            };
            if target.is_empty() {
                bail!(InvalidArgument, "{part:?} names no target");
            }
            parts.retain(|(known, _)| known != target);
            parts.push((target.to_owned(), level));
            if parts.len() > MAX_PARTS {
                bail!(InvalidArgument, "the filter has more than {MAX_PARTS} parts");
            }
        }
        parts.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Ok(Filter(parts))
    }

    /// Whether such lines are wanted.
    pub(super) fn takes(&self, of: &Metadata<'_>) -> bool {
        *of.level() <= self.level(of.target())
    }

    fn level(&self, target: &str) -> LevelFilter {
        let part = self.0.iter().find(|(beginning, _)| target.starts_with(beginning.as_str()));
        part.map_or(LevelFilter::OFF, |(_, level)| *level)
    }

    /// The most that is wanted of anything.
    pub(super) fn most(&self) -> LevelFilter {
        self.0.iter().map(|(_, level)| *level).max().unwrap_or(LevelFilter::OFF)
    }
}

fn level_of(text: &str) -> Option<LevelFilter> {
    Some(match text {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_longest_beginning_counts() {
        let filter =
            Filter::parse("info, wakustore::node=debug,libp2p=warn,wakustore::node::swarm=off")
                .unwrap();
        for (target, level) in [
            ("wakustore::archive", LevelFilter::INFO),
            ("wakustore::node::relay", LevelFilter::DEBUG),
            ("wakustore::node::swarm", LevelFilter::OFF),
            ("libp2p_swarm", LevelFilter::WARN),
            ("rustls", LevelFilter::OFF),
        ] {
            assert_eq!(filter.level(target), level, "{target}");
        }
        assert_eq!(filter.most(), LevelFilter::DEBUG);
        assert_eq!(Filter::parse("warn,warn,error").unwrap(), Filter::parse("error").unwrap());
        assert_eq!(Filter::parse("").unwrap(), Filter::off());
        assert_eq!(Filter::parse(" , off").unwrap().most(), LevelFilter::OFF);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for wrong in ["loud", "=info", "wakustore=", "a=b=info", "INFO!", &"info,".repeat(2000)] {
            assert!(Filter::parse(wrong).is_err(), "{wrong}");
        }
        let many: String = (0..=MAX_PARTS).map(|n| format!("t{n}=info,")).collect();
        assert!(Filter::parse(&many).is_err());
    }
}
