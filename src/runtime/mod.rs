//! The internal runtime: tokio, operations, completion queues, the dispatcher, shutdown.
//!
//! It knows no protocols: what runs here are futures and closures, what comes out are type-erased
//! values. There is one [`Runtime`] in a process. It starts when it is first used, [`shutdown`]
//! stops it, and the next use starts another. Objects made on one that was stopped stay bound to
//! it, and answer [`crate::ErrorKind::Shutdown`] from then on.
//!
//! What must hold: an [`Op`] ends exactly once; no lock is held while calling out; callbacks
//! and wake hooks of a host run on the [`Dispatcher`]'s thread, its validators on a thread that the
//! archive has for them. The one code of others that runs on
//! a thread of tokio's is the waker of a foreign executor that awaits a [`Task`]: UniFFI's, which only
//! schedules a poll (docs/decisions/0007).

mod closers;
mod dispatcher;
mod executor;
mod op;
mod panics;
mod process;
mod pull;
mod queue;
mod shutdown;
mod signal;
mod table;
mod task;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use closers::{Registration, Stage};
pub use dispatcher::{Dispatcher, Job, as_callback, on_dispatcher};
pub use executor::{Runtime, is_exiting};
pub use op::{Completer, Op, Value};
pub use panics::{catch, silence};
pub use process::{in_child, is_forked};
pub use pull::{Pull, Source};
pub use queue::{Completion, Queue, WakeHook};
pub use shutdown::{shutdown, shutdown_at_exit};
pub use table::{Handle, Table};
pub use task::{Task, blocking, drop_blocking, run, spawn};

/// Locks, also where another thread panicked meanwhile: every critical section here leaves its
/// state whole at each step.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
