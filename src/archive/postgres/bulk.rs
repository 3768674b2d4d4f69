//! How the rows of a put come to the server: copied in where that is worth it, else inserted.
//!
//! Copying is what the server does fastest, but it passes over nothing: one message that is there
//! already ends the whole transaction, and what was copied by then is waste until the next vacuum.
//! So where that has happened, the puts that follow are inserted, ever longer as it happens again.

use postgres::types::ToSql;

use super::driver::Core;
use super::error::{Cure, Outcome};
use super::session::{Session, Value};
use super::topics::Channel;
use crate::types::{Origin, StoredMessage};

const WRITING: &str = "writing the archive";
/// Fewer rows than this are inserted: copying begins with a way to the server and back.
const WORTH_COPYING: usize = 64;
/// Puts that are inserted after one that could not be copied: at first, and at the most.
const FIRST_PAUSE: u32 = 16;
const LONGEST_PAUSE: u32 = 4_096;
/// What is sent at once while copying, in bytes.
const PIECE: usize = 64 * 1024;
/// How PostgreSQL's binary form of rows begins (signature, flags, no extension) and ends.
const BEGIN: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: i16 = -1;
/// Columns that are copied.
const COLUMNS: i16 = 13;

/// One message of a put.
pub(super) struct Row<'m> {
    pub(super) message: &'m StoredMessage,
    pub(super) origin: Origin,
    pub(super) channel: Channel,
    /// Its place in the batch, from 1 on.
    pub(super) place: i32,
}

/// Whether to copy.
#[derive(Default)]
pub(super) struct Bulk {
    /// So many puts are to be inserted yet.
    wait: u32,
    pause: u32,
}

impl Bulk {
    fn is_next(&mut self, rows: usize) -> bool {
        if rows < WORTH_COPYING {
            return false;
        }
        self.wait = self.wait.saturating_sub(1);
        self.wait == 0
    }

    fn was_in_vain(&mut self) {
        self.pause = self.pause.saturating_mul(4).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.wait = self.pause;
    }

    fn went_well(&mut self) {
        self.pause /= 2;
    }
}

/// Stores rows within a transaction of this number, and tells how many of them are new.
///
/// # Errors
/// One with [`Cure::Again`] where a row was there already and they were copied: then the
/// transaction is over, and another try inserts them.
pub(super) fn store(
    session: &mut Session,
    core: &mut Core,
    rows: &[Row<'_>],
    xid: i64,
) -> Outcome<u64> {
    if !core.bulk.is_next(rows.len()) {
        return insert(session, core.writer, rows);
    }
    let copied = copy(session, core.writer, rows, xid);
    match &copied {
        Ok(_) => core.bulk.went_well(),
        Err(fault) if fault.cure == Cure::Again => core.bulk.was_in_vain(),
        Err(_) => {}
    }
    copied
}

fn copy(session: &mut Session, writer: i32, rows: &[Row<'_>], xid: i64) -> Outcome<u64> {
    let text =
        "COPY wakustore.message(timestamp, hash, channel, pubsub, origin, version, ephemeral,
                    meta, rate_limit_proof, payload, place, writer, xid)
                FROM STDIN (FORMAT binary)";
    let mut rest = rows.iter();
    let (mut begun, mut ended) = (false, false);
    session.copy(WRITING, text, |piece| {
        if !begun {
            begun = true;
            piece.extend_from_slice(BEGIN);
        }
        while piece.len() < PIECE && !ended {
            match rest.next() {
                Some(row) => write(piece, row, writer, xid),
                None => {
                    ended = true;
                    piece.extend_from_slice(&END.to_be_bytes());
                }
            }
        }
    })
}

/// One row, in the order of the columns that are copied.
fn write(out: &mut Vec<u8>, row: &Row<'_>, writer: i32, xid: i64) {
    let message = &row.message.message;
    out.extend_from_slice(&COLUMNS.to_be_bytes());
    let mut field = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => {
            // A message is far smaller than what this could not count.
            out.extend_from_slice(&i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
    };
    field(Some(&row.message.timestamp().nanos().to_be_bytes()));
    field(Some(row.message.hash.as_bytes()));
    field(Some(&row.channel.id.to_be_bytes()));
    field(Some(&row.channel.pubsub.to_be_bytes()));
    field(Some(&(row.origin as i16).to_be_bytes()));
    field(message.version.map(u32::to_be_bytes).as_ref().map(|version| &version[..]));
    field(message.ephemeral.map(|ephemeral| [u8::from(ephemeral)]).as_ref().map(|one| &one[..]));
    field(message.meta.as_deref());
    field(message.rate_limit_proof.as_deref());
    field(Some(&message.payload));
    field(Some(&row.place.to_be_bytes()));
    field(Some(&writer.to_be_bytes()));
    field(Some(&xid.to_be_bytes()));
}

fn insert(session: &mut Session, writer: i32, rows: &[Row<'_>]) -> Outcome<u64> {
    let text = "INSERT INTO wakustore.message(timestamp, hash, channel, pubsub, origin, version, ephemeral,
                                       meta, rate_limit_proof, payload, place, writer)
         SELECT k.*, $12::int4 FROM unnest(
             $1::int8[], $2::bytea[], $3::int4[], $4::int4[], $5::int2[], $6::int4[], $7::bool[],
             $8::bytea[], $9::bytea[], $10::bytea[], $11::int4[]
         ) AS k(timestamp, hash, channel, pubsub, origin, version, ephemeral, meta, proof, payload,
                place)
         ON CONFLICT DO NOTHING";
    fn column<'a, T: ToSql + Sync + 'a>(
        rows: &'a [Row<'_>],
        of: impl Fn(&'a Row<'_>) -> T,
    ) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    let times = column(rows, |row| row.message.timestamp().nanos());
    let hashes = column(rows, |row| &row.message.hash.as_bytes()[..]);
    let channels = column(rows, |row| row.channel.id);
    let pubsubs = column(rows, |row| row.channel.pubsub);
    let origins = column(rows, |row| row.origin as i16);
    // The same 32 bits, as PostgreSQL has no unsigned ones.
    let versions = column(rows, |row| row.message.message.version.map(u32::cast_signed));
    let ephemeral = column(rows, |row| row.message.message.ephemeral);
    let metas = column(rows, |row| row.message.message.meta.as_deref());
    let proofs = column(rows, |row| row.message.message.rate_limit_proof.as_deref());
    let payloads = column(rows, |row| &row.message.message.payload[..]);
    let places = column(rows, |row| row.place);
    let values: [Value<'_>; 12] = [
        &times, &hashes, &channels, &pubsubs, &origins, &versions, &ephemeral, &metas, &proofs,
        &payloads, &places, &writer,
    ];
    session.execute(WRITING, text, &values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_twice_is_copied_ever_less() {
        let mut bulk = Bulk::default();
        assert!(!bulk.is_next(WORTH_COPYING - 1));
        let inserted_after = |bulk: &mut Bulk| {
            bulk.was_in_vain();
            (0..).take_while(|_| !bulk.is_next(WORTH_COPYING)).count()
        };
        assert_eq!(inserted_after(&mut bulk), 15);
        assert_eq!(inserted_after(&mut bulk), 63);
        for _ in 0..10 {
            assert!(bulk.is_next(1_000));
            bulk.went_well();
        }
        assert_eq!(inserted_after(&mut bulk), 15);
        for _ in 0..10 {
            bulk.was_in_vain();
        }
        assert_eq!(inserted_after(&mut bulk), LONGEST_PAUSE as usize - 1);
    }
}
