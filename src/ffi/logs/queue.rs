//! What waits to be told to the host, and the thread that tells it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tracing::Level;

use super::Sink;
use crate::runtime;

/// Lines that wait, and their bytes: beyond either, lines are left out and counted.
const MAX_LINES: usize = 4096;
const MAX_BYTES: usize = 1024 * 1024;
/// A year stands for ever.
const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// One line.
pub(in super::super) struct Line {
    /// When, in Unix nanoseconds.
    pub(in super::super) time: i64,
    /// How grave.
    pub(in super::super) level: Level,
    /// Of what, as `wakustore::node::swarm`.
    pub(in super::super) target: String,
    /// What, with its fields behind it.
    pub(in super::super) message: String,
    /// So many lines were left out since the one before.
    pub(in super::super) dropped: u64,
}

impl Line {
    pub(super) fn new(level: Level, target: &str, message: String) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Line {
            time: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            level,
            target: target.to_owned(),
            message,
            dropped: 0,
        }
    }

    fn size(&self) -> usize {
        self.target.len() + self.message.len()
    }
}

/// See the head of `logs`.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Since the last line that found room.
    dropped: u64,
    sink: Option<Arc<dyn Sink>>,
    /// Whether the thread runs; it may have ended and not been joined.
    running: bool,
    thread: Option<JoinHandle<()>>,
    /// The host is being called.
    busy: bool,
    /// The thread is to end once nothing waits.
    ending: bool,
    /// Nobody is told anything any more.
    mute: bool,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Queue {
            state: Mutex::new(State {
                lines: VecDeque::new(),
                bytes: 0,
                dropped: 0,
                sink: None,
                running: false,
                thread: None,
                busy: false,
                ending: false,
                mute: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another sink, or none, from the next line on; gives the one before, for the caller to let
    /// go of. Without a sink what waits is forgotten.
    pub(super) fn replace(&self, sink: Option<Arc<dyn Sink>>) -> Option<Arc<dyn Sink>> {
        let mut state = self.lock();
        if sink.is_none() {
            (state.bytes, state.dropped) = (0, 0);
            state.lines.clear();
        }
        std::mem::replace(&mut state.sink, sink)
    }

    /// Takes a line in, or counts it as left out. Never waits for the host.
    pub(super) fn push(&'static self, mut line: Line) {
        let mut state = self.lock();
        if state.sink.is_none() || state.mute {
            return;
        }
        let bytes = state.bytes + line.size();
        if state.lines.len() >= MAX_LINES || bytes > MAX_BYTES {
            state.dropped += 1;
            return;
        }
        line.dropped = std::mem::take(&mut state.dropped);
        state.bytes = bytes;
        state.lines.push_back(line);
        if !state.running {
            // One that ended before is done with everything but its return.
            let started = std::thread::Builder::new().name("wks-log".into());
            if let Ok(thread) = started.spawn(|| self.work()) {
                state.running = true;
                state.thread = Some(thread);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let (Some(sink), false, Some(line)) =
                (state.sink.clone(), state.mute, state.lines.pop_front())
            {
                state.bytes = state.bytes.saturating_sub(line.size());
                state.busy = true;
                drop(state);
                if !runtime::is_exiting() {
                    // A callback that panics (a Rust host's) must not end the log.
                    let _ = runtime::catch(|| runtime::as_callback(|| sink.line(&line)));
                }
                // Perhaps the last to hold it, whose end calls the host.
                let _ = runtime::catch(|| runtime::as_callback(|| drop(sink)));
                state = self.lock();
                state.busy = false;
                self.changed.notify_all();
            } else if state.ending || state.mute {
                state.running = false;
                drop(state);
                self.changed.notify_all();
                return;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Has the thread tell what waits and end, and waits for that. The next line starts another.
    pub(super) fn drain(&self, timeout: Duration) {
        let until = Instant::now() + timeout.min(MAX_WAIT);
        let mut state = self.lock();
        state.ending = true;
        self.changed.notify_all();
        while state.running {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.ending = false;
        let thread = if state.running { None } else { state.thread.take() };
        drop(state);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// Tells nobody anything any more, and waits for a call that is under way. What the sink holds
    /// is not let go of: whose it is may be going away.
    pub(super) fn mute(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut state = self.lock();
        state.mute = true;
        state.lines.clear();
        self.changed.notify_all();
        while state.busy && !runtime::on_dispatcher() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn queue() -> &'static Queue {
        Box::leak(Box::new(Queue::new()))
    }

    struct To(mpsc::Sender<(String, u64, bool)>, Option<Mutex<mpsc::Receiver<()>>>);

    impl Sink for To {
        fn line(&self, line: &Line) {
            if let Some(gate) = &self.1 {
                gate.lock().unwrap().recv().unwrap();
            }
            let here = std::thread::current().name() == Some("wks-log");
            self.0.send((line.message.clone(), line.dropped, here)).unwrap();
        }
    }

    fn line(n: usize) -> Line {
        Line::new(Level::INFO, "wakustore::test", n.to_string())
    }

    #[test]
    fn lines_come_in_order_on_one_thread_and_a_drain_hands_out_all() {
        let queue = queue();
        queue.push(line(0));
        let (tx, rx) = mpsc::channel();
        assert!(queue.replace(Some(Arc::new(To(tx, None)))).is_none());
        for round in 0..3 {
            (1..=200).for_each(|n| queue.push(line(n)));
            queue.drain(LONG);
            let came: Vec<_> = rx.try_iter().collect();
            let want: Vec<_> = (1..=200).map(|n| (n.to_string(), 0, true)).collect();
            assert_eq!(came, want, "in round {round}");
            assert!(!queue.lock().running && queue.lock().thread.is_none());
        }
        drop(queue.replace(None));
        assert!(rx.recv().is_err(), "the sink was let go of");
    }

    #[test]
    fn who_logs_does_not_wait_and_what_is_left_out_is_counted() {
        let queue = queue();
        let (tx, rx) = mpsc::channel();
        let (go, gate) = mpsc::channel();
        queue.replace(Some(Arc::new(To(tx, Some(Mutex::new(gate))))));
        queue.push(line(0));
        // The first is being told; so many wait; the rest is left out.
        while !queue.lock().busy {
            std::thread::yield_now();
        }
        (0..MAX_LINES + 7).for_each(|n| queue.push(line(n)));
        (0..=MAX_LINES).for_each(|_| go.send(()).unwrap());
        let told: Vec<_> = (0..=MAX_LINES).map(|_| rx.recv_timeout(LONG).unwrap()).collect();
        assert!(told.iter().all(|(_, dropped, _)| *dropped == 0));
        queue.push(line(1));
        go.send(()).unwrap();
        assert_eq!(rx.recv_timeout(LONG).unwrap(), ("1".to_owned(), 7, true));
        // Large lines fill it by their bytes.
        let large = || Line::new(Level::INFO, "wakustore::test", "x".repeat(MAX_BYTES / 2));
        (0..4).for_each(|_| queue.push(large()));
        assert!(queue.lock().bytes <= MAX_BYTES);
        queue.mute(Duration::ZERO);
        queue.push(line(2));
        assert!(queue.lock().lines.is_empty());
        drop(go);
    }
}
