//! A span of the head as a block: what came in order, and apart from that what came late.

use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ulid::Ulid;

use crate::disk::SharedDisk;
use crate::series::{Chunk, QueryError, TimeRange};
use crate::storage::block::{
    BlockError, BlockMeta, SampleWriter, UnfinishedBlock, WriterOptions, clip_chunks,
};
use crate::storage::db::TsdbError;
use crate::storage::db::levels::FROM_OUT_OF_ORDER;
use crate::storage::db::plan::Cut;
use crate::storage::head::{
    Head, NumberedLabels, OooSeriesChunks, SeriesChunks, SharedLabels, SpareChunks,
};
use crate::storage::index::{ChunkMeta, IndexError, SymbolTable};

/// A series whose chunks are wanted.
trait Source {
    fn labels(&self) -> &SharedLabels;
    /// Appends its chunks that overlap `range`, by time.
    fn copy_into(
        &self,
        range: TimeRange,
        spare: &mut SpareChunks,
        into: &mut Vec<Chunk>,
    ) -> Result<(), QueryError>;
}

impl Source for SeriesChunks {
    fn labels(&self) -> &SharedLabels {
        self.labels()
    }

    fn copy_into(
        &self,
        range: TimeRange,
        spare: &mut SpareChunks,
        into: &mut Vec<Chunk>,
    ) -> Result<(), QueryError> {
        self.copy_into(range, spare, into)
    }
}

impl Source for OooSeriesChunks {
    fn labels(&self) -> &SharedLabels {
        self.labels()
    }

    fn copy_into(
        &self,
        range: TimeRange,
        _: &mut SpareChunks,
        into: &mut Vec<Chunk>,
    ) -> Result<(), QueryError> {
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

/// Samples and index are written at once, each by a thread of its own: the index needs to know of
/// a chunk only where it was put.
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
    let block = UnfinishedBlock::new(disk.clone(), dir, meta.ulid)?;
    let samples = block.samples(&WriterOptions::default())?;
    let written = thread::scope(|scope| {
        let (put, places) = sync_channel(GROUPS_WAITING);
        let samples = scope.spawn(move || write_samples(samples, series, meta, put));
        let index = write_index(&block, series, places, is_ending);
        let died = |_| Err(BlockError::Refused("the thread of the samples has died".into()));
        // Where the samples fail the index does too, but cannot say why.
        let meta = samples.join().unwrap_or_else(died)?;
        index.map(|()| meta)
    })?;
    Ok(written.map(|meta| block.publish(meta)).transpose()?)
}

/// So many series are handed over to the index together.
const GROUP_SERIES: usize = 128;
/// So many groups wait for it, at most: it begins with the labels, which takes some time.
const GROUPS_WAITING: usize = 32;

/// Where the chunks of some series were put, one series behind the other.
#[derive(Default)]
struct Places {
    chunks: Vec<ChunkMeta>,
    /// Where those of each series end.
    ends: Vec<usize>,
}

fn write_samples(
    mut samples: SampleWriter,
    series: &[impl Source],
    meta: BlockMeta,
    put: SyncSender<Places>,
) -> Result<Option<BlockMeta>, BlockError> {
    let refused =
        |error: &dyn fmt::Display| BlockError::Refused(format!("chunk of the head: {error}"));
    let (range, mut spare, mut chunks) = (meta.range(), SpareChunks::default(), Vec::new());
    for group in series.chunks(GROUP_SERIES) {
        let mut places = Places::default();
        for series in group {
            chunks.clear();
            series.copy_into(range, &mut spare, &mut chunks).map_err(|error| refused(&error))?;
            clip_chunks(&mut chunks, range).map_err(|error| refused(&error))?;
            samples.write(&chunks, &mut places.chunks)?;
            places.ends.push(places.chunks.len());
        }
        if put.send(places).is_err() {
            // Nobody waits for it: the index has failed, and says so.
            return Ok(None);
        }
    }
    // While these are synced the index is finished.
    drop(put);
    samples.finish(meta)
}

fn write_index(
    block: &UnfinishedBlock,
    series: &[impl Source],
    places: Receiver<Places>,
    is_ending: &dyn Fn() -> bool,
) -> Result<(), TsdbError> {
    let refused = |why: &str| BlockError::Refused(why.into());
    let error = block.index_error();
    let mut labels = NumberedLabels::gather(series.iter().map(Source::labels));
    let mut symbols = symbols(&labels).map_err(error)?;
    if !labels.number(|text| symbols.find(text)) {
        return Err(refused("a label that is not among the symbols").into());
    }
    let (mut index, mut numbers) = (block.index(symbols)?, Vec::new());
    for group in series.chunks(GROUP_SERIES) {
        if is_ending() {
            return Err(TsdbError::Closed);
        }
        let places = places.recv().map_err(|_| refused("the samples are not written"))?;
        let mut start = 0;
        for (series, end) in group.iter().zip(places.ends) {
            let chunks = places.chunks.get(start..end).unwrap_or_default();
            start = end;
            if !chunks.is_empty() {
                labels.of(series.labels(), &mut numbers);
                index.add_numbered(&numbers, chunks).map_err(error)?;
            }
        }
    }
    Ok(index.finish().map_err(error)?)
}

/// All texts of the labels, and the empty one, which names the list of all series.
fn symbols(labels: &NumberedLabels<'_>) -> Result<SymbolTable, IndexError> {
    let texts = labels.texts();
    let none = (texts.first() != Some(&"")).then_some("");
    SymbolTable::from_sorted(&mut none.into_iter().chain(texts))
}
