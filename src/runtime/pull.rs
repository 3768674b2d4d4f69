//! A stream that is pulled by ops, item by item, and loses none of them.
//!
//! An item that has come when its op is cancelled stays, and is what the next op gets.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::{Op, Runtime};
use crate::error::{Error, ErrorKind, Result};

/// Where the items come from.
pub trait Source: Send + 'static {
    /// What an op gives: often an option, `None` at the end.
    type Item: Send + 'static;

    /// The next item. Dropping the future must lose nothing.
    fn next(&mut self) -> impl Future<Output = Result<Self::Item>> + Send;

    /// This item is given to its op now, and cannot come back. Called under the op's lock: it must
    /// not call out.
    fn given(&mut self, _item: &Self::Item) {}
}

/// The stream. Ops that wait at the same time are served in the order of their start.
pub struct Pull<S: Source>(Arc<Mutex<State<S>>>);

struct State<S: Source> {
    source: S,
    kept: Option<S::Item>,
}

impl<S: Source> Pull<S> {
    /// A stream from this source.
    pub fn new(source: S) -> Self {
        Pull(Arc::new(Mutex::new(State { source, kept: None })))
    }

    /// An op that gives the next item.
    ///
    /// # Errors
    /// As for [`Op::start`].
    pub fn next(&self, runtime: &Arc<Runtime>) -> Result<Op> {
        // Queued here and not at the task's first poll, so that the order of starts holds.
        let mut turn = Box::pin(Arc::clone(&self.0).lock_owned());
        let now = futures::FutureExt::now_or_never(turn.as_mut());
        Op::start_with(runtime, |completer| async move {
            let mut state = match now {
                Some(state) => state,
                None => turn.await,
            };
            let state = &mut *state;
            if state.kept.is_none() {
                match state.source.next().await {
                    Ok(item) => state.kept = Some(item),
                    Err(error) => return completer.complete_with(|| Err(error)),
                }
            }
            completer.complete_with(|| match state.kept.take() {
                Some(item) => {
                    state.source.given(&item);
                    Ok(Box::new(item))
                }
                None => Err(Error::new(ErrorKind::Internal, "an item is kept until it is given")),
            });
        })
    }

    /// Looks at the source; `None` while an op waits for it.
    pub fn peek<T>(&self, look: impl FnOnce(&S) -> T) -> Option<T> {
        self.0.try_lock().ok().map(|state| look(&state.source))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::time::Duration;

    use futures::StreamExt;
    use futures::channel::mpsc;

    use super::*;
    use crate::runtime::shutdown::tests::serial;

    struct Numbers(mpsc::UnboundedReceiver<u32>, Vec<u32>);

    impl Source for Numbers {
        type Item = Option<u32>;
        async fn next(&mut self) -> Result<Option<u32>> {
            Ok(self.0.next().await)
        }
        fn given(&mut self, item: &Option<u32>) {
            self.1.extend(item);
        }
    }

    #[test]
    fn cancelled_pulls_lose_nothing_and_keep_the_order() {
        let _serial = serial();
        let runtime = Runtime::current().unwrap();
        let (tx, rx) = mpsc::unbounded();
        let pull = Pull::new(Numbers(rx, Vec::new()));
        let mut seen = Vec::new();
        for i in 0..2_000 {
            let op = pull.next(&runtime).unwrap();
            tx.unbounded_send(i).unwrap();
            op.cancel();
            if op.status().is_ok() {
                seen.extend(op.take::<Option<u32>>().unwrap());
            }
        }
        drop(tx);
        let ops: Vec<Op> = (0..2_001).map(|_| pull.next(&runtime).unwrap()).collect();
        for op in ops {
            op.wait(Some(Duration::from_secs(10))).unwrap();
            seen.extend(op.take::<Option<u32>>().unwrap());
        }
        assert_eq!(seen, (0..2_000).collect::<Vec<_>>());
        assert_eq!(pull.peek(|s| s.1.clone()), Some(seen));
    }
}
