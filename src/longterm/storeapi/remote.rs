//! A series that a store sent.

use std::sync::Arc;

use crate::chunk::{AGGREGATE, AggregateChunk, ChunkError, Part, decode, sample_count};
use crate::model::{Column, Labels};
use crate::series::{
    Aggregate, AggregateReader, Chunk, QueryError, Select, Series, TimeRange, merge_runs,
};

use super::answer::Found;

/// A series with all its chunks in memory.
pub(super) struct RemoteSeries {
    labels: Labels,
    /// By first and last time. They overlap if the store has several blocks for one time, or
    /// samples of several replicas without the label that tells them apart.
    chunks: Vec<Chunk>,
    wanted: Aggregate,
    /// Who sent it, for errors.
    address: Arc<str>,
}

impl RemoteSeries {
    pub(super) fn boxed(found: Found, ask: &Select, address: &Arc<str>) -> Box<dyn Series> {
        Box::new(Self {
            labels: found.labels,
            chunks: found.chunks,
            wanted: ask.hints.aggregate(),
            address: address.clone(),
        })
    }

    fn within(&self, range: TimeRange) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().filter(move |chunk| chunk.range().overlaps(range))
    }

    /// Those that may have a sample in `range`: a downsampled chunk is said to begin with the end
    /// of its first window, but the first sample of a counter stands before that.
    fn reaching(&self, range: TimeRange) -> impl Iterator<Item = &Chunk> {
        let wider = TimeRange::new(range.start_ms, range.end_ms.saturating_add(HOUR_MS));
        let reach = move |chunk: &Chunk| if chunk.encoding == AGGREGATE { wider } else { range };
        self.chunks.iter().filter(move |chunk| chunk.range().overlaps(reach(chunk)))
    }

    fn corrupt(&self, error: ChunkError) -> QueryError {
        QueryError::Corrupt(format!("store {}: series {}: {error}", self.address, self.labels))
    }
}

const FIVE_MINUTES_MS: i64 = 300_000;
const HOUR_MS: i64 = 3_600_000;

/// The length of the windows of a chunk, which stores do not tell: by where they end and by the
/// distance between them. Of few windows, such as a single one, nothing can be said.
fn resolution_ms(chunk: &Chunk) -> Result<i64, ChunkError> {
    if chunk.encoding != AGGREGATE {
        return Ok(0);
    }
    let stored = AggregateChunk::parse(&chunk.data)?;
    let parts = [Part::Count, Part::Sum, Part::Min, Part::Max, Part::Counter];
    let known = parts.into_iter().find_map(|part| stored.get(part).map(|bytes| (part, bytes)));
    let Some((part, (encoding, data))) = known else { return Ok(FIVE_MINUTES_MS) };
    // Counters have a sample before the first window and one behind the last.
    let is_counter = part == Part::Counter && !stored.is_histogram();
    let windows = i64::from(sample_count(encoding, data)?) - if is_counter { 2 } else { 0 };
    let span_ms = chunk.max_time_ms.saturating_sub(chunk.min_time_ms);
    let is_wide = span_ms > ((windows - 2) * HOUR_MS).max((windows - 1) * FIVE_MINUTES_MS);
    if !is_wide || !ends_with_hour(chunk.min_time_ms) {
        return Ok(FIVE_MINUTES_MS);
    }
    let mut column = Column::new();
    decode(encoding, data, (i64::MIN, i64::MAX), &mut column)?;
    let (before, behind) = if is_counter { (1, 2) } else { (0, 1) };
    let last = column.len().saturating_sub(behind);
    let ends = column.timestamps.get(before..last).unwrap_or_default();
    let is_hour = !ends.is_empty() && ends.iter().all(|end_ms| ends_with_hour(*end_ms));
    Ok(if is_hour { HOUR_MS } else { FIVE_MINUTES_MS })
}

/// Windows end a millisecond before a multiple of their length, but for the last one of a chunk.
const fn ends_with_hour(window_end_ms: i64) -> bool {
    window_end_ms.wrapping_add(1) % HOUR_MS == 0
}

impl Series for RemoteSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn resolution_ms(&self) -> i64 {
        let known = self.chunks.iter().filter_map(|chunk| resolution_ms(chunk).ok());
        known.max().unwrap_or(0)
    }

    fn read(&self, range: TimeRange, into: &mut Column) -> Result<(), QueryError> {
        let start = into.len();
        let mut starts = Vec::new();
        let mut reader: Option<(i64, AggregateReader)> = None;
        for chunk in self.reaching(range) {
            starts.push(into.len());
            let pushed = resolution_ms(chunk).and_then(|resolution_ms| {
                let kept = reader.take().filter(|(known_ms, _)| *known_ms == resolution_ms);
                let fresh = || (resolution_ms, AggregateReader::new(self.wanted, resolution_ms));
                reader.insert(kept.unwrap_or_else(fresh)).1.push(chunk, range, into)
            });
            if let Err(error) = pushed {
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
