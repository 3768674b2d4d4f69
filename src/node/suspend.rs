//! Suspending a node, and resuming it: for an app that the system freezes.
//!
//! What must hold: what came before is stored; after it no socket of the node is open and no lock of
//! its archive held, and nothing of it wakes up; whoever asks is told so at once; and it comes back
//! as it was.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Node;
use super::shared::{Command, Shared, stopped};
use super::sync_input::Input;
use crate::error::Result;

/// How long syncs may take to store what came; a phone gives its apps some five seconds in all.
const STORING: Duration = Duration::from_secs(3);

impl Node {
    /// Lets go of everything that a system takes badly in an app that it freezes: ends syncs (what
    /// came is stored), says goodbye to all peers, closes all sockets, keeps the node's state, and
    /// suspends the archive ([`crate::archive::Archive::suspend`]), for all who use it. Takes four
    /// seconds at the most, mostly some hundredths of one. Fine a second time.
    ///
    /// What is under way ends with [`crate::ErrorKind::Suspended`], and so does at once whatever is
    /// asked before [`Node::resume`]. No timer of the node runs meanwhile. Events stay subscribed:
    /// they tell of the peers' going, and of what comes after the resumption.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shutdown`]; [`crate::ErrorKind::ArchiveClosed`].
    pub async fn suspend(&self) -> Result<()> {
        let shared = self.shared();
        let _turn = shared.tasks.turn.lock().await;
        if shared.tasks.is_cancelled() {
            return Err(stopped());
        }
        shared.tasks.fall_asleep();
        if self.0.syncs {
            let (done, stored) = oneshot::channel();
            let _ = shared.sync.send(Input::Suspend { done });
            let _ = timeout(STORING, stored).await;
        }
        let (done, gone) = oneshot::channel();
        let suspended = shared.command(Command::Suspend { done }, gone).await;
        if suspended.is_err() {
            wake(shared);
            return suspended;
        }
        shared.tasks.join_visits().await;
        shared.archive.suspend().await
    }

    /// Comes back: opens the archive, listens at the same addresses (where a port was given to the
    /// node and is taken now, at another), takes part in the same relay topics, and dials again the
    /// peers that it had dialled and that were connected; who comes back is synced with, as far as
    /// the node begins syncs by itself. A heartbeat that was missed, or many, come as one. Returns
    /// when it listens. Fine where it is not suspended.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Listen`], and those of [`crate::archive::Archive::resume`]: the node
    /// stays suspended then, and may be resumed later. [`crate::ErrorKind::Shutdown`].
    pub async fn resume(&self) -> Result<()> {
        let shared = self.shared();
        let _turn = shared.tasks.turn.lock().await;
        if shared.tasks.is_cancelled() {
            return Err(stopped());
        }
        shared.archive.resume().await?;
        // Before it listens: whoever comes then is served.
        wake(shared);
        let (done, back) = oneshot::channel();
        let resumed = shared.command(Command::Resume { done }, back).await;
        if resumed.is_err() {
            shared.tasks.fall_asleep();
            let (done, stored) = oneshot::channel();
            let _ = shared.sync.send(Input::Suspend { done });
            let _ = timeout(STORING, stored).await;
            shared.tasks.join_visits().await;
            shared.archive.suspend().await?;
        }
        resumed
    }

    /// Whether it is suspended, or about to be.
    pub fn is_suspended(&self) -> bool {
        self.shared().tasks.is_suspended()
    }
}

fn wake(shared: &Shared) {
    shared.tasks.wake();
    // It fails where the node does not sync.
    let _ = shared.sync.send(Input::Resume);
}

impl Shared {
    /// A command that is carried out also by a node that is suspended.
    async fn command(&self, command: Command, answer: oneshot::Receiver<Result<()>>) -> Result<()> {
        self.commands.send(command).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}
