//! Series on their way through a merge: read, joined, written.

use parking_lot::Mutex;
use rayon::prelude::*;

use crate::chunk::ChunkError;
use crate::series::{Chunk, TimeRange};
use crate::storage::block::{BlockError, BlockScan, BlockWriter, clip_chunks};
use crate::storage::conveyor;
use crate::storage::index::SymbolPair;

use super::{JoinChunks, Part};

/// A stretch has so many series, or ends when their chunks take so many bytes: enough to keep all
/// threads busy, little enough that three of them are in memory.
const SERIES_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;
/// Series that a thread takes at a time.
const PIECE_SERIES: usize = 8;

/// A series.
#[derive(Debug)]
struct Series {
    labels: Vec<SymbolPair>,
    chunks: Vec<Chunk>,
    parts: Vec<Part>,
    joined: Result<(), ChunkError>,
}

impl Series {
    const fn new() -> Self {
        Self { labels: Vec::new(), chunks: Vec::new(), parts: Vec::new(), joined: Ok(()) }
    }

    fn join(&mut self, join: &mut dyn JoinChunks, range: TimeRange) -> Result<(), ChunkError> {
        if self.parts.len() > 1 {
            join.join(&mut self.chunks, &self.parts)?;
        }
        clip_chunks(&mut self.chunks, range)
    }
}

/// Series that go through together.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// Those behind `count` are memory for later ones.
    series: Vec<Series>,
    count: usize,
}

impl conveyor::Stretch for Stretch {
    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Stretch {
    /// Joins each series, all threads together.
    pub(super) fn join<J: JoinChunks>(&mut self, joiners: &Joiners<'_, J>, range: TimeRange) {
        let series = self.series.get_mut(..self.count).unwrap_or_default();
        series.par_chunks_mut(PIECE_SERIES).for_each(|piece| {
            let mut join = joiners.take();
            for series in piece {
                series.joined = series.join(&mut join, range);
            }
            joiners.give_back(join);
        });
    }

    /// Writes the series and lets them go; says how many they were.
    pub(super) fn write(&mut self, writer: &mut BlockWriter) -> Result<u64, BlockError> {
        for series in self.series.iter_mut().take(self.count) {
            series.joined.map_err(in_chunk)?;
            writer.add_numbered(&series.labels, &series.chunks)?;
            series.chunks.clear();
        }
        Ok(std::mem::take(&mut self.count) as u64)
    }
}

fn in_chunk(error: ChunkError) -> BlockError {
    BlockError::Refused(format!("chunks that share time: {error}"))
}

/// Joins that are not at work, so that their memory is used again. There are never more than
/// threads.
pub(super) struct Joiners<'a, J> {
    idle: Mutex<Vec<J>>,
    new: &'a (dyn Fn() -> J + Sync),
}

impl<'a, J> Joiners<'a, J> {
    pub(super) fn new(new: &'a (dyn Fn() -> J + Sync)) -> Self {
        Self { idle: Mutex::new(Vec::new()), new }
    }

    fn take(&self) -> J {
        let idle = self.idle.lock().pop();
        idle.unwrap_or_else(|| (self.new)())
    }

    fn give_back(&self, join: J) {
        self.idle.lock().push(join);
    }
}

/// The series of several blocks in label order.
pub(super) struct Source {
    /// Those that are not at their end, each with its block's place, in the order of the blocks.
    scans: Vec<(usize, BlockScan)>,
}

impl Source {
    /// `scans` are at their first series.
    pub(super) const fn new(scans: Vec<(usize, BlockScan)>) -> Self {
        Self { scans }
    }

    /// Fills a stretch, which is empty, with what comes next; it stays empty at the end.
    pub(super) fn read(&mut self, stretch: &mut Stretch) -> Result<(), BlockError> {
        let mut bytes = 0;
        while stretch.count < SERIES_MAX && bytes < BYTES_MAX {
            let Some(first) = self.first() else { break };
            if stretch.series.len() == stretch.count {
                stretch.series.push(Series::new());
            }
            let Some(series) = stretch.series.get_mut(stretch.count) else { break };
            self.gather(first, series)?;
            bytes += series.chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
            stretch.count += 1;
            self.step(&series.labels)?;
        }
        Ok(())
    }

    /// The first scan at the lowest labels. There are few, so that they are simply looked through.
    fn first(&self) -> Option<usize> {
        let places = self.scans.iter().enumerate();
        places.min_by(|(_, (_, a)), (_, (_, b))| a.labels().cmp(b.labels())).map(|(place, _)| place)
    }

    /// Puts the series that the scan `first` is at into `series`.
    fn gather(&mut self, first: usize, series: &mut Series) -> Result<(), BlockError> {
        let Series { labels, chunks, parts, joined } = series;
        labels.clear();
        chunks.clear();
        parts.clear();
        *joined = Ok(());
        labels.extend(self.scans.get(first).map_or(&[][..], |(_, scan)| scan.labels()));
        let same = |(_, scan): &&mut (usize, BlockScan)| *scan.labels() == **labels;
        for (block, scan) in self.scans.iter_mut().skip(first).filter(same) {
            scan.chunks(chunks)?;
            parts.push(Part { block: *block, end: chunks.len() });
        }
        Ok(())
    }

    /// Steps over the series with these labels.
    fn step(&mut self, labels: &[SymbolPair]) -> Result<(), BlockError> {
        let mut error = None;
        self.scans.retain_mut(|(_, scan)| {
            *scan.labels() != *labels
                || scan.advance().unwrap_or_else(|refused| {
                    error.get_or_insert(refused);
                    false
                })
        });
        error.map_or(Ok(()), Err)
    }
}
