//! An archive's notices as events of `tracing`: the archive itself knows nothing of logs.

use std::sync::Arc;

use crate::archive::{Archive, ArchiveNotice};

/// Has an archive's troubles, retention and takedowns logged, with the target `wakustore::archive`.
/// A node does that for its archive by itself; where the archive has an observer already
/// ([`Archive::observe`]), nothing happens.
pub fn log_archive(archive: &Archive) {
    archive.observe(Arc::new(log));
}

fn log(notice: &ArchiveNotice) {
    const TARGET: &str = "wakustore::archive";
    match notice {
        ArchiveNotice::Trouble { state, error } => {
            tracing::error!(target: TARGET, state = state.name(), "the archive is in trouble: {error}");
        }
        ArchiveNotice::Recovered { from } => {
            tracing::info!(target: TARGET, from = from.name(), "the archive works again");
        }
        ArchiveNotice::Expired { messages } => {
            tracing::debug!(target: TARGET, messages, "retention removed the oldest");
        }
        ArchiveNotice::RetentionFailed(e) => {
            tracing::warn!(target: TARGET, "a step of retention failed: {e}");
        }
        ArchiveNotice::TakenDown { messages } => {
            tracing::info!(target: TARGET, messages, "messages were taken down");
        }
    }
}
