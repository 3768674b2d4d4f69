//! What an operator does with an archive, open or as a file, and moving from nwaku and back.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::archive::{Archive, FileOptions};
use super::call::{call, enter, guard, guarded};
use super::error::{Failure, Result};
use super::message;
use super::query::Query;
use crate::archive::nwaku::{ExportReport, ImportReport, RefusedRow};
use crate::archive::{self, Control, SqliteBackend, SqliteConfig, Task};
use crate::ffi::{places, work};
use crate::types::{Filter, MessageHash, Timestamp};

/// Looks at long work from outside: hand it to the call that does the work. It is for one call.
#[derive(uniffi::Object, Default)]
pub struct Watch(Mutex<Control>);

/// How far a work is. The unit is the work's own: pages, messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Record)]
pub struct WorkProgress {
    /// So much is done.
    pub done: u64,
    /// Of so much, as far as is known; 0 before anything is.
    pub total: u64,
}

impl Watch {
    fn lock(&self) -> std::sync::MutexGuard<'_, Control> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at this work from now on.
    fn attach(&self, control: Control) {
        let before = std::mem::replace(&mut *self.lock(), control.clone());
        if before.is_cancelled() {
            control.cancel();
        }
    }
}

#[uniffi::export]
impl Watch {
    /// For a work that has not begun.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How far the work is.
    pub fn progress(&self) -> Result<WorkProgress> {
        guard(|| {
            let archive::Progress { done, total } = self.lock().progress();
            Ok(WorkProgress { done, total })
        })
    }

    /// Asks the work to end soon, with `Cancelled`. A second time is fine, also after its end.
    pub fn cancel(&self) -> Result<()> {
        guard(|| {
            self.lock().cancel();
            Ok(())
        })
    }
}

/// Which kind of topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum TopicKind {
    /// By where messages are published.
    Pubsub = 0,
    /// By what messages are filed under.
    Content = 1,
}

/// What an archive holds of one topic.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct TopicStats {
    /// The topic.
    pub name: String,
    /// Messages held; 0 where all that there were have been removed.
    pub messages: u64,
    /// Bytes of their payloads, metas and rate-limit proofs. On disk a message takes some 300 bytes
    /// more.
    pub bytes: u64,
    /// Timestamp of the oldest in Unix nanoseconds, where there is one.
    pub oldest: Option<i64>,
    /// Timestamp of the newest in Unix nanoseconds, where there is one.
    pub newest: Option<i64>,
}

/// What a backup, or a restore, has written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Record)]
pub struct BackupReport {
    /// Messages in it.
    pub messages: u64,
    /// The length of the file, in bytes.
    pub bytes: u64,
}

/// What kind of thing does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum FindingKind {
    /// The message's content does not give the hash that it is filed under.
    HashMismatch = 1,
    /// A message, or a range of rows, cannot be read.
    Unreadable = 2,
    /// The content is no message: an empty topic, a field of the wrong type.
    Invalid = 3,
    /// The file's structure, or an index, is damaged.
    Structure = 4,
    /// A figure that is kept is not what is counted.
    Figure = 5,
}

/// One thing that does not fit.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The message that it is about, where that can be told.
    pub hash: Option<Vec<u8>>,
    /// In words, without content of messages.
    pub detail: String,
}

/// What a check of an archive found.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct VerifyReport {
    /// Messages whose hash was recomputed.
    pub messages: u64,
    /// How many things do not fit; 0 for an archive that is sound.
    pub count: u64,
    /// The first 1,000 of them.
    pub findings: Vec<Finding>,
}

/// What a salvage has brought over, and what it has not.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct SalvageReport {
    /// Messages that are in the new archive.
    pub messages: u64,
    /// Tombstones that are in the new archive.
    pub tombstones: u64,
    /// How many messages, and ranges of rows, could not be brought over.
    pub count: u64,
    /// The first 1,000 of them.
    pub lost: Vec<Finding>,
}

/// A row of a source that was not imported.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct RefusedImport {
    /// Its key in the source.
    pub row: String,
    /// The source's time of it in Unix nanoseconds, where it has one.
    pub timestamp: Option<i64>,
    /// Why.
    pub refusal: Failure,
}

/// What an import, or an export, has done.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct MoveReport {
    /// Messages, or rows, that were dealt with: the sum of the next three.
    pub read: u64,
    /// Messages that are new where they were moved to.
    pub written: u64,
    /// Messages that were there already.
    pub duplicates: u64,
    /// Of an import, rows that hold no message that may be stored. Of an export, messages that
    /// nwaku's database has no way to hold.
    pub refused: u64,
    /// The first 1,000 of the rows that an import refused.
    pub refused_rows: Vec<RefusedImport>,
    /// Of an import, messages that the source had under another hash than their own; they are here
    /// under their own.
    pub rehashed: u64,
    /// Of an import, messages for which the source has no hash to compare with.
    pub unhashed: u64,
    /// Of an export, messages with a rate-limit proof, for which nwaku has no place.
    pub without_proof: u64,
    /// Where to go on: a text to keep, of use for the same source and target alone.
    pub position: Option<String>,
    /// Whether the end was reached, or the limit.
    pub complete: bool,
}

/// Waits for a task of an archive; dropping the wait cancels it.
async fn watched<T: Send + 'static>(task: Task<T>, watch: Option<Arc<Watch>>) -> Result<T> {
    if let Some(watch) = watch {
        watch.attach(task.control());
    }
    call(task).await
}

/// [`watched`] for work that blocks.
async fn working<T: Send + 'static>(
    watch: Option<Arc<Watch>>,
    body: impl FnOnce(&Control) -> crate::Result<T> + Send + 'static,
) -> Result<T> {
    let control = Control::new();
    if let Some(watch) = watch {
        watch.attach(control.clone());
    }
    enter()?;
    call(work::blocking(control, body)).await
}

#[uniffi::export]
impl Archive {
    /// One page of figures by topic, in the order of the topics' names as bytes: `limit` of them, 1
    /// to 1,000, after the one that is named. A page with fewer is the last. Topics whose messages
    /// have all been removed may be among them. The cost is by topics, not by messages.
    ///
    /// Fails with `InvalidArgument`, `Unsupported`, `ArchiveIo`, `ArchiveClosed`.
    #[uniffi::method(default(after = None, limit = 1000))]
    pub async fn topic_stats(
        &self,
        kind: TopicKind,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<TopicStats>> {
        guarded(async move {
            let kind = match kind {
                TopicKind::Pubsub => archive::TopicKind::Pubsub,
                TopicKind::Content => archive::TopicKind::Content,
            };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let query = archive::TopicQuery { kind, after, limit };
            let topics = self.open_archive()?.archive().topic_stats(query);
            Ok(call(topics).await?.into_iter().map(TopicStats::from).collect())
        })
        .await
    }

    /// Writes a copy of the archive to a new file while puts and queries go on. It is of one moment,
    /// at or after this call. The file gets its name when it is whole and on the disk; one that is
    /// there stays until then, and is replaced only with `replace`. The progress is in pages.
    ///
    /// Fails with `InvalidArgument` where a file is there and `replace` was not given,
    /// `ArchiveLocked` where it is an archive in use, `DiskFull`, `ArchiveIo`, `Busy` while four
    /// such works run, `Unsupported`, `Cancelled`, `ArchiveClosed`.
    #[uniffi::method(default(replace = false, watch = None))]
    pub async fn backup(
        &self,
        path: String,
        replace: bool,
        watch: Option<Arc<Watch>>,
    ) -> Result<BackupReport> {
        guarded(async move {
            let open = self.open_archive()?;
            let report = watched(open.archive().backup(path, replace), watch).await?;
            Ok(report.into())
        })
        .await
    }

    /// Checks all that is held: recomputes each message's hash, then checks the file's structure and
    /// the figures that are kept, while puts and queries go on. What is wrong is in the report. The
    /// progress is in messages.
    ///
    /// Fails with `Busy` while four such works run, `ArchiveIo`, `Unsupported`, `Cancelled`,
    /// `ArchiveClosed`.
    #[uniffi::method(default(watch = None))]
    pub async fn verify(&self, watch: Option<Arc<Watch>>) -> Result<VerifyReport> {
        guarded(async move {
            let open = self.open_archive()?;
            Ok(watched(open.archive().verify(), watch).await?.into())
        })
        .await
    }

    /// Takes down what the query's topics and times match, in small steps beside puts and queries:
    /// each message as by `take_down`. (What matches and was never held is not kept out.) Gives how
    /// many went; what went before a cancel stays down.
    ///
    /// Fails with `InvalidArgument` for a query with hashes, or one that restricts nothing, `Busy`
    /// while four such works run, `Cancelled`, and as `take_down`.
    #[uniffi::method(default(watch = None))]
    pub async fn take_down_matching(&self, query: Query, watch: Option<Arc<Watch>>) -> Result<u64> {
        guarded(async move {
            let open = self.open_archive()?;
            let filter = query.checked()?.filter;
            watched(open.archive().take_down_matching(filter), watch).await
        })
        .await
    }

    /// Hashes that were taken down, in ascending order: `limit` of them, 1 to 1,000, after this one.
    /// Fewer are the last.
    ///
    /// Fails with `InvalidHash`, `InvalidArgument`, `Unsupported`, `ArchiveIo`, `ArchiveClosed`.
    #[uniffi::method(default(after = None, limit = 1000))]
    pub async fn tombstones(&self, after: Option<Vec<u8>>, limit: u32) -> Result<Vec<Vec<u8>>> {
        guarded(async move {
            let after = after.map(|bytes| MessageHash::from_slice(&bytes)).transpose()?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let hashes = self.open_archive()?.archive().tombstones(after, limit);
            Ok(message::bytes_of(call(hashes).await?))
        })
        .await
    }

    /// Lifts takedowns: these may be taken in again, from wherever they come. (They are not brought
    /// back.) Gives how many there were. At most 100,000 hashes.
    ///
    /// Fails as `take_down`.
    pub async fn reinstate(&self, hashes: Vec<Vec<u8>>) -> Result<u64> {
        guarded(async move {
            let hashes = message::hashes(&hashes)?;
            call(self.open_archive()?.archive().reinstate(hashes)).await
        })
        .await
    }

    /// Imports the archive of a nwaku (or go-waku): an SQLite file, which is only read, or a
    /// `postgres://` database. Each message is hashed anew and goes the way of any message. It
    /// begins after `from`, the position of an earlier report, and ends at the end, or after `limit`
    /// rows or a few more: call it again with the report's position to go on. The progress is in
    /// rows. What was committed before a failure stays, and is a duplicate the next time.
    ///
    /// Fails with `ArchiveOpen`, `ArchiveCorrupt` where the tables are not nwaku's,
    /// `InvalidArgument`, `ArchiveIo`, `Unsupported`, and as `put_many`.
    #[uniffi::method(default(from = None, limit = None, watch = None))]
    pub async fn import_nwaku(
        &self,
        source: String,
        from: Option<String>,
        limit: Option<u64>,
        watch: Option<Arc<Watch>>,
    ) -> Result<MoveReport> {
        guarded(async move {
            let open = self.open_archive()?;
            let report = working(watch, move |control| {
                let (archive, source) = (open.archive(), PathBuf::from(source));
                places::import_nwaku(archive, &source, from.as_deref(), limit, control)
            });
            Ok(report.await?.into())
        })
        .await
    }

    /// Writes messages to an archive of nwaku's: an SQLite file, created where there is none, or a
    /// `postgres://` database. Those that the query's topics and times match (it has no hashes),
    /// after `from` and up to `limit`, as for `import_nwaku`.
    ///
    /// Fails with `ArchiveOpen`, `ArchiveCorrupt` where the tables are not nwaku's, `Unsupported`
    /// where they are of a version that is not written, `InvalidArgument`, `DiskFull`, `ArchiveIo`,
    /// `ArchiveClosed`.
    #[uniffi::method(default(query = None, from = None, limit = None, watch = None))]
    pub async fn export_nwaku(
        &self,
        target: String,
        query: Option<Query>,
        from: Option<String>,
        limit: Option<u64>,
        watch: Option<Arc<Watch>>,
    ) -> Result<MoveReport> {
        guarded(async move {
            let open = self.open_archive()?;
            let filter = match query {
                Some(query) => query.checked()?.filter,
                None => Filter::default(),
            };
            let report = working(watch, move |control| {
                let (archive, target) = (open.archive(), PathBuf::from(target));
                places::export_nwaku(archive, &target, filter, from.as_deref(), limit, control)
            });
            Ok(report.await?.into())
        })
        .await
    }
}

fn file(path: String, options: Option<FileOptions>) -> crate::Result<SqliteConfig> {
    let mut config = SqliteConfig::new(path);
    if let Some(options) = options {
        config.key = options.key()?;
    }
    Ok(config)
}

/// Makes an archive of a backup: copies it, checks the copy's structure, recomputes every hash in
/// it, and only then gives it its name. An archive that is there is replaced only with `replace`, and
/// only when nobody has it open. The progress is in pages.
///
/// Fails with `InvalidArgument` where a file is there and `replace` was not given, `ArchiveCorrupt`
/// where the backup is something else or not sound, `ArchiveLocked`, `Cancelled`, and as opening.
#[uniffi::export(default(replace = false, options = None, watch = None))]
pub async fn restore_archive(
    from: String,
    to: String,
    replace: bool,
    options: Option<FileOptions>,
    watch: Option<Arc<Watch>>,
) -> Result<BackupReport> {
    guarded(async move {
        let to = file(to, options)?;
        let report = working(watch, move |control| {
            SqliteBackend::restore(PathBuf::from(from).as_path(), &to, replace, control)
        });
        Ok(report.await?.into())
    })
    .await
}

/// Reads what can be read of a file that may be damaged into a new archive, row by row, and tells
/// what could not be brought over. A message comes over where its content gives its hash. Nothing is
/// written to `from`. The new archive's key may be another: this also encrypts an archive that is
/// not, and the other way round. The progress is in messages.
///
/// Fails with `InvalidArgument` where there is a file at `to`, `ArchiveCorrupt` where nothing at all
/// can be read of `from`, `Cancelled`, and as opening.
#[uniffi::export(default(options = None, to_options = None, watch = None))]
pub async fn salvage_archive(
    from: String,
    to: String,
    options: Option<FileOptions>,
    to_options: Option<FileOptions>,
    watch: Option<Arc<Watch>>,
) -> Result<SalvageReport> {
    guarded(async move {
        let (from, to) = (file(from, options)?, file(to, to_options)?);
        let report = working(watch, move |control| SqliteBackend::salvage(&from, &to, control));
        Ok(report.await?.into())
    })
    .await
}

/// Checks a file as `Archive.verify` does, also one that is too damaged to be opened. Nothing is
/// written. The progress is in messages.
///
/// Fails with `ArchiveCorrupt` where nothing at all can be read of it, `ArchiveReadOnly` where it is
/// of an earlier version and must be opened once first, `Cancelled`, and as opening.
#[uniffi::export(default(options = None, watch = None))]
pub async fn verify_archive(
    path: String,
    options: Option<FileOptions>,
    watch: Option<Arc<Watch>>,
) -> Result<VerifyReport> {
    guarded(async move {
        let config = file(path, options)?;
        let report = working(watch, move |control| SqliteBackend::verify(&config, control));
        Ok(report.await?.into())
    })
    .await
}

impl From<archive::TopicStats> for TopicStats {
    fn from(s: archive::TopicStats) -> Self {
        TopicStats {
            name: s.name,
            messages: s.messages,
            bytes: s.bytes,
            oldest: s.oldest.map(Timestamp::nanos),
            newest: s.newest.map(Timestamp::nanos),
        }
    }
}

impl From<archive::BackupReport> for BackupReport {
    fn from(r: archive::BackupReport) -> Self {
        BackupReport { messages: r.messages, bytes: r.bytes }
    }
}

impl From<archive::Finding> for Finding {
    fn from(f: archive::Finding) -> Self {
        let kind = match f.kind {
            archive::FindingKind::HashMismatch => FindingKind::HashMismatch,
            archive::FindingKind::Unreadable => FindingKind::Unreadable,
            archive::FindingKind::Invalid => FindingKind::Invalid,
            archive::FindingKind::Structure => FindingKind::Structure,
            archive::FindingKind::Figure => FindingKind::Figure,
        };
        Finding { kind, hash: f.hash.map(|h| h.0.to_vec()), detail: f.detail }
    }
}

fn listed(findings: archive::Findings) -> Vec<Finding> {
    findings.first.into_iter().map(Finding::from).collect()
}

impl From<archive::VerifyReport> for VerifyReport {
    fn from(r: archive::VerifyReport) -> Self {
        let count = r.findings.count;
        VerifyReport { messages: r.messages, count, findings: listed(r.findings) }
    }
}

impl From<archive::SalvageReport> for SalvageReport {
    fn from(r: archive::SalvageReport) -> Self {
        SalvageReport {
            messages: r.messages,
            tombstones: r.tombstones,
            count: r.lost.count,
            lost: listed(r.lost),
        }
    }
}

impl From<RefusedRow> for RefusedImport {
    fn from(r: RefusedRow) -> Self {
        RefusedImport {
            row: r.row,
            timestamp: r.timestamp.map(Timestamp::nanos),
            refusal: r.reason.into(),
        }
    }
}

impl From<ImportReport> for MoveReport {
    fn from(r: ImportReport) -> Self {
        MoveReport {
            read: r.read,
            written: r.imported,
            duplicates: r.duplicates,
            refused: r.refused,
            refused_rows: r.refused_rows.into_iter().map(RefusedImport::from).collect(),
            rehashed: r.rehashed,
            unhashed: r.unhashed,
            without_proof: 0,
            position: r.position.map(|p| p.to_string()),
            complete: r.complete,
        }
    }
}

impl From<ExportReport> for MoveReport {
    fn from(r: ExportReport) -> Self {
        MoveReport {
            read: r.written + r.duplicates + r.refused,
            written: r.written,
            duplicates: r.duplicates,
            refused: r.refused,
            refused_rows: Vec::new(),
            rehashed: 0,
            unhashed: 0,
            without_proof: r.without_proof,
            position: r.position.as_ref().map(places::position_text),
            complete: r.complete,
        }
    }
}
