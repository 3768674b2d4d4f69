//! Fuzzers without an instrumented build: mutations that know the structure of what they change,
//! from a seed, guided by what the decoders say of the result.
//!
//! Each runs a fixed number of inputs, the same each time. `WAKUSTORE_FUZZ_SECONDS=n` lets each run
//! for so long instead, `WAKUSTORE_FUZZ_SEED=n` from another seed. A failure prints the input in
//! hex, the seed and how far it had come.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "../sim/mod.rs"]
mod sim;
#[path = "../sync_common/mod.rs"]
mod sync_common;
#[path = "../wire_common/mod.rs"]
mod wire_common;

mod budget;
mod decoders;
mod engines;
mod extra;
mod machines;
mod memory;
mod mutate;
