//! In which process the runtime is: the one owner of what a `fork` means here.
//!
//! What must hold: in the child of a process in which a runtime was, or was just being started or
//! stopped, nothing of this layer waits for anything, for its threads are not there and its locks
//! may be held for ever. Where there was none, the child may start one.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::error::{Result, bail};

/// The process that the current runtime is in, 0 where there is none. Written under the lock of
/// the current runtime.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// Set in the child, and never taken back.
static FORKED: AtomicBool = AtomicBool::new(false);

/// A runtime is in this process.
pub(super) fn occupy() {
    PROCESS.store(std::process::id(), Ordering::Release);
}

/// No runtime is in this process any more.
pub(super) fn vacate() {
    PROCESS.store(0, Ordering::Release);
}

/// To be called in the child of every fork, by a handler of the layer above. Async-signal-safe:
/// atomics alone, for the locks are only tried.
pub fn in_child() {
    let in_use = PROCESS.load(Ordering::Acquire) != 0;
    if in_use || super::executor::is_locked() || super::shutdown::is_locked() {
        FORKED.store(true, Ordering::Release);
    }
}

/// Whether the runtime is in the process that this one is forked from, as the fork handler saw it:
/// for the beginning of every call.
pub fn is_forked() -> bool {
    FORKED.load(Ordering::Acquire)
}

/// [`is_forked`], also where no handler ran (a raw `clone`, or no memory for the handler). Asks the
/// system for the process: for what takes a lock of the runtime.
pub(super) fn is_elsewhere() -> bool {
    let there = PROCESS.load(Ordering::Acquire);
    is_forked() || (there != 0 && there != std::process::id())
}

/// Refuses where [`is_elsewhere`].
///
/// # Errors
/// [`crate::ErrorKind::Forked`].
pub(super) fn check() -> Result<()> {
    if is_elsewhere() {
        bail!(Forked, "the library was in use before the fork, and this is the child");
    }
    Ok(())
}
