//! Histograms as chunks: counts as differences of differences, or as changes of their bits.
//!
//! | file | is |
//! |---|---|
//! | `header` | count, counter reset, starts: the first three bytes |
//! | `layout` | where the buckets lie, once a chunk |
//! | `append` | the chunk that grows, and what begins another one |
//! | `decide` | whether a histogram goes into a chunk, with or without new buckets |
//! | `union` | buckets of two layouts side by side |
//! | `counts` | the numbers of one sample, written behind those of the one before |
//! | `decode` | a chunk read |
//! | `reduce` | resolutions that only newer versions know, made coarser |

mod append;
mod counts;
mod decide;
mod decode;
mod header;
mod layout;
mod reduce;
mod union;

use std::sync::{Arc, LazyLock};

use crate::model::histogram::{Counts, CountsRef, Layout, ResetHint};

use super::{ChunkError, Encoding};

pub use append::HistogramAppender;
pub(super) use decode::decode;

/// The layout of staleness markers.
static NO_BUCKETS: LazyLock<Arc<Layout>> = LazyLock::new(Arc::default);

/// What the header of a chunk of histograms says about the sample before its first one. Readers
/// forget it, as that sample may be gone; it is of use to those who know that it is not.
///
/// # Errors
/// [`ChunkError::Truncated`] without a header.
pub fn reset_before(encoding: Encoding, data: &[u8]) -> Result<ResetHint, ChunkError> {
    header::Header::read(encoding, data).map(|(header, _)| header.reset)
}

/// Owned counts as a view.
fn counts_ref(counts: &Counts) -> CountsRef<'_> {
    match counts {
        Counts::Integer { count, zero_count, buckets } => {
            CountsRef::Integer { count: *count, zero_count: *zero_count, buckets }
        }
        Counts::Float { count, zero_count, buckets } => {
            CountsRef::Float { count: *count, zero_count: *zero_count, buckets }
        }
    }
}
