//! The handler for `fork` that both surfaces set before they start anything: they share a runtime,
//! so each must know in the child what the other did in the parent.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::runtime;

/// Sets the handler, the first time.
pub(super) fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.load(Ordering::Relaxed) && !WATCHED.swap(true, Ordering::AcqRel) {
        // SAFETY: the handler is a function of this library, which unregisters it when it is
        // unloaded; it takes nothing and touches atomics alone. Where there is no memory for it,
        // the runtime compares processes before it starts anything.
        unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        }
    }
}

/// Async-signal-safe, as what runs in the child must be.
extern "C" fn in_child() {
    runtime::in_child();
}
