//! Several blocks as one.
//!
//! Series go through in label order, a stretch of them at a time, which is read, joined and written
//! beside others by all threads; memory does not depend on the number of samples. Chunks are copied
//! as they are wherever they do not share time; where they do, a [`JoinChunks`] says what becomes
//! of them.
//!
//! Useful for: the blocks of a data directory, and those of a bucket.
//! Not useful for: deciding which blocks are merged.

mod blocks;
mod error;
mod stretch;
#[cfg(test)]
mod tests;
mod union;

pub use blocks::{JoinChunks, Part, merge_blocks};
pub use error::MergeError;
pub use union::Union;
