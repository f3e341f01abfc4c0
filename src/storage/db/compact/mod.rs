//! Writing blocks: from a span of the head, and from other blocks.
//!
//! Series go through one after the other in label order, so that memory does not depend on the
//! number of samples. Chunks are copied as they are wherever they do not share time.

mod blocks;
mod head;
mod join;

pub(super) use blocks::merge_blocks;
pub(super) use head::{write_head, write_late};
