//! Verification: every hash recomputed, partition by partition, in small steps; then the kept
//! counts of each partition against what was met there, and what is kept of the archive as a whole.
//! Nothing is written.
//!
//! What must hold: the messages and the counts of a partition are those of one moment, so that puts
//! and removals beside it are no findings. So each partition is walked in one transaction, which
//! keeps that partition from being removed, and no other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::slice;

use postgres::Row;

use super::driver::{Core, Postgres};
use super::error::{Cure, Outcome, sql};
use super::lattice::{Cell, table};
use super::page;
use super::scan::WHOLE;
use super::session::Session;
use super::topic_stats::content_bytes;
use crate::archive::{Control, FindingKind, Findings, VerifyReport};
use crate::error::{Error, ErrorKind};
use crate::types::{MessageHash, StoredMessage, message_hash};

const VERIFYING: &str = "verifying the archive";
/// Messages of one step.
const STEP: usize = 128;
/// Channels of one partition that are counted each by itself; the others are, together.
const MAX_CHANNELS: usize = 65_536;
/// Channels whose counts are read in one step.
const COUNTS_AT_ONCE: i64 = 4_096;

/// The first partition after this one; `None` where there is none.
fn next_cell(core: &Core, after: Option<Cell>) -> Option<Cell> {
    core.layout.cells().iter().copied().find(|cell| after.is_none_or(|after| *cell > after))
}

/// Messages held by the kept counts: what there is to do.
fn total(session: &mut Session) -> Outcome<u64> {
    let text = "SELECT coalesce(sum(messages), 0)::int8 FROM wakustore.partition_count";
    let rows = session.query(VERIFYING, text, &[])?;
    let total: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(sql(VERIFYING))?;
    Ok(u64::try_from(total).unwrap_or(0))
}

/// Verifies all that this driver sees.
pub(super) fn verify(driver: &mut Postgres, control: &Control) -> Result<VerifyReport, Error> {
    let total = driver.ask(|session, _| total(session))?;
    let mut report = VerifyReport::default();
    let mut after = None;
    loop {
        control.check()?;
        let progress = (report.messages, total);
        let next = driver.ask(|session, core| match next_cell(core, after) {
            Some(cell) => {
                partition(session, core, cell, control, progress).map(|found| Some((cell, found)))
            }
            None => Ok(None),
        })?;
        let Some((cell, found)) = next else { break };
        after = Some(cell);
        report.messages += found.messages;
        report.findings.append(found.findings);
    }
    report.findings.append(driver.ask(|session, _| whole(session))?);
    Ok(report)
}

/// Verifies one partition. `done` and `total` are for the progress.
fn partition(
    session: &mut Session,
    core: &mut Core,
    cell: Cell,
    control: &Control,
    (done, total): (u64, u64),
) -> Outcome<VerifyReport> {
    session.batch(VERIFYING, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    session.or_roll_back(VERIFYING, |session| {
        let mut walk = Walk::new(cell);
        while walk.step(session, core)? {
            control.check()?;
            let done = done + walk.report.messages;
            control.set(done, total.max(done));
        }
        // Of what could not be read there is no counting.
        if walk.is_whole {
            walk.compare(session, control)?;
        }
        session.batch(VERIFYING, "COMMIT")?;
        Ok(walk.report)
    })
}

/// What is kept of the archive as a whole.
fn whole(session: &mut Session) -> Outcome<Findings> {
    let fail = sql(VERIFYING);
    let mut findings = Findings::default();
    let text = "SELECT tombstones, (SELECT count(*) FROM wakustore.tombstone)
                FROM wakustore.archive";
    for row in session.query(VERIFYING, text, &[])? {
        let (kept, counted): (i64, i64) =
            (row.try_get(0).map_err(&fail)?, row.try_get(1).map_err(&fail)?);
        if kept != counted {
            let what = format!("{counted} tombstones are held, the figure is {kept}");
            findings.add(FindingKind::Figure, None, what);
        }
    }
    let text = "SELECT n.cell, sum(n.messages)::int8 FROM wakustore.partition_count n
                WHERE NOT EXISTS (SELECT FROM wakustore.partition p WHERE p.cell = n.cell)
                GROUP BY n.cell HAVING sum(n.messages) <> 0";
    for row in session.query(VERIFYING, text, &[])? {
        let (cell, kept): (Cell, i64) =
            (row.try_get(0).map_err(&fail)?, row.try_get(1).map_err(&fail)?);
        let what = format!("there is no partition {cell}, the figure is {kept} messages");
        findings.add(FindingKind::Figure, None, what);
    }
    Ok(findings)
}

/// Messages and bytes.
type Count = (i64, i64);

/// A walk over one partition in the order of its key.
struct Walk {
    cell: Cell,
    report: VerifyReport,
    /// Where to go on: at this time, behind this hash.
    time: i64,
    hash: Vec<u8>,
    /// Messages of the next step: fewer after what could not be read.
    limit: usize,
    /// Rows that were met, by channel, and of the channels beyond so many.
    counts: HashMap<i32, Count>,
    others: Count,
    rows: i64,
    /// Whether everything so far could be read and counted.
    is_whole: bool,
}

impl Walk {
    fn new(cell: Cell) -> Self {
        Walk {
            cell,
            report: VerifyReport::default(),
            time: i64::MIN,
            hash: Vec::new(),
            limit: STEP,
            counts: HashMap::new(),
            others: (0, 0),
            rows: 0,
            is_whole: true,
        }
    }

    /// Some more; whether there may be still more.
    fn step(&mut self, session: &mut Session, core: &mut Core) -> Outcome<bool> {
        match self.read(session, WHOLE, self.limit)? {
            Ok(rows) => {
                let more = rows.len() == self.limit;
                self.limit = (2 * self.limit).min(STEP);
                match guarded(session, |session| page::messages(session, core, &rows))? {
                    Ok(messages) => {
                        for (m, row) in messages.iter().zip(&rows) {
                            self.check(m, row)?;
                        }
                    }
                    // Some of them are no messages.
                    Err(_) => {
                        for row in &rows {
                            self.read_one(session, core, row)?;
                        }
                    }
                }
                if let Some(last) = rows.last() {
                    self.pass(last)?;
                }
                Ok(more)
            }
            Err(_) if self.limit > 1 => {
                self.limit /= 2;
                Ok(true)
            }
            // One that cannot be read: the index may tell which, and lead behind it.
            Err(e) => {
                self.is_whole = false;
                let passed = (self.time, self.hash.clone());
                let keys = self.read(session, "timestamp, hash", 1)?;
                let Some(row) = keys.ok().and_then(|rows| rows.into_iter().next()) else {
                    let what = format!(
                        "partition {} cannot be read behind time {}: {}",
                        self.cell,
                        passed.0,
                        e.message()
                    );
                    self.report.findings.add(FindingKind::Unreadable, None, what);
                    return Ok(false);
                };
                self.pass(&row)?;
                let hash = MessageHash::from_slice(&self.hash[..self.hash.len() - 1]).ok();
                let what = format!("a message cannot be read: {}", e.message());
                self.report.findings.add(FindingKind::Unreadable, hash, what);
                Ok(true)
            }
        }
    }

    /// The next rows, or what is wrong with them.
    fn read(
        &self,
        session: &mut Session,
        columns: &str,
        limit: usize,
    ) -> Outcome<Result<Vec<Row>, Error>> {
        let text = format!(
            "SELECT {columns} FROM {} WHERE (timestamp, hash) >= ($1::int8, $2::bytea)
             ORDER BY timestamp, hash LIMIT $3::int8",
            table(self.cell)
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        guarded(session, |session| {
            session.query(VERIFYING, &text, &[&self.time, &self.hash, &limit])
        })
    }

    /// Goes on behind this row.
    fn pass(&mut self, row: &Row) -> Outcome<()> {
        let fail = sql(VERIFYING);
        self.time = row.try_get(0).map_err(&fail)?;
        self.hash = row.try_get(1).map_err(&fail)?;
        // The least that sorts behind it.
        self.hash.push(0);
        Ok(())
    }

    /// Checks a message, if it is one.
    fn read_one(&mut self, session: &mut Session, core: &mut Core, row: &Row) -> Outcome<()> {
        match guarded(session, |session| page::messages(session, core, slice::from_ref(row)))? {
            Ok(messages) => messages.iter().try_for_each(|m| self.check(m, row)),
            Err(e) => {
                let fail = sql(VERIFYING);
                let time: i64 = row.try_get(0).map_err(&fail)?;
                let hash = MessageHash::from_slice(row.try_get(1).map_err(&fail)?).ok();
                let what = format!("a message of time {time}: {}", e.message());
                self.report.findings.add(FindingKind::Invalid, hash, what);
                self.is_whole = false;
                Ok(())
            }
        }
    }

    /// Checks a message and counts it.
    fn check(&mut self, m: &StoredMessage, row: &Row) -> Outcome<()> {
        self.report.messages += 1;
        if message_hash(&m.pubsub_topic, &m.message) != m.hash {
            let what = format!("message {}: the content gives another hash", m.hash);
            self.report.findings.add(FindingKind::HashMismatch, Some(m.hash), what);
        }
        self.count(row.try_get(2).map_err(sql(VERIFYING))?, content_bytes(m));
        Ok(())
    }

    fn count(&mut self, channel: i32, bytes: i64) {
        self.rows += 1;
        let full = self.counts.len() >= MAX_CHANNELS;
        let count = match self.counts.entry(channel) {
            Entry::Vacant(_) if full => &mut self.others,
            entry => entry.or_default(),
        };
        count.0 += 1;
        count.1 = count.1.saturating_add(bytes);
    }

    /// The kept counts against those of the walk.
    fn compare(&mut self, session: &mut Session, control: &Control) -> Outcome<()> {
        let fail = sql(VERIFYING);
        let text = "SELECT coalesce(sum(messages), 0)::int8 FROM wakustore.partition_count
                    WHERE cell = $1";
        let rows = session.query(VERIFYING, text, &[&self.cell])?;
        let kept: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(&fail)?;
        if kept != self.rows {
            let what =
                format!("partition {} has {} messages, the figure is {kept}", self.cell, self.rows);
            self.report.findings.add(FindingKind::Figure, None, what);
        }
        let text = "SELECT channel, sum(messages)::int8, sum(bytes)::int8
                    FROM wakustore.channel_count WHERE cell = $1 AND channel > $2
                    GROUP BY channel ORDER BY channel LIMIT $3";
        let all = self.counts.len() < MAX_CHANNELS;
        let mut others = (0, 0);
        let mut after = i32::MIN;
        loop {
            control.check()?;
            let rows = session.query(VERIFYING, text, &[&self.cell, &after, &COUNTS_AT_ONCE])?;
            let Some(last) = rows.last() else { break };
            after = last.try_get(0).map_err(&fail)?;
            for row in &rows {
                let channel = row.try_get(0).map_err(&fail)?;
                let kept: Count = (row.try_get(1).map_err(&fail)?, row.try_get(2).map_err(&fail)?);
                match self.counts.remove(&channel) {
                    Some(counted) => self.differ(&format!("channel {channel}"), counted, kept),
                    None if all => self.differ(&format!("channel {channel}"), (0, 0), kept),
                    None => others = (others.0 + kept.0, others.1 + kept.1),
                }
            }
        }
        let uncounted = std::mem::take(&mut self.counts);
        for (channel, counted) in uncounted {
            self.differ(&format!("channel {channel}"), counted, (0, 0));
        }
        self.differ("the rest of the channels", self.others, others);
        Ok(())
    }

    fn differ(&mut self, what: &str, counted: Count, kept: Count) {
        if counted != kept {
            let what = format!(
                "in partition {} {what} has {} messages of {} bytes, the figures are {} and {}",
                self.cell, counted.0, counted.1, kept.0, kept.1
            );
            self.report.findings.add(FindingKind::Figure, None, what);
        }
    }
}

/// Runs `f` so that damage is an answer, after which the transaction goes on.
fn guarded<T>(
    session: &mut Session,
    f: impl FnOnce(&mut Session) -> Outcome<T>,
) -> Outcome<Result<T, Error>> {
    session.batch(VERIFYING, "SAVEPOINT step")?;
    match f(session) {
        Ok(value) => {
            session.batch(VERIFYING, "RELEASE SAVEPOINT step")?;
            Ok(Ok(value))
        }
        Err(fault)
            if fault.cure == Cure::None && fault.error.kind() == ErrorKind::ArchiveCorrupt =>
        {
            session.batch(VERIFYING, "ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step")?;
            Ok(Err(fault.error))
        }
        Err(fault) => Err(fault),
    }
}
