//! Samples of a chunk as chunks again.

use crate::chunk::{
    self, AGGREGATE, AggregateChunk, ChunkError, EncodeOptions, Encoding, Part, encode_aggregate,
    encode_column,
};
use crate::series::{Chunk, Column, TimeRange};

use super::tombstones::remove_deleted;

const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// A chunk that loses samples stays one chunk, unless what is left does not go together.
const ALL_IN_ONE: u16 = u16::MAX;

/// The samples `column` of a chunk of the encoding `like` as chunks of that encoding.
fn encode_like(like: u8, column: &Column, into: &mut Vec<Chunk>) -> Result<(), ChunkError> {
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

/// Appends a chunk in the encodings that every reader knows: the newer ones, which keep start
/// times, are encoded anew without them. `column` is memory that is used again.
///
/// # Errors
/// A chunk that is not what it should be, or of an encoding that nobody knows.
pub fn encode_plain(
    chunk: &Chunk,
    column: &mut Column,
    into: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    let is_known = |encoding| {
        matches!(encoding, Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram)
    };
    if chunk.encoding == AGGREGATE || is_known(Encoding::try_from(chunk.encoding)?) {
        into.push(chunk.clone());
        return Ok(());
    }
    column.clear();
    chunk::decode(chunk.encoding, &chunk.data, ALL, column)?;
    column.starts_ms.clear();
    let options = EncodeOptions { histogram_starts: false, ..EncodeOptions::default() };
    encode_chunks(column, &options, into)
}

/// Appends what is not deleted of a chunk.
pub(super) fn keep_samples(
    encoding: u8,
    data: &[u8],
    deleted: &[TimeRange],
    into: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    let mut column = Column::new();
    chunk::decode(encoding, data, ALL, &mut column)?;
    remove_deleted(&mut column, 0, deleted);
    encode_like(encoding, &column, into)
}

/// Appends what is not deleted of a chunk of aggregates, if any window is left of it. The true last
/// value of a counter stays if its window does.
pub(super) fn keep_windows(
    data: &[u8],
    deleted: &[TimeRange],
    into: &mut Vec<Chunk>,
) -> Result<(), ChunkError> {
    let parts = AggregateChunk::parse(data)?;
    let (mut min_time_ms, mut max_time_ms) = (i64::MAX, i64::MIN);
    let mut kept = [const { None::<Chunk> }; 6];
    let all = [Part::Count, Part::Sum, Part::Min, Part::Max, Part::Counter, Part::LastRaw];
    for (part, slot) in all.into_iter().zip(&mut kept) {
        let Some((encoding, data)) = parts.get(part) else { continue };
        let mut chunks = Vec::new();
        keep_samples(encoding, data, deleted, &mut chunks)?;
        // More than one came of it only if what is left does not go together.
        if chunks.len() > 1 {
            return Err(ChunkError::Malformed("windows that do not go together"));
        }
        *slot = chunks.pop();
        if let (Part::Count, Some(chunk)) = (part, &slot) {
            (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
        }
    }
    if min_time_ms > max_time_ms {
        return Ok(());
    }
    let data = encode_aggregate(
        &kept.each_ref().map(|part| part.as_ref().map(|part| (part.encoding, &*part.data))),
    );
    into.push(Chunk { min_time_ms, max_time_ms, encoding: AGGREGATE, data });
    Ok(())
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
        if chunk.encoding == AGGREGATE {
            let before = TimeRange::new(i64::MIN, range.start_ms.saturating_sub(1));
            let behind = TimeRange::new(range.end_ms.saturating_add(1), i64::MAX);
            keep_windows(&chunk.data, &[before, behind], chunks)?;
            continue;
        }
        column.clear();
        let span = (range.start_ms, range.end_ms);
        chunk::decode(chunk.encoding, &chunk.data, span, &mut column)?;
        encode_like(chunk.encoding, &column, chunks)?;
    }
    Ok(())
}
