//! Chunks of several blocks as chunks of one.

use std::collections::VecDeque;

use crate::chunk::{ChunkError, EncodeOptions, decode, encode_column};
use crate::model::Column;
use crate::series::chunk::Chunk;

use super::fold::fold;

/// Sources by the first chunk that each has left: a binary heap. Which of two equal ones comes
/// first decides who is preferred, so that the order of its moves counts.
#[derive(Default)]
struct Heap(Vec<VecDeque<Chunk>>);

impl Heap {
    fn first(&self, at: usize) -> Option<(i64, i64)> {
        let chunk = self.0.get(at)?.front()?;
        Some((chunk.min_time_ms, chunk.max_time_ms))
    }

    /// A source without chunks is let go.
    fn push(&mut self, source: VecDeque<Chunk>) {
        if source.is_empty() {
            return;
        }
        self.0.push(source);
        let mut at = self.0.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.first(at) >= self.first(parent) {
                break;
            }
            self.0.swap(at, parent);
            at = parent;
        }
    }

    fn pop(&mut self) -> Option<VecDeque<Chunk>> {
        let behind = self.0.len().checked_sub(1)?;
        self.0.swap(0, behind);
        let mut at = 0;
        loop {
            let mut child = 2 * at + 1;
            if child >= behind {
                break;
            }
            if child + 1 < behind && self.first(child + 1) < self.first(child) {
                child += 1;
            }
            if self.first(child) >= self.first(at) {
                break;
            }
            self.0.swap(at, child);
            at = child;
        }
        self.0.pop()
    }

    /// Takes the first chunk of all.
    fn take(&mut self) -> Option<Chunk> {
        let mut source = self.pop()?;
        let chunk = source.pop_front();
        self.push(source);
        chunk
    }

    fn peek(&self) -> Option<&Chunk> {
        self.0.first()?.front()
    }
}

/// Merges chunks as Thanos's compactor does, with memory that is used again.
#[derive(Debug, Default)]
pub(in crate::series::dedup) struct ChunkFold {
    columns: Vec<Column>,
    merged: Column,
}

impl ChunkFold {
    /// Appends the chunks of one series: those that overlap are folded, each chunk as if it were a
    /// replica; of what comes out the first chunk is done, the rest may overlap what follows.
    /// Chunks of another kind than the first of those that overlap are lost.
    ///
    /// # Errors
    /// See [`ChunkError`].
    pub(in crate::series::dedup) fn merge(
        &mut self,
        sources: &[Vec<Chunk>],
        options: &EncodeOptions,
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        let mut heap = Heap::default();
        for source in sources {
            heap.push(source.iter().cloned().collect());
        }
        while let Some(base) = heap.take() {
            let overlapping = overlapping(&base, &mut heap);
            if overlapping.is_empty() {
                out.push(base);
                continue;
            }
            let mut encoded = self.fold(&base, &overlapping, options)?;
            out.extend(encoded.pop_front());
            heap.push(encoded);
        }
        Ok(())
    }

    fn fold(
        &mut self,
        base: &Chunk,
        overlapping: &[Chunk],
        options: &EncodeOptions,
    ) -> Result<VecDeque<Chunk>, ChunkError> {
        let alike = || overlapping.iter().filter(|chunk| chunk.encoding == base.encoding);
        let count = alike().count() + 1;
        self.columns.resize_with(count.max(self.columns.len()), Column::new);
        let columns = self.columns.get_mut(..count).unwrap_or_default();
        for (chunk, column) in std::iter::once(base).chain(alike()).zip(&mut *columns) {
            column.clear();
            decode(chunk.encoding, &chunk.data, (i64::MIN, i64::MAX), column)?;
        }
        self.merged.clear();
        fold(columns.iter(), false, &mut self.merged);
        let (mut encoded, all) = (VecDeque::new(), 0..self.merged.len());
        encode_column(&self.merged, all, options, &mut |chunk| encoded.push_back(chunk.into()))?;
        Ok(encoded)
    }
}

/// Takes the chunks that overlap `base` or one another. Those that repeat the one before them are
/// dropped.
fn overlapping(base: &Chunk, heap: &mut Heap) -> Vec<Chunk> {
    let mut found: Vec<Chunk> = Vec::new();
    let mut end_ms = base.max_time_ms;
    while heap.peek().is_some_and(|next| next.min_time_ms <= end_ms) {
        let Some(next) = heap.take() else { break };
        if next != *found.last().unwrap_or(base) {
            end_ms = end_ms.max(next.max_time_ms);
            found.push(next);
        }
    }
    found
}
