//! When somebody may be dialled again: exponential backoff with jitter, and the bound of dials at
//! once. A state machine: the time since the start and the randomness are passed in.
//!
//! What must hold: whoever fails is dialled more and more rarely, up to the longest wait; a
//! connection that ended soon counts as a failure, one that lasted wipes them out; when the network
//! comes back all are due soon, but not in the same moment; whoever is barred is not dialled before
//! the bar is over, whatever happens; and what is remembered is bounded.

use std::collections::BTreeMap;
use std::time::Duration;

/// Dials at once.
pub(super) const MAX_DIALS: usize = 8;
/// How long a connection must last to wipe out the failures before it.
pub(super) const LASTED: Duration = Duration::from_secs(60);
/// The most that a dial is put off once the network is back.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// The least time between two shortenings that nobody asked for.
const SHORTEN_EVERY: Duration = Duration::from_secs(30);
/// Such as failed and are remembered; of more those go that are due first.
const MAX_KEPT: usize = 2048;

/// Random numbers from 0 to below 1, of a seed (splitmix64). No peer gains by guessing them.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Jitter(seed)
    }

    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Until this time.
    Waiting(Duration),
    Dialling,
    /// Since this time.
    Connected(Duration),
}

#[derive(Debug)]
struct Attempt {
    state: State,
    /// In a row.
    failures: u32,
}

/// See the head of the file. `K` names who is dialled.
#[derive(Debug)]
pub(super) struct Redial<K> {
    min: Duration,
    max: Duration,
    attempts: BTreeMap<K, Attempt>,
    bars: BTreeMap<K, Duration>,
    shortened: Option<Duration>,
}

impl<K: Ord + Clone> Redial<K> {
    /// The first wait, and the longest.
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Redial { min, max, attempts: BTreeMap::new(), bars: BTreeMap::new(), shortened: None }
    }

    /// How many more may be dialled now.
    pub(super) fn room(&self) -> usize {
        MAX_DIALS.saturating_sub(self.dialling().count())
    }

    /// Who is being dialled.
    pub(super) fn dialling(&self) -> impl Iterator<Item = &K> {
        self.attempts.iter().filter(|(_, a)| a.state == State::Dialling).map(|(key, _)| key)
    }

    /// When somebody may be dialled: now, or later; `None` while that is under way or done.
    pub(super) fn due(&self, key: &K) -> Option<Duration> {
        let due = match self.attempts.get(key).map(|attempt| attempt.state) {
            None => Duration::ZERO,
            Some(State::Waiting(until)) => until,
            Some(State::Dialling | State::Connected(_)) => return None,
        };
        Some(self.bars.get(key).map_or(due, |bar| due.max(*bar)))
    }

    /// A dial begins.
    pub(super) fn begin(&mut self, key: K) {
        let failures = self.attempts.get(&key).map_or(0, |attempt| attempt.failures);
        self.attempts.insert(key, Attempt { state: State::Dialling, failures });
        self.forget_some();
    }

    /// It ended well, or the peer came by itself.
    pub(super) fn connected(&mut self, key: K, now: Duration) {
        let attempt = self.attempts.entry(key);
        let attempt = attempt.or_insert(Attempt { state: State::Connected(now), failures: 0 });
        if !matches!(attempt.state, State::Connected(_)) {
            attempt.state = State::Connected(now);
        }
        self.forget_some();
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, key: &K, now: Duration, jitter: &mut Jitter) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        let doublings = attempt.failures.min(31);
        attempt.failures = attempt.failures.saturating_add(1);
        let wait = self.min.saturating_mul(1 << doublings).min(self.max);
        attempt.state = State::Waiting(now.saturating_add(wait.mul_f64(0.5 + jitter.next())));
    }

    /// A connection ended. One that lasted is as good as none before it: the wait is the first.
    pub(super) fn disconnected(&mut self, key: &K, now: Duration, jitter: &mut Jitter) {
        let Some(attempt) = self.attempts.get_mut(key) else { return };
        if let State::Connected(since) = attempt.state {
            if now.saturating_sub(since) >= LASTED {
                attempt.failures = 0;
            }
            self.failed(key, now, jitter);
        }
    }

    /// Nobody is to be dialled before that time. A dial under way is not stopped.
    pub(super) fn bar(&mut self, key: K, until: Duration) {
        self.bars.insert(key, until);
        while self.bars.len() > MAX_KEPT
            && let Some(first) = self.bars.iter().min_by_key(|(_, until)| **until)
        {
            let first = first.0.clone();
            self.bars.remove(&first);
        }
    }

    pub(super) fn is_barred(&self, key: &K, now: Duration) -> bool {
        self.bars.get(key).is_some_and(|until| *until > now)
    }

    /// Lifts a bar.
    pub(super) fn unbar(&mut self, key: &K) {
        self.bars.remove(key);
    }

    /// The host says that the network is another, or back: all that wait are due soon.
    pub(super) fn network_changed(&mut self, now: Duration, jitter: &mut Jitter) {
        self.shortened = Some(now);
        for attempt in self.attempts.values_mut() {
            if let State::Waiting(until) = &mut attempt.state {
                attempt.failures = 0;
                *until = (*until).min(now.saturating_add(SOON.mul_f64(jitter.next())));
            }
        }
    }

    /// Somebody was reached while nobody was connected: so the network is back, for the others too.
    /// Less often than the host's word, since a peer could be there and gone again and again.
    pub(super) fn reached_one(&mut self, now: Duration, jitter: &mut Jitter) {
        if self.shortened.is_none_or(|at| now.saturating_sub(at) >= SHORTEN_EVERY) {
            self.network_changed(now, jitter);
        }
    }

    /// Keeps what is remembered in bounds, without those that are dialled or connected.
    fn forget_some(&mut self) {
        while self.attempts.len() > MAX_KEPT {
            let waiting = self.attempts.iter().filter_map(|(key, attempt)| match attempt.state {
                State::Waiting(until) => Some((until, key)),
                State::Dialling | State::Connected(_) => None,
            });
            let Some((_, first)) = waiting.min() else { return };
            let first = first.clone();
            self.attempts.remove(&first);
        }
    }

    /// Forgets one that has gone and that nobody looks for.
    pub(super) fn forget(&mut self, key: &K) {
        self.attempts.remove(key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn redial() -> (Redial<u32>, Jitter) {
        (Redial::new(S(1), S(300)), Jitter::new(7))
    }

    /// Fails once more; the wait that follows.
    fn fail(redial: &mut Redial<u32>, jitter: &mut Jitter, now: Duration) -> Duration {
        redial.begin(1);
        assert_eq!(redial.due(&1), None);
        redial.failed(&1, now, jitter);
        redial.due(&1).unwrap() - now
    }

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread() {
        let (mut redial, mut jitter) = redial();
        let mut now = S(0);
        for n in 0..20 {
            let wait = fail(&mut redial, &mut jitter, now);
            let middle = S(1 << n.min(9)).min(S(300));
            assert!(wait >= middle / 2 && wait < middle * 3 / 2, "{n}: {wait:?}");
            now += wait;
        }
        // No two runs are alike.
        let waits: Vec<Duration> = (0..50)
            .map(|seed| {
                let mut redial = Redial::new(S(1), S(300));
                fail(&mut redial, &mut Jitter::new(seed), S(0))
            })
            .collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*least < S(1) * 7 / 10 && *most > S(1) * 13 / 10, "{least:?} to {most:?}");
    }

    #[test]
    fn a_connection_that_lasted_wipes_failures_out_and_a_short_one_does_not() {
        let (mut redial, mut jitter) = redial();
        let mut now = S(0);
        for _ in 0..6 {
            now += fail(&mut redial, &mut jitter, now);
        }
        for (lasts, most) in [(LASTED - S(1), 96), (LASTED, 2)] {
            redial.begin(1);
            redial.connected(1, now);
            assert_eq!(redial.due(&1), None);
            now += lasts;
            redial.disconnected(&1, now, &mut jitter);
            let wait = redial.due(&1).unwrap() - now;
            assert!(wait <= S(most) && (most < 3 || wait >= S(32)), "{lasts:?}: {wait:?}");
            now += wait;
        }
    }

    #[test]
    fn when_the_network_is_back_all_are_due_soon_but_those_barred() {
        let (mut redial, mut jitter) = redial();
        for key in 0..100 {
            redial.begin(key);
            (0..10).for_each(|_| redial.failed(&key, S(0), &mut jitter));
            assert!(redial.due(&key).unwrap() > S(100));
        }
        redial.bar(5, S(3600));
        redial.network_changed(S(10), &mut jitter);
        let due = |redial: &Redial<u32>, key| redial.due(&key).unwrap();
        let mut all: Vec<Duration> =
            (0..100).filter(|k| *k != 5).map(|k| due(&redial, k)).collect();
        all.sort();
        assert!(all[0] >= S(10) && *all.last().unwrap() <= S(11));
        assert!(*all.last().unwrap() - all[0] > SOON / 2, "all in the same moment");
        assert_eq!(due(&redial, 5), S(3600));
        redial.unbar(&5);
        assert!(due(&redial, 5) <= S(11));
        // And from there the waits begin anew.
        assert!(fail(&mut redial, &mut jitter, S(12)) < S(2));
        // What only looks like it counts at most each half a minute.
        redial.begin(7);
        (0..10).for_each(|_| redial.failed(&7, S(12), &mut jitter));
        redial.reached_one(S(39), &mut jitter);
        assert!(due(&redial, 7) > S(100));
        redial.reached_one(S(40), &mut jitter);
        assert!(due(&redial, 7) <= S(41));
    }

    #[test]
    fn dials_at_once_and_memory_are_bounded() {
        let (mut redial, mut jitter) = redial();
        for key in 0..MAX_DIALS as u32 {
            assert!(redial.room() > 0);
            redial.begin(key);
        }
        assert_eq!(redial.room(), 0);
        redial.failed(&0, S(0), &mut jitter);
        assert_eq!(redial.room(), 1);
        for key in 0..3 * MAX_KEPT as u32 {
            redial.begin(100 + key);
            redial.failed(&(100 + key), S(0), &mut jitter);
            redial.bar(100 + key, S(u64::from(key)));
        }
        assert!(redial.attempts.len() <= MAX_KEPT && redial.bars.len() <= MAX_KEPT);
        assert!((1..MAX_DIALS as u32).all(|key| redial.dialling().any(|k| *k == key)));
    }
}
