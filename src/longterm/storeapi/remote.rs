//! A series that a store sent.

use std::sync::Arc;

use crate::chunk::{AGGREGATE, decode};
use crate::model::{Column, Labels};
use crate::series::{Aggregate, Chunk, QueryError, Select, Series, TimeRange, merge_runs};

use super::answer::Found;

/// A series with all its chunks in memory.
pub(super) struct RemoteSeries {
    labels: Labels,
    /// By first and last time. They overlap if the store has several blocks for one time, or
    /// samples of several replicas without the label that tells them apart.
    chunks: Vec<Chunk>,
    wanted: Aggregate,
    resolution_ms: i64,
    /// Who sent it, for errors.
    address: Arc<str>,
}

impl RemoteSeries {
    pub(super) fn boxed(found: Found, ask: &Select, address: &Arc<str>) -> Box<dyn Series> {
        Box::new(Self {
            labels: found.labels,
            chunks: found.chunks,
            wanted: Aggregate::wanted_by(ask.hints.func.as_deref()),
            resolution_ms: ask.hints.max_resolution_ms,
            address: address.clone(),
        })
    }

    fn within(&self, range: TimeRange) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().filter(move |chunk| chunk.range().overlaps(range))
    }

    fn corrupt(&self, error: crate::chunk::ChunkError) -> QueryError {
        QueryError::Corrupt(format!("store {}: series {}: {error}", self.address, self.labels))
    }
}

impl Series for RemoteSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let start = into.len();
        let mut starts = Vec::new();
        for chunk in self.within(range) {
            starts.push(into.len());
            let span = (range.start_ms, range.end_ms);
            if let Err(error) = decode(chunk.encoding, &chunk.data, span, into) {
                into.truncate(start);
                return Err(self.corrupt(error));
            }
        }
        merge_runs(into, &starts);
        Ok(())
    }

    fn chunks(&self, range: TimeRange, into: &mut Vec<Chunk>) -> Result<(), QueryError> {
        into.extend(self.within(range).cloned());
        Ok(())
    }
}
