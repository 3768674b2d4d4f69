//! What bad peers are made of, and what they do.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod attacks;
pub mod raw;
