//! Putting a sample into the chunks of its series.

use crate::chunk::{ChunkError, Encoding, HistogramAppender, OpenChunk, XorAppender};
use crate::model::Sample;
use crate::model::histogram::HistogramRef;
use crate::series::Chunk;

use super::cut::{self, Growing};
use super::isolation::OpenBatch;
use super::series::{Newest, NewestValue, SampleKind, Series, push_closed};

/// How chunks are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkOptions {
    /// No chunk crosses a multiple of it.
    pub(super) range_ms: i64,
    /// Floats go to chunks that keep starts.
    pub(super) float_starts: bool,
    /// So do histograms.
    pub(super) histogram_starts: bool,
}

/// What became of a sample that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is in a chunk; so many chunks were begun.
    InOrder { begun: usize },
    /// It is no newer than the newest sample.
    TooLate,
}

impl Series {
    /// Stores a float that was promised a place and is not logged yet, if it changes nothing but
    /// the end of the open chunk; false if it does. So it can be taken out again
    /// ([`Series::take_back`]), and no reader sees it before its batch is whole.
    ///
    /// It saves looking for the series again when the batch is logged.
    #[inline]
    pub(super) fn store_at_once(&mut self, timestamp_ms: i64, value: f64) -> bool {
        let Some(OpenChunk::Xor(open)) = &mut self.open else { return false };
        // Behind those that wait it waits too.
        let goes_on = open.max_time_ms() == self.newest.timestamp_ms
            && cut::goes_on(open, timestamp_ms, self.next_cut_ms);
        if !goes_on || open.append(timestamp_ms, value).is_err() {
            return false;
        }
        self.newest = Newest { timestamp_ms, value: NewestValue::Float(value) };
        self.count_stored();
        true
    }

    /// Makes the series one of the batch's and stores its one float at once, if nothing speaks
    /// against either and nothing else is to be done about them; false if something does, and then
    /// nothing is changed.
    #[inline(always)]
    pub(super) fn store_plain(&mut self, sample: Sample, batch: &OpenBatch<'_>) -> bool {
        let Sample { timestamp_ms, value } = sample;
        if !self.is_free_for(batch) || !matches!(self.newest.value, NewestValue::Float(_)) {
            return false;
        }
        let Some(OpenChunk::Xor(open)) = &mut self.open else { return false };
        let newest_ms = self.newest.timestamp_ms;
        let goes_on = timestamp_ms > newest_ms
            && open.max_time_ms() == newest_ms
            && cut::goes_on(open, timestamp_ms, self.next_cut_ms);
        if !goes_on
            || !open.append_alike(timestamp_ms, value) && open.append(timestamp_ms, value).is_err()
        {
            return false;
        }
        self.newest = Newest { timestamp_ms, value: NewestValue::Float(value) };
        self.claim_for_one(batch);
        true
    }

    /// Stores a float if it is newer than all others.
    #[inline]
    pub(super) fn store_float(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        value: f64,
        options: &ChunkOptions,
    ) -> Result<Stored, ChunkError> {
        let mut begun = 0;
        if !matches!(self.open, Some(OpenChunk::Xor(_))) || options.float_starts {
            return self.store_other_float(timestamp_ms, start_ms, value, options);
        }
        if let Some(OpenChunk::Xor(open)) = &mut self.open {
            if open.max_time_ms() >= timestamp_ms {
                return Ok(Stored::TooLate);
            }
            let chunk = Growing {
                min_time_ms: open.min_time_ms(),
                max_time_ms: open.max_time_ms(),
                sample_count: open.sample_count(),
                len_bytes: open.len_bytes(),
            };
            if cut::is_due(chunk, timestamp_ms, &mut self.next_cut_ms) {
                push_closed(
                    &mut self.closed,
                    Chunk {
                        min_time_ms: chunk.min_time_ms,
                        max_time_ms: chunk.max_time_ms,
                        encoding: Encoding::Xor as u8,
                        // Growing anew for each chunk would take longer than all else about it.
                        data: open.finish_and_restart(),
                    },
                );
                self.next_cut_ms = cut::range_end_ms(timestamp_ms, options.range_ms);
                begun = 1;
            }
            open.append(timestamp_ms, value)?;
        }
        self.note(timestamp_ms, NewestValue::Float(value));
        Ok(Stored::InOrder { begun })
    }

    /// The first sample of a series, the first after histograms, and floats with starts.
    #[inline(never)]
    fn store_other_float(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        value: f64,
        options: &ChunkOptions,
    ) -> Result<Stored, ChunkError> {
        if self.stored_max_ms().is_some_and(|newest_ms| newest_ms >= timestamp_ms) {
            return Ok(Stored::TooLate);
        }
        let mut begun = 0;
        let ends = match &self.open {
            None | Some(OpenChunk::Histogram(_)) => true,
            // Whether starts are kept may have changed; what has one needs the other kind now.
            Some(OpenChunk::Xor(_)) if start_ms != 0 => true,
            Some(open) => {
                let chunk = Growing::of(open);
                cut::is_due(chunk, timestamp_ms, &mut self.next_cut_ms)
            }
        };
        if ends {
            self.close_chunk();
            self.next_cut_ms = cut::range_end_ms(timestamp_ms, options.range_ms);
            self.open = Some(if options.float_starts {
                OpenChunk::Xor2(Box::default())
            } else {
                OpenChunk::Xor(XorAppender::new())
            });
            begun = 1;
        }
        match &mut self.open {
            Some(OpenChunk::Xor(open)) => open.append(timestamp_ms, value)?,
            Some(OpenChunk::Xor2(open)) => open.append(timestamp_ms, start_ms, value)?,
            Some(OpenChunk::Histogram(_)) | None => {}
        }
        self.note(timestamp_ms, NewestValue::Float(value));
        Ok(Stored::InOrder { begun })
    }

    /// Stores a histogram if it is newer than all other samples.
    pub(super) fn store_histogram(
        &mut self,
        timestamp_ms: i64,
        start_ms: i64,
        histogram: HistogramRef<'_>,
        options: &ChunkOptions,
    ) -> Result<Stored, ChunkError> {
        if self.stored_max_ms().is_some_and(|newest_ms| newest_ms >= timestamp_ms) {
            return Ok(Stored::TooLate);
        }
        let is_float = histogram.counts.is_float();
        let kind = self.stored_newest().kind();
        let continues = kind == Some(SampleKind::histogram(is_float));
        let ends = !continues || self.is_histogram_chunk_due(timestamp_ms, options);
        let next = match &mut self.open {
            Some(OpenChunk::Histogram(open)) if !ends => {
                open.append(timestamp_ms, start_ms, histogram)?
            }
            open => {
                let before = match open {
                    Some(OpenChunk::Histogram(before)) if continues => Some(&**before),
                    _ => None,
                };
                let starts = options.histogram_starts;
                Some(HistogramAppender::begin(timestamp_ms, start_ms, histogram, before, starts)?)
            }
        };
        let mut begun = 0;
        if let Some(next) = next {
            self.close_chunk();
            self.open = Some(OpenChunk::Histogram(Box::new(next)));
            self.next_cut_ms = cut::range_end_ms(timestamp_ms, options.range_ms);
            // Upstream keeps the estimate of a chunk that a counter reset has ended for the next
            // one, and so the chunks have the same ends.
            self.has_estimate &= !ends;
            begun = 1;
        }
        self.note(timestamp_ms, NewestValue::Histogram { is_float });
        Ok(Stored::InOrder { begun })
    }

    fn is_histogram_chunk_due(&mut self, timestamp_ms: i64, options: &ChunkOptions) -> bool {
        let Some(open) = &self.open else { return true };
        let chunk = Growing::of(open);
        let estimate = (&mut self.next_cut_ms, &mut self.has_estimate);
        cut::is_histogram_due(chunk, timestamp_ms, options.range_ms, estimate)
    }

    fn stored_max_ms(&self) -> Option<i64> {
        let open = self.open.as_ref().map(OpenChunk::max_time_ms);
        open.or_else(|| self.closed.last().map(|closed| closed.range().end_ms))
    }

    /// Notes that a sample is stored. What was promised already may be newer.
    #[inline]
    fn note(&mut self, timestamp_ms: i64, value: NewestValue) {
        if timestamp_ms >= self.newest.timestamp_ms {
            self.newest = Newest { timestamp_ms, value };
        }
        self.count_stored();
    }
}
