//! A span of the head as a block.

use std::collections::HashSet;
use std::path::Path;

use ulid::Ulid;

use crate::disk::SharedDisk;
use crate::storage::block::{BlockError, BlockMeta, BlockWriter, clip_chunks};
use crate::storage::db::TsdbError;
use crate::storage::db::plan::Cut;
use crate::storage::head::{Head, SeriesChunks};

/// Writes a block of level 1 with all that the head holds in `cut`; no block if that is nothing.
/// Nobody may append samples of that time meanwhile.
pub(in crate::storage::db) fn write_head(
    disk: &SharedDisk,
    dir: &Path,
    head: &Head,
    cut: Cut,
    ulid: Ulid,
    is_ending: &dyn Fn() -> bool,
) -> Result<Option<BlockMeta>, TsdbError> {
    let series = head.series_in(cut.range());
    if series.is_empty() {
        return Ok(None);
    }
    let symbols = symbols(&series);
    let mut writer = BlockWriter::new(disk.clone(), dir, ulid, &mut symbols.into_iter())?;
    let mut chunks = Vec::new();
    for series in &series {
        if is_ending() {
            return Err(TsdbError::Closed);
        }
        chunks.clear();
        series.copy_into(cut.range(), &mut chunks);
        let clipped = clip_chunks(&mut chunks, cut.range());
        clipped.map_err(|error| BlockError::Refused(format!("chunk in memory: {error}")))?;
        writer.add_series(series.labels(), &chunks)?;
    }
    Ok(writer.finish(BlockMeta::new(ulid, cut.start_ms, cut.end_ms))?)
}

/// All texts of the labels, and the empty one, which names the list of all series.
fn symbols(series: &[SeriesChunks]) -> Vec<&str> {
    let mut texts = HashSet::from([""]);
    let (mut at_hand, mut before) = (Vec::new(), Vec::new());
    for series in series {
        at_hand.clear();
        at_hand.extend(series.labels().iter());
        // Neighbours in label order share most of their labels.
        for (place, (name, value)) in at_hand.iter().enumerate() {
            let known: Option<&(&str, &str)> = before.get(place);
            if known.is_none_or(|known| known.0 != *name) {
                texts.insert(name);
            }
            if known.is_none_or(|known| known.1 != *value) {
                texts.insert(value);
            }
        }
        std::mem::swap(&mut at_hand, &mut before);
    }
    let mut symbols: Vec<&str> = texts.into_iter().collect();
    symbols.sort_unstable();
    symbols
}
