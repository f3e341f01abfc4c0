//! A column as chunks.

use std::ops::Range;

use bytes::Bytes;

use crate::model::Column;
use crate::model::histogram::HistogramRef;

use super::{ChunkError, Encoding, HistogramAppender, OpenChunk, XorAppender};

/// How a column becomes chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The most samples of a chunk.
    pub samples_max: u16,
    /// Floats go to XOR2 chunks even if they have no starts; those with one do in any case.
    pub float_starts: bool,
    /// Histograms that have starts go to chunks that keep them; otherwise starts are dropped.
    pub histogram_starts: bool,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { samples_max: 120, float_starts: false, histogram_starts: true }
    }
}

/// A finished chunk and where it lies in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChunk {
    /// Time of the first sample.
    pub min_time_ms: i64,
    /// Time of the last sample.
    pub max_time_ms: i64,
    /// The byte that stands before the chunk on disk.
    pub encoding: u8,
    /// The chunk.
    pub data: Bytes,
}

/// Writes the samples `range` of a column as chunks, in their order. A chunk ends when it is full
/// or the next sample needs another encoding or does not go with the histograms before it.
///
/// # Errors
/// [`ChunkError::Malformed`] for a histogram whose buckets do not fit its spans; chunks before it
/// were given to `each`.
pub fn encode_column(
    column: &Column,
    range: Range<usize>,
    options: &EncodeOptions,
    each: &mut dyn FnMut(EncodedChunk),
) -> Result<(), ChunkError> {
    let range = range.start..range.end.min(column.len());
    let mut encoder = Encoder { options, open: None, spare: None, each };
    let mut histograms = column.histograms.range(range.clone()).peekable();
    for index in range {
        let time_ms = column.timestamps.get(index).copied().unwrap_or_default();
        let start_ms = column.start_ms(index);
        if let Some((_, histogram)) = histograms.next_if(|(at, _)| *at == index) {
            encoder.push_histogram(time_ms, start_ms, histogram)?;
        } else {
            let value = column.floats.get(index).copied().unwrap_or_default();
            encoder.push_float(time_ms, start_ms, value)?;
        }
    }
    encoder.end_chunk();
    Ok(())
}

struct Encoder<'a> {
    options: &'a EncodeOptions,
    open: Option<OpenChunk>,
    /// A float chunk whose memory is used again: most chunks then grow no buffer.
    spare: Option<XorAppender>,
    each: &'a mut dyn FnMut(EncodedChunk),
}

impl Encoder<'_> {
    fn push_float(&mut self, time_ms: i64, start_ms: i64, value: f64) -> Result<(), ChunkError> {
        let wants_starts = start_ms != 0 || self.options.float_starts;
        let goes_on = match &self.open {
            // Either keeps a float, but only one keeps a start.
            Some(OpenChunk::Xor(_)) => start_ms == 0,
            Some(OpenChunk::Xor2(_)) => true,
            _ => false,
        };
        if !goes_on || self.is_full() {
            self.end_chunk();
            self.open = Some(if wants_starts {
                OpenChunk::Xor2(Box::default())
            } else {
                OpenChunk::Xor(self.spare.take().unwrap_or_default())
            });
        }
        match &mut self.open {
            Some(OpenChunk::Xor(appender)) => appender.append(time_ms, value),
            Some(OpenChunk::Xor2(appender)) => appender.append(time_ms, start_ms, value),
            _ => Ok(()),
        }
    }

    fn push_histogram(
        &mut self,
        time_ms: i64,
        start_ms: i64,
        histogram: HistogramRef<'_>,
    ) -> Result<(), ChunkError> {
        let start_ms = if self.options.histogram_starts { start_ms } else { 0 };
        let encoding = match (histogram.counts.is_float(), start_ms != 0) {
            (false, false) => Encoding::Histogram,
            (true, false) => Encoding::FloatHistogram,
            (false, true) => Encoding::HistogramSt,
            (true, true) => Encoding::FloatHistogramSt,
        };
        let is_full = self.is_full();
        let next = match &mut self.open {
            Some(OpenChunk::Histogram(open)) if open.encoding() == encoding && !is_full => {
                open.append(time_ms, start_ms, histogram)?
            }
            _ => {
                let starts = start_ms != 0;
                Some(HistogramAppender::begin(time_ms, start_ms, histogram, None, starts)?)
            }
        };
        if let Some(next) = next {
            self.end_chunk();
            self.open = Some(OpenChunk::Histogram(Box::new(next)));
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let count = self.open.as_ref().map_or(0, OpenChunk::sample_count);
        count >= self.options.samples_max.max(1)
    }

    fn end_chunk(&mut self) {
        let Some(open) = self.open.take() else { return };
        let (min_time_ms, max_time_ms) = (open.min_time_ms(), open.max_time_ms());
        let encoding = open.encoding() as u8;
        let data = match open {
            OpenChunk::Xor(mut appender) => {
                let data = appender.finish_and_restart();
                self.spare = Some(appender);
                data
            }
            other => other.finish(),
        };
        (self.each)(EncodedChunk { min_time_ms, max_time_ms, encoding, data });
    }
}
