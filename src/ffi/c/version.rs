//! What library this is.

use std::ffi::c_char;

use super::guard;

/// The major version of the ABI that this header describes; the soname carries it too.
pub const WKS_ABI_MAJOR: u32 = 0;
/// The minor version: functions, fields and statuses are added with it.
pub const WKS_ABI_MINOR: u32 = 1;

/// The version of the library's ABI: major in the upper 16 bits, minor in the lower. A program
/// works with a library of the same major and the same or a later minor version.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: none. It may be asked in any process, also before a fork.
#[unsafe(no_mangle)]
pub extern "C" fn wks_abi_version() -> u32 {
    guard::constant(WKS_ABI_MAJOR << 16 | WKS_ABI_MINOR)
}

/// The version of the library, `1.2.3` say, as a text that ends in NUL.
///
/// Threads: any. Blocks: no. Owns: the text is a constant.
/// Errors: none. It may be asked in any process, also before a fork.
#[unsafe(no_mangle)]
pub extern "C" fn wks_version() -> *const c_char {
    guard::constant(concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast())
}
