//! The in-memory driver: no file, no dependency; the model that the other drivers are tested against.

use super::{Backend, Driver};
use crate::error::Result;

/// A backend that keeps everything in memory and forgets it when closed.
#[derive(Default)]
pub struct MemoryBackend {}

impl Backend for MemoryBackend {
    fn writer(&self) -> Result<Box<dyn Driver>> {
        todo!()
    }
    fn reader(&self) -> Result<Option<Box<dyn Driver>>> {
        todo!()
    }
}
