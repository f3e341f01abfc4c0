//! The chunk of histograms that grows.

use bytes::Bytes;

use crate::chunk::{ChunkError, Encoding};
use crate::model::histogram::{Histogram, HistogramRef};

/// Writes one chunk of histograms, with integer or float counts, with or without starts.
#[derive(Debug, Clone)]
pub struct HistogramAppender {
    bytes: Vec<u8>,
    last: Histogram,
    min_time_ms: i64,
    max_time_ms: i64,
    encoding: Encoding,
}

impl HistogramAppender {
    /// Begins a chunk with its first sample. If it continues a series, the appender of the chunk
    /// before says whether a counter reset lies between; without one that is not known.
    ///
    /// # Errors
    /// [`ChunkError::Malformed`] if buckets and spans do not fit together.
    pub fn begin(
        timestamp_ms: i64,
        start_ms: i64,
        histogram: HistogramRef<'_>,
        previous: Option<&Self>,
        starts: bool,
    ) -> Result<Self, ChunkError> {
        let _ = (timestamp_ms, start_ms, previous, starts);
        let is_float = histogram.counts.is_float();
        Err(ChunkError::Unsupported(if is_float {
            Encoding::FloatHistogram
        } else {
            Encoding::Histogram
        }))
    }

    /// Appends a sample, or begins the next chunk with it if it does not belong into this one:
    /// then returns the new appender, and this chunk is finished.
    ///
    /// # Errors
    /// [`ChunkError::Full`] if the count can say no more, [`ChunkError::Malformed`] if buckets and
    /// spans do not fit together; the chunk is then as it was.
    pub fn append(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        histogram: HistogramRef<'_>,
    ) -> Result<Option<Self>, ChunkError> {
        let _ = (timestamp_ms, start_ms, histogram);
        Err(ChunkError::Unsupported(self.encoding))
    }

    /// Which of the four encodings it writes.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The chunk so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many samples there are.
    #[must_use]
    pub fn sample_count(&self) -> u16 {
        super::super::sample_count(self.encoding as u8, &self.bytes).unwrap_or(0)
    }

    /// Time of the first sample.
    #[must_use]
    pub const fn min_time_ms(&self) -> i64 {
        self.min_time_ms
    }

    /// Time of the last sample.
    #[must_use]
    pub const fn max_time_ms(&self) -> i64 {
        self.max_time_ms
    }

    /// The last sample, with the buckets of the whole chunk: those that it did not have are zero.
    #[must_use]
    pub fn last(&self) -> HistogramRef<'_> {
        self.last.as_ref()
    }

    /// True if the last sample was this one, whatever its spans and its hint.
    #[must_use]
    pub fn repeats_last(&self, histogram: HistogramRef<'_>) -> bool {
        self.last.as_ref() == histogram
    }

    /// Bytes that the appender takes in memory, itself included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    /// The finished chunk, in no more memory than it needs.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(self.bytes.into_boxed_slice())
    }
}
