//! Carrying the write-ahead log over into the file beside the writer, on a thread and a connection
//! of its own: the writer goes on writing meanwhile, and does itself only what came to the log
//! during that, so that the log can begin anew.
//!
//! What must hold: a checkpoint changes nothing that anybody reads, and nothing depends on it being
//! done, but that the log stays short: at [`MOST_PAGES`] the writer waits for it. The thread ends
//! with its handle; the writer's last checkpoint comes after that.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::open::{self, CHECKPOINT_PAGES, How, Place, Role};

/// Pages in the log at which the writer waits for the thread: some 32 MiB.
const MOST_PAGES: c_int = 2 * CHECKPOINT_PAGES;

thread_local! {
    /// Pages in the log after this thread's last commit.
    static PAGES: Cell<c_int> = const { Cell::new(0) };
}

/// Carries over what it can without waiting for anybody. Whether somebody else did so just then, or
/// it failed: then there is nothing to do but to try again later.
fn carry(conn: &Connection) -> bool {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(0)) == Ok(0)
}

/// The writer's end.
pub(super) struct Checkpointer {
    place: Place,
    how: How,
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
    shared: Arc<Shared>,
    /// Pages in the log when it was last tried to carry it over.
    asked_at: c_int,
}

#[derive(Default)]
struct Shared {
    pass: Mutex<Pass>,
    ended: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Pass {
    #[default]
    None,
    Goes,
    /// What it did not meet is the writer's to do.
    Ended,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pass> {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checkpointer {
    /// For this connection, which makes no checkpoint by itself from now on.
    pub(super) fn new(writer: &Connection, place: &Place, how: &How) -> Self {
        writer.wal_hook(Some(|_, pages| {
            PAGES.set(pages);
            Ok(())
        }));
        Checkpointer {
            place: place.clone(),
            how: how.clone(),
            thread: None,
            shared: Arc::default(),
            asked_at: 0,
        }
    }

    /// After a commit of the writer's, on the thread that made it.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let pages = PAGES.get();
        if pages < self.asked_at {
            // The log has begun anew.
            self.asked_at = 0;
        }
        if pages - self.asked_at < CHECKPOINT_PAGES {
            return;
        }
        let mut pass = self.shared.lock();
        match *pass {
            Pass::None => {
                *pass = Pass::Goes;
                drop(pass);
                if !self.begin() {
                    self.end(writer);
                }
            }
            Pass::Goes if pages >= MOST_PAGES => {
                while *pass == Pass::Goes {
                    pass = self.shared.ended.wait(pass).unwrap_or_else(PoisonError::into_inner);
                }
                drop(pass);
                self.end(writer);
            }
            Pass::Ended if pages >= MOST_PAGES => {
                drop(pass);
                self.end(writer);
            }
            Pass::Goes | Pass::Ended => {}
        }
    }

    /// While nobody waits for the writer.
    pub(super) fn upkeep(&mut self, writer: &Connection) {
        if *self.shared.lock() == Pass::Ended {
            self.end(writer);
        }
    }

    /// Carries over what a pass did not meet; mostly little. The next commit then begins the log
    /// anew, unless a reader still reads from it.
    fn end(&mut self, writer: &Connection) {
        carry(writer);
        *self.shared.lock() = Pass::None;
        self.asked_at = PAGES.get();
    }

    /// Has the thread begin. Whether it does.
    fn begin(&mut self) -> bool {
        if self.thread.is_none() {
            self.thread = self.start();
        }
        let woken = self.thread.as_ref().is_some_and(|(wake, _)| wake.send(()).is_ok());
        if !woken {
            self.thread = None;
        }
        woken
    }

    fn start(&self) -> Option<(SyncSender<()>, JoinHandle<()>)> {
        let (wake, wakes) = sync_channel(1);
        let (place, how, shared) = (self.place.clone(), self.how.clone(), self.shared.clone());
        let body = move || {
            let mut conn = None;
            while wakes.recv().is_ok() {
                if conn.is_none() {
                    conn = open::connect(&place, &how, Role::Reader).ok();
                }
                if !conn.as_ref().is_some_and(carry) {
                    // Another connection may do better.
                    conn = None;
                }
                *shared.lock() = Pass::Ended;
                shared.ended.notify_all();
            }
        };
        let thread = std::thread::Builder::new().name("wks-archive-c".into()).spawn(body);
        Some((wake, thread.ok()?))
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        if let Some((wake, thread)) = self.thread.take() {
            drop(wake);
            let _ = thread.join();
        }
    }
}
