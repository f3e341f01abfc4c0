//! Which window a time lies in, and how many windows make a chunk.

use std::ops::Range;

/// The assumed distance of raw samples, whatever it really is: enough to size chunks.
pub(super) const RAW_MS: i64 = 60_000;
/// Chunks are made until each has about this many windows at most.
const WINDOWS_PER_CHUNK: i64 = 140;

/// The last millisecond of the window that the time lies in.
pub(super) const fn window_end(time_ms: i64, resolution_ms: i64) -> i64 {
    let start_ms = time_ms.saturating_sub(time_ms.rem_euclid(resolution_ms));
    start_ms.saturating_add(resolution_ms - 1)
}

/// How many chunks the samples between two times should become. Matches `targetChunkCount`.
pub(super) fn chunk_count(
    (min_time_ms, max_time_ms): (i64, i64),
    from_ms: i64,
    to_ms: i64,
    samples: usize,
) -> usize {
    let span_ms = max_time_ms.saturating_sub(min_time_ms);
    let fullness = (samples as f64 / (span_ms as f64 / from_ms as f64)).min(1.0);
    let expected = ((span_ms / to_ms) as f64 * fullness) as i64 + 1;
    // The smallest divisor with a quotient of at most that many.
    usize::try_from(expected / (WINDOWS_PER_CHUNK + 1) + 1).unwrap_or(1)
}

/// Calls `each` with the time and the samples of every window that has some. No window is said to
/// end behind the last sample: the next chunk may begin in the same window.
pub(super) fn each_window<E>(
    times: &[i64],
    resolution_ms: i64,
    mut each: impl FnMut(i64, Range<usize>) -> Result<(), E>,
) -> Result<(), E> {
    let last_ms = times.last().copied().unwrap_or(0);
    let mut from = 0;
    while let Some(first_ms) = times.get(from) {
        let end_ms = window_end(*first_ms, resolution_ms).min(last_ms);
        let inside = times.iter().skip(from).take_while(|time_ms| **time_ms <= end_ms);
        let to = from + inside.count().max(1);
        each(end_ms, from..to)?;
        from = to;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_before_the_next_multiple() {
        for (time_ms, end_ms) in [(0, 299), (299, 299), (300, 599), (-1, -1), (-300, -1)] {
            assert_eq!(window_end(time_ms, 300), end_ms, "{time_ms}");
        }
        assert_eq!(window_end(i64::MAX, 300), i64::MAX);
    }

    #[test]
    fn chunks_have_about_115_windows_of_two_days() {
        const DAY_MS: i64 = 86_400_000;
        for interval_ms in [15_000, 30_000, 60_000] {
            let samples = (2 * DAY_MS / interval_ms) as usize;
            assert_eq!(chunk_count((0, 2 * DAY_MS), RAW_MS, 300_000, samples), 5);
            assert_eq!(chunk_count((0, 14 * DAY_MS), RAW_MS, 300_000, samples * 7), 29);
        }
        let rare = (14 * DAY_MS / 300_000) as usize;
        assert_eq!(chunk_count((0, 14 * DAY_MS), RAW_MS, 300_000, rare), 6);
        assert_eq!(chunk_count((5, 5), RAW_MS, 300_000, 1), 1);
    }

    #[test]
    fn the_number_of_chunks_is_the_smallest_that_leaves_at_most_140_windows() {
        for expected in 1_i64..2000 {
            let wanted = (1..).find(|count| expected / count <= 140).unwrap();
            let span_ms = (expected - 1) * 1000;
            let many = expected as usize * 100;
            let found = chunk_count((0, span_ms), 1000, 1000, many);
            assert_eq!(found as i64, wanted, "{expected}");
        }
    }
}
