//! Which wanted ranges of an object are fetched together.

use std::ops::Range;

/// A range to fetch, and which of the wanted ranges are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) bytes: Range<u64>,
    pub(super) items: Range<usize>,
}

/// Joins ranges, which ascend by their start, where the hole between two is not longer than
/// `gap_bytes`: bytes that nobody wants are cheaper than one more request.
pub(super) fn join(wanted: &[Range<u64>], gap_bytes: u64) -> Vec<Joined> {
    let mut joined: Vec<Joined> = Vec::new();
    for (index, range) in wanted.iter().enumerate() {
        match joined.last_mut() {
            Some(last) if range.start <= last.bytes.end.saturating_add(gap_bytes) => {
                last.bytes.end = last.bytes.end.max(range.end);
                last.items.end = index + 1;
            }
            _ => joined.push(Joined { bytes: range.clone(), items: index..index + 1 }),
        }
    }
    joined
}

/// Cuts a list of ranges, which ascend by their start, into runs that each fetch about `max_bytes`
/// when joined, holes included: what lies in the holes must not fill the memory.
pub(super) fn windows(wanted: &[Range<u64>], gap_bytes: u64, max_bytes: u64) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let (mut first, mut bytes, mut end) = (0, 0_u64, 0);
    for (index, range) in wanted.iter().enumerate() {
        let hole = range.start.saturating_sub(end);
        let hole = if index == first || hole > gap_bytes { 0 } else { hole };
        let more = range.end.saturating_sub(range.start.max(end)).saturating_add(hole);
        if index > first && bytes.saturating_add(more) > max_bytes {
            windows.push(first..index);
            (first, bytes) = (index, 0);
        }
        bytes = bytes.saturating_add(if first == index { range.end - range.start } else { more });
        end = end.max(range.end);
    }
    if first < wanted.len() {
        windows.push(first..wanted.len());
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        input: Vec<(u64, u64)>,
        /// Start, end, first item, end of items.
        expected: Vec<(u64, u64, usize, usize)>,
    }

    #[derive(Deserialize)]
    struct Table {
        gap_bytes: u64,
        cases: Vec<Case>,
    }

    #[test]
    fn ranges_are_joined_as_thanos_joins_them() {
        let text = include_str!("../../../testdata/thanos/gateway/partition.json");
        let table: Table = serde_json::from_str(text).unwrap();
        assert_eq!(table.cases.len(), 5);
        for case in table.cases {
            let wanted: Vec<_> = case.input.iter().map(|(start, end)| *start..*end).collect();
            let joined = join(&wanted, table.gap_bytes);
            let joined: Vec<_> = joined
                .into_iter()
                .map(|one| (one.bytes.start, one.bytes.end, one.items.start, one.items.end))
                .collect();
            assert_eq!(joined, case.expected, "{:?}", case.input);
        }
    }

    proptest! {
        #[test]
        fn every_wanted_byte_is_in_one_joined_range(
            mut starts in vec((0_u64..2000, 1_u64..50), 1..40), gap in 0_u64..100,
        ) {
            starts.sort_unstable();
            let wanted: Vec<_> = starts.iter().map(|(start, len)| *start..start + len).collect();
            let joined = join(&wanted, gap);
            let mut next = 0;
            for one in &joined {
                prop_assert_eq!(one.items.start, next);
                next = one.items.end;
                for item in &wanted[one.items.clone()] {
                    prop_assert!(one.bytes.start <= item.start && item.end <= one.bytes.end);
                }
            }
            prop_assert_eq!(next, wanted.len());
            for pair in joined.windows(2) {
                prop_assert!(pair[0].bytes.end + gap < pair[1].bytes.start);
            }
            let mut next = 0;
            for window in windows(&wanted, gap, 300) {
                prop_assert!(window.start == next && !window.is_empty());
                next = window.end;
                let part = &wanted[window.clone()];
                let fetched: u64 =
                    join(part, gap).iter().map(|one| one.bytes.end - one.bytes.start).sum();
                prop_assert!(fetched <= 300 || window.len() == 1, "{fetched} in {window:?}");
            }
            prop_assert_eq!(next, wanted.len());
        }
    }
}
