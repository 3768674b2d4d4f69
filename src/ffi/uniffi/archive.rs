//! The archive, alone and without a network.

use std::fmt;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::call::{Guarded, call, call_blocking, enter, guard, guarded};
use super::changes::{self, Changes};
use super::error::Result;
use super::message::{self, Message, Origin, PutResult, StoredMessage, TopicMessage};
use super::query::{Page, Query};
use super::stream::History;
use super::validator::{self, Validator};
use crate::archive::{self, ArchiveConfig, Key, Position, Retention, Rules, SqliteConfig};
use crate::error::bail;
use crate::ffi::places;
use crate::runtime::{Registration, Runtime, Stage};
use crate::types::{self, Timestamp};

/// What a commit survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Enum)]
#[repr(u8)]
pub enum Durability {
    /// An acknowledged message survives a power loss.
    Full = 0,
    /// It survives a crash of the process; a power loss may take the last commits, never the file.
    Normal = 1,
}

/// How an archive is run. What is absent is as the library has it.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct ArchiveOptions {
    /// What a commit survives; a power loss where absent.
    #[uniffi(default = None)]
    pub durability: Option<Durability>,
    /// How far a live message's timestamp may lie from our clock, both ways, and how far any
    /// message's may lie ahead of it; 20 seconds where absent.
    #[uniffi(default = None)]
    pub clock_tolerance: Option<Duration>,
    /// Whether the lower of these bounds holds. Off for a host that feeds old messages in as live.
    #[uniffi(default = true)]
    pub check_live_age: bool,
    /// Threads that read beside the writer.
    #[uniffi(default = None)]
    pub readers: Option<u32>,
    /// How many bytes of messages may wait to be committed before a put is answered with `Busy`.
    #[uniffi(default = None)]
    pub max_queued_bytes: Option<u64>,
    /// Messages older than this, by their timestamp, are removed in small steps, and none is taken
    /// in; whatever their age are kept where absent. Of the bounds that are set, each holds.
    #[uniffi(default = None)]
    pub max_age: Option<Duration>,
    /// Beyond so many messages the oldest are removed, in small steps.
    #[uniffi(default = None)]
    pub max_messages: Option<u64>,
    /// Beyond so many bytes on disk the oldest are removed, in small steps: of the file as far as
    /// it is in use. Space that was freed is given back in small steps, and until then used again.
    #[uniffi(default = None)]
    pub max_bytes: Option<u64>,
    /// How long the validator is waited for with each batch; 10 seconds where absent. After that
    /// the batch is refused with `Busy`, and so are those that come until it has returned.
    #[uniffi(default = None)]
    pub validator_timeout: Option<Duration>,
    /// Whether it is only read: what would change it fails with `ArchiveReadOnly`, and retention is
    /// off. The file must be there, and is neither written nor brought up to date.
    #[uniffi(default = false)]
    pub read_only: bool,
    /// What the file is encrypted with, or is to be where it is created.
    #[uniffi(default = None)]
    pub file: Option<FileOptions>,
    /// How often is looked for what others wrote to the same file or database, while anybody is
    /// subscribed to changes; each 250 ms where absent. Zero where nobody else writes while this is
    /// open: then an idle archive wakes up for nothing.
    #[uniffi(default = None)]
    pub look_every: Option<Duration>,
}

/// What a file is encrypted with: one of the two, or nothing. A build without SQLCipher fails with
/// `Unsupported` where there is a key.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct FileOptions {
    /// The key itself: 32 random bytes.
    #[uniffi(default = None)]
    pub key: Option<Vec<u8>>,
    /// Words that the key is made of, slowly: some hundred milliseconds for each connection.
    #[uniffi(default = None)]
    pub passphrase: Option<String>,
}

impl fmt::Debug for FileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileOptions(..)")
    }
}

impl FileOptions {
    /// The key, where there is one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for both, a key of another length, or words that are
    /// none.
    pub(super) fn key(self) -> crate::Result<Option<Key>> {
        match (self.key, self.passphrase) {
            (None, None) => Ok(None),
            (None, Some(words)) => Key::passphrase(words).map(Some),
            (Some(key), None) => match <[u8; 32]>::try_from(key.as_slice()) {
                Ok(raw) => Ok(Some(Key::raw(raw))),
                Err(_) => bail!(InvalidArgument, "a key has 32 bytes, not {}", key.len()),
            },
            (Some(_), Some(_)) => bail!(InvalidArgument, "there is a key and a passphrase"),
        }
    }
}

/// Figures of an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, uniffi::Record)]
pub struct Stats {
    /// Messages held.
    pub messages: u64,
    /// Timestamp of the oldest in Unix nanoseconds, where there is one.
    pub oldest: Option<i64>,
    /// Timestamp of the newest in Unix nanoseconds, where there is one.
    pub newest: Option<i64>,
    /// Bytes on disk (0 for an archive in memory).
    pub bytes_on_disk: u64,
}

/// An archive that a shutdown closes.
pub(super) struct Open(ManuallyDrop<Held>);

struct Held {
    archive: archive::Archive,
    _closer: Registration,
}

impl Open {
    /// Has the archive closed by the runtime's shutdown, or by the last that lets go of it.
    fn new(runtime: &Runtime, archive: archive::Archive) -> crate::Result<Self> {
        let closing = archive.clone();
        let _closer = runtime.on_shutdown(Stage::Storage, || async move { closing.close() })?;
        Ok(Open(ManuallyDrop::new(Held { archive, _closer })))
    }

    /// The archive under it.
    pub(super) fn archive(&self) -> &archive::Archive {
        &self.0.archive
    }
}

impl Drop for Open {
    /// The last to let go of an archive joins its threads: not on a worker of the runtime.
    fn drop(&mut self) {
        // SAFETY: taken here once, and not used after.
        let held = unsafe { ManuallyDrop::take(&mut self.0) };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(held)));
        }
    }
}

/// An open archive: the stored messages of one file. May be used from any thread; no call blocks
/// the caller's. Open it with `Archive.open`, and end it with `shutdown` when done.
#[derive(uniffi::Object)]
pub struct Archive(Guarded<Arc<Open>>);

impl Archive {
    /// What it holds, for a node over it.
    pub(super) fn open_archive(&self) -> Result<Arc<Open>> {
        Ok(Arc::clone(self.0.get()?))
    }

    /// Another handle to an archive that is open already.
    pub(super) fn of(runtime: Arc<Runtime>, open: Arc<Open>) -> Self {
        Archive(Guarded::new(runtime, open))
    }
}

#[uniffi::export]
impl Archive {
    /// Opens the archive in this file, or creates it (mode 0600). The path is taken literally;
    /// `:memory:` keeps everything in memory. What begins with `postgres://` is the URL of a
    /// PostgreSQL database instead; its durability is the server's. A validator sees each batch of messages before it is
    /// committed.
    ///
    /// Fails with `ArchiveOpen`, `ArchiveCorrupt`, `SchemaTooNew`, `ArchiveLocked`, `DiskFull`,
    /// `ArchiveUnavailable` where a database cannot be reached, and with `InvalidArgument` for a bound of retention, or a time for the validator, that is 0.
    #[uniffi::constructor(default(options = None, validator = None))]
    pub async fn open(
        path: String,
        options: Option<ArchiveOptions>,
        validator: Option<Arc<dyn Validator>>,
    ) -> Result<Arc<Self>> {
        guarded(async move {
            let (sqlite, config) = configs(path, options, validator)?;
            let runtime = enter()?;
            call_blocking(move || {
                let archive = places::open(sqlite, config)?;
                let open = Arc::new(Open::new(&runtime, archive)?);
                Ok(Arc::new(Archive::of(runtime, open)))
            })
            .await
        })
        .await
    }

    /// Stores one message and gives its hash. It is committed when this returns; a message that
    /// the rules refuse is an error here. `origin` is live where absent.
    ///
    /// Fails with the kinds from `InvalidTopic` to `TimestampTooOld`, `Busy`, `DiskFull`,
    /// `ArchiveIo`, `ArchiveClosed`.
    #[uniffi::method(default(origin = None))]
    pub async fn put(
        &self,
        pubsub_topic: String,
        message: Message,
        origin: Option<Origin>,
    ) -> Result<PutResult> {
        guarded(async move {
            let open = self.0.get()?;
            let message = types::StoredMessage::try_from(TopicMessage { pubsub_topic, message })?;
            let hash = message.hash;
            let outcomes = call(open.archive().put(vec![message], live(origin))).await?;
            match outcomes.into_iter().next() {
                Some(archive::PutOutcome::Refused(e)) => Err(e.into()),
                Some(outcome) => Ok(PutResult::new(hash, outcome)),
                None => Err(lost_outcome().into()),
            }
        })
        .await
    }

    /// Stores messages in one commit and tells for each, in order, what became of it. A message
    /// that the rules refuse does not hinder the others. `origin` is live where absent.
    ///
    /// Fails as a whole, with nothing stored, with `InvalidTopic`, `Busy`, `DiskFull`,
    /// `ArchiveIo`, `ArchiveClosed`.
    #[uniffi::method(default(origin = None))]
    pub async fn put_many(
        &self,
        messages: Vec<TopicMessage>,
        origin: Option<Origin>,
    ) -> Result<Vec<PutResult>> {
        guarded(async move {
            let open = self.open_archive()?;
            // In the task: hashing a large batch takes a while.
            call(async move {
                let one = |(i, m): (usize, TopicMessage)| {
                    types::StoredMessage::try_from(m)
                        .map_err(|e| e.context(format_args!("message {i} of the list")))
                };
                let messages = messages.into_iter().enumerate().map(one);
                let messages: Vec<_> = messages.collect::<crate::Result<_>>()?;
                let hashes: Vec<_> = messages.iter().map(|m| m.hash).collect();
                let outcomes = open.archive().put(messages, live(origin)).await?;
                if outcomes.len() != hashes.len() {
                    return Err(lost_outcome());
                }
                Ok(hashes.into_iter().zip(outcomes).map(|(h, o)| PutResult::new(h, o)).collect())
            })
            .await
        })
        .await
    }

    /// One page.
    ///
    /// Fails with `InvalidArgument` (a limit of 0 or over 100, hashes beside other filters),
    /// `InvalidTopic`, `InvalidHash`, `InvalidTimeRange`, `CursorNotFound`, `ArchiveIo`,
    /// `ArchiveClosed`.
    pub async fn query(&self, query: Query) -> Result<Page> {
        guarded(async move {
            let page = self.0.get()?.archive().query(query.checked()?);
            call(async move { page.await.map(Page::from) }).await
        })
        .await
    }

    /// A walk through all that matches, page by page; nothing is read until the first page is
    /// asked for.
    ///
    /// Fails as `query`, without the errors of the archive.
    pub fn history(&self, query: Query) -> Result<Arc<History>> {
        guard(|| {
            let open = self.open_archive()?;
            Ok(Arc::new(History::local(self.0.runtime(), open, query.checked()?)))
        })
    }

    /// Those of the messages that are held, in the order asked for, each once.
    ///
    /// Fails with `InvalidHash`, `ArchiveIo`, `ArchiveClosed`.
    pub async fn get(&self, hashes: Vec<Vec<u8>>) -> Result<Vec<StoredMessage>> {
        guarded(async move {
            let held = self.0.get()?.archive().get(message::hashes(&hashes)?);
            let of_each = |held: Vec<_>| held.into_iter().map(StoredMessage::from).collect();
            call(async move { held.await.map(of_each) }).await
        })
        .await
    }

    /// Those of the hashes that are neither held nor taken down, in the order asked for. Any number
    /// of them.
    ///
    /// Fails with `InvalidHash`, `ArchiveIo`, `ArchiveClosed`.
    pub async fn missing(&self, hashes: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        guarded(async move {
            let missing = self.0.get()?.archive().missing(message::hashes(&hashes)?);
            call(async move { missing.await.map(message::bytes_of) }).await
        })
        .await
    }

    /// Figures.
    ///
    /// Fails with `ArchiveIo`, `ArchiveClosed`.
    pub async fn stats(&self) -> Result<Stats> {
        guarded(async move {
            let stats = self.0.get()?.archive().stats();
            call(async move { stats.await.map(Stats::from) }).await
        })
        .await
    }

    /// Takes messages down: those that are held are removed, all in one commit, and none of these
    /// is ever taken in again, from wherever it comes (`TakenDown`), nor asked for by a sync. Gives
    /// how many were held. At most 100,000 hashes; a note of some 50 bytes stays for each.
    ///
    /// Fails with `InvalidHash`, `InvalidArgument`, `Busy`, `DiskFull`, `ArchiveIo`,
    /// `ArchiveClosed`.
    pub async fn take_down(&self, hashes: Vec<Vec<u8>>) -> Result<u64> {
        guarded(async move {
            let held = self.0.get()?.archive().take_down(message::hashes(&hashes)?);
            call(held).await
        })
        .await
    }

    /// The lowest timestamp that is kept and taken in, in Unix nanoseconds: what is older was
    /// removed by retention, or will be. Nothing where nothing bounds it.
    pub fn floor(&self) -> Result<Option<i64>> {
        guard(|| {
            let floor = self.0.get()?.archive().floor();
            Ok((floor > Timestamp::MIN).then(|| floor.nanos()))
        })
    }

    /// What is committed from now on: what is stored, from wherever it comes, and what is removed.
    /// Up to `capacity` messages wait for the reader (10,000 where absent), and always one commit,
    /// however large it is; what is beyond that it is told to have missed. What others commit on the
    /// same file or database comes within some 250 ms.
    ///
    /// Fails with `InvalidArgument` for a capacity of 0.
    #[uniffi::method(default(capacity = None))]
    pub fn changes(&self, capacity: Option<u32>) -> Result<Arc<Changes>> {
        guard(|| {
            let archive = self.0.get()?.archive();
            let feed = archive.subscribe(changes::capacity(capacity)?);
            Ok(Arc::new(Changes::over(self.0.runtime(), feed)))
        })
    }

    /// Everything after a position, each change once: first what lies behind, as fast as it is read,
    /// then what is committed, with no gap or double between the two. Without a position it begins
    /// with all messages that are held, in the order in which they were stored. A reader that is
    /// behind cannot lag.
    ///
    /// Fails with `PositionGone` where the position is too old, or of another archive: then read
    /// anew, without one; with `Malformed`, `InvalidArgument`, `Unsupported`, `Busy`, `ArchiveIo`,
    /// `ArchiveClosed`.
    #[uniffi::method(default(position = None, capacity = None))]
    pub async fn changes_from(
        &self,
        position: Option<Vec<u8>>,
        capacity: Option<u32>,
    ) -> Result<Arc<Changes>> {
        guarded(async move {
            let from = position.map_or(Ok(Position::START), |p| Position::from_bytes(&p))?;
            let feed = self.0.get()?.archive().subscribe_from(from, changes::capacity(capacity)?);
            Ok(Arc::new(Changes::over(self.0.runtime(), call(feed).await?)))
        })
        .await
    }

    /// Where the change feed stands now: `changes_from` there tells of everything that is committed
    /// after this.
    ///
    /// Fails with `Unsupported`, `Busy`, `ArchiveIo`, `ArchiveClosed`.
    pub async fn position(&self) -> Result<Vec<u8>> {
        guarded(async move {
            let position = self.0.get()?.archive().position();
            Ok(call(position).await?.to_bytes().to_vec())
        })
        .await
    }

    /// Commits what was accepted and closes the file. Every other call then fails with
    /// `ArchiveClosed`, those of a node over it too; a second `shutdown` is fine. (Letting go of
    /// the object does the same, once no node uses the archive any more.)
    pub async fn shutdown(&self) -> Result<()> {
        guarded(async move {
            let open = Arc::clone(self.0.get()?);
            call_blocking(move || {
                open.archive().close();
                Ok(())
            })
            .await
        })
        .await
    }

    /// Lets go of the file or database: commits what was accepted, and closes all connections, so
    /// that no lock is held and no file is open. Until `resume` whatever is asked fails with
    /// `Suspended`; subscribers stay. What is in memory alone is kept. A second time is fine.
    ///
    /// Fails with `ArchiveClosed`.
    pub async fn suspend(&self) -> Result<()> {
        guarded(async move { call(self.0.get()?.archive().suspend()).await }).await
    }

    /// Opens the file or database again. Subscribers hear what others wrote meanwhile. Where it
    /// fails the archive stays suspended.
    ///
    /// Fails as the opening does.
    pub async fn resume(&self) -> Result<()> {
        guarded(async move { call(self.0.get()?.archive().resume()).await }).await
    }
}

fn configs(
    path: String,
    options: Option<ArchiveOptions>,
    validator: Option<Arc<dyn Validator>>,
) -> crate::Result<(SqliteConfig, ArchiveConfig)> {
    let mut sqlite = SqliteConfig::new(PathBuf::from(path));
    let mut config = ArchiveConfig::new(clock);
    let timeout = options.as_ref().and_then(|options| options.validator_timeout);
    config.validator = validator.map(|v| validator::on_its_thread(v, timeout)).transpose()?;
    if let Some(options) = options {
        sqlite.durability = match options.durability {
            None | Some(Durability::Full) => archive::Durability::Full,
            Some(Durability::Normal) => archive::Durability::Normal,
        };
        let tolerance = options.clock_tolerance.unwrap_or(config.rules.clock_tolerance);
        config.rules = Rules { clock_tolerance: tolerance, check_live_age: options.check_live_age };
        if let Some(readers) = options.readers {
            config.readers = usize::try_from(readers).unwrap_or(usize::MAX);
        }
        if let Some(bytes) = options.max_queued_bytes {
            config.max_queued_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        config.retention = retention(&options)?;
        if let Some(every) = options.look_every {
            config.look_every = Some(every).filter(|every| !every.is_zero());
        }
        sqlite.read_only = options.read_only;
        if let Some(file) = options.file {
            sqlite.key = file.key()?;
        }
    }
    Ok((sqlite, config))
}

/// The bounds; one of 0 would keep nothing, which nobody means.
fn retention(options: &ArchiveOptions) -> crate::Result<Retention> {
    let &ArchiveOptions { max_age, max_messages, max_bytes, .. } = options;
    let zero = [
        ("max_age", max_age == Some(Duration::ZERO)),
        ("max_messages", max_messages == Some(0)),
        ("max_bytes", max_bytes == Some(0)),
    ];
    if let Some((name, _)) = zero.iter().find(|(_, zero)| *zero) {
        bail!(InvalidArgument, "{name} is 0, which would keep nothing");
    }
    Ok(Retention { max_age, max_messages, max_bytes })
}

/// The system's clock.
fn clock() -> Timestamp {
    let epoch = Timestamp::default();
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => epoch.saturating_add(since),
        Err(before) => epoch.saturating_sub(before.duration()),
    }
}

fn live(origin: Option<Origin>) -> types::Origin {
    origin.map_or(types::Origin::Live, types::Origin::from)
}

fn lost_outcome() -> crate::Error {
    let reason = "the archive did not tell what became of a message";
    crate::Error::new(crate::ErrorKind::Internal, reason)
}

impl From<archive::Stats> for Stats {
    fn from(s: archive::Stats) -> Self {
        Stats {
            messages: s.messages,
            oldest: s.oldest.map(Timestamp::nanos),
            newest: s.newest.map(Timestamp::nanos),
            bytes_on_disk: s.bytes_on_disk,
        }
    }
}
