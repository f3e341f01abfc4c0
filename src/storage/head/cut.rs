//! When a chunk ends, by Prometheus's rule, so that the same samples make the same chunks.
//!
//! A chunk never crosses a multiple of the block range. After a quarter of the wanted samples the
//! rest of the range is divided evenly; twice the wanted samples end a chunk in any case.
//! `computeChunkEndTime` and `rangeForTimestamp` are upstream's names of it.

use crate::chunk::{OpenChunk, XorAppender};

/// Samples that a chunk should hold.
const SAMPLES_WANTED: u16 = 120;
/// A chunk of this many samples ends, whatever was estimated.
const SAMPLES_MAX: u16 = 2 * SAMPLES_WANTED;
/// At this many samples the chunk's end is estimated.
const SAMPLES_AT_ESTIMATE: u16 = SAMPLES_WANTED / 4;
/// A chunk with more bytes takes no further sample: 1024 less the longest float sample.
const BYTES_MAX: usize = 1024 - 19;
/// Bytes that a chunk of histograms should have.
const HISTOGRAM_BYTES_WANTED: usize = 1024;
/// However large they are, a chunk holds as many histograms, unless its range ends.
const HISTOGRAM_SAMPLES_MIN: u16 = 10;

/// First instant after the range that holds `time_ms`; the division rounds toward zero.
pub(in crate::storage) const fn range_end_ms(time_ms: i64, range_ms: i64) -> i64 {
    let start_ms = if range_ms == 0 { time_ms } else { (time_ms / range_ms) * range_ms };
    start_ms.saturating_add(range_ms)
}

/// Where a chunk `start_ms..=now_ms` that is `1 / ratio_to_full` full should end, so that the time
/// until `end_ms` falls into equal chunks.
fn estimated_end_ms(start_ms: i64, now_ms: i64, end_ms: i64, ratio_to_full: f64) -> i64 {
    let left_ms = end_ms.saturating_sub(start_ms) as f64;
    let taken_ms = now_ms.saturating_sub(start_ms).saturating_add(1) as f64;
    let chunks = left_ms / (taken_ms * ratio_to_full);
    if chunks <= 1.0 {
        return end_ms;
    }
    (start_ms as f64 + left_ms / chunks.floor()) as i64
}

/// What decides about the end of an open chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growing {
    pub(super) min_time_ms: i64,
    pub(super) max_time_ms: i64,
    pub(super) sample_count: u16,
    pub(super) len_bytes: usize,
}

impl Growing {
    pub(super) fn of(open: &OpenChunk) -> Self {
        Self {
            min_time_ms: open.min_time_ms(),
            max_time_ms: open.max_time_ms(),
            sample_count: open.sample_count(),
            len_bytes: open.len_bytes(),
        }
    }
}

/// True if the chunk must end before a sample at `time_ms`. `next_cut_ms` is where it was to end,
/// and is changed when the estimate is due.
pub(super) fn is_due(chunk: Growing, time_ms: i64, next_cut_ms: &mut i64) -> bool {
    if chunk.len_bytes > BYTES_MAX {
        return true;
    }
    if chunk.sample_count == SAMPLES_AT_ESTIMATE {
        *next_cut_ms = estimated_end_ms(chunk.min_time_ms, chunk.max_time_ms, *next_cut_ms, 4.0);
    }
    time_ms >= *next_cut_ms || chunk.sample_count >= SAMPLES_MAX
}

/// True if a sample at `time_ms` neither ends the chunk nor brings the estimate of its end: when
/// [`is_due`] would be false and change nothing.
#[inline]
pub(super) const fn goes_on(chunk: &XorAppender, time_ms: i64, next_cut_ms: i64) -> bool {
    let sample_count = chunk.sample_count();
    time_ms < next_cut_ms
        && sample_count < SAMPLES_MAX
        && sample_count != SAMPLES_AT_ESTIMATE
        && chunk.len_bytes() <= BYTES_MAX
}

/// As [`is_due`], for a chunk of histograms, which is measured in bytes: `estimate` is where it was
/// to end, and whether that was estimated already (`histogramsAppendPreprocessor`).
pub(super) fn is_histogram_due(
    chunk: Growing,
    time_ms: i64,
    range_ms: i64,
    (next_cut_ms, has_estimate): (&mut i64, &mut bool),
) -> bool {
    let range_end_ms =
        if *has_estimate { range_end_ms(chunk.min_time_ms, range_ms) } else { *next_cut_ms };
    if !*has_estimate && chunk.len_bytes >= HISTOGRAM_BYTES_WANTED / 4 {
        let ratio = HISTOGRAM_BYTES_WANTED as f64 / chunk.len_bytes as f64;
        *next_cut_ms = estimated_end_ms(chunk.min_time_ms, chunk.max_time_ms, *next_cut_ms, ratio);
        *has_estimate = true;
    }
    let is_full = time_ms >= *next_cut_ms || chunk.len_bytes >= HISTOGRAM_BYTES_WANTED * 2;
    is_full && (chunk.sample_count >= HISTOGRAM_SAMPLES_MIN || time_ms >= range_end_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_range_ends_at_its_next_multiple() {
        assert_eq!(range_end_ms(0, 2 * HOUR_MS), 2 * HOUR_MS);
        assert_eq!(range_end_ms(2 * HOUR_MS - 1, 2 * HOUR_MS), 2 * HOUR_MS);
        assert_eq!(range_end_ms(2 * HOUR_MS, 2 * HOUR_MS), 4 * HOUR_MS);
        assert_eq!(range_end_ms(-5, 10), 10);
        assert_eq!(range_end_ms(i64::MAX, 10), i64::MAX);
    }

    #[test]
    fn the_rest_of_the_range_is_divided_evenly() {
        // 30 samples of 15 s in a range of two hours: four chunks of 30 minutes.
        assert_eq!(estimated_end_ms(0, 29 * 15_000, 2 * HOUR_MS, 4.0), HOUR_MS / 2);
        // So slow that the chunk lasts for the whole range.
        assert_eq!(estimated_end_ms(0, HOUR_MS, 2 * HOUR_MS, 4.0), 2 * HOUR_MS);
    }

    #[test]
    fn a_long_or_heavy_chunk_ends() {
        let chunk = Growing { min_time_ms: 0, max_time_ms: 10, sample_count: 1, len_bytes: 1005 };
        assert!(!is_due(chunk, 11, &mut 12));
        assert!(is_due(chunk, 12, &mut 12));
        assert!(is_due(Growing { len_bytes: 1006, ..chunk }, 11, &mut 12));
        assert!(is_due(Growing { sample_count: 240, ..chunk }, 11, &mut 12));
    }

    #[test]
    fn a_chunk_of_histograms_ends_by_its_size_but_not_before_ten() {
        let chunk = |sample_count, len_bytes| Growing {
            min_time_ms: 0,
            max_time_ms: HOUR_MS / 4 - 1,
            sample_count,
            len_bytes,
        };
        let range_ms = 2 * HOUR_MS;
        let (mut next_cut_ms, mut has_estimate) = (range_ms, false);
        let mut is_due = |chunk, time_ms| {
            is_histogram_due(chunk, time_ms, range_ms, (&mut next_cut_ms, &mut has_estimate))
        };
        assert!(!is_due(chunk(5, 255), HOUR_MS / 2));
        // A quarter full after a quarter of an hour: two chunks in the two hours.
        assert!(!is_due(chunk(6, 256), HOUR_MS / 2));
        assert!(!is_due(chunk(9, 900), HOUR_MS));
        assert!(is_due(chunk(10, 900), HOUR_MS));
        assert!(is_due(chunk(9, 900), range_ms));
        assert!(!is_due(chunk(10, 2047), HOUR_MS / 2) && is_due(chunk(10, 2048), HOUR_MS / 2));
    }
}
