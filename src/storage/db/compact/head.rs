//! A span of the head as a block: what came in order, and apart from that what came late.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

use ulid::Ulid;

use crate::disk::SharedDisk;
use crate::series::{Chunk, QueryError, TimeRange};
use crate::storage::block::{BlockError, BlockMeta, BlockWriter, clip_chunks};
use crate::storage::db::TsdbError;
use crate::storage::db::levels::FROM_OUT_OF_ORDER;
use crate::storage::db::plan::Cut;
use crate::storage::head::{Head, OooSeriesChunks, SeriesChunks, SharedLabels};

/// A series whose chunks are wanted.
trait Source {
    fn labels(&self) -> &SharedLabels;
    /// Appends its chunks that overlap `range`, by time.
    fn copy_into(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError>;
}

impl Source for SeriesChunks {
    fn labels(&self) -> &SharedLabels {
        self.labels()
    }

    fn copy_into(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        self.copy_into(range, into)
    }
}

impl Source for OooSeriesChunks {
    fn labels(&self) -> &SharedLabels {
        self.labels()
    }

    fn copy_into(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        self.copy_into(range, into)
    }
}

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
    let meta = BlockMeta::new(ulid, cut.start_ms, cut.end_ms);
    write(disk, dir, &head.series_in(cut.range()), meta, is_ending)
}

/// As [`write_head`], for the late samples of the head's last cut of them.
pub(in crate::storage::db) fn write_late(
    disk: &SharedDisk,
    dir: &Path,
    head: &Head,
    cut: Cut,
    ulid: Ulid,
    is_ending: &dyn Fn() -> bool,
) -> Result<Option<BlockMeta>, TsdbError> {
    let mut meta = BlockMeta::new(ulid, cut.start_ms, cut.end_ms);
    meta.compaction.hints.push(FROM_OUT_OF_ORDER.to_owned());
    write(disk, dir, &head.ooo_series_in(cut.range()), meta, is_ending)
}

fn write(
    disk: &SharedDisk,
    dir: &Path,
    series: &[impl Source + Sync],
    meta: BlockMeta,
    is_ending: &dyn Fn() -> bool,
) -> Result<Option<BlockMeta>, TsdbError> {
    if series.is_empty() {
        return Ok(None);
    }
    let symbols = symbols(series);
    let mut writer = BlockWriter::new(disk.clone(), dir, meta.ulid, &mut symbols.into_iter())?;
    let range = meta.range();
    thread::scope(|scope| {
        let (copied, groups) = sync_channel(GROUPS_WAITING);
        scope.spawn(move || {
            for group in series.chunks(GROUP_SERIES) {
                // If nobody waits for it, the writer has failed and says so.
                if copied.send(copy_group(group, range)).is_err() {
                    return;
                }
            }
        });
        for group in series.chunks(GROUP_SERIES) {
            if is_ending() {
                return Err(TsdbError::Closed);
            }
            let died = || BlockError::Refused("the copying thread has died".into());
            let copied = groups.recv().map_err(|_| died())??;
            let mut start = 0;
            for (series, end) in group.iter().zip(copied.ends) {
                let chunks = copied.chunks.get(start..end).unwrap_or_default();
                writer.add_series(&series.labels().to_labels(), chunks)?;
                start = end;
            }
        }
        Ok(())
    })?;
    Ok(writer.finish(meta)?)
}

/// So many series are copied while those before are written.
const GROUP_SERIES: usize = 128;
/// So many groups wait to be written, at most.
const GROUPS_WAITING: usize = 2;

/// Chunks of some series, one series behind the other.
struct Copied {
    chunks: Vec<Chunk>,
    /// Where those of each series end.
    ends: Vec<usize>,
}

fn copy_group(group: &[impl Source], range: TimeRange) -> Result<Copied, BlockError> {
    let refused =
        |error: &dyn fmt::Display| BlockError::Refused(format!("chunk of the head: {error}"));
    let mut copied = Copied { chunks: Vec::new(), ends: Vec::with_capacity(group.len()) };
    let mut of_series = Vec::new();
    for series in group {
        series.copy_into(range, &mut of_series).map_err(|error| refused(&error))?;
        clip_chunks(&mut of_series, range).map_err(|error| refused(&error))?;
        copied.chunks.append(&mut of_series);
        copied.ends.push(copied.chunks.len());
    }
    Ok(copied)
}

/// All texts of the labels, and the empty one, which names the list of all series.
fn symbols(series: &[impl Source]) -> Vec<&str> {
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
