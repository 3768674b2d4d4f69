//! A node seen from outside: its metrics in OpenMetrics' text form, and its health.
//!
//! What is counted as it happens is in `counters`; how things stand is asked when somebody looks
//! (`look`). So a node that nobody watches pays for a few atomic additions and no more.

mod counters;
mod families;
mod health;
mod look;
mod text;

pub(super) use counters::{Counters, Status};
pub(super) use health::health;
pub use health::{Health, LastSync, QueueDepths};
pub(super) use look::{SwarmLook, SyncLook, Ways, look};

use super::shared::Shared;
use crate::archive::Archive;

/// All metrics of a node and its archive.
pub(super) async fn of_node(shared: &Shared) -> String {
    let seen = look(shared).await;
    let mut families = families::of_archive(&seen.usage, seen.stats.as_ref());
    families.extend(families::of_node(&shared.counters, &seen));
    text::write(families)
}

/// The metrics of an archive, in OpenMetrics' text form: for one that is used without a node. The
/// names are those of [`super::Node::metrics`]. It waits for the archive for two seconds at the
/// most; what it does not tell by then is left out.
pub async fn archive_metrics(archive: &Archive) -> String {
    let (usage, stats) = look::look_at_archive(archive).await;
    text::write(families::of_archive(&usage, stats.as_ref()))
}
