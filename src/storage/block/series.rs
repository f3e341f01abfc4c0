//! One series of a block: labels and the places of its chunks, samples when asked.

use std::sync::Arc;

use bytes::Bytes;

use crate::chunk::{AGGREGATE, ChunkError, decode};
use crate::model::Labels;
use crate::series::{Aggregate, AggregateReader, Chunk, Column, QueryError, Series, TimeRange};
use crate::storage::index::ChunkMeta;

use super::BlockError;
use super::reader::Parts;
use super::reencode::{keep_samples, keep_windows};
use super::tombstones::remove_deleted;

/// What a chunk holds as a rule.
const SAMPLES_PER_CHUNK: usize = 120;

/// Room is made for no more samples than this on the word of an index.
const ROOM_SAMPLES_MAX: usize = 1 << 18;

pub(super) struct BlockSeries {
    block: Arc<Parts>,
    labels: Labels,
    id: u32,
    /// Those chunks that overlap the range of the question.
    chunks: Box<[ChunkMeta]>,
    /// Which number of downsampled samples is wanted.
    wanted: Aggregate,
}

pub(super) const fn range_of(chunk: &ChunkMeta) -> TimeRange {
    TimeRange::new(chunk.min_time_ms, chunk.max_time_ms)
}

const fn covers(outer: TimeRange, inner: TimeRange) -> bool {
    outer.start_ms <= inner.start_ms && inner.end_ms <= outer.end_ms
}

impl BlockSeries {
    /// `None` if all of the chunks are deleted.
    pub(super) fn new(
        block: &Arc<Parts>,
        id: u32,
        labels: Labels,
        chunks: &[ChunkMeta],
        wanted: Aggregate,
    ) -> Option<Self> {
        let deleted = block.tombstones.of(id);
        let is_wanted =
            |chunk: &&ChunkMeta| !deleted.iter().any(|interval| covers(*interval, range_of(chunk)));
        let chunks: Box<[ChunkMeta]> = match deleted {
            [] => chunks.into(),
            _ => chunks.iter().filter(is_wanted).copied().collect(),
        };
        if chunks.is_empty() {
            return None;
        }
        Some(Self { block: Arc::clone(block), labels, id, chunks, wanted })
    }

    fn overlapping(&self, range: TimeRange) -> impl Iterator<Item = &ChunkMeta> {
        self.chunks.iter().filter(move |chunk| range_of(chunk).overlaps(range))
    }

    fn try_read(&self, range: TimeRange, into: &mut Column) -> Result<(), BlockError> {
        let start = into.len();
        let mut left = range;
        let reach = self.block.reach(range);
        let mut left_chunks = self.overlapping(reach).count();
        let mut reader = None;
        for (index, chunk) in self.overlapping(reach).enumerate() {
            let before = into.len();
            self.decode(&mut reader, chunk, left, into)?;
            left_chunks -= 1;
            // Growing bit by bit would copy and touch far more memory. The first chunk may begin
            // before the range; the second says how many samples a chunk has.
            if index < 2 {
                let more = (into.len() - before).saturating_mul(left_chunks);
                into.timestamps.reserve(more.min(ROOM_SAMPLES_MAX));
                into.floats.reserve(more.min(ROOM_SAMPLES_MAX));
            }
            // Chunks that overlap, which a sound writer does not write, must not turn time back.
            if let Some(last) = into.timestamps.get(start..).and_then(<[i64]>::last) {
                left.start_ms = left.start_ms.max(last.saturating_add(1));
            }
        }
        remove_deleted(into, start, self.block.tombstones.of(self.id));
        Ok(())
    }

    fn decode(
        &self,
        reader: &mut Option<AggregateReader>,
        chunk: &ChunkMeta,
        range: TimeRange,
        into: &mut Column,
    ) -> Result<(), BlockError> {
        let (encoding, data) = self.block.chunks.chunk(chunk.reference)?;
        let read = if encoding == AGGREGATE {
            let new = || AggregateReader::new(self.wanted, self.block.resolution_ms);
            reader.get_or_insert_with(new).push_bytes(encoding, data, range, into)
        } else {
            decode(encoding, data, (range.start_ms, range.end_ms), into)
        };
        read.map_err(|error| self.block.broken(chunk, error))
    }

    fn try_chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), BlockError> {
        self.overlapping(range).try_for_each(|chunk| self.block.chunk(self.id, chunk, into))
    }
}

impl Parts {
    /// The span in which chunks must lie that have a sample in `range`. A downsampled chunk is
    /// said to begin with the end of its first window, but the first sample of a counter stands
    /// before that.
    pub(super) const fn reach(&self, range: TimeRange) -> TimeRange {
        TimeRange::new(range.start_ms, range.end_ms.saturating_add(self.resolution_ms))
    }

    fn broken(&self, chunk: &ChunkMeta, error: ChunkError) -> BlockError {
        let offset = chunk.reference & u64::from(u32::MAX);
        BlockError::chunk(self.chunks.path(chunk.reference), offset, error)
    }

    /// Appends what is not deleted of a chunk of the series `id`: as it is stored, if that is all.
    pub(super) fn chunk(
        &self,
        id: u32,
        chunk: &ChunkMeta,
        into: &mut Vec<Chunk>,
    ) -> Result<(), BlockError> {
        let (encoding, data) = self.chunks.chunk(chunk.reference)?;
        let data = self.chunks.owned(chunk.reference, data);
        self.keep(id, chunk, (encoding, data), into)
    }

    /// As [`chunk`](Self::chunk), of what is stored there.
    pub(super) fn keep(
        &self,
        id: u32,
        chunk: &ChunkMeta,
        (encoding, data): (u8, Bytes),
        into: &mut Vec<Chunk>,
    ) -> Result<(), BlockError> {
        let (deleted, span) = (self.tombstones.of(id), range_of(chunk));
        if deleted.iter().any(|interval| interval.overlaps(span)) {
            let kept = if encoding == AGGREGATE {
                keep_windows(&data, deleted, into)
            } else {
                keep_samples(encoding, &data, deleted, into)
            };
            return kept.map_err(|error| self.broken(chunk, error));
        }
        let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
        into.push(Chunk { min_time_ms, max_time_ms, encoding, data });
        Ok(())
    }
}

impl Series for BlockSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn resolution_ms(&self) -> i64 {
        self.block.resolution_ms
    }

    fn sample_guess(&self) -> usize {
        self.chunks.len().saturating_mul(SAMPLES_PER_CHUNK)
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let start = into.len();
        let result = self.try_read(range, into);
        if result.is_err() {
            into.truncate(start);
        }
        Ok(result?)
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        Ok(self.try_chunks(range, into)?)
    }
}
