//! Five bugs that were made on purpose, for the simulation to find.
//!
//! Each is a mistake that code such as this invites. Where it would be made, the code asks
//! `is`; without the feature `sabotage` that is `false` at compile time and costs nothing. With
//! it, a test puts one bug back at a time for the whole process, by `put_back`.
//!
//! What must always hold: no build but that of the simulation's tests has the feature.

/// One of the bugs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Bug {
    /// A part that a range is split into takes in the ids of its upper bound's timestamp, which
    /// belong to the next part.
    InclusiveUpperBound = 1,
    /// A session is over as soon as its reconciliation is: what was announced and is still on its
    /// way has no grace.
    NoGrace = 2,
    /// The feed says that it skipped something, and the index is not loaded again.
    GapIgnored = 3,
    /// A message is taken for one that was announced by its hash alone, whatever time was
    /// announced with it.
    TimeUnchecked = 4,
    /// A batch that the archive was too busy for is not kept for another try.
    BusyLosesBatch = 5,
}

/// All of them.
pub const ALL: [Bug; 5] = [
    Bug::InclusiveUpperBound,
    Bug::NoGrace,
    Bug::GapIgnored,
    Bug::TimeUnchecked,
    Bug::BusyLosesBatch,
];

/// Whether this bug is put back.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "sabotage")]
mod put_back {
    use std::sync::atomic::AtomicU8;

    /// The number of the bug that is put back; 0 for none.
    pub(super) static NOW: AtomicU8 = AtomicU8::new(0);
}

/// Whether this bug is put back.
#[cfg(feature = "sabotage")]
pub(crate) fn is(bug: Bug) -> bool {
    put_back::NOW.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Puts a bug back, and takes the one before out; `None` takes it out alone.
#[cfg(feature = "sabotage")]
pub fn put_back(bug: Option<Bug>) {
    let number = bug.map_or(0, |bug| bug as u8);
    put_back::NOW.store(number, std::sync::atomic::Ordering::Relaxed);
}
