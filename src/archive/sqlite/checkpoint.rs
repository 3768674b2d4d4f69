//! Carrying the WAL over into the file beside the writer, on a thread and a connection of its own:
//! a put waits for none of that, and the writer goes on writing meanwhile.
//!
//! What must hold: what this thread does changes nothing that anybody reads, and nothing depends on
//! it being done. It ends with its handle; the writer's last checkpoint comes after that.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::Durability;
use super::open::{self, CHECKPOINT_PAGES, Place, Role};

/// How many times as long as what asks for a pass the WAL is when the writer helps.
const LONG: c_int = 4;

thread_local! {
    /// Pages in the WAL after this thread's last commit.
    static PAGES: Cell<c_int> = const { Cell::new(0) };
}

/// From now on [`pages`] tells of this connection's commits; SQLite makes no checkpoint by itself
/// any more, but where the WAL has grown far beyond what passes leave.
pub(super) fn take_over(writer: &Connection) {
    writer.wal_hook(Some(|wal: &Wal, pages| {
        PAGES.set(pages);
        if pages > LONG * CHECKPOINT_PAGES {
            // Fails while a pass goes on, or a reader stays: the next commit tries again.
            let _ = wal.checkpoint();
        }
        Ok(())
    }));
}

/// Pages in the WAL after the last commit on this thread.
pub(super) fn pages() -> c_int {
    PAGES.get()
}

/// The thread. Dropping it waits for the pass that it is in.
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    pass: Arc<Mutex<()>>,
    /// Pages in the WAL when the last pass was asked for.
    asked_at: c_int,
}

impl Checkpointer {
    /// `None` where no thread can be had.
    pub(super) fn start(place: &Place, durability: Durability) -> Option<Self> {
        let (wake, wakes) = sync_channel(1);
        let pass = Arc::new(Mutex::new(()));
        let (place, of_thread) = (place.clone(), pass.clone());
        let body = move || {
            let mut conn = None;
            while wakes.recv().is_ok() {
                let _pass = of_thread.lock().unwrap_or_else(PoisonError::into_inner);
                if conn.is_none() {
                    conn = open::connect(&place, durability, Role::Reader).ok();
                }
                let all = "PRAGMA wal_checkpoint(PASSIVE)";
                let carry = |conn: &Connection| conn.query_row(all, [], |_| Ok(()));
                if conn.as_ref().is_none_or(|conn| carry(conn).is_err()) {
                    // The writer's own checkpoints will tell, if it lasts.
                    conn = None;
                }
            }
        };
        let thread = std::thread::Builder::new().name("wks-archive-c".into()).spawn(body).ok()?;
        Some(Checkpointer { wake: Some(wake), thread: Some(thread), pass, asked_at: 0 })
    }

    /// After a commit: asks for a pass where enough was written since the last.
    pub(super) fn after_commit(&mut self) {
        let pages = pages();
        if pages < self.asked_at {
            // The WAL has begun anew.
            self.asked_at = 0;
        }
        if pages - self.asked_at >= CHECKPOINT_PAGES
            && let Some(wake) = &self.wake
            && wake.try_send(()).is_ok()
        {
            self.asked_at = pages;
        }
    }

    /// Keeps passes from beginning; waits for the one that goes on if `wait`, or else is `None`
    /// while one does.
    pub(super) fn hold(&self, wait: bool) -> Option<MutexGuard<'_, ()>> {
        if wait {
            return Some(self.pass.lock().unwrap_or_else(PoisonError::into_inner));
        }
        self.pass.try_lock().ok()
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
