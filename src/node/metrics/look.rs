//! How a node is at one moment: what its tasks tell of themselves when they are asked.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::shared::{Command, Shared};
use super::super::start::MAX_ASKING;
use super::super::sync_input::Input;
use crate::archive::{ArchiveUsage, Stats};
use crate::engine::EngineUsage;
use crate::types::{TimeRange, Timestamp};

/// How long a task, or the archive, may take to tell. What does not come is left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// Peers of a kind, by who dialled first: those that came to us, and those that we dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in super::super) struct Ways {
    pub(in super::super) came: usize,
    pub(in super::super) dialled: usize,
}

impl Ways {
    pub(in super::super) fn count(&mut self, dialled: bool) {
        match dialled {
            true => self.dialled += 1,
            false => self.came += 1,
        }
    }

    pub(super) fn all(&self) -> usize {
        self.came + self.dialled
    }
}

/// What the swarm's task tells.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct SwarmLook {
    /// Connected, those included of which metadata has not spoken yet.
    pub(in super::super) peers: usize,
    pub(in super::super) store: Ways,
    pub(in super::super) reconciliation: Ways,
    pub(in super::super) strong: Ways,
    pub(in super::super) relay: Ways,
    pub(in super::super) connections: Ways,
    /// On their way.
    pub(in super::super) pending: Ways,
    /// Streams that peers have open to us.
    pub(in super::super) streams: usize,
    /// Store requests that are being answered.
    pub(in super::super) answering: usize,
    /// Topics that we take part in.
    pub(in super::super) topics: usize,
    /// KiB of messages that wait to be judged and stored.
    pub(in super::super) relay_waiting: usize,
}

/// What the sync task tells.
#[derive(Clone, Debug)]
pub(in super::super) struct SyncLook {
    pub(in super::super) usage: EngineUsage,
    /// Whether the index stands.
    pub(in super::super) ready: bool,
    /// Spans for which this node was not online and that no sync has filled yet.
    pub(in super::super) unfilled: Vec<TimeRange>,
}

/// All of it.
pub(in super::super) struct Look {
    pub(super) now: Timestamp,
    pub(super) running: bool,
    pub(super) swarm: Option<SwarmLook>,
    /// Not there for a node that does not sync.
    pub(super) sync: Option<SyncLook>,
    pub(super) usage: ArchiveUsage,
    pub(super) stats: Option<Stats>,
    /// Up to where some peer agrees with us on what there is.
    pub(super) agreed_until: Option<Timestamp>,
    /// Commands that wait for the swarm's task.
    pub(super) commands: usize,
    /// Store requests of ours on their way.
    pub(super) asking: usize,
}

/// Asks the tasks and the archive, all at once, and waits for a bounded time.
pub(in super::super) async fn look(shared: &Shared) -> Look {
    let swarm = async {
        let (told, answer) = oneshot::channel();
        shared.commands.send(Command::Look(told)).await.ok()?;
        answer.await.ok()
    };
    let sync = async {
        let (told, answer) = oneshot::channel();
        shared.sync.send(Input::Look(told)).ok()?;
        answer.await.ok()
    };
    let (swarm, sync, stats) = tokio::join!(
        timeout(PATIENCE, swarm),
        timeout(PATIENCE, sync),
        timeout(PATIENCE, shared.archive.stats()),
    );
    let coverage = shared.coverage.read().unwrap_or_else(PoisonError::into_inner);
    Look {
        now: shared.archive.now(),
        running: !shared.tasks.is_cancelled(),
        swarm: swarm.ok().flatten(),
        sync: sync.ok().flatten(),
        // After the question, which finds out how the archive is.
        usage: shared.archive.usage(),
        stats: stats.ok().and_then(|stats| stats.ok()),
        agreed_until: coverage.last().map(|last| last.span.end()),
        commands: shared.commands.max_capacity() - shared.commands.capacity(),
        asking: MAX_ASKING - shared.asking.available_permits().min(MAX_ASKING),
    }
}

/// What an archive alone tells.
pub(super) async fn look_at_archive(
    archive: &crate::archive::Archive,
) -> (ArchiveUsage, Option<Stats>) {
    let stats = timeout(PATIENCE, archive.stats()).await;
    (archive.usage(), stats.ok().and_then(|stats| stats.ok()))
}
