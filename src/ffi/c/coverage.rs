//! `wks_coverage`: with how many peers a node agrees over which spans of time.

use super::bytes::nth;
use super::error::wks_error;
use super::guard;
use super::handle::{Handle, handle};
use super::memory::Record;
use super::node::wks_node;
use super::status::wks_status;
use crate::engine::Coverage;

/// A node's coverage at one moment: spans that do not overlap, in ascending order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_coverage {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_coverage, 18, Vec<Coverage>);

/// A span of time, and who agreed with the node on what lies in it. The caller allocates it and
/// sets `struct_size`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_coverage_span {
    /// `sizeof(wks_coverage_span)`.
    pub struct_size: usize,
    /// The beginning of the span, in Unix nanoseconds.
    pub start: i64,
    /// The first moment after it.
    pub end: i64,
    /// When the last comparison that counts here ended, in Unix nanoseconds.
    pub compared_at: i64,
    /// Peers that agreed; those of one network count as one.
    pub peers: u32,
    /// Of them, those whose agreement was `WKS_AGREEMENT_STRONG`.
    pub strong: u32,
}

// SAFETY: `repr(C)`, the size first, numbers.
unsafe impl Record for wks_coverage_span {
    const NAME: &'static str = "wks_coverage_span";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl From<&Coverage> for wks_coverage_span {
    fn from(coverage: &Coverage) -> Self {
        wks_coverage_span {
            struct_size: size_of::<wks_coverage_span>(),
            start: coverage.span.start().nanos(),
            end: coverage.span.end().nanos(),
            compared_at: coverage.compared_at.nanos(),
            peers: coverage.peers,
            strong: coverage.strong,
        }
    }
}

/// With how many peers the node agrees over which spans of time, as of now; also of the last run,
/// where the node keeps its state in a file.
///
/// Threads: any. Blocks: no. Owns: the coverage is the caller's, to free with `wks_coverage_free`.
/// Errors: `WKS_ERR_SHUTDOWN`, `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_coverage(
    node: wks_node,
    coverage: *mut wks_coverage,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, coverage, |call| wks_coverage::publish(call.get(node)?.node()?.coverage()))
}

/// How many spans there are.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_coverage_count(
    coverage: wks_coverage,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, count, |call| Ok(call.get(coverage)?.len()))
}

/// Span `index`, counted from 0. Set `span->struct_size` first.
///
/// Threads: any. Blocks: no. Owns: `span` is the caller's.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index beyond
/// the end or a wrong `struct_size`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_coverage_get(
    coverage: wks_coverage,
    index: usize,
    span: *mut wks_coverage_span,
    error: *mut wks_error,
) -> wks_status {
    guard::fill(error, span, |call| Ok(nth(&call.get(coverage)?, index, "span")?.into()))
}

/// Frees a coverage. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_coverage_free(coverage: wks_coverage) {
    guard::free(coverage, |_| {})
}
