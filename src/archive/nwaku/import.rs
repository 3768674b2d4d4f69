//! The import, whatever the source: batch by batch into the archive, and the report of it.
//!
//! One put is on its way while the next batch is read. What must hold: the report counts, and its
//! position passes, only what is committed; so an import that is killed at any moment and goes on
//! from the last position that was told misses nothing.

use std::ops::ControlFlow;
use std::time::Duration;

use super::position::{Position, label};
use super::report::{ImportOptions, ImportReport, RefusedRow, RehashedRow};
use super::row::{Hash, Row};
use crate::archive::{Archive, Pending, PutOutcome};
use crate::error::{ErrorKind, Result, bail};
use crate::types::{Origin, StoredMessage, Timestamp};

/// The most rows of a batch.
const MAX_BATCH: usize = 10_000;
/// A batch ends with the message that makes it longer than this, in bytes.
pub(super) const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Between attempts at a put while the archive is busy with others'.
const RETRY: Duration = Duration::from_millis(20);

/// What is told of progress: the report so far; and whether to go on.
pub(super) type Progress<'a> = dyn FnMut(&ImportReport) -> ControlFlow<()> + 'a;

/// Where rows come from.
pub(super) trait Source {
    /// The order in which it is walked, as a [`Position`] names it.
    fn walk(&self) -> &str;

    /// How many columns its key has.
    fn key_columns(&self) -> usize;

    /// The times of its first and its last row, where it is walked in order of time.
    fn span(&mut self) -> Result<Option<(Timestamp, Timestamp)>>;

    /// The rows after this one, in order; at most `limit`, and fewer where they are large. None
    /// means that there are no more.
    fn batch(&mut self, after: Option<&Position>, limit: usize) -> Result<Vec<Row>>;
}

pub(super) fn run(
    source: &mut dyn Source,
    archive: &Archive,
    options: &ImportOptions,
    progress: &mut Progress<'_>,
) -> Result<ImportReport> {
    if options.batch == 0 || options.batch > MAX_BATCH {
        bail!(
            InvalidArgument,
            "a batch of an import is of 1 to {MAX_BATCH} rows, not {}",
            options.batch
        );
    }
    if let Some(from) = &options.from
        && (from.walk != source.walk() || from.key.len() != source.key_columns())
    {
        bail!(
            InvalidArgument,
            "the position is one in {}, and this source is walked by {}: begin again without it",
            from.walk,
            source.walk()
        );
    }
    let mut report = ImportReport { position: options.from.clone(), ..ImportReport::default() };
    report.span = match source.span() {
        // Where the end is damaged, what stands before it can be read all the same.
        Err(e) if e.kind() == ErrorKind::ArchiveCorrupt => None,
        span => span?,
    };
    let mut read_to = options.from.clone();
    let mut under_way: Option<UnderWay> = None;
    loop {
        let batch = source.batch(read_to.as_ref(), options.batch);
        // What was put is told of, also where the source fails.
        if let Some(before) = under_way.take()
            && before.settle(archive, options, &mut report, progress)?.is_break()
        {
            return Ok(report);
        }
        let rows = batch?;
        let Some(last) = rows.last() else { break };
        let position = Position { walk: source.walk().to_owned(), key: last.key.clone() };
        read_to = Some(position.clone());
        under_way = Some(UnderWay::put(archive, rows, position));
    }
    report.complete = true;
    let _ = progress(&report);
    Ok(report)
}

/// A batch that was put and is not yet answered for.
struct UnderWay {
    pending: Option<Pending<Vec<PutOutcome>>>,
    messages: Vec<StoredMessage>,
    rows: Vec<Told>,
    position: Position,
}

/// What is left of a row when its message is put.
struct Told {
    label: String,
    time: Option<Timestamp>,
    hash: Hash,
    refused: Option<crate::error::Error>,
}

impl UnderWay {
    fn put(archive: &Archive, rows: Vec<Row>, position: Position) -> Self {
        let mut messages = Vec::with_capacity(rows.len());
        let rows = rows
            .into_iter()
            .map(|row| {
                let refused = match row.message {
                    Ok(message) => {
                        messages.push(message);
                        None
                    }
                    Err(e) => Some(e),
                };
                Told { label: label(&row.key), time: row.time, hash: row.hash, refused }
            })
            .collect();
        let pending = (!messages.is_empty()).then(|| archive.put(messages.clone(), Origin::Import));
        UnderWay { pending, messages, rows, position }
    }

    /// Waits for the commit and reports it. Breaks off where the caller wants no more.
    fn settle(
        self,
        archive: &Archive,
        options: &ImportOptions,
        report: &mut ImportReport,
        progress: &mut Progress<'_>,
    ) -> Result<ControlFlow<()>> {
        let mut outcomes = Vec::new();
        if let Some(mut pending) = self.pending {
            outcomes = loop {
                match pending.wait() {
                    Ok(outcomes) => break outcomes,
                    // Others fill the archive's queue. There is nothing to wait for but time.
                    Err(e) if e.kind() == ErrorKind::Busy => {
                        if progress(report).is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                        std::thread::sleep(RETRY);
                        pending = archive.put(self.messages.clone(), Origin::Import);
                    }
                    Err(e) => return Err(e),
                }
            };
        }
        if outcomes.len() != self.messages.len() {
            bail!(Internal, "the archive did not answer for each message of a put");
        }
        let mut put = self.messages.iter().zip(outcomes);
        for row in self.rows {
            report.read += 1;
            report.reached = row.time.or(report.reached);
            match row.refused {
                Some(reason) => refuse(report, options, row.label, row.time, reason),
                None => {
                    if let Some((message, outcome)) = put.next() {
                        account(report, options, row, message, outcome);
                    }
                }
            }
        }
        report.position = Some(self.position);
        Ok(progress(report))
    }
}

fn refuse(
    report: &mut ImportReport,
    options: &ImportOptions,
    row: String,
    timestamp: Option<Timestamp>,
    reason: crate::error::Error,
) {
    report.refused += 1;
    if report.refused_rows.len() < options.max_listed {
        report.refused_rows.push(RefusedRow { row, timestamp, reason });
    }
}

fn account(
    report: &mut ImportReport,
    options: &ImportOptions,
    row: Told,
    message: &StoredMessage,
    outcome: PutOutcome,
) {
    match outcome {
        PutOutcome::Stored => report.imported += 1,
        PutOutcome::Duplicate => report.duplicates += 1,
        PutOutcome::Refused(reason) => {
            return refuse(report, options, row.label, row.time, reason);
        }
    }
    let stored = match row.hash {
        Hash::Absent => {
            report.unhashed += 1;
            return;
        }
        Hash::Is(hash) if hash == message.hash => return,
        Hash::Is(hash) => Some(hash),
        Hash::Other => None,
    };
    report.rehashed += 1;
    if report.rehashed_rows.len() < options.max_listed {
        report.rehashed_rows.push(RehashedRow {
            row: row.label,
            timestamp: row.time,
            stored,
            computed: message.hash,
        });
    }
}
