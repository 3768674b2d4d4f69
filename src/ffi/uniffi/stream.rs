//! Streams, pulled one item at a time: pages of a history, and events of a node.
//!
//! What a pull has brought stays in the stream until it is handed over, so that a caller who
//! gives up in the middle finds it at the next pull.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use super::archive::Open;
use super::call::{Guarded, call, guard, guarded};
use super::error::Result;
use super::node::NodeEvent;
use super::query::Page;
use crate::runtime::Runtime;
use crate::store::walk::Walk;
use crate::types::MessageHash;
use crate::{node, types};

/// What a stream is pulled from.
pub(super) trait Source: Send + 'static {
    type Item: Send + 'static;
    fn pull(&mut self) -> impl Future<Output = crate::Result<Self::Item>> + Send;
}

/// A source, and what it brought.
pub(super) struct Stream<S: Source> {
    source: tokio::sync::Mutex<S>,
    /// Brought, and not handed over yet.
    brought: Mutex<Option<S::Item>>,
}

impl<S: Source> Stream<S> {
    pub(super) fn new(source: S) -> Arc<Self> {
        Arc::new(Stream { source: tokio::sync::Mutex::new(source), brought: Mutex::default() })
    }

    fn brought(&self) -> std::sync::MutexGuard<'_, Option<S::Item>> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item. Of two callers at once each gets one of its own.
    pub(super) async fn next(self: &Arc<Self>) -> Result<S::Item> {
        loop {
            let brought = self.brought().take();
            if let Some(item) = brought {
                return Ok(item);
            }
            let stream = Arc::clone(self);
            call(async move {
                let mut source = stream.source.lock().await;
                let wanted = stream.brought().is_none();
                if wanted {
                    let item = source.pull().await?;
                    *stream.brought() = Some(item);
                }
                Ok(())
            })
            .await?;
        }
    }
}

enum Pages {
    Local(Arc<Open>, Box<Walk>),
    Peer(Box<node::History>),
}

/// A page, and where the walk stands once it is handed over.
struct Step(Option<types::Page>, Option<MessageHash>);

impl Source for Pages {
    type Item = Step;

    async fn pull(&mut self) -> crate::Result<Step> {
        match self {
            Pages::Peer(history) => {
                let page = history.next().await?;
                Ok(Step(page, history.cursor()))
            }
            Pages::Local(open, walk) => {
                let Some(query) = walk.next_query() else { return Ok(Step(None, walk.cursor())) };
                let page = open.archive().query(query).await?;
                walk.accept(&page)?;
                Ok(Step(Some(page), walk.cursor()))
            }
        }
    }
}

struct Walked {
    stream: Arc<Stream<Pages>>,
    cursor: Mutex<Option<MessageHash>>,
}

/// A walk through a history, page by page, over an archive or a store peer.
#[derive(uniffi::Object)]
pub struct History(Guarded<Walked>);

impl History {
    fn over(runtime: Arc<Runtime>, pages: Pages, cursor: Option<MessageHash>) -> Self {
        let cursor = Mutex::new(cursor);
        History(Guarded::new(runtime, Walked { stream: Stream::new(pages), cursor }))
    }

    pub(super) fn local(runtime: Arc<Runtime>, open: Arc<Open>, query: types::Query) -> Self {
        let cursor = query.cursor;
        Self::over(runtime, Pages::Local(open, Box::new(Walk::new(query))), cursor)
    }

    pub(super) fn of_peer(runtime: Arc<Runtime>, history: node::History) -> Self {
        let cursor = history.cursor();
        Self::over(runtime, Pages::Peer(Box::new(history)), cursor)
    }
}

#[uniffi::export]
impl History {
    /// The next page; nothing at the end. After an error the walk stands where it was: calling
    /// again asks for the same page again.
    ///
    /// Fails with `CursorNotFound`, and as the archive's `query`, or the node's `store_query`.
    pub async fn next(&self) -> Result<Option<Page>> {
        guarded(async move {
            let walked = self.0.get()?;
            let Step(page, cursor) = walked.stream.next().await?;
            *walked.cursor.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
            Ok(page.map(Page::from))
        })
        .await
    }

    /// Where to resume from, should the walk be given up after the pages that `next` gave: the
    /// cursor for a new query. Nothing before the first page, unless the query had one.
    pub fn cursor(&self) -> Result<Option<Vec<u8>>> {
        guard(|| {
            let cursor = self.0.get()?.cursor.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(cursor.map(|h| h.0.to_vec()))
        })
    }
}

impl Source for node::Events {
    type Item = Option<NodeEvent>;

    async fn pull(&mut self) -> crate::Result<Self::Item> {
        Ok(self.next().await.map(NodeEvent::from))
    }
}

/// A subscription to a node's events, from the moment it was made.
#[derive(uniffi::Object)]
pub struct NodeEvents(Guarded<Arc<Stream<node::Events>>>);

impl NodeEvents {
    pub(super) fn of(runtime: Arc<Runtime>, events: node::Events) -> Self {
        NodeEvents(Guarded::new(runtime, Stream::new(events)))
    }
}

#[uniffi::export]
impl NodeEvents {
    /// The next event; nothing once the node has stopped and all have been handed out. A reader
    /// that is too slow is told how many events it missed.
    pub async fn next(&self) -> Result<Option<NodeEvent>> {
        guarded(async move { self.0.get()?.next().await }).await
    }
}
