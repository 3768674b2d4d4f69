//! One connection, as it is used: statements prepared once, transactions that end.

use std::collections::HashMap;
use std::io::Write;

use postgres::types::ToSql;
use postgres::{Client, Row, SimpleQueryMessage, Statement};
use tokio::runtime::Handle;

use super::error::{Cure, Fault, Outcome, sql};
use super::lattice::Lattice;
use crate::archive::worker::on_archive_thread;

/// Statements that are kept prepared; beyond it all are forgotten. Their texts name partitions.
const MAX_STATEMENTS: usize = 512;

/// A value for a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// A connection that was set up.
pub(super) struct Session {
    /// Always there but while it is dropped.
    client: Option<Client>,
    statements: HashMap<String, Statement>,
    /// A transaction could not be ended: it is of no more use.
    broken: bool,
    pub(super) lattice: Lattice,
}

impl Session {
    pub(super) fn new(client: Client, lattice: Lattice) -> Self {
        Session { client: Some(client), statements: HashMap::new(), broken: false, lattice }
    }

    /// Whether it is of no more use.
    pub(super) fn is_broken(&self) -> bool {
        self.broken || self.client.as_ref().is_none_or(Client::is_closed)
    }

    fn client(&mut self) -> Outcome<&mut Client> {
        self.client.as_mut().ok_or_else(|| Fault {
            error: super::error::unavailable("the connection was closed"),
            cure: Cure::Reconnect,
        })
    }

    /// A statement that is prepared, the first time.
    fn statement(&mut self, what: &'static str, text: &str) -> Outcome<Statement> {
        if let Some(statement) = self.statements.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.client()?.prepare(text).map_err(sql(what))?;
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Asks a statement, which is prepared the first time.
    pub(super) fn query(
        &mut self,
        what: &'static str,
        text: &str,
        values: &[Value<'_>],
    ) -> Outcome<Vec<Row>> {
        let statement = self.statement(what, text)?;
        self.client()?.query(&statement, values).map_err(sql(what))
    }

    /// As [`Session::query`], for a statement that gives no rows; how many it changed.
    pub(super) fn execute(
        &mut self,
        what: &'static str,
        text: &str,
        values: &[Value<'_>],
    ) -> Outcome<u64> {
        let statement = self.statement(what, text)?;
        self.client()?.execute(&statement, values).map_err(sql(what))
    }

    /// Copies rows in: `pieces` fills a buffer again and again, until it leaves it empty. While the
    /// server takes one piece the next is made.
    pub(super) fn copy(
        &mut self,
        what: &'static str,
        text: &str,
        mut pieces: impl FnMut(&mut Vec<u8>),
    ) -> Outcome<u64> {
        let statement = self.statement(what, text)?;
        let mut copy = self.client()?.copy_in(&statement).map_err(sql(what))?;
        let mut piece = Vec::new();
        loop {
            piece.clear();
            pieces(&mut piece);
            // Where the server has refused one already, the end tells why.
            if piece.is_empty() || copy.write_all(&piece).and_then(|()| copy.flush()).is_err() {
                return copy.finish().map_err(sql(what));
            }
        }
    }

    /// Runs statements without values, one after the other, until one fails.
    pub(super) fn batch(&mut self, what: &'static str, text: &str) -> Outcome<()> {
        self.client()?.batch_execute(text).map_err(sql(what))
    }

    /// As [`Session::batch`], and gives the first column of each row, as text.
    pub(super) fn texts(&mut self, what: &'static str, text: &str) -> Outcome<Vec<String>> {
        let messages = self.client()?.simple_query(text).map_err(sql(what))?;
        let first = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten().map(str::to_owned),
            _ => None,
        };
        Ok(messages.iter().filter_map(first).collect())
    }

    /// Runs `f` in a transaction that was begun already, and rolls it back where `f` fails.
    pub(super) fn or_roll_back<T>(
        &mut self,
        what: &'static str,
        f: impl FnOnce(&mut Session) -> Outcome<T>,
    ) -> Outcome<T> {
        let result = f(self);
        if let Err(fault) = &result
            && (fault.cure == Cure::Reconnect || self.batch(what, "ROLLBACK").is_err())
        {
            self.broken = true;
        }
        result
    }

    /// Runs `f` in a transaction.
    pub(super) fn transact<T>(
        &mut self,
        what: &'static str,
        f: impl FnOnce(&mut Session) -> Outcome<T>,
    ) -> Outcome<T> {
        self.batch(what, "BEGIN")?;
        self.or_roll_back(what, |session| {
            let value = f(session)?;
            session.batch(what, "COMMIT")?;
            Ok(value)
        })
    }
}

impl Drop for Session {
    /// The client runs a runtime of its own, which must not be let go on a thread that runs
    /// another one: a host's, say.
    fn drop(&mut self) {
        let client = self.client.take();
        if may_block() {
            drop(client);
        } else {
            let thread = std::thread::Builder::new().name("wks-postgres".into());
            if let Ok(thread) = thread.spawn(move || drop(client)) {
                let _ = thread.join();
            }
        }
    }
}

/// Whether the client may block here: not on a thread that runs a runtime, which an archive's own
/// never do.
fn may_block() -> bool {
    on_archive_thread() || Handle::try_current().is_err()
}

/// Runs `f` where the client may block: here if that may be, else on a thread for it.
pub(super) fn off_runtime<T: Send>(f: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    if may_block() {
        return Ok(f());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("wks-postgres".into());
        match thread.spawn_scoped(scope, f)?.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
