//! One series of a block: labels and the places of its chunks, samples when asked.

use std::sync::Arc;

use bytes::Bytes;

use crate::chunk::{self, ChunkError};
use crate::model::Labels;
use crate::series::{Chunk, Column, QueryError, Series, TimeRange};
use crate::storage::index::ChunkMeta;

use super::BlockError;
use super::reader::Parts;
use super::reencode::encode_like;
use super::tombstones::remove_deleted;

pub(super) struct BlockSeries {
    block: Arc<Parts>,
    labels: Labels,
    id: u32,
    /// Those chunks that overlap the range of the question.
    chunks: Box<[ChunkMeta]>,
}

pub(super) const fn range_of(chunk: &ChunkMeta) -> TimeRange {
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

    fn overlapping(&self, range: TimeRange) -> impl Iterator<Item = &ChunkMeta> {
        self.chunks.iter().filter(move |chunk| range_of(chunk).overlaps(range))
    }

    fn try_read(&self, range: TimeRange, into: &mut Column) -> Result<(), BlockError> {
        let start = into.len();
        let mut left = range;
        for chunk in self.overlapping(range) {
            self.block.decode(chunk, left, into)?;
            // Chunks that overlap, which a sound writer does not write, must not turn time back.
            if let Some(last) = into.timestamps.get(start..).and_then(<[i64]>::last) {
                left.start_ms = left.start_ms.max(last.saturating_add(1));
            }
        }
        remove_deleted(into, start, self.block.tombstones.of(self.id));
        Ok(())
    }

    fn try_chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), BlockError> {
        self.overlapping(range).try_for_each(|chunk| self.block.chunk(self.id, chunk, into))
    }
}

impl Parts {
    fn decode(
        &self,
        chunk: &ChunkMeta,
        range: TimeRange,
        into: &mut Column,
    ) -> Result<(), BlockError> {
        let (encoding, data) = self.chunks.chunk(chunk.reference)?;
        let range = (range.start_ms, range.end_ms);
        chunk::decode(encoding, data, range, into).map_err(|error| self.broken(chunk, error))
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
        let (deleted, span) = (self.tombstones.of(id), range_of(chunk));
        if deleted.iter().any(|interval| interval.overlaps(span)) {
            let mut column = Column::new();
            self.decode(chunk, TimeRange::ALL, &mut column)?;
            remove_deleted(&mut column, 0, deleted);
            let encoded = encode_like(encoding, &column, into);
            return encoded.map_err(|error| self.broken(chunk, error));
        }
        let data: Bytes = self.chunks.owned(chunk.reference, data);
        let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
        into.push(Chunk { min_time_ms, max_time_ms, encoding, data });
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
