//! `wks_history`: a whole history, pulled page by page, from an archive or from a store peer.

use std::sync::Arc;

use super::archive::{ArchiveObject, wks_archive};
use super::bytes::wks_hash;
use super::error::wks_error;
use super::guard::{self, Call};
use super::handle::{Handle, Output, handle};
use super::op::{block, publish, take, wks_op};
use super::page::wks_page;
use super::query::wks_query;
use super::status::wks_status;
use crate::error::{Result, bail};
use crate::node::History;
use crate::runtime::{Op, Pull, Runtime, Source};
use crate::store::walk::Walk;
use crate::types::{MessageHash, Page};

/// A walk through a history. It begins at the query's cursor and goes on from page to page by
/// itself; nothing is asked before the first page is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_history {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_history, 14, HistoryObject);

/// A walk and the runtime that its ops run on.
pub(super) struct HistoryObject {
    pull: Pull<Pages>,
    runtime: Arc<Runtime>,
}

impl HistoryObject {
    /// A walk through a peer's history.
    pub(super) fn of_peer(runtime: &Arc<Runtime>, history: History) -> Self {
        HistoryObject::new(runtime, From::Peer(Box::new(history)))
    }

    fn new(runtime: &Arc<Runtime>, from: From) -> Self {
        HistoryObject {
            pull: Pull::new(Pages { given: from.cursor(), come: None, from }),
            runtime: Arc::clone(runtime),
        }
    }
}

enum From {
    Peer(Box<History>),
    Archive(Arc<ArchiveObject>, Box<Walk>),
}

impl From {
    fn cursor(&self) -> Option<MessageHash> {
        match self {
            From::Peer(history) => history.cursor(),
            From::Archive(_, walk) => walk.cursor(),
        }
    }
}

struct Pages {
    from: From,
    /// Where to resume after the pages that were given out.
    given: Option<MessageHash>,
    /// The same, with the page that has come and is kept.
    come: Option<MessageHash>,
}

impl Source for Pages {
    type Item = Option<Page>;

    async fn next(&mut self) -> Result<Option<Page>> {
        let page = match &mut self.from {
            From::Peer(history) => history.next().await?,
            From::Archive(object, walk) => match walk.next_query() {
                None => None,
                Some(query) => {
                    let page = object.archive()?.query(query).await?;
                    walk.accept(&page)?;
                    // Only an end comes without entries.
                    (!page.entries.is_empty()).then_some(page)
                }
            },
        };
        self.come = self.from.cursor();
        Ok(page)
    }

    fn given(&mut self, _page: &Option<Page>) {
        self.given = self.come;
    }
}

fn next(call: &mut Call, history: wks_history) -> Result<Op> {
    let object = call.get(history)?;
    object.pull.next(&object.runtime)
}

/// Begins a walk through an archive. The query's limit is the size of a page.
///
/// Threads: any. Blocks: no. Owns: the walk is the caller's, to free with `wks_history_free`; it
/// keeps the archive open.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`. (A query that cannot be is
/// refused with the first page.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_archive_history(
    archive: wks_archive,
    query: wks_query,
    history: *mut wks_history,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, history, |call| {
        let object = call.get(archive)?;
        object.archive()?;
        let walk = Box::new(Walk::new(call.get(query)?.query()));
        let from = From::Archive(Arc::clone(&*object), walk);
        wks_history::publish(HistoryObject::new(object.runtime(), from))
    })
}

/// The next page; the null handle at the end. After an error the walk stands where it was, and this
/// asks for the same page again.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the page is there. Owns: the page is the
/// caller's, to free with `wks_page_free`.
/// Errors: those of `wks_archive_query`, or of `wks_node_store_query`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_history_next(
    history: wks_history,
    page: *mut wks_page,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, page, |call| take(&block(|| next(call, history))?))
}

/// Starts to get the next page: take it with `wks_op_take_page`. A cancel loses no page: the next
/// call gives it.
///
/// Threads: any. Blocks: no. Owns: the operation is the caller's, to free with `wks_op_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`; the operation's are those
/// of `wks_history_next`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_history_next_async(
    history: wks_history,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(next(call, history)))
}

/// Where to resume, after the pages that were given, should the walk be given up here: a cursor for
/// a query. All zero where it stands at the beginning.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_BUSY` while a page is being got, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_history_cursor(
    history: wks_history,
    cursor: *mut wks_hash,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, cursor, |call| match call.get(history)?.pull.peek(|pages| pages.given) {
        Some(cursor) => Ok(cursor.map_or(wks_hash::NOTHING, |c| wks_hash { bytes: c.0 })),
        None => bail!(Busy, "the next page is being got: its end tells where to resume"),
    })
}

/// Frees a walk. Pages that it gave stay. The null handle is fine.
///
/// Threads: any. Blocks: where it is the last to let go of an archive, until what was accepted is
/// committed. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_history_free(history: wks_history) {
    guard::free(history, |_| {})
}
