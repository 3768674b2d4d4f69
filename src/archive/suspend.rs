//! Suspending an archive, and resuming it: for an app that the system freezes, and ends where it
//! holds a file's lock then.
//!
//! What must hold: what was accepted is committed and answered before the drivers go; while it is
//! suspended the archive holds no driver (no connection, no lock, no open file), wakes up for
//! nothing, and whoever asks is told so at once; subscribers miss nothing.

use std::sync::Arc;

use super::pending::{Pending, Reply};
use super::service::Archive;
use super::worker::{Desk, Shared, answer, quietly};
use crate::error::{Error, ErrorKind, Result};

/// What the writer's thread does when it has done all before.
pub(super) enum Turn {
    Suspend(Reply<()>),
    Resume(Reply<()>),
}

pub(super) fn suspended() -> Error {
    Error::new(ErrorKind::Suspended, "the archive is suspended")
}

impl Archive {
    /// Lets go of the file or database: commits what was accepted, carries SQLite's log over into
    /// the file where nobody else uses it, and closes all connections. The answer comes when no
    /// lock is held and no file is open any more.
    ///
    /// From this call on, until [`Archive::resume`], others give [`ErrorKind::Suspended`] at once;
    /// so do questions that no reader had taken up, and backups and the like that run. Those under
    /// way come to their end first, which is a matter of milliseconds. Subscribers stay, and hear
    /// after the resumption what others wrote meanwhile.
    ///
    /// A backend in memory has nothing to let go of: its archive only refuses. A second call is
    /// fine. An import or export holds a file of its own, until it is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::ArchiveClosed`].
    pub fn suspend(&self) -> Pending<()> {
        let (reply, pending) = Pending::new();
        match self.0.shared.queue.suspend(Turn::Suspend(reply)) {
            Ok((reads, joins)) => {
                self.0.shared.tasks.suspend();
                let mut gone = Desk::without_driver(self.0.backend.clone());
                for read in reads {
                    quietly(|| read(&mut gone));
                }
                for join in joins {
                    answer(join.reply, Err(suspended()));
                }
                pending
            }
            Err(e) => Pending::ready(Err(e)),
        }
    }

    /// Opens the file or database again, and goes on. Fine where it is not suspended.
    ///
    /// # Errors
    /// [`ErrorKind::ArchiveClosed`]; the backend's, where it cannot be opened: the archive stays
    /// suspended then, and may be resumed later.
    pub fn resume(&self) -> Pending<()> {
        let (reply, pending) = Pending::new();
        match self.0.shared.queue.resume(Turn::Resume(reply)) {
            Ok(()) => pending,
            Err(e) => Pending::ready(Err(e)),
        }
    }
}

/// Suspends or resumes; whether the archive is suspended then.
pub(super) fn take_turn(shared: &Arc<Shared>, writer: &mut Desk, turn: Turn, is: bool) -> bool {
    match turn {
        Turn::Suspend(reply) => {
            if !is {
                shared.tasks.suspend();
                shared.tasks.wait();
                let mut readers = shared.queue.take_desks();
                if writer.reopens() {
                    readers.iter_mut().for_each(Desk::let_go);
                    // The last connection: what is in the log goes into the file.
                    writer.let_go();
                }
                shared.queue.put_desks(readers);
            }
            answer(reply, Ok(()));
            true
        }
        Turn::Resume(reply) => {
            let resumed = if is { come_back(shared, writer) } else { Ok(()) };
            let stays = resumed.is_err();
            if !stays {
                shared.tasks.resume();
                shared.queue.resumed();
            }
            answer(reply, resumed);
            stays
        }
    }
}

fn come_back(shared: &Shared, writer: &mut Desk) -> Result<()> {
    if !writer.reopens() {
        return Ok(());
    }
    let mut readers = shared.queue.take_desks();
    // The writer first: on a file that others changed it is the one that may tell.
    let opened = writer.come_back().and_then(|()| {
        let floor = writer.run(|driver| driver.figures())?.floor;
        shared.floor.raise(floor);
        readers.iter_mut().try_for_each(Desk::come_back)
    });
    if opened.is_err() {
        readers.iter_mut().for_each(Desk::let_go);
        writer.let_go();
    }
    shared.queue.put_desks(readers);
    opened
}
