//! The way to nwaku's database, by the same rules for URLs and TLS as to one of our own.
//!
//! The client runs a runtime of its own, which must not be on a thread that runs another: it has a
//! thread to itself, and is asked there. What must hold: no error carries a part of the URL, where
//! the password is.

use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use postgres::Client;
use postgres::error::SqlState;

use crate::archive::postgres::{tls, url};
use crate::error::{Error, ErrorKind, Result, bail};

/// How long it may take to connect, where the URL does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const OPENING: &str = "opening nwaku's database";
/// What every connection is told. A batch is sought by an index; where there is none it is sorted,
/// which may take its time.
const SETTINGS: &str = "SET statement_timeout = '10min';
                        SET lock_timeout = '10s';
                        SET idle_in_transaction_session_timeout = '1h';
                        SET client_min_messages = warning";

type Job = Box<dyn FnOnce(&mut Client) + Send>;

/// A connection, on a thread of its own.
pub(super) struct Link {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    pub(super) fn open(url: &str) -> Result<Self> {
        let ours = |e: Error| e.context(OPENING);
        let target = url::parse(url, CONNECT_TIMEOUT, false).map_err(ours)?;
        let tls = tls::connector(&target).map_err(ours)?;
        let (jobs, todo) = channel::<Job>();
        let (tell, told) = sync_channel(1);
        let body = move || {
            let opened = target.client.connect(tls).and_then(|mut client| {
                client.batch_execute(SETTINGS)?;
                Ok(client)
            });
            match opened {
                Ok(mut client) => {
                    let _ = tell.send(Ok(()));
                    for job in todo {
                        job(&mut client);
                    }
                }
                Err(e) => {
                    let e = Error::new(ErrorKind::ArchiveOpen, text(&e));
                    let _ = tell.send(Err(e.context(OPENING)));
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("wks-nwaku".into())
            .spawn(body)
            .map_err(|e| Error::new(ErrorKind::Resources, format!("cannot start a thread: {e}")))?;
        let link = Link { jobs: Some(jobs), thread: Some(thread) };
        told.recv().unwrap_or_else(|_| lost())?;
        Ok(link)
    }

    /// Runs `f` with the client and waits for it.
    pub(super) fn with<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Client) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = sync_channel(1);
        let job: Job = Box::new(move |client| {
            let _ = tell.send(f(client));
        });
        match &self.jobs {
            Some(jobs) if jobs.send(job).is_ok() => told.recv().unwrap_or_else(|_| lost()),
            _ => lost(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lost<T>() -> Result<T> {
    bail!(Internal, "the thread of the connection to nwaku's database has ended")
}

/// Translates an error that came up while doing `what`.
pub(super) fn sql(what: &'static str) -> impl Fn(postgres::Error) -> Error {
    move |e| {
        let kind = match e.code() {
            Some(&SqlState::DISK_FULL) => ErrorKind::DiskFull,
            Some(&SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::READ_ONLY_SQL_TRANSACTION) => {
                ErrorKind::ArchiveReadOnly
            }
            Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED) => {
                ErrorKind::ArchiveLocked
            }
            Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => {
                ErrorKind::ArchiveCorrupt
            }
            _ => ErrorKind::ArchiveIo,
        };
        Error::new(kind, text(&e)).context(what)
    }
}

/// The message of the server, or of whatever failed underneath, without details.
fn text(e: &postgres::Error) -> String {
    if let Some(db) = e.as_db_error() {
        return format!("{} (SQLSTATE {})", db.message(), db.code().code());
    }
    match std::error::Error::source(e) {
        Some(source) => format!("{e}: {source}"),
        None => e.to_string(),
    }
}
