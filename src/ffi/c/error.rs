//! `wks_error`: what went wrong, for people and for programs.

use std::ffi::{CString, c_char};

use super::guard;
use super::handle::{Handle, Output, handle};
use super::status::wks_status;
use crate::error::Error;

/// An error object: code, message and detail. Every call that can fail takes a pointer to one,
/// which may be null. Where the call fails it gives one out, which is the caller's to free with
/// `wks_error_free`; where it succeeds it writes the null handle. (In the child of a `fork` there
/// is the status alone.)
#[repr(C)]
#[derive(Clone, Copy)]
pub struct wks_error {
    /// The number; 0 is null.
    pub id: u64,
}

/// What an error says.
pub(super) struct ErrorObject {
    status: wks_status,
    message: CString,
    detail: CString,
}

handle!(wks_error, 1, ErrorObject);

/// An error object for what went wrong in the function of this name; the null handle where there
/// are too many of them.
pub(super) fn object(e: &Error, function: &str) -> wks_error {
    let object = ErrorObject {
        status: e.kind().into(),
        message: text(e.message().to_owned()),
        detail: text(format!("{} in {function}", e.kind().name())),
    };
    wks_error::publish(object).unwrap_or(wks_error::NOTHING)
}

/// As a C string: a NUL inside, say of a path, would cut it short.
fn text(s: String) -> CString {
    CString::new(s.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// The code: the status that the call returned.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE` for a handle that is null or stale (that is then the answer).
#[unsafe(no_mangle)]
pub extern "C" fn wks_error_code(error: wks_error) -> wks_status {
    guard::ask(wks_status::WKS_ERR_HANDLE, |call| Ok(call.get(error)?.status))
}

/// What is wrong, and with what, for people: UTF-8 that ends in NUL. It never carries a payload, a
/// key or a password.
///
/// Threads: any. Blocks: no. Owns: the text is the error's, and lives until `wks_error_free`.
/// Errors: none; the empty text for a handle that is null or stale.
#[unsafe(no_mangle)]
pub extern "C" fn wks_error_message(error: wks_error) -> *const c_char {
    guard::ask(c"".as_ptr(), |call| Ok(call.get(error)?.message.as_ptr()))
}

/// The name of the error's kind and the function that failed, for logs: UTF-8 that ends in NUL.
///
/// Threads: any. Blocks: no. Owns: the text is the error's, and lives until `wks_error_free`.
/// Errors: none; the empty text for a handle that is null or stale.
#[unsafe(no_mangle)]
pub extern "C" fn wks_error_detail(error: wks_error) -> *const c_char {
    guard::ask(c"".as_ptr(), |call| Ok(call.get(error)?.detail.as_ptr()))
}

/// Frees an error and its texts. The null handle is fine.
///
/// Threads: any. Blocks: no. Owns: takes the handle.
/// Errors: none; a stale handle is ignored.
#[unsafe(no_mangle)]
pub extern "C" fn wks_error_free(error: wks_error) {
    guard::free(error, |_| {})
}

/// The name of a status, `WKS_ERR_DIAL` say, as a text that ends in NUL; `WKS_ERR_UNKNOWN` for a
/// number that this library does not know.
///
/// Threads: any. Blocks: no. Owns: the text is a constant.
/// Errors: none.
#[unsafe(no_mangle)]
pub extern "C" fn wks_status_name(status: i32) -> *const c_char {
    guard::constant(super::status::name(status).as_ptr())
}
