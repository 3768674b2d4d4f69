//! The answer to a question put to the archive's threads: a future, or something to wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::channel::oneshot;

use super::queue::Read;
use super::worker::{Shared, on_archive_thread, read_here};
use crate::error::{Error, ErrorKind, Result};

/// The answer that is on its way. Dropping it gives up on the answer; a put that was accepted is
/// committed all the same. A question is asked once this is polled, or waited for.
#[must_use = "nothing tells of a failure unless it is awaited or waited for"]
pub struct Pending<T> {
    answer: oneshot::Receiver<Result<T>>,
    /// What is to be asked, where it was not yet. It keeps no archive open.
    question: Option<(Weak<Shared>, Read)>,
}

/// The other end of a [`Pending`].
pub(super) type Reply<T> = oneshot::Sender<Result<T>>;

impl<T> Pending<T> {
    pub(super) fn new() -> (Reply<T>, Self) {
        let (reply, receiver) = oneshot::channel();
        (reply, Pending { answer: receiver, question: None })
    }

    /// An answer that is there at once.
    pub(super) fn ready(result: Result<T>) -> Self {
        let (reply, pending) = Pending::new();
        let _ = reply.send(result);
        pending
    }

    /// The answer to this question, which sends it.
    pub(super) fn to(self, shared: &Arc<Shared>, question: Read) -> Self {
        Pending { question: Some((Arc::downgrade(shared), question)), ..self }
    }

    /// Blocks this thread until the answer is there; a question may be asked on it meanwhile. Not for
    /// async code: await it there.
    ///
    /// # Errors
    /// Those of the question; [`ErrorKind::ArchiveClosed`] where the archive was closed meanwhile;
    /// [`ErrorKind::WouldDeadlock`] where it would have to wait on one of an archive's own threads
    /// (in a waker).
    pub fn wait(mut self) -> Result<T> {
        if on_archive_thread() {
            let answer = (&mut self).now_or_never();
            return answer.unwrap_or_else(|| {
                Err(Error::new(
                    ErrorKind::WouldDeadlock,
                    "waiting for the archive on a thread of its own",
                ))
            });
        }
        if let Some((shared, question)) = self.question.take() {
            read_here(&*shared.upgrade().ok_or_else(closed)?, question)?;
        }
        futures::executor::block_on(self)
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some((shared, question)) = self.question.take() {
            let asked = shared.upgrade().ok_or_else(closed);
            if let Err(e) = asked.and_then(|shared| shared.queue.push_read(question)) {
                return Poll::Ready(Err(e));
            }
        }
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(closed())))
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::ArchiveClosed, "the archive was closed")
}
