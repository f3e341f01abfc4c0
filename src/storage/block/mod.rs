//! What is in an immutable folder of two hours or more?
//!
//! | name            | holds                                                             |
//! |-----------------|-------------------------------------------------------------------|
//! | `meta.json`     | what the block covers and where it comes from: [`BlockMeta`]       |
//! | `index`         | which series there are: [`crate::storage::index`]                  |
//! | `chunks/000001` | samples, in segments                                              |
//! | `tombstones`    | which samples are deleted all the same                            |
//!
//! The layouts are in `FORMAT.md` beside this file.
//!
//! Useful for: writing a block once, asking it any number of times.
//! Not useful for: deciding which blocks there should be; see [`crate::storage::db`].

mod chunks;
mod error;
mod meta;
mod pieces;
mod reader;
mod reencode;
mod scan;
mod series;
#[cfg(test)]
mod tests;
mod tombstones;
mod unfinished;
mod writer;

pub use chunks::chunk_part;
pub use error::BlockError;
pub use meta::{BlockMeta, BlockParent, BlockStats, Compaction};
pub use reader::Block;
pub use reencode::encode_plain;
pub(super) use reencode::{clip_chunks, encode_chunks};
pub use scan::BlockScan;
pub(in crate::storage) use tombstones::remove_deleted;
pub use tombstones::{Tombstones, add_interval};
pub(super) use unfinished::{SampleWriter, UnfinishedBlock};
pub use writer::{BlockWriter, WriterOptions};
