//! What is due, from times and sizes alone.

use crate::series::TimeRange;
use crate::storage::head::range_end_ms;

/// A span of the head that becomes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// First millisecond of the block.
    pub(super) start_ms: i64,
    /// First millisecond behind it.
    pub(super) end_ms: i64,
}

impl Cut {
    /// The same with both ends in it.
    pub(super) const fn range(self) -> TimeRange {
        TimeRange::new(self.start_ms, self.end_ms.saturating_sub(1))
    }
}

/// True if the head holds one and a half times the range of a block; so half a range stays open
/// for samples that come late.
pub(super) const fn is_due(head: TimeRange, range_ms: i64) -> bool {
    head.end_ms.saturating_sub(head.start_ms) > range_ms / 2 * 3
}

/// The first block that can be cut from what the head holds: up to the next multiple of the
/// range.
pub(super) const fn aligned_cut(head: TimeRange, range_ms: i64) -> Cut {
    Cut { start_ms: head.start_ms, end_ms: range_end_ms(head.start_ms, range_ms) }
}

/// As [`aligned_cut`], but not beyond the head's last sample.
pub(super) fn cut_of_all(head: TimeRange, range_ms: i64) -> Cut {
    let cut = aligned_cut(head, range_ms);
    Cut { end_ms: cut.end_ms.min(head.end_ms.saturating_add(1)), ..cut }
}

/// The windows of a block's range, at its multiples, that lie over `span`.
pub(super) fn windows(span: Option<TimeRange>, range_ms: i64) -> impl Iterator<Item = Cut> {
    let first_ms = span.map(|span| span.start_ms.div_euclid(range_ms).saturating_mul(range_ms));
    let next = move |start_ms: &i64| start_ms.checked_add(range_ms);
    let starts = std::iter::successors(first_ms, next);
    let within = move |start_ms: &i64| span.is_some_and(|span| *start_ms <= span.end_ms);
    let cut = move |start_ms: i64| Cut { start_ms, end_ms: start_ms.saturating_add(range_ms) };
    starts.take_while(within).map(cut)
}

/// Of blocks that end at these times, newest first: how many are kept. Time is measured from the
/// end of the newest block, which always stays.
pub(super) fn kept_by_time(ends_ms: &[i64], retention_ms: i64) -> usize {
    let Some(newest_ms) = ends_ms.first() else { return 0 };
    if retention_ms == 0 {
        return ends_ms.len();
    }
    let is_old = |end_ms: &i64| newest_ms.saturating_sub(*end_ms) >= retention_ms;
    let expired = ends_ms.iter().skip(1).position(is_old);
    expired.map_or(ends_ms.len(), |index| index + 1)
}

/// Of blocks with these sizes, newest first: how many are kept, beside the head's bytes on disk.
pub(super) fn kept_by_size(sizes_bytes: &[u64], head_bytes: u64, limit_bytes: u64) -> usize {
    if limit_bytes == 0 {
        return sizes_bytes.len();
    }
    let mut sum_bytes = head_bytes;
    let is_too_much = |size_bytes: &u64| {
        sum_bytes = sum_bytes.saturating_add(*size_bytes);
        sum_bytes > limit_bytes
    };
    sizes_bytes.iter().position(is_too_much).unwrap_or(sizes_bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE_MS: i64 = 100;

    #[test]
    fn a_block_is_due_when_the_head_holds_more_than_one_and_a_half() {
        assert!(!is_due(TimeRange::new(20, 170), RANGE_MS));
        assert!(is_due(TimeRange::new(20, 171), RANGE_MS));
    }

    #[test]
    fn a_block_ends_at_a_multiple_of_the_range() {
        let head = TimeRange::new(120, 350);
        assert_eq!(aligned_cut(head, RANGE_MS), Cut { start_ms: 120, end_ms: 200 });
        assert_eq!(cut_of_all(head, RANGE_MS), Cut { start_ms: 120, end_ms: 200 });
        let rest = cut_of_all(TimeRange::new(300, 350), RANGE_MS);
        assert_eq!(rest, Cut { start_ms: 300, end_ms: 351 });
        assert_eq!(rest.range(), TimeRange::new(300, 350));
    }

    #[test]
    fn windows_lie_over_the_whole_span() {
        let starts = |span| -> Vec<i64> {
            let windows = windows(Some(span), RANGE_MS);
            windows
                .inspect(|cut| assert_eq!(cut.end_ms, cut.start_ms + 100))
                .map(|c| c.start_ms)
                .collect()
        };
        assert_eq!(starts(TimeRange::new(120, 300)), [100, 200, 300]);
        assert_eq!(starts(TimeRange::new(-1, 99)), [-100, 0]);
        assert_eq!(windows(None, RANGE_MS).count(), 0);
    }

    #[test]
    fn time_counts_from_the_end_of_the_newest_block() {
        assert_eq!(kept_by_time(&[], 10), 0);
        assert_eq!(kept_by_time(&[100, 95, 90, 80], 10), 2);
        assert_eq!(kept_by_time(&[100], 10), 1);
        assert_eq!(kept_by_time(&[100, 0], 0), 2);
    }

    #[test]
    fn the_block_that_makes_it_too_much_goes_with_all_older_ones() {
        assert_eq!(kept_by_size(&[10, 10, 10], 5, 25), 2);
        assert_eq!(kept_by_size(&[10, 10, 10], 5, 24), 1);
        assert_eq!(kept_by_size(&[10, 1], 5, 14), 0);
        assert_eq!(kept_by_size(&[10, 10], 1000, 0), 2);
    }
}
