//! Samples of one series that came late: behind a newer one of their series.
//!
//! They are kept apart from those that came in order: the newest in a sorted column of at most
//! 255, the others in chunks that may overlap one another and the chunks of samples in order. The
//! chunks are merged when they are read ([`read_merged`]) and when a block is made of them.

use crate::chunk::{self, ChunkError, EncodeOptions, EncodedChunk};
use crate::model::{Column, Value};
use crate::series::{Chunk, SeriesRef, TimeRange, merge_runs};

use super::closed::Closed;
use super::mapped::{ChunkFiles, ChunkRef};

/// So many samples are gathered before they become chunks, unless the user says otherwise.
pub(in crate::storage) const OOO_SAMPLES_MAX: u8 = 32;

/// Late samples that are not in a chunk yet.
#[derive(Debug, Clone, Default)]
pub(in crate::storage) struct OooSamples {
    column: Column,
}

impl OooSamples {
    /// Takes a sample, with the time since when it counts or 0. Returns false, and leaves it out,
    /// if there is one of the same time.
    pub(in crate::storage) fn insert(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        value: Value<'_>,
    ) -> bool {
        let column = &mut self.column;
        let place = column.timestamps.partition_point(|time| *time < timestamp_ms);
        if column.timestamps.get(place) == Some(&timestamp_ms) {
            return false;
        }
        match value {
            Value::Float(value) if start_ms == 0 && column.is_plain() => {
                column.timestamps.insert(place, timestamp_ms);
                column.floats.insert(place, value);
            }
            _ => {
                let mut behind = Column::new();
                behind.extend_from(column, place..column.len());
                column.truncate(place);
                column.push_value(timestamp_ms, start_ms, value);
                column.extend_from(&behind, 0..behind.len());
            }
        }
        true
    }

    /// How many there are.
    pub(in crate::storage) fn len(&self) -> usize {
        self.column.len()
    }

    /// True if there is no room for another, `samples_max` being the user's choice.
    pub(in crate::storage) fn is_full(&self, samples_max: u8) -> bool {
        self.len() >= usize::from(samples_max.max(1))
    }

    /// Time of the first and of the last.
    pub(in crate::storage) fn span(&self) -> Option<TimeRange> {
        let (first, last) = self.column.timestamps.first().zip(self.column.timestamps.last())?;
        Some(TimeRange::new(*first, *last))
    }

    /// The samples in time order.
    pub(in crate::storage) const fn column(&self) -> &Column {
        &self.column
    }

    /// The samples as chunks, in time order. They stay here until [`clear`](Self::clear).
    ///
    /// # Errors
    /// A histogram that is none, which an append refuses.
    pub(in crate::storage) fn to_chunks(
        &self,
        options: &EncodeOptions,
    ) -> Result<Vec<EncodedChunk>, ChunkError> {
        let mut chunks = Vec::new();
        let all = 0..self.column.len();
        chunk::encode_column(&self.column, all, options, &mut |chunk| chunks.push(chunk))?;
        Ok(chunks)
    }

    /// Forgets them.
    pub(in crate::storage) fn clear(&mut self) {
        self.column = Column::new();
    }

    /// Bytes that they take in memory, about, without the type itself.
    pub(in crate::storage) fn memory_bytes(&self) -> usize {
        let column = &self.column;
        let histograms = column.histograms.iter().map(|(_, one)| 64 + 8 * one.counts.bucket_len());
        8 * (column.timestamps.capacity() + column.floats.capacity() + column.starts_ms.capacity())
            + histograms.sum::<usize>()
    }
}

/// All late samples of a series.
#[derive(Debug, Clone, Default)]
pub(super) struct OooSeries {
    pub(super) samples: OooSamples,
    /// In the order of writing.
    pub(super) chunks: Vec<Closed>,
    /// So many of the chunks, from the first on, are being made a block of.
    pub(super) cut_count: usize,
}

impl OooSeries {
    /// True if there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.samples.len() == 0 && self.chunks.is_empty()
    }

    /// How many chunks there are; what is not in one yet counts as one.
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len() + usize::from(self.samples.len() > 0)
    }

    /// Time of the first and of the last sample.
    pub(super) fn span(&self) -> Option<TimeRange> {
        let ranges = self.chunks.iter().map(Closed::range).chain(self.samples.span());
        ranges.reduce(|a, b| TimeRange::new(a.start_ms.min(b.start_ms), a.end_ms.max(b.end_ms)))
    }

    /// Makes chunks of the gathered samples, in a file if there are files and they take it.
    /// Returns the references of those in a file.
    ///
    /// # Errors
    /// A histogram that is none; the samples are as they were.
    pub(super) fn close_samples(
        &mut self,
        series: SeriesRef,
        files: Option<&ChunkFiles>,
        options: &EncodeOptions,
    ) -> Result<Vec<ChunkRef>, ChunkError> {
        let mut refs = Vec::new();
        for EncodedChunk { min_time_ms, max_time_ms, encoding, data } in
            self.samples.to_chunks(options)?
        {
            let mut closed = Closed::Memory(Chunk { min_time_ms, max_time_ms, encoding, data });
            if let Some(files) = files
                && let Err(error) = closed.map(series, true, files)
            {
                tracing::warn!(%error, "a chunk of late samples stays in memory");
            }
            refs.extend(closed.place());
            self.chunks.push(closed);
        }
        self.samples.clear();
        Ok(refs)
    }

    /// Forgets the chunks that are in a block now; returns how many.
    pub(super) fn drop_cut(&mut self) -> usize {
        let count = self.cut_count.min(self.chunks.len());
        self.chunks.drain(..count);
        self.cut_count = 0;
        count
    }

    /// Bytes that they take in memory besides the type itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(Closed::heap_bytes).sum();
        self.samples.memory_bytes() + self.chunks.capacity() * size_of::<Closed>() + chunks
    }
}

/// Appends the samples in `range` of chunks that may overlap to `into`, in time order. Of several
/// samples of one time the earliest chunk of the list wins.
///
/// # Errors
/// The first chunk that cannot be decoded; the column is then as it was.
pub(in crate::storage) fn read_merged<'a>(
    chunks: impl IntoIterator<Item = &'a Chunk>,
    range: TimeRange,
    into: &mut Column,
) -> Result<(), ChunkError> {
    let before = into.len();
    let mut starts = Vec::new();
    for chunk in chunks.into_iter().filter(|chunk| chunk.range().overlaps(range)) {
        starts.push(into.len());
        let span = (range.start_ms, range.end_ms);
        if let Err(error) = chunk::decode(chunk.encoding, &chunk.data, span, into) {
            into.truncate(before);
            return Err(error);
        }
    }
    merge_runs(into, &starts);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::model::histogram::Histogram;

    fn chunk_of(samples: &BTreeMap<i64, f64>) -> Option<Chunk> {
        let mut appender = chunk::XorAppender::new();
        samples.iter().for_each(|(time, value)| appender.append(*time, *value).unwrap());
        let (min_time_ms, max_time_ms) = (appender.min_time_ms(), appender.max_time_ms());
        let is_some = appender.sample_count() > 0;
        is_some.then(|| Chunk { min_time_ms, max_time_ms, encoding: 1, data: appender.finish() })
    }

    proptest! {
        #[test]
        fn late_samples_stand_in_time_order_and_once(
            samples in vec((0_i64..60, any::<bool>(), 0_i64..3), 0..100),
        ) {
            let mut late = OooSamples::default();
            let mut wanted = BTreeMap::new();
            for (index, (time, is_histogram, start)) in samples.into_iter().enumerate() {
                let mut histogram = Histogram::stale(true);
                histogram.sum = index as f64;
                let value = if is_histogram {
                    Value::Histogram(histogram.as_ref())
                } else {
                    Value::Float(index as f64)
                };
                let is_new = late.insert(time, start, value);
                prop_assert_eq!(is_new, !wanted.contains_key(&time));
                wanted.entry(time).or_insert((start, is_histogram, index as f64));
            }
            let found = late.column().samples().map(|(time, start, value)| match value {
                Value::Float(value) => (time, (start, false, value)),
                Value::Histogram(histogram) => (time, (start, true, histogram.sum)),
            });
            prop_assert_eq!(found.collect::<Vec<_>>(), wanted.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn overlapping_chunks_are_read_in_time_order(
            parts in vec(proptest::collection::btree_map(0_i64..100, any::<f64>(), 0..20), 0..6),
            from in 0_i64..100, length in 0_i64..100,
        ) {
            let range = TimeRange::new(from, from + length);
            let mut wanted = BTreeMap::new();
            for (time, value) in parts.iter().flatten() {
                if range.contains(*time) {
                    wanted.entry(*time).or_insert(value.to_bits());
                }
            }
            let chunks: Vec<Chunk> = parts.iter().filter_map(chunk_of).collect();
            let mut column = Column::new();
            column.push(-1, 0.5);
            read_merged(&chunks, range, &mut column).unwrap();
            let bits = column.floats.iter().map(|value| value.to_bits());
            let found: Vec<_> = column.timestamps.iter().copied().zip(bits).skip(1).collect();
            prop_assert_eq!(found, wanted.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_full_column_says_so() {
        let mut late = OooSamples::default();
        assert!(!late.is_full(1) && late.span().is_none());
        late.insert(5, 0, Value::Float(1.0));
        late.insert(3, 0, Value::Float(1.0));
        assert!(late.is_full(2) && !late.is_full(3) && late.is_full(0));
        assert_eq!(late.span(), Some(TimeRange::new(3, 5)));
    }
}
