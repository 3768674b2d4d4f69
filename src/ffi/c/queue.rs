//! `wks_queue`: a completion queue, for event loops that pick completions up on their own thread.

use std::ffi::c_void;
use std::sync::Arc;

use super::error::wks_error;
use super::guard;
use super::handle::{Handle, handle};
use super::memory::Record;
use super::op::wks_op;
use super::status::wks_status;
use super::user::wks_drop;
use crate::error::bail;
use crate::runtime::{Queue, Runtime};

/// A completion queue. Attach operations to it with `wks_op_set_queue`; each gives one completion.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_queue {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_queue, 3, Arc<Queue>);

/// One operation that has ended. The caller allocates it and sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_completion {
    /// `sizeof(wks_completion)`.
    pub struct_size: usize,
    /// The operation. Still the caller's to free.
    pub op: wks_op,
    /// What `wks_op_set_queue` was given.
    pub user: *mut c_void,
}

// SAFETY: `repr(C)`, the size first, a number and a pointer.
unsafe impl Record for wks_completion {
    const NAME: &'static str = "wks_completion";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// Called when something has come into a queue that was empty, on the library's dispatcher thread.
/// It may call everything but what blocks and `wks_shutdown`; it must not throw.
pub type wks_wake = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// The most that one call of `wks_queue_poll` gives.
const MAX_POLL: usize = 65_536;

/// Makes an empty queue. Starts the library's threads where they do not run.
///
/// Threads: any. Blocks: no. Owns: the queue is the caller's, to free with `wks_queue_free`.
/// Errors: `WKS_ERR_NULL_POINTER`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_queue_new(queue: *mut wks_queue, error: *mut wks_error) -> wks_status {
    guard::give(error, queue, |_| wks_queue::publish(Queue::new(&Runtime::current()?)?))
}

/// A file descriptor that is readable while the queue holds something: for `poll`, `epoll`,
/// `select`, `add_reader`. Do not read from it or close it. (It may be readable and the queue
/// empty, where operations were freed meanwhile.)
///
/// Threads: any. Blocks: no. Owns: the descriptor is the queue's, and open until
/// `wks_queue_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_queue_fd(
    queue: wks_queue,
    fd: *mut i32,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, fd, |call| Ok(call.get(queue)?.fd()))
}

/// Takes completions out, the oldest first: up to `capacity` of them, and writes how many to
/// `count`. Set `struct_size` of the first of `completions`.
///
/// Threads: any. Blocks: no; `count` is 0 where there is none. Owns: `completions` is the
/// caller's; so are the operations in it.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for a wrong
/// `struct_size` or a `capacity` of 0.
#[unsafe(no_mangle)]
pub extern "C" fn wks_queue_poll(
    queue: wks_queue,
    completions: *mut wks_completion,
    capacity: usize,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::fill_many(error, completions, capacity, count, |call, capacity| {
        if capacity == 0 {
            bail!(InvalidArgument, "there is no room for a completion");
        }
        let ended = call.get(queue)?.poll(capacity.min(MAX_POLL));
        let completion = |c: crate::runtime::Completion| wks_completion {
            struct_size: size_of::<wks_completion>(),
            op: wks_op { id: c.op },
            user: std::ptr::with_exposed_provenance_mut(c.user as usize),
        };
        Ok(ended.into_iter().map(completion).collect())
    })
}

/// Has `wake` called with `user` each time something comes into the empty queue, and at once where
/// something is in it: take everything out then, until `wks_queue_poll` gives less than its
/// capacity. A null `wake` takes the one before away: it will not be called again, but one that runs
/// on the dispatcher, or is just about to, goes on, and `drop` is called after it: what `user` points
/// to is safe to free only once `drop` was called.
///
/// Threads: any. Blocks: no. Owns: takes `user`; `drop` is called for it exactly once: when it is
/// replaced, when the queue is freed, or where this call fails.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_SHUTDOWN`, `WKS_ERR_RESOURCES`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_queue_set_wake(
    queue: wks_queue,
    wake: wks_wake,
    user: *mut c_void,
    drop: wks_drop,
    error: *mut wks_error,
) -> wks_status {
    guard::register(error, user, drop, |call, user| {
        let queue = call.get(queue)?;
        let Some(wake) = wake else { return queue.set_wake(None) };
        queue.set_wake(Some(Box::new(move || {
            // SAFETY: a function of the host's, called with what the host gave for it, by the
            // dispatcher alone; `user` lives as long as the hook.
            unsafe { wake(user.ptr()) }
        })))
    })
}

/// Frees a queue and forgets the completions in it. Operations that are attached go on, untold. The
/// null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle; the operations stay the caller's.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_queue_free(queue: wks_queue) {
    guard::free(queue, |queue| queue.close())
}
