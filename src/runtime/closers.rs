//! What a shutdown closes: nodes first, then archives.
//!
//! An object registers how it is closed and keeps the [`Registration`]; whoever drops an object
//! closes it itself and thereby takes the registration back.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

use super::lock;

/// When in a shutdown an object is closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// What talks to peers. Closed together, and not waited for beyond the shutdown's time.
    Network,
    /// What holds data. Closed after, one by one, and always to the end: the closer may block.
    Storage,
}

type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Begins to close; the future ends when it is closed.
pub(super) type Closer = Box<dyn FnOnce() -> Closing + Send>;

/// The objects that are open.
#[derive(Default)]
pub(super) struct Closers(Mutex<State>);

#[derive(Default)]
struct State {
    closed: bool,
    next: u64,
    closers: BTreeMap<(Stage, u64), Closer>,
}

impl Closers {
    /// `None` where a shutdown has taken the storage's closers already.
    pub(super) fn register(self: &Arc<Self>, stage: Stage, closer: Closer) -> Option<Registration> {
        let mut state = lock(&self.0);
        if state.closed {
            return None;
        }
        let key = (stage, state.next);
        state.next += 1;
        state.closers.insert(key, closer);
        Some(Registration { closers: Arc::downgrade(self), key })
    }

    /// Takes those of a stage. After [`Stage::Storage`] nothing more is registered.
    pub(super) fn take(&self, stage: Stage) -> Vec<Closer> {
        let mut state = lock(&self.0);
        if stage == Stage::Storage {
            state.closed = true;
        }
        let keys: Vec<_> = state.closers.keys().filter(|k| k.0 == stage).copied().collect();
        keys.iter().filter_map(|k| state.closers.remove(k)).collect()
    }
}

/// Keeps a closer registered; dropping it takes the closer back, uncalled.
#[must_use = "dropping a registration takes the closer back"]
pub struct Registration {
    closers: Weak<Closers>,
    key: (Stage, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(closers) = self.closers.upgrade() {
            // What the closer holds may be the last of its object: drop it outside of the lock.
            let closer = lock(&closers.0).closers.remove(&self.key);
            drop(closer);
        }
    }
}
