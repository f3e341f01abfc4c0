//! Raw samples of a series as windows of them.

use crate::chunk::{self, ChunkError, Encoding};
use crate::model::histogram::HistogramRef;
use crate::model::is_stale;
use crate::series::{Chunk, Column};

use super::floats::Floats;
use super::histograms::{Histograms, Row, Rows};
use super::window::{RAW_MS, chunk_count, window_end};

/// Downsamples raw chunks, with memory that is used from one series to the next.
#[derive(Debug, Default)]
pub(super) struct Raw {
    column: Column,
    floats: Floats,
    histograms: Histograms,
}

const fn is_histogram(encoding: Encoding) -> bool {
    !matches!(encoding, Encoding::Xor | Encoding::Xor2)
}

impl Raw {
    /// Appends what becomes of the raw chunks of one series. Floats and histograms never share a
    /// chunk. Samples that would turn time back are left out.
    pub(super) fn series(
        &mut self,
        chunks: &[Chunk],
        resolution_ms: i64,
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        self.column.clear();
        self.histograms.begin_series();
        let mut kind = None;
        for chunk in chunks {
            let next = is_histogram(Encoding::try_from(chunk.encoding)?);
            if kind.is_some_and(|kind| kind != next) {
                self.flush(resolution_ms, out)?;
            }
            kind = Some(next);
            let start = self.column.len();
            let after_ms = self.column.timestamps.last().map_or(i64::MIN, |last| last + 1);
            let span = (after_ms, i64::MAX);
            chunk::decode(chunk.encoding, &chunk.data, span, &mut self.column)?;
            if !next {
                remove_markers(&mut self.column, start);
            }
        }
        self.flush(resolution_ms, out)
    }

    /// Makes chunks of the samples so far, which are of one kind. Matches `DownsampleRaw`.
    fn flush(&mut self, resolution_ms: i64, out: &mut Vec<Chunk>) -> Result<(), ChunkError> {
        if self.column.histograms.is_empty() {
            self.flush_floats(resolution_ms, out)?;
        } else {
            self.flush_histograms(resolution_ms, out)?;
        }
        self.column.clear();
        Ok(())
    }

    fn flush_floats(&mut self, resolution_ms: i64, out: &mut Vec<Chunk>) -> Result<(), ChunkError> {
        let Column { timestamps, floats, .. } = &mut self.column;
        let (mut times, mut values) = (timestamps.as_mut_slice(), floats.as_mut_slice());
        let batch = batch_len(times, resolution_ms);
        while !times.is_empty() {
            let length = to_window_end(times, batch, resolution_ms);
            let (batch_times, times_behind) = times.split_at_mut(length);
            let (batch_values, values_behind) = values.split_at_mut(length);
            // They count where batches are sized, and nowhere else.
            let kept = remove_nans(batch_times, batch_values);
            let batch_times = batch_times.get(..kept).unwrap_or_default();
            let batch_values = batch_values.get(..kept).unwrap_or_default();
            self.floats.raw(batch_times, batch_values, resolution_ms, out)?;
            (times, values) = (times_behind, values_behind);
        }
        Ok(())
    }

    fn flush_histograms(
        &mut self,
        resolution_ms: i64,
        out: &mut Vec<Chunk>,
    ) -> Result<(), ChunkError> {
        let Column { timestamps, histograms, .. } = &self.column;
        let alive = histograms.iter().filter(|(_, one)| !one.is_stale());
        let (times, all): (Vec<i64>, Vec<HistogramRef<'_>>) =
            alive.filter_map(|(index, one)| Some((*timestamps.get(index)?, one))).unzip();
        let (mut times, mut all) = (times.as_slice(), all.as_slice());
        let batch = batch_len(times, resolution_ms);
        let mut rows = Vec::new();
        while !times.is_empty() {
            let length = to_window_end(times, batch, resolution_ms);
            let (batch_times, times_behind) = times.split_at(length);
            let (batch_all, all_behind) = all.split_at(length);
            let kept = batch_times.iter().zip(batch_all).filter(|(_, one)| !one.sum.is_nan());
            rows.clear();
            rows.extend(kept.map(|(time_ms, one)| Row::new(*time_ms, *one)));
            let rows = Rows { counter: &rows, sum: &rows, counts: None, last: None };
            self.histograms.chunks(rows, resolution_ms, out)?;
            (times, all) = (times_behind, all_behind);
        }
        Ok(())
    }
}

/// How many samples make a chunk, before its last window is completed.
fn batch_len(times: &[i64], resolution_ms: i64) -> usize {
    let (Some(first_ms), Some(last_ms)) = (times.first(), times.last()) else { return 1 };
    times.len() / chunk_count((*first_ms, *last_ms), RAW_MS, resolution_ms, times.len()) + 1
}

/// A length of about `length`, but to the end of a window.
fn to_window_end(times: &[i64], length: usize, resolution_ms: i64) -> usize {
    let length = length.min(times.len());
    let last = length.checked_sub(1).and_then(|last| times.get(last));
    let Some(end_ms) = last.map(|last_ms| window_end(*last_ms, resolution_ms)) else { return 0 };
    length + times.iter().skip(length).take_while(|time_ms| **time_ms <= end_ms).count()
}

/// Takes the floats that end a series out of those from `start` on.
pub(super) fn remove_markers(column: &mut Column, start: usize) {
    let markers = column.floats.iter().skip(start);
    if !{ markers }.any(|value| is_stale(*value)) {
        return;
    }
    let Column { timestamps, floats, .. } = column;
    let mut to = start;
    for from in start..floats.len() {
        let (Some(time_ms), Some(value)) = (timestamps.get(from), floats.get(from)) else { break };
        let (time_ms, value) = (*time_ms, *value);
        if is_stale(value) {
            continue;
        }
        if let (Some(time_slot), Some(value_slot)) = (timestamps.get_mut(to), floats.get_mut(to)) {
            (*time_slot, *value_slot) = (time_ms, value);
        }
        to += 1;
    }
    column.starts_ms.clear();
    column.truncate(to);
}

/// Brings what is a number to the front; says how much that is.
fn remove_nans(times: &mut [i64], values: &mut [f64]) -> usize {
    if !values.iter().any(|value| value.is_nan()) {
        return values.len();
    }
    let mut to = 0;
    for from in 0..values.len() {
        if values.get(from).is_some_and(|value| !value.is_nan()) {
            values.swap(to, from);
            times.swap(to, from);
            to += 1;
        }
    }
    to
}
