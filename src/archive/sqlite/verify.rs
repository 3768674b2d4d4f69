//! Verification: every hash recomputed, in small read transactions; then, in one, the structure of
//! the file and the figures that are kept. Nothing is written.

use rusqlite::Connection;

use super::driver::Tx;
use super::error::sql;
use super::rows::{Item, Reopen, Walk, damage};
use crate::archive::{Control, FindingKind, Findings, MAX_FINDINGS, VerifyReport};
use crate::error::Result;
use crate::types::MessageHash;

const VERIFYING: &str = "verifying the archive";
/// Messages of one step.
const STEP: usize = 128;
/// Instructions of SQLite's machine between looks at whether it was cancelled.
const LOOK_EVERY: i32 = 100_000;

/// Verifies what this connection sees. `reopen` gives another to the same file, where it is
/// encrypted.
pub(super) fn verify(
    conn: &Connection,
    reopen: Option<Reopen<'_>>,
    control: &Control,
) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let held = || number(conn, "SELECT messages FROM figures");
    let total = damage(held())?.ok().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let mut walk = Walk::new(conn, reopen);
    loop {
        control.check()?;
        let items = walk.step(STEP)?;
        if items.is_empty() {
            break;
        }
        for item in items {
            check(item, &mut report);
        }
        control.set(report.messages, total.max(report.messages));
    }
    let own = walk.into_own();
    let conn = own.as_ref().unwrap_or(conn);
    conn.progress_handler(
        LOOK_EVERY,
        Some({
            let control = control.clone();
            move || control.is_cancelled()
        }),
    )
    .map_err(sql(VERIFYING))?;
    let checked = whole(conn, &mut report.findings);
    let _ = conn.progress_handler(0, None::<fn() -> bool>);
    control.check()?;
    checked?;
    Ok(report)
}

fn check(item: Item, report: &mut VerifyReport) {
    let findings = &mut report.findings;
    match item {
        Item::Sound(..) => report.messages += 1,
        Item::Mismatch(hash) => {
            report.messages += 1;
            findings.add(FindingKind::HashMismatch, Some(hash), mismatch(&hash));
        }
        Item::Invalid(row, e) => {
            findings.add(FindingKind::Invalid, None, format!("row {row}: {}", e.message()));
        }
        Item::Unreadable(first, last) => {
            findings.add(FindingKind::Unreadable, None, unreadable(first, last));
        }
    }
}

/// In words.
pub(super) fn mismatch(hash: &MessageHash) -> String {
    format!("message {hash}: the content gives another hash")
}

/// In words.
pub(super) fn unreadable(first: i64, last: i64) -> String {
    match (first, last) {
        (first, last) if first == last => format!("row {first} cannot be read"),
        (first, i64::MAX) => format!("no row from {first} on can be read"),
        (first, last) => format!("rows {first} to {last}, as far as there are any, cannot be read"),
    }
}

/// Structure and figures, of one moment.
fn whole(conn: &Connection, findings: &mut Findings) -> Result<()> {
    let tx = Tx::begin(conn, "BEGIN", VERIFYING)?;
    if let Err(e) = damage(structure(conn, findings))? {
        findings.add(FindingKind::Structure, None, e.message());
        // There is no counting after this.
        return Ok(());
    }
    if let Err(e) = damage(figures(conn, findings))? {
        findings.add(FindingKind::Structure, None, e.message());
    }
    // Nothing was written, and after damage a commit may fail.
    drop(tx);
    Ok(())
}

fn structure(conn: &Connection, findings: &mut Findings) -> Result<()> {
    let fail = sql(VERIFYING);
    let text = format!("PRAGMA integrity_check({MAX_FINDINGS})");
    let mut statement = conn.prepare(&text).map_err(&fail)?;
    let mut rows = statement.query([]).map_err(&fail)?;
    while let Some(row) = rows.next().map_err(&fail)? {
        let line: String = row.get(0).map_err(&fail)?;
        if line != "ok" {
            findings.add(FindingKind::Structure, None, line);
        }
    }
    Ok(())
}

fn figures(conn: &Connection, findings: &mut Findings) -> Result<()> {
    for (what, kept, counted) in [
        ("messages", "SELECT messages FROM figures", "SELECT count(*) FROM message"),
        ("tombstones", "SELECT tombstones FROM figures", "SELECT count(*) FROM tombstone"),
    ] {
        let (kept, counted) = (number(conn, kept)?, number(conn, counted)?);
        if kept != counted {
            let what = format!("{counted} {what} are held, the figure is {kept}");
            findings.add(FindingKind::Figure, None, what);
        }
    }
    let fail = sql(VERIFYING);
    let mut statement = conn
        .prepare(
            "SELECT c.id, c.messages,
                    (SELECT count(*) FROM message m INDEXED BY message_by_channel
                     WHERE m.channel = c.id) AS counted
             FROM channel c WHERE counted <> c.messages",
        )
        .map_err(&fail)?;
    let mut rows = statement.query([]).map_err(&fail)?;
    while let Some(row) = rows.next().map_err(&fail)? {
        let get = |column| row.get::<_, i64>(column).map_err(&fail);
        let what =
            format!("channel {} has {} messages, the figure is {}", get(0)?, get(2)?, get(1)?);
        findings.add(FindingKind::Figure, None, what);
    }
    Ok(())
}

fn number(conn: &Connection, text: &str) -> Result<i64> {
    conn.query_row(text, [], |row| row.get(0)).map_err(sql(VERIFYING))
}
