//! Encryption at rest, where this build has it (SQLCipher in place of SQLite).
//!
//! What must hold: the key is given before anything is read, is in no message, and what it was
//! written down in is overwritten. (SQLite's own copies of it are freed, not overwritten.)

use rusqlite::Connection;

use super::SqliteConfig;
use super::open::Place;
use crate::archive::Key;
use crate::error::{Result, bail};

/// Gives a connection that was just opened its key, and sees that it is the right one.
#[cfg(feature = "sqlcipher")]
pub(super) fn unlock(conn: &Connection, place: &Place, key: &Key) -> Result<()> {
    use rusqlite::{ErrorCode, OpenFlags};

    use super::error::sql;

    let fail = sql("unlocking the archive");
    // SQLCipher would write to the process's stderr of whatever it cannot decrypt.
    conn.execute_batch("PRAGMA cipher_log_level = NONE").map_err(&fail)?;
    pragma(conn, "key", key).map_err(&fail)?;
    let read = |conn: &Connection| {
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    };
    match read(conn) {
        Ok(_) => return Ok(()),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {}
        Err(e) => return Err(fail(e)),
    }
    if let Place::File(path) = place {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if Connection::open_with_flags(path, flags).is_ok_and(|plain| read(&plain).is_ok()) {
            bail!(WrongKey, "a key was given, but the archive is not encrypted");
        }
    }
    bail!(WrongKey, "the key is not that of the archive (or its first page is damaged)")
}

/// A build without encryption.
#[cfg(not(feature = "sqlcipher"))]
pub(super) fn unlock(_: &Connection, _: &Place, _: &Key) -> Result<()> {
    bail!(Unsupported, "this build of the library has no encryption: it is without `sqlcipher`")
}

/// See [`super::SqliteBackend::rekey`].
#[cfg(feature = "sqlcipher")]
pub(super) fn rekey(config: &SqliteConfig, key: &Key) -> Result<()> {
    use super::error::sql;
    use super::open::{self, Role};
    use super::schema;

    let place = Place::of(&config.path)?;
    if config.key.is_none() {
        bail!(InvalidArgument, "an archive that is not encrypted is encrypted by salvaging it");
    }
    if place == Place::Memory || config.read_only {
        bail!(InvalidArgument, "an archive that is in memory, or read-only, has no key to change");
    }
    let change = || -> Result<()> {
        let fail = sql("encrypting the archive with another key");
        let conn = open::connect(&place, &config.how(), Role::Writer)?;
        schema::check(&conn)?;
        // That fails while anybody else has it open.
        conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(&fail)?;
        conn.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(())).map_err(&fail)?;
        pragma(&conn, "rekey", key).map_err(&fail)?;
        conn.close().map_err(|(_, e)| fail(e))
    };
    change().map_err(|e| e.context(config.path.display()))
}

/// A build without encryption.
#[cfg(not(feature = "sqlcipher"))]
pub(super) fn rekey(_: &SqliteConfig, _: &Key) -> Result<()> {
    bail!(Unsupported, "this build of the library has no encryption: it is without `sqlcipher`")
}

#[cfg(feature = "sqlcipher")]
fn pragma(conn: &Connection, name: &str, key: &Key) -> rusqlite::Result<()> {
    let literal = key.literal();
    let head = ["PRAGMA ", name, " = "];
    let length = head.iter().map(|part| part.len()).sum::<usize>() + literal.len();
    // Room for all of it at once: a string that grows leaves copies behind.
    let mut text = zeroize::Zeroizing::new(String::with_capacity(length));
    head.iter().for_each(|part| text.push_str(part));
    text.push_str(&literal);
    // Not prepared: it must be in no cache of statements.
    conn.execute_batch(&text)
}
