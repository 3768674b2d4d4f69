//! The tasks of one node: all are started here, and stopping a node ends and joins all of them.
//!
//! What must hold: no task outlives [`Tasks::join`], and none keeps a [`super::Node`] alive.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How far the stop is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Work ends; connections say goodbye.
    Cancelled,
    /// Whatever is left ends where it stands.
    Killed,
}

/// How far a suspension is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sleep {
    Awake,
    /// What belongs to peers ends; connections say goodbye.
    Ending,
    /// Connections end where they stand.
    Cut,
}

/// The tasks of one node.
pub(super) struct Tasks {
    runtime: Handle,
    phase: watch::Sender<Phase>,
    sleep: watch::Sender<Sleep>,
    /// Those that a suspension ends: streams and connections. `None` once the node stops.
    visits: Mutex<Option<JoinSet<()>>>,
    /// Held by who suspends or resumes: one after the other.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// `None` once the node stops: nothing is started any more.
    running: Mutex<Option<JoinSet<()>>>,
    /// Where `running` goes to be joined. Async, so that a second `join` waits for the first, and
    /// goes on with its work where that was dropped half way.
    joining: tokio::sync::Mutex<JoinSet<()>>,
}

impl Tasks {
    /// No tasks yet. They will run on the runtime that calls this.
    pub(super) fn new() -> Self {
        Tasks {
            runtime: Handle::current(),
            phase: watch::Sender::new(Phase::Running),
            sleep: watch::Sender::new(Sleep::Awake),
            visits: Mutex::new(Some(JoinSet::new())),
            turn: tokio::sync::Mutex::new(()),
            running: Mutex::new(Some(JoinSet::new())),
            joining: tokio::sync::Mutex::new(JoinSet::new()),
        }
    }

    /// Runs a task that is dropped where it stands when the node stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancelled = self.cancelled();
        self.spawn_unguarded(async move {
            tokio::select! {
                () = cancelled => {}
                () = task => {}
            }
        });
    }

    /// Runs a task that watches [`Tasks::cancelled`] itself and ends soon after.
    pub(super) fn spawn_unguarded(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(set) = running.as_mut() else { return };
        while let Some(ended) = set.try_join_next() {
            report(ended);
        }
        set.spawn_on(task, &self.runtime);
    }

    /// Runs a task that goes on while the node says goodbye, until [`Tasks::kill`].
    pub(super) fn spawn_until_killed(&self, task: impl Future<Output = ()> + Send + 'static) {
        let killed = self.reached(Phase::Killed);
        self.spawn_unguarded(async move {
            tokio::select! {
                () = killed => {}
                () = task => {}
            }
        });
    }

    /// Runs what belongs to a peer: dropped where it stands when the node stops or is suspended.
    pub(super) fn spawn_visit(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.visit(Phase::Cancelled, Sleep::Ending, task);
    }

    /// Runs a connection: it goes on while the node says goodbye, before it stops or is suspended.
    pub(super) fn spawn_connection(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.visit(Phase::Killed, Sleep::Cut, task);
    }

    fn visit(&self, phase: Phase, sleep: Sleep, task: impl Future<Output = ()> + Send + 'static) {
        let (ends, sleeps) = (self.reached(phase), self.slept(sleep));
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(set) = visits.as_mut() else { return };
        while let Some(ended) = set.try_join_next() {
            report(ended);
        }
        let task = async move {
            tokio::select! {
                biased;
                () = ends => {}
                () = sleeps => {}
                () = task => {}
            }
        };
        set.spawn_on(task, &self.runtime);
    }

    fn slept(&self, sleep: Sleep) -> impl Future<Output = ()> + Send + use<> {
        let mut now = self.sleep.subscribe();
        async move {
            let _ = now.wait_for(|now| *now >= sleep).await;
        }
    }

    /// Resolves once the node is suspended.
    pub(super) fn suspended(&self) -> impl Future<Output = ()> + Send + use<> {
        self.slept(Sleep::Ending)
    }

    /// Whether the node is suspended, or about to be.
    pub(super) fn is_suspended(&self) -> bool {
        *self.sleep.borrow() >= Sleep::Ending
    }

    /// Ends what belongs to peers, and lets nothing of it begin.
    pub(super) fn fall_asleep(&self) {
        self.sleep.send_if_modified(|now| {
            let further = *now < Sleep::Ending;
            *now = Sleep::Ending.max(*now);
            further
        });
    }

    /// Ends connections too, and waits until all of it has ended.
    pub(super) async fn join_visits(&self) {
        self.sleep.send_replace(Sleep::Cut);
        let set = match self.visits.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(set) => std::mem::take(set),
            None => return,
        };
        join_all(set).await;
    }

    /// Lets all begin again.
    pub(super) fn wake(&self) {
        self.sleep.send_replace(Sleep::Awake);
    }

    fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut now = self.phase.subscribe();
        async move {
            // An error means that the node itself is gone, which is a stop as well.
            let _ = now.wait_for(|now| *now >= phase).await;
        }
    }

    /// Resolves once the node stops.
    pub(super) fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Cancelled)
    }

    /// Whether the node stops, or has stopped.
    pub(super) fn is_cancelled(&self) -> bool {
        *self.phase.borrow() >= Phase::Cancelled
    }

    fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let further = *now < phase;
            *now = phase.max(*now);
            further
        });
    }

    /// Tells all tasks to end, without waiting for them.
    pub(super) fn cancel(&self) {
        self.advance(Phase::Cancelled);
    }

    /// Tells what [`Tasks::cancel`] has left to end too.
    pub(super) fn kill(&self) {
        self.advance(Phase::Killed);
    }

    /// Tells all tasks to end and waits until they have.
    pub(super) async fn join(&self) {
        self.cancel();
        let mut joining = self.joining.lock().await;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(set) = running {
            *joining = set;
        }
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner).take();
        while let Some(ended) = joining.join_next().await {
            report(ended);
        }
        if let Some(visits) = visits {
            // One that is dropped half way aborts what is left.
            join_all(visits).await;
        }
    }
}

async fn join_all(mut set: JoinSet<()>) {
    while let Some(ended) = set.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(e) = ended
        && e.is_panic()
    {
        tracing::error!("a task of the node panicked");
    }
}

/// Stops the node when dropped: held by a task that the node cannot do without, so that its panic
/// ends all waiters rather than leaving them to wait.
pub(super) struct CancelOnDrop(pub(super) std::sync::Arc<Tasks>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn joining_drops_every_task_and_is_fine_twice() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let tasks = Tasks::new();
        for _ in 0..10 {
            let count = Count(dropped.clone());
            tasks.spawn(async move {
                let _count = count;
                std::future::pending().await
            });
        }
        tokio::join!(tasks.join(), tasks.join());
        assert_eq!(dropped.load(Ordering::SeqCst), 10);
        tasks.spawn(async { panic!("nothing starts after the stop") });
        tasks.join().await;
    }

    #[tokio::test]
    async fn a_panic_in_a_vital_task_stops_the_others() {
        let tasks = Arc::new(Tasks::new());
        let guard = CancelOnDrop(tasks.clone());
        tasks.spawn(async move {
            let _guard = guard;
            panic!("expected by this test");
        });
        tasks.cancelled().await;
        tasks.join().await;
    }
}
