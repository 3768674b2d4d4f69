//! The export, whatever the target: in the order of time and hash, a bounded number at a time.
//!
//! What must hold: the report counts, and its position passes, only what is committed there.

use std::ops::ControlFlow;

use super::report::{ExportOptions, ExportReport};
use crate::archive::{Archive, IndexQuery};
use crate::error::Result;
use crate::types::StoredMessage;

/// Messages of one commit.
const BATCH: usize = 1_000;
/// Messages that are in memory at a time: at most 10 MiB.
const CHUNK: usize = 64;

/// What is told of progress: the report so far; and whether to go on.
pub(super) type Progress<'a> = dyn FnMut(&ExportReport) -> ControlFlow<()> + 'a;

/// What became of some messages; the others were there already.
#[derive(Default)]
pub(super) struct Written {
    /// They are new there.
    pub(super) new: u64,
    /// The target cannot hold them.
    pub(super) refused: u64,
}

/// Where messages go.
pub(super) trait Target {
    /// A commit begins.
    fn begin(&mut self) -> Result<()>;

    /// Writes messages.
    fn write(&mut self, messages: &[StoredMessage]) -> Result<Written>;

    /// Commits what was written since it began.
    fn commit(&mut self) -> Result<()>;

    /// All is written.
    fn finish(&mut self) -> Result<()>;
}

pub(super) fn run(
    archive: &Archive,
    target: &mut dyn Target,
    options: &ExportOptions,
    progress: &mut Progress<'_>,
) -> Result<ExportReport> {
    let mut report = ExportReport { position: options.after, ..ExportReport::default() };
    loop {
        let entries = archive
            .index(IndexQuery {
                time: options.time,
                pubsub_topics: options.pubsub_topics.clone(),
                content_topics: options.content_topics.clone(),
                after: report.position,
                limit: BATCH,
            })
            .wait()?;
        let Some(last) = entries.last().map(|entry| entry.id) else { break };
        let mut next = ExportReport { position: Some(last), ..report };
        target.begin()?;
        for chunk in entries.chunks(CHUNK) {
            let hashes = chunk.iter().map(|entry| entry.id.hash).collect();
            // What was removed meanwhile is simply not there.
            let messages = archive.get(hashes).wait()?;
            let Written { new, refused } = target.write(&messages)?;
            next.written += new;
            next.refused += refused;
            next.duplicates += (messages.len() as u64).saturating_sub(new + refused);
            let proofs = messages.iter().filter(|m| m.message.rate_limit_proof.is_some());
            next.without_proof += proofs.count() as u64;
        }
        target.commit()?;
        report = next;
        if progress(&report).is_break() {
            return Ok(report);
        }
    }
    target.finish()?;
    report.complete = true;
    let _ = progress(&report);
    Ok(report)
}
