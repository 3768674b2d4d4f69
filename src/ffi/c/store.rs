//! The Store protocol for hosts with a network of their own: bytes in, bytes out.
//!
//! A host mounts the protocol id, reads a frame and takes its length prefix off; what it gets here
//! it sends with one.

use bytes::Bytes;

use super::archive::wks_archive;
use super::bytes::{wks_buffer, wks_bytes};
use super::error::wks_error;
use super::guard::{self, Call};
use super::handle::Handle;
use super::memory::{borrow, borrow_str};
use super::op::{self, block, publish, take, wks_op};
use super::page::wks_page;
use super::query::wks_query;
use super::status::wks_status;
use crate::error::{Result, bail};
use crate::runtime::Op;
use crate::store::client;
use crate::store::server::{self, MAX_REQUEST, Step};

fn respond(call: &mut Call, archive: wks_archive, request: wks_bytes) -> Result<Op> {
    let object = call.get(archive)?;
    let archive = object.archive()?;
    let request = borrow(request, "request")?;
    if request.len() > MAX_REQUEST {
        bail!(
            FrameTooLarge,
            "a store request has at most {MAX_REQUEST} bytes, not {}",
            request.len()
        );
    }
    match server::begin(request) {
        Step::Reply(response) => Ok(Op::ended(object.runtime(), Ok(Some(response)))),
        Step::Query(query, asked) => {
            let pending = archive.query(query);
            op::start(object.runtime(), async move { Ok(asked.answer(pending.await)) })
        }
    }
}

/// Answers a store request: takes its bytes, without length prefix, and gives the response's. What
/// is wrong with the request, or with the archive, is told to the peer in the response.
///
/// Threads: any but the dispatcher's. Blocks: yes, until the archive has answered. Owns: the
/// request is lent for the call; the response is the caller's, to free with `wks_buffer_free`.
/// Errors: `WKS_ERR_FRAME_TOO_LARGE` over 1 MiB (reset the stream), `WKS_ERR_WOULD_DEADLOCK`,
/// `WKS_ERR_SHUTDOWN`, `WKS_ERR_CANCELLED` by a shutdown, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_store_respond(
    archive: wks_archive,
    request: wks_bytes,
    response: *mut wks_buffer,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, response, |call| take(&block(|| respond(call, archive, request))?))
}

/// Starts to answer a store request: take the response with `wks_op_take_buffer`.
///
/// Threads: any. Blocks: no. Owns: the request is lent for the call; the operation is the caller's,
/// to free with `wks_op_free`.
/// Errors: as `wks_store_respond`, but `WKS_ERR_WOULD_DEADLOCK`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_store_respond_async(
    archive: wks_archive,
    request: wks_bytes,
    op: *mut wks_op,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, op, |call| publish(respond(call, archive, request)))
}

/// The response (429) to a request that the host does not want to answer because of its load.
///
/// Threads: any. Blocks: no. Owns: the response is the caller's, to free with `wks_buffer_free`.
/// Errors: `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_store_too_many_requests(
    response: *mut wks_buffer,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, response, |_| wks_buffer::publish(server::too_many_requests()))
}

/// A store request's bytes, without length prefix, for a peer. `request_id` should be random text;
/// `wks_store_decode` needs it again.
///
/// Threads: any. Blocks: no. Owns: the id is lent for the call; the request is the caller's, to
/// free with `wks_buffer_free`.
/// Errors: `WKS_ERR_INVALID_ARGUMENT` for a query that a peer does not take or an id that is not
/// UTF-8, `WKS_ERR_STORE_BAD_REQUEST`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_store_encode(
    request_id: wks_bytes,
    query: wks_query,
    request: *mut wks_buffer,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, request, |call| {
        let query = call.get(query)?.query();
        let request: Bytes = client::encode(borrow_str(request_id, "request_id")?, &query)?;
        wks_buffer::publish(request)
    })
}

/// Checks a peer's response, without length prefix, against the request: its id, its status, its
/// count, and that every message has the hash it is listed under and matches the query.
///
/// Threads: any. Blocks: no. Owns: id and response are lent for the call; the page is the caller's,
/// to free with `wks_page_free`.
/// Errors: `WKS_ERR_STORE_BAD_REQUEST`, `WKS_ERR_STORE_BAD_RESPONSE`,
/// `WKS_ERR_STORE_TOO_MANY_REQUESTS`, `WKS_ERR_STORE_UNAVAILABLE`, `WKS_ERR_CURSOR_NOT_FOUND`,
/// `WKS_ERR_MALFORMED`, `WKS_ERR_TRUNCATED`, `WKS_ERR_FRAME_TOO_LARGE`,
/// `WKS_ERR_INVALID_ARGUMENT`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_store_decode(
    request_id: wks_bytes,
    query: wks_query,
    response: wks_bytes,
    page: *mut wks_page,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, page, |call| {
        let query = call.get(query)?.query();
        let response = borrow(response, "response")?;
        if response.len() > client::MAX_RESPONSE {
            bail!(FrameTooLarge, "a store response of {} bytes is too long", response.len());
        }
        let request_id = borrow_str(request_id, "request_id")?;
        wks_page::publish(client::decode(request_id, &query, response)?)
    })
}
