//! What the library leaves in its process: a handler for `fork` and one for the exit, both set at
//! the first use and never before.

use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::error::{Result, bail};
use crate::ffi;
use crate::runtime;

const UNUSED: u8 = 0;
const USED: u8 = 1;
/// In the child of a process that had used the library: its threads are not here, and its locks
/// may be held for ever by those that were.
const FORKED: u8 = 2;

/// Of this surface alone: its handle tables have locks, runtime or not. Whether the runtime is
/// another process's, the runtime knows.
static STATE: AtomicU8 = AtomicU8::new(UNUSED);

/// What the end of a process that did not shut the library down waits for what has to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// To be called at the beginning of every call.
///
/// # Errors
/// [`crate::ErrorKind::Forked`].
pub(super) fn enter() -> Result<()> {
    if is_forked() {
        bail!(Forked, "the library was in use before the fork, and this is the child");
    }
    if STATE.load(Ordering::Acquire) == UNUSED {
        first_use();
    }
    Ok(())
}

/// Whether nothing of the library may be touched.
pub(super) fn is_forked() -> bool {
    STATE.load(Ordering::Acquire) == FORKED || runtime::is_forked()
}

fn first_use() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        runtime::silence();
        ffi::process::watch_forks();
        // SAFETY: both handlers are functions of this library, which unregisters them when it is
        // unloaded; they take nothing and touch atomics alone (the child's), or catch what may
        // panic (the exit's). Where either registration fails for want of memory, the library
        // works, but for a fork or for an exit without a shutdown.
        unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
            libc::atexit(at_exit);
        }
    });
    let _ = STATE.compare_exchange(UNUSED, USED, Ordering::AcqRel, Ordering::Acquire);
}

/// Async-signal-safe, as what runs in the child must be.
extern "C" fn in_child() {
    let _ = STATE.compare_exchange(USED, FORKED, Ordering::AcqRel, Ordering::Acquire);
}

extern "C" fn at_exit() {
    if !is_forked() {
        let _ = runtime::catch(ffi::logs::silence);
        let _ = runtime::catch(|| runtime::shutdown_at_exit(EXIT_TIMEOUT));
    }
}
