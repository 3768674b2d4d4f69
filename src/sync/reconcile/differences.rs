//! What one session has found, each difference once.

use crate::error::{Result, bail};
use crate::sync::spans::Spans;
use crate::types::SyncId;

use super::View;

/// The most payloads of a peer that a session answers. Between honest peers ten are many; one
/// whose every answer is cut to a megabyte gets 25 million ids across in as many.
pub const MAX_ROUNDS: usize = 1024;

/// The most spans that are granted in one session; beyond them the peer is asked to list.
const MAX_GRANTS: usize = 16 * 1024;

/// The most spans that are remembered as settled in one session, some 100 bytes each. Neighbours
/// are one span, so between honest peers there are about as many as there are messages that differ.
const MAX_SETTLED: usize = 512 * 1024;

/// What one session has found.
///
/// Whoever takes from the lists while the session goes on takes the lists alone and keeps the
/// value: it knows which spans are settled, and without that a peer that tells a range again
/// would be heard twice.
#[derive(Clone, Debug)]
pub struct Differences {
    /// Ours, that the peer lacks: to be sent.
    pub local_only: Vec<SyncId>,
    /// The peer's, that we lack: to be expected.
    pub remote_only: Vec<SyncId>,
    /// Spans in which the peer said that it holds nothing and wants all (an empty item set,
    /// reconciled 1): ids of ours in them are in `local_only`. Spans in which WE said so are in
    /// `granted`: what the peer sends of them comes unannounced, and none of it is in
    /// `remote_only`.
    pub granted: Vec<(SyncId, SyncId)>,
    /// How many of ours were found beyond the limit, and are in no list. The next session finds
    /// them again.
    pub local_beyond: usize,
    /// How many of the peer's were.
    pub remote_beyond: usize,
    /// Whether the peer is told what of ours it lacks, so that it expects it.
    pub(super) announces: bool,
    /// Whether the peer is told what of its we lack, so that it sends it.
    pub(super) asks: bool,
    /// Whether single differences are searched for in the fingerprints.
    pub(super) searches: bool,
    /// The peer was seen to split by time, as deployed nodes do.
    pub(super) peer_splits_by_time: bool,
    limit: usize,
    recorded: usize,
    rounds: usize,
    grants: usize,
    settled: Spans,
}

impl Default for Differences {
    /// With room for a million.
    fn default() -> Self {
        Differences::new(1_000_000)
    }
}

impl Differences {
    /// Nothing found yet; at most `limit` differences, of both lists together, will be recorded.
    pub fn new(limit: usize) -> Self {
        Differences {
            local_only: Vec::new(),
            remote_only: Vec::new(),
            granted: Vec::new(),
            local_beyond: 0,
            remote_beyond: 0,
            announces: true,
            asks: true,
            searches: false,
            peer_splits_by_time: false,
            limit,
            recorded: 0,
            rounds: 0,
            grants: 0,
            settled: Spans::default(),
        }
    }

    /// For a session in which messages go one way or none. A peer sends what it finds that we
    /// lack, and waits for what it lacks; so where we do not ask it is left to the peer to list,
    /// and where we do not announce our answer to a list leaves out what the peer lacks. (Two
    /// things are told all the same: in a session that asks, lists of ours begin a comparison; and
    /// ranges too short for a deployed peer to split are always listed to it.)
    ///
    /// A session that announces and does not ask finds what we have and the peer lacks; of the
    /// other kind of difference it finds some.
    #[must_use]
    pub fn telling(mut self, announces: bool, asks: bool) -> Self {
        (self.announces, self.asks) = (announces, asks);
        self
    }

    /// For the side that begins: it looks for single differences in the fingerprints themselves,
    /// which need no list then. The other side does where the first payload says by
    /// [`super::mark`] that the one that began wants to be told of what it lacks.
    #[must_use]
    pub fn searching(mut self) -> Self {
        self.searches = true;
        self
    }

    /// For a session in which all is to be told by its id: no span is ever granted.
    #[must_use]
    pub fn without_grants(mut self) -> Self {
        self.grants = MAX_GRANTS;
        self
    }

    /// How many payloads were answered.
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// Another payload is about to be answered.
    pub(super) fn begin_round(&mut self) -> Result<()> {
        if self.rounds >= MAX_ROUNDS {
            bail!(SyncProtocol, "the peer does not come to an end after {MAX_ROUNDS} payloads");
        }
        self.rounds += 1;
        Ok(())
    }

    /// Compares the peer's ids of a range, which ascend and lie in it, with ours.
    ///
    /// Only what no earlier comparison settled is looked at, and what holds a difference is
    /// settled by this one. So memory grows with the differences, never with what a peer repeats.
    pub(super) fn compare(
        &mut self,
        view: &View<'_>,
        lower: SyncId,
        upper: SyncId,
        theirs: &[SyncId],
    ) {
        for (a, b) in self.settled.gaps(lower, upper) {
            let start = theirs.partition_point(|id| *id < a);
            let end = theirs.partition_point(|id| *id < b);
            let mut any = false;
            // Where no more can be remembered as settled nothing more is recorded either, so that
            // no difference is told twice: the next session finds it.
            let full = self.settled.len() >= MAX_SETTLED;
            for (id, side) in view.merge(a, b, &theirs[start..end]) {
                let (list, beyond) = match side {
                    Side::Both => continue,
                    Side::Local => (&mut self.local_only, &mut self.local_beyond),
                    Side::Remote => (&mut self.remote_only, &mut self.remote_beyond),
                };
                any = true;
                if self.recorded < self.limit && !full {
                    list.push(id);
                    self.recorded += 1;
                } else {
                    *beyond += 1;
                }
            }
            if any && !full {
                self.settled.insert(a, b);
            }
        }
    }

    /// Grants a span in which we hold nothing; false where there are too many, or where some of it
    /// was compared before. What comes of it need not be listed any more: the span is settled.
    pub(super) fn grant(&mut self, lower: SyncId, upper: SyncId) -> bool {
        let full = self.grants >= MAX_GRANTS || self.settled.len() >= MAX_SETTLED;
        if full || self.settled.gaps(lower, upper) != [(lower, upper)] {
            return false;
        }
        self.settled.insert(lower, upper);
        if let Some(last) = self.granted.last_mut()
            && last.1 == lower
        {
            last.1 = upper;
            return true;
        }
        self.grants += 1;
        self.granted.push((lower, upper));
        true
    }
}

/// Who holds an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// We and the peer.
    Both,
    /// We alone.
    Local,
    /// The peer alone.
    Remote,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::types::{MessageHash, Timestamp};

    /// A peer that tells of differences in ever more ranges which do not touch.
    #[test]
    fn what_is_remembered_as_settled_is_bounded() {
        let view = View(Vec::new());
        let mut found = Differences::new(usize::MAX);
        for n in 0..MAX_SETTLED as i64 + 10 {
            let (lower, upper) = (n * 10, n * 10 + 5);
            let theirs = [SyncId::new(Timestamp(lower + 1), MessageHash([7; 32]))];
            let at = |t| SyncId::floor(Timestamp(t));
            found.compare(&view, at(lower), at(upper), &theirs);
        }
        assert_eq!(found.settled.len(), MAX_SETTLED);
        assert_eq!((found.remote_only.len(), found.remote_beyond), (MAX_SETTLED, 10));
        let at = |t| SyncId::floor(Timestamp(t));
        assert!(!found.grant(at(i64::MAX - 9), at(i64::MAX)), "nothing more is settled");
    }

    /// A range may be compared, put off, and then come again as one that could be granted.
    #[test]
    fn nothing_is_both_listed_and_granted() {
        let at = |t| SyncId::floor(Timestamp(t));
        let theirs = |t| SyncId::new(Timestamp(t), MessageHash([7; 32]));
        let view = View(Vec::new());
        let mut found = Differences::default();
        found.compare(&view, at(10), at(20), &[theirs(12)]);
        assert!(!found.grant(at(0), at(30)) && !found.grant(at(19), at(30)));
        assert!(found.grant(at(20), at(30)) && found.grant(at(30), at(40)));
        assert_eq!(found.granted, [(at(20), at(40))]);
        found.compare(&view, at(0), at(50), &[theirs(12), theirs(25), theirs(45)]);
        assert_eq!(found.remote_only, [theirs(12), theirs(45)]);
    }
}
