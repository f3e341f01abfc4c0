//! Samples of a chunk as chunks again.

use crate::chunk::{self, ChunkError, EncodeOptions, Encoding, encode_column};
use crate::series::{Chunk, Column, TimeRange};

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
    encode_chunks(column, &options, into)
}

/// Appends the samples of `column` as chunks.
pub(in crate::storage) fn encode_chunks(
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

/// Cuts samples outside of `range` off chunks. Chunks end where the ranges of blocks do, so there
/// are some only if that range was changed.
pub(in crate::storage) fn clip_chunks(
    chunks: &mut Vec<Chunk>,
    range: TimeRange,
) -> Result<(), ChunkError> {
    let is_within =
        |chunk: &Chunk| range.contains(chunk.min_time_ms) && range.contains(chunk.max_time_ms);
    if chunks.iter().all(is_within) {
        return Ok(());
    }
    let mut column = Column::new();
    for chunk in std::mem::take(chunks) {
        if is_within(&chunk) {
            chunks.push(chunk);
            continue;
        }
        column.clear();
        let span = (range.start_ms, range.end_ms);
        chunk::decode(chunk.encoding, &chunk.data, span, &mut column)?;
        encode_like(chunk.encoding, &column, chunks)?;
    }
    Ok(())
}
