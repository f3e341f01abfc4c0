//! A column as chunks.

use std::ops::Range;

use bytes::Bytes;

use crate::model::Column;

use super::{ChunkError, Encoding};

/// How a column becomes chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The most samples of a chunk.
    pub samples_max: u16,
    /// Floats go to XOR2 chunks even if they have no starts; those with one do in any case.
    pub float_starts: bool,
    /// Histograms that have starts go to chunks that keep them; otherwise starts are dropped.
    pub histogram_starts: bool,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { samples_max: 120, float_starts: false, histogram_starts: true }
    }
}

/// A finished chunk and where it lies in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChunk {
    /// Time of the first sample.
    pub min_time_ms: i64,
    /// Time of the last sample.
    pub max_time_ms: i64,
    /// The byte that stands before the chunk on disk.
    pub encoding: u8,
    /// The chunk.
    pub data: Bytes,
}

/// Writes the samples `range` of a column as chunks, in their order. A chunk ends when it is full
/// or the next sample needs another encoding or does not go with the histograms before it.
///
/// # Errors
/// [`ChunkError::Malformed`] for a histogram whose buckets do not fit its spans; chunks before it
/// were given to `each`.
pub fn encode_column(
    column: &Column,
    range: Range<usize>,
    options: &EncodeOptions,
    each: &mut dyn FnMut(EncodedChunk),
) -> Result<(), ChunkError> {
    let _ = (column, range, options, each);
    Err(ChunkError::Unsupported(Encoding::Xor))
}
