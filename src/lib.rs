//! wakustore: the Archive, Store queries and Sync of the Waku network.
//!
//! The layers, lowest first; each may use only those before it, and `tests/layers.rs` holds that:
//! [`types`], [`wire`], [`archive`], [`store`], [`sync`], [`engine`], `node`, `runtime`, `ffi`.
//! `docs/ARCHITECTURE.md` tells how data flows through them.

#![deny(unsafe_code)]

pub mod archive;
pub mod engine;
pub mod error;
#[cfg(any(feature = "ffi-c", feature = "ffi-uniffi"))]
pub mod ffi;
#[cfg(feature = "node")]
pub mod node;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod sabotage;
pub mod store;
pub mod sync;
pub mod types;
pub mod wire;

pub use error::{Error, ErrorKind, Result};

#[cfg(feature = "ffi-uniffi")]
uniffi::setup_scaffolding!();

/// The snippets of the guides, compiled.
#[cfg(all(doctest, feature = "node", feature = "sqlite"))]
mod guides {
    #[doc = include_str!("../docs/PRIVACY.md")]
    mod privacy {}
    #[doc = include_str!("../docs/PHONE.md")]
    mod phone {}
}
