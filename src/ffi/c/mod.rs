//! The C ABI.
//!
//! A file for each C object. Every export is a literal `pub extern "C" fn` whose whole body is one
//! call of the [`guard`]; `tests/ffi_guard.rs` holds that. The generator in `bindings/bindgen`
//! reads these sources and writes `include/wakustore.h`: doc comments here are the header's.

// The names are C's; the functions are for C alone and cannot be called from Rust, for which their
// pointers would make them unsafe.
#![allow(non_camel_case_types, unreachable_pub)]

mod archive;
mod archive_options;
mod bytes;
mod changes;
mod clock;
mod coverage;
mod error;
mod events;
mod files;
mod findings;
mod guard;
mod handle;
mod history;
mod memory;
mod message;
mod node;
mod node_options;
mod node_sync_options;
mod nwaku;
mod op;
mod page;
mod process;
mod query;
mod queue;
mod relay;
mod retention;
mod shutdown;
mod status;
mod store;
mod sync;
mod sync_difference;
mod sync_progress;
mod sync_terms;
mod tools;
mod topics;
mod user;
mod validator;
mod version;
mod walk;
