//! Unsigned LEB128, and the length prefix of every frame.
