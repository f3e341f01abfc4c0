//! Writing blocks from a span of the head.
//!
//! Series go through one after the other in label order, so that memory does not depend on the
//! number of samples.

mod head;

pub(super) use head::{write_head, write_late};
