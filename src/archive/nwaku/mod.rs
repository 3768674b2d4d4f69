//! Moving from nwaku, and back: its archive (an SQLite file, or a PostgreSQL database) read into
//! ours, and ours written as one of its.
//!
//! What must hold: what is read is not trusted, neither its schema nor its rows; memory is bounded
//! whatever it holds; each message is hashed anew and goes the way of any message, through
//! [`Archive::put`](super::Archive::put) with [`Origin::Import`](crate::types::Origin::Import); and
//! either way can be interrupted at any moment and gone on with, or begun again: a message that is
//! there already is a duplicate and nothing worse.
//!
//! All of it blocks: call it on a thread of its own, never on one of an archive's. The guide is
//! `docs/MIGRATING.md`.

mod export;
mod import;
#[cfg(feature = "postgres")]
mod pg;
mod position;
mod report;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "postgres")]
pub use pg::{export_postgres, import_postgres};
pub use position::Position;
pub use report::{
    ExportOptions, ExportReport, ImportOptions, ImportReport, RefusedRow, RehashedRow,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{export_sqlite, import_sqlite};
