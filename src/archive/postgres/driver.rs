//! The driver on one connection, which is made anew where it was lost.
//!
//! What must hold: a put is told as stored only where it was committed, also where the connection
//! broke in the middle of its commit; and nobody waits for a database that is away, but a put or a
//! removal of which it is not known how it ended, for a while.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bulk::Bulk;
use super::changes::{self, Own};
use super::error::{Cure, Outcome};
use super::figures::{self, Sizes};
use super::find::{self, Hints};
use super::layout::Layout;
use super::link::Link;
use super::page;
use super::put::{self, Unsettled};
use super::removal::{self, Gone};
use super::session::{Session, off_runtime};
use super::topics::Topics;
use super::{topic_stats, verify};
use crate::archive::{
    BackupReport, Changes, Commit, Control, Driver, FeedItem, Figures, IndexEntry, IndexQuery,
    Position, Removal, Stats, TopicQuery, TopicStats, VerifyReport,
};
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::{MessageHash, Origin, Page, Query, StoredMessage, SyncId};

/// Times that a question is tried in all, where something was in the way.
const TRIES: usize = 4;
/// Between two tries to find out how a commit ended.
const PAUSE: Duration = Duration::from_millis(100);
/// Rows of the kept counts that a partition has: one for a writer, until there are more writers.
const SLOTS: i32 = 16;

/// What a driver knows beside its connection.
pub(super) struct Core {
    pub(super) topics: Topics,
    pub(super) layout: Layout,
    pub(super) hints: Arc<Hints>,
    pub(super) sizes: Sizes,
    /// The number of this archive among all that ever wrote to the database.
    pub(super) writer: i32,
    pub(super) slot: i16,
    /// The partition of the newest message that was put.
    pub(super) newest_used: Option<i32>,
    /// The partition in which the last cursor was.
    pub(super) cursor_in: Option<i32>,
    pub(super) bulk: Bulk,
    /// Messages held when figures were last asked for.
    pub(super) figured: Option<u64>,
    /// Whether this driver has removed by retention.
    pub(super) keeps_house: bool,
    /// How far a partition that was taken out has been told of.
    pub(super) told: Option<(String, SyncId)>,
    /// What of its commits the feed was told ahead.
    pub(super) own: Own,
}

pub(super) struct Postgres {
    link: Link,
    core: Core,
    /// How long it is tried to find out how a commit ended.
    settle_for: Duration,
    writes: bool,
    /// Whom it asks for the log: where it reads from a replica, which may be behind.
    log: Option<Box<Postgres>>,
}

impl Postgres {
    pub(super) fn new(
        link: Link,
        hints: Arc<Hints>,
        writer: i32,
        settle_for: Duration,
        writes: bool,
    ) -> Self {
        let slot = i16::try_from(writer.rem_euclid(SLOTS)).unwrap_or(0);
        let core = Core {
            topics: Topics::default(),
            layout: Layout::default(),
            hints,
            sizes: Sizes::default(),
            writer,
            slot,
            newest_used: None,
            cursor_in: None,
            bulk: Bulk::default(),
            figured: None,
            keeps_house: false,
            told: None,
            own: Own::default(),
        };
        Postgres { link, core, settle_for, writes, log: None }
    }

    /// Another driver answers questions about the log.
    pub(super) fn with_log(self, log: Postgres) -> Self {
        Postgres { log: Some(Box::new(log)), ..self }
    }

    /// Asks, with a fresh list of partitions, and again where that may help.
    pub(super) fn ask<T: Send>(
        &mut self,
        question: impl FnMut(&mut Session, &mut Core) -> Outcome<T> + Send,
    ) -> Result<T> {
        self.ask_with(true, question)
    }

    /// As [`Postgres::ask`], for a question that finds out by itself whether the list of partitions
    /// has changed since it was read last: a way to the server and back less.
    fn ask_by_list<T: Send>(
        &mut self,
        question: impl FnMut(&mut Session, &mut Core) -> Outcome<T> + Send,
    ) -> Result<T> {
        self.ask_with(false, question)
    }

    fn ask_with<T: Send>(
        &mut self,
        fresh_list: bool,
        mut question: impl FnMut(&mut Session, &mut Core) -> Outcome<T> + Send,
    ) -> Result<T> {
        let asked = off_runtime(|| {
            let mut tries = 0;
            loop {
                tries += 1;
                let (session, fresh) = self.link.session()?;
                if fresh {
                    // It may be another server, or one that lost what it had not yet written.
                    self.core.topics = Topics::default();
                    self.core.layout.forget();
                }
                let answer = match fresh_list || !self.core.layout.is_known() {
                    true => self.core.layout.refresh(session),
                    false => Ok(()),
                };
                let fault = match answer.and_then(|()| question(session, &mut self.core)) {
                    Ok(answer) => return Ok(answer),
                    Err(fault) => fault,
                };
                match fault.cure {
                    Cure::None => return Err(fault.error),
                    Cure::Reconnect => self.link.lose(),
                    Cure::Reload => self.core.layout.forget(),
                    Cure::Again => {}
                }
                if tries == TRIES {
                    return Err(fault.error);
                }
            }
        });
        asked.unwrap_or_else(|e| {
            Err(Error::new(ErrorKind::Resources, format!("cannot start a thread: {e}")))
        })
    }

    /// As [`Postgres::ask`], for what commits: as long as it is not known how a commit ended, it
    /// is tried to find out.
    fn change<T: Send>(
        &mut self,
        fresh_list: bool,
        mut change: impl FnMut(&mut Session, &mut Core, &mut Unsettled) -> Outcome<T> + Send,
    ) -> Result<T> {
        let mut unsettled = Unsettled::new();
        let until = Instant::now() + self.settle_for;
        loop {
            let changed =
                self.ask_with(fresh_list, |session, core| change(session, core, &mut unsettled));
            match changed {
                Err(e) if !unsettled.is_empty() => {
                    if e.kind() != ErrorKind::ArchiveUnavailable || Instant::now() >= until {
                        self.core.own.unknown(&unsettled);
                        return Err(e.context("whether it was committed is not known"));
                    }
                    std::thread::sleep(PAUSE);
                }
                result => return result,
            }
        }
    }
}

impl Driver for Postgres {
    fn put(&mut self, batch: &[(StoredMessage, Origin)]) -> Result<Vec<bool>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        // A partition that is not there any more, the server tells; one that is not known to be
        // there is made, if it is not.
        self.change(false, |session, core, unsettled| {
            let new = put::put(session, core, batch, unsettled)?;
            let cells = batch.iter().map(|(m, _)| session.lattice.cell_of(m.timestamp()));
            core.newest_used = core.newest_used.max(cells.max());
            Ok(new)
        })
    }

    /// Makes the next partition before it is needed.
    fn after_put(&mut self) {
        let _ = off_runtime(|| {
            if let Ok((session, false)) = self.link.session() {
                // What is wrong with it, a put into that partition will tell.
                drop(put::make_ahead(session, &mut self.core));
            }
        });
    }

    fn query(&mut self, query: &Query) -> Result<Page> {
        if !query.filter.hashes.is_empty() {
            return self.ask(|session, core| page::page(session, core, query));
        }
        self.ask_by_list(|session, core| page::page(session, core, query))
    }

    fn get(&mut self, hashes: &[MessageHash]) -> Result<Vec<StoredMessage>> {
        self.ask(|session, core| page::get(session, core, hashes))
    }

    fn missing(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        self.ask(|session, core| page::missing(session, core, hashes))
    }

    fn index(&mut self, query: &IndexQuery) -> Result<Vec<IndexEntry>> {
        self.ask(|session, core| page::index(session, core, query))
    }

    fn remove(&mut self, removal: &Removal) -> Result<Vec<FeedItem>> {
        let gone: Vec<Gone> = self.change(true, |session, core, unsettled| match removal {
            Removal::Oldest { before, limit } => {
                removal::oldest(session, core, *before, *limit, unsettled)
            }
            Removal::Hashes(hashes) => removal::take_down(session, core, hashes, unsettled),
        })?;
        let items = self.ask(|session, core| removal::items(session, core, &gone));
        if items.is_err() {
            self.core.own.not_told();
        }
        items
    }

    /// As of the last look at the archive's header: what was taken down since by another node, the
    /// put finds out, and looks again.
    fn taken_down(&mut self, hashes: &[MessageHash]) -> Result<Vec<MessageHash>> {
        self.ask_by_list(|session, core| match core.layout.any_taken_down {
            true => find::taken_down(session, hashes),
            false => Ok(Vec::new()),
        })
    }

    fn position(&mut self) -> Result<Position> {
        match &mut self.log {
            Some(log) => log.position(),
            None => self.ask(|session, _| changes::position(session)),
        }
    }

    fn changes(&mut self, after: Position, limit: usize) -> Result<Changes> {
        match &mut self.log {
            Some(log) => log.changes(after, limit),
            None => self.ask(|session, core| changes::changes(session, core, after, limit)),
        }
    }

    fn last_commit(&mut self) -> Option<Commit> {
        self.core.own.commit()
    }

    fn foreign_mark(&mut self) -> Result<Option<u64>> {
        self.ask(|session, _| changes::mark(session)).map(Some)
    }

    fn tombstones(&mut self, after: Option<MessageHash>, limit: usize) -> Result<Vec<MessageHash>> {
        self.ask(|session, _| find::tombstones(session, after, limit))
    }

    fn reinstate(&mut self, hashes: &[MessageHash]) -> Result<u64> {
        self.ask(|session, _| removal::reinstate(session, hashes))
    }

    fn figures(&mut self) -> Result<Figures> {
        self.ask(figures::figures)
    }

    fn stats(&mut self) -> Result<Stats> {
        self.ask(|session, _| figures::stats(session))
    }

    fn topic_stats(&mut self, query: &TopicQuery) -> Result<Vec<TopicStats>> {
        self.ask(|session, _| topic_stats::page(session, query))
    }

    fn backup(&mut self, _: &Path, _: bool, _: &Control) -> Result<BackupReport> {
        bail!(
            Unsupported,
            "an archive on PostgreSQL is backed up with the database's own tools: pg_dump, or \
             pg_basebackup with its log archived"
        )
    }

    fn verify(&mut self, control: &Control) -> Result<VerifyReport> {
        verify::verify(self, control)
    }

    fn close(&mut self) {
        if self.writes && self.core.keeps_house {
            let _ = off_runtime(|| {
                if let Ok((session, false)) = self.link.session() {
                    drop(removal::release(session, &self.core));
                }
            });
        }
        self.link.lose();
        if let Some(log) = &mut self.log {
            log.link.lose();
        }
    }
}

/// The number of the next archive that writes.
pub(super) fn next_writer(session: &mut Session) -> Outcome<i32> {
    let what = "opening the archive";
    let rows = session.query(what, "SELECT nextval('wakustore.writer')::int4", &[])?;
    match rows.first() {
        Some(row) => row.try_get(0).map_err(super::error::sql(what)),
        None => Err(super::error::corrupt("its sequence of writers is empty")),
    }
}
