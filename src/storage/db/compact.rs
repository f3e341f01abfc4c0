//! Writing a span of the head as a block.

use std::collections::HashSet;
use std::path::Path;

use ulid::Ulid;

use crate::chunk::{self, Encoding, XorAppender};
use crate::disk::SharedDisk;
use crate::series::{Chunk, Column, TimeRange};
use crate::storage::block::{BlockError, BlockMeta, BlockWriter};
use crate::storage::head::{Head, SeriesChunks};

use super::plan::Cut;

/// Writes a block of level 1 with all that the head holds in `cut`; no block if that is nothing.
/// Nobody may append samples of that time meanwhile.
pub(super) fn write_head(
    disk: &SharedDisk,
    dir: &Path,
    head: &Head,
    cut: Cut,
    ulid: Ulid,
) -> Result<Option<BlockMeta>, BlockError> {
    let series = head.series_in(cut.range());
    if series.is_empty() {
        return Ok(None);
    }
    let symbols = symbols(&series);
    let mut writer = BlockWriter::new(disk.clone(), dir, ulid, &mut symbols.into_iter())?;
    let mut chunks = Vec::new();
    for series in &series {
        chunks.clear();
        let copied = series.copy_into(cut.range(), &mut chunks);
        copied.map_err(|error| BlockError::Refused(error.to_string()))?;
        for chunk in &mut chunks {
            clip(chunk, cut.range())?;
        }
        // What only touched the span has nothing in it after the clipping.
        chunks.retain(|chunk| !chunk.data.is_empty());
        writer.add_series(series.labels(), &chunks)?;
    }
    writer.finish(BlockMeta::new(ulid, cut.start_ms, cut.end_ms))
}

/// All texts of the labels, and the empty one, which names the list of all series.
fn symbols(series: &[SeriesChunks]) -> Vec<&str> {
    let mut texts = HashSet::from([""]);
    for series in series {
        texts.extend(series.labels().iter().flat_map(|(name, value)| [name, value]));
    }
    let mut symbols: Vec<&str> = texts.into_iter().collect();
    symbols.sort_unstable();
    symbols
}

/// Cuts samples outside of `range` off a chunk. Chunks end where ranges do, so there are some only
/// if the range's length was changed between two starts.
fn clip(chunk: &mut Chunk, range: TimeRange) -> Result<(), BlockError> {
    if range.contains(chunk.min_time_ms) && range.contains(chunk.max_time_ms) {
        return Ok(());
    }
    let refused = |error| BlockError::Refused(format!("chunk in memory: {error}"));
    let mut column = Column::new();
    let span = (range.start_ms, range.end_ms);
    chunk::decode(chunk.encoding, &chunk.data, span, &mut column).map_err(refused)?;
    let mut clipped = XorAppender::new();
    for (timestamp_ms, value) in column.timestamps.iter().zip(&column.floats) {
        clipped.append(*timestamp_ms, *value).map_err(refused)?;
    }
    chunk.encoding = Encoding::Xor as u8;
    (chunk.min_time_ms, chunk.max_time_ms) = (clipped.min_time_ms(), clipped.max_time_ms());
    chunk.data = if clipped.sample_count() == 0 { bytes::Bytes::new() } else { clipped.finish() };
    Ok(())
}
