//! Translation to other languages, and nothing else. The only place where `unsafe` lives.

#![allow(unsafe_code)]

#[cfg(feature = "ffi-c")]
mod c;
#[cfg(any(feature = "ffi-c", feature = "ffi-uniffi"))]
mod logs;
#[cfg(any(feature = "ffi-c", feature = "ffi-uniffi"))]
mod places;
#[cfg(any(feature = "ffi-c", feature = "ffi-uniffi"))]
mod process;
#[cfg(feature = "ffi-uniffi")]
pub mod uniffi;
#[cfg(any(feature = "ffi-c", feature = "ffi-uniffi"))]
mod work;
