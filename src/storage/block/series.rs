//! One series of a block: labels and the places of its chunks, samples when asked.

use std::sync::Arc;

use bytes::Bytes;

use crate::chunk::{self, ChunkError, Encoding, XorAppender};
use crate::model::Labels;
use crate::series::{Chunk, Column, QueryError, Series, TimeRange};
use crate::storage::index::ChunkMeta;

use super::BlockError;
use super::reader::Parts;
use super::tombstones::remove_deleted;

pub(super) struct BlockSeries {
    block: Arc<Parts>,
    labels: Labels,
    id: u32,
    /// Those chunks that overlap the range of the question.
    chunks: Box<[ChunkMeta]>,
}

const fn range_of(chunk: &ChunkMeta) -> TimeRange {
    TimeRange::new(chunk.min_time_ms, chunk.max_time_ms)
}

const fn covers(outer: TimeRange, inner: TimeRange) -> bool {
    outer.start_ms <= inner.start_ms && inner.end_ms <= outer.end_ms
}

impl BlockSeries {
    /// `None` if no chunk has anything in the range that is not deleted.
    pub(super) fn new(
        block: &Arc<Parts>,
        id: u32,
        labels: Labels,
        chunks: &[ChunkMeta],
        range: TimeRange,
    ) -> Option<Self> {
        let deleted = block.tombstones.of(id);
        let is_wanted = |chunk: &&ChunkMeta| {
            let span = range_of(chunk);
            span.overlaps(range) && !deleted.iter().any(|interval| covers(*interval, span))
        };
        let chunks: Box<[ChunkMeta]> = chunks.iter().filter(is_wanted).copied().collect();
        if chunks.is_empty() {
            return None;
        }
        Some(Self { block: Arc::clone(block), labels, id, chunks })
    }

    fn deleted_in(&self, span: TimeRange) -> impl Iterator<Item = &TimeRange> {
        self.block.tombstones.of(self.id).iter().filter(move |interval| interval.overlaps(span))
    }

    fn overlapping(&self, range: TimeRange) -> impl Iterator<Item = &ChunkMeta> {
        self.chunks.iter().filter(move |chunk| range_of(chunk).overlaps(range))
    }

    fn broken(&self, chunk: &ChunkMeta, error: ChunkError) -> BlockError {
        let offset = chunk.reference & u64::from(u32::MAX);
        BlockError::chunk(self.block.chunks.path(chunk.reference), offset, error)
    }

    fn decode(
        &self,
        chunk: &ChunkMeta,
        range: TimeRange,
        into: &mut Column,
    ) -> Result<(), BlockError> {
        let (encoding, data) = self.block.chunks.chunk(chunk.reference)?;
        let range = (range.start_ms, range.end_ms);
        chunk::decode(encoding, data, range, into).map_err(|error| self.broken(chunk, error))
    }

    fn try_read(&self, range: TimeRange, into: &mut Column) -> Result<(), BlockError> {
        let start = into.len();
        let mut left = range;
        for chunk in self.overlapping(range) {
            self.decode(chunk, left, into)?;
            // Chunks that overlap, which a sound writer does not write, must not turn time back.
            if let Some(last) = into.timestamps.get(start..).and_then(<[i64]>::last) {
                left.start_ms = left.start_ms.max(last.saturating_add(1));
            }
        }
        remove_deleted(into, start, self.block.tombstones.of(self.id));
        Ok(())
    }

    /// The chunk again, without its deleted samples. `None` if nothing is left.
    fn rewritten(&self, chunk: &ChunkMeta) -> Result<Option<Chunk>, BlockError> {
        let mut column = Column::new();
        self.decode(chunk, TimeRange::ALL, &mut column)?;
        remove_deleted(&mut column, 0, self.block.tombstones.of(self.id));
        if column.is_empty() {
            return Ok(None);
        }
        let mut appender = XorAppender::new();
        for (timestamp_ms, value) in column.timestamps.iter().zip(&column.floats) {
            appender.append(*timestamp_ms, *value).map_err(|error| self.broken(chunk, error))?;
        }
        Ok(Some(Chunk {
            min_time_ms: appender.min_time_ms(),
            max_time_ms: appender.max_time_ms(),
            encoding: Encoding::Xor as u8,
            data: appender.finish(),
        }))
    }

    fn try_chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), BlockError> {
        for chunk in self.overlapping(range) {
            let span = range_of(chunk);
            if self.deleted_in(span).next().is_some() {
                into.extend(self.rewritten(chunk)?);
                continue;
            }
            let (encoding, data) = self.block.chunks.chunk(chunk.reference)?;
            let data: Bytes = self.block.chunks.owned(chunk.reference, data);
            let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
            into.push(Chunk { min_time_ms, max_time_ms, encoding, data });
        }
        Ok(())
    }
}

impl Series for BlockSeries {
    fn labels(&self) -> &Labels {
        &self.labels
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
