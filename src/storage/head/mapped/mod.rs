//! Where do closed chunks of the head lie, so that memory need not hold them?
//!
//! In the files `chunks_head/NNNNNN`, whose layout is in `FORMAT.md` beside this file. They only
//! spare memory and the start its work: whatever they hold, a log holds too, until both let go
//! of it. So a file that is damaged is set aside as a whole, and the logs supply the samples.
//!
//! Useful for: writing a chunk and reading it back by its reference, listing all of them at a
//! start. Not useful for: knowing which chunks a series has; see [`super`].

mod entry;
mod error;
mod file;
mod files;
mod scan;
#[cfg(test)]
mod tests;

pub(in crate::storage) use entry::{ChunkRef, Entry};
pub(in crate::storage) use error::{MappedDamage, MappedError};
pub(in crate::storage) use files::{ChunkFiles, FilesView, MappedMetrics, MappedOptions};
pub(in crate::storage) use scan::{MappedChunk, scan_files};
