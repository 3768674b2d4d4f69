//! What an operator does with an archive that is in use: look at it by topic, copy it, check it,
//! take messages down by filter, look at what was taken down and lift it again.
//!
//! What is long runs on a thread and a connection of its own, in steps, beside puts and queries;
//! where the backend has one connection (`:memory:`), in the writer's turn.

use std::path::PathBuf;
use std::sync::Arc;

use super::pending::Pending;
use super::report::{BackupReport, MAX_TOOL_PAGE, TopicQuery, TopicStats, VerifyReport};
use super::rules::MAX_CONTENT_TOPICS;
use super::service::{Archive, MAX_TAKE_DOWN};
use super::suspend::suspended;
use super::task::{Control, Task};
use super::worker::{Desk, answer, is_archive_thread};
use super::{Driver, IndexQuery};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{Filter, MessageHash, TimeRange};

/// Messages that are taken down in one step: a commit of some milliseconds.
const TAKE_DOWN_STEP: usize = 200;

impl Archive {
    /// One page of figures by topic, in the order of the topics' names as bytes; a page that is
    /// shorter than its limit is the last. Topics whose messages have all been removed may be among
    /// them. The cost is by topics, not by messages.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a limit outside of 1 to [`MAX_TOOL_PAGE`];
    /// [`ErrorKind::Unsupported`] where the backend keeps no such figures.
    pub fn topic_stats(&self, query: TopicQuery) -> Pending<Vec<TopicStats>> {
        if let Err(e) = check_limit(query.limit) {
            return Pending::ready(Err(e));
        }
        self.ask(move |driver| driver.topic_stats(&query))
    }

    /// Writes a copy of the archive to a new file at this path, while puts and queries go on. It
    /// is of one moment, at or after this call: all that was acknowledged before is in it. The
    /// file appears under its name when it is whole and on the disk; one that is there already
    /// stays until then, and is replaced only with `replace`. The progress is in pages.
    ///
    /// An encrypted archive's backup is encrypted with the same key. While it is written, the
    /// archive's write-ahead log keeps what is put, and so grows; afterwards it is cut again.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] where a file is there and `replace` was not given, or the
    /// path is no name of a file; [`ErrorKind::ArchiveLocked`] where the file that is there is an
    /// archive in use; [`ErrorKind::DiskFull`], [`ErrorKind::ArchiveIo`]; [`ErrorKind::Busy`]
    /// while four such works run; [`ErrorKind::Cancelled`]; [`ErrorKind::Unsupported`] where the
    /// backend makes no backups.
    pub fn backup(&self, to: impl Into<PathBuf>, replace: bool) -> Task<BackupReport> {
        let to = to.into();
        self.work(move |tool| {
            let control = tool.control.clone();
            tool.run(move |driver| driver.backup(&to, replace, &control))
        })
    }

    /// Checks everything that is held: recomputes each message's hash in small steps, then checks
    /// the file's structure with all indexes, and the figures that are kept. Puts and queries go
    /// on. The progress is in messages; the structure's check has none, and comes last. It looks at
    /// one moment of the archive, so that the write-ahead log grows while it lasts.
    ///
    /// # Errors
    /// What is wrong with the archive is in the report, not an error. [`ErrorKind::Busy`] while
    /// four such works run; [`ErrorKind::Cancelled`]; [`ErrorKind::Unsupported`].
    pub fn verify(&self) -> Task<VerifyReport> {
        self.work(|tool| {
            let control = tool.control.clone();
            tool.run(move |driver| driver.verify(&control))
        })
    }

    /// Takes down what matches, in small steps beside puts and queries, and gives how many
    /// messages went. Each is removed and gets a tombstone, as by [`Archive::take_down`]; messages
    /// that match but were never held are not kept out. The progress is in messages, with no
    /// total. When it is cancelled or fails, what went until then stays down.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a filter that has hashes (use [`Archive::take_down`]),
    /// more than 100 content topics, or no restriction at all; [`ErrorKind::Busy`] while four such
    /// works run; [`ErrorKind::Cancelled`]; those of [`Archive::take_down`].
    pub fn take_down_matching(&self, filter: Filter) -> Task<u64> {
        if let Err(e) = check_filter(&filter).and_then(|()| self.check_writable()) {
            return Task::new(Control::new(), Pending::ready(Err(e)));
        }
        self.work(move |tool| take_down_matching(tool, filter))
    }

    /// Hashes that were taken down, after this one, in ascending order; fewer than `limit` are the
    /// last.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a limit outside of 1 to [`MAX_TOOL_PAGE`];
    /// [`ErrorKind::Unsupported`].
    pub fn tombstones(
        &self,
        after: Option<MessageHash>,
        limit: usize,
    ) -> Pending<Vec<MessageHash>> {
        if let Err(e) = check_limit(limit) {
            return Pending::ready(Err(e));
        }
        self.ask(move |driver| driver.tombstones(after, limit))
    }

    /// Lifts tombstones: these may be taken in again, from wherever they come. (They are not
    /// brought back.) Gives how many there were.
    ///
    /// # Errors
    /// Those of [`Archive::take_down`].
    pub fn reinstate(&self, hashes: Vec<MessageHash>) -> Pending<u64> {
        if hashes.len() > MAX_TAKE_DOWN {
            let what = format!("at most {MAX_TAKE_DOWN} messages are reinstated in one call");
            return Pending::ready(Err(Error::new(ErrorKind::InvalidArgument, what)));
        }
        self.remove(hashes, true)
    }

    /// Runs a work on a thread of its own.
    fn work<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Tool) -> Result<T> + Send + 'static,
    ) -> Task<T> {
        let control = Control::new();
        let (reply, pending) = Pending::new();
        let begun = self.0.shared.tasks.begin(&control).and_then(|begun| {
            let desk = self.0.backend.reader()?;
            Ok((begun, desk.map(|driver| Desk::new(driver, self.0.backend.clone(), false))))
        });
        let (begun, desk) = match begun {
            Ok(begun) => begun,
            Err(e) => return Task::new(control, Pending::ready(Err(e))),
        };
        // Not a handle of the archive's: the last of those ends the work.
        let archive = Arc::downgrade(&self.0);
        let mut tool = Tool { archive, desk, control: control.clone() };
        let started = self.start("wks-archive-t".into(), move || {
            is_archive_thread();
            let body = std::panic::AssertUnwindSafe(|| body(&mut tool));
            let result = std::panic::catch_unwind(body)
                .unwrap_or_else(|_| bail!(Internal, "the archive's work panicked"))
                .map_err(|e| match e.kind() {
                    ErrorKind::Cancelled if tool.control.is_suspended() => suspended(),
                    _ => e,
                });
            if let Some(desk) = tool.desk.take() {
                desk.close();
            }
            // Whoever is answered may begin the next at once.
            drop(begun);
            answer(reply, result);
        });
        match started {
            Ok(()) => Task::new(control, pending),
            Err(e) => Task::new(control, Pending::ready(Err(e))),
        }
    }
}

/// What a work has at hand.
struct Tool {
    archive: std::sync::Weak<super::service::Handle>,
    /// Where the backend has more than one connection.
    desk: Option<Desk>,
    control: Control,
}

impl Tool {
    /// Asks a driver: the work's own, or whichever answers questions.
    fn run<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&mut dyn Driver) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &mut self.desk {
            Some(desk) => desk.run(question),
            None => {
                let pending = self.archive()?.ask(question);
                // Not `wait`: this thread is one of the archive's, but not one that answers.
                futures::executor::block_on(pending)
            }
        }
    }

    fn archive(&self) -> Result<Archive> {
        match self.archive.upgrade() {
            Some(handle) => Ok(Archive(handle)),
            None => bail!(ArchiveClosed, "the archive was closed"),
        }
    }
}

fn take_down_matching(tool: &mut Tool, filter: Filter) -> Result<u64> {
    let mut query = IndexQuery {
        time: filter.time,
        pubsub_topics: filter.pubsub_topic.into_iter().collect(),
        content_topics: filter.content_topics,
        after: None,
        limit: TAKE_DOWN_STEP,
    };
    let mut removed = 0;
    loop {
        tool.control.check()?;
        let step = query.clone();
        let entries = tool.run(move |driver| driver.index(&step))?;
        let hashes = entries.iter().map(|entry| entry.id.hash).collect();
        if let Some(last) = entries.last() {
            let pending = tool.archive()?.remove(hashes, false);
            removed += futures::executor::block_on(pending)?;
            tool.control.set(removed, 0);
            query.after = Some(last.id);
        }
        if entries.len() < TAKE_DOWN_STEP {
            return Ok(removed);
        }
    }
}

fn check_limit(limit: usize) -> Result<()> {
    if limit == 0 || limit > MAX_TOOL_PAGE {
        bail!(InvalidArgument, "the limit of a page is 1 to {MAX_TOOL_PAGE}, not {limit}");
    }
    Ok(())
}

fn check_filter(filter: &Filter) -> Result<()> {
    if !filter.hashes.is_empty() {
        bail!(InvalidArgument, "single messages are taken down by their hashes, not by a filter");
    }
    if filter.content_topics.len() > MAX_CONTENT_TOPICS {
        bail!(
            InvalidArgument,
            "a filter names at most {MAX_CONTENT_TOPICS} content topics, not {}",
            filter.content_topics.len()
        );
    }
    let topics = filter.pubsub_topic.is_some() || !filter.content_topics.is_empty();
    if !topics && filter.time == TimeRange::ALL {
        bail!(InvalidArgument, "a filter that restricts nothing would take everything down");
    }
    Ok(())
}
