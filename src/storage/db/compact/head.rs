//! A span of the head as a block: what came in order, and apart from that what came late.

use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
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

/// Chunks are read, written and entered into the index at once, each by a thread of its own: the
/// index needs to know of a chunk only where it was put.
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
    let range = meta.range();
    let written = thread::scope(|scope| {
        let (copied, copies) = sync_channel(GROUPS_COPIED);
        let (give_back, used) = channel();
        let (put, places) = sync_channel(GROUPS_PUT);
        scope.spawn(move || copy_chunks(series, range, &copied, &used));
        let samples =
            scope.spawn(move || write_samples(samples, meta, &Exchange { copies, give_back }, put));
        let index = write_index(&block, series, places, is_ending);
        let died = |_| Err(dead());
        // Where the samples fail the index does too, but cannot say why.
        let meta = samples.join().unwrap_or_else(died)?;
        index.map(|()| meta)
    })?;
    Ok(written.map(|meta| block.publish(meta)).transpose()?)
}

fn dead() -> BlockError {
    BlockError::Refused("the thread of the samples has died".into())
}

/// So many series go from thread to thread together.
const GROUP_SERIES: usize = 128;
/// So many groups wait to be written, at most.
const GROUPS_COPIED: usize = 2;
/// So many groups wait for the index, at most: it begins with the labels, which takes some time.
const GROUPS_PUT: usize = 32;

/// What there is of some series, one behind the other.
struct Group<T> {
    all: Vec<T>,
    /// Where those of each series end.
    ends: Vec<usize>,
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self { all: Vec::new(), ends: Vec::new() }
    }
}

impl<T> Group<T> {
    fn clear(&mut self) {
        self.all.clear();
        self.ends.clear();
    }

    fn end_series(&mut self) {
        self.ends.push(self.all.len());
    }

    /// What there is of each series.
    fn each(&self) -> impl Iterator<Item = &[T]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let these = self.all.get(start..*end).unwrap_or_default();
            start = *end;
            these
        })
    }
}

/// The writer's ends of the channels that groups of chunks go back and forth in: so they are let
/// go by the thread that took them, and two do not count references in one place.
struct Exchange {
    copies: Receiver<Result<Group<Chunk>, BlockError>>,
    give_back: Sender<Group<Chunk>>,
}

fn copy_chunks(
    series: &[impl Source],
    range: TimeRange,
    copied: &SyncSender<Result<Group<Chunk>, BlockError>>,
    used: &Receiver<Group<Chunk>>,
) {
    let mut spare = SpareChunks::default();
    for series in series.chunks(GROUP_SERIES) {
        let mut group = used.try_recv().unwrap_or_default();
        group.clear();
        let whole = copy_group(series, range, &mut spare, &mut group);
        let is_whole = whole.is_ok();
        // If nobody waits for it, somebody has failed and says so.
        if copied.send(whole.map(|()| group)).is_err() || !is_whole {
            return;
        }
    }
}

fn copy_group(
    series: &[impl Source],
    range: TimeRange,
    spare: &mut SpareChunks,
    group: &mut Group<Chunk>,
) -> Result<(), BlockError> {
    let refused =
        |error: &dyn fmt::Display| BlockError::Refused(format!("chunk of the head: {error}"));
    let mut of_series = Vec::new();
    for series in series {
        series.copy_into(range, spare, &mut of_series).map_err(|error| refused(&error))?;
        clip_chunks(&mut of_series, range).map_err(|error| refused(&error))?;
        group.all.append(&mut of_series);
        group.end_series();
    }
    Ok(())
}

fn write_samples(
    mut samples: SampleWriter,
    meta: BlockMeta,
    exchange: &Exchange,
    put: SyncSender<Group<ChunkMeta>>,
) -> Result<Option<BlockMeta>, BlockError> {
    // It ends with the groups, or with the thread that copies them: then the index misses some.
    while let Ok(group) = exchange.copies.recv() {
        let (group, mut places) = (group?, Group::default());
        for chunks in group.each() {
            samples.write(chunks, &mut places.all)?;
            places.end_series();
        }
        if put.send(places).is_err() {
            // Nobody waits for it: the index has failed, and says so.
            return Ok(None);
        }
        // If all are copied, no more are needed.
        let _ = exchange.give_back.send(group);
    }
    // While these are synced the index is finished.
    drop(put);
    samples.finish(meta)
}

fn write_index(
    block: &UnfinishedBlock,
    series: &[impl Source],
    places: Receiver<Group<ChunkMeta>>,
    is_ending: &dyn Fn() -> bool,
) -> Result<(), TsdbError> {
    let error = block.index_error();
    let mut labels = NumberedLabels::gather(series.iter().map(Source::labels));
    let mut symbols = symbols(&labels).map_err(error)?;
    if !labels.number(|text| symbols.find(text)) {
        return Err(BlockError::Refused("a label that is not among the symbols".into()).into());
    }
    let (mut index, mut numbers) = (block.index(symbols)?, Vec::new());
    for group in series.chunks(GROUP_SERIES) {
        if is_ending() {
            return Err(TsdbError::Closed);
        }
        let places = places.recv().map_err(|_| dead())?;
        for (series, chunks) in group.iter().zip(places.each()) {
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
