//! A driver's way to the database: a connection that is made anew when it is lost.
//!
//! What must hold: nobody waits for a database that is away. While it cannot be reached one
//! connection tries, ever more seldom, and all others fail at once; and an attempt itself has its
//! time, whatever the other side does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{connecting, unavailable};
use super::lattice::Lattice;
use super::schema;
use super::session::Session;
use super::tls;
use super::url::{self, Target};
use crate::error::{Error, ErrorKind, Result};

/// Between two attempts to connect: at first, and at the most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long what comes after the socket may take: TLS, the password, the settings.
const GREETING: Duration = Duration::from_secs(5);

/// A database, for all connections to it.
pub(super) struct Place {
    target: Target,
    tls: MakeRustlsConnect,
    /// Whether it is written to.
    writes: bool,
    /// What each connection is told.
    settings: String,
    outage: Mutex<Outage>,
}

#[derive(Default)]
struct Outage {
    /// Attempts that failed, one after the other.
    failures: u32,
    /// No attempt before this.
    next: Option<Instant>,
    /// Why the last one failed.
    why: String,
}

impl Place {
    pub(super) fn new(
        target: &str,
        connect_timeout: Duration,
        statement_timeout: Duration,
        writes: bool,
    ) -> Result<Self> {
        let target = url::parse(target, connect_timeout, writes)?;
        let tls = tls::connector(&target)?;
        let timeout = statement_timeout.as_millis().clamp(1, 86_400_000);
        let lock = (timeout / 2).clamp(1, 10_000);
        // Plans are made once for each statement, and walk an index: see `scan`. A server that
        // acknowledges what it may still lose is told not to.
        let settings = format!(
            "SET statement_timeout = {timeout};
             SET lock_timeout = {lock};
             SET idle_in_transaction_session_timeout = 60000;
             SET client_min_messages = warning;
             SET jit = off;
             SET enable_seqscan = off;
             SET enable_bitmapscan = off;
             SET enable_sort = off;
             SET plan_cache_mode = force_generic_plan;
             SELECT set_config('synchronous_commit', 'on', false)
                 WHERE current_setting('synchronous_commit') = 'off';"
        );
        Ok(Place { target, tls, writes, settings, outage: Mutex::default() })
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a connection and makes or migrates the schema. For opening: on a thread that may block.
    pub(super) fn open(&self, partitions: &Lattice) -> Result<Session> {
        let mut client =
            self.target.client.connect(self.tls.clone()).map_err(|e| connecting(&e))?;
        client.batch_execute(&self.settings).map_err(|e| connecting(&e))?;
        let header = if self.writes {
            schema::migrate(&mut client, partitions)
        } else {
            schema::check(&mut client, false)
        };
        let header = header.map_err(|fault| fault.error)?;
        Ok(Session::new(client, header.lattice))
    }

    /// A connection to a database that was opened before.
    fn connect(&self) -> Result<Session> {
        // It could be reached before, as this user: it will be again.
        let away = |e| Error::new(ErrorKind::ArchiveUnavailable, connecting(&e).message());
        let mut client = self.target.client.connect(self.tls.clone()).map_err(away)?;
        client.batch_execute(&self.settings).map_err(away)?;
        let header = schema::check(&mut client, self.writes).map_err(|fault| fault.error)?;
        Ok(Session::new(client, header.lattice))
    }

    /// Whether it is time for another attempt; if not, why there is none.
    fn may_try(&self) -> Result<()> {
        let mut outage = self.outage();
        let now = Instant::now();
        if outage.next.is_some_and(|next| now < next) {
            return Err(Error::new(ErrorKind::ArchiveUnavailable, outage.why.clone()));
        }
        if outage.failures > 0 {
            // Others fail at once while this one tries.
            outage.next = Some(now + self.longest_attempt());
        }
        Ok(())
    }

    fn longest_attempt(&self) -> Duration {
        let connect = self.target.client.get_connect_timeout().copied().unwrap_or(GREETING);
        let addresses = self.target.client.get_hosts().len().max(1);
        connect * u32::try_from(addresses).unwrap_or(1) + GREETING
    }

    fn succeeded(&self) {
        *self.outage() = Outage::default();
    }

    fn failed(&self, e: &Error) {
        let mut outage = self.outage();
        outage.failures = outage.failures.saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << outage.failures.min(10)).min(LONGEST_PAUSE);
        outage.next = Some(Instant::now() + pause);
        outage.why = e.message().to_owned();
    }
}

/// A driver's own connection.
pub(super) struct Link {
    place: Arc<Place>,
    session: Option<Session>,
    /// An attempt that took too long and has not ended yet.
    late: Option<Receiver<Result<Session>>>,
}

impl Link {
    pub(super) fn new(place: Arc<Place>, session: Option<Session>) -> Self {
        Link { place, session, late: None }
    }

    /// The connection, made anew where it was lost; and whether it was.
    ///
    /// # Errors
    /// [`ErrorKind::ArchiveUnavailable`] where the database is away, at once where that is known.
    pub(super) fn session(&mut self) -> Result<(&mut Session, bool)> {
        if self.session.as_ref().is_some_and(Session::is_broken) {
            self.session = None;
        }
        let fresh = self.session.is_none();
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connect()?,
        };
        Ok((self.session.insert(session), fresh))
    }

    /// The connection is of no more use.
    pub(super) fn lose(&mut self) {
        self.session = None;
    }

    fn connect(&mut self) -> Result<Session> {
        if let Some(late) = &self.late {
            match late.try_recv() {
                Ok(result) => {
                    self.late = None;
                    return self.settle(result);
                }
                Err(TryRecvError::Disconnected) => self.late = None,
                Err(TryRecvError::Empty) => {
                    return Err(unavailable("it takes too long to connect"));
                }
            }
        }
        self.place.may_try()?;
        let (done, result) = sync_channel(1);
        let place = self.place.clone();
        let thread = std::thread::Builder::new().name("wks-postgres".into());
        thread.spawn(move || drop(done.send(place.connect()))).map_err(|e| {
            Error::new(ErrorKind::Resources, format!("cannot start a thread to connect: {e}"))
        })?;
        match result.recv_timeout(self.place.longest_attempt()) {
            Ok(result) => self.settle(result),
            Err(RecvTimeoutError::Timeout) => {
                self.late = Some(result);
                self.settle(Err(unavailable("it takes too long to connect")))
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.settle(Err(Error::new(ErrorKind::Internal, "connecting panicked")))
            }
        }
    }

    fn settle(&self, result: Result<Session>) -> Result<Session> {
        match &result {
            Ok(_) => self.place.succeeded(),
            Err(e) => self.place.failed(e),
        }
        result
    }
}
