//! Bytes that are lent, and results that hold bytes: buffers, lists of texts, lists of hashes.

use bytes::Bytes;

use super::error::wks_error;
use super::guard;
use super::handle::{Output, handle};
use super::status::wks_status;
use crate::error::{Result, bail};
use crate::types::MessageHash;

/// Bytes that are lent: an input for the call, a result until its owner is freed. Texts are UTF-8
/// and need no NUL. `ptr` may be null only where `len` is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_bytes {
    /// The first byte.
    pub ptr: *const u8,
    /// How many.
    pub len: usize,
}

impl Output for wks_bytes {
    const NOTHING: wks_bytes = wks_bytes { ptr: std::ptr::null(), len: 0 };
}

impl wks_bytes {
    /// Lends bytes of an object that outlives the loan: what hands them out says until when.
    pub(super) fn lend(bytes: &[u8]) -> Self {
        wks_bytes { ptr: bytes.as_ptr(), len: bytes.len() }
    }
}

/// A message hash, by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_hash {
    /// The hash; all zero where there is none (no message has that).
    pub bytes: [u8; 32],
}

impl Output for wks_hash {
    const NOTHING: wks_hash = wks_hash { bytes: [0; 32] };
}

/// A result that is bytes, or one text.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_buffer {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_buffer, 10, Bytes);

/// A result that is a list of texts.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_strings {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_strings, 11, Vec<String>);

/// A result that is a list of message hashes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_hashes {
    /// The number; 0 is null.
    pub id: u64,
}

handle!(wks_hashes, 9, HashesObject);

/// Hashes one after the other, as they are lent.
pub(super) struct HashesObject(Vec<[u8; 32]>);

impl HashesObject {
    pub(super) fn new(hashes: Vec<MessageHash>) -> Self {
        HashesObject(hashes.into_iter().map(|h| h.0).collect())
    }
}

/// Entry `index` of a list, by what the list is of.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArgument`].
pub(super) fn nth<'a, T>(list: &'a [T], index: usize, what: &str) -> Result<&'a T> {
    match list.get(index) {
        Some(entry) => Ok(entry),
        None => bail!(InvalidArgument, "there is no {what} {index}, there are {}", list.len()),
    }
}

/// The bytes of a buffer.
///
/// Threads: any. Blocks: no. Owns: the bytes are the buffer's, and live until `wks_buffer_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_buffer_bytes(
    buffer: wks_buffer,
    bytes: *mut wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, bytes, |call| Ok(wks_bytes::lend(&call.get(buffer)?)))
}

/// Frees a buffer and its bytes. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_buffer_free(buffer: wks_buffer) {
    guard::free(buffer, |_| {})
}

/// How many texts there are.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_strings_count(
    strings: wks_strings,
    count: *mut usize,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, count, |call| Ok(call.get(strings)?.len()))
}

/// Text `index`, counted from 0.
///
/// Threads: any. Blocks: no. Owns: the text is the list's, and lives until `wks_strings_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for an index
/// beyond the end.
#[unsafe(no_mangle)]
pub extern "C" fn wks_strings_get(
    strings: wks_strings,
    index: usize,
    text: *mut wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, text, |call| {
        let strings = call.get(strings)?;
        Ok(wks_bytes::lend(nth(&strings, index, "text")?.as_bytes()))
    })
}

/// Frees a list and its texts. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_strings_free(strings: wks_strings) {
    guard::free(strings, |_| {})
}

/// The hashes, 32 bytes each, one after the other: `len` is 32 times their count.
///
/// Threads: any. Blocks: no. Owns: the bytes are the list's, and live until `wks_hashes_free`.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_hashes_bytes(
    hashes: wks_hashes,
    bytes: *mut wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::give(error, bytes, |call| Ok(wks_bytes::lend(call.get(hashes)?.0.as_flattened())))
}

/// Frees a list of hashes. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_hashes_free(hashes: wks_hashes) {
    guard::free(hashes, |_| {})
}
