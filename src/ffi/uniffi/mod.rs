//! The UniFFI surface.
