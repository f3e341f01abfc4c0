//! All samples of several blocks.

use crate::chunk::{self, ChunkError, EncodeOptions};
use crate::series::{Chunk, Column, merge_columns};
use crate::storage::block::encode_chunks;

use super::{JoinChunks, Part};

/// Keeps every sample; where several blocks have one for the same time, the first of them wins.
/// Has memory that is used again for the next series.
#[derive(Debug)]
pub struct Union {
    options: EncodeOptions,
    /// The chunks by time, each with the place that it was given at.
    by_time: Vec<(usize, Chunk)>,
    columns: Vec<Column>,
    merged: Column,
}

fn is_apart(chunks: &[Chunk]) -> bool {
    chunks.is_sorted_by(|before, chunk| before.max_time_ms < chunk.min_time_ms)
}

fn is_same(a: &Chunk, b: &Chunk) -> bool {
    (a.min_time_ms, a.max_time_ms, a.encoding) == (b.min_time_ms, b.max_time_ms, b.encoding)
        && a.data == b.data
}

impl Union {
    /// `options` say how the samples of chunks that share time become chunks again.
    #[must_use]
    pub fn new(options: EncodeOptions) -> Self {
        Self { options, by_time: Vec::new(), columns: Vec::new(), merged: Column::new() }
    }

    /// Replaces chunks that share time by others that do not, and brings all into the order of
    /// time. Where several have a sample for the same time, the first in `chunks` wins.
    ///
    /// # Errors
    /// A chunk that is not what it should be.
    pub fn join(&mut self, chunks: &mut Vec<Chunk>) -> Result<(), ChunkError> {
        // Blocks that are neighbours in time give their chunks in this order already.
        if is_apart(chunks) {
            return Ok(());
        }
        self.by_time.clear();
        self.by_time.extend(chunks.drain(..).enumerate());
        let mut by_time = std::mem::take(&mut self.by_time);
        by_time.sort_by_key(|(_, chunk)| chunk.min_time_ms);
        let mut rest = by_time.as_mut_slice();
        while let Some((_, first)) = rest.first() {
            let mut end_ms = first.max_time_ms;
            let is_behind = |(_, chunk): &(usize, Chunk)| {
                let is_behind = chunk.min_time_ms > end_ms;
                end_ms = end_ms.max(chunk.max_time_ms);
                is_behind
            };
            let count = rest.iter().position(is_behind).unwrap_or(rest.len());
            let (cluster, behind) = rest.split_at_mut(count.max(1));
            self.join_cluster(cluster, chunks)?;
            rest = behind;
        }
        by_time.clear();
        self.by_time = by_time;
        Ok(())
    }

    /// Appends the samples of chunks that share time, each with another or through others.
    fn join_cluster(
        &mut self,
        cluster: &mut [(usize, Chunk)],
        into: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        let Some(((_, first), others)) = cluster.split_first() else { return Ok(()) };
        // Two replicas, or a block that was uploaded twice.
        if others.iter().all(|(_, other)| is_same(first, other)) {
            into.push(first.clone());
            return Ok(());
        }
        cluster.sort_by_key(|(place, _)| *place);
        self.columns.resize_with(cluster.len().max(self.columns.len()), Column::new);
        self.columns.iter_mut().for_each(Column::clear);
        let all = (i64::MIN, i64::MAX);
        for ((_, chunk), column) in cluster.iter().zip(&mut self.columns) {
            chunk::decode(chunk.encoding, &chunk.data, all, column)?;
        }
        self.merged.clear();
        let columns = self.columns.get(..cluster.len()).unwrap_or_default();
        merge_columns(columns, &mut self.merged);
        encode_chunks(&self.merged, &self.options, into)
    }
}

impl JoinChunks for Union {
    fn join(&mut self, chunks: &mut Vec<Chunk>, _: &[Part]) -> Result<(), ChunkError> {
        self.join(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Encoding, XorAppender};
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn chunk(samples: &BTreeMap<i64, u8>) -> Chunk {
        let mut appender = XorAppender::new();
        for (time_ms, value) in samples {
            appender.append(*time_ms, f64::from(*value)).unwrap();
        }
        Chunk {
            min_time_ms: appender.min_time_ms(),
            max_time_ms: appender.max_time_ms(),
            encoding: Encoding::Xor as u8,
            data: appender.finish(),
        }
    }

    proptest! {
        #[test]
        fn joined_chunks_hold_the_union_and_the_first_wins(
            parts in vec((0_i64..500, btree_map(0_i64..60, any::<u8>(), 1..50)), 0..12),
        ) {
            let parts: Vec<BTreeMap<i64, u8>> = parts
                .into_iter()
                .map(|(start, samples)| samples.into_iter().map(|(t, v)| (start + t, v)).collect())
                .collect();
            let mut wanted = BTreeMap::new();
            for (time_ms, value) in parts.iter().flatten() {
                wanted.entry(*time_ms).or_insert(f64::from(*value));
            }
            let given: Vec<Chunk> = parts.iter().map(chunk).collect();
            let mut chunks = given.clone();
            let mut joiner = Union::new(EncodeOptions::default());
            joiner.join(&mut chunks).unwrap();
            prop_assert!(is_apart(&chunks));
            let mut column = Column::new();
            for chunk in &chunks {
                let all = (i64::MIN, i64::MAX);
                chunk::decode(chunk.encoding, &chunk.data, all, &mut column).unwrap();
            }
            let found = column.timestamps.into_iter().zip(column.floats);
            prop_assert!(found.eq(wanted));
            // What shares no time with others is passed on as it is.
            for (place, alone) in given.iter().enumerate() {
                let shares = given.iter().enumerate().any(|(other, chunk)| {
                    other != place && chunk.range().overlaps(alone.range())
                });
                prop_assert!(shares || chunks.iter().any(|chunk| is_same(chunk, alone)));
            }
        }
    }

    #[test]
    fn chunks_that_are_the_same_are_kept_as_they_are() {
        let one = chunk(&BTreeMap::from([(1, 1), (2, 2)]));
        let next = chunk(&BTreeMap::from([(5, 1)]));
        let mut chunks = vec![one.clone(), next.clone(), one.clone(), one.clone()];
        Union::new(EncodeOptions::default()).join(&mut chunks).unwrap();
        assert_eq!(chunks, [one, next]);
    }
}
