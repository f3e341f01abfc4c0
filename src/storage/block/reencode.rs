//! Samples of a chunk as chunks again.

use crate::chunk::{ChunkError, EncodeOptions, Encoding, encode_column};
use crate::series::{Chunk, Column};

/// A chunk that loses samples stays one chunk, unless what is left does not go together.
const ALL_IN_ONE: u16 = u16::MAX;

/// The samples `column` of a chunk of the encoding `like` as chunks of that encoding.
pub(super) fn encode_like(
    like: u8,
    column: &Column,
    into: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    let encoding = Encoding::try_from(like)?;
    let options = EncodeOptions {
        samples_max: ALL_IN_ONE,
        float_starts: encoding == Encoding::Xor2,
        histogram_starts: matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt),
    };
    encode(column, &options, into)
}

/// Appends the samples of `column` as chunks.
pub(super) fn encode(
    column: &Column,
    options: &EncodeOptions,
    into: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    encode_column(column, 0..column.len(), options, &mut |chunk| {
        into.push(Chunk {
            min_time_ms: chunk.min_time_ms,
            max_time_ms: chunk.max_time_ms,
            encoding: chunk.encoding,
            data: chunk.data,
        });
    })
}
